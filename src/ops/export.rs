//! Handing data keys over to the owner of a public key (contract 5.5): they leave the cipher machine encrypted for that owner.

use firmware_sim::{
    Decrypt, ExportDataKey as ExportCommand, Frame, GenerateAndExportDataKey as GenerateCommand, RecipientKey,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::symmetric::version_of;
use super::{KEY_IN_USE, Operation};
use crate::api::{Base64Bytes, Call, EncryptionContext, PublicKeyBlob, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{KeyId, VersionId};
use crate::model::algorithm::{DataKeySpec, EncryptionAlgorithm, RecipientSpec};
use crate::model::alias::KeyRef;
use crate::model::key::Work;
use crate::model::text::Number;

/// Decrypts a data key and encrypts it for the owner of a public key. Nobody else sees it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportDataKey {
    /// An encrypted data key or any other ciphertext, as standard Base64.
    pub ciphertext_blob: Base64Bytes,
    /// The recipient's public key: SubjectPublicKeyInfo in DER as standard Base64; PEM is read too, as it is or as Base64.
    pub public_key_blob: PublicKeyBlob,
    /// What kind of public key it is.
    pub wrapping_key_spec: RecipientSpec,
    /// How to encrypt for the recipient: up to 190 bytes with RSAES_OAEP_SHA_256, 214 with RSAES_OAEP_SHA_1, 6,047 with SM2PKE.
    #[schemars(extend("examples" = ["SM2PKE"]))]
    pub wrapping_algorithm: EncryptionAlgorithm,
    /// The string pairs that the data key was bound to; also as a JSON string.
    #[serde(default)]
    pub encryption_context: EncryptionContext,
}

/// A data key as its recipient gets it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedDataKey {
    /// The data key, encrypted for the recipient; with SM2PKE as DER.
    pub exported_data_key: Base64Bytes,
    /// The key that it was encrypted with before.
    pub cmk_uuid: KeyId,
    /// The version of that key.
    pub key_version_id: VersionId,
}

impl Operation for ExportDataKey {
    type Output = ExportedDataKey;
    const REFUSALS: &'static [Error] = KEY_IN_USE;

    fn targets(&self) -> Result<Vec<Target>> {
        recipient(&self.public_key_blob, self.wrapping_key_spec, self.wrapping_algorithm)?;
        let frame = Frame::parse(&self.ciphertext_blob.0)?;
        Ok(vec![Target::Key(KeyRef::Id(KeyId::from_bytes(frame.name().key)))])
    }

    async fn run(self, call: &Call, app: &App) -> Result<ExportedDataKey> {
        let frame = Frame::parse(&self.ciphertext_blob.0)?;
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let version = version_of(&frame, &key, call, app)?;
        let opened = Decrypt {
            key: version.wrapped.clone(),
            account: key.account.text(),
            context: self.encryption_context.0,
            frame,
        };
        let recipient = recipient(&self.public_key_blob, self.wrapping_key_spec, self.wrapping_algorithm)?;
        let command = ExportCommand { opened, recipient, scheme: self.wrapping_algorithm.scheme() };
        let exported = app.run_for(&key, command).await?;
        let (cmk_uuid, key_version_id) = (key.id, version.id);
        Ok(ExportedDataKey { exported_data_key: Base64Bytes(exported), cmk_uuid, key_version_id })
    }
}

/// Makes a data key and returns it encrypted by a key and encrypted for the owner of a public key, but never clear.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenerateAndExportDataKey {
    /// The symmetric key that encrypts it: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// The recipient's public key: SubjectPublicKeyInfo in DER as standard Base64; PEM is read too, as it is or as Base64.
    pub public_key_blob: PublicKeyBlob,
    /// What kind of public key it is.
    pub wrapping_key_spec: RecipientSpec,
    /// How to encrypt for the recipient: up to 190 bytes with RSAES_OAEP_SHA_256, 214 with RSAES_OAEP_SHA_1, more with SM2PKE.
    #[schemars(extend("examples" = ["SM2PKE"]))]
    pub wrapping_algorithm: EncryptionAlgorithm,
    /// How long it is, by name: 32 bytes for AES_256, else 16.
    #[serde(default)]
    pub key_spec: DataKeySpec,
    /// How long it is, 1 to 1,024 bytes and within what `wrappingAlgorithm` takes; wins over `keySpec`.
    pub number_of_bytes: Option<Number<1, 1024>>,
    /// String pairs to bind the encrypted data key to, at most 8 KiB; also as a JSON string.
    #[serde(default)]
    pub encryption_context: EncryptionContext,
}

/// A data key, encrypted for its owner and for its recipient.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GeneratedAndExportedDataKey {
    /// The data key, encrypted by the key; decrypt and exportDataKey open it.
    pub ciphertext_blob: Base64Bytes,
    /// The data key, encrypted for the recipient; with SM2PKE as DER.
    pub exported_data_key: Base64Bytes,
    /// The key.
    pub cmk_uuid: KeyId,
    /// The version of the key.
    pub key_version_id: VersionId,
}

impl GenerateAndExportDataKey {
    fn length(&self) -> Result<usize> {
        let length = self.number_of_bytes.map_or(self.key_spec.bytes(), Number::size);
        if self.wrapping_algorithm.takes(length) {
            return Ok(length);
        }
        let why = match self.wrapping_algorithm {
            EncryptionAlgorithm::OaepSha256 => "must be 1 to 190 with RSAES_OAEP_SHA_256",
            EncryptionAlgorithm::OaepSha1 => "must be 1 to 214 with RSAES_OAEP_SHA_1",
            EncryptionAlgorithm::Sm2 => "must be 1 to 1024",
        };
        Err(Error::invalid("numberOfBytes", why))
    }
}

impl Operation for GenerateAndExportDataKey {
    type Output = GeneratedAndExportedDataKey;
    const REFUSALS: &'static [Error] = KEY_IN_USE;

    fn targets(&self) -> Result<Vec<Target>> {
        recipient(&self.public_key_blob, self.wrapping_key_spec, self.wrapping_algorithm)?;
        self.length()?;
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<GeneratedAndExportedDataKey> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let version = app.use_key(call, &key, Work::Symmetric, None)?;
        let command = GenerateCommand {
            key: version.wrapped.clone(),
            account: key.account.text(),
            length: self.length()?,
            recipient: recipient(&self.public_key_blob, self.wrapping_key_spec, self.wrapping_algorithm)?,
            scheme: self.wrapping_algorithm.scheme(),
            context: self.encryption_context.0,
        };
        let (frame, exported) = app.run_for(&key, command).await?;
        Ok(GeneratedAndExportedDataKey {
            ciphertext_blob: Base64Bytes(frame),
            exported_data_key: Base64Bytes(exported),
            cmk_uuid: key.id,
            key_version_id: version.id,
        })
    }
}

/// The public key of a request, if it is one of the kind that the request names and the algorithm works with.
fn recipient(
    blob: &PublicKeyBlob,
    spec: RecipientSpec,
    algorithm: EncryptionAlgorithm,
) -> Result<RecipientKey> {
    if algorithm.scheme().algorithm() != spec.algorithm() {
        return Err(Error::Unsupported(
            "wrappingAlgorithm does not fit wrappingKeySpec: RSA_2048 takes RSAES_OAEP_…, Ctyun_SM2 takes SM2PKE",
        ));
    }
    let key = RecipientKey::parse(&blob.0)?;
    if key.algorithm() == spec.algorithm() {
        Ok(key)
    } else {
        Err(Error::invalid("publicKeyBlob", "is not a public key of wrappingKeySpec"))
    }
}
