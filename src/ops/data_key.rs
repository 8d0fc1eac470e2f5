//! Data keys for envelope encryption (contract 5.5).

use firmware_sim::{
    Decrypt, Frame, GenerateDataKey as WithPlaintext, GenerateDataKeyWithoutPlaintext as WithoutPlaintext,
    MeasureFrame,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::symmetric::{Ciphertext, known};
use super::{KEY_IN_USE, Operation};
use crate::api::{Base64Bytes, Call, EncryptionContext, Plaintext, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{KeyId, VersionId};
use crate::model::algorithm::DataKeySpec;
use crate::model::alias::KeyRef;
use crate::model::association::{Resource, ResourceText};
use crate::model::key::Work;
use crate::model::text::Number;

/// What both operations ask for.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataKeyRequest {
    /// The symmetric key that encrypts it: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// How long it is, by name: 32 bytes for AES_256, else 16.
    #[serde(default)]
    pub key_spec: DataKeySpec,
    /// How long it is, 1 to 1,024 bytes; wins over `keySpec`.
    pub number_of_bytes: Option<Number<1, 1024>>,
    /// String pairs to bind the encrypted data key to, at most 8 KiB; also as a JSON string.
    #[serde(default)]
    pub encryption_context: EncryptionContext,
    /// A cloud product says here what the call is for, such as the id of a disk; others' is ignored.
    #[serde(default)]
    pub resource_id: ResourceText,
    /// What people call that resource.
    #[serde(default)]
    pub resource_name: ResourceText,
}

impl DataKeyRequest {
    fn targets(&self) -> Vec<Target> {
        vec![Target::Key(self.cmk_uuid.clone())]
    }

    fn length(&self) -> usize {
        self.number_of_bytes.map_or(self.key_spec.bytes(), Number::size)
    }
}

/// Makes a data key and returns it both clear and encrypted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct GenerateDataKey(pub DataKeyRequest);

/// A data key, clear and encrypted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.5, generateDataKey")]
pub struct DataKey {
    pub cmk_uuid: KeyId,
    pub key_version_id: VersionId,
    pub plaintext: Plaintext,
    pub ciphertext_blob: Base64Bytes,
}

impl Operation for GenerateDataKey {
    type Output = DataKey;
    const REFUSALS: &'static [Error] = KEY_IN_USE;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(self.0.targets())
    }

    async fn run(self, call: &Call, app: &App) -> Result<DataKey> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let (version, length) = (app.use_key(call, &key, Work::Symmetric, None)?, self.0.length());
        call.work_for(Resource { id: self.0.resource_id, name: self.0.resource_name });
        let command = WithPlaintext {
            key: version.wrapped.clone(),
            account: key.account.text(),
            length,
            context: self.0.encryption_context.0,
        };
        let (plaintext, frame) = app.run_for(&key, command).await?;
        Ok(DataKey {
            cmk_uuid: key.id,
            key_version_id: version.id,
            plaintext: plaintext.into(),
            ciphertext_blob: Base64Bytes(frame),
        })
    }
}

/// Makes a data key and returns it encrypted only.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct GenerateDataKeyWithoutPlaintext(pub DataKeyRequest);

impl Operation for GenerateDataKeyWithoutPlaintext {
    type Output = Ciphertext;
    const REFUSALS: &'static [Error] = KEY_IN_USE;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(self.0.targets())
    }

    async fn run(self, call: &Call, app: &App) -> Result<Ciphertext> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let (version, length) = (app.use_key(call, &key, Work::Symmetric, None)?, self.0.length());
        call.work_for(Resource { id: self.0.resource_id, name: self.0.resource_name });
        let command = WithoutPlaintext {
            key: version.wrapped.clone(),
            account: key.account.text(),
            length,
            context: self.0.encryption_context.0,
        };
        let frame = app.run_for(&key, command).await?;
        Ok(Ciphertext { ciphertext_blob: Base64Bytes(frame), cmk_uuid: key.id, key_version_id: version.id })
    }
}

/// Tells which key made an encrypted data key and how long it is, without decrypting it for anybody. It is checked as a
/// whole, in every state of the key that has material.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetDataKey {
    /// An encrypted data key or any other ciphertext, as standard Base64.
    pub ciphertext_blob: Base64Bytes,
    /// The string pairs that it was bound to; also as a JSON string.
    #[serde(default)]
    pub encryption_context: EncryptionContext,
}

/// What there is to know of a data key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.5, getDataKey")]
pub struct DataKeyDetail {
    pub cmk_uuid: KeyId,
    pub key_version_id: VersionId,
    pub key_state: String,
    pub number_of_bytes: u64,
    pub is_primary_version: bool,
}

impl Operation for GetDataKey {
    type Output = DataKeyDetail;
    const REFUSALS: &'static [Error] = &[Error::DefaultKey, Error::KeyPendingImport];

    fn targets(&self) -> Result<Vec<Target>> {
        let frame = Frame::parse(&self.ciphertext_blob.0)?;
        Ok(vec![Target::Key(KeyRef::Id(KeyId::from_bytes(frame.name().key)))])
    }

    async fn run(self, call: &Call, app: &App) -> Result<DataKeyDetail> {
        let frame = Frame::parse(&self.ciphertext_blob.0)?;
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        app.check_caller(call, &key)?;
        let version = known(key.version(VersionId::from_bytes(frame.name().version), call.horizon()))?;
        let command = Decrypt {
            key: version.wrapped.clone(),
            account: key.account.to_string(),
            context: self.encryption_context.0,
            frame,
        };
        let bytes = app.run_for(&key, MeasureFrame(command)).await?;
        Ok(DataKeyDetail {
            cmk_uuid: key.id,
            key_version_id: version.id,
            key_state: key.state_at(call.horizon()).wire_name().into(),
            number_of_bytes: bytes as u64,
            is_primary_version: key.versions.last().is_some_and(|primary| primary.id == version.id),
        })
    }
}
