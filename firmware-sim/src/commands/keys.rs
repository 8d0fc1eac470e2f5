//! Making keys, and wrapping them anew. A key leaves wrapped and in no other form.

use crate::command::{Command, Lane, sealed};
use crate::fault::Fault;
use crate::identity::{Algorithm, Custody, KeyName};
use crate::material::Material;
use crate::partition::Partition;
use crate::wrapped::WrappedKey;

/// Makes a symmetric key version (contract section 5.1). Answers it wrapped.
pub struct GenerateKey {
    /// The ids it will carry.
    pub name: KeyName,
    /// [`Algorithm::Aes256`] or [`Algorithm::Sm4`].
    pub algorithm: Algorithm,
    /// Whose root key it hangs from.
    pub custody: Custody,
}

impl sealed::Sealed for GenerateKey {}

impl Command for GenerateKey {
    type Reply = WrappedKey;
    const LANE: Lane = Lane::Engine;
    const MAKES_KEY: bool = true;

    fn execute(self, partition: &Partition) -> Result<WrappedKey, Fault> {
        match self.algorithm {
            Algorithm::Aes256 | Algorithm::Sm4 => {}
            Algorithm::CredentialHmac => return Err(Fault::WrongAlgorithm),
        }
        let material = Material::random(partition.entropy(), self.algorithm.key_bytes())?;
        partition.wrap(self.name, self.algorithm, self.custody, &material)
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
