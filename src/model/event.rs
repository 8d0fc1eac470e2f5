//! Events: what the owner of keys, or the administrator of the appliance, should be told without asking. One type for all of
//! them; a record like any other, so that it is durable together with what it tells of.

use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::ids::{AccountId, EventId, InstanceId, KeyId, VersionId};
use crate::model::key::{Deadline, Key, Warning};
use crate::model::principal::Caller;
use crate::model::record::{Kind, List, Listing, Record};

/// Something that happened, or is about to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Whose it is; none: the appliance's own, for its administrators.
    pub account: Option<AccountId>,
    /// The service that the key belongs to.
    pub instance: Option<InstanceId>,
    /// The key that it is about.
    pub key: Option<KeyId>,
    /// When.
    pub time: Timestamp,
    /// What.
    pub what: Occurrence,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Occurrence {
    /// The key has a new primary version.
    KeyRotated {
        /// That version.
        version: VersionId,
    },
    /// The material from outside expires soon.
    MaterialExpiring {
        /// When.
        at: Timestamp,
        /// Within so many days.
        days: u8,
    },
    /// The material from outside expired and was destroyed.
    MaterialExpired,
    /// The key will be destroyed soon.
    KeyExpiring {
        /// When.
        at: Timestamp,
        /// Within so many days.
        days: u8,
    },
    /// The key was destroyed.
    KeyDestroyed,
    /// Somebody tried to use a key that is disabled or pending deletion; told once a day for each key and caller.
    UseRefused {
        /// Who.
        by: Caller,
        /// `keyState` on the wire.
        state: String,
    },
    /// Somebody used a key whose disabling is rehearsed; told once a day for each key and caller.
    UseRehearsed {
        /// Who.
        by: Caller,
    },
    /// The clock cannot be trusted: nothing is destroyed until it can be.
    ClockInDoubt,
    /// An administrator confirmed the clock.
    ClockConfirmed,
}

impl Occurrence {
    /// Names on the wire.
    pub const NAMES: [&'static str; 9] = [
        "KeyRotated",
        "MaterialExpiring",
        "MaterialExpired",
        "KeyExpiring",
        "KeyDestroyed",
        "UseRefused",
        "UseRehearsed",
        "ClockInDoubt",
        "ClockConfirmed",
    ];

    /// Its place among [`Self::NAMES`].
    pub fn number(&self) -> usize {
        match self {
            Self::KeyRotated { .. } => 0,
            Self::MaterialExpiring { .. } => 1,
            Self::MaterialExpired => 2,
            Self::KeyExpiring { .. } => 3,
            Self::KeyDestroyed => 4,
            Self::UseRefused { .. } => 5,
            Self::UseRehearsed { .. } => 6,
            Self::ClockInDoubt => 7,
            Self::ClockConfirmed => 8,
        }
    }
}

impl From<Warning> for Occurrence {
    fn from(Warning { deadline, at, days }: Warning) -> Self {
        match deadline {
            Deadline::Key => Self::KeyExpiring { at, days },
            Deadline::Material => Self::MaterialExpiring { at, days },
        }
    }
}

impl Event {
    /// An event about a key.
    pub fn about(key: &Key, id: EventId, time: Timestamp, what: Occurrence) -> Self {
        let (account, instance) = (Some(key.account), key.owner.service());
        Self { id, account, instance, key: Some(key.id), time, what }
    }

    /// The events of one account, or the appliance's own; newest first.
    pub fn of_account(account: Option<AccountId>) -> List {
        List::of(Kind::Event, Kind::Account, account.as_ref().map_or([0; 16], |id| *id.as_bytes()).as_slice())
    }
}

impl Record for Event {
    type Id = EventId;
    const KIND: Kind = Kind::Event;
    const VERSION: u8 = 1;

    fn id(&self) -> EventId {
        self.id
    }

    fn id_bytes(id: &EventId) -> Vec<u8> {
        id.as_bytes().to_vec()
    }

    fn listings(&self) -> Vec<Listing> {
        let newest_first = Timestamp(self.time.0.saturating_neg());
        vec![Listing::by_creation(Self::of_account(self.account), newest_first, self.id.as_bytes())]
    }
}
