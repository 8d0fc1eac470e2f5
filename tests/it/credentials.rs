//! Credentials of access points that are disabled, enabled and deleted.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::kit::{AccessPoint, Service, new_id, parallel, poll};

const CREATE: &str = "/userAk/createUserAk";
const ENABLE: &str = "/userAk/enableUserAk";
const DISABLE: &str = "/userAk/disableUserAk";
const DELETE: &str = "/userAk/deleteUserAk";
const LIST: &str = "/userAk/listUserAk";
const DIGEST: &str = "/get/messageDigest";

fn digest(application: &AccessPoint) -> crate::kit::Answer {
    application.call(DIGEST, json!({"input": "a"}))
}

#[test]
fn a_disabled_credential_is_refused_after_its_signature_proved_right() {
    let mut service = Service::start();
    let application = service.first_application();
    let key = json!({"accessKey": application.access_key});
    for round in 0..2 {
        let admin = service.admin();
        for _ in 0..2 {
            let answer = admin.ok(DISABLE, key.clone());
            assert_eq!(
                answer,
                json!({"accessKey": application.access_key, "status": "Disabled"}),
                "also twice"
            );
        }
        let application = AccessPoint { endpoint: service.ready.access_point.clone(), ..application.clone() };
        let refused = digest(&application);
        assert_eq!((refused.status, refused.code().as_str()), (403, "KMS.9042"));
        let forged = AccessPoint { secret_key: "0".repeat(64), ..application.clone() };
        assert_eq!(digest(&forged).code(), "KMS.9040", "a stranger does not learn its status");
        for _ in 0..2 {
            assert_eq!(admin.ok(ENABLE, key.clone())["status"], "Enabled");
        }
        digest(&application).result();
        if round == 0 {
            admin.ok(DISABLE, key.clone());
            service.restart();
        }
    }
}

#[test]
fn a_deleted_credential_is_unknown_to_everybody() {
    let mut service = Service::start();
    let (admin, application, other) =
        (service.admin(), service.first_application(), service.first_application());
    let point = json!({"accessPointId": service.first["accessPointId"]});
    let key = json!({"accessKey": application.access_key});
    digest(&application).result();
    assert_eq!(admin.ok(DELETE, key.clone()), key);
    let refused = digest(&application);
    assert_eq!((refused.status, refused.code().as_str()), (401, "KMS.9041"));
    for path in [ENABLE, DISABLE, DELETE] {
        assert_eq!(admin.refused(path, key.clone()), "KMS.9005", "{path}");
    }
    let left = admin.ok(LIST, point);
    assert_eq!(
        (&left["totalCount"], &left["userAks"][0]["accessKey"]),
        (&json!(1), &json!(other.access_key))
    );
    digest(&other).result();
    service.restart();
    let gone = AccessPoint { endpoint: service.ready.access_point.clone(), ..application };
    assert_eq!(digest(&gone).code(), "KMS.9041");
    assert_eq!(service.admin().refused(DELETE, key), "KMS.9005");
}

#[test]
fn deleting_makes_room_for_others() {
    let service = Service::start();
    let admin = service.admin();
    let point = json!({"accessPointId": service.first["accessPointId"]});
    let made: Vec<Value> = (0..100).map(|_| admin.ok(CREATE, point.clone())["accessKey"].clone()).collect();
    assert_eq!(admin.refused(CREATE, point.clone()), "KMS.9030");
    admin.ok(DELETE, json!({"accessKey": made[7]}));
    admin.ok(CREATE, point.clone());
    assert_eq!(admin.refused(CREATE, point), "KMS.9030");
}

#[test]
fn credentials_of_others_and_of_people_do_not_exist() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let (second, _) = service.tenant();
    let unknown = new_id().replace('-', "");
    for path in [ENABLE, DISABLE, DELETE] {
        for access_key in [&application.access_key, &admin.access_key, &second.access_key, &unknown] {
            let answer = second.call(path, json!({"accessKey": access_key}));
            assert_eq!(
                (answer.code().as_str(), &answer.body["message"]),
                ("KMS.9005", &json!("there is no such access key")),
                "{path}"
            );
        }
        assert_eq!(
            admin.refused(path, json!({"accessKey": admin.access_key})),
            "KMS.9005",
            "{path}: a person's own"
        );
        for (body, code) in [
            (json!({}), "KMS.0101"),
            (json!({"accessKey": ""}), "KMS.0101"),
            (json!({"accessKey": "short"}), "KMS.9020"),
        ] {
            assert_eq!(admin.refused(path, body.clone()), code, "{path} {body}");
        }
        assert_eq!(application.refused(path, json!({})), "KMS.9062", "{path}: not for access points");
    }
    digest(&application).result();
    admin.ok("/system/describeSystem", json!({}));
    second.ok("/system/describeSystem", json!({}));
}

/// While many calls are under way, their credential goes. Each of them ends as a success or as unknown, and once the
/// deletion is acknowledged no further one succeeds.
#[test]
fn a_deletion_holds_from_its_acknowledgement_on() {
    for _ in 0..5 {
        let service = Service::start();
        let (admin, application) = (service.admin(), service.first_application());
        let (begun, deleted) = (AtomicBool::new(false), AtomicBool::new(false));
        parallel(6, |thread| {
            if thread == 0 {
                poll("a first success", || begun.load(Ordering::Acquire).then_some(()));
                admin.ok(DELETE, json!({"accessKey": application.access_key}));
                deleted.store(true, Ordering::Release);
                return;
            }
            loop {
                let before = deleted.load(Ordering::Acquire);
                let answer = digest(&application);
                begun.store(true, Ordering::Release);
                match answer.success() {
                    Some(_) => assert!(!before, "{answer:?}"),
                    None => {
                        assert_eq!(answer.code(), "KMS.9041");
                        return;
                    }
                }
            }
        });
    }
}

/// Switching and deleting at once: one deletion wins, and nothing brings the credential back.
#[test]
fn racing_changes_do_not_bring_a_deleted_credential_back() {
    let mut service = Service::start();
    let point = json!({"accessPointId": service.first["accessPointId"]});
    for _ in 0..10 {
        let admin = service.admin();
        let key = json!({"accessKey": admin.ok(CREATE, point.clone())["accessKey"]});
        let answers = parallel(8, |thread| {
            let path = [DELETE, DISABLE, ENABLE, DISABLE, DELETE, ENABLE, DISABLE, ENABLE][thread];
            (path, admin.call(path, key.clone()))
        });
        let won =
            answers.iter().filter(|(path, answer)| *path == DELETE && answer.success().is_some()).count();
        assert_eq!(won, 1, "{answers:?}");
        for (_, answer) in &answers {
            assert!(answer.success().is_some() || answer.code() == "KMS.9005", "{answer:?}");
        }
        assert_eq!(admin.refused(ENABLE, key), "KMS.9005");
        assert_eq!(admin.ok(LIST, point.clone())["totalCount"], 0);
    }
    service.restart();
    assert_eq!(service.admin().ok(LIST, point)["totalCount"], 0);
}

#[test]
fn what_access_points_can_call_is_listed_from_the_catalog() {
    let service = Service::start();
    let (second, _) = service.tenant();
    let listed = second.ok("/accessPoint/listAllUri", json!({}));
    assert_eq!(listed, service.admin().get("/accessPoint/listAllUri", "").result());
    let uris = listed["uris"].as_array().unwrap();
    let one = |operation: &str| uris.iter().find(|uri| uri["operation"] == operation).cloned();
    let encrypt = json!({"uri": "/keyCompute/encrypt", "operation": "encrypt", "name": "加密", "nameEn": "Encrypt", "type": "write"});
    assert_eq!(one("encrypt"), Some(encrypt));
    assert_eq!(one("describeKey").unwrap()["type"], "read");
    for closed in ["createUserAk", "tagResources", "listAllUri", "rotateDueKey", "createAccount"] {
        assert_eq!(one(closed), None);
    }
    let application = service.first_application();
    for uri in uris {
        let answer = application.call(uri["uri"].as_str().unwrap(), json!({}));
        assert!(answer.success().is_some() || answer.code() != "KMS.9062", "{uri}: {answer:?}");
    }
}

#[test]
fn accounts_are_listed_for_administrators_only() {
    const PATH: &str = "/account/listAccount";
    let service = Service::start();
    service.clock.advance(std::time::Duration::from_secs(60));
    let (second, account) = service.tenant();
    let page = service.admin().ok(PATH, json!({}));
    assert_eq!(page["totalCount"], 2);
    let [first, other] = [0, 1].map(|at| page["accounts"][at].clone());
    assert_eq!((&first["accountId"], &first["administrator"]), (&service.first["accountId"], &json!(true)));
    let expected = json!({"accountId": account["accountId"], "name": "second", "administrator": false, "onDemandKeys": false, "createTime": "2026-11-02T00:01:00Z"});
    assert_eq!(other, expected);
    let found = service.admin().get(PATH, "name=seco&pageSize=1").result();
    assert_eq!((&found["accounts"], &found["totalCount"]), (&json!([expected]), &json!(1)));
    let answer = second.call(PATH, json!({}));
    assert_eq!((answer.status, answer.code().as_str()), (403, "KMS.9044"));
    assert_eq!(service.first_application().refused(PATH, json!({})), "KMS.9062");
}
