//! Checking the stored trail: hashes, order, completeness, the device's checkpoints. In steps, each of which begins where
//! the one before ended.

use std::ops::ControlFlow;

use super::frame::FrameHead;
use super::{Block, Trail};
use crate::error::Result;
use crate::model::audit::{GENESIS, Hash};
use crate::model::checkpoint::{PublicKey, Signed, Statement};
use crate::store::file::{Trouble, trouble};

/// Records that one step checks before it says where to go on.
const STEP: u64 = 100_000;

/// Where a check stands: the number of the next record, and the hash of the block before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// Number of the next record.
    pub next: u64,
    /// Hash of the block before.
    pub head: Hash,
}

/// What one step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Number of the first record of the step.
    pub first: u64,
    /// Where the step ended.
    pub end: Anchor,
    /// Checkpoints that hold.
    pub checkpoints: u64,
    /// What is wrong, if anything is.
    pub broken: Option<String>,
    /// Whether this was the last step.
    pub complete: bool,
}

impl Trail<'_> {
    /// Checks a stretch of the chain, from the oldest record or from where the step before ended.
    pub fn check(&self, from: Option<Anchor>, key: &PublicKey) -> Result<Check> {
        let start = match from {
            Some(anchor) => anchor,
            // Where older records were deleted, the first block that is left says what stood before it.
            None => Anchor { next: self.expired + 1, head: GENESIS },
        };
        let trusts_first = from.is_none() && self.expired > 0;
        let mut check = Check { first: start.next, end: start, checkpoints: 0, broken: None, complete: true };
        let walked = self.summaries_open(start.next).and_then(|()| {
            self.walk(start.next, |block, checkpoint| {
                let (header, end) = (&block.header, check.end);
                let previous = if trusts_first && end == start { header.previous } else { end.head };
                if header.first != end.next || !header.covers(&previous, block.lines.lines()) {
                    check.broken = Some(format!("the chain is broken at record {}", end.next));
                    return Ok(ControlFlow::Break(()));
                }
                check.end = Anchor { next: block.last() + 1, head: header.hash() };
                if let Some(line) = checkpoint {
                    if !is_checkpoint(line, block.last(), &check.end.head, key) {
                        check.broken =
                            Some(format!("the checkpoint at record {} is not genuine", block.last()));
                        return Ok(ControlFlow::Break(()));
                    }
                    check.checkpoints += 1;
                }
                check.complete = check.end.next - check.first < STEP;
                Ok(if check.complete { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })
        });
        match walked {
            Ok(()) => {}
            Err(error) if trouble(&error) != Trouble::None => return Err(error),
            Err(_) => {
                check.broken = Some(format!("what is stored from record {} on is damaged", check.end.next))
            }
        }
        if let Some((sequence, _)) =
            self.newest_checkpoint()?.filter(|_| check.complete && check.broken.is_none())
            && sequence >= check.end.next
        {
            check.broken = Some(format!("records {} to {sequence} were cut off", check.end.next));
        }
        Ok(check)
    }

    /// Opens the summaries of the frames that a step may reach: a search relies on them.
    fn summaries_open(&self, from: u64) -> Result<()> {
        let reached = |head: &FrameHead| head.last >= from && head.first < from + STEP;
        let mut frames = self.frames.iter().filter(|place| reached(&place.head));
        frames.try_for_each(|place| self.segments.summary(place, self.sealer).map(drop))
    }

    /// The block with a record; `None` if the record is not there.
    pub fn block_of(&self, sequence: u64) -> Result<Option<Block>> {
        let mut found = None;
        self.walk(sequence, |block, _| {
            let holds = block.header.first <= sequence;
            found = holds.then(|| Block { header: block.header.clone(), lines: block.lines.clone() });
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}

fn is_checkpoint(line: &str, at: u64, hash: &Hash, key: &PublicKey) -> bool {
    let statement = serde_json::from_str::<Signed>(line).ok().and_then(|signed| signed.verify(key));
    matches!(statement, Some(Statement::Checkpoint { sequence, head, .. }) if sequence == at && head == hex::encode(hash))
}
