//! Bit rot: one byte of the closed database is flipped, in many copies. Each copy is refused, or its answers are those
//! of before or an error of the service; another answer would be a silent one.

use std::fs;
use std::path::Path;

use fastrand::Rng;
use serde_json::{Value, json};
use yaoku::env::Disk;

use crate::kit::{OpenApi, Service, base64, parallel, temporary};
use crate::ledger::{figure, rounds};

const LANES: usize = 4;
const KEYS: usize = 30;

/// What was asked, and what was answered before.
struct Known {
    path: &'static str,
    body: Value,
    result: Value,
}

fn appliance() -> (Service, Vec<Known>) {
    let mut service = Service::start();
    let admin = service.admin();
    service.first_application();
    let mut known = Vec::new();
    for number in 0..KEYS {
        let key = admin.ok("/cmkManage/createKey", json!({"aliasName": format!("alias/{number}")}));
        let plaintext = base64(format!("plaintext {number}"));
        let sealed =
            admin.ok("/keyCompute/encrypt", json!({"cmkUuid": key["cmkUuid"], "plaintext": plaintext}));
        let body = json!({"ciphertextBlob": sealed["ciphertextBlob"]});
        if number % 3 == 0 {
            admin.ok("/cmkManage/disableKey", json!({"cmkUuid": key["cmkUuid"]}));
        } else {
            known.push(("/keyCompute/decrypt", body));
        }
        known.push(("/keyManage/describeKey", json!({"cmkUuid": format!("alias/{number}")})));
    }
    known.push(("/keyManage/listAliasKeys", json!({"pageSize": 100})));
    known.push(("/keyManage/listAliasKeys", json!({"keyState": "Disabled", "pageSize": 100})));
    known.push(("/userAk/listUserAk", json!({"accessPointId": service.first["accessPointId"]})));
    let ask =
        |(path, body): (&'static str, Value)| Known { path, result: admin.ok(path, body.clone()), body };
    let known = known.into_iter().map(ask).collect();
    service.stop();
    (service, known)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

/// How the copies fared.
#[derive(Default, Debug)]
struct Tally {
    refused: usize,
    errors: usize,
    identical: usize,
    wrong: Vec<String>,
}

/// Asks everything again; whether there was an error, and the answers that are other ones.
fn ask(admin: &OpenApi, known: &[Known]) -> (bool, Vec<String>) {
    let (mut errors, mut wrong) = (false, Vec::new());
    for Known { path, body, result } in known {
        match admin.try_call(path, body) {
            Ok(answer) if answer.success() == Some(result) => {}
            Ok(answer)
                if answer.success().is_none() && ["KMS.9070", "KMS.9071"].contains(&&*answer.code()) =>
            {
                errors = true;
            }
            Ok(answer) => wrong.push(format!("{path} {body}: {}", answer.body)),
            Err(error) => wrong.push(format!("{path} {body}: no answer: {error}")),
        }
    }
    (errors, wrong)
}

/// One copy with one byte flipped.
fn flip(service: &Service, known: &[Known], random: &mut Rng, tally: &mut Tally) {
    let folder = temporary();
    copy(&service.config.data, &folder.path().join("data"));
    let file = folder.path().join("data/yaoku.redb");
    let mut bytes = fs::read(&file).unwrap();
    // Half of the flips hit pages that are in use: those that hold something.
    let mut at = random.usize(0..bytes.len());
    if random.bool() {
        while bytes[at] == 0 {
            at = random.usize(0..bytes.len());
        }
    }
    bytes[at] ^= 1 << random.u8(0..8);
    fs::write(&file, bytes).unwrap();
    let mut copy = Service::stopped_on(folder, Disk::System, |_| {});
    if let Err(reason) = copy.try_restart() {
        assert!(reason.contains("yaoku.redb") || reason.contains("database"), "at {at}: {reason}");
        tally.refused += 1;
        return;
    }
    let (errors, wrong) = ask(&copy.admin(), known);
    tally.wrong.extend(wrong.first().map(|wrong| format!("byte {at}: {wrong} and {} more", wrong.len() - 1)));
    match errors || !wrong.is_empty() {
        true => tally.errors += 1,
        false => tally.identical += 1,
    }
}

#[test]
fn a_flipped_byte_is_noticed_or_changes_no_answer() {
    let copies = rounds(60, 10_000);
    let (service, known) = appliance();
    let tallies = parallel(LANES, |lane| {
        let (mut random, mut tally) = (Rng::with_seed(lane as u64), Tally::default());
        for _ in 0..copies / LANES {
            flip(&service, &known, &mut random, &mut tally);
        }
        tally
    });
    let mut tally = Tally::default();
    for other in tallies {
        tally.refused += other.refused;
        tally.errors += other.errors;
        tally.identical += other.identical;
        tally.wrong.extend(other.wrong);
    }
    figure("bit_rot_starts_refused", tally.refused, "copies");
    figure("bit_rot_answered_by_an_error", tally.errors, "copies");
    figure("bit_rot_identical_answers", tally.identical, "copies");
    figure("bit_rot_silent_wrong_answers", format!("{} of {copies}", tally.wrong.len()), "copies");
    assert!(tally.wrong.is_empty(), "{:#?}", tally.wrong);
    assert!(tally.refused + tally.errors > 0 && tally.identical > 0, "{tally:?}");
}
