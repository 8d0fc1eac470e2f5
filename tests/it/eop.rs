//! Who is let in: signatures, dates, zones, replays and rates of both planes (contract 2.1, 2.2, 4.4).

use std::time::Duration;

use serde_json::json;
use sha2::Digest as _;
use yaoku::config::DateZone;
use yaoku::env::Timestamp;
use yaoku::model::rate::Rate;

use crate::kit::{
    AccessPoint, Answer, Caller, EopRequest, OpenApi, Service, access_point_date, eop_date, eop_signature,
    new_id, poll, send,
};

const DIGEST: &str = "/get/messageDigest";
const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const BODY: &[u8] = b"{\"input\":\"a\"}";
const WINDOW: i64 = 15 * 60;

/// The code of a refusal, or `ok`.
fn outcome(answer: &Answer) -> String {
    let success = answer.body["statusCode"] == 800 || answer.body["code"] == 200;
    if success { "ok".into() } else { answer.code() }
}

fn good(person: &OpenApi) -> EopRequest {
    person.request(DIGEST, BODY)
}

fn dated(person: &OpenApi, seconds_off: i64) -> EopRequest {
    EopRequest {
        date: eop_date(Timestamp::from_seconds(person.clock.now().seconds() + seconds_off)),
        ..good(person)
    }
}

/// Sends a request under the authorization that belongs to another one.
fn forge(person: &OpenApi, sent: EopRequest, signed: &EopRequest) -> Answer {
    let authorization = signed.authorization();
    let headers = [
        ("ctyun-eop-request-id", sent.id.as_str()),
        ("Eop-date", sent.date.as_str()),
        ("Eop-Authorization", authorization.as_str()),
    ];
    send(&person.agent, sent.method, &person.url(&sent), &headers, &sent.body)
}

#[test]
fn a_signature_covers_body_id_date_query_and_both_keys() {
    let service = Service::start();
    let admin = service.admin();
    assert_eq!(outcome(&admin.send(good(&admin))), "ok");
    let other_key = "0".repeat(32);
    let (second, _) = service.tenant();
    let later = eop_date(service.clock.now().after(Duration::from_secs(1)));
    let changed = |change: &dyn Fn(&mut EopRequest)| {
        let mut request = good(&admin);
        change(&mut request);
        request
    };
    let fixed_id = new_id();
    let cases: [(&str, EopRequest, EopRequest, &str); 9] = [
        ("body", changed(&|r| r.body = b"{\"input\":\"b\"}".to_vec()), good(&admin), "KMS.9040"),
        (
            "space in the body",
            changed(&|r| r.body = b"{\"input\":\"a\"} ".to_vec()),
            good(&admin),
            "KMS.9040",
        ),
        ("id", changed(&|r| r.id = new_id()), good(&admin), "KMS.9040"),
        ("date", changed(&|r| r.date = later.clone()), good(&admin), "KMS.9040"),
        ("query", changed(&|r| r.query = "a=1".into()), good(&admin), "KMS.9040"),
        ("missing query", good(&admin), changed(&|r| r.signed_query = "a=1".into()), "KMS.9040"),
        ("secret key", good(&admin), changed(&|r| r.secret_key.push('x')), "KMS.9040"),
        ("access key", good(&admin), changed(&|r| r.access_key = second.access_key.clone()), "KMS.9040"),
        ("unknown access key", good(&admin), changed(&|r| r.access_key = other_key.clone()), "KMS.9041"),
    ];
    for (what, mut sent, mut signed, code) in cases {
        if what != "id" {
            (sent.id, signed.id) = (format!("{fixed_id}{what}"), format!("{fixed_id}{what}"));
        }
        let answer = forge(&admin, sent, &signed);
        assert_eq!((answer.status, outcome(&answer).as_str()), (401, code), "{what}: {answer:?}");
    }
    for malformed in ["x", "A".repeat(32).as_str(), ""] {
        let request = EopRequest { access_key: malformed.into(), ..good(&admin) };
        let code = outcome(&admin.send(request));
        assert!(code == "KMS.9041" || malformed.is_empty() && code == "KMS.9040", "{malformed:?}: {code}");
    }
}

#[test]
fn every_bit_of_a_signature_counts() {
    let service = Service::start();
    let admin = service.admin();
    let request = good(&admin);
    let authorization = request.authorization();
    let (head, signature) = authorization.split_once("Signature=").unwrap();
    let mut wrong: Vec<String> = (0..signature.len() - 1)
        .map(|at| {
            let replacement = if signature.as_bytes()[at] == b'A' { "B" } else { "A" };
            format!("{}{replacement}{}", &signature[..at], &signature[at + 1..])
        })
        .collect();
    wrong.extend(["".into(), "=".into(), signature[..40].into(), signature.trim_end_matches('=').into()]);
    for signature in wrong {
        let authorization = format!("{head}Signature={signature}");
        let headers = [
            ("ctyun-eop-request-id", request.id.as_str()),
            ("Eop-date", request.date.as_str()),
            ("Eop-Authorization", authorization.as_str()),
        ];
        let answer = send(&admin.agent, "POST", &admin.url(&request), &headers, BODY);
        assert_eq!(outcome(&answer), "KMS.9040", "{signature}");
    }
    assert_eq!(outcome(&admin.send(request)), "ok", "refusals do not use the request id up");
}

#[test]
fn a_missing_or_repeated_header_is_refused() {
    let service = Service::start();
    let admin = service.admin();
    for (left_out, twice, code) in [
        ("Eop-Authorization", "", "KMS.9040"),
        ("Eop-date", "", "KMS.9043"),
        ("ctyun-eop-request-id", "", "KMS.9040"),
        ("", "Eop-Authorization", "KMS.9040"),
        ("", "Eop-date", "KMS.9043"),
        ("", "ctyun-eop-request-id", "KMS.9040"),
    ] {
        let request = good(&admin);
        let authorization = request.authorization();
        let mut headers = vec![
            ("ctyun-eop-request-id", request.id.as_str()),
            ("Eop-date", request.date.as_str()),
            ("Eop-Authorization", authorization.as_str()),
        ];
        headers.retain(|(name, _)| *name != left_out);
        let again = headers.iter().find(|(name, _)| *name == twice).copied();
        headers.extend(again);
        let answer = send(&admin.agent, "POST", &admin.url(&request), &headers, BODY);
        assert_eq!((answer.status, outcome(&answer).as_str()), (401, code), "-{left_out} +{twice}");
    }
}

#[test]
fn a_date_has_one_form_on_the_openapi_plane() {
    let service = Service::start();
    let admin = service.admin();
    for wrong in [
        "",
        "x",
        "20261102T000000",
        "2026-11-02T00:00:00Z",
        "20261102 000000Z",
        "20261102T000000z",
        "20261102T0000Z",
        "20261302T000000Z",
        "20261102T240000Z",
        "20261102T000060Z",
        "1793577600",
        "Mon, 02 Nov 2026 08:00:00 CST",
        "２０２６1102T000000Z",
    ] {
        let answer = admin.send(EopRequest { date: wrong.into(), ..good(&admin) });
        assert_eq!((answer.status, outcome(&answer).as_str()), (401, "KMS.9043"), "{wrong:?}");
    }
}

#[test]
fn the_window_is_fifteen_minutes_both_ways_on_both_planes() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    for (off, code) in [(WINDOW, "ok"), (-WINDOW, "ok"), (WINDOW + 1, "KMS.9043"), (-WINDOW - 1, "KMS.9043")]
    {
        assert_eq!(outcome(&admin.send(dated(&admin, off))), code, "{off}");
        let at = Timestamp::from_seconds(service.clock.now().seconds() + off);
        assert_eq!(outcome(&send_at(&application, &access_point_date(at))), code, "{off}");
    }
    let old = good(&admin);
    service.clock.advance(Duration::from_secs(15 * 60 + 1));
    assert_eq!(outcome(&admin.send(old)), "KMS.9043", "time went on");
}

const BEIJING: i64 = 8 * 3600;

#[test]
fn the_first_accepted_request_pins_the_zone_and_a_restart_keeps_it() {
    let mut service = Service::start();
    let account = service.admin().ok("/account/createAccount", json!({"name": "second"}));
    for restarts in [false, true] {
        if restarts {
            service.restart();
        }
        let (utc, beijing) = (service.admin(), service.person(&account));
        assert_eq!(outcome(&utc.send(dated(&utc, 0))), "ok");
        assert_eq!(outcome(&utc.send(dated(&utc, BEIJING))), "KMS.9043");
        assert_eq!(outcome(&beijing.send(dated(&beijing, BEIJING))), "ok");
        assert_eq!(outcome(&beijing.send(dated(&beijing, 0))), "KMS.9043");
    }
}

#[test]
fn a_refused_signature_pins_no_zone() {
    let service = Service::start();
    let (second, _) = service.tenant();
    let forged = EopRequest { secret_key: "wrong".into(), ..dated(&second, 0) };
    assert_eq!(outcome(&second.send(forged)), "KMS.9040");
    assert_eq!(outcome(&second.send(dated(&second, BEIJING))), "ok");
}

/// A zone is pinned so that a request never becomes valid again eight hours later (contract 2.1): also when the first
/// request that was proven had a body that was refused.
#[test]
fn a_zone_pinned_by_a_malformed_body_survives_a_restart() {
    let mut service = Service::start();
    let (second, account) = service.tenant();
    let malformed = EopRequest { body: b"nonsense".to_vec(), ..dated(&second, BEIJING) };
    assert_eq!(outcome(&second.send(malformed)), "KMS.9020");
    assert_eq!(outcome(&second.send(dated(&second, 0))), "KMS.9043", "pinned");
    let captured =
        EopRequest { path: format!("/v1{CREATE}"), body: b"{}".to_vec(), ..dated(&second, BEIJING) };
    let (id, date) = (captured.id.clone(), captured.date.clone());
    assert_eq!(outcome(&second.send(captured)), "ok");
    service.restart();
    service.clock.advance(Duration::from_secs(8 * 3600));
    let second = service.person(&account);
    let replayed = poll("a verdict other than that on the request id", || {
        let again = EopRequest { id: id.clone(), date: date.clone(), ..second.request(CREATE, b"{}") };
        Some(outcome(&second.send(again))).filter(|code| code != "KMS.9045")
    });
    assert_eq!(replayed, "KMS.9043", "the same bytes eight hours later");
}

#[test]
fn a_configured_zone_is_the_only_one() {
    for (zone, accepted, refused) in [(DateZone::Utc, 0, BEIJING), (DateZone::Beijing, BEIJING, 0)] {
        let service = Service::start_with(|config| config.openapi.date_zone = zone);
        let admin = service.admin();
        assert_eq!(outcome(&admin.send(dated(&admin, refused))), "KMS.9043", "{zone:?}");
        assert_eq!(outcome(&admin.send(dated(&admin, accepted))), "ok", "{zone:?}");
        assert_eq!(outcome(&admin.send(dated(&admin, refused))), "KMS.9043", "{zone:?}");
    }
}

#[test]
fn a_request_id_serves_once_per_access_key_and_window() {
    let service = Service::start();
    let admin = service.admin();
    let (second, _) = service.tenant();
    let id = new_id();
    let with_id = |person: &OpenApi| EopRequest { id: id.clone(), ..good(person) };
    assert_eq!(outcome(&admin.send(with_id(&admin))), "ok");
    let again = admin.send(with_id(&admin));
    assert_eq!((again.status, outcome(&again).as_str()), (401, "KMS.9045"));
    assert_eq!(outcome(&second.send(with_id(&second))), "ok", "another access key");
    for minutes in [1, 7, 14] {
        let early = EopRequest { id: id.clone(), ..dated(&admin, minutes * 60) };
        assert_eq!(outcome(&admin.send(early)), "KMS.9045", "another minute of the window");
        let late = EopRequest { id: id.clone(), ..dated(&admin, -minutes * 60) };
        assert_eq!(outcome(&admin.send(late)), "KMS.9045", "another minute of the window");
    }
    let other_operation = EopRequest { id: id.clone(), ..admin.request(CREATE, b"{}") };
    assert_eq!(outcome(&admin.send(other_operation)), "KMS.9045", "another operation");
    service.clock.advance(Duration::from_secs(14 * 60));
    assert_eq!(outcome(&admin.send(with_id(&admin))), "KMS.9045");
}

/// A request may be dated a quarter of an hour ahead; its id must be remembered until that date is out of the window.
#[test]
fn a_request_from_the_future_is_not_valid_twice() {
    let service = Service::start();
    let admin = service.admin();
    let ahead = dated(&admin, WINDOW);
    let (id, date) = (ahead.id.clone(), ahead.date.clone());
    assert_eq!(outcome(&admin.send(ahead)), "ok");
    for _ in 0..4 {
        service.clock.advance(Duration::from_secs(7 * 60));
        admin.ok(CREATE, json!({}));
        let again = EopRequest { id: id.clone(), date: date.clone(), ..good(&admin) };
        assert_eq!(outcome(&admin.send(again)), "KMS.9045");
    }
}

#[test]
fn a_write_is_not_repeated_by_a_restart() {
    let mut service = Service::start();
    for off in [0, WINDOW] {
        let admin = service.admin();
        let write = EopRequest { path: format!("/v1{CREATE}"), body: b"{}".to_vec(), ..dated(&admin, off) };
        let (id, date) = (write.id.clone(), write.date.clone());
        assert_eq!(outcome(&admin.send(write)), "ok");
        service.restart();
        let admin = service.admin();
        let again = EopRequest { id, date, ..admin.request(CREATE, b"{}") };
        assert_eq!(outcome(&admin.send(again)), "KMS.9045", "{off}");
    }
}

#[test]
fn a_request_id_has_1_to_128_characters() {
    let service = Service::start();
    let admin = service.admin();
    for (id, code) in [("x".repeat(128), "ok"), ("x".repeat(129), "KMS.9020"), (String::new(), "KMS.9020")] {
        let length = id.len();
        let answer = admin.send(EopRequest { id, ..good(&admin) });
        assert_eq!(outcome(&answer), code, "{length}");
    }
}

/// Header values may hold any UTF-8 text; the answer must come in its form all the same.
#[test]
fn a_request_id_that_is_no_ascii_is_answered_in_form() {
    let service = Service::start();
    let admin = service.admin();
    let answer = admin.send(EopRequest { id: "请求-1".into(), ..good(&admin) });
    assert!(answer.body.is_object(), "no answer in form: {answer:?}");
    assert!(["ok", "KMS.9020", "KMS.9040"].contains(&outcome(&answer).as_str()), "{answer:?}");
}

#[test]
fn a_query_is_signed_as_sent_or_canonicalised() {
    let service = Service::start();
    let admin = service.admin();
    admin.ok(CREATE, json!({"aliasName": "alias/q", "projectId": "a b"}));
    let list = "/keyManage/listAliasKeys";
    for (path, query, signed, code) in [
        (DESCRIBE, "cmkUuid=alias/q", "cmkUuid=alias/q", "ok"),
        (DESCRIBE, "cmkUuid=alias/q", "cmkUuid=alias%2Fq", "ok"),
        (DESCRIBE, "cmkUuid=alias%2Fq", "cmkUuid=alias%2Fq", "ok"),
        (DESCRIBE, "cmkUuid=alias%2fq", "cmkUuid=alias%2Fq", "ok"),
        (DESCRIBE, "cmkUuid=alias%2Fq", "cmkUuid=alias/q", "KMS.9040"),
        (list, "projectId=a+b&pageSize=5", "projectId=a+b&pageSize=5", "ok"),
        (list, "projectId=a+b&pageSize=5", "pageSize=5&projectId=a%20b", "ok"),
        (list, "projectId=a%20b&pageSize=5", "pageSize=5&projectId=a%20b", "ok"),
        (list, "projectId=a%20b&pageSize=5", "projectId=a%20b&pageSize=5", "ok"),
        (list, "projectId=a%20b&pageSize=5", "pageSize=6&projectId=a%20b", "KMS.9040"),
        (list, "projectId=a%20b&pageSize=5", "", "KMS.9040"),
        (list, "aliasName=a==b&", "aliasName=a%3D%3Db", "ok"),
    ] {
        let (query, signed_query) = (query.to_owned(), signed.to_owned());
        let request = admin.request(path, b"");
        let answer = admin.send(EopRequest { method: "GET", query, signed_query, ..request });
        assert_eq!(outcome(&answer), code, "{path} signed as {signed}");
    }
    let signed_query = "a=1&b=two".to_owned();
    let answer = admin.send(EopRequest { query: "b=two&a=1".into(), signed_query, ..good(&admin) });
    assert_eq!(outcome(&answer), "ok", "also with POST");
}

/// A request that signs further headers, given with their values in the order of their names.
fn with_headers(person: &OpenApi, list: &str, signed: &[(&str, &str)], sent: &[(&str, &str)]) -> Answer {
    let request = good(person);
    let mut all = vec![("ctyun-eop-request-id", request.id.as_str()), ("eop-date", request.date.as_str())];
    all.extend(signed);
    all.sort_unstable();
    let lines: String = all.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    let text = format!("{lines}\n\n{}", hex::encode(sha2::Sha256::digest(BODY)));
    let signature = eop_signature(&person.access_key, &person.secret_key, &request.date, &text);
    let authorization = format!("{} {list} Signature={signature}", person.access_key);
    let mut headers = vec![
        ("ctyun-eop-request-id", request.id.as_str()),
        ("Eop-date", request.date.as_str()),
        ("Eop-Authorization", authorization.as_str()),
    ];
    headers.extend(sent);
    send(&person.agent, "POST", &person.url(&request), &headers, BODY)
}

#[test]
fn further_headers_may_be_signed_once() {
    let service = Service::start();
    let admin = service.admin();
    let host = admin.endpoint.trim_start_matches("https://");
    let both = "ctyun-eop-request-id;eop-date";
    for (list, signed, sent, code) in [
        (format!("Headers={both}"), vec![], vec![], "ok"),
        (format!("Header={both}"), vec![], vec![], "ok"),
        ("Headers=Eop-Date;Ctyun-Eop-Request-Id".into(), vec![], vec![], "ok"),
        (format!("Headers={both};host"), vec![("host", host)], vec![], "ok"),
        (
            format!("Headers=host;{both};x-extra"),
            vec![("host", host), ("x-extra", "1")],
            vec![("x-extra", "1")],
            "ok",
        ),
        (format!("Headers={both};x-extra"), vec![("x-extra", "1")], vec![("x-extra", "2")], "KMS.9040"),
        (format!("Headers={both};x-extra"), vec![("x-extra", "1")], vec![], "KMS.9040"),
        (
            format!("Headers={both};x-extra"),
            vec![("x-extra", "1")],
            vec![("x-extra", "1"), ("x-extra", "1")],
            "KMS.9040",
        ),
        (format!("Headers={both};eop-date"), vec![], vec![], "KMS.9040"),
        ("Headers=eop-date".into(), vec![], vec![], "KMS.9040"),
        ("Headers=ctyun-eop-request-id".into(), vec![], vec![], "KMS.9040"),
        ("Headers=".into(), vec![], vec![], "KMS.9040"),
        (both.into(), vec![], vec![], "KMS.9040"),
    ] {
        assert_eq!(outcome(&with_headers(&admin, &list, &signed, &sent)), code, "{list} {sent:?}");
    }
}

fn send_at(application: &AccessPoint, date: &str) -> Answer {
    let body = json!({"input": "a"});
    application.send(DIGEST, date, &application.mac(DIGEST, &body, date), body.to_string().as_bytes())
}

#[test]
fn an_access_point_mac_covers_body_date_path_and_both_keys() {
    let service = Service::start();
    let application = service.first_application();
    let date = access_point_date(service.clock.now());
    let body = json!({"input": "a"});
    let mac = application.mac(DIGEST, &body, &date);
    let other_date = access_point_date(service.clock.now().after(Duration::from_secs(1)));
    let stranger = AccessPoint { access_key: "0".repeat(32), ..application.clone() };
    let mut forger = application.clone();
    forger.secret_key.push('x');
    let other = service.first_application();
    let sent = |by: &AccessPoint, path: &str, date: &str, mac: &str, body: &str| {
        let answer = by.send(path, date, mac, body.as_bytes());
        let code = outcome(&answer);
        assert!(code == "ok" || answer.status == 401, "{answer:?}");
        code
    };
    let text = body.to_string();
    assert_eq!(sent(&application, DIGEST, &date, &mac, &text), "ok");
    assert_eq!(sent(&application, DIGEST, &date, &mac, &text), "ok", "honest identical calls look alike");
    assert_eq!(sent(&application, DIGEST, &date, &mac, "{\"input\":\"b\"}"), "KMS.9040");
    assert_eq!(sent(&application, DIGEST, &date, &mac, "{\"input\":\"a\",\"more\":1}"), "KMS.9040");
    assert_eq!(sent(&application, DIGEST, &other_date, &mac, &text), "KMS.9040");
    assert_eq!(sent(&application, "/certificatecompute/getRandom", &date, &mac, &text), "KMS.9040");
    assert_eq!(sent(&application, DIGEST, &date, "", &text), "KMS.9040");
    assert_eq!(sent(&application, DIGEST, &date, "no base64!", &text), "KMS.9040");
    assert_eq!(sent(&other, DIGEST, &date, &mac, &text), "KMS.9040");
    assert_eq!(sent(&stranger, DIGEST, &date, &stranger.mac(DIGEST, &body, &date), &text), "KMS.9041");
    assert_eq!(sent(&forger, DIGEST, &date, &forger.mac(DIGEST, &body, &date), &text), "KMS.9040");
    for wrong in
        ["", "x", "2026-11-02T08:00:00Z", "Mon, 02 Nov 2026 08:00:00", "Mon, 02 Nov 2026 08:00:00 EST"]
    {
        assert_eq!(
            sent(&application, DIGEST, wrong, &application.mac(DIGEST, &body, wrong), &text),
            "KMS.9043"
        );
    }
}

#[test]
fn an_access_point_mac_takes_values_in_the_byte_order_of_their_names() {
    let service = Service::start();
    let application = service.first_application();
    for more in [
        json!({"Z": 1, "a": true, "accessKex": "x", "accessKez": null, "é": -2.50, "钥": "\u{1f511}", "_": "a\nb"}),
        json!({"inpus": "before", "inpuu": "after", "": "empty name"}),
        json!({"x": 1.0e30, "y": 12345678901234567890u64, "z": "\"quoted\" \\"}),
    ] {
        let mut body = more.clone();
        body["input"] = json!("a");
        assert_eq!(outcome(&application.call(DIGEST, body)), "ok", "{more}");
    }
}

#[test]
fn an_access_point_call_without_its_headers_is_refused() {
    let service = Service::start();
    let application = service.first_application();
    let date = access_point_date(service.clock.now());
    let mac = application.mac(DIGEST, &json!({"input": "a"}), &date);
    let all = [
        ("accessKey", application.access_key.as_str()),
        ("requestDate", date.as_str()),
        ("hmac", mac.as_str()),
    ];
    let url = format!("{}{DIGEST}", application.endpoint);
    for (left_out, code) in [("accessKey", "KMS.9040"), ("requestDate", "KMS.9043"), ("hmac", "KMS.9040")] {
        let mut headers = all.to_vec();
        headers.retain(|(name, _)| *name != left_out);
        assert_eq!(
            outcome(&send(&application.agent, "POST", &url, &headers, BODY)),
            code,
            "without {left_out}"
        );
        let mut headers = all.to_vec();
        headers.extend(all.iter().filter(|(name, _)| *name == left_out));
        assert_eq!(
            outcome(&send(&application.agent, "POST", &url, &headers, BODY)),
            code,
            "{left_out} twice"
        );
    }
    assert_eq!(outcome(&send(&application.agent, "POST", &url, &all, BODY)), "ok");
}

#[test]
fn an_access_point_date_may_name_its_zone_in_many_ways() {
    let service = Service::start();
    let application = service.first_application();
    for date in [
        "Mon, 02 Nov 2026 08:00:00 CST",
        "Mon, 02 Nov 2026 00:00:00 UTC",
        "Mon, 02 Nov 2026 00:00:00 GMT",
        "Mon, 02 Nov 2026 08:00:00 +08:00",
        "Mon, 02 Nov 2026 08:00:00 +08",
        "Sun, 01 Nov 2026 23:00:00 -01:00",
    ] {
        assert_eq!(outcome(&send_at(&application, date)), "ok", "{date}");
    }
    for date in
        ["Mon, 02 Nov 2026 00:00:00 CST", "Mon, 02 Nov 2026 08:00:00 UTC", "Mon, 02 Nov 2026 08:00:00 -08:00"]
    {
        assert_eq!(outcome(&send_at(&application, date)), "KMS.9043", "{date}");
    }
}

#[test]
fn an_access_point_path_with_v1_is_verified_as_sent() {
    let service = Service::start();
    let application = service.first_application();
    let (date, body) = (access_point_date(service.clock.now()), json!({"input": "a"}));
    let long = format!("/v1{DIGEST}");
    for (path, signed, code) in [
        (long.as_str(), long.as_str(), "ok"),
        (DIGEST, DIGEST, "ok"),
        (long.as_str(), DIGEST, "KMS.9040"),
        (DIGEST, long.as_str(), "KMS.9040"),
    ] {
        let mac = application.mac(signed, &body, &date);
        let answer = application.send(path, &date, &mac, body.to_string().as_bytes());
        assert_eq!(outcome(&answer), code, "{path} signed as {signed}");
    }
}

#[test]
fn a_credential_is_known_on_its_own_plane_only() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let (access_key, secret_key) = (admin.access_key.clone(), admin.secret_key.clone());
    let person_there = AccessPoint { access_key, secret_key, ..application.clone() };
    assert_eq!(person_there.refused(DIGEST, json!({"input": "a"})), "KMS.9041");
    let (access_key, secret_key) = (application.access_key.clone(), application.secret_key.clone());
    let application_here = OpenApi { access_key, secret_key, ..admin.clone() };
    assert_eq!(application_here.refused(DIGEST, json!({"input": "a"})), "KMS.9041");
    let request = good(&admin);
    let authorization = request.authorization();
    let headers = [
        ("ctyun-eop-request-id", request.id.as_str()),
        ("Eop-date", request.date.as_str()),
        ("Eop-Authorization", authorization.as_str()),
    ];
    let url = format!("{}/v1{DIGEST}", application.endpoint);
    assert_eq!(
        outcome(&send(&admin.agent, "POST", &url, &headers, BODY)),
        "KMS.9040",
        "nor is its signature"
    );
}

#[test]
fn the_fourth_call_of_a_rate_of_three_waits() {
    let service = Service::start_with(|config| {
        let three = Rate { openapi: 3, access_point: 3 };
        (config.rates.integrity, config.rates.random) = (three, three);
    });
    let (admin, application) = (service.admin(), service.first_application());
    let (second, account) = service.tenant();
    let others = service.application(&second, &account);
    let caller = admin.clone();
    let calls: [(Caller, &str); 4] = [
        (Box::new(move |path, body| caller.call(path, body)), "administrator"),
        (Box::new(move |path, body| application.call(path, body)), "application"),
        (Box::new(move |path, body| second.call(path, body)), "second tenant"),
        (Box::new(move |path, body| others.call(path, body)), "second tenant's application"),
    ];
    let classes = [(DIGEST, json!({"input": "a"})), ("/certificatecompute/getRandom", json!({}))];
    for (call, who) in &calls {
        for (path, body) in &classes {
            for _ in 0..3 {
                assert_eq!(outcome(&call(path, body.clone())), "ok", "{who} {path}: a bucket of its own");
            }
            let answer = call(path, body.clone());
            assert_eq!((answer.status, outcome(&answer).as_str()), (429, "KMS.9050"), "{who} {path}");
            assert_eq!(answer.header("retry-after"), Some("1"), "{who} {path}");
        }
    }
    let (path, body) = classes[0].clone();
    service.clock.advance(Duration::from_millis(334));
    assert_eq!(outcome(&admin.call(path, body.clone())), "ok", "a third of a second is one call");
    assert_eq!(outcome(&admin.call(path, body.clone())), "KMS.9050");
    service.clock.advance(Duration::from_secs(60));
    let refilled: Vec<String> = (0..4).map(|_| outcome(&admin.call(path, body.clone()))).collect();
    assert_eq!(refilled, ["ok", "ok", "ok", "KMS.9050"], "a bucket holds one second");
}

#[test]
fn a_throttled_call_is_refused_before_it_is_read() {
    let service =
        Service::start_with(|config| config.rates.key_create = Rate { openapi: 1, access_point: 1 });
    let admin = service.admin();
    admin.ok(CREATE, json!({}));
    let answer = admin.call(CREATE, json!({"keySpec": "nonsense"}));
    assert_eq!(outcome(&answer), "KMS.9050");
    let records = service.audit();
    let record = records.iter().find(|record| record["requestId"] == answer.body["requestId"]).unwrap();
    assert_eq!((&record["errorCode"], &record["httpStatus"]), (&json!("KMS.9050"), &json!(429)));
}
