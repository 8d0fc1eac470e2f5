//! What redb reads and writes through, apart from the system's file: a file that fails when a test says so, and a view of
//! a file whose changes stay in memory.

use std::collections::HashMap;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use crate::env::{DiskFault, DiskFaults, DiskOperation};

/// Bytes that the view keeps together.
const BLOCK: u64 = 4096;

/// A file whose operations fail when a test says so.
pub(super) struct FaultyFile {
    pub file: FileBackend,
    pub faults: Arc<DiskFaults>,
}

impl FaultyFile {
    fn ask(&self, operation: DiskOperation) -> io::Result<()> {
        match (self.faults)(operation) {
            None => Ok(()),
            Some(fault) => Err(fault.into()),
        }
    }
}

impl From<DiskFault> for io::Error {
    fn from(fault: DiskFault) -> Self {
        Self::from_raw_os_error(match fault {
            DiskFault::Broken | DiskFault::Short => rustix::io::Errno::IO.raw_os_error(),
            DiskFault::Full => rustix::io::Errno::NOSPC.raw_os_error(),
        })
    }
}

impl std::fmt::Debug for FaultyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.file, f)
    }
}

impl StorageBackend for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.ask(DiskOperation::Read)?;
        self.file.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.ask(DiskOperation::Resize)?;
        self.file.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.ask(DiskOperation::Sync)?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        match (self.faults)(DiskOperation::Write) {
            None => self.file.write(offset, data),
            Some(fault) => {
                if fault == DiskFault::Short {
                    self.file.write(offset, data.get(..data.len() / 2).unwrap_or_default())?;
                }
                Err(fault.into())
            }
        }
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

/// A file as it is, with everything that is written to it kept in memory.
pub(super) struct Overlay {
    file: Box<dyn StorageBackend>,
    changed: Mutex<Changed>,
}

struct Changed {
    length: u64,
    blocks: HashMap<u64, Vec<u8>>,
}

impl Overlay {
    pub fn new(file: Box<dyn StorageBackend>) -> io::Result<Self> {
        let changed = Changed { length: file.len()?, blocks: HashMap::new() };
        Ok(Self { file, changed: Mutex::new(changed) })
    }

    /// A block of the file; zeros behind its end.
    fn block(&self, number: u64) -> io::Result<Vec<u8>> {
        let (start, end) = (number * BLOCK, self.file.len()?);
        let mut block = vec![0; BLOCK as usize];
        let there = usize::try_from(end.saturating_sub(start).min(BLOCK)).unwrap_or_default();
        if let Some(there) = block.get_mut(..there).filter(|there| !there.is_empty()) {
            self.file.read(start, there)?;
        }
        Ok(block)
    }
}

/// The parts of a range, block by block: number, start in the block, and length.
fn parts(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + length as u64;
    (offset / BLOCK..end.div_ceil(BLOCK)).map(move |number| {
        let (from, to) = (offset.max(number * BLOCK), end.min((number + 1) * BLOCK));
        (number, (from % BLOCK) as usize, (to - from) as usize)
    })
}

impl std::fmt::Debug for Overlay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(&self.file, f)
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.changed.lock().unwrap_or_else(PoisonError::into_inner).length)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        if changed.blocks.is_empty() {
            return self.file.read(offset, out);
        }
        for (number, start, length) in parts(offset, out.len()) {
            let (part, rest) = out.split_at_mut(length);
            match changed.blocks.get(&number) {
                Some(block) => part.copy_from_slice(block.get(start..start + length).unwrap_or_default()),
                None if (number + 1) * BLOCK <= self.file.len()? => {
                    self.file.read(number * BLOCK + start as u64, part)?;
                }
                None => {
                    part.copy_from_slice(self.block(number)?.get(start..start + length).unwrap_or_default())
                }
            }
            out = rest;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner).length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        for (number, start, length) in parts(offset, data.len()) {
            let (part, rest) = data.split_at(length);
            let block = match changed.blocks.entry(number) {
                std::collections::hash_map::Entry::Occupied(entry) => entry.into_mut(),
                std::collections::hash_map::Entry::Vacant(entry) => entry.insert(self.block(number)?),
            };
            if let Some(to) = block.get_mut(start..start + length) {
                to.copy_from_slice(part);
            }
            data = rest;
        }
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_a_view_is_read_back_and_leaves_the_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let before: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &before).unwrap();
        let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let view = Overlay::new(Box::new(FileBackend::new(file).unwrap())).unwrap();
        let read = |from: usize, length: usize| {
            let mut out = vec![0; length];
            view.read(from as u64, &mut out).unwrap();
            out
        };
        assert_eq!(read(17, 9000), before[17..9017]);
        let mut expected = before.clone();
        expected.resize(20_000, 0);
        view.set_len(20_000).unwrap();
        for (from, length) in [(4000, 200), (0, 1), (9_990, 30), (8_192, 4_096), (19_999, 1)] {
            view.write(from as u64, &vec![9; length]).unwrap();
            expected[from..from + length].fill(9);
        }
        assert_eq!((view.len().unwrap(), read(0, 20_000)), (20_000, expected.clone()));
        assert_eq!(read(4095, 5000), expected[4095..9095]);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}
