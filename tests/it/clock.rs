//! The clocks: a wall clock that somebody may set, and the confirmed clock beside it, by which nothing comes back and nothing
//! goes too early.

use std::time::Duration;

use serde_json::json;
use yaoku::env::Timestamp;
use yaoku::model::confirmed::Doubt;

use crate::kit::{START, Service};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Leaves a record at the time that the clock shows.
fn record(service: &Service) {
    service.admin().ok("/system/describeSystem", json!({}));
}

fn confirmed(service: &Service) -> Timestamp {
    service.app().store.time().read().confirmed
}

#[test]
fn the_confirmed_clock_goes_on_over_a_restart_whatever_the_wall_clock_shows() {
    let mut service = Service::start();
    service.clock.advance(10 * DAY);
    record(&service);
    service.stop();
    service.clock.advance(DAY);
    service.clock.set(START);
    service.restart();
    assert_eq!(confirmed(&service), START.after(11 * DAY));
    assert_eq!(service.app().store.time().read().doubt(), Some(Doubt::Behind(11 * DAY)));
}
