//! What outlives a restart, a kill and a roll of wrapping keys; and what a roll ends.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};
use yaoku::env::Clock;

use super::{DELETE, IMPORT, MATERIAL, OAEP, opens, seal, service, shut, state, with_material};
use crate::kit::{OpenApi, Service, agent, poll};
use crate::material::{ALGORITHMS, Way, external};
use crate::program::Home;

const ROLL: &str = "/system/rollWrappingKey";

#[test]
fn tokens_outlive_a_restart() {
    let mut service = service();
    let way = Way::new(&service.admin(), &external(&service.admin(), "AES_256"), OAEP);
    service.restart();
    service.admin().ok(IMPORT, way.body(&MATERIAL));
    let sealed = seal(&service.admin(), &way.key);
    service.restart();
    opens(&service.admin(), &sealed);
    assert_eq!(service.admin().refused(IMPORT, way.body(&[7; 32])), "KMS.9022");
}

/// The real program, killed between the steps: whatever it acknowledged is there.
#[test]
fn tokens_failures_and_material_outlive_a_kill() {
    let home = Home::new();
    let start = || {
        let mut command = home.command(&["serve"]);
        command.env("YAOKU_IMPORT_SPARE_WRAPPING_KEYS", "1");
        let (program, ready) = home.serve_by(command);
        let first = home.first();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let admin = OpenApi {
            endpoint: text(&ready["openapi"]),
            access_key: text(&first["openapi"]["accessKey"]),
            secret_key: text(&first["openapi"]["secretKey"]),
            clock: Clock::system(),
            agent: agent(),
        };
        (program, admin)
    };
    let (program, admin) = start();
    let key = external(&admin, "AES_256");
    let way = Way::new(&admin, &key, ALGORITHMS[0]);
    program.kill();
    let (program, admin) = start();
    for _ in 0..4 {
        assert_eq!(admin.refused(IMPORT, way.body(&[7; 31])), "KMS.9022");
    }
    program.kill();
    let (program, admin) = start();
    admin.ok(IMPORT, way.body(&MATERIAL));
    program.kill();
    let (program, admin) = start();
    let sealed = seal(&admin, &key);
    assert_eq!(admin.refused(IMPORT, way.body(&[7; 31])), "KMS.9022");
    program.kill();
    let (program, admin) = start();
    assert_eq!(admin.refused(IMPORT, way.body(&MATERIAL)), "KMS.9023", "the fifth failure spent it");
    admin.ok(DELETE, json!({"cmkUuid": key}));
    program.kill();
    let (program, admin) = start();
    assert_eq!(shut(&admin, &sealed), "KMS.9012");
    admin.ok(IMPORT, Way::new(&admin, &key, OAEP).body(&MATERIAL));
    opens(&admin, &sealed);
    program.stop();
}

fn roll(service: &Service) {
    let admin = service.admin();
    admin.ok(ROLL, json!({"instanceId": service.first["instanceId"]}));
    poll("the end of the roll", || {
        (admin.ok("/system/describeSystem", json!({}))["rolls"] == json!([])).then_some(())
    });
}

/// Tokens from before a roll still serve, and so does material; deleted material is gone with the old generation, whatever
/// copies of the database there are.
#[test]
fn a_roll_keeps_tokens_and_material_and_ends_what_was_deleted() {
    let mut service = service();
    let admin = service.admin();
    let kept = with_material(&admin);
    let sealed = seal(&admin, &kept.key);
    let waiting = Way::new(&admin, &external(&admin, "Ctyun_SM4"), ALGORITHMS[0]);
    let deleted = with_material(&admin);
    let lost = seal(&admin, &deleted.key);
    service.stop();
    let file = service.config.data.join("yaoku.redb");
    let before = fs::read(&file).unwrap();
    service.restart();
    service.admin().ok(DELETE, json!({"cmkUuid": deleted.key}));
    for _ in 0..2 {
        roll(&service);
        service.restart();
        let admin = service.admin();
        opens(&admin, &sealed);
        admin.ok(IMPORT, kept.body(&MATERIAL));
        admin.ok(IMPORT, waiting.body(&MATERIAL[..16]));
        assert_eq!(state(&admin, &waiting.key), "Enabled");
        assert_eq!(shut(&admin, &lost), "KMS.9012");
    }
    // The binding does not hang from what rolls.
    let again = Way::new(&service.admin(), &deleted.key, OAEP);
    assert_eq!(service.admin().refused(IMPORT, again.body(&[7; 32])), "KMS.9022");

    // An old copy of the database beside the machine of now: the deleted material is listed there, and does not open.
    service.stop();
    fs::write(&file, before).unwrap();
    service.restart();
    let admin = service.admin();
    assert_eq!(state(&admin, &deleted.key), "Enabled");
    assert_eq!(shut(&admin, &lost), "KMS.9071");
    assert_eq!(admin.refused(IMPORT, deleted.body(&MATERIAL)), "KMS.9071", "nor does its token");
}

/// What the machine holds ready of deleted material goes with it: the very bytes, put back, have to be unwrapped again.
#[test]
fn deleted_material_and_spent_tokens_are_not_held_ready() {
    let service = service();
    let admin = service.admin();
    let way = with_material(&admin);
    seal(&admin, &way.key);
    let held = |service: &Service| service.app().machine.device().keys_ready();
    let before = held(&service);
    admin.ok(DELETE, json!({"cmkUuid": way.key}));
    assert_eq!(held(&service), before - 1, "the material");
    for _ in 0..5 {
        assert_eq!(admin.refused(IMPORT, way.body(&[7; 32])), "KMS.9022");
    }
    assert_eq!(held(&service), before - 2, "the wrapping key of a spent token");
}

/// Imports, deletions and new tokens amid rolls: whatever was acknowledged is wrapped by what the machine still has.
#[test]
fn imports_amid_rolls_lose_nothing() {
    let service = service();
    let admin = service.admin();
    let ways: Vec<Way> = (0..4).map(|_| with_material(&admin)).collect();
    let sealed: Vec<Value> = ways.iter().map(|way| seal(&admin, &way.key)).collect();
    let (stopped, imports) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for way in &ways {
            let (admin, stopped, imports) = (&admin, &stopped, &imports);
            scope.spawn(move || {
                // Bounded, so that a test that fails also ends.
                for _ in 0..5_000 {
                    if stopped.load(Ordering::Acquire) {
                        break;
                    }
                    for (path, body) in [(IMPORT, way.body(&MATERIAL)), (DELETE, json!({"cmkUuid": way.key}))]
                    {
                        let answer = admin.call(path, body);
                        assert!(answer.success().is_some() || answer.code() == "KMS.9071", "{answer:?}");
                        imports.fetch_add(usize::from(answer.success().is_some()), Ordering::Relaxed);
                    }
                }
            });
        }
        let late = external(&admin, "AES_256");
        for round in 1..=3 {
            poll("imports", || (imports.load(Ordering::Relaxed) > 20 * round).then_some(()));
            let way = Way::new(&admin, &late, OAEP);
            roll(&service);
            admin.ok(IMPORT, way.body(&MATERIAL));
        }
        stopped.store(true, Ordering::Release);
    });
    for (way, sealed) in ways.iter().zip(&sealed) {
        admin.ok(IMPORT, way.body(&MATERIAL));
        opens(&admin, sealed);
    }
}
