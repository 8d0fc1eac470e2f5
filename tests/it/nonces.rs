//! Salts, nonces and keys of encryptions are the machine's own: no caller chooses one, and no copy of a service repeats one.
//! That none repeats in one machine is shown in the tests of `firmware-sim`.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::kit::{Service, base64, temporary, unbase64};
use crate::wrapping_key::copy;

const ENCRYPT: &str = "/keyCompute/encrypt";
const DECRYPT: &str = "/keyCompute/decrypt";
/// The bytes of a frame that are drawn: its salt (contract section 1.3).
const SALT: std::ops::Range<usize> = 105..121;
/// Encryptions under one key version after which a salt of 128 bits repeats with a chance of 2^-33.
const ENCRYPTIONS_MAX: u64 = 1 << 48;

#[test]
fn no_caller_chooses_a_nonce() {
    let service = Service::start();
    let key = service.admin().ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
    let mut seen = HashSet::new();
    for (plane, call) in service.planes() {
        let plain = json!({"cmkUuid": key, "plaintext": base64("the same")});
        for field in ["nonce", "iv", "salt", "Nonce", "IV", "aad", "messageKey"] {
            let mut body = plain.clone();
            body[field] = json!(base64([7; 12]));
            for _ in 0..2 {
                // A field that no operation has is passed over, and changes nothing.
                let sealed = call(ENCRYPT, body.clone()).result();
                let frame = unbase64(&sealed["ciphertextBlob"]);
                assert!(seen.insert(frame[SALT].to_vec()), "{plane}: {field}");
                let opened = call(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]})).result();
                assert_eq!(unbase64(&opened["plaintext"]), b"the same", "{plane}: {field}");
            }
        }
    }
}

/// As after a snapshot of a virtual machine: the same data, the same clock, the same calls.
#[test]
fn a_copied_service_draws_other_salts() {
    let mut service = Service::start();
    let key = service.admin().ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
    service.stop();
    let directory = temporary();
    copy(&service.config.data, &directory.path().join("data"));
    let mut other = Service::stopped_on(directory, yaoku::env::Disk::System, |_| {});
    service.restart();
    other.restart();
    let body = json!({"cmkUuid": key, "plaintext": base64("the same")});
    let mut salts = HashSet::new();
    for service in [&service, &other] {
        for _ in 0..100 {
            let sealed = service.admin().ok(ENCRYPT, body.clone());
            assert!(salts.insert(unbase64(&sealed["ciphertextBlob"])[SALT].to_vec()));
        }
    }
    println!("figure salts that two copies of a service share = {} of {}", 200 - salts.len(), salts.len());
}

#[test]
fn what_a_key_version_has_left_is_known() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok("/cmkManage/createKey", json!({}));
    let body = json!({"cmkUuid": key["cmkUuid"], "plaintext": base64("counted")});
    for _ in 0..50 {
        admin.ok(ENCRYPT, body.clone());
    }
    let version = json!({"cmkUuid": key["cmkUuid"], "keyVersionId": key["primaryKeyVersion"]});
    let described: Value = admin.ok("/versionControl/describeKeyVersion", version);
    let used = described["useCount"].as_u64().unwrap();
    assert_eq!(used, 50);
    println!("figure encryptions left per key version = {} of 2^48", ENCRYPTIONS_MAX - used);
}
