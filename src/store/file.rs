//! The database file as it is at the moment: open, or closed after a failure until the writer has opened it again. A
//! failed operation says little about what is on the disk, so nothing is tried again on the same handle; each reopening
//! begins an epoch, and what was read in an earlier one is read anew.

use std::fs::OpenOptions;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{
    Builder, CommitError, Database, DatabaseError, ReadTransaction, ReadableDatabase as _, StorageBackend,
    StorageError, TableError, TransactionError, WriteTransaction,
};

use super::backend::{FaultyFile, Overlay};
use crate::env::Disk;
use crate::error::{Error, Result};

/// What a caller reads while the store is closed.
pub(super) const FAILED: Error = Error::Unavailable(
    "the store failed and is being opened again; the log names the cause; retry in a moment",
);

/// How the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Condition {
    /// It reads and writes.
    Healthy = 0,
    /// The disk is full: what reads, disables or deletes is served.
    Reduced = 1,
    /// A storage error closed it; it is being opened again.
    Failed = 2,
}

/// What an error says about the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Nothing: the error is about a value.
    None,
    /// It was closed meanwhile.
    Closed,
    /// An operation failed; the handle is of no more use.
    Broken,
    /// There is no room.
    Full,
}

/// The database file, shared by the readers and the writer.
pub(super) struct DatabaseFile {
    path: PathBuf,
    cache_bytes: usize,
    disk: Disk,
    database: RwLock<Option<Database>>,
    condition: AtomicU8,
    epoch: AtomicU64,
}

impl DatabaseFile {
    /// Opens a file that exists and that `accept` accepts. Before anything is changed in it, it is checked as a whole:
    /// redb compares the checksums of pages only when it repairs, so a byte that rotted would otherwise be an answer
    /// that is wrong.
    pub fn open(
        path: &Path,
        cache_bytes: usize,
        disk: &Disk,
        accept: impl FnOnce(&ReadTransaction) -> Result<()>,
    ) -> Result<Self> {
        let refused = |error| match error {
            DatabaseError::DatabaseAlreadyOpen => Error::internal(format!(
                "{} is in use by another process; stop that one first",
                path.display()
            )),
            error => Error::internal(format!(
                "{} cannot be opened and was left as it is ({error}); restore the data directory from a backup",
                path.display()
            )),
        };
        let view = view(path, cache_bytes, disk).map_err(refused)?;
        accept(&view.begin_read().map_err(Error::internal)?)?;
        drop(view);
        let database = open(path, cache_bytes, disk).map_err(refused)?;
        Ok(Self {
            path: path.to_path_buf(),
            cache_bytes,
            disk: disk.clone(),
            database: RwLock::new(Some(database)),
            condition: AtomicU8::new(Condition::Healthy as u8),
            epoch: AtomicU64::new(0),
        })
    }

    /// How the store is.
    pub fn condition(&self) -> Condition {
        match self.condition.load(Ordering::Acquire) {
            0 => Condition::Healthy,
            1 => Condition::Reduced,
            _ => Condition::Failed,
        }
    }

    pub fn set_condition(&self, condition: Condition) {
        self.condition.store(condition as u8, Ordering::Release);
    }

    /// How often the file was opened again.
    pub fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Ends the epoch: what was read in it counts no more.
    pub fn next_epoch(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    pub fn begin_read(&self) -> Result<ReadTransaction> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().ok_or(FAILED)?.begin_read().map_err(Error::internal)
    }

    pub fn begin_write(&self) -> Result<WriteTransaction> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().ok_or(FAILED)?.begin_write().map_err(Error::internal)
    }

    /// Closes the file. Reads that are under way end with an error.
    pub fn close(&self) {
        let database = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(database);
    }

    /// Opens the closed file again; redb repairs what the failure left.
    pub fn reopen(&self) -> Result<()> {
        let database = open(&self.path, self.cache_bytes, &self.disk).map_err(Error::internal)?;
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(database);
        Ok(())
    }
}

/// Runs some work of redb, in which a damaged page may cause a panic.
pub(super) fn guarded<T, E>(
    work: impl FnOnce() -> Result<T, E>,
    panicked: impl FnOnce() -> E,
) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(panicked()))
}

fn open(path: &Path, cache_bytes: usize, disk: &Disk) -> Result<Database, DatabaseError> {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    let work = || match disk {
        Disk::System => builder.open(path),
        Disk::Faulty(faults) => {
            let (file, faults) = (file_backend(path)?, Arc::clone(faults));
            builder.create_with_backend(FaultyFile { file, faults })
        }
    };
    guarded(work, || damaged("the database panicked"))
}

/// A view of the file in which every page that is in use was checked. What redb repairs or writes in it stays in memory.
fn view(path: &Path, cache_bytes: usize, disk: &Disk) -> Result<Database, DatabaseError> {
    let work = || {
        let mut builder = Builder::new();
        builder.set_cache_size(cache_bytes);
        let mut database = builder.create_with_backend(Overlay::new(backend(path, disk)?)?)?;
        if database.check_integrity()? { Ok(database) } else { Err(damaged("a checksum is wrong")) }
    };
    guarded(work, || damaged("the database panicked"))
}

fn damaged(why: &str) -> DatabaseError {
    DatabaseError::Storage(StorageError::Corrupted(why.to_owned()))
}

fn backend(path: &Path, disk: &Disk) -> Result<Box<dyn StorageBackend>, DatabaseError> {
    let file = file_backend(path)?;
    Ok(match disk {
        Disk::System => Box::new(file),
        Disk::Faulty(faults) => Box::new(FaultyFile { file, faults: Arc::clone(faults) }),
    })
}

/// A file that holds something: redb would make a database of an empty one.
fn file_backend(path: &Path) -> Result<FileBackend, DatabaseError> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    match file.metadata()?.len() {
        0 => Err(damaged("the file is empty")),
        _ => FileBackend::new(file),
    }
}

/// What an error of the store says about its file.
pub(super) fn trouble(error: &Error) -> Trouble {
    let Some(cause) = std::error::Error::source(error) else { return Trouble::None };
    let within = |storage: &StorageError| match storage {
        StorageError::Io(error) => of_io(error),
        StorageError::Backend(_) | StorageError::PreviousIo => Trouble::Broken,
        StorageError::DatabaseClosed => Trouble::Closed,
        _ => Trouble::None,
    };
    if let Some(error) = cause.downcast_ref::<StorageError>() {
        within(error)
    } else if let Some(TransactionError::Storage(error)) = cause.downcast_ref() {
        within(error)
    } else if let Some(TableError::Storage(error)) = cause.downcast_ref() {
        within(error)
    } else if let Some(CommitError::Storage(error)) = cause.downcast_ref() {
        within(error)
    } else if let Some(DatabaseError::Storage(error)) = cause.downcast_ref() {
        within(error)
    } else if let Some(error) = cause.downcast_ref::<redb::Error>() {
        match error {
            redb::Error::Io(error) => of_io(error),
            redb::Error::PreviousIo => Trouble::Broken,
            redb::Error::DatabaseClosed => Trouble::Closed,
            _ => Trouble::None,
        }
    } else {
        Trouble::None
    }
}

fn of_io(error: &io::Error) -> Trouble {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Trouble::Full,
        _ => Trouble::Broken,
    }
}
