//! Encrypting a ciphertext anew under another key or the newest version of its own; the plaintext stays inside the
//! cipher machine (contract 5.5).

use firmware_sim::{Frame, ReEncrypt as Command};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::symmetric::{Ciphertext, version_of};
use super::{KEY_IN_USE, Operation};
use crate::api::{Base64Bytes, Call, EncryptionContext, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{KeyId, VersionId};
use crate::model::algorithm::EncryptionAlgorithm;
use crate::model::alias::KeyRef;

/// Encrypts a ciphertext anew under another key, or under the newest version of its own key, without showing the plaintext.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReEncrypt {
    /// The ciphertext as standard Base64; one of a symmetric key names its key itself.
    pub ciphertext_blob: Base64Bytes,
    /// The symmetric key to encrypt with: its UUID in lower case, or one of its aliases.
    #[serde(alias = "destinationUuid")]
    #[schemars(extend("x-also-named" = ["destinationUuid"]))]
    pub destination_cmk_uuid: KeyRef,
    /// The context that the ciphertext was made with.
    #[serde(default)]
    pub source_encryption_context: EncryptionContext,
    /// The context that the new ciphertext is bound to.
    #[serde(default)]
    pub destination_encryption_context: EncryptionContext,
    /// The key that made an asymmetric ciphertext.
    #[serde(alias = "sourceUuid")]
    #[schemars(extend("x-also-named" = ["sourceUuid"]))]
    pub source_cmk_uuid: Option<KeyRef>,
    /// The key version that made an asymmetric ciphertext.
    #[serde(alias = "sourceKeyVersion")]
    #[schemars(extend("x-also-named" = ["sourceKeyVersion"]))]
    pub source_key_version_id: Option<VersionId>,
    /// How an asymmetric ciphertext was made.
    pub source_encryption_algorithm: Option<EncryptionAlgorithm>,
}

impl ReEncrypt {
    /// The ciphertext as a frame. What cannot be one is taken for the ciphertext of an asymmetric key, which does not name
    /// its key.
    fn frame(&self) -> Result<Frame> {
        let bytes = &self.ciphertext_blob.0;
        if Frame::resembles(bytes) {
            return Ok(Frame::parse(bytes)?);
        }
        let missing = |field: &'static str| Err(Error::MissingField(field.into()));
        match (&self.source_cmk_uuid, self.source_key_version_id, self.source_encryption_algorithm) {
            (None, _, _) => missing("sourceCmkUuid"),
            (Some(_), None, _) => missing("sourceKeyVersionId"),
            (Some(_), Some(_), None) => missing("sourceEncryptionAlgorithm"),
            (Some(_), Some(_), Some(_)) => {
                Err(Error::Unsupported("this version re-encrypts ciphertexts of symmetric keys only"))
            }
        }
    }
}

impl Operation for ReEncrypt {
    type Output = Ciphertext;
    const REFUSALS: &'static [Error] = KEY_IN_USE;

    fn targets(&self) -> Result<Vec<Target>> {
        let source = KeyRef::Id(KeyId::from_bytes(self.frame()?.name().key));
        Ok(vec![Target::Key(source), Target::Key(self.destination_cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<Ciphertext> {
        let frame = self.frame()?;
        let [source, destination] = call.keys().try_into().map_err(|_| Error::KeyNotFound)?;
        let source = app.keys.get(&source)?.ok_or(Error::KeyNotFound)?;
        let destination = app.keys.get(&destination)?.ok_or(Error::KeyNotFound)?;
        let version = destination.primary_for_use()?;
        let opened = version_of(&frame, &source)?;
        call.use_version(source.id, opened.id);
        call.use_version(destination.id, version.id);
        let command = Command {
            source: opened.wrapped.clone(),
            source_context: self.source_encryption_context.0,
            frame,
            destination: version.wrapped.clone(),
            destination_context: self.destination_encryption_context.0,
            account: destination.account.to_string(),
        };
        let frame = app.re_encrypt(source.instance, destination.instance, command)?;
        let (cmk_uuid, key_version_id) = (destination.id, version.id);
        Ok(Ciphertext { ciphertext_blob: Base64Bytes(frame), cmk_uuid, key_version_id })
    }
}
