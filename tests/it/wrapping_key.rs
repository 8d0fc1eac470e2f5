//! Rolling wrapping keys: nothing that is kept is lost, whatever happens meanwhile, and nothing that the old generation
//! wrapped opens again.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{AccessPoint, OpenApi, Service, base64, parallel, poll, temporary, unbase64};

const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const ENCRYPT: &str = "/keyCompute/encrypt";
const DECRYPT: &str = "/keyCompute/decrypt";
const ROLL: &str = "/system/rollWrappingKey";
const SYSTEM: &str = "/system/describeSystem";
const DAY: Duration = Duration::from_secs(24 * 3600);
const DEVICE: &str = "00000000-0000-0000-0000-000000000000";

fn of_service(account: &Value) -> Value {
    json!({"instanceId": account["instanceId"]})
}

fn of_device() -> Value {
    json!({"device": true})
}

fn rolls(service: &Service) -> Vec<Value> {
    service.admin().ok(SYSTEM, json!({}))["rolls"].as_array().unwrap().clone()
}

/// Waits until no roll is under way.
fn finished(service: &Service) {
    poll("the end of the rolls", || rolls(service).is_empty().then_some(()));
}

/// A key with a ciphertext made by it.
struct Kept {
    key: Value,
    ciphertext: Value,
}

impl Kept {
    fn of(person: &OpenApi, key: &Value) -> Self {
        let sealed = person.ok(ENCRYPT, json!({"cmkUuid": key, "plaintext": base64("kept")}));
        Self { key: key.clone(), ciphertext: sealed["ciphertextBlob"].clone() }
    }

    fn made(person: &OpenApi, request: Value) -> Self {
        Self::of(person, &person.ok(CREATE, request)["cmkUuid"])
    }

    /// Asks for the plaintext, and for a new ciphertext.
    fn check(&self, person: &OpenApi) {
        let opened = person.ok(DECRYPT, json!({"ciphertextBlob": self.ciphertext}));
        assert_eq!(unbase64(&opened["plaintext"]), b"kept");
        person.ok(ENCRYPT, json!({"cmkUuid": self.key, "plaintext": base64("new")}));
    }
}

/// A key with three versions and a ciphertext of each.
fn with_versions(service: &Service, person: &OpenApi) -> Vec<Kept> {
    let key = person.ok(CREATE, json!({"enableAutomaticRotation": true, "rotationInterval": "7d"}));
    let id = &key["cmkUuid"];
    let mut kept = vec![Kept::of(person, id)];
    let mut primary = key["primaryKeyVersion"].clone();
    for _ in 0..2 {
        service.clock.advance(7 * DAY);
        primary = poll("a rotation", || {
            let now = person.ok(DESCRIBE, json!({"cmkUuid": id}))["primaryKeyVersion"].clone();
            (now != primary).then_some(now)
        });
        kept.push(Kept::of(person, id));
    }
    kept
}

fn records(person: &OpenApi, event: &str) -> Vec<Value> {
    let page = person.ok("/audit/queryAudit", json!({"eventName": event, "pageSize": 100}));
    page["records"].as_array().unwrap().clone()
}

#[test]
fn keys_and_credentials_work_on_after_a_roll() {
    let mut service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let (second, account) = service.tenant();
    let mut kept = with_versions(&service, &admin);
    kept.push(Kept::made(&admin, json!({"keySpec": "SM4"})));
    kept.push(Kept::made(&admin, json!({"protectionLevel": "HSM"})));
    let theirs = Kept::made(&second, json!({}));
    let off = Kept::made(&admin, json!({}));
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": off.key}));
    let mac = application.ok("/get/hmaccompute", json!({"cmkUuid": kept[0].key, "input": "a"}));

    for generation in [2, 3] {
        for (request, partition) in [(of_service(&service.first), None), (of_device(), Some(DEVICE))] {
            let begun = service.admin().ok(ROLL, request);
            assert_eq!(
                (&begun["generation"], &begun["state"]),
                (&json!(generation), &json!("RewrappingKeys"))
            );
            assert!(partition.is_none_or(|partition| begun["partition"] == partition), "{begun}");
        }
        finished(&service);
        service.restart();
        let (admin, second) = (service.admin(), service.person(&account));
        kept.iter().for_each(|kept| kept.check(&admin));
        theirs.check(&second);
        let endpoint = service.ready.access_point.clone();
        let application = AccessPoint { endpoint, ..application.clone() };
        let again = application.ok("/get/hmaccompute", json!({"cmkUuid": kept[0].key, "input": "a"}));
        assert_eq!(again, mac);
        assert_eq!(admin.refused(ENCRYPT, json!({"cmkUuid": off.key, "plaintext": "eA=="})), "KMS.9010");
    }
    let (admin, second) = (service.admin(), service.person(&account));
    admin.ok("/cmkManage/enableKey", json!({"cmkUuid": off.key}));
    off.check(&admin);

    // One record each: 4 keys, 3 credentials in two rolls; a record stands in the trail of whom it concerns.
    for (event, count) in
        [("rollWrappingKey", 4), ("finishRoll", 4), ("rewrapKey", 2 * 4), ("rewrapCredential", 2 * 2)]
    {
        let records = records(&admin, event);
        assert_eq!(records.len(), count, "{event}: {records:?}");
        assert!(records.iter().all(|record| record["httpStatus"] == 200), "{records:?}");
    }
    assert_eq!(records(&second, "rewrapCredential").len(), 2);
    assert_eq!(records(&second, "rewrapKey").len(), 0, "another partition");
    assert_eq!(records(&second, "finishRoll").len(), 0);
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What freed pages and old copies of the database hold opens no more beside the files that the machine has now. Beside
/// those that it had then it does: a backup holds both.
#[test]
fn an_old_database_opens_nothing_after_a_roll() {
    let mut service = Service::start();
    let admin = service.admin();
    let kept = [Kept::made(&admin, json!({})), Kept::made(&admin, json!({"protectionLevel": "HSM"}))];
    let (second, account) = service.tenant();
    let theirs = Kept::made(&second, json!({}));
    service.stop();
    let backup = temporary();
    copy(&service.config.data, backup.path());
    service.restart();
    service.admin().ok(ROLL, of_service(&service.first));
    finished(&service);
    kept.iter().for_each(|kept| kept.check(&service.admin()));

    let file = "yaoku.redb";
    service.stop();
    let newest = fs::read(service.config.data.join(file)).unwrap();
    fs::copy(backup.path().join(file), service.config.data.join(file)).unwrap();
    service.restart();
    let admin = service.admin();
    for kept in &kept {
        admin.ok(DESCRIBE, json!({"cmkUuid": kept.key}));
        assert_eq!(admin.refused(DECRYPT, json!({"ciphertextBlob": kept.ciphertext})), "KMS.9071");
        assert_eq!(admin.refused(ENCRYPT, json!({"cmkUuid": kept.key, "plaintext": "eA=="})), "KMS.9071");
    }
    theirs.check(&service.person(&account));
    Kept::made(&admin, json!({})).check(&admin);

    service.stop();
    fs::write(service.config.data.join(file), newest).unwrap();
    service.restart();
    kept.iter().for_each(|kept| kept.check(&service.admin()));

    service.stop();
    fs::remove_dir_all(&service.config.data).unwrap();
    copy(backup.path(), &service.config.data);
    service.restart();
    kept.iter().for_each(|kept| kept.check(&service.admin()));
}

/// Which answers are fine while a wrapping key rolls: a call that had read a record just before it was rewrapped may be
/// told to retry.
fn answered(answer: &crate::kit::Answer, retries: &Mutex<usize>) -> Option<Value> {
    let result = answer.success().cloned();
    if result.is_none() {
        assert_eq!(answer.code(), "KMS.9071", "{answer:?}");
        *retries.lock().unwrap() += 1;
    }
    result
}

#[test]
fn nothing_that_is_acknowledged_during_a_roll_is_lost() {
    let service = Service::start_with(|config| config.quota.keys_per_base_instance = 100_000);
    let admin = service.admin();
    let shared = Kept::made(&admin, json!({}));
    (0..50).for_each(|_| drop(admin.ok(CREATE, json!({}))));
    let (keys, credentials, sealed) =
        (Mutex::new(Vec::new()), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let (stopped, retries) = (AtomicBool::new(false), Mutex::new(0));
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (admin, keys, credentials, sealed) = (&admin, &keys, &credentials, &sealed);
            let (stopped, retries, shared, first) = (&stopped, &retries, &shared, &service.first);
            scope.spawn(move || {
                // Bounded, so that a test that fails also ends.
                for round in 0..20_000 {
                    if stopped.load(Ordering::Acquire) {
                        break;
                    }
                    let (path, request, list) = match number % 3 {
                        0 if round % 10 == 0 => (CREATE, json!({}), keys),
                        1 if credentials.lock().unwrap().len() < 90 => {
                            let point = json!({"accessPointId": first["accessPointId"]});
                            ("/userAk/createUserAk", point, credentials)
                        }
                        _ => (ENCRYPT, json!({"cmkUuid": shared.key, "plaintext": base64("kept")}), sealed),
                    };
                    let answer = answered(&admin.call(path, request), retries);
                    list.lock().unwrap().extend(answer);
                }
            });
        }
        let made = || keys.lock().unwrap().len();
        for generation in 2..5 {
            let before = made();
            poll("calls in flight", || (made() > before + 5).then_some(()));
            for request in [of_service(&service.first), of_device()] {
                assert_eq!(admin.ok(ROLL, request)["generation"], generation);
            }
            finished(&service);
        }
        stopped.store(true, Ordering::Release);
    });
    let [keys, credentials, sealed] = [keys, credentials, sealed].map(|list| list.into_inner().unwrap());
    println!(
        "figure rolls_under_load 3 rounds, {} keys, {} credentials, {} ciphertexts made, {} told to retry, 0 lost",
        keys.len(),
        credentials.len(),
        sealed.len(),
        retries.into_inner().unwrap()
    );
    let parts =
        |list: &[Value], number: usize| list.iter().skip(number).step_by(4).cloned().collect::<Vec<_>>();
    parallel(4, |number| {
        for key in parts(&keys, number) {
            Kept::of(&admin, &key["cmkUuid"]).check(&admin);
        }
        for ciphertext in parts(&sealed, number) {
            let opened = admin.ok(DECRYPT, json!({"ciphertextBlob": ciphertext["ciphertextBlob"]}));
            assert_eq!(unbase64(&opened["plaintext"]), b"kept");
        }
        for credential in parts(&credentials, number) {
            let application = AccessPoint {
                endpoint: service.ready.access_point.clone(),
                access_key: credential["accessKey"].as_str().unwrap().into(),
                secret_key: credential["secretKey"].as_str().unwrap().into(),
                clock: service.clock.clone(),
                agent: service.agent(),
            };
            application.ok(DESCRIBE, json!({"cmkUuid": shared.key}));
        }
    });
}

#[test]
fn a_roll_goes_on_after_a_restart() {
    let mut service = Service::start_with(|config| config.cron.tick_seconds = 3600);
    let admin = service.admin();
    let mut kept: Vec<Kept> = (0..5).map(|_| Kept::made(&admin, json!({}))).collect();
    let begun = admin.ok(ROLL, of_service(&service.first));
    admin.ok(ROLL, of_device());
    for _ in 0..2 {
        let admin = service.admin();
        let under_way = rolls(&service);
        assert_eq!(under_way.len(), 2, "{under_way:?}");
        let remaining = |partition: &Value| {
            let roll = under_way.iter().find(|roll| roll["partition"] == *partition).unwrap();
            (roll["generation"].clone(), roll["remaining"].clone())
        };
        assert_eq!(remaining(&begun["partition"]), (json!(2), json!(5)));
        assert_eq!(remaining(&json!(DEVICE)), (json!(2), json!(1)));
        // Beginning again begins nothing.
        assert_eq!(admin.ok(ROLL, of_service(&service.first)), begun);
        kept.iter().for_each(|kept| kept.check(&admin));
        kept.push(Kept::made(&admin, json!({})));
        service.restart();
    }
    service.config.cron.tick_seconds = 1;
    service.restart();
    finished(&service);
    kept.iter().for_each(|kept| kept.check(&service.admin()));
    assert_eq!(records(&service.admin(), "rewrapKey").len(), 5);
    service.restart();
    assert_eq!(rolls(&service), Vec::<Value>::new());
    kept.iter().for_each(|kept| kept.check(&service.admin()));
}

#[test]
fn only_administrators_roll_and_see_rolls() {
    let service = Service::start_with(|config| config.cron.tick_seconds = 3600);
    let (second, account) = service.tenant();
    for request in [of_service(&account), of_service(&service.first), of_device(), json!({})] {
        assert_eq!(second.refused(ROLL, request), "KMS.9044");
    }
    assert_eq!(service.first_application().refused(ROLL, of_device()), "KMS.9062");
    assert_eq!(rolls(&service), Vec::<Value>::new());
    let admin = service.admin();
    assert_eq!(admin.refused(ROLL, json!({})), "KMS.0101");
    assert_eq!(admin.refused(ROLL, json!({"device": false})), "KMS.0101");
    assert_eq!(admin.refused(ROLL, json!({"instanceId": "ins-nobody"})), "KMS.9005");
    let both = json!({"instanceId": account["instanceId"], "device": true});
    assert_eq!(admin.refused(ROLL, both), "KMS.9020");
    // The appliance's administrator rolls for every tenant.
    let key = Kept::made(&second, json!({}));
    assert_eq!(admin.ok(ROLL, of_service(&account))["generation"], 2);
    assert_eq!(rolls(&service).len(), 1);
    assert_eq!(second.ok(SYSTEM, json!({}))["rolls"], json!([]));
    key.check(&second);
}
