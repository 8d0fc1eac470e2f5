//! Ciphertexts encrypted anew, and data keys described, without anybody seeing a plaintext.

use std::fs;

use serde_json::{Value, json};
use yaoku::model::key::KeyState;

use crate::kit::{Answer, OpenApi, START, Service, base64, new_id, unbase64};
use crate::planted::{second_service, set_state};

const CREATE: &str = "/cmkManage/createKey";
const PATH: &str = "/cmManage/reEncrypt";
const DETAIL: &str = "/keyCompute/getDataKey";
const SPECS: [&str; 2] = ["AES_256", "Ctyun_SM4"];

fn sealed(admin: &OpenApi, key: &Value, text: &str, context: Value) -> Value {
    let body = json!({"cmkUuid": key, "plaintext": base64(text), "encryptionContext": context});
    admin.ok("/keyCompute/encrypt", body)["ciphertextBlob"].clone()
}

fn opened(admin: &OpenApi, blob: &Value, context: Value) -> Answer {
    admin.call("/keyCompute/decrypt", json!({"ciphertextBlob": blob, "encryptionContext": context}))
}

fn text_of(answer: &Answer) -> String {
    String::from_utf8(unbase64(&answer.result()["plaintext"])).unwrap()
}

#[test]
fn a_ciphertext_moves_to_any_symmetric_key_on_both_planes() {
    let service = Service::start();
    let admin = service.admin();
    let keys =
        SPECS.map(|spec| admin.ok(CREATE, json!({"keySpec": spec, "aliasName": format!("alias/{spec}")})));
    for (plane, call) in service.planes() {
        for (from, to) in keys.iter().flat_map(|from| keys.iter().map(move |to| (from, to))) {
            let blob = sealed(&admin, &from["cmkUuid"], "钥库", json!({"a": "1"}));
            let body = json!({
                "ciphertextBlob": blob, "destinationCmkUuid": to["cmkUuid"],
                "sourceEncryptionContext": "{\"a\":\"1\"}", "destinationEncryptionContext": "{\"b\":\"2\"}",
            });
            let moved = call(PATH, body).result();
            assert_eq!(moved["cmkUuid"], to["cmkUuid"], "{plane}");
            assert_eq!(moved["keyVersionId"], to["primaryKeyVersion"], "{plane}");
            assert_eq!(moved.as_object().unwrap().len(), 3, "{plane}: no plaintext");
            assert_eq!(
                text_of(&opened(&admin, &moved["ciphertextBlob"], json!({"b": "2"}))),
                "钥库",
                "{plane}"
            );
            for wrong in [json!({}), json!({"a": "1"})] {
                assert_eq!(opened(&admin, &moved["ciphertextBlob"], wrong).code(), "KMS.9028", "{plane}");
            }
            assert_eq!(
                text_of(&opened(&admin, &blob, json!({"a": "1"}))),
                "钥库",
                "{plane}: the old one stays"
            );
        }
    }
}

#[test]
fn all_spellings_do_the_same() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({"aliasName": "alias/to"}))["cmkUuid"].clone();
    let blob = sealed(&admin, &key, "x", json!({}));
    for (plane, call) in service.planes() {
        for path in [PATH, "/cmkManage/reEncrypt", "/keyCompute/reEncrypt"] {
            for destination in ["destinationCmkUuid", "destinationUuid"] {
                for source in ["sourceCmkUuid", "sourceUuid"] {
                    let body = json!({"ciphertextBlob": blob, destination: "alias/to", source: key});
                    let moved = call(path, body).result();
                    assert_eq!(
                        text_of(&opened(&admin, &moved["ciphertextBlob"], json!({}))),
                        "x",
                        "{plane} {path}"
                    );
                }
            }
        }
    }
    let records = service.audit();
    let mine = records.iter().filter(|record| record["eventName"] == "reEncrypt");
    let named = mine.map(|record| assert_eq!(record["resourceIds"], json!([key, key]))).count();
    assert_eq!(named, 24, "each record names both keys");
}

#[test]
fn after_a_rotation_a_ciphertext_moves_to_the_newest_version() {
    let service = Service::start();
    let admin = service.admin();
    let old = admin.ok(CREATE, json!({"enableAutomaticRotation": true, "rotationInterval": "7d"}));
    let key = &old["cmkUuid"];
    let blob = sealed(&admin, key, "kept", json!({}));
    let detail = |blob: &Value| admin.ok(DETAIL, json!({"ciphertextBlob": blob}));
    assert_eq!(detail(&blob)["isPrimaryVersion"], true);
    service.clock.advance(std::time::Duration::from_secs(7 * 24 * 3600));
    let new = crate::kit::poll("a rotation", || {
        let described = admin.ok("/keyManage/describeKey", json!({"cmkUuid": key}));
        (described["primaryKeyVersion"] != old["primaryKeyVersion"])
            .then(|| described["primaryKeyVersion"].clone())
    });
    assert_eq!(detail(&blob)["isPrimaryVersion"], false);
    let moved = admin.ok(PATH, json!({"ciphertextBlob": blob, "destinationCmkUuid": key}));
    assert_eq!(moved["keyVersionId"], new);
    assert_eq!(detail(&moved["ciphertextBlob"])["isPrimaryVersion"], true);
    assert_eq!(text_of(&opened(&admin, &moved["ciphertextBlob"], json!({}))), "kept");
}

#[test]
fn a_ciphertext_moves_between_services_of_one_account_for_those_who_see_both() {
    let service = Service::start();
    let admin = service.admin();
    let other = second_service(&service);
    let application = service.first_application();
    for (from, to) in SPECS.into_iter().flat_map(|from| SPECS.map(|to| (from, to))) {
        let near = admin.ok(CREATE, json!({"keySpec": from}))["cmkUuid"].clone();
        let far = admin.ok(CREATE, json!({"keySpec": to, "instanceId": other}));
        assert_eq!(far["instanceId"], other);
        let blob = sealed(&admin, &near, "crosses", json!({}));
        let over = json!({"ciphertextBlob": blob, "destinationCmkUuid": far["cmkUuid"]});
        let there = admin.ok(PATH, over.clone())["ciphertextBlob"].clone();
        assert_eq!(text_of(&opened(&admin, &there, json!({}))), "crosses");
        let back = json!({"ciphertextBlob": there, "destinationCmkUuid": near});
        let here = admin.ok(PATH, back.clone())["ciphertextBlob"].clone();
        assert_eq!(text_of(&opened(&admin, &here, json!({}))), "crosses");
        assert_eq!(application.refused(PATH, over), "KMS.9001", "an access point sees its own service only");
        assert_eq!(application.refused(PATH, back), "KMS.9001");
    }
}

#[test]
fn lists_and_moves_of_aliases_keep_to_the_service_of_the_access_point() {
    let service = Service::start();
    let admin = service.admin();
    let other = second_service(&service);
    let application = service.first_application();
    let near = admin.ok(CREATE, json!({"aliasName": "alias/near"}))["cmkUuid"].clone();
    let far = admin.ok(CREATE, json!({"aliasName": "alias/far", "instanceId": other}))["cmkUuid"].clone();
    let names = |page: Value| {
        page["aliases"].as_array().unwrap().iter().map(|alias| alias["aliasName"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(application.ok("/keyName/listAlias", json!({}))), ["alias/near"]);
    assert_eq!(names(admin.ok("/keyName/listAlias", json!({}))), ["alias/far", "alias/near"]);
    assert_eq!(names(admin.ok("/keyName/listAlias", json!({"instanceId": other}))), ["alias/far"]);
    for (body, code) in [
        (json!({"cmkUuid": near, "aliasName": "alias/far"}), "KMS.9003"),
        (json!({"cmkUuid": far, "aliasName": "alias/near"}), "KMS.9001"),
    ] {
        assert_eq!(application.refused("/keyName/updateAlias", body.clone()), code, "{body}");
        admin.ok("/keyName/updateAlias", body);
    }
    let tags =
        json!({"resourceType": "CMK", "resourceIds": [near, far], "tags": [{"tagKey": "a", "tagValue": ""}]});
    admin.ok("/tag/tagResources", tags);
    assert_eq!(
        admin.ok("/tag/listTagKeys", json!({}))["tagKeys"],
        json!([{"tagKey": "a", "resourceCount": 2}])
    );
    let one = admin.ok("/tag/listTagResources", json!({"instanceId": other}));
    assert_eq!((&one["totalCount"], &one["tagResources"][0]["resourceId"]), (&json!(1), &far));
}

#[test]
fn what_cannot_be_encrypted_anew_is_refused() {
    let service = Service::start();
    let admin = service.admin();
    let (second, _) = service.tenant();
    let key = admin.ok(CREATE, json!({"aliasName": "alias/from"}))["cmkUuid"].clone();
    let to = admin.ok(CREATE, json!({"aliasName": "alias/to"}))["cmkUuid"].clone();
    let theirs = second.ok(CREATE, json!({}))["cmkUuid"].clone();
    let blob = sealed(&admin, &key, "x", json!({"a": "1"}));
    let body = |blob: &Value, further: Value| {
        let mut body = json!({"ciphertextBlob": blob, "destinationCmkUuid": to, "sourceEncryptionContext": "{\"a\":\"1\"}"});
        body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        body
    };
    let mut forged = unbase64(&blob);
    *forged.last_mut().unwrap() ^= 1;
    let (forged, short) = (json!(base64(&forged)), json!(base64(&unbase64(&blob)[..120])));
    let foreign = sealed(&second, &theirs, "x", json!({"a": "1"}));
    let asymmetric = json!(base64([0x5a; 256]));
    let version = new_id();
    for (plane, call) in service.planes() {
        for (body, code) in [
            (json!({"destinationCmkUuid": to}), "KMS.0108"),
            (body(&json!(""), json!({})), "KMS.0108"),
            (json!({"ciphertextBlob": blob}), "KMS.0112"),
            (body(&blob, json!({"destinationCmkUuid": ""})), "KMS.0112"),
            (json!({"ciphertextBlob": blob, "destinationUuid": ""}), "KMS.0112"),
            (body(&blob, json!({"destinationUuid": to})), "KMS.9020"),
            (body(&blob, json!({"destinationCmkUuid": new_id()})), "KMS.9001"),
            (body(&blob, json!({"destinationCmkUuid": theirs})), "KMS.9001"),
            (body(&blob, json!({"destinationCmkUuid": "alias/none"})), "KMS.9003"),
            (body(&foreign, json!({})), "KMS.9001"),
            (body(&forged, json!({})), "KMS.9028"),
            (body(&short, json!({})), "KMS.9028"),
            (body(&blob, json!({"sourceEncryptionContext": "{}"})), "KMS.9028"),
            (body(&json!("no base64"), json!({})), "KMS.9020"),
            (body(&asymmetric, json!({})), "KMS.0110"),
            (body(&asymmetric, json!({"sourceUuid": ""})), "KMS.0110"),
            (body(&asymmetric, json!({"sourceCmkUuid": key})), "KMS.0111"),
            (body(&asymmetric, json!({"sourceCmkUuid": key, "sourceKeyVersion": ""})), "KMS.0111"),
            (body(&asymmetric, json!({"sourceUuid": key, "sourceKeyVersion": version})), "KMS.0114"),
            (
                body(
                    &asymmetric,
                    json!({"sourceUuid": key, "sourceKeyVersion": version, "sourceEncryptionAlgorithm": "sm2pke"}),
                ),
                "KMS.9027",
            ),
        ] {
            assert_eq!(call(PATH, body.clone()).code(), code, "{plane} {body}");
        }
        call(PATH, body(&blob, json!({}))).result();
    }
    for (switched, other) in [("alias/from", "alias/to"), ("alias/to", "alias/from")] {
        admin.ok("/cmkManage/disableKey", json!({"cmkUuid": switched}));
        assert_eq!(admin.refused(PATH, body(&blob, json!({}))), "KMS.9010", "{switched}");
        admin.ok("/cmkManage/enableKey", json!({"cmkUuid": switched}));
        admin.ok("/keyManage/describeKey", json!({"cmkUuid": other}));
    }
    admin.ok(PATH, body(&blob, json!({})));
}

#[test]
fn a_data_key_is_described_and_not_shown() {
    let service = Service::start();
    let admin = service.admin();
    let (second, _) = service.tenant();
    let context = json!({"file": "a"});
    for (plane, call) in service.planes() {
        for spec in SPECS {
            let key = admin.ok(CREATE, json!({"keySpec": spec}));
            let request =
                json!({"cmkUuid": key["cmkUuid"], "numberOfBytes": 48, "encryptionContext": context});
            let blob =
                admin.ok("/keyCompute/generateDataKeyWithoutPlaintext", request)["ciphertextBlob"].clone();
            let expected = json!({
                "cmkUuid": key["cmkUuid"], "keyVersionId": key["primaryKeyVersion"], "keyState": "Enabled",
                "numberOfBytes": 48, "isPrimaryVersion": true,
            });
            let body = json!({"ciphertextBlob": blob, "encryptionContext": context.to_string()});
            assert_eq!(call(DETAIL, body.clone()).result(), expected, "{plane}");
            assert_eq!(
                call(DETAIL, json!({"ciphertextBlob": blob})).code(),
                "KMS.9028",
                "{plane}: its context"
            );
            let mut forged = unbase64(&blob);
            *forged.last_mut().unwrap() ^= 1;
            let forged = json!({"ciphertextBlob": base64(forged), "encryptionContext": context.to_string()});
            assert_eq!(call(DETAIL, forged).code(), "KMS.9028", "{plane}: its tag");
            assert_eq!(second.refused(DETAIL, body.clone()), "KMS.9001", "{plane}");
            admin.ok("/cmkManage/disableKey", json!({"cmkUuid": key["cmkUuid"]}));
            assert_eq!(call(DETAIL, body).result()["keyState"], "Disabled", "{plane}");
        }
        assert_eq!(call(DETAIL, json!({})).code(), "KMS.0108", "{plane}");
        assert_eq!(call(DETAIL, json!({"ciphertextBlob": "AAAA"})).code(), "KMS.9028", "{plane}");
    }
    let key = admin.ok(CREATE, json!({}))["cmkUuid"].clone();
    let blob = sealed(&admin, &key, "sixteen bytes ok", json!({}));
    let query = format!(
        "ciphertextBlob={}",
        blob.as_str().unwrap().replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
    );
    assert_eq!(admin.get(DETAIL, &query).result()["numberOfBytes"], 16);
}

/// Contract 4.3 for states that no operation reaches yet.
#[test]
fn keys_that_wait_are_not_changed_and_not_used() {
    let mut service = Service::start();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({"aliasName": "alias/waits"}))["cmkUuid"].clone();
    let other = admin.ok(CREATE, json!({"aliasName": "alias/moves"}))["cmkUuid"].clone();
    let (blob, stays) = (sealed(&admin, &key, "x", json!({})), sealed(&admin, &other, "x", json!({})));
    let tagging = json!({"resourceType": "CMK", "resourceIds": [other, key]});
    let with = |name: &str, value: Value| {
        let mut body = tagging.clone();
        body[name] = value;
        body
    };
    let cases = [
        ("/keyName/updateAlias", json!({"cmkUuid": key, "aliasName": "alias/moves"}), "KMS.9011", "ok"),
        ("/keyManage/updateKeyDescription", json!({"cmkUuid": key, "description": "d"}), "KMS.9011", "ok"),
        ("/tag/tagResources", with("tags", json!([{"tagKey": "a", "tagValue": "b"}])), "KMS.9011", "ok"),
        ("/tag/untagResources", with("tagKeys", json!(["a"])), "KMS.9011", "ok"),
        (PATH, json!({"ciphertextBlob": blob, "destinationCmkUuid": other}), "KMS.9011", "KMS.9012"),
        (PATH, json!({"ciphertextBlob": stays, "destinationCmkUuid": key}), "KMS.9011", "KMS.9012"),
        (DETAIL, json!({"ciphertextBlob": blob}), "ok", "KMS.9012"),
        ("/keyName/listAliasByUuid", json!({"cmkUuid": key}), "ok", "ok"),
        ("/keyName/updateAlias", json!({"cmkUuid": other, "aliasName": "alias/waits"}), "ok", "ok"),
    ];
    for (pending, state) in
        [(true, KeyState::PendingDeletion { at: START }), (false, KeyState::PendingImport)]
    {
        set_state(&mut service, &key, state);
        let admin = service.admin();
        for (path, body, deletion, import) in &cases {
            let answer = admin.call(path, body.clone());
            let outcome = answer.success().map_or_else(|| answer.code(), |_| "ok".into());
            assert_eq!(outcome, if pending { *deletion } else { *import }, "{state:?} {path} {body}");
        }
        let told = admin.ok("/keyManage/describeKey", json!({"cmkUuid": other}));
        assert_eq!(
            told["tags"],
            json!([]),
            "no key is tagged when one of them may not be, and untagging took it back"
        );
        admin.ok("/keyName/updateAlias", json!({"cmkUuid": other, "aliasName": "alias/moves"}));
    }
}

/// A ciphertext of a key pair, made by openssl, moves to a symmetric key; it does not name its key, so the call does.
#[test]
fn a_ciphertext_of_a_key_pair_moves_to_a_symmetric_key() {
    let service = Service::start();
    let admin = service.admin();
    let destination = admin.ok(CREATE, json!({"keySpec": "Ctyun_SM4"}))["cmkUuid"].clone();
    let folder = crate::kit::temporary();
    let file = |name: &str| folder.path().join(name);
    for (spec, algorithm, how) in [
        ("RSA_2048", "RSAES_OAEP_SHA_256", "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256"),
        ("RSA_2048", "RSAES_OAEP_SHA_1", "-pkeyopt rsa_padding_mode:oaep"),
        ("Ctyun_SM2", "SM2PKE", ""),
    ] {
        let source = admin.ok(CREATE, json!({"keySpec": spec}))["cmkUuid"].clone();
        let version = admin.ok("/versionControl/listKeyVersions", json!({"cmkUuid": source}));
        let version = &version["keyVersions"][0]["keyVersionId"];
        let named = json!({"cmkUuid": source, "keyVersionId": version});
        let public = admin.ok("/asymmetric/getPublicKey", named)["publicKey"].clone();
        fs::write(file("public.pem"), public.as_str().unwrap()).unwrap();
        fs::write(file("plaintext"), "搬家").unwrap();
        let mut openssl = std::process::Command::new("openssl");
        openssl.current_dir(folder.path()).args(["pkeyutl", "-encrypt", "-pubin", "-inkey", "public.pem"]);
        openssl.args(["-in", "plaintext", "-out", "sealed"]).args(how.split_ascii_whitespace());
        assert!(openssl.status().expect("these tests need openssl 3 in the PATH").success());
        let sealed = fs::read(file("sealed")).unwrap();
        let body = json!({
            "ciphertextBlob": base64(&sealed), "sourceCmkUuid": source, "sourceKeyVersionId": version,
            "sourceEncryptionAlgorithm": algorithm, "destinationCmkUuid": destination,
            "destinationEncryptionContext": "{\"a\":\"1\"}",
        });
        let with = |name: &str, value: Value| {
            let mut body = body.clone();
            body[name] = value;
            body
        };
        for (plane, call) in service.planes() {
            let moved = call(PATH, body.clone()).result();
            assert_eq!(moved["cmkUuid"], destination, "{plane}");
            assert_eq!(text_of(&opened(&admin, &moved["ciphertextBlob"], json!({"a": "1"}))), "搬家");
            let mut damaged = sealed.clone();
            *damaged.last_mut().unwrap() ^= 1;
            let other = if spec == "RSA_2048" { "SM2PKE" } else { "RSAES_OAEP_SHA_1" };
            for (what, wrong, code) in [
                ("damaged", with("ciphertextBlob", base64(damaged).into()), "KMS.9028"),
                ("no source", with("sourceCmkUuid", Value::Null), "KMS.0110"),
                ("no version", with("sourceKeyVersionId", Value::Null), "KMS.0111"),
                ("no algorithm", with("sourceEncryptionAlgorithm", Value::Null), "KMS.0114"),
                ("another version", with("sourceKeyVersionId", new_id().into()), "KMS.9002"),
                ("another algorithm", with("sourceEncryptionAlgorithm", other.into()), "KMS.9027"),
                ("a symmetric source", with("sourceCmkUuid", destination.clone()), "KMS.9027"),
                ("to a key pair", with("destinationCmkUuid", source.clone()), "KMS.9027"),
            ] {
                assert_eq!(call(PATH, wrong).code(), code, "{plane} {spec}: {what}");
            }
        }
    }
}
