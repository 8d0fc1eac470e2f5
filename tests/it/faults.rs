//! Faults of the disk under every operation of the catalog: EIO, ENOSPC and a write that ends half way, at every single
//! operation on the database file that a call makes, until it makes no more. Whatever happened, the effect of a call is
//! there as a whole or not at all, it is there once if it was acknowledged or tried again under its token, no success
//! lacks its audit record, and the service is ready again by itself.

mod cases;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use yaoku::api::{Access, Spec};
use yaoku::catalog::ROWS;
use yaoku::env::DiskFault;

use crate::audit_proof::check;
use crate::disk::{FAULTS, FaultyDisk};
use crate::kit::{Answer, Service, new_id, parallel, poll};
use crate::ledger::figure;
use cases::{Facts, Tenant};

/// Services at the same time; most of a fault is waiting.
const LANES: usize = 10;
/// More operations on the file than any call makes.
const INDEX_MAX: usize = 300;

/// What came of the faults.
#[derive(Default)]
struct Tally {
    calls: usize,
    injected: usize,
    /// Calls that succeeded although a fault came.
    unharmed: usize,
    /// Calls that were answered with an error and are done all the same.
    done: usize,
    duplicates: Vec<String>,
    halves: Vec<String>,
    lost: Vec<String>,
    unaudited: Vec<String>,
    stale: Vec<String>,
    longest: Duration,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.injected += other.injected;
        self.unharmed += other.unharmed;
        self.done += other.done;
        self.duplicates.extend(other.duplicates);
        self.halves.extend(other.halves);
        self.lost.extend(other.lost);
        self.unaudited.extend(other.unaudited);
        self.stale.extend(other.stale);
        self.longest = self.longest.max(other.longest);
    }
}

#[test]
fn a_fault_at_any_operation_on_the_file_leaves_every_call_done_once_or_not_at_all() {
    let reachable: Vec<&Spec> =
        ROWS.iter().map(|row| row.spec).filter(|spec| !spec.paths.is_empty()).collect();
    let work: Vec<(&Spec, DiskFault)> =
        reachable.iter().flat_map(|spec| FAULTS.map(|fault| (*spec, fault))).collect();
    let next = AtomicUsize::new(0);
    let tallies = parallel(LANES, |_| {
        let disk = FaultyDisk::new();
        let service = Service::demo(disk.disk(), |config| {
            config.store.reopen_milliseconds = 1;
            config.quota.asymmetric_versions_per_account = 100_000;
            config.import.spare_wrapping_keys = 1;
        });
        let mut tally = Tally::default();
        while let Some((spec, fault)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
            let tenant = Tenant::new(&service, spec);
            Trial { service: &service, disk: &disk, spec, fault: *fault, tenant, tally: &mut tally }.run();
        }
        assert_eq!(check(&service.admin()), None, "the trail is whole");
        tally.injected = disk.injected();
        tally
    });
    let mut tally = Tally::default();
    tallies.into_iter().for_each(|other| tally.add(other));
    figure("fault_operations", reachable.len(), "operations");
    figure("fault_places", tally.calls, "calls (operations x faults x places)");
    figure("faults_injected", tally.injected, "faults");
    figure("fault_calls_that_succeeded_all_the_same", tally.unharmed, "calls");
    figure("fault_changes_done_behind_an_error", tally.done, "calls");
    figure("fault_acknowledged_but_lost", tally.lost.len(), "effects");
    figure("fault_half_effects", tally.halves.len(), "effects");
    figure("fault_duplicates_after_retry", tally.duplicates.len(), "effects");
    figure("fault_unaudited_successes", tally.unaudited.len(), "calls");
    figure("fault_keepers_beside_the_store", tally.stale.len(), "records");
    figure("fault_longest_time_in_error_state", tally.longest.as_millis(), "ms");
    for wrong in [&tally.lost, &tally.halves, &tally.duplicates, &tally.unaudited, &tally.stale] {
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
    // Each call at least writes its audit record: several pages, and more than one sync.
    assert!(tally.injected > reachable.len() * FAULTS.len() * 3, "only {} faults", tally.injected);
}

/// One operation under one kind of fault.
struct Trial<'a> {
    service: &'a Service,
    disk: &'a FaultyDisk,
    spec: &'static Spec,
    fault: DiskFault,
    tenant: Tenant,
    tally: &'a mut Tally,
}

impl Trial<'_> {
    fn run(mut self) {
        let effect = self.effect();
        let changes = self.spec.access == Access::Write && !cases::COMPUTES.contains(&self.spec.name);
        assert_eq!(
            !effect.is_empty(),
            changes,
            "{}: what it changes is not seen: {effect:?}",
            self.spec.name
        );
        for at in 0..INDEX_MAX {
            if !self.once(at, &effect) {
                return;
            }
        }
        panic!("{}: more than {INDEX_MAX} operations on the file", self.spec.name);
    }

    /// What the operation changes when nothing fails.
    fn effect(&self) -> Facts {
        let body = self.tenant.body(self.service, self.spec);
        let before = self.facts();
        self.call(&body).result();
        difference(&before, &self.facts())
    }

    /// One call with a fault at this place, and one retry; false if the call made no operation of that number.
    fn once(&mut self, at: usize, effect: &Facts) -> bool {
        let mut body = self.tenant.body(self.service, self.spec);
        body["clientToken"] = json!(new_id());
        let before = self.facts();
        self.disk.arm(at, self.fault);
        let answer = self.call(&body);
        let Some(hit) = self.disk.heal() else {
            answer.result();
            return false;
        };
        self.tally.calls += 1;
        let what = format!("{} {:?} at {at} ({:?})", self.spec.name, self.fault, hit.operation);
        self.settle();
        self.tally.longest = self.tally.longest.max(self.disk.now() - hit.at);
        let after = difference(&before, &self.facts());
        let acknowledged = answer.success().is_some();
        self.tally.unharmed += usize::from(acknowledged);
        if acknowledged {
            if after != *effect {
                self.tally.lost.push(format!("{what}: {after:?}"));
            }
        } else {
            assert_eq!(answer.code(), "KMS.9071", "{what}: {answer:?}");
            self.tally.done += usize::from(!after.is_empty());
            if !after.is_empty() && after != *effect {
                self.tally.halves.push(format!("{what}: {after:?}"));
            }
        }
        self.check_record(&answer, &after, effect, &what);
        let again = self.retry(&body);
        self.check_record(&again, &after, effect, &what);
        let total = difference(&before, &self.facts());
        if total != *effect {
            self.tally
                .duplicates
                .push(format!("{what}: {total:?} after a retry that was answered {again:?}"));
        }
        if acknowledged && effect.iter().any(|(fact, count)| fact.starts_with("record ") && *count > 0) {
            assert_eq!(again.result(), answer.result(), "{what}: a token returns the first result");
        }
        self.check_keepers(&what);
        true
    }

    fn call(&self, body: &Value) -> Answer {
        self.tenant.person.call(self.spec.paths[0], body.clone())
    }

    /// Waits until the service is ready and stays so: a read that failed is repaired a moment later.
    fn settle(&self) {
        let app = self.service.app();
        // Every call has a record, so one that succeeds has passed the writer and everything that waited there.
        poll("a service that is ready again by itself", || {
            let ready = app.is_ready();
            let answer = self.tenant.person.call("/system/describeSystem", json!({}));
            (ready && app.is_ready() && answer.success().is_some()).then_some(())
        });
    }

    /// Asks once more with the same token; a fault of before may still be under repair.
    fn retry(&self, body: &Value) -> Answer {
        poll("an answer to a retry", || {
            let answer = self.call(body);
            (answer.success().is_some() || answer.code() != "KMS.9071").then_some(answer)
        })
    }

    /// A success has exactly one record of success, and a record of success has its effect.
    fn check_record(&mut self, answer: &Answer, after: &Facts, effect: &Facts, what: &str) {
        let id = answer.header("ctyun-eop-request-id").unwrap();
        let query = json!({"eventName": self.spec.name, "result": "success", "pageSize": 5});
        let page = self.tenant.person.ok("/audit/queryAudit", query);
        let records = page["records"].as_array().unwrap();
        let found = records.iter().filter(|record| record["requestId"] == id).count();
        if answer.success().is_some() != (found == 1) && (answer.success().is_some() || after != effect) {
            self.tally.unaudited.push(format!("{what}: {found} records of {answer:?}"));
        }
    }

    /// What keepers publish is what is stored.
    fn check_keepers(&mut self, what: &str) {
        let app = self.service.app();
        for stored in self.tenant.keys(app) {
            let published = app.keys.get(&stored.id).unwrap().unwrap();
            if *published != stored {
                self.tally.stale.push(format!("{what}: key {}", stored.id));
            }
        }
        for stored in self.tenant.credentials(app) {
            if app.credentials.get(&stored.id).unwrap().is_none_or(|published| *published != stored) {
                self.tally.stale.push(format!("{what}: credential {}", stored.id));
            }
        }
        for id in self.tenant.deleted(app) {
            if app.credentials.get(&id).unwrap().is_some() {
                self.tally.stale.push(format!("{what}: credential {id} is published and not stored"));
            }
        }
        let id = json!({"cmkUuid": self.tenant.key});
        let described = self.tenant.person.ok("/keyManage/describeKey", id);
        let listed = self.tenant.person.ok("/keyManage/listAliasKeys", json!({"pageSize": 100}));
        let listed = listed["keys"].as_array().unwrap();
        if !listed.contains(&described) {
            self.tally.stale.push(format!("{what}: {described} is listed otherwise"));
        }
    }

    fn facts(&self) -> Facts {
        self.tenant.facts(self.service.app())
    }
}

/// What there is more or less of.
fn difference(before: &Facts, after: &Facts) -> Facts {
    let mut difference: Facts = BTreeMap::new();
    for (sign, facts) in [(-1, before), (1, after)] {
        for (fact, count) in facts {
            *difference.entry(fact.clone()).or_default() += sign * count;
        }
    }
    difference.retain(|_, count| *count != 0);
    difference
}
