//! The clocks: a wall clock that somebody may set, and the confirmed clock beside it, by which nothing comes back and nothing
//! goes too early.

use std::time::Duration;

use serde_json::{Value, json};
use yaoku::env::{Clock, Disk, Timestamp};
use yaoku::ids::KeyId;
use yaoku::model::confirmed::Doubt;
use yaoku::model::key::Key;

use crate::kit::{AccessPoint, OpenApi, START, Service, base64, poll, temporary};
use crate::ledger::figure;
use crate::material::{IMPORT, Way, external};
use crate::program::Home;
use crate::rotation::{weekly, whole_tick};
use crate::wrapping_key::copy;

const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);
const SYSTEM: &str = "/system/describeSystem";
const CONFIRM: &str = "/system/confirmClock";

/// Jumps of the wall clock in seconds: -10 y, -400 d, -1 d, -1 h, +1 h, +8 d, +31 d, +3 y.
const JUMPS: [i64; 8] = [-315_360_000, -34_560_000, -86_400, -3_600, 3_600, 691_200, 2_678_400, 94_608_000];

fn service() -> Service {
    Service::start_with(|config| config.import.spare_wrapping_keys = 1)
}

fn jump(service: &Service, seconds: i64) {
    service.clock.set(Timestamp(service.clock.now().0 + seconds * 1_000_000));
}

fn confirmed(service: &Service) -> Timestamp {
    service.app().store.time().read().confirmed
}

fn doubt(service: &Service) -> Option<Doubt> {
    service.app().store.time().read().doubt()
}

/// A key whose material ends at a moment.
fn ending(admin: &OpenApi, at: Timestamp) -> Value {
    let way = Way::new(admin, &external(admin, "AES_256"), "RSAES_OAEP_SHA_256");
    let mut body = way.body(&[7; 32]);
    body["keyMaterialExpireUnix"] = json!(at.seconds());
    admin.ok(IMPORT, body);
    way.key
}

/// Whether the store still holds the material of a key.
fn holds(service: &Service, key: &Value) -> bool {
    let id: KeyId = serde_json::from_value(key.clone()).unwrap();
    service.app().store.get::<Key>(&id).unwrap().is_some_and(|key| !key.versions.is_empty())
}

fn use_of(key: &Value) -> Value {
    json!({"cmkUuid": key, "plaintext": base64("text")})
}

/// The application at the present address of a service that was started again.
fn moved(application: &AccessPoint, service: &Service) -> AccessPoint {
    AccessPoint { endpoint: service.ready.access_point.clone(), ..application.clone() }
}

#[test]
fn the_confirmed_clock_goes_on_over_a_restart_whatever_the_wall_clock_shows() {
    let mut service = Service::start();
    service.clock.advance(10 * DAY);
    service.admin().ok(SYSTEM, json!({}));
    service.stop();
    service.clock.advance(DAY);
    service.clock.set(START);
    service.restart();
    assert_eq!(confirmed(&service), START.after(11 * DAY));
    assert_eq!(doubt(&service), Some(Doubt::Behind(11 * DAY)));
    service.clock.set(START.after(11 * DAY));
    assert_eq!(doubt(&service), None);
}

#[test]
fn a_service_without_calls_records_its_time_all_the_same() {
    let service = Service::start_with(|config| config.cron.tick_seconds = 3600);
    let file = || std::fs::read(service.config.data.join("yaoku.redb")).unwrap();
    let before = file();
    service.clock.advance(10 * DAY);
    service.app().store.tend();
    poll("a record of the time", || (file() != before).then_some(()));
    // As if it had been killed, on a machine whose clock was set back.
    let mut other = Service::stopped_on(temporary(), Disk::System, |_| {});
    copy(&service.config.data, &other.config.data);
    other.clock.set(START.after(5 * DAY));
    other.restart();
    assert_eq!(confirmed(&other), START.after(10 * DAY));
}

/// Lets a minute pass, and the tick after it come by: it does what is due before it signs the audit trail.
fn tick(service: &Service) {
    let last = || service.app().store.figures().sequence();
    let before = last();
    service.clock.advance(MINUTE);
    poll("a tick", || (last() > before).then_some(()));
}

/// No jump of the wall clock, whenever it happens, destroys a key or material before its time or makes that usable after.
#[test]
fn no_jump_destroys_anything_early_or_revives_it() {
    let (mut early, mut revived) = (0, 0);
    for seconds in JUMPS {
        let mut service = service();
        let (admin, application) = (service.admin(), service.first_application());
        let (soon, late) = (ending(&admin, START.after(DAY)), ending(&admin, START.after(2 * DAY)));
        let condemned = admin.ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
        let window = json!({"cmkUuid": condemned, "pendingWindowInDays": 7});
        admin.ok("/cmkManage/scheduleKeyDeletion", window);
        service.clock.advance(DAY);
        poll("the end of the material", || (!holds(&service, &soon)).then_some(()));
        for stopped in [false, true] {
            if stopped {
                service.stop();
            }
            jump(&service, seconds);
            if stopped {
                service.restart();
            }
            let application = moved(&application, &service);
            assert!(doubt(&service).is_some(), "{seconds}");
            revived +=
                usize::from(application.call("/keyCompute/encrypt", use_of(&soon)).success().is_some());
            let past = seconds > 86_400;
            let answer = application.call("/keyCompute/encrypt", use_of(&late));
            assert_eq!(answer.success().is_none(), past, "{seconds}: {answer:?}");
            tick(&service);
            early += usize::from(!holds(&service, &late) || !holds(&service, &condemned));
            jump(&service, -seconds);
            application.ok("/keyCompute/encrypt", use_of(&late));
        }
    }
    figure("premature_destructions", format!("{early} of {}", 2 * JUMPS.len()), "jumps");
    figure("accepted_after_expiry", format!("{revived} of {}", 2 * JUMPS.len()), "jumps");
    assert_eq!((early, revived), (0, 0));
}

/// A restart makes a wrong clock no better, and neither does one of the machine.
#[test]
fn a_doubt_survives_restarts_until_the_clock_is_right() {
    let mut service = service();
    let key = ending(&service.admin(), START.after(DAY));
    jump(&service, 8 * 86_400);
    service.admin().ok(SYSTEM, json!({}));
    service.restart();
    assert!(doubt(&service).is_some());
    for _ in 0..2 {
        let wall = service.clock.now().after(MINUTE);
        service.restart_at(wall);
        let admin = service.admin();
        let system = admin.ok(SYSTEM, json!({}));
        assert_eq!(system["clockState"], "InDoubt");
        assert_eq!(system["clockDoubt"], "the wall clock is 8 days ahead of the confirmed clock");
        whole_tick(&service, &admin);
        assert!(holds(&service, &key));
    }
    service.restart_at(START.after(2 * MINUTE));
    assert_eq!(service.admin().ok(SYSTEM, json!({}))["clockState"], "Trusted");
    service.admin().ok("/keyCompute/encrypt", use_of(&key));
}

#[test]
fn a_machine_that_was_off_for_a_month_is_believed_and_after_more_is_asked() {
    let mut service = service();
    let key = ending(&service.admin(), START.after(DAY));
    service.restart_at(START.after(31 * DAY));
    let admin = service.admin();
    assert_eq!(doubt(&service), Some(Doubt::Ahead(31 * DAY)));
    assert_eq!(admin.refused("/keyCompute/encrypt", use_of(&key)), "KMS.9012", "over by the wall clock");
    whole_tick(&service, &admin);
    assert!(holds(&service, &key));
    service.restart_at(START.after(30 * DAY));
    assert_eq!(doubt(&service), None);
    poll("the end of the material", || (!holds(&service, &key)).then_some(()));
}

/// A jump makes no rotation, and one that is taken back puts none off.
#[test]
fn rotation_goes_by_the_confirmed_clock() {
    const YEARS: i64 = 94_608_000;
    let service = Service::start();
    let admin = service.admin();
    let rotations = |key: &Value| {
        let page = admin.ok("/versionControl/listKeyVersions", json!({"cmkUuid": key["cmkUuid"]}));
        page["totalCount"].as_u64().unwrap() - 1
    };
    let before = weekly(&admin);
    jump(&service, YEARS);
    let amid = weekly(&admin);
    whole_tick(&service, &admin);
    assert_eq!((rotations(&before), rotations(&amid)), (0, 0));
    jump(&service, -YEARS);
    service.clock.advance(7 * DAY);
    poll("the rotations", || (rotations(&before) == 1 && rotations(&amid) == 1).then_some(()));
}

/// The window could be too short, or years too long.
#[test]
fn a_clock_in_doubt_begins_no_window() {
    let service = Service::start();
    let application = service.first_application();
    let key = application.ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
    let schedule = || {
        let body = json!({"cmkUuid": key, "pendingWindowInDays": 7});
        application.call("/cmkManage/scheduleKeyDeletion", body)
    };
    for seconds in JUMPS {
        jump(&service, seconds);
        let answer = schedule();
        assert_eq!(answer.code(), "KMS.9071", "{seconds}");
        assert!(answer.body.to_string().contains("clock of the service is in doubt"), "{answer:?}");
        jump(&service, -seconds);
    }
    assert_eq!(schedule().result()["deleteDate"], START.after(7 * DAY).to_string());
}

/// An import token that a clock gave out which was ahead is good for its true day, once the clock is right, and no longer.
#[test]
fn a_token_of_a_clock_that_is_ahead_is_good_for_a_true_day() {
    let service = service();
    let (admin, application) = (service.admin(), service.first_application());
    let key = external(&admin, "AES_256");
    jump(&service, 94_608_000);
    let way = Way::new(&admin, &key, "RSAES_OAEP_SHA_256");
    assert_eq!(application.refused(IMPORT, way.body(&[7; 32])), "KMS.9024");
    jump(&service, -94_608_000);
    application.ok(IMPORT, way.body(&[7; 32]));
    service.clock.advance(DAY);
    assert_eq!(application.refused(IMPORT, way.body(&[7; 32])), "KMS.9024");
}

/// A key that is kept while its material is over by a wrong clock alone has it again once the clock is right.
#[test]
fn a_key_that_is_kept_amid_a_jump_keeps_its_material() {
    let service = service();
    let (admin, application) = (service.admin(), service.first_application());
    let key = ending(&admin, START.after(DAY));
    application.ok("/cmkManage/scheduleKeyDeletion", json!({"cmkUuid": key, "pendingWindowInDays": 30}));
    jump(&service, 8 * 86_400);
    let kept = application.ok("/cmkManage/cancelKeyDeletion", json!({"cmkUuid": key}));
    assert_eq!(kept["keyState"], "PendingImport");
    jump(&service, -8 * 86_400);
    application.ok("/keyCompute/encrypt", use_of(&key));
}

/// A day is a day, whatever the wall clock shows meanwhile.
#[test]
fn a_client_token_is_good_for_a_true_day() {
    let service = Service::start();
    let application = service.first_application();
    let body = json!({"clientToken": "once"});
    let create = || application.ok("/cmkManage/createKey", body.clone())["cmkUuid"].clone();
    let first = create();
    for seconds in JUMPS {
        jump(&service, seconds);
        assert_eq!(create(), first, "{seconds}");
        service.clock.advance(MINUTE);
        jump(&service, -seconds);
    }
    service.clock.advance(DAY);
    jump(&service, -86_400);
    assert_ne!(create(), first, "its day is over");
}

/// Steps that are too small to be seen do not add up to one that is not, however often the service restarts.
#[test]
fn small_steps_add_up_to_a_doubt() {
    let mut service = Service::start();
    for number in 1..=4 {
        service.stop();
        jump(&service, 9 * 60);
        service.restart();
        assert_eq!(confirmed(&service), START);
        assert_eq!(doubt(&service).is_some(), number > 1, "{number} steps of nine minutes");
    }
}

#[test]
fn an_administrator_confirms_a_clock_that_is_right() {
    let mut service = service();
    let admin = service.admin();
    let key = ending(&admin, START.after(DAY));
    jump(&service, 8 * 86_400);
    assert_eq!(service.tenant().0.refused(CONFIRM, json!({})), "KMS.9044");
    whole_tick(&service, &admin);
    assert!(holds(&service, &key));
    for _ in 0..2 {
        let clock = admin.ok(CONFIRM, json!({}));
        assert_eq!((&clock["clockState"], &clock["clockDoubt"]), (&json!("Trusted"), &Value::Null));
        assert_eq!(clock["confirmedTime"], clock["wallTime"]);
    }
    poll("the end of the material", || (!holds(&service, &key)).then_some(()));
    let confirmations = service.audit().into_iter().filter(|record| record["eventName"] == "confirmClock");
    assert_eq!(confirmations.count(), 2);
    service.restart();
    assert_eq!(doubt(&service), None);
}

/// A clock that once ran ahead and was believed is set right: the confirmation takes the confirmed clock back.
#[test]
fn a_confirmation_may_take_the_confirmed_clock_back() {
    let mut service = Service::start();
    service.restart_at(START.after(20 * MINUTE));
    assert_eq!(doubt(&service), None);
    jump(&service, -1200);
    assert_eq!(doubt(&service), Some(Doubt::Behind(20 * MINUTE)));
    service.admin().ok(CONFIRM, json!({}));
    assert_eq!((confirmed(&service), doubt(&service)), (service.clock.now(), None));
    service.restart();
    assert_eq!((confirmed(&service), doubt(&service)), (service.clock.now(), None));
}

#[test]
fn a_clock_that_is_turned_back_makes_no_captured_request_good() {
    let service = Service::start();
    let admin = service.admin();
    let body = json!({"name": "captured"}).to_string();
    let captured = || admin.request("/account/createAccount", body.as_bytes());
    let (old, new) = (captured(), captured());
    admin.send(old.clone()).result();
    // By then no date of that minute is accepted any more, and its ids are forgotten.
    service.clock.advance(47 * MINUTE);
    whole_tick(&service, &admin);
    jump(&service, -48 * 60);
    for request in [old, new] {
        assert_eq!(admin.send(request).code(), "KMS.9043");
    }
    // Nobody remembers what was accepted so long ago.
    assert_eq!(admin.refused(SYSTEM, json!({})), "KMS.9043");
    // A little behind is in doubt, and ids of those dates are remembered.
    jump(&service, 18 * 60);
    admin.ok(SYSTEM, json!({}));
    assert_eq!(doubt(&service), Some(Doubt::Behind(30 * MINUTE)));
}

#[test]
fn a_clock_that_runs_ahead_for_a_while_forgets_no_request() {
    let service = Service::start();
    let admin = service.admin();
    let captured =
        admin.request("/account/createAccount", json!({"name": "captured"}).to_string().as_bytes());
    admin.send(captured.clone()).result();
    jump(&service, 86_400);
    whole_tick(&service, &admin);
    jump(&service, -86_400);
    assert_eq!(admin.send(captured).code(), "KMS.9045");
}

/// Whom a wrong clock locks out: it ran a year ahead and was believed, and now it is right.
#[test]
fn an_operator_confirms_the_clock_at_the_start() {
    let mut service = Service::stopped_on(temporary(), Disk::System, |_| {});
    service.clock.set(Clock::system().now().after(365 * DAY));
    service.restart();
    service.stop();
    let home = Home { folder: temporary(), data: service.config.data.clone() };
    let (program, _) = home.serve();
    let refused = home.run(&["call", "describeSystem"]);
    assert!(crate::program::error(&refused).contains("KMS.9043"), "{refused:?}");
    let log = program.stop().stderr;
    assert!(log.contains("behind the confirmed clock") && log.contains("--confirm-clock"), "{log}");
    let (program, _) = home.serve_by(home.command(&["serve", "--confirm-clock"]));
    let system = home.call("describeSystem", &json!({}));
    assert_eq!((&system["clockState"], &system["demo"]), (&json!("Trusted"), &json!(false)), "{system}");
    assert_eq!(
        home.call("queryAudit", &json!({"eventName": "confirmClock"}))["records"][0]["principalType"],
        "SYSTEM"
    );
    program.stop();
}
