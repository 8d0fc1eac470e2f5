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
    /// The clock is trusted again: it was set right, or an administrator confirmed it.
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

    /// `NORMAL`, `WARNING` where somebody may have to act, `INCIDENT` where somebody must.
    pub fn level(&self) -> &'static str {
        match self {
            Self::KeyRotated { .. } | Self::ClockConfirmed => "NORMAL",
            Self::MaterialExpiring { .. }
            | Self::MaterialExpired
            | Self::KeyExpiring { .. }
            | Self::KeyDestroyed
            | Self::UseRefused { .. }
            | Self::UseRehearsed { .. } => "WARNING",
            Self::ClockInDoubt => "INCIDENT",
        }
    }

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

    /// What happened, in English and in Chinese, for people who see nothing else of it.
    pub fn sentences(&self) -> (String, String) {
        let key = self.key.map(|key| key.text()).unwrap_or_default();
        match &self.what {
            Occurrence::KeyRotated { version } => (
                format!("Key {key} was rotated; its primary version is {version} now."),
                format!("密钥 {key} 已轮转，主版本为 {version}。"),
            ),
            Occurrence::MaterialExpiring { at, days } => (
                format!("The imported material of key {key} expires at {at}, {} from now.", within(*days)),
                format!("密钥 {key} 的导入材料将于 {at} 过期，不足 {days} 天。"),
            ),
            Occurrence::MaterialExpired => (
                format!(
                    "The imported material of key {key} expired and was destroyed; import it again to use the key."
                ),
                format!("密钥 {key} 的导入材料已过期并销毁，重新导入后方可使用。"),
            ),
            Occurrence::KeyExpiring { at, days } => (
                format!(
                    "Key {key} will be destroyed at {at}, {} from now, unless its deletion is cancelled.",
                    within(*days)
                ),
                format!("密钥 {key} 将于 {at} 销毁，不足 {days} 天，此前可取消删除。"),
            ),
            Occurrence::KeyDestroyed => (
                format!("Key {key} was destroyed; nothing that it encrypted can be decrypted any more."),
                format!("密钥 {key} 已销毁，其加密的数据无法再解密。"),
            ),
            Occurrence::UseRefused { by, state } => (
                format!("{by} tried to use key {key} in the state {state} and was refused."),
                format!("{by} 尝试使用状态为 {state} 的密钥 {key}，已被拒绝。"),
            ),
            Occurrence::UseRehearsed { by } => (
                format!(
                    "{by} used key {key}, whose disabling is rehearsed; disabling it would refuse such calls."
                ),
                format!("{by} 使用了正在演练禁用的密钥 {key}；禁用该密钥后，此类调用将被拒绝。"),
            ),
            Occurrence::ClockInDoubt => (
                "The clock of the appliance cannot be trusted; nothing is destroyed until it can be.".into(),
                "设备时钟不可信，恢复可信之前不会销毁任何内容。".into(),
            ),
            Occurrence::ClockConfirmed => {
                ("The clock of the appliance is trusted again.".into(), "设备时钟已恢复可信。".into())
            }
        }
    }

    /// All events, oldest first.
    pub fn all() -> List {
        List::all(Kind::Event)
    }

    /// The events about one key of an account, newest first, also once it is gone.
    pub fn of_key(account: AccountId, key: KeyId) -> List {
        List::of(Kind::Event, Kind::Key, &[*account.as_bytes(), *key.as_bytes()].concat())
    }

    /// The events of one account, or the appliance's own; newest first.
    pub fn of_account(account: Option<AccountId>) -> List {
        List::of(Kind::Event, Kind::Account, account.as_ref().map_or([0; 16], |id| *id.as_bytes()).as_slice())
    }
}

/// A number of days that is not over yet.
fn within(days: u8) -> String {
    match days {
        1 => "less than a day".into(),
        days => format!("less than {days} days"),
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
        let id = self.id.as_bytes();
        let of_key = self.account.zip(self.key).map(|(account, key)| Self::of_key(account, key));
        let mut listings = vec![
            Listing::by_creation(Self::of_account(self.account), newest_first, id),
            Listing::by_creation(Self::all(), self.time, id),
        ];
        listings.extend(of_key.map(|list| Listing::by_creation(list, newest_first, id)));
        listings
    }
}
