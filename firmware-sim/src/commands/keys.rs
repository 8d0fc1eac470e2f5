//! Making keys, and wrapping them anew. A key leaves wrapped and in no other form.

use crate::command::{Command, Lane, sealed};
use crate::fault::Fault;
use crate::identity::{Algorithm, Custody, KeyName, Purpose};
use crate::material::Material;
use crate::pairwise;
use crate::partition::Partition;
use crate::wrapped::WrappedKey;

/// Makes a key version (contract sections 5.1 and 5.3). Answers it wrapped.
pub struct GenerateKey {
    /// The ids it will carry.
    pub name: KeyName,
    /// Anything but [`Algorithm::CredentialHmac`].
    pub algorithm: Algorithm,
    /// What it may be used for: [`Purpose::Cipher`], [`Purpose::Sign`] or [`Purpose::Decrypt`], as the algorithm has it.
    pub purpose: Purpose,
    /// Whose root key it hangs from.
    pub custody: Custody,
}

impl sealed::Sealed for GenerateKey {}

impl Command for GenerateKey {
    type Reply = WrappedKey;
    const LANE: Lane = Lane::Engine;
    const MAKES_KEY: bool = true;

    fn lane(&self) -> Lane {
        match self.algorithm {
            Algorithm::Rsa2048 => Lane::Slow,
            Algorithm::Aes256 | Algorithm::Sm4 | Algorithm::CredentialHmac | Algorithm::Sm2 => Self::LANE,
        }
    }

    fn execute(self, partition: &Partition) -> Result<WrappedKey, Fault> {
        let Self { name, algorithm, purpose, custody } = self;
        if !algorithm.serves(purpose) {
            return Err(Fault::WrongPurpose);
        }
        let material = match purpose {
            Purpose::Cipher => Material::random(partition.entropy(), algorithm.key_bytes())?,
            Purpose::Sign | Purpose::Decrypt => pairwise::generate(partition.shared(), algorithm, purpose)?,
            Purpose::Authenticate | Purpose::Unwrap => return Err(Fault::WrongPurpose),
        };
        partition.wrap(name, algorithm, purpose, custody, &material)
    }
}

/// Wraps a key under the newest generation of its partition's wrapping key, whatever key it is. Answers a key that is
/// there already as it is.
pub struct Rewrap {
    /// The key, under a generation that opens.
    pub key: WrappedKey,
}

impl sealed::Sealed for Rewrap {}

impl Command for Rewrap {
    type Reply = WrappedKey;
    const LANE: Lane = Lane::Inline;

    fn execute(self, partition: &Partition) -> Result<WrappedKey, Fault> {
        partition.rewrap(&self.key)
    }
}
