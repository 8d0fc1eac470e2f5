//! Digests: no key, no secret.

use crate::alg::sm3;
use crate::command::{Command, Lane, sealed};
use crate::fault::Fault;
use crate::partition::Partition;

/// Computes SM3 of a message (contract section 5.5, messageDigest).
pub struct DigestSm3 {
    /// The message.
    pub message: Vec<u8>,
}

impl sealed::Sealed for DigestSm3 {}

impl Command for DigestSm3 {
    type Reply = [u8; 32];
    const LANE: Lane = Lane::Inline;

    fn execute(self, _: &Partition) -> Result<[u8; 32], Fault> {
        Ok(sm3::digest(&self.message))
    }
}
