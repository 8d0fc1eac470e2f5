//! More than one's share: of calls by one tenant, of password hashes by the administrator.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use yaoku::env::Clock;

use super::{DIGEST, ENCRYPT, Over, PACE, Probe, Target};
use crate::kit::{AccessPoint, Answer, OpenApi, agent, base64, parallel};
use crate::ledger::figure;

/// Calls of the victim on each plane, alone and beside the flood: at this pace below its share of 50 a second.
const VICTIMS_CALLS: usize = 100;
/// Clients of the flood on each plane.
const FLOOD: usize = 6;
/// Accounts that the administrator adds at the same time.
const ACCOUNTS: usize = 100;

/// The victim's calls on both planes, and how long the slowest hundredth took.
fn behave(probe: &Probe) -> Duration {
    let clock = Clock::system();
    let mut took: Vec<Duration> = parallel(2, |plane| {
        let client = agent();
        let call = |_| {
            std::thread::sleep(PACE);
            let before = clock.monotonic();
            probe.call(plane, &client).unwrap_or_else(|error| panic!("the victim: {error}"));
            clock.monotonic() - before
        };
        (0..VICTIMS_CALLS).map(call).collect::<Vec<_>>()
    })
    .concat();
    took.sort();
    took[took.len() * 99 / 100]
}

#[test]
fn who_floods_is_throttled_and_other_tenants_notice_nothing() {
    let target = Target::start(&[
        ("YAOKU_RATES_INTEGRITY_OPENAPI", "50"),
        ("YAOKU_RATES_SYMMETRIC_ACCESS_POINT", "50"),
    ]);
    let account = target.admin.ok("/account/createAccount", json!({"name": "flooder"}));
    let text = |name: &str| account["openapi"][name].as_str().unwrap().to_owned();
    let person = OpenApi {
        access_key: text("accessKey"),
        secret_key: text("secretKey"),
        agent: agent(),
        ..target.admin.clone()
    };
    let credential = person.ok("/userAk/createUserAk", json!({"accessPointId": account["accessPointId"]}));
    let text = |name: &str| credential[name].as_str().unwrap().to_owned();
    let application = AccessPoint {
        access_key: text("accessKey"),
        secret_key: text("secretKey"),
        agent: agent(),
        ..target.application.clone()
    };
    let key = person.ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
    let (alone, over) = (behave(&target.probe), AtomicBool::new(false));
    let (beside, answers) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            parallel(2 * FLOOD, |number| {
                let (person, application) = (
                    OpenApi { agent: agent(), ..person.clone() },
                    AccessPoint { agent: agent(), ..application.clone() },
                );
                let mut answers: Vec<Answer> = Vec::new();
                while !over.load(Ordering::Acquire) {
                    answers.push(match number % 2 {
                        0 => person.call(DIGEST, json!({"input": "flood"})),
                        _ => application.call(ENCRYPT, json!({"cmkUuid": key, "plaintext": base64("flood")})),
                    });
                }
                answers
            })
        });
        let beside = {
            let _over = Over(&over);
            behave(&target.probe)
        };
        (beside, flood.join().unwrap().concat())
    });
    let (mut served, mut throttled, mut busy) = (0, 0, 0);
    for answer in &answers {
        match answer.status {
            200 => served += 1,
            429 => {
                assert_eq!(answer.code(), "KMS.9050", "{answer:?}");
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                throttled += 1;
            }
            503 => busy += 1,
            _ => panic!("{answer:?}"),
        }
    }
    figure("flood", format!("{served} served, {throttled} throttled, {busy}"), "busy");
    figure("victims_calls", format!("{} of {}", 2 * VICTIMS_CALLS, 2 * VICTIMS_CALLS), "served");
    let ratio = beside.as_secs_f64() / alone.as_secs_f64();
    figure("victims_p99", format!("{ratio:.2}"), "times as long as alone");
    assert!(served > 0 && throttled > 0, "it was no flood");
}

#[test]
fn password_hashes_wait_for_their_turn_in_bounded_memory() {
    let target = Target::start(&[("YAOKU_RATES_OTHER_WRITE_OPENAPI", "100000")]);
    let before = target.memory("VmRSS");
    let admin = target.admin.clone();
    let answers = target.withstands("password_hashes", || {
        parallel(ACCOUNTS, |number| {
            let admin = OpenApi { agent: agent(), ..admin.clone() };
            admin.call("/account/createAccount", json!({"name": format!("tenant-{number}")}))
        })
    });
    let made = answers.iter().filter(|answer| answer.success().is_some()).count();
    let busy = answers.iter().filter(|answer| answer.status == 503 && answer.code() == "KMS.9071").count();
    let peak = target.memory("VmHWM");
    figure("password_hashes", format!("{made} made, {busy}"), "told to come back");
    figure("memory_under_password_hashes", peak, &format!("MB, {before} before"));
    assert_eq!(made + busy, ACCOUNTS, "{answers:?}");
    assert!(made >= 18, "two at work and 16 who wait");
    // Two hashes are 38 MB; a hundred would be 1,900.
    assert!(peak < before + 200, "{peak} MB");
    target.admin.ok("/account/createAccount", json!({"name": "later"}));
}
