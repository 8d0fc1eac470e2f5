//! Key pairs under load: no call succeeds with a key that was disabled before it began, RSA keys that are being made keep
//! nobody waiting, their lane has an end, and a roll of wrapping keys loses none.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{CREATE, DECRYPT, ENCRYPT, ENCRYPTS, NEW_VERSION, Pair, SIGN, SIGNS, VERIFY, outcome, versions};
use crate::kit::{OpenApi, Service, base64, parallel, poll, unbase64};
use crate::ledger::{figure, rounds};

#[test]
fn no_later_call_succeeds_with_a_disabled_pair() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let work = [
        (Pair::make(&admin, "Ctyun_SM2", SIGNS), SIGN, "SM2DSA"),
        (Pair::make(&admin, "Ctyun_SM2", ENCRYPTS), ENCRYPT, "SM2PKE"),
        (Pair::make(&admin, "RSA_2048", SIGNS), SIGN, "RSA_PSS_SHA_256"),
    ];
    let bodies = work.each_ref().map(|(pair, path, algorithm)| match *path {
        SIGN => pair.sign(algorithm, [7; 32]),
        _ => pair.encrypt(algorithm, b"text"),
    });
    // Odd while the keys are disabled, beginning with the answer of the last disableKey.
    let (epoch, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
    let (stale, uses, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let switch = |path: &str| {
        for (pair, ..) in &work {
            admin.ok(path, json!({"cmkUuid": pair.key}));
        }
    };
    std::thread::scope(|scope| {
        for number in 0..6 {
            let (bodies, work, epoch, stopped) = (&bodies, &work, &epoch, &stopped);
            let (stale, uses, refused) = (&stale, &uses, &refused);
            let (admin, application) = (&admin, &application);
            scope.spawn(move || {
                // Bounded, so that a test that fails also ends.
                for round in 0..100_000 {
                    if stopped.load(Ordering::Acquire) {
                        break;
                    }
                    let (path, body) = (work[round % 3].1, bodies[round % 3].clone());
                    let before = epoch.load(Ordering::Acquire);
                    let answer = match number % 2 {
                        0 => admin.call(path, body),
                        _ => application.call(path, body),
                    };
                    let after = epoch.load(Ordering::Acquire);
                    match outcome(&answer).as_str() {
                        "ok" => {
                            uses.fetch_add(1, Ordering::Relaxed);
                            if before == after && before % 2 == 1 {
                                stale.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        "KMS.9010" => drop(refused.fetch_add(1, Ordering::Relaxed)),
                        other => panic!("{other}: {answer:?}"),
                    }
                }
            });
        }
        let at_least = |counter: &AtomicUsize, more: usize| {
            let target = counter.load(Ordering::Relaxed) + more;
            poll("calls", || (counter.load(Ordering::Relaxed) >= target).then_some(()));
        };
        for _ in 0..rounds(20, 2000) {
            at_least(&uses, 10);
            switch("/cmkManage/disableKey");
            epoch.fetch_add(1, Ordering::Release);
            at_least(&refused, 10);
            epoch.fetch_add(1, Ordering::Release);
            switch("/cmkManage/enableKey");
        }
        stopped.store(true, Ordering::Release);
    });
    let (stale, uses) = (stale.into_inner(), uses.into_inner());
    println!("stale uses = {stale} of {uses}");
    figure(
        "stale_uses_of_key_pairs",
        stale,
        &format!("of {uses} uses and {} refusals", refused.into_inner()),
    );
    assert_eq!(stale, 0);
}

/// Makes RSA keys until told to stop, and keeps them.
fn make_keys(person: &OpenApi, stopped: &AtomicBool, keys: &Mutex<Vec<Pair>>) {
    // Bounded, so that a test that fails also ends.
    for _ in 0..1000 {
        if stopped.load(Ordering::Acquire) {
            break;
        }
        let pair = Pair::make(person, "RSA_2048", ENCRYPTS);
        keys.lock().unwrap().push(pair);
    }
}

#[test]
fn keys_that_are_being_made_keep_nobody_waiting() {
    let service = Service::start();
    let admin = service.admin();
    let aes = admin.ok(CREATE, json!({}))["cmkUuid"].clone();
    let pair = Pair::make(&admin, "Ctyun_SM2", ENCRYPTS);
    let (made, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..5 {
                    Pair::make(&admin, "RSA_2048", SIGNS);
                    made.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..50 {
                    admin.ok("/keyCompute/encrypt", json!({"cmkUuid": aes, "plaintext": base64("text")}));
                    let sealed = admin.ok(ENCRYPT, pair.encrypt("SM2PKE", b"text"));
                    let opened = admin.ok(DECRYPT, pair.decrypt("SM2PKE", sealed["ciphertextBlob"].clone()));
                    assert_eq!(unbase64(&opened["plaintext"]), b"text");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((made.into_inner(), done.into_inner()), (10, 100));
}

#[test]
fn the_lane_that_makes_rsa_keys_has_an_end() {
    let service = Service::start_with(|config| config.quota.asymmetric_versions_per_account = 10_000);
    let admin = service.admin();
    let aes = admin.ok(CREATE, json!({}))["cmkUuid"].clone();
    let key = Pair::make(&admin, "RSA_2048", SIGNS);
    let outcomes = parallel(128, |number| match number % 8 {
        // Who needs no new RSA key is served all the same.
        0 => {
            admin.ok("/keyCompute/encrypt", json!({"cmkUuid": aes, "plaintext": base64("text")}));
            admin.ok(CREATE, json!({"keySpec": "Ctyun_SM2"}));
            "served".to_owned()
        }
        1..=3 => outcome(&admin.call(NEW_VERSION, json!({"cmkUuid": key.key}))),
        _ => outcome(&admin.call(CREATE, json!({"keySpec": "RSA_2048"}))),
    });
    let count = |wanted: &str| outcomes.iter().filter(|outcome| *outcome == wanted).count();
    let (made, busy) = (count("ok"), count("KMS.9071"));
    assert_eq!((count("served"), made + busy), (16, 112), "{outcomes:?}");
    assert!(made >= 64 && busy > 0, "{made} made, {busy} told to retry");
    let listed = admin.ok("/keyManage/listAliasKeys", json!({"keySpec": "RSA_2048", "pageSize": 1}));
    let kept = listed["totalCount"].as_u64().unwrap() as usize - 1 + versions(&admin, &key.key).len() - 1;
    assert_eq!(kept, made, "what was refused left nothing");
    // Once it is empty it takes keys again.
    Pair::make(&admin, "RSA_2048", SIGNS);
}

#[test]
fn no_key_pair_is_lost_while_wrapping_keys_roll() {
    let service = Service::start_with(|config| config.quota.asymmetric_versions_per_account = 100_000);
    let admin = service.admin();
    let old = Pair::make(&admin, "Ctyun_SM2", SIGNS);
    let signed = admin.ok(SIGN, old.sign("SM2DSA", [7; 32]))["value"].clone();
    let (stopped, rsa, other) = (AtomicBool::new(false), Mutex::default(), Mutex::new(Vec::new()));
    let rolls = || admin.ok("/system/describeSystem", json!({}))["rolls"].as_array().unwrap().len();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| make_keys(&admin, &stopped, &rsa));
        }
        scope.spawn(|| {
            for number in 0..2000 {
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                let pair = match number % 2 {
                    0 => Pair::make(&admin, "Ctyun_SM2", ENCRYPTS),
                    _ => other.lock().unwrap().last().map_or_else(
                        || Pair::make(&admin, "Ctyun_SM2", ENCRYPTS),
                        |pair: &Pair| pair.clone().next(&admin),
                    ),
                };
                other.lock().unwrap().push(pair);
            }
        });
        let made = || rsa.lock().unwrap().len();
        for generation in 2..5 {
            let before = made();
            poll("keys", || (made() > before + 3).then_some(()));
            let begun: Value =
                admin.ok("/system/rollWrappingKey", json!({"instanceId": service.first["instanceId"]}));
            assert_eq!(begun["generation"], generation);
            poll("the end of the roll", || (rolls() == 0).then_some(()));
        }
        stopped.store(true, Ordering::Release);
    });
    let (rsa, other) = (rsa.into_inner().unwrap(), other.into_inner().unwrap());
    let works = |pair: &Pair, algorithm: &str| {
        let sealed = admin.call(ENCRYPT, pair.encrypt(algorithm, b"kept"));
        let blob = sealed.success().map(|sealed| sealed["ciphertextBlob"].clone());
        let opened = blob.map(|blob| admin.call(DECRYPT, pair.decrypt(algorithm, blob)));
        opened.is_some_and(|opened| {
            opened.success().is_some_and(|opened| opened["plaintext"] == base64("kept"))
        })
    };
    let lost = rsa.iter().filter(|pair| !works(pair, "RSAES_OAEP_SHA_256")).count()
        + other.iter().filter(|pair| !works(pair, "SM2PKE")).count();
    assert_eq!(admin.ok(VERIFY, old.verify("SM2DSA", [7; 32], signed))["value"], true);
    figure(
        "key_pairs_lost_while_wrapping_keys_roll",
        lost,
        &format!("of {} RSA and {} SM2 pairs, 3 rolls", rsa.len(), other.len()),
    );
    assert_eq!(lost, 0);
}
