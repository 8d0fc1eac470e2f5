//! The tables of the database and the bytes in them. Keys are in the clear (ids, alias names, dates); every value that
//! says more than a number is sealed.
//!
//! ```text
//! records  kind ‖ id                → sealed(version ‖ body)
//! lists    list ‖ place             → key of the record          derived from the record
//! counts   list                     → number of rows, u64 BE     derived
//! due      micros BE ‖ kind ‖ id    → nothing                    derived
//! tokens   SM3 of the token         → sealed(first result)
//! expiry   micros BE ‖ token key    → nothing
//! replays  minute BE ‖ fingerprint  → nothing
//! zones    access key               → zone of its dates, 1 byte
//! uses     key id ‖ version id      → count, u64 BE ‖ last use, micros BE     made by the first use
//! associations  key id ‖ product                 → number of its rows, u64 BE
//!               key id ‖ product ‖ SM3 of resource id → sealed(association)        made by the first one
//! attempts key id ‖ outcome ‖ fingerprint of the caller  → sealed(version ‖ attempts)     made by the first attempt
//! audit    first sequence number    → sealed(header ‖ compressed lines)      the tail: older blocks lie in segment files
//! checkpoints  last sequence number → sealed(signed line)
//! meta     name                     → value
//! ```

use std::ops::Bound;

use redb::{Database, ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use zeroize::Zeroizing;

use super::Due;
use super::sealer::Sealer;
use crate::env::Timestamp;
use crate::error::{self, Error};
use crate::ids::KeyId;
use crate::model::key::Key;
use crate::model::record::Record as _;

pub type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;

pub const RECORDS_NAME: &str = "records";
pub const TOKENS_NAME: &str = "tokens";
pub const RECORDS: Bytes = TableDefinition::new(RECORDS_NAME);
pub const LISTS: Bytes = TableDefinition::new("lists");
pub const COUNTS: Bytes = TableDefinition::new("counts");
pub const DUE: Bytes = TableDefinition::new("due");
pub const TOKENS: Bytes = TableDefinition::new(TOKENS_NAME);
pub const EXPIRY: Bytes = TableDefinition::new("expiry");
pub const REPLAYS: Bytes = TableDefinition::new("replays");
pub const ZONES: Bytes = TableDefinition::new("zones");
pub const ASSOCIATIONS_NAME: &str = "associations";
pub const ASSOCIATIONS: Bytes = TableDefinition::new(ASSOCIATIONS_NAME);
pub const USES: Bytes = TableDefinition::new("uses");
pub const ATTEMPTS_NAME: &str = "attempts";
pub const ATTEMPTS: Bytes = TableDefinition::new(ATTEMPTS_NAME);
/// Tables whose rows begin with the id of a key and go with it. They are made when they are first written.
const OF_KEYS: [Bytes; 3] = [USES, ATTEMPTS, ASSOCIATIONS];
pub const AUDIT: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("audit");
pub const CHECKPOINTS: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("checkpoints");
pub const META: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("meta");

/// Version of this layout. A database with another one is refused.
pub const SCHEMA: u32 = 1;

/// A row of the table `meta`: the offset of a demo in seconds, BE, where the instance was made as one.
pub const DEMO: &str = "demo";
/// A row of the table `meta` that is there from the first commit of a run until its orderly stop.
const RUNNING: &str = "running";

/// A value of the table `meta` that must be there.
pub fn meta(snapshot: &ReadTransaction, name: &str) -> error::Result<Vec<u8>> {
    let table = snapshot.open_table(META).map_err(Error::internal)?;
    let value = table.get(name).map_err(Error::internal)?;
    let value = value.ok_or_else(|| Error::internal(format!("the database lacks its {name}")))?;
    Ok(value.value().to_vec())
}

/// Refuses a database that another version of the program wrote.
pub fn check_schema(snapshot: &ReadTransaction) -> error::Result<()> {
    let stored = meta(snapshot, "schema")?.try_into().map(u32::from_be_bytes);
    match stored {
        Ok(SCHEMA) => Ok(()),
        Ok(other) => Err(Error::internal(format!(
            "the database has schema {other}, this program knows {SCHEMA}: use the version that wrote it; nothing was changed"
        ))),
        Err(_) => Err(Error::internal("the schema number of the database is damaged")),
    }
}

/// Whether the run that last wrote ended without an orderly stop.
pub fn is_running(snapshot: &ReadTransaction) -> error::Result<bool> {
    let table = snapshot.open_table(META).map_err(Error::internal)?;
    Ok(table.get(RUNNING).map_err(Error::internal)?.is_some())
}

/// Marks that a run began, or that it ended in order.
pub fn set_running(transaction: &WriteTransaction, running: bool) -> error::Result<()> {
    let mut table = transaction.open_table(META).map_err(Error::internal)?;
    match running {
        true => table.insert(RUNNING, [].as_slice()).map(|_| ()),
        false => table.remove(RUNNING).map(|_| ()),
    }
    .map_err(Error::internal)
}

/// A sealed value of the table `meta`, if it is there.
pub fn sealed_meta(
    snapshot: &ReadTransaction,
    name: &str,
    sealer: &Sealer,
) -> error::Result<Option<Zeroizing<Vec<u8>>>> {
    let table = snapshot.open_table(META).map_err(Error::internal)?;
    let value = table.get(name).map_err(Error::internal)?;
    value.map(|value| sealer.open(&meta_place(name), value.value().to_vec())).transpose()
}

/// Seals a value of the table `meta`.
pub fn seal_meta(
    transaction: &WriteTransaction,
    name: &str,
    value: Vec<u8>,
    sealer: &Sealer,
) -> error::Result<()> {
    let sealed = sealer.seal(&meta_place(name), value)?;
    let mut table = transaction.open_table(META).map_err(Error::internal)?;
    table.insert(name, sealed.as_slice()).map_err(Error::internal)?;
    Ok(())
}

fn meta_place(name: &str) -> Vec<u8> {
    [b"meta/", name.as_bytes()].concat()
}

/// Makes the tables that readers rely on, and stores the secrets of the installation and whether it is a demo.
pub fn initialise(
    database: &Database,
    sealer: &Sealer,
    secrets: &[u8],
    demo: bool,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    for table in [RECORDS, LISTS, COUNTS, DUE, TOKENS, EXPIRY, REPLAYS, ZONES] {
        transaction.open_table(table)?;
    }
    transaction.open_table(AUDIT)?;
    transaction.open_table(CHECKPOINTS)?;
    let sealed = sealer.seal(b"meta/secrets", secrets.to_vec())?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("schema", SCHEMA.to_be_bytes().as_slice())?;
        meta.insert("secrets", sealed.as_slice())?;
    }
    if demo {
        // Its time is not moved yet.
        seal_meta(&transaction, DEMO, 0_i64.to_be_bytes().to_vec(), sealer)?;
    }
    transaction.commit()?;
    Ok(())
}

/// The half-open range of all keys that begin with `prefix`; a prefix never is all 0xFF, it begins with a kind or is an id,
/// whose version is among its bits.
fn prefix(prefix: &[u8]) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let mut end = prefix.to_vec();
    while end.last() == Some(&0xFF) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    (Bound::Included(prefix.to_vec()), Bound::Excluded(end))
}

/// The rows of a table that begin with `start`.
pub fn starting_with<'t>(
    table: &'t impl ReadableTable<&'static [u8], &'static [u8]>,
    start: &[u8],
) -> Result<redb::Range<'t, &'static [u8], &'static [u8]>, redb::StorageError> {
    let (from, to) = prefix(start);
    table.range::<&[u8]>((from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice)))
}

/// Whether the record of a key is there, as this transaction leaves it.
pub fn is_there(transaction: &WriteTransaction, key: KeyId) -> Result<bool, redb::Error> {
    Ok(transaction.open_table(RECORDS)?.get(Key::row(&key).as_slice())?.is_some())
}

/// Takes away what the tables of figures hold of a key.
pub fn forget(transaction: &WriteTransaction, key: KeyId) -> Result<(), redb::Error> {
    let (from, to) = prefix(key.as_bytes());
    let rows = (from.as_ref().map(Vec::as_slice), to.as_ref().map(Vec::as_slice));
    for table in OF_KEYS {
        transaction.open_table(table)?.retain_in::<&[u8], _>(rows, |_, _| false)?;
    }
    Ok(())
}

/// Number of rows of a list.
pub fn count(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    list: &[u8],
) -> Result<u64, redb::StorageError> {
    let value = table.get(list)?;
    Ok(value.and_then(|value| value.value().try_into().ok().map(u64::from_be_bytes)).unwrap_or(0))
}

/// Key of a due row; `row` is kind and id.
pub fn due_key(at: Timestamp, row: &[u8]) -> Vec<u8> {
    [at.0.to_be_bytes().as_slice(), row].concat()
}

/// Reads a due row's key.
pub fn read_due(key: &[u8]) -> Option<Due> {
    let (at, row) = key.split_at_checked(8)?;
    let (kind, id) = row.split_first()?;
    Some(Due { at: Timestamp(i64::from_be_bytes(at.try_into().ok()?)), kind: *kind, id: id.to_vec() })
}

/// Key of a replay row.
pub fn replay_key(minute: i64, fingerprint: &[u8; 16]) -> [u8; 24] {
    let mut key = [0; 24];
    for (to, from) in key.iter_mut().zip(minute.to_be_bytes().into_iter().chain(*fingerprint)) {
        *to = from;
    }
    key
}

/// Reads a replay row's key.
pub fn read_replay(key: &[u8]) -> Option<(i64, [u8; 16])> {
    let (minute, fingerprint) = key.split_at_checked(8)?;
    Some((i64::from_be_bytes(minute.try_into().ok()?), fingerprint.try_into().ok()?))
}
