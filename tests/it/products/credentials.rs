//! Credentials of cloud products: made, listed and deleted by their account, and what their calls look like in the trail.

use serde_json::{Value, json};

use super::{DATA_KEY, DEFAULT, DESCRIBE, default_key};
use crate::kit::{OpenApi, Service, parallel};

const MAKE: &str = "/product/createProductCredential";
const LIST: &str = "/product/listProductCredential";
const DELETE: &str = "/product/deleteProductCredential";

fn made(person: &OpenApi, code: &str) -> Value {
    person.ok(MAKE, json!({"serviceCode": code}))["accessKey"].clone()
}

fn listed(person: &OpenApi, body: Value) -> Vec<(Value, Value)> {
    let page = person.ok(LIST, body);
    let credentials = page["productCredentials"].as_array().unwrap().iter();
    let shown = |it: &Value| {
        assert!(it.get("secretKey").is_none() && it["status"] == "Enabled", "{it}");
        (it["serviceCode"].clone(), it["accessKey"].clone())
    };
    credentials.map(shown).collect()
}

#[test]
fn a_product_has_ten_credentials_in_an_account_at_most() {
    let service = Service::start();
    let (admin, (second, _)) = (service.admin(), service.tenant());
    let answers = parallel(16, |_| admin.call(MAKE, json!({"serviceCode": "ecs"})));
    let (made_, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.success().is_some());
    assert_eq!(made_.len(), 10);
    assert!(refused.iter().all(|answer| answer.code() == "KMS.9030"), "{refused:?}");
    let zos = made(&admin, "zos");
    made(&second, "ecs");
    assert_eq!(listed(&admin, json!({"pageSize": 100})).len(), 11);
    assert_eq!(listed(&admin, json!({"serviceCode": "zos"})), [(json!("zos"), zos)]);
    assert_eq!(listed(&admin, json!({"serviceCode": "dds"})), []);
    assert_eq!(admin.ok(LIST, json!({"serviceCode": "ecs", "pageSize": 4}))["totalCount"], 10);
    assert_eq!(listed(&second, json!({})).len(), 1);
    admin.ok(DELETE, json!({"accessKey": made_[0].result()["accessKey"]}));
    made(&admin, "ecs");
    assert_eq!(admin.refused(MAKE, json!({"serviceCode": "ecs"})), "KMS.9030");
}

#[test]
fn a_deleted_credential_signs_nothing_any_more_and_the_others_do() {
    let service = Service::start();
    let admin = service.admin();
    let (old, new) = (service.product(&admin, "ecs"), service.product(&admin, "ecs"));
    default_key(&old, "ecs");
    let gone = json!({"accessKey": old.access_key});
    assert_eq!(admin.ok(DELETE, gone.clone()), gone);
    assert_eq!(old.refused(DESCRIBE, json!({"cmkUuid": "alias/ecs"})), "KMS.9041");
    new.ok(DESCRIBE, json!({"cmkUuid": "alias/ecs"}));
    assert_eq!(admin.refused(DELETE, gone), "KMS.9005");
}

/// Each kind of credential has operations of its own, and an account those of its own credentials.
#[test]
fn credentials_of_others_and_of_another_kind_are_not_there() {
    let service = Service::start();
    let (admin, (second, _)) = (service.admin(), service.tenant());
    let product = json!({"accessKey": made(&admin, "ecs")});
    let application = json!({"accessKey": service.first_application().access_key});
    let person = json!({"accessKey": admin.access_key});
    assert_eq!(second.refused(DELETE, product.clone()), "KMS.9005");
    for (path, body) in [
        (DELETE, &application),
        (DELETE, &person),
        ("/userAk/disableUserAk", &product),
        ("/userAk/enableUserAk", &product),
        ("/userAk/deleteUserAk", &product),
    ] {
        assert_eq!(admin.refused(path, body.clone()), "KMS.9005", "{path} {body}");
    }
    assert_eq!(listed(&admin, json!({})).len(), 1);
    assert_eq!(listed(&second, json!({})), []);
}

#[test]
fn the_trail_names_the_product_and_its_account_sees_it() {
    let service = Service::start();
    let (admin, (second, _)) = (service.admin(), service.tenant());
    let product = service.product(&second, "postgresql");
    product.ok(DEFAULT, json!({"serviceCode": "postgresql"}));
    product.ok(DATA_KEY, json!({"cmkUuid": "alias/postgresql", "resourceId": "table-1"}));
    product.refused("/cmkManage/createKey", json!({}));
    let query = json!({"userName": "postgresql"});
    let page = second.ok("/audit/queryAudit", query.clone());
    let records = page["records"].as_array().unwrap();
    let seen: Vec<_> =
        records.iter().map(|it| (it["eventName"].as_str(), it["errorCode"].as_str())).collect();
    let (made, used) = ((Some("createDefaultKey"), None), (Some("generateDataKey"), None));
    assert_eq!(seen, [(Some("createKey"), Some("KMS.9044")), used, made]);
    for record in records {
        assert_eq!(record["principalType"], "PRODUCT");
        assert_eq!(record["accessKey"], product.access_key.as_str());
        assert_eq!((&record["eventSource"], &record["eventType"]), (&json!("OPENAPI"), &json!("API")));
    }
    assert!(!page.to_string().contains("table-1"), "what it works for is no part of the trail");
    assert_eq!(admin.ok("/audit/queryAudit", query)["records"], json!([]));
    let making = second.ok("/audit/queryAudit", json!({"eventName": "createProductCredential"}));
    assert_eq!(making["records"][0]["resourceIds"], json!([product.access_key]));
}

/// A token returns the first credential with its secret, so that an answer that was lost is no credential too many.
#[test]
fn the_same_token_returns_the_same_credential() {
    let service = Service::start();
    let admin = service.admin();
    let request = json!({"serviceCode": "ecs", "clientToken": "once"});
    let first = admin.ok(MAKE, request.clone());
    assert_eq!(admin.ok(MAKE, request), first);
    assert_eq!(admin.refused(MAKE, json!({"serviceCode": "zos", "clientToken": "once"})), "KMS.9020");
    assert_eq!(listed(&admin, json!({})).len(), 1);
}
