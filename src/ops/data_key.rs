//! Data keys for envelope encryption (contract 5.5).

use firmware_sim::{GenerateDataKey as WithPlaintext, GenerateDataKeyWithoutPlaintext as WithoutPlaintext};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::symmetric::Ciphertext;
use super::{KEY_IN_USE, Operation};
use crate::api::{Base64Bytes, Call, EncryptionContext, Plaintext, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{KeyId, VersionId};
use crate::model::algorithm::DataKeySpec;
use crate::model::alias::KeyRef;
use crate::model::text::Number;

/// What both operations ask for.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.5, generateDataKey")]
pub struct DataKeyRequest {
    pub cmk_uuid: KeyRef,
    #[serde(default)]
    pub key_spec: DataKeySpec,
    /// Wins over `keySpec`.
    pub number_of_bytes: Option<Number<1, 1024>>,
    #[serde(default)]
    pub encryption_context: EncryptionContext,
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
        let version = key.primary_for_use()?;
        let command = WithPlaintext {
            key: version.wrapped.clone(),
            account: key.account.to_string(),
            length: self.0.length(),
            context: self.0.encryption_context.0,
        };
        let (plaintext, frame) = app.run_for(key.instance, command).await?;
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
        let version = key.primary_for_use()?;
        let command = WithoutPlaintext {
            key: version.wrapped.clone(),
            account: key.account.to_string(),
            length: self.0.length(),
            context: self.0.encryption_context.0,
        };
        let frame = app.run_for(key.instance, command).await?;
        Ok(Ciphertext { ciphertext_blob: Base64Bytes(frame), cmk_uuid: key.id, key_version_id: version.id })
    }
}
