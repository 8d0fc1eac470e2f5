//! Encrypting a ciphertext anew under another key or the newest version of its own; the plaintext stays inside the
//! cipher machine (contract 5.5).

use firmware_sim::{AsymmetricDecrypt, Frame, ReEncrypt as Command, Source};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use super::symmetric::{Ciphertext, version_of};
use crate::api::{Base64Bytes, Call, EncryptionContext, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{KeyId, VersionId};
use crate::model::algorithm::EncryptionAlgorithm;
use crate::model::alias::KeyRef;
use crate::model::key::Work;

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

/// What the ciphertext is.
enum Given {
    Frame(Frame),
    Asymmetric(KeyRef, VersionId, EncryptionAlgorithm),
}

impl ReEncrypt {
    /// What cannot be a frame is taken for the ciphertext of an asymmetric key, which does not name its key.
    fn given(&self) -> Result<Given> {
        let bytes = &self.ciphertext_blob.0;
        if Frame::resembles(bytes) {
            return Ok(Given::Frame(Frame::parse(bytes)?));
        }
        let missing = |field: &'static str| Err(Error::MissingField(field.into()));
        match (&self.source_cmk_uuid, self.source_key_version_id, self.source_encryption_algorithm) {
            (None, _, _) => missing("sourceCmkUuid"),
            (Some(_), None, _) => missing("sourceKeyVersionId"),
            (Some(_), Some(_), None) => missing("sourceEncryptionAlgorithm"),
            (Some(key), Some(version), Some(algorithm)) => {
                Ok(Given::Asymmetric(key.clone(), version, algorithm))
            }
        }
    }
}

impl Operation for ReEncrypt {
    type Output = Ciphertext;
    const REFUSALS: &'static [Error] = &[
        Error::DefaultKey,
        Error::KeyDisabled,
        Error::KeyPendingDeletion,
        Error::KeyPendingImport,
        Error::KeyVersionNotFound,
        Error::ServiceFrozen,
        Error::Unsupported(""),
    ];

    fn targets(&self) -> Result<Vec<Target>> {
        let source = match self.given()? {
            Given::Frame(frame) => KeyRef::Id(KeyId::from_bytes(frame.name().key)),
            Given::Asymmetric(key, _, _) => key,
        };
        Ok(vec![Target::Key(source), Target::Key(self.destination_cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<Ciphertext> {
        let given = self.given()?;
        let [source, destination] = call.keys().try_into().map_err(|_| Error::KeyNotFound)?;
        let key = app.keys.get(&source)?.ok_or(Error::KeyNotFound)?;
        let destination = app.keys.get(&destination)?.ok_or(Error::KeyNotFound)?;
        let version = app.use_key(call, &destination, Work::Symmetric, None)?;
        let source = match given {
            Given::Frame(frame) => {
                let opened = version_of(&frame, &key, call, app)?;
                let (key, context) = (opened.wrapped.clone(), self.source_encryption_context.0);
                Source::Frame { key, context, frame }
            }
            Given::Asymmetric(_, id, algorithm) => {
                let opened = app.use_key(call, &key, Work::AsymmetricEncryption, Some(id))?;
                algorithm.check(key.spec)?;
                let command = AsymmetricDecrypt {
                    key: opened.wrapped.clone(),
                    scheme: algorithm.scheme(),
                    ciphertext: self.ciphertext_blob.0,
                };
                Source::Asymmetric(command)
            }
        };
        let command = Command {
            source,
            destination: version.wrapped.clone(),
            context: self.destination_encryption_context.0,
            account: destination.account.to_string(),
        };
        let frame = app.re_encrypt(&key, &destination, command).await?;
        let (cmk_uuid, key_version_id) = (destination.id, version.id);
        Ok(Ciphertext { ciphertext_blob: Base64Bytes(frame), cmk_uuid, key_version_id })
    }
}
