//! Files of the machine: their bytes, and how they reach the disk whole. A file is either a clear key, lying
//! apart from what it opens, or sealed under such a key and bound to its role, so that no file stands in for
//! another. Imports the standard file API and the sealing algorithm; it does not know what it seals.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::alg::aes_gcm_siv::Sealer;
use crate::alg::{NONCE_BYTES, TAG_BYTES};
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::material::Material;

/// Longest file the machine reads, in bytes; the list of partitions is bounded well below.
const FILE_BYTES_MAX: u64 = 1 << 20;
const FORMAT: u8 = 2;
const ERASED_AT_ONCE: usize = 4096;
/// Length of what every file begins with.
pub(crate) const PREFIX_BYTES: usize = 6;
const ROOT_KEY_BYTES: usize = 32;

// Every file:                          a clear key:           a sealed file:
//
//   offset  0   4  "YKMF"                6  32  key             6  12  nonce
//           4   1  format, 2                                   18   n  ciphertext
//           5   1  role                                      18+n  16  tag
//
// AES-256-GCM-SIV under the key of another file; bytes 0 to 5 are the associated data. Two files have forms of their own:
// root.bin of the software custody, and slots.bin of an attended machine.

/// Which file of the machine a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    DeviceKey,
    SoftwareKey,
    Slots,
    SoftwareRoot,
    HsmPartitions,
    SoftwarePartitions,
    SoftwarePrivate,
    AttendedSlots,
}

impl Role {
    /// What its file begins with.
    pub(crate) fn prefix(self) -> [u8; PREFIX_BYTES] {
        let code = match self {
            Self::DeviceKey => 1,
            Self::SoftwareKey => 2,
            Self::Slots => 3,
            Self::SoftwareRoot => 4,
            Self::HsmPartitions => 5,
            Self::SoftwarePartitions => 6,
            Self::SoftwarePrivate => 7,
            Self::AttendedSlots => 8,
        };
        [b'Y', b'K', b'M', b'F', FORMAT, code]
    }
}

/// The fault of a file whose bytes are not what its role asks for.
pub(crate) fn damaged() -> Fault {
    Fault::Storage(io::Error::new(io::ErrorKind::InvalidData, "damaged, or not of this machine"))
}

/// The bytes of a clear key's file.
pub(crate) fn encode_key(role: Role, key: &Material) -> Zeroizing<Vec<u8>> {
    assert_eq!(key.expose().len(), ROOT_KEY_BYTES, "keys in files are 32 bytes");
    Zeroizing::new([role.prefix().as_slice(), key.expose()].concat())
}

/// Reads a clear key back.
pub(crate) fn decode_key(role: Role, bytes: &[u8]) -> Result<Material, Fault> {
    let key = bytes.strip_prefix(role.prefix().as_slice()).ok_or_else(damaged)?;
    if key.len() != ROOT_KEY_BYTES {
        return Err(damaged());
    }
    Ok(Material::copy_of(key))
}

/// Seals the content of a file to its role.
pub(crate) fn seal(
    role: Role,
    content: &[u8],
    sealer: &Sealer,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, Fault> {
    seal_bound(&role.prefix(), content, sealer, entropy)
}

/// Seals the content of a file behind a header, and to it.
pub(crate) fn seal_bound(
    header: &[u8],
    content: &[u8],
    sealer: &Sealer,
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, Fault> {
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce)?;
    // Room for everything at once: a vector that grows would leave clear bytes behind.
    let ciphertext_at = header.len() + NONCE_BYTES;
    let mut bytes = Vec::with_capacity(ciphertext_at + content.len() + TAG_BYTES);
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(content);
    let tag = sealer.seal(&nonce, header, &mut bytes[ciphertext_at..]);
    bytes.extend_from_slice(&tag);
    assert!(bytes.len() as u64 <= FILE_BYTES_MAX, "what is written can be read: lists are bounded");
    Ok(bytes)
}

/// Opens a sealed file.
pub(crate) fn open(role: Role, bytes: &[u8], sealer: &Sealer) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let prefix = role.prefix();
    let rest = bytes.strip_prefix(prefix.as_slice()).ok_or_else(damaged)?;
    open_bound(&prefix, rest, sealer)
}

/// Opens what stands behind a header and is sealed to it.
pub(crate) fn open_bound(header: &[u8], rest: &[u8], sealer: &Sealer) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let (nonce, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let (ciphertext, tag) = rest.split_last_chunk().ok_or_else(damaged)?;
    let mut content = Zeroizing::new(ciphertext.to_vec());
    sealer.open(nonce, header, &mut content, tag).map_err(|_| damaged())?;
    Ok(content)
}

/// Reads a whole file of bounded length.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > FILE_BYTES_MAX {
        return Err(damaged());
    }
    // Room for everything at once: a vector that grows would leave clear bytes behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes a directory that only its owner enters, and those above it; an existing one is left as it is. Durable
/// when this returns.
pub(crate) fn make_directory(path: &Path) -> Result<(), Fault> {
    let missing: Vec<_> =
        path.ancestors().take_while(|part| !part.as_os_str().is_empty() && !part.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    missing.into_iter().try_for_each(sync_parent)
}

/// Writes a file that must not exist. It is durable when this returns.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(
        |cause| match cause.kind() {
            io::ErrorKind::AlreadyExists => Fault::AlreadyInitialised,
            _ => Fault::Storage(cause),
        },
    )?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_parent(path)
}

/// Replaces a file and overwrites the bytes it held: they must not be read again. A crash leaves the old file or the new
/// one, and perhaps the old bytes beside the new, for [`settle`] to erase.
pub(crate) fn replace_and_erase(path: &Path, bytes: &[u8], entropy: &dyn Entropy) -> Result<(), Fault> {
    settle(path, entropy)?;
    let new = prepare(path, bytes)?;
    let old = old(path);
    fs::hard_link(path, &old)?;
    sync_parent(path)?;
    fs::rename(&new, path)?;
    sync_parent(path)?;
    erase(&old, entropy)?;
    Ok(())
}

/// Removes what an interrupted replacement left beside a file.
pub(crate) fn settle(path: &Path, entropy: &dyn Entropy) -> Result<(), Fault> {
    let (old, new) = (old(path), new(path));
    if let (Ok(kept), Ok(left)) = (fs::metadata(path), fs::metadata(&old))
        && (kept.dev(), kept.ino()) == (left.dev(), left.ino())
    {
        // The replacement had not happened yet: both names mean the valid bytes.
        fs::remove_file(&old)?;
    }
    erase(&old, entropy)?;
    erase(&new, entropy)?;
    Ok(())
}

/// A file and what an interrupted replacement may leave beside it.
pub(crate) fn with_leftovers(path: &Path) -> [PathBuf; 3] {
    [path.to_path_buf(), old(path), new(path)]
}

/// Overwrites a file, removes it, and says whether it was there. Durable when this returns. Works as far as the file system
/// writes in place; a source of random bytes that fails is no reason to keep the file.
pub(crate) fn erase(path: &Path, entropy: &dyn Entropy) -> Result<bool, Fault> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    let mut left = file.metadata()?.len();
    while left > 0 {
        let mut block = [0; ERASED_AT_ONCE];
        let length = left.min(ERASED_AT_ONCE as u64);
        let part = &mut block[..length as usize];
        if entropy.fill(part).is_err() {
            part.fill(0);
        }
        file.write_all(part)?;
        left -= length;
    }
    file.sync_all()?;
    fs::remove_file(path)?;
    sync_parent(path)?;
    Ok(true)
}

fn old(path: &Path) -> PathBuf {
    path.with_extension("old")
}

fn new(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Writes the bytes beside the file that they will replace.
fn prepare(path: &Path, bytes: &[u8]) -> Result<PathBuf, Fault> {
    let new = new(path);
    // An earlier attempt may have left its file behind; nothing has been promised about it.
    match fs::remove_file(&new) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause.into()),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(new)
}

/// Makes the entry of a file or directory durable.
fn sync_parent(path: &Path) -> Result<(), Fault> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    File::open(parent)?.sync_all()?;
    Ok(())
}
