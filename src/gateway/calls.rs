//! What became of calls: for every operation and plane how many succeeded, how many failed by which code, and how long they
//! took. Counting a success is three additions to counters that the operation's number finds; there is no lock and
//! nothing is looked up by name.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::catalog::{ROWS, Row};
use crate::error::Error;
use crate::histogram::{Histogram, TIMES, TIMES_LEN};
use crate::model::principal::Plane;

/// The name of what is no operation.
pub const UNKNOWN: &str = "unknownOperation";

/// The planes in the order of their numbers.
const PLANES: [Plane; 3] = [Plane::OpenApi, Plane::AccessPoint, Plane::Internal];
/// Error codes that are told apart; the contract has fewer.
const CODES_MAX: usize = 63;

/// The calls since start, and the connections they come over.
pub struct Calls {
    lines: Vec<[Line; PLANES.len()]>,
    /// Error codes in the order in which they first occurred.
    codes: [OnceLock<&'static str>; CODES_MAX],
    /// Open connections whose TLS handshake is done.
    pub connections: AtomicU64,
}

/// One operation on one plane.
struct Line {
    succeeded: AtomicU64,
    /// By the place of their code; the last counts codes that found none.
    failed: [AtomicU64; CODES_MAX + 1],
    latency: Histogram<TIMES_LEN>,
}

/// One operation on one plane, as it is read.
pub struct Operation<'a> {
    /// Its name.
    pub name: &'static str,
    /// The plane.
    pub plane: Plane,
    /// How many calls succeeded.
    pub succeeded: u64,
    /// Error codes and how many calls failed by them.
    pub failed: Vec<(&'static str, u64)>,
    /// Nanoseconds of all of them, from the request to its reply.
    pub latency: &'a Histogram<TIMES_LEN>,
}

impl Default for Calls {
    fn default() -> Self {
        let line = || Line {
            succeeded: AtomicU64::new(0),
            failed: [const { AtomicU64::new(0) }; CODES_MAX + 1],
            latency: Histogram::new(&TIMES),
        };
        // The last row is for what is no operation.
        let lines = (0..=ROWS.len()).map(|_| [line(), line(), line()]).collect();
        Self { lines, codes: [const { OnceLock::new() }; CODES_MAX], connections: AtomicU64::new(0) }
    }
}

impl Calls {
    /// Counts one call; without a row it was none that the catalog knows.
    pub fn count(&self, row: Option<&Row>, plane: Plane, failure: Option<&Error>, latency: Duration) {
        let number = row.map_or(ROWS.len(), |row| row.number);
        let Some(line) = self.lines.get(number).and_then(|planes| planes.get(plane as usize)) else { return };
        let counter = match failure {
            None => Some(&line.succeeded),
            Some(error) => line.failed.get(self.place(error.code())),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        line.latency.add(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The place of a code, which it takes when it first occurs.
    fn place(&self, code: &'static str) -> usize {
        self.codes.iter().position(|place| *place.get_or_init(|| code) == code).unwrap_or(CODES_MAX)
    }

    /// Every operation on every plane that it can be called on, and others where somebody tried.
    pub fn operations(&self) -> Vec<Operation<'_>> {
        let rows = ROWS.iter().map(Some).chain([None]);
        let mut operations = Vec::new();
        for (row, planes) in rows.zip(&self.lines) {
            for (plane, line) in PLANES.into_iter().zip(planes) {
                let offered =
                    row.is_some_and(|row| row.spec.reach.contains(plane) && !row.spec.reach.is_demo_only());
                if offered || line.latency.count() > 0 {
                    operations.push(self.operation(row.map_or(UNKNOWN, |row| row.spec.name), plane, line));
                }
            }
        }
        operations
    }

    fn operation<'a>(&self, name: &'static str, plane: Plane, line: &'a Line) -> Operation<'a> {
        let codes = self.codes.iter().map(|place| place.get().copied().unwrap_or("other")).chain(["other"]);
        let failed = codes.zip(line.failed.iter().map(|count| count.load(Ordering::Relaxed)));
        let failed = failed.filter(|(_, count)| *count > 0).collect();
        let succeeded = line.succeeded.load(Ordering::Relaxed);
        Operation { name, plane, succeeded, failed, latency: &line.latency }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::by_name;

    #[test]
    fn a_call_is_counted_where_it_belongs() {
        let calls = Calls::default();
        let row = by_name("encrypt");
        calls.count(row, Plane::AccessPoint, None, Duration::from_micros(100));
        calls.count(row, Plane::AccessPoint, Some(&Error::KeyDisabled), Duration::from_secs(60));
        calls.count(None, Plane::OpenApi, Some(&Error::OperationNotFound), Duration::ZERO);
        let operations = calls.operations();
        let of = |name: &str, plane| operations.iter().find(|it| it.name == name && it.plane == plane);
        let encrypt = of("encrypt", Plane::AccessPoint).unwrap();
        assert_eq!((encrypt.succeeded, encrypt.failed.as_slice()), (1, [("KMS.9010", 1)].as_slice()));
        assert_eq!((encrypt.latency.count(), encrypt.latency.sum()), (2, 60_000_100_000));
        assert_eq!(of(UNKNOWN, Plane::OpenApi).unwrap().failed, [("KMS.9062", 1)]);
        assert!(of("encrypt", Plane::Internal).is_none() && of("rotateDueKey", Plane::Internal).is_some());
    }

    #[test]
    fn rows_know_their_numbers_and_planes_too() {
        assert!(ROWS.iter().enumerate().all(|(number, row)| row.number == number));
        assert!(PLANES.into_iter().enumerate().all(|(number, plane)| plane as usize == number));
    }
}
