//! Aliases that move, and lists of them.

use serde_json::{Value, json};

use crate::kit::{Service, new_id, parallel};

const CREATE: &str = "/cmkManage/createKey";
const CREATE_ALIAS: &str = "/keyName/createAlias";
const UPDATE: &str = "/keyName/updateAlias";
const DELETE: &str = "/keyName/deleteAlias";
const LIST: &str = "/keyName/listAlias";
const LIST_OF_KEY: &str = "/keyName/listAliasByUuid";
const DESCRIBE: &str = "/keyManage/describeKey";

fn names(page: &Value) -> Vec<&str> {
    page["aliases"].as_array().unwrap().iter().map(|alias| alias["aliasName"].as_str().unwrap()).collect()
}

#[test]
fn a_moved_alias_names_its_new_key_on_both_planes() {
    let service = Service::start();
    let admin = service.admin();
    for (number, (plane, call)) in service.planes().into_iter().enumerate() {
        let name = format!("alias/moves-{number}");
        let old = admin.ok(CREATE, json!({"aliasName": name}))["cmkUuid"].clone();
        let new = admin.ok(CREATE, json!({"aliasName": format!("alias/target-{number}")}))["cmkUuid"].clone();
        let moved = call(UPDATE, json!({"cmkUuid": new, "aliasName": name})).result();
        assert_eq!(moved, json!({"cmkUuid": new, "aliasName": name}), "{plane}");
        assert_eq!(call(DESCRIBE, json!({"cmkUuid": name})).result()["cmkUuid"], new, "{plane}");
        assert_eq!(call(DESCRIBE, json!({"cmkUuid": old})).result()["aliases"], json!([]), "{plane}");
        let again = call(UPDATE, json!({"cmkUuid": format!("alias/target-{number}"), "aliasName": name}));
        assert_eq!(again.result(), moved, "{plane}: it points there already, and the target may be an alias");
        let page = call(LIST_OF_KEY, json!({"cmkUuid": name})).result();
        assert_eq!(names(&page), [&name, &format!("alias/target-{number}")], "{plane}");
        assert_eq!(call(LIST_OF_KEY, json!({"cmkUuid": old})).result()["totalCount"], 0, "{plane}");
    }
}

#[test]
fn the_record_of_a_move_names_the_alias_and_both_ends() {
    let service = Service::start();
    let admin = service.admin();
    let old = admin.ok(CREATE, json!({"aliasName": "alias/a"}))["cmkUuid"].clone();
    let new = admin.ok(CREATE, json!({}))["cmkUuid"].clone();
    admin.ok(UPDATE, json!({"cmkUuid": new, "aliasName": "alias/a"}));
    let record = service.audit().into_iter().rfind(|record| record["eventName"] == "updateAlias").unwrap();
    assert_eq!(record["resourceType"], "Alias");
    assert_eq!(record["resourceIds"], json!(["alias/a", old, new]));
    let found = admin.ok("/audit/queryAudit", json!({"resourceId": old, "eventName": "updateAlias"}));
    assert_eq!(found["records"].as_array().unwrap().len(), 1, "whoever asks for the old key finds it");
}

#[test]
fn aliases_are_listed_by_name_with_their_arns() {
    let service = Service::start();
    let admin = service.admin();
    let one = admin.ok(CREATE, json!({"aliasName": "alias/c"}))["cmkUuid"].clone();
    let two = admin.ok(CREATE, json!({"aliasName": "alias/a"}))["cmkUuid"].clone();
    admin.ok(CREATE_ALIAS, json!({"cmkUuid": one, "aliasName": "alias/b"}));
    let account = service.first["accountId"].as_str().unwrap();
    let alias = |name: &str, key: &Value| json!({"aliasName": name, "cmkUuid": key, "aliasArn": format!("ctyun:kms:local:{account}:{name}")});
    let all = [alias("alias/a", &two), alias("alias/b", &one), alias("alias/c", &one)];
    for (plane, call) in service.planes() {
        let page = call(LIST, json!({})).result();
        let paging = json!({"aliases": all, "pageNumber": 1, "pageSize": 10, "totalCount": 3});
        assert_eq!(page, paging, "{plane}");
        let page = call(LIST, json!({"pageSize": 2, "pageNum": 2})).result();
        assert_eq!((&page["aliases"], &page["totalCount"]), (&json!([all[2]]), &json!(3)), "{plane}");
        let page = call(LIST_OF_KEY, json!({"cmkUuid": "alias/c", "pageSize": 1})).result();
        assert_eq!((&page["aliases"], &page["totalCount"]), (&json!([all[1]]), &json!(2)), "{plane}");
    }
    assert_eq!(names(&admin.get(LIST, "pageSize=1").result()), ["alias/a"]);
    let own = json!({"instanceId": service.first["instanceId"]});
    assert_eq!(admin.ok(LIST, own)["totalCount"], 3);
    let (second, account) = service.tenant();
    assert_eq!(second.ok(LIST, json!({}))["totalCount"], 0);
    assert_eq!(admin.refused(LIST, json!({"instanceId": account["instanceId"]})), "KMS.9005");
}

#[test]
fn an_alias_moves_only_between_keys_of_its_account() {
    let service = Service::start();
    let admin = service.admin();
    let mine = admin.ok(CREATE, json!({"aliasName": "alias/mine"}))["cmkUuid"].clone();
    let (second, account) = service.tenant();
    let theirs = second.ok(CREATE, json!({"aliasName": "alias/theirs"}))["cmkUuid"].clone();
    let application = service.application(&second, &account);
    for (body, code) in [
        (json!({"cmkUuid": theirs, "aliasName": "alias/mine"}), "KMS.9003"),
        (json!({"cmkUuid": mine, "aliasName": "alias/theirs"}), "KMS.9001"),
        (json!({"cmkUuid": "alias/mine", "aliasName": "alias/theirs"}), "KMS.9003"),
        (json!({"cmkUuid": new_id(), "aliasName": "alias/theirs"}), "KMS.9001"),
        (json!({"cmkUuid": theirs, "aliasName": "alias/none"}), "KMS.9003"),
        (json!({"aliasName": "alias/theirs"}), "KMS.0102"),
        (json!({"cmkUuid": theirs}), "KMS.0103"),
        (json!({"cmkUuid": theirs, "aliasName": "theirs"}), "KMS.9020"),
    ] {
        assert_eq!(second.refused(UPDATE, body.clone()), code, "{body}");
        assert_eq!(application.refused(UPDATE, body.clone()), code, "{body}");
    }
    assert_eq!(second.refused(LIST_OF_KEY, json!({"cmkUuid": mine})), "KMS.9001");
    assert_eq!(second.ok(DESCRIBE, json!({"cmkUuid": "alias/theirs"}))["cmkUuid"], theirs);
    assert_eq!(admin.ok(DESCRIBE, json!({"cmkUuid": "alias/mine"}))["cmkUuid"], mine);
}

/// Many calls move and delete one name at once: each loser is told to retry or that the name is gone, and the lists of all
/// keys stay in step with where the name points.
#[test]
fn racing_moves_leave_one_name_in_one_list() {
    let service = Service::start();
    let admin = service.admin();
    let keys: Vec<Value> = (0..4).map(|_| admin.ok(CREATE, json!({}))["cmkUuid"].clone()).collect();
    let mut moved = 0;
    for round in 0..12 {
        let name = "alias/raced";
        if round % 3 == 0 {
            admin.ok(CREATE_ALIAS, json!({"cmkUuid": keys[0], "aliasName": name}));
        }
        let answers = parallel(8, |thread| match (round % 3, thread) {
            (2, 7) => admin.call(DELETE, json!({"aliasName": name})),
            _ => admin.call(UPDATE, json!({"cmkUuid": keys[thread % 4], "aliasName": name})),
        });
        for answer in &answers {
            match answer.success() {
                Some(_) => moved += 1,
                None => assert!(["KMS.9071", "KMS.9003"].contains(&answer.code().as_str()), "{answer:?}"),
            }
        }
        assert!(answers.iter().any(|answer| answer.success().is_some()), "somebody wins");
        let counts: Vec<u64> = keys
            .iter()
            .map(|key| {
                let page = admin.ok(LIST_OF_KEY, json!({"cmkUuid": key}));
                assert_eq!(page["totalCount"], page["aliases"].as_array().unwrap().len());
                assert!(page["aliases"].as_array().unwrap().iter().all(|alias| alias["cmkUuid"] == *key));
                page["totalCount"].as_u64().unwrap()
            })
            .collect();
        let pointed = admin.call(DESCRIBE, json!({"cmkUuid": name}));
        let expected: Vec<u64> = match pointed.success() {
            Some(key) => keys.iter().map(|id| u64::from(*id == key["cmkUuid"])).collect(),
            None => vec![0; 4],
        };
        assert_eq!(counts, expected, "round {round}");
        if round % 3 == 2 && pointed.success().is_some() {
            // The deletion lost its race.
            admin.ok(DELETE, json!({"aliasName": name}));
        }
    }
    assert!(moved >= 12);
}

#[test]
fn a_description_is_replaced_on_both_planes_also_by_nothing() {
    const PATH: &str = "/keyManage/updateKeyDescription";
    let service = Service::start();
    let admin = service.admin();
    let (second, _) = service.tenant();
    let key = admin.ok(CREATE, json!({"description": "first", "aliasName": "alias/d"}))["cmkUuid"].clone();
    for (plane, call) in service.planes() {
        for text in ["订单库", "", &"x".repeat(255)] {
            let described = call(PATH, json!({"cmkUuid": "alias/d", "description": text})).result();
            assert_eq!(described, json!({"cmkUuid": key, "description": text}), "{plane}");
            assert_eq!(call(DESCRIBE, json!({"cmkUuid": key})).result()["description"], text, "{plane}");
        }
        for (body, code) in [
            (json!({"cmkUuid": key}), "KMS.0101"),
            (json!({"cmkUuid": key, "description": null}), "KMS.0101"),
            (json!({"description": "x"}), "KMS.0102"),
            (json!({"cmkUuid": key, "description": "x".repeat(256)}), "KMS.9020"),
            (json!({"cmkUuid": new_id(), "description": "x"}), "KMS.9001"),
        ] {
            assert_eq!(call(PATH, body.clone()).code(), code, "{plane} {body}");
        }
    }
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": key}));
    admin.ok(PATH, json!({"cmkUuid": key, "description": "rests"}));
    assert_eq!(second.refused(PATH, json!({"cmkUuid": key, "description": "x"})), "KMS.9001");
    assert_eq!(admin.ok(DESCRIBE, json!({"cmkUuid": key}))["description"], "rests");
}
