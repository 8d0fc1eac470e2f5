//! Sealed files: a file of any size, encrypted under a data key in constant memory. Knows readers, writers and bytes;
//! never touches the network, the file system, a clock or the random generator.
//!
//! ```text
//! file    "YAOKUFL1" ‖ header length (u32, big endian, ≤ 16 KiB) ‖ header ‖ chunk 0 ‖ chunk 1 ‖ … ‖ last chunk
//! header  JSON: algorithm "AES_256" | "SM4_128", chunkBytes, cmkUuid, keyVersionId,
//!         ciphertextBlob (the data key under the CMK), nonce (Base64 of 7 bytes)
//! chunk   GCM ciphertext of chunkBytes bytes of the file ‖ 16-byte tag; the last one holds 0 to chunkBytes bytes,
//!         and 0 only in an empty file
//! nonce   7 bytes from the header ‖ chunk index (u32, big endian) ‖ 1 in the last chunk, else 0
//! associated data of every chunk   SHA-256("YAOKUFL1" ‖ header length ‖ header)
//! ```
//!
//! The chunks are the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár 2015). So every change is noticed:
//! of the header, of a bit, of the order, a chunk left out or doubled, an end cut off, bytes appended. What is read
//! from a file is passed on chunk by chunk; whoever reads it must discard all of it if [`open`] fails.

use std::error::Error;
use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use aead_stream::{NewStream, StreamBE32, StreamPrimitive};
use aes_gcm::aead::KeyInit;
use aes_gcm::aead::consts::U12;
use aes_gcm::{Aes256Gcm, AesGcm};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// First bytes of every sealed file; the last digit is the version of the format.
const MAGIC: &[u8; 8] = b"YAOKUFL1";
/// Bytes of the file in each chunk that [`seal`] writes.
const CHUNK_BYTES: u32 = 64 * 1024;
/// Largest chunk that [`open`] makes room for.
const CHUNK_BYTES_MAX: u32 = 1024 * 1024;
/// Longest header that is written or read.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Length of the random part of the nonce: the 12 bytes of GCM less 4 of counter and 1 of flag.
pub const NONCE_BYTES: usize = 7;
/// Length of the tag behind each chunk.
const TAG_BYTES: usize = 16;

/// SM4 in Galois/Counter Mode (RFC 8998, section 3.1).
type Sm4Gcm = AesGcm<sm4::Sm4, U12>;

/// The cipher that a file is sealed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// AES-256-GCM.
    #[serde(rename = "AES_256")]
    Aes256,
    /// SM4-GCM.
    #[serde(rename = "SM4_128")]
    Sm4,
}

impl Algorithm {
    /// The name in the header, which is also the `keySpec` of the data key.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes256 => "AES_256",
            Self::Sm4 => "SM4_128",
        }
    }

    /// Length of the data key.
    pub fn key_bytes(self) -> usize {
        match self {
            Self::Aes256 => 32,
            Self::Sm4 => 16,
        }
    }
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "AES_256" => Ok(Self::Aes256),
            "SM4_128" => Ok(Self::Sm4),
            _ => Err(format!("unknown algorithm {name}: use AES_256 or SM4_128")),
        }
    }
}

/// What the one who seals a file says about its data key.
#[derive(Clone, Copy)]
pub struct HeaderParts<'a> {
    /// The cipher; the data key must have its length.
    pub algorithm: Algorithm,
    /// The key that the data key is encrypted under.
    pub cmk_uuid: &'a str,
    /// The version of that key.
    pub key_version_id: &'a str,
    /// The encrypted data key, as the service returned it.
    pub ciphertext_blob: &'a str,
}

/// The header of a sealed file, checked for form. It is authentic only once [`open`] has succeeded.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Header {
    algorithm: Algorithm,
    chunk_bytes: u32,
    cmk_uuid: String,
    key_version_id: String,
    ciphertext_blob: String,
    #[serde(serialize_with = "nonce_to_text", deserialize_with = "nonce_from_text")]
    nonce: [u8; NONCE_BYTES],
}

impl Header {
    /// The key that the data key is encrypted under.
    pub fn cmk_uuid(&self) -> &str {
        &self.cmk_uuid
    }

    /// The encrypted data key.
    pub fn ciphertext_blob(&self) -> &str {
        &self.ciphertext_blob
    }

    /// How many bytes come out of `sealed_bytes` bytes of chunks.
    pub fn plain_bytes(&self, sealed_bytes: u64) -> u64 {
        let chunks = sealed_bytes.div_ceil(u64::from(self.chunk_bytes) + TAG_BYTES as u64).max(1);
        sealed_bytes.saturating_sub(chunks.saturating_mul(TAG_BYTES as u64))
    }

    fn encode(&self) -> Result<(Vec<u8>, HeaderBinding), SealedFileError> {
        let json = serde_json::to_vec(self).map_err(SealedFileError::HeaderInvalid)?;
        if json.len() > HEADER_BYTES_MAX {
            return Err(SealedFileError::HeaderTooLong { bytes: json.len() });
        }
        let length = u32::try_from(json.len()).expect("checked against HEADER_BYTES_MAX above").to_be_bytes();
        let binding = HeaderBinding::of(&length, &json);
        Ok(([MAGIC.as_slice(), &length, &json].concat(), binding))
    }
}

/// Ties every chunk to the header bytes that stood before them.
pub struct HeaderBinding([u8; 32]);

impl HeaderBinding {
    fn of(length: &[u8; 4], json: &[u8]) -> Self {
        Self(Sha256::new().chain_update(MAGIC).chain_update(length).chain_update(json).finalize().into())
    }
}

/// Seals all of `input` into `output` and returns how many bytes it read. The pair of `data_key` and `nonce` must be
/// fresh for each file. `progress` is told the bytes done so far, after each chunk.
pub fn seal(
    parts: &HeaderParts<'_>,
    data_key: &[u8],
    nonce: [u8; NONCE_BYTES],
    input: &mut impl Read,
    output: &mut impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, SealedFileError> {
    let header = Header {
        algorithm: parts.algorithm,
        chunk_bytes: CHUNK_BYTES,
        cmk_uuid: parts.cmk_uuid.to_owned(),
        key_version_id: parts.key_version_id.to_owned(),
        ciphertext_blob: parts.ciphertext_blob.to_owned(),
        nonce,
    };
    let (head, binding) = header.encode()?;
    let cipher = Cipher::new(parts.algorithm, data_key, nonce)?;
    output.write_all(&head).map_err(SealedFileError::Write)?;

    let mut chunks = Chunks::start(input, CHUNK_BYTES as usize)?;
    let mut done = 0;
    while let Some(Chunk { index, last, bytes: chunk }) = chunks.next()? {
        done += chunk.len() as u64;
        cipher.encrypt(index, last, &binding, chunk);
        output.write_all(chunk).map_err(SealedFileError::Write)?;
        progress(done);
    }
    output.flush().map_err(SealedFileError::Write)?;
    Ok(done)
}

/// Reads the header and leaves `input` at the first chunk.
pub fn read_header(input: &mut impl Read) -> Result<(Header, HeaderBinding), SealedFileError> {
    let mut magic = [0; MAGIC.len()];
    if fill(input, &mut magic)? < magic.len() || magic != *MAGIC {
        return Err(SealedFileError::NotSealed);
    }
    let mut length = [0; 4];
    if fill(input, &mut length)? < length.len() {
        return Err(SealedFileError::Truncated);
    }
    let bytes = u32::from_be_bytes(length) as usize;
    if bytes > HEADER_BYTES_MAX {
        return Err(SealedFileError::HeaderTooLong { bytes });
    }
    let mut json = vec![0; bytes];
    if fill(input, &mut json)? < bytes {
        return Err(SealedFileError::Truncated);
    }
    let header: Header = serde_json::from_slice(&json).map_err(SealedFileError::HeaderInvalid)?;
    if header.chunk_bytes == 0 || header.chunk_bytes > CHUNK_BYTES_MAX {
        return Err(SealedFileError::ChunkBytes { bytes: header.chunk_bytes });
    }
    Ok((header, HeaderBinding::of(&length, &json)))
}

/// Opens the chunks in `input` into `output` and returns how many bytes it wrote. Each chunk is authentic before it
/// is written, but only `Ok` says that the file is whole: on an error discard what was written.
pub fn open(
    header: &Header,
    binding: &HeaderBinding,
    data_key: &[u8],
    input: &mut impl Read,
    output: &mut impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, SealedFileError> {
    let cipher = Cipher::new(header.algorithm, data_key, header.nonce)?;
    let mut chunks = Chunks::start(input, header.chunk_bytes as usize + TAG_BYTES)?;
    let mut done = 0;
    while let Some(Chunk { index, last, bytes: chunk }) = chunks.next()? {
        if chunk.len() < TAG_BYTES {
            return Err(SealedFileError::Truncated);
        }
        if !cipher.decrypt(index, last, binding, chunk) {
            // A chunk that is authentic in the other role tells what happened to the end of the file.
            return Err(match (last, cipher.decrypt(index, !last, binding, chunk)) {
                (true, true) => SealedFileError::Truncated,
                (false, true) => SealedFileError::TrailingData,
                (true | false, false) => SealedFileError::NotAuthentic { chunk: index },
            });
        }
        // An empty last chunk behind others is never written: a file has one sealed form per key and nonce.
        if chunk.is_empty() && index > 0 {
            return Err(SealedFileError::NotAuthentic { chunk: index });
        }
        output.write_all(chunk).map_err(SealedFileError::Write)?;
        done += chunk.len() as u64;
        progress(done);
    }
    output.flush().map_err(SealedFileError::Write)?;
    Ok(done)
}

/// Why a file was not sealed or opened.
#[derive(Debug)]
pub enum SealedFileError {
    /// The first bytes are not those of a sealed file.
    NotSealed,
    /// The header is longer than any that is written.
    HeaderTooLong {
        /// The length found.
        bytes: usize,
    },
    /// The header is not the JSON object that it should be.
    HeaderInvalid(serde_json::Error),
    /// The header asks for chunks of a size that is not allowed.
    ChunkBytes {
        /// The size found.
        bytes: u32,
    },
    /// The data key does not have the length that the algorithm needs.
    DataKeyLength {
        /// The algorithm.
        algorithm: Algorithm,
        /// The length of the key given.
        bytes: usize,
    },
    /// The end is missing.
    Truncated,
    /// A chunk is not the one that was written at this place of this file under this key.
    NotAuthentic {
        /// Its index, from 0.
        chunk: u32,
    },
    /// More follows the last chunk.
    TrailingData,
    /// More than 2³² − 1 chunks.
    TooLarge,
    /// The input failed.
    Read(io::Error),
    /// The output failed.
    Write(io::Error),
}

impl fmt::Display for SealedFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSealed => f.write_str(
                "this is not a sealed file: it does not begin with YAOKUFL1; check that it is the right one",
            ),
            Self::HeaderTooLong { bytes } => {
                write!(
                    f,
                    "the header has {bytes} bytes, more than the {HEADER_BYTES_MAX} allowed: the file is damaged"
                )
            }
            Self::HeaderInvalid(cause) => {
                write!(
                    f,
                    "the header cannot be understood ({cause}): the file is damaged; restore it from a copy"
                )
            }
            Self::ChunkBytes { bytes } => {
                write!(
                    f,
                    "the header asks for chunks of {bytes} bytes, allowed are 1 to {CHUNK_BYTES_MAX}: the file is damaged"
                )
            }
            Self::DataKeyLength { algorithm, bytes } => write!(
                f,
                "the data key has {bytes} bytes but {} needs {}: the file is damaged or its data key was replaced",
                algorithm.name(),
                algorithm.key_bytes()
            ),
            Self::Truncated => f.write_str("the end of the file is missing: copy or fetch it again"),
            Self::NotAuthentic { chunk } => write!(
                f,
                "chunk {chunk} is not authentic: the file is damaged, cut off, altered or mixed with another; restore it from a copy"
            ),
            Self::TrailingData => {
                f.write_str("the file goes on after its end: something was appended; restore it from a copy")
            }
            Self::TooLarge => {
                write!(f, "the input needs more than {} chunks of {CHUNK_BYTES} bytes: split it", u32::MAX)
            }
            Self::Read(cause) => write!(f, "cannot read the input: {cause}"),
            Self::Write(cause) => write!(f, "cannot write the output: {cause}; check the free space"),
        }
    }
}

impl Error for SealedFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::HeaderInvalid(cause) => Some(cause),
            Self::Read(cause) | Self::Write(cause) => Some(cause),
            Self::NotSealed
            | Self::HeaderTooLong { .. }
            | Self::ChunkBytes { .. }
            | Self::DataKeyLength { .. }
            | Self::Truncated
            | Self::NotAuthentic { .. }
            | Self::TrailingData
            | Self::TooLarge => None,
        }
    }
}

/// STREAM over either cipher. Both sides name the chunk's index, so that nothing is counted twice.
enum Cipher {
    Aes256(Box<StreamBE32<Aes256Gcm>>),
    Sm4(Box<StreamBE32<Sm4Gcm>>),
}

impl Cipher {
    fn new(algorithm: Algorithm, data_key: &[u8], nonce: [u8; NONCE_BYTES]) -> Result<Self, SealedFileError> {
        let wrong_length = |_| SealedFileError::DataKeyLength { algorithm, bytes: data_key.len() };
        let nonce = nonce.into();
        Ok(match algorithm {
            Algorithm::Aes256 => {
                let aead = Aes256Gcm::new_from_slice(data_key).map_err(wrong_length)?;
                Self::Aes256(Box::new(StreamBE32::from_aead(aead, &nonce)))
            }
            Algorithm::Sm4 => {
                let aead = Sm4Gcm::new_from_slice(data_key).map_err(wrong_length)?;
                Self::Sm4(Box::new(StreamBE32::from_aead(aead, &nonce)))
            }
        })
    }

    /// Encrypts in place and appends the tag.
    fn encrypt(&self, index: u32, last: bool, binding: &HeaderBinding, chunk: &mut Vec<u8>) {
        match self {
            Self::Aes256(stream) => stream.encrypt_in_place(index, last, &binding.0, chunk),
            Self::Sm4(stream) => stream.encrypt_in_place(index, last, &binding.0, chunk),
        }
        .expect("a chunk is at most 1 MiB and GCM refuses only above 64 GiB");
    }

    /// Decrypts in place and cuts off the tag; false, and the chunk as it was, if it is not authentic.
    fn decrypt(&self, index: u32, last: bool, binding: &HeaderBinding, chunk: &mut Vec<u8>) -> bool {
        match self {
            Self::Aes256(stream) => stream.decrypt_in_place(index, last, &binding.0, chunk).is_ok(),
            Self::Sm4(stream) => stream.decrypt_in_place(index, last, &binding.0, chunk).is_ok(),
        }
    }
}

/// One chunk, in its buffer.
struct Chunk<'a> {
    index: u32,
    last: bool,
    bytes: &'a mut Vec<u8>,
}

/// Cuts a reader into chunks of one length, one ahead: whether a chunk is the last shows only behind it. The two
/// buffers are all the memory that a file needs; they have room for a tag, so that they never move.
struct Chunks<'a, R> {
    input: &'a mut R,
    bytes: usize,
    index: u32,
    current: Zeroizing<Vec<u8>>,
    ahead: Zeroizing<Vec<u8>>,
    ended: bool,
}

impl<'a, R: Read> Chunks<'a, R> {
    fn start(input: &'a mut R, bytes: usize) -> Result<Self, SealedFileError> {
        let room = || Zeroizing::new(Vec::with_capacity(bytes + TAG_BYTES));
        let mut chunks = Self { input, bytes, index: 0, current: room(), ahead: room(), ended: false };
        chunks.read_ahead()?;
        Ok(chunks)
    }

    /// The next chunk with its index and whether it is the last; at least one, even of an empty input.
    fn next(&mut self) -> Result<Option<Chunk<'_>>, SealedFileError> {
        if self.ended {
            return Ok(None);
        }
        std::mem::swap(&mut self.current, &mut self.ahead);
        // A short chunk is the last without asking again: a terminal would wait for a second end of input.
        let short = self.current.len() < self.bytes;
        if short {
            self.ahead.clear();
        } else {
            self.read_ahead()?;
        }
        self.ended = self.ahead.is_empty();
        let index = take_index(&mut self.index)?;
        Ok(Some(Chunk { index, last: self.ended, bytes: &mut self.current }))
    }

    fn read_ahead(&mut self) -> Result<(), SealedFileError> {
        self.ahead.resize(self.bytes, 0);
        let bytes = fill(self.input, &mut self.ahead)?;
        self.ahead.truncate(bytes);
        Ok(())
    }
}

/// Hands out the index of the next chunk. The highest one stays unused, so that there are at most 2³² − 1 chunks.
fn take_index(next: &mut u32) -> Result<u32, SealedFileError> {
    let index = *next;
    *next = index.checked_add(1).ok_or(SealedFileError::TooLarge)?;
    Ok(index)
}

/// Reads until the buffer is full or the input ends, and says how much it read.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, SealedFileError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(SealedFileError::Read(cause)),
        }
    }
    Ok(filled)
}

fn nonce_to_text<S: Serializer>(nonce: &[u8; NONCE_BYTES], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(nonce))
}

fn nonce_from_text<'de, D: Deserializer<'de>>(from: D) -> Result<[u8; NONCE_BYTES], D::Error> {
    let text = String::deserialize(from)?;
    let bytes = STANDARD.decode(text).map_err(|_| serde::de::Error::custom("nonce is not Base64"))?;
    bytes.try_into().map_err(|_| serde::de::Error::custom("nonce does not have 7 bytes"))
}

#[cfg(test)]
mod tests;
