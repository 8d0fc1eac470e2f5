//! Whose key serves whom: every kind of caller with every kind of key, asked for everything that cloud products may do.

use serde_json::{Value, json};

use super::{CHOOSE, CREATE, DATA_KEY, DECRYPT, DESCRIBE, ENCRYPT, default_key, text};
use crate::kit::{Caller, OpenApi, Service};
use crate::planted::second_service;

const DETAIL: &str = "/keyCompute/getDataKey";
const RE_ENCRYPT: &str = "/keyCompute/reEncrypt";

/// A key, and a ciphertext of it by somebody whom it serves.
struct Kept {
    name: &'static str,
    key: Value,
    sealed: Value,
}

impl Kept {
    fn of(name: &'static str, by: &OpenApi, key: Value) -> Self {
        let sealed = by.ok(ENCRYPT, text(&key))["ciphertextBlob"].clone();
        Self { name, key: key["cmkUuid"].clone(), sealed }
    }
}

fn outcome(call: &Caller, path: &str, body: Value) -> String {
    let answer = call(path, body);
    if answer.success().is_some() { "ok".into() } else { answer.code() }
}

/// What a caller is answered for a key: one code for everything, or by operation; and whether it is in the list to choose from.
/// `reEncrypt` is told from the key and to it, with another key that serves the caller.
fn cell(call: &Caller, kept: &Kept, own: &Kept) -> String {
    let blob = |kept: &Kept| json!({"ciphertextBlob": kept.sealed});
    let re_encrypt =
        |from: &Kept, to: &Kept| json!({"ciphertextBlob": from.sealed, "destinationCmkUuid": to.key});
    let work = [
        outcome(call, ENCRYPT, json!({"cmkUuid": kept.key, "plaintext": "AA=="})),
        outcome(call, DECRYPT, blob(kept)),
        outcome(call, DATA_KEY, json!({"cmkUuid": kept.key})),
        outcome(call, DETAIL, blob(kept)),
        outcome(call, RE_ENCRYPT, re_encrypt(kept, own)),
        outcome(call, RE_ENCRYPT, re_encrypt(own, kept)),
    ];
    let described = outcome(call, DESCRIBE, json!({"cmkUuid": kept.key}));
    let page = call(CHOOSE, json!({"pageSize": 100})).result();
    let listed = page["keys"].as_array().unwrap().iter().any(|key| key["cmkUuid"] == kept.key);
    assert_eq!(listed, described == "ok", "{}: whoever sees a key can choose it", kept.name);
    match (work.iter().all(|code| *code == work[0]), work[0] == described) {
        (true, true) => described,
        (true, false) => format!("{}, seen {described}", work[0]),
        (false, _) => format!("{work:?}, seen {described}"),
    }
}

/// A line for each caller, with a cell for each key.
fn table(subscription_keys: bool) -> Vec<String> {
    let service = Service::start_with(|config| config.products.subscription_keys = subscription_keys);
    let (admin, (second, account)) = (service.admin(), service.tenant());
    let other_service = second_service(&service);
    admin
        .ok("/account/updateAccount", json!({"accountId": service.first["accountId"], "onDemandKeys": true}));
    let products = ["ecs", "zos"].map(|code| service.product(&admin, code));
    let [ecs, zos] = &products;
    let keys = [
        Kept::of("a key of its service", &admin, admin.ok(CREATE, json!({}))),
        Kept::of("a key of another service", &admin, admin.ok(CREATE, json!({"instanceId": other_service}))),
        Kept::of("a key on demand", &admin, admin.ok(CREATE, json!({"instanceId": "on-demand"}))),
        Kept::of("the default key of ecs", ecs, default_key(&admin, "ecs")),
        Kept::of("the default key of zos", zos, default_key(&admin, "zos")),
        Kept::of("a key of another account", &second, second.ok(CREATE, json!({}))),
    ];
    let theirs = service.product(&second, "ecs");
    let their_own = Kept::of("its own", &theirs, default_key(&theirs, "ecs"));
    let by_person = |person: &OpenApi| -> Caller {
        let person = person.clone();
        Box::new(move |path, body| person.call(path, body))
    };
    let (first, stranger) = (service.first_application(), service.application(&second, &account));
    let callers: [(&str, Caller, &Kept); 6] = [
        ("person", by_person(&admin), &keys[0]),
        ("application", Box::new(move |path, body| first.call(path, body)), &keys[0]),
        ("ecs", by_person(ecs), &keys[3]),
        ("zos", by_person(zos), &keys[4]),
        ("ecs of another account", by_person(&theirs), &their_own),
        ("application of another account", Box::new(move |path, body| stranger.call(path, body)), &keys[5]),
    ];
    let line = |(name, call, own): &(&str, Caller, &Kept)| {
        let cells: Vec<String> = keys.iter().map(|kept| cell(call, kept, own)).collect();
        format!("{name}: {}", cells.join(" | "))
    };
    callers.iter().map(line).collect()
}

// Columns: a key of the application's service | of another service | on demand | default key of ecs | of zos | of another account.
const SEEN: &str = "KMS.9029, seen ok";

#[test]
fn a_key_serves_whom_the_contract_says() {
    let expected = [
        format!("person: ok | ok | ok | {SEEN} | {SEEN} | KMS.9001"),
        "application: ok | KMS.9001 | KMS.9001 | KMS.9001 | KMS.9001 | KMS.9001".into(),
        "ecs: ok | ok | ok | ok | KMS.9029 | KMS.9001".into(),
        "zos: ok | ok | ok | KMS.9029 | ok | KMS.9001".into(),
        "ecs of another account: KMS.9001 | KMS.9001 | KMS.9001 | KMS.9001 | KMS.9001 | ok".into(),
        "application of another account: KMS.9001 | KMS.9001 | KMS.9001 | KMS.9001 | KMS.9001 | ok".into(),
    ];
    assert_eq!(table(true), expected);
}

#[test]
fn as_in_the_cloud_keys_of_services_serve_no_product() {
    let expected = [
        format!("person: ok | ok | ok | {SEEN} | {SEEN} | KMS.9001"),
        "application: ok | KMS.9001 | KMS.9001 | KMS.9001 | KMS.9001 | KMS.9001".into(),
        "ecs: KMS.9044 | KMS.9044 | ok | ok | KMS.9029 | KMS.9001".into(),
        "zos: KMS.9044 | KMS.9044 | ok | KMS.9029 | ok | KMS.9001".into(),
        "ecs of another account: KMS.9001 | KMS.9001 | KMS.9001 | KMS.9001 | KMS.9001 | KMS.9044".into(),
        "application of another account: KMS.9001 | KMS.9001 | KMS.9001 | KMS.9001 | KMS.9001 | ok".into(),
    ];
    assert_eq!(table(false), expected);
}
