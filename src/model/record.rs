//! What it takes to be a durable record: an id, a version of its stored form, and the rows that are derived from it
//! (listings, counts, due date). The store keeps the derived rows in step in the same transaction.

use std::fmt::Debug;
use std::hash::Hash;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::env::Timestamp;

/// The kinds of record, as they stand in the first byte of a store key. Numbers are never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A tenant.
    Account = 1,
    /// A person.
    User = 2,
    /// A service instance.
    Instance = 3,
    /// An access point.
    AccessPoint = 4,
    /// An access key and its wrapped secret.
    Credential = 5,
    /// A key with its versions.
    Key = 6,
    /// A name of a key.
    Alias = 7,
    /// A version of a key. No record of its own, only rows that its key derives.
    KeyVersion = 8,
    /// Something that an account should be told.
    Event = 9,
    /// What is left of a destroyed key.
    Tombstone = 10,
    /// A roll of a wrapping key that is owed.
    Erasure = 11,
    /// The account itself as the owner of keys. No record, only a part of list names.
    OnDemand = 12,
    /// A cloud product as the owner of keys or credentials. No record, only a part of list names.
    Product = 13,
}

/// A named list of records, such as the keys of one service; its length is kept by the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct List(Vec<u8>);

impl List {
    /// The records of `kind` that belong to `owner`; `owner` is the fixed-length id of another kind of record.
    pub fn of(kind: Kind, owned_by: Kind, owner: &[u8]) -> Self {
        let mut bytes = vec![kind as u8, owned_by as u8];
        bytes.extend_from_slice(owner);
        Self(bytes)
    }

    /// All records of `kind`.
    pub fn all(kind: Kind) -> Self {
        Self(vec![kind as u8, 0])
    }

    /// The bytes that every row of the list begins with.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// One row that places a record in a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listing {
    /// The list.
    pub list: List,
    /// Where in the list: unique within it, ordered as pages show it.
    pub place: Vec<u8>,
}

impl Listing {
    /// Places a record by its time of creation, then its id.
    pub fn by_creation(list: List, created: Timestamp, id: &[u8]) -> Self {
        let mut place = created.0.to_be_bytes().to_vec();
        place.extend_from_slice(id);
        Self { list, place }
    }

    /// Places a record by its name.
    pub fn by_name(list: List, name: &str) -> Self {
        Self { list, place: name.as_bytes().to_vec() }
    }
}

/// A durable thing.
pub trait Record: Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + Unpin + 'static {
    /// What names it.
    type Id: Clone + Eq + Hash + Debug + Send + Sync + Unpin + 'static;
    /// First byte of its store key.
    const KIND: Kind;
    /// Version of its stored body; a change of the struct raises it and extends [`Record::upgrade`].
    const VERSION: u8;

    /// The record's id.
    fn id(&self) -> Self::Id;

    /// The bytes of an id in a store key.
    fn id_bytes(id: &Self::Id) -> Vec<u8>;

    /// The lists that the record stands in. The writer takes a change only while all of these rows are there, so another list
    /// means new rows for the records that are stored.
    fn listings(&self) -> Vec<Listing>;

    /// When cron should look at it again.
    fn due(&self) -> Option<Timestamp> {
        None
    }

    /// Reads a body that an older version wrote; `None` if the version is unknown or the body is damaged.
    fn upgrade(_version: u8, _body: &[u8]) -> Option<Self> {
        None
    }

    /// The store key of an id: kind, then id bytes.
    fn row(id: &Self::Id) -> Vec<u8> {
        let mut row = vec![Self::KIND as u8];
        row.extend_from_slice(&Self::id_bytes(id));
        row
    }

    /// The stored form: version, then body.
    fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_extend(self, vec![Self::VERSION])
    }

    /// Reads the stored form.
    fn decode(stored: &[u8]) -> Option<Self> {
        match stored.split_first() {
            Some((&version, body)) if version == Self::VERSION => postcard::from_bytes(body).ok(),
            Some((&version, body)) => Self::upgrade(version, body),
            None => None,
        }
    }
}
