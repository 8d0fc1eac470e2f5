//! The end of a key (contract 4.3, 5.1): protection from it, the window before it and the way back, and the operation that
//! cron submits when the window is over. Destruction is real: see `erasure.rs`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CLOCK_IN_DOUBT, Operation, erasure};
use crate::api::{Call, Moment, Target};
use crate::app::App;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{EventId, KeyId, PartitionId};
use crate::model::alias::{Alias, KeyRef};
use crate::model::erasure::Erasure;
use crate::model::event::{Event, Occurrence};
use crate::model::key::{DeletionDays, Key, KeyState};
use crate::model::text::Description;
use crate::model::tombstone::{ALIASES_KEPT, Tombstone};
use crate::store::Changes;

/// Has a key destroyed after a window of 7 to 30 days. Until then it is of no use, and cancelKeyDeletion brings it back;
/// afterwards nothing does, and what it encrypted is lost for good.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleKeyDeletion {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// The window, in days of 24 hours.
    pub pending_window_in_days: DeletionDays,
}

/// A key that will be destroyed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.1, scheduleKeyDeletion")]
pub struct ScheduledKey {
    pub cmk_uuid: KeyId,
    #[schemars(extend("enum" = ["PendingDeletion"]))]
    pub key_state: String,
    #[schemars(with = "Moment")]
    pub delete_date: String,
}

impl Operation for ScheduleKeyDeletion {
    type Output = ScheduledKey;
    const REFUSALS: &'static [Error] =
        &[Error::DefaultKey, Error::DeletionProtected, Error::TransitionNotAllowed];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<ScheduledKey> {
        // By a clock in doubt the window could be too short, or years too long.
        call.settled().ok_or(CLOCK_IN_DOUBT)?;
        let (begin, window) = (call.horizon(), self.pending_window_in_days);
        let schedule = move |key: &mut Key| key.schedule_deletion(window, begin);
        let key = app.keys.change(call, &call.key()?, schedule).await?.ok_or(Error::KeyNotFound)?;
        let at = end_of(&key).ok_or_else(|| Error::internal("a scheduled key has no date"))?;
        let key_state = key.state.wire_name().into();
        Ok(ScheduledKey { cmk_uuid: key.id, key_state, delete_date: at.to_string() })
    }
}

/// Keeps a key after all. It is enabled again; one without material waits for it. Once the window is over there is no way
/// back.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelKeyDeletion {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
}

/// A key that is kept.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.1, cancelKeyDeletion")]
pub struct KeptKey {
    pub cmk_uuid: KeyId,
    #[schemars(extend("enum" = ["Enabled", "PendingImport"]))]
    pub key_state: String,
}

impl Operation for CancelKeyDeletion {
    type Output = KeptKey;
    const REFUSALS: &'static [Error] = &[Error::DefaultKey, Error::TransitionNotAllowed];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<KeptKey> {
        let horizon = call.horizon();
        let cancel = move |key: &mut Key| key.cancel_deletion(horizon);
        let key = app.keys.change(call, &call.key()?, cancel).await?.ok_or(Error::KeyNotFound)?;
        Ok(KeptKey { cmk_uuid: key.id, key_state: key.state_at(horizon).wire_name().into() })
    }
}

/// Whether a key is protected from deletion.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.1, deleteProtect")]
pub struct ProtectedKey {
    pub cmk_uuid: KeyId,
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub deletion_protection: String,
}

impl ProtectedKey {
    fn of(key: &Key) -> Self {
        let on = key.protection.is_some();
        Self { cmk_uuid: key.id, deletion_protection: if on { "Enabled" } else { "Disabled" }.into() }
    }
}

/// Protects a key: scheduleKeyDeletion is refused until cancelDeleteProtect takes the protection away. Protecting it again
/// changes the reason.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeleteProtect {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// Why it is protected, 0 to 255 characters.
    #[serde(default)]
    pub deletion_protection_description: Description,
}

impl Operation for DeleteProtect {
    type Output = ProtectedKey;
    const REFUSALS: &'static [Error] = &[Error::DefaultKey, Error::KeyPendingDeletion];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<ProtectedKey> {
        let protect = move |key: &mut Key| key.protect(self.deletion_protection_description);
        let key = app.keys.change(call, &call.key()?, protect).await?.ok_or(Error::KeyNotFound)?;
        Ok(ProtectedKey::of(&key))
    }
}

/// Takes the protection from deletion away.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CancelDeleteProtect {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
}

impl Operation for CancelDeleteProtect {
    type Output = ProtectedKey;
    const REFUSALS: &'static [Error] = &[Error::DefaultKey, Error::KeyPendingDeletion];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<ProtectedKey> {
        let key = app.keys.change(call, &call.key()?, Key::unprotect).await?.ok_or(Error::KeyNotFound)?;
        Ok(ProtectedKey::of(&key))
    }
}

/// Destroys a key whose window is over: the key, its names and its figures go, and a tombstone stays. A key whose window is
/// not over refuses, and nothing changes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestroyKey {
    /// The key.
    pub cmk_uuid: KeyRef,
}

/// A key that is no more.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestroyedKey {
    /// What it was known by.
    pub cmk_uuid: KeyId,
}

impl Operation for DestroyKey {
    type Output = DestroyedKey;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<DestroyedKey> {
        let settled = call.settled().ok_or(CLOCK_IN_DOUBT)?;
        let (id, event) = (call.key()?, EventId::from_random(app.random()?));
        let beside = |key: &Key| match end_of(key) {
            Some(at) if key.is_over(settled) => what_goes(key, at, event, call, app),
            Some(_) | None => Err(Error::TransitionNotAllowed),
        };
        let key = app.keys.retire_with(call, &id, beside).await?.ok_or(Error::KeyNotFound)?;
        key.wrapped_keys().for_each(|wrapped| app.machine.device().forget(wrapped));
        Ok(DestroyedKey { cmk_uuid: id })
    }
}

/// When the window of a key ends.
fn end_of(key: &Key) -> Option<Timestamp> {
    match key.state {
        KeyState::PendingDeletion { at } => Some(at),
        KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => None,
    }
}

/// Everything that goes with a key, and what comes in its place.
fn what_goes(key: &Key, at: Timestamp, event: EventId, call: &Call, app: &App) -> Result<Changes> {
    const RENAMED: Error = Error::Unavailable("a name of the key was just moved; retry");
    let mut changes = Changes::default();
    let partition = app.partition_of(key.account, key.owner)?;
    let mut stone = Tombstone::of(key, at, call.now, PartitionId::from_bytes(partition.0));
    // Nobody gives the key a name meanwhile: that goes through its keeper, which waits.
    let aliases = app.store.page::<Alias>(&Alias::of_key(key.id), 0, usize::MAX)?;
    for alias in &aliases.records {
        changes.remove(alias, RENAMED)?;
    }
    stone.alias_count = aliases.total;
    stone.aliases = aliases.records.into_iter().take(ALIASES_KEPT).map(|alias| alias.name).collect();
    stone.generation = erasure::newest_generation(key, partition, app)?;
    if let Some(generation) = stone.generation {
        let since = call.time().steady();
        let erasure = Erasure::of(key, stone.partition, generation, since, erasure::delay(app));
        changes.ensure(&erasure)?;
    }
    changes.insert(&stone, Error::internal("a key is destroyed once"))?;
    changes.event(&Event::about(key, event, call.now, Occurrence::KeyDestroyed))?;
    changes.forget(key.id);
    Ok(changes)
}
