//! Demos: instances whose time can be moved ahead. What falls due on the way happens at its moment and in its order.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use yaoku::config::Config;
use yaoku::env::{Clock, Disk, Timestamp};
use yaoku::model::instance::ServiceState;

use crate::audit_proof::{check, export, moved};
use crate::events::events_of;
use crate::kit::{OpenApi, START, Service, parallel, poll, send};
use crate::ledger::figure;
use crate::material::{IMPORT, Way, external};
use crate::planted::set_service;
use crate::program::{Home, error};
use crate::rotation::weekly;

const ADVANCE: &str = "/system/advanceTime";
const SYSTEM: &str = "/system/describeSystem";
const VERSIONS: &str = "/versionControl/listKeyVersions";
const DAY: u64 = 86_400;

fn demo() -> Service {
    demo_with(|_| {})
}

fn demo_with(change: impl FnOnce(&mut Config)) -> Service {
    Service::demo(Disk::System, |config| {
        // Whatever happens, happens because the time is moved.
        config.cron.tick_seconds = 3600;
        change(config);
    })
}

fn advance(admin: &OpenApi, seconds: u64) -> Value {
    admin.ok(ADVANCE, json!({"seconds": seconds}))
}

fn versions(admin: &OpenApi, key: &Value) -> u64 {
    admin.ok(VERSIONS, json!({"cmkUuid": key["cmkUuid"]}))["totalCount"].as_u64().unwrap()
}

#[test]
fn an_instance_that_is_no_demo_has_no_time_machine() {
    let service = Service::start();
    let admin = service.admin();
    for body in [json!({"seconds": 60}), json!({})] {
        let answer = admin.call(ADVANCE, body);
        assert_eq!((answer.status, answer.code().as_str()), (404, "KMS.9062"));
    }
    let system = admin.ok(SYSTEM, json!({}));
    assert_eq!((&system["demo"], &system["demoOffset"]), (&json!(false), &json!(0)));
    let document = |service: &Service| {
        let answer =
            send(&service.agent(), "GET", &format!("{}/openapi.json", service.ready.openapi), &[], b"");
        answer.body["paths"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let path = format!("/v1{ADVANCE}");
    let (without, with) = (document(&service), document(&demo()));
    assert!(!without.contains(&path) && with.contains(&path));
    assert_eq!(without.len() + 1, with.len());
}

#[test]
fn the_way_is_for_administrators_and_not_too_long() {
    let service = demo();
    assert_eq!(service.tenant().0.refused(ADVANCE, json!({"seconds": 60})), "KMS.9044");
    let admin = service.admin();
    for seconds in [json!(0), json!(-1), json!(316_224_001), json!(0.5)] {
        assert_eq!(admin.refused(ADVANCE, json!({"seconds": seconds})), "KMS.9020", "{seconds}");
    }
    for _ in 0..100 {
        advance(&admin, 316_224_000);
    }
    assert_eq!(admin.refused(ADVANCE, json!({"seconds": 316_224_000})), "KMS.9020", "beyond the year 3000");
    assert!(admin.ok(SYSTEM, json!({}))["time"].as_str().unwrap().starts_with("3028-"));
    // Clients, their signatures and the rates go by other clocks.
    admin.ok("/cmkManage/createKey", json!({}));
    service.first_application().ok("/get/messageDigest", json!({"input": "text"}));
}

/// What falls due on the way, each at its own time.
#[test]
fn everything_happens_at_its_moment_and_in_order() {
    let service = demo_with(|config| config.import.spare_wrapping_keys = 1);
    let admin = service.admin();
    let fast = weekly(&admin);
    let slow =
        admin.ok("/cmkManage/createKey", json!({"enableAutomaticRotation": true, "rotationInterval": "10d"}));
    let way = Way::new(&admin, &external(&admin, "AES_256"), "RSAES_OAEP_SHA_256");
    let mut body = way.body(&[7; 32]);
    let end = START.after(Duration::from_secs(8 * DAY));
    body["keyMaterialExpireUnix"] = json!(end.seconds());
    admin.ok(IMPORT, body);
    let advanced = advance(&admin, 22 * DAY);
    assert_eq!(advanced["time"], "2026-11-24T00:00:00Z");
    assert_eq!(advanced["demoOffset"], 22 * DAY);
    const JOBS: [&str; 3] = ["rotateDueKey", "expireKeyMaterial", "warnDueKey"];
    let happened: Vec<(String, Value, u64)> = service
        .audit()
        .iter()
        .filter(|record| JOBS.contains(&record["eventName"].as_str().unwrap()))
        .map(|record| {
            assert_eq!(record["httpStatus"], 200);
            let time = Timestamp::parse(record["time"].as_str().unwrap()).unwrap();
            let offset = record["demoOffset"].as_u64().unwrap();
            assert_eq!(time, START.after(Duration::from_secs(offset)), "the wall clock stands");
            (record["eventName"].as_str().unwrap().to_owned(), record["resourceIds"][0].clone(), offset / DAY)
        })
        .collect();
    let (warned, happened): (Vec<_>, Vec<_>) =
        happened.into_iter().partition(|(name, ..)| name == "warnDueKey");
    assert_eq!(warned.iter().map(|(_, _, day)| *day).collect::<Vec<_>>(), [1, 5, 7], "before the 8th day");
    let (rotate, expire) = ("rotateDueKey".to_owned(), "expireKeyMaterial".to_owned());
    let (fast, slow) = (fast["cmkUuid"].clone(), slow["cmkUuid"].clone());
    let expected = [
        // The token is over after a day and forgotten after another.
        (expire.clone(), way.key.clone(), 2),
        (rotate.clone(), fast.clone(), 7),
        (expire, way.key, 8),
        (rotate.clone(), slow.clone(), 10),
        (rotate.clone(), fast.clone(), 14),
        (rotate.clone(), slow, 20),
        (rotate, fast, 21),
    ];
    assert_eq!(happened, expected);
    // Warnings 7, 3 and 1 days before the material's end are two steps more, the erasure of what was material is one: a roll, two
    // keys to be rewrapped, its end, and the end of what was owed.
    assert_eq!((&advanced["steps"], &advanced["jobs"]), (&json!(8 + 2 + 1), &json!(7 + 3 + 5)));
}

#[test]
fn ten_years_of_weekly_rotation_pass_in_seconds() {
    let service = demo();
    let admin = service.admin();
    let key = weekly(&admin);
    let (clock, weeks) = (Clock::system(), 3650 / 7);
    let since = clock.monotonic();
    let advanced = advance(&admin, 3650 * DAY);
    figure(
        "demo_ten_years_of_weekly_rotation",
        format!("{:.1}", (clock.monotonic() - since).as_secs_f64()),
        "s",
    );
    assert_eq!(advanced["jobs"], weeks);
    assert_eq!(versions(&admin, &key), 1 + weeks);
    assert_eq!(advanced["time"], "2036-10-30T00:00:00Z");
    assert_eq!(check(&admin), None, "the trail is whole");
}

/// Keys are made, rotate, are scheduled, destroyed and erased, one after the other, under the same name; one stays through all
/// rolls of the wrapping key.
#[test]
fn ten_years_of_keys_that_come_and_go_pass_in_seconds() {
    const CYCLES: u64 = 3650 / 41;
    let service = demo_with(|config| config.events.retention_days = 0);
    let admin = service.admin();
    let stays = admin.ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
    let sealed = admin.ok("/keyCompute/encrypt", json!({"cmkUuid": stays, "plaintext": "eA=="}));
    let (clock, mut jobs, mut keys) = (Clock::system(), 0, BTreeSet::new());
    let since = clock.monotonic();
    let mut pass = |days| jobs += advance(&admin, days * DAY)["jobs"].as_u64().unwrap();
    for _ in 0..CYCLES {
        let body =
            json!({"aliasName": "alias/chain", "enableAutomaticRotation": true, "rotationInterval": "7d"});
        let key = admin.ok("/cmkManage/createKey", body);
        keys.insert(key["cmkUuid"].to_string());
        pass(10);
        assert_eq!(versions(&admin, &key), 2);
        let scheduled = json!({"cmkUuid": "alias/chain", "pendingWindowInDays": 30});
        admin.ok("/cmkManage/scheduleKeyDeletion", scheduled);
        // A day is left for the erasure.
        pass(31);
    }
    pass(3650 - 41 * CYCLES);
    let seconds = (clock.monotonic() - since).as_secs_f64();
    figure("demo_ten_years_of_keys_that_come_and_go", format!("{seconds:.1}"), "s");
    figure("demo_keys_destroyed", keys.len(), "keys");
    // Of each: a rotation, three warnings, the destruction; a roll, the rewrap of the key that stays, the end of the roll and of
    // what was owed.
    assert_eq!(jobs, CYCLES * 9);
    for (kind, count) in [("KeyRotated", 1), ("KeyExpiring", 3), ("KeyDestroyed", 1)] {
        let told = events_of(&admin, kind);
        let about: BTreeSet<String> = told.iter().map(|event| event["cmkUuid"].to_string()).collect();
        assert_eq!((told.len() as u64, &about), (CYCLES * count, &keys), "{kind}");
    }
    let stones = admin.ok("/keyManage/listDestroyedKeys", json!({"pageSize": 100}));
    assert_eq!(stones["totalCount"], CYCLES);
    assert!(stones["destroyedKeys"].as_array().unwrap().iter().all(|stone| stone["erased"] == true));
    assert_eq!(admin.ok("/keyManage/listAliasKeys", json!({}))["totalCount"], 1);
    let opened = admin.ok("/keyCompute/decrypt", json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
    assert_eq!(opened["plaintext"], "eA==");
    assert_eq!(admin.ok(SYSTEM, json!({}))["time"], "2036-10-30T00:00:00Z");
    assert_eq!(check(&admin), None, "the trail is whole");
}

#[test]
fn a_demo_stays_one_with_its_time() {
    let mut service = demo();
    advance(&service.admin(), 30 * DAY);
    for _ in 0..2 {
        service.restart();
        let system = service.admin().ok(SYSTEM, json!({}));
        assert_eq!((&system["demo"], &system["demoOffset"]), (&json!(true), &json!(30 * DAY)));
        assert_eq!(system["time"], "2026-12-02T00:00:00Z");
        assert_eq!(system["wallTime"], "2026-11-02T00:00:00Z");
        assert_eq!(system["clockState"], "Trusted");
    }
    service.restart_at(START.after(Duration::from_secs(DAY)));
    assert_eq!(service.admin().ok(SYSTEM, json!({}))["time"], "2026-12-03T00:00:00Z");
    advance(&service.admin(), DAY);
    assert_eq!(service.admin().ok(SYSTEM, json!({}))["demoOffset"], 31 * DAY);
}

#[test]
fn two_ways_at_once_come_one_after_the_other() {
    let service = demo();
    let key = weekly(&service.admin());
    parallel(4, |_| advance(&service.admin(), 70 * DAY));
    let admin = service.admin();
    assert_eq!(admin.ok(SYSTEM, json!({}))["demoOffset"], 280 * DAY);
    assert_eq!(versions(&admin, &key), 41);
}

#[test]
fn a_way_that_is_asked_for_again_with_its_token_is_gone_once() {
    let service = demo();
    let admin = service.admin();
    let body = json!({"seconds": 10 * DAY, "clientToken": "once"});
    assert_eq!(admin.ok(ADVANCE, body.clone()), admin.ok(ADVANCE, body));
    assert_eq!(admin.ok(SYSTEM, json!({}))["demoOffset"], 10 * DAY);
}

/// The roll of a wrapping key takes several goes; all of them come before the time goes on.
#[test]
fn a_roll_that_is_under_way_comes_to_its_end_first() {
    let service = demo();
    let admin = service.admin();
    for _ in 0..3 {
        admin.ok("/cmkManage/createKey", json!({}));
    }
    admin.ok("/system/rollWrappingKey", json!({"instanceId": service.first["instanceId"]}));
    let rolls = || admin.ok(SYSTEM, json!({}))["rolls"].as_array().unwrap().len();
    assert_eq!(rolls(), 1);
    let advanced = advance(&admin, 1);
    assert_eq!((rolls(), &advanced["jobs"]), (0, &json!(4)), "three keys, and the end of the roll");
}

/// A key whose service rests cannot rotate; the time goes on, others rotate, and nothing turns in circles.
#[test]
fn a_job_that_is_refused_holds_nobody_up() {
    let mut service = demo();
    let (admin, (second, account)) = (service.admin(), service.tenant());
    let (mine, theirs) = (weekly(&admin), weekly(&second));
    set_service(&mut service, &account["instanceId"], ServiceState::Frozen);
    let admin = service.admin();
    advance(&admin, 70 * DAY);
    assert_eq!(versions(&admin, &mine), 11);
    set_service(&mut service, &account["instanceId"], ServiceState::Running);
    advance(&service.admin(), 1);
    assert_eq!(versions(&service.person(&account), &theirs), 2, "once, however often it was due");
}

/// Old records go when the time has passed them, and what is left verifies, on the appliance and outside.
#[test]
fn the_trail_of_a_demo_verifies() {
    let service = Service::demo(Disk::System, |config| {
        (config.audit.tail_blocks, config.audit.retention_days) = (4, 400);
    });
    let admin = service.admin();
    weekly(&admin);
    for _ in 0..4 {
        advance(&admin, 300 * DAY);
    }
    moved(&service);
    poll("the end of old records", || {
        let page = admin.ok("/audit/queryAudit", json!({"endTime": "2028-01-01T00:00:00Z", "pageSize": 1}));
        page["records"].as_array().unwrap().is_empty().then_some(())
    });
    assert_eq!(check(&admin), None);
    let text = export(&admin, json!({}));
    assert!(text.contains("\"demoOffset\":103680000"), "1200 days");
    let file = service.config.data.join("export.jsonl");
    std::fs::write(&file, text).unwrap();
    let key = service.config.data.join("audit-key.pem");
    let home = Home::new();
    let verify = ["audit", "verify", file.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let verified = home.run(&verify);
    assert!(verified.status.success(), "{}", error(&verified));
    let table = export(&admin, json!({"format": "csv"}));
    assert!(table.starts_with("sequence,eventId,time,demoOffset,"));
}

/// The real program, killed on the way: the time is an earlier one, and what was due by then has happened.
#[test]
fn a_kill_on_the_way_leaves_an_earlier_time() {
    let home = Home::new();
    assert!(home.run(&["init", "--demo"]).status.success());
    let key = {
        let (program, _) = home.serve();
        let key = home.call("createKey", &json!({"enableAutomaticRotation": true, "rotationInterval": "7d"}));
        std::thread::scope(|scope| {
            let way = scope.spawn(|| home.run(&["call", "advanceTime", "--field", "seconds=315360000"]));
            poll("some rotations", || {
                let page = home.run(&[
                    "call",
                    "listKeyVersions",
                    "--field",
                    &format!("cmkUuid={}", key["cmkUuid"].as_str().unwrap()),
                ]);
                let page: Value = serde_json::from_slice(&page.stdout).ok()?;
                (page["totalCount"].as_u64()? > 5).then_some(())
            });
            program.kill();
            way.join().unwrap();
        });
        key
    };
    let (program, _) = home.serve_by(home.command(&["serve", "--demo"]));
    let offset = home.call("describeSystem", &json!({}))["demoOffset"].as_u64().unwrap();
    let count =
        home.call("listKeyVersions", &json!({"cmkUuid": key["cmkUuid"]}))["totalCount"].as_u64().unwrap();
    assert!((5 * 7 * DAY..3650 * DAY).contains(&offset), "{offset}");
    // Each rotation comes within a second of its time; the last step may lack its job.
    let due = 1 + offset / (7 * DAY);
    assert!(count == due || count + 1 == due || count == due + 1, "{count} versions after {offset} s");
    home.call("advanceTime", &json!({"seconds": 60}));
    program.stop();
}

#[test]
fn an_instance_that_was_not_made_as_a_demo_is_not_served_as_one() {
    let home = Home::new();
    assert!(home.run(&["init"]).status.success());
    let output = home.run(&["serve", "--demo"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(error(&output).contains("was not made as a demo"), "{}", error(&output));
}
