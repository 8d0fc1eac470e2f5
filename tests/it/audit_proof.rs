//! What proves the audit trail: segment files, checkpoints, published heads, exports and their verifiers, the program's own
//! and one in plain Python that shares no code with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use yaoku::config::Config;
use yaoku::model::checkpoint::PublicKey;
use yaoku::model::evidence::{self, Heads};

use crate::kit::{OpenApi, Service, parallel, poll};
use crate::program::{Home, error, failed, finish};

const CREATE: &str = "/cmkManage/createKey";
const QUERY: &str = "/audit/queryAudit";
const VERIFY: &str = "/audit/verifyAudit";
const EXPORT: &str = "/audit/exportAudit";
const DIGEST: &str = "/get/messageDigest";
const DAY: Duration = Duration::from_secs(24 * 3600);
const WITNESS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/verify_audit.py");

/// A service whose blocks move on quickly.
pub fn moving() -> Service {
    Service::start_with(|config| config.audit.tail_blocks = 4)
}

/// Some calls of several callers, so that blocks have more than one record now and then.
pub fn some_calls(service: &Service, number: usize) {
    let admin = service.admin();
    parallel(4, |_| (0..number / 4).for_each(|_| drop(admin.ok(DIGEST, json!({"input": "a"})))));
}

pub fn segments(config: &Config) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = match fs::read_dir(config.data.join("audit")) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    found.sort();
    found
}

fn sequence_in_segments(admin: &OpenApi) -> u64 {
    let page = admin.ok(QUERY, json!({"eventName": "moveAudit", "pageSize": 1}));
    page["records"][0]["sequence"].as_u64().unwrap_or(0)
}

/// Waits until everything up to now lies in segment files.
pub fn moved(service: &Service) {
    let admin = service.admin();
    let from = admin.ok("/system/describeSystem", json!({}))["auditRecords"].as_u64().unwrap();
    (0..6).for_each(|_| drop(admin.ok(DIGEST, json!({"input": "b"}))));
    poll("a move", || (sequence_in_segments(&admin) > from).then_some(()));
}

/// Checks the whole stored trail; what is wrong, if anything is.
pub fn check(admin: &OpenApi) -> Option<String> {
    let mut cursor = Value::Null;
    loop {
        let step = admin.ok(VERIFY, json!({"cursor": cursor}));
        if step["intact"] == false {
            return Some(step["reason"].as_str().unwrap().to_owned());
        }
        cursor = step["nextCursor"].clone();
        if cursor.is_null() {
            return None;
        }
    }
}

/// All pages of an export, one behind the other.
pub fn export(person: &OpenApi, mut request: Value) -> String {
    let mut text = String::new();
    loop {
        let page = person.ok(EXPORT, request.clone());
        text += page["content"].as_str().unwrap();
        if page["nextCursor"].is_null() {
            return text;
        }
        request["cursor"] = page["nextCursor"].clone();
    }
}

pub fn public_key(config: &Config) -> PublicKey {
    PublicKey::from_pem(&fs::read_to_string(config.data.join("audit-key.pem")).unwrap()).unwrap()
}

pub fn heads_file(config: &Config) -> PathBuf {
    yaoku::server::audit::heads_path(config).unwrap()
}

/// What the Python witness says of some exports: whether each is intact.
pub fn witness(key: &Path, heads: Option<&Path>, exports: &[PathBuf]) -> Vec<Value> {
    let mut command = Command::new("python3");
    command.arg(WITNESS).arg("--key").arg(key).args(exports);
    if let Some(heads) = heads {
        command.arg("--heads").arg(heads);
    }
    let output = finish(command, b"");
    let lines = String::from_utf8(output.stdout.clone()).unwrap();
    let verdicts: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(verdicts.len(), exports.len(), "{}", error(&output));
    verdicts
}

#[test]
fn the_audit_witness_knows_published_vectors() {
    let mut command = Command::new("python3");
    command.args([WITNESS, "--selftest"]);
    let output = finish(command, b"");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.lines().count() >= 5, "{text}");
    assert!(text.lines().all(|line| line.starts_with("ok ")), "{text}");
}

#[test]
fn records_in_segment_files_are_found_and_verified_like_those_in_the_database() {
    let mut service = moving();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({}))["cmkUuid"].clone();
    some_calls(&service, 40);
    moved(&service);
    assert_eq!(segments(&service.config).len(), 1, "one file a day");
    service.clock.advance(2 * DAY);
    some_calls(&service, 8);
    moved(&service);
    assert_eq!(segments(&service.config).len(), 2);
    for _ in 0..2 {
        let admin = service.admin();
        let trail = service.audit();
        for (record, expected) in trail.iter().zip(1u64..) {
            assert_eq!(record["sequence"], expected);
        }
        let found = |filter: Value| admin.ok(QUERY, filter)["records"].as_array().unwrap().clone();
        let created = found(json!({"resourceId": key, "pageSize": 100}));
        assert_eq!(created.len(), 1, "the summary of a frame leads to its records");
        assert_eq!(found(json!({"eventName": "createKey"})), created);
        assert_eq!(found(json!({"eventName": "disableKey"})).len(), 0);
        assert_eq!(check(&admin), None);
        let described = admin.ok("/audit/describeAudit", json!({"eventId": created[0]["eventId"]}));
        assert_eq!(described["record"], created[0]);
        let proof = described["evidence"].as_str().unwrap();
        let verdict =
            evidence::verify(proof.as_bytes(), &public_key(&service.config), &Heads::default()).unwrap();
        assert_eq!(verdict.shown, 1);
        service.restart();
    }
}

#[test]
fn an_event_id_of_nobody_describes_nothing() {
    let service = moving();
    let (stranger, _) = service.tenant();
    let admin = service.admin();
    let page = admin.ok(QUERY, json!({"eventName": "createAccount"}));
    let id = page["records"][0]["eventId"].as_str().unwrap();
    let describe = |person: &OpenApi, id: &str| person.call("/audit/describeAudit", json!({"eventId": id}));
    describe(&admin, id).result();
    assert_eq!(describe(&stranger, id).code(), "KMS.9005", "another account's record");
    let far = format!("{}f{}", &id[..24], &id[25..]);
    assert_eq!(describe(&admin, &far).code(), "KMS.9005", "a number that is not reached");
    assert_eq!(
        describe(&admin, "241ede22-6261-4617-9caf-10d89990516c").code(),
        "KMS.9005",
        "another installation"
    );
    assert_eq!(describe(&admin, "x").code(), "KMS.9020");
}

#[test]
fn checkpoints_are_signed_at_intervals_published_and_end_with_the_service() {
    let mut service = Service::start();
    let heads = heads_file(&service.config);
    assert!(!heads.starts_with(&service.config.data) && !heads.exists());
    service.clock.advance(Duration::from_secs(60));
    let lines = || fs::read_to_string(&heads).unwrap_or_default().lines().count();
    poll("a checkpoint", || (lines() == 1).then_some(()));
    let records = service.audit().len();
    // Asking for records makes records; only those of the checkpoints themselves count for nothing.
    service.clock.advance(Duration::from_secs(60));
    poll("another one", || (lines() == 2).then_some(()));
    service.clock.advance(Duration::from_secs(600));
    service.stop();
    assert!((2..=3).contains(&lines()), "nothing new, or what came since: {} lines", lines());
    let key = public_key(&service.config);
    let text = fs::read_to_string(&heads).unwrap();
    Heads::read(text.as_bytes(), &key).unwrap();
    service.restart();
    let admin = service.admin();
    assert!(service.audit().len() > records);
    assert_eq!(check(&admin), None);
    let published = export(&admin, json!({}));
    let verdict =
        evidence::verify(published.as_bytes(), &key, &Heads::read(text.as_bytes(), &key).unwrap()).unwrap();
    assert_eq!(verdict.heads as usize, text.lines().count(), "every published head is in the export");
    assert_eq!(verdict.checkpoints, verdict.heads);
}

#[test]
fn an_export_shows_what_the_caller_may_see_and_proves_the_rest() {
    let service = moving();
    let (tenant, account) = service.tenant();
    tenant.ok(CREATE, json!({}));
    some_calls(&service, 40);
    moved(&service);
    tenant.ok(CREATE, json!({}));
    let key = public_key(&service.config);
    for (person, owner) in [(&tenant, &account), (&service.admin(), &service.first)] {
        let text = export(person, json!({}));
        let verdict = evidence::verify(text.as_bytes(), &key, &Heads::default()).unwrap();
        assert_eq!(verdict.first, 1);
        let records: Vec<Value> = text
            .lines()
            .filter(|line| line.starts_with(r#"{"sequence""#))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(records.len() as u64, verdict.shown);
        let own = |record: &Value| record["accountId"] == owner["accountId"];
        let admins = owner == &service.first;
        assert!(records.iter().all(|record| own(record) || (admins && record["accountId"].is_null())));
        assert!(verdict.shown < verdict.last, "something is withheld");
        assert!(records.iter().any(|record| record["eventName"] == "createKey") || admins);
        let file = service.config.data.join("export");
        fs::write(&file, &text).unwrap();
        let pem = service.config.data.join("audit-key.pem");
        let witnessed = &witness(&pem, None, &[file])[0];
        assert_eq!(witnessed["intact"], true, "{witnessed}");
        assert_eq!((&witnessed["last"], &witnessed["shown"]), (&json!(verdict.last), &json!(verdict.shown)));
    }
    assert_eq!(service.admin().refused(EXPORT, json!({"endTime": "2020-01-01T00:00:00Z"})), "KMS.9005");
    for cursor in ["x", "5-1-9-0", "1-2-3", "2-3-4-0", &format!("2-3-4-0-{}", "0".repeat(64))] {
        let code = service.admin().refused(EXPORT, json!({"cursor": cursor}));
        assert_eq!(code, "KMS.9020", "{cursor}");
    }
}

#[test]
fn an_export_of_a_period_is_proven_without_what_was_before() {
    let service = moving();
    let key = public_key(&service.config);
    some_calls(&service, 20);
    for _ in 0..3 {
        service.clock.advance(DAY);
        some_calls(&service, 20);
        moved(&service);
    }
    let day = export(
        &service.admin(),
        json!({"startTime": "2026-11-03T00:00:00Z", "endTime": "2026-11-04T23:59:59Z"}),
    );
    let verdict = evidence::verify(day.as_bytes(), &key, &Heads::default()).unwrap();
    assert!(verdict.first > 20 && verdict.shown >= 40, "{verdict:?}");
    let times =
        day.lines().filter_map(|line| Some(line.split_once(r#""time":""#)?.1.split('T').next().unwrap()));
    let days: std::collections::BTreeSet<&str> = times.filter(|day| day.starts_with("2026")).collect();
    assert!(days.contains("2026-11-03") && days.contains("2026-11-04"), "{days:?}");
    assert!(!days.contains("2026-11-02") && !days.contains("2026-11-06"), "{days:?}");
    let table = export(&service.admin(), json!({"format": "csv"}));
    assert!(table.starts_with("sequence,eventId,time,"));
    assert_eq!(
        table.lines().count(),
        1 + service.audit().len() - 1,
        "a heading, and all but the two queries themselves"
    );
}

#[test]
fn what_is_older_than_the_retention_is_deleted_and_the_rest_stays_proven() {
    let mut service = Service::start_with(|config| {
        (config.audit.tail_blocks, config.audit.retention_days) = (4, 30);
    });
    some_calls(&service, 20);
    moved(&service);
    service.clock.advance(10 * DAY);
    some_calls(&service, 20);
    moved(&service);
    assert_eq!(segments(&service.config).len(), 2);
    service.clock.advance(25 * DAY);
    some_calls(&service, 8);
    moved(&service);
    let admin = service.admin();
    poll("a deletion", || {
        let page = admin.ok(QUERY, json!({"eventName": "deleteExpiredAudit"}));
        page["records"].as_array().unwrap().first().cloned()
    });
    poll("that the file is gone", || (segments(&service.config).len() == 2).then_some(()));
    let first = |service: &Service| service.audit()[0]["sequence"].as_u64().unwrap();
    assert!(first(&service) > 20, "the first day is gone");
    for _ in 0..2 {
        assert_eq!(check(&service.admin()), None);
        let text = export(&service.admin(), json!({}));
        let verdict =
            evidence::verify(text.as_bytes(), &public_key(&service.config), &Heads::default()).unwrap();
        assert_eq!(verdict.first, first(&service));
        service.restart();
    }
}

/// The move wrote its frame and the power failed before the database knew: the next start cuts the frame off again.
#[test]
fn a_move_that_was_interrupted_is_done_again() {
    let mut service = moving();
    some_calls(&service, 24);
    service.stop();
    let database = service.config.data.join("yaoku.redb");
    let before = (fs::read(&database).unwrap(), segments(&service.config));
    let segment = |service: &Service| segments(&service.config).first().and_then(|path| fs::read(path).ok());
    let had = segment(&service);
    service.restart();
    moved(&service);
    let trail = service.audit();
    service.stop();
    let grown = segment(&service).unwrap();
    assert!(had.is_none_or(|had| had.len() < grown.len()));
    // The frames of the move, and half of another.
    for torn in [0, 5, 60] {
        fs::write(&database, &before.0).unwrap();
        fs::remove_file(heads_file(&service.config)).unwrap();
        let path = &segments(&service.config)[0];
        fs::write(path, [grown.as_slice(), &grown[8..8 + torn]].concat()).unwrap();
        service.restart();
        assert_eq!(check(&service.admin()), None);
        moved(&service);
        assert_eq!(check(&service.admin()), None);
        let again = service.audit();
        assert!(again.iter().zip(1u64..).all(|(record, expected)| record["sequence"] == expected));
        let common = before.1.len() + 24;
        assert_eq!(again[..common], trail[..common]);
        service.stop();
    }
}

/// Everything of a stopped service, by the command line, also of an attended one; nothing but two files for the verifier.
#[test]
fn the_program_exports_and_verifies_offline() {
    let home = Home::new();
    let (program, _) = home.serve();
    let key = home.call("createKey", &json!({}));
    let tenant = home.call("createAccount", &json!({"name": "second"}));
    let running = home.run(&["audit", "export", "running.jsonl"]);
    assert!(running.status.success(), "{}", error(&running));
    assert!(program.stop().status.success());
    let stopped = home.run(&["audit", "export", "stopped.jsonl"]);
    assert!(stopped.status.success(), "{}", error(&stopped));
    let refused = home.run(&["audit", "export", "stopped.jsonl"]);
    failed(&refused, &["exists", "--force"]);
    fs::write(home.path("passphrase"), "correct horse battery\n").unwrap();
    let attend = home.run(&["custody", "attend", "--new-passphrase-file", "passphrase"]);
    assert!(attend.status.success(), "{}", error(&attend));
    let attended = ["audit", "export", "attended.jsonl", "--passphrase-file", "passphrase"];
    let attended = home.run(&attended);
    assert!(attended.status.success(), "{}", error(&attended));
    let text = fs::read_to_string(home.path("stopped.jsonl")).unwrap();
    assert!(
        text.contains(key["cmkUuid"].as_str().unwrap())
            && text.contains(tenant["accountId"].as_str().unwrap())
    );

    // Elsewhere: only the export, the key and the heads.
    let elsewhere = Home::new();
    for (from, to) in
        [("data/audit-key.pem", "key.pem"), ("data.heads", "heads"), ("stopped.jsonl", "export")]
    {
        fs::copy(home.path(from), elsewhere.path(to)).unwrap();
    }
    let verify = |export: &str, more: &[&str]| {
        finish(elsewhere.plain(&[&["audit", "verify", export, "--key", "key.pem"], more].concat()), b"")
    };
    let verified = verify("export", &["--heads", "heads"]);
    assert!(verified.status.success(), "{}", error(&verified));
    let verdict: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!((&verdict["intact"], &verdict["withheld"]), (&json!(true), &json!(0)), "{verdict}");
    assert_eq!(verdict["publishedHeads"], 1, "the orderly stop published the end: {verdict}");
    for name in ["running.jsonl", "attended.jsonl"] {
        fs::copy(home.path(name), elsewhere.path(name)).unwrap();
        let verified = verify(name, &[]);
        assert!(verified.status.success(), "{name}: {}", error(&verified));
    }
    fs::write(elsewhere.path("changed"), text.replacen("createKey", "createkey", 1)).unwrap();
    failed(&verify("changed", &[]), &["NOT INTACT", "was changed"]);
    fs::write(elsewhere.path("short"), &text[..text.len() / 2]).unwrap();
    failed(&verify("short", &[]), &["NOT INTACT"]);
    fs::write(elsewhere.path("no.pem"), "x").unwrap();
    let other = finish(elsewhere.plain(&["audit", "verify", "export", "--key", "no.pem"]), b"");
    failed(&other, &["no SM2 public key"]);
    let home = Home::new();
    assert!(home.run(&["init"]).status.success());
    fs::copy(home.path("data/audit-key.pem"), elsewhere.path("key.pem")).map(drop).unwrap_or_else(|_| {
        // The key is written at the first start.
        let (program, _) = home.serve();
        assert!(program.stop().status.success());
        fs::copy(home.path("data/audit-key.pem"), elsewhere.path("key.pem")).unwrap();
    });
    failed(&verify("export", &[]), &["NOT INTACT", "did not sign"]);
}

#[test]
fn a_long_export_comes_in_pages_that_make_one_file() {
    let service = moving();
    some_calls(&service, 1600);
    let admin = service.admin();
    let first = admin.ok(EXPORT, json!({}));
    let cursor = first["nextCursor"].as_str().expect("more than one page");
    let text = export(&admin, json!({}));
    let verdict = evidence::verify(text.as_bytes(), &public_key(&service.config), &Heads::default()).unwrap();
    assert!(verdict.shown > 1600 && verdict.first == 1, "{verdict:?}");
    let (tenant, _) = service.tenant();
    assert_eq!(tenant.refused(EXPORT, json!({"cursor": cursor})), "KMS.9020", "a cursor is its caller's own");
    let forged = cursor.replacen("1-", "2-", 1);
    assert_eq!(admin.refused(EXPORT, json!({"cursor": forged})), "KMS.9020");
}
