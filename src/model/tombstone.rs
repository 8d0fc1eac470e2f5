//! What is left of a destroyed key: what it was and when it went, for an audit years later. Nothing here opens or names
//! anything any more; the key's id and its names may not be read as those of a key.

use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::ids::{AccountId, KeyId, PartitionId};
use crate::model::algorithm::{KeySpec, KeyUsage, Origin, ProtectionLevel};
use crate::model::alias::AliasName;
use crate::model::key::Key;
use crate::model::owner::Owner;
use crate::model::record::{Kind, List, Listing, Record};
use crate::model::text::Description;

/// Names that a tombstone keeps.
pub const ALIASES_KEPT: usize = 20;

/// A destroyed key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tombstone {
    /// `cmkUuid`.
    pub id: KeyId,
    /// The tenant that owned it.
    pub account: AccountId,
    /// Whom it belonged to there.
    pub owner: Owner,
    /// Enterprise project.
    pub project: Description,
    /// What kind of key it was.
    pub spec: KeySpec,
    /// What it could be used for.
    pub usage: KeyUsage,
    /// Where its root key lay.
    pub level: ProtectionLevel,
    /// Where its material came from.
    pub origin: Origin,
    /// Free text.
    pub description: Description,
    /// Who made it.
    pub creator: String,
    /// When it was made.
    pub created: Timestamp,
    /// When its window ended.
    pub scheduled: Timestamp,
    /// When it was destroyed.
    pub destroyed: Timestamp,
    /// Its first names, at most [`ALIASES_KEPT`].
    pub aliases: Vec<AliasName>,
    /// How many names it had.
    pub alias_count: u64,
    /// The partition of the cipher machine that wrapped it.
    pub partition: PartitionId,
    /// The newest generation of that partition's wrapping key that may have wrapped any of its material; none if nothing
    /// of it was ever wrapped.
    pub generation: Option<u32>,
}

impl Tombstone {
    /// The stone of a key whose window ended at `scheduled`; its names and what wrapped it are for the caller to add.
    pub fn of(key: &Key, scheduled: Timestamp, destroyed: Timestamp, partition: PartitionId) -> Self {
        Self {
            id: key.id,
            account: key.account,
            owner: key.owner,
            project: key.project.clone(),
            spec: key.spec,
            usage: key.usage,
            level: key.level,
            origin: key.origin,
            description: key.description.clone(),
            creator: key.creator.clone(),
            created: key.created,
            scheduled,
            destroyed,
            aliases: Vec::new(),
            alias_count: 0,
            partition,
            generation: None,
        }
    }

    /// The name that the key had in policies, see [`Key::arn`].
    pub fn arn(&self, region: &str) -> String {
        format!("ctyun:kms:{region}:{}:key/{}", self.account, self.id)
    }

    /// The destroyed keys of one account, those that went last first.
    pub fn of_account(account: AccountId) -> List {
        List::of(Kind::Tombstone, Kind::Account, account.as_bytes())
    }
}

impl Record for Tombstone {
    type Id = KeyId;
    const KIND: Kind = Kind::Tombstone;
    const VERSION: u8 = 1;

    fn id(&self) -> KeyId {
        self.id
    }

    fn id_bytes(id: &KeyId) -> Vec<u8> {
        id.as_bytes().to_vec()
    }

    fn listings(&self) -> Vec<Listing> {
        let newest_first = Timestamp(self.destroyed.0.saturating_neg());
        vec![Listing::by_creation(Self::of_account(self.account), newest_first, self.id.as_bytes())]
    }
}
