//! Rotation of symmetric keys (contract 5.3): the operation that cron submits.

use firmware_sim::{GenerateKey, KeyName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use crate::api::{Call, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{KeyId, VersionId};
use crate::model::alias::KeyRef;
use crate::model::key::KeyVersion;

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
        let (id, now) = (call.key()?, call.now);
        let key = app.keys.get(&id)?.ok_or(Error::KeyNotFound)?;
        if !key.rotation_due(now) {
            return Err(Error::TransitionNotAllowed);
        }
        let version = VersionId::from_random(app.random()?);
        let name = KeyName { key: *id.as_bytes(), version: *version.as_bytes() };
        let command = GenerateKey { name, algorithm: key.spec.algorithm()?, custody: key.level.custody() };
        let wrapping = app.machine.wrapping().await;
        let wrapped = app.make_for(key.instance, command, &wrapping).await?;
        let rotate = move |key: &mut crate::model::key::Key| {
            key.rotate(KeyVersion { id: version, wrapped, created: now }, now)
        };
        app.keys.change(call, &id, rotate).await?.ok_or(Error::KeyNotFound)?;
        Ok(RotatedKey { cmk_uuid: id, key_version_id: version })
    }
}
