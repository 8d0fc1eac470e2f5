//! Message digests and message authentication codes with SM3 (contract 5.5).

use firmware_sim::{DigestSm3, HmacSm3, PartitionId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use crate::api::{Base64Bytes, Call, InputText, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{KeyId, VersionId};
use crate::model::alias::KeyRef;
use crate::model::key::Work;

/// HMAC-SM3 of a text under a key derived from a symmetric key version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HmacCompute {
    /// The symmetric key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// Raw text; its UTF-8 bytes count.
    pub input: InputText,
    /// The version to compute with; the primary one by default.
    pub key_version_id: Option<VersionId>,
}

/// The MAC and what it was made with.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.5, hmaccompute")]
pub struct Hmac {
    /// Lower-case hexadecimal.
    pub hmacoutput: String,
    pub cmk_uuid: KeyId,
    pub key_version_id: VersionId,
}

impl Operation for HmacCompute {
    type Output = Hmac;
    const REFUSALS: &'static [Error] = &[
        Error::DefaultKey,
        Error::KeyVersionNotFound,
        Error::KeyDisabled,
        Error::KeyPendingDeletion,
        Error::KeyPendingImport,
        Error::ServiceFrozen,
        Error::Unsupported(""),
    ];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<Hmac> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let version = app.use_key(call, &key, Work::Authentication, self.key_version_id)?;
        let command = HmacSm3 { key: version.wrapped.clone(), message: self.input.into_bytes() };
        let mac = app.run_for(&key, command).await?;
        Ok(Hmac { hmacoutput: hex::encode(mac), cmk_uuid: key.id, key_version_id: version.id })
    }
}

/// SM3 of a text.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageDigest {
    /// Raw text; its UTF-8 bytes count.
    pub input: InputText,
}

/// The digest.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Digest {
    /// Base64 of 32 bytes.
    pub output: Base64Bytes,
}

impl Operation for MessageDigest {
    type Output = Digest;

    async fn run(self, _: &Call, app: &App) -> Result<Digest> {
        let command = DigestSm3 { message: self.input.into_bytes() };
        let digest = app.machine.run(PartitionId::DEVICE, command).await?;
        Ok(Digest { output: Base64Bytes(digest.to_vec()) })
    }
}
