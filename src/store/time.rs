//! The appliance's time: the confirmed clock and the offset of a demo, kept across restarts in the transactions of the calls
//! that go by them. The writer alone changes them; whoever asks for a reading looks at clocks and two numbers.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use redb::{ReadTransaction, WriteTransaction};

use super::sealer::Sealer;
use super::tables::{self, DEMO};
use crate::env::{Boot, Clock, Timestamp};
use crate::error::{Error, Result};
use crate::model::confirmed::{Reading, Recorded};

/// A row of the table `meta`: the confirmed clock as it was last recorded.
const TIME: &str = "time";
/// A row of the table `meta`: whether an event told that the wall clock is in doubt, and none that it is trusted again.
const DOUBT: &str = "doubt";
/// Stands for the offset of an instance that is no demo.
const NO_DEMO: i64 = -1;
/// How old a record of the clocks may get while calls are committed, and while there are none.
const KEPT_WITH_CALLS: Duration = Duration::from_secs(1);
const KEPT_ALONE: Duration = Duration::from_secs(60);

/// What a call changes of the time.
#[derive(Debug, Clone, Copy)]
pub enum TimeEdit {
    /// The wall clock is right: the confirmed clock shows the same from now on.
    Confirm,
    /// An event tells that the wall clock is in doubt, or that it is trusted again.
    Tell(bool),
    /// The time of a demo is this far ahead of the wall clock; it never goes back.
    Step(Duration),
}

/// Keeps the time of one appliance.
pub struct TimeKeeper {
    clock: Clock,
    /// The confirmed clock less the steady one, in microseconds.
    lead: AtomicI64,
    /// Seconds.
    offset: AtomicI64,
    /// Whether an event told of a doubt that none has ended.
    told: AtomicBool,
}

/// What a commit makes of the time; it counts once that is durable.
pub(super) struct Change {
    lead: i64,
    offset: i64,
    told: bool,
    recorded: Recorded,
    /// The steady clock at that moment.
    pub steady: Duration,
    /// Whether a call changed something.
    edited: bool,
}

impl TimeKeeper {
    /// Goes on with what the database recorded; without that, with the wall clock, but not before the latest moment in the
    /// audit trail.
    pub(super) fn open(
        snapshot: &ReadTransaction,
        sealer: &Sealer,
        clock: Clock,
        max_gap: Duration,
        latest: impl FnOnce() -> Result<Timestamp>,
    ) -> Result<Self> {
        let (offset, recorded) = stored(snapshot, sealer)?;
        let told = AtomicBool::new(stored_doubt(snapshot, sealer)?);
        let (lead, offset) = (AtomicI64::new(0), AtomicI64::new(offset));
        let time = Self { clock, lead, offset, told };
        let (wall, (boot, steady)) = (time.clock.now(), time.steady());
        let confirmed = match recorded {
            Some(recorded) => recorded.resume(wall, boot, max_gap),
            None => wall.max(latest()?),
        };
        time.lead.store(micros(confirmed, steady), Ordering::Release);
        Ok(time)
    }

    /// Reads again what the database recorded: a commit whose outcome is not known may have changed it.
    pub(super) fn reload(&self, snapshot: &ReadTransaction, sealer: &Sealer) -> Result<()> {
        let (offset, recorded) = stored(snapshot, sealer)?;
        self.offset.store(offset, Ordering::Release);
        self.told.store(stored_doubt(snapshot, sealer)?, Ordering::Release);
        let (boot, steady) = self.steady();
        if let Some(confirmed) = recorded.and_then(|recorded| recorded.go_on(boot)) {
            self.lead.store(micros(confirmed, steady), Ordering::Release);
        }
        Ok(())
    }

    /// What all clocks show.
    pub fn read(&self) -> Reading {
        let (_, steady) = self.steady();
        Reading {
            wall: self.clock.now(),
            confirmed: Timestamp(self.lead.load(Ordering::Acquire)).after(steady),
            offset: self.demo_offset().unwrap_or_default(),
        }
    }

    /// How far the time of a demo is ahead of the wall clock; nothing if the instance was not made as a demo.
    pub fn demo_offset(&self) -> Option<Duration> {
        u64::try_from(self.offset.load(Ordering::Acquire)).ok().map(Duration::from_secs)
    }

    /// Whether an event told that the wall clock is in doubt, and none that it is trusted again.
    pub fn told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// What these edits make of the present time.
    pub(super) fn change<'a>(&self, edits: impl Iterator<Item = &'a TimeEdit>) -> Change {
        let (wall, (boot, steady)) = (self.clock.now(), self.steady());
        let mut offset = self.offset.load(Ordering::Acquire);
        let (mut lead, mut told, mut edited) = (self.lead.load(Ordering::Acquire), self.told(), false);
        for edit in edits {
            edited = true;
            match edit {
                TimeEdit::Confirm => (lead, told) = (micros(wall, steady), false),
                TimeEdit::Tell(doubt) => told = *doubt,
                TimeEdit::Step(to) => offset = offset.max(i64::try_from(to.as_secs()).unwrap_or(i64::MAX)),
            }
        }
        let recorded = Recorded { confirmed: Timestamp(lead).after(steady), wall, boot };
        Change { lead, offset, told, recorded, steady, edited }
    }

    /// Makes a change count that is durable.
    pub(super) fn apply(&self, change: &Change) {
        if change.edited {
            self.lead.store(change.lead, Ordering::Release);
            self.offset.store(change.offset, Ordering::Release);
            self.told.store(change.told, Ordering::Release);
        }
    }

    /// The clock that nobody can set, and the start of the machine that it counts from where the kernel tells it.
    fn steady(&self) -> (Option<Boot>, Duration) {
        let boot = self.clock.boot();
        (boot, boot.map_or_else(|| self.clock.monotonic(), |boot| boot.since))
    }
}

impl Change {
    /// Writes the time, if a call changed it or what was last recorded is too old.
    pub fn write(
        &self,
        transaction: &WriteTransaction,
        sealer: &Sealer,
        recorded: Option<Duration>,
    ) -> Result<bool> {
        let fresh = recorded.is_some_and(|recorded| self.steady.saturating_sub(recorded) < KEPT_WITH_CALLS);
        if fresh && !self.edited {
            return Ok(false);
        }
        let stored = postcard::to_stdvec(&self.recorded).map_err(Error::internal)?;
        tables::seal_meta(transaction, TIME, stored, sealer)?;
        if self.edited {
            tables::seal_meta(transaction, DOUBT, vec![self.told.into()], sealer)?;
        }
        if self.edited && self.offset != NO_DEMO {
            tables::seal_meta(transaction, DEMO, self.offset.to_be_bytes().to_vec(), sealer)?;
        }
        Ok(true)
    }

    /// Whether what was last recorded is too old although no call is committed.
    pub fn is_overdue(&self, recorded: Option<Duration>) -> bool {
        recorded.is_none_or(|recorded| self.steady.saturating_sub(recorded) >= KEPT_ALONE)
    }
}

/// The offset and the clocks that the database recorded.
fn stored(snapshot: &ReadTransaction, sealer: &Sealer) -> Result<(i64, Option<Recorded>)> {
    let demo = tables::sealed_meta(snapshot, DEMO, sealer)?;
    let demo = demo.map(|seconds| seconds.as_slice().try_into().map(i64::from_be_bytes));
    let offset = demo.transpose().map_err(|_| Error::internal("the offset of the demo is damaged"))?;
    let recorded = tables::sealed_meta(snapshot, TIME, sealer)?;
    let recorded = recorded.map(|stored| postcard::from_bytes(&stored)).transpose();
    Ok((offset.unwrap_or(NO_DEMO), recorded.map_err(Error::internal)?))
}

/// Whether the database says that a doubt was told of and not ended.
fn stored_doubt(snapshot: &ReadTransaction, sealer: &Sealer) -> Result<bool> {
    let doubt = tables::sealed_meta(snapshot, DOUBT, sealer)?;
    Ok(doubt.is_some_and(|doubt| doubt.first() == Some(&1)))
}

/// Microseconds from the origin of the steady clock to that of a clock that shows `at`.
fn micros(at: Timestamp, steady: Duration) -> i64 {
    at.0.saturating_sub(i64::try_from(steady.as_micros()).unwrap_or(i64::MAX))
}
