//! Files of the machine: their bytes, and how they reach the disk whole. A file is either a clear key, lying
//! apart from what it opens, or sealed under such a key and bound to its role, so that no file stands in for
//! another. Imports the standard file API and the sealing algorithm; it does not know what it seals.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use crate::alg::aes_gcm_siv::Sealer;
use crate::alg::{NONCE_BYTES, TAG_BYTES};
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::material::Material;

/// Longest file the machine reads, in bytes; the list of partitions is bounded well below.
const FILE_BYTES_MAX: u64 = 1 << 20;
const FORMAT: u8 = 1;
const PREFIX_BYTES: usize = 6;
const CIPHERTEXT_AT: usize = PREFIX_BYTES + NONCE_BYTES;
const ROOT_KEY_BYTES: usize = 32;

// Every file:                          a clear key:           a sealed file:
//
//   offset  0   4  "YKMF"                6  32  key             6  12  nonce
//           4   1  format, 1                                   18   n  ciphertext
//           5   1  role                                      18+n  16  tag
//
// AES-256-GCM-SIV under the key of another file; bytes 0 to 5 are the associated data.

/// Which file of the machine a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    DeviceKey,
    SoftwareKey,
    Slots,
    SoftwareRoot,
    HsmPartitions,
    SoftwarePartitions,
}

impl Role {
    fn prefix(self) -> [u8; PREFIX_BYTES] {
        let code = match self {
            Self::DeviceKey => 1,
            Self::SoftwareKey => 2,
            Self::Slots => 3,
            Self::SoftwareRoot => 4,
            Self::HsmPartitions => 5,
            Self::SoftwarePartitions => 6,
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
    let prefix = role.prefix();
    let mut nonce = [0; NONCE_BYTES];
    entropy.fill(&mut nonce)?;
    // Room for everything at once: a vector that grows would leave clear bytes behind.
    let mut bytes = Vec::with_capacity(CIPHERTEXT_AT + content.len() + TAG_BYTES);
    bytes.extend_from_slice(&prefix);
    bytes.extend_from_slice(&nonce);
    bytes.extend_from_slice(content);
    let tag = sealer.seal(&nonce, &prefix, &mut bytes[CIPHERTEXT_AT..]);
    bytes.extend_from_slice(&tag);
    assert!(bytes.len() as u64 <= FILE_BYTES_MAX, "what is written can be read: lists are bounded");
    Ok(bytes)
}

/// Opens a sealed file.
pub(crate) fn open(role: Role, bytes: &[u8], sealer: &Sealer) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let prefix = role.prefix();
    let rest = bytes.strip_prefix(prefix.as_slice()).ok_or_else(damaged)?;
    let (nonce, rest) = rest.split_first_chunk().ok_or_else(damaged)?;
    let (ciphertext, tag) = rest.split_last_chunk().ok_or_else(damaged)?;
    let mut content = Zeroizing::new(ciphertext.to_vec());
    sealer.open(nonce, &prefix, &mut content, tag).map_err(|_| damaged())?;
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

/// Replaces a file at once: after a crash it holds the old bytes or the new ones. Durable when this returns.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let new = path.with_extension("new");
    // An earlier attempt may have left its file behind; nothing has been promised about it.
    match fs::remove_file(&new) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause.into()),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_parent(path)
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
