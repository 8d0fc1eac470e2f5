//! Signing, verifying, encrypting and decrypting with key pairs (contract 5.6). Digests and ciphertexts are bare: no frame
//! names the key, so each call does, with its version.

use firmware_sim::{
    AsymmetricDecrypt as DecryptCommand, AsymmetricEncrypt as EncryptCommand, AsymmetricSign as SignCommand,
    AsymmetricVerify as VerifyCommand, GetPublicKey as PublicKeyCommand,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::symmetric::{Ciphertext, Decrypted};
use super::{Operation, VERSION_IN_USE};
use crate::api::{Base64Bytes, Call, Digest, Plaintext, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{KeyId, VersionId};
use crate::model::algorithm::{EncryptionAlgorithm, SignatureAlgorithm};
use crate::model::alias::KeyRef;
use crate::model::key::Work;
use crate::model::pem;

/// Signs a digest.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsymmetricSign {
    /// The asymmetric key for SIGN/VERIFY: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// Which of its versions.
    pub key_version_id: VersionId,
    /// How: one of the RSA algorithms, or SM2DSA.
    pub algorithm: SignatureAlgorithm,
    /// 32 bytes as standard Base64: SHA-256 of the message, or for SM2DSA SM3(Z ‖ message).
    pub digest: Digest,
}

/// A signature.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.6, asymmetricSign")]
pub struct Signature {
    pub cmk_uuid: KeyId,
    pub key_version_id: VersionId,
    pub value: Base64Bytes,
}

impl Operation for AsymmetricSign {
    type Output = Signature;
    const REFUSALS: &'static [Error] = VERSION_IN_USE;
    const KNOWN_AS: &'static [(&'static str, &'static str)] = &[("algorithm", "signAlgorithm")];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<Signature> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let version = app.use_key(call, &key, Work::Signing, Some(self.key_version_id))?;
        self.algorithm.check(key.spec)?;
        let command = SignCommand {
            key: version.wrapped.clone(),
            scheme: self.algorithm.scheme(),
            digest: self.digest.0,
        };
        let signature = app.run_for(&key, command).await?;
        Ok(Signature { cmk_uuid: key.id, key_version_id: version.id, value: Base64Bytes(signature) })
    }
}

/// Tells whether a signature is genuine. A wrong one is a result, not a failure.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsymmetricVerify {
    /// The asymmetric key for SIGN/VERIFY: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// The version that is said to have signed.
    pub key_version_id: VersionId,
    /// How it is said to be made: one of the RSA algorithms, or SM2DSA.
    pub algorithm: SignatureAlgorithm,
    /// What is said to be signed: 32 bytes as standard Base64.
    pub digest: Digest,
    /// The signature as standard Base64; of SM2DSA as DER or as r ‖ s.
    pub value: Base64Bytes,
}

/// Whether a signature is genuine.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.6, asymmetricVerify")]
pub struct Verdict {
    pub cmk_uuid: KeyId,
    pub key_version_id: VersionId,
    pub value: bool,
}

impl Operation for AsymmetricVerify {
    type Output = Verdict;
    const REFUSALS: &'static [Error] = VERSION_IN_USE;
    const KNOWN_AS: &'static [(&'static str, &'static str)] =
        &[("algorithm", "signAlgorithm"), ("value", "signatureValue")];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<Verdict> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let version = app.use_key(call, &key, Work::Signing, Some(self.key_version_id))?;
        self.algorithm.check(key.spec)?;
        let command = VerifyCommand {
            key: version.wrapped.clone(),
            scheme: self.algorithm.scheme(),
            digest: self.digest.0,
            signature: self.value.0,
        };
        let value = app.run_for(&key, command).await?;
        Ok(Verdict { cmk_uuid: key.id, key_version_id: version.id, value })
    }
}

/// Encrypts with the public half of a key pair; the ciphertext does not name its key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsymmetricEncrypt {
    /// The asymmetric key for ENCRYPT/DECRYPT: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// Which of its versions.
    pub key_version_id: VersionId,
    /// How: one of the RSA algorithms, or SM2PKE.
    pub algorithm: EncryptionAlgorithm,
    /// As standard Base64: up to 190 bytes for RSAES_OAEP_SHA_256, 214 for RSAES_OAEP_SHA_1, 6,047 for SM2PKE.
    #[schemars(extend("maxLength" = 8064))]
    pub plaintext: Plaintext,
}

impl Operation for AsymmetricEncrypt {
    type Output = Ciphertext;
    const REFUSALS: &'static [Error] = VERSION_IN_USE;

    fn targets(&self) -> Result<Vec<Target>> {
        self.algorithm.check_plaintext(self.plaintext.len())?;
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<Ciphertext> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let version = app.use_key(call, &key, Work::AsymmetricEncryption, Some(self.key_version_id))?;
        self.algorithm.check(key.spec)?;
        let command = EncryptCommand {
            key: version.wrapped.clone(),
            scheme: self.algorithm.scheme(),
            plaintext: self.plaintext.into_bytes(),
        };
        let ciphertext = app.run_for(&key, command).await?;
        let (cmk_uuid, key_version_id) = (key.id, version.id);
        Ok(Ciphertext { ciphertext_blob: Base64Bytes(ciphertext), cmk_uuid, key_version_id })
    }
}

/// Decrypts with a private key. Whatever is wrong with a ciphertext is one refusal.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AsymmetricDecrypt {
    /// The asymmetric key for ENCRYPT/DECRYPT: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// Which of its versions.
    pub key_version_id: VersionId,
    /// How it was encrypted: one of the RSA algorithms, or SM2PKE.
    pub algorithm: EncryptionAlgorithm,
    /// The ciphertext as standard Base64; of SM2PKE as DER or as C1 ‖ C3 ‖ C2.
    pub ciphertext_blob: Base64Bytes,
}

impl Operation for AsymmetricDecrypt {
    type Output = Decrypted;
    const REFUSALS: &'static [Error] = &[
        Error::DefaultKey,
        Error::InvalidCiphertext,
        Error::KeyDisabled,
        Error::KeyPendingDeletion,
        Error::KeyPendingImport,
        Error::KeyVersionNotFound,
        Error::ServiceFrozen,
        Error::Unsupported(""),
    ];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<Decrypted> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let version = app.use_key(call, &key, Work::AsymmetricEncryption, Some(self.key_version_id))?;
        self.algorithm.check(key.spec)?;
        let command = DecryptCommand {
            key: version.wrapped.clone(),
            scheme: self.algorithm.scheme(),
            ciphertext: self.ciphertext_blob.0,
        };
        let plaintext = app.run_for(&key, command).await?;
        Ok(Decrypted { cmk_uuid: key.id, key_version_id: version.id, plaintext: plaintext.into() })
    }
}

/// Returns the public half of a key version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetPublicKey {
    /// The asymmetric key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// Which of its versions.
    pub key_version_id: VersionId,
}

/// A public key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PublicKey {
    /// Whose it is.
    pub cmk_uuid: KeyId,
    /// Of which version.
    pub key_version_id: VersionId,
    /// SubjectPublicKeyInfo as PEM.
    pub public_key: String,
}

impl Operation for GetPublicKey {
    type Output = PublicKey;
    const REFUSALS: &'static [Error] = VERSION_IN_USE;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<PublicKey> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let version = app.use_key(call, &key, Work::PublicKey, Some(self.key_version_id))?;
        let command = PublicKeyCommand { key: version.wrapped.clone() };
        let der = app.run_for(&key, command).await?;
        let (cmk_uuid, key_version_id) = (key.id, version.id);
        Ok(PublicKey { cmk_uuid, key_version_id, public_key: pem::encode(&der) })
    }
}
