//! The segment files: one for each day, to which frames are only ever added. The index of all frames is kept in memory, so
//! that a search reads what it needs and nothing else. A frame counts once the database has forgotten its blocks; what
//! an interrupted move left behind is cut off before the next one.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::frame::{Frame, FrameHead, HEAD_BYTES, Summary};
use crate::error::{Error, Result};
use crate::store::sealer::Sealer;

/// What a segment file begins with: name and version of its form.
const MAGIC: &[u8; 8] = b"YKAUDIT\x01";
const EXTENSION: &str = "audit";
const DELETED: Error =
    Error::Unavailable("audit records whose time is over were just deleted; retry in a moment");

/// Where a frame lies.
#[derive(Clone)]
pub struct FramePlace {
    /// The day of its file, `YYYY-MM-DD`.
    pub day: Arc<str>,
    offset: u64,
    pub head: FrameHead,
}

/// All segment files of a data directory.
pub struct Segments {
    directory: PathBuf,
    index: RwLock<Arc<Vec<FramePlace>>>,
    /// One thread adds or removes at a time.
    changing: Mutex<()>,
}

impl Segments {
    /// Finds the frames of all files. What is no frame at the end of a file is left for [`Segments::settle`].
    pub fn open(directory: PathBuf) -> Result<Self> {
        let index = read_index(&directory)?;
        Ok(Self { directory, index: RwLock::new(Arc::new(index)), changing: Mutex::new(()) })
    }

    /// The frames whose records all stand before a number, oldest first.
    pub fn before(&self, first: u64) -> Vec<FramePlace> {
        self.index().iter().filter(|place| place.head.last < first).cloned().collect()
    }

    fn index(&self) -> Arc<Vec<FramePlace>> {
        Arc::clone(&self.index.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens a frame.
    pub fn frame(&self, place: &FramePlace, sealer: &Sealer) -> Result<Frame> {
        let at = place.offset + HEAD_BYTES as u64 + u64::from(place.head.summary_bytes);
        Frame::open(&place.head, self.read(place, at, place.head.body_bytes)?, sealer)
    }

    /// Opens the summary of a frame.
    pub fn summary(&self, place: &FramePlace, sealer: &Sealer) -> Result<Summary> {
        let at = place.offset + HEAD_BYTES as u64;
        Summary::open(&place.head, self.read(place, at, place.head.summary_bytes)?, sealer)
    }

    fn read(&self, place: &FramePlace, at: u64, length: u32) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length as usize];
        let file = File::open(self.path(&place.day)).map_err(|error| {
            // Its time may be over since the reader began; the index says so before the file goes.
            let deleted = self.index().iter().all(|kept| kept.day != place.day);
            if deleted { DELETED } else { Error::internal(error) }
        })?;
        file.read_exact_at(&mut bytes, at).map_err(Error::internal)?;
        Ok(bytes)
    }

    fn path(&self, day: &str) -> PathBuf {
        self.directory.join(day).with_extension(EXTENSION)
    }

    /// Cuts off what an interrupted move left: frames whose records the database still has, and parts of frames. Where frames
    /// are missing before those records nothing is touched: that is damage, and evidence.
    pub fn settle(&self, tail_first: u64) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = read_index(&self.directory)?;
        index.retain(|place| place.head.last < tail_first);
        let last = index.last().cloned();
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(index);
        if last.as_ref().map_or(0, |place| place.head.last) + 1 != tail_first {
            tracing::error!(
                event = "segments",
                tail_first,
                "audit records before this one are missing or damaged"
            );
            return Ok(());
        }
        for (day, path) in days(&self.directory)? {
            let end = match &last {
                Some(place) if *place.day > *day => continue,
                Some(place) if *place.day == *day => place.offset + place.head.length(),
                Some(_) | None => 0,
            };
            if fs::metadata(&path).map_err(Error::internal)?.len() > end {
                tracing::warn!(event = "segments", %day, end, "cutting off what an interrupted move left");
                let file = OpenOptions::new().write(true).open(&path).map_err(Error::internal)?;
                file.set_len(end).and_then(|()| file.sync_all()).map_err(Error::internal)?;
            }
        }
        Ok(())
    }

    /// Adds frames, each to the file of its day or of the last day there is, so that files are in the order of the chain.
    /// Durable when this returns.
    pub fn append(&self, frames: &[(String, Frame)], sealer: &Sealer) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = self.index();
        if !self.directory.exists() {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
            made.and_then(|()| sync(self.directory.parent())).map_err(Error::internal)?;
        }
        for (day, frame) in frames {
            let day = match index.last() {
                Some(last) if *last.day > **day => Arc::clone(&last.day),
                Some(_) | None => Arc::from(day.as_str()),
            };
            let day = self.writable(&index, day)?;
            let (head, bytes) = frame.seal(sealer)?;
            let offset = write(&self.path(&day), &bytes).map_err(Error::internal)?;
            sync(Some(&self.directory)).map_err(Error::internal)?;
            Arc::make_mut(&mut index).push(FramePlace { day, offset, head });
        }
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        Ok(())
    }

    /// The name of the file to append to: that of the day, or one behind it where something unknown stands at its end.
    fn writable(&self, index: &[FramePlace], day: Arc<str>) -> Result<Arc<str>> {
        let ends = |name: &str| {
            index.iter().rfind(|place| *place.day == *name).map(|place| place.offset + place.head.length())
        };
        let mut name = day;
        loop {
            match fs::metadata(self.path(&name)) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(name),
                file if file.as_ref().is_ok_and(|file| file.len() == ends(&name).unwrap_or(0)) => {
                    return Ok(name);
                }
                file => file.map_err(Error::internal)?,
            };
            name = Arc::from(format!("{name}-"));
        }
    }

    /// The days before a day, without the last one there is, and the last record in them.
    pub fn older_than(&self, day: &str) -> Option<(Vec<String>, u64)> {
        let index = self.index();
        let newest = index.last().map(|place| Arc::clone(&place.day))?;
        let old: Vec<&FramePlace> =
            index.iter().filter(|place| *place.day < *day && place.day != newest).collect();
        let last = old.last()?.head.last;
        let mut days: Vec<String> = old.iter().map(|place| place.day.to_string()).collect();
        days.dedup();
        Some((days, last))
    }

    /// Removes the files whose records are all up to a number.
    pub fn remove_up_to(&self, last: u64) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let index = self.index();
        let kept: Vec<FramePlace> = index.iter().filter(|place| place.head.last > last).cloned().collect();
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(kept.clone());
        for (day, path) in days(&self.directory)? {
            if index.iter().any(|place| *place.day == *day) && !kept.iter().any(|place| *place.day == *day) {
                fs::remove_file(path).map_err(Error::internal)?;
            }
        }
        sync(Some(&self.directory)).map_err(Error::internal)
    }
}

/// The segment files, oldest first: their days and paths.
fn days(directory: &Path) -> Result<Vec<(String, PathBuf)>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::internal)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(Error::internal)?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION)
            && let Some(day) = path.file_stem().and_then(|stem| stem.to_str())
        {
            found.push((day.to_owned(), path));
        }
    }
    found.sort();
    Ok(found)
}

fn read_index(directory: &Path) -> Result<Vec<FramePlace>> {
    let mut index = Vec::new();
    for (day, path) in days(directory)? {
        let day: Arc<str> = Arc::from(day);
        let file = File::open(&path).map_err(Error::internal)?;
        let length = file.metadata().map_err(Error::internal)?.len();
        let mut magic = [0; MAGIC.len()];
        if file.read_exact_at(&mut magic, 0).is_err() || magic != *MAGIC {
            continue;
        }
        let (mut offset, mut bytes) = (MAGIC.len() as u64, [0; HEAD_BYTES]);
        while file.read_exact_at(&mut bytes, offset).is_ok() {
            let Some(head) = FrameHead::decode(&bytes).filter(|head| offset + head.length() <= length) else {
                break;
            };
            index.push(FramePlace { day: Arc::clone(&day), offset, head });
            offset += head.length();
        }
    }
    Ok(index)
}

/// Appends to a file, and says where; a new file gets its beginning first.
fn write(path: &Path, frame: &[u8]) -> std::io::Result<u64> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let mut offset = file.metadata()?.len();
    if offset == 0 {
        file.write_all(MAGIC)?;
        offset = MAGIC.len() as u64;
    }
    file.write_all(frame)?;
    file.sync_all()?;
    Ok(offset)
}

fn sync(directory: Option<&Path>) -> std::io::Result<()> {
    directory.map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
