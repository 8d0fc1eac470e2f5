//! A key pair that is open, and the public key of somebody else. Imports the algorithms and the schemes; what a pair may do is
//! the purpose that was authenticated with it.

use zeroize::Zeroizing;

use crate::alg::rsa::{Padding, SignaturePadding};
use crate::alg::{Forged, public_key, rsa, sm2};
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::identity::{Algorithm, Purpose};
use crate::material::Material;
use crate::scheme::{DIGEST_BYTES, EncryptionScheme, ImportScheme, SignatureScheme};

/// A private key with its public half, ready for one purpose.
pub(crate) enum KeyPair {
    Rsa(rsa::PrivateKey),
    /// Signs; kept with what a signature needs beside the number.
    Sm2Signing(sm2::SigningKey),
    Sm2Decrypting(sm2::PrivateKey),
}

impl KeyPair {
    /// Opens a pair of an asymmetric algorithm.
    pub(crate) fn open(algorithm: Algorithm, purpose: Purpose, material: Material) -> Result<Self, Forged> {
        match (algorithm, purpose) {
            (Algorithm::Rsa2048, _) => rsa::PrivateKey::open(&material, purpose).map(Self::Rsa),
            (Algorithm::Sm2, Purpose::Sign) => {
                Ok(Self::Sm2Signing(sm2::PrivateKey::from_material(material)?.signing_key()))
            }
            (Algorithm::Sm2, Purpose::Decrypt) => {
                sm2::PrivateKey::from_material(material).map(Self::Sm2Decrypting)
            }
            (Algorithm::Sm2, Purpose::Cipher | Purpose::Authenticate | Purpose::Unwrap)
            | (Algorithm::Aes256 | Algorithm::Sm4 | Algorithm::CredentialHmac, _) => Err(Forged),
        }
    }

    /// The public half as SubjectPublicKeyInfo in DER.
    pub(crate) fn public_der(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => key.public().der().to_vec(),
            Self::Sm2Signing(key) => sm2::encode_public(&key.public()),
            Self::Sm2Decrypting(key) => sm2::encode_public(&key.public()),
        }
    }

    /// Signs a digest.
    pub(crate) fn sign(
        &self,
        scheme: SignatureScheme,
        digest: &[u8; DIGEST_BYTES],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Fault> {
        match (self, scheme) {
            (Self::Rsa(key), SignatureScheme::RsaPkcs1Sha256) => {
                key.sign(SignaturePadding::Pkcs1, digest).map(Vec::from)
            }
            (Self::Rsa(key), SignatureScheme::RsaPssSha256) => {
                key.sign(SignaturePadding::Pss, digest).map(Vec::from)
            }
            (Self::Sm2Signing(key), SignatureScheme::Sm2) => {
                Ok(sm2::encode_signature(&key.sign_digest(digest, entropy)?))
            }
            (Self::Rsa(_), SignatureScheme::Sm2)
            | (Self::Sm2Signing(_), SignatureScheme::RsaPkcs1Sha256 | SignatureScheme::RsaPssSha256)
            | (Self::Sm2Decrypting(_), _) => Err(Fault::WrongPurpose),
        }
    }

    /// Whether this is the pair's signature of a digest.
    pub(crate) fn verify(
        &self,
        scheme: SignatureScheme,
        digest: &[u8; DIGEST_BYTES],
        signature: &[u8],
    ) -> Result<bool, Fault> {
        match (self, scheme) {
            (Self::Rsa(key), SignatureScheme::RsaPkcs1Sha256) => {
                Ok(key.verifying()?.verify(SignaturePadding::Pkcs1, digest, signature).is_ok())
            }
            (Self::Rsa(key), SignatureScheme::RsaPssSha256) => {
                Ok(key.verifying()?.verify(SignaturePadding::Pss, digest, signature).is_ok())
            }
            (Self::Sm2Signing(key), SignatureScheme::Sm2) => {
                let signature = sm2::decode_signature(signature);
                Ok(signature.is_ok_and(|signature| key.verify_digest(digest, &signature).is_ok()))
            }
            (Self::Rsa(_), SignatureScheme::Sm2)
            | (Self::Sm2Signing(_), SignatureScheme::RsaPkcs1Sha256 | SignatureScheme::RsaPssSha256)
            | (Self::Sm2Decrypting(_), _) => Err(Fault::WrongPurpose),
        }
    }

    /// Encrypts with the public half.
    pub(crate) fn encrypt(
        &self,
        scheme: EncryptionScheme,
        plaintext: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Fault> {
        check_plaintext(scheme, plaintext)?;
        match (self, scheme) {
            (Self::Rsa(key), EncryptionScheme::OaepSha256 | EncryptionScheme::OaepSha1) => {
                key.encrypting()?.encrypt(padding(scheme)?, plaintext, entropy)
            }
            (Self::Sm2Decrypting(key), EncryptionScheme::Sm2) => {
                sm2::encrypt_encoded(&key.public(), plaintext, entropy)
            }
            (Self::Rsa(_), EncryptionScheme::Sm2)
            | (Self::Sm2Decrypting(_), EncryptionScheme::OaepSha256 | EncryptionScheme::OaepSha1)
            | (Self::Sm2Signing(_), _) => Err(Fault::WrongPurpose),
        }
    }

    /// Decrypts; every failure is one fault after the work of a whole decryption.
    pub(crate) fn decrypt(
        &self,
        scheme: EncryptionScheme,
        ciphertext: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let opened = match (self, scheme) {
            (Self::Rsa(key), EncryptionScheme::OaepSha256 | EncryptionScheme::OaepSha1) => {
                if key.unwraps() {
                    return Err(Fault::WrongPurpose);
                }
                key.decrypt(padding(scheme)?, ciphertext)
            }
            (Self::Sm2Decrypting(key), EncryptionScheme::Sm2) => key.decrypt_encoded(ciphertext),
            (Self::Rsa(_), EncryptionScheme::Sm2)
            | (Self::Sm2Decrypting(_), EncryptionScheme::OaepSha256 | EncryptionScheme::OaepSha1)
            | (Self::Sm2Signing(_), _) => return Err(Fault::WrongPurpose),
        };
        opened.map_err(|_| Fault::InvalidCiphertext)
    }

    /// Unwraps key material.
    pub(crate) fn unwrap(&self, scheme: ImportScheme, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let padding = match scheme {
            ImportScheme::Pkcs1 => Padding::Pkcs1,
            ImportScheme::OaepSha1 => Padding::OaepSha1,
            ImportScheme::OaepSha256 => Padding::OaepSha256,
        };
        match self {
            Self::Rsa(key) if key.unwraps() => {
                key.decrypt(padding, wrapped).map_err(|_| Fault::InvalidKeyMaterial)
            }
            Self::Rsa(_) | Self::Sm2Signing(_) | Self::Sm2Decrypting(_) => Err(Fault::WrongPurpose),
        }
    }
}

fn padding(scheme: EncryptionScheme) -> Result<Padding, Fault> {
    match scheme {
        EncryptionScheme::OaepSha256 => Ok(Padding::OaepSha256),
        EncryptionScheme::OaepSha1 => Ok(Padding::OaepSha1),
        EncryptionScheme::Sm2 => Err(Fault::WrongPurpose),
    }
}

fn check_plaintext(scheme: EncryptionScheme, plaintext: &[u8]) -> Result<(), Fault> {
    match plaintext.len() {
        1.. if plaintext.len() <= scheme.plaintext_bytes_max() => Ok(()),
        _ => Err(Fault::Limit("plaintext")),
    }
}

/// Somebody's public key, to encrypt for: RSA with 2048 bits or SM2.
pub struct RecipientKey(Recipient);

enum Recipient {
    Rsa(Box<rsa::PublicKey>),
    Sm2([u8; sm2::PUBLIC_BYTES]),
}

impl RecipientKey {
    /// Reads a SubjectPublicKeyInfo (RFC 5280 section 4.1) in DER or PEM, of one of the two kinds.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let der = public_key::der(bytes).map_err(|_| Fault::InvalidPublicKey)?;
        if let Ok(point) = sm2::decode_public(&der) {
            return Ok(Self(Recipient::Sm2(point)));
        }
        let key = rsa::PublicKey::from_der(&der).map_err(|_| Fault::InvalidPublicKey)?;
        Ok(Self(Recipient::Rsa(Box::new(key))))
    }

    /// What kind it is.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Recipient::Rsa(_) => Algorithm::Rsa2048,
            Recipient::Sm2(_) => Algorithm::Sm2,
        }
    }

    /// Encrypts for its owner.
    pub(crate) fn encrypt(
        &self,
        scheme: EncryptionScheme,
        plaintext: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Fault> {
        check_plaintext(scheme, plaintext)?;
        match (&self.0, scheme) {
            (Recipient::Rsa(key), EncryptionScheme::OaepSha256 | EncryptionScheme::OaepSha1) => {
                key.encrypt(padding(scheme)?, plaintext, entropy)
            }
            (Recipient::Sm2(point), EncryptionScheme::Sm2) => sm2::encrypt_encoded(point, plaintext, entropy),
            (Recipient::Rsa(_), EncryptionScheme::Sm2)
            | (Recipient::Sm2(_), EncryptionScheme::OaepSha256 | EncryptionScheme::OaepSha1) => {
                Err(Fault::WrongAlgorithm)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    /// Two ways to the same function for what prints, which the compiler refuses; one for what does not.
    trait Unprintable<Way> {
        fn holds() {}
    }
    impl<T> Unprintable<()> for T {}
    impl<T: Debug> Unprintable<u8> for T {}

    #[test]
    fn no_form_of_a_private_key_prints() {
        <KeyPair as Unprintable<_>>::holds();
        <rsa::PrivateKey as Unprintable<_>>::holds();
        <sm2::PrivateKey as Unprintable<_>>::holds();
        <sm2::SigningKey as Unprintable<_>>::holds();
        <Material as Unprintable<_>>::holds();
        <RecipientKey as Unprintable<_>>::holds();
    }
}
