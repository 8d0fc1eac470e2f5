//! What is refused beside what every operation refuses alike (`refusals.rs`), with which code, and that a refusal changes
//! nothing and leaves exactly one audit record.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{AccessPoint, Answer, OpenApi, Service, access_point_date, base64, new_id, unbase64};

const CREATE: &str = "/cmkManage/createKey";
const ENCRYPT: &str = "/keyCompute/encrypt";
const DECRYPT: &str = "/keyCompute/decrypt";
const LIST: &str = "/keyManage/listAliasKeys";
const POINTS: &str = "/accessPoint/listApplicationAccessPoint";

/// A service with one key called `alias/mine`, and an account of what was refused there.
struct Ledger {
    service: Service,
    admin: OpenApi,
    application: AccessPoint,
    key: Value,
    before: Value,
    refusals: Vec<(String, String)>,
}

impl Ledger {
    fn open() -> Self {
        let service = Service::start();
        let (admin, application) = (service.admin(), service.first_application());
        let key = admin.ok(CREATE, json!({"aliasName": "alias/mine"}))["cmkUuid"].clone();
        let mut ledger = Self { service, admin, application, key, before: Value::Null, refusals: Vec::new() };
        ledger.before = ledger.inventory();
        ledger
    }

    /// Everything that a call of a tenant can change.
    fn inventory(&self) -> Value {
        let point = json!({"accessPointId": self.service.first["accessPointId"], "pageSize": 100});
        json!([
            self.admin.ok(LIST, json!({"pageSize": 100})),
            self.admin.ok("/userAk/listUserAk", point),
            self.admin.ok("/system/describeSystem", json!({}))["partitions"],
        ])
    }

    /// Checks the code and that nothing changed. Time passes, so that refusals of strangers keep their own records.
    fn refuse(&mut self, answer: &Answer, codes: &[&str], what: &str) {
        let code = answer.code();
        assert!(codes.contains(&code.as_str()), "{what}: {codes:?} expected: {answer:?}");
        assert!(!answer.body["message"].as_str().unwrap().is_empty(), "{what}: {answer:?}");
        self.refusals.push((answer.body["requestId"].as_str().unwrap().to_owned(), code));
        self.service.clock.advance(Duration::from_secs(2));
        assert_eq!(self.inventory(), self.before, "{what} changed something");
    }

    /// One request on both planes.
    fn refuse_on_both(&mut self, path: &str, body: &Value, code: &str) {
        let answer = self.admin.call(path, body.clone());
        self.refuse(&answer, &[code], &format!("OpenAPI {path} {body}"));
        let answer = self.application.call(path, body.clone());
        self.refuse(&answer, &[code], &format!("access point {path} {body}"));
    }

    /// A body that is not signed for what it says on access points: it is refused before signatures matter.
    fn refuse_bytes_on_both(&mut self, path: &str, body: &[u8], code: &str) {
        let text = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let answer = self.admin.send(self.admin.request(path, body));
        self.refuse(&answer, &[code], &format!("OpenAPI {path} {text}"));
        let date = access_point_date(self.service.clock.now());
        let answer = self.application.send(path, &date, "eA==", body);
        self.refuse(&answer, &[code], &format!("access point {path} {text}"));
    }

    /// Every refusal has exactly one audit record with its code.
    fn close(self) {
        let mut recorded: HashMap<String, Vec<String>> = HashMap::new();
        for record in self.service.audit() {
            let text = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            recorded.entry(text("requestId")).or_default().push(text("errorCode"));
        }
        for (id, code) in self.refusals {
            assert_eq!(recorded.get(&id), Some(&vec![code]), "request {id}");
        }
    }
}

#[test]
fn an_optional_field_that_is_empty_has_its_published_code() {
    let mut ledger = Ledger::open();
    let key = ledger.key.clone();
    for (path, body, code) in [
        (CREATE, json!({"keySpec": ""}), "KMS.0126"),
        (CREATE, json!({"keyUsage": ""}), "KMS.0117"),
        (CREATE, json!({"protectionLevel": ""}), "KMS.0113"),
        (CREATE, json!({"aliasName": ""}), "KMS.0103"),
        (CREATE, json!({"enableAutomaticRotation": ""}), "KMS.0116"),
        (CREATE, json!({"enableAutomaticRotation": true}), "KMS.0118"),
        (CREATE, json!({"enableAutomaticRotation": true, "rotationInterval": ""}), "KMS.0118"),
        (CREATE, json!({"clientToken": ""}), "KMS.0101"),
        (CREATE, json!({"regionId": ""}), "KMS.0115"),
        ("/keyCompute/generateDataKey", json!({"cmkUuid": key, "keySpec": ""}), "KMS.0126"),
        ("/get/hmaccompute", json!({"cmkUuid": key, "input": "a", "keyVersionId": ""}), "KMS.0105"),
        (LIST, json!({"keySpec": ""}), "KMS.0126"),
        (LIST, json!({"keyUsage": ""}), "KMS.0117"),
        (LIST, json!({"protectionLevel": ""}), "KMS.0113"),
    ] {
        ledger.refuse_on_both(path, &body, code);
    }
    ledger.close();
}

#[test]
fn an_optional_field_that_holds_nonsense_is_refused() {
    let mut ledger = Ledger::open();
    let (key, many) = (ledger.key.clone(), "x".repeat(256));
    let tag = |n: usize| format!("{{\"tagKey\":\"k{n}\",\"tagValue\":\"v\"}}");
    let tags = |n: usize| format!("[{}]", (0..n).map(tag).collect::<Vec<_>>().join(","));
    for body in [
        json!({"keySpec": "AES_128"}),
        json!({"keySpec": 7}),
        json!({"keyUsage": "ENCRYPT"}),
        json!({"protectionLevel": 2}),
        json!({"protectionLevel": true}),
        json!({"origin": "Elsewhere"}),
        json!({"description": many}),
        json!({"description": "line\nbreak"}),
        json!({"description": 7}),
        json!({"projectId": many}),
        json!({"enableAutomaticRotation": 1}),
        json!({"enableAutomaticRotation": "yes"}),
        json!({"enableAutomaticRotation": true, "rotationInterval": 6}),
        json!({"enableAutomaticRotation": true, "rotationInterval": 731}),
        json!({"enableAutomaticRotation": true, "rotationInterval": "7 d"}),
        json!({"enableAutomaticRotation": true, "rotationInterval": "-7d"}),
        json!({"enableAutomaticRotation": true, "rotationInterval": "604799s"}),
        json!({"enableAutomaticRotation": true, "rotationInterval": "99999999999999999999d"}),
        json!({"tags": tags(21)}),
        json!({"tags": "[{\"tagKey\":\"a\",\"tagValue\":\"\"},{\"tagKey\":\"a\",\"tagValue\":\"\"}]"}),
        json!({"tags": "[{\"tagKey\":\"\",\"tagValue\":\"\"}]"}),
        json!({"tags": "[{\"tagKey\":\"a\"}]"}),
        json!({"tags": format!("[{{\"tagKey\":\"{}\",\"tagValue\":\"\"}}]", "x".repeat(129))}),
        json!({"tags": "nonsense"}),
        json!({"tags": 7}),
        json!({"clientToken": "x".repeat(65)}),
        json!({"instanceId": "ins-1"}),
    ] {
        ledger.refuse_on_both(CREATE, &body, "KMS.9020");
    }
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(8192));
    for (path, body) in [
        (LIST, json!({"keyState": "Broken"})),
        (ENCRYPT, json!({"cmkUuid": key, "plaintext": "AA==", "encryptionContext": "{\"a\":1}"})),
        (ENCRYPT, json!({"cmkUuid": key, "plaintext": "AA==", "encryptionContext": "[]"})),
        (ENCRYPT, json!({"cmkUuid": key, "plaintext": "AA==", "encryptionContext": "x"})),
        (ENCRYPT, json!({"cmkUuid": key, "plaintext": "AA==", "encryptionContext": long})),
        (ENCRYPT, json!({"cmkUuid": key.as_str().unwrap().to_uppercase(), "plaintext": "AA=="})),
        (ENCRYPT, json!({"cmkUuid": "mine", "plaintext": "AA=="})),
        ("/get/hmaccompute", json!({"cmkUuid": key, "input": "a", "keyVersionId": "1"})),
    ] {
        ledger.refuse_on_both(path, &body, "KMS.9020");
    }
    ledger.refuse_on_both(CREATE, &json!({"instanceId": "ins-AAAAAA"}), "KMS.9005");
    let version = json!({"cmkUuid": key, "input": "a", "keyVersionId": new_id()});
    ledger.refuse_on_both("/get/hmaccompute", &version, "KMS.9002");
    ledger.close();
}

#[test]
fn numbers_outside_their_range_are_refused() {
    let mut ledger = Ledger::open();
    let key = ledger.key.clone();
    for wrong in
        [json!(0), json!(101), json!("x"), json!(-1), json!(1.5), json!("1 "), json!(true), json!("+1")]
    {
        ledger.refuse_on_both(LIST, &json!({"pageSize": wrong}), "KMS.9020");
        let answer = ledger.admin.call(POINTS, json!({"pageSize": wrong}));
        ledger.refuse(&answer, &["KMS.9020"], &format!("{POINTS} {wrong}"));
        let answer = ledger.admin.call("/audit/queryAudit", json!({"pageSize": wrong}));
        ledger.refuse(&answer, &["KMS.9020"], &format!("queryAudit {wrong}"));
    }
    for wrong in [json!(0), json!("x"), json!(-1)] {
        ledger.refuse_on_both(LIST, &json!({"pageNumber": wrong}), "KMS.9020");
        ledger.refuse_on_both(LIST, &json!({"pageNo": wrong}), "KMS.9020");
    }
    for wrong in [json!(0), json!(1025), json!("x"), json!(-1), json!(1.5)] {
        ledger.refuse_on_both("/certificatecompute/getRandom", &json!({"length": wrong}), "KMS.9020");
        let body = json!({"cmkUuid": key, "numberOfBytes": wrong});
        ledger.refuse_on_both("/keyCompute/generateDataKey", &body, "KMS.9020");
        ledger.refuse_on_both("/keyCompute/generateDataKeyWithoutPlaintext", &body, "KMS.9020");
    }
    let answer = ledger.admin.call(LIST, json!({"pageNo": 1, "pageNumber": 1}));
    ledger.refuse(&answer, &["KMS.9020"], "a field under two names");
    ledger.close();
}

#[test]
fn base64_is_standard_padded_and_on_one_line() {
    let mut ledger = Ledger::open();
    let key = ledger.key.clone();
    for wrong in ["a", "YQ", "YQ=", "====", "YWJj\n", "YW Jj", "-_-_", "YR==", "YQ==YQ==", "钥"] {
        ledger.refuse_on_both(ENCRYPT, &json!({"cmkUuid": key, "plaintext": wrong}), "KMS.9020");
        ledger.refuse_on_both(DECRYPT, &json!({"ciphertextBlob": wrong}), "KMS.9020");
    }
    ledger.close();
}

#[test]
fn a_plaintext_of_6145_bytes_is_too_long() {
    let mut ledger = Ledger::open();
    let body = json!({"cmkUuid": ledger.key, "plaintext": base64(vec![1; 6145])});
    ledger.refuse_on_both(ENCRYPT, &body, "KMS.9020");
    ledger.close();
}

#[test]
fn a_body_of_65537_bytes_is_too_large_and_one_of_65536_is_not() {
    let mut ledger = Ledger::open();
    let body = |length: usize| {
        let head = "{\"input\":\"".len() + "\"}".len();
        json!({"input": "x".repeat(length - head)})
    };
    for (_, call) in ledger.service.planes() {
        call("/get/messageDigest", body(65_536)).result();
    }
    ledger.before = ledger.inventory();
    ledger.refuse_on_both("/get/messageDigest", &body(65_537), "KMS.9060");
    for answer in [
        ledger.admin.call("/get/messageDigest", body(65_537)),
        ledger.application.call("/get/messageDigest", body(65_537)),
    ] {
        assert_eq!(answer.status, 413, "{answer:?}");
    }
    ledger.close();
}

#[test]
fn a_body_that_is_no_plain_json_object_is_refused() {
    let mut ledger = Ledger::open();
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(17), "]".repeat(17));
    let bottomless = "[".repeat(30_000);
    let wide: Vec<String> = (0..65).map(|n| format!("\"f{n}\":1")).collect();
    let wide = format!("{{{}}}", wide.join(","));
    for body in [
        b"{\"description\":\"a\",\"description\":\"a\"}".as_slice(),
        b"{\"description\":\"a\",\"\\u0064escription\":\"b\"}",
        b"{\"tags\":{\"a\":1,\"a\":2}}",
        b"{\"unknown\":[{\"a\":{\"b\":1,\"b\":1}}]}",
        b"{\"description\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        b"not json",
        b"{",
        b"{} {}",
        b"{\"description\":}",
        b"{\"description\":\"\\ud800\"}",
        b"[]",
        b"[{\"description\":\"a\"}]",
        b"\"text\"",
        b"7",
        b"null",
        b"description=a",
        deep.as_bytes(),
        bottomless.as_bytes(),
        wide.as_bytes(),
    ] {
        ledger.refuse_bytes_on_both(CREATE, body, "KMS.9020");
    }
    let twice = json!({"tags": "[{\"tagKey\":\"a\",\"tagKey\":\"a\",\"tagValue\":\"\"}]"});
    ledger.refuse_on_both(CREATE, &twice, "KMS.9020");
    let body =
        json!({"cmkUuid": ledger.key, "plaintext": "AA==", "encryptionContext": "{\"a\":\"1\",\"a\":\"1\"}"});
    ledger.refuse_on_both(ENCRYPT, &body, "KMS.9020");
    let admin = ledger.admin.clone();
    let answer = admin.get(LIST, "pageSize=1&pageSize=1");
    ledger.refuse(&answer, &["KMS.9020"], "a query that names a field twice");
    ledger.close();
}

#[test]
fn an_access_point_takes_flat_fields_only_and_its_key_in_the_header_only() {
    let mut ledger = Ledger::open();
    let application = ledger.application.clone();
    for body in [
        json!({"tags": [{"tagKey": "a", "tagValue": "b"}]}),
        json!({"unknown": {"a": "b"}}),
        json!({"unknown": []}),
        json!({"accessKey": application.access_key}),
        json!({"accessKey": ""}),
        json!({"accessKey": null}),
    ] {
        let answer = application.call(CREATE, body.clone());
        ledger.refuse(&answer, &["KMS.9020"], &body.to_string());
    }
    ledger.close();
}

#[test]
fn an_unknown_path_is_404_on_its_plane() {
    let mut ledger = Ledger::open();
    let (admin, application) = (ledger.admin.clone(), ledger.application.clone());
    let v1 = |path: &str| admin.request(path, b"{}");
    let as_sent = |path: &str| crate::kit::EopRequest { path: path.into(), ..admin.request("", b"{}") };
    for request in [
        v1("/no/such"),
        v1("/v1/keyCompute/encrypt"),
        v1("/keyCompute/encrypt/"),
        v1("/KeyCompute/Encrypt"),
        v1("/versionControl/rotateDueKey"),
        v1("/account/initialiseAppliance"),
        v1("//keyCompute/encrypt"),
        v1("/keyCompute/../keyCompute/encrypt"),
        as_sent("/keyCompute/encrypt"),
        as_sent("/v2/keyCompute/encrypt"),
        as_sent("/v1"),
    ] {
        let path = request.path.clone();
        let answer = admin.send(request);
        assert_eq!(answer.status, 404, "{path}");
        ledger.refuse(&answer, &["KMS.9062"], &path);
    }
    for path in [
        "/no/such",
        "/keyCompute/encrypt/",
        "/v1/v1/keyCompute/encrypt",
        "/account/createAccount",
        "/userAk/createUserAk",
        "/userAk/listUserAk",
        POINTS,
        "/system/describeSystem",
        "/audit/queryAudit",
    ] {
        let answer = application.call(path, json!({"name": "n"}));
        assert_eq!(answer.status, 404, "{path}");
        ledger.refuse(&answer, &["KMS.9062"], path);
    }
    ledger.close();
}

#[test]
fn a_wrong_method_is_405() {
    let mut ledger = Ledger::open();
    let (admin, application) = (ledger.admin.clone(), ledger.application.clone());
    for (method, path) in [
        ("GET", ENCRYPT),
        ("GET", CREATE),
        ("GET", "/cmkManage/disableKey"),
        ("GET", "/keyName/deleteAlias"),
        ("PUT", CREATE),
        ("DELETE", "/keyName/deleteAlias"),
        ("PATCH", LIST),
        ("PUT", LIST),
        ("OPTIONS", LIST),
    ] {
        let query = "aliasName=alias%2Fmine&cmkUuid=alias%2Fmine".to_owned();
        let request = admin.request(path, b"");
        let request = crate::kit::EopRequest { method, signed_query: query.clone(), query, ..request };
        let answer = admin.send(request);
        assert_eq!(answer.status, 405, "{method} {path}");
        ledger.refuse(&answer, &["KMS.9061"], &format!("{method} {path}"));
        let date = access_point_date(ledger.service.clock.now());
        let mac = application.mac(path, &json!({"aliasName": "alias/mine", "cmkUuid": "alias/mine"}), &date);
        let path = format!("{path}?aliasName=alias%2Fmine&cmkUuid=alias%2Fmine");
        let answer = application.send_with(method, &path, &date, &mac, b"");
        assert_eq!(answer.status, 405, "{method} {path}");
        ledger.refuse(&answer, &["KMS.9061"], &format!("access point {method} {path}"));
    }
    ledger.close();
}

#[test]
fn a_ciphertext_that_was_cut_or_extended_does_not_open() {
    let mut ledger = Ledger::open();
    let sealed =
        ledger.admin.ok(ENCRYPT, json!({"cmkUuid": ledger.key, "plaintext": base64("a secret text")}));
    let blob = unbase64(&sealed["ciphertextBlob"]);
    for length in (1..blob.len()).filter(|length| length % 7 == 0 || blob.len() - length < 20) {
        let body = json!({"ciphertextBlob": base64(&blob[..length])});
        let answer = ledger.admin.call(DECRYPT, body);
        ledger.refuse(&answer, &["KMS.9028"], &format!("cut to {length} bytes"));
    }
    for longer in [[blob.as_slice(), &[0]].concat(), [&[0], blob.as_slice()].concat(), vec![1; 40_000]] {
        ledger.refuse_on_both(DECRYPT, &json!({"ciphertextBlob": base64(longer)}), "KMS.9028");
    }
    ledger.close();
}

#[test]
fn a_ciphertext_with_one_wrong_bit_does_not_open() {
    for spec in ["AES_256", "Ctyun_SM4"] {
        let service = Service::start();
        let admin = service.admin();
        let key = admin.ok(CREATE, json!({"keySpec": spec}))["cmkUuid"].clone();
        let sealed = admin.ok(ENCRYPT, json!({"cmkUuid": key, "plaintext": base64("a secret")}));
        let blob = unbase64(&sealed["ciphertextBlob"]);
        assert_eq!(blob.len(), 104 + 1 + 16 + 32 + 8 + 16, "the frame of contract 1.3");
        for at in 0..blob.len() {
            let mut wrong = blob.clone();
            wrong[at] ^= 1 << (at % 8);
            let code = admin.refused(DECRYPT, json!({"ciphertextBlob": base64(&wrong)}));
            // The key id stands in the first half of the header; it may have become that of another key.
            let allowed: &[&str] = if at < 54 { &["KMS.9028", "KMS.9001"] } else { &["KMS.9028"] };
            assert!(allowed.contains(&code.as_str()), "{spec} byte {at}: {code}");
        }
        admin.ok(DECRYPT, json!({"ciphertextBlob": base64(&blob)}));
    }
}

#[test]
fn a_ciphertext_opens_under_its_key_account_and_context_only() {
    let mut ledger = Ledger::open();
    let admin = ledger.admin.clone();
    let context = json!({"order": "1", "customer": "2"});
    let sealed = admin.ok(
        ENCRYPT,
        json!({"cmkUuid": ledger.key, "plaintext": base64("secret"), "encryptionContext": context}),
    );
    let other = admin.ok(CREATE, json!({}));
    let foreign_header = admin.ok(ENCRYPT, json!({"cmkUuid": other["cmkUuid"], "plaintext": "AA=="}));
    let (blob, header) = (unbase64(&sealed["ciphertextBlob"]), unbase64(&foreign_header["ciphertextBlob"]));
    let moved = base64([&header[..104], &blob[104..]].concat());
    ledger.before = ledger.inventory();
    let request = json!({"ciphertextBlob": moved, "encryptionContext": context});
    let answer = admin.call(DECRYPT, request);
    ledger.refuse(&answer, &["KMS.9028"], "moved to another key");
    for wrong in [
        Value::Null,
        json!({}),
        json!({"order": "1"}),
        json!({"order": "2", "customer": "1"}),
        json!({"Order": "1", "customer": "2"}),
        json!({"order": "1", "customer": "2", "more": ""}),
        json!({"order": "12", "customer": ""}),
        json!({"order": "1", "customer": "2 "}),
    ] {
        let request = json!({"ciphertextBlob": sealed["ciphertextBlob"], "encryptionContext": wrong});
        let answer = admin.call(DECRYPT, request);
        ledger.refuse(&answer, &["KMS.9028"], &format!("context {wrong}"));
    }
    let same = json!({"customer": "2", "order": "1"});
    let open = json!({"ciphertextBlob": sealed["ciphertextBlob"], "encryptionContext": same});
    admin.ok(DECRYPT, open.clone());
    let (second, account) = ledger.service.tenant();
    assert_eq!(second.refused(DECRYPT, open), "KMS.9001");
    let open = json!({"ciphertextBlob": sealed["ciphertextBlob"], "encryptionContext": same.to_string()});
    assert_eq!(ledger.service.application(&second, &account).refused(DECRYPT, open), "KMS.9001");
    ledger.close();
}

#[test]
fn an_alias_keeps_its_alphabet_and_the_names_of_products_are_reserved() {
    let mut ledger = Ledger::open();
    let (key, long) = (ledger.key.clone(), format!("alias/{}", "x".repeat(65)));
    for wrong in [
        "alias",
        "alias/",
        "Alias/a",
        "mine",
        "alias/钥",
        "alias/a b",
        "alias/a.b",
        "alias/a\n",
        long.as_str(),
        "alias/ecs",
        "alias/zos",
        "alias/sfs",
        "alias/mysql",
        "alias/postgresql",
        "alias/dds",
        "alias_ecs",
    ] {
        ledger.refuse_on_both(
            "/keyName/createAlias",
            &json!({"cmkUuid": key, "aliasName": wrong}),
            "KMS.9020",
        );
        ledger.refuse_on_both(CREATE, &json!({"aliasName": wrong}), "KMS.9020");
    }
    let by_alias = json!({"cmkUuid": "alias/mine", "aliasName": "alias/new"});
    ledger.refuse_on_both("/keyName/createAlias", &by_alias, "KMS.9020");
    let taken = json!({"cmkUuid": key, "aliasName": "alias/mine"});
    ledger.refuse_on_both("/keyName/createAlias", &taken, "KMS.9021");
    ledger.refuse_on_both(CREATE, &json!({"aliasName": "alias/mine"}), "KMS.9021");
    ledger.refuse_on_both("/keyName/deleteAlias", &json!({"aliasName": "alias/none"}), "KMS.9003");
    ledger.refuse_on_both("/keyManage/describeKey", &json!({"cmkUuid": "alias/none"}), "KMS.9003");
    ledger.refuse_on_both("/keyManage/describeKey", &json!({"cmkUuid": new_id()}), "KMS.9001");
    ledger.close();
}

#[test]
fn spec_usage_level_and_origin_must_fit_together() {
    let mut ledger = Ledger::open();
    for (body, code) in [
        (json!({"keyUsage": "SIGN/VERIFY"}), "KMS.9027"),
        (json!({"keySpec": "SM4", "keyUsage": "Sign/Verify"}), "KMS.9027"),
        (json!({"keySpec": "SM4", "protectionLevel": "SOFTWARE"}), "KMS.9026"),
        (json!({"keySpec": "SM2", "protectionLevel": 1}), "KMS.9026"),
        (json!({"keySpec": "RSA2048", "enableAutomaticRotation": true, "rotationInterval": "7"}), "KMS.9027"),
        (json!({"keySpec": "EC_SM2", "enableAutomaticRotation": true, "rotationInterval": "7"}), "KMS.9027"),
        (json!({"keySpec": "RSA_2048", "origin": "External"}), "KMS.9025"),
        (json!({"keySpec": "SM2", "origin": "external"}), "KMS.9025"),
        (json!({"origin": "External", "enableAutomaticRotation": true, "rotationInterval": "7"}), "KMS.9025"),
    ] {
        ledger.refuse_on_both(CREATE, &body, code);
    }
    ledger.close();
}

#[test]
fn a_region_may_not_be_empty_or_unknown_wherever_it_stands() {
    let mut ledger = Ledger::open();
    let admin = ledger.admin.clone();
    for (region, code) in [("", "KMS.0115"), ("elsewhere", "KMS.9020")] {
        ledger.refuse_on_both(CREATE, &json!({"regionId": region}), code);
        let answer = admin.get(LIST, &format!("regionId={region}"));
        ledger.refuse(&answer, &[code], &format!("{region:?} in the query of a GET"));
        let request = admin.request(CREATE, b"{}");
        let authorization = request.authorization();
        let headers = [
            ("ctyun-eop-request-id", request.id.as_str()),
            ("Eop-date", request.date.as_str()),
            ("Eop-Authorization", authorization.as_str()),
            ("regionId", region),
        ];
        let answer = crate::kit::send(&admin.agent, "POST", &admin.url(&request), &headers, b"{}");
        ledger.refuse(&answer, &[code], &format!("{region:?} in the header"));
    }
    for (_, call) in ledger.service.planes() {
        call(LIST, json!({"regionId": "local"})).result();
    }
    ledger.before = ledger.inventory();
    ledger.close();
}

/// Contract section 1: `regionId` may stand in the query, also of a POST.
#[test]
fn a_region_in_the_query_of_a_post_counts() {
    let mut ledger = Ledger::open();
    let admin = ledger.admin.clone();
    for (region, code) in [("", "KMS.0115"), ("elsewhere", "KMS.9020")] {
        let query = format!("regionId={region}");
        let request = admin.request("/get/messageDigest", b"{\"input\":\"a\"}");
        let answer = admin.send(crate::kit::EopRequest { signed_query: query.clone(), query, ..request });
        ledger.refuse(&answer, &[code], &format!("{region:?} in the query of a POST"));
    }
    ledger.close();
}

#[test]
fn a_malformed_call_of_a_known_caller_is_recorded_as_theirs() {
    let service = Service::start();
    let admin = service.admin();
    let answer = admin.send(admin.request(CREATE, b"nonsense"));
    assert_eq!(answer.code(), "KMS.9020");
    let records = service.audit();
    let record = records.iter().find(|record| record["requestId"] == answer.body["requestId"]).unwrap();
    assert_eq!(record["eventName"], "createKey");
    assert_eq!(record["accountId"], service.first["accountId"]);
    assert_eq!(record["accessKey"], admin.access_key);
    assert_eq!(record["errorCode"], "KMS.9020");
}
