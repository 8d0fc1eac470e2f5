//! One data directory, one process: a lock file that is held as long as the process uses the directory. The operating
//! system lets go of it however the process ends.

use std::fs::{self, File, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::env::Timestamp;
use crate::error::{Error, Result};

const FILE: &str = "lock";

/// The right to use a data directory; taken before anything else in it is touched.
pub struct DirectoryLock(File);

impl DirectoryLock {
    /// Takes a directory that exists, or says which process has it.
    pub fn take(directory: &Path, now: Timestamp) -> Result<Self> {
        let path = directory.join(FILE);
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let mut file = file.map_err(Error::internal)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.take(100).read_to_string(&mut holder);
                return Err(Error::internal(format!(
                    "{} is in use by another process ({}); stop that one first, or name another directory",
                    directory.display(),
                    holder.trim()
                )));
            }
            Err(TryLockError::Error(error)) => return Err(Error::internal(error)),
        }
        // Only for the message above: on a full disk it may stay empty.
        let _ =
            file.set_len(0).and_then(|()| writeln!(file, "process {}, started {now}", std::process::id()));
        Ok(Self(file))
    }
}

impl Drop for DirectoryLock {
    /// Closing the file is not enough: a process that is just being started by another thread has it open as well, until it
    /// runs its own program.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(event = "lock", cause = ?error, "the data directory could not be let go of");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once_and_free_again_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::from_seconds(1_767_254_400);
        let held = DirectoryLock::take(directory.path(), now).unwrap();
        let refused = DirectoryLock::take(directory.path(), now).err().unwrap();
        let cause = std::error::Error::source(&refused).unwrap().to_string();
        let holder = format!("process {}, started 2026-01-01T08:00:00Z", std::process::id());
        assert!(cause.contains(&holder), "{cause}");
        drop(held);
        DirectoryLock::take(directory.path(), now).unwrap();
    }

    #[test]
    fn a_copy_of_the_open_file_does_not_keep_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::from_seconds(1_767_254_400);
        let held = DirectoryLock::take(directory.path(), now).unwrap();
        let _copy = held.0.try_clone().unwrap();
        drop(held);
        DirectoryLock::take(directory.path(), now).unwrap();
    }
}
