//! The parts that a call spends its time in, one by one: the cipher machine's commands, reading request fields, and the
//! hashing of audit records.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput};
use firmware_sim::{
    Algorithm, Custody, Decrypt, Directories, Encrypt, Entropy as _, Frame, GenerateKey, KeyName, Machine,
    Open, Options, PartitionId, Purpose, Random, Seal,
};
use yaoku::api::Fields;
use yaoku::catalog;
use yaoku::env::{Clock, SystemEntropy};
use yaoku::gateway::Calls;
use yaoku::model::audit;
use yaoku::model::principal::Plane;
use yaoku::ops;
use zeroize::Zeroizing;

const PARTITION: PartitionId = PartitionId([1; 16]);

fn machine(directory: &std::path::Path) -> Machine {
    let part = |name: &str| directory.join(name);
    let directories = Directories {
        hsm: part("hsm"),
        device: part("device"),
        software_root: part("software-root"),
        software_private_key: part("software-private-key"),
        software_key: part("software-key"),
    };
    let machine = Machine::initialise(&directories, Arc::new(SystemEntropy), Options::default())
        .expect("an empty directory");
    machine.create_partition(PARTITION).expect("a new partition");
    machine
}

fn commands(criterion: &mut Criterion, machine: &Machine) {
    for algorithm in [Algorithm::Aes256, Algorithm::Sm4] {
        let name = KeyName { key: [2; 16], version: [algorithm as u8; 16] };
        let generate = GenerateKey { name, algorithm, purpose: Purpose::Cipher, custody: Custody::Hsm };
        let key = machine.run(PARTITION, generate).expect("a key");
        let encrypt = |bytes: usize| Encrypt {
            key: key.clone(),
            account: "a".repeat(32),
            context: BTreeMap::new(),
            plaintext: Zeroizing::new(vec![7; bytes]),
        };
        let mut group = criterion.benchmark_group(algorithm.wire_name());
        for bytes in [32, 6144] {
            group.throughput(Throughput::Bytes(bytes as u64));
            group.bench_function(format!("encrypt {bytes} bytes"), |bencher| {
                bencher.iter(|| machine.run(PARTITION, encrypt(bytes)).expect("a frame"));
            });
            let sealed = machine.run(PARTITION, encrypt(bytes)).expect("a frame");
            group.bench_function(format!("decrypt {bytes} bytes"), |bencher| {
                bencher.iter(|| {
                    let frame = Frame::parse(&sealed).expect("our own frame");
                    let (account, context) = ("a".repeat(32), BTreeMap::new());
                    machine
                        .run(PARTITION, Decrypt { key: key.clone(), account, context, frame })
                        .expect("opens")
                });
            });
        }
        group.finish();
    }
}

fn storage(criterion: &mut Criterion, machine: &Machine) {
    let seal = || Seal { place: b"records/key".to_vec(), plaintext: Zeroizing::new(vec![7; 512]) };
    let sealed = machine.run(PartitionId::DEVICE, seal()).expect("seals");
    criterion.bench_function("seal a record of 512 bytes", |bencher| {
        bencher.iter(|| machine.run(PartitionId::DEVICE, seal()).expect("seals"));
    });
    criterion.bench_function("open a record of 512 bytes", |bencher| {
        let open = || Open { place: b"records/key".to_vec(), sealed: sealed.clone() };
        bencher.iter(|| machine.run(PartitionId::DEVICE, open()).expect("opens"));
    });
}

/// What the health tests of the random source add to a draw.
fn draws(criterion: &mut Criterion, machine: &Machine) {
    criterion.bench_function("draw 16 bytes from the source", |bencher| {
        bencher.iter(|| SystemEntropy.fill(black_box(&mut [0; 16])).expect("random bytes"));
    });
    criterion.bench_function("draw 16 bytes in the machine", |bencher| {
        bencher.iter(|| machine.run(PartitionId::DEVICE, Random { length: 16 }).expect("random bytes"));
    });
    criterion.bench_function("run all self-tests", |bencher| {
        bencher.iter(|| machine.self_test().expect("all pass"));
    });
}

fn requests(criterion: &mut Criterion) {
    let body = br#"{"cmkUuid":"241ede22-6261-4617-9caf-10d89990516c","plaintext":"SGVsbG8gd29ybGQ="}"#;
    criterion.bench_function("read and decode an encrypt request", |bencher| {
        bencher.iter(|| {
            let fields = Fields::from_json(black_box(body)).expect("an object");
            fields.decode::<ops::symmetric::Encrypt>().expect("a request")
        });
    });
}

fn audit_records(criterion: &mut Criterion) {
    let line = "x".repeat(480);
    criterion.bench_function("hash an audit record of 480 bytes", |bencher| {
        bencher.iter(|| audit::record_hash(black_box(line.as_bytes())));
    });
    criterion.bench_function("tree over 100 records", |bencher| {
        bencher.iter(|| audit::tree_root(black_box(vec![[7; 32]; 100])));
    });
}

/// What metrics add to a call: a look at the clock and the counters.
fn counting(criterion: &mut Criterion) {
    let (calls, clock) = (Calls::default(), Clock::system());
    let row = catalog::by_name("encrypt");
    criterion.bench_function("count a call", |bencher| {
        bencher.iter(|| calls.count(black_box(row), Plane::AccessPoint, None, clock.monotonic()));
    });
}

fn main() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let machine = machine(directory.path());
    let mut criterion = Criterion::default().configure_from_args();
    commands(&mut criterion, &machine);
    storage(&mut criterion, &machine);
    draws(&mut criterion, &machine);
    requests(&mut criterion);
    audit_records(&mut criterion);
    counting(&mut criterion);
    criterion.final_summary();
}
