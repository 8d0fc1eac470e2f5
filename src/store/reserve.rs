//! Room on the disk: a file that is set aside and given back when the disk is full, so that what frees space, its audit
//! records and an orderly stop still find some; and warnings before it comes to that.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

const FILE: &str = "reserve";
/// Use of the disk, in percent, at which the log warns; once each, until it falls below again.
const WARN_AT: [u64; 3] = [80, 90, 95];

/// The reserve of one data directory.
pub struct Reserve {
    directory: PathBuf,
    bytes: u64,
    held: bool,
    warned: u64,
}

/// What the file system of a directory has.
struct Space {
    available: u64,
    used_percent: u64,
}

impl Reserve {
    /// Makes sure that the reserve is there; on a full disk it is not.
    pub fn open(directory: &Path, bytes: u64) -> Self {
        let mut reserve = Self { directory: directory.to_path_buf(), bytes, held: false, warned: 0 };
        match reserve.make() {
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(event = "reserve", cause = ?error, "there is no room for the reserve")
            }
        }
        reserve
    }

    /// Whether the room is set aside.
    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Gives the room back.
    pub fn release(&mut self) {
        self.held = false;
        if let Err(error) = fs::remove_file(self.path())
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::error!(event = "reserve", cause = ?error, "the reserve cannot be given back");
        }
    }

    /// Warns of a disk that fills up; sets the room aside again once there is twice as much.
    pub fn tend(&mut self) {
        let space = match space(&self.directory) {
            Ok(space) => space,
            Err(error) => {
                return tracing::warn!(event = "reserve", cause = ?error, "the disk says nothing of its space");
            }
        };
        let reached = WARN_AT.into_iter().filter(|level| space.used_percent >= *level).max().unwrap_or(0);
        if reached > self.warned {
            let (used_percent, available) = (space.used_percent, space.available);
            tracing::warn!(
                event = "disk",
                used_percent,
                available,
                "the disk of the data directory fills up"
            );
        }
        self.warned = reached;
        if !self.held && space.available >= self.bytes.saturating_mul(2) {
            match self.make() {
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(event = "reserve", cause = ?error, "still no room for the reserve")
                }
            }
        }
    }

    /// Really writes the bytes: a file with holes sets nothing aside.
    fn make(&mut self) -> Result<()> {
        let path = self.path();
        let there = fs::metadata(&path)
            .is_ok_and(|file| file.len() == self.bytes && file.blocks() * 512 >= self.bytes);
        if !there && let Err(error) = write(&path, self.bytes) {
            let _ = fs::remove_file(&path);
            return Err(Error::internal(error));
        }
        self.held = true;
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.directory.join(FILE)
    }
}

fn write(path: &Path, bytes: u64) -> std::io::Result<()> {
    let mut file: File =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    let chunk = vec![0; 1 << 20];
    let mut left = bytes;
    while left > 0 {
        let part = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        file.write_all(chunk.get(..part).unwrap_or(&chunk))?;
        left -= part as u64;
    }
    file.sync_all()
}

fn space(directory: &Path) -> Result<Space> {
    let found = rustix::fs::statvfs(directory).map_err(Error::internal)?;
    let used = found.f_blocks.saturating_sub(found.f_bfree);
    let whole = used.saturating_add(found.f_bavail).max(1);
    Ok(Space {
        available: found.f_bavail.saturating_mul(found.f_frsize),
        used_percent: used.saturating_mul(100).div_ceil(whole),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_takes_its_room_and_gives_it_back() {
        let directory = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::open(directory.path(), 3 << 19);
        let file = fs::metadata(directory.path().join(FILE)).unwrap();
        assert!(reserve.is_held() && file.len() == 3 << 19 && file.blocks() * 512 >= file.len());
        reserve.release();
        assert!(!reserve.is_held() && !directory.path().join(FILE).exists());
        reserve.tend();
        assert!(reserve.is_held() && directory.path().join(FILE).exists());
    }

    #[test]
    fn a_reserve_that_does_not_fit_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join(FILE)).unwrap();
        assert!(!Reserve::open(directory.path(), 1 << 16).is_held());
    }
}
