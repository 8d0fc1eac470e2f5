//! Frames of contract section 1.3: first against bytes made with another library, then round trips, then
//! tampering.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use firmware_sim::{Algorithm, Encrypt, Fault, Frame, GenerateDataKey, KeyName, PLAINTEXT_BYTES_MAX};

use crate::derived;
use crate::support::{ACCOUNT, Bench, NAME, TENANT, context, encrypt, hex};

const BOTH: [Algorithm; 2] = [Algorithm::Aes256, Algorithm::Sm4];

fn refused(outcome: Result<firmware_sim::Released, Fault>) -> bool {
    matches!(outcome, Err(Fault::InvalidCiphertext))
}

/// Frames of known key, salt, account and context, made from the contract's text with Python's `hashlib`, `hmac`
/// and `cryptography`. They pin the stored form: if this test fails, old ciphertexts no longer open.
#[test]
fn frames_are_byte_for_byte_the_contracts() {
    let name = KeyName {
        key: std::array::from_fn(|at| 0x10 + at as u8),
        version: std::array::from_fn(|at| 0xa0 + at as u8),
    };
    let header = "0064MTAxMTEyMTMtMTQxNS0xNjE3LTE4MTktMWExYjFjMWQxZTFmJmEwYTFhMmEzLWE0YTUtYTZhNy1hOGE5LWFhYWJhY2Fk\
                  YWVhZg==";
    let salt: Vec<u8> = (0x40..0x50).collect();
    let aes = "01404142434445464748494a4b4c4d4e4f5e795c6b7811ac8c39029c82dfe0c926dff7a9312149d4ad60afa83b2c8b\
               b901a72b807f56199dc3656e64de9de82198dee99ea7decf384e88117b";
    let sm4 = "01404142434445464748494a4b4c4d4e4f2cbac3fa3bec0a6a014ccfa6b87ad243c6c4c3bf01d8a93302d5134cd343\
               ebea8c26d820dfb18d9348da96708d03aed92ddde91f567db7624a7831";
    for (algorithm, key_bytes, payload) in [(Algorithm::Aes256, 32, aes), (Algorithm::Sm4, 16, sm4)] {
        let bench = Bench::new();
        let key_version: Vec<u8> = (0..key_bytes).collect();
        bench.script.then(&[&key_version, b"wrapped once", &salt]);
        let key = bench.named_key(name, algorithm);
        let frame = bench.encrypt(&key, b"hello yaoku");
        assert_eq!(frame, [header.as_bytes(), &hex(payload)].concat(), "{algorithm:?}");
        assert_eq!(Frame::parse(&frame).expect("a frame").name(), name);
        assert_eq!(bench.decrypt(&key, &frame).expect("a plaintext").as_bytes(), b"hello yaoku");
    }
}

/// Recomputes an AES frame from the recorded key with nothing of the crate.
#[test]
fn recorded_key_opens_the_frame_without_the_machine() {
    let bench = Bench::new();
    bench.script.take_given();
    let key = bench.key(Algorithm::Aes256);
    let key_version = bench.script.take_given().remove(0);
    let frame = bench.encrypt(&key, b"independent");
    let (header, payload) = frame.split_at(104);
    let (salt, commitment, ciphertext) = (&payload[1..17], &payload[17..49], &payload[49..]);

    let derived = derived::derive(Algorithm::Aes256, &key_version, salt, header);
    assert_eq!(derived.commitment, commitment);
    let plaintext = Aes256Gcm::new_from_slice(&derived.key)
        .expect("32 bytes")
        .decrypt(&derived.nonce.into(), Payload { msg: ciphertext, aad: header })
        .expect("the frame opens");
    assert_eq!(plaintext, b"independent");
}

#[test]
fn round_trips_at_every_boundary() {
    let bench = Bench::new();
    for algorithm in BOTH {
        let key = bench.key(algorithm);
        for length in [1, 15, 16, 17, 255, 4096, PLAINTEXT_BYTES_MAX] {
            let plaintext = vec![0x5a; length];
            let frame = bench.encrypt(&key, &plaintext);
            assert_eq!(frame.len(), 104 + 1 + 16 + 32 + length + 16);
            assert_eq!(bench.decrypt(&key, &frame).expect("a plaintext").as_bytes(), plaintext);
        }
    }
}

#[test]
fn lengths_out_of_range_are_refused() {
    let bench = Bench::new();
    let key = bench.key(Algorithm::Aes256);
    for length in [0, PLAINTEXT_BYTES_MAX + 1] {
        let outcome = bench.machine.run(TENANT, encrypt(&key, &vec![1; length]));
        assert!(matches!(outcome, Err(Fault::Limit("plaintext"))), "{length}");
    }
    let long = Encrypt { account: "a".repeat(129), ..encrypt(&key, b"x") };
    assert!(matches!(bench.machine.run(TENANT, long), Err(Fault::Limit("account"))));
    let wide = Encrypt { context: [("n".into(), "v".repeat(8192))].into(), ..encrypt(&key, b"x") };
    assert!(matches!(bench.machine.run(TENANT, wide), Err(Fault::Limit("encryption context"))));
    for length in [0, 1025] {
        let (key, account, context) = (key.clone(), ACCOUNT.into(), context());
        let outcome = bench.machine.run(TENANT, GenerateDataKey { key, account, context, length });
        assert!(matches!(outcome, Err(Fault::Limit("data key length"))), "{length}");
    }
}

#[test]
fn equal_plaintexts_make_unlike_frames() {
    let bench = Bench::new();
    for algorithm in BOTH {
        let key = bench.key(algorithm);
        let (one, other) = (bench.encrypt(&key, b"same"), bench.encrypt(&key, b"same"));
        assert_eq!(one[..105], other[..105]);
        assert_ne!(one[105..121], other[105..121]);
        assert_ne!(one[121..153], other[121..153]);
        assert_ne!(one[153..157], other[153..157]);
    }
}

#[test]
fn every_truncation_is_refused() {
    let bench = Bench::new();
    for algorithm in BOTH {
        let key = bench.key(algorithm);
        let frame = bench.encrypt(&key, b"sixteen bytes ok");
        for length in 0..frame.len() {
            let outcome = bench.decrypt(&key, &frame[..length]);
            let short = length < 104 + 1 + 16 + 32 + 16;
            let expected = if short {
                matches!(outcome, Err(Fault::InvalidFrame))
            } else {
                matches!(outcome, Err(Fault::InvalidCiphertext))
            };
            assert!(expected, "{algorithm:?} cut to {length}");
        }
        let longer = [&frame, [0].as_slice()].concat();
        assert!(refused(bench.decrypt(&key, &longer)));
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let bench = Bench::new();
    for algorithm in BOTH {
        let key = bench.key(algorithm);
        let frame = bench.encrypt(&key, b"flip me");
        for (at, bit) in (0..frame.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = frame.clone();
            flipped[at] ^= 1 << bit;
            let outcome = bench.decrypt(&key, &flipped);
            let expected = match outcome {
                Err(Fault::InvalidCiphertext) => true,
                Err(Fault::InvalidFrame) => at < 105,
                _ => false,
            };
            assert!(expected, "{algorithm:?} bit {bit} of byte {at}");
        }
    }
}

#[test]
fn frames_open_under_their_own_binding_only() {
    let bench = Bench::new();
    for algorithm in BOTH {
        let key = bench.key(algorithm);
        let frame = bench.encrypt(&key, b"bound");
        assert!(bench.decrypt(&key, &frame).is_ok());
        // The same name and new material, another version, another key, the other algorithm.
        assert!(refused(bench.decrypt(&bench.key(algorithm), &frame)));
        let version = KeyName { version: [3; 16], ..NAME };
        assert!(refused(bench.decrypt(&bench.named_key(version, algorithm), &frame)));
        let moved = KeyName { key: [3; 16], ..NAME };
        assert!(refused(bench.decrypt(&bench.named_key(moved, algorithm), &frame)));
        let other = if algorithm == Algorithm::Aes256 { Algorithm::Sm4 } else { Algorithm::Aes256 };
        assert!(refused(bench.decrypt(&bench.key(other), &frame)));
        assert!(refused(bench.decrypt_as(&key, "another account", context(), &frame)));

        let mut contexts = vec![[].into(), context(), context(), context()];
        contexts[1].remove("app");
        contexts[2].insert("app".into(), "other".into());
        contexts[3].insert("more".into(), String::new());
        // The same bytes, parted elsewhere.
        contexts.push([("ap".into(), "p钥库".into()), ("purpose".into(), "test".into())].into());
        for context in contexts {
            assert!(refused(bench.decrypt_as(&key, ACCOUNT, context, &frame)));
        }
    }
}

/// Two versions of equal material: the name check tells them apart, and the derivation does so without it.
#[test]
fn a_frame_opens_under_the_version_it_names() {
    let bench = Bench::new();
    let material: [u8; 32] = std::array::from_fn(|at| at as u8);
    bench.script.then(&[&material, b"wrapped once"]);
    let one = bench.key(Algorithm::Aes256);
    bench.script.then(&[&material, b"wrapped once"]);
    let other = bench.named_key(KeyName { version: [3; 16], ..NAME }, Algorithm::Aes256);
    let frame = bench.encrypt(&one, b"bound");
    assert!(refused(bench.decrypt(&other, &frame)), "equal material, but the frame names another version");
    let moved = [&bench.encrypt(&other, b"bound")[..104], &frame[104..]].concat();
    assert!(refused(bench.decrypt(&other, &moved)));
}

#[test]
fn headers_have_one_spelling() {
    let bench = Bench::new();
    let frame = bench.encrypt(&bench.key(Algorithm::Aes256), b"strict");
    let with = |header: &[u8]| Frame::parse(&[header, &frame[4 + 100..]].concat());
    let text = STANDARD.decode(&frame[4..104]).expect("Base64");
    let spell = |text: &[u8]| [b"0064", STANDARD.encode(text).as_bytes()].concat();
    assert!(with(&spell(&text)).is_ok());
    assert!(with(&spell(&text.to_ascii_uppercase())).is_err(), "upper-case UUIDs");
    assert!(with(&spell(&[&text[..36], b"+", &text[37..]].concat())).is_err(), "another separator");
    assert!(with(&[b"0065", &frame[4..104]].concat()).is_err(), "another length");
    let mut loose = frame[..104].to_vec();
    // The last character before the padding carries four bits that no byte uses.
    loose[101] += 1;
    assert!(with(&loose).is_err(), "stray bits before the padding");
    let mut version = frame.clone();
    version[104] = 2;
    assert!(matches!(Frame::parse(&version), Err(Fault::InvalidFrame)));
    let oversized = [&frame[..], &vec![0; PLAINTEXT_BYTES_MAX]].concat();
    assert!(matches!(Frame::parse(&oversized), Err(Fault::InvalidFrame)));
}
