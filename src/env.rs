//! The world outside: the clock, the operating system's generator, and the faults of a disk that tests inject. The only
//! file that reads the first two; everybody else is handed an [`Env`] or a [`Timestamp`].
#![allow(
    clippy::disallowed_methods,
    reason = "this is the one file that may read the clock and the OS generator"
)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// A moment, in microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Makes a moment from whole seconds since 1970.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Reads `YYYY-MM-DDTHH:MM:SSZ`.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to).filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
            digits.parse::<u16>().ok()
        };
        let small = |from: usize| number(from, from + 2).and_then(|number| u8::try_from(number).ok());
        let month = time::Month::try_from(small(5)?).ok()?;
        let date = time::Date::from_calendar_date(i32::from(number(0, 4)?), month, small(8)?).ok()?;
        let time = time::Time::from_hms(small(11)?, small(14)?, small(17)?).ok()?;
        let moment =
            Self::from_seconds(time::PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp());
        (moment.to_string() == text).then_some(moment)
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Whole minutes since 1970, rounded down.
    pub const fn minute(self) -> i64 {
        self.seconds().div_euclid(60)
    }

    /// The moment `span` later; saturates at the end of time.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The moment `span` earlier; saturates at the beginning of time.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// `YYYY-MM-DDTHH:MM:SSZ` (contract section 1).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp(self.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        // Every record of every call has one of these; the formatting machinery would cost more than the rest of its line.
        let year = u16::try_from(at.year().clamp(0, 9999)).unwrap_or_default();
        let digit = |number: u16| b'0' + u8::try_from(number % 10).unwrap_or_default();
        let pair = |number: u8| [digit(u16::from(number) / 10), digit(u16::from(number))];
        let [a, b] = [digit(year / 1000), digit(year / 100)];
        let [c, d] = [digit(year / 10), digit(year)];
        let ([e, g], [h, i]) = (pair(u8::from(at.month())), pair(at.day()));
        let ([j, k], [l, m], [n, o]) = (pair(at.hour()), pair(at.minute()), pair(at.second()));
        let text = [a, b, c, d, b'-', e, g, b'-', h, i, b'T', j, k, b':', l, m, b':', n, o, b'Z'];
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where the time comes from.
#[derive(Clone)]
pub enum Clock {
    /// The system's clock; durations by the monotonic clock since start.
    System(Instant),
    /// A clock that stands still until a test moves it: microseconds since 1970.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self::System(Instant::now())
    }

    /// A clock that shows `start` until it is advanced.
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.0)))
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System(_) => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Self::Manual(micros) => Timestamp(micros.load(Ordering::Acquire)),
        }
    }

    /// Time that only ever goes forward, from an arbitrary origin: for rates and durations.
    pub fn monotonic(&self) -> Duration {
        match self {
            Self::System(start) => start.elapsed(),
            Self::Manual(micros) => {
                Duration::from_micros(u64::try_from(micros.load(Ordering::Acquire)).unwrap_or(0))
            }
        }
    }

    /// Moves a manual clock forward; the system's clock is left alone.
    pub fn advance(&self, span: Duration) {
        if let Self::Manual(micros) = self {
            micros.fetch_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX), Ordering::AcqRel);
        }
    }
}

/// The operating system's random generator.
pub struct SystemEntropy;

impl firmware_sim::Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), firmware_sim::EntropyFailed> {
        getrandom::fill(out).map_err(|_| firmware_sim::EntropyFailed)
    }
}

/// One operation on the database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskOperation {
    /// Reads some bytes.
    Read,
    /// Writes some bytes.
    Write,
    /// Changes the length.
    Resize,
    /// Makes everything written durable.
    Sync,
}

/// How an operation on the database file fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFault {
    /// EIO: nothing is done.
    Broken,
    /// ENOSPC: nothing is done.
    Full,
    /// Half of the bytes are written, then EIO.
    Short,
}

/// Decides for each operation on the database file whether it fails.
pub type DiskFaults = dyn Fn(DiskOperation) -> Option<DiskFault> + Send + Sync;

/// The disk under the database file.
#[derive(Clone)]
pub enum Disk {
    /// The system's.
    System,
    /// The system's, with faults that a test injects.
    Faulty(Arc<DiskFaults>),
}

/// The clock, the random source and the disk that one appliance runs on.
#[derive(Clone)]
pub struct Env {
    /// Read once per call.
    pub clock: Clock,
    /// Feeds the cipher machine and the ids.
    pub entropy: Arc<dyn firmware_sim::Entropy>,
    /// Carries the database file.
    pub disk: Disk,
}

impl Env {
    /// The real clock, generator and disk.
    pub fn system() -> Self {
        Self { clock: Clock::system(), entropy: Arc::new(SystemEntropy), disk: Disk::System }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_as_the_contract_says() {
        assert_eq!(Timestamp::from_seconds(1_767_254_400).to_string(), "2026-01-01T08:00:00Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59Z");
        assert_eq!(Timestamp::parse("2026-01-01T08:00:00Z"), Some(Timestamp::from_seconds(1_767_254_400)));
        for wrong in [
            "2026-01-01 08:00:00Z",
            "2026-02-30T08:00:00Z",
            "2026-01-01T08:00:00",
            "２０２６-01-01T08:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_manual_clock_moves_when_told() {
        let clock = Clock::manual(Timestamp::from_seconds(100));
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), Timestamp::from_seconds(105));
        assert_eq!(clock.now().since(Timestamp::from_seconds(200)), Duration::ZERO);
    }
}
