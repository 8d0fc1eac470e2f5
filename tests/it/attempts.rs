//! Attempts: who would break. Every call that finds a key disabled or pending deletion is counted for its caller, and so is
//! every use of a key whose disabling is rehearsed; whatever happens to the service, and told at most once a day.

use std::time::Duration;

use serde_json::{Value, json};
use yaoku::error::Error;
use yaoku::ids::{AccessKeyId, EventId, KeyId};
use yaoku::model::attempt::{Attempt, Outcome};
use yaoku::model::key::{Key, KeyState};
use yaoku::store::{Changes, Entry};

use crate::disk::{FAULTS, FaultyDisk};
use crate::events::{events, events_of};
use crate::kit::{OpenApi, START, Service, base64, parallel, poll, temporary};
use crate::ledger::figure;
use crate::planted::{draft, set_state};

const CREATE: &str = "/cmkManage/createKey";
const DISABLE: &str = "/cmkManage/disableKey";
const ENABLE: &str = "/cmkManage/enableKey";
const REHEARSE: &str = "/cmkManage/rehearseKeyDisabling";
const DESCRIBE: &str = "/keyManage/describeKey";
const ENCRYPT: &str = "/keyCompute/encrypt";
const DECRYPT: &str = "/keyCompute/decrypt";
const RE_ENCRYPT: &str = "/cmkManage/reEncrypt";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn new_key(person: &OpenApi) -> Value {
    person.ok(CREATE, json!({}))["cmkUuid"].clone()
}

fn sealing(key: &Value) -> Value {
    json!({"cmkUuid": key, "plaintext": base64("counted")})
}

fn rehearse(person: &OpenApi, key: &Value, on: bool) {
    let answer = person.ok(REHEARSE, json!({"cmkUuid": key, "enableRehearsal": on}));
    assert_eq!(answer, json!({"cmkUuid": key, "rehearsal": on}));
}

/// The attempts that describeKey shows.
fn attempts(person: &OpenApi, key: &Value) -> Vec<Value> {
    let key = person.ok(DESCRIBE, json!({"cmkUuid": key}));
    let attempts = key.get("attempts").map(|attempts| attempts.as_array().unwrap().clone());
    assert_ne!(attempts, Some(Vec::new()), "absent while there is nobody");
    attempts.unwrap_or_default()
}

/// How many attempts a key has with an outcome, whoever made them.
fn count(person: &OpenApi, key: &Value, outcome: &str) -> u64 {
    let attempts = attempts(person, key);
    attempts.iter().filter(|it| it["outcome"] == outcome).map(|it| it["count"].as_u64().unwrap()).sum()
}

/// Audit records about a key that a test accepts.
fn recorded(service: &Service, key: &Value, wanted: impl Fn(&Value) -> bool) -> usize {
    let of_key = |record: &&Value| {
        record["resourceIds"].as_array().is_some_and(|ids| ids.contains(key)) && wanted(record)
    };
    service.audit().iter().filter(of_key).count()
}

#[test]
fn attempts_of_all_callers_are_counted_exactly_in_parallel_and_over_a_restart() {
    const CALLS: usize = 4;
    let mut service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let key = new_key(&admin);
    let sealed = admin.ok(ENCRYPT, sealing(&key))["ciphertextBlob"].clone();
    admin.ok(DISABLE, json!({"cmkUuid": key}));
    let refused = parallel(64, |thread| {
        let call = |number: usize| {
            let (path, body) = match number % 2 {
                0 => (ENCRYPT, sealing(&key)),
                _ => (DECRYPT, json!({"ciphertextBlob": sealed})),
            };
            match thread % 4 {
                0 => admin.refused(path, body),
                _ => application.refused(path, body),
            }
        };
        (0..CALLS).filter(|number| call(*number) == "KMS.9010").count()
    });
    assert_eq!(refused.iter().sum::<usize>(), 64 * CALLS);
    let expected = |admins: usize, applications: usize, last: &str| {
        let row = |kind: &str, name: &Value, access_key: &str, count: usize, last: &str| {
            json!({
                "principalType": kind, "userName": name, "accessKey": access_key, "outcome": "refused",
                "count": count, "firstTime": START.to_string(), "lastTime": last,
            })
        };
        let point = &service.first["accessPointId"];
        let start = START.to_string();
        vec![
            row("USER", &json!("admin"), &admin.access_key, admins, last),
            row("ACCESS_POINT", point, &application.access_key, applications, &start),
        ]
    };
    let sorted = |mut rows: Vec<Value>| {
        rows.sort_by_key(|row| std::cmp::Reverse(row["principalType"].to_string()));
        rows
    };
    let first = expected(16 * CALLS, 48 * CALLS, &START.to_string());
    assert_eq!(sorted(attempts(&admin, &key)), first);
    assert_eq!(events_of(&admin, "UseRefused").len(), 2, "one for each caller, of a burst");
    let later = expected(16 * CALLS + 1, 48 * CALLS, "2026-11-02T23:59:59Z");
    service.restart();
    service.clock.advance(DAY - Duration::from_secs(1));
    let admin = service.admin();
    assert_eq!(admin.refused(ENCRYPT, sealing(&key)), "KMS.9010");
    // The latest comes first, whoever called more.
    assert_eq!(attempts(&admin, &key), later);
    assert_eq!(events_of(&admin, "UseRefused").len(), 2, "not again on the same day, nor after a restart");
    service.clock.advance(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!(admin.refused(ENCRYPT, sealing(&key)), "KMS.9010");
    }
    let told = events_of(&admin, "UseRefused");
    assert_eq!(told.len(), 3, "one more a day later, of the caller who called");
    let by = json!({"principalType": "USER", "userName": "admin", "accessKey": admin.access_key});
    assert_eq!((&told[0]["by"], &told[0]["keyState"], &told[0]["cmkUuid"]), (&by, &json!("Disabled"), &key));
    let records = recorded(&service, &key, |record| record["errorCode"] == "KMS.9010");
    let apart = count(&admin, &key, "refused").abs_diff(records as u64);
    figure("attempts_counted_otherwise_than_recorded", format!("{apart} of {records}"), "calls");
    assert_eq!(apart, 0);
}

#[test]
fn calls_that_end_otherwise_are_no_attempts() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let key = new_key(&admin);
    let sealed = admin.ok(ENCRYPT, sealing(&key))["ciphertextBlob"].clone();
    let wrong = json!({"ciphertextBlob": sealed, "encryptionContext": {"of": "another"}});
    assert_eq!(admin.refused(DECRYPT, wrong.clone()), "KMS.9028");
    admin.ok(DISABLE, json!({"cmkUuid": key}));
    // Neither the machine nor a look at the key uses it.
    for (path, body) in [
        (DESCRIBE, json!({"cmkUuid": key})),
        ("/keyCompute/getDataKey", json!({"ciphertextBlob": sealed})),
        ("/keyManage/updateKeyDescription", json!({"cmkUuid": key, "description": "off"})),
    ] {
        admin.ok(path, body);
    }
    let policy = json!({"cmkUuid": key, "enableAutomaticRotation": true, "rotationInterval": "7d"});
    assert_eq!(admin.refused("/versionControl/updateRotationPolicy", policy), "KMS.9010");
    let (stranger, _) = service.tenant();
    assert_eq!(stranger.refused(ENCRYPT, sealing(&key)), "KMS.9001");
    assert_eq!(admin.refused(ENCRYPT, json!({"cmkUuid": key})), "KMS.0107");
    assert_eq!(attempts(&admin, &key), Vec::<Value>::new());
    assert_eq!(events(&admin, json!({})), Vec::<Value>::new());
    // What others do is not for applications to see.
    assert_eq!(application.refused(ENCRYPT, sealing(&key)), "KMS.9010");
    assert_eq!(count(&admin, &key, "refused"), 1);
    assert!(application.ok(DESCRIBE, json!({"cmkUuid": key})).get("attempts").is_none());
}

#[test]
fn a_key_pending_deletion_tells_who_would_break() {
    let mut service = Service::start();
    let key = new_key(&service.admin());
    set_state(&mut service, &key, KeyState::PendingDeletion { at: START.after(30 * DAY) });
    let admin = service.admin();
    assert_eq!(admin.refused(ENCRYPT, sealing(&key)), "KMS.9011");
    assert_eq!(count(&admin, &key, "refused"), 1);
    let told = events_of(&admin, "UseRefused");
    assert_eq!((told.len(), &told[0]["keyState"]), (1, &json!("PendingDeletion")));
}

#[test]
fn a_rehearsal_lets_every_use_through_and_marks_it() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let key = new_key(&admin);
    let id = json!({"cmkUuid": key});
    let marked = |record: &Value| record["rehearsal"] == true;
    assert_eq!(admin.ok(DESCRIBE, id.clone())["rehearsal"], false);
    admin.ok(ENCRYPT, sealing(&key));
    assert_eq!(recorded(&service, &key, marked), 0);
    rehearse(&admin, &key, true);
    assert_eq!(admin.ok(DESCRIBE, id.clone())["rehearsal"], true);
    let sealed = application.ok(ENCRYPT, sealing(&key))["ciphertextBlob"].clone();
    for _ in 0..2 {
        application.ok(DECRYPT, json!({"ciphertextBlob": sealed}));
    }
    service.clock.advance(Duration::from_secs(1));
    admin.ok("/keyCompute/generateDataKey", id.clone());
    admin.ok("/get/hmaccompute", json!({"cmkUuid": key, "input": "a"}));
    // What fails uses no key, nor does what only describes it.
    let wrong = json!({"ciphertextBlob": sealed, "encryptionContext": {"of": "another"}});
    assert_eq!(admin.refused(DECRYPT, wrong), "KMS.9028");
    admin.ok(DESCRIBE, id.clone());
    let warning = |record: &Value| marked(record) && record["eventLevel"] == "WARNING";
    assert_eq!((recorded(&service, &key, marked), recorded(&service, &key, warning)), (5, 5));
    let named = |kind: &str| {
        let rows = attempts(&admin, &key);
        let mut rows = rows.into_iter().filter(|row| row["principalType"] == kind);
        let row = rows.next().unwrap();
        assert!(rows.next().is_none());
        (row["outcome"].clone(), row["count"].clone())
    };
    assert_eq!(named("ACCESS_POINT"), (json!("rehearsed"), json!(3)));
    assert_eq!(named("USER"), (json!("rehearsed"), json!(2)));
    let told = events_of(&admin, "UseRehearsed");
    let names: Vec<&Value> = told.iter().map(|event| &event["by"]["principalType"]).collect();
    assert_eq!(names, ["USER", "ACCESS_POINT"], "one for each, the newest first");
    // Disabling is no rehearsal any more, and its end leaves no mark.
    admin.ok(DISABLE, id.clone());
    assert_eq!(application.refused(ENCRYPT, sealing(&key)), "KMS.9010");
    assert_eq!(recorded(&service, &key, marked), 5);
    assert_eq!(count(&admin, &key, "refused"), 1);
    admin.ok(ENABLE, id);
    rehearse(&admin, &key, false);
    application.ok(ENCRYPT, sealing(&key));
    assert_eq!((recorded(&service, &key, marked), count(&admin, &key, "rehearsed")), (5, 5));
    assert_eq!(crate::audit_proof::check(&admin), None, "the trail is whole");
    let table = admin.ok("/audit/exportAudit", json!({"format": "csv"}));
    let rows = table["content"].as_str().unwrap().lines().filter(|row| row.ends_with(",\"true\"")).count();
    assert_eq!(rows, 5, "{table}");
}

#[test]
fn a_cloud_product_is_told_by_its_name() {
    let service = Service::start();
    let admin = service.admin();
    let (key, product) = (new_key(&admin), service.product(&admin, "mysql"));
    rehearse(&admin, &key, true);
    product.ok("/keyCompute/generateDataKey", json!({"cmkUuid": key}));
    admin.ok(DISABLE, json!({"cmkUuid": key}));
    assert_eq!(product.refused("/keyCompute/generateDataKey", json!({"cmkUuid": key})), "KMS.9010");
    let by = json!({"principalType": "PRODUCT", "userName": "mysql", "accessKey": product.access_key});
    for (kind, outcome) in [("UseRehearsed", "rehearsed"), ("UseRefused", "refused")] {
        let told = events_of(&admin, kind);
        assert_eq!((told.len(), &told[0]["by"]), (1, &by));
        let row = attempts(&admin, &key).into_iter().find(|row| row["outcome"] == outcome).unwrap();
        assert_eq!((&row["userName"], &row["count"]), (&json!("mysql"), &json!(1)), "{row}");
    }
}

#[test]
fn re_encrypting_attempts_both_keys() {
    let service = Service::start();
    let admin = service.admin();
    let (from, to) = (new_key(&admin), new_key(&admin));
    let sealed = admin.ok(ENCRYPT, sealing(&from))["ciphertextBlob"].clone();
    let body = json!({"ciphertextBlob": sealed, "destinationCmkUuid": to});
    let counts = |outcome| [&from, &to].map(|key| count(&admin, key, outcome));
    rehearse(&admin, &to, true);
    admin.ok(RE_ENCRYPT, body.clone());
    assert_eq!(counts("rehearsed"), [0, 1]);
    rehearse(&admin, &from, true);
    admin.ok(RE_ENCRYPT, body.clone());
    assert_eq!(counts("rehearsed"), [1, 2]);
    admin.ok(RE_ENCRYPT, json!({"ciphertextBlob": sealed, "destinationCmkUuid": from}));
    assert_eq!(counts("rehearsed"), [2, 2], "the same key twice is one attempt");
    // A call that is refused because of one key has not used the other.
    admin.ok(DISABLE, json!({"cmkUuid": from}));
    assert_eq!(admin.refused(RE_ENCRYPT, body.clone()), "KMS.9010");
    assert_eq!((counts("refused"), counts("rehearsed")), ([1, 0], [2, 2]));
    admin.ok(ENABLE, json!({"cmkUuid": from}));
    admin.ok(DISABLE, json!({"cmkUuid": to}));
    assert_eq!(admin.refused(RE_ENCRYPT, body), "KMS.9010");
    assert_eq!((counts("refused"), counts("rehearsed")), ([1, 1], [2, 2]));
}

/// The store has an attempt of a caller with this access key.
fn attempt(service: &Service, on: &Key, access_key: u8) {
    let event = EventId::from_random(service.app().random().unwrap());
    let mut entry = Entry::of_record(draft(), Some(Error::KeyDisabled));
    entry.draft.access_key = Some(AccessKeyId::from_bytes([access_key; 16]));
    entry.attempts.push(Attempt::on(on, Outcome::Refused, START, event));
    let (store, entry) = (service.app().store.clone(), Box::new(entry));
    let place = store.reserve().unwrap();
    actix::System::new().block_on(async move { store.record(place, entry).await }).unwrap().unwrap();
}

fn stored(service: &Service, key: &Value) -> Key {
    let id: KeyId = serde_json::from_value(key.clone()).unwrap();
    service.app().store.get(&id).unwrap().unwrap()
}

#[test]
fn callers_beyond_a_hundred_are_counted_together() {
    let service = Service::start();
    let admin = service.admin();
    let key = new_key(&admin);
    let record = stored(&service, &key);
    (0..120).for_each(|caller| attempt(&service, &record, caller));
    (0..120).for_each(|caller| attempt(&service, &record, caller));
    let rows = service.app().store.attempts(record.id).unwrap();
    let (named, others): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.caller.is_some());
    assert_eq!((named.len(), others.len()), (100, 1));
    assert!(named.iter().all(|row| row.count == 2));
    assert_eq!(others[0].count, 40);
    assert_eq!(attempts(&admin, &key).len(), 100, "as many are shown");
    let told = service.app().store.figures().events().find(|(kind, _)| *kind == "UseRefused");
    assert_eq!(told, Some(("UseRefused", 101)), "one for each, and one for all others");
}

#[test]
fn attempts_on_a_key_that_is_gone_are_not_kept() {
    let service = Service::start();
    let key = new_key(&service.admin());
    let record = stored(&service, &key);
    let mut changes = Changes::default();
    changes.remove(&record, Error::KeyNotFound).unwrap();
    let (store, entry) = (service.app().store.clone(), Entry::of_record(draft(), None));
    let (place, entry) = (store.reserve().unwrap(), Box::new(Entry { changes, ..entry }));
    actix::System::new().block_on(async move { store.record(place, entry).await }).unwrap().unwrap();
    attempt(&service, &record, 1);
    assert_eq!(service.app().store.attempts(record.id).unwrap(), Vec::new());
    assert_eq!(events(&service.admin(), json!({})), Vec::<Value>::new());
}

/// Whatever the disk does: as many attempts as records of them, and one event.
#[test]
fn attempts_agree_with_the_trail_on_a_failing_disk() {
    let disk = FaultyDisk::new();
    let service = Service::start_on(temporary(), disk.disk(), |config| config.store.reopen_milliseconds = 1);
    let admin = service.admin();
    let mut faults = 0;
    for outcome in ["refused", "rehearsed"] {
        for fault in FAULTS {
            let key = new_key(&admin);
            match outcome {
                "refused" => drop(admin.ok(DISABLE, json!({"cmkUuid": key}))),
                _ => rehearse(&admin, &key, true),
            }
            for at in 0.. {
                disk.arm(at, fault);
                let answer = admin.call(ENCRYPT, sealing(&key));
                let hit = disk.heal();
                poll("a service that is ready again", || {
                    let described = admin.call(DESCRIBE, json!({"cmkUuid": key}));
                    (service.app().is_ready() && described.success().is_some()).then_some(())
                });
                let records = recorded(&service, &key, |record| match outcome {
                    "refused" => record["errorCode"] == "KMS.9010",
                    _ => record["rehearsal"] == true,
                });
                assert_eq!(
                    count(&admin, &key, outcome),
                    records as u64,
                    "{outcome} {fault:?} {at}: {answer:?}"
                );
                let told = events(&admin, json!({"cmkUuid": key})).len();
                assert_eq!(told, records.min(1), "{outcome} {fault:?} {at}: {answer:?}");
                if hit.is_none() {
                    break;
                }
                faults += 1;
            }
        }
    }
    figure("faults_under_attempts", faults, "faults, after which counts, records and events agree");
    assert!(faults > 30, "{faults}");
}
