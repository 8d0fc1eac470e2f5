//! The writer thread: drains the queue, checks each call's constraints, writes its changes, chains all audit records
//! into one block, commits once, answers everyone. A call that waits while a commit runs is part of the next one, so
//! the group grows with the load. Under load the writer also waits a moment for about as many calls as the last group
//! had: a commit costs the same for one call and for a hundred.
//!
//! A commit that fails may be durable all the same. So the writer never tries it again: it says that the outcome is
//! unknown, closes the file, opens it again after a pause, and reads from it where the chain ends.

mod changing;
mod gathering;
mod recovery;

pub(super) use recovery::latest;

use std::sync::Arc;
use std::time::Duration;

use redb::{Durability, ReadableTable, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::associations;
use super::attempts;
use super::entry::Entry;
use super::figures::{CommitFigures, GROUP_MAX};
use super::file::{Condition, DatabaseFile, FAILED, guarded};
use super::reserve::Reserve;
use super::sealer::Sealer;
use super::tables::{self, AUDIT, EXPIRY, REPLAYS, TOKENS, ZONES};
use super::time::TimeKeeper;
use super::trail;
use super::uses;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::model::audit::{self, Appliance, BlockHeader, Hash};
use crate::model::signature::oldest_minute;
use changing::Tables;

/// More than the usual length of an audit record.
const LINE_BYTES: usize = 768;

/// What the queue carries.
pub(super) enum Order {
    /// Record one call.
    Record(Member),
    /// Look at the space on the disk.
    Tend,
    /// A read failed in this epoch: open the file again.
    Reopen(u64),
    /// Commit what is queued and end.
    Close,
}

pub(super) struct Member {
    pub entry: Box<Entry>,
    /// When the call's place was reserved; what it read is as old as that.
    pub epoch: u64,
    pub reply: oneshot::Sender<Result<Result<()>>>,
}

pub(super) struct Writer {
    file: Arc<DatabaseFile>,
    sealer: Sealer,
    appliance: Appliance,
    time: Arc<TimeKeeper>,
    /// The steady clock when the time was last recorded.
    recorded: Option<Duration>,
    figures: Arc<CommitFigures>,
    reserve: Reserve,
    /// The pause before the file is opened again for the first time.
    pause: Duration,
    tail: Tail,
    trimmed: i64,
    compressor: zstd::bulk::Compressor<'static>,
}

/// Where the file ends.
struct Tail {
    next_sequence: u64,
    head: Hash,
    /// Whether the file says that a run is under way.
    running: bool,
}

impl Writer {
    pub fn new(
        file: Arc<DatabaseFile>,
        sealer: Sealer,
        appliance: Appliance,
        time: Arc<TimeKeeper>,
        figures: Arc<CommitFigures>,
        reserve: Reserve,
        pause: Duration,
    ) -> Result<Self> {
        let tail = Tail::read(&file, &sealer)?;
        figures.note_end(tail.next_sequence - 1);
        let compressor = zstd::bulk::Compressor::new(1).map_err(Error::internal)?;
        if !reserve.is_held() {
            file.set_condition(Condition::Reduced);
        }
        let recorded = None;
        Ok(Self {
            file,
            sealer,
            appliance,
            time,
            recorded,
            figures,
            reserve,
            pause,
            tail,
            trimmed: 0,
            compressor,
        })
    }

    /// Whether the run before this one ended without an orderly stop. Only before the first commit.
    pub fn was_interrupted(&self) -> bool {
        self.tail.running
    }

    /// Number of the last audit record.
    pub fn last_sequence(&self) -> u64 {
        self.tail.next_sequence - 1
    }

    /// Serves until it is told to close or every sender is gone, and the queue is empty.
    pub fn run(mut self, mut queue: mpsc::Receiver<Order>) {
        let mut orders = Vec::with_capacity(GROUP_MAX);
        let mut open = true;
        while open && queue.blocking_recv_many(&mut orders, GROUP_MAX) > 0 {
            let served = orders.len();
            open = self.serve(&mut orders, &mut queue);
            gathering::gather(&queue, served);
        }
        self.close(queue);
    }

    /// Carries out some orders; false if one of them was to end.
    fn serve(&mut self, orders: &mut Vec<Order>, queue: &mut mpsc::Receiver<Order>) -> bool {
        let mut group = Vec::with_capacity(orders.len());
        let (mut open, mut tend, mut reopen) = (true, false, false);
        for order in orders.drain(..) {
            match order {
                Order::Record(member) if member.epoch == self.file.epoch() => group.push(member),
                Order::Record(member) => refuse(member, FAILED),
                Order::Tend => tend = true,
                Order::Reopen(epoch) => reopen |= epoch == self.file.epoch(),
                Order::Close => open = false,
            }
        }
        let failure = if reopen {
            group.into_iter().for_each(|member| refuse(member, FAILED));
            Some(FAILED)
        } else {
            self.serve_group(group).err()
        };
        if let Some(error) = failure {
            open &= self.recover(&error, open, queue);
        }
        if tend && let Err(error) = self.tend() {
            open &= self.recover(&error, open, queue);
        }
        open
    }

    /// Commits a group and answers its members; an error is a failure of the store.
    fn serve_group(&mut self, group: Vec<Member>) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        // A damaged page may make redb panic.
        let committed = guarded(|| self.commit(&group), || Error::internal("the database panicked"));
        match committed {
            Ok(verdicts) => {
                for (member, verdict) in group.into_iter().zip(verdicts) {
                    let _ = member.reply.send(Ok(verdict));
                }
                Ok(())
            }
            Err(error) => {
                tracing::error!(event = "commit", cause = ?error, "the store failed");
                self.figures.note_failure();
                self.file.set_condition(Condition::Failed);
                group.into_iter().for_each(|member| refuse(member, Error::OutcomeUnknown));
                Err(error)
            }
        }
    }

    fn begin(&self) -> Result<WriteTransaction> {
        let mut transaction = self.file.begin_write()?;
        transaction.set_durability(Durability::Immediate).map_err(Error::internal)?;
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
        Ok(transaction)
    }

    /// One transaction for the whole group; returns each member's verdict.
    fn commit(&mut self, group: &[Member]) -> Result<Vec<Result<()>>> {
        let since = self.time.clock().monotonic();
        let transaction = self.begin()?;
        let verdicts = self.write_changes(&transaction, group)?;
        self.write_eop(&transaction, group).map_err(Error::internal)?;
        let succeeded =
            |(member, verdict): &(&Member, &Result<()>)| member.entry.failure.is_none() && verdict.is_ok();
        let calls = || group.iter().zip(&verdicts).filter(succeeded).map(|(member, _)| &*member.entry);
        uses::add(&transaction, calls().map(|entry| (&entry.uses, entry.draft.time)))
            .map_err(Error::internal)?;
        associations::add(&transaction, &self.sealer, calls())?;
        let ended =
            group.iter().zip(&verdicts).map(|(member, verdict)| (&*member.entry, ended(member, verdict)));
        let counted = attempts::add(&transaction, &self.sealer, ended)?;
        if !counted.events.is_empty() {
            let mut tables = Tables::open(&transaction).map_err(Error::internal)?;
            tables.apply(&counted.events, &self.sealer)?;
        }
        let tail = self.write_audit(&transaction, group, &verdicts)?;
        if !self.tail.running {
            tables::set_running(&transaction, true)?;
        }
        for edit in group.iter().filter_map(|member| member.entry.changes.trail.as_ref()) {
            trail::apply(&transaction, edit, &self.sealer)?;
        }
        let time = self.time.change(calls().filter_map(|entry| entry.changes.time.as_ref()));
        let recorded = time.write(&transaction, &self.sealer, self.recorded)?;
        transaction.commit().map_err(Error::internal)?;
        self.tail = tail;
        self.time.apply(&time);
        if recorded {
            self.recorded = Some(time.steady);
        }
        let took = self.time.clock().monotonic().saturating_sub(since);
        self.figures.note_commit(took, group.len());
        let done = group.iter().zip(&verdicts).filter(|(_, verdict)| verdict.is_ok());
        let told = done.flat_map(|(member, _)| &member.entry.changes.events);
        told.chain(&counted.events.events).for_each(|number| self.figures.note_event(*number));
        self.figures.note_attempts(counted.outcomes);
        self.figures.note_end(self.last_sequence());
        Ok(verdicts)
    }

    fn write_changes(&self, transaction: &WriteTransaction, group: &[Member]) -> Result<Vec<Result<()>>> {
        if group.iter().all(|member| member.entry.changes.is_empty()) {
            return Ok(group.iter().map(|_| Ok(())).collect());
        }
        let mut tables = Tables::open(transaction).map_err(Error::internal)?;
        let (now, mut verdicts) = (self.time.read().steady(), Vec::with_capacity(group.len()));
        for member in group {
            let changes = &member.entry.changes;
            let verdict = tables.check(changes, &self.sealer, now)?;
            if verdict.is_ok() {
                tables.apply(changes, &self.sealer)?;
                for key in &changes.forgotten {
                    tables::forget(transaction, *key).map_err(Error::internal)?;
                }
            }
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    /// Remembers request ids and zones; once a minute forgets what is out of every window.
    fn write_eop(&mut self, transaction: &WriteTransaction, group: &[Member]) -> Result<(), redb::Error> {
        let traces = || group.iter().map(|member| &member.entry.eop);
        if traces().any(|trace| trace.replay.is_some()) {
            let mut replays = transaction.open_table(REPLAYS)?;
            for (minute, fingerprint) in traces().filter_map(|trace| trace.replay) {
                replays.insert(tables::replay_key(minute, &fingerprint).as_slice(), [].as_slice())?;
            }
        }
        if traces().any(|trace| trace.zone.is_some()) {
            let mut zones = transaction.open_table(ZONES)?;
            for (access_key, zone) in traces().filter_map(|trace| trace.zone) {
                zones.insert(access_key.as_bytes().as_slice(), [zone].as_slice())?;
            }
        }
        let time = self.time.read();
        if time.now().minute() == self.trimmed {
            return Ok(());
        }
        self.trimmed = time.now().minute();
        let end = tables::replay_key(oldest_minute(time.confirmed), &[0; 16]);
        transaction.open_table(REPLAYS)?.retain_in(..end.as_slice(), |_, _| false)?;
        forget_tokens(transaction, time.steady())
    }

    /// Chains the group's records into one block. Returns where the file ends then.
    fn write_audit(
        &mut self,
        transaction: &WriteTransaction,
        group: &[Member],
        verdicts: &[Result<()>],
    ) -> Result<Tail> {
        let first = self.tail.next_sequence;
        let mut lines = Vec::with_capacity(group.len() * LINE_BYTES);
        let mut hashes = Vec::with_capacity(group.len());
        let mut sequence = first;
        for (member, verdict) in group.iter().zip(verdicts) {
            let failure = ended(member, verdict);
            let start = lines.len();
            member.entry.draft.write_line(&mut lines, &self.appliance, sequence, failure);
            hashes.push(audit::record_hash(lines.get(start..).unwrap_or_default()));
            lines.push(b'\n');
            sequence += 1;
        }
        let times = || group.iter().map(|member| member.entry.draft.time);
        let header = BlockHeader {
            first,
            count: u32::try_from(group.len()).map_err(Error::internal)?,
            earliest: times().min().unwrap_or(Timestamp(0)),
            latest: times().max().unwrap_or(Timestamp(0)),
            previous: self.tail.head,
            root: audit::tree_root(hashes),
        };
        let compressed = self.compressor.compress(&lines).map_err(Error::internal)?;
        let sealed = trail::seal(&self.sealer, &header, lines.len(), &compressed)?;
        let mut table = transaction.open_table(AUDIT).map_err(Error::internal)?;
        table.insert(first, sealed.as_slice()).map_err(Error::internal)?;
        Ok(Tail { next_sequence: sequence, head: header.hash(), running: true })
    }
}

/// How a call failed. Changes of a call that fails may be refused all the same, and then that is what is answered.
fn ended<'a>(member: &'a Member, verdict: &'a Result<()>) -> Option<&'a Error> {
    verdict.as_ref().err().or(member.entry.failure.as_ref())
}

fn refuse(member: Member, error: Error) {
    let _ = member.reply.send(Err(error));
}

fn forget_tokens(transaction: &WriteTransaction, now: Timestamp) -> Result<(), redb::Error> {
    let mut expiry = transaction.open_table(EXPIRY)?;
    let mut tokens = transaction.open_table(TOKENS)?;
    let end = now.0.to_be_bytes();
    for row in expiry.range(..end.as_slice())? {
        let (key, _) = row?;
        if let Some(token) = key.value().get(8..) {
            tokens.remove(token)?;
        }
    }
    expiry.retain_in(..end.as_slice(), |_, _| false)?;
    Ok(())
}
