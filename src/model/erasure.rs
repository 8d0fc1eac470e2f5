//! A roll of a wrapping key that is owed: something wrapped was destroyed, and copies of it in freed pages of the database
//! open until the generation that wrapped them is erased. One record for each partition and generation, however much was
//! destroyed under it.

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
    /// Since when.
    pub since: Timestamp,
}

impl Erasure {
    /// What is owed for material of a key.
    pub fn of(key: &Key, partition: PartitionId, generation: u32, since: Timestamp) -> Self {
        Self { partition, generation, account: key.account, instance: key.owner.service(), since }
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

    /// No due date: those of keys are bounded by a tick, and these would stand before them until a roll has ended.
    fn listings(&self) -> Vec<Listing> {
        vec![Listing::by_creation(Self::all(), self.since, &Self::id_bytes(&self.id()))]
    }
}
