//! How asymmetric keys compute (contract sections 1.1 and 1.2). Imports the identities. Nothing here is secret.

use crate::identity::Algorithm;

/// Length of what is signed: a digest, not a message.
pub const DIGEST_BYTES: usize = 32;

/// How a digest is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureScheme {
    /// RSASSA-PKCS1-v1_5 over a SHA-256 digest: RFC 8017 section 8.2.
    RsaPkcs1Sha256,
    /// RSASSA-PSS over a SHA-256 digest, MGF1 with SHA-256, 32 bytes of salt: RFC 8017 section 8.1.
    RsaPssSha256,
    /// SM2 over the digest e of GB/T 32918.2 section 6; signatures are DER.
    Sm2,
}

impl SignatureScheme {
    /// The keys that it works with.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::RsaPkcs1Sha256 | Self::RsaPssSha256 => Algorithm::Rsa2048,
            Self::Sm2 => Algorithm::Sm2,
        }
    }
}

/// How a plaintext is encrypted with a public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncryptionScheme {
    /// RSAES-OAEP with SHA-256 throughout: RFC 8017 section 7.1.
    OaepSha256,
    /// RSAES-OAEP with SHA-1 throughout.
    OaepSha1,
    /// SM2: GB/T 32918.4; ciphertexts are DER.
    Sm2,
}

impl EncryptionScheme {
    /// The keys that it works with.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::OaepSha256 | Self::OaepSha1 => Algorithm::Rsa2048,
            Self::Sm2 => Algorithm::Sm2,
        }
    }

    /// Longest plaintext in bytes (contract section 1.2).
    pub fn plaintext_bytes_max(self) -> usize {
        match self {
            Self::OaepSha256 => 190,
            Self::OaepSha1 => 214,
            Self::Sm2 => 6047,
        }
    }
}

/// How key material is wrapped for its import; the wrapping key is RSA_2048.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImportScheme {
    /// RSAES-PKCS1-v1_5: RFC 8017 section 7.2.
    Pkcs1,
    /// RSAES-OAEP with SHA-1 throughout.
    OaepSha1,
    /// RSAES-OAEP with SHA-256 throughout.
    OaepSha256,
}
