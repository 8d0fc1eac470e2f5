//! A thousand ways to tamper with the audit trail: with an export, with the files it lies in, with the whole data directory.
//! Every one is detected.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use firmware_sim::{Directories, Machine};
use serde_json::json;
use tempfile::TempDir;
use yaoku::config::Config;
use yaoku::env::Env;
use yaoku::model::checkpoint::PublicKey;
use yaoku::model::evidence::{self, Heads};
use yaoku::ops::audit_trail::rollback;
use yaoku::store::{HeadsFile, Store};

use crate::audit_proof::{export, heads_file, moved, moving, public_key, segments, some_calls, witness};
use crate::kit::{Service, poll, temporary};
use crate::ledger::{figure, rounds};
use crate::program::walk;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Of the exports that the Python witness reads too.
const WITNESSED: usize = 60;

/// A service with some days of records, stopped in the end.
fn lived(copies: &mut Vec<TempDir>) -> Service {
    let mut service = moving();
    service.tenant();
    for _ in 0..3 {
        some_calls(&service, 40);
        moved(&service);
        service.clock.advance(DAY);
        some_calls(&service, 8);
        service.stop();
        copies.push(copy(&service.config.data));
        service.restart();
    }
    some_calls(&service, 12);
    service
}

fn copy(data: &Path) -> TempDir {
    let to = temporary();
    for path in walk(data) {
        let target = to.path().join(path.strip_prefix(data).unwrap());
        if path.is_dir() {
            fs::create_dir(target).unwrap()
        } else {
            fs::copy(path, target).map(drop).unwrap()
        }
    }
    to
}

// Exports

/// One random change of the lines of an export, and what it is called.
fn tampered(random: &mut Rng, export: &str) -> (&'static str, String) {
    let mut lines: Vec<String> = export.lines().map(str::to_owned).collect();
    let at = random.usize(0..lines.len());
    let name = match random.u8(0..9) {
        0 => {
            let mut bytes = lines[at].clone().into_bytes();
            let place = random.usize(0..bytes.len());
            bytes[place] = if bytes[place] == b'0' { b'1' } else { b'0' };
            lines[at] = String::from_utf8(bytes).unwrap();
            "edit of a byte"
        }
        1 => {
            lines.remove(at);
            "deletion of a line"
        }
        2 => {
            let other = (at + random.usize(1..lines.len())) % lines.len();
            lines.swap(at, other);
            "swap of two lines"
        }
        3 => {
            lines.insert(at, lines[random.usize(0..lines.len())].clone());
            "repetition of a line"
        }
        4 => {
            lines.truncate(at);
            "truncation"
        }
        5 => {
            lines.drain(1..=at.clamp(1, lines.len() - 2));
            "loss of the beginning"
        }
        6 => {
            let end = random.usize(at..lines.len());
            lines.drain(at..=end);
            "loss of a stretch"
        }
        7 => {
            let records: Vec<usize> =
                (0..lines.len()).filter(|at| lines[*at].starts_with(r#"{"sequence""#)).collect();
            let at = random.choice(records).unwrap();
            let hash = hex::encode(yaoku::model::audit::record_hash(lines[at].as_bytes()));
            lines[at] = json!({"withheld": {"count": 1, "hash": hash}}).to_string();
            "record hidden as if it were withheld"
        }
        _ => {
            let place = random.usize(0..export.len() - 1);
            return ("cut within a line", String::from_utf8_lossy(&export.as_bytes()[..place]).into_owned());
        }
    };
    (name, lines.join("\n") + "\n")
}

#[test]
fn every_change_of_an_export_is_detected() {
    let service = lived(&mut Vec::new());
    let (whole, key) = (export(&service.admin(), json!({})), public_key(&service.config));
    let check = |text: &str| evidence::verify(text.as_bytes(), &key, &Heads::default());
    check(&whole).unwrap();
    let (rounds, mut random, mut changes) = (rounds(600, 20_000), Rng::with_seed(7), Vec::new());
    let mut undetected = Vec::new();
    while changes.len() < rounds {
        let (name, text) = tampered(&mut random, &whole);
        if text == whole {
            continue;
        }
        if check(&text).is_ok() {
            undetected.push((name, changes.len()));
        }
        changes.push(text);
    }
    figure("undetected_changes_of_an_export", format!("{} of {rounds}", undetected.len()), "changes");
    assert!(undetected.is_empty(), "{undetected:?}");

    let folder = temporary();
    let files: Vec<PathBuf> = changes
        .iter()
        .take(WITNESSED)
        .enumerate()
        .map(|(number, text)| {
            let path = folder.path().join(number.to_string());
            fs::write(&path, text).unwrap();
            path
        })
        .collect();
    let verdicts = witness(&service.config.data.join("audit-key.pem"), None, &files);
    let missed: Vec<_> = verdicts.iter().filter(|verdict| verdict["intact"] != false).collect();
    figure("undetected_by_the_python_verifier", format!("{} of {}", missed.len(), files.len()), "changes");
    assert!(missed.is_empty(), "{missed:?}");
}

// Stored files

/// A stopped appliance whose stored trail can be looked at again and again.
struct Stopped {
    config: Config,
    machine: Arc<Machine>,
    key: PublicKey,
}

impl Stopped {
    fn new(service: &mut Service) -> Self {
        service.stop();
        let config = service.config.clone();
        let part = |name: &str| config.data.join("machine").join(name);
        let directories = Directories {
            hsm: part("hsm"),
            device: part("device"),
            software_root: part("software-root"),
            software_private_key: part("software-private-key"),
            software_key: part("software-key"),
        };
        let machine = Machine::open(&directories, service.entropy.clone(), Default::default());
        let (machine, key) = (Arc::new(machine.map_err(|_| ()).unwrap()), public_key(&config));
        Self { config, machine, key }
    }

    /// What is wrong with the trail in a data directory, if anything is.
    fn flaw(&self, data: &Path) -> Option<String> {
        let heads = HeadsFile::at(heads_file(&self.config));
        let config = Config { data: data.to_owned(), ..self.config.clone() };
        let opened = Store::open(&config, &self.machine, heads, &Env::system());
        let (store, writer) = match opened {
            Ok(opened) => opened,
            Err(error) => return Some(error.to_string()),
        };
        let checked = store.trail(|trail| trail.check(None, &self.key)).unwrap();
        let gap = rollback(&store, &self.key).unwrap();
        store.close();
        writer.join();
        checked.broken.or(gap.map(|gap| format!("record {} was published", gap.published)))
    }
}

/// One random change of the segment files.
fn damaged(random: &mut Rng, files: &[(PathBuf, Vec<u8>)]) -> (&'static str, PathBuf, Option<Vec<u8>>) {
    let (path, bytes) = &files[random.usize(0..files.len())];
    let frames = frames(bytes);
    let at = random.usize(0..frames.len());
    let join = |frames: &[&[u8]]| [&bytes[..8], &frames.concat()].concat();
    let mut order: Vec<&[u8]> = frames.clone();
    let (name, changed) = match random.u8(0..6) {
        0 => {
            let mut changed = bytes.clone();
            changed[random.usize(0..bytes.len())] ^= 1 << random.u8(0..8);
            ("bit", Some(changed))
        }
        1 => ("truncation", Some(bytes[..random.usize(0..bytes.len())].to_vec())),
        2 => {
            order.remove(at);
            ("deletion of a frame", Some(join(&order)))
        }
        3 => {
            order.swap(at, random.usize(0..frames.len()));
            ("swap of frames", Some(join(&order)))
        }
        4 => {
            order.insert(at, frames[random.usize(0..frames.len())]);
            ("repetition of a frame", Some(join(&order)))
        }
        _ => ("deletion of a file", None),
    };
    (name, path.clone(), changed)
}

/// The frames of a segment file, by the lengths in their heads.
fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut found, mut rest) = (Vec::new(), &bytes[8..]);
    while !rest.is_empty() {
        let word = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().unwrap()) as usize;
        let (frame, next) = rest.split_at(40 + word(0) + word(4));
        (found, rest) = ([found, vec![frame]].concat(), next);
    }
    found
}

#[test]
fn every_change_of_the_stored_trail_is_detected() {
    let mut service = lived(&mut Vec::new());
    moved(&service);
    let stopped = Stopped::new(&mut service);
    let data = &stopped.config.data;
    assert_eq!(stopped.flaw(data), None);
    let files: Vec<(PathBuf, Vec<u8>)> =
        segments(&stopped.config).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    assert!(files.len() >= 3, "{} files", files.len());
    let (rounds, mut random, mut done) = (rounds(300, 5000), Rng::with_seed(8), 0);
    let mut undetected = Vec::new();
    while done < rounds {
        let (name, path, now) = damaged(&mut random, &files);
        if files.iter().any(|(file, was)| *file == path && now.as_ref() == Some(was)) {
            continue;
        }
        done += 1;
        now.as_ref().map_or_else(|| fs::remove_file(&path), |bytes| fs::write(&path, bytes)).unwrap();
        if stopped.flaw(data).is_none() {
            undetected.push((name, done));
        }
        files.iter().for_each(|(path, bytes)| fs::write(path, bytes).unwrap());
    }
    assert_eq!(stopped.flaw(data), None, "everything is as it was");
    figure("undetected_changes_of_the_stored_trail", format!("{} of {rounds}", undetected.len()), "changes");
    assert!(undetected.is_empty(), "{undetected:?}");
}

#[test]
fn every_rollback_of_the_data_directory_is_detected() {
    let mut copies = Vec::new();
    let mut service = lived(&mut copies);
    let stopped = Stopped::new(&mut service);
    let (rounds, mut random) = (rounds(100, 1000), Rng::with_seed(9));
    let mut undetected = 0;
    for _ in 0..rounds {
        let old = &copies[random.usize(0..copies.len())];
        // All of it, or the database alone beside newer segment files.
        let whole = random.bool();
        let data = copy(if whole { old.path() } else { &stopped.config.data });
        fs::copy(old.path().join("yaoku.redb"), data.path().join("yaoku.redb")).unwrap();
        undetected += usize::from(stopped.flaw(data.path()).is_none());
    }
    figure("undetected_rollbacks", format!("{undetected} of {rounds}"), "rollbacks");
    assert_eq!(undetected, 0);

    // And the service itself says so, for good.
    fs::remove_dir_all(&stopped.config.data).unwrap();
    fs::rename(copy(copies[0].path()).keep(), &stopped.config.data).unwrap();
    service.restart();
    let admin = service.admin();
    let incident = || {
        let page = admin.ok("/audit/queryAudit", json!({"eventName": "noteAuditRollback"}));
        page["records"].as_array().unwrap().first().cloned()
    };
    let incident = poll("an incident", incident);
    assert_eq!(incident["eventLevel"], "INCIDENT");
    assert!(incident["resourceIds"][0].as_str().unwrap().starts_with("published "), "{incident}");
    let verified = admin.ok("/audit/verifyAudit", json!({}));
    assert_eq!(verified["intact"], false, "{verified}");
}
