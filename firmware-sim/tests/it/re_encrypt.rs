//! Frames encrypted anew and measured: in every direction of algorithm, between partitions, and refused with the one
//! fault that decrypting has.

use std::collections::BTreeMap;

use firmware_sim::{
    Algorithm, Custody, Decrypt, Fault, Frame, GenerateKey, KeyName, MeasureFrame, PLAINTEXT_BYTES_MAX,
    PartitionId, Purpose, ReEncrypt, Source, WrappedKey,
};

use crate::support::{ACCOUNT, Bench, TENANT, context};

const OTHER: PartitionId = PartitionId([8; 16]);
const NEW: KeyName = KeyName { key: [0x22; 16], version: [0xb3; 16] };

fn new_context() -> BTreeMap<String, String> {
    [("purpose".into(), "moved".into())].into()
}

fn command(source: &WrappedKey, frame: &[u8], destination: &WrappedKey) -> ReEncrypt {
    ReEncrypt {
        source: Source::Frame {
            key: source.clone(),
            context: context(),
            frame: Frame::parse(frame).expect("a frame"),
        },
        destination: destination.clone(),
        context: new_context(),
        account: ACCOUNT.into(),
    }
}

/// A bench with a second partition of the same owner, and a key in it.
fn beside(algorithm: Algorithm) -> (Bench, WrappedKey) {
    let bench = Bench::new();
    bench.machine.create_partition(OTHER).expect("a partition");
    let command = GenerateKey { name: NEW, algorithm, purpose: Purpose::Cipher, custody: Custody::Software };
    let key = bench.machine.run(OTHER, command).expect("a key");
    (bench, key)
}

#[test]
fn a_frame_moves_between_algorithms_and_partitions() {
    const BOTH: [Algorithm; 2] = [Algorithm::Aes256, Algorithm::Sm4];
    for (from, to) in BOTH.into_iter().flat_map(|from| BOTH.map(|to| (from, to))) {
        let (bench, far) = beside(to);
        let (source, near) = (bench.key(from), bench.named_key(NEW, to));
        for length in [1, 16, PLAINTEXT_BYTES_MAX] {
            let frame = bench.encrypt(&source, &vec![0x5a; length]);
            for (partition, key) in [(TENANT, &near), (OTHER, &far)] {
                let command = command(&source, &frame, key);
                let moved = bench.machine.re_encrypt(TENANT, partition, command).expect("a frame");
                let parsed = Frame::parse(&moved).expect("a frame");
                assert_eq!((parsed.name(), moved.len()), (NEW, frame.len()), "{from:?} to {to:?}");
                let open = |context| Decrypt {
                    key: key.clone(),
                    account: ACCOUNT.into(),
                    context,
                    frame: parsed.clone(),
                };
                let opened = bench.machine.run(partition, open(new_context())).expect("a plaintext");
                assert_eq!(opened.as_bytes(), vec![0x5a; length]);
                let old = bench.machine.run(partition, open(context()));
                assert!(
                    matches!(old, Err(Fault::InvalidCiphertext)),
                    "the new context counts, not the old one"
                );
            }
        }
    }
}

#[test]
fn a_frame_that_does_not_open_is_not_encrypted_anew() {
    let (bench, far) = beside(Algorithm::Sm4);
    let source = bench.key(Algorithm::Aes256);
    let frame = bench.encrypt(&source, b"kept");
    let refused = |command: ReEncrypt| {
        matches!(bench.machine.re_encrypt(TENANT, OTHER, command), Err(Fault::InvalidCiphertext))
    };
    for at in 105..frame.len() {
        let mut flipped = frame.clone();
        flipped[at] ^= 1;
        assert!(refused(command(&source, &flipped, &far)), "byte {at}");
    }
    assert!(refused(command(&source, &frame[..frame.len() - 1], &far)));
    for context in [BTreeMap::new(), new_context()] {
        let parsed = Frame::parse(&frame).expect("a frame");
        let changed = Source::Frame { key: source.clone(), context, frame: parsed };
        assert!(refused(ReEncrypt { source: changed, ..command(&source, &frame, &far) }));
    }
    let account = "ffffffffffffffffffffffffffffffff".to_owned();
    assert!(refused(ReEncrypt { account, ..command(&source, &frame, &far) }), "another account's frame");
    let namesake = bench.key(Algorithm::Aes256);
    assert!(refused(command(&namesake, &frame, &far)), "other material under the same name");
    assert!(refused(command(&bench.named_key(NEW, Algorithm::Aes256), &frame, &far)), "another key");
    assert!(!refused(command(&source, &frame, &far)), "and as it was it does open");
}

#[test]
fn each_key_opens_in_its_own_partition_only() {
    let (bench, far) = beside(Algorithm::Aes256);
    let source = bench.key(Algorithm::Aes256);
    let frame = bench.encrypt(&source, b"kept");
    for (from, to) in [(TENANT, TENANT), (OTHER, OTHER), (OTHER, TENANT)] {
        let refused = bench.machine.re_encrypt(from, to, command(&source, &frame, &far));
        assert!(matches!(refused, Err(Fault::InvalidWrappedKey)), "{from:?} {to:?}");
    }
    let nowhere = bench.machine.re_encrypt(TENANT, PartitionId([9; 16]), command(&source, &frame, &far));
    assert!(matches!(nowhere, Err(Fault::NoSuchPartition)));
    let faults = bench.machine.faults();
    bench.machine.re_encrypt(TENANT, OTHER, command(&source, &frame, &far)).expect("a frame");
    assert_eq!((bench.machine.faults(), faults), (4, 4), "refusals are counted, successes are not");
}

#[test]
fn measuring_a_frame_checks_all_of_it_and_answers_a_number() {
    let bench = Bench::new();
    for algorithm in [Algorithm::Aes256, Algorithm::Sm4] {
        let key = bench.key(algorithm);
        let measure = |frame: &[u8], context| {
            let frame = Frame::parse(frame).expect("a frame");
            let command = Decrypt { key: key.clone(), account: ACCOUNT.into(), context, frame };
            bench.machine.run(TENANT, MeasureFrame(command))
        };
        for length in [1, 32, PLAINTEXT_BYTES_MAX] {
            let frame = bench.encrypt(&key, &vec![7; length]);
            assert_eq!(measure(&frame, context()).expect("a length"), length);
        }
        let frame = bench.encrypt(&key, b"a data key");
        let mut forged = frame.clone();
        *forged.last_mut().expect("a frame has bytes") ^= 1;
        assert!(matches!(measure(&forged, context()), Err(Fault::InvalidCiphertext)));
        assert!(matches!(measure(&frame, BTreeMap::new()), Err(Fault::InvalidCiphertext)));
    }
}
