//! Encrypting and decrypting (contract 5.5, frame of 1.3).

use firmware_sim::{Decrypt as DecryptCommand, Encrypt as EncryptCommand, Frame, PLAINTEXT_BYTES_MAX};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{KEY_IN_USE, Operation};
use crate::api::{Base64Bytes, Call, EncryptionContext, Plaintext, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{KeyId, VersionId};
use crate::model::alias::KeyRef;
use crate::model::association::{Resource, ResourceText};
use crate::model::key::{Key, KeyVersion, Work};

/// Encrypts up to 6,144 bytes with the primary version of a key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Encrypt {
    /// The symmetric key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// 1 to 6,144 bytes as standard Base64 with padding, one line.
    #[schemars(extend("maxLength" = 8192))]
    pub plaintext: Plaintext,
    /// String pairs to bind the ciphertext to, at most 8 KiB; also as a JSON string.
    #[serde(default)]
    pub encryption_context: EncryptionContext,
    /// A cloud product says here what the call is for, such as the id of a disk; others' is ignored.
    #[serde(default)]
    pub resource_id: ResourceText,
    /// What people call that resource.
    #[serde(default)]
    pub resource_name: ResourceText,
}

/// A ciphertext and what it was made with.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.5")]
pub struct Ciphertext {
    pub ciphertext_blob: Base64Bytes,
    pub cmk_uuid: KeyId,
    pub key_version_id: VersionId,
}

impl Operation for Encrypt {
    type Output = Ciphertext;
    const REFUSALS: &'static [Error] = KEY_IN_USE;

    fn targets(&self) -> Result<Vec<Target>> {
        if self.plaintext.len() > PLAINTEXT_BYTES_MAX {
            return Err(Error::invalid("plaintext", "must have 1 to 6144 bytes"));
        }
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<Ciphertext> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let version = app.use_key(call, &key, Work::Symmetric, None)?;
        call.work_for(Resource { id: self.resource_id, name: self.resource_name });
        let command = EncryptCommand {
            key: version.wrapped.clone(),
            account: key.account.text(),
            context: self.encryption_context.0,
            plaintext: self.plaintext.into_bytes(),
        };
        let frame = app.run_for(&key, command).await?;
        Ok(Ciphertext { ciphertext_blob: Base64Bytes(frame), cmk_uuid: key.id, key_version_id: version.id })
    }
}

/// Decrypts a ciphertext or opens a data key; the frame names the key and its version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decrypt {
    /// A ciphertext or encrypted data key, as standard Base64.
    pub ciphertext_blob: Base64Bytes,
    /// The string pairs that it was bound to; also as a JSON string.
    #[serde(default)]
    pub encryption_context: EncryptionContext,
    /// A cloud product says here what the call is for, such as the id of a disk; others' is ignored.
    #[serde(default)]
    pub resource_id: ResourceText,
    /// What people call that resource.
    #[serde(default)]
    pub resource_name: ResourceText,
}

/// A plaintext and what it was made with.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.5")]
pub struct Decrypted {
    pub cmk_uuid: KeyId,
    pub key_version_id: VersionId,
    pub plaintext: Plaintext,
}

impl Operation for Decrypt {
    type Output = Decrypted;
    const REFUSALS: &'static [Error] = KEY_IN_USE;

    fn targets(&self) -> Result<Vec<Target>> {
        let frame = Frame::parse(&self.ciphertext_blob.0)?;
        Ok(vec![Target::Key(KeyRef::Id(KeyId::from_bytes(frame.name().key)))])
    }

    async fn run(self, call: &Call, app: &App) -> Result<Decrypted> {
        let frame = Frame::parse(&self.ciphertext_blob.0)?;
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let version = version_of(&frame, &key, call, app)?;
        call.work_for(Resource { id: self.resource_id, name: self.resource_name });
        let command = DecryptCommand {
            key: version.wrapped.clone(),
            account: key.account.text(),
            context: self.encryption_context.0,
            frame,
        };
        let plaintext = app.run_for(&key, command).await?;
        Ok(Decrypted { cmk_uuid: key.id, key_version_id: version.id, plaintext: plaintext.into() })
    }
}

/// The version that a frame names, if the call may decrypt with the key now.
pub(super) fn version_of<'a>(frame: &Frame, key: &'a Key, call: &Call, app: &App) -> Result<&'a KeyVersion> {
    known(app.use_key(call, key, Work::Symmetric, Some(VersionId::from_bytes(frame.name().version))))
}

/// A frame whose version the key does not know was not made by this key.
pub(super) fn known(version: Result<&KeyVersion>) -> Result<&KeyVersion> {
    version.map_err(|error| match error {
        Error::KeyVersionNotFound => Error::InvalidCiphertext,
        other => other,
    })
}
