//! A timing probe: whether decryptions that fail differently take differently long. Ciphertexts of several classes, all bad,
//! go through the machine's commands in random order; Welch's t compares each class with the first, after the manner of
//! dudect: at several percentiles, because interruptions lie in the tail. Fails where |t| reaches 4.5 between ciphertexts that
//! only the key tells apart. What everybody sees to be bad is printed beside them: its duration tells nobody anything.
//!
//! cargo bench --workspace --bench timing -- [--samples N] [--only oaep-sha-256|oaep-sha-1|pkcs1|sm2|sm2-raw]

#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use firmware_sim::{
    AsymmetricDecrypt, Custody, Directories, EncryptionScheme, Entropy, EntropyFailed, Fault, GenerateKey,
    ImportKey, KeyName, Machine, Options, PartitionId, Purpose, WrappedKey,
};

#[path = "timing/classes.rs"]
mod classes;
#[path = "timing/welch.rs"]
mod welch;

use classes::{Class, Probe};

const PARTITION: PartitionId = PartitionId([1; 16]);
const NAME: KeyName = KeyName { key: [2; 16], version: [3; 16] };
/// Of each class.
const SAMPLES: usize = 5_000;
const SAMPLES_MAX: usize = 1_000_000;
/// A failing test of dudect; two equal classes come so far apart once in a hundred thousand runs.
const LIMIT: f64 = 4.5;

/// The operating system's generator.
pub struct System(Mutex<File>);

impl System {
    fn open() -> Arc<Self> {
        Arc::new(Self(Mutex::new(File::open("/dev/urandom").expect("a system with a generator"))))
    }
}

impl Entropy for System {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
        self.0.lock().map_err(|_| EntropyFailed)?.read_exact(out).map_err(|_| EntropyFailed)
    }
}

fn machine(directory: &std::path::Path, entropy: Arc<System>) -> Machine {
    let part = |name: &str| directory.join(name);
    let directories = Directories {
        hsm: part("hsm"),
        device: part("device"),
        software_root: part("software-root"),
        software_private_key: part("software-private-key"),
        software_key: part("software-key"),
    };
    let machine = Machine::initialise(&directories, entropy, Options::default()).expect("an empty directory");
    machine.create_partition(PARTITION).expect("a new partition");
    machine
}

fn main() -> ExitCode {
    let (samples, only) = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let entropy = System::open();
    let machine = machine(directory.path(), entropy.clone());
    let mut worst = Worst::default();
    for probe in [Probe::OaepSha256, Probe::OaepSha1, Probe::Pkcs1, Probe::Sm2, Probe::Sm2Raw] {
        if only.as_ref().is_none_or(|only| only == probe.name()) {
            measure(&machine, &entropy, probe, samples, &mut worst);
        }
    }
    let Worst { secret, visible } = worst;
    println!("figure timing_max_t_of_what_the_key_tells {secret:.2} (aim under {LIMIT})");
    println!("figure timing_max_t_of_what_everybody_sees {visible:.2} (aim none)");
    if secret < LIMIT { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The largest |t| of either kind of class.
#[derive(Default)]
struct Worst {
    secret: f64,
    visible: f64,
}

fn options() -> Result<(usize, Option<String>), String> {
    let (mut samples, mut only) = (SAMPLES, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--bench" => {} // cargo adds it
            "--samples" => {
                samples = value()?.parse().map_err(|_| "--samples takes a number".to_owned())?;
                if !(100..=SAMPLES_MAX).contains(&samples) {
                    return Err(format!("--samples takes 100 to {SAMPLES_MAX}"));
                }
            }
            "--only" => only = Some(value()?),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok((samples, only))
}

/// Times one way of decrypting over all its classes.
fn measure(machine: &Machine, entropy: &System, probe: Probe, samples: usize, worst: &mut Worst) {
    let key = key(machine, probe);
    let classes = classes::of(probe, machine, &key, entropy);
    for class in &classes {
        for ciphertext in &class.ciphertexts {
            assert!(
                fails(machine, probe, &key, ciphertext.clone()),
                "{}: {} opens",
                probe.name(),
                class.name
            );
        }
    }
    let mut order: Vec<usize> = (0..classes.len()).collect();
    let mut times = vec![Vec::with_capacity(samples); classes.len()];
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..samples {
        for at in (1..order.len()).rev() {
            order.swap(at, dice.below(at + 1));
        }
        for class in &order {
            let pool = &classes[*class].ciphertexts;
            let ciphertext = pool[dice.below(pool.len())].clone();
            let time = timed(machine, probe, &key, ciphertext);
            // The first rounds warm the caches.
            if round >= samples / 20 {
                times[*class].push(time);
            }
        }
    }
    report(probe, &classes, &times, worst);
}

fn report(probe: Probe, classes: &[Class], times: &[Vec<f64>], worst: &mut Worst) {
    println!("\n{}, {} samples of each class", probe.name(), times[0].len());
    for (class, times_of) in classes.iter().zip(times) {
        let t = welch::largest_t(&times[0], times_of);
        println!("  {:<40} median {:>9.2} µs   t {t:>6.2}", class.name, welch::median(times_of) / 1e3);
        let worst = if class.visible { &mut worst.visible } else { &mut worst.secret };
        *worst = worst.max(t.abs());
    }
}

fn key(machine: &Machine, probe: Probe) -> WrappedKey {
    match probe.scheme() {
        Some(scheme) => {
            let (algorithm, purpose) = (scheme.algorithm(), Purpose::Decrypt);
            let command = GenerateKey { name: NAME, algorithm, purpose, custody: Custody::Hsm };
            machine.run(PARTITION, command).expect("a key pair")
        }
        None => classes::wrapping_key(machine),
    }
}

/// Runs the command of the probe, and answers how long it took in nanoseconds.
fn timed(machine: &Machine, probe: Probe, key: &WrappedKey, ciphertext: Vec<u8>) -> f64 {
    match probe.scheme() {
        Some(scheme) => {
            let command = decrypt(scheme, key, ciphertext);
            let start = Instant::now();
            let outcome = black_box(machine.run(PARTITION, black_box(command)));
            let time = start.elapsed();
            drop(outcome);
            time.as_nanos() as f64
        }
        None => {
            let command = import(key, ciphertext);
            let start = Instant::now();
            let outcome = black_box(machine.run(PARTITION, black_box(command)));
            let time = start.elapsed();
            drop(outcome);
            time.as_nanos() as f64
        }
    }
}

fn fails(machine: &Machine, probe: Probe, key: &WrappedKey, ciphertext: Vec<u8>) -> bool {
    match probe.scheme() {
        Some(scheme) => {
            let outcome = machine.run(PARTITION, decrypt(scheme, key, ciphertext));
            matches!(outcome, Err(Fault::InvalidCiphertext))
        }
        None => {
            let outcome = machine.run(PARTITION, import(key, ciphertext));
            matches!(outcome, Err(Fault::InvalidKeyMaterial))
        }
    }
}

fn decrypt(scheme: EncryptionScheme, key: &WrappedKey, ciphertext: Vec<u8>) -> AsymmetricDecrypt {
    AsymmetricDecrypt { key: key.clone(), scheme, ciphertext }
}

fn import(key: &WrappedKey, material: Vec<u8>) -> ImportKey {
    ImportKey {
        name: NAME,
        algorithm: firmware_sim::Algorithm::Aes256,
        custody: Custody::Hsm,
        wrapping_key: key.clone(),
        scheme: firmware_sim::ImportScheme::Pkcs1,
        material,
        binding: Some(classes::BINDING),
    }
}

/// Marsaglia's xorshift: order needs no secret.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }
}
