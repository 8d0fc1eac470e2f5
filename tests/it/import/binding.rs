//! The tie between a key and its first material, and between a ciphertext and its key.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    CREATE, DECRYPT, DELETE, IMPORT, MATERIAL, OAEP, VERSIONS, describe, opens, seal, service, shut,
};
use crate::kit::{OpenApi, Service, base64, poll, unbase64};
use crate::ledger::{figure, rounds};
use crate::material::{ALGORITHMS, Way, external};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Bytes of a ciphertext that name its key and version.
const HEAD: usize = 104;

/// Tries to bring other material, as often as a token lets it, by every algorithm; how often it was taken, and tried.
fn accepted(person: &OpenApi, key: &Value) -> (usize, usize) {
    let (mut accepts, mut tries) = (0, 0);
    for algorithm in ALGORITHMS {
        let way = Way::new(person, key, algorithm);
        for bit in [0, 9, 130, 255] {
            let mut other = MATERIAL;
            other[bit / 8] ^= 1 << (bit % 8);
            let answer = person.call(IMPORT, way.body(&other));
            accepts += usize::from(answer.success().is_some());
            assert!(answer.success().is_some() || answer.code() == "KMS.9022", "{answer:?}");
            tries += 1;
        }
    }
    (accepts, tries)
}

/// The first material binds the key: in whatever way it goes, only it comes back, and what it encrypted opens again.
#[test]
fn a_key_takes_its_first_material_only() {
    let mut service = service();
    let admin = service.admin();
    let key = external(&admin, "AES_256");
    admin.ok(IMPORT, Way::new(&admin, &key, OAEP).body(&MATERIAL));
    let (sealed, version) = (seal(&admin, &key), admin.ok(VERSIONS, json!({"cmkUuid": key})));
    let (mut accepts, mut tries) = (0, 0);
    let mut attack = |person: &OpenApi| {
        let (accepted, tried) = accepted(person, &key);
        (accepts, tries) = (accepts + accepted, tries + tried);
    };
    for round in 0..rounds(1, 20) {
        // There, deleted, deleted before a restart, expired.
        attack(&service.admin());
        opens(&service.admin(), &sealed);
        service.admin().ok(DELETE, json!({"cmkUuid": key}));
        attack(&service.admin());
        assert_eq!(shut(&service.admin(), &sealed), "KMS.9012");
        service.restart();
        attack(&service.admin());
        let admin = service.admin();
        let mut soon = Way::new(&admin, &key, OAEP).body(&MATERIAL);
        soon["keyMaterialExpireUnix"] = json!(service.clock.now().seconds() + 60);
        admin.ok(IMPORT, soon);
        opens(&admin, &sealed);
        service.clock.advance(Duration::from_secs(60));
        attack(&admin);
        assert_eq!(shut(&admin, &sealed), "KMS.9012");
        service.clock.advance(DAY);
        let algorithm = ALGORITHMS[round % 3];
        admin.ok(IMPORT, Way::new(&admin, &key, algorithm).body(&MATERIAL));
        opens(&admin, &sealed);
        let mut again = admin.ok(VERSIONS, json!({"cmkUuid": key}));
        for (name, value) in again["keyVersions"][0].as_object_mut().unwrap() {
            let uses = ["useCount", "lastUsedTime"].contains(&name.as_str());
            assert!(uses || *value == version["keyVersions"][0][name], "{name}: {value}");
        }
    }
    figure("import_wrong_material_accepts", format!("{accepts} of {tries}"), "imports");
    println!("wrong-material accepts = {accepts} of {tries}");
    assert_eq!(accepts, 0);
}

/// A version of a key, and a ciphertext that it made.
struct Maker {
    person: OpenApi,
    name: &'static str,
    blob: Vec<u8>,
}

impl Maker {
    fn new(person: &OpenApi, key: &Value, name: &'static str) -> Self {
        Self { person: person.clone(), name, blob: unbase64(&seal(person, key)["ciphertextBlob"]) }
    }
}

/// Keys with the same bytes, in one account and in two, and the versions of one key: what one made opens under no other.
#[test]
fn the_same_bytes_under_two_keys_are_two_keys() {
    let service = service();
    let (admin, (second, _)) = (service.admin(), service.tenant());
    let mut makers = Vec::new();
    for (person, name) in [(&admin, "first"), (&admin, "second"), (&second, "another account's")] {
        for (spec, bytes) in [("AES_256", 32), ("Ctyun_SM4", 16)] {
            let key = external(person, spec);
            person.ok(IMPORT, Way::new(person, &key, OAEP).body(&MATERIAL[..bytes]));
            makers.push(Maker::new(person, &key, name));
        }
    }
    let weekly = json!({"enableAutomaticRotation": true, "rotationInterval": "7d"});
    let rotating = admin.ok(CREATE, weekly);
    makers.push(Maker::new(&admin, &rotating["cmkUuid"], "a version before"));
    service.clock.advance(7 * DAY);
    poll("a rotation", || {
        let now = describe(&admin, &rotating["cmkUuid"]);
        (now["primaryKeyVersion"] != rotating["primaryKeyVersion"]).then_some(())
    });
    makers.push(Maker::new(&admin, &rotating["cmkUuid"], "the version after"));
    let (mut accepts, mut pairs) = (Vec::new(), 0);
    for made in &makers {
        for (other, of) in makers.iter().map(|other| (other, other.blob[..HEAD].to_vec())) {
            if other.blob == made.blob {
                continue;
            }
            pairs += 1;
            let moved = [of.as_slice(), &made.blob[HEAD..]].concat();
            let answer = other.person.call(DECRYPT, json!({"ciphertextBlob": base64(moved)}));
            if answer.success().is_some() {
                accepts.push(format!("{} under {}", made.name, other.name));
            }
            assert!(answer.success().is_some() || answer.code() == "KMS.9028", "{answer:?}");
            // And as it is, it does not open in another account.
            let foreign = !std::ptr::eq(made, other) && made.person.access_key != other.person.access_key;
            let answer = other.person.call(DECRYPT, json!({"ciphertextBlob": base64(&made.blob)}));
            assert_eq!(answer.success().is_none(), foreign, "{answer:?}");
        }
    }
    figure("cross_accepts", format!("{} of {pairs}", accepts.len()), "pairs");
    println!("cross accepts = {} of {pairs} pairs", accepts.len());
    assert!(accepts.is_empty(), "{accepts:?}");
}

/// What is stored of the material tells nobody which it was: the same bytes have another fingerprint in every key and
/// every appliance, and it is none of the hashes that somebody could compute.
#[test]
fn fingerprints_are_keyed() {
    let stored = |service: &Service, key: &Value| {
        let id = serde_json::from_value(key.clone()).unwrap();
        let key: yaoku::model::key::Key = service.app().store.get(&id).unwrap().unwrap();
        key.import.binding.unwrap().fingerprint
    };
    let services = [service(), service()];
    let mut prints = Vec::new();
    for service in &services {
        let admin = service.admin();
        for _ in 0..2 {
            let key = external(&admin, "AES_256");
            admin.ok(IMPORT, Way::new(&admin, &key, OAEP).body(&MATERIAL));
            prints.push(stored(service, &key));
        }
    }
    let distinct: std::collections::BTreeSet<_> = prints.iter().collect();
    assert_eq!(distinct.len(), 4);
    use sha2::Digest as _;
    assert!(!prints.contains(&sha2::Sha256::digest(MATERIAL).into()));
}
