//! Argon2id version 1.3, RFC 9106: a key from a passphrase, at a price in memory and time. Imports `argon2`, which wipes
//! its memory.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use crate::alg::Forged;
use crate::material::Material;

/// Length of a salt: RFC 9106 section 3.1 recommends 16 bytes.
pub(crate) const SALT_BYTES: usize = 16;

const KEY_BYTES: usize = 32;
/// Bounds on what a file may ask for, so that a damaged one asks for no minutes and no gigabytes.
const MEMORY_KIB_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 16;

/// What deriving one key costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Memory, in KiB.
    pub(crate) memory_kib: u32,
    /// Passes over it.
    pub(crate) passes: u32,
    /// Lanes of it.
    pub(crate) lanes: u32,
}

impl Cost {
    /// The second recommended option of RFC 9106 section 4, with one lane: the library computes on one thread.
    pub(crate) const PASSPHRASE: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

    /// Derives a key: RFC 9106 section 3.2.
    pub(crate) fn derive(self, passphrase: &[u8], salt: &[u8]) -> Result<Material, Forged> {
        let Self { memory_kib, passes, lanes } = self;
        if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > LANES_MAX {
            return Err(Forged);
        }
        let parameters = Params::new(memory_kib, passes, lanes, Some(KEY_BYTES)).map_err(|_| Forged)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
            .hash_password_into(passphrase, salt, key.as_mut_slice())
            .map_err(|_| Forged)?;
        Ok(Material::copy_of(key.as_slice()))
    }
}
