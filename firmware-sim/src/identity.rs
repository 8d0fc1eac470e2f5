//! The names things go by: partitions, keys, algorithms, purposes and custodies, with the one-byte codes they
//! have in stored headers. Imports `uuid` for the text form and nothing of the crate. Nothing here is secret.

use std::fmt;

use uuid::Uuid;

/// Length of a UUID in text, lower-case and hyphenated.
pub(crate) const UUID_TEXT_BYTES: usize = 36;

/// Writes the lower-case hyphenated text of an id.
pub(crate) fn uuid_text(id: &[u8; 16]) -> [u8; UUID_TEXT_BYTES] {
    let mut text = [0; UUID_TEXT_BYTES];
    Uuid::from_bytes(*id).hyphenated().encode_lower(&mut text);
    text
}

/// The id of a partition, raw UUID bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartitionId(pub [u8; 16]);

impl PartitionId {
    /// The machine's own partition; it alone holds the storage domain.
    pub const DEVICE: Self = Self([0; 16]);
}

impl fmt::Debug for PartitionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", Uuid::from_bytes(self.0))
    }
}

/// The ids of a key and of one of its versions, raw UUID bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyName {
    /// The key, `cmkUuid` on the wire.
    pub key: [u8; 16],
    /// The version, `keyVersionId` on the wire.
    pub version: [u8; 16],
}

impl fmt::Debug for KeyName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}&{}", Uuid::from_bytes(self.key), Uuid::from_bytes(self.version))
    }
}

/// What a key computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// AES with a 256-bit key.
    Aes256,
    /// SM4, GB/T 32907.
    Sm4,
    /// The secret of a credential, an HMAC-SHA-256 key.
    CredentialHmac,
    /// RSA with a modulus of 2048 bits.
    Rsa2048,
    /// SM2, GB/T 32918.
    Sm2,
}

impl Algorithm {
    /// The name on the wire (contract section 1.1); the name of a credential's secret never leaves the service.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Aes256 => "AES_256",
            Self::Sm4 => "Ctyun_SM4",
            Self::CredentialHmac => "CREDENTIAL_HMAC",
            Self::Rsa2048 => "RSA_2048",
            Self::Sm2 => "Ctyun_SM2",
        }
    }

    /// Length of the clear key; of RSA the two primes are kept.
    pub(crate) fn key_bytes(self) -> usize {
        match self {
            Self::Aes256 | Self::Sm2 => 32,
            Self::Sm4 => 16,
            Self::CredentialHmac => 64,
            Self::Rsa2048 => 256,
        }
    }

    /// Whether keys of this algorithm may have a purpose.
    pub(crate) fn serves(self, purpose: Purpose) -> bool {
        match self {
            Self::Aes256 | Self::Sm4 => purpose == Purpose::Cipher,
            Self::CredentialHmac => purpose == Purpose::Authenticate,
            Self::Rsa2048 => matches!(purpose, Purpose::Sign | Purpose::Decrypt | Purpose::Unwrap),
            Self::Sm2 => matches!(purpose, Purpose::Sign | Purpose::Decrypt),
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Aes256 => 1,
            Self::Sm4 => 2,
            Self::CredentialHmac => 3,
            Self::Rsa2048 => 4,
            Self::Sm2 => 5,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Aes256),
            2 => Some(Self::Sm4),
            3 => Some(Self::CredentialHmac),
            4 => Some(Self::Rsa2048),
            5 => Some(Self::Sm2),
            _ => None,
        }
    }
}

/// What a key may be used for; authenticated with the wrapped key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Encrypts, decrypts and derives MAC keys (contract section 5.5).
    Cipher,
    /// Computes request signatures (contract section 2).
    Authenticate,
    /// Signs, its public half verifies (contract section 5.6).
    Sign,
    /// Decrypts, its public half encrypts (contract section 5.6).
    Decrypt,
    /// Unwraps key material that is imported (contract section 5.4).
    Unwrap,
}

impl Purpose {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Cipher => 1,
            Self::Authenticate => 2,
            Self::Sign => 3,
            Self::Decrypt => 4,
            Self::Unwrap => 5,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Cipher),
            2 => Some(Self::Authenticate),
            3 => Some(Self::Sign),
            4 => Some(Self::Decrypt),
            5 => Some(Self::Unwrap),
            _ => None,
        }
    }
}

/// What tells the material of a key from any other: a MAC under a key of the machine, over the key's id and the material.
pub type Binding = [u8; 32];

/// Whose root key a key hangs from: `protectionLevel` on the wire (contract section 1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Custody {
    /// The root key lies in files.
    Software,
    /// The root key lies in a slot of the machine.
    Hsm,
}

impl Custody {
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Software => 1,
            Self::Hsm => 2,
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Software),
            2 => Some(Self::Hsm),
            _ => None,
        }
    }
}
