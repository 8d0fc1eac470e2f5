//! Key specs, usages, levels and origins with their wire names (contract section 1.1), and which of them go together.

use firmware_sim::{Algorithm, Custody};
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

/// How imported key material is wrapped to an RSA key (contract section 1.1, import wrapping).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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

    /// The cipher machine's algorithm. Asymmetric specs are refused until the machine offers them.
    pub fn algorithm(self) -> Result<Algorithm> {
        match self {
            Self::Aes256 => Ok(Algorithm::Aes256),
            Self::Sm4 => Ok(Algorithm::Sm4),
            Self::Rsa2048 | Self::Sm2 => {
                Err(Error::Unsupported("this version offers symmetric keys only: use AES_256 or Ctyun_SM4"))
            }
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
