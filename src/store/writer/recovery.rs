//! What the writer does when the store fails, when the disk is full and when the store closes.

use std::time::Duration;

use redb::ReadableTable;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::{Member, Order, Tail, Writer, refuse};
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::model::audit::GENESIS;
use crate::store::file::{Condition, DatabaseFile, FAILED, Trouble, guarded, trouble};
use crate::store::sealer::Sealer;
use crate::store::tables::{self, AUDIT};
use crate::store::trail;

/// The longest pause before the file is opened again, as a multiple of the first.
const PAUSE_GROWTH_MAX: u32 = 100;
/// How often the writer answers those who call while the file is closed.
const PAUSE_STEP: Duration = Duration::from_millis(5);
/// How long calls that hold a place are waited for when the store closes.
const CLOSE_STEPS: u32 = 1000;
const CLOSE_STEP: Duration = Duration::from_millis(1);
impl Writer {
    /// Closes the file and opens it again, as often as it takes. Answers those who call meanwhile. False if it was told
    /// to end.
    pub(super) fn recover(
        &mut self,
        failure: &Error,
        mut open: bool,
        queue: &mut mpsc::Receiver<Order>,
    ) -> bool {
        self.file.set_condition(Condition::Failed);
        self.file.close();
        let (mut full, mut pause) = (trouble(failure) == Trouble::Full, self.pause);
        while open {
            if self.sealer.has_failed() {
                // No pause helps: what is in the file can be read again by the next process.
                tracing::error!(
                    event = "reopen",
                    "the store stays closed: the cipher machine failed a self-test"
                );
                refuse_until_closed(queue);
                return false;
            }
            if full {
                self.reserve.release();
            }
            open = refuse_for(pause, queue);
            match guarded(|| self.reopen(), || Error::internal("the database panicked")) {
                Ok(()) => break,
                Err(error) => {
                    tracing::error!(event = "reopen", cause = ?error, "the store cannot be opened yet");
                    self.file.close();
                    full |= trouble(&error) == Trouble::Full;
                    pause = (pause * 2).min(self.pause * PAUSE_GROWTH_MAX);
                }
            }
        }
        open
    }

    /// Opens the file again and reads where it ends: a commit that failed may be in it.
    fn reopen(&mut self) -> Result<()> {
        self.file.reopen()?;
        self.tail = Tail::read(&self.file, &self.sealer)?;
        self.time.reload(&self.file.begin_read()?, &self.sealer)?;
        self.figures.note_end(self.last_sequence());
        self.trimmed = 0;
        self.file.next_epoch();
        let reduced = !self.reserve.is_held();
        self.file.set_condition(if reduced { Condition::Reduced } else { Condition::Healthy });
        tracing::warn!(
            event = "reopened",
            sequence = self.last_sequence(),
            reduced,
            "the store is open again"
        );
        Ok(())
    }

    /// Looks at the space on the disk; serves everything again when the reserve could be made again. Records the time, if no
    /// call did so for long.
    pub(super) fn tend(&mut self) -> Result<()> {
        self.reserve.tend();
        if self.reserve.is_held() && self.file.condition() == Condition::Reduced {
            self.file.set_condition(Condition::Healthy);
            tracing::warn!(event = "disk", "there is space again; everything is served");
        }
        let time = self.time.change([].iter());
        if self.file.condition() != Condition::Healthy || !time.is_overdue(self.recorded) {
            return Ok(());
        }
        let commit = || {
            let transaction = self.begin()?;
            time.write(&transaction, &self.sealer, None)?;
            transaction.commit().map_err(Error::internal)
        };
        guarded(commit, || Error::internal("the database panicked"))?;
        self.recorded = Some(time.steady);
        Ok(())
    }

    /// Commits what is still queued, marks the orderly stop and closes the file.
    pub(super) fn close(&mut self, mut queue: mpsc::Receiver<Order>) {
        queue.close();
        let mut group = Vec::new();
        for _ in 0..CLOSE_STEPS {
            match queue.try_recv() {
                Ok(Order::Record(member)) => group.push(member),
                Ok(Order::Tend | Order::Reopen(_) | Order::Close) => {}
                Err(TryRecvError::Empty) if group.is_empty() => std::thread::sleep(CLOSE_STEP),
                Err(TryRecvError::Empty) => self.serve_last(&mut group),
                Err(TryRecvError::Disconnected) => break,
            }
        }
        self.serve_last(&mut group);
        if self.tail.running
            && self.file.condition() != Condition::Failed
            && let Err(error) = guarded(|| self.mark_stopped(), || Error::internal("the database panicked"))
        {
            tracing::error!(event = "close", cause = ?error, "the orderly stop could not be marked");
        }
        self.file.set_condition(Condition::Failed);
        self.file.close();
    }

    /// Serves a group while the store closes: a failure is not repaired any more.
    fn serve_last(&mut self, group: &mut Vec<Member>) {
        let group = std::mem::take(group);
        if self.file.condition() == Condition::Failed {
            return group.into_iter().for_each(|member| refuse(member, FAILED));
        }
        let (current, stale) = group.into_iter().partition(|member| member.epoch == self.file.epoch());
        let stale: Vec<Member> = stale;
        stale.into_iter().for_each(|member| refuse(member, FAILED));
        // Logged there; the members are answered.
        let _ = self.serve_group(current);
    }

    fn mark_stopped(&self) -> Result<()> {
        let transaction = self.begin()?;
        tables::set_running(&transaction, false)?;
        self.time.change([].iter()).write(&transaction, &self.sealer, None)?;
        transaction.commit().map_err(Error::internal)
    }
}

/// Waits, and answers those who call meanwhile; false if the writer is told to end.
fn refuse_for(pause: Duration, queue: &mut mpsc::Receiver<Order>) -> bool {
    let mut left = pause;
    loop {
        match queue.try_recv() {
            Ok(Order::Record(member)) => refuse(member, FAILED),
            Ok(Order::Tend | Order::Reopen(_)) => {}
            Ok(Order::Close) | Err(TryRecvError::Disconnected) => return false,
            Err(TryRecvError::Empty) if left.is_zero() => return true,
            Err(TryRecvError::Empty) => {
                std::thread::sleep(left.min(PAUSE_STEP));
                left = left.saturating_sub(PAUSE_STEP);
            }
        }
    }
}

/// Waits to be told to end, and answers those who call meanwhile.
fn refuse_until_closed(queue: &mut mpsc::Receiver<Order>) {
    loop {
        match queue.blocking_recv() {
            Some(Order::Record(member)) => refuse(member, FAILED),
            Some(Order::Tend | Order::Reopen(_)) => {}
            Some(Order::Close) | None => return,
        }
    }
}

/// The latest moment of the newest audit block; the beginning of time before the first.
pub fn latest(file: &DatabaseFile, sealer: &Sealer) -> Result<Timestamp> {
    let table = file.begin_read()?.open_table(AUDIT).map_err(Error::internal)?;
    let Some((key, sealed)) = table.last().map_err(Error::internal)? else { return Ok(Timestamp(i64::MIN)) };
    Ok(trail::open(sealer, key.value(), sealed.value())?.header.latest)
}

impl Tail {
    pub(super) fn read(file: &DatabaseFile, sealer: &Sealer) -> Result<Self> {
        let snapshot = file.begin_read()?;
        let running = tables::is_running(&snapshot)?;
        let table = snapshot.open_table(AUDIT).map_err(Error::internal)?;
        let (next_sequence, head) = match table.last().map_err(Error::internal)? {
            None => (1, GENESIS),
            Some((key, sealed)) => {
                let block = trail::open(sealer, key.value(), sealed.value())?;
                (block.last() + 1, block.header.hash())
            }
        };
        Ok(Self { next_sequence, head, running })
    }
}
