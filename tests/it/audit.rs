//! The audit trail: one record for each call, with the facts and without the secrets.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{Answer, OpenApi, Service, base64, new_id, parallel, poll, send};

const CREATE: &str = "/cmkManage/createKey";
const QUERY: &str = "/audit/queryAudit";

fn id(answer: &Answer) -> String {
    let header = answer.header("ctyun-eop-request-id").or(answer.header("x-request-id"));
    header.unwrap().to_owned()
}

fn of<'a>(records: &'a [Value], answer: &Answer) -> &'a Value {
    let id = id(answer);
    let mine: Vec<&Value> = records.iter().filter(|record| record["requestId"] == id).collect();
    assert_eq!(mine.len(), 1, "exactly one record of {answer:?}: {mine:?}");
    mine[0]
}

/// Checks the fields whose values are not the test's to know, and takes them out.
fn strip(record: &Value, sequence: &mut u64) -> Value {
    let mut record = record.clone();
    let fields = record.as_object_mut().unwrap();
    let number = fields.remove("sequence").unwrap().as_u64().unwrap();
    assert!(number > *sequence);
    *sequence = number;
    let event = fields.remove("eventId").unwrap();
    assert_eq!(event.as_str().unwrap().len(), 36);
    assert!(fields.remove("durationMicros").unwrap().is_u64());
    assert_eq!(fields.remove("demoOffset").unwrap(), 0, "this is no demo");
    assert!(
        fields.remove("userAgent").is_none_or(|agent| agent.as_str().is_some_and(|text| text.len() <= 128))
    );
    record
}

#[test]
fn each_call_leaves_one_record_with_the_facts() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let made = admin.call(CREATE, json!({"aliasName": "alias/a"}));
    let key = made.result()["cmkUuid"].clone();
    service.clock.advance(Duration::from_secs(90));
    let sealed = application.call("/keyCompute/encrypt", json!({"cmkUuid": "alias/a", "plaintext": "AA=="}));
    sealed.result();
    let missing = application.call("/keyManage/describeKey", json!({"cmkUuid": new_id()}));
    let read = admin.call("/keyManage/listAliasKeys", json!({}));
    read.result();
    let deleted = admin.call("/keyName/deleteAlias", json!({"aliasName": "alias/a"}));
    deleted.result();
    let (account, instance) = (&service.first["accountId"], &service.first["instanceId"]);
    let (point, source) = (&service.first["accessPointId"], "127.0.0.1");
    let (start, later) = ("2026-11-02T00:00:00Z", "2026-11-02T00:01:30Z");
    let person = json!({
        "eventType": "API", "eventSource": "OPENAPI", "accountId": account, "region": "local",
        "principalType": "USER", "userName": "admin", "accessKey": admin.access_key, "sourceIp": source,
    });
    let behind_point = json!({
        "eventType": "API", "eventSource": "AAP", "accountId": account, "region": "local",
        "principalType": "ACCESS_POINT", "userName": point, "accessKey": application.access_key, "sourceIp": source,
    });
    let expected = [
        (
            &made,
            &person,
            json!({
                "time": start, "eventName": "createKey", "eventLevel": "NORMAL", "instanceId": instance, "projectId": "default",
                "resourceType": "CMK", "resourceIds": [key], "httpStatus": 200,
            }),
        ),
        (
            &sealed,
            &behind_point,
            json!({
                "time": later, "eventName": "encrypt", "eventLevel": "NORMAL", "instanceId": instance, "projectId": "default",
                "resourceType": "CMK", "resourceIds": [key], "resourceName": "alias/a", "httpStatus": 200,
            }),
        ),
        (
            &missing,
            &behind_point,
            json!({
                "time": later, "eventName": "describeKey", "eventLevel": "WARNING", "httpStatus": 404,
                "errorCode": "KMS.9001",
            }),
        ),
        (
            &read,
            &person,
            json!({
                "time": later, "eventName": "listAliasKeys", "eventLevel": "NORMAL", "httpStatus": 200,
            }),
        ),
        (
            &deleted,
            &person,
            json!({
                "time": later, "eventName": "deleteAlias", "eventLevel": "NORMAL", "instanceId": instance, "projectId": "default",
                "resourceType": "Alias", "resourceIds": ["alias/a", key], "resourceName": "alias/a", "httpStatus": 200,
            }),
        ),
    ];
    let (records, mut sequence) = (service.audit(), 0);
    for (answer, caller, facts) in expected {
        let mut whole = caller.as_object().unwrap().clone();
        whole.extend(facts.as_object().unwrap().clone());
        whole.insert("requestId".into(), json!(id(answer)));
        assert_eq!(strip(of(&records, answer), &mut sequence), Value::Object(whole));
    }
}

#[test]
fn the_level_tells_refusals_from_failed_proofs() {
    let service = Service::start();
    let admin = service.admin();
    let (second, _) = service.tenant();
    let forger = OpenApi { secret_key: "wrong".into(), ..admin.clone() };
    let stranger = OpenApi { access_key: "0".repeat(32), ..admin.clone() };
    let cases = [
        (admin.call(CREATE, json!({})), "NORMAL", 200, None, "createKey"),
        (admin.call("/cmkManage/enableKey", json!({})), "WARNING", 400, Some("KMS.0102"), "enableKey"),
        (forger.call(CREATE, json!({})), "INCIDENT", 401, Some("KMS.9040"), "createKey"),
        (stranger.call(CREATE, json!({})), "INCIDENT", 401, Some("KMS.9041"), "createKey"),
        (admin.call("/no/such", json!({})), "WARNING", 404, Some("KMS.9062"), "unknownOperation"),
    ];
    let theirs = second.call("/account/createAccount", json!({"name": "x"}));
    let records = service.audit();
    for (answer, level, status, code, event) in &cases {
        let record = of(&records, answer);
        assert_eq!((&record["eventLevel"], &record["eventName"]), (&json!(level), &json!(event)), "{record}");
        assert_eq!((&record["httpStatus"], &record["errorCode"]), (&json!(status), &json!(code)), "{record}");
    }
    let forged = of(&records, &cases[2].0);
    assert_eq!(forged["principalType"], "UNKNOWN", "who signed is not proven");
    assert_eq!(forged["accessKey"], admin.access_key, "but the key presented is told");
    let page = second.ok(QUERY, json!({}));
    assert_eq!(of(page["records"].as_array().unwrap(), &theirs)["errorCode"], "KMS.9044");
}

#[test]
fn records_hold_no_secrets() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let (second, account) = service.tenant();
    let credential =
        admin.ok("/userAk/createUserAk", json!({"accessPointId": service.first["accessPointId"]}));
    let key = admin.ok(CREATE, json!({"description": "a private remark"}))["cmkUuid"].clone();
    let secret = base64("a very secret text");
    let sealed = application.ok(
        "/keyCompute/encrypt",
        json!({"cmkUuid": key, "plaintext": secret, "encryptionContext": "{\"name\":\"private context\"}"}),
    );
    application.refused("/keyCompute/decrypt", json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
    let data_key = application.ok("/keyCompute/generateDataKey", json!({"cmkUuid": key}));
    let mac = application.ok("/get/hmaccompute", json!({"cmkUuid": key, "input": "private input"}));
    let random = admin.ok("/certificatecompute/getRandom", json!({}));
    admin.refused("/get/messageDigest", json!({"input": 7, "note": "private note"}));
    admin
        .refused("/keyCompute/encrypt", json!({"cmkUuid": "secret-in-the-wrong-field", "plaintext": secret}));
    let mut trail = service.audit();
    trail.extend(second.ok(QUERY, json!({}))["records"].as_array().unwrap().iter().cloned());
    let trail = json!(trail).to_string();
    for secret in [
        &json!(secret),
        &json!("a very secret text"),
        &json!("private"),
        &json!("secret-in-the-wrong-field"),
        &sealed["ciphertextBlob"],
        &data_key["plaintext"],
        &data_key["ciphertextBlob"],
        &mac["hmacoutput"],
        &random["random"],
        &credential["secretKey"],
        &json!(admin.secret_key),
        &json!(application.secret_key),
        &account["openapi"]["secretKey"],
        &account["console"]["password"],
        &service.first["console"]["password"],
    ] {
        let secret = secret.as_str().unwrap();
        assert!(!secret.is_empty() && !trail.contains(secret), "{secret} stands in the trail");
    }
}

fn flood(service: &Service, calls: usize) {
    let admin = service.admin();
    let url = format!("{}/v1{CREATE}", admin.endpoint);
    for _ in 0..calls {
        assert_eq!(send(&admin.agent, "POST", &url, &[], b"{}").code(), "KMS.9040");
    }
}

#[test]
fn a_flood_of_strangers_is_counted_in_one_record() {
    let service = Service::start();
    flood(&service, 200);
    let unsigned = |records: &[Value]| {
        records
            .iter()
            .filter(|record| record["errorCode"] == "KMS.9040" && record["suppressed"].is_null())
            .count()
    };
    let records = service.audit();
    assert_eq!(unsigned(&records), 60);
    assert!(records.iter().all(|record| record["eventName"] != "suppressedCalls"), "the minute is not over");
    service.clock.advance(Duration::from_secs(60));
    let admin = service.admin();
    let found = poll("the record of the flood", || {
        let page = admin.ok(QUERY, json!({"eventName": "suppressedCalls"}));
        page["records"].get(0).cloned()
    });
    assert_eq!((&found["suppressed"], &found["sourceIp"]), (&json!(140), &json!("127.0.0.1")));
    assert_eq!((&found["eventType"], &found["eventLevel"]), (&json!("SYSTEM"), &json!("INCIDENT")));
    assert_eq!(found["time"], "2026-11-02T00:00:00Z", "the minute that it is about");
    flood(&service, 5);
    let records = service.audit();
    assert_eq!(unsigned(&records), 65, "a new minute has records of its own again");
    let floods = records.iter().filter(|record| record["eventName"] == "suppressedCalls");
    assert_eq!(floods.count(), 1);
}

/// Only callers who are not proven are counted together; whoever signed is known, whatever the body says.
#[test]
fn malformed_calls_of_a_proven_caller_are_never_suppressed() {
    let service = Service::start();
    let admin = service.admin();
    let ids: Vec<String> = (0..70)
        .map(|_| {
            let answer = admin.send(admin.request(CREATE, b"nonsense"));
            assert_eq!(answer.code(), "KMS.9020");
            id(&answer)
        })
        .collect();
    let records = service.audit();
    let recorded = |wanted: &&String| records.iter().any(|record| record["requestId"] == **wanted);
    assert_eq!(ids.iter().filter(recorded).count(), 70);
}

#[test]
fn every_filter_picks_its_records() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let key = admin.ok(CREATE, json!({"aliasName": "alias/f"}))["cmkUuid"].clone();
    service.clock.advance(Duration::from_secs(100));
    application.ok("/keyCompute/encrypt", json!({"cmkUuid": key, "plaintext": "AA=="}));
    application.refused("/keyManage/describeKey", json!({"cmkUuid": new_id()}));
    service.clock.advance(Duration::from_secs(100));
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": "alias/f"}));
    OpenApi { secret_key: "wrong".into(), ..admin.clone() }.refused(CREATE, json!({}));
    service.clock.advance(Duration::from_secs(100));
    let (one, two, three) = ("2026-11-02T00:00:00Z", "2026-11-02T00:01:40Z", "2026-11-02T00:03:20Z");
    let all = json!([
        "initialiseAppliance",
        "createUserAk",
        "createKey",
        "encrypt",
        "describeKey",
        "disableKey",
        "createKey"
    ]);
    for (filter, expected) in [
        (json!({"endTime": three}), all),
        (json!({"startTime": two, "endTime": two}), json!(["encrypt", "describeKey"])),
        (json!({"startTime": two, "endTime": three, "result": "success"}), json!(["encrypt", "disableKey"])),
        (json!({"endTime": one, "eventName": "createKey"}), json!(["createKey"])),
        (json!({"eventName": "encrypt"}), json!(["encrypt"])),
        (json!({"eventName": "nothing"}), json!([])),
        (json!({"eventType": "SYSTEM"}), json!(["initialiseAppliance"])),
        (json!({"eventSource": "AAP"}), json!(["encrypt", "describeKey"])),
        (json!({"eventLevel": "INCIDENT"}), json!(["createKey"])),
        (json!({"eventLevel": "WARNING"}), json!(["describeKey"])),
        (json!({"resourceType": "CMK"}), json!(["createKey", "encrypt", "disableKey"])),
        (json!({"resourceId": key}), json!(["createKey", "encrypt", "disableKey"])),
        (json!({"userName": service.first["accessPointId"]}), json!(["encrypt", "describeKey"])),
        (json!({"accessKey": application.access_key}), json!(["encrypt", "describeKey"])),
        (json!({"result": "failure"}), json!(["describeKey", "createKey"])),
        (
            json!({"result": "FAILURE", "sourceIp": "127.0.0.1", "eventSource": "OPENAPI"}),
            json!(["createKey"]),
        ),
        (json!({"sourceIp": "10.0.0.1"}), json!([])),
        (
            json!({"resourceId": key, "userName": "admin", "result": "success"}),
            json!(["createKey", "disableKey"]),
        ),
    ] {
        let mut request = filter.clone();
        request["pageSize"] = json!(100);
        let page = admin.ok(QUERY, request);
        let mut found: Vec<&Value> = page["records"].as_array().unwrap().iter().collect();
        found.retain(|record| record["eventName"] != "queryAudit");
        found.reverse();
        let found: Vec<&Value> = found.into_iter().map(|record| &record["eventName"]).collect();
        assert_eq!(json!(found), expected, "{filter}");
    }
    for wrong in [
        json!({"startTime": "yesterday"}),
        json!({"endTime": "2026-11-02"}),
        json!({"result": "maybe"}),
        json!({"cursor": "x"}),
    ] {
        assert_eq!(admin.refused(QUERY, wrong), "KMS.9020");
    }
}

/// Times have whole seconds, so the last second of a search is part of it.
#[test]
fn a_search_includes_the_second_at_which_it_ends() {
    let service = Service::start();
    let admin = service.admin();
    service.clock.advance(Duration::from_millis(500));
    admin.ok(CREATE, json!({}));
    let found = |filter: Value| admin.ok(QUERY, filter)["records"].as_array().unwrap().len();
    let at = "2026-11-02T00:00:00Z";
    assert_eq!(found(json!({"eventName": "createKey", "startTime": at})), 1);
    let page = admin.ok(QUERY, json!({"eventName": "createKey"}));
    assert_eq!(page["records"][0]["time"], at);
    assert_eq!(found(json!({"eventName": "createKey", "endTime": at})), 1, "a record of that very time");
}

#[test]
fn the_cursor_walks_through_everything_once() {
    let service = Service::start();
    let admin = service.admin();
    parallel(4, |_| (0..15).for_each(|_| drop(admin.ok("/get/messageDigest", json!({"input": "a"})))));
    let last = admin.ok(QUERY, json!({"pageSize": 1}))["records"][0]["sequence"].as_u64().unwrap();
    for (size, filter) in [(1, "messageDigest"), (7, "messageDigest"), (100, "messageDigest")] {
        let (mut sequences, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let page = admin.ok(QUERY, json!({"pageSize": size, "cursor": cursor, "eventName": filter}));
            let records = page["records"].as_array().unwrap();
            assert!(records.len() <= size);
            sequences.extend(records.iter().map(|record| record["sequence"].as_u64().unwrap()));
            cursor = page["nextCursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(sequences.len(), 60, "pages of {size}");
        assert!(sequences.windows(2).all(|pair| pair[0] > pair[1]), "newest first: {sequences:?}");
    }
    let before = admin.ok(QUERY, json!({"pageSize": 100, "cursor": last}));
    let newest = before["records"][0]["sequence"].as_u64().unwrap();
    assert_eq!(newest, last - 1, "a cursor stands before its record");
}

#[test]
fn sequence_numbers_have_no_gaps_also_across_restarts() {
    let mut service = Service::start();
    let mut ids = Vec::new();
    for _ in 0..3 {
        let admin = service.admin();
        ids.extend(parallel(4, |_| id(&admin.call("/cmkManage/enableKey", json!({})))));
        ids.push(id(&admin.call(CREATE, json!({}))));
        service.restart();
    }
    let records = service.audit();
    for (record, expected) in records.iter().zip(1u64..) {
        assert_eq!(record["sequence"], expected);
    }
    let mut events: Vec<&str> = records.iter().map(|record| record["eventId"].as_str().unwrap()).collect();
    events.sort_unstable();
    events.dedup();
    assert_eq!(events.len(), records.len(), "event ids are unique");
    for id in ids {
        assert_eq!(records.iter().filter(|record| record["requestId"] == id).count(), 1, "{id}");
    }
}
