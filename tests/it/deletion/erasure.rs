//! Destruction is real: what a copy of the database still holds of a destroyed key opens nowhere, and what was not destroyed
//! opens as before.

use std::fs;
use std::time::Duration;

use firmware_sim::{Fault, PartitionId, Rewrap, WrappedKey};
use serde_json::{Value, json};
use yaoku::ids::KeyId;
use yaoku::model::erasure::Erasure;
use yaoku::model::key::Key;

use super::{
    DAY, DECRYPT, DESCRIBE, SCHEDULE, destroy, gone, in_days, made, named, opens, records, seal, stone,
};
use crate::kit::{OpenApi, Service, poll};
use crate::material::{DELETE, IMPORT, Way, external};

const ROLL: &str = "/system/rollWrappingKey";

/// Lets the delay of erasures go by, and waits until nothing is owed.
fn settle(service: &Service) {
    let delay = service.config.erasure.delay_seconds;
    service.clock.advance(Duration::from_secs(delay));
    poll("the settling of what is owed", || (owed(service) == 0).then_some(()));
}

fn owed(service: &Service) -> u64 {
    service.app().store.count(&Erasure::all()).unwrap()
}

fn wrapped(service: &Service, key: &Value) -> Vec<WrappedKey> {
    let id: KeyId = serde_json::from_value(key.clone()).unwrap();
    let key: Key = service.app().store.get(&id).unwrap().unwrap();
    key.wrapped_keys().cloned().collect()
}

fn fault(service: &Service, wrapped: &WrappedKey) -> Option<Fault> {
    let partition = PartitionId(wrapped.header().partition.0);
    service.app().machine.device().run(partition, Rewrap { key: wrapped.clone() }).err()
}

/// A key of each kind that the machine makes.
fn of_each_kind(person: &OpenApi) -> Vec<Value> {
    let requests = [
        json!({}),
        json!({"protectionLevel": "HSM"}),
        json!({"keySpec": "Ctyun_SM4"}),
        json!({"keySpec": "RSA_2048"}),
        json!({"keySpec": "Ctyun_SM2", "keyUsage": "SIGN/VERIFY"}),
    ];
    requests.map(|request| made(person, request)).to_vec()
}

#[test]
fn a_wrapped_key_copied_before_its_destruction_opens_nowhere_after_it() {
    let mut service = Service::start();
    let admin = service.admin();
    let (doomed, kept) = (of_each_kind(&admin), of_each_kind(&admin));
    let (lost, saved): (Vec<_>, Vec<_>) =
        (0..3).map(|at| (seal(&admin, &doomed[at]), seal(&admin, &kept[at]))).unzip();
    let copies: Vec<WrappedKey> = doomed.iter().flat_map(|key| wrapped(&service, key)).collect();
    assert!(copies.len() == 5 && copies.iter().all(|copy| fault(&service, copy).is_none()));
    service.stop();
    let file = service.config.data.join("yaoku.redb");
    let before = fs::read(&file).unwrap();
    service.restart();
    let admin = service.admin();
    destroy(&service, &admin, &doomed.iter().collect::<Vec<_>>());
    for key in &doomed {
        assert_eq!(stone(&admin, key)["erased"], false, "its copies still open");
    }
    assert!(copies.iter().all(|copy| fault(&service, copy).is_none()));
    settle(&service);
    for key in &doomed {
        assert_eq!(stone(&admin, key)["erased"], true);
    }
    // The copy itself, given to the machine of now; then the whole database of before beside that machine.
    for copy in &copies {
        assert!(
            matches!(fault(&service, copy), Some(Fault::RetiredGeneration)),
            "{:?}",
            fault(&service, copy)
        );
    }
    saved.iter().for_each(|ciphertext| opens(&admin, ciphertext));
    service.stop();
    let now = fs::read(&file).unwrap();
    fs::write(&file, before).unwrap();
    service.restart();
    let admin = service.admin();
    for (key, ciphertext) in doomed.iter().zip(&lost) {
        assert_eq!(admin.ok(DESCRIBE, named(key))["keyState"], "Enabled", "the old database knows it");
        assert_eq!(admin.refused(DECRYPT, json!({"ciphertextBlob": ciphertext})), "KMS.9071");
    }
    service.stop();
    fs::write(&file, now).unwrap();
    service.restart();
    let admin = service.admin();
    saved.iter().for_each(|ciphertext| opens(&admin, ciphertext));
    kept.iter().for_each(|key| drop(admin.ok(DESCRIBE, named(key))));
    assert!(copies.iter().all(|copy| fault(&service, copy).is_some()));
}

#[test]
fn what_is_destroyed_within_the_delay_shares_a_roll() {
    let service = Service::start();
    let admin = service.admin();
    let keys: Vec<Value> = (0..4).map(|_| made(&admin, json!({}))).collect();
    for key in &keys {
        admin.ok(SCHEDULE, in_days(key, 7));
        service.clock.advance(Duration::from_secs(60));
    }
    service.clock.advance(7 * DAY - Duration::from_secs(4 * 60));
    for key in &keys {
        gone(&admin, key);
        assert_eq!(owed(&service), 1);
        service.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(records(&admin, "rollWrappingKey").len(), 0);
    settle(&service);
    for event in ["rollWrappingKey", "finishRoll", "settleErasure"] {
        let records = records(&admin, event);
        assert!(records.len() == 1 && records[0]["errorCode"].is_null(), "{event}: {records:?}");
    }
    let settled = &records(&admin, "settleErasure")[0];
    assert_eq!(settled["accountId"], service.first["accountId"]);
    // What comes later takes a roll of its own; without a debt there is none.
    let later = made(&admin, json!({}));
    destroy(&service, &admin, &[&later]);
    settle(&service);
    assert_eq!(records(&admin, "rollWrappingKey").len(), 2);
    service.clock.advance(30 * DAY);
    destroy(&service, &admin, &[&made(&admin, json!({}))]);
    assert_eq!(records(&admin, "rollWrappingKey").len(), 2);
}

/// All that is destroyed under a generation shares one debt, so one that was dated by a wrong clock would put off the others.
#[test]
fn a_wall_clock_that_is_ahead_puts_no_roll_off() {
    let service = Service::start_with(|config| config.import.spare_wrapping_keys = 1);
    let admin = service.admin();
    let (emptied, doomed) = (external(&admin, "AES_256"), made(&admin, json!({})));
    admin.ok(IMPORT, Way::new(&admin, &emptied, "RSAES_OAEP_SHA_256").body(&[7; 32]));
    admin.ok(SCHEDULE, in_days(&doomed, 7));
    let right = service.clock.now();
    service.clock.set(right.after(1000 * DAY));
    service.first_application().ok(DELETE, named(&emptied));
    service.clock.set(right);
    settle(&service);
    service.clock.advance(7 * DAY);
    gone(&admin, &doomed);
    settle(&service);
    assert_eq!(stone(&admin, &doomed)["erased"], true);
}

#[test]
fn a_clock_that_is_confirmed_after_it_ran_ahead_puts_no_roll_off() {
    let mut service = Service::start_with(|config| config.import.spare_wrapping_keys = 1);
    let key = external(&service.admin(), "AES_256");
    let way = Way::new(&service.admin(), &key, "RSAES_OAEP_SHA_256");
    service.admin().ok(IMPORT, way.body(&[7; 32]));
    let ahead = Duration::from_secs(20 * 60);
    service.restart_at(service.clock.now().after(ahead));
    service.admin().ok(DELETE, named(&key));
    service.clock.set(service.clock.now().before(ahead));
    service.admin().ok("/system/confirmClock", json!({}));
    settle(&service);
}

#[test]
fn a_tenants_destruction_rolls_its_own_partition_alone() {
    let service = Service::start();
    let (second, _) = service.tenant();
    let mine = made(&service.admin(), json!({}));
    let before = wrapped(&service, &mine);
    destroy(&service, &second, &[&made(&second, json!({}))]);
    settle(&service);
    assert_eq!(before, wrapped(&service, &mine), "not rewrapped");
    for event in ["rollWrappingKey", "settleErasure", "destroyKey"] {
        assert_eq!(records(&second, event).len(), 1, "{event}");
    }
    assert_eq!(records(&second, "rollWrappingKey")[0]["principalType"], "SYSTEM");
}

/// An administrator who rolls before the appliance does has done its work.
#[test]
fn a_roll_by_hand_settles_what_is_owed() {
    let service = Service::start();
    let admin = service.admin();
    destroy(&service, &admin, &[&made(&admin, json!({}))]);
    assert_eq!(owed(&service), 1);
    admin.ok(ROLL, json!({"instanceId": service.first["instanceId"]}));
    poll("the end of the roll", || records(&admin, "finishRoll").first().map(drop));
    settle(&service);
    assert_eq!(records(&admin, "rollWrappingKey").len(), 1);
}

/// Restarts after every step that the appliance takes by itself.
#[test]
fn an_erasure_goes_on_after_a_restart_at_any_point() {
    let mut service = Service::start();
    let admin = service.admin();
    let keys: Vec<Value> = (0..3).map(|_| made(&admin, json!({}))).collect();
    let ciphertext = seal(&admin, &keys[2]);
    keys[..2].iter().for_each(|key| drop(admin.ok(SCHEDULE, in_days(key, 7))));
    service.clock.advance(8 * DAY);
    let steps = ["destroyKey", "rollWrappingKey", "rewrapKey", "finishRoll", "settleErasure"];
    let taken = |service: &Service| -> usize {
        let admin = service.admin();
        steps.iter().map(|event| records(&admin, event).len()).sum()
    };
    let mut restarts = 0;
    for _ in 0..50 {
        let before = taken(&service);
        service.restart();
        restarts += 1;
        if stone_count(&service) == 2 && owed(&service) == 0 {
            break;
        }
        // Moves on, unless it did so within the restart.
        service.clock.advance(Duration::from_secs(service.config.erasure.delay_seconds));
        poll("the next step", || (taken(&service) > before).then_some(()));
    }
    assert!(restarts > 3, "{restarts} restarts");
    let admin = service.admin();
    keys[..2].iter().for_each(|key| assert_eq!(stone(&admin, key)["erased"], true));
    opens(&admin, &ciphertext);
    for event in steps {
        let failed = records(&admin, event).into_iter().filter(|record| !record["errorCode"].is_null());
        assert_eq!(failed.count(), 0, "{event}");
    }
    assert_eq!(records(&admin, "destroyKey").len(), 2);
    assert_eq!(records(&admin, "rollWrappingKey").len(), 1);
    assert_eq!(records(&admin, "settleErasure").len(), 1);
}

fn stone_count(service: &Service) -> usize {
    super::stones(&service.admin()).len()
}

#[test]
fn material_that_is_deleted_or_expires_is_erased_too() {
    let mut service = Service::start_with(|config| config.import.spare_wrapping_keys = 2);
    let admin = service.admin();
    let [deleted, expired, kept] = [(); 3].map(|()| external(&admin, "AES_256"));
    let ways = [&deleted, &expired, &kept].map(|key| Way::new(&admin, key, "RSAES_OAEP_SHA_256"));
    let ends = service.clock.now().after(2 * DAY).seconds();
    for (way, material) in ways.iter().zip([7, 8, 9]) {
        let mut body = way.body(&[material; 32]);
        if way.key == expired {
            body["keyMaterialExpireUnix"] = json!(ends);
        }
        admin.ok(IMPORT, body);
    }
    let ciphertexts = [&deleted, &expired, &kept].map(|key| seal(&admin, key));
    service.stop();
    let file = service.config.data.join("yaoku.redb");
    let before = fs::read(&file).unwrap();
    service.restart();
    let admin = service.admin();
    admin.ok(DELETE, named(&deleted));
    assert_eq!(owed(&service), 1);
    // Nothing was there the second time.
    admin.ok(DELETE, named(&deleted));
    settle(&service);
    assert_eq!(records(&admin, "rollWrappingKey").len(), 1);
    service.clock.advance(2 * DAY);
    poll("the end of the material", || {
        records(&admin, "expireKeyMaterial").iter().any(|record| record["errorCode"].is_null()).then_some(())
    });
    settle(&service);
    assert_eq!(records(&admin, "rollWrappingKey").len(), 2);
    opens(&admin, &ciphertexts[2]);

    service.stop();
    fs::write(&file, before).unwrap();
    service.restart();
    let admin = service.admin();
    // By its clock the third is still there, but nothing of then opens.
    for ciphertext in [&ciphertexts[0], &ciphertexts[2]] {
        assert_eq!(admin.refused(DECRYPT, json!({"ciphertextBlob": ciphertext})), "KMS.9071");
    }
}

/// Material from outside may be away when its key is destroyed: the stone does not say erased before it is true.
#[test]
fn a_stone_of_a_key_whose_material_was_away_waits_for_a_roll() {
    let service = Service::start_with(|config| config.import.spare_wrapping_keys = 2);
    let admin = service.admin();
    let key = external(&admin, "AES_256");
    admin.ok(IMPORT, Way::new(&admin, &key, "RSAES_OAEP_SHA_256").body(&[7; 32]));
    let copies = wrapped(&service, &key);
    admin.ok(DELETE, named(&key));
    destroy(&service, &admin, &[&key]);
    poll("the erasure", || {
        let erased = stone(&admin, &key)["erased"] == true;
        let opening = copies.iter().filter(|copy| fault(&service, copy).is_none()).count();
        assert!(!erased || opening == 0, "{opening} copies open");
        service.clock.advance(Duration::from_secs(60));
        erased.then_some(())
    });
}

/// Keys without a service lie in a partition of their account, which is rolled like those of services.
#[test]
fn keys_on_demand_are_erased_and_default_keys_beside_them_go_on() {
    let service = Service::start();
    let admin = service.admin();
    let account = admin.ok("/account/createAccount", json!({"name": "third", "onDemandKeys": true}));
    let third = service.person(&account);
    let on_demand = || made(&third, json!({"instanceId": "on-demand"}));
    let (doomed, kept, of_service) = (on_demand(), on_demand(), made(&third, json!({})));
    let product = service.product(&third, "ecs");
    let default = third.ok("/cmkManage/createDefaultKey", json!({"serviceCode": "ecs"}))["cmkUuid"].clone();
    let ciphertexts = [seal(&third, &kept), seal(&third, &of_service)];
    let of_product = seal(&product, &default);
    let copies = wrapped(&service, &doomed);
    let before = wrapped(&service, &of_service);
    destroy(&service, &third, &[&doomed]);
    assert_eq!(stone(&third, &doomed)["erased"], false);
    settle(&service);
    let found = stone(&third, &doomed);
    assert_eq!((&found["erased"], &found["instanceId"]), (&json!(true), &json!("on-demand")));
    assert!(matches!(fault(&service, &copies[0]), Some(Fault::RetiredGeneration)));
    assert_eq!(before, wrapped(&service, &of_service), "another partition");
    ciphertexts.iter().for_each(|ciphertext| opens(&third, ciphertext));
    opens(&product, &of_product);
    for event in ["rollWrappingKey", "finishRoll", "settleErasure"] {
        let records = records(if event == "finishRoll" { &admin } else { &third }, event);
        assert!(records.len() == 1 && records[0]["errorCode"].is_null(), "{event}: {records:?}");
    }
    // By hand as well.
    admin.ok(ROLL, json!({"accountId": account["accountId"]}));
    poll("the end of the roll", || (records(&admin, "finishRoll").len() == 2).then_some(()));
    opens(&third, &ciphertexts[0]);
    opens(&product, &of_product);
}

#[test]
fn an_administrator_may_name_the_partition_of_an_account() {
    let service = Service::start();
    let admin = service.admin();
    let (second, account) = service.tenant();
    let of_account = json!({"accountId": account["accountId"]});
    assert_eq!(second.refused(ROLL, of_account.clone()), "KMS.9044");
    assert_eq!(admin.refused(ROLL, of_account), "KMS.9005", "it has no key without a service");
    assert_eq!(admin.refused(ROLL, json!({"accountId": "0".repeat(32)})), "KMS.9005");
    let both = json!({"accountId": account["accountId"], "instanceId": account["instanceId"]});
    assert_eq!(admin.refused(ROLL, both), "KMS.9020");
    assert_eq!(admin.refused(ROLL, json!({"accountId": account["accountId"], "device": true})), "KMS.9020");
}
