//! Imports: the binding that only one machine computes, and which keys unwrap material at all.

use firmware_sim::{
    Algorithm, Binding, Custody, Entropy as _, Fault, GenerateKey, GetPublicKey, ImportKey, ImportScheme,
    KeyName, Machine, MakeSpareKey, Options, PartitionId, Purpose, TakeSpareKey, WrappedKey,
};

use crate::key_pairs::{openssl, read, write};
use crate::support::{Bench, Script, TENANT, directories};

const NAME: KeyName = KeyName { key: [0x51; 16], version: [0x62; 16] };
const MATERIAL: [u8; 32] = [0x33; 32];

/// A wrapping key for the key of this name, and its public half.
fn wrapping_key(machine: &Machine, name: KeyName) -> (WrappedKey, Vec<u8>) {
    machine.run(PartitionId::DEVICE, MakeSpareKey { most: 1 }).expect("a key");
    machine.run(TENANT, TakeSpareKey { name, custody: Custody::Hsm }).expect("a wrapping key")
}

/// Material, wrapped by OAEP with SHA-256.
fn wrapped(public: &[u8], material: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    write(&folder, "public.der", public);
    write(&folder, "material", material);
    let how = "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256";
    let wrap = "pkeyutl -encrypt -pubin -inkey public.der -keyform DER -in material -out wrapped";
    assert!(openssl(&folder, &format!("{wrap} {how}")));
    read(folder.path(), "wrapped")
}

fn import(name: KeyName, wrapping_key: &WrappedKey, material: Vec<u8>) -> ImportKey {
    ImportKey {
        name,
        algorithm: Algorithm::Aes256,
        custody: Custody::Hsm,
        wrapping_key: wrapping_key.clone(),
        scheme: ImportScheme::OaepSha256,
        material,
        binding: None,
    }
}

fn binding(machine: &Machine, name: KeyName, material: &[u8]) -> Binding {
    let (key, public) = wrapping_key(machine, name);
    machine.run(TENANT, import(name, &key, wrapped(&public, material))).expect("an import").binding
}

/// A machine whose entropy begins after so many other draws.
fn machine(draws: usize) -> (tempfile::TempDir, Machine) {
    let (folder, script) = (tempfile::tempdir().expect("a temporary directory"), Script::new());
    (0..draws).for_each(|_| script.fill(&mut [0; 8]).expect("entropy"));
    let machine = Machine::initialise(&directories(&folder), script, Options::default()).expect("a machine");
    machine.create_partition(TENANT).expect("a partition");
    (folder, machine)
}

#[test]
fn a_binding_tells_material_and_key_and_hangs_from_the_machine() {
    let (_first, one) = machine(0);
    let (_twin, same) = machine(0);
    let (_second, another) = machine(1);
    let first = binding(&one, NAME, &MATERIAL);
    assert_eq!(binding(&one, NAME, &MATERIAL), first, "the same, whatever it came wrapped in");
    assert_eq!(binding(&same, NAME, &MATERIAL), first, "of the machine's keys alone");
    assert_ne!(binding(&another, NAME, &MATERIAL), first, "of a machine with other keys");
    let other = KeyName { key: [0x52; 16], ..NAME };
    assert_ne!(binding(&one, other, &MATERIAL), first, "of another key");
    let version = KeyName { version: [0x63; 16], ..NAME };
    assert_eq!(
        binding(&one, version, &MATERIAL),
        first,
        "a key has one material, whatever its version is called"
    );
    assert_ne!(binding(&one, NAME, &[0x34; 32]), first);
}

#[test]
fn a_binding_outlives_restarts_and_rolls() {
    let bench = Bench::new();
    let first = binding(&bench.machine, NAME, &MATERIAL);
    let bench = bench.reopen();
    assert_eq!(binding(&bench.machine, NAME, &MATERIAL), first);
    bench.machine.begin_roll(TENANT).expect("a roll");
    bench.machine.finish_roll(TENANT).expect("its end");
    assert_eq!(binding(&bench.machine, NAME, &MATERIAL), first);
}

/// Only wrapping keys unwrap material, and only that of the key they were made for.
#[test]
fn a_wrapping_key_serves_one_key_and_nothing_else_serves_for_it() {
    let bench = Bench::new();
    let (key, public) = wrapping_key(&bench.machine, NAME);
    let material = wrapped(&public, &MATERIAL);
    let other = KeyName { key: [0x52; 16], ..NAME };
    let run = |command| bench.machine.run(TENANT, command).map(drop);
    assert!(matches!(run(import(other, &key, material.clone())), Err(Fault::WrongPurpose)));
    assert!(run(import(NAME, &key, material.clone())).is_ok());
    for (algorithm, purpose) in [
        (Algorithm::Rsa2048, Purpose::Decrypt),
        (Algorithm::Rsa2048, Purpose::Sign),
        (Algorithm::Aes256, Purpose::Cipher),
    ] {
        let command = GenerateKey { name: NAME, algorithm, purpose, custody: Custody::Hsm };
        let key = bench.machine.run(TENANT, command).expect("a key");
        let public = bench.machine.run(TENANT, GetPublicKey { key: key.clone() }).unwrap_or(public.clone());
        let refused = run(import(NAME, &key, wrapped(&public, &MATERIAL)));
        assert!(matches!(refused, Err(Fault::WrongPurpose)), "{purpose:?}");
    }
    for algorithm in [Algorithm::CredentialHmac, Algorithm::Rsa2048, Algorithm::Sm2] {
        let command = ImportKey { algorithm, ..import(NAME, &key, material.clone()) };
        assert!(matches!(run(command), Err(Fault::WrongAlgorithm)), "{algorithm:?}");
    }
}

/// What its owner destroyed is not held ready any longer; others are.
#[test]
fn a_key_is_forgotten_alone() {
    let bench = Bench::new();
    let keys = [1, 2].map(|id| bench.named_key(KeyName { key: [id; 16], ..NAME }, Algorithm::Aes256));
    let frames = keys.each_ref().map(|key| bench.encrypt(key, b"kept"));
    let ready = bench.machine.keys_ready();
    bench.machine.forget(&keys[0]);
    assert_eq!(bench.machine.keys_ready(), ready - 1);
    bench.decrypt(&keys[1], &frames[1]).expect("a plaintext");
    assert_eq!(bench.machine.keys_ready(), ready - 1);
    // Whoever has its wrapped form opens it all the same: it is the record that must go.
    bench.decrypt(&keys[0], &frames[0]).expect("a plaintext");
}
