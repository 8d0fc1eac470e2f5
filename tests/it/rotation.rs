//! Rotation: its policy, versions as time goes by, and one rotation for each date however the clock or the program behaves.

use std::time::Duration;

use serde_json::{Value, json};
use yaoku::env::{Clock, Disk, Timestamp};
use yaoku::model::algorithm::{KeySpec, KeyUsage, Origin};
use yaoku::model::import::Binding;
use yaoku::model::key::{KeyState, KeyVersion};

use crate::kit::{OpenApi, START, Service, agent, base64, poll, send, temporary, unbase64};
use crate::ledger::{figure, rounds};
use crate::planted::{change_key, set_state};
use crate::program::Home;

const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const ENCRYPT: &str = "/keyCompute/encrypt";
const DECRYPT: &str = "/keyCompute/decrypt";
const MAC: &str = "/get/hmaccompute";
const POLICY: &str = "/versionControl/updateRotationPolicy";
const VERSIONS: &str = "/versionControl/listKeyVersions";
const VERSION: &str = "/versionControl/describeKeyVersion";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A key that rotates every seven days.
pub fn weekly(person: &OpenApi) -> Value {
    person.ok(CREATE, json!({"enableAutomaticRotation": true, "rotationInterval": "7d"}))
}

/// Waits until the key has another primary version than the given one.
fn rotated(person: &OpenApi, key: &Value, from: &Value) -> Value {
    poll("a rotation", || {
        let now = person.ok(DESCRIBE, json!({"cmkUuid": key}));
        (now["primaryKeyVersion"] != *from).then_some(now)
    })
}

/// Waits for a whole tick of the scheduler: each tick writes down the floods of minutes that are over, after it has
/// rotated what was due.
pub fn whole_tick(service: &Service, person: &OpenApi) {
    let floods = || {
        let page = person.ok("/audit/queryAudit", json!({"eventName": "suppressedCalls", "pageSize": 100}));
        page["records"].as_array().unwrap().len()
    };
    let (before, url) = (floods(), format!("{}/v1{CREATE}", person.endpoint));
    for _ in 0..61 {
        send(&person.agent, "POST", &url, &[], b"");
    }
    service.clock.advance(Duration::from_secs(60));
    poll("a tick", || (floods() > before).then_some(()));
}

/// Records of rotations.
fn rotations(person: &OpenApi) -> Vec<Value> {
    let page = person.ok("/audit/queryAudit", json!({"eventName": "rotateDueKey", "pageSize": 100}));
    page["records"].as_array().unwrap().clone()
}

#[test]
fn a_due_key_rotates_and_old_versions_stay() {
    let service = Service::start();
    let admin = service.admin();
    let key = weekly(&admin);
    let (id, first) = (&key["cmkUuid"], &key["primaryKeyVersion"]);
    let sealed = admin.ok(ENCRYPT, json!({"cmkUuid": id, "plaintext": base64("old")}));
    let mac = admin.ok(MAC, json!({"cmkUuid": id, "input": "a"}));
    service.clock.advance(7 * DAY - Duration::from_secs(61));
    whole_tick(&service, &admin);
    assert_eq!(admin.ok(DESCRIBE, json!({"cmkUuid": id}))["primaryKeyVersion"], *first, "one second early");
    service.clock.advance(Duration::from_secs(1));
    let after = rotated(&admin, id, first);
    assert_eq!(after["lastRotationDate"], "2026-11-09T00:00:00Z");
    assert_eq!(after["nextRotationDate"], "2026-11-16T00:00:00Z");
    assert_eq!(after["automaticRotation"], "Enabled");
    let second = &after["primaryKeyVersion"];
    let opened = admin.ok(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
    assert_eq!((unbase64(&opened["plaintext"]), &opened["keyVersionId"]), (b"old".to_vec(), first));
    let new = admin.ok(ENCRYPT, json!({"cmkUuid": id, "plaintext": base64("new")}));
    assert_eq!(new["keyVersionId"], *second);
    assert_eq!(admin.ok("/keyCompute/generateDataKey", json!({"cmkUuid": id}))["keyVersionId"], *second);
    let explicit = admin.ok(MAC, json!({"cmkUuid": id, "input": "a", "keyVersionId": first}));
    assert_eq!(explicit, mac, "a named version is stable");
    let default = admin.ok(MAC, json!({"cmkUuid": id, "input": "a"}));
    assert_eq!(default["keyVersionId"], *second);
    assert_ne!(default["hmacoutput"], mac["hmacoutput"]);
    service.clock.advance(7 * DAY);
    rotated(&admin, id, second);
    let opened = admin.ok(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
    assert_eq!(unbase64(&opened["plaintext"]), b"old");
}

#[test]
fn a_rotation_is_recorded_as_the_systems_work() {
    let service = Service::start();
    let admin = service.admin();
    let key = weekly(&admin);
    service.clock.advance(7 * DAY);
    rotated(&admin, &key["cmkUuid"], &key["primaryKeyVersion"]);
    whole_tick(&service, &admin);
    let records = rotations(&admin);
    assert_eq!(records.len(), 1, "{records:?}");
    for (field, value) in [
        ("eventType", json!("SYSTEM")),
        ("eventSource", json!("INTERNAL")),
        ("eventLevel", json!("NORMAL")),
        ("principalType", json!("SYSTEM")),
        ("userName", json!("system")),
        ("resourceType", json!("CMK")),
        ("resourceIds", json!([key["cmkUuid"]])),
        ("instanceId", service.first["instanceId"].clone()),
        ("httpStatus", json!(200)),
        ("time", json!("2026-11-09T00:00:00Z")),
    ] {
        assert_eq!(records[0][field], value, "{field}");
    }
}

/// The owner of a key must be able to find out that it was rotated (contract 5.14: a record names its account).
#[test]
fn a_rotation_is_in_the_trail_of_the_keys_account() {
    let service = Service::start();
    let (second, account) = service.tenant();
    let key = weekly(&second);
    service.clock.advance(7 * DAY);
    rotated(&second, &key["cmkUuid"], &key["primaryKeyVersion"]);
    let records = rotations(&second);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["accountId"], account["accountId"]);
    assert_eq!(rotations(&service.admin()), Vec::<Value>::new(), "and in no other");
}

#[test]
fn a_key_that_was_due_many_times_during_an_absence_rotates_once() {
    let mut service = Service::start();
    let key = weekly(&service.admin());
    service.stop();
    service.clock.advance(100 * DAY);
    service.restart();
    let admin = service.admin();
    let after = rotated(&admin, &key["cmkUuid"], &key["primaryKeyVersion"]);
    assert_eq!(after["lastRotationDate"], "2027-02-10T00:00:00Z");
    assert_eq!(
        after["nextRotationDate"], "2027-02-17T00:00:00Z",
        "a period after the rotation, not after the date missed"
    );
    whole_tick(&service, &admin);
    whole_tick(&service, &admin);
    assert_eq!(admin.ok(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]})), after);
    assert_eq!(rotations(&admin).len(), 1);
}

#[test]
fn a_disabled_key_rests_and_rotates_when_it_is_enabled() {
    let service = Service::start();
    let admin = service.admin();
    let key = weekly(&admin);
    let id = json!({"cmkUuid": key["cmkUuid"]});
    admin.ok("/cmkManage/disableKey", id.clone());
    service.clock.advance(30 * DAY);
    whole_tick(&service, &admin);
    let resting = admin.ok(DESCRIBE, id.clone());
    assert_eq!(resting["primaryKeyVersion"], key["primaryKeyVersion"]);
    assert_eq!(
        (&resting["automaticRotation"], &resting["keyState"]),
        (&json!("Suspended"), &json!("Disabled"))
    );
    admin.ok("/cmkManage/enableKey", id);
    let after = rotated(&admin, &key["cmkUuid"], &key["primaryKeyVersion"]);
    assert_eq!(after["automaticRotation"], "Enabled");
    whole_tick(&service, &admin);
    assert_eq!(rotations(&admin).len(), 1);
}

#[test]
fn many_keys_due_after_an_absence_rotate_once_each() {
    let mut service = Service::start();
    let keys: Vec<Value> = (0..50).map(|_| weekly(&service.admin())).collect();
    let steady = service.admin().ok(CREATE, json!({}));
    service.stop();
    service.clock.advance(400 * DAY);
    service.restart();
    let admin = service.admin();
    for key in &keys {
        rotated(&admin, &key["cmkUuid"], &key["primaryKeyVersion"]);
    }
    whole_tick(&service, &admin);
    for key in &keys {
        assert_eq!(admin.ok(VERSIONS, json!({"cmkUuid": key["cmkUuid"]}))["totalCount"], 2);
    }
    assert_eq!(rotations(&admin).len(), 50);
    let now = admin.ok(DESCRIBE, json!({"cmkUuid": steady["cmkUuid"]}));
    assert_eq!(now["primaryKeyVersion"], steady["primaryKeyVersion"]);
}

/// Moves the wall clock, also back.
fn jump(clock: &Clock, days: i64) {
    clock.set(Timestamp(clock.now().0 + days * 86_400_000_000));
}

/// Dates go by the confirmed clock: a wall clock that is set makes none of them come, and puts none off.
#[test]
fn a_clock_that_jumps_makes_one_rotation_a_date() {
    let mut service = Service::start();
    let keys: Vec<Value> = (0..5).map(|_| weekly(&service.admin())).collect();
    let mut dates = 0;
    // So many days the clock is set, and so many days go by.
    for (days, pass, due) in
        [(3 * 365, 6, false), (-365, 1, true), (365, 8, true), (-1, 1, false), (-1094, 7, true)]
    {
        let expected = rotations(&service.admin()).len() + if due { keys.len() } else { 0 };
        dates += if due { keys.len() } else { 0 };
        jump(&service.clock, days);
        service.clock.advance(DAY * pass);
        poll("the rotations", || (rotations(&service.admin()).len() >= expected).then_some(()));
        for _ in 0..2 {
            whole_tick(&service, &service.admin());
            assert_eq!(rotations(&service.admin()).len(), expected, "{days} days");
            service.restart();
        }
    }
    let admin = service.admin();
    let versions = keys.iter().map(|key| admin.ok(VERSIONS, json!({"cmkUuid": key["cmkUuid"]})));
    let made: u64 = versions.map(|page| page["totalCount"].as_u64().unwrap() - 1).sum();
    figure("rotations_per_due", made as f64 / dates as f64, "rotations");
    assert_eq!(made, dates as u64);
}

/// The real program, killed while it rotates what is due, again and again until all is done. On a machine that is busy
/// elsewhere all may be done before the first kill; then it is tried anew.
#[test]
fn a_kill_amid_rotations_leaves_one_for_each_date() {
    let amid = (0..5).map(|_| kills_amid_rotations()).find(|amid| *amid > 0);
    figure("kills_amid_rotations", amid.expect("no kill came amid the rotations"), "kills");
}

fn kills_amid_rotations() -> usize {
    const KEYS: usize = 120;
    let mut service = Service::stopped_on(temporary(), Disk::System, |_| {});
    // The program has the clock of this machine.
    let past = Clock::system().now().since(service.clock.now());
    service.clock.advance(past);
    jump(&service.clock, -8);
    service.restart();
    let admin = service.admin();
    let sealed: Vec<Value> = (0..KEYS)
        .map(|_| admin.ok(ENCRYPT, json!({"cmkUuid": weekly(&admin)["cmkUuid"], "plaintext": base64("old")})))
        .collect();
    service.stop();
    let home = Home { folder: temporary(), data: service.config.data.clone() };
    let serve = || {
        let mut command = home.command(&["serve"]);
        command.env("YAOKU_CRON_TICK_SECONDS", "1");
        for rate in ["KEY_READ", "OTHER_READ", "SYMMETRIC"] {
            command.env(format!("YAOKU_RATES_{rate}_OPENAPI"), "100000");
        }
        let (program, ready) = home.serve_by(command);
        let endpoint = ready["openapi"].as_str().unwrap().to_owned();
        let admin = OpenApi { endpoint, clock: Clock::system(), agent: agent(), ..service.admin() };
        (program, admin)
    };
    let done = |admin: &OpenApi| {
        let mut query = json!({"eventName": "rotateDueKey", "result": "success", "pageSize": 100});
        let mut events = 0;
        loop {
            let page = admin.ok("/audit/queryAudit", query.clone());
            events += page["records"].as_array().unwrap().len();
            let Some(next) = page["nextCursor"].as_str() else { return events };
            query["cursor"] = json!(next);
        }
    };
    let mut amid = 0;
    for _ in 0..rounds(5, 100) {
        let (program, admin) = serve();
        let before = done(&admin);
        amid += usize::from(0 < before && before < KEYS);
        if before == KEYS {
            break;
        }
        // Without a pause: what is due is done within moments.
        assert!((0..100_000).any(|_| done(&admin) > before), "nothing rotates");
        program.kill();
    }
    let (program, admin) = serve();
    poll("all rotations", || (done(&admin) >= KEYS).then_some(()));
    for old in &sealed {
        let versions = admin.ok(VERSIONS, json!({"cmkUuid": old["cmkUuid"]}));
        assert_eq!(versions["totalCount"], 2, "{versions}");
        assert_eq!(versions["keyVersions"][0]["keyVersionId"], old["keyVersionId"]);
        let opened = admin.ok(DECRYPT, json!({"ciphertextBlob": old["ciphertextBlob"]}));
        assert_eq!(unbase64(&opened["plaintext"]), b"old");
    }
    figure("rotations_per_due_with_kills", done(&admin) as f64 / KEYS as f64, "rotations");
    program.stop();
    amid
}

#[test]
fn a_policy_is_changed_and_told() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({"aliasName": "alias/k"}));
    let id = &key["cmkUuid"];
    let on = |days: &str| json!({"cmkUuid": id, "enableAutomaticRotation": true, "rotationInterval": days});
    let off = json!({"cmkUuid": "alias/k", "enableAutomaticRotation": false});
    assert_eq!(
        admin.ok(POLICY, on("7d")),
        json!({
            "cmkUuid": id, "automaticRotation": "Enabled", "rotationInterval": "604800s",
            "nextRotationDate": "2026-11-09T00:00:00Z",
        })
    );
    service.clock.advance(DAY);
    assert_eq!(
        admin.ok(POLICY, on("168h"))["nextRotationDate"],
        "2026-11-09T00:00:00Z",
        "nothing is put off"
    );
    assert_eq!(admin.ok(POLICY, on("8"))["nextRotationDate"], "2026-11-11T00:00:00Z");
    service.clock.advance(8 * DAY);
    let after = rotated(&admin, id, &key["primaryKeyVersion"]);
    assert_eq!(admin.ok(POLICY, off), json!({"cmkUuid": id, "automaticRotation": "Disabled"}));
    let resting = admin.ok(DESCRIBE, json!({"cmkUuid": id}));
    assert_eq!(resting["lastRotationDate"], after["lastRotationDate"], "told also while rotation is off");
    assert!(resting.get("nextRotationDate").is_none() && resting.get("rotationInterval").is_none());
    assert!(resting.get("materialExpireTime").is_none());
    service.clock.advance(100 * DAY);
    whole_tick(&service, &admin);
    assert_eq!(rotations(&admin).len(), 1);
}

#[test]
fn a_policy_is_refused_for_what_is_missing_and_for_keys_that_cannot_rotate() {
    let mut service = Service::start();
    let key = service.admin().ok(CREATE, json!({}))["cmkUuid"].clone();
    let on = json!({"cmkUuid": key, "enableAutomaticRotation": true, "rotationInterval": "7d"});
    let refused = |service: &Service| service.admin().refused(POLICY, on.clone());
    let admin = service.admin();
    assert_eq!(admin.refused(POLICY, json!({"cmkUuid": key, "rotationInterval": "7d"})), "KMS.0116");
    assert_eq!(admin.refused(POLICY, json!({"cmkUuid": key, "enableAutomaticRotation": true})), "KMS.0118");
    let short = json!({"cmkUuid": key, "enableAutomaticRotation": true, "rotationInterval": "6d"});
    assert_eq!(admin.refused(POLICY, short), "KMS.9020");
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": key}));
    assert_eq!(refused(&service), "KMS.9010");
    set_state(&mut service, &key, KeyState::PendingDeletion { at: START });
    assert_eq!(refused(&service), "KMS.9011");
    set_state(&mut service, &key, KeyState::PendingImport);
    assert_eq!(refused(&service), "KMS.9012");
    change_key(&mut service, &key, |key| {
        (key.state, key.spec, key.usage) = (KeyState::Enabled, KeySpec::Rsa2048, KeyUsage::SignVerify);
    });
    assert_eq!(refused(&service), "KMS.9027");
    change_key(&mut service, &key, |key| (key.spec, key.origin) = (KeySpec::Aes256, Origin::External));
    assert_eq!(refused(&service), "KMS.9025");
    assert_eq!(service.admin().ok(DESCRIBE, json!({"cmkUuid": key}))["automaticRotation"], "Disabled");
}

#[test]
fn versions_are_listed_oldest_first() {
    let service = Service::start();
    let admin = service.admin();
    let key = weekly(&admin);
    let id = &key["cmkUuid"];
    let mut versions = vec![key["primaryKeyVersion"].clone()];
    for _ in 0..2 {
        service.clock.advance(7 * DAY);
        let after = rotated(&admin, id, versions.last().unwrap());
        versions.push(after["primaryKeyVersion"].clone());
    }
    let dates = ["2026-11-02T00:00:00Z", "2026-11-09T00:00:00Z", "2026-11-16T00:00:00Z"];
    let view = |at: usize| json!({"cmkUuid": id, "keyVersionId": versions[at], "creationDate": dates[at], "isPrimary": at == 2, "useCount": 0});
    let page = |number: u64, size: u64| {
        admin.ok(VERSIONS, json!({"cmkUuid": id, "pageNumber": number, "pageSize": size}))
    };
    let expected = |shown: &[usize], number: u64, size: u64| {
        let shown: Vec<Value> = shown.iter().map(|at| view(*at)).collect();
        json!({"keyVersions": shown, "pageNumber": number, "pageSize": size, "totalCount": 3})
    };
    assert_eq!(page(1, 10), expected(&[0, 1, 2], 1, 10));
    assert_eq!(page(1, 2), expected(&[0, 1], 1, 2));
    assert_eq!(page(2, 2), expected(&[2], 2, 2));
    assert_eq!(page(3, 2), expected(&[], 3, 2));
    for (at, version) in versions.iter().enumerate() {
        assert_eq!(admin.ok(VERSION, json!({"cmkUuid": id, "keyVersionId": version})), view(at));
    }
    let other = admin.ok(CREATE, json!({}))["primaryKeyVersion"].clone();
    assert_eq!(admin.refused(VERSION, json!({"cmkUuid": id, "keyVersionId": other})), "KMS.9002");
    assert_eq!(admin.refused(VERSION, json!({"cmkUuid": id})), "KMS.0105");
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": id}));
    assert_eq!(page(1, 10), expected(&[0, 1, 2], 1, 10), "whatever the state");
}

/// Material from outside whose time is over is gone at once for every call, and from the store with the next tick.
#[test]
fn material_past_its_expiry_goes() {
    let mut service = Service::start();
    let key = service.admin().ok(CREATE, json!({}));
    let id = json!({"cmkUuid": key["cmkUuid"]});
    change_key(&mut service, &key["cmkUuid"], |key| {
        key.origin = Origin::External;
        let KeyVersion { id, created, .. } = key.versions[0];
        key.import.binding = Some(Binding { version: id, created, fingerprint: [1; 32] });
        key.import.expires = Some(START.after(DAY));
    });
    let admin = service.admin();
    let sealed = admin.ok(ENCRYPT, json!({"cmkUuid": key["cmkUuid"], "plaintext": base64("kept")}));
    let before = admin.ok(DESCRIBE, id.clone());
    assert_eq!(
        (&before["keyState"], &before["materialExpireTime"]),
        (&json!("Enabled"), &json!("2026-11-03T00:00:00Z"))
    );
    service.clock.advance(DAY);
    let after = admin.ok(DESCRIBE, id.clone());
    assert_eq!((&after["keyState"], &after["materialExpireTime"]), (&json!("PendingImport"), &json!("")));
    assert!(after.get("primaryKeyVersion").is_none());
    assert_eq!(admin.ok("/keyManage/listAliasKeys", json!({"keyState": "PendingImport"}))["totalCount"], 1);
    let bound = admin.ok(VERSIONS, id.clone())["keyVersions"][0].clone();
    assert_eq!(admin.refused(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]})), "KMS.9012");
    assert_eq!(admin.refused("/cmkManage/enableKey", id.clone()), "KMS.9013");
    let records = poll("the end of the material", || {
        let page = admin.ok("/audit/queryAudit", json!({"eventName": "expireKeyMaterial"}));
        Some(page["records"].as_array().unwrap().clone()).filter(|records| !records.is_empty())
    });
    whole_tick(&service, &admin);
    assert_eq!(records[0]["resourceIds"], json!([key["cmkUuid"]]));
    assert_eq!((&records[0]["principalType"], &records[0]["httpStatus"]), (&json!("SYSTEM"), &json!(200)));
    let page = admin.ok("/audit/queryAudit", json!({"eventName": "expireKeyMaterial"}));
    assert_eq!(page["records"].as_array().unwrap().len(), 1, "once");
    assert!(service.app().keys.published().iter().all(|key| key.versions.is_empty()));
    assert_eq!(
        admin.ok(VERSIONS, id)["keyVersions"][0],
        bound,
        "the version is known also while its material is away"
    );
    assert_eq!(bound["isPrimary"], false);
}
