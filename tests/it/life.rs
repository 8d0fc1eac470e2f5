//! What lasts: restarts, quotas, and many callers at once.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::kit::{Service, base64, parallel, poll, try_send, unbase64};
use crate::rotation::weekly;

const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const ENCRYPT: &str = "/keyCompute/encrypt";
const DECRYPT: &str = "/keyCompute/decrypt";
const MAC: &str = "/get/hmaccompute";
const LIST: &str = "/keyManage/listAliasKeys";

#[test]
fn a_restart_keeps_keys_aliases_credentials_and_audit() {
    let mut service = Service::start();
    let application = service.first_application();
    let key =
        service.admin().ok(CREATE, json!({"aliasName": "alias/k", "keySpec": "SM4", "description": "d"}));
    let off = service.admin().ok(CREATE, json!({"enableAutomaticRotation": true, "rotationInterval": 7}));
    service.admin().ok("/cmkManage/disableKey", json!({"cmkUuid": off["cmkUuid"]}));
    let sealed = application.ok(ENCRYPT, json!({"cmkUuid": "alias/k", "plaintext": base64("kept")}));
    let mac = application.ok(MAC, json!({"cmkUuid": "alias/k", "input": "a"}));
    let inventory = |service: &Service| {
        let point = json!({"accessPointId": service.first["accessPointId"]});
        let admin = service.admin();
        (admin.ok(LIST, json!({})), admin.ok("/userAk/listUserAk", point))
    };
    let (before, trail) = (inventory(&service), service.audit());
    for _ in 0..2 {
        service.restart();
        assert_eq!(inventory(&service), before);
        assert_eq!(service.audit()[..trail.len()], trail);
        let application =
            crate::kit::AccessPoint { endpoint: service.ready.access_point.clone(), ..application.clone() };
        let opened = application.ok(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
        assert_eq!(unbase64(&opened["plaintext"]), b"kept");
        assert_eq!(application.ok(MAC, json!({"cmkUuid": "alias/k", "input": "a"})), mac);
        assert_eq!(application.ok(DESCRIBE, json!({"cmkUuid": "alias/k"}))["cmkUuid"], key["cmkUuid"]);
    }
}

/// Whoever has stopped the service may take, replace or reopen its files at once.
#[test]
fn a_stopped_service_holds_its_database_no_longer() {
    let mut service = Service::start();
    let file = service.config.data.join("yaoku.redb");
    let still_open = (0..40).filter(|_| {
        let admin = service.admin();
        parallel(4, |_| admin.ok(LIST, json!({})));
        service.stop();
        let open = redb::Database::open(&file).is_err();
        service.restart();
        open
    });
    assert_eq!(still_open.count(), 0, "of 40 stops");
}

#[test]
fn a_key_that_left_memory_comes_back_as_it_was() {
    let service = Service::start_with(|config| config.keepers.idle_seconds = 1);
    let admin = service.admin();
    let key = weekly(&admin)["cmkUuid"].clone();
    let sealed = admin.ok(ENCRYPT, json!({"cmkUuid": key, "plaintext": base64("kept")}));
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": key}));
    let before = admin.ok(DESCRIBE, json!({"cmkUuid": key}));
    poll("that no key is in memory", || {
        (admin.ok("/system/describeSystem", json!({}))["activeKeys"] == 0).then_some(())
    });
    assert_eq!(admin.ok(DESCRIBE, json!({"cmkUuid": key})), before);
    admin.ok("/cmkManage/enableKey", json!({"cmkUuid": key}));
    let opened = admin.ok(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
    assert_eq!(unbase64(&opened["plaintext"]), b"kept");
}

#[test]
fn a_quota_of_keys_is_never_overshot() {
    let service = Service::start_with(|config| config.quota.keys_per_base_instance = 3);
    let admin = service.admin();
    let (second, _) = service.tenant();
    parallel(64, |_| admin.ok(LIST, json!({})));
    let answers = parallel(64, |_| admin.call(CREATE, json!({})));
    let made = answers.iter().filter(|answer| answer.body["statusCode"] == 800).count();
    assert_eq!(made, 3);
    for answer in answers.iter().filter(|answer| answer.body["statusCode"] != 800) {
        assert_eq!(answer.code(), "KMS.9030");
    }
    assert_eq!(admin.ok(LIST, json!({}))["totalCount"], 3);
    assert_eq!(admin.refused(CREATE, json!({"aliasName": "alias/x"})), "KMS.9030");
    assert_eq!(
        admin.refused(DESCRIBE, json!({"cmkUuid": "alias/x"})),
        "KMS.9003",
        "no alias without its key"
    );
    assert_eq!(service.first_application().refused(CREATE, json!({})), "KMS.9030", "on every plane");
    second.ok(CREATE, json!({}));
}

#[test]
fn one_of_many_who_want_a_name_gets_it() {
    let service = Service::start();
    let admin = service.admin();
    let keys = parallel(64, |_| admin.ok(CREATE, json!({}))["cmkUuid"].clone());
    for round in 0..5 {
        let name = format!("alias/wanted-{round}");
        let request = |number: usize| match number % 2 {
            0 => ("/keyName/createAlias", json!({"cmkUuid": keys[number], "aliasName": name})),
            _ => (CREATE, json!({"aliasName": name})),
        };
        let answers = parallel(64, |number| {
            let (path, body) = request(number);
            admin.call(path, body)
        });
        let (won, lost): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.body["statusCode"] == 800);
        assert_eq!(won.len(), 1);
        assert!(lost.iter().all(|answer| answer.code() == "KMS.9021"), "{lost:?}");
        let described = admin.ok(DESCRIBE, json!({"cmkUuid": name}));
        assert_eq!(described["cmkUuid"], won[0].result()["cmkUuid"]);
        let named = admin.ok(LIST, json!({"aliasName": name}));
        assert_eq!(named["totalCount"], 1, "and no key of a loser is left behind");
    }
    let all = admin.ok(LIST, json!({}))["totalCount"].as_u64().unwrap();
    assert!((64..=69).contains(&all), "{all}");
}

#[test]
fn switching_from_many_threads_ends_in_one_state_with_all_records() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({}))["cmkUuid"].clone();
    parallel(8, |number| {
        let path = if number % 2 == 0 { "/cmkManage/disableKey" } else { "/cmkManage/enableKey" };
        (0..10).for_each(|_| drop(admin.ok(path, json!({"cmkUuid": key}))));
    });
    let state = admin.ok(DESCRIBE, json!({"cmkUuid": key}))["keyState"].clone();
    assert!(state == "Enabled" || state == "Disabled");
    let switches = service.audit();
    let switches =
        switches.iter().filter(|record| record["eventName"].as_str().unwrap().ends_with("ableKey"));
    assert_eq!(switches.count(), 80);
}

#[test]
fn every_key_that_was_acknowledged_before_a_stop_is_there_after_it() {
    let mut service = Service::start();
    let acknowledged = Mutex::new(Vec::new());
    for _ in 0..3 {
        let before = acknowledged.lock().unwrap().len();
        let (admin, stopped) = (service.admin(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    while !stopped.load(Ordering::Acquire) {
                        let request = admin.request(CREATE, b"{}");
                        let authorization = request.authorization();
                        let headers = [
                            ("ctyun-eop-request-id", request.id.as_str()),
                            ("Eop-date", request.date.as_str()),
                            ("Eop-Authorization", authorization.as_str()),
                        ];
                        let answer = try_send(&admin.agent, "POST", &admin.url(&request), &headers, b"{}");
                        match answer {
                            Ok(answer) if answer.body["statusCode"] == 800 => {
                                acknowledged.lock().unwrap().push(answer.result());
                            }
                            Ok(answer) => assert_eq!(answer.code(), "KMS.9071", "{answer:?}"),
                            Err(_) => {}
                        }
                    }
                });
            }
            poll("calls in flight", || (acknowledged.lock().unwrap().len() > before + 30).then_some(()));
            service.stop();
            stopped.store(true, Ordering::Release);
        });
        service.restart();
    }
    let admin = service.admin();
    let acknowledged = acknowledged.into_inner().unwrap();
    for key in &acknowledged {
        let mut found = admin.ok(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]}));
        found.as_object_mut().unwrap().remove("aliases");
        assert_eq!(found, *key);
    }
    let made = service.audit();
    let made = made
        .iter()
        .filter(|record| record["eventName"] == "createKey" && record["httpStatus"] == 200)
        .count();
    let listed = admin.ok(LIST, json!({}))["totalCount"].as_u64().unwrap();
    assert_eq!(made as u64, listed, "a key and its record are written together");
    assert!(acknowledged.len() <= made);
}

/// Sends one signed request over TLS and resets the connection a moment later, whatever the service is doing.
const HANG_UP: &str = r#"
import random, socket, ssl, struct, sys, time
host, port, head, body = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
tls = ssl._create_unverified_context()
plain = socket.create_connection((host, port), timeout=20)
plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
secure = tls.wrap_socket(plain, server_hostname=host)
secure.sendall((head + "\r\n\r\n" + body).encode())
time.sleep(random.random() * 0.003)
secure.close()
"#;

#[test]
fn a_client_who_hangs_up_stops_no_call_half_way() {
    let service = Service::start();
    let admin = service.admin();
    let address: std::net::SocketAddr = service.ready.openapi.trim_start_matches("https://").parse().unwrap();
    for _ in 0..25 {
        let request = admin.request(CREATE, b"{}");
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 2\r\nctyun-eop-request-id: {}\r\n\
             eop-date: {}\r\neop-authorization: {}",
            request.path,
            request.id,
            request.date,
            request.authorization()
        );
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let sent =
            std::process::Command::new("python3").args(["-c", HANG_UP, &host, &port, &head, "{}"]).output();
        assert!(sent.as_ref().unwrap().status.success(), "{sent:?}");
    }
    // What has begun ends, and every key that is there was recorded once.
    let mut service = service;
    service.restart();
    let keys = service.admin().ok(LIST, json!({}))["totalCount"].as_u64().unwrap();
    let made = service.audit().into_iter().filter(|record| record["eventName"] == "createKey");
    let made = made.filter(|record| record["errorCode"].is_null()).count();
    assert_eq!(keys, made as u64);
    assert!(keys > 0, "no request was read before its connection was reset");
}
