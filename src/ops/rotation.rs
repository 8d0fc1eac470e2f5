//! Rotation of symmetric keys (contract 5.3): its policy, and the operation that cron submits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use super::key::generate;
use super::key_metadata::RotationPolicy;
use crate::api::{Call, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{EventId, KeyId, VersionId};
use crate::model::alias::KeyRef;
use crate::model::event::{Event, Occurrence};
use crate::model::key::Key;
use crate::model::rotation::RotationPeriod;
use crate::store::Changes;

/// Decides whether a symmetric key gets a new primary version every so often. Versions that it has stay for decryption. The
/// first one is due one period from now; repeating the policy that the key has moves no date.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateRotationPolicy {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// Whether it gets a new primary version every `rotationInterval`, which must then be there.
    #[schemars(extend("examples" = [false]))]
    pub enable_automatic_rotation: bool,
    /// How often it rotates, 7 to 730 days: whole days, or a number and `d`, `h`, `m` or `s`. Needed to switch rotation on.
    pub rotation_interval: Option<RotationPeriod>,
}

/// A key's policy.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRotation {
    /// The key.
    pub cmk_uuid: KeyId,
    /// Its policy.
    #[serde(flatten)]
    pub policy: RotationPolicy,
}

impl Operation for UpdateRotationPolicy {
    type Output = KeyRotation;
    const REFUSALS: &'static [Error] = &[
        Error::DefaultKey,
        Error::KeyDisabled,
        Error::KeyPendingDeletion,
        Error::KeyPendingImport,
        Error::UnsupportedOrigin(""),
        Error::Unsupported(""),
    ];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<KeyRotation> {
        let period = match (self.enable_automatic_rotation, self.rotation_interval) {
            (false, _) => None,
            (true, None) => return Err(Error::MissingField("rotationInterval".into())),
            (true, Some(period)) => Some(period),
        };
        let now = call.time().steady();
        let edit = move |key: &mut Key| key.set_rotation(period, now);
        let key = app.keys.change(call, &call.key()?, edit).await?.ok_or(Error::KeyNotFound)?;
        Ok(KeyRotation { cmk_uuid: key.id, policy: RotationPolicy::of(&key) })
    }
}

/// Gives a key the version that is due. A key that is not due any more refuses, and nothing changes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotateDueKey {
    /// The key.
    pub cmk_uuid: KeyRef,
}

/// The new version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.3, createKeyVersion")]
pub struct RotatedKey {
    pub cmk_uuid: KeyId,
    pub key_version_id: VersionId,
}

impl Operation for RotateDueKey {
    type Output = RotatedKey;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<RotatedKey> {
        let (id, now) = (call.key()?, call.time().steady());
        let key = app.keys.get(&id)?.ok_or(Error::KeyNotFound)?;
        if !key.rotation_due(now) {
            return Err(Error::TransitionNotAllowed);
        }
        let (version, _held) = generate(&key, call, app).await?;
        let key_version_id = version.id;
        let rotate = move |key: &mut Key| key.rotate(version, now);
        let rotated = Occurrence::KeyRotated { version: key_version_id };
        let mut changes = Changes::default();
        changes.event(&Event::about(&key, EventId::from_random(app.random()?), call.now, rotated))?;
        app.keys.change_with(call, &id, changes, rotate).await?.ok_or(Error::KeyNotFound)?;
        Ok(RotatedKey { cmk_uuid: id, key_version_id })
    }
}
