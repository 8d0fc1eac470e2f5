//! Rotation of symmetric keys (contract 5.3): the operation that cron submits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use super::key::{generate, limit_versions};
use crate::api::{Call, Moment, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{KeyId, VersionId};
use crate::model::alias::KeyRef;
use crate::model::key::Key;
use crate::store::Changes;

/// Adds a version to an asymmetric key. The versions that it has stay usable; each call names the one it means.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateKeyVersion {
    /// The asymmetric key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
}

/// A new version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.3, createKeyVersion")]
pub struct CreatedVersion {
    pub cmk_uuid: KeyId,
    pub key_version_id: VersionId,
    pub creation_date: Moment,
}

impl Operation for CreateKeyVersion {
    type Output = CreatedVersion;
    const REFUSALS: &'static [Error] = &[
        Error::KeyDisabled,
        Error::KeyPendingDeletion,
        Error::KeyPendingImport,
        Error::LimitExceeded("", 0),
        Error::ServiceFrozen,
        Error::Unsupported(""),
        Error::UnsupportedOrigin(""),
    ];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<CreatedVersion> {
        let (id, now) = (call.key()?, call.now);
        let key = app.keys.get(&id)?.ok_or(Error::KeyNotFound)?;
        key.check_add_version(now)?;
        let (version, _held) = generate(id, key.spec, key.usage, key.level, key.instance, call, app).await?;
        let output = CreatedVersion { cmk_uuid: id, key_version_id: version.id, creation_date: Moment(now) };
        let mut beside = Changes::default();
        limit_versions(&mut beside, &key, app);
        call.remember(&mut beside, &output)?;
        let add = move |key: &mut Key| key.add_version(version, now);
        app.keys.change_with(call, &id, beside, add).await?.ok_or(Error::KeyNotFound)?;
        Ok(output)
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
        let (id, now) = (call.key()?, call.now);
        let key = app.keys.get(&id)?.ok_or(Error::KeyNotFound)?;
        if !key.rotation_due(now) {
            return Err(Error::TransitionNotAllowed);
        }
        let (version, _held) = generate(id, key.spec, key.usage, key.level, key.instance, call, app).await?;
        let key_version_id = version.id;
        let rotate = move |key: &mut Key| key.rotate(version, now);
        app.keys.change(call, &id, rotate).await?.ok_or(Error::KeyNotFound)?;
        Ok(RotatedKey { cmk_uuid: id, key_version_id })
    }
}
