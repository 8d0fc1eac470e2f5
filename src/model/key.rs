//! A key: what it is, the state it is in, its versions, its rotation and its material from outside (contract 4.3, 5.1, 5.3,
//! 5.4). Clear material never appears here; a version holds the wrapped form only. Every transition checks first and
//! changes last, so that a refusal leaves the key as it was.

mod deletion;
mod material;
mod version_1;
mod version_2;

pub use deletion::{Deadline, DeletionDays, Told, Warning};
use firmware_sim::WrappedKey;
use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{AccountId, InstanceId, KeyId, VersionId};
use crate::model::algorithm::{KeySpec, KeyUsage, Origin, ProtectionLevel};
use crate::model::confirmed::Reading;
use crate::model::import::Import;
use crate::model::owner::Owner;
use crate::model::record::{Kind, List, Listing, Record};
use crate::model::rotation::{Rotation, RotationPeriod};
use crate::model::tag::{TagKey, Tags};
use crate::model::text::Description;
use crate::model::wrapped;

/// Keys that one base instance may hold (manual: 2,000).
pub const KEYS_PER_BASE_INSTANCE: u64 = 2000;

/// A key and everything about it that must not be lost.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// `cmkUuid`.
    pub id: KeyId,
    /// The tenant that owns it.
    pub account: AccountId,
    /// Whom it belongs to there.
    pub owner: Owner,
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
    /// Where it is in its life, but for material whose time is over: see [`Key::state_at`].
    pub state: KeyState,
    /// Oldest first; the last one is the primary version.
    pub versions: Vec<KeyVersion>,
    /// Automatic rotation.
    pub rotation: Rotation,
    /// When it last rotated.
    pub rotated: Option<Timestamp>,
    /// Its material from outside.
    pub import: Import,
    /// Why its deletion cannot be scheduled, if it is protected.
    pub protection: Option<Description>,
    /// Whether its disabling is rehearsed: every use goes through, and is reported.
    pub rehearsal: bool,
    /// The last warning that its end comes.
    pub told: Option<Told>,
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

/// What a call needs a key for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Encrypting and data keys: a symmetric key.
    Symmetric,
    /// Message authentication: a symmetric key, but no default key.
    Authentication,
    /// Signing and verifying.
    Signing,
    /// Encrypting and decrypting with an asymmetric key.
    AsymmetricEncryption,
    /// Reading a public key.
    PublicKey,
}

/// What a key waits for that nobody calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueJob {
    /// The end of its window.
    Destroy,
    /// A warning that its end comes.
    Warn,
    /// Its next version.
    Rotate,
    /// The end of its material, or of what it remembers of tokens.
    Expire,
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

impl Key {
    /// The keys of one account, oldest first.
    pub fn of_account(account: AccountId) -> List {
        List::of(Kind::Key, Kind::Account, account.as_bytes())
    }

    /// The keys of one service, oldest first; its length is what the key quota counts.
    pub fn of_instance(instance: InstanceId) -> List {
        List::of(Kind::Key, Kind::Instance, instance.as_bytes())
    }

    /// The keys of one owner in an account, oldest first; of a cloud product those of all products.
    pub fn of_owner(account: AccountId, owner: Owner) -> List {
        match owner {
            Owner::Service(instance) => Self::of_instance(instance),
            Owner::OnDemand => Self::on_demand_of(account),
            Owner::Product(_) => Self::defaults_of(account),
        }
    }

    /// The keys on demand of one account, oldest first; its length is what their quota counts.
    pub fn on_demand_of(account: AccountId) -> List {
        List::of(Kind::Key, Kind::OnDemand, account.as_bytes())
    }

    /// The default keys of cloud products in one account, oldest first.
    pub fn defaults_of(account: AccountId) -> List {
        List::of(Kind::Key, Kind::Product, account.as_bytes())
    }

    /// The versions of an account's asymmetric keys; its length is what their quota counts.
    pub fn asymmetric_versions_of(account: AccountId) -> List {
        List::of(Kind::KeyVersion, Kind::Account, account.as_bytes())
    }

    /// `ctyun:kms:<region>:<account>:key/<uuid>` (contract 5.1.1).
    pub fn arn(&self, region: &str) -> String {
        format!("ctyun:kms:{region}:{}:key/{}", self.account, self.id)
    }

    /// Whether it is the default key of a cloud product.
    pub fn is_default(&self) -> bool {
        matches!(self.owner, Owner::Product(_))
    }

    /// Whether its account may change it: a default key stays as its product needs it (contract 5.1, createDefaultKey).
    pub fn check_own(&self) -> Result<()> {
        if self.is_default() { Err(Error::DefaultKey) } else { Ok(()) }
    }

    /// Where the key is in its life: material past its expiry counts as gone, also before it is.
    pub fn state_at(&self, now: Timestamp) -> KeyState {
        match self.state {
            KeyState::Enabled | KeyState::Disabled if self.import.is_expired(now) => KeyState::PendingImport,
            KeyState::Enabled
            | KeyState::Disabled
            | KeyState::PendingDeletion { .. }
            | KeyState::PendingImport => self.state,
        }
    }

    /// The versions whose material is there, oldest first.
    pub fn versions_at(&self, now: Timestamp) -> &[KeyVersion] {
        let gone = self.state == KeyState::PendingImport || self.import.is_expired(now);
        if gone { &[] } else { &self.versions }
    }

    /// Ids and dates of the versions that ciphertexts may name, oldest first: also of the one whose material is away.
    pub fn known_versions(&self) -> Vec<(VersionId, Timestamp)> {
        let away = self.import.binding.iter().filter(|_| self.versions.is_empty());
        let away = away.map(|binding| (binding.version, binding.created));
        self.versions.iter().map(|version| (version.id, version.created)).chain(away).collect()
    }

    /// The version that new ciphertexts are made with; asymmetric keys have none, each call names its version.
    pub fn primary_at(&self, now: Timestamp) -> Option<&KeyVersion> {
        self.versions_at(now).last().filter(|_| self.spec.is_symmetric())
    }

    /// Switches the key on; a key that is on stays on.
    pub fn enable(&mut self, now: Timestamp) -> Result<()> {
        self.switch(KeyState::Enabled, now)
    }

    /// Switches the key off; a key that is off stays off.
    pub fn disable(&mut self, now: Timestamp) -> Result<()> {
        self.switch(KeyState::Disabled, now)
    }

    fn switch(&mut self, to: KeyState, now: Timestamp) -> Result<()> {
        self.check_own()?;
        match self.state_at(now) {
            KeyState::Enabled | KeyState::Disabled => {
                self.state = to;
                Ok(())
            }
            KeyState::PendingDeletion { .. } | KeyState::PendingImport => Err(Error::TransitionNotAllowed),
        }
    }

    /// Whether an alias may be given to the key (contract 4.3, createAlias).
    pub fn check_alias(&self) -> Result<()> {
        self.check_own()?;
        match self.state {
            KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => Ok(()),
            KeyState::PendingDeletion { .. } => Err(Error::TransitionNotAllowed),
        }
    }

    /// Whether an alias may be moved to the key (contract 4.3, updateAlias).
    pub fn check_alias_target(&self) -> Result<()> {
        self.check_own()?;
        self.check_kept()
    }

    /// Describes the key otherwise (contract 4.3, updateKeyDescription).
    pub fn describe(&mut self, description: Description) -> Result<()> {
        self.check_own()?;
        self.check_kept()?;
        self.description = description;
        Ok(())
    }

    /// Gives the key tags; those that it has already get the new values.
    pub fn tag(&mut self, tags: &Tags) -> Result<()> {
        self.check_kept()?;
        self.tags.add(tags)
    }

    /// Takes tags away; those that it does not have are no failure.
    pub fn untag<'a>(&mut self, keys: impl Iterator<Item = &'a TagKey>) -> Result<()> {
        self.check_kept()?;
        keys.for_each(|key| self.tags.remove(key));
        Ok(())
    }

    fn check_kept(&self) -> Result<()> {
        match self.state {
            KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => Ok(()),
            KeyState::PendingDeletion { .. } => Err(Error::KeyPendingDeletion),
        }
    }

    /// One version, whatever may be done with it now; a key without material has none.
    pub fn version(&self, id: VersionId, now: Timestamp) -> Result<&KeyVersion> {
        match self.versions_at(now) {
            [] => Err(Error::KeyPendingImport),
            versions => versions.iter().find(|version| version.id == id).ok_or(Error::KeyVersionNotFound),
        }
    }

    /// The version of this id, or without one that which new ciphertexts are made with, if the key may be used for this work
    /// now.
    pub fn version_for_use(&self, work: Work, id: Option<VersionId>, now: Timestamp) -> Result<&KeyVersion> {
        self.check_use(work, now)?;
        match id {
            Some(id) => self.version(id, now),
            None => self.versions_at(now).last().ok_or(Error::KeyPendingImport),
        }
    }

    /// The state decides first, then what the key is (contract 4.3).
    fn check_use(&self, work: Work, now: Timestamp) -> Result<()> {
        self.check_enabled(now)?;
        let (fits, needed) = match work {
            Work::Authentication if self.is_default() => return Err(Error::DefaultKey),
            Work::Symmetric | Work::Authentication => {
                (self.spec.is_symmetric(), "this call needs a symmetric key")
            }
            Work::Signing => (
                !self.spec.is_symmetric() && self.usage == KeyUsage::SignVerify,
                "this call needs an asymmetric key for SIGN/VERIFY",
            ),
            Work::AsymmetricEncryption => (
                !self.spec.is_symmetric() && self.usage == KeyUsage::EncryptDecrypt,
                "this call needs an asymmetric key for ENCRYPT/DECRYPT",
            ),
            Work::PublicKey => (!self.spec.is_symmetric(), "this call needs an asymmetric key"),
        };
        if fits { Ok(()) } else { Err(Error::Unsupported(needed)) }
    }

    fn check_enabled(&self, now: Timestamp) -> Result<()> {
        match self.state_at(now) {
            KeyState::Enabled => Ok(()),
            KeyState::Disabled => Err(Error::KeyDisabled),
            KeyState::PendingDeletion { .. } => Err(Error::KeyPendingDeletion),
            KeyState::PendingImport => Err(Error::KeyPendingImport),
        }
    }

    /// Whether a version may be added to the key (contract 4.3 and 5.3, createKeyVersion).
    pub fn check_add_version(&self, now: Timestamp) -> Result<()> {
        self.check_own()?;
        self.check_enabled(now)?;
        match (self.origin, self.spec.is_symmetric()) {
            (Origin::External, _) => {
                Err(Error::UnsupportedOrigin("a key with imported material has one version only"))
            }
            (Origin::CtyunKms, true) => Err(Error::Unsupported(
                "a symmetric key gets its versions by rotation; see updateRotationPolicy",
            )),
            (Origin::CtyunKms, false) => Ok(()),
        }
    }

    /// Adds a version to an asymmetric key. The versions that it has stay as they are.
    pub fn add_version(&mut self, version: KeyVersion, now: Timestamp) -> Result<()> {
        self.check_add_version(now)?;
        self.versions.push(version);
        Ok(())
    }

    /// Has the key rotate every `period`, or never. The first version is due one period after `now`, but the policy that the
    /// key has already leaves its date alone, so that repeating a call puts nothing off.
    pub fn set_rotation(&mut self, period: Option<RotationPeriod>, now: Timestamp) -> Result<()> {
        self.check_own()?;
        self.check_enabled(now)?;
        match (self.origin, self.spec.is_symmetric()) {
            (Origin::External, _) => {
                return Err(Error::UnsupportedOrigin("a key with imported material cannot rotate"));
            }
            (Origin::CtyunKms, false) => {
                return Err(Error::Unsupported(
                    "an asymmetric key cannot rotate by itself; see createKeyVersion",
                ));
            }
            (Origin::CtyunKms, true) => {}
        }
        self.rotation = match (period, self.rotation) {
            (None, _) => Rotation::Off,
            (Some(same), Rotation::On { period, next }) if period == same => Rotation::On { period, next },
            (Some(period), Rotation::On { .. } | Rotation::Off) => Rotation::every(period, now),
        };
        Ok(())
    }

    /// Whether a new version is due at `now`.
    pub fn rotation_due(&self, now: Timestamp) -> bool {
        self.next_rotation().is_some_and(|at| at <= now)
    }

    /// The next rotation, while the key is enabled: a disabled key rests and catches up once when it is enabled.
    fn next_rotation(&self) -> Option<Timestamp> {
        match (self.state, self.rotation) {
            (KeyState::Enabled, Rotation::On { next, .. }) => Some(next),
            (KeyState::Enabled, Rotation::Off)
            | (KeyState::Disabled | KeyState::PendingDeletion { .. } | KeyState::PendingImport, _) => None,
        }
    }

    /// Makes `version` the primary one and sets the next date one period after `now`, however late it is: a key
    /// that was due several times while nobody ran rotates once.
    pub fn rotate(&mut self, version: KeyVersion, now: Timestamp) -> Result<()> {
        match self.rotation {
            Rotation::On { period, .. } if self.rotation_due(now) => {
                self.rotation = Rotation::every(period, now);
                self.rotated = Some(now);
                self.versions.push(version);
                Ok(())
            }
            Rotation::On { .. } | Rotation::Off => Err(Error::TransitionNotAllowed),
        }
    }

    /// What the key waits for. What is destroyed waits until the time is certain.
    pub fn due_job(&self, time: &Reading) -> Option<DueJob> {
        let settled = time.settled();
        let by_then = |end: Timestamp| settled.is_some_and(|settled| end <= settled);
        if settled.is_some_and(|settled| self.is_over(settled)) {
            Some(DueJob::Destroy)
        } else if self.import.ends().is_some_and(by_then) {
            Some(DueJob::Expire)
        } else if self.warning(time.steady()).is_some() {
            Some(DueJob::Warn)
        } else {
            self.rotation_due(time.steady()).then_some(DueJob::Rotate)
        }
    }

    /// Everything of the key that the cipher machine wrapped.
    pub fn wrapped_keys(&self) -> impl Iterator<Item = &WrappedKey> {
        let tokens = self.import.tokens.iter().map(|token| &token.wrapping_key);
        self.versions.iter().map(|version| &version.wrapped).chain(tokens)
    }

    /// Puts new wrapped forms in place of those that they were made from. What has another form by now keeps that.
    pub fn rewrap(&mut self, rewrapped: &[(WrappedKey, WrappedKey)]) {
        let tokens = self.import.tokens.iter_mut().map(|token| &mut token.wrapping_key);
        for wrapped in self.versions.iter_mut().map(|version| &mut version.wrapped).chain(tokens) {
            if let Some((_, new)) = rewrapped.iter().find(|(old, _)| old == wrapped) {
                *wrapped = new.clone();
            }
        }
    }
}

impl Record for Key {
    type Id = KeyId;
    const KIND: Kind = Kind::Key;
    const VERSION: u8 = 3;

    fn id(&self) -> KeyId {
        self.id
    }

    fn id_bytes(id: &KeyId) -> Vec<u8> {
        id.as_bytes().to_vec()
    }

    fn listings(&self) -> Vec<Listing> {
        let mut listings = [Self::of_account(self.account), Self::of_owner(self.account, self.owner)]
            .map(|list| Listing::by_creation(list, self.created, self.id.as_bytes()))
            .to_vec();
        for version in self.versions.iter().filter(|_| !self.spec.is_symmetric()) {
            let list = Self::asymmetric_versions_of(self.account);
            listings.push(Listing::by_creation(list, version.created, version.id.as_bytes()));
        }
        listings
    }

    /// The earliest of what the key waits for.
    fn due(&self) -> Option<Timestamp> {
        let window = match self.state {
            KeyState::PendingDeletion { at } => Some(at),
            KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => None,
        };
        let waits = [window, self.next_warning(), self.next_rotation(), self.import.ends()];
        waits.into_iter().flatten().min()
    }

    fn upgrade(version: u8, body: &[u8]) -> Option<Self> {
        match version {
            1 => version_1::read(body),
            2 => version_2::read(body),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
