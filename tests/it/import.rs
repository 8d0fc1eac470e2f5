//! Bringing one's own key: what comes in, in which states, and what a key is then.

mod binding;
mod failures;
mod keeping;
mod recipe;
mod time;
mod tokens;

use serde_json::{Value, json};
use yaoku::model::key::KeyState;

use crate::kit::{OpenApi, START, Service, base64, poll, unbase64};
use crate::material::{ALGORITHMS, DELETE, IMPORT, PARAMETERS, Way, asked, external};
use crate::planted::set_state;
use crate::witness::open_frame;

const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const DISABLE: &str = "/cmkManage/disableKey";
const ENCRYPT: &str = "/keyCompute/encrypt";
const DECRYPT: &str = "/keyCompute/decrypt";
const VERSIONS: &str = "/versionControl/listKeyVersions";
const OAEP: &str = "RSAES_OAEP_SHA_256";
const MATERIAL: [u8; 32] = [0x17; 32];

/// A service that keeps wrapping keys ready.
fn service() -> Service {
    Service::start_with(|config| config.import.spare_wrapping_keys = 2)
}

/// A key with the usual material.
fn with_material(person: &OpenApi) -> Way {
    let way = Way::new(person, &external(person, "AES_256"), OAEP);
    person.ok(IMPORT, way.body(&MATERIAL));
    way
}

fn describe(person: &OpenApi, key: &Value) -> Value {
    person.ok(DESCRIBE, json!({"cmkUuid": key}))
}

fn state(person: &OpenApi, key: &Value) -> String {
    describe(person, key)["keyState"].as_str().unwrap().to_owned()
}

fn seal(person: &OpenApi, key: &Value) -> Value {
    person.ok(ENCRYPT, json!({"cmkUuid": key, "plaintext": base64("kept")}))
}

fn opens(person: &OpenApi, sealed: &Value) {
    let opened = person.ok(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
    assert_eq!(unbase64(&opened["plaintext"]), b"kept");
    assert_eq!(opened["keyVersionId"], sealed["keyVersionId"]);
}

/// The code with which a ciphertext does not open.
fn shut(person: &OpenApi, sealed: &Value) -> String {
    person.refused(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]}))
}

fn records(person: &OpenApi, event: &str) -> Vec<Value> {
    let page = person.ok("/audit/queryAudit", json!({"eventName": event, "pageSize": 100}));
    page["records"].as_array().unwrap().clone()
}

/// Another program opens what the service encrypted with the very bytes that were imported.
#[test]
fn every_algorithm_brings_the_very_bytes_to_both_kinds_of_key() {
    let service = service();
    let (admin, application) = (service.admin(), service.first_application());
    for (number, (spec, bytes)) in [("AES_256", 32), ("Ctyun_SM4", 16)].into_iter().enumerate() {
        for algorithm in ALGORITHMS {
            let material: Vec<u8> = (0..bytes).map(|byte| byte * 7 + number as u8).collect();
            let key = external(&admin, spec);
            let waiting = describe(&admin, &key);
            assert_eq!(
                (&waiting["keyState"], &waiting["origin"]),
                (&json!("PendingImport"), &json!("External"))
            );
            assert_eq!(waiting["materialExpireTime"], "");
            assert!(waiting.get("primaryKeyVersion").is_none());
            let plaintext = json!({"cmkUuid": key, "plaintext": base64("kept")});
            assert_eq!(admin.refused(ENCRYPT, plaintext.clone()), "KMS.9012");
            let way = Way::new(&admin, &key, algorithm);
            let imported = application.ok(IMPORT, way.body(&material));
            assert_eq!(imported, json!({"cmkUuid": key, "keyState": "Enabled", "materialExpireTime": ""}));
            let sealed = application.ok(ENCRYPT, plaintext);
            let account = &service.first["accountId"];
            let clear = hex::encode(&material);
            let opened = open_frame(spec, &clear, account, &sealed["ciphertextBlob"], &json!({}));
            assert_eq!(unbase64(&opened.expect("the imported bytes open it")["plaintext"]), b"kept");
            let now = describe(&admin, &key);
            assert_eq!(now["primaryKeyVersion"], sealed["keyVersionId"]);
            assert_eq!((&now["keyState"], &now["materialExpireTime"]), (&json!("Enabled"), &json!("")));
            let versions = admin.ok(VERSIONS, json!({"cmkUuid": key}));
            assert_eq!(
                (&versions["totalCount"], &versions["keyVersions"][0]["isPrimary"]),
                (&json!(1), &json!(true))
            );
        }
    }
}

#[test]
fn parameters_are_a_public_key_and_a_token_for_a_day() {
    let service = service();
    let admin = service.admin();
    let key = external(&admin, "AES_256");
    poll("a wrapping key", || (service.app().machine.device().spare_keys() > 1).then_some(()));
    let mut request = asked(&key, OAEP);
    request["clientToken"] = json!("once");
    let given = service.first_application().ok(PARAMETERS, request.clone());
    assert_eq!((&given["cmkUuid"], &given["tokenExpireTime"]), (&key, &json!("2026-11-03T00:00:00Z")));
    // SubjectPublicKeyInfo of 2048 bits with the exponent 65537.
    let public = unbase64(&given["publicKey"]);
    assert_eq!(
        (public.len(), &public[..4], &public[289..]),
        (294, &[0x30, 0x82, 1, 0x22][..], &[2, 3, 1, 0, 1][..])
    );
    assert_eq!(unbase64(&given["importToken"]).len(), 16);
    assert_eq!(
        service.first_application().ok(PARAMETERS, request),
        given,
        "a clientToken returns the first result"
    );
    let other = Way::new(&admin, &key, OAEP);
    assert_ne!(other.token, given["importToken"]);
    assert_ne!(other.public, public, "each token has a key of its own");
    for (field, value, code) in [
        ("wrappingKeySpec", json!("Ctyun_SM2"), "KMS.9020"),
        ("wrappingKeySpec", Value::Null, "KMS.0121"),
        ("wrappingAlgorithm", json!("RSAES_OAEP_SHA_512"), "KMS.9020"),
        ("wrappingAlgorithm", json!(""), "KMS.0120"),
        ("cmkUuid", Value::Null, "KMS.0102"),
    ] {
        let mut wrong = asked(&key, OAEP);
        wrong[field] = value;
        assert_eq!(admin.refused(PARAMETERS, wrong), code, "{field}");
    }
    let records = records(&admin, "getParametersForImport");
    let read = records.iter().find(|record| record["httpStatus"] == 200).unwrap();
    assert_eq!((&read["resourceType"], &read["resourceIds"]), (&json!("CMK"), &json!([key])));
}

#[test]
fn a_key_whose_material_the_machine_made_takes_no_other() {
    let service = service();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({}))["cmkUuid"].clone();
    let way = with_material(&admin);
    let sealed = seal(&admin, &key);
    let import = Way { key: key.clone(), ..way }.body(&MATERIAL);
    assert_eq!(admin.refused(PARAMETERS, asked(&key, OAEP)), "KMS.9025");
    assert_eq!(admin.refused(IMPORT, import), "KMS.9025");
    assert_eq!(admin.refused(DELETE, json!({"cmkUuid": key})), "KMS.9025");
    opens(&admin, &sealed);
    // And only symmetric keys come from outside; such a key cannot rotate.
    for spec in ["RSA_2048", "Ctyun_SM2"] {
        let request = json!({"origin": "External", "keySpec": spec});
        assert_eq!(admin.refused(CREATE, request), "KMS.9025", "{spec}");
    }
    let policy = json!({"cmkUuid": with_material(&admin).key, "enableAutomaticRotation": false});
    assert_eq!(admin.refused("/versionControl/updateRotationPolicy", policy), "KMS.9025");
}

#[test]
fn material_has_the_length_of_the_key() {
    let service = service();
    let admin = service.admin();
    for (spec, right) in [("AES_256", 32), ("Ctyun_SM4", 16)] {
        let way = Way::new(&admin, &external(&admin, spec), OAEP);
        for length in [right - 1, right + 1, 48 - right, 0] {
            let refused = admin.refused(IMPORT, way.body(&vec![7; length]));
            assert_eq!(refused, "KMS.9022", "{spec} {length}");
        }
        assert_eq!(state(&admin, &way.key), "PendingImport");
        admin.ok(IMPORT, way.body(&vec![7; right]));
    }
}

/// `token` is another name of the field.
#[test]
fn fields_are_named_as_the_contract_says() {
    let service = service();
    let admin = service.admin();
    let way = Way::new(&admin, &external(&admin, "AES_256"), OAEP);
    let right = way.body(&MATERIAL);
    for (field, value, code) in [
        ("importToken", Value::Null, "KMS.0123"),
        ("importToken", json!("fJLDPAsOqE0uZGt29sLOxw"), "KMS.9020"),
        ("token", json!(""), "KMS.0123"),
        ("encryptedKeyMaterial", json!(""), "KMS.0124"),
        ("encryptedKeyMaterial", json!("no Base64"), "KMS.9020"),
        ("keyMaterialExpireUnix", json!(-1), "KMS.9020"),
        ("keyMaterialExpireUnix", json!("soon"), "KMS.9020"),
    ] {
        let mut wrong = right.clone();
        if field == "token" {
            wrong.as_object_mut().unwrap().remove("importToken");
        }
        wrong[field] = value;
        assert_eq!(admin.refused(IMPORT, wrong), code, "{field}");
    }
    let mut synonym = right;
    synonym["token"] = synonym["importToken"].take();
    synonym["keyMaterialExpireUnix"] = json!("0");
    assert_eq!(admin.ok(IMPORT, synonym)["materialExpireTime"], "");
}

/// Contract 4.3, and what each operation does to the state.
#[test]
fn every_state_answers_as_the_contract_says() {
    let mut service = service();
    let admin = service.admin();
    let way = with_material(&admin);
    let (key, id) = (way.key.clone(), json!({"cmkUuid": way.key}));
    // Enabled and imported again, Disabled and imported again.
    assert_eq!(admin.ok(IMPORT, way.body(&MATERIAL))["keyState"], "Enabled");
    admin.ok(DISABLE, id.clone());
    assert_eq!(admin.ok(IMPORT, way.body(&MATERIAL))["keyState"], "Disabled");
    Way::new(&admin, &key, OAEP);
    assert_eq!(admin.ok(DELETE, id.clone()), json!({"cmkUuid": key, "keyState": "PendingImport"}));
    assert_eq!(admin.ok(DELETE, id.clone())["keyState"], "PendingImport", "there is nothing left to delete");
    for path in ["/cmkManage/enableKey", DISABLE] {
        assert_eq!(admin.refused(path, id.clone()), "KMS.9013");
    }
    Way::new(&admin, &key, OAEP);
    assert_eq!(admin.ok(IMPORT, way.body(&MATERIAL))["keyState"], "Enabled");
    set_state(&mut service, &key, KeyState::PendingDeletion { at: START });
    let admin = service.admin();
    let due = describe(&admin, &key);
    assert_eq!(
        (&due["keyState"], &due["deleteDate"]),
        (&json!("PendingDeletion"), &json!("2026-11-02T00:00:00Z"))
    );
    Way::new(&admin, &key, OAEP);
    assert_eq!(admin.refused(IMPORT, way.body(&MATERIAL)), "KMS.9013");
    assert_eq!(admin.ok(DELETE, id)["keyState"], "PendingDeletion");
    let after = describe(&admin, &key);
    assert_eq!(after["deleteDate"], due["deleteDate"]);
    assert!(after.get("primaryKeyVersion").is_none(), "the material is gone all the same");
    assert_eq!(admin.refused(IMPORT, way.body(&MATERIAL)), "KMS.9013");
    let codes: Vec<_> =
        records(&admin, "importKeyMaterial").iter().map(|record| record["errorCode"].clone()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "KMS.9013").count(), 2, "{codes:?}");
}

/// One token after the other takes a wrapping key, and the lane makes another; nobody waits for it.
#[test]
fn an_empty_pool_says_so_and_fills_again() {
    let service = Service::start_with(|config| config.import.spare_wrapping_keys = 1);
    let admin = service.admin();
    let key = external(&admin, "AES_256");
    let device = service.app().machine.device();
    let mut empty = 0;
    for _ in 0..3 {
        poll("a wrapping key", || (device.spare_keys() == 1).then_some(()));
        admin.ok(PARAMETERS, asked(&key, OAEP));
        let answer = admin.call(PARAMETERS, asked(&key, OAEP));
        if answer.success().is_none() {
            assert_eq!(answer.code(), "KMS.9071");
            empty += 1;
        }
    }
    assert!(empty > 0, "no call came before the next key was made");
    let codes = records(&admin, "getParametersForImport");
    assert_eq!(codes.iter().filter(|record| record["errorCode"] == "KMS.9071").count(), empty);
    // None is kept: none is made, and the answer is the same.
    let bare = Service::start();
    let key = external(&bare.admin(), "AES_256");
    assert_eq!(bare.admin().refused(PARAMETERS, asked(&key, OAEP)), "KMS.9071");
}

/// A wrapping key that is missing for another reason than a call comes back by itself.
#[test]
fn the_scheduler_fills_the_pool_as_well() {
    let service = Service::start_with(|config| config.import.spare_wrapping_keys = 1);
    let device = service.app().machine.device();
    poll("a wrapping key", || (device.spare_keys() == 1).then_some(()));
    let taken = firmware_sim::TakeSpareKey {
        name: firmware_sim::KeyName { key: [1; 16], version: [1; 16] },
        custody: firmware_sim::Custody::Hsm,
    };
    device.run(firmware_sim::PartitionId::DEVICE, taken).unwrap();
    assert_eq!(device.spare_keys(), 0);
    poll("another wrapping key", || (device.spare_keys() == 1).then_some(()));
}
