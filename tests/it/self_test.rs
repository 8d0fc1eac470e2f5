//! Self-tests of the cipher machine as operators and callers see them: when they run, and that a failed one ends every service
//! but the news of it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::kit::{AccessPoint, Answer, OpenApi, Service, agent, base64, poll, send, unbase64};
use crate::program::{Home, Program, failed, failed_with};

const CREATE: &str = "/cmkManage/createKey";
const ENCRYPT: &str = "/keyCompute/encrypt";
const DECRYPT: &str = "/keyCompute/decrypt";
const DESCRIBE: &str = "/system/describeSystem";
const RUN: &str = "/system/runSelfTest";
const DAY: Duration = Duration::from_secs(24 * 3600);

fn health(service: &Service, name: &str) -> (u16, Value) {
    let answer = send(&service.agent(), "GET", &format!("{}/health/{name}", service.ready.openapi), &[], b"");
    (answer.status, answer.body["status"].clone())
}

fn records(service: &Service) -> Vec<Value> {
    let records = service.audit().into_iter();
    records.filter(|record| record["eventName"] == "runSelfTest").collect()
}

/// A failure while the service runs: it says so once, does not hammer the disk or the log, and stops in order.
#[test]
fn a_program_whose_machine_fails_stays_quiet() {
    let home = Home::new();
    let (program, _) = home.serve();
    assert!(program.stop().status.success());
    let mut command = home.command(&["serve"]);
    command.env("YAOKU_SELF_TEST_CORRUPT", "wrapped key re-opening").env("YAOKU_CRON_TICK_SECONDS", "1");
    let (program, line) = home.serve_by(command);
    assert_eq!(line["event"], "ready", "nothing is wrapped at start");
    failed_with(5, &home.run(&["call", "createKey", "--json", "{}"]), &["KMS.9071"]);
    let system = home.call("describeSystem", &json!({}));
    assert_eq!(system["failedSelfTest"], "wrapped key re-opening");
    let ticks = |program: &Program| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", program.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks(&program);
    std::thread::sleep(Duration::from_secs(4));
    let used = ticks(&program) - before;
    assert!(used < 40, "{used} hundredths of a second of work in 4 s");
    let ended = program.stop();
    assert_eq!(ended.status.code(), Some(1));
    let said: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(said.len() <= 5, "{said:#?}");
    assert!(
        said.iter().any(|line| line.contains("selfTest") && line.contains("wrapped key re-opening")),
        "{said:#?}"
    );
    let (program, _) = home.serve();
    home.call("createKey", &json!({}));
    assert!(program.stop().status.success());
}

/// The health tests of the source fail only when something is drawn, and a locked machine draws nothing.
#[test]
fn a_machine_that_fails_when_it_is_unlocked_serves_nothing() {
    let home = Home::new();
    let (program, _) = home.serve();
    assert!(program.stop().status.success());
    std::fs::write(home.path("passphrase"), "correct horse battery\n").unwrap();
    let attended = home.run(&["custody", "attend", "--new-passphrase-file", "passphrase"]);
    assert!(attended.status.success(), "{attended:?}");
    let mut command = home.command(&["serve"]);
    command.env("YAOKU_SELF_TEST_CORRUPT", "entropy repetition count");
    let (program, line) = home.serve_by(command);
    assert_eq!(line["event"], "locked");
    let reason = "self-test failed: entropy repetition count";
    failed(&home.run(&["unlock", "--passphrase-file", "passphrase"]), &[reason]);
    let line: Value = serde_json::from_str(&program.line().unwrap()).unwrap();
    assert_eq!(line["event"], "error");
    let ended = program.stop();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains(reason), "{}", ended.stderr);

    let (program, line) = home.serve();
    assert_eq!(line["event"], "locked");
    assert!(home.run(&["unlock", "--passphrase-file", "passphrase"]).status.success());
    let line: Value = serde_json::from_str(&program.line().unwrap()).unwrap();
    assert_eq!(line["event"], "ready");
    assert!(program.stop().status.success());
}

#[test]
fn an_unknown_self_test_stops_the_start_and_the_known_ones_are_told() {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    command.env("YAOKU_SELF_TEST_CORRUPT", "no such test");
    failed(
        &crate::program::finish(command, b""),
        &["self_test.corrupt", "SM2 signing, ", "entropy start-up"],
    );
}

/// Asserts that the service tells that this test failed, and nothing else to anybody.
fn is_stopped(service: &Service, admin: &OpenApi, application: &AccessPoint, test: &str) {
    assert_eq!(health(service, "live"), (200, json!("live")), "{test}");
    assert_eq!(health(service, "ready"), (503, json!("error")), "{test}");
    let admin = OpenApi { endpoint: service.ready.openapi.clone(), ..admin.clone() };
    let application = AccessPoint { endpoint: service.ready.access_point.clone(), ..application.clone() };
    let system = admin.ok(DESCRIBE, json!({}));
    assert_eq!((&system["machineState"], &system["failedSelfTest"]), (&json!("Error"), &json!(test)));
    let encrypt = || json!({"cmkUuid": "alias/kept", "plaintext": base64("x")});
    let refused = |answer: Answer| {
        assert_eq!(answer.code(), "KMS.9071", "{test}: {answer:?}");
        assert!(answer.body.to_string().contains("self-test"), "{answer:?}");
    };
    refused(admin.call(ENCRYPT, encrypt()));
    refused(admin.call(RUN, json!({})));
    refused(admin.call("/keyManage/listAliasKeys", json!({})));
    refused(application.call(ENCRYPT, encrypt()));
    refused(application.call("/get/messageDigest", json!({"input": "a"})));
}

#[test]
fn an_administrator_runs_the_self_tests() {
    let service = Service::start();
    let (admin, (tenant, _)) = (service.admin(), service.tenant());
    let result = admin.ok(RUN, json!({}));
    let tests = result["tests"].as_array().unwrap();
    assert!(tests.len() >= 28 && tests.contains(&json!("SM2 signing")), "{tests:?}");
    assert!(result["durationMilliseconds"].is_u64());
    assert_eq!(result["selfTestTime"], "2026-11-02T00:00:00Z");
    assert_eq!(tenant.refused(RUN, json!({})), "KMS.9044");
    assert_eq!(service.first_application().refused(RUN, json!({})), "KMS.9062");
    let records = records(&service);
    assert_eq!(records.len(), 1, "the administrator's; a tenant sees its own refusals: {records:?}");
    assert_eq!((&records[0]["errorCode"], &records[0]["eventType"]), (&Value::Null, &json!("API")));
}

#[test]
fn self_tests_run_every_day_by_themselves() {
    let service = Service::start();
    let time = || service.admin().ok(DESCRIBE, json!({}))["selfTestTime"].clone();
    assert_eq!(time(), "2026-11-02T00:00:00Z", "passed at start");
    service.clock.advance(DAY / 2);
    assert_eq!(service.admin().ok(RUN, json!({}))["selfTestTime"], "2026-11-02T12:00:00Z");
    service.clock.advance(DAY - Duration::from_secs(1));
    // Two ticks pass and find nothing due.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(time(), "2026-11-02T12:00:00Z", "counted from the last time, whoever asked");
    service.clock.advance(Duration::from_secs(1));
    poll("the daily self-test", || (time() == "2026-11-03T12:00:00Z").then_some(()));
    let records = records(&service);
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!((&records[1]["eventType"], &records[1]["errorCode"]), (&json!("SYSTEM"), &Value::Null));
}

#[test]
fn a_test_that_fails_at_start_stops_the_service_until_a_good_restart() {
    let mut service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    admin.ok(CREATE, json!({"aliasName": "alias/kept"}));
    let sealed = admin.ok(ENCRYPT, json!({"cmkUuid": "alias/kept", "plaintext": base64("kept")}));
    let before = service.audit().len();
    for test in [
        "SM3",
        "Argon2id",
        "AES-256-GCM forgery",
        "SM2 signing",
        "frame Ctyun_SM4 decryption",
        "entropy start-up",
        "entropy repetition count",
        "SM2 pairwise consistency",
    ] {
        service.config.self_test.corrupt = test.into();
        service.restart();
        is_stopped(&service, &admin, &application, test);
    }
    service.config.self_test.corrupt = String::new();
    service.restart();
    assert_eq!(health(&service, "ready"), (200, json!("ready")));
    let opened = service.admin().ok(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
    assert_eq!(unbase64(&opened["plaintext"]), b"kept");
    assert_eq!(
        service.audit().len(),
        before + 3,
        "the query before, the checkpoint of the orderly stop, and the decrypt: nothing of the error state"
    );
}

#[test]
fn a_source_that_breaks_stops_all_output_at_the_next_draw() {
    let mut service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    admin.ok(CREATE, json!({"aliasName": "alias/kept"}));
    let sealed = application.ok(ENCRYPT, json!({"cmkUuid": "alias/kept", "plaintext": base64("kept")}));
    let before = service.audit();
    service.entropy.1.store(true, Ordering::Release);
    // What failed with the machine has no audit record; so its caller is not told more than that.
    let first = application.call(ENCRYPT, json!({"cmkUuid": "alias/kept", "plaintext": base64("x")}));
    assert_eq!((first.status, first.code().as_str()), (503, "KMS.9071"), "{first:?}");
    for _ in 0..3 {
        is_stopped(&service, &admin, &application, "entropy repetition count");
    }
    assert_eq!(admin.ok(DESCRIBE, json!({}))["selfTestTime"], "2026-11-02T00:00:00Z", "the last that passed");
    // Cron goes on ticking; it does not mend, and the source's recovery does not either.
    service.clock.advance(2 * DAY);
    service.entropy.1.store(false, Ordering::Release);
    std::thread::sleep(Duration::from_millis(1500));
    is_stopped(&service, &admin, &application, "entropy repetition count");
    #[expect(clippy::disallowed_methods, reason = "how long a stop takes is real time")]
    let since = Instant::now();
    service.stop();
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    service.restart();
    assert_eq!(health(&service, "ready"), (200, json!("ready")));
    assert_eq!(service.audit()[..before.len()], before);
    let opened = service.admin().ok(DECRYPT, json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
    assert_eq!(unbase64(&opened["plaintext"]), b"kept");
}

#[test]
fn the_program_says_what_failed_and_ends_with_an_error() {
    let home = Home::new();
    let (program, _) = home.serve();
    assert!(program.stop().status.success());
    let mut command = home.command(&["serve"]);
    command.env("YAOKU_SELF_TEST_CORRUPT", "SM4-GCM encryption");
    let (program, line) = home.serve_by(command);
    assert_eq!(line["event"], "error");
    let url = format!("{}/v1{DESCRIBE}", line["openapi"].as_str().unwrap());
    let answer = send(&agent(), "POST", &url, &[("content-type", "application/json")], b"{}");
    assert_eq!(answer.result()["failedSelfTest"], "SM4-GCM encryption");
    let url = format!("{}/v1{ENCRYPT}", line["openapi"].as_str().unwrap());
    for _ in 0..3 {
        assert_eq!(send(&agent(), "POST", &url, &[], b"{}").code(), "KMS.9071");
    }
    let ended = program.stop();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("self-test failed: SM4-GCM encryption"), "{}", ended.stderr);
    assert!(ended.stderr.contains("refused=3"), "{}", ended.stderr);
    let (program, line) = home.serve();
    assert_eq!(line["event"], "ready");
    assert!(program.stop().status.success());

    // Where there is no appliance yet, none comes to be.
    let empty = Home::new();
    let mut command = empty.command(&["serve"]);
    command.env("YAOKU_SELF_TEST_CORRUPT", "HKDF-SM3");
    failed(&crate::program::finish(command, b""), &["self-test failed: HKDF-SM3"]);
    let (program, line) = empty.serve();
    assert_eq!(line["event"], "ready");
    assert!(program.stop().status.success());
}
