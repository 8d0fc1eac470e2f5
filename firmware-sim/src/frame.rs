//! The ciphertext frame of contract section 1.3: what encrypt returns and decrypt takes. This file knows its
//! bytes, its derivation and its order of checks. It imports the algorithms and the names; it holds no key and
//! reads no wrapped key.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use sm3::Sm3;
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::alg::{NONCE_BYTES, TAG_BYTES, aes_gcm, hkdf, sm4_gcm};
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::identity::{KeyName, UUID_TEXT_BYTES, uuid_text};
use crate::material::{Material, Released};

/// Longest plaintext of one frame, in bytes (contract section 1.2).
pub const PLAINTEXT_BYTES_MAX: usize = 6144;
/// Longest encryption context: names and values together, in bytes (contract section 5.5).
pub const CONTEXT_BYTES_MAX: usize = 8192;
/// Longest account id, in bytes.
pub const ACCOUNT_BYTES_MAX: usize = 128;

const LENGTH_TEXT: [u8; 4] = *b"0064";
const NAMES_BYTES: usize = 2 * UUID_TEXT_BYTES + 1;
const HEADER_BYTES: usize = LENGTH_TEXT.len() + 100;
const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
const COMMITMENT_BYTES: usize = 32;
const SALT_AT: usize = HEADER_BYTES + 1;
const COMMITMENT_AT: usize = SALT_AT + SALT_BYTES;
const CIPHERTEXT_AT: usize = COMMITMENT_AT + COMMITMENT_BYTES;
const LABEL: &[u8] = b"yaoku/frame";

/// A key version that frames are made with, by its algorithm.
#[derive(Clone, Copy)]
pub(crate) enum FrameKey<'a> {
    Aes256(&'a Material),
    Sm4(&'a Material),
}

impl FrameKey<'_> {
    /// The clear key version, to derive from.
    pub(crate) fn material(&self) -> &Material {
        match self {
            Self::Aes256(material) | Self::Sm4(material) => material,
        }
    }
}

// A frame:
//
//   offset  0    4  "0064": length of the next part in hexadecimal
//           4  100  Base64 of  <key id> "&" <key version id>,  lower-case hyphenated UUIDs
//         104    1  frame version, 1
//         105   16  salt
//         121   32  key commitment
//         153    n  GCM ciphertext, as long as the plaintext
//       153+n   16  GCM tag
//
//   lp(x) = length of x in 4 bytes, big-endian ‖ x;  header = bytes 0 to 103
//   info  = "yaoku/frame" ‖ H( lp(frame version) ‖ lp(algorithm) ‖ lp(header) ‖ lp(account)
//                              ‖ for each pair of the context, sorted by name: lp(name) ‖ lp(value) )
//   message key ‖ nonce (12) ‖ commitment (32) = HKDF(key version, salt, info)
//
// AES_256: SHA-256, a 32-byte message key, AES-256-GCM. Ctyun_SM4: SM3, a 16-byte message key, SM4-GCM. GCM's
// associated data is the header.

/// A frame whose form is right. Whether it opens is for [`crate::Decrypt`] to find.
#[derive(Clone)]
pub struct Frame {
    name: KeyName,
    bytes: Box<[u8]>,
}

impl Frame {
    /// Reads a frame strictly: one spelling of the header, the known version, a possible length.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let longest = CIPHERTEXT_AT + PLAINTEXT_BYTES_MAX + TAG_BYTES;
        if bytes.len() < CIPHERTEXT_AT + TAG_BYTES || bytes.len() > longest || bytes[HEADER_BYTES] != VERSION
        {
            return Err(Fault::InvalidFrame);
        }
        let name = read_names(&bytes[LENGTH_TEXT.len()..HEADER_BYTES]).ok_or(Fault::InvalidFrame)?;
        // One spelling only: Base64 and UUIDs have several, we accept the one we emit.
        if bytes[..HEADER_BYTES] != header(&name) {
            return Err(Fault::InvalidFrame);
        }
        Ok(Self { name, bytes: bytes.into() })
    }

    /// Whether bytes begin as every frame does: if they are none, they were one. No ciphertext of RSA or SM2 is likely to.
    pub fn resembles(bytes: &[u8]) -> bool {
        bytes.starts_with(&LENGTH_TEXT)
    }

    /// The key and version that made the frame, by its own account.
    pub fn name(&self) -> KeyName {
        self.name
    }

    /// Opens the frame. The commitment is compared before GCM runs; every failure is the same fault, and what
    /// was decrypted in vain is wiped.
    pub(crate) fn open(
        &self,
        key: FrameKey<'_>,
        account: &str,
        context: &BTreeMap<String, String>,
    ) -> Result<Released, Fault> {
        check_context(account, context)?;
        let (header, payload) = self.bytes.split_at(HEADER_BYTES);
        let salt = &payload[1..][..SALT_BYTES];
        let derived = Derived::new(key, salt, header, account, context);
        let commitment = &self.bytes[COMMITMENT_AT..CIPHERTEXT_AT];
        if !bool::from(derived.commitment().ct_eq(commitment)) {
            return Err(Fault::InvalidCiphertext);
        }
        let (ciphertext, tag) =
            self.bytes[CIPHERTEXT_AT..].split_last_chunk().expect("parse leaves no frame without a tag");
        let mut plaintext = Zeroizing::new(ciphertext.to_vec());
        let nonce = derived.nonce();
        match key {
            FrameKey::Aes256(_) => aes_gcm::open(derived.message_key(), nonce, header, &mut plaintext, tag),
            FrameKey::Sm4(_) => sm4_gcm::open(derived.message_key(), nonce, header, &mut plaintext, tag),
        }
        .map_err(|_| Fault::InvalidCiphertext)?;
        Ok(Released::new(plaintext))
    }
}

/// Makes a frame: a fresh salt, so a fresh message key and nonce, for every call.
pub(crate) fn seal(
    name: &KeyName,
    key: FrameKey<'_>,
    account: &str,
    context: &BTreeMap<String, String>,
    plaintext: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, Fault> {
    if plaintext.is_empty() || plaintext.len() > PLAINTEXT_BYTES_MAX {
        return Err(Fault::Limit("plaintext"));
    }
    check_context(account, context)?;
    let header = header(name);
    let mut salt = [0; SALT_BYTES];
    entropy.fill(&mut salt)?;
    let derived = Derived::new(key, &salt, &header, account, context);

    // Room for everything at once: a vector that grows would leave clear bytes behind.
    let mut frame = Vec::with_capacity(CIPHERTEXT_AT + plaintext.len() + TAG_BYTES);
    frame.extend_from_slice(&header);
    frame.push(VERSION);
    frame.extend_from_slice(&salt);
    frame.extend_from_slice(derived.commitment());
    frame.extend_from_slice(plaintext);
    let buffer = &mut frame[CIPHERTEXT_AT..];
    let tag = match key {
        FrameKey::Aes256(_) => aes_gcm::seal(derived.message_key(), derived.nonce(), &header, buffer),
        FrameKey::Sm4(_) => sm4_gcm::seal(derived.message_key(), derived.nonce(), &header, buffer),
    };
    frame.extend_from_slice(&tag);
    assert_eq!(frame.len(), CIPHERTEXT_AT + plaintext.len() + TAG_BYTES, "a frame has the drawn length");
    Ok(frame)
}

/// Message key ‖ nonce ‖ commitment; wiped on drop. With SM4 the end stays zero.
struct Derived {
    output: Zeroizing<[u8; Self::OUTPUT_BYTES_MAX]>,
    key_bytes: usize,
}

impl Derived {
    const OUTPUT_BYTES_MAX: usize = 32 + NONCE_BYTES + COMMITMENT_BYTES;

    fn new(
        key: FrameKey<'_>,
        salt: &[u8],
        header: &[u8],
        account: &str,
        context: &BTreeMap<String, String>,
    ) -> Self {
        let mut output = Zeroizing::new([0; Self::OUTPUT_BYTES_MAX]);
        let key_bytes = match key {
            FrameKey::Aes256(material) => {
                let bound = bind::<Sha256>("AES_256", header, account, context);
                hkdf::sha256(material.expose(), Some(salt), &[LABEL, &bound], output.as_mut_slice());
                32
            }
            FrameKey::Sm4(material) => {
                let bound = bind::<Sm3>("Ctyun_SM4", header, account, context);
                let output = &mut output[..16 + NONCE_BYTES + COMMITMENT_BYTES];
                hkdf::sm3(material.expose(), Some(salt), &[LABEL, &bound], output);
                16
            }
        };
        Self { output, key_bytes }
    }

    fn message_key<const N: usize>(&self) -> &[u8; N] {
        assert_eq!(self.key_bytes, N, "the cipher that runs is the one derived for");
        self.output.first_chunk().expect("N is 32 or 16: asserted against key_bytes")
    }

    fn nonce(&self) -> &[u8; NONCE_BYTES] {
        self.output[self.key_bytes..].first_chunk().expect("the output is longer than key and nonce")
    }

    fn commitment(&self) -> &[u8] {
        &self.output[self.key_bytes + NONCE_BYTES..][..COMMITMENT_BYTES]
    }
}

/// Hashes everything a frame is bound to, each part with its length before it.
fn bind<H: Digest>(
    algorithm: &str,
    header: &[u8],
    account: &str,
    context: &BTreeMap<String, String>,
) -> Vec<u8> {
    let mut hash = H::new();
    let mut part = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).expect("every part is bounded: check_context");
        hash.update(length.to_be_bytes());
        hash.update(bytes);
    };
    part(&[VERSION]);
    part(algorithm.as_bytes());
    part(header);
    part(account.as_bytes());
    // A BTreeMap of strings runs in the order of the names' bytes.
    for (name, value) in context {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    hash.finalize().to_vec()
}

fn check_context(account: &str, context: &BTreeMap<String, String>) -> Result<(), Fault> {
    if account.len() > ACCOUNT_BYTES_MAX {
        return Err(Fault::Limit("account"));
    }
    let bytes: usize = context.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > CONTEXT_BYTES_MAX {
        return Err(Fault::Limit("encryption context"));
    }
    Ok(())
}

/// What every frame of this key version begins with.
pub(crate) fn header(name: &KeyName) -> [u8; HEADER_BYTES] {
    let mut names = [b'&'; NAMES_BYTES];
    names[..UUID_TEXT_BYTES].copy_from_slice(&uuid_text(&name.key));
    names[UUID_TEXT_BYTES + 1..].copy_from_slice(&uuid_text(&name.version));
    let mut out = [0; HEADER_BYTES];
    let (length, text) = out.split_at_mut(LENGTH_TEXT.len());
    length.copy_from_slice(&LENGTH_TEXT);
    let written = STANDARD.encode_slice(names, text).expect("73 bytes are 100 characters of Base64");
    assert_eq!(written, text.len(), "the header is filled");
    out
}

fn read_names(text: &[u8]) -> Option<KeyName> {
    let names = STANDARD.decode(text).ok().filter(|names| names.len() == NAMES_BYTES)?;
    let key = Uuid::try_parse_ascii(&names[..UUID_TEXT_BYTES]).ok()?;
    let version = Uuid::try_parse_ascii(&names[UUID_TEXT_BYTES + 1..]).ok()?;
    Some(KeyName { key: key.into_bytes(), version: version.into_bytes() })
}
