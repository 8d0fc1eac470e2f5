//! Use counters: every successful call that works with a key version is counted once, whatever happens to the service.

use std::time::Duration;

use redb::ReadableDatabase as _;
use serde_json::{Value, json};
use yaoku::env::{Clock, Timestamp};
use yaoku::error::Error;
use yaoku::ids::{KeyId, VersionId};
use yaoku::model::key::Key;
use yaoku::store::{Changes, Entry, UsedVersions, Uses};

use crate::kit::{AccessPoint, OpenApi, START, Service, agent, base64, parallel, poll};
use crate::planted::draft;
use crate::program::Home;

const CREATE: &str = "/cmkManage/createKey";
const ENCRYPT: &str = "/keyCompute/encrypt";
const DECRYPT: &str = "/keyCompute/decrypt";
const RE_ENCRYPT: &str = "/cmManage/reEncrypt";
const DATA_KEY: &str = "/keyCompute/generateDataKey";
const WRAPPED_DATA_KEY: &str = "/keyCompute/generateDataKeyWithoutPlaintext";
const MAC: &str = "/get/hmaccompute";

/// The table as it is drawn: key id ‖ version id → count ‖ micros of the last use.
const USES: redb::TableDefinition<'static, &'static [u8], &'static [u8]> = redb::TableDefinition::new("uses");

fn id<T: serde::de::DeserializeOwned>(text: &Value) -> T {
    serde_json::from_value(text.clone()).unwrap()
}

/// The uses of a key's version that a result names.
fn uses(service: &Service, key: &Value, version: &Value) -> Uses {
    service.app().store.uses(id(key), id(version)).unwrap()
}

fn count(service: &Service, key: &Value, version: &Value) -> u64 {
    uses(service, key, version).count
}

fn seal(admin: &OpenApi, key: &Value) -> Value {
    admin.ok(ENCRYPT, json!({"cmkUuid": key["cmkUuid"], "plaintext": base64("counted")}))
}

#[test]
fn calls_at_the_same_time_on_both_planes_are_counted_exactly() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let keys = [admin.ok(CREATE, json!({})), admin.ok(CREATE, json!({"keySpec": "Ctyun_SM4"}))];
    let body = |key: &Value| json!({"cmkUuid": key["cmkUuid"], "plaintext": base64("counted")});
    parallel(8, |thread| {
        for call in 0..25 {
            // Three quarters go to the first key.
            let body = body(&keys[usize::from(call % 4 == 3)]);
            match thread % 2 {
                0 => admin.ok(ENCRYPT, body),
                _ => application.ok(ENCRYPT, body),
            };
        }
    });
    let counts = keys.each_ref().map(|key| uses(&service, &key["cmkUuid"], &key["primaryKeyVersion"]));
    assert_eq!(counts, [8 * 19, 8 * 6].map(|count| Uses { count, last: Some(START) }));
}

#[test]
fn every_operation_that_works_with_a_key_version_counts_one_use_of_it() {
    let service = Service::start();
    let admin = service.admin();
    let (key, other) = (admin.ok(CREATE, json!({})), admin.ok(CREATE, json!({})));
    let (key_id, version) = (&key["cmkUuid"], &key["primaryKeyVersion"]);
    assert_eq!(uses(&service, key_id, version), Uses::default());
    let blob = seal(&admin, &key)["ciphertextBlob"].clone();
    assert_eq!(count(&service, key_id, version), 1);
    let own = json!({"ciphertextBlob": blob, "destinationCmkUuid": key_id});
    for (path, body, more) in [
        (DECRYPT, json!({"ciphertextBlob": blob}), 1),
        (DATA_KEY, json!({"cmkUuid": key_id}), 1),
        (WRAPPED_DATA_KEY, json!({"cmkUuid": key_id}), 1),
        (MAC, json!({"cmkUuid": key_id, "input": "a"}), 1),
        (MAC, json!({"cmkUuid": key_id, "keyVersionId": version, "input": "a"}), 1),
        // One call, whose source and destination are the same version.
        (RE_ENCRYPT, own, 1),
        ("/keyCompute/getDataKey", json!({"ciphertextBlob": blob}), 0),
        ("/keyManage/describeKey", json!({"cmkUuid": key_id}), 0),
    ] {
        let before = count(&service, key_id, version);
        service.clock.advance(Duration::from_secs(1));
        admin.ok(path, body);
        let after = uses(&service, key_id, version);
        assert_eq!(after.count, before + more, "{path}");
        assert_eq!(after.last == Some(service.clock.now()), more == 1, "{path}");
    }
    let before = count(&service, key_id, version);
    admin.ok(RE_ENCRYPT, json!({"ciphertextBlob": blob, "destinationCmkUuid": other["cmkUuid"]}));
    assert_eq!(count(&service, key_id, version), before + 1, "the source");
    assert_eq!(count(&service, &other["cmkUuid"], &other["primaryKeyVersion"]), 1, "the destination");
}

#[test]
fn decrypting_counts_for_the_version_that_made_the_ciphertext() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({"enableAutomaticRotation": true, "rotationInterval": "7d"}));
    let (key_id, first) = (&key["cmkUuid"], &key["primaryKeyVersion"]);
    let old = seal(&admin, &key)["ciphertextBlob"].clone();
    service.clock.advance(Duration::from_secs(7 * 24 * 3600));
    let second = poll("a rotation", || {
        let now = admin.ok("/keyManage/describeKey", json!({"cmkUuid": key_id}))["primaryKeyVersion"].clone();
        (now != *first).then_some(now)
    });
    for _ in 0..3 {
        admin.ok(DECRYPT, json!({"ciphertextBlob": old}));
    }
    assert_eq!(count(&service, key_id, first), 4);
    assert_eq!(count(&service, key_id, &second), 0);
    seal(&admin, &key);
    assert_eq!(count(&service, key_id, first), 4);
    assert_eq!(count(&service, key_id, &second), 1);
}

#[test]
fn failed_calls_are_no_uses() {
    let service = Service::start();
    let admin = service.admin();
    let (key, off) = (admin.ok(CREATE, json!({})), admin.ok(CREATE, json!({})));
    let blobs = [&key, &off].map(|key| seal(&admin, key)["ciphertextBlob"].clone());
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": off["cmkUuid"]}));
    let wrong = json!({"of": "another"});
    for (path, body) in [
        // The version was chosen when the machine refused the context.
        (DECRYPT, json!({"ciphertextBlob": blobs[0], "encryptionContext": wrong})),
        (
            RE_ENCRYPT,
            json!({"ciphertextBlob": blobs[0], "destinationCmkUuid": key["cmkUuid"], "sourceEncryptionContext": wrong}),
        ),
        (RE_ENCRYPT, json!({"ciphertextBlob": blobs[0], "destinationCmkUuid": off["cmkUuid"]})),
        (RE_ENCRYPT, json!({"ciphertextBlob": blobs[1], "destinationCmkUuid": key["cmkUuid"]})),
        (DECRYPT, json!({"ciphertextBlob": blobs[1]})),
        (ENCRYPT, json!({"cmkUuid": off["cmkUuid"], "plaintext": base64("x")})),
        (ENCRYPT, json!({"cmkUuid": key["cmkUuid"], "plaintext": ""})),
        (DATA_KEY, json!({"cmkUuid": off["cmkUuid"]})),
        (MAC, json!({"cmkUuid": off["cmkUuid"], "input": "a"})),
    ] {
        admin.refused(path, body);
    }
    for key in [key, off] {
        assert_eq!(count(&service, &key["cmkUuid"], &key["primaryKeyVersion"]), 1);
    }
}

/// Changes that the writer refuses are a failed call as well.
#[test]
fn a_call_whose_changes_are_refused_is_no_use() {
    let service = Service::start();
    let key = service.admin().ok(CREATE, json!({}));
    let (key_id, version): (KeyId, VersionId) = (id(&key["cmkUuid"]), id(&key["primaryKeyVersion"]));
    let store = service.app().store.clone();
    let record = |changes: Changes| {
        let (store, mut uses) = (store.clone(), UsedVersions::default());
        uses.note(key_id, version);
        let entry = Box::new(Entry { changes, uses, ..Entry::of_record(draft(), None) });
        let place = store.reserve().unwrap();
        actix::System::new().block_on(async move { store.record(place, entry).await }).unwrap()
    };
    let stored: Key = store.get(&key_id).unwrap().unwrap();
    let mut taken = Changes::default();
    taken.insert(&stored, Error::KeyNotFound).unwrap();
    record(taken).unwrap_err();
    assert_eq!(store.uses(key_id, version).unwrap().count, 0);
    record(Changes::default()).unwrap();
    assert_eq!(store.uses(key_id, version).unwrap().count, 1);
}

#[test]
fn counts_survive_a_restart_and_a_database_of_before_begins_at_none() {
    let mut service = Service::start();
    let key = service.admin().ok(CREATE, json!({}));
    let (key_id, version) = (&key["cmkUuid"], &key["primaryKeyVersion"]);
    seal(&service.admin(), &key);
    service.clock.advance(Duration::from_secs(60));
    seal(&service.admin(), &key);
    service.restart();
    let expected = Uses { count: 2, last: Some(START.after(Duration::from_secs(60))) };
    assert_eq!(uses(&service, key_id, version), expected);
    service.stop();
    let database = redb::Database::open(service.config.data.join("yaoku.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    assert!(transaction.delete_table(USES).unwrap());
    transaction.commit().unwrap();
    drop(database);
    service.restart();
    assert_eq!(uses(&service, key_id, version), Uses::default());
    seal(&service.admin(), &key);
    assert_eq!(count(&service, key_id, version), 1);
}

/// The count of a version in the database of a program that does not run.
fn stored(home: &Home, key: &Value) -> (u64, Timestamp) {
    let database = redb::Database::open(home.data.join("yaoku.redb")).unwrap();
    let table = database.begin_read().unwrap().open_table(USES).unwrap();
    let (key, version): (KeyId, VersionId) = (id(&key["cmkUuid"]), id(&key["primaryKeyVersion"]));
    let row = [key.as_bytes().as_slice(), version.as_bytes()].concat();
    let value = table.get(row.as_slice()).unwrap().unwrap();
    let (count, last) = value.value().split_first_chunk().unwrap();
    (u64::from_be_bytes(*count), Timestamp(i64::from_be_bytes(last.try_into().unwrap())))
}

#[test]
fn a_kill_loses_no_use_and_adds_none() {
    const CLIENTS: usize = 4;
    let (home, clock) = (Home::new(), Clock::system());
    let mut acknowledged = 0;
    let mut key = Value::Null;
    for round in 1..=3 {
        let (program, ready) = home.serve();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let first = home.first();
        let admin = OpenApi {
            endpoint: text(&ready["openapi"]),
            access_key: text(&first["openapi"]["accessKey"]),
            secret_key: text(&first["openapi"]["secretKey"]),
            clock: clock.clone(),
            agent: agent(),
        };
        if key.is_null() {
            key = admin.ok(CREATE, json!({}));
        }
        let credential = admin.ok("/userAk/createUserAk", json!({"accessPointId": first["accessPointId"]}));
        let application = AccessPoint {
            endpoint: text(&ready["accessPoint"]),
            access_key: text(&credential["accessKey"]),
            secret_key: text(&credential["secretKey"]),
            clock: clock.clone(),
            agent: agent(),
        };
        let began = clock.now();
        parallel(CLIENTS, |client| {
            for _ in 0..10 * round {
                let body = json!({"cmkUuid": key["cmkUuid"], "plaintext": base64("counted")});
                match client % 2 {
                    0 => admin.ok(ENCRYPT, body),
                    _ => application.ok(ENCRYPT, body),
                };
            }
        });
        acknowledged += (CLIENTS * 10 * round) as u64;
        program.kill();
        let (count, last) = stored(&home, &key);
        assert_eq!(count, acknowledged, "round {round}");
        assert!(began <= last && last <= clock.now(), "{last}");
    }
}
