//! Trials with figures: many inputs that must be refused, and many random choices that must not repeat. `LONG_RUN=1` makes
//! them many more. All of it is the same at every run: the randomness is a count, hashed.

mod ciphertexts;
mod nonces;
mod recipients;
mod tags;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::alg::answers::sm2::PRIVATE;
use crate::alg::sm2::PrivateKey;
use crate::alg::sm3;
use crate::entropy::{Entropy, EntropyFailed};
use crate::material::Material;

/// How often a trial is repeated.
fn rounds(ordinary: usize, long: usize) -> usize {
    if std::env::var_os("LONG_RUN").is_some() { long } else { ordinary }
}

/// The private key of GB/T 32918.5.
fn key() -> PrivateKey {
    PrivateKey::from_material(Material::copy_of(&PRIVATE)).expect("the published key is in range")
}

/// Bytes that do not repeat: hashes of a count.
#[derive(Default)]
struct Counted(AtomicU64);

impl Entropy for Counted {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
        for chunk in out.chunks_mut(32) {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            chunk.copy_from_slice(&sm3::digest(&count.to_be_bytes())[..chunk.len()]);
        }
        Ok(())
    }
}

impl Counted {
    /// A number below this.
    fn below(&self, limit: usize) -> usize {
        let mut bytes = [0; 8];
        self.fill(&mut bytes).expect("hashing does not fail");
        (u64::from_be_bytes(bytes) % limit as u64) as usize
    }
}
