//! Cloud products and the keys that serve them. A default key is one for each product and account, serves its product alone, and
//! nobody changes it.

mod associations;
mod credentials;
mod matrix;
mod on_demand;
mod rates;

use serde_json::{Value, json};
use yaoku::error::Error;
use yaoku::ids::KeyId;
use yaoku::model::alias::Alias;
use yaoku::model::key::Key;
use yaoku::store::Changes;

use crate::kit::{OpenApi, Service, base64, parallel, poll, unbase64};
use crate::planted::commit;

pub const DEFAULT: &str = "/cmkManage/createDefaultKey";
pub const CREATE: &str = "/cmkManage/createKey";
pub const DESCRIBE: &str = "/keyManage/describeKey";
pub const LIST: &str = "/keyManage/listAliasKeys";
pub const CHOOSE: &str = "/keyManage/listSymmetricKeys";
pub const ENCRYPT: &str = "/keyCompute/encrypt";
pub const DECRYPT: &str = "/keyCompute/decrypt";
pub const DATA_KEY: &str = "/keyCompute/generateDataKey";
const RE_ENCRYPT: &str = "/keyCompute/reEncrypt";

const CODES: [&str; 6] = ["ecs", "zos", "sfs", "mysql", "postgresql", "dds"];

/// The default key of a product, as a person makes it.
pub fn default_key(person: &OpenApi, code: &str) -> Value {
    person.ok(DEFAULT, json!({"serviceCode": code}))
}

pub fn text(key: &Value) -> Value {
    json!({"cmkUuid": key["cmkUuid"], "plaintext": base64("kept")})
}

fn opened(caller: &OpenApi, sealed: &Value) -> Vec<u8> {
    unbase64(&caller.ok(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]}))["plaintext"])
}

#[test]
fn a_default_key_is_what_the_contract_says_and_counts_in_no_quota() {
    let service = Service::start_with(|config| config.quota.keys_per_base_instance = 0);
    let (admin, (second, _)) = (service.admin(), service.tenant());
    for code in CODES {
        let key = default_key(&admin, code);
        let alias = format!("alias/{code}");
        for (field, value) in [
            ("keySpec", json!("AES_256")),
            ("keyUsage", json!("ENCRYPT/DECRYPT")),
            ("protectionLevel", json!("SOFTWARE")),
            ("origin", json!("Ctyun_KMS")),
            ("keyState", json!("Enabled")),
            ("automaticRotation", json!("Disabled")),
            ("isDefault", json!(true)),
            ("chargeMode", json!("DEFAULT")),
            ("instanceId", json!("")),
            ("creator", json!("admin")),
            ("aliasName", json!(alias)),
        ] {
            assert_eq!(key[field], value, "{field} of {key}");
        }
        for name in [alias, format!("alias_{code}")] {
            let described = admin.ok(DESCRIBE, json!({"cmkUuid": name}));
            assert_eq!(described["cmkUuid"], key["cmkUuid"]);
            assert_eq!(described["aliases"], json!([format!("alias/{code}")]));
        }
        assert_ne!(default_key(&second, code)["cmkUuid"], key["cmkUuid"], "each account has its own");
    }
    let listed = admin.ok(LIST, json!({}));
    assert_eq!(listed["totalCount"], 6);
    assert_eq!(admin.refused(CREATE, json!({})), "KMS.9030");
    assert_eq!(admin.refused(DEFAULT, json!({"serviceCode": "ebs"})), "KMS.9020");
    assert_eq!(admin.refused(DEFAULT, json!({})), "KMS.0101");
}

#[test]
fn many_who_want_a_default_key_get_the_same_one() {
    let service = Service::start();
    let admin = service.admin();
    let product = service.product(&admin, "ecs");
    let before = service.audit().len();
    let answers = parallel(64, |number| match number % 2 {
        0 => admin.ok(DEFAULT, json!({"serviceCode": "ecs"})),
        _ => product.ok(DEFAULT, json!({"serviceCode": "ecs"})),
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(admin.ok(LIST, json!({}))["totalCount"], 1);
    let trail = service.audit();
    let made: Vec<&Value> =
        trail[before..].iter().filter(|record| record["eventName"] == "createDefaultKey").collect();
    assert_eq!(made.len(), 64);
    for record in made {
        assert!(record["errorCode"].is_null() && record["resourceName"] == "alias/ecs", "{record}");
        assert_eq!(record["resourceIds"], json!([answers[0]["cmkUuid"]]));
    }
}

/// What nobody may do to a default key (contract 5.1); whoever asks.
#[test]
fn nobody_changes_a_default_key_or_uses_it_for_anything_else() {
    let service = Service::start();
    let admin = service.admin();
    let key = default_key(&admin, "ecs");
    let (id, version) = (&key["cmkUuid"], &key["primaryKeyVersion"]);
    let other = admin.ok(CREATE, json!({"aliasName": "alias/other"}));
    let product = service.product(&admin, "ecs");
    let sealed = product.ok(ENCRYPT, text(&key));
    let digest = base64([7; 32]);
    let imported = json!({"cmkUuid": id, "importToken": base64([9; 16]), "encryptedKeyMaterial": digest});
    let with_version = |fields: Value| {
        let mut body = json!({"cmkUuid": id, "keyVersionId": version});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    let prohibited = [
        ("/cmkManage/disableKey", json!({"cmkUuid": id})),
        ("/cmkManage/enableKey", json!({"cmkUuid": id})),
        ("/cmkManage/scheduleKeyDeletion", json!({"cmkUuid": id, "pendingWindowInDays": 7})),
        ("/cmkManage/cancelKeyDeletion", json!({"cmkUuid": id})),
        ("/cmkManage/deleteProtect", json!({"cmkUuid": id})),
        ("/cmkManage/cancelDeleteProtect", json!({"cmkUuid": id})),
        ("/cmkManage/rehearseKeyDisabling", json!({"cmkUuid": id, "enableRehearsal": true})),
        ("/keyManage/updateKeyDescription", json!({"cmkUuid": id, "description": "mine"})),
        ("/keyName/createAlias", json!({"cmkUuid": id, "aliasName": "alias/mine"})),
        ("/keyName/updateAlias", json!({"cmkUuid": id, "aliasName": "alias/other"})),
        ("/keyName/updateAlias", json!({"cmkUuid": other["cmkUuid"], "aliasName": "alias/ecs"})),
        ("/keyName/deleteAlias", json!({"aliasName": "alias/ecs"})),
        ("/keyName/deleteAlias", json!({"aliasName": "alias_ecs"})),
        ("/versionControl/createKeyVersion", json!({"cmkUuid": id})),
        (
            "/versionControl/updateRotationPolicy",
            json!({"cmkUuid": id, "enableAutomaticRotation": true, "rotationInterval": "7d"}),
        ),
        (
            "/importKey/getParametersForImport",
            json!({"cmkUuid": id, "wrappingKeySpec": "RSA_2048", "wrappingAlgorithm": "RSAES_OAEP_SHA_256"}),
        ),
        ("/importKey/importKeyMaterial", imported),
        ("/importKey/deleteKeyMaterial", json!({"cmkUuid": id})),
        ("/get/hmaccompute", json!({"cmkUuid": id, "input": "text"})),
        (
            "/asymmetric/asymmetricSign",
            with_version(json!({"algorithm": "RSA_PSS_SHA_256", "digest": digest})),
        ),
        (
            "/asymmetric/asymmetricEncrypt",
            with_version(json!({"algorithm": "RSAES_OAEP_SHA_256", "plaintext": digest})),
        ),
        ("/asymmetric/getPublicKey", with_version(json!({}))),
        (ENCRYPT, text(&key)),
        (DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]})),
        (DATA_KEY, json!({"cmkUuid": id})),
        ("/keyCompute/generateDataKeyWithoutPlaintext", json!({"cmkUuid": id})),
        ("/keyCompute/getDataKey", json!({"ciphertextBlob": sealed["ciphertextBlob"]})),
        (
            RE_ENCRYPT,
            json!({"ciphertextBlob": sealed["ciphertextBlob"], "destinationCmkUuid": other["cmkUuid"]}),
        ),
    ];
    let described = admin.ok(DESCRIBE, json!({"cmkUuid": id}));
    for (path, body) in &prohibited {
        assert_eq!(admin.refused(path, body.clone()), "KMS.9029", "{path} {body}");
    }
    let theirs = prohibited.iter().take_while(|(path, _)| *path != ENCRYPT);
    for (path, body) in theirs {
        assert_eq!(product.refused(path, body.clone()), "KMS.9044", "{path} by the product itself");
    }
    assert_eq!(admin.refused(CREATE, json!({"aliasName": "alias/zos"})), "KMS.9020", "reserved");
    assert_eq!(admin.ok(DESCRIBE, json!({"cmkUuid": id})), described);
    assert_eq!(opened(&product, &sealed), b"kept");
    let tags = json!([{"tagKey": "team", "tagValue": "disks"}]);
    admin.ok("/tag/tagResources", json!({"resourceType": "CMK", "resourceIds": [id], "tags": tags}));
    assert_eq!(admin.ok(DESCRIBE, json!({"cmkUuid": "alias/ecs"}))["tags"], tags);
}

#[test]
fn no_access_point_reaches_a_default_key() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let key = default_key(&admin, "mysql");
    let sealed = service.product(&admin, "mysql").ok(ENCRYPT, text(&key));
    let own = application.ok(CREATE, json!({}));
    for (path, body, code) in [
        (DESCRIBE, json!({"cmkUuid": key["cmkUuid"]}), "KMS.9001"),
        (DESCRIBE, json!({"cmkUuid": "alias/mysql"}), "KMS.9001"),
        (ENCRYPT, text(&key), "KMS.9001"),
        (DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]}), "KMS.9001"),
        ("/keyName/deleteAlias", json!({"aliasName": "alias/mysql"}), "KMS.9003"),
        (DEFAULT, json!({"serviceCode": "mysql"}), "KMS.9062"),
    ] {
        assert_eq!(application.refused(path, body), code, "{path}");
    }
    for path in [LIST, CHOOSE] {
        let listed = application.ok(path, json!({}));
        assert_eq!((&listed["totalCount"], &listed["keys"][0]["cmkUuid"]), (&json!(1), &own["cmkUuid"]));
    }
    assert_eq!(application.ok("/keyName/listAlias", json!({}))["totalCount"], 0);
}

#[test]
fn a_product_uses_its_own_default_key_and_the_accounts_other_keys() {
    let service = Service::start();
    let (admin, (second, _)) = (service.admin(), service.tenant());
    let (ecs, zos) = (service.product(&admin, "ecs"), service.product(&admin, "zos"));
    let (own, foreign) = (default_key(&ecs, "ecs"), default_key(&admin, "zos"));
    assert_eq!(own["creator"], "ecs");
    let mine = admin.ok(CREATE, json!({"keySpec": "Ctyun_SM4"}));
    for key in [&own, &mine] {
        let sealed = ecs.ok(ENCRYPT, text(key));
        assert_eq!(opened(&ecs, &sealed), b"kept");
        let detail = ecs.ok("/keyCompute/getDataKey", json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
        assert_eq!(detail["numberOfBytes"], 4);
        assert_eq!(ecs.ok(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]}))["cmkUuid"], key["cmkUuid"]);
    }
    let theirs = zos.ok(ENCRYPT, text(&foreign));
    for (path, body) in [
        (ENCRYPT, text(&foreign)),
        (DATA_KEY, json!({"cmkUuid": "alias/zos"})),
        (DECRYPT, json!({"ciphertextBlob": theirs["ciphertextBlob"]})),
        (DESCRIBE, json!({"cmkUuid": foreign["cmkUuid"]})),
        (
            RE_ENCRYPT,
            json!({"ciphertextBlob": theirs["ciphertextBlob"], "destinationCmkUuid": own["cmkUuid"]}),
        ),
    ] {
        assert_eq!(ecs.refused(path, body), "KMS.9029", "{path}");
    }
    // Both keys of a reEncrypt must serve the product.
    let sealed = ecs.ok(ENCRYPT, text(&mine));
    let to = |key: &Value| json!({"ciphertextBlob": sealed["ciphertextBlob"], "destinationCmkUuid": key["cmkUuid"]});
    assert_eq!(ecs.refused(RE_ENCRYPT, to(&foreign)), "KMS.9029");
    let moved = ecs.ok(RE_ENCRYPT, to(&own));
    assert_eq!((&moved["cmkUuid"], opened(&ecs, &moved)), (&own["cmkUuid"], b"kept".to_vec()));
    assert_eq!(ecs.refused(DEFAULT, json!({"serviceCode": "zos"})), "KMS.9044");
    // Nothing of another account is there.
    let elsewhere = second.ok(CREATE, json!({}));
    assert_eq!(ecs.refused(ENCRYPT, text(&elsewhere)), "KMS.9001");
    assert_eq!(service.product(&second, "ecs").refused(ENCRYPT, text(&own)), "KMS.9001");
    let asymmetric = admin.ok(CREATE, json!({"keySpec": "Ctyun_SM2"}));
    assert_eq!(ecs.refused(ENCRYPT, text(&asymmetric)), "KMS.9027");
}

/// Ids of the keys that a caller may choose from.
fn choice(caller: &OpenApi, body: Value) -> Vec<Value> {
    let page = caller.ok(CHOOSE, body);
    let keys: Vec<Value> =
        page["keys"].as_array().unwrap().iter().map(|key| key["cmkUuid"].clone()).collect();
    assert_eq!(page["totalCount"], keys.len());
    keys
}

#[test]
fn the_list_to_choose_from_has_the_symmetric_keys_that_serve_its_reader() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let ecs = service.product(&admin, "ecs");
    let ids = |keys: &[&Value]| -> Vec<Value> { keys.iter().map(|key| key["cmkUuid"].clone()).collect() };
    let aes = admin.ok(CREATE, json!({"aliasName": "alias/aes"}));
    admin.ok(CREATE, json!({"keySpec": "RSA_2048"}));
    let sm4 = admin.ok(CREATE, json!({"keySpec": "SM4"}));
    let off = admin.ok(CREATE, json!({}));
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": off["cmkUuid"]}));
    let external = admin.ok(CREATE, json!({"origin": "External"}));
    let (own, foreign) = (default_key(&admin, "ecs"), default_key(&admin, "zos"));
    // All were made at the same moment, so their order is that of their ids.
    let sorted = |mut keys: Vec<Value>| {
        keys.sort_by_key(|key| key.as_str().unwrap().to_owned());
        keys
    };
    assert_eq!(choice(&admin, json!({})), sorted(ids(&[&aes, &sm4, &own, &foreign])));
    assert_eq!(choice(&ecs, json!({})), sorted(ids(&[&aes, &sm4, &own])));
    for (body, keys) in [
        (json!({"keySpec": "Ctyun_SM4"}), vec![&sm4]),
        (json!({"keySpec": "RSA_2048"}), vec![]),
        (json!({"keyState": "Disabled"}), vec![&off]),
        (json!({"keyState": "PendingImport"}), vec![&external]),
        (json!({"instanceId": service.first["instanceId"], "keySpec": "AES_256"}), vec![&aes]),
        (json!({"instanceId": "on-demand"}), vec![]),
    ] {
        assert_eq!(choice(&ecs, body.clone()), ids(&keys), "{body}");
    }
    let page = application.ok(CHOOSE, json!({"keySpec": "AES_256"}));
    assert_eq!((&page["totalCount"], &page["keys"][0]["aliases"]), (&json!(1), &json!(["alias/aes"])));
    let shown = |key: &Value| {
        let page = admin.ok(CHOOSE, json!({"pageSize": 100}));
        page["keys"].as_array().unwrap().iter().find(|it| it["cmkUuid"] == key["cmkUuid"]).unwrap().clone()
    };
    assert_eq!(shown(&own)["isDefault"], true);
    assert_eq!(shown(&aes)["isDefault"], false);
    assert_eq!(shown(&sm4)["protectionLevel"], "HSM");
    let pages = [1, 2].map(|number| admin.ok(CHOOSE, json!({"pageSize": 3, "pageNumber": number})));
    assert_eq!(pages.map(|page| page["keys"].as_array().unwrap().len()), [3, 1]);
}

#[test]
fn as_in_the_cloud_products_have_their_default_key_and_keys_on_demand_alone() {
    let service = Service::start_with(|config| config.products.subscription_keys = false);
    let admin = service.admin();
    let account = json!({"accountId": service.first["accountId"], "onDemandKeys": true});
    admin.ok("/account/updateAccount", account);
    let ecs = service.product(&admin, "ecs");
    let (own, _) = (default_key(&ecs, "ecs"), default_key(&admin, "zos"));
    let of_service = admin.ok(CREATE, json!({}));
    let on_demand = admin.ok(CREATE, json!({"instanceId": "on-demand"}));
    ecs.ok(ENCRYPT, text(&own));
    let sealed = ecs.ok(ENCRYPT, text(&on_demand));
    for (path, body) in [
        (ENCRYPT, text(&of_service)),
        (DESCRIBE, json!({"cmkUuid": of_service["cmkUuid"]})),
        (
            RE_ENCRYPT,
            json!({"ciphertextBlob": sealed["ciphertextBlob"], "destinationCmkUuid": of_service["cmkUuid"]}),
        ),
    ] {
        assert_eq!(ecs.refused(path, body), "KMS.9044", "{path}");
    }
    let choice = choice(&ecs, json!({}));
    assert_eq!(choice.len(), 2);
    assert!(choice.contains(&own["cmkUuid"]) && choice.contains(&on_demand["cmkUuid"]));
    admin.ok(ENCRYPT, text(&of_service));
}

/// The name was free before it was reserved: whoever has it keeps the key, and gives the name away to get a default key.
#[test]
fn a_name_from_before_it_was_reserved_is_no_default_key() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({}));
    let id: KeyId = serde_json::from_value(key["cmkUuid"].clone()).unwrap();
    let stored: Key = service.app().store.get(&id).unwrap().unwrap();
    let alias = Alias {
        account: stored.account,
        name: "alias/ecs".parse().unwrap(),
        key: id,
        created: stored.created,
    };
    let mut changes = Changes::default();
    changes.insert(&alias, Error::AliasTaken).unwrap();
    commit(&service, changes);
    assert_eq!(admin.refused(DEFAULT, json!({"serviceCode": "ecs"})), "KMS.9021");
    admin.ok("/keyName/deleteAlias", json!({"aliasName": "alias/ecs"}));
    assert_ne!(default_key(&admin, "ecs")["cmkUuid"], key["cmkUuid"]);
}

/// The account's own partition, made for its first key without a service, is there after a restart, and rolls as others do.
#[test]
fn default_keys_and_product_credentials_survive_restarts_and_rolls_of_wrapping_keys() {
    let mut service = Service::start();
    let ecs = service.product(&service.admin(), "ecs");
    let key = default_key(&ecs, "ecs");
    let sealed = ecs.ok(ENCRYPT, text(&key));
    service.restart();
    let admin = service.admin();
    let ecs = OpenApi { endpoint: admin.endpoint.clone(), ..ecs };
    for roll in [json!({"accountId": service.first["accountId"]}), json!({"device": true})] {
        assert_eq!(opened(&ecs, &sealed), b"kept");
        let begun = admin.ok("/system/rollWrappingKey", roll);
        assert_eq!(begun["generation"], 2);
        poll("the end of the roll", || {
            let system = admin.ok("/system/describeSystem", json!({}));
            system["rolls"].as_array().unwrap().is_empty().then_some(())
        });
    }
    service.restart();
    let ecs = OpenApi { endpoint: service.admin().endpoint, ..ecs };
    assert_eq!(opened(&ecs, &sealed), b"kept");
    assert_eq!(default_key(&ecs, "ecs")["cmkUuid"], key["cmkUuid"]);
    let both = json!({"accountId": service.first["accountId"], "instanceId": service.first["instanceId"]});
    assert_eq!(service.admin().refused("/system/rollWrappingKey", both), "KMS.9020");
    let nobody = json!({"accountId": "0".repeat(32)});
    assert_eq!(service.admin().refused("/system/rollWrappingKey", nobody), "KMS.9005");
}

#[test]
fn the_figures_of_a_service_are_those_of_its_lists() {
    let service = Service::start_with(|config| {
        config.quota.keys_per_base_instance = 7;
        config.rates.symmetric.access_point = 2000;
        config.rates.asymmetric.access_point = 300;
    });
    let (admin, (second, _)) = (service.admin(), service.tenant());
    for _ in 0..3 {
        admin.ok(CREATE, json!({}));
    }
    default_key(&admin, "ecs");
    default_key(&admin, "dds");
    let expected = |instance: &Value, keys: u64, defaults: u64| {
        json!({
            "instanceId": instance, "edition": "ENTERPRISE", "status": "Running", "expireTime": "", "keyQuota": 7,
            "keyUsed": keys, "defaultKeyUsed": defaults, "certQuota": 1000, "certUsed": 0, "accessPointQuota": 3,
            "accessPointUsed": 1, "symmetricQps": 2000, "asymmetricQps": 300, "protectionLevel": "HSM",
        })
    };
    let first = &service.first["instanceId"];
    assert_eq!(admin.ok("/resource/resourceInfo", json!({})), expected(first, 3, 2));
    assert_eq!(admin.ok("/resource/resourceInfo", json!({"instanceId": first})), expected(first, 3, 2));
    assert_eq!(second.ok("/resource/resourceInfo", json!({}))["keyUsed"], 0);
    assert_eq!(second.refused("/resource/resourceInfo", json!({"instanceId": first})), "KMS.9005");
    assert_eq!(admin.refused("/resource/resourceInfo", json!({"instanceId": "on-demand"})), "KMS.9005");
}
