//! Bringing key material in from outside (contract section 5.4): wrapping keys for it, and unwrapping it into a key version.

use subtle::ConstantTimeEq;

use crate::command::{Command, Lane, sealed};
use crate::fault::Fault;
use crate::identity::{Algorithm, Binding, Custody, KeyName, Purpose};
use crate::material::Material;
use crate::pairwise;
use crate::partition::Partition;
use crate::scheme::ImportScheme;
use crate::wrapped::WrappedKey;

/// Makes one wrapping key for later imports, unless so many are ready. Answers how many are ready now.
pub struct MakeSpareKey {
    /// How many may be ready.
    pub most: usize,
}

impl sealed::Sealed for MakeSpareKey {}

impl Command for MakeSpareKey {
    type Reply = usize;
    const LANE: Lane = Lane::Slow;

    fn execute(self, partition: &Partition) -> Result<usize, Fault> {
        let spare = &partition.shared().spare;
        if spare.len() < self.most {
            spare.put(pairwise::generate(partition.shared(), Algorithm::Rsa2048, Purpose::Unwrap)?);
        }
        Ok(spare.len())
    }
}

/// Takes a wrapping key that is ready (contract section 5.4, getParametersForImport). Answers it wrapped, and its public half
/// as SubjectPublicKeyInfo in DER; or [`Fault::NoSpareKey`].
pub struct TakeSpareKey {
    /// The key that is to be imported, and the import token as version.
    pub name: KeyName,
    /// Whose root key it hangs from.
    pub custody: Custody,
}

impl sealed::Sealed for TakeSpareKey {}

impl Command for TakeSpareKey {
    type Reply = (WrappedKey, Vec<u8>);
    const LANE: Lane = Lane::Engine;
    const MAKES_KEY: bool = true;

    fn execute(self, partition: &Partition) -> Result<Self::Reply, Fault> {
        let (algorithm, purpose) = (Algorithm::Rsa2048, Purpose::Unwrap);
        let pair = partition.shared().spare.take().ok_or(Fault::NoSpareKey)?;
        let wrapped = partition.wrap(self.name, algorithm, purpose, self.custody, &pair)?;
        let public = partition.key(&wrapped)?.pair()?.public_der();
        Ok((wrapped, public))
    }
}

/// Unwraps key material and wraps it as a key version (contract section 5.4, importKeyMaterial). Whatever is wrong with the
/// material is one fault, after the work of an import that succeeds.
pub struct ImportKey {
    /// The ids it will carry.
    pub name: KeyName,
    /// [`Algorithm::Aes256`] or [`Algorithm::Sm4`].
    pub algorithm: Algorithm,
    /// Whose root key it hangs from.
    pub custody: Custody,
    /// The wrapping key, as [`TakeSpareKey`] made it for this key.
    pub wrapping_key: WrappedKey,
    /// How the material is wrapped.
    pub scheme: ImportScheme,
    /// The wrapped material.
    pub material: Vec<u8>,
    /// What was imported first, which it must be again.
    pub binding: Option<Binding>,
}

/// Material that was imported.
pub struct Imported {
    /// The key version.
    pub wrapped: WrappedKey,
    /// What every later import into this key must come to.
    pub binding: Binding,
}

impl sealed::Sealed for ImportKey {}

impl Command for ImportKey {
    type Reply = Imported;
    const LANE: Lane = Lane::Engine;
    const MAKES_KEY: bool = true;

    fn execute(self, partition: &Partition) -> Result<Imported, Fault> {
        if !matches!(self.algorithm, Algorithm::Aes256 | Algorithm::Sm4) {
            return Err(Fault::WrongAlgorithm);
        }
        let wrapping_key = partition.key(&self.wrapping_key)?;
        if wrapping_key.name().key != self.name.key {
            return Err(Fault::WrongPurpose);
        }
        let length = self.algorithm.key_bytes();
        let unwrapped = match wrapping_key.unwrapping()?.unwrap(self.scheme, &self.material) {
            Ok(unwrapped) => Some(unwrapped),
            Err(Fault::InvalidKeyMaterial) => None,
            Err(fault) => return Err(fault),
        };
        let unwrapped = unwrapped.filter(|material| material.len() == length);
        // What takes the place of material that is none is drawn in every case, goes the same way and is dropped at the end of it.
        let stand_in = Material::random(partition.entropy(), length)?;
        let material =
            Material::copy_of(unwrapped.as_ref().map_or(stand_in.expose(), |unwrapped| unwrapped.as_slice()));
        let binding = partition.shared().binding(&self.name.key, self.algorithm, &material)?;
        let fits: bool = binding.ct_eq(&self.binding.unwrap_or(binding)).into();
        let wrapped = partition.wrap(self.name, self.algorithm, Purpose::Cipher, self.custody, &material)?;
        if unwrapped.is_some() && fits {
            Ok(Imported { wrapped, binding })
        } else {
            Err(Fault::InvalidKeyMaterial)
        }
    }
}
