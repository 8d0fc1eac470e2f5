//! Callers who are not proven: they share a small pool of places, and beyond a number of records per source and minute
//! they are only counted, so that a flood neither crowds out customers nor fills the audit trail.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::env::Timestamp;

/// Refusals that are being recorded at the same time.
const PLACES: usize = 64;
/// Records of their own that one source gets in a minute.
const RECORDS_PER_MINUTE: u64 = 60;
/// Sources that are told apart; the rest share one count.
const SOURCES_MAX: usize = 10_000;

/// The counts of the current minute.
pub struct Strangers {
    places: Arc<Semaphore>,
    suppressed: AtomicU64,
    sources: Mutex<HashMap<Option<IpAddr>, Count>>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    minute: i64,
    calls: u64,
    suppressed: u64,
}

/// Calls of one source in one minute that have no record of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suppressed {
    /// The source; `None` stands for many.
    pub source: Option<IpAddr>,
    /// When the minute began.
    pub minute: Timestamp,
    /// How many.
    pub calls: u64,
}

impl Default for Strangers {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(PLACES));
        Self { places, suppressed: AtomicU64::new(0), sources: Mutex::default() }
    }
}

impl Strangers {
    /// A place in the pool, if one is free.
    pub fn enter(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        PLACES - self.places.available_permits()
    }

    /// How many calls since start were only counted.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Ordering::Relaxed)
    }

    /// Whether this refusal gets a record of its own; otherwise it is counted.
    pub fn records(&self, source: Option<IpAddr>, now: Timestamp) -> bool {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let source = if sources.len() < SOURCES_MAX || sources.contains_key(&source) { source } else { None };
        let fresh = Count { minute: now.minute(), calls: 0, suppressed: 0 };
        let count = sources.entry(source).or_insert(fresh);
        // What an earlier minute suppressed stays counted until it is written.
        if count.minute != fresh.minute && count.suppressed == 0 {
            *count = fresh;
        }
        count.calls += 1;
        let recorded = count.calls <= RECORDS_PER_MINUTE;
        count.suppressed += u64::from(!recorded);
        self.suppressed.fetch_add(u64::from(!recorded), Ordering::Relaxed);
        recorded
    }

    /// Takes the counts of minutes that are over.
    pub fn finished(&self, now: Timestamp) -> Vec<Suppressed> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |count: &Count| count.minute != now.minute();
        let finished = sources.iter().filter(|(_, count)| over(count) && count.suppressed > 0);
        let finished = finished.map(|(source, count)| Suppressed {
            source: *source,
            minute: Timestamp::from_seconds(count.minute * 60),
            calls: count.suppressed,
        });
        let finished = finished.collect();
        sources.retain(|_, count| !over(count));
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_record_per_source_and_minute() {
        let strangers = Strangers::default();
        let (source, now) = (Some(IpAddr::from([127, 0, 0, 1])), Timestamp::from_seconds(600));
        let recorded = (0..1000).filter(|_| strangers.records(source, now)).count();
        assert_eq!(recorded, 60);
        assert_eq!(strangers.finished(now), []);
        let later = Timestamp::from_seconds(661);
        assert_eq!(strangers.finished(later), [Suppressed { source, minute: now, calls: 940 }]);
        assert!(strangers.records(source, later));
        assert_eq!(strangers.finished(Timestamp::from_seconds(721)), []);
    }
}
