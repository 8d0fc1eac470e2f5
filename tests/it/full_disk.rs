//! A disk that is really full: a small file system in memory, filled under load. What makes something is refused, what
//! reads, disables or deletes is served from the reserve, and when there is room again everything is, without a restart.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use yaoku::env::{Clock, Disk, DiskFault, DiskOperation};
use yaoku::store::Condition;

use crate::disk::FaultyDisk;
use crate::kit::{Service, parallel, poll, temporary};
use crate::ledger::figure;

const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const RESERVE_BYTES: u64 = 2 << 20;

/// A file system of 16 MB, unmounted with the test.
struct SmallDisk {
    mount: TempDir,
}

impl SmallDisk {
    /// Mounts it, or says why that cannot be done here.
    fn new() -> Result<Self, String> {
        let mount = temporary();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs"]).arg(mount.path());
        match command.output() {
            Ok(output) if output.status.success() => Ok(Self { mount }),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn folder(&self) -> TempDir {
        TempDir::new_in(self.mount.path()).unwrap()
    }

    fn filler(&self) -> PathBuf {
        self.mount.path().join("filler")
    }

    /// Takes all room but this.
    fn fill(&self, leave: u64) {
        let found = rustix::fs::statvfs(self.mount.path()).unwrap();
        let mut take = (found.f_bavail * found.f_frsize).saturating_sub(leave);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        while take > 0 {
            let part = take.min(4096) as usize;
            // The last pages may be gone already: then the disk is as full as was asked for.
            if file.write_all(&vec![7; part]).is_err() {
                return;
            }
            take -= part as u64;
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.mount.path()).status();
    }
}

fn start(folder: TempDir, disk: Disk) -> Service {
    Service::start_on(folder, disk, |config| {
        config.store.reserve_bytes = RESERVE_BYTES;
        config.quota.keys_per_base_instance = 1_000_000;
    })
}

/// Makes keys from several threads until the service refuses them as a disk that is full asks for.
fn make_until_full(service: &Service) -> Vec<Value> {
    let admin = service.admin();
    let made = parallel(4, |_| {
        let mut made = Vec::new();
        for _ in 0..20_000 {
            let answer = admin.call(CREATE, json!({"description": "x".repeat(200)}));
            match answer.success() {
                Some(key) => made.push(key.clone()),
                None => {
                    assert_eq!(answer.code(), "KMS.9071", "{answer:?}");
                    if service.app().store.condition() == Condition::Reduced {
                        return made;
                    }
                    std::thread::yield_now();
                }
            }
        }
        panic!("the disk does not fill up");
    });
    made.into_iter().flatten().collect()
}

fn lost(service: &Service, kept: &[Value]) -> usize {
    let admin = service.admin();
    let described =
        |key: &Value| admin.ok(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]}))["creationDate"].clone();
    kept.iter().filter(|key| described(key) != key["creationDate"]).count()
}

#[test]
fn a_full_disk_refuses_what_makes_something_and_comes_back_without_a_restart() {
    let small = match SmallDisk::new() {
        Ok(small) => small,
        Err(reason) => {
            println!("no small disk can be mounted here ({reason}): the same with ENOSPC injected");
            return injected();
        }
    };
    let mut service = start(small.folder(), Disk::System);
    let admin = service.admin();
    let before: Vec<Value> =
        (0..5).map(|number| admin.ok(CREATE, json!({"aliasName": format!("alias/{number}")}))).collect();
    let reserve = service.config.data.join("reserve");
    assert!(reserve.exists());
    small.fill(512 << 10);
    let mut kept = make_until_full(&service);
    assert!(!reserve.exists(), "the reserve was given back");
    let refused = admin.call(CREATE, json!({}));
    assert!(refused.body["message"].as_str().unwrap().contains("disk of the service is full"), "{refused:?}");
    assert_eq!((refused.code().as_str(), service.app().is_ready()), ("KMS.9071", false));
    let key = json!({"cmkUuid": before[0]["cmkUuid"]});
    for _ in 0..20 {
        admin.ok(DESCRIBE, key.clone());
    }
    admin.ok("/cmkManage/disableKey", key.clone());
    admin.ok("/keyName/deleteAlias", json!({"aliasName": "alias/1"}));
    assert_eq!(admin.ok("/system/describeSystem", json!({}))["storeState"], "Reduced");

    let (clock, number) = (Clock::system(), kept.len());
    small.free();
    let freed = clock.monotonic();
    poll("a service that is ready again by itself", || service.app().is_ready().then_some(()));
    let recovery = clock.monotonic() - freed;
    assert!(reserve.exists(), "the reserve is set aside again");
    assert_eq!(admin.ok(DESCRIBE, key)["keyState"], "Disabled");
    kept.extend((0..10).map(|_| admin.ok(CREATE, json!({}))));
    kept.extend(before);
    let missing = lost(&service, &kept);
    service.restart();
    let missing = missing + lost(&service, &kept);
    figure("full_disk_acknowledged_while_it_filled", number, "keys");
    figure("full_disk_acknowledged_but_lost", format!("{missing} of {}", kept.len()), "keys");
    figure("full_disk_ready_again_after", recovery.as_millis(), "ms");
    assert!(missing == 0 && number > 0);
}

/// Without a small disk: nothing can be written for a while.
fn injected() {
    let disk = FaultyDisk::new();
    let mut service = start(temporary(), disk.disk());
    let admin = service.admin();
    let mut kept: Vec<Value> = (0..10).map(|_| admin.ok(CREATE, json!({}))).collect();
    disk.fail(DiskOperation::Write, DiskFault::Full);
    assert_eq!(admin.refused(CREATE, json!({})), "KMS.9071");
    disk.heal();
    let healed = disk.now();
    poll("a service that is ready again by itself", || service.app().is_ready().then_some(()));
    let recovery = disk.now() - healed;
    kept.push(admin.ok(CREATE, json!({})));
    service.restart();
    let missing = lost(&service, &kept);
    figure(
        "full_disk_acknowledged_but_lost",
        format!("{missing} of {} (ENOSPC injected)", kept.len()),
        "keys",
    );
    figure("full_disk_ready_again_after", recovery.as_millis(), "ms (ENOSPC injected)");
    assert_eq!(missing, 0);
}

/// The reserve is gone and not a byte is free when the service starts.
#[test]
fn a_service_starts_on_a_full_disk_without_its_reserve() {
    let Ok(small) = SmallDisk::new() else {
        return println!(
            "skipped: no small disk can be mounted here, and only a real one refuses the service's other files"
        );
    };
    for leave in [256 << 10, 0] {
        let mut service = start(small.folder(), Disk::System);
        let kept: Vec<Value> = (0..20).map(|_| service.admin().ok(CREATE, json!({}))).collect();
        service.stop();
        fs::remove_file(service.config.data.join("reserve")).unwrap();
        small.fill(leave);
        service.try_restart().unwrap_or_else(|reason| panic!("with {leave} bytes free: {reason}"));
        assert!(!service.app().is_ready());
        let refused = service.admin().call(CREATE, json!({}));
        assert_eq!(refused.code(), "KMS.9071", "{refused:?}");
        if leave > 0 {
            assert_eq!(lost(&service, &kept), 0, "reading works");
        }
        small.free();
        poll("a service that is ready again by itself", || service.app().is_ready().then_some(()));
        service.admin().ok(CREATE, json!({}));
        assert_eq!(lost(&service, &kept), 0);
    }
    figure("starts_on_a_full_disk", "2 of 2", "starts");
}
