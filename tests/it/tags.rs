//! Tags on several keys at once, and lists by tags.

use serde_json::{Value, json};

use crate::kit::{OpenApi, Service, new_id, parallel};

const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const TAG: &str = "/tag/tagResources";
const UNTAG: &str = "/tag/untagResources";
const LIST: &str = "/tag/listTagResources";
const KEYS: &str = "/tag/listTagKeys";

fn tags(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"tagKey": key, "tagValue": value})).collect()
}

fn tag<'a>(ids: impl IntoIterator<Item = &'a Value>, pairs: &[(&str, &str)]) -> Value {
    let ids: Vec<&Value> = ids.into_iter().collect();
    json!({"resourceType": "CMK", "resourceIds": ids, "tags": tags(pairs)})
}

fn untag<'a>(ids: impl IntoIterator<Item = &'a Value>, keys: &[&str]) -> Value {
    let ids: Vec<&Value> = ids.into_iter().collect();
    json!({"resourceType": "CMK", "resourceIds": ids, "tagKeys": keys})
}

fn held(admin: &OpenApi, key: &Value) -> Value {
    admin.ok(DESCRIBE, json!({"cmkUuid": key}))["tags"].clone()
}

/// Keys of which the first carries a tag from its creation on.
fn keys<const N: usize>(service: &Service, admin: &OpenApi) -> [Value; N] {
    std::array::from_fn(|number| {
        service.clock.advance(std::time::Duration::from_secs(1));
        let given = if number == 0 { tags(&[("born", "yes")]) } else { json!([]) };
        admin.ok(CREATE, json!({"tags": given, "aliasName": format!("alias/{number}")}))["cmkUuid"].clone()
    })
}

#[test]
fn several_keys_get_and_lose_tags_in_one_call() {
    let service = Service::start();
    let admin = service.admin();
    let [one, two, three] = keys::<3>(&service, &admin);
    let done = admin.ok(TAG, tag([&two, &json!("alias/0"), &two], &[("team", "a"), ("empty", "")]));
    assert_eq!(done, json!({"resourceType": "CMK", "resourceIds": [two, one]}), "each once, by UUID");
    assert_eq!(held(&admin, &one), tags(&[("born", "yes"), ("team", "a"), ("empty", "")]));
    assert_eq!(held(&admin, &two), tags(&[("team", "a"), ("empty", "")]));
    assert_eq!(held(&admin, &three), json!([]));
    admin.ok(TAG, tag([&one, &two], &[("team", "b")]));
    assert_eq!(
        held(&admin, &two),
        tags(&[("team", "b"), ("empty", "")]),
        "the value is new, the place is not"
    );
    let all = [one.clone(), two.clone(), three.clone()];
    admin.ok(UNTAG, untag(&all, &["team", "unknown"]));
    admin.ok(UNTAG, untag(&all, &["team", "unknown"]));
    assert_eq!(held(&admin, &one), tags(&[("born", "yes"), ("empty", "")]));
    assert_eq!(held(&admin, &two), tags(&[("empty", "")]));
    let text = json!({
        "resourceType": "cmk", "resourceIds": json!(all).to_string(), "tags": tags(&[("text", "x")]).to_string(),
    });
    admin.ok(TAG, text);
    assert_eq!(held(&admin, &three), tags(&[("text", "x")]), "lists as JSON strings");
    let mut service = service;
    service.restart();
    assert_eq!(held(&service.admin(), &one), tags(&[("born", "yes"), ("empty", ""), ("text", "x")]));
    let records = service.audit();
    let record = records.iter().find(|record| record["eventName"] == "tagResources").unwrap();
    assert_eq!(record["resourceIds"], json!([two, one, two]));
}

#[test]
fn all_keys_of_a_call_are_tagged_or_none() {
    let service = Service::start();
    let admin = service.admin();
    let (second, _) = service.tenant();
    let [one, two] = keys::<2>(&service, &admin);
    let theirs = second.ok(CREATE, json!({}))["cmkUuid"].clone();
    let many: Vec<String> = (0..20).map(|number| format!("n{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "v")).collect();
    let long = "x".repeat(129);
    for (path, body, code) in [
        (TAG, tag([&two, &one], &many), "KMS.9030"),
        (TAG, tag([&two, &json!(new_id())], &[("a", "b")]), "KMS.9001"),
        (TAG, tag([&two, &theirs], &[("a", "b")]), "KMS.9001"),
        (TAG, tag([&two, &json!("alias/none")], &[("a", "b")]), "KMS.9003"),
        (TAG, tag([&two], &[]), "KMS.9020"),
        (TAG, tag([], &[("a", "b")]), "KMS.9020"),
        (TAG, tag(&vec![two.clone(); 51], &[("a", "b")]), "KMS.9020"),
        (TAG, tag([&two], &[("a", "b"), ("a", "c")]), "KMS.9020"),
        (TAG, tag([&two], &[(&long, "b")]), "KMS.9020"),
        (TAG, tag([&two], &[("", "b")]), "KMS.9020"),
        (TAG, json!({"resourceType": "CMK", "resourceIds": [two]}), "KMS.0101"),
        (TAG, json!({"resourceType": "CMK", "tags": tags(&[("a", "b")])}), "KMS.0101"),
        (TAG, json!({"resourceIds": [two], "tags": tags(&[("a", "b")])}), "KMS.0101"),
        (UNTAG, untag([&one, &theirs], &["born"]), "KMS.9001"),
        (UNTAG, untag([&one], &[]), "KMS.9020"),
        (UNTAG, json!({"resourceType": "CMK", "resourceIds": [one]}), "KMS.0101"),
    ] {
        assert_eq!(admin.refused(path, body.clone()), code, "{path} {body}");
    }
    let unknown =
        admin.call(TAG, json!({"resourceType": "Cert", "resourceIds": [one], "tags": tags(&[("a", "b")])}));
    assert_eq!(unknown.code(), "KMS.9020");
    assert!(unknown.body["message"].as_str().unwrap().contains("CMK"), "it names what there is: {unknown:?}");
    assert_eq!((held(&admin, &one), held(&admin, &two)), (tags(&[("born", "yes")]), json!([])));
    assert_eq!(held(&second, &theirs), json!([]));
    assert_eq!(service.first_application().refused(TAG, json!({})), "KMS.9062");
}

#[test]
fn resources_and_keys_are_listed_by_their_tags() {
    let service = Service::start();
    let admin = service.admin();
    let [one, two, three] = keys::<3>(&service, &admin);
    admin.ok(TAG, tag([&one, &two], &[("team", "a"), ("empty", "")]));
    admin.ok(TAG, tag([&two], &[("team", "b")]));
    for (filter, expected) in [
        (json!({}), vec![&one, &two]),
        (json!({"resourceType": "CMK"}), vec![&one, &two]),
        (json!({"tagKey": "team"}), vec![&one, &two]),
        (json!({"tagKey": "team", "tagValue": "a"}), vec![&one]),
        (json!({"tagKey": "empty", "tagValue": "", "tags": tags(&[("team", "b")])}), vec![&two]),
        (json!({"tags": tags(&[("team", "a"), ("born", "yes")]).to_string()}), vec![&one]),
        (json!({"tags": tags(&[("team", "b"), ("born", "yes")])}), vec![]),
        (json!({"tagKey": "tea"}), vec![]),
        (json!({"tagValue": "b"}), vec![&two]),
        (json!({"resourceIds": [two, three]}), vec![&two]),
        (json!({"resourceIds": ["alias/2", "alias/1", "alias/0", two]}), vec![&one, &two]),
        (json!({"resourceIds": [two, one], "tagKey": "born"}), vec![&one]),
    ] {
        let page = admin.ok(LIST, filter.clone());
        let found: Vec<&Value> =
            page["tagResources"].as_array().unwrap().iter().map(|resource| &resource["resourceId"]).collect();
        assert_eq!((found, &page["totalCount"]), (expected.clone(), &json!(expected.len())), "{filter}");
    }
    let page = admin.ok(LIST, json!({"pageSize": 1, "pageNumber": 2, "resourceIds": [one, two]}));
    let second =
        json!({"resourceType": "CMK", "resourceId": two, "tags": tags(&[("team", "b"), ("empty", "")])});
    let expected = json!({"tagResources": [second], "pageNumber": 2, "pageSize": 1, "totalCount": 2});
    assert_eq!(page, expected);
    assert_eq!(admin.ok(LIST, json!({"pageSize": 1, "pageNumber": 2})), expected);
    for (body, code) in
        [(json!({"resourceIds": [new_id()]}), "KMS.9001"), (json!({"resourceType": "Cert"}), "KMS.9020")]
    {
        assert_eq!(admin.refused(LIST, body.clone()), code, "{body}");
    }
    let counts = json!([
        {"tagKey": "born", "resourceCount": 1}, {"tagKey": "empty", "resourceCount": 2}, {"tagKey": "team", "resourceCount": 2},
    ]);
    assert_eq!(admin.ok(KEYS, json!({}))["tagKeys"], counts);
    let page = admin.get(KEYS, "pageSize=2&pageNo=2").result();
    assert_eq!((&page["tagKeys"], &page["totalCount"]), (&json!([counts[2]]), &json!(3)));
    let (second, _) = service.tenant();
    assert_eq!(
        (second.ok(KEYS, json!({}))["totalCount"].clone(), second.ok(LIST, json!({}))["totalCount"].clone()),
        (json!(0), json!(0))
    );
}

#[test]
fn the_key_list_takes_the_same_filters_on_both_planes() {
    let service = Service::start();
    let admin = service.admin();
    let [one, two, three] = keys::<3>(&service, &admin);
    admin.ok(TAG, tag([&one, &two], &[("team", "a"), ("empty", "")]));
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": two}));
    for (plane, call) in service.planes() {
        for (filter, expected) in [
            (json!({}), vec![&one, &two, &three]),
            (json!({"tags": "[]"}), vec![&one, &two, &three]),
            (json!({"tagKey": "team"}), vec![&one, &two]),
            (json!({"tagKey": "team", "keyState": "Enabled"}), vec![&one]),
            (json!({"tagKey": "empty", "tagValue": "", "aliasName": "alias/1"}), vec![&two]),
            (json!({"tags": tags(&[("team", "a"), ("born", "yes")]).to_string()}), vec![&one]),
            (json!({"tagKey": "team", "tagValue": "b"}), vec![]),
            (json!({"tagValue": "yes"}), vec![&one]),
        ] {
            let page = call("/keyManage/listAliasKeys", filter.clone()).result();
            let found: Vec<&Value> =
                page["keys"].as_array().unwrap().iter().map(|key| &key["cmkUuid"]).collect();
            assert_eq!(
                (found, &page["totalCount"]),
                (expected.clone(), &json!(expected.len())),
                "{plane} {filter}"
            );
        }
    }
}

/// Calls that name the same keys in other orders, beside changes of single keys: none waits for ever, none is lost, and no
/// call is seen half done once it is answered.
#[test]
fn racing_calls_on_the_same_keys_are_all_done() {
    let mut service = Service::start();
    let ids = keys::<6>(&service, &service.admin());
    for round in 0..5 {
        let admin = service.admin();
        let answers = parallel(12, |thread| {
            let mut order = ids.to_vec();
            order.rotate_left(thread % 6);
            if thread % 2 == 0 {
                order.reverse();
            }
            let mine = format!("t{thread}");
            match thread {
                0 => admin.call("/cmkManage/disableKey", json!({"cmkUuid": ids[round]})),
                1 => admin.call("/cmkManage/enableKey", json!({"cmkUuid": ids[round]})),
                2 => admin.call(
                    "/keyManage/updateKeyDescription",
                    json!({"cmkUuid": ids[2], "description": format!("{round}")}),
                ),
                _ if round % 2 == 0 => admin.call(TAG, tag(&order, &[(&mine, "v"), ("all", &mine)])),
                _ => admin.call(UNTAG, untag(&order, &[&mine])),
            }
        });
        answers.iter().for_each(|answer| drop(answer.result()));
        let described: Vec<Value> = ids.iter().map(|id| admin.ok(DESCRIBE, json!({"cmkUuid": id}))).collect();
        let common = |key: &Value| {
            let mut tags = key["tags"].as_array().unwrap().clone();
            tags.retain(|tag| tag["tagKey"] != "born");
            tags.sort_by_key(|tag| tag["tagKey"].to_string());
            tags
        };
        for key in &described {
            assert_eq!(common(key), common(&described[0]), "whoever was last was last for every key");
            assert_eq!(common(key).len(), if round % 2 == 0 { 10 } else { 1 }, "nobody's change is lost");
        }
        assert_eq!(described[2]["description"], format!("{round}"));
        service.restart();
        let admin = service.admin();
        let stored: Vec<Value> = ids.iter().map(|id| admin.ok(DESCRIBE, json!({"cmkUuid": id}))).collect();
        assert_eq!(stored, described, "what was published is what is stored");
        admin.ok("/cmkManage/enableKey", json!({"cmkUuid": ids[round]}));
    }
}
