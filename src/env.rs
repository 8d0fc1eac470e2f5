//! The world outside: the clock, the operating system's generator, and the faults of a disk that tests inject. The only
//! file that reads the first two; everybody else is handed an [`Env`] or a [`Timestamp`].
#![allow(
    clippy::disallowed_methods,
    reason = "this is the one file that may read the clock and the OS generator"
)]

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
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

/// Since when the machine under the service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// Another one after every start of the machine.
    pub id: [u8; 16],
    /// Time since that start, sleep included; nobody can set it.
    pub since: Duration,
}

/// Where the time comes from: a wall clock, which somebody may set, and clocks that only go forward.
#[derive(Clone)]
pub enum Clock {
    /// The system's clocks.
    System {
        /// Where durations are counted from.
        start: Instant,
        /// The running start of the machine, where the kernel tells it.
        boot: Option<[u8; 16]>,
    },
    /// Clocks that stand still until a test moves them.
    Manual(Arc<ManualClock>),
}

/// Clocks that stand still until a test moves them.
pub struct ManualClock {
    /// Microseconds since 1970.
    wall: AtomicI64,
    /// Microseconds since the machine started, as far as anybody is told.
    steady: AtomicI64,
    /// The number of that start.
    boot: AtomicU64,
}

/// Starts of machines that tests made up.
static BOOTS: AtomicU64 = AtomicU64::new(1);

impl Clock {
    /// The system's clocks.
    pub fn system() -> Self {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let boot = boot.and_then(|id| uuid::Uuid::try_parse(id.trim()).ok()).map(uuid::Uuid::into_bytes);
        Self::System { start: Instant::now(), boot }
    }

    /// Clocks of a machine of its own that show `start` until they are moved.
    pub fn manual(start: Timestamp) -> Self {
        let (wall, steady) = (AtomicI64::new(start.0), AtomicI64::new(start.0));
        Self::Manual(Arc::new(ManualClock { wall, steady, boot: AtomicU64::new(next_boot()) }))
    }

    /// The time of day, as the wall clock shows it: it may be wrong, and it may be set, forward and back.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System { .. } => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Self::Manual(clock) => Timestamp(clock.wall.load(Ordering::Acquire)),
        }
    }

    /// Time that only ever goes forward, from an arbitrary origin: for rates and durations.
    pub fn monotonic(&self) -> Duration {
        match self {
            Self::System { start, .. } => start.elapsed(),
            Self::Manual(clock) => clock.steady(),
        }
    }

    /// Since when the machine runs; nothing where the kernel does not tell.
    pub fn boot(&self) -> Option<Boot> {
        match self {
            Self::System { boot, .. } => {
                let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                let since = Duration::try_from(time).ok();
                Some(Boot { id: (*boot)?, since: since? })
            }
            Self::Manual(clock) => {
                let mut id = [0; 16];
                let number = clock.boot.load(Ordering::Acquire).to_be_bytes();
                id.iter_mut().zip(number).for_each(|(to, from)| *to = from);
                Some(Boot { id, since: clock.steady() })
            }
        }
    }

    /// Lets time pass on manual clocks; the system's are left alone.
    pub fn advance(&self, span: Duration) {
        if let Self::Manual(clock) = self {
            let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
            clock.steady.fetch_add(span, Ordering::AcqRel);
            clock.wall.fetch_add(span, Ordering::AcqRel);
        }
    }

    /// Sets a manual wall clock, as somebody might set the system's: no time passes.
    pub fn set(&self, wall: Timestamp) {
        if let Self::Manual(clock) = self {
            clock.wall.store(wall.0, Ordering::Release);
        }
    }

    /// Starts the machine of manual clocks anew: its wall clock goes on, whatever else it counted is gone.
    pub fn reboot(&self) {
        if let Self::Manual(clock) = self {
            clock.boot.store(next_boot(), Ordering::Release);
            clock.steady.store(0, Ordering::Release);
        }
    }
}

impl ManualClock {
    fn steady(&self) -> Duration {
        Duration::from_micros(u64::try_from(self.steady.load(Ordering::Acquire)).unwrap_or(0))
    }
}

fn next_boot() -> u64 {
    BOOTS.fetch_add(1, Ordering::Relaxed)
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

    #[test]
    fn setting_a_manual_clock_lets_no_time_pass() {
        let clock = Clock::manual(Timestamp::from_seconds(100));
        let (before, boot) = (clock.monotonic(), clock.boot().unwrap());
        clock.set(Timestamp::from_seconds(7));
        assert_eq!((clock.now(), clock.monotonic()), (Timestamp::from_seconds(7), before));
        clock.clone().advance(Duration::from_secs(3));
        assert_eq!(clock.boot(), Some(Boot { since: boot.since + Duration::from_secs(3), ..boot }));
        clock.reboot();
        assert_eq!(clock.now(), Timestamp::from_seconds(10));
        assert_ne!(clock.boot().unwrap().id, boot.id);
        assert_ne!(Clock::manual(Timestamp(0)).boot().unwrap().id, clock.boot().unwrap().id);
    }

    #[test]
    fn the_machine_tells_since_when_it_runs() {
        let (one, other) = (Clock::system().boot().unwrap(), Clock::system().boot().unwrap());
        assert_eq!(one.id, other.id);
        assert!(one.since > Duration::ZERO && one.since <= other.since);
    }
}
