//! A disk that fails while the service starts, while it stops, and for a while under load: a start is refused with a
//! reason or succeeds, a stop ends, and when the disk is well everything that was acknowledged is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use yaoku::env::{DiskFault, DiskOperation};

use crate::disk::{FAULTS, FaultyDisk};
use crate::kit::{Service, new_id, parallel, poll, temporary};
use crate::ledger::{figure, rounds};
use crate::program::walk;

const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const LIST: &str = "/keyManage/listAliasKeys";
/// More operations on the file than a start or a stop makes.
const INDEX_MAX: usize = 5000;
const CLIENTS: usize = 3;

fn start() -> (std::sync::Arc<FaultyDisk>, Service) {
    let disk = FaultyDisk::new();
    let service = Service::start_on(temporary(), disk.disk(), |config| config.store.reopen_milliseconds = 1);
    (disk, service)
}

/// Makes a key that is disabled; its description names it.
fn acknowledge(service: &Service, kept: &mut Vec<Value>) {
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({"aliasName": format!("alias/{}", new_id())}))["cmkUuid"].clone();
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": key}));
    kept.push(admin.ok(DESCRIBE, json!({"cmkUuid": key})));
}

/// How many of these keys are not as they were acknowledged, or have no records.
fn lost(service: &Service, kept: &[Value]) -> usize {
    let admin = service.admin();
    let there = |key: &&Value| {
        let query = json!({"resourceId": key["cmkUuid"], "result": "success", "pageSize": 100});
        let page = admin.ok("/audit/queryAudit", query);
        let events: Vec<&Value> =
            page["records"].as_array().unwrap().iter().map(|record| &record["eventName"]).collect();
        let recorded = ["createKey", "disableKey"].iter().all(|name| events.contains(&&json!(name)));
        recorded && admin.ok(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]})) == **key
    };
    kept.iter().filter(|key| !there(key)).count()
}

fn settle(service: &Service) {
    poll("a service that is ready again by itself", || service.app().is_ready().then_some(()));
}

#[test]
fn a_fault_during_the_start_is_told_and_loses_nothing() {
    let outcomes = parallel(FAULTS.len(), |lane| {
        let (disk, mut service) = start();
        let mut kept = Vec::new();
        let (mut refused, mut started, mut missing) = (0, 0, 0);
        let mut at = 0;
        while at < INDEX_MAX {
            acknowledge(&service, &mut kept);
            service.stop();
            disk.arm(at, FAULTS[lane]);
            let outcome = service.try_restart();
            let hit = disk.heal();
            match &outcome {
                Ok(()) => started += usize::from(hit.is_some()),
                Err(reason) => {
                    refused += 1;
                    assert!(hit.is_some(), "refused without a fault: {reason}");
                    let told = reason.contains("yaoku.redb") || reason.contains("I/O error");
                    assert!(told, "at {at} ({hit:?}) the reason is not told: {reason}");
                    service.restart();
                }
            }
            settle(&service);
            missing += lost(&service, &kept[kept.len().saturating_sub(2)..]);
            if hit.is_none() {
                return (refused, started, missing + lost(&service, &kept));
            }
            // A start reads the whole file, and each round adds to it.
            at += 1 + at / rounds(10, 100);
        }
        panic!("a start makes more than {INDEX_MAX} operations");
    });
    let sum = |part: fn(&(usize, usize, usize)) -> usize| outcomes.iter().map(part).sum::<usize>();
    figure("start_faults_refused_with_a_reason", sum(|outcome| outcome.0), "starts");
    figure("start_faults_that_started_all_the_same", sum(|outcome| outcome.1), "starts");
    figure("start_faults_acknowledged_but_lost", sum(|outcome| outcome.2), "keys");
    assert!(sum(|outcome| outcome.0) > 10, "too few faults: {outcomes:?}");
    assert_eq!(sum(|outcome| outcome.2), 0);
}

#[test]
fn a_fault_during_the_stop_loses_nothing() {
    let outcomes = parallel(FAULTS.len(), |lane| {
        let (disk, mut service) = start();
        let mut kept = Vec::new();
        let mut missing = 0;
        for at in 0..INDEX_MAX {
            acknowledge(&service, &mut kept);
            disk.arm(at, FAULTS[lane]);
            service.stop();
            let hit = disk.heal();
            service.restart();
            missing += lost(&service, &kept[kept.len().saturating_sub(2)..]);
            if hit.is_none() {
                return (at, missing + lost(&service, &kept));
            }
        }
        panic!("a stop makes more than {INDEX_MAX} operations");
    });
    figure("stop_faults", outcomes.iter().map(|(faults, _)| faults).sum::<usize>(), "stops");
    let missing: usize = outcomes.iter().map(|(_, missing)| missing).sum();
    figure("stop_faults_acknowledged_but_lost", missing, "keys");
    assert!(outcomes.iter().all(|(faults, _)| *faults > 3), "too few faults: {outcomes:?}");
    assert_eq!(missing, 0);
}

/// A first start on a disk that fails promises nothing, and the next one starts over.
#[test]
fn a_fault_during_the_first_start_starts_over() {
    let step = rounds(7, 1);
    let outcomes = parallel(FAULTS.len(), |lane| {
        let (mut refused, mut at) = (0, lane);
        loop {
            let disk = FaultyDisk::new();
            let mut service = Service::stopped_on(temporary(), disk.disk(), |_| {});
            disk.arm(at, FAULTS[lane]);
            let outcome = service.try_restart();
            let hit = disk.heal();
            if outcome.is_err() {
                refused += 1;
                service.restart();
            }
            settle(&service);
            service.admin().ok(CREATE, json!({}));
            if hit.is_none() {
                return refused;
            }
            at += step;
        }
    });
    figure("first_start_faults_that_started_over", outcomes.iter().sum::<usize>(), "starts");
    assert!(outcomes.iter().all(|refused| *refused > 0), "{outcomes:?}");
}

/// Nothing can be synced for a while, again and again, while clients work.
#[test]
fn a_disk_that_fails_for_a_while_is_back_by_itself_when_it_heals() {
    let spells = rounds(6, 100);
    let disk = FaultyDisk::new();
    let mut service = Service::start_on(temporary(), disk.disk(), |config| {
        config.store.reopen_milliseconds = 1;
        config.quota.keys_per_base_instance = 1_000_000;
    });
    let stop = AtomicBool::new(false);
    let (mut longest, mut kept, mut refused) = (Duration::ZERO, Vec::new(), 0);
    std::thread::scope(|scope| {
        let admin = service.admin();
        let stop = &stop;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let admin = admin.clone();
                scope.spawn(move || {
                    let (mut kept, mut refused) = (Vec::new(), 0);
                    while !stop.load(Ordering::Relaxed) {
                        let answer = admin.call(CREATE, json!({}));
                        match answer.success() {
                            Some(key) => kept.push(key.clone()),
                            None => {
                                assert_eq!(answer.code(), "KMS.9071", "{answer:?}");
                                refused += 1;
                            }
                        }
                    }
                    (kept, refused)
                })
            })
            .collect();
        for spell in 0..spells {
            let operation = [DiskOperation::Sync, DiskOperation::Write][spell % 2];
            disk.fail(operation, DiskFault::Broken);
            poll("a service that says it is not ready", || (!service.app().is_ready()).then_some(()));
            std::thread::sleep(Duration::from_millis(200));
            disk.heal();
            let healed = disk.now();
            settle(&service);
            longest = longest.max(disk.now() - healed);
        }
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let (made, errors) = client.join().unwrap();
            kept.extend(made);
            refused += errors;
        }
    });
    let missing = |service: &Service| {
        let admin = service.admin();
        let describe =
            |key: &&Value| admin.call(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]})).success().is_none();
        kept.iter().filter(describe).count()
    };
    let before = missing(&service);
    service.restart();
    let after = missing(&service);
    let records = service.audit();
    let made =
        records.iter().filter(|record| record["eventName"] == "createKey" && record["errorCode"].is_null());
    let listed = service.admin().ok(LIST, json!({}))["totalCount"].as_u64().unwrap();
    assert_eq!(made.count() as u64, listed, "a key and its record are written together");
    figure("spells_of_a_failing_disk", spells, "spells");
    figure("spells_longest_until_ready_again", longest.as_millis(), "ms after the disk healed");
    figure("spells_calls_refused", refused, "calls");
    figure("spells_acknowledged_but_lost", format!("{} of {}", before + after, kept.len()), "keys");
    assert!(
        before + after == 0 && refused > spells && kept.len() > spells,
        "{refused} refused, {}",
        kept.len()
    );
}

/// The schema of a later program; the lock names whoever tried last.
#[test]
fn a_database_of_a_newer_program_is_refused_and_left_as_it_is() {
    let (_disk, mut service) = start();
    let mut kept = Vec::new();
    acknowledge(&service, &mut kept);
    service.stop();
    let file = service.config.data.join("yaoku.redb");
    let schema = |number: u32| {
        const META: redb::TableDefinition<'static, &'static str, &'static [u8]> =
            redb::TableDefinition::new("meta");
        let database = redb::Database::open(&file).unwrap();
        let transaction = database.begin_write().unwrap();
        let mut meta = transaction.open_table(META).unwrap();
        meta.insert("schema", number.to_be_bytes().as_slice()).unwrap();
        drop(meta);
        transaction.commit().unwrap();
    };
    let data = service.config.data.clone();
    let contents = || {
        let paths = walk(&data).into_iter().filter(|path| path.is_file() && !path.ends_with("lock"));
        paths.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect::<Vec<_>>()
    };
    schema(99);
    let before = contents();
    let reason = service.try_restart().unwrap_err();
    assert!(reason.contains("schema 99") && reason.contains("nothing was changed"), "{reason}");
    let changed: Vec<_> =
        contents().into_iter().zip(before).filter(|(now, then)| now != then).map(|(now, _)| now.0).collect();
    assert!(changed.is_empty(), "{changed:?}");
    schema(1);
    service.restart();
    assert_eq!(lost(&service, &kept), 0);
}
