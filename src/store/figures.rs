//! What the writer counts and measures of its commits. It alone adds; whoever asks reads without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::histogram::{Histogram, TIMES, TIMES_LEN};
use crate::model::attempt::Outcome;
use crate::model::event::Occurrence;

/// Calls in one transaction at most.
pub(super) const GROUP_MAX: usize = 1024;
/// Upper bounds of the buckets of group sizes.
static SIZES: [u64; 11] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, GROUP_MAX as u64];

/// Figures of the writer since start.
pub struct CommitFigures {
    times: Histogram<TIMES_LEN>,
    sizes: Histogram<11>,
    failures: AtomicU64,
    sequence: AtomicU64,
    events: [AtomicU64; Occurrence::NAMES.len()],
    attempts: [AtomicU64; Outcome::NAMES.len()],
}

impl Default for CommitFigures {
    fn default() -> Self {
        let (failures, sequence) = (AtomicU64::new(0), AtomicU64::new(0));
        let (events, attempts) = Default::default();
        let (times, sizes) = (Histogram::new(&TIMES), Histogram::new(&SIZES));
        Self { times, sizes, failures, sequence, events, attempts }
    }
}

impl CommitFigures {
    pub(super) fn note_commit(&self, took: Duration, calls: usize) {
        self.times.add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.sizes.add(calls as u64);
    }

    pub(super) fn note_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_event(&self, number: usize) {
        if let Some(events) = self.events.get(number) {
            events.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn note_attempts(&self, outcomes: [u64; Outcome::NAMES.len()]) {
        for (attempts, more) in self.attempts.iter().zip(outcomes) {
            attempts.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// Notes the last record of the trail.
    pub(super) fn note_end(&self, last: u64) {
        self.sequence.store(last, Ordering::Relaxed);
    }

    /// Commits.
    pub fn commits(&self) -> u64 {
        self.sizes.count()
    }

    /// Nanoseconds of each commit, from the first write until it was durable.
    pub fn times(&self) -> &Histogram<TIMES_LEN> {
        &self.times
    }

    /// Calls in each commit.
    pub fn sizes(&self) -> &Histogram<11> {
        &self.sizes
    }

    /// Commits that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Events since start, by what they tell of.
    pub fn events(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Occurrence::NAMES.into_iter().zip(self.events.iter().map(|events| events.load(Ordering::Relaxed)))
    }

    /// Attempts since start on keys that are disabled, pending deletion or in rehearsal, by how they ended.
    pub fn attempts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Outcome::NAMES.into_iter().zip(self.attempts.iter().map(|attempts| attempts.load(Ordering::Relaxed)))
    }

    /// Number of the last audit record that is durable, from the first one of the installation on.
    pub fn sequence(&self) -> u64 {
        self.sequence.load(Ordering::Relaxed)
    }

    /// Audit records.
    pub fn records(&self) -> u64 {
        self.sizes.sum()
    }
}
