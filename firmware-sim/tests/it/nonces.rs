//! No two encryptions share a message key and nonce: each draws a salt, from which both are derived. The same over ten million
//! encryptions is in `benches/nonces.rs`.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use firmware_sim::{Algorithm, Entropy, EntropyFailed, GenerateKey, Machine, Options, Purpose};

use crate::derived;
use crate::support::{Bench, NAME, TENANT, directories, encrypt};

/// The operating system's generator; its first answers are on record.
struct System(File, Mutex<Vec<Vec<u8>>>);

impl System {
    fn open() -> Arc<Self> {
        let file = File::open("/dev/urandom").expect("a system with a generator");
        Arc::new(Self(file, Mutex::default()))
    }

    /// What was drawn since this was last asked.
    fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.1.lock().expect("no panic under the lock"))
    }
}

impl Entropy for System {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
        (&self.0).read_exact(out).map_err(|_| EntropyFailed)?;
        self.1.lock().expect("no panic under the lock").push(out.to_vec());
        Ok(())
    }
}

#[test]
fn no_message_key_and_nonce_repeats() {
    const ENCRYPTIONS: usize = 100_000;
    for algorithm in [Algorithm::Aes256, Algorithm::Sm4] {
        let (folder, system) = (tempfile::tempdir().expect("a temporary directory"), System::open());
        let machine = Machine::initialise(&directories(&folder), system.clone(), Options::default())
            .expect("an empty directory");
        machine.create_partition(TENANT).expect("a partition");
        system.take();
        let (purpose, custody) = (Purpose::Cipher, firmware_sim::Custody::Hsm);
        let command = GenerateKey { name: NAME, algorithm, purpose, custody };
        let key = machine.run(TENANT, command).expect("a key");
        let material = system.take().remove(0);
        let mut seen = HashSet::with_capacity(ENCRYPTIONS);
        for number in 0..ENCRYPTIONS {
            // Equal plaintexts under one key and one context: only the salt tells them apart.
            let frame = machine.run(TENANT, encrypt(&key, b"the same")).expect("a frame");
            let derived = derived::derive(algorithm, &material, &frame[105..121], &frame[..104]);
            assert_eq!(frame[121..153], derived.commitment, "{algorithm:?}: the derivation of the frame");
            assert!(seen.insert((derived.key, derived.nonce)), "{algorithm:?}: encryption {number}");
        }
        println!("figure nonce repeats = 0 of {} encryptions, {algorithm:?}", seen.len());
    }
}

/// A machine that was copied with its files, as a virtual machine is by a snapshot.
#[test]
fn copies_of_a_machine_draw_other_salts() {
    let bench = Bench::new();
    let key = bench.key(Algorithm::Aes256);
    let copy = tempfile::tempdir().expect("a temporary directory");
    copy_files(bench.folder.path(), copy.path());
    let machines = [&bench.folder, &copy].map(|folder| {
        Machine::open(&directories(folder), System::open(), Options::default()).expect("the machine's files")
    });
    let mut salts = HashSet::new();
    for _ in 0..1000 {
        for machine in &machines {
            let frame = machine.run(TENANT, encrypt(&key, b"the same")).expect("both have the key");
            assert!(salts.insert(frame[105..121].to_vec()), "a salt of one is none of the other");
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_files(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}
