//! The program under load on both planes, killed at any moment or asked to stop: whatever it acknowledged is there
//! afterwards, with its audit record.

use std::fs;
use std::thread;
use std::time::Duration;

use yaoku::env::Clock;

use crate::kit::parallel;
use crate::ledger::{Appliance, Tally, figure, rounds};

/// Appliances at the same time; most of a round is waiting.
const LANES: usize = 4;
const CLIENTS: usize = 3;
/// A kill comes at any moment up to this one.
const LATEST: Duration = Duration::from_millis(500);

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let (kills, latest) = (rounds(50, 1000), LATEST / rounds(2, 1) as u32);
    let tallies = parallel(LANES, |lane| {
        let mut appliance = Appliance::new(CLIENTS, lane as u64);
        for _ in 0..kills {
            let (program, ready) = appliance.serve();
            appliance.check(false);
            let moment = latest.mul_f64(appliance.random.f64());
            appliance.load(&ready, || {
                thread::sleep(moment);
                program.kill();
            });
        }
        appliance.finish()
    });
    let mut tally = Tally::default();
    tallies.into_iter().for_each(|other| tally.add(other));
    figure("kills", LANES * kills, "kills");
    tally.report("kill");
}

#[test]
fn a_request_to_stop_under_load_loses_nothing_and_is_quick() {
    let stops = rounds(20, 500);
    let (clock, mut longest) = (Clock::system(), Duration::ZERO);
    let mut appliance = Appliance::new(CLIENTS, 20);
    for _ in 0..stops {
        let (program, ready) = appliance.serve();
        appliance.check(false);
        let moment = Duration::from_millis(appliance.random.u64(0..300));
        let (ended, took) = appliance.load(&ready, || {
            thread::sleep(moment);
            let asked = clock.monotonic();
            (program.stop(), clock.monotonic() - asked)
        });
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        assert!(took < Duration::from_secs(10), "it took {took:?}");
        longest = longest.max(took);
    }
    let tally = appliance.finish();
    figure("lost_after_sigterm", format!("{} of {}", tally.lost.len(), tally.acknowledged), "calls");
    figure("longest_stop", longest.as_secs_f64(), "s");
    figure("stops_under_load", stops, "stops");
    tally.report("stop");
}

/// The ledgers would notice: with the data directory of before, everything since then is missing.
#[test]
fn a_ledger_misses_what_a_data_directory_of_before_does_not_have() {
    let mut appliance = Appliance::new(2, 3);
    let before = appliance.home.contents();
    let (program, ready) = appliance.serve();
    appliance.load(&ready, || {
        thread::sleep(Duration::from_millis(500));
        program.kill();
    });
    for (path, bytes) in before {
        fs::write(path, bytes).unwrap();
    }
    let tally = appliance.finish();
    assert!(tally.lost.iter().any(|lost| lost.starts_with("key ")), "{:?}", tally.lost);
    assert!(tally.lost.iter().any(|lost| lost.starts_with("ciphertext ")), "{:?}", tally.lost);
    assert!(!tally.unaudited.is_empty());
}
