//! The audit trail as a whole: segment files first, then the tail in the database. A reader sees one chain of blocks from
//! the oldest record that is kept to the newest; where the two meet, the database decides what is where.

mod check;
mod frame;
mod search;
mod segments;
mod tail;

use std::ops::ControlFlow;

use redb::{ReadTransaction, ReadableTable};

pub use check::{Anchor, Check};
pub use search::{Found, Query};
pub use segments::Segments;
pub use tail::{TrailEdit, apply, open, seal};

use super::sealer::Sealer;
use super::tables::{AUDIT, CHECKPOINTS, META};
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::model::audit::{BlockHeader, Hash};
use frame::Frame;
use segments::FramePlace;

/// Frames that one move writes at most: what it holds in memory.
const FRAMES_MAX: usize = 4;

type BlockTable = redb::ReadOnlyTable<u64, &'static [u8]>;

/// One block, open: its facts, and its records with their line ends.
pub struct Block {
    /// The facts that its hash covers.
    pub header: BlockHeader,
    /// The records.
    pub lines: String,
}

impl Block {
    /// Number of the last record.
    pub fn last(&self) -> u64 {
        self.header.first + u64::from(self.header.count) - 1
    }
}

/// The trail as one snapshot shows it.
pub struct Trail<'s> {
    segments: &'s Segments,
    sealer: &'s Sealer,
    frames: Vec<FramePlace>,
    blocks: BlockTable,
    checkpoints: BlockTable,
    expired: u64,
}

impl<'s> Trail<'s> {
    /// The trail of a snapshot.
    pub fn of(snapshot: &ReadTransaction, segments: &'s Segments, sealer: &'s Sealer) -> Result<Self> {
        let blocks = snapshot.open_table(AUDIT).map_err(Error::internal)?;
        let checkpoints = snapshot.open_table(CHECKPOINTS).map_err(Error::internal)?;
        let expired = tail::expired(&snapshot.open_table(META).map_err(Error::internal)?)?;
        let mut trail = Self { segments, sealer, frames: Vec::new(), blocks, checkpoints, expired };
        let first = trail.tail_first()?;
        trail.frames = segments.before(first);
        trail.frames.retain(|place| place.head.last > expired);
        Ok(trail)
    }

    /// Number of the first record in the database; 1 for an empty one.
    pub fn tail_first(&self) -> Result<u64> {
        Ok(self.blocks.first().map_err(Error::internal)?.map_or(1, |(first, _)| first.value()))
    }

    /// Number of the last record and hash of the last block.
    pub fn head(&self) -> Result<(u64, Hash)> {
        match self.blocks.last().map_err(Error::internal)? {
            None => Ok((0, crate::model::audit::GENESIS)),
            Some((first, sealed)) => {
                let block = tail::open(self.sealer, first.value(), sealed.value())?;
                Ok((block.last(), block.header.hash()))
            }
        }
    }

    /// The newest checkpoint: the number of its record, and the signed line.
    pub fn newest_checkpoint(&self) -> Result<Option<(u64, String)>> {
        let Some((sequence, _)) = self.checkpoints.last().map_err(Error::internal)? else { return Ok(None) };
        let line = tail::checkpoint(&self.checkpoints, sequence.value(), self.sealer)?;
        Ok(line.map(|line| (sequence.value(), line)))
    }

    /// Number of the first record that is there.
    pub fn first(&self) -> Result<u64> {
        self.frames.first().map_or_else(|| self.tail_first(), |place| Ok(place.head.first))
    }

    /// Visits the blocks from the one with record `from` on, oldest first, each with its checkpoint, until told to stop.
    pub fn walk(
        &self,
        from: u64,
        mut visit: impl FnMut(&Block, Option<&str>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        for place in self.frames.iter().filter(|place| place.head.last >= from) {
            let frame = self.segments.frame(place, self.sealer)?;
            let mut checkpoints = frame.checkpoints.iter().map(String::as_str).peekable();
            for block in frame.blocks() {
                let own = checkpoints.next_if(|line| signs(line, block.last()));
                if block.last() >= from && visit(&block, own)?.is_break() {
                    return Ok(());
                }
            }
        }
        let tail_from = self.blocks.range(..=from).map_err(Error::internal)?.next_back();
        let tail_from = tail_from.transpose().map_err(Error::internal)?.map_or(0, |(first, _)| first.value());
        for row in self.blocks.range(tail_from..).map_err(Error::internal)? {
            let (first, sealed) = row.map_err(Error::internal)?;
            let block = tail::open(self.sealer, first.value(), sealed.value())?;
            let checkpoint = tail::checkpoint(&self.checkpoints, block.last(), self.sealer)?;
            if block.last() >= from && visit(&block, checkpoint.as_deref())?.is_break() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Number of the first record of the first block that is not wholly before a time.
    pub fn first_from(&self, time: Option<Timestamp>) -> Result<u64> {
        let Some(time) = time else { return self.first() };
        let frame = self.frames.iter().find(|place| place.head.latest >= time);
        let start = frame.map_or_else(|| self.tail_first(), |place| Ok(place.head.first))?;
        let mut first = self.head()?.0 + 1;
        self.walk(start, |block, _| {
            if block.header.latest < time {
                return Ok(ControlFlow::Continue(()));
            }
            first = block.header.first;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(first)
    }

    /// Number of the last record of the last block, from a record on, that begins up to a time.
    pub fn last_until(&self, first: u64, time: Timestamp) -> Result<Option<u64>> {
        let mut last = self
            .frames
            .iter()
            .take_while(|place| place.head.latest <= time)
            .last()
            .map(|place| place.head.last);
        let from = last.map_or(first, |last| first.max(last + 1));
        self.walk(from, |block, _| {
            if block.header.earliest.seconds() > time.seconds() {
                return Ok(ControlFlow::Break(()));
            }
            last = Some(block.last());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(last.filter(|last| *last >= first))
    }

    /// The oldest blocks of the database as frames, each with the day that it belongs to.
    pub fn frames_to_move(&self) -> Result<Vec<(String, Frame)>> {
        let mut frames: Vec<(String, Frame)> = Vec::new();
        for row in self.blocks.iter().map_err(Error::internal)? {
            let (first, sealed) = row.map_err(Error::internal)?;
            let block = tail::open(self.sealer, first.value(), sealed.value())?;
            let checkpoint = tail::checkpoint(&self.checkpoints, block.last(), self.sealer)?;
            let day = day(block.header.latest);
            let enough = frames.len() == FRAMES_MAX;
            match frames.last_mut() {
                Some((its_day, frame)) if *its_day >= day && !frame.is_full() => {
                    frame.push(&block, checkpoint)
                }
                Some(_) if enough => break,
                Some(_) | None => {
                    let mut frame = Frame::begin(&block.header);
                    frame.push(&block, checkpoint);
                    frames.push((day, frame));
                }
            }
        }
        Ok(frames)
    }

    /// How many blocks the database holds, and the time of the oldest.
    pub fn tail_blocks(&self) -> Result<(u64, Option<Timestamp>)> {
        let blocks = redb::ReadableTableMetadata::len(&self.blocks).map_err(Error::internal)?;
        let Some((first, sealed)) = self.blocks.first().map_err(Error::internal)? else {
            return Ok((0, None));
        };
        let block = tail::open(self.sealer, first.value(), sealed.value())?;
        Ok((blocks, Some(block.header.latest)))
    }
}

/// The day of a moment, `YYYY-MM-DD` in UTC.
pub fn day(time: Timestamp) -> String {
    time.to_string().chars().take(10).collect()
}

/// Whether a stored line is a checkpoint over everything up to a record. Whether it is genuine is checked elsewhere.
fn signs(line: &str, sequence: u64) -> bool {
    crate::model::checkpoint::unchecked_sequence(line) == Some(sequence)
}
