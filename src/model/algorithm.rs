//! Key specs, usages, levels and origins with their wire names (contract section 1.1), and which of them go together.

use firmware_sim::{Algorithm, Custody, EncryptionScheme, ImportScheme, Purpose, SignatureScheme};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::instance::Edition;

/// What kind of key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-also-values" = ["SM4", "RSA2048", "SM2", "EC_SM2"], "examples" = ["AES_256"]))]
pub enum KeySpec {
    /// AES with 256-bit keys.
    #[serde(rename = "AES_256")]
    Aes256,
    /// SM4, GB/T 32907.
    #[serde(rename = "Ctyun_SM4", alias = "SM4")]
    Sm4,
    /// RSA with a modulus of 2048 bits.
    #[serde(rename = "RSA_2048", alias = "RSA2048")]
    Rsa2048,
    /// SM2, GB/T 32918.
    #[serde(rename = "Ctyun_SM2", alias = "SM2", alias = "EC_SM2")]
    Sm2,
}

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum KeyUsage {
    /// Encrypting and decrypting.
    #[serde(rename = "ENCRYPT/DECRYPT")]
    EncryptDecrypt,
    /// Signing and verifying.
    #[serde(rename = "SIGN/VERIFY")]
    SignVerify,
}

/// Where the root key that guards a key lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-also-values" = ["0", "1"], "examples" = ["SOFTWARE"]))]
pub enum ProtectionLevel {
    /// Software custody.
    #[serde(rename = "SOFTWARE", alias = "1")]
    Software,
    /// Custody of the cipher machine.
    #[serde(rename = "HSM", alias = "0")]
    Hsm,
}

/// Where key material comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Origin {
    /// Made by the cipher machine.
    #[serde(rename = "Ctyun_KMS")]
    CtyunKms,
    /// Brought by the customer.
    External,
}

/// How an asymmetric key encrypts (contract section 1.1, encrypt algorithm).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("examples" = ["RSAES_OAEP_SHA_256"]))]
pub enum EncryptionAlgorithm {
    /// RSA with OAEP, SHA-256.
    #[serde(rename = "RSAES_OAEP_SHA_256")]
    OaepSha256,
    /// RSA with OAEP, SHA-1.
    #[serde(rename = "RSAES_OAEP_SHA_1")]
    OaepSha1,
    /// SM2, GB/T 32918.4.
    #[serde(rename = "SM2PKE")]
    Sm2,
}

/// The public key that imported key material is wrapped to (contract section 1.1, import wrapping).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("examples" = ["RSA_2048"]))]
pub enum WrappingKeySpec {
    /// RSA with a modulus of 2048 bits.
    #[serde(rename = "RSA_2048")]
    Rsa2048,
}

/// How imported key material is wrapped to an RSA key (contract section 1.1, import wrapping).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("examples" = ["RSAES_OAEP_SHA_256"]))]
pub enum ImportAlgorithm {
    /// RSA with PKCS#1 v1.5 padding.
    #[serde(rename = "RSAES_PKCS1_V1_5")]
    Pkcs1v15,
    /// RSA with OAEP, SHA-1.
    #[serde(rename = "RSAES_OAEP_SHA_1")]
    OaepSha1,
    /// RSA with OAEP, SHA-256.
    #[serde(rename = "RSAES_OAEP_SHA_256")]
    OaepSha256,
}

/// Whose public key a data key is exported to (contract section 5.5, exportDataKey).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-also-values" = ["RSA2048", "SM2", "EC_SM2"], "examples" = ["Ctyun_SM2"]))]
pub enum RecipientSpec {
    /// RSA with a modulus of 2048 bits.
    #[serde(rename = "RSA_2048", alias = "RSA2048")]
    Rsa2048,
    /// SM2, GB/T 32918.
    #[serde(rename = "Ctyun_SM2", alias = "SM2", alias = "EC_SM2")]
    Sm2,
}

impl RecipientSpec {
    /// The cipher machine's algorithm.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::Rsa2048 => Algorithm::Rsa2048,
            Self::Sm2 => Algorithm::Sm2,
        }
    }
}

impl ImportAlgorithm {
    /// The cipher machine's name for it.
    pub fn scheme(self) -> ImportScheme {
        match self {
            Self::Pkcs1v15 => ImportScheme::Pkcs1,
            Self::OaepSha1 => ImportScheme::OaepSha1,
            Self::OaepSha256 => ImportScheme::OaepSha256,
        }
    }
}

impl EncryptionAlgorithm {
    /// The cipher machine's name for it.
    pub fn scheme(self) -> EncryptionScheme {
        match self {
            Self::OaepSha256 => EncryptionScheme::OaepSha256,
            Self::OaepSha1 => EncryptionScheme::OaepSha1,
            Self::Sm2 => EncryptionScheme::Sm2,
        }
    }

    /// Refuses an algorithm that keys of this spec do not work with.
    pub fn check(self, spec: KeySpec) -> Result<()> {
        check_fits(self.scheme().algorithm(), spec)
    }

    /// Refuses a plaintext that does not fit (contract section 1.2).
    pub fn check_plaintext(self, bytes: usize) -> Result<()> {
        let why = match self {
            Self::OaepSha256 => "must have 1 to 190 bytes with RSAES_OAEP_SHA_256",
            Self::OaepSha1 => "must have 1 to 214 bytes with RSAES_OAEP_SHA_1",
            Self::Sm2 => "must have 1 to 6047 bytes with SM2PKE",
        };
        if self.takes(bytes) { Ok(()) } else { Err(Error::invalid("plaintext", why)) }
    }

    /// Whether a plaintext of this length fits (contract section 1.2).
    pub fn takes(self, bytes: usize) -> bool {
        (1..=self.scheme().plaintext_bytes_max()).contains(&bytes)
    }
}

/// How an asymmetric key signs (contract section 1.1, sign algorithm).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("examples" = ["RSA_PSS_SHA_256"]))]
pub enum SignatureAlgorithm {
    /// RSA with PKCS#1 v1.5, SHA-256.
    #[serde(rename = "RSA_PKCS1_SHA_256")]
    Pkcs1Sha256,
    /// RSA with PSS, SHA-256.
    #[serde(rename = "RSA_PSS_SHA_256")]
    PssSha256,
    /// SM2, GB/T 32918.2.
    #[serde(rename = "SM2DSA")]
    Sm2,
}

impl SignatureAlgorithm {
    /// The cipher machine's name for it.
    pub fn scheme(self) -> SignatureScheme {
        match self {
            Self::Pkcs1Sha256 => SignatureScheme::RsaPkcs1Sha256,
            Self::PssSha256 => SignatureScheme::RsaPssSha256,
            Self::Sm2 => SignatureScheme::Sm2,
        }
    }

    /// Refuses an algorithm that keys of this spec do not work with.
    pub fn check(self, spec: KeySpec) -> Result<()> {
        check_fits(self.scheme().algorithm(), spec)
    }
}

fn check_fits(algorithm: Algorithm, spec: KeySpec) -> Result<()> {
    match algorithm == spec.algorithm() {
        true => Ok(()),
        false => {
            Err(Error::Unsupported("the algorithm is not one of this key: RSA keys take RSA…, SM2 keys SM2…"))
        }
    }
}

/// The size of a data key by name (contract section 5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, JsonSchema)]
pub enum DataKeySpec {
    /// 32 bytes.
    #[default]
    #[serde(rename = "AES_256")]
    Aes256,
    /// 16 bytes.
    #[serde(rename = "AES_128")]
    Aes128,
    /// 16 bytes.
    #[serde(rename = "SM4_128")]
    Sm4,
}

impl DataKeySpec {
    /// Length of such a data key in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Aes256 => 32,
            Self::Aes128 | Self::Sm4 => 16,
        }
    }
}

impl KeySpec {
    /// Whether both sides have the same key.
    pub fn is_symmetric(self) -> bool {
        match self {
            Self::Aes256 | Self::Sm4 => true,
            Self::Rsa2048 | Self::Sm2 => false,
        }
    }

    /// The level of a key whose creator names none: HSM for the SM algorithms, else software.
    pub fn default_level(self) -> ProtectionLevel {
        match self {
            Self::Aes256 | Self::Rsa2048 => ProtectionLevel::Software,
            Self::Sm4 | Self::Sm2 => ProtectionLevel::Hsm,
        }
    }

    /// The cipher machine's algorithm.
    pub fn algorithm(self) -> Algorithm {
        match self {
            Self::Aes256 => Algorithm::Aes256,
            Self::Sm4 => Algorithm::Sm4,
            Self::Rsa2048 => Algorithm::Rsa2048,
            Self::Sm2 => Algorithm::Sm2,
        }
    }

    /// The cipher machine's purpose for keys of this spec and usage.
    pub fn purpose(self, usage: KeyUsage) -> Purpose {
        match (self, usage) {
            (Self::Aes256 | Self::Sm4, _) => Purpose::Cipher,
            (Self::Rsa2048 | Self::Sm2, KeyUsage::EncryptDecrypt) => Purpose::Decrypt,
            (Self::Rsa2048 | Self::Sm2, KeyUsage::SignVerify) => Purpose::Sign,
        }
    }

    /// Whether spec, usage and level go together in a service of this edition (contract 5.1, createKey).
    pub fn check(self, usage: KeyUsage, level: ProtectionLevel, edition: Edition) -> Result<()> {
        if self.is_symmetric() && usage == KeyUsage::SignVerify {
            return Err(Error::Unsupported("a symmetric key is for ENCRYPT/DECRYPT"));
        }
        let national = matches!(self, Self::Sm4 | Self::Sm2);
        match edition {
            Edition::Basic if national => {
                Err(Error::Unsupported("the basic edition offers AES_256 and RSA_2048 only"))
            }
            Edition::Basic if level == ProtectionLevel::Hsm => {
                Err(Error::UnsupportedLevel("the basic edition offers the protection level SOFTWARE only"))
            }
            Edition::Enterprise if national && level == ProtectionLevel::Software => {
                Err(Error::UnsupportedLevel("SM keys need the protection level HSM"))
            }
            Edition::Basic | Edition::Enterprise => Ok(()),
        }
    }
}

impl KeySpec {
    /// Whether material of this spec may come from there (contract 5.1, createKey). Ctyun_SM4 from outside is an addition.
    pub fn check_origin(self, origin: Origin) -> Result<()> {
        match (origin, self) {
            (Origin::CtyunKms, _) | (Origin::External, Self::Aes256 | Self::Sm4) => Ok(()),
            (Origin::External, Self::Rsa2048 | Self::Sm2) => {
                Err(Error::UnsupportedOrigin("only AES_256 and Ctyun_SM4 keys take material from outside"))
            }
        }
    }
}

impl ProtectionLevel {
    /// The custody of the cipher machine that serves this level.
    pub fn custody(self) -> Custody {
        match self {
            Self::Software => Custody::Software,
            Self::Hsm => Custody::Hsm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every combination of spec, usage, level and edition, as the contract decides it.
    #[test]
    fn the_edition_decides_what_goes_together() {
        use Edition::{Basic, Enterprise};
        use KeySpec::{Aes256, Rsa2048, Sm2, Sm4};
        use KeyUsage::{EncryptDecrypt, SignVerify};
        use ProtectionLevel::{Hsm, Software};
        let mut allowed = Vec::new();
        for spec in [Aes256, Sm4, Rsa2048, Sm2] {
            for usage in [EncryptDecrypt, SignVerify] {
                for level in [Software, Hsm] {
                    for edition in [Basic, Enterprise] {
                        if spec.check(usage, level, edition).is_ok() {
                            allowed.push((spec, usage, level, edition));
                        }
                    }
                }
            }
        }
        let expected = vec![
            (Aes256, EncryptDecrypt, Software, Basic),
            (Aes256, EncryptDecrypt, Software, Enterprise),
            (Aes256, EncryptDecrypt, Hsm, Enterprise),
            (Sm4, EncryptDecrypt, Hsm, Enterprise),
            (Rsa2048, EncryptDecrypt, Software, Basic),
            (Rsa2048, EncryptDecrypt, Software, Enterprise),
            (Rsa2048, EncryptDecrypt, Hsm, Enterprise),
            (Rsa2048, SignVerify, Software, Basic),
            (Rsa2048, SignVerify, Software, Enterprise),
            (Rsa2048, SignVerify, Hsm, Enterprise),
            (Sm2, EncryptDecrypt, Hsm, Enterprise),
            (Sm2, SignVerify, Hsm, Enterprise),
        ];
        assert_eq!(allowed, expected);
    }
}
