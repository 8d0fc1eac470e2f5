//! The confirmed clock: the wall clock as it was when it was believed, and the time that passed since then by a clock that
//! nobody can set. A wall clock that strays from it is not trusted, and nothing is destroyed by it. What goes on across a stop
//! is decided here too.
//!
//! ```text
//! now      wall + offset of a demo              what records, dates and due jobs show
//! horizon  later of wall and confirmed + offset what has run out by it cannot be used
//! steady   confirmed + offset              what comes at intervals or before an end, and what is good for a day
//! settled  earlier of both + offset             what has run out by it may be destroyed; only while the clock is trusted
//! ```

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::env::{Boot, Timestamp};

/// How far the wall clock may be off before it is not trusted.
pub const TOLERANCE: Duration = Duration::from_secs(10 * 60);

/// What a run leaves for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// The confirmed clock.
    pub confirmed: Timestamp,
    /// The wall clock at that moment.
    pub wall: Timestamp,
    /// The machine's start at that moment, where the kernel tells it.
    pub boot: Option<Boot>,
}

impl Recorded {
    /// What the confirmed clock shows at a start, when the wall clock shows `wall`. As long as the machine was not started
    /// anew, it went on. After that the wall clock is believed, unless it is behind, or more than `max_gap` ahead, or as far
    /// ahead as it was when it was not trusted: then the confirmed clock goes on from where it stood.
    pub fn resume(&self, wall: Timestamp, boot: Option<Boot>, max_gap: Duration) -> Timestamp {
        if let Some(confirmed) = self.go_on(boot) {
            return confirmed;
        }
        let strayed = self.wall.since(self.confirmed) > TOLERANCE && wall >= self.wall.before(TOLERANCE);
        let believed = wall >= self.confirmed && wall.since(self.confirmed) <= max_gap && !strayed;
        if believed { wall } else { self.confirmed }
    }

    /// What the confirmed clock shows if the machine was not started anew since.
    pub fn go_on(&self, boot: Option<Boot>) -> Option<Timestamp> {
        let (then, now) = (self.boot?, boot?);
        let passed = now.since.checked_sub(then.since).filter(|_| then.id == now.id)?;
        Some(self.confirmed.after(passed))
    }
}

/// All clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock: signatures, TLS, sessions, locks.
    pub wall: Timestamp,
    /// The confirmed clock.
    pub confirmed: Timestamp,
    /// How far the appliance's time was moved ahead; nothing unless it is a demo.
    pub offset: Duration,
}

impl Reading {
    /// The appliance's time: what records, dates and due jobs go by.
    pub fn now(&self) -> Timestamp {
        self.wall.after(self.offset)
    }

    /// What has run out by this moment cannot be used, although the wall clock may have been turned back.
    pub fn horizon(&self) -> Timestamp {
        self.wall.max(self.confirmed).after(self.offset)
    }

    /// Goes on evenly whatever is done to the wall clock: what comes at intervals, or is good for a day, goes by it.
    pub fn steady(&self) -> Timestamp {
        self.confirmed.after(self.offset)
    }

    /// What has run out by this moment may be destroyed; nothing while the wall clock is not trusted.
    pub fn settled(&self) -> Option<Timestamp> {
        let settled = self.wall.min(self.confirmed).after(self.offset);
        self.doubt().is_none().then_some(settled)
    }

    /// Why the wall clock is not trusted.
    pub fn doubt(&self) -> Option<Doubt> {
        let (ahead, behind) = (self.wall.since(self.confirmed), self.confirmed.since(self.wall));
        match (ahead > TOLERANCE, behind > TOLERANCE) {
            (true, _) => Some(Doubt::Ahead(ahead)),
            (false, true) => Some(Doubt::Behind(behind)),
            (false, false) => None,
        }
    }
}

/// Why the wall clock is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// It shows a time that is later than the confirmed clock, by this.
    Ahead(Duration),
    /// It shows a time that is earlier than the confirmed clock, by this.
    Behind(Duration),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (by, way) = match self {
            Self::Ahead(by) => (by, "ahead of"),
            Self::Behind(by) => (by, "behind"),
        };
        let minutes = by.as_secs() / 60;
        let (number, unit) = match minutes {
            0..120 => (minutes, "minutes"),
            120..2880 => (minutes / 60, "hours"),
            2880.. => (minutes / 1440, "days"),
        };
        write!(f, "the wall clock is {number} {unit} {way} the confirmed clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60;
    const DAY: i64 = 24 * 3600;
    const YEAR: i64 = 365 * DAY;
    const GAP: Duration = Duration::from_secs(30 * 86_400);
    const NOON: Timestamp = Timestamp::from_seconds(1_800_000_000);

    /// So many seconds from noon.
    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(NOON.seconds() + seconds)
    }

    fn boot(id: u8, seconds: u64) -> Option<Boot> {
        Some(Boot { id: [id; 16], since: Duration::from_secs(seconds) })
    }

    /// Recorded at noon, an hour after the machine's first start.
    fn recorded(wall: i64) -> Recorded {
        Recorded { confirmed: NOON, wall: at(wall), boot: boot(1, 3600) }
    }

    fn reading(wall: Timestamp, confirmed: Timestamp) -> Reading {
        Reading { wall, confirmed, offset: Duration::ZERO }
    }

    #[test]
    fn ten_minutes_are_no_doubt() {
        for (wall, trusted) in [(0, true), (600, true), (-600, true), (601, false), (-601, false)] {
            assert_eq!(reading(at(wall), NOON).settled().is_some(), trusted, "{wall}");
        }
        assert_eq!(reading(at(601), NOON).doubt(), Some(Doubt::Ahead(Duration::from_secs(601))));
        assert_eq!(reading(at(-601), NOON).doubt(), Some(Doubt::Behind(Duration::from_secs(601))));
    }

    #[test]
    fn what_is_unusable_runs_ahead_of_what_is_destroyed() {
        for wall in [-300, 0, 300] {
            let reading = Reading { offset: Duration::from_secs(50), ..reading(at(wall), NOON) };
            assert_eq!(reading.now(), at(wall + 50));
            assert_eq!(reading.horizon(), at(wall.max(0) + 50));
            assert_eq!(reading.settled(), Some(at(wall.min(0) + 50)));
        }
    }

    /// While the service runs, a clock that is set makes nothing usable again and nothing gone, and is forgotten when it is set
    /// right.
    #[test]
    fn jumps_at_runtime() {
        for (jump, doubt) in [
            (-10 * YEAR, "the wall clock is 3650 days behind the confirmed clock"),
            (-400 * DAY, "the wall clock is 400 days behind the confirmed clock"),
            (-DAY, "the wall clock is 24 hours behind the confirmed clock"),
            (-3600, "the wall clock is 60 minutes behind the confirmed clock"),
            (3600, "the wall clock is 60 minutes ahead of the confirmed clock"),
            (8 * DAY, "the wall clock is 8 days ahead of the confirmed clock"),
            (31 * DAY, "the wall clock is 31 days ahead of the confirmed clock"),
            (3 * YEAR, "the wall clock is 1095 days ahead of the confirmed clock"),
        ] {
            let reading = reading(at(jump), NOON);
            assert_eq!(reading.doubt().map(|doubt| doubt.to_string()).as_deref(), Some(doubt));
            assert_eq!(reading.settled(), None, "{doubt}");
            assert_eq!(reading.horizon(), at(jump.max(0)), "{doubt}");
        }
    }

    /// The machine runs on, the service is stopped for two hours.
    #[test]
    fn jumps_while_stopped_are_seen() {
        for jump in [-10 * YEAR, -400 * DAY, -DAY, -3600, 3600, 8 * DAY, 31 * DAY, 3 * YEAR] {
            let wall = at(2 * 3600 + jump);
            let confirmed = recorded(0).resume(wall, boot(1, 3 * 3600), GAP);
            assert_eq!(confirmed, at(2 * 3600), "{jump}");
            assert!(reading(wall, confirmed).doubt().is_some(), "{jump}");
        }
    }

    /// A service that rests while its machine runs or sleeps is in no doubt, however long.
    #[test]
    fn a_long_rest_on_a_machine_that_runs_is_no_doubt() {
        let rest = 3 * YEAR;
        let confirmed = recorded(0).resume(at(rest), boot(1, 3600 + rest.unsigned_abs()), GAP);
        assert_eq!(confirmed, at(rest));
    }

    /// After a new start of the machine nobody knows how long it was off: up to the gap the wall clock is believed.
    #[test]
    fn jumps_over_a_reboot() {
        for (wall, confirmed, trusted) in [
            (-10 * YEAR, 0, false),
            (-400 * DAY, 0, false),
            (-DAY, 0, false),
            (-3600, 0, false),
            (-5 * MINUTE, 0, true),
            (0, 0, true),
            (3600, 3600, true),
            (8 * DAY, 8 * DAY, true),
            (30 * DAY, 30 * DAY, true),
            (31 * DAY, 0, false),
            (3 * YEAR, 0, false),
        ] {
            for now in [boot(2, 5), boot(2, 7200), boot(1, 5), None] {
                let resumed = recorded(0).resume(at(wall), now, GAP);
                assert_eq!(resumed, at(confirmed), "{wall} {now:?}");
                assert_eq!(reading(at(wall), resumed).doubt().is_none(), trusted, "{wall} {now:?}");
            }
        }
    }

    /// Neither a restart nor a reboot makes a wrong clock right.
    #[test]
    fn a_doubt_survives_restarts() {
        for jump in [-10 * YEAR, -400 * DAY, -DAY, -3600, 3600, 8 * DAY, 31 * DAY, 3 * YEAR] {
            let mut last = recorded(jump);
            for (number, boot) in
                [boot(1, 3660), boot(2, 60), boot(2, 120), boot(3, 60), None].into_iter().enumerate()
            {
                let wall = Timestamp(last.wall.0 + 60_000_000);
                let confirmed = last.resume(wall, boot, GAP);
                assert!(reading(wall, confirmed).doubt().is_some(), "jump {jump}, start {number}");
                last = Recorded { confirmed, wall, boot };
            }
        }
    }

    /// The clock of a machine that is off is a little off itself.
    #[test]
    fn a_doubt_survives_a_start_at_which_the_clock_is_a_little_back() {
        for jump in [3600, 8 * DAY] {
            assert_eq!(recorded(jump).resume(at(jump - 2), boot(2, 1), GAP), NOON, "{jump}");
        }
    }

    #[test]
    fn a_clock_that_was_set_right_over_a_reboot_is_believed() {
        for (wrong, now) in [(3 * YEAR, 3600), (8 * DAY, 2 * DAY), (-DAY, 3600), (3600, 5 * MINUTE)] {
            assert_eq!(recorded(wrong).resume(at(now), boot(2, 60), GAP), at(now), "{wrong}");
        }
    }

    #[test]
    fn nothing_overflows_at_the_ends_of_time() {
        for wall in [Timestamp(i64::MIN), Timestamp(i64::MAX)] {
            for confirmed in [Timestamp(i64::MIN), Timestamp(i64::MAX), NOON] {
                let reading = Reading { wall, confirmed, offset: Duration::MAX };
                let _ = (reading.now(), reading.horizon(), reading.settled(), reading.doubt());
                let recorded = Recorded { confirmed, wall, boot: None };
                let _ = (recorded.resume(wall, None, GAP), recorded.resume(NOON, boot(1, u64::MAX), GAP));
            }
        }
    }
}
