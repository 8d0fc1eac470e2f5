//! Computing with key pairs (contract section 5.6). Each command's scheme must fit the key, which the caller has seen to;
//! what the key may do at all is the purpose in its authenticated header.

use zeroize::Zeroizing;

use crate::command::{Command, Lane, sealed};
use crate::fault::Fault;
use crate::material::Released;
use crate::partition::Partition;
use crate::scheme::{DIGEST_BYTES, EncryptionScheme, SignatureScheme};
use crate::wrapped::WrappedKey;

/// Signs a digest (contract section 5.6, asymmetricSign). Answers the signature: 256 bytes of RSA, DER of SM2.
pub struct AsymmetricSign {
    /// The key version to sign with.
    pub key: WrappedKey,
    /// How.
    pub scheme: SignatureScheme,
    /// SHA-256 of the message, or e of GB/T 32918.2 section 6.
    pub digest: [u8; DIGEST_BYTES],
}

impl sealed::Sealed for AsymmetricSign {}

impl Command for AsymmetricSign {
    type Reply = Vec<u8>;
    const LANE: Lane = Lane::Engine;

    fn execute(self, partition: &Partition) -> Result<Vec<u8>, Fault> {
        partition.key(&self.key)?.pair()?.sign(self.scheme, &self.digest, partition.entropy())
    }
}

/// Verifies a signature (contract section 5.6, asymmetricVerify). Answers whether it is genuine; SM2 signatures may be DER or
/// r ‖ s.
pub struct AsymmetricVerify {
    /// The key version that is said to have signed.
    pub key: WrappedKey,
    /// How.
    pub scheme: SignatureScheme,
    /// What is said to be signed, as in [`AsymmetricSign::digest`].
    pub digest: [u8; DIGEST_BYTES],
    /// The signature.
    pub signature: Vec<u8>,
}

impl sealed::Sealed for AsymmetricVerify {}

impl Command for AsymmetricVerify {
    type Reply = bool;
    const LANE: Lane = Lane::Engine;

    fn execute(self, partition: &Partition) -> Result<bool, Fault> {
        partition.key(&self.key)?.pair()?.verify(self.scheme, &self.digest, &self.signature)
    }
}

/// Encrypts with a public half (contract section 5.6, asymmetricEncrypt). Answers 256 bytes of RSA, DER of SM2.
pub struct AsymmetricEncrypt {
    /// The key version to encrypt for.
    pub key: WrappedKey,
    /// How.
    pub scheme: EncryptionScheme,
    /// 1 to [`EncryptionScheme::plaintext_bytes_max`] bytes.
    pub plaintext: Zeroizing<Vec<u8>>,
}

impl sealed::Sealed for AsymmetricEncrypt {}

impl Command for AsymmetricEncrypt {
    type Reply = Vec<u8>;
    const LANE: Lane = Lane::Engine;

    fn execute(self, partition: &Partition) -> Result<Vec<u8>, Fault> {
        partition.key(&self.key)?.pair()?.encrypt(self.scheme, &self.plaintext, partition.entropy())
    }
}

/// Decrypts (contract section 5.6, asymmetricDecrypt). Answers the plaintext, or one fault after the work of a decryption,
/// whatever is wrong. SM2 ciphertexts may be DER or C1 ‖ C3 ‖ C2.
pub struct AsymmetricDecrypt {
    /// The key version to decrypt with.
    pub key: WrappedKey,
    /// How.
    pub scheme: EncryptionScheme,
    /// The ciphertext.
    pub ciphertext: Vec<u8>,
}

impl sealed::Sealed for AsymmetricDecrypt {}

impl Command for AsymmetricDecrypt {
    type Reply = Released;
    const LANE: Lane = Lane::Engine;

    fn execute(self, partition: &Partition) -> Result<Released, Fault> {
        partition.key(&self.key)?.pair()?.decrypt(self.scheme, &self.ciphertext).map(Released::new)
    }
}

/// Answers the public half as SubjectPublicKeyInfo in DER (contract section 5.6, getPublicKey).
pub struct GetPublicKey {
    /// The key version.
    pub key: WrappedKey,
}

impl sealed::Sealed for GetPublicKey {}

impl Command for GetPublicKey {
    type Reply = Vec<u8>;
    const LANE: Lane = Lane::Engine;

    fn execute(self, partition: &Partition) -> Result<Vec<u8>, Fault> {
        Ok(partition.key(&self.key)?.pair()?.public_der())
    }
}
