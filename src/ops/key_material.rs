//! The end of key material from outside (contract 5.4): its deletion, and the operation that cron submits when it is over.

use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CLOCK_IN_DOUBT, Operation, erasure};
use crate::api::{Call, Target};
use crate::app::App;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{EventId, KeyId, PartitionId};
use crate::model::alias::KeyRef;
use crate::model::erasure::Erasure;
use crate::model::event::{Event, Occurrence};
use crate::model::key::Key;
use crate::store::Changes;

/// Destroys the key material that was imported. The key, its metadata and its binding to this material stay; nothing that was
/// encrypted opens until the same material is imported again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeleteKeyMaterial {
    /// The key whose origin is External: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
}

/// A key without material.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.4, deleteKeyMaterial")]
pub struct DeletedMaterial {
    pub cmk_uuid: KeyId,
    #[schemars(extend("enum" = ["PendingImport", "PendingDeletion"]))]
    pub key_state: String,
}

impl Operation for DeleteKeyMaterial {
    type Output = DeletedMaterial;
    const REFUSALS: &'static [Error] = &[Error::DefaultKey, Error::UnsupportedOrigin("")];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<DeletedMaterial> {
        let key = take_away(call, app, |key, _| key.delete_material()).await?;
        Ok(DeletedMaterial { cmk_uuid: key.id, key_state: key.state_at(call.horizon()).wire_name().into() })
    }
}

/// Takes away what is over: material past its expiry, and what the key remembers of old tokens. A key that has nothing of
/// the kind any more refuses, and nothing changes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpireKeyMaterial {
    /// The key.
    pub cmk_uuid: KeyRef,
}

/// The key afterwards.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.4, deleteKeyMaterial")]
pub struct ExpiredMaterial {
    pub cmk_uuid: KeyId,
    pub key_state: String,
}

impl Operation for ExpireKeyMaterial {
    type Output = ExpiredMaterial;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<ExpiredMaterial> {
        let settled = call.settled().ok_or(CLOCK_IN_DOUBT)?;
        let (id, now) = (EventId::from_random(app.random()?), call.now);
        let expire = move |key: &mut Key, beside: &mut Changes| {
            let over = key.import.expires.is_some_and(|at| at <= settled);
            match (key.expire(settled)?, over) {
                (true, true) => beside.event(&Event::about(key, id, now, Occurrence::MaterialExpired)),
                (true, false) => Ok(()),
                (false, _) => Err(Error::TransitionNotAllowed),
            }
        };
        let key = take_away(call, app, expire).await?;
        Ok(ExpiredMaterial { cmk_uuid: key.id, key_state: key.state_at(call.horizon()).wire_name().into() })
    }
}

/// Commits the end of some wrapped keys, with the erasure that is owed for them, then wipes them.
async fn take_away(
    call: &Call,
    app: &App,
    edit: impl FnOnce(&mut Key, &mut Changes) -> Result<()> + Send + 'static,
) -> Result<Arc<Key>> {
    let id = call.key()?;
    let before = app.keys.get(&id)?.ok_or(Error::KeyNotFound)?;
    let (since, delay) = (call.time().steady(), erasure::delay(app));
    let take = move |key: &mut Key, beside: &mut Changes| {
        let had = key.clone();
        edit(key, beside)?;
        match owed(&had, key, since, delay) {
            Some(erasure) => beside.ensure(&erasure),
            None => Ok(()),
        }
    };
    let after = app.keys.change_and(call, &id, take).await?.ok_or(Error::KeyNotFound)?;
    wipe(&before, &after, app);
    Ok(after)
}

/// What is owed for material that was taken away. A token of an import that never came is no material.
fn owed(before: &Key, after: &Key, since: Timestamp, delay: Duration) -> Option<Erasure> {
    let taken = before.versions.iter().filter(|_| after.versions.is_empty());
    let newest = taken.map(|version| version.wrapped.header()).max_by_key(|header| header.generation)?;
    Some(Erasure::of(before, PartitionId::from_bytes(newest.partition.0), newest.generation, since, delay))
}

/// Wipes what the cipher machine holds ready of wrapped keys that are the key's no more.
pub(super) fn wipe(before: &Key, after: &Key, app: &App) {
    let gone = before.wrapped_keys().filter(|old| after.wrapped_keys().all(|kept| kept != *old));
    gone.for_each(|wrapped| app.machine.device().forget(wrapped));
}
