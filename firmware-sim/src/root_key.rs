//! The two root keys at work, and the lists of wrapping keys they seal: the HSM custody's root key comes from a slot of the
//! machine, the software custody's from files of its own. Imports the files and the sealing algorithm; it runs no command.

use std::path::PathBuf;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::alg::aes_gcm_siv::Sealer;
use crate::directories::Directories;
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::identity::{Custody, PartitionId};
use crate::material::Material;
use crate::partition::{Generations, WrappingKey};
use crate::sealed_file::{self, Role, damaged};
use crate::shared::Shared;
use crate::slots::Slots;
use crate::software_root;

/// Most partitions of one machine, the device's own included: each tenant has one of its own and one for a service.
pub const PARTITIONS_MAX: usize = 8192;

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
//   offset        0   4  number of entries, n
//        4 + 52 * i  16  partition id           for i in 0..n, in the order they were made
//                     4  generation, from 1
//                    32  wrapping key
//
// While a partition's wrapping key rolls, two entries of it stand one after the other: generation g, then g + 1.

/// A partition's wrapping key in one custody.
type Entry = (PartitionId, Generations);

impl Root {
    fn new(custody: Custody, directories: &Directories, key: &Material) -> Self {
        let role = match custody {
            Custody::Software => Role::SoftwarePartitions,
            Custody::Hsm => Role::HsmPartitions,
        };
        Self { role, path: directories.partitions(custody), sealer: Sealer::new(key), entries: Vec::new() }
    }

    /// Finds the wrapping key of a partition.
    pub(crate) fn find(&self, id: PartitionId) -> Option<Generations> {
        self.entries.iter().find(|(entry, _)| *entry == id).map(|(_, key)| key.clone())
    }

    /// The partitions that have a wrapping key in this custody.
    pub(crate) fn ids(&self) -> impl Iterator<Item = PartitionId> {
        self.entries.iter().map(|(id, _)| *id)
    }

    /// Finds the wrapping key of a partition, or makes one and stores it before it returns.
    pub(crate) fn ensure(&mut self, id: PartitionId, entropy: &dyn Entropy) -> Result<Generations, Fault> {
        if let Some(key) = self.find(id) {
            return Ok(key);
        }
        let (entries, key) = self.with_new(id, entropy)?;
        self.replace(entries, entropy)?;
        Ok(key)
    }

    /// Adds this generation of a partition's wrapping key, if it is not there, and stores it before it returns.
    pub(crate) fn begin_roll(
        &mut self,
        id: PartitionId,
        generation: u32,
        entropy: &dyn Entropy,
    ) -> Result<Generations, Fault> {
        let present = self.find(id).ok_or(Fault::NoSuchPartition)?;
        if present.newest.generation == generation {
            return Ok(present);
        }
        assert_eq!(present.newest.generation + 1, generation, "generations follow each other");
        assert!(present.retiring.is_none(), "there are never three generations");
        let newest = Arc::new(WrappingKey::new(generation, Material::random(entropy, KEY_BYTES)?));
        let rolling = Generations { newest, retiring: Some(present.newest) };
        self.put(id, &rolling, entropy)?;
        Ok(rolling)
    }

    /// Leaves of a partition's wrapping key the newest generation only. No file holds the other when this returns, and
    /// the bytes of those that did are overwritten.
    pub(crate) fn finish_roll(
        &mut self,
        id: PartitionId,
        entropy: &dyn Entropy,
    ) -> Result<Generations, Fault> {
        let present = self.find(id).ok_or(Fault::NoSuchPartition)?;
        if present.retiring.is_none() {
            return Ok(present);
        }
        let rolled = Generations { newest: present.newest, retiring: None };
        self.put(id, &rolled, entropy)?;
        Ok(rolled)
    }

    fn put(&mut self, id: PartitionId, key: &Generations, entropy: &dyn Entropy) -> Result<(), Fault> {
        let mut entries = self.entries.clone();
        entries.iter_mut().filter(|(entry, _)| *entry == id).for_each(|(_, place)| *place = key.clone());
        self.replace(entries, entropy)
    }

    /// Every list that is replaced is overwritten: it holds generations that are to vanish one day.
    fn replace(&mut self, entries: Vec<Entry>, entropy: &dyn Entropy) -> Result<(), Fault> {
        let sealed = self.seal(&entries, entropy)?;
        sealed_file::replace_and_erase(&self.path, &sealed, entropy)?;
        self.entries = entries;
        Ok(())
    }

    /// Stores the first list.
    fn create(&mut self, entropy: &dyn Entropy) -> Result<(), Fault> {
        let (entries, _) = self.with_new(PartitionId::DEVICE, entropy)?;
        sealed_file::write_new(&self.path, &self.seal(&entries, entropy)?)?;
        self.entries = entries;
        Ok(())
    }

    fn with_new(&self, id: PartitionId, entropy: &dyn Entropy) -> Result<(Vec<Entry>, Generations), Fault> {
        if self.entries.len() >= PARTITIONS_MAX {
            return Err(Fault::Limit("partitions"));
        }
        let material = Material::random(entropy, KEY_BYTES)?;
        let key = Generations::single(WrappingKey::new(FIRST_GENERATION, material));
        let mut entries = self.entries.clone();
        entries.push((id, key.clone()));
        Ok((entries, key))
    }

    fn seal(&self, entries: &[Entry], entropy: &dyn Entropy) -> Result<Vec<u8>, Fault> {
        sealed_file::seal(self.role, &encode(entries), &self.sealer, entropy)
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
        roots.hsm.create(entropy)?;
        roots.software.create(entropy)?;
        Ok((roots, slots))
    }

    /// Opens the lists of a machine whose slots are open.
    pub(crate) fn open(directories: &Directories, slots: &Slots) -> Result<Self, Fault> {
        let mut roots = Self::new(directories, slots, &software_root::open(directories)?);
        roots.hsm.read()?;
        roots.software.read()?;
        Ok(roots)
    }

    /// The wrapping keys of a partition in software and HSM custody, if both have it and stand together. A generation that
    /// one custody has begun and the other lacks does not count: its roll was cut off before anybody used it.
    pub(crate) fn pair(&self, id: PartitionId) -> Option<(Generations, Generations)> {
        let together =
            |software: &Generations, hsm: &Generations| software.newest.generation == hsm.newest.generation;
        let (software, hsm) = self.software.find(id).zip(self.hsm.find(id))?;
        if together(&software, &hsm) {
            return Some((software, hsm));
        }
        let (software, hsm) = (software.before_roll(), hsm.before_roll());
        together(&software, &hsm).then_some((software, hsm))
    }

    fn new(directories: &Directories, slots: &Slots, root: &Material) -> Self {
        Self {
            hsm: Root::new(Custody::Hsm, directories, &slots.hsm_root),
            software: Root::new(Custody::Software, directories, root),
        }
    }
}

fn encode(entries: &[Entry]) -> Zeroizing<Vec<u8>> {
    let keys = || {
        let oldest_first = |key: &Generations| [key.retiring.clone(), Some(key.newest.clone())];
        entries
            .iter()
            .flat_map(move |(id, key)| oldest_first(key).into_iter().flatten().map(move |key| (id, key)))
    };
    let length = keys().count();
    let count = u32::try_from(length).expect("a list is bounded by PARTITIONS_MAX");
    // Room for everything at once: a vector that grows would leave clear bytes behind.
    let mut content = Zeroizing::new(Vec::with_capacity(4 + ENTRY_BYTES * length));
    content.extend_from_slice(&count.to_be_bytes());
    for (id, key) in keys() {
        content.extend_from_slice(&id.0);
        content.extend_from_slice(&key.generation.to_be_bytes());
        content.extend_from_slice(key.material.expose());
    }
    content
}

fn decode(content: &[u8]) -> Option<Vec<Entry>> {
    let (count, rest) = content.split_first_chunk()?;
    let count = usize::try_from(u32::from_be_bytes(*count)).ok()?;
    if count > 2 * PARTITIONS_MAX || rest.len() != count * ENTRY_BYTES {
        return None;
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(count);
    for entry in rest.chunks_exact(ENTRY_BYTES) {
        let (id, entry) = entry.split_first_chunk()?;
        let (generation, key) = entry.split_first_chunk()?;
        let (id, generation) = (PartitionId(*id), u32::from_be_bytes(*generation));
        let key = WrappingKey::new(generation, Material::copy_of(key));
        if let Some((last, before)) = entries.last_mut()
            && *last == id
        {
            let follows = before.newest.generation.checked_add(1) == Some(generation);
            if before.retiring.is_some() || !follows {
                return None;
            }
            *before = Generations { newest: Arc::new(key), retiring: Some(before.newest.clone()) };
            continue;
        }
        if generation == 0 || entries.iter().any(|(earlier, _)| *earlier == id) {
            return None;
        }
        entries.push((id, Generations::single(key)));
    }
    (entries.len() <= PARTITIONS_MAX).then_some(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u8, generation: u32) -> WrappingKey {
        WrappingKey::new(generation, Material::copy_of(&[id; KEY_BYTES]))
    }

    fn entry(id: u8, generation: u32) -> Entry {
        (PartitionId([id; 16]), Generations::single(key(id, generation)))
    }

    fn rolling(id: u8, from: u32) -> Entry {
        let retiring = Some(Arc::new(key(id + 100, from)));
        (PartitionId([id; 16]), Generations { newest: Arc::new(key(id, from + 1)), retiring })
    }

    #[test]
    fn lists_are_read_as_they_are_written() {
        let content = encode(&[entry(0, 1), rolling(5, 2), entry(7, 3)]);
        assert_eq!(content.len(), 4 + 4 * ENTRY_BYTES);
        let entries = decode(&content).expect("a list");
        let view = |key: &Arc<WrappingKey>| (key.generation, key.material.expose()[0]);
        let read: Vec<_> =
            entries.iter().map(|(id, key)| (id.0[0], key.keys().map(view).collect::<Vec<_>>())).collect();
        assert_eq!(read, [(0, vec![(1, 0)]), (5, vec![(3, 5), (2, 105)]), (7, vec![(3, 7)])]);
        assert_eq!(decode(&encode(&[])).expect("an empty list").len(), 0);
    }

    #[test]
    fn lists_that_contradict_themselves_are_refused() {
        let content = encode(&[entry(0, 1), rolling(7, 1)]);
        for length in 0..content.len() {
            assert!(decode(&content[..length]).is_none(), "cut to {length}");
        }
        assert!(decode(&[content.as_slice(), &[0]].concat()).is_none(), "a byte too many");
        for (list, wrong) in [
            (vec![entry(7, 1), entry(7, 1)], "a generation twice"),
            (vec![entry(7, 1), entry(7, 3)], "a generation left out"),
            (vec![entry(7, 2), entry(7, 1)], "generations backwards"),
            (vec![rolling(7, 1), entry(7, 3)], "three generations"),
            (vec![entry(7, 1), entry(8, 1), entry(7, 2)], "generations apart"),
            (vec![entry(7, 0)], "generation 0"),
            (vec![entry(7, u32::MAX), entry(7, 0)], "a generation after the last"),
        ] {
            assert!(decode(&encode(&list)).is_none(), "{wrong}");
        }
        let id = |number: usize| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&number.to_be_bytes());
            PartitionId(id)
        };
        let many = |count| (0..count).map(|number| (id(number), rolling(7, 1).1)).collect::<Vec<_>>();
        assert_eq!(decode(&encode(&many(PARTITIONS_MAX))).map(|list| list.len()), Some(PARTITIONS_MAX));
        assert!(decode(&encode(&many(PARTITIONS_MAX + 1))).is_none(), "more than the limit");
    }
}
