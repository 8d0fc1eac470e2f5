//! Destruction beside everything that others do at the same moment, beside a disk that fails at any of its operations, and
//! beside kills: a key is there as a whole, or gone as a whole.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use yaoku::error::{Error, Result};
use yaoku::ids::KeyId;
use yaoku::model::alias::{Alias, KeyRef};
use yaoku::model::erasure::Erasure;
use yaoku::model::event::{Event, Occurrence};
use yaoku::model::key::Key;
use yaoku::model::tombstone::Tombstone;
use yaoku::ops::deletion::DestroyKey;

use super::{
    CANCEL, CREATE, DAY, DECRYPT, DESCRIBE, SCHEDULE, in_days, made, named, opens, records, seal, stones,
};
use crate::disk::{FAULTS, FaultyDisk};
use crate::kit::{OpenApi, Service, agent, base64, parallel, poll, temporary};
use crate::ledger::{figure, rounds};
use crate::program::Home;

fn id(key: &Value) -> KeyId {
    serde_json::from_value(key.clone()).unwrap()
}

/// What cron submits when the window is over.
fn destroy(service: &Service, key: &Value) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let operation = DestroyKey { cmk_uuid: KeyRef::Id(id(key)) };
    runtime.block_on(service.gateway().submit(operation)).map(drop)
}

/// A service in which nobody but the test destroys anything.
fn still() -> Service {
    Service::start_with(|config| config.cron.tick_seconds = 3600)
}

/// Some keep the key and some destroy it while its window ends: it is kept or destroyed, once.
#[test]
fn a_key_is_kept_or_destroyed_and_never_both() {
    let service = still();
    let admin = service.admin();
    let (kept, destroyed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for round in 0..rounds(12, 200) {
        let key = made(&admin, json!({}));
        let ciphertext = seal(&admin, &key);
        admin.ok(SCHEDULE, in_days(&key, 7));
        // Beside the race: the end is there already, or does not come.
        let (before, beside) = [(0, 1), (1, 0), (0, 0)][round % 3];
        service.clock.advance(7 * DAY - Duration::from_secs(1 - before));
        let outcomes = parallel(64, |number| match number {
            0 => {
                service.clock.advance(Duration::from_secs(beside));
                None
            }
            _ if number % 2 == 0 => {
                let answer = admin.call(CANCEL, named(&key));
                let done = answer.success().is_some();
                assert!(done || ["KMS.9013", "KMS.9001"].contains(&answer.code().as_str()), "{answer:?}");
                Some((done, false))
            }
            _ => match destroy(&service, &key) {
                Ok(()) => Some((false, true)),
                Err(Error::TransitionNotAllowed | Error::KeyNotFound) => Some((false, false)),
                Err(error) => panic!("{error}"),
            },
        });
        let outcomes: Vec<_> = outcomes.into_iter().flatten().collect();
        let count = |of: &dyn Fn(&(bool, bool)) -> bool| outcomes.iter().filter(|one| of(one)).count();
        let answer = admin.call(DESCRIBE, named(&key));
        match (count(&|one| one.0), count(&|one| one.1)) {
            (1, 0) => {
                kept.fetch_add(1, Ordering::Relaxed);
                assert_eq!(answer.result()["keyState"], "Enabled");
                opens(&admin, &ciphertext);
            }
            (0, 1) => {
                destroyed.fetch_add(1, Ordering::Relaxed);
                assert_eq!(answer.code(), "KMS.9001");
                assert_eq!(super::stone(&admin, &key)["cmkUuid"], key);
            }
            // The end came after everybody had asked.
            (0, 0) => assert_eq!(answer.result()["keyState"], "PendingDeletion"),
            (kept, destroyed) => panic!("{kept} kept it and {destroyed} destroyed it"),
        }
    }
    let (kept, destroyed) = (kept.into_inner(), destroyed.into_inner());
    figure("deletion_races", format!("{kept} kept, {destroyed} destroyed, 0 both"), "keys");
    assert!(kept > 0 && destroyed > 0, "{kept} kept, {destroyed} destroyed");
}

/// Names move and go, and everybody asks for the key, while it is destroyed.
#[test]
fn a_destruction_beside_calls_with_the_key_takes_all_of_it_or_waits() {
    let service = still();
    let admin = service.admin();
    for _ in 0..rounds(4, 50) {
        let (key, other) = (made(&admin, json!({})), made(&admin, json!({})));
        let names: Vec<String> = (0..60).map(|_| format!("alias/{}", crate::kit::new_id())).collect();
        for name in &names {
            admin.ok("/keyName/createAlias", json!({"cmkUuid": key, "aliasName": name}));
        }
        let ciphertext = seal(&admin, &key);
        admin.ok(SCHEDULE, in_days(&key, 7));
        service.clock.advance(7 * DAY);
        let moved = AtomicUsize::new(0);
        parallel(64, |number| {
            let name = names.get(number).unwrap_or(&names[0]);
            let (path, body, codes): (_, _, &[&str]) = match number {
                0..20 => {
                    ("/keyName/updateAlias", json!({"cmkUuid": other, "aliasName": name}), &["KMS.9003"])
                }
                20..30 => ("/keyName/deleteAlias", json!({"aliasName": name}), &["KMS.9003"]),
                30..40 => (DECRYPT, json!({"ciphertextBlob": ciphertext}), &["KMS.9011", "KMS.9001"]),
                40..45 => {
                    let body = json!({"cmkUuid": key, "aliasName": format!("{name}x")});
                    ("/keyName/createAlias", body, &["KMS.9013", "KMS.9001"])
                }
                45..50 => (DESCRIBE, named(&key), &["KMS.9001"]),
                50..55 => ("/keyName/listAliasByUuid", named(&key), &["KMS.9001"]),
                55..60 => {
                    let tags = json!([{"tagKey": "a", "tagValue": "b"}]);
                    let body = json!({"resourceType": "CMK", "resourceIds": [key], "tags": tags});
                    ("/tag/tagResources", body, &["KMS.9011", "KMS.9001"])
                }
                // A name that was just moved has it told to come again, as cron does.
                _ => {
                    poll("the destruction", || match destroy(&service, &key) {
                        Ok(()) | Err(Error::KeyNotFound) => Some(()),
                        Err(Error::Unavailable(_)) => None,
                        Err(error) => panic!("{error}"),
                    });
                    return;
                }
            };
            let answer = admin.call(path, body);
            let done = answer.success().is_some();
            assert!(done || codes.contains(&answer.code().as_str()), "{path}: {answer:?}");
            moved.fetch_add(usize::from(done && number < 20), Ordering::Relaxed);
        });
        assert_eq!(admin.refused(DESCRIBE, named(&key)), "KMS.9001");
        let store = &service.app().store;
        assert_eq!(store.scan::<Alias>(0, |alias| alias.key == id(&key)).unwrap().total, 0);
        let of_other = admin.ok("/keyName/listAliasByUuid", named(&other))["totalCount"].clone();
        assert_eq!(of_other, moved.into_inner(), "a name that was moved in time is kept");
        assert_eq!(
            records(&admin, "destroyKey")
                .iter()
                .filter(|record| record["resourceIds"][0] == key && record["errorCode"].is_null())
                .count(),
            1
        );
    }
}

/// What the store holds of a key: itself, its names, its stone, the event, and whether it has figures.
fn held(service: &Service, key: &Value, version: &Value) -> (bool, u64, u64, u64, bool) {
    let (store, id) = (&service.app().store, id(key));
    let version = serde_json::from_value(version.clone()).unwrap();
    (
        store.get::<Key>(&id).unwrap().is_some(),
        store.scan::<Alias>(0, |alias| alias.key == id).unwrap().total,
        store.scan::<Tombstone>(0, |stone| stone.id == id).unwrap().total,
        store
            .scan::<Event>(0, |event| event.key == Some(id) && event.what == Occurrence::KeyDestroyed)
            .unwrap()
            .total,
        store.uses(id, version).unwrap().count > 0,
    )
}

#[test]
fn a_disk_that_fails_at_any_operation_leaves_a_key_whole_or_gone() {
    const WHOLE: (bool, u64, u64, u64, bool) = (true, 3, 0, 0, true);
    const GONE: (bool, u64, u64, u64, bool) = (false, 0, 1, 1, false);
    let disk = FaultyDisk::new();
    let service = Service::start_on(temporary(), disk.disk(), |config| {
        config.cron.tick_seconds = 3600;
        config.store.reopen_milliseconds = 1;
    });
    let admin = service.admin();
    let (mut places, mut done) = (0, 0);
    for fault in FAULTS {
        for at in 0..1000 {
            let key = admin.ok(CREATE, json!({}));
            let (version, key) = (key["primaryKeyVersion"].clone(), key["cmkUuid"].clone());
            for _ in 0..3 {
                let name = format!("alias/{}", crate::kit::new_id());
                admin.ok("/keyName/createAlias", json!({"cmkUuid": key, "aliasName": name}));
            }
            seal(&admin, &key);
            admin.ok(SCHEDULE, in_days(&key, 7));
            service.clock.advance(7 * DAY);
            assert_eq!(held(&service, &key, &version), WHOLE);
            disk.arm(at, fault);
            let outcome = destroy(&service, &key);
            let hit = disk.heal();
            poll("a service that is ready again", || {
                // The scheduler does this at every tick.
                service.app().store.tend();
                let answer = admin.call("/system/describeSystem", json!({}));
                (service.app().store.is_healthy() && answer.success().is_some()).then_some(())
            });
            let found = held(&service, &key, &version);
            match &outcome {
                Ok(()) => assert_eq!(found, GONE, "{fault:?} at {at}"),
                Err(_) => assert!(found == WHOLE || found == GONE, "{fault:?} at {at}: {found:?}"),
            }
            let gone = admin.call(DESCRIBE, named(&key)).success().is_none();
            assert_eq!(gone, found == GONE, "{fault:?} at {at}: what is published is what is stored");
            if !gone {
                destroy(&service, &key).unwrap();
                assert_eq!(held(&service, &key, &version), GONE);
            }
            assert!(service.app().store.count(&Erasure::all()).unwrap() > 0);
            if hit.is_none() {
                break;
            }
            places += 1;
            done += usize::from(outcome.is_err() && gone);
        }
    }
    figure("destructions_under_faults", format!("{places} places, {done} done behind an error, 0 half"), "");
    assert!(places > 20, "{places} places");
    assert_eq!(crate::audit_proof::check(&admin), None, "the trail is whole");
}

/// The real program, a demo, killed at any moment on its way over the ends of windows and through the rolls behind them.
#[test]
fn a_kill_amid_destructions_leaves_every_key_whole_or_gone() {
    const KEYS: usize = 8;
    let home = Home::new();
    assert!(home.run(&["init", "--demo"]).status.success());
    let start = || {
        let mut command = home.command(&["serve"]);
        command.env("YAOKU_ERASURE_DELAY_SECONDS", "0").env("YAOKU_CRON_TICK_SECONDS", "1");
        for class in ["KEY_CREATE", "KEY_WRITE", "KEY_READ", "OTHER_READ", "OTHER_WRITE"] {
            command.env(format!("YAOKU_RATES_{class}_OPENAPI"), "100000");
        }
        let (program, ready) = home.serve_by(command);
        let first = home.first();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let admin = OpenApi {
            endpoint: text(&ready["openapi"]),
            access_key: text(&first["openapi"]["accessKey"]),
            secret_key: text(&first["openapi"]["secretKey"]),
            clock: yaoku::env::Clock::system(),
            agent: agent(),
        };
        (program, admin)
    };
    let (mut program, mut admin) = start();
    let survivor = made(&admin, json!({}));
    let sealed = seal(&admin, &survivor);
    let mut random = fastrand::Rng::with_seed(7);
    let (mut ended, mut kills) = (BTreeSet::new(), 0);
    for round in 0..rounds(6, 200) {
        let keys: Vec<Value> = (0..KEYS)
            .map(|number| {
                let key = made(&admin, json!({"aliasName": format!("alias/{round}-{number}-a")}));
                let more = json!({"cmkUuid": key, "aliasName": format!("alias/{round}-{number}-b")});
                admin.ok("/keyName/createAlias", more);
                admin.ok(SCHEDULE, in_days(&key, 7 + number as u64));
                key
            })
            .collect();
        let moment = Duration::from_millis(random.u64(0..400));
        std::thread::scope(|scope| {
            let moving = &admin;
            scope.spawn(move || moving.try_call("/system/advanceTime", &json!({"seconds": 15 * 86_400})));
            std::thread::sleep(moment);
            program.kill();
        });
        kills += 1;
        (program, admin) = start();
        let mut gone = 0;
        for (number, key) in keys.iter().enumerate() {
            let stone = admin.ok(super::DESTROYED, named(key));
            let alias = |end: &str| {
                let name = json!({"cmkUuid": format!("alias/{round}-{number}-{end}")});
                admin.call(DESCRIBE, name).success().is_some()
            };
            let there = admin.call(DESCRIBE, named(key)).success().is_some();
            let parts = (there, alias("a"), alias("b"), stone["totalCount"] == 0);
            assert!(parts == (true, true, true, true) || parts == (false, false, false, false), "{parts:?}");
            gone += usize::from(!there);
        }
        ended.insert(gone);
        opens(&admin, &sealed);
        // The rest goes, and nothing is owed in the end.
        admin.ok("/system/advanceTime", json!({"seconds": 16 * 86_400}));
        assert_eq!(stones(&admin).len(), usize::min(100, (round + 1) * KEYS));
        poll("the erasure", || stones(&admin).iter().all(|stone| stone["erased"] == true).then_some(()));
        opens(&admin, &sealed);
        admin.ok("/keyCompute/encrypt", json!({"cmkUuid": survivor, "plaintext": base64("new")}));
    }
    assert_eq!(crate::audit_proof::check(&admin), None, "the trail is whole");
    figure("kills_amid_destructions", format!("{kills} kills, destroyed by then {ended:?}, 0 half"), "");
    program.stop();
}
