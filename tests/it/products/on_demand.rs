//! Keys on demand: they belong to their account and to no service, where the account may have any (contract section 1).

use std::time::Duration;

use serde_json::{Value, json};

use super::{CREATE, DECRYPT, DESCRIBE, ENCRYPT, LIST, text};
use crate::kit::{OpenApi, Service, parallel, poll};
use crate::material::{IMPORT, Way};

const UPDATE: &str = "/account/updateAccount";
const DESCRIBE_ACCOUNT: &str = "/account/describeAccount";

fn allow(service: &Service, account: &Value, on: bool) {
    let answer = service.admin().ok(UPDATE, json!({"accountId": account["accountId"], "onDemandKeys": on}));
    assert_eq!(answer["onDemandKeys"], on);
}

fn on_demand(person: &OpenApi) -> Value {
    person.ok(CREATE, json!({"instanceId": "on-demand"}))
}

#[test]
fn an_account_has_keys_on_demand_where_an_administrator_allows_them() {
    let service = Service::start();
    let (second, account) = service.tenant();
    let request = json!({"instanceId": "on-demand", "aliasName": "alias/mine"});
    let answer = second.call(CREATE, request.clone());
    assert_eq!(answer.code(), "KMS.9027");
    assert!(answer.body["message"].as_str().unwrap().contains("administrator"), "{answer:?}");
    let of = json!({"accountId": account["accountId"]});
    assert_eq!(service.admin().ok(DESCRIBE_ACCOUNT, of.clone())["onDemandKeys"], false);
    assert_eq!(
        second.refused(UPDATE, json!({"accountId": account["accountId"], "onDemandKeys": true})),
        "KMS.9044"
    );
    assert_eq!(second.refused(DESCRIBE_ACCOUNT, of.clone()), "KMS.9044");
    allow(&service, &account, true);
    let key = second.ok(CREATE, request);
    assert_eq!((&key["instanceId"], &key["chargeMode"]), (&json!("on-demand"), &json!("ON_DEMAND")));
    assert_eq!((&key["isDefault"], &key["projectId"]), (&json!(false), &json!("default")));
    // What is not said stays as it is.
    assert_eq!(service.admin().ok(UPDATE, of.clone())["onDemandKeys"], true);
    allow(&service, &account, false);
    assert_eq!(second.refused(CREATE, json!({"instanceId": "on-demand"})), "KMS.9027");
    let sealed = second.ok(ENCRYPT, text(&key));
    second.ok(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
    assert_eq!(second.ok(LIST, json!({"instanceId": "on-demand"}))["totalCount"], 1);
    let listed = service.admin().ok("/account/listAccount", json!({"name": "second"}));
    assert_eq!(listed["accounts"][0], service.admin().ok(DESCRIBE_ACCOUNT, of));
}

#[test]
fn an_account_may_have_them_from_the_start() {
    let service = Service::start();
    let account =
        service.admin().ok("/account/createAccount", json!({"name": "third", "onDemandKeys": true}));
    on_demand(&service.person(&account));
}

/// Also in both levels, with rotation, and with material from outside.
#[test]
fn every_kind_of_key_can_be_on_demand() {
    let mut service = Service::start_with(|config| config.import.spare_wrapping_keys = 1);
    allow(&service, &service.first, true);
    let admin = service.admin();
    let with = |fields: Value| {
        let mut body = json!({"instanceId": "on-demand"});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        admin.ok(CREATE, body)
    };
    let plain = with(json!({"protectionLevel": "HSM"}));
    let sm4 = with(json!({"keySpec": "Ctyun_SM4", "enableAutomaticRotation": true, "rotationInterval": 7}));
    let pair = with(json!({"keySpec": "Ctyun_SM2", "keyUsage": "SIGN/VERIFY"}));
    let external = with(json!({"origin": "External"}));
    admin.ok(IMPORT, Way::new(&admin, &external["cmkUuid"], "RSAES_OAEP_SHA_256").body(&[7; 32]));
    let more = admin.ok("/versionControl/createKeyVersion", json!({"cmkUuid": pair["cmkUuid"]}));
    let sign = json!({
        "cmkUuid": pair["cmkUuid"], "keyVersionId": more["keyVersionId"], "algorithm": "SM2DSA",
        "digest": crate::kit::base64([7; 32]),
    });
    admin.ok("/asymmetric/asymmetricSign", sign.clone());
    let sealed = [&plain, &sm4, &external].map(|key| admin.ok(ENCRYPT, text(key)));
    service.clock.advance(Duration::from_secs(7 * 24 * 3600));
    poll("a rotation", || {
        let described = admin.ok(DESCRIBE, json!({"cmkUuid": sm4["cmkUuid"]}));
        (described["primaryKeyVersion"] != sm4["primaryKeyVersion"]).then_some(())
    });
    service.restart();
    let admin = service.admin();
    for sealed in sealed {
        admin.ok(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
    }
    admin.ok("/asymmetric/asymmetricSign", sign);
}

#[test]
fn lists_show_them_apart_and_access_points_never() {
    let service = Service::start();
    allow(&service, &service.first, true);
    let (admin, application) = (service.admin(), service.first_application());
    let key = admin.ok(
        CREATE,
        json!({"instanceId": "on-demand", "aliasName": "alias/free", "tags": [{"tagKey": "a", "tagValue": "b"}]}),
    );
    let other =
        admin.ok(CREATE, json!({"aliasName": "alias/bound", "tags": [{"tagKey": "c", "tagValue": "d"}]}));
    let first = |page: &Value, list: &str, field: &str| page[list][0][field].clone();
    for (path, list, field, free, bound) in [
        (LIST, "keys", "cmkUuid", &key["cmkUuid"], &other["cmkUuid"]),
        ("/keyManage/listSymmetricKeys", "keys", "cmkUuid", &key["cmkUuid"], &other["cmkUuid"]),
        ("/keyName/listAlias", "aliases", "aliasName", &json!("alias/free"), &json!("alias/bound")),
        ("/tag/listTagResources", "tagResources", "resourceId", &key["cmkUuid"], &other["cmkUuid"]),
        ("/tag/listTagKeys", "tagKeys", "tagKey", &json!("a"), &json!("c")),
    ] {
        let all = admin.ok(path, json!({}));
        assert_eq!(all["totalCount"], 2, "{path}");
        for (named, expected) in [(json!("on-demand"), free), (service.first["instanceId"].clone(), bound)] {
            let page = admin.ok(path, json!({"instanceId": named}));
            assert_eq!(
                (&page["totalCount"], &first(&page, list, field)),
                (&json!(1), expected),
                "{path} {named}"
            );
        }
        if !path.starts_with("/tag/") {
            let page = application.ok(path, json!({}));
            assert_eq!((&page["totalCount"], &first(&page, list, field)), (&json!(1), bound), "{path}");
            assert_eq!(application.refused(path, json!({"instanceId": "on-demand"})), "KMS.9005");
        }
    }
    let points = admin.ok("/accessPoint/listApplicationAccessPoint", json!({"instanceId": "on-demand"}));
    assert_eq!(points["totalCount"], 0);
    assert_eq!(application.refused(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]})), "KMS.9001");
    assert_eq!(application.refused(ENCRYPT, text(&key)), "KMS.9001");
    assert_eq!(application.refused(CREATE, json!({"instanceId": "on-demand"})), "KMS.9005");
    let (second, _) = service.tenant();
    assert_eq!(second.refused(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]})), "KMS.9001");
}

#[test]
fn their_quota_is_one_of_their_own() {
    let service = Service::start_with(|config| {
        config.quota.keys_per_base_instance = 0;
        config.quota.on_demand_keys_per_account = 3;
    });
    allow(&service, &service.first, true);
    let admin = service.admin();
    let answers = parallel(16, |_| admin.call(CREATE, json!({"instanceId": "on-demand"})));
    let made = answers.iter().filter(|answer| answer.success().is_some()).count();
    assert_eq!(made, 3);
    assert!(answers.iter().all(|answer| answer.success().is_some() || answer.code() == "KMS.9030"));
    assert_eq!(admin.refused(CREATE, json!({})), "KMS.9030");
    assert_eq!(admin.ok("/resource/resourceInfo", json!({}))["keyUsed"], 0);
}
