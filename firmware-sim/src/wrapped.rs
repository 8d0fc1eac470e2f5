//! A key as it leaves the machine: encrypted under its partition's wrapping key and bound to a header that says
//! whose it is and what it may do. This file knows the bytes and their checks; it unwraps nothing (that is the
//! partition's work) and trusts no header field before the tag has verified.

use std::fmt;
use std::sync::Arc;

use crate::alg::{NONCE_BYTES, TAG_BYTES};
use crate::fault::Fault;
use crate::identity::{Algorithm, Custody, KeyName, PartitionId, Purpose};

const MAGIC: [u8; 4] = *b"YKWK";
const FORMAT: u8 = 1;
const HEADER_BYTES: usize = 61;
const KEY_AT: usize = HEADER_BYTES + NONCE_BYTES;

/// What a wrapped key says about itself. Read from outside it is a claim; inside the machine it counts only
/// after the tag has verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrappedHeader {
    /// The partition that can unwrap it.
    pub partition: PartitionId,
    /// Whose root key it hangs from.
    pub custody: Custody,
    /// Which generation of the partition's wrapping key encrypts it; the first is 1.
    pub generation: u32,
    /// The key and version it is.
    pub name: KeyName,
    /// What it computes with.
    pub algorithm: Algorithm,
    /// What it may be used for.
    pub purpose: Purpose,
    /// Whether a command may ever release it.
    pub exportable: bool,
}

impl WrappedHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        out[4] = FORMAT;
        out[5..21].copy_from_slice(&self.partition.0);
        out[21] = self.custody.code();
        out[22..26].copy_from_slice(&self.generation.to_be_bytes());
        out[26..42].copy_from_slice(&self.name.key);
        out[42..58].copy_from_slice(&self.name.version);
        out[58] = self.algorithm.code();
        out[59] = self.purpose.code();
        out[60] = u8::from(self.exportable);
        out
    }

    /// Reads a header that fits itself: known codes, and a purpose that its algorithm may have.
    fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        if bytes[..4] != MAGIC || bytes[4] != FORMAT {
            return None;
        }
        let header = Self {
            partition: PartitionId(field(bytes, 5)),
            custody: Custody::from_code(bytes[21])?,
            generation: u32::from_be_bytes(field(bytes, 22)),
            name: KeyName { key: field(bytes, 26), version: field(bytes, 42) },
            algorithm: Algorithm::from_code(bytes[58])?,
            purpose: Purpose::from_code(bytes[59])?,
            exportable: match bytes[60] {
                0 => false,
                1 => true,
                _ => return None,
            },
        };
        let fits = header.generation > 0 && header.algorithm.serves(header.purpose);
        fits.then_some(header)
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    bytes[at..at + N]
        .try_into()
        .expect("the field lies inside the header: offsets are drawn above WrappedKey")
}

// A wrapped key, all numbers big-endian:
//
//   offset  0   4  "YKWK"
//           4   1  format, 1
//           5  16  partition id
//          21   1  custody: 1 software, 2 HSM
//          22   4  generation of the wrapping key, from 1
//          26  16  key id
//          42  16  key version id
//          58   1  algorithm: 1 AES_256, 2 Ctyun_SM4, 3 secret of a credential, 4 RSA_2048, 5 Ctyun_SM2
//          59   1  purpose: 1 cipher, 2 authenticate, 3 sign, 4 decrypt, 5 unwrap
//          60   1  exportable: 0 or 1
//          61  12  nonce
//          73   n  encrypted key: 32, 16, 64, 256 or 32 bytes by algorithm
//        73+n  16  tag
//
// AES-256-GCM-SIV under the wrapping key; bytes 0 to 60 are its associated data.

/// The only form in which a key leaves the machine (design section 7). Cloning copies a reference; a clone of
/// what was unwrapped last is recognised at once.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey(Arc<[u8]>);

impl WrappedKey {
    /// Takes stored bytes back, if their form and length are right. Whether they open is found when used.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Fault> {
        let header = bytes.first_chunk().and_then(WrappedHeader::decode).ok_or(Fault::InvalidWrappedKey)?;
        if bytes.len() != KEY_AT + header.algorithm.key_bytes() + TAG_BYTES {
            return Err(Fault::InvalidWrappedKey);
        }
        Ok(Self(bytes.into()))
    }

    /// Joins the parts of a key just wrapped.
    pub(crate) fn join(
        header: &WrappedHeader,
        nonce: &[u8; NONCE_BYTES],
        key: &[u8],
        tag: &[u8; TAG_BYTES],
    ) -> Self {
        assert_eq!(key.len(), header.algorithm.key_bytes(), "a key has the length of its algorithm");
        Self([&header.encode(), nonce.as_slice(), key, tag.as_slice()].concat().into())
    }

    /// The bytes to store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What the key says about itself. A claim: only the machine can tell whether it is true.
    pub fn header(&self) -> WrappedHeader {
        WrappedHeader::decode(self.header_bytes()).expect("from_bytes decoded it, join encoded it")
    }

    /// Whether both hold the same bytes; the usual answer costs one comparison of addresses.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }

    pub(crate) fn header_bytes(&self) -> &[u8; HEADER_BYTES] {
        self.0.first_chunk().expect("from_bytes and join make nothing shorter than a header")
    }

    pub(crate) fn nonce(&self) -> &[u8; NONCE_BYTES] {
        self.0[HEADER_BYTES..].first_chunk().expect("from_bytes checked the whole length")
    }

    pub(crate) fn encrypted_key(&self) -> &[u8] {
        &self.0[KEY_AT..self.0.len() - TAG_BYTES]
    }

    pub(crate) fn tag(&self) -> &[u8; TAG_BYTES] {
        self.0.last_chunk().expect("from_bytes checked the whole length")
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.header();
        write!(out, "WrappedKey({:?} in {:?})", header.name, header.partition)
    }
}
