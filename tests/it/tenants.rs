//! Nothing is visible across accounts, and an access point reaches its own service only.

use serde_json::{Value, json};

use crate::kit::{Answer, Service, base64, new_id};

const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const LIST: &str = "/keyManage/listAliasKeys";

/// An answer without what differs from call to call.
fn form(mut answer: Answer) -> (u16, Value) {
    for at in ["/requestId", "/returnObj/requestId"] {
        if let Some(id) = answer.body.pointer_mut(at) {
            *id = Value::Null;
        }
    }
    (answer.status, answer.body)
}

#[test]
fn what_belongs_to_another_account_does_not_exist() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({"aliasName": "alias/theirs"}));
    let sealed =
        admin.ok("/keyCompute/encrypt", json!({"cmkUuid": key["cmkUuid"], "plaintext": base64("x")}));
    let (second, account) = service.tenant();
    let application = service.application(&second, &account);
    let (id, version) = (&key["cmkUuid"], &key["primaryKeyVersion"]);
    let (point, no) = (&service.first["accessPointId"], json!(new_id()));
    let (theirs, none) = ("alias/theirs", "alias/none");
    let both = [
        ("/cmkManage/enableKey", json!({"cmkUuid": id}), json!({"cmkUuid": no}), "KMS.9001"),
        ("/cmkManage/enableKey", json!({"cmkUuid": theirs}), json!({"cmkUuid": none}), "KMS.9003"),
        ("/cmkManage/disableKey", json!({"cmkUuid": id}), json!({"cmkUuid": no}), "KMS.9001"),
        ("/cmkManage/disableKey", json!({"cmkUuid": theirs}), json!({"cmkUuid": none}), "KMS.9003"),
        (DESCRIBE, json!({"cmkUuid": id}), json!({"cmkUuid": no}), "KMS.9001"),
        (DESCRIBE, json!({"cmkUuid": theirs}), json!({"cmkUuid": none}), "KMS.9003"),
        (
            "/keyName/createAlias",
            json!({"cmkUuid": id, "aliasName": "alias/n"}),
            json!({"cmkUuid": no, "aliasName": "alias/n"}),
            "KMS.9001",
        ),
        ("/keyName/deleteAlias", json!({"aliasName": theirs}), json!({"aliasName": none}), "KMS.9003"),
        (
            "/keyCompute/encrypt",
            json!({"cmkUuid": id, "plaintext": "AA=="}),
            json!({"cmkUuid": no, "plaintext": "AA=="}),
            "KMS.9001",
        ),
        ("/keyCompute/generateDataKey", json!({"cmkUuid": id}), json!({"cmkUuid": no}), "KMS.9001"),
        ("/keyCompute/generateDataKey", json!({"cmkUuid": theirs}), json!({"cmkUuid": none}), "KMS.9003"),
        (
            "/keyCompute/generateDataKeyWithoutPlaintext",
            json!({"cmkUuid": id}),
            json!({"cmkUuid": no}),
            "KMS.9001",
        ),
        (
            "/get/hmaccompute",
            json!({"cmkUuid": id, "input": "a", "keyVersionId": version}),
            json!({"cmkUuid": no, "input": "a", "keyVersionId": version}),
            "KMS.9001",
        ),
        (
            CREATE,
            json!({"instanceId": service.first["instanceId"]}),
            json!({"instanceId": "ins-AAAAAA"}),
            "KMS.9005",
        ),
    ];
    for (path, foreign, missing, code) in &both {
        for call in [&|body| second.call(path, body) as Answer, &|body| application.call(path, body)]
            as [&dyn Fn(Value) -> Answer; 2]
        {
            let refused = call(foreign.clone());
            assert_eq!(refused.code(), *code, "{path} {foreign}");
            assert_eq!(
                form(refused),
                form(call(missing.clone())),
                "{path} {foreign}: no difference to be seen"
            );
        }
    }
    let opened = |blob: &Value| second.refused("/keyCompute/decrypt", json!({"ciphertextBlob": blob}));
    assert_eq!(opened(&sealed["ciphertextBlob"]), "KMS.9001");
    for path in ["/userAk/createUserAk", "/userAk/listUserAk"] {
        let foreign = second.call(path, json!({"accessPointId": point}));
        assert_eq!(foreign.code(), "KMS.9005", "{path}");
        assert_eq!(form(foreign), form(second.call(path, json!({"accessPointId": no}))), "{path}");
    }
    let foreign = second.call(LIST, json!({"instanceId": service.first["instanceId"]}));
    assert_eq!(foreign.code(), "KMS.9005");
    assert_eq!(form(foreign), form(second.call(LIST, json!({"instanceId": "ins-AAAAAA"}))));
    let unchanged = admin.ok(DESCRIBE, json!({"cmkUuid": theirs}));
    assert_eq!((&unchanged["keyState"], &unchanged["aliases"]), (&json!("Enabled"), &json!([theirs])));
}

#[test]
fn lists_show_the_callers_own_only() {
    let service = Service::start();
    let admin = service.admin();
    let (second, account) = service.tenant();
    let application = service.application(&second, &account);
    admin.ok(CREATE, json!({"aliasName": "alias/one"}));
    let mine = second.ok(CREATE, json!({"aliasName": "alias/two"}));
    for page in [second.ok(LIST, json!({})), application.ok(LIST, json!({}))] {
        assert_eq!(page["totalCount"], 1);
        assert_eq!(page["keys"][0]["cmkUuid"], mine["cmkUuid"]);
    }
    for filter in [json!({"aliasName": "one"}), json!({"keyState": "Enabled", "aliasName": "alias/one"})] {
        assert_eq!(second.ok(LIST, filter)["totalCount"], 0);
    }
    let points = "/accessPoint/listApplicationAccessPoint";
    let page = second.ok(points, json!({}));
    assert_eq!(
        (&page["totalCount"], &page["accessPoints"][0]["accessPointId"]),
        (&json!(1), &account["accessPointId"])
    );
    let foreign = second.call(points, json!({"instanceId": service.first["instanceId"]}));
    let shown =
        if foreign.body["statusCode"] == 800 { foreign.result()["totalCount"].clone() } else { json!(0) };
    assert_eq!(shown, 0);
    let own = json!({"accessPointId": account["accessPointId"]});
    assert_eq!(second.ok("/userAk/listUserAk", own)["totalCount"], 1);
}

#[test]
fn two_accounts_may_use_the_same_names() {
    let service = Service::start();
    let admin = service.admin();
    let (second, _) = service.tenant();
    let keys = [&admin, &second]
        .map(|person| person.ok(CREATE, json!({"aliasName": "alias/same"}))["cmkUuid"].clone());
    assert_ne!(keys[0], keys[1]);
    for (person, key) in [&admin, &second].into_iter().zip(&keys) {
        let sealed = person.ok("/keyCompute/encrypt", json!({"cmkUuid": "alias/same", "plaintext": "AA=="}));
        assert_eq!(sealed["cmkUuid"], *key);
    }
    second.ok("/keyName/deleteAlias", json!({"aliasName": "alias/same"}));
    assert_eq!(admin.ok(DESCRIBE, json!({"cmkUuid": "alias/same"}))["cmkUuid"], keys[0]);
    assert_eq!(second.refused(DESCRIBE, json!({"cmkUuid": "alias/same"})), "KMS.9003");
}

#[test]
fn only_the_administrating_account_adds_accounts() {
    let service = Service::start();
    let (second, account) = service.tenant();
    let before = service.admin().ok("/system/describeSystem", json!({}))["partitions"].clone();
    let answer = second.call("/account/createAccount", json!({"name": "third"}));
    assert_eq!((answer.status, answer.code().as_str()), (403, "KMS.9044"));
    let malformed = second.call("/account/createAccount", json!({}));
    assert_eq!(malformed.code(), "KMS.9044", "permission comes before reading");
    for application in [service.first_application(), service.application(&second, &account)] {
        assert_eq!(application.refused("/account/createAccount", json!({"name": "third"})), "KMS.9062");
    }
    assert_eq!(service.admin().ok("/system/describeSystem", json!({}))["partitions"], before);
    let (third, _) = service.tenant();
    third.ok(CREATE, json!({}));
}

#[test]
fn audit_records_are_their_accounts_own() {
    let service = Service::start();
    let admin = service.admin();
    let (second, account) = service.tenant();
    admin.ok(CREATE, json!({}));
    let mine = second.ok(CREATE, json!({}));
    second.refused(DESCRIBE, json!({"cmkUuid": new_id()}));
    crate::kit::send(&second.agent, "POST", &format!("{}/v1{CREATE}", second.endpoint), &[], b"{}");
    let page = second.ok("/audit/queryAudit", json!({"pageSize": 100}));
    let records = page["records"].as_array().unwrap();
    assert_eq!(records.len(), 2, "{page}");
    assert!(records.iter().all(|record| record["accountId"] == account["accountId"]), "{page}");
    assert_eq!(records[1]["resourceIds"], json!([mine["cmkUuid"]]));
    let theirs = json!({"accessKey": admin.access_key, "pageSize": 100});
    assert_eq!(second.ok("/audit/queryAudit", theirs)["records"], json!([]));
    let records = service.audit();
    let seen = |owner: &Value| records.iter().any(|record| record["accountId"] == *owner);
    assert!(seen(&service.first["accountId"]) && seen(&Value::Null), "the administrator sees strangers");
    assert!(!seen(&account["accountId"]), "but no other tenant");
}

#[test]
fn an_access_point_reaches_its_own_service_only() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({"aliasName": "alias/first"}))["cmkUuid"].clone();
    let (second, account) = service.tenant();
    let (first, others) = (service.first_application(), service.application(&second, &account));
    first.ok("/keyCompute/encrypt", json!({"cmkUuid": key, "plaintext": "AA=="}));
    assert_eq!(
        others.refused("/keyCompute/encrypt", json!({"cmkUuid": key, "plaintext": "AA=="})),
        "KMS.9001"
    );
    assert_eq!(first.ok(CREATE, json!({}))["instanceId"], service.first["instanceId"]);
    assert_eq!(others.ok(CREATE, json!({}))["instanceId"], account["instanceId"]);
    let named = json!({"instanceId": account["instanceId"]});
    assert_eq!(first.refused(CREATE, named.clone()), "KMS.9005");
    let own = first.ok(LIST, json!({}));
    let answer = first.call(LIST, named);
    assert!(answer.body["code"] != 200 || answer.result() == own, "never another service: {answer:?}");
}
