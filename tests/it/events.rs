//! Events: what one should be told without asking, once each, by its own account alone, for as long as it is kept.

use std::time::Duration;

use serde_json::{Value, json};
use yaoku::env::Timestamp;
use yaoku::ids::KeyId;
use yaoku::model::key::KeyState;

use crate::exposition::Scrape;
use crate::kit::{OpenApi, START, Service, agent, poll, send};
use crate::material::{IMPORT, Way, external};
use crate::planted::set_state;
use crate::rotation::{weekly, whole_tick};

const LIST: &str = "/event/listEvents";
const DESCRIBE: &str = "/keyManage/describeKey";
const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

/// All events that a person finds, the newest first.
pub fn events(person: &OpenApi, filter: Value) -> Vec<Value> {
    let (mut all, mut body) = (Vec::new(), filter);
    body["pageSize"] = json!(100);
    loop {
        let page = person.ok(LIST, body.clone());
        all.extend(page["events"].as_array().unwrap().iter().cloned());
        body["cursor"] = page["nextCursor"].clone();
        if body["cursor"].is_null() {
            return all;
        }
    }
}

/// All events of a kind.
pub fn events_of(person: &OpenApi, kind: &str) -> Vec<Value> {
    events(person, json!({"kind": kind}))
}

/// A service where imports take no long wait.
fn service() -> Service {
    Service::start_with(|config| config.import.spare_wrapping_keys = 1)
}

/// A key whose material ends so many days from now.
fn expiring(service: &Service, person: &OpenApi, days: u32) -> Value {
    let way = Way::new(person, &external(person, "AES_256"), "RSAES_OAEP_SHA_256");
    let mut body = way.body(&[7; 32]);
    body["keyMaterialExpireUnix"] = json!(service.clock.now().after(DAY * days).seconds());
    person.ok(IMPORT, body);
    way.key
}

fn days(events: &[Value]) -> Vec<u64> {
    events.iter().rev().map(|event| event["days"].as_u64().unwrap()).collect()
}

#[test]
fn the_end_of_material_is_told_seven_three_and_one_days_before_and_when_it_came() {
    let service = service();
    let admin = service.admin();
    let key = expiring(&service, &admin, 10);
    let reach = |at: Timestamp| service.clock.advance(at.since(service.clock.now()));
    let end = START.after(10 * DAY);
    let mut told: Vec<Value> = Vec::new();
    for before in [7, 3, 1] {
        let due = end.before(before * DAY);
        // A tick takes a minute.
        reach(due.before(Duration::from_secs(61)));
        whole_tick(&service, &admin);
        assert_eq!(events_of(&admin, "MaterialExpiring").len(), told.len(), "a second early");
        reach(due);
        told = poll("a warning", || {
            let all = events_of(&admin, "MaterialExpiring");
            (all.len() > told.len()).then_some(all)
        });
        whole_tick(&service, &admin);
        assert_eq!(events_of(&admin, "MaterialExpiring"), told, "once");
    }
    assert_eq!(days(&told), [7, 3, 1]);
    let event = &told[0];
    let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    assert_eq!((text("level"), text("endTime")), ("WARNING".into(), "2026-11-12T00:00:00Z".into()));
    assert_eq!((&event["cmkUuid"], &event["instanceId"]), (&key, &service.first["instanceId"]));
    assert!(
        text("message").contains(key.as_str().unwrap()) && text("description").contains("过期"),
        "{event}"
    );
    reach(end);
    let ended = poll("the end", || events_of(&admin, "MaterialExpired").pop());
    assert_eq!((&ended["cmkUuid"], &ended["level"]), (&key, &json!("WARNING")));
    // Tokens that are forgotten later are nothing to tell.
    service.clock.advance(30 * DAY);
    poll("the end of the token", || {
        let page =
            admin.ok("/audit/queryAudit", json!({"eventName": "expireKeyMaterial", "result": "success"}));
        (page["records"].as_array().unwrap().len() == 2).then_some(())
    });
    whole_tick(&service, &admin);
    assert_eq!(events_of(&admin, "MaterialExpired").len(), 1);
    assert_eq!(events(&admin, json!({})).len(), 4);
}

#[test]
fn the_destruction_of_a_key_is_told_before_it_comes_and_after_an_absence_only_the_last() {
    let mut service = Service::start();
    let admin = service.admin();
    let keys: Vec<Value> =
        (0..3).map(|_| admin.ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone()).collect();
    for key in &keys {
        set_state(&mut service, key, KeyState::PendingDeletion { at: START.after(8 * DAY) });
    }
    service.clock.advance(DAY);
    poll("the first warnings", || (events_of(&service.admin(), "KeyExpiring").len() == 3).then_some(()));
    service.stop();
    // 3 and 1 days are both over.
    service.clock.advance(6 * DAY + SECOND);
    service.restart();
    let admin = service.admin();
    poll("the last warnings", || (events_of(&admin, "KeyExpiring").len() == 6).then_some(()));
    whole_tick(&service, &admin);
    service.restart();
    whole_tick(&service, &service.admin());
    for key in &keys {
        let told = events(&service.admin(), json!({"cmkUuid": key}));
        assert_eq!(days(&told), [7, 1]);
        assert_eq!(told[0]["endTime"], "2026-11-10T00:00:00Z");
    }
}

/// What was told of a key is found by its id when it is gone; what was counted of it goes with it.
#[test]
fn a_key_is_told_of_until_it_is_destroyed_and_after() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
    let id: KeyId = serde_json::from_value(key.clone()).unwrap();
    let kinds = || -> Vec<String> {
        let found = events(&admin, json!({"cmkUuid": key}));
        found.iter().rev().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    };
    admin.ok("/cmkManage/scheduleKeyDeletion", json!({"cmkUuid": key, "pendingWindowInDays": 7}));
    let mut expected = vec!["KeyExpiring"];
    poll("the first warning", || (kinds() == expected).then_some(()));
    service.clock.advance(SECOND);
    let sealing = json!({"cmkUuid": key, "plaintext": "aGVsbG8="});
    assert_eq!(admin.refused("/keyCompute/encrypt", sealing), "KMS.9011");
    expected.push("UseRefused");
    for (wait, kind) in [(4, "KeyExpiring"), (2, "KeyExpiring"), (1, "KeyDestroyed")] {
        assert_eq!(kinds(), expected);
        assert_eq!(service.app().store.attempts(id).unwrap().len(), 1);
        service.clock.advance(wait * DAY);
        expected.push(kind);
        poll("what is next", || (kinds() == expected).then_some(()));
    }
    whole_tick(&service, &admin);
    assert_eq!(kinds(), expected);
    assert_eq!(service.app().store.attempts(id).unwrap(), Vec::new());
}

#[test]
fn each_rotation_is_told_once() {
    let service = Service::start();
    let admin = service.admin();
    let key = weekly(&admin);
    let id = json!({"cmkUuid": key["cmkUuid"]});
    let mut versions = vec![key["primaryKeyVersion"].clone()];
    for _ in 0..3 {
        service.clock.advance(7 * DAY);
        versions.push(poll("a rotation", || {
            let now = admin.ok(DESCRIBE, id.clone())["primaryKeyVersion"].clone();
            (now != versions[versions.len() - 1]).then_some(now)
        }));
        whole_tick(&service, &admin);
    }
    let told = events_of(&admin, "KeyRotated");
    let told: Vec<&Value> = told.iter().rev().map(|event| &event["keyVersionId"]).collect();
    assert_eq!(told, versions.iter().skip(1).collect::<Vec<_>>());
    assert_eq!(events(&admin, json!({})).len(), 3);
}

#[test]
fn events_are_found_by_kind_key_and_time_and_page_by_page() {
    let service = Service::start();
    let admin = service.admin();
    let (key, named) = (weekly(&admin), weekly(&admin));
    admin.ok("/keyName/createAlias", json!({"cmkUuid": named["cmkUuid"], "aliasName": "alias/told"}));
    for number in 1..=4 {
        service.clock.advance(7 * DAY);
        poll("both rotations", || (events(&admin, json!({})).len() == 2 * number).then_some(()));
    }
    let sealing = json!({"cmkUuid": "alias/told", "plaintext": "aGVsbG8="});
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": "alias/told"}));
    admin.refused("/keyCompute/encrypt", sealing);
    let all = events(&admin, json!({}));
    assert_eq!(all.len(), 9);
    let time = |event: &Value| event["time"].as_str().unwrap().to_owned();
    assert!(all.is_sorted_by(|newer, older| time(newer) >= time(older)), "{all:?}");
    let (mut paged, mut cursor, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let page = admin.ok(LIST, json!({"pageSize": 2, "cursor": cursor}));
        paged.extend(page["events"].as_array().unwrap().iter().cloned());
        cursor = page["nextCursor"].clone();
        pages += 1;
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!((paged, pages), (all.clone(), 5));
    let matching = |keep: &dyn Fn(&Value) -> bool| -> Vec<Value> {
        all.iter().filter(|event| keep(event)).cloned().collect()
    };
    let second = "2026-11-16T00:00:00Z";
    for (filter, expected) in [
        (json!({"kind": "UseRefused"}), matching(&|event| event["kind"] == "UseRefused")),
        (json!({"kind": "userefused"}), matching(&|event| event["kind"] == "UseRefused")),
        (json!({"kinds": ["UseRefused", "KeyRotated"]}), all.clone()),
        (json!({"kinds": ["ClockInDoubt"]}), Vec::new()),
        (json!({"cmkUuid": key["cmkUuid"]}), matching(&|event| event["cmkUuid"] == key["cmkUuid"])),
        (json!({"cmkUuid": "alias/told"}), matching(&|event| event["cmkUuid"] == named["cmkUuid"])),
        (json!({"cmkUuid": crate::kit::new_id()}), Vec::new()),
        (json!({"startTime": second}), matching(&|event| time(event).as_str() >= second)),
        (json!({"endTime": second}), matching(&|event| time(event).as_str() <= second)),
        (json!({"startTime": second, "endTime": second}), matching(&|event| time(event) == second)),
    ] {
        assert_eq!(events(&admin, filter.clone()), expected, "{filter}");
    }
    assert_eq!(admin.refused(LIST, json!({"cursor": "0".repeat(47) + "x"})), "KMS.9020");
    assert_eq!(admin.refused(LIST, json!({"kind": "Nothing"})), "KMS.9020");
    assert_eq!(admin.refused(LIST, json!({"cmkUuid": "alias/none"})), "KMS.9003");
}

#[test]
fn nobody_sees_the_events_of_another_account() {
    let service = Service::start();
    let (admin, (second, account)) = (service.admin(), service.tenant());
    let keys = [&admin, &second].map(|person| {
        let key = person.ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
        person.ok("/cmkManage/disableKey", json!({"cmkUuid": key}));
        person.refused("/keyCompute/encrypt", json!({"cmkUuid": key, "plaintext": "aGVsbG8="}));
        key
    });
    for (person, key, other) in [(&admin, &keys[0], &keys[1]), (&second, &keys[1], &keys[0])] {
        let found = events(person, json!({}));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["cmkUuid"], *key);
        assert_eq!(events(person, json!({"cmkUuid": other})), Vec::<Value>::new());
    }
    let application = service.application(&second, &account);
    assert_eq!(application.refused(LIST, json!({})), "KMS.9062");
}

/// The state of the clock as it was last told outlives a stop; where an administrator decides, the decision tells it.
#[test]
fn a_clock_in_doubt_is_told_once_and_so_is_the_end_of_the_doubt() {
    let mut service = Service::start();
    let (second, _) = service.tenant();
    let kinds = |service: &Service| -> Vec<String> {
        let found = events(&service.admin(), json!({}));
        found.iter().rev().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
    };
    let mut expected: Vec<String> = Vec::new();
    for confirm in [false, true] {
        // The wall clock is set three weeks ahead.
        let before = service.clock.now();
        service.clock.set(before.after(21 * DAY));
        expected.push("ClockInDoubt".into());
        poll("the doubt", || (kinds(&service) == expected).then_some(()));
        let found = events_of(&service.admin(), "ClockInDoubt");
        assert_eq!((&found[0]["level"], found[0].get("cmkUuid")), (&json!("INCIDENT"), None));
        assert!(found[0]["time"].as_str().unwrap().starts_with("2026-11-02"), "{found:?}");
        service.restart();
        whole_tick(&service, &service.admin());
        assert_eq!(kinds(&service), expected, "once, whoever starts again");
        expected.push("ClockConfirmed".into());
        match confirm {
            true => {
                service.admin().ok("/system/confirmClock", json!({}));
                assert_eq!(kinds(&service), expected);
                service.admin().ok("/system/confirmClock", json!({}));
            }
            false => {
                service.stop();
                service.clock.set(before.after(Duration::from_secs(120)));
                service.restart();
                poll("the end of the doubt", || (kinds(&service) == expected).then_some(()));
            }
        }
        whole_tick(&service, &service.admin());
        service.restart();
        whole_tick(&service, &service.admin());
        assert_eq!(kinds(&service), expected, "once as well");
    }
    let second = OpenApi { endpoint: service.ready.openapi.clone(), ..second };
    assert_eq!(events(&second, json!({})), Vec::<Value>::new(), "the appliance's own");
}

#[test]
fn events_are_kept_as_long_as_the_settings_say() {
    let mut service = Service::start_with(|config| config.events.retention_days = 10);
    let key = weekly(&service.admin());
    let count = |service: &Service| events(&service.admin(), json!({})).len();
    service.clock.advance(7 * DAY);
    poll("a rotation", || (count(&service) == 1).then_some(()));
    service.admin().ok("/versionControl/updateRotationPolicy", {
        json!({"cmkUuid": key["cmkUuid"], "enableAutomaticRotation": false})
    });
    service.clock.advance(10 * DAY - SECOND - Duration::from_secs(60));
    whole_tick(&service, &service.admin());
    assert_eq!(count(&service), 1, "a second early");
    service.config.events.retention_days = 0;
    service.restart();
    service.clock.advance(100 * DAY);
    whole_tick(&service, &service.admin());
    assert_eq!(count(&service), 1, "for good");
    service.config.events.retention_days = 10;
    service.restart();
    poll("the end of the event", || (count(&service) == 0).then_some(()));
    whole_tick(&service, &service.admin());
    let page = service.admin().ok("/audit/queryAudit", json!({"eventName": "deleteExpiredEvents"}));
    assert_eq!(page["records"].as_array().unwrap().len(), 1, "once there was something to delete");
}

#[test]
fn events_and_attempts_are_in_the_metrics() {
    let service = Service::start_with(|config| config.metrics.listen = "127.0.0.1:0".parse().ok());
    let admin = service.admin();
    let scrape = || {
        let answer = send(&agent(), "GET", service.ready.metrics.as_deref().unwrap(), &[], b"");
        Scrape::parse(answer.body.as_str().unwrap()).unwrap()
    };
    let count = |name: &str, label: (&str, &str)| scrape().value(name, &[label]);
    let key = admin.ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
    let sealing = json!({"cmkUuid": key, "plaintext": "aGVsbG8="});
    admin.ok("/cmkManage/rehearseKeyDisabling", json!({"cmkUuid": key, "enableRehearsal": true}));
    (0..3).for_each(|_| drop(admin.ok("/keyCompute/encrypt", sealing.clone())));
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": key}));
    (0..2).for_each(|_| drop(admin.refused("/keyCompute/encrypt", sealing.clone())));
    assert_eq!(count("yaoku_key_attempts_total", ("outcome", "rehearsed")), 3.0);
    assert_eq!(count("yaoku_key_attempts_total", ("outcome", "refused")), 2.0);
    assert_eq!(count("yaoku_events_total", ("kind", "UseRehearsed")), 1.0);
    assert_eq!(count("yaoku_events_total", ("kind", "UseRefused")), 1.0);
    assert_eq!(count("yaoku_events_total", ("kind", "KeyRotated")), 0.0);
}
