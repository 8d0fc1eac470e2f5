//! A roll of a wrapping key that is owed: something wrapped was destroyed, and copies of it in freed pages of the database
//! open until the generation that wrapped them is erased. One record for each partition and generation, however much was
//! destroyed under it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::ids::{AccountId, InstanceId, PartitionId};
use crate::model::key::Key;
use crate::model::record::{Kind, List, Listing, Record};

/// A roll that is owed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erasure {
    /// The partition of the cipher machine.
    pub partition: PartitionId,
    /// The generation that must be erased, and all before it.
    pub generation: u32,
    /// The tenant whose partition it is.
    pub account: AccountId,
    /// The service whose partition it is; none: the account's own.
    pub instance: Option<InstanceId>,
    /// Since when, by the confirmed clock: a wall clock that is ahead puts no roll off.
    pub since: Timestamp,
    /// When the roll begins: what is destroyed until then shares it.
    pub due: Timestamp,
}

impl Erasure {
    /// What is owed for material of a key.
    pub fn of(key: &Key, partition: PartitionId, generation: u32, since: Timestamp, delay: Duration) -> Self {
        let (account, instance, due) = (key.account, key.owner.service(), since.after(delay));
        Self { partition, generation, account, instance, since, due }
    }

    /// The same, owed since another moment.
    pub fn owed_since(self, since: Timestamp) -> Self {
        Self { since, due: since.after(self.due.since(self.since)), ..self }
    }

    /// Reads the bytes of an id.
    pub fn read_id(bytes: &[u8]) -> Option<(PartitionId, u32)> {
        let (partition, generation) = bytes.split_first_chunk()?;
        Some((PartitionId::from_bytes(*partition), u32::from_be_bytes(generation.try_into().ok()?)))
    }

    /// Everything that is owed, the oldest first.
    pub fn all() -> List {
        List::all(Kind::Erasure)
    }
}

impl Record for Erasure {
    type Id = (PartitionId, u32);
    const KIND: Kind = Kind::Erasure;
    const VERSION: u8 = 1;

    fn id(&self) -> Self::Id {
        (self.partition, self.generation)
    }

    fn id_bytes((partition, generation): &Self::Id) -> Vec<u8> {
        [partition.as_bytes().as_slice(), &generation.to_be_bytes()].concat()
    }

    fn listings(&self) -> Vec<Listing> {
        vec![Listing::by_creation(Self::all(), self.since, &Self::id_bytes(&self.id()))]
    }

    /// Stays so until it is settled.
    fn due(&self) -> Option<Timestamp> {
        Some(self.due)
    }
}
