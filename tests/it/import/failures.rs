//! Imports that fail: one refusal for whatever is wrong with the material, and no more than five of them for a token.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use yaoku::ids::ImportTokenId;
use yaoku::model::key::Key;

use super::{MATERIAL, OAEP, records, service, state};
use crate::disk::{FAULTS, FaultyDisk};
use crate::kit::{Answer, OpenApi, Service, base64, parallel, poll, temporary};
use crate::ledger::figure;
use crate::material::{ALGORITHMS, IMPORT, Way, external};

const SPENT: &str = "KMS.9023";
const WRONG: &str = "KMS.9022";

/// Makes something that is no material.
type Wrong = Box<dyn Fn(&Way) -> String>;

/// An answer and its audit record without what tells one call from another.
fn shape(person: &OpenApi, answer: &Answer) -> String {
    let (mut body, id) = (answer.body.clone(), answer.header("ctyun-eop-request-id").unwrap());
    let record = records(person, "importKeyMaterial");
    let mut record = record.into_iter().find(|record| record["requestId"] == id).unwrap();
    for name in ["requestId", "eventId", "sequence", "durationMicros"] {
        body["requestId"] = Value::Null;
        body["returnObj"]["requestId"] = Value::Null;
        record[name] = Value::Null;
    }
    let own = ["ctyun-eop-request-id", "x-trace-id", "date"];
    let headers: Vec<_> = answer.headers.iter().filter(|(name, _)| !own.contains(&name.as_str())).collect();
    format!("{} {headers:?} {body} {record}", answer.status)
}

#[test]
fn whatever_is_wrong_with_material_is_one_refusal() {
    let service = service();
    let admin = service.admin();
    let (mut shapes, mut tried) = (BTreeSet::new(), 0);
    let key = external(&admin, "AES_256");
    admin.ok(IMPORT, Way::new(&admin, &key, OAEP).body(&MATERIAL));
    let stranger = Way::new(&admin, &key, OAEP);
    for algorithm in ALGORITHMS {
        let mut wrong: Vec<Wrong> = vec![
            Box::new(|way| way.wrap(&[7; 32])),
            Box::new(|way| way.wrap(&MATERIAL[1..])),
            Box::new(|way| way.wrap(&[MATERIAL.as_slice(), &[1]].concat())),
            Box::new(|way| way.wrap(b"")),
            Box::new(|_| base64([0; 256])),
            Box::new(|_| base64([0xff; 256])),
            Box::new(|_| base64([0x5a; 256])),
            Box::new(|_| base64([1; 7])),
            Box::new(|_| base64([1; 257])),
            Box::new(|_| base64(MATERIAL)),
        ];
        let (to_other, by) = (stranger.clone(), algorithm);
        wrong.push(Box::new(move |_| to_other.wrap_by(by, &MATERIAL)));
        // The token has its padding; the sender cannot choose another one.
        for other in ALGORITHMS.into_iter().filter(|other| *other != algorithm) {
            wrong.push(Box::new(move |way| way.wrap_by(other, &MATERIAL)));
        }
        for some in wrong.chunks(4) {
            let way = Way::new(&admin, &key, algorithm);
            for wrap in some {
                let answer = admin.call(IMPORT, way.body_of(&wrap(&way)));
                assert_eq!(answer.code(), WRONG);
                shapes.insert(shape(&admin, &answer));
                tried += 1;
            }
            admin.ok(IMPORT, way.body(&MATERIAL));
        }
    }
    figure("import_error_shapes", format!("{} of {tried} wrong imports", shapes.len()), "shapes");
    assert_eq!(shapes.len(), 1, "{shapes:#?}");
    assert!(shapes.iter().all(|shape| shape.contains("\"errorCode\":\"KMS.9022\"")), "{shapes:?}");
}

#[test]
fn five_failures_spend_a_token_whatever_happens_between() {
    let mut service = service();
    let admin = service.admin();
    let way = Way::new(&admin, &external(&admin, "AES_256"), OAEP);
    let other = Way::new(&admin, &way.key, OAEP);
    let fail = |admin: &OpenApi| admin.refused(IMPORT, way.body(&[7; 31]));
    assert_eq!([fail(&admin), fail(&admin)], [WRONG, WRONG]);
    // A success takes nothing back, nor does a restart.
    admin.ok(IMPORT, way.body(&MATERIAL));
    assert_eq!(fail(&admin), WRONG);
    service.restart();
    let admin = service.admin();
    assert_eq!([fail(&admin), fail(&admin)], [WRONG, WRONG]);
    assert_eq!(fail(&admin), SPENT);
    assert_eq!(admin.refused(IMPORT, way.body(&MATERIAL)), SPENT, "also with the right material");
    admin.ok(IMPORT, other.body(&MATERIAL));
    service.restart();
    assert_eq!(service.admin().refused(IMPORT, way.body(&MATERIAL)), SPENT);
    let records = records(&service.admin(), "importKeyMaterial");
    let failed = records.iter().filter(|record| record["errorCode"] == WRONG);
    assert_eq!(failed.count(), 5, "{records:?}");
    assert!(records.iter().all(|record| record["resourceIds"] == json!([way.key])));
}

/// However many try at the same time, a token gives five answers; who gets none is told to come again, or that it is spent.
#[test]
fn parallel_failures_get_five_answers_together() {
    let service = service();
    let admin = service.admin();
    let (mut most, mut retries) = (0, 0);
    for round in 0..4 {
        let way = Way::new(&admin, &external(&admin, "AES_256"), OAEP);
        let material = [round; 31];
        let codes: Vec<String> =
            parallel(12, |_| (0..8).map(|_| admin.refused(IMPORT, way.body(&material))).collect::<Vec<_>>())
                .concat();
        let count = |code: &str| codes.iter().filter(|found| *found == code).count();
        assert_eq!(count(WRONG) + count("KMS.9071") + count(SPENT), codes.len(), "{codes:?}");
        assert_eq!(count(WRONG), 5, "{codes:?}");
        most = most.max(count(WRONG));
        retries += count("KMS.9071");
        assert_eq!(admin.refused(IMPORT, way.body(&MATERIAL)), SPENT);
        assert_eq!(state(&admin, &way.key), "PendingImport");
    }
    figure(
        "answers_of_a_token",
        format!("{most} of 96 parallel attempts ({retries} told to come again)"),
        "answers",
    );
}

/// Many at once bring the first material, each another one: one binds the key, and none takes its place.
#[test]
fn of_parallel_first_imports_one_binds_the_key() {
    let service = service();
    let admin = service.admin();
    let way = Way::new(&admin, &external(&admin, "AES_256"), OAEP);
    let answers = parallel(8, |number| admin.call(IMPORT, way.body(&[number as u8; 32])));
    let won: Vec<_> = (0..8u8).filter(|number| answers[usize::from(*number)].success().is_some()).collect();
    assert_eq!(won.len(), 1, "{answers:?}");
    let fresh = Way::new(&admin, &way.key, OAEP);
    admin.ok(IMPORT, fresh.body(&[won[0]; 32]));
    assert_eq!(admin.refused(IMPORT, fresh.body(&[won[0] + 1; 32])), WRONG);
}

/// An answer that tells something of the material is counted first: if the disk fails at any operation, either both are there
/// or neither.
#[test]
fn a_failure_that_cannot_be_counted_is_not_answered() {
    let disk = FaultyDisk::new();
    let service = Service::start_on(temporary(), disk.disk(), |config| {
        config.store.reopen_milliseconds = 1;
        config.import.spare_wrapping_keys = 1;
    });
    let admin = service.admin();
    let key = external(&admin, "AES_256");
    let failures = |token: &Value| {
        let (id, token) =
            (serde_json::from_value(key.clone()).unwrap(), serde_json::from_value(token.clone()));
        let (key, token): (Key, ImportTokenId) =
            (service.app().store.get(&id).unwrap().unwrap(), token.unwrap());
        key.import.tokens.iter().find(|known| known.id == token).map_or(5, |known| known.failures)
    };
    let mut way = Way::new(&admin, &key, OAEP);
    let (mut uncounted, mut silent, mut injected) = (0, 0, 0);
    for fault in FAULTS {
        for at in 0.. {
            if failures(&way.token) >= 3 {
                way = Way::new(&admin, &key, OAEP);
            }
            let before = failures(&way.token);
            disk.arm(at, fault);
            let answer = admin.call(IMPORT, way.body(&[7; 31]));
            let hit = disk.heal();
            poll("a service that is ready again", || {
                let answered = admin.call("/system/describeSystem", json!({})).success().is_some();
                (answered && service.app().is_ready()).then_some(())
            });
            let counted = failures(&way.token) - before;
            match answer.code().as_str() {
                WRONG => uncounted += usize::from(counted != 1),
                "KMS.9071" => silent += 1,
                other => panic!("{other}: {answer:?}"),
            }
            match hit {
                Some(_) => injected += 1,
                None => break,
            }
        }
    }
    figure(
        "import_failures_answered_and_not_counted",
        format!("{uncounted} of {injected} faults"),
        "answers",
    );
    assert_eq!(uncounted, 0);
    assert!(silent > 0 && injected > 30, "{silent} of {injected}");
    // Each that was counted has its record.
    let failed = records(&admin, "importKeyMaterial");
    assert!(failed.iter().all(|record| record["errorCode"] == WRONG || record["errorCode"] == "KMS.9071"));
}
