//! Ten million encryptions with one key version: does a message key repeat, from whose derivation the nonce comes too? Every
//! message key is derived again from the key version and the salt of the frame. Fails if one repeats.
//!
//! cargo bench --workspace --bench nonces -- [--encryptions N]

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use firmware_sim::{
    Algorithm, Custody, Directories, Encrypt, Entropy, EntropyFailed, GenerateKey, KeyName, Machine, Options,
    PartitionId, Purpose, WrappedKey,
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

const PARTITION: PartitionId = PartitionId([1; 16]);
const NAME: KeyName = KeyName { key: [2; 16], version: [3; 16] };
const ENCRYPTIONS: usize = 10_000_000;
const HEADER_BYTES: usize = 104;

/// The operating system's generator; keeps what it gave until it is told not to.
struct System(File, Mutex<Option<Vec<Vec<u8>>>>);

impl Entropy for System {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
        (&self.0).read_exact(out).map_err(|_| EntropyFailed)?;
        if let Some(given) = &mut *self.1.lock().map_err(|_| EntropyFailed)? {
            given.push(out.to_vec());
        }
        Ok(())
    }
}

/// A machine with a key version whose clear material is known.
fn prepare(directory: &std::path::Path) -> (Machine, WrappedKey, Vec<u8>) {
    let part = |name: &str| directory.join(name);
    let directories = Directories {
        hsm: part("hsm"),
        device: part("device"),
        software_root: part("software-root"),
        software_private_key: part("software-private-key"),
        software_key: part("software-key"),
    };
    let file = File::open("/dev/urandom").expect("a system with a generator");
    let system = Arc::new(System(file, Mutex::new(None)));
    let machine =
        Machine::initialise(&directories, system.clone(), Options::default()).expect("an empty directory");
    machine.create_partition(PARTITION).expect("a new partition");
    let record = |on: Option<Vec<_>>| std::mem::replace(&mut *system.1.lock().expect("no panic"), on);
    record(Some(Vec::new()));
    let (algorithm, purpose) = (Algorithm::Aes256, Purpose::Cipher);
    let command = GenerateKey { name: NAME, algorithm, purpose, custody: Custody::Hsm };
    let key = machine.run(PARTITION, command).expect("a key");
    let material = record(None).expect("it was recorded").remove(0);
    (machine, key, material)
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// The first half of the message key of a frame: HKDF's first block, from the contract's text. Whole keys that are equal have
/// equal halves.
fn message_key(material: &[u8], frame: &[u8]) -> u128 {
    let (header, payload) = frame.split_at(HEADER_BYTES);
    let mut bound = Sha256::new();
    for part in [&[1], b"AES_256".as_slice(), header, b"account"] {
        bound.update((part.len() as u32).to_be_bytes());
        bound.update(part);
    }
    let pseudorandom = mac(&payload[1..17], &[material]);
    let key = mac(&pseudorandom, &[b"yaoku/frame", &bound.finalize(), &[1]]);
    u128::from_be_bytes(*key.first_chunk().expect("32 bytes"))
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--encryptions").skip(1);
    let encryptions = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(ENCRYPTIONS);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (machine, key, material) = prepare(directory.path());
    let start = Instant::now();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let encrypt = |_| {
            let (key, account, context) = (key.clone(), "account".to_owned(), BTreeMap::new());
            let plaintext = Zeroizing::new(vec![7]);
            let command = Encrypt { key, account, context, plaintext };
            message_key(&material, &machine.run(PARTITION, command).expect("a frame"))
        };
        (0..encryptions / threads).map(encrypt).collect::<Vec<u128>>()
    };
    let mut seen = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect::<Vec<u128>>()
    });
    seen.sort_unstable();
    let repeats = seen.windows(2).filter(|pair| pair[0] == pair[1]).count();
    let (count, seconds) = (seen.len(), start.elapsed().as_secs_f64());
    println!("figure nonce_repeats {repeats} of {count} encryptions in {seconds:.0} s (aim 0)");
    if repeats == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
