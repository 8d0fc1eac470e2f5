//! The two root keys and the lists of wrapping keys they seal. HSM custody: the root key lies in a slot of the
//! machine, whose slots are one file sealed by a key on the device ("unattended": whoever has both files has the
//! machine). Software custody: the root key lies in a file sealed by a key in another file. Imports the files
//! and the sealing algorithm; it runs no command.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::alg::aes_gcm_siv::Sealer;
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::identity::{Custody, PartitionId};
use crate::material::Material;
use crate::partition::WrappingKey;
use crate::sealed_file::{self, Role, damaged};

/// Most partitions of one machine, the device's own included.
pub const PARTITIONS_MAX: usize = 4096;

const KEY_BYTES: usize = 32;
const FIRST_GENERATION: u32 = 1;
const ROOT_KEY_SLOT: u8 = 1;
const SLOTS_PREFIX: [u8; 2] = [1, ROOT_KEY_SLOT];
const ENTRY_BYTES: usize = 16 + 4 + KEY_BYTES;

/// Where the machine keeps its files. The keys in `device` and `software_key` open what lies in the other two,
/// so they are worth most when kept, and backed up, elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// Holds `slots.bin` and `partitions.bin`, the machine's own memory.
    pub hsm: PathBuf,
    /// Holds `device.key`, which opens `slots.bin`.
    pub device: PathBuf,
    /// Holds `root.bin` and `partitions.bin` of the software custody.
    pub software: PathBuf,
    /// Holds `root.key`, which opens `root.bin`.
    pub software_key: PathBuf,
}

impl Directories {
    fn device_key(&self) -> PathBuf {
        self.device.join("device.key")
    }

    fn software_key(&self) -> PathBuf {
        self.software_key.join("root.key")
    }

    fn slots(&self) -> PathBuf {
        self.hsm.join("slots.bin")
    }

    fn software_root(&self) -> PathBuf {
        self.software.join("root.bin")
    }

    fn partitions(&self, custody: Custody) -> PathBuf {
        match custody {
            Custody::Software => self.software.join("partitions.bin"),
            Custody::Hsm => self.hsm.join("partitions.bin"),
        }
    }

    fn files(&self) -> [PathBuf; 6] {
        [
            self.device_key(),
            self.software_key(),
            self.slots(),
            self.software_root(),
            self.partitions(Custody::Hsm),
            self.partitions(Custody::Software),
        ]
    }

    /// How many of the machine's files are there.
    fn present(&self) -> Result<usize, Fault> {
        let mut present = 0;
        for file in self.files() {
            present += usize::from(file.try_exists()?);
        }
        Ok(present)
    }
}

/// One custody: its root key, ready to seal, and the wrapping keys of its partitions as they lie on disk.
pub(crate) struct Root {
    role: Role,
    path: PathBuf,
    sealer: Sealer,
    entries: Vec<Entry>,
}

// The content of partitions.bin, sealed under the root key of its custody, all numbers big-endian:
//
//   offset        0   4  number of partitions, n
//        4 + 52 * i  16  partition id           for i in 0..n, in the order they were made
//                     4  generation, from 1
//                    32  wrapping key

/// A partition's wrapping key in one custody.
type Entry = (PartitionId, Arc<WrappingKey>);

impl Root {
    fn new(custody: Custody, directories: &Directories, key: &Material) -> Self {
        let role = match custody {
            Custody::Software => Role::SoftwarePartitions,
            Custody::Hsm => Role::HsmPartitions,
        };
        Self { role, path: directories.partitions(custody), sealer: Sealer::new(key), entries: Vec::new() }
    }

    /// Finds the wrapping key of a partition.
    pub(crate) fn find(&self, id: PartitionId) -> Option<Arc<WrappingKey>> {
        self.entries.iter().find(|(entry, _)| *entry == id).map(|(_, key)| key.clone())
    }

    /// The partitions that have a wrapping key in this custody.
    pub(crate) fn ids(&self) -> impl Iterator<Item = PartitionId> {
        self.entries.iter().map(|(id, _)| *id)
    }

    /// Finds the wrapping key of a partition, or makes one and stores it before it returns.
    pub(crate) fn ensure(
        &mut self,
        id: PartitionId,
        entropy: &dyn Entropy,
    ) -> Result<Arc<WrappingKey>, Fault> {
        if let Some(key) = self.find(id) {
            return Ok(key);
        }
        self.add(id, entropy, sealed_file::replace)
    }

    fn add(
        &mut self,
        id: PartitionId,
        entropy: &dyn Entropy,
        write: fn(&Path, &[u8]) -> Result<(), Fault>,
    ) -> Result<Arc<WrappingKey>, Fault> {
        if self.entries.len() >= PARTITIONS_MAX {
            return Err(Fault::Limit("partitions"));
        }
        let key = Arc::new(WrappingKey::new(FIRST_GENERATION, Material::random(entropy, KEY_BYTES)?));
        let mut entries = self.entries.clone();
        entries.push((id, key.clone()));
        write(&self.path, &sealed_file::seal(self.role, &encode(&entries), &self.sealer, entropy)?)?;
        self.entries = entries;
        Ok(key)
    }

    fn read(&mut self) -> Result<(), Fault> {
        let bytes = sealed_file::read(&self.path)?;
        self.entries = decode(&sealed_file::open(self.role, &bytes, &self.sealer)?).ok_or_else(damaged)?;
        Ok(())
    }
}

/// Both custodies of a machine.
pub(crate) struct Roots {
    pub(crate) hsm: Root,
    pub(crate) software: Root,
}

impl Roots {
    /// Makes the root keys, their files, and the device's own partition. Refuses if any file exists.
    pub(crate) fn initialise(directories: &Directories, entropy: &dyn Entropy) -> Result<Self, Fault> {
        if directories.present()? > 0 {
            return Err(Fault::AlreadyInitialised);
        }
        let Directories { hsm, device, software, software_key } = directories;
        for directory in [hsm, device, software, software_key] {
            sealed_file::make_directory(directory)?;
        }
        let device_key = Material::random(entropy, KEY_BYTES)?;
        let software_key = Material::random(entropy, KEY_BYTES)?;
        let slot = Material::random(entropy, KEY_BYTES)?;
        let root = Material::random(entropy, KEY_BYTES)?;
        let slots = Zeroizing::new([SLOTS_PREFIX.as_slice(), slot.expose()].concat());
        let slots = sealed_file::seal(Role::Slots, &slots, &Sealer::new(&device_key), entropy)?;
        let sealed_root =
            sealed_file::seal(Role::SoftwareRoot, root.expose(), &Sealer::new(&software_key), entropy)?;

        sealed_file::write_new(
            &directories.device_key(),
            &sealed_file::encode_key(Role::DeviceKey, &device_key),
        )?;
        sealed_file::write_new(
            &directories.software_key(),
            &sealed_file::encode_key(Role::SoftwareKey, &software_key),
        )?;
        sealed_file::write_new(&directories.slots(), &slots)?;
        sealed_file::write_new(&directories.software_root(), &sealed_root)?;
        let mut roots = Self {
            hsm: Root::new(Custody::Hsm, directories, &slot),
            software: Root::new(Custody::Software, directories, &root),
        };
        roots.hsm.add(PartitionId::DEVICE, entropy, sealed_file::write_new)?;
        roots.software.add(PartitionId::DEVICE, entropy, sealed_file::write_new)?;
        Ok(roots)
    }

    /// Opens the files of a machine.
    pub(crate) fn open(directories: &Directories) -> Result<Self, Fault> {
        if directories.present()? == 0 {
            return Err(Fault::NotInitialised);
        }
        let device_key =
            sealed_file::decode_key(Role::DeviceKey, &sealed_file::read(&directories.device_key())?)?;
        let slots = sealed_file::read(&directories.slots())?;
        let slots = sealed_file::open(Role::Slots, &slots, &Sealer::new(&device_key))?;
        let slot = slots.strip_prefix(SLOTS_PREFIX.as_slice()).ok_or_else(damaged)?;

        let software_key =
            sealed_file::decode_key(Role::SoftwareKey, &sealed_file::read(&directories.software_key())?)?;
        let root = sealed_file::read(&directories.software_root())?;
        let root = sealed_file::open(Role::SoftwareRoot, &root, &Sealer::new(&software_key))?;
        if slot.len() != KEY_BYTES || root.len() != KEY_BYTES {
            return Err(damaged());
        }
        let mut roots = Self {
            hsm: Root::new(Custody::Hsm, directories, &Material::copy_of(slot)),
            software: Root::new(Custody::Software, directories, &Material::copy_of(&root)),
        };
        roots.hsm.read()?;
        roots.software.read()?;
        Ok(roots)
    }
}

fn encode(entries: &[Entry]) -> Zeroizing<Vec<u8>> {
    let count = u32::try_from(entries.len()).expect("a list is bounded by PARTITIONS_MAX");
    // Room for everything at once: a vector that grows would leave clear bytes behind.
    let mut content = Zeroizing::new(Vec::with_capacity(4 + ENTRY_BYTES * entries.len()));
    content.extend_from_slice(&count.to_be_bytes());
    for (id, key) in entries {
        content.extend_from_slice(&id.0);
        content.extend_from_slice(&key.generation.to_be_bytes());
        content.extend_from_slice(key.material.expose());
    }
    content
}

fn decode(content: &[u8]) -> Option<Vec<Entry>> {
    let (count, rest) = content.split_first_chunk()?;
    let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
    if count > PARTITIONS_MAX || rest.len() != count * ENTRY_BYTES {
        return None;
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    for entry in rest.chunks_exact(ENTRY_BYTES) {
        let (id, entry) = entry.split_first_chunk()?;
        let (generation, key) = entry.split_first_chunk()?;
        let (id, generation) = (PartitionId(*id), u32::from_be_bytes(*generation));
        if generation == 0 || entries.iter().any(|(earlier, _)| *earlier == id) {
            return None;
        }
        entries.push((id, Arc::new(WrappingKey::new(generation, Material::copy_of(key)))));
    }
    Some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u8, generation: u32) -> Entry {
        (PartitionId([id; 16]), Arc::new(WrappingKey::new(generation, Material::copy_of(&[id; KEY_BYTES]))))
    }

    #[test]
    fn lists_are_read_as_they_are_written() {
        let content = encode(&[entry(0, 1), entry(7, 3)]);
        assert_eq!(content.len(), 4 + 2 * ENTRY_BYTES);
        let entries = decode(&content).expect("a list");
        let read: Vec<_> =
            entries.iter().map(|(id, key)| (id.0[0], key.generation, key.material.expose()[0])).collect();
        assert_eq!(read, [(0, 1, 0), (7, 3, 7)]);
        assert_eq!(decode(&encode(&[])).expect("an empty list").len(), 0);
    }

    #[test]
    fn lists_that_contradict_themselves_are_refused() {
        let content = encode(&[entry(0, 1), entry(7, 1)]);
        for length in 0..content.len() {
            assert!(decode(&content[..length]).is_none(), "cut to {length}");
        }
        assert!(decode(&[content.as_slice(), &[0]].concat()).is_none(), "a byte too many");
        assert!(decode(&encode(&[entry(7, 1), entry(7, 2)])).is_none(), "a partition twice");
        assert!(decode(&encode(&[entry(7, 0)])).is_none(), "generation 0");
        let many = vec![entry(7, 1); PARTITIONS_MAX + 1];
        assert!(decode(&encode(&many)).is_none(), "more than the limit");
    }
}
