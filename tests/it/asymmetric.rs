//! Key pairs over both planes: their versions, what each may be used for, limits, quotas and how their uses are counted.

mod failures;
mod lanes;
mod openssl;

use std::time::Duration;

use serde_json::{Value, json};
use yaoku::model::rate::Rate;

use crate::kit::{Answer, OpenApi, Service, base64, new_id, parallel, unbase64};
use crate::ledger::figure;

const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const NEW_VERSION: &str = "/versionControl/createKeyVersion";
const VERSIONS: &str = "/versionControl/listKeyVersions";
const DESCRIBE_VERSION: &str = "/versionControl/describeKeyVersion";
const SIGN: &str = "/asymmetric/asymmetricSign";
const VERIFY: &str = "/asymmetric/asymmetricVerify";
const ENCRYPT: &str = "/asymmetric/asymmetricEncrypt";
const DECRYPT: &str = "/asymmetric/asymmetricDecrypt";
const PUBLIC_KEY: &str = "/asymmetric/getPublicKey";
const SIGNS: &str = "SIGN/VERIFY";
const ENCRYPTS: &str = "ENCRYPT/DECRYPT";
/// Specs with the algorithms of both usages.
const SIGNATURES: [(&str, &str); 3] =
    [("RSA_2048", "RSA_PKCS1_SHA_256"), ("RSA_2048", "RSA_PSS_SHA_256"), ("Ctyun_SM2", "SM2DSA")];
const ENCRYPTIONS: [(&str, &str, usize); 3] = [
    ("RSA_2048", "RSAES_OAEP_SHA_256", 190),
    ("RSA_2048", "RSAES_OAEP_SHA_1", 214),
    ("Ctyun_SM2", "SM2PKE", 6047),
];

/// One version of a key pair.
#[derive(Clone)]
struct Pair {
    key: Value,
    version: Value,
}

impl Pair {
    fn make(person: &OpenApi, spec: &str, usage: &str) -> Self {
        let key = person.ok(CREATE, json!({"keySpec": spec, "keyUsage": usage}));
        assert!(key.get("primaryKeyVersion").is_none(), "{key}");
        let version = versions(person, &key["cmkUuid"]).remove(0)["keyVersionId"].clone();
        Self { key: key["cmkUuid"].clone(), version }
    }

    /// Its next version.
    fn next(&self, person: &OpenApi) -> Self {
        let made = person.ok(NEW_VERSION, json!({"cmkUuid": self.key}));
        Self { key: self.key.clone(), version: made["keyVersionId"].clone() }
    }

    fn body(&self, further: Value) -> Value {
        let mut body = json!({"cmkUuid": self.key, "keyVersionId": self.version});
        body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        body
    }

    fn sign(&self, algorithm: &str, digest: [u8; 32]) -> Value {
        self.body(json!({"algorithm": algorithm, "digest": base64(digest)}))
    }

    fn verify(&self, algorithm: &str, digest: [u8; 32], value: impl Into<Value>) -> Value {
        self.body(json!({"algorithm": algorithm, "digest": base64(digest), "value": value.into()}))
    }

    fn encrypt(&self, algorithm: &str, plaintext: &[u8]) -> Value {
        self.body(json!({"algorithm": algorithm, "plaintext": base64(plaintext)}))
    }

    fn decrypt(&self, algorithm: &str, ciphertext: impl Into<Value>) -> Value {
        self.body(json!({"algorithm": algorithm, "ciphertextBlob": ciphertext.into()}))
    }

    /// A result names the key and the version that made it.
    fn names(&self, result: &Value) {
        assert_eq!((&result["cmkUuid"], &result["keyVersionId"]), (&self.key, &self.version), "{result}");
    }
}

fn versions(person: &OpenApi, key: &Value) -> Vec<Value> {
    let page = person.ok(VERSIONS, json!({"cmkUuid": key, "pageSize": 100}));
    page["keyVersions"].as_array().unwrap().clone()
}

/// What a call came to: `ok`, or the code.
fn outcome(answer: &Answer) -> String {
    answer.success().map_or_else(|| answer.code(), |_| "ok".into())
}

#[test]
fn old_versions_decrypt_what_they_encrypted_and_nothing_else() {
    let service = Service::start();
    let admin = service.admin();
    for (spec, algorithm, _) in ENCRYPTIONS {
        let first = Pair::make(&admin, spec, ENCRYPTS);
        let second = first.next(&admin);
        for (plane, call) in service.planes() {
            for (made, other) in [(&first, &second), (&second, &first)] {
                let sealed = call(ENCRYPT, made.encrypt(algorithm, b"kept")).result();
                made.names(&sealed);
                let blob = sealed["ciphertextBlob"].clone();
                let opened = call(DECRYPT, made.decrypt(algorithm, blob.clone())).result();
                made.names(&opened);
                assert_eq!(unbase64(&opened["plaintext"]), b"kept", "{plane} {algorithm}");
                assert_eq!(call(DECRYPT, other.decrypt(algorithm, blob)).code(), "KMS.9028", "{plane}");
            }
        }
    }
}

#[test]
fn old_versions_verify_what_they_signed_and_nothing_else() {
    let service = Service::start();
    let admin = service.admin();
    for (spec, algorithm) in SIGNATURES {
        let first = Pair::make(&admin, spec, SIGNS);
        let second = first.next(&admin);
        for (plane, call) in service.planes() {
            for (made, other) in [(&first, &second), (&second, &first)] {
                let signed = call(SIGN, made.sign(algorithm, [7; 32])).result();
                made.names(&signed);
                let verdict = call(VERIFY, made.verify(algorithm, [7; 32], signed["value"].clone())).result();
                made.names(&verdict);
                assert_eq!(verdict["value"], true, "{plane} {algorithm}");
                let verdict = call(VERIFY, other.verify(algorithm, [7; 32], signed["value"].clone()));
                assert_eq!(verdict.result()["value"], false, "{plane} {algorithm}: the other version");
            }
        }
    }
}

#[test]
fn an_asymmetric_key_has_versions_and_none_of_them_is_primary() {
    let service = Service::start();
    let admin = service.admin();
    let first = Pair::make(&admin, "Ctyun_SM2", SIGNS);
    admin.ok("/keyName/createAlias", json!({"cmkUuid": first.key, "aliasName": "alias/pair"}));
    service.clock.advance(Duration::from_secs(60));
    let application = service.first_application();
    let made = application.ok(NEW_VERSION, json!({"cmkUuid": "alias/pair"}));
    assert_eq!((&made["cmkUuid"], &made["creationDate"]), (&first.key, &json!("2026-11-02T00:01:00Z")));
    let listed = versions(&admin, &first.key);
    let ids: Vec<&Value> = listed.iter().map(|version| &version["keyVersionId"]).collect();
    assert_eq!(ids, [&first.version, &made["keyVersionId"]], "oldest first");
    assert!(listed.iter().all(|version| version["isPrimary"] == false), "{listed:?}");
    let described = admin.ok(DESCRIBE, json!({"cmkUuid": first.key}));
    assert!(described.get("primaryKeyVersion").is_none(), "{described}");
    assert_eq!(described["automaticRotation"], "Disabled");
    let of_alias = json!({"cmkUuid": "alias/pair", "keyVersionId": first.version});
    assert_eq!(
        admin.ok(PUBLIC_KEY, of_alias)["publicKey"],
        admin.ok(PUBLIC_KEY, first.body(json!({})))["publicKey"]
    );
}

/// Every operation that names a version, with a body that is right for the pairs.
fn calls(signing: &Pair, encrypting: &Pair) -> [(&'static str, Value); 5] {
    [
        (SIGN, signing.sign("SM2DSA", [7; 32])),
        (VERIFY, signing.verify("SM2DSA", [7; 32], base64([7; 64]))),
        (ENCRYPT, encrypting.encrypt("SM2PKE", b"text")),
        (DECRYPT, encrypting.decrypt("SM2PKE", base64([4; 128]))),
        (PUBLIC_KEY, encrypting.body(json!({}))),
    ]
}

#[test]
fn a_call_names_a_version_of_its_key() {
    let service = Service::start();
    let admin = service.admin();
    let (signing, encrypting) =
        (Pair::make(&admin, "Ctyun_SM2", SIGNS), Pair::make(&admin, "Ctyun_SM2", ENCRYPTS));
    let other = Pair::make(&admin, "Ctyun_SM2", ENCRYPTS);
    for (plane, call) in service.planes() {
        for (path, body) in calls(&signing, &encrypting) {
            for version in [other.version.clone(), json!(new_id())] {
                let mut wrong = body.clone();
                wrong["keyVersionId"] = version;
                assert_eq!(call(path, wrong).code(), "KMS.9002", "{plane} {path}");
            }
            let mut without = body.clone();
            without.as_object_mut().unwrap().remove("keyVersionId");
            assert_eq!(call(path, without).code(), "KMS.0105", "{plane} {path}");
        }
    }
}

#[test]
fn usage_spec_and_algorithm_must_fit_the_call() {
    let service = Service::start();
    let admin = service.admin();
    let pairs = ["RSA_2048", "Ctyun_SM2"]
        .map(|spec| (Pair::make(&admin, spec, SIGNS), Pair::make(&admin, spec, ENCRYPTS)));
    let aes = admin.ok(CREATE, json!({}));
    let aes = Pair { key: aes["cmkUuid"].clone(), version: aes["primaryKeyVersion"].clone() };
    let [(rsa_signs, rsa_encrypts), (sm2_signs, sm2_encrypts)] = pairs;
    for (plane, call) in service.planes() {
        let refused = |path: &str, body: Value| {
            assert_eq!(call(path, body.clone()).code(), "KMS.9027", "{plane} {path} {body}");
        };
        for (pairs, algorithm) in [
            // The other usage, the other spec, and no pair at all.
            ([&rsa_encrypts, &sm2_signs, &aes], "RSA_PSS_SHA_256"),
            ([&sm2_encrypts, &rsa_signs, &aes], "SM2DSA"),
        ] {
            for pair in pairs {
                refused(SIGN, pair.sign(algorithm, [7; 32]));
                refused(VERIFY, pair.verify(algorithm, [7; 32], base64([7; 256])));
            }
        }
        for (pairs, algorithm) in [
            ([&rsa_signs, &sm2_encrypts, &aes], "RSAES_OAEP_SHA_256"),
            ([&sm2_signs, &rsa_encrypts, &aes], "SM2PKE"),
        ] {
            for pair in pairs {
                refused(ENCRYPT, pair.encrypt(algorithm, b"text"));
                refused(DECRYPT, pair.decrypt(algorithm, base64([7; 256])));
            }
        }
        refused(PUBLIC_KEY, aes.body(json!({})));
        refused(NEW_VERSION, json!({"cmkUuid": aes.key}));
        // Symmetric work takes no pair.
        let pair = json!({"cmkUuid": rsa_encrypts.key, "plaintext": base64("text")});
        refused("/keyCompute/encrypt", pair);
        refused("/keyCompute/generateDataKey", json!({"cmkUuid": sm2_encrypts.key}));
        refused("/get/hmaccompute", json!({"cmkUuid": rsa_signs.key, "input": "text"}));
        // Algorithms of the other kind of call are no algorithms here.
        assert_eq!(call(SIGN, rsa_signs.sign("RSAES_OAEP_SHA_256", [7; 32])).code(), "KMS.9020");
        assert_eq!(call(ENCRYPT, rsa_encrypts.encrypt("RSA_PSS_SHA_256", b"text")).code(), "KMS.9020");
    }
}

#[test]
fn a_disabled_pair_does_nothing_and_shows_nothing_until_it_is_enabled() {
    let service = Service::start();
    let admin = service.admin();
    let (signing, encrypting) =
        (Pair::make(&admin, "Ctyun_SM2", SIGNS), Pair::make(&admin, "Ctyun_SM2", ENCRYPTS));
    let mut calls = calls(&signing, &encrypting).to_vec();
    calls.push((NEW_VERSION, json!({"cmkUuid": signing.key})));
    let keys = [&signing.key, &encrypting.key];
    for (plane, call) in service.planes() {
        keys.iter().for_each(|key| drop(admin.ok("/cmkManage/disableKey", json!({"cmkUuid": key}))));
        for (path, body) in &calls {
            assert_eq!(call(path, body.clone()).code(), "KMS.9010", "{plane} {path}");
        }
        signing.names(&call(DESCRIBE_VERSION, signing.body(json!({}))).result());
        assert_eq!(call(VERSIONS, json!({"cmkUuid": encrypting.key})).result()["totalCount"], 1);
        keys.iter().for_each(|key| drop(admin.ok("/cmkManage/enableKey", json!({"cmkUuid": key}))));
        for (path, body) in calls.iter().filter(|(path, _)| ![DECRYPT, NEW_VERSION].contains(path)) {
            call(path, body.clone()).result();
        }
    }
}

#[test]
fn versions_are_capped_per_account_and_first_versions_count() {
    let service = Service::start_with(|config| config.quota.asymmetric_versions_per_account = 3);
    let admin = service.admin();
    let first = Pair::make(&admin, "Ctyun_SM2", SIGNS);
    let second = first.next(&admin);
    let third = Pair::make(&admin, "RSA_2048", ENCRYPTS);
    for (plane, call) in service.planes() {
        for (path, body) in [
            (NEW_VERSION, json!({"cmkUuid": first.key})),
            (NEW_VERSION, json!({"cmkUuid": third.key})),
            (CREATE, json!({"keySpec": "RSA_2048"})),
            (CREATE, json!({"keySpec": "Ctyun_SM2", "keyUsage": SIGNS})),
        ] {
            assert_eq!(call(path, body).code(), "KMS.9030", "{plane} {path}");
        }
        call(CREATE, json!({})).result();
        call(SIGN, second.sign("SM2DSA", [7; 32])).result();
    }
    assert_eq!(versions(&admin, &first.key).len(), 2);
    let (other, _) = service.tenant();
    Pair::make(&other, "Ctyun_SM2", SIGNS).next(&other).next(&other);
}

#[test]
fn the_cap_holds_when_64_ask_at_once() {
    const CAP: u64 = 20;
    let service = Service::start_with(|config| config.quota.asymmetric_versions_per_account = CAP);
    let admin = service.admin();
    let pairs = [(); 4].map(|()| Pair::make(&admin, "Ctyun_SM2", SIGNS));
    let outcomes =
        parallel(64, |number| outcome(&admin.call(NEW_VERSION, json!({"cmkUuid": pairs[number % 4].key}))));
    let made = outcomes.iter().filter(|outcome| *outcome == "ok").count();
    let refused = outcomes.iter().filter(|outcome| *outcome == "KMS.9030").count();
    let kept: usize = pairs.iter().map(|pair| versions(&admin, &pair.key).len()).sum();
    figure("asymmetric_versions_over_the_cap", kept.saturating_sub(CAP as usize), "versions of 64 calls");
    assert_eq!((made + 4, made + refused, kept), (CAP as usize, 64, CAP as usize), "{outcomes:?}");
}

#[test]
fn a_client_token_makes_one_version() {
    let service = Service::start();
    let admin = service.admin();
    let pair = Pair::make(&admin, "Ctyun_SM2", SIGNS);
    let request = json!({"cmkUuid": pair.key, "clientToken": "once"});
    let answers = parallel(16, |_| admin.call(NEW_VERSION, request.clone()));
    let first = admin.ok(NEW_VERSION, request.clone());
    for answer in &answers {
        match answer.success() {
            Some(made) => assert_eq!(*made, first),
            None => assert_eq!(answer.code(), "KMS.9071", "retry"),
        }
    }
    assert_eq!(versions(&admin, &pair.key).len(), 2);
    let other = Pair::make(&admin, "Ctyun_SM2", SIGNS);
    assert_eq!(admin.refused(NEW_VERSION, json!({"cmkUuid": other.key, "clientToken": "once"})), "KMS.9020");
    service.clock.advance(Duration::from_secs(24 * 3600 + 1));
    assert_ne!(admin.ok(NEW_VERSION, request)["keyVersionId"], first["keyVersionId"], "a day later");
}

#[test]
fn plaintexts_have_the_length_that_the_algorithm_takes() {
    let service = Service::start();
    let admin = service.admin();
    for (spec, algorithm, most) in ENCRYPTIONS {
        let pair = Pair::make(&admin, spec, ENCRYPTS);
        for (plane, call) in service.planes() {
            for length in [1, most] {
                let plaintext = vec![length as u8; length];
                let sealed = call(ENCRYPT, pair.encrypt(algorithm, &plaintext)).result();
                let opened = call(DECRYPT, pair.decrypt(algorithm, sealed["ciphertextBlob"].clone()));
                assert_eq!(
                    unbase64(&opened.result()["plaintext"]),
                    plaintext,
                    "{plane} {algorithm} {length}"
                );
            }
            let long = call(ENCRYPT, pair.encrypt(algorithm, &vec![7; most + 1]));
            assert_eq!(long.code(), "KMS.9020", "{plane} {algorithm}");
            assert_eq!(call(ENCRYPT, pair.encrypt(algorithm, b"")).code(), "KMS.0107", "{plane}");
        }
    }
}

#[test]
fn a_version_tells_its_uses() {
    let service = Service::start();
    let admin = service.admin();
    let (signing, encrypting) =
        (Pair::make(&admin, "Ctyun_SM2", SIGNS), Pair::make(&admin, "Ctyun_SM2", ENCRYPTS));
    let uses = |pair: &Pair| {
        let version = admin.ok(DESCRIBE_VERSION, pair.body(json!({})));
        (version["useCount"].as_u64().unwrap(), version["lastUsedTime"].clone())
    };
    let unused = signing.next(&admin);
    assert_eq!(uses(&signing), (0, Value::Null));
    service.clock.advance(Duration::from_secs(5));
    let now = json!("2026-11-02T00:00:05Z");
    let value = admin.ok(SIGN, signing.sign("SM2DSA", [7; 32]))["value"].clone();
    assert_eq!(uses(&signing), (1, now.clone()));
    // A verdict is a use, whatever it says.
    admin.ok(VERIFY, signing.verify("SM2DSA", [7; 32], value.clone()));
    admin.ok(VERIFY, signing.verify("SM2DSA", [8; 32], value));
    assert_eq!(uses(&signing), (3, now.clone()));
    let sealed = admin.ok(ENCRYPT, encrypting.encrypt("SM2PKE", b"text"))["ciphertextBlob"].clone();
    admin.ok(DECRYPT, encrypting.decrypt("SM2PKE", sealed));
    admin.refused(DECRYPT, encrypting.decrypt("SM2PKE", base64([4; 128])));
    // Reading a public key is no work with it.
    admin.ok(PUBLIC_KEY, encrypting.body(json!({})));
    assert_eq!((uses(&encrypting), uses(&unused)), ((2, now), (0, Value::Null)));
}

#[test]
fn asymmetric_calls_have_a_rate_of_their_own() {
    let service = Service::start_with(|config| {
        config.rates.asymmetric = Rate { openapi: 2, access_point: 3 };
    });
    let admin = service.admin();
    let (signing, encrypting) =
        (Pair::make(&admin, "Ctyun_SM2", SIGNS), Pair::make(&admin, "Ctyun_SM2", ENCRYPTS));
    let calls = calls(&signing, &encrypting);
    for ((plane, call), rate) in service.planes().into_iter().zip([2, 3]) {
        service.clock.advance(Duration::from_secs(10));
        for number in 0..10 {
            let (path, body) = calls[(number * 2) % 5].clone();
            let answer = call(path, body);
            assert_eq!(answer.status == 429, number >= rate, "{plane}: call {number}, {answer:?}");
        }
        call("/get/messageDigest", json!({"input": "another class"})).result();
    }
    let defaults = yaoku::config::Config::default().rates.asymmetric;
    assert_eq!((defaults.openapi, defaults.access_point), (200, 300), "as the manual says");
}
