//! What the operations do when all is well, on both planes, and the forms of their answers.

use std::time::Duration;

use serde_json::{Value, json};
use yaoku::config::{EnvelopeForm, StatusForm};

use crate::kit::{Answer, EopRequest, OpenApi, Service, base64, parallel, unbase64};

const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const LIST: &str = "/keyManage/listAliasKeys";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn names(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|key| key["cmkUuid"].as_str().unwrap()).collect()
}

#[test]
fn a_ciphertext_opens_on_both_planes() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let key = admin.ok(CREATE, json!({"aliasName": "alias/both"}));
    let sealed = application.ok(
        "/keyCompute/encrypt",
        json!({"cmkUuid": "alias/both", "plaintext": base64("hello"), "encryptionContext": "{\"a\":\"b\"}"}),
    );
    assert_eq!(sealed["cmkUuid"], key["cmkUuid"]);
    let opened = admin.ok(
        "/keyCompute/decrypt",
        json!({"ciphertextBlob": sealed["ciphertextBlob"], "encryptionContext": {"a": "b"}}),
    );
    assert_eq!(unbase64(&opened["plaintext"]), b"hello");
    assert_eq!(opened["keyVersionId"], key["primaryKeyVersion"]);
}

#[test]
fn a_new_key_is_described_completely_on_both_planes() {
    let service = Service::start();
    for (number, (plane, call)) in service.planes().into_iter().enumerate() {
        let alias = format!("alias/complete-{number}");
        let request = json!({
            "keySpec": "Ctyun_SM4", "keyUsage": "ENCRYPT/DECRYPT", "protectionLevel": "HSM",
            "origin": "Ctyun_KMS", "aliasName": alias, "description": "订单库", "enableAutomaticRotation": true,
            "rotationInterval": "365d", "projectId": "finance",
            "tags": "[{\"tagKey\":\"team\",\"tagValue\":\"a\"},{\"tagKey\":\"empty\",\"tagValue\":\"\"}]",
        });
        let key = call(CREATE, request).result();
        let account = service.first["accountId"].as_str().unwrap();
        let creator = [json!("admin"), service.first["accessPointId"].clone()][number].clone();
        let mut expected = json!({
            "cmkUuid": key["cmkUuid"], "primaryKeyVersion": key["primaryKeyVersion"],
            "arn": format!("ctyun:kms:local:{account}:key/{}", key["cmkUuid"].as_str().unwrap()),
            "creator": creator, "creationDate": "2026-11-02T00:00:00Z", "description": "订单库",
            "keySpec": "Ctyun_SM4", "keyUsage": "ENCRYPT/DECRYPT", "keyState": "Enabled", "origin": "Ctyun_KMS",
            "protectionLevel": "HSM", "automaticRotation": "Enabled", "rotationInterval": "31536000s",
            "nextRotationDate": "2027-11-02T00:00:00Z", "deletionProtection": "Disabled", "projectId": "finance",
            "instanceId": service.first["instanceId"], "chargeMode": "SUBSCRIPTION", "isDefault": false, "rehearsal": false,
            "tags": [{"tagKey": "team", "tagValue": "a"}, {"tagKey": "empty", "tagValue": ""}],
        });
        assert_eq!(key, expected, "{plane}");
        for id in ["cmkUuid", "primaryKeyVersion"] {
            assert!(key[id].as_str().unwrap().parse::<yaoku::ids::KeyId>().is_ok(), "{plane} {id}");
        }
        expected["aliases"] = json!([alias]);
        assert_eq!(call(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]})).result(), expected, "{plane}");
        assert_eq!(call(DESCRIBE, json!({"cmkUuid": alias})).result(), expected, "{plane} by alias");
    }
}

#[test]
fn a_key_without_wishes_is_aes_in_software_without_rotation() {
    let service = Service::start();
    for (plane, call) in service.planes() {
        let key = call(CREATE, json!({})).result();
        let expected = [
            ("keySpec", json!("AES_256")),
            ("keyUsage", json!("ENCRYPT/DECRYPT")),
            ("protectionLevel", json!("SOFTWARE")),
            ("automaticRotation", json!("Disabled")),
            ("projectId", json!("default")),
            ("description", json!("")),
            ("tags", json!([])),
            ("rotationInterval", Value::Null),
            ("nextRotationDate", Value::Null),
        ];
        for (field, value) in expected {
            assert_eq!(key[field], value, "{plane} {field}");
        }
        assert_eq!(call(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]})).result()["aliases"], json!([]));
    }
    let sm4 = service.admin().ok(CREATE, json!({"keySpec": "Ctyun_SM4"}));
    assert_eq!(sm4["protectionLevel"], "HSM");
}

#[test]
fn names_are_read_in_every_spelling_and_printed_in_one() {
    let service = Service::start();
    let spellings = [
        (json!({"keySpec": "SM4", "protectionLevel": 0}), "Ctyun_SM4", "HSM"),
        (json!({"keySpec": "ctyun_sm4", "protectionLevel": "Hsm"}), "Ctyun_SM4", "HSM"),
        (json!({"keySpec": "sm4", "protectionLevel": "HSM"}), "Ctyun_SM4", "HSM"),
        (json!({"keySpec": "aes_256", "protectionLevel": "1"}), "AES_256", "SOFTWARE"),
        (json!({"keyUsage": "Encrypt/Decrypt", "protectionLevel": 1}), "AES_256", "SOFTWARE"),
        (json!({"keyUsage": "encrypt_decrypt", "protectionLevel": "Software"}), "AES_256", "SOFTWARE"),
        (json!({"keyUsage": "ENCRYPT_DECRYPT", "protectionLevel": "0"}), "AES_256", "HSM"),
        (json!({"origin": "ctyun_kms", "protectionLevel": "hsm"}), "AES_256", "HSM"),
        (json!({"epId": "p", "unknownField": 7}), "AES_256", "SOFTWARE"),
    ];
    for (plane, call) in service.planes() {
        for (request, spec, level) in &spellings {
            let key = call(CREATE, request.clone()).result();
            assert_eq!((&key["keySpec"], &key["protectionLevel"]), (&json!(spec), &json!(level)), "{plane}");
            assert_eq!(key["keyUsage"], "ENCRYPT/DECRYPT", "{plane} {request}");
            assert_eq!(key["origin"], "Ctyun_KMS", "{plane} {request}");
        }
        assert_eq!(call(CREATE, json!({"epId": "p"})).result()["projectId"], "p", "{plane}");
        for (spec, count) in [("Sm4", 3), ("SM2", 0), ("ec_sm2", 0), ("RSA2048", 0), ("rsa_2048", 0)] {
            let listed = call(LIST, json!({"keySpec": spec, "keyState": "enabled"})).result();
            let expected = if plane == "OpenAPI" { count } else { 2 * count };
            assert_eq!(listed["totalCount"], expected, "{plane} {spec}");
        }
    }
}

#[test]
fn a_rotation_interval_is_days_or_a_number_with_a_unit() {
    let service = Service::start();
    for (plane, call) in service.planes() {
        for week in [json!(7), json!("7"), json!("7d"), json!("168h"), json!("10080m"), json!("604800s")] {
            let request = json!({"enableAutomaticRotation": "true", "rotationInterval": week});
            let key = call(CREATE, request).result();
            assert_eq!(key["rotationInterval"], "604800s", "{plane} {week}");
            assert_eq!(key["nextRotationDate"], "2026-11-09T00:00:00Z", "{plane} {week}");
        }
        let off = call(CREATE, json!({"enableAutomaticRotation": false, "rotationInterval": 7})).result();
        assert_eq!((&off["automaticRotation"], &off["rotationInterval"]), (&json!("Disabled"), &Value::Null));
    }
}

#[test]
fn lists_of_keys_are_paged_oldest_first() {
    let service = Service::start();
    let admin = service.admin();
    let mut made = Vec::new();
    for _ in 0..12 {
        made.push(admin.ok(CREATE, json!({}))["cmkUuid"].as_str().unwrap().to_owned());
        service.clock.advance(Duration::from_secs(1));
    }
    for (plane, call) in service.planes() {
        let pages = [
            (json!({}), &made[..10], 1, 10),
            (json!({"pageNumber": 2}), &made[10..], 2, 10),
            (json!({"pageNo": 2, "pageSize": 5}), &made[5..10], 2, 5),
            (json!({"pageNum": "3", "pageSize": "5"}), &made[10..], 3, 5),
            (json!({"pageNumber": 9}), &made[..0], 9, 10),
            (json!({"pageSize": 100}), &made[..], 1, 100),
            (json!({"pageSize": 100, "keySpec": "AES_256"}), &made[..], 1, 100),
            (json!({"pageNumber": 2, "pageSize": 5, "keySpec": "AES_256"}), &made[5..10], 2, 5),
        ];
        for (request, expected, number, size) in pages {
            let page = call(LIST, request.clone()).result();
            assert_eq!(ids(&page["keys"]), expected, "{plane} {request}");
            let figures = json!([page["pageNumber"], page["pageSize"], page["totalCount"]]);
            assert_eq!(figures, json!([number, size, 12]), "{plane} {request}");
        }
        let first = call(LIST, json!({"pageSize": 1})).result()["keys"][0].clone();
        assert_eq!(first, call(DESCRIBE, json!({"cmkUuid": made[0]})).result(), "{plane}");
    }
}

#[test]
fn every_filter_of_the_key_list_picks_its_keys() {
    let service = Service::start();
    let admin = service.admin();
    let plain = admin.ok(CREATE, json!({"aliasName": "alias/shop-a"}));
    let sm4 = admin.ok(CREATE, json!({"keySpec": "SM4", "aliasName": "alias/shop-b", "projectId": "p"}));
    let hsm = admin.ok(CREATE, json!({"protectionLevel": "HSM"}));
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": hsm["cmkUuid"]}));
    let [plain, sm4, hsm] = [&plain, &sm4, &hsm].map(|key| key["cmkUuid"].as_str().unwrap());
    for (plane, call) in service.planes() {
        for (filter, expected) in [
            (json!({"keyState": "Disabled"}), vec![hsm]),
            (json!({"keyState": "enabled"}), vec![plain, sm4]),
            (json!({"keyState": "PendingImport"}), vec![]),
            (json!({"keySpec": "SM4"}), vec![sm4]),
            (json!({"keySpec": "RSA_2048"}), vec![]),
            (json!({"keyUsage": "SIGN/VERIFY"}), vec![]),
            (json!({"keyUsage": "Encrypt/Decrypt"}), vec![plain, sm4, hsm]),
            (json!({"protectionLevel": 0}), vec![sm4, hsm]),
            (json!({"protectionLevel": "SOFTWARE"}), vec![plain]),
            (json!({"origin": "External"}), vec![]),
            (json!({"origin": "Ctyun_KMS"}), vec![plain, sm4, hsm]),
            (json!({"aliasName": "shop-"}), vec![plain, sm4]),
            (json!({"aliasName": "alias/shop-b"}), vec![sm4]),
            (json!({"projectId": "p"}), vec![sm4]),
            (json!({"epId": "default", "protectionLevel": "HSM"}), vec![hsm]),
        ] {
            let page = call(LIST, filter.clone()).result();
            let (mut found, mut expected) = (ids(&page["keys"]), expected);
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{plane} {filter}");
            assert_eq!(page["totalCount"], expected.len(), "{plane} {filter}");
        }
    }
}

#[test]
fn switching_a_key_is_idempotent_and_decides_its_use() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({"aliasName": "alias/switch"}))["cmkUuid"].clone();
    for (plane, call) in service.planes() {
        let sealed = call("/keyCompute/encrypt", json!({"cmkUuid": key, "plaintext": base64("x")})).result();
        let uses = [
            ("/keyCompute/encrypt", json!({"cmkUuid": key, "plaintext": base64("x")})),
            ("/keyCompute/decrypt", json!({"ciphertextBlob": sealed["ciphertextBlob"]})),
            ("/keyCompute/generateDataKey", json!({"cmkUuid": key})),
            ("/keyCompute/generateDataKeyWithoutPlaintext", json!({"cmkUuid": key})),
            ("/get/hmaccompute", json!({"cmkUuid": key, "input": "x"})),
        ];
        for name in [&key, &json!("alias/switch")] {
            let off = call("/cmkManage/disableKey", json!({"cmkUuid": name})).result();
            assert_eq!(off, json!({"cmkUuid": key, "keyState": "Disabled"}), "{plane}");
        }
        for (path, request) in &uses {
            assert_eq!(call(path, request.clone()).code(), "KMS.9010", "{plane} {path}");
        }
        assert_eq!(call(DESCRIBE, json!({"cmkUuid": key})).result()["keyState"], "Disabled", "{plane}");
        for name in [&key, &json!("alias/switch")] {
            let on = call("/cmkManage/enableKey", json!({"cmkUuid": name})).result();
            assert_eq!(on, json!({"cmkUuid": key, "keyState": "Enabled"}), "{plane}");
        }
        for (path, request) in &uses {
            call(path, request.clone()).result();
        }
    }
}

#[test]
fn a_key_has_many_names_and_loses_them_one_by_one() {
    let service = Service::start();
    let longest = format!("alias/{}", "x".repeat(64));
    for (number, (plane, call)) in service.planes().into_iter().enumerate() {
        let key = call(CREATE, json!({})).result()["cmkUuid"].clone();
        let made = [format!("alias/A-Z_0/{number}"), format!("alias/a{number}"), longest.clone()];
        for name in &made {
            let named = call("/keyName/createAlias", json!({"cmkUuid": key, "aliasName": name})).result();
            assert_eq!(named, json!({"cmkUuid": key, "aliasName": name}), "{plane}");
        }
        assert_eq!(call(DESCRIBE, json!({"cmkUuid": key})).result()["aliases"], json!(made), "{plane}");
        for (gone, name) in made.iter().enumerate() {
            let deleted = call("/keyName/deleteAlias", json!({"aliasName": name})).result();
            assert_eq!(deleted, json!({"aliasName": name}), "{plane}");
            assert_eq!(call(DESCRIBE, json!({"cmkUuid": name})).code(), "KMS.9003", "{plane}");
            let left = call(DESCRIBE, json!({"cmkUuid": key})).result()["aliases"].clone();
            assert_eq!(left, json!(made[gone + 1..]), "{plane}");
        }
    }
}

#[test]
fn plaintexts_of_1_and_of_6144_bytes_come_back() {
    let service = Service::start();
    for (plane, call) in service.planes() {
        for spec in ["AES_256", "Ctyun_SM4"] {
            let key = call(CREATE, json!({"keySpec": spec})).result();
            for plaintext in [vec![0], vec![0xa5; 6144]] {
                let request = json!({"cmkUuid": key["cmkUuid"], "plaintext": base64(&plaintext)});
                let sealed = call("/keyCompute/encrypt", request.clone()).result();
                assert_eq!(names(&sealed), ["ciphertextBlob", "cmkUuid", "keyVersionId"], "{plane}");
                assert_eq!(sealed["keyVersionId"], key["primaryKeyVersion"], "{plane}");
                let again = call("/keyCompute/encrypt", request).result();
                assert_ne!(
                    sealed["ciphertextBlob"], again["ciphertextBlob"],
                    "{plane}: never twice the same"
                );
                let opened =
                    call("/keyCompute/decrypt", json!({"ciphertextBlob": sealed["ciphertextBlob"]})).result();
                assert_eq!(names(&opened), ["cmkUuid", "keyVersionId", "plaintext"], "{plane}");
                assert_eq!(unbase64(&opened["plaintext"]), plaintext, "{plane} {spec}");
            }
        }
    }
}

#[test]
fn a_data_key_has_the_length_asked_for_and_opens_with_decrypt() {
    let service = Service::start();
    for (plane, call) in service.planes() {
        let key = call(CREATE, json!({})).result()["cmkUuid"].clone();
        for (request, length) in [
            (json!({}), 32),
            (json!({"keySpec": "AES_256"}), 32),
            (json!({"keySpec": "AES_128"}), 16),
            (json!({"keySpec": "SM4_128"}), 16),
            (json!({"numberOfBytes": 1}), 1),
            (json!({"numberOfBytes": "1024", "keySpec": "AES_128"}), 1024),
            (json!({"encryptionContext": "{\"a\":\"b\"}"}), 32),
        ] {
            let mut request = request;
            request["cmkUuid"] = key.clone();
            let shown = call("/keyCompute/generateDataKey", request.clone()).result();
            let fields = ["ciphertextBlob", "cmkUuid", "keyVersionId", "plaintext"];
            assert_eq!(names(&shown), fields, "{plane} {request}");
            let hidden = call("/keyCompute/generateDataKeyWithoutPlaintext", request.clone()).result();
            assert_eq!(names(&hidden), fields[..3], "{plane} {request}");
            let mut open = json!({});
            if let Some(context) = request.get("encryptionContext") {
                open["encryptionContext"] = context.clone();
            }
            open["ciphertextBlob"] = shown["ciphertextBlob"].clone();
            let opened = call("/keyCompute/decrypt", open.clone()).result();
            assert_eq!(opened["plaintext"], shown["plaintext"], "{plane} {request}");
            assert_eq!(unbase64(&opened["plaintext"]).len(), length, "{plane} {request}");
            open["ciphertextBlob"] = hidden["ciphertextBlob"].clone();
            let opened = call("/keyCompute/decrypt", open).result();
            assert_eq!(unbase64(&opened["plaintext"]).len(), length, "{plane} {request}");
            assert_ne!(opened["plaintext"], shown["plaintext"], "{plane} {request}");
        }
    }
}

#[test]
fn a_mac_is_the_same_on_both_planes_and_for_the_version_named() {
    let service = Service::start();
    let key = service.admin().ok(CREATE, json!({"aliasName": "alias/mac"}));
    let other = service.admin().ok(CREATE, json!({}));
    let mut seen = Vec::new();
    for (plane, call) in service.planes() {
        let mac = |key: &Value, input: &str| {
            call("/get/hmaccompute", json!({"cmkUuid": key, "input": input})).result()
        };
        let default = mac(&key["cmkUuid"], "abc");
        assert_eq!(names(&default), ["cmkUuid", "hmacoutput", "keyVersionId"], "{plane}");
        assert_eq!(default["keyVersionId"], key["primaryKeyVersion"], "{plane}");
        let hex = default["hmacoutput"].as_str().unwrap();
        assert!(
            hex.len() == 64 && hex.bytes().all(|byte| b"0123456789abcdef".contains(&byte)),
            "{plane} {hex}"
        );
        let named = json!({"cmkUuid": "alias/mac", "input": "abc", "keyVersionId": key["primaryKeyVersion"]});
        assert_eq!(call("/get/hmaccompute", named).result(), default, "{plane}");
        assert_ne!(mac(&key["cmkUuid"], "abd")["hmacoutput"], default["hmacoutput"], "{plane}");
        assert_ne!(mac(&other["cmkUuid"], "abc")["hmacoutput"], default["hmacoutput"], "{plane}");
        seen.push(default);
    }
    assert_eq!(seen[0], seen[1]);
}

/// The value for "abc" is that of GB/T 32905, annex A.1.
#[test]
fn a_digest_is_sm3_of_the_utf8_bytes() {
    use sm3::Digest as _;
    let service = Service::start();
    for (plane, call) in service.planes() {
        let digest = |input: &str| call("/get/messageDigest", json!({"input": input})).result();
        let abc = digest("abc");
        assert_eq!(names(&abc), ["output"], "{plane}");
        assert_eq!(
            hex::encode(unbase64(&abc["output"])),
            "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
            "{plane}"
        );
        assert_eq!(
            unbase64(&digest("钥库\n\u{0}")["output"]),
            sm3::Sm3::digest("钥库\n\u{0}").to_vec(),
            "{plane}"
        );
    }
}

#[test]
fn random_bytes_come_in_the_length_asked_for_under_both_spellings() {
    let service = Service::start();
    for (plane, call) in service.planes() {
        for path in ["/certificatecompute/getRandom", "/certificateCompute/getRandom"] {
            for (request, length) in [
                (json!({}), 32),
                (json!({"length": 1}), 1),
                (json!({"length": "1024"}), 1024),
                (json!({"numberOfBytes": 16}), 16),
            ] {
                let random = call(path, request.clone()).result();
                assert_eq!(names(&random), ["random"], "{plane}");
                assert_eq!(unbase64(&random["random"]).len(), length, "{plane} {path} {request}");
            }
        }
        let twice = [0, 1].map(|_| call("/certificatecompute/getRandom", json!({})).result());
        assert_ne!(twice[0], twice[1], "{plane}");
    }
}

#[test]
fn the_default_access_point_exists_from_the_start() {
    let service = Service::start();
    let admin = service.admin();
    let path = "/accessPoint/listApplicationAccessPoint";
    let expected = json!({
        "accessPointId": service.first["accessPointId"], "name": "default",
        "instanceId": service.first["instanceId"], "vpcId": "vpc-default", "subnetId": "subnet-default",
        "endpoint": service.ready.access_point, "projectId": "default", "description": "",
        "policyCheckOpen": false, "createTime": "2026-11-02T00:00:00Z",
    });
    for (filter, number) in [
        (json!({}), 1),
        (json!({"name": "efau"}), 1),
        (json!({"instanceId": service.first["instanceId"]}), 1),
        (json!({"name": "other"}), 0),
        (json!({"pageNo": 2}), 0),
    ] {
        let page = admin.ok(path, filter.clone());
        let points = page["accessPoints"].as_array().unwrap();
        assert_eq!(points.len(), number, "{filter}");
        assert!(points.iter().all(|point| *point == expected), "{page}");
    }
    let credentials = admin.ok("/userAk/listUserAk", json!({"accessPointId": expected["accessPointId"]}));
    assert_eq!(credentials["totalCount"], 0, "without credentials");
}

#[test]
fn an_access_point_has_several_credentials_whose_secrets_are_shown_once() {
    let service = Service::start();
    let admin = service.admin();
    let point = &service.first["accessPointId"];
    let made: Vec<Value> = (0..3)
        .map(|_| {
            service.clock.advance(Duration::from_secs(1));
            admin.ok("/userAk/createUserAk", json!({"accessPointId": point}))
        })
        .collect();
    for credential in &made {
        assert_eq!(names(credential), ["accessKey", "createTime", "secretKey", "status"]);
        assert_eq!(credential["status"], "Enabled");
        let key = credential["accessKey"].as_str().unwrap();
        assert!(key.len() == 32 && key.bytes().all(|byte| b"0123456789abcdef".contains(&byte)), "{key}");
    }
    let page = admin.call("/userAk/listUserAk", json!({"accessPointId": point, "pageSize": 2}));
    let whole = admin.call("/userAk/listUserAk", json!({"accessPointId": point}));
    let without_secret = |credential: &Value| json!({"accessKey": credential["accessKey"], "status": "Enabled", "createTime": credential["createTime"]});
    let expected: Vec<Value> = made.iter().map(without_secret).collect();
    assert_eq!(whole.result()["userAks"], json!(expected));
    assert_eq!(page.result()["userAks"], json!(expected[..2]));
    assert_eq!(page.result()["totalCount"], 3);
    for credential in &made {
        let secret = credential["secretKey"].as_str().unwrap();
        assert!(secret.len() >= 32 && !whole.body.to_string().contains(secret));
    }
}

#[test]
fn a_new_account_can_work_at_once() {
    let service = Service::start();
    let (person, account) = service.tenant();
    let fields = ["accessPointId", "accountId", "console", "instanceId", "openapi", "region"];
    assert_eq!(names(&account), fields);
    assert_eq!(names(&account), names(&service.first), "the same form as first-run.json");
    assert_eq!(account["region"], "local");
    assert_eq!(account["console"]["user"], "admin");
    assert_eq!(account["console"]["password"].as_str().unwrap().len(), 20);
    let key = person.ok(CREATE, json!({}));
    assert_eq!(key["instanceId"], account["instanceId"]);
    let application = service.application(&person, &account);
    application.ok("/keyCompute/encrypt", json!({"cmkUuid": key["cmkUuid"], "plaintext": "AA=="}));
}

#[test]
fn the_system_describes_itself_to_every_person() {
    let service = Service::start();
    let (second, _) = service.tenant();
    for person in [service.admin(), second] {
        let system = person.ok("/system/describeSystem", json!({}));
        assert_eq!(system["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!((&system["region"], &system["time"]), (&json!("local"), &json!("2026-11-02T00:00:00Z")));
        assert_eq!((&system["machineState"], &system["storeHealthy"]), (&json!("Operational"), &json!(true)));
        assert_eq!(system["partitions"], 3, "the machine's own and one of each tenant");
        assert_eq!(system["auditHead"].as_str().unwrap().len(), 64);
        assert!(system["auditRecords"].as_u64().unwrap() > 0 && system["commits"].as_u64().unwrap() > 0);
    }
}

#[test]
fn read_operations_take_get_on_the_planes_they_reach() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let key = admin.ok(CREATE, json!({"aliasName": "alias/get", "description": "一"}));
    let id = key["cmkUuid"].as_str().unwrap();
    let described = admin.ok(DESCRIBE, json!({"cmkUuid": id}));
    let fields = json!({"cmkUuid": "alias/get"});
    assert_eq!(admin.get(DESCRIBE, &format!("cmkUuid={id}")).result(), described);
    assert_eq!(admin.get(DESCRIBE, "cmkUuid=alias%2Fget").result(), described);
    assert_eq!(application.get(DESCRIBE, "cmkUuid=alias%2Fget", fields).result(), described);
    let page = admin.get(LIST, "pageSize=1&pageNo=1&aliasName=alias%2Fget").result();
    assert_eq!(page["keys"], json!([described]));
    let page =
        application.get(LIST, "pageSize=1&keySpec=AES_256", json!({"pageSize": "1", "keySpec": "AES_256"}));
    assert_eq!(page.result()["keys"], json!([described]));
    admin.get("/system/describeSystem", "").result();
    assert_eq!(admin.get("/audit/queryAudit", "pageSize=1").result()["records"].as_array().unwrap().len(), 1);
    let point = service.first["accessPointId"].as_str().unwrap();
    let listed = admin.get("/userAk/listUserAk", &format!("accessPointId={point}"));
    assert_eq!(listed.result()["totalCount"], 1);
    let points = admin.get("/accessPoint/listApplicationAccessPoint", "name=default").result();
    assert_eq!(points["totalCount"], 1);
}

fn form(answer: &Answer) -> (u16, Value) {
    let mut body = answer.body.clone();
    for at in ["/requestId", "/returnObj/requestId"] {
        if let Some(id) = body.pointer_mut(at) {
            assert!(id.as_str().is_some_and(|id| id.len() == 36), "{answer:?}");
            *id = json!("id");
        }
    }
    (answer.status, body)
}

#[test]
fn answers_have_the_form_of_their_plane_and_settings() {
    let digest = json!({"output": "Zsfw9GLu7dnR8tRr3BDk4kFnxIdc8veiKX2gK49LqOA="});
    let message = "CmkUuid cannot be empty";
    let bare_success = json!({"code": 200, "result": digest, "statusCode": 200, "success": 1});
    let bare = json!({
        "code": "KMS.0102", "message": message, "statusCode": 400, "success": 0, "requestId": "id",
    });
    let gateway = json!({
        "statusCode": 900, "error": "MissingParameter", "errorCode": "KMS.0102", "message": message,
        "description": "必填参数缺失或为空", "requestId": "id", "returnObj": bare,
    });
    let gateway_success = json!({"statusCode": 800, "returnObj": bare_success});
    for (envelope, status, success, failure) in [
        (EnvelopeForm::Gateway, StatusForm::Ctyun, &gateway_success, (200, gateway.clone())),
        (EnvelopeForm::Gateway, StatusForm::Rest, &gateway_success, (400, gateway.clone())),
        (EnvelopeForm::Bare, StatusForm::Ctyun, &bare_success, (400, bare.clone())),
        (EnvelopeForm::Bare, StatusForm::Rest, &bare_success, (400, bare.clone())),
    ] {
        let service = Service::start_with(|config| {
            (config.openapi.envelope, config.openapi.http_status) = (envelope, status);
        });
        let admin = service.admin();
        let request = json!({"input": "abc"});
        assert_eq!(form(&admin.call("/get/messageDigest", request.clone())), (200, success.clone()));
        assert_eq!(form(&admin.call("/cmkManage/enableKey", json!({}))), failure);
        let unknown = admin.call("/no/such", json!({}));
        assert_eq!((unknown.status, unknown.code().as_str()), (404, "KMS.9062"), "always the real status");
        let application = service.first_application();
        let answer = application.call("/get/messageDigest", request);
        assert_eq!(form(&answer), (200, json!({"code": 200, "data": digest})));
        let aap = json!({
            "code": 400, "errorCode": "KMS.0102", "message": message, "data": null, "requestId": "id",
        });
        assert_eq!(form(&application.call("/cmkManage/enableKey", json!({}))), (400, aap));
    }
}

#[test]
fn answers_carry_the_request_id_and_are_not_to_be_stored() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    for (path, body) in
        [("/get/messageDigest", "{\"input\":\"a\"}"), ("/get/messageDigest", "{}"), ("/no", "")]
    {
        let request =
            EopRequest { id: format!("my id {path}{body}"), ..admin.request(path, body.as_bytes()) };
        let id = request.id.clone();
        let answer = admin.send(request);
        assert_eq!(answer.header("ctyun-eop-request-id"), Some(id.as_str()));
        assert_eq!(answer.header("x-trace-id"), Some(id.as_str()));
        assert!(answer.body["requestId"].as_str().is_none_or(|shown| shown == id));
        let mut answers = vec![answer];
        let answer = application.call(path, serde_json::from_str(body).unwrap_or(json!({})));
        let made = answer.header("x-request-id").unwrap();
        assert_eq!((made.len(), answer.header("x-trace-id")), (36, Some(made)));
        assert!(answer.body["requestId"].as_str().is_none_or(|shown| shown == made));
        answers.push(answer);
        for answer in answers {
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
    }
}

fn total(person: &OpenApi) -> Value {
    person.ok(LIST, json!({}))["totalCount"].clone()
}

#[test]
fn a_client_token_returns_the_first_result_also_after_a_restart() {
    let mut service = Service::start();
    let admin = service.admin();
    let create = json!({"clientToken": "t", "description": "one"});
    let key = admin.ok(CREATE, create.clone());
    let point = json!({"clientToken": "t", "accessPointId": service.first["accessPointId"]});
    let credential = admin.ok("/userAk/createUserAk", point.clone());
    let reordered = json!({"description": "one", "clientToken": "t"});
    for request in [create.clone(), reordered] {
        assert_eq!(admin.ok(CREATE, request), key);
    }
    assert_eq!(admin.ok("/userAk/createUserAk", point.clone()), credential);
    for other in [json!({"clientToken": "t"}), json!({"clientToken": "t", "description": "two"})] {
        assert_eq!(admin.refused(CREATE, other), "KMS.9020");
    }
    service.restart();
    let admin = service.admin();
    assert_eq!(admin.ok(CREATE, create), key);
    assert_eq!(admin.ok("/userAk/createUserAk", point), credential);
    assert_eq!(total(&admin), 1);
}

#[test]
fn every_create_operation_takes_a_client_token() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({}))["cmkUuid"].clone();
    for (path, body) in [
        ("/keyName/createAlias", json!({"cmkUuid": key, "aliasName": "alias/once", "clientToken": "t"})),
        ("/account/createAccount", json!({"name": "once", "clientToken": "t"})),
        (
            "/userAk/createUserAk",
            json!({"accessPointId": service.first["accessPointId"], "clientToken": "t"}),
        ),
        (CREATE, json!({"clientToken": "t", "aliasName": "alias/new"})),
    ] {
        let first = admin.ok(path, body.clone());
        assert_eq!(admin.ok(path, body), first, "{path}: the token is its operation's own");
    }
    assert_eq!(total(&admin), 2);
    assert_eq!(admin.ok("/system/describeSystem", json!({}))["partitions"], 3);
}

#[test]
fn a_client_token_belongs_to_one_principal() {
    let service = Service::start();
    let request = json!({"clientToken": "t"});
    let mut made = vec![service.admin().ok(CREATE, request.clone())];
    made.push(service.first_application().ok(CREATE, request.clone()));
    let (second, account) = service.tenant();
    made.push(second.ok(CREATE, request.clone()));
    made.push(service.application(&second, &account).ok(CREATE, request));
    let mut ids: Vec<String> = made.iter().map(|key| key["cmkUuid"].to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn a_client_token_is_forgotten_after_a_day_and_can_serve_again() {
    let service = Service::start();
    let admin = service.admin();
    let request = json!({"clientToken": "t"});
    let first = admin.ok(CREATE, request.clone());
    service.clock.advance(DAY - Duration::from_secs(1));
    assert_eq!(admin.ok(CREATE, request.clone()), first);
    service.clock.advance(Duration::from_secs(2));
    let second = admin.ok(CREATE, request.clone());
    assert_ne!(second["cmkUuid"], first["cmkUuid"]);
    assert_eq!(admin.ok(CREATE, request.clone()), second, "the second day's first result");
    service.clock.advance(Duration::from_secs(120));
    assert_eq!(admin.ok(CREATE, request), second, "also minutes later");
    assert_eq!(total(&admin), 2);
}

#[test]
fn racing_calls_with_one_client_token_make_one_key() {
    let service = Service::start();
    let admin = service.admin();
    parallel(8, |_| total(&admin));
    for round in 0..10 {
        let request =
            json!({"clientToken": format!("t{round}"), "aliasName": format!("alias/raced-{round}")});
        let answers = parallel(8, |_| admin.call(CREATE, request.clone()));
        let key = admin.ok(CREATE, request);
        for answer in answers {
            if answer.body["statusCode"] == 800 {
                assert_eq!(answer.result(), key);
            } else {
                assert_eq!(answer.code(), "KMS.9071", "a loser may be told to retry, not that it failed");
            }
        }
    }
    assert_eq!(total(&admin), 10);
}
