//! Adapters: each file fits one library to the machine and cites the standard it implements. They import the
//! cipher libraries and nothing of the crate but `Material`. No algorithm is written here, and no length,
//! nonce or associated data is chosen here.

pub(crate) mod aes_gcm;
pub(crate) mod aes_gcm_siv;
pub(crate) mod answers;
pub(crate) mod argon2id;
pub(crate) mod hkdf;
pub(crate) mod public_key;
pub(crate) mod rsa;
pub(crate) mod sha256;
pub(crate) mod sm2;
pub(crate) mod sm3;
pub(crate) mod sm4_gcm;
pub(crate) mod source;
#[cfg(test)]
mod trials;
#[cfg(test)]
pub(crate) mod vectors;

/// Length of a tag in every mode used here.
pub(crate) const TAG_BYTES: usize = 16;

/// Length of a nonce in every mode used here.
pub(crate) const NONCE_BYTES: usize = 12;

/// A tag did not verify. Whoever sees it wipes the buffer and answers with one fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forged;
