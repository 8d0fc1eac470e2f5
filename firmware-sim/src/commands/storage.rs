//! The storage domain: what the service keeps at rest and must not keep clear. Both commands run in the
//! device's partition, which holds the domain key expanded; any other partition answers `WrongPurpose`.

use zeroize::Zeroizing;

use crate::alg::{NONCE_BYTES, TAG_BYTES};
use crate::command::{Command, Lane, sealed};
use crate::fault::Fault;
use crate::material::Released;
use crate::partition::Partition;

/// Longest name of a place, in bytes.
pub const PLACE_BYTES_MAX: usize = 1024;
/// Longest plaintext that is sealed at once, in bytes.
pub const SEALED_PLAINTEXT_BYTES_MAX: usize = 16 << 20;

const FORMAT: u8 = 1;
const CIPHERTEXT_AT: usize = 1 + NONCE_BYTES;

// What Seal answers:
//
//   offset  0   1  format, 1
//           1  12  nonce
//          13   n  ciphertext, as long as the plaintext
//        13+n  16  tag
//
// AES-256-GCM-SIV under the key of the storage domain, which lies in a slot of the machine; associated data =
// format ‖ place.

/// Seals bytes to the place they are stored at (design section 7).
pub struct Seal {
    /// Where the bytes will live, such as table and key; not empty.
    pub place: Vec<u8>,
    /// What to seal.
    pub plaintext: Zeroizing<Vec<u8>>,
}

impl sealed::Sealed for Seal {}

impl Command for Seal {
    type Reply = Vec<u8>;
    const LANE: Lane = Lane::Inline;

    fn execute(self, partition: &Partition) -> Result<Vec<u8>, Fault> {
        let domain = partition.storage_domain()?;
        let associated = associated(&self.place)?;
        if self.plaintext.len() > SEALED_PLAINTEXT_BYTES_MAX {
            return Err(Fault::Limit("plaintext"));
        }
        let mut nonce = [0; NONCE_BYTES];
        partition.entropy().fill(&mut nonce)?;
        // Room for everything at once: a vector that grows would leave clear bytes behind.
        let mut sealed = Vec::with_capacity(CIPHERTEXT_AT + self.plaintext.len() + TAG_BYTES);
        sealed.push(FORMAT);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&self.plaintext);
        let tag = domain.seal(&nonce, &associated, &mut sealed[CIPHERTEXT_AT..]);
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }
}

/// Opens what [`Seal`] sealed to the same place.
pub struct Open {
    /// Where the bytes lay; not empty.
    pub place: Vec<u8>,
    /// What [`Seal`] answered.
    pub sealed: Vec<u8>,
}

impl sealed::Sealed for Open {}

impl Command for Open {
    type Reply = Released;
    const LANE: Lane = Lane::Inline;

    fn execute(self, partition: &Partition) -> Result<Released, Fault> {
        let domain = partition.storage_domain()?;
        let associated = associated(&self.place)?;
        let Some((&[FORMAT], rest)) = self.sealed.split_first_chunk() else {
            return Err(Fault::InvalidCiphertext);
        };
        let (nonce, rest) = rest.split_first_chunk().ok_or(Fault::InvalidCiphertext)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or(Fault::InvalidCiphertext)?;
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        domain.open(nonce, &associated, &mut plaintext, tag).map_err(|_| Fault::InvalidCiphertext)?;
        Ok(Released::new(plaintext))
    }
}

fn associated(place: &[u8]) -> Result<Vec<u8>, Fault> {
    if place.is_empty() || place.len() > PLACE_BYTES_MAX {
        return Err(Fault::Limit("place"));
    }
    Ok([&[FORMAT], place].concat())
}
