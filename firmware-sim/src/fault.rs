//! Why the machine refused. Imports the standard library only. A fault carries no secret, no path and no bytes
//! of what was refused; the service maps it to the codes of contract section 4.

use std::{error, fmt, io};

use crate::entropy::EntropyFailed;

/// Why a command or a start was refused.
#[derive(Debug)]
pub enum Fault {
    /// The bytes are no frame of contract section 1.3.
    InvalidFrame,
    /// A frame or a sealed record does not open under this key, account, context or place: one fault for all.
    InvalidCiphertext,
    /// A wrapped key is damaged or belongs to another partition.
    InvalidWrappedKey,
    /// A wrapped key names a generation of the wrapping key that was erased: a newer copy of it opens, if there is one.
    RetiredGeneration,
    /// The wrapped key, or the partition, does not serve this command.
    WrongPurpose,
    /// The algorithm is not one this command makes keys for.
    WrongAlgorithm,
    /// A public key from outside is none of the form and kind that was asked for.
    InvalidPublicKey,
    /// What a frame holds is longer than the way it is to be exported takes.
    TooLongToExport,
    /// What was imported does not unwrap, has another length than the key, or is not what was imported first: one fault for all.
    InvalidKeyMaterial,
    /// No wrapping key for an import is ready.
    NoSpareKey,
    /// No partition has this id.
    NoSuchPartition,
    /// The named limit is exceeded, or the named part is empty.
    Limit(&'static str),
    /// Files of a machine exist already.
    AlreadyInitialised,
    /// No file of a machine exists yet.
    NotInitialised,
    /// A file could not be read or written, or is damaged.
    Storage(io::Error),
    /// The source of random bytes failed.
    Entropy,
    /// The machine is not operational.
    NotOperational,
    /// The machine is attended and waits for its passphrase.
    Locked,
    /// The passphrase is wrong, or what it opens is damaged: nothing tells them apart.
    WrongPassphrase,
    /// The machine has a passphrase already.
    AlreadyAttended,
    /// The machine has no passphrase.
    NotAttended,
    /// The named self-test failed.
    SelfTest(&'static str),
    /// No self-test has this name.
    UnknownSelfTest,
    /// A command panicked; the machine goes on.
    Panicked,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidFrame => out.write_str("the ciphertext has no valid form"),
            Self::InvalidCiphertext => out.write_str("the ciphertext does not open"),
            Self::InvalidWrappedKey => out.write_str("the wrapped key does not open"),
            Self::RetiredGeneration => out.write_str("the generation that wrapped the key is erased"),
            Self::WrongPurpose => out.write_str("the key does not serve this purpose"),
            Self::WrongAlgorithm => out.write_str("the algorithm does not serve this command"),
            Self::InvalidPublicKey => out.write_str("the public key is not usable"),
            Self::TooLongToExport => out.write_str("the data key is too long for this way to export it"),
            Self::InvalidKeyMaterial => out.write_str("the key material is not usable"),
            Self::NoSpareKey => out.write_str("no wrapping key is ready"),
            Self::NoSuchPartition => out.write_str("no such partition"),
            Self::Limit(what) => write!(out, "{what} out of range"),
            Self::AlreadyInitialised => out.write_str("the cipher machine is initialised already"),
            Self::NotInitialised => out.write_str("the cipher machine is not initialised"),
            Self::Storage(_) => out.write_str("a file of the cipher machine is unusable"),
            Self::Entropy => out.write_str("the source of random bytes failed"),
            Self::NotOperational => out.write_str("the cipher machine is not operational"),
            Self::Locked => out.write_str("the cipher machine is locked"),
            Self::WrongPassphrase => out.write_str("the passphrase does not open the cipher machine"),
            Self::AlreadyAttended => out.write_str("the cipher machine is attended already"),
            Self::NotAttended => out.write_str("the cipher machine is not attended"),
            Self::SelfTest(name) => write!(out, "self-test failed: {name}"),
            Self::UnknownSelfTest => out.write_str("no self-test has this name"),
            Self::Panicked => out.write_str("the command failed inside the cipher machine"),
        }
    }
}

impl error::Error for Fault {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Storage(cause) => Some(cause),
            Self::InvalidFrame
            | Self::InvalidCiphertext
            | Self::InvalidWrappedKey
            | Self::RetiredGeneration
            | Self::WrongPurpose
            | Self::WrongAlgorithm
            | Self::InvalidPublicKey
            | Self::TooLongToExport
            | Self::InvalidKeyMaterial
            | Self::NoSpareKey
            | Self::NoSuchPartition
            | Self::Limit(_)
            | Self::AlreadyInitialised
            | Self::NotInitialised
            | Self::Entropy
            | Self::NotOperational
            | Self::Locked
            | Self::WrongPassphrase
            | Self::AlreadyAttended
            | Self::NotAttended
            | Self::SelfTest(_)
            | Self::UnknownSelfTest
            | Self::Panicked => None,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(cause: io::Error) -> Self {
        Self::Storage(cause)
    }
}

impl From<EntropyFailed> for Fault {
    fn from(_: EntropyFailed) -> Self {
        Self::Entropy
    }
}
