//! Wrapped keys: whoever moves or changes one holds nothing.

use firmware_sim::{
    Algorithm, CredentialMac, Custody, DigestSm3, Fault, GenerateCredential, GenerateKey, HmacSm3, KeyName,
    PartitionId, Purpose, WrappedKey,
};

use crate::support::{Bench, NAME, TENANT, encrypt};

const OTHER: PartitionId = PartitionId([8; 16]);
const HEADER_BYTES: usize = 61;

#[test]
fn headers_say_what_was_asked_for() {
    let bench = Bench::new();
    for (algorithm, custody, length) in [
        (Algorithm::Aes256, Custody::Software, 121),
        (Algorithm::Aes256, Custody::Hsm, 121),
        (Algorithm::Sm4, Custody::Software, 105),
        (Algorithm::Sm4, Custody::Hsm, 105),
    ] {
        let key = bench
            .machine
            .run(TENANT, GenerateKey { name: NAME, algorithm, purpose: Purpose::Cipher, custody })
            .expect("a key");
        let header = key.header();
        assert_eq!((header.partition, header.custody, header.generation), (TENANT, custody, 1));
        assert_eq!((header.name, header.algorithm, header.purpose), (NAME, algorithm, Purpose::Cipher));
        assert!(!header.exportable);
        assert_eq!(key.as_bytes().len(), length);
        let again = WrappedKey::from_bytes(key.as_bytes().to_vec()).expect("what was stored");
        assert_eq!(again.header(), header);
        let frame = bench.encrypt(&again, b"either custody works");
        assert!(bench.decrypt(&key, &frame).is_ok());
    }
}

#[test]
fn another_partition_unwraps_nothing() {
    let bench = Bench::new();
    bench.machine.create_partition(OTHER).expect("a partition");
    let key = bench.key(Algorithm::Aes256);
    bench.encrypt(&key, b"and now it is cached");
    for partition in [OTHER, PartitionId::DEVICE] {
        assert!(matches!(bench.machine.run(partition, encrypt(&key, b"x")), Err(Fault::InvalidWrappedKey)));
    }
    // Nor does a header that claims the other partition help.
    let mut claimed = key.as_bytes().to_vec();
    claimed[5..21].copy_from_slice(&OTHER.0);
    let claimed = WrappedKey::from_bytes(claimed).expect("the form is right");
    assert!(matches!(bench.machine.run(OTHER, encrypt(&claimed, b"x")), Err(Fault::InvalidWrappedKey)));
    let unknown = bench.machine.run(PartitionId([9; 16]), encrypt(&key, b"x"));
    assert!(matches!(unknown, Err(Fault::NoSuchPartition)));
}

/// With and without the good key in the cache.
#[test]
fn every_flipped_bit_is_refused() {
    let bench = Bench::new();
    for (algorithm, cached) in [(Algorithm::Aes256, false), (Algorithm::Aes256, true), (Algorithm::Sm4, true)]
    {
        let key = bench.key(algorithm);
        if cached {
            bench.encrypt(&key, b"x");
        }
        for (at, bit) in (0..key.as_bytes().len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bytes = key.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            let outcome =
                WrappedKey::from_bytes(bytes).and_then(|key| bench.machine.run(TENANT, encrypt(&key, b"x")));
            assert!(matches!(outcome, Err(Fault::InvalidWrappedKey)), "bit {bit} of byte {at}");
        }
        bench.encrypt(&key, b"the good key works on");
    }
}

#[test]
fn only_the_drawn_form_is_taken() {
    let bench = Bench::new();
    let bytes = bench.key(Algorithm::Aes256).as_bytes().to_vec();
    for length in 0..bytes.len() {
        assert!(WrappedKey::from_bytes(bytes[..length].to_vec()).is_err(), "cut to {length}");
    }
    assert!(WrappedKey::from_bytes([bytes.clone(), vec![0]].concat()).is_err());
    // Format, custody, algorithm, purpose and exportable have known codes; a generation is not zero; the purpose
    // is the algorithm's.
    for (at, code) in
        [(0, b'X'), (4, 2), (21, 0), (21, 3), (58, 0), (58, 4), (59, 0), (59, 2), (59, 3), (60, 2)]
    {
        let mut changed = bytes.clone();
        changed[at] = code;
        assert!(WrappedKey::from_bytes(changed).is_err(), "code {code} at {at}");
    }
    let mut unborn = bytes;
    unborn[22..26].fill(0);
    assert!(WrappedKey::from_bytes(unborn).is_err());
}

/// Two keys of one name: the cache holds one of them, and neither answers for the other.
#[test]
fn the_cache_tells_keys_of_one_name_apart() {
    let bench = Bench::new();
    let (one, other) = (bench.key(Algorithm::Aes256), bench.key(Algorithm::Aes256));
    for _ in 0..3 {
        let (from_one, from_other) = (bench.encrypt(&one, b"x"), bench.encrypt(&other, b"x"));
        assert!(bench.decrypt(&one, &from_one).is_ok());
        assert!(bench.decrypt(&other, &from_other).is_ok());
        assert!(matches!(bench.decrypt(&one, &from_other), Err(Fault::InvalidCiphertext)));
        assert!(matches!(bench.decrypt(&other, &from_one), Err(Fault::InvalidCiphertext)));
    }
}

#[test]
fn keys_serve_their_own_purpose_only() {
    let bench = Bench::new();
    let (credential, _) =
        bench.machine.run(TENANT, GenerateCredential { access_key: [5; 16] }).expect("a credential");
    let header = credential.header();
    assert_eq!(header.name, KeyName { key: [5; 16], version: [0; 16] });
    assert_eq!((header.algorithm, header.purpose), (Algorithm::CredentialHmac, Purpose::Authenticate));
    let outcome = bench.machine.run(TENANT, encrypt(&credential, b"x"));
    assert!(matches!(outcome, Err(Fault::WrongPurpose)));
    let outcome = bench.machine.run(TENANT, HmacSm3 { key: credential, message: vec![1] });
    assert!(matches!(outcome, Err(Fault::WrongPurpose)));
    for algorithm in [Algorithm::Aes256, Algorithm::Sm4] {
        let credential = bench.key(algorithm);
        let outcome = bench.machine.run(TENANT, CredentialMac { credential, messages: vec![vec![1]] });
        assert!(matches!(outcome, Err(Fault::WrongPurpose)));
    }
    let secret = GenerateKey {
        name: NAME,
        algorithm: Algorithm::CredentialHmac,
        purpose: Purpose::Cipher,
        custody: Custody::Hsm,
    };
    assert!(matches!(bench.machine.run(TENANT, secret), Err(Fault::WrongPurpose)));
}

#[test]
fn printing_shows_ids_only() {
    let bench = Bench::new();
    let key = bench.key(Algorithm::Aes256);
    assert_eq!(
        format!("{key:?}"),
        "WrappedKey(11111111-1111-1111-1111-111111111111&a2a2a2a2-a2a2-a2a2-a2a2-a2a2a2a2a2a2 in \
         07070707-0707-0707-0707-070707070707)"
    );
}

#[test]
fn the_clear_key_is_not_in_the_wrapped_bytes() {
    let bench = Bench::new();
    let clear = *b"clear bytes that nobody may read";
    bench.script.then(&[&clear, b"wrapped once"]);
    let key = bench.key(Algorithm::Aes256);
    assert!(
        !key.as_bytes()[HEADER_BYTES..].windows(8).any(|bytes| clear.windows(8).any(|part| part == bytes))
    );
    bench.machine.run(TENANT, DigestSm3 { message: vec![] }).expect("the machine is well");
}
