//! The end of a key: protection, the window, the way back, and what is left when it is over.

mod erasure;
mod races;
mod tombstones;

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{OpenApi, START, Service, base64, poll, unbase64};
use crate::material::{IMPORT, Way, external};

const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const SCHEDULE: &str = "/cmkManage/scheduleKeyDeletion";
const CANCEL: &str = "/cmkManage/cancelKeyDeletion";
const PROTECT: &str = "/cmkManage/deleteProtect";
const UNPROTECT: &str = "/cmkManage/cancelDeleteProtect";
const DISABLE: &str = "/cmkManage/disableKey";
const ENCRYPT: &str = "/keyCompute/encrypt";
const DECRYPT: &str = "/keyCompute/decrypt";
const DESTROYED: &str = "/keyManage/listDestroyedKeys";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn made(person: &OpenApi, request: Value) -> Value {
    person.ok(CREATE, request)["cmkUuid"].clone()
}

fn named(key: &Value) -> Value {
    json!({"cmkUuid": key})
}

fn in_days(key: &Value, days: u64) -> Value {
    json!({"cmkUuid": key, "pendingWindowInDays": days})
}

fn state(person: &OpenApi, key: &Value) -> Value {
    person.ok(DESCRIBE, named(key))["keyState"].clone()
}

fn seal(person: &OpenApi, key: &Value) -> Value {
    person.ok(ENCRYPT, json!({"cmkUuid": key, "plaintext": base64("kept")}))["ciphertextBlob"].clone()
}

fn opens(person: &OpenApi, ciphertext: &Value) {
    let opened = person.ok(DECRYPT, json!({"ciphertextBlob": ciphertext}));
    assert_eq!(unbase64(&opened["plaintext"]), b"kept");
}

/// Waits until a key is no more.
fn gone(person: &OpenApi, key: &Value) {
    poll("the destruction of a key", || {
        let answer = person.call(DESCRIBE, named(key));
        answer.success().is_none().then(|| assert_eq!(answer.code(), "KMS.9001"))
    });
}

/// Schedules the deletion of keys and lets their window go by.
fn destroy(service: &Service, person: &OpenApi, keys: &[&Value]) {
    keys.iter().for_each(|key| drop(person.ok(SCHEDULE, in_days(key, 7))));
    service.clock.advance(7 * DAY);
    keys.iter().for_each(|key| gone(person, key));
}

/// The destroyed keys of the caller's account, the last one first.
fn stones(person: &OpenApi) -> Vec<Value> {
    person.ok(DESTROYED, json!({"pageSize": 100}))["destroyedKeys"].as_array().unwrap().clone()
}

/// The tombstone of a key.
fn stone(person: &OpenApi, key: &Value) -> Value {
    let found = person.ok(DESTROYED, named(key));
    assert_eq!(found["totalCount"], 1, "{found}");
    found["destroyedKeys"][0].clone()
}

/// Records of an operation in the trail of a person.
fn records(person: &OpenApi, event: &str) -> Vec<Value> {
    let page = person.ok("/audit/queryAudit", json!({"eventName": event, "pageSize": 100}));
    page["records"].as_array().unwrap().clone()
}

#[test]
fn a_key_goes_when_its_window_is_over_and_not_before() {
    let service = Service::start();
    for (plane, call) in service.planes() {
        let admin = service.admin();
        let begin = service.clock.now();
        let [first, second] = [made(&admin, json!({})), made(&admin, json!({}))];
        let scheduled = call(SCHEDULE, in_days(&first, 7)).result();
        let date = begin.after(7 * DAY).to_string();
        let wanted = json!({"cmkUuid": first, "keyState": "PendingDeletion", "deleteDate": date});
        assert_eq!(scheduled, wanted, "{plane}");
        assert_eq!(admin.ok(DESCRIBE, named(&first))["deleteDate"], date);
        service.clock.advance(Duration::from_secs(1));
        call(SCHEDULE, in_days(&second, 7)).result();
        service.clock.advance(7 * DAY - Duration::from_secs(1));
        // Within one tick the one whose time has come goes, and the other stays.
        gone(&admin, &first);
        assert_eq!(state(&admin, &second), "PendingDeletion");
        service.clock.advance(Duration::from_secs(1));
        gone(&admin, &second);
        let destroyed = records(&admin, "destroyKey");
        assert!(destroyed.iter().all(|record| record["errorCode"].is_null()), "{destroyed:?}");
    }
}

#[test]
fn the_window_has_7_to_30_days() {
    let service = Service::start();
    for (_, call) in service.planes() {
        let key = made(&service.admin(), json!({"aliasName": format!("alias/{}", crate::kit::new_id())}));
        for days in [json!(6), json!(31), json!(0), json!(-7), json!(7.5), json!("soon"), json!(true)] {
            let body = json!({"cmkUuid": key, "pendingWindowInDays": days});
            assert_eq!(call(SCHEDULE, body).code(), "KMS.9020", "{days}");
        }
        for missing in [json!({"cmkUuid": key}), json!({"cmkUuid": key, "pendingWindowInDays": ""})] {
            let answer = call(SCHEDULE, missing);
            assert_eq!(answer.code(), "KMS.0122");
            assert_eq!(answer.body["message"], "Pendingwindowindays cannot be empty");
        }
        assert_eq!(state(&service.admin(), &key), "Enabled");
        for days in [json!(7), json!("30"), json!(8.0)] {
            let body = json!({"cmkUuid": key, "pendingWindowInDays": days});
            assert_eq!(call(SCHEDULE, body).result()["keyState"], "PendingDeletion", "{days}");
            assert_eq!(call(CANCEL, named(&key)).result()["keyState"], "Enabled");
        }
    }
}

#[test]
fn a_protected_key_is_not_scheduled() {
    let service = Service::start();
    for (_, call) in service.planes() {
        let admin = service.admin();
        let key = made(&admin, json!({}));
        let protection = || {
            let key = admin.ok(DESCRIBE, named(&key));
            (key["deletionProtection"].clone(), key["deletionProtectionDescription"].clone())
        };
        assert_eq!(protection(), (json!("Disabled"), Value::Null));
        for why in ["the payroll", "and its archive"] {
            let body = json!({"cmkUuid": key, "deletionProtectionDescription": why});
            let wanted = json!({"cmkUuid": key, "deletionProtection": "Enabled"});
            assert_eq!(call(PROTECT, body).result(), wanted);
            assert_eq!(protection(), (json!("Enabled"), json!(why)));
            assert_eq!(call(SCHEDULE, in_days(&key, 7)).code(), "KMS.9014");
        }
        // Whatever the state, protection holds; it changes nothing else.
        call(DISABLE, named(&key)).result();
        assert_eq!(call(SCHEDULE, in_days(&key, 30)).code(), "KMS.9014");
        assert_eq!(state(&admin, &key), "Disabled");
        for _ in 0..2 {
            let wanted = json!({"cmkUuid": key, "deletionProtection": "Disabled"});
            assert_eq!(call(UNPROTECT, named(&key)).result(), wanted);
            assert_eq!(protection(), (json!("Disabled"), Value::Null));
        }
        call(SCHEDULE, in_days(&key, 7)).result();
        assert_eq!(call(PROTECT, named(&key)).code(), "KMS.9011");
        assert_eq!(call(UNPROTECT, named(&key)).code(), "KMS.9011");
        let cancelled = call(CANCEL, named(&key)).result();
        assert_eq!(cancelled, json!({"cmkUuid": key, "keyState": "Enabled"}));
        call(PROTECT, named(&key)).result();
        assert_eq!(protection(), (json!("Enabled"), json!("")), "a reason is not needed");
        let long = json!({"cmkUuid": key, "deletionProtectionDescription": "x".repeat(256)});
        assert_eq!(call(PROTECT, long).code(), "KMS.9020");
    }
}

#[test]
fn a_key_that_is_kept_is_what_it_was() {
    let service = Service::start_with(|config| config.import.spare_wrapping_keys = 1);
    let admin = service.admin();
    let key = made(
        &admin,
        json!({"aliasName": "alias/k", "enableAutomaticRotation": true, "rotationInterval": "7d"}),
    );
    let ciphertext = seal(&admin, &key);
    let before = admin.ok(DESCRIBE, named(&key));
    admin.ok(SCHEDULE, json!({"cmkUuid": "alias/k", "pendingWindowInDays": 30}));
    let pending = admin.ok(DESCRIBE, named(&key));
    assert_eq!(pending["automaticRotation"], "Suspended");
    assert_eq!(admin.refused(ENCRYPT, json!({"cmkUuid": key, "plaintext": "eA=="})), "KMS.9011");
    assert_eq!(admin.refused(DECRYPT, json!({"ciphertextBlob": ciphertext})), "KMS.9011");
    admin.ok(CANCEL, json!({"cmkUuid": "alias/k"}));
    let mut kept = admin.ok(DESCRIBE, named(&key));
    let attempts = kept.as_object_mut().unwrap().remove("attempts").unwrap();
    assert_eq!(
        (kept, &attempts[0]["count"]),
        (before.clone(), &json!(2)),
        "and it knows who would have missed it"
    );
    opens(&admin, &ciphertext);
    // A key that was switched off comes back enabled (contract 4.3); one without material waits for it.
    admin.ok(DISABLE, named(&key));
    admin.ok(SCHEDULE, in_days(&key, 7));
    assert_eq!(admin.ok(CANCEL, named(&key))["keyState"], "Enabled");
    let empty = external(&admin, "AES_256");
    let brought = external(&admin, "AES_256");
    admin.ok(IMPORT, Way::new(&admin, &brought, "RSAES_OAEP_SHA_256").body(&[7; 32]));
    for (key, state) in [(&empty, "PendingImport"), (&brought, "Enabled")] {
        admin.ok(SCHEDULE, in_days(key, 7));
        assert_eq!(admin.ok(CANCEL, named(key))["keyState"], state);
    }
    // What is overdue is done once it is kept; until then it rests.
    admin.ok(SCHEDULE, in_days(&key, 30));
    service.clock.advance(8 * DAY);
    admin.ok(CANCEL, named(&key));
    poll("the rotation that was put off", || {
        let primary = admin.ok(DESCRIBE, named(&key))["primaryKeyVersion"].clone();
        (primary != before["primaryKeyVersion"]).then_some(())
    });
    assert_eq!(records(&admin, "destroyKey").len(), 0);
}

/// Nobody comes back from behind the end of the window, also where the destruction itself is late, or the clock is turned back.
#[test]
fn behind_the_window_there_is_no_way_back() {
    let mut service = Service::start_with(|config| config.cron.tick_seconds = 3600);
    let admin = service.admin();
    let key = made(&admin, json!({}));
    let ciphertext = seal(&admin, &key);
    admin.ok(SCHEDULE, in_days(&key, 7));
    service.clock.advance(7 * DAY - Duration::from_secs(1));
    admin.ok(CANCEL, named(&key));
    admin.ok(SCHEDULE, in_days(&key, 7));
    service.clock.advance(7 * DAY);
    for (_, call) in service.planes() {
        assert_eq!(call(CANCEL, named(&key)).code(), "KMS.9013");
        assert_eq!(call(DESCRIBE, named(&key)).result()["keyState"], "PendingDeletion");
        assert_eq!(call(DECRYPT, json!({"ciphertextBlob": ciphertext})).code(), "KMS.9011");
    }
    let mut application = service.first_application();
    service.stop();
    service.clock = yaoku::env::Clock::manual(START.after(DAY));
    service.restart();
    (application.clock, application.endpoint) = (service.clock.clone(), service.ready.access_point.clone());
    assert_eq!(application.refused(CANCEL, named(&key)), "KMS.9013", "the clock was turned back");
    assert_eq!(application.ok(DESCRIBE, named(&key))["keyState"], "PendingDeletion");
}

/// A wall clock that jumps ends the use of a key, but destroys nothing until somebody confirms it.
#[test]
fn a_clock_in_doubt_destroys_nothing() {
    let service = Service::start();
    let admin = service.admin();
    let [key, other] = [made(&admin, json!({})), made(&admin, json!({}))];
    admin.ok(SCHEDULE, in_days(&key, 7));
    admin.ok(SCHEDULE, in_days(&other, 30));
    service.clock.set(START.after(8 * DAY));
    assert_eq!(admin.refused(CANCEL, named(&key)), "KMS.9013");
    crate::rotation::whole_tick(&service, &admin);
    assert_eq!(state(&admin, &key), "PendingDeletion");
    let refused = records(&admin, "destroyKey");
    assert!(refused.iter().all(|record| !record["errorCode"].is_null()), "{refused:?}");
    admin.ok("/system/confirmClock", json!({}));
    gone(&admin, &key);
    assert_eq!(state(&admin, &other), "PendingDeletion");
}
