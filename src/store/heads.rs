//! Signed heads of the audit trail, published outside of the data directory: a file of lines to which only ever is added.
//! Whoever puts an older copy of the whole data directory in place does not undo what was published of a newer one.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// The file is set aside under another name when it is longer than this, and the one before it forgotten.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Longest line, in bytes.
const LINE_BYTES_MAX: u64 = 4096;

/// The file of published heads.
pub struct HeadsFile(PathBuf);

impl HeadsFile {
    /// The file at a path; it need not be there.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// The last whole line; `None` if nothing was published yet.
    pub fn last(&self) -> Result<Option<String>> {
        let mut file = match OpenOptions::new().read(true).open(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(Error::internal)?,
        };
        let length = file.metadata().map_err(Error::internal)?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(2 * LINE_BYTES_MAX))).map_err(Error::internal)?;
        let mut end = Vec::new();
        file.take(2 * LINE_BYTES_MAX).read_to_end(&mut end).map_err(Error::internal)?;
        let whole =
            end.iter().rposition(|byte| *byte == b'\n').and_then(|at| end.get(..at)).unwrap_or_default();
        let line = whole.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(Some(String::from_utf8_lossy(line).into_owned()).filter(|line| !line.is_empty()))
    }

    /// Adds a line. Durable when this returns.
    pub fn publish(&self, line: &str) -> Result<()> {
        if fs::metadata(&self.0).is_ok_and(|file| file.len() > FILE_BYTES_MAX) {
            fs::rename(&self.0, self.0.with_extension("heads.old")).map_err(Error::internal)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&self.0);
        let mut file = file.map_err(Error::internal)?;
        // A power cut may have left half a line; it counts for nothing, and the next one begins on its own.
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(-1)).is_ok() {
            file.read_exact(&mut last).map_err(Error::internal)?;
        }
        let start = if last == [b'\n'] { "" } else { "\n" };
        file.write_all(format!("{start}{line}\n").as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_counts() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("heads");
        let heads = HeadsFile::at(path.clone());
        assert_eq!(heads.last().unwrap(), None);
        heads.publish("one").unwrap();
        heads.publish("two").unwrap();
        assert_eq!(heads.last().unwrap().as_deref(), Some("two"));
        fs::write(&path, "one\ntwo\nhal").unwrap();
        assert_eq!(heads.last().unwrap().as_deref(), Some("two"));
        heads.publish("three").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nhal\nthree\n");
    }
}
