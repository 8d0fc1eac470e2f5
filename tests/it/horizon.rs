//! The horizon: the latest moment in the audit trail. It only ever moves forward, although the clock may be turned back.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use yaoku::api::{Arrival, Call};
use yaoku::catalog;
use yaoku::env::{Clock, Timestamp};
use yaoku::model::principal::{Plane, Principal};
use yaoku::store::EopTrace;

use crate::kit::{START, Service, new_id};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn horizon(service: &Service) -> Timestamp {
    service.app().store.figures().horizon()
}

/// Leaves a record at the time that the clock shows.
fn record(service: &Service) {
    service.admin().ok("/system/describeSystem", json!({}));
}

/// Starts the service again with another clock.
fn restart_at(service: &mut Service, time: Timestamp) {
    service.stop();
    service.clock = Clock::manual(time);
    service.restart();
}

#[test]
fn the_horizon_is_the_time_of_the_latest_record() {
    let mut service = Service::start();
    record(&service);
    assert_eq!(horizon(&service), START);
    service.clock.advance(DAY);
    assert_eq!(horizon(&service), START, "nothing was recorded yet");
    record(&service);
    assert_eq!(horizon(&service), START.after(DAY));
    service.restart();
    assert!(horizon(&service) >= START.after(DAY));
}

#[test]
fn a_clock_that_is_turned_back_does_not_take_the_horizon_with_it() {
    let mut service = Service::start();
    service.clock.advance(10 * DAY);
    record(&service);
    let latest = START.after(10 * DAY);
    // At the second start the newest block is of the earlier time.
    for start in 1..=3 {
        restart_at(&mut service, START.after(DAY * start));
        assert_eq!(horizon(&service), latest, "start {start}");
        record(&service);
        assert_eq!(horizon(&service), latest, "start {start}");
    }
    service.clock.advance(8 * DAY);
    record(&service);
    assert_eq!(horizon(&service), START.after(11 * DAY));
    restart_at(&mut service, START);
    record(&service);
    restart_at(&mut service, START);
    assert_eq!(horizon(&service), START.after(11 * DAY), "a later one takes the place of what was kept");
}

#[test]
fn the_horizon_of_a_call_is_the_later_of_its_own_time_and_the_trails() {
    let mut service = Service::start();
    service.clock.advance(DAY);
    record(&service);
    restart_at(&mut service, START);
    let app = service.app();
    let horizon_of = |now: Timestamp| {
        let arrival = Arrival {
            id: new_id(),
            plane: Plane::Internal,
            source: None,
            user_agent: String::new(),
            now,
            horizon: horizon(&service),
            arrived: (Duration::ZERO, app.env.clock.clone()),
            region: Arc::from("local"),
        };
        let spec = catalog::by_name("describeSystem").unwrap().spec;
        let place = app.store.reserve().unwrap();
        Call::new(arrival, spec, Principal::System, place, EopTrace::default()).horizon()
    };
    assert_eq!(horizon_of(START), START.after(DAY));
    assert_eq!(horizon_of(START.after(2 * DAY)), START.after(2 * DAY));
}
