//! A key: what it is, the state it is in, its versions and its rotation (contract 4.3, 5.1, 5.3). Clear material never
//! appears here; a version holds the wrapped form only.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use firmware_sim::WrappedKey;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{AccountId, InstanceId, KeyId, VersionId};
use crate::model::algorithm::{KeySpec, KeyUsage, Origin, ProtectionLevel};
use crate::model::record::{Kind, List, Listing, Record};
use crate::model::tag::Tags;
use crate::model::text::{Description, whole};

/// Keys that one base instance may hold (manual: 2,000).
pub const KEYS_PER_BASE_INSTANCE: u64 = 2000;

/// A key and everything about it that must not be lost.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// `cmkUuid`.
    pub id: KeyId,
    /// The tenant that owns it.
    pub account: AccountId,
    /// The service that it belongs to.
    pub instance: InstanceId,
    /// Enterprise project.
    pub project: Description,
    /// What kind of key it is.
    pub spec: KeySpec,
    /// What it may be used for.
    pub usage: KeyUsage,
    /// Where its root key lives.
    pub level: ProtectionLevel,
    /// Where its material comes from.
    pub origin: Origin,
    /// Where it is in its life.
    pub state: KeyState,
    /// Oldest first; the last one is the primary version.
    pub versions: Vec<KeyVersion>,
    /// Automatic rotation.
    pub rotation: Rotation,
    /// Free text.
    pub description: Description,
    /// Tags.
    pub tags: Tags,
    /// Who made it.
    pub creator: String,
    /// When it was made.
    pub created: Timestamp,
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeyState {
    /// Usable.
    Enabled,
    /// Switched off by its owner.
    Disabled,
    /// To be destroyed at the end of its window.
    PendingDeletion {
        /// When the window ends.
        at: Timestamp,
    },
    /// Waits for material from outside.
    PendingImport,
}

impl KeyState {
    /// The name on the wire.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion { .. } => "PendingDeletion",
            Self::PendingImport => "PendingImport",
        }
    }
}

/// One version of a key.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyVersion {
    /// `keyVersionId`.
    pub id: VersionId,
    /// Its material, wrapped by the cipher machine.
    #[serde(with = "wrapped")]
    pub wrapped: WrappedKey,
    /// When it was made.
    pub created: Timestamp,
}

/// A wrapped key as bytes in the stored body.
pub(crate) mod wrapped {
    use firmware_sim::WrappedKey;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(key: &WrappedKey, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(key.as_bytes())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<WrappedKey, D::Error> {
        let bytes = Vec::<u8>::deserialize(from)?;
        WrappedKey::from_bytes(bytes).map_err(serde::de::Error::custom)
    }
}

/// Automatic rotation of a symmetric key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rotation {
    /// Never.
    Off,
    /// Every so often.
    On {
        /// How often.
        period: RotationPeriod,
        /// When the next version is due.
        next: Timestamp,
        /// When the last one was made.
        last: Option<Timestamp>,
    },
}

/// 7 to 730 days; on input whole days or `<n>d|h|m|s` (contract 5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationPeriod(Duration);

impl RotationPeriod {
    const DAY: u64 = 86_400;
    const WRONG: &'static str = "must be 7 to 730 days, as days or as a number with d, h, m or s";

    fn from_seconds(seconds: u64) -> Result<Self, &'static str> {
        match (7 * Self::DAY..=730 * Self::DAY).contains(&seconds) {
            true => Ok(Self(Duration::from_secs(seconds))),
            false => Err(Self::WRONG),
        }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let (digits, unit) = match text.as_bytes().last() {
            Some(b'd') => (text.trim_end_matches('d'), Self::DAY),
            Some(b'h') => (text.trim_end_matches('h'), 3600),
            Some(b'm') => (text.trim_end_matches('m'), 60),
            Some(b's') => (text.trim_end_matches('s'), 1),
            Some(_) | None => (text, Self::DAY),
        };
        let plain = digits.len() + 1 >= text.len() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = digits.parse().ok().filter(|_| plain).ok_or(Self::WRONG)?;
        Self::from_seconds(number.checked_mul(unit).ok_or(Self::WRONG)?)
    }
}

impl fmt::Display for RotationPeriod {
    /// `<seconds>s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0.as_secs())
    }
}

impl Serialize for RotationPeriod {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { to.serialize_u64(self.0.as_secs()) }
    }
}

impl JsonSchema for RotationPeriod {
    fn schema_name() -> Cow<'static, str> {
        "RotationPeriod".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"], "pattern": "^0*([7-9]|[1-9][0-9]|[1-6][0-9]{2}|7[0-2][0-9]|730)d?$", "minimum": 7, "maximum": 730,
            "examples": ["90d"],
            "description": "7 to 730 days, as a number or with `d`; the same time in `h`, `m` or `s` is understood too.",
        })
    }
}

impl<'de> Deserialize<'de> for RotationPeriod {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let period = if from.is_human_readable() {
            struct AnyForm;
            impl serde::de::Visitor<'_> for AnyForm {
                type Value = RotationPeriod;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(RotationPeriod::WRONG)
                }
                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RotationPeriod, E> {
                    RotationPeriod::parse(text).map_err(E::custom)
                }
                fn visit_u64<E: serde::de::Error>(self, days: u64) -> Result<RotationPeriod, E> {
                    let seconds =
                        days.checked_mul(RotationPeriod::DAY).ok_or(E::custom(RotationPeriod::WRONG))?;
                    RotationPeriod::from_seconds(seconds).map_err(E::custom)
                }
                fn visit_f64<E: serde::de::Error>(self, days: f64) -> Result<RotationPeriod, E> {
                    self.visit_u64(whole(days).ok_or(E::custom(RotationPeriod::WRONG))?)
                }
            }
            return from.deserialize_any(AnyForm);
        } else {
            Self::from_seconds(u64::deserialize(from)?)
        };
        period.map_err(serde::de::Error::custom)
    }
}

impl Rotation {
    /// Rotation every `period`, first due one period after `now`.
    pub fn every(period: RotationPeriod, now: Timestamp) -> Self {
        Self::On { period, next: now.after(period.0), last: None }
    }
}

impl Key {
    /// The keys of one account, oldest first.
    pub fn of_account(account: AccountId) -> List {
        List::of(Kind::Key, Kind::Account, account.as_bytes())
    }

    /// The keys of one service, oldest first; its length is what the key quota counts.
    pub fn of_instance(instance: InstanceId) -> List {
        List::of(Kind::Key, Kind::Instance, instance.as_bytes())
    }

    /// `ctyun:kms:<region>:<account>:key/<uuid>` (contract 5.1.1).
    pub fn arn(&self, region: &str) -> String {
        format!("ctyun:kms:{region}:{}:key/{}", self.account, self.id)
    }

    /// Switches the key on; a key that is on stays on.
    pub fn enable(&mut self) -> Result<()> {
        self.switch(KeyState::Enabled)
    }

    /// Switches the key off; a key that is off stays off.
    pub fn disable(&mut self) -> Result<()> {
        self.switch(KeyState::Disabled)
    }

    fn switch(&mut self, to: KeyState) -> Result<()> {
        match self.state {
            KeyState::Enabled | KeyState::Disabled => {
                self.state = to;
                Ok(())
            }
            KeyState::PendingDeletion { .. } | KeyState::PendingImport => Err(Error::TransitionNotAllowed),
        }
    }

    /// Whether an alias may be given to the key (contract 4.3, createAlias).
    pub fn check_alias(&self) -> Result<()> {
        match self.state {
            KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => Ok(()),
            KeyState::PendingDeletion { .. } => Err(Error::TransitionNotAllowed),
        }
    }

    /// The version that new ciphertexts are made with, if the key may be used for symmetric work now.
    pub fn primary_for_use(&self) -> Result<&KeyVersion> {
        self.check_symmetric_use()?;
        self.versions.last().ok_or(Error::KeyPendingImport)
    }

    /// One version for symmetric work, if the key may be used now.
    pub fn version_for_use(&self, id: VersionId) -> Result<&KeyVersion> {
        self.check_symmetric_use()?;
        self.versions.iter().find(|version| version.id == id).ok_or(Error::KeyVersionNotFound)
    }

    fn check_symmetric_use(&self) -> Result<()> {
        match self.state {
            KeyState::Enabled => {}
            KeyState::Disabled => return Err(Error::KeyDisabled),
            KeyState::PendingDeletion { .. } => return Err(Error::KeyPendingDeletion),
            KeyState::PendingImport => return Err(Error::KeyPendingImport),
        }
        match self.spec {
            KeySpec::Aes256 | KeySpec::Sm4 => Ok(()),
            KeySpec::Rsa2048 | KeySpec::Sm2 => Err(Error::Unsupported("this call needs a symmetric key")),
        }
    }

    /// Puts a version's new wrapped form in place of the one that it was made from. A version that has another one by now
    /// keeps that.
    pub fn rewrap(&mut self, rewrapped: &[(WrappedKey, WrappedKey)]) {
        for version in &mut self.versions {
            if let Some((_, new)) = rewrapped.iter().find(|(old, _)| *old == version.wrapped) {
                version.wrapped = new.clone();
            }
        }
    }

    /// Whether a new version is due at `now`.
    pub fn rotation_due(&self, now: Timestamp) -> bool {
        self.due().is_some_and(|at| at <= now)
    }

    /// Makes `version` the primary one and sets the next date one period after `now`, however late it is: a key
    /// that was due several times while nobody ran rotates once.
    pub fn rotate(&mut self, version: KeyVersion, now: Timestamp) -> Result<()> {
        match self.rotation {
            Rotation::On { period, .. } if self.rotation_due(now) => {
                self.rotation = Rotation::On { period, next: now.after(period.0), last: Some(now) };
                self.versions.push(version);
                Ok(())
            }
            Rotation::On { .. } | Rotation::Off => Err(Error::TransitionNotAllowed),
        }
    }
}

impl Record for Key {
    type Id = KeyId;
    const KIND: Kind = Kind::Key;
    const VERSION: u8 = 1;

    fn id(&self) -> KeyId {
        self.id
    }

    fn id_bytes(id: &KeyId) -> Vec<u8> {
        id.as_bytes().to_vec()
    }

    fn listings(&self) -> Vec<Listing> {
        [Self::of_account(self.account), Self::of_instance(self.instance)]
            .map(|list| Listing::by_creation(list, self.created, self.id.as_bytes()))
            .to_vec()
    }

    /// The next rotation, while the key is enabled: a disabled key rests and catches up once when it is enabled.
    fn due(&self) -> Option<Timestamp> {
        match (self.state, self.rotation) {
            (KeyState::Enabled, Rotation::On { next, .. }) => Some(next),
            (KeyState::Enabled, Rotation::Off)
            | (KeyState::Disabled | KeyState::PendingDeletion { .. } | KeyState::PendingImport, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(text: &str) -> Result<RotationPeriod, &'static str> {
        RotationPeriod::parse(text)
    }

    #[test]
    fn a_rotation_period_has_five_spellings() {
        for same in ["365", "365d", "8760h", "525600m", "31536000s"] {
            assert_eq!(period(same).unwrap().to_string(), "31536000s", "{same}");
        }
        for wrong in ["", "d", "6", "731", "7dd", "-7", "7 d", "604799s", "99999999999999999999d", "7w"] {
            assert!(period(wrong).is_err(), "{wrong}");
        }
    }

    /// Key state against operation, contract 4.3, for the operations of this version.
    #[test]
    fn the_state_decides_what_may_happen() {
        let at = Timestamp::from_seconds(1);
        let states = [
            KeyState::Enabled,
            KeyState::Disabled,
            KeyState::PendingDeletion { at },
            KeyState::PendingImport,
        ];
        let mut table = String::new();
        for state in states {
            let key = sample(state);
            let code = |result: Result<()>| result.err().map_or("ok", |error| error.wire().code);
            let row = [
                code(key.check_symmetric_use()),
                code(key.clone().enable()),
                code(key.clone().disable()),
                code(key.check_alias()),
            ];
            table.push_str(&format!(
                "{} use={} enable={} disable={} alias={}\n",
                state.wire_name(),
                row[0],
                row[1],
                row[2],
                row[3]
            ));
        }
        assert_eq!(
            table,
            "Enabled use=ok enable=ok disable=ok alias=ok\n\
             Disabled use=KMS.9010 enable=ok disable=ok alias=ok\n\
             PendingDeletion use=KMS.9011 enable=KMS.9013 disable=KMS.9013 alias=KMS.9013\n\
             PendingImport use=KMS.9012 enable=KMS.9013 disable=KMS.9013 alias=ok\n"
        );
    }

    #[test]
    fn a_late_rotation_happens_once_and_rests_while_disabled() {
        let day = 86_400;
        let mut key = sample(KeyState::Enabled);
        key.rotation = Rotation::every(period("7").unwrap(), Timestamp::from_seconds(0));
        assert_eq!(key.due(), Some(Timestamp::from_seconds(7 * day)));
        assert!(!key.rotation_due(Timestamp::from_seconds(7 * day - 1)));
        let late = Timestamp::from_seconds(100 * day);
        assert!(key.rotation_due(late));
        key.disable().unwrap();
        assert!(!key.rotation_due(late));
        key.enable().unwrap();
        assert!(key.rotation_due(late));
    }

    /// A wrapped key as to its form; no machine made it.
    fn wrapped(fill: u8) -> WrappedKey {
        let mut bytes = vec![fill; 121];
        bytes[..5].copy_from_slice(b"YKWK\x01");
        (bytes[21], bytes[58], bytes[59], bytes[60]) = (1, 1, 1, 0);
        WrappedKey::from_bytes(bytes).unwrap()
    }

    #[test]
    fn a_rewrapped_form_replaces_only_what_it_was_made_from() {
        let version = |id, fill| KeyVersion {
            id: VersionId::from_bytes([id; 16]),
            wrapped: wrapped(fill),
            created: Timestamp::from_seconds(0),
        };
        let mut key = sample(KeyState::Disabled);
        key.versions = vec![version(1, 11), version(2, 22), version(3, 33)];
        key.rewrap(&[(wrapped(11), wrapped(12)), (wrapped(21), wrapped(23))]);
        assert!(key.versions == [version(1, 12), version(2, 22), version(3, 33)]);
    }

    fn sample(state: KeyState) -> Key {
        Key {
            id: KeyId::from_bytes([1; 16]),
            account: AccountId::from_bytes([2; 16]),
            instance: InstanceId::from_random([3; 6]),
            project: Description::default(),
            spec: KeySpec::Aes256,
            usage: KeyUsage::EncryptDecrypt,
            level: ProtectionLevel::Software,
            origin: Origin::CtyunKms,
            state,
            versions: Vec::new(),
            rotation: Rotation::Off,
            description: Description::default(),
            tags: Tags::default(),
            creator: String::new(),
            created: Timestamp::from_seconds(0),
        }
    }
}
