//! The two root keys at work, and the lists of wrapping keys they seal: the HSM custody's root key comes from a slot of the
//! machine, the software custody's from files of its own. Imports the files and the sealing algorithm; it runs no command.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::alg::aes_gcm_siv::Sealer;
use crate::directories::Directories;
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::identity::{Custody, PartitionId};
use crate::material::Material;
use crate::partition::WrappingKey;
use crate::sealed_file::{self, Role, damaged};
use crate::shared::Shared;
use crate::slots::Slots;
use crate::software_root;

/// Most partitions of one machine, the device's own included.
pub const PARTITIONS_MAX: usize = 4096;

const KEY_BYTES: usize = 32;
const FIRST_GENERATION: u32 = 1;
const ENTRY_BYTES: usize = 16 + 4 + KEY_BYTES;

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
    /// Makes the files of a new, unattended machine with the device's own partition. Refuses if any file exists.
    pub(crate) fn initialise(directories: &Directories, shared: &Shared) -> Result<(Self, Slots), Fault> {
        let entropy = shared.entropy();
        if directories.present()? > 0 {
            return Err(Fault::AlreadyInitialised);
        }
        for directory in directories.all() {
            sealed_file::make_directory(directory)?;
        }
        let device_key = Material::random(entropy, KEY_BYTES)?;
        let slots = Slots::generate(shared)?;
        let sealed = slots.seal(&device_key, entropy)?;
        let key_file = sealed_file::encode_key(Role::DeviceKey, &device_key);
        sealed_file::write_new(&directories.device_key(), &key_file)?;
        sealed_file::write_new(&directories.slots(), &sealed)?;
        let root = software_root::initialise(directories, shared)?;
        let mut roots = Self::new(directories, &slots, &root);
        roots.hsm.add(PartitionId::DEVICE, entropy, sealed_file::write_new)?;
        roots.software.add(PartitionId::DEVICE, entropy, sealed_file::write_new)?;
        Ok((roots, slots))
    }

    /// Opens the lists of a machine whose slots are open.
    pub(crate) fn open(directories: &Directories, slots: &Slots) -> Result<Self, Fault> {
        let mut roots = Self::new(directories, slots, &software_root::open(directories)?);
        roots.hsm.read()?;
        roots.software.read()?;
        Ok(roots)
    }

    fn new(directories: &Directories, slots: &Slots, root: &Material) -> Self {
        Self {
            hsm: Root::new(Custody::Hsm, directories, &slots.hsm_root),
            software: Root::new(Custody::Software, directories, root),
        }
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
