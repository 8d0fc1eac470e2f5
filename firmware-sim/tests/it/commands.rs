//! Commands besides encrypt and decrypt.

use firmware_sim::{
    Algorithm, Command, CredentialMac, DigestSm3, Encrypt, Fault, GenerateCredential, GenerateDataKey,
    GenerateDataKeyWithoutPlaintext, GenerateKey, HmacSm3, KeyName, Lane, MAC_MESSAGES_MAX, Open,
    PartitionId, Random, Seal,
};
use zeroize::Zeroizing;

use crate::support::{ACCOUNT, Bench, TENANT, context, hex};

#[test]
fn data_keys_come_back_from_their_frames() {
    let bench = Bench::new();
    for (algorithm, length) in [(Algorithm::Aes256, 32), (Algorithm::Sm4, 16), (Algorithm::Aes256, 1024)] {
        let key = bench.key(algorithm);
        let command =
            GenerateDataKey { key: key.clone(), account: ACCOUNT.into(), context: context(), length };
        let (data_key, frame) = bench.machine.run(TENANT, command).expect("a data key");
        assert_eq!(data_key.len(), length);
        assert_eq!(bench.decrypt(&key, &frame).expect("a plaintext").as_bytes(), data_key.as_bytes());

        let (account, context) = (ACCOUNT.into(), context());
        let command = GenerateDataKeyWithoutPlaintext { key: key.clone(), account, context, length };
        let frame = bench.machine.run(TENANT, command).expect("a frame");
        let unseen = bench.decrypt(&key, &frame).expect("a plaintext");
        assert_eq!(unseen.len(), length);
        assert_ne!(unseen.as_bytes(), data_key.as_bytes());
    }
}

/// Expected values were made from the contract's text with Python's `hashlib` and `hmac`.
#[test]
fn hmac_sm3_uses_the_derived_key_of_the_contract() {
    let name = KeyName {
        key: std::array::from_fn(|at| 0x10 + at as u8),
        version: std::array::from_fn(|at| 0xa0 + at as u8),
    };
    for (algorithm, key_bytes, expected) in [
        (Algorithm::Aes256, 32, "c8ee71179a45bb22bc9676d6738e95ee4b44bf815765b108c796aecb8067437e"),
        (Algorithm::Sm4, 16, "219988afe2f608c4daceac32f86c9743176c8eb28264b317b10a136939f78396"),
    ] {
        let bench = Bench::new();
        let key_version: Vec<u8> = (0..key_bytes).collect();
        bench.script.then(&[&key_version, b"wrapped once"]);
        let key = bench.named_key(name, algorithm);
        let mac =
            bench.machine.run(TENANT, HmacSm3 { key, message: b"hello yaoku".to_vec() }).expect("a MAC");
        assert_eq!(mac.as_slice(), hex(expected));
    }
}

#[test]
fn digest_is_sm3() {
    let bench = Bench::new();
    let digest = bench.machine.run(TENANT, DigestSm3 { message: b"abc".to_vec() }).expect("a digest");
    assert_eq!(digest.as_slice(), hex("66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"));
}

#[test]
fn random_has_the_length_asked_for() {
    let bench = Bench::new();
    for length in [1, 32, 1024] {
        assert_eq!(bench.machine.run(TENANT, Random { length }).expect("bytes").len(), length);
    }
    for length in [0, 1025] {
        let outcome = bench.machine.run(TENANT, Random { length });
        assert!(matches!(outcome, Err(Fault::Limit("random length"))));
    }
}

#[test]
fn credential_secrets_are_hexadecimal_text_and_survive_a_restart() {
    let bench = Bench::new();
    let command = GenerateCredential { access_key: [5; 16] };
    let (credential, secret) = bench.machine.run(TENANT, command).expect("a credential");
    assert_eq!(secret.len(), 64);
    assert!(secret.as_bytes().iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    let mac = CredentialMac { credential: credential.clone(), messages: vec![b"request".to_vec()] };
    let before = bench.machine.run(TENANT, mac).expect("a MAC");
    let bench = bench.reopen();
    let mac = CredentialMac { credential, messages: vec![b"request".to_vec()] };
    assert_eq!(bench.machine.run(TENANT, mac).expect("a MAC"), before);
}

#[test]
fn credential_mac_takes_a_bounded_list() {
    let bench = Bench::new();
    let command = GenerateCredential { access_key: [5; 16] };
    let (credential, _) = bench.machine.run(TENANT, command).expect("a credential");
    for (count, fits) in [(0, false), (1, true), (MAC_MESSAGES_MAX, true), (MAC_MESSAGES_MAX + 1, false)] {
        let command = CredentialMac { credential: credential.clone(), messages: vec![vec![1]; count] };
        let outcome = bench.machine.run(TENANT, command);
        assert_eq!(outcome.is_ok(), fits, "{count} messages");
        assert!(fits || matches!(outcome, Err(Fault::Limit("messages"))));
    }
}

fn seal(bench: &Bench, place: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let command = Seal { place: place.to_vec(), plaintext: Zeroizing::new(plaintext.to_vec()) };
    bench.machine.run(PartitionId::DEVICE, command).expect("sealed bytes")
}

fn open(bench: &Bench, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, Fault> {
    let command = Open { place: place.to_vec(), sealed: sealed.to_vec() };
    bench.machine.run(PartitionId::DEVICE, command).map(|opened| opened.as_bytes().to_vec())
}

#[test]
fn sealed_bytes_open_at_their_place_even_after_a_restart() {
    let bench = Bench::new();
    let sealed = seal(&bench, b"users/1", b"record");
    assert_eq!(sealed.len(), 1 + 12 + 6 + 16);
    assert_ne!(seal(&bench, b"users/1", b"record"), sealed);
    let empty = seal(&bench, b"users/2", b"");
    let bench = bench.reopen();
    assert_eq!(open(&bench, b"users/1", &sealed).expect("a record"), b"record");
    assert_eq!(open(&bench, b"users/2", &empty).expect("a record"), b"");
    assert!(matches!(open(&bench, b"users/2", &sealed), Err(Fault::InvalidCiphertext)));
}

#[test]
fn sealed_bytes_open_whole_and_unchanged_only() {
    let bench = Bench::new();
    let sealed = seal(&bench, b"place", b"record");
    for at in 0..sealed.len() {
        assert!(
            matches!(open(&bench, b"place", &sealed[..at]), Err(Fault::InvalidCiphertext)),
            "cut to {at}"
        );
        let mut flipped = sealed.clone();
        flipped[at] ^= 1;
        assert!(matches!(open(&bench, b"place", &flipped), Err(Fault::InvalidCiphertext)), "byte {at}");
    }
}

#[test]
fn sealing_asks_for_a_place_and_the_device() {
    let bench = Bench::new();
    let sealed = seal(&bench, b"place", b"record");
    let plaintext = || Zeroizing::new(b"record".to_vec());
    for place in [vec![], vec![1; 1025]] {
        let outcome = bench.machine.run(PartitionId::DEVICE, Seal { place, plaintext: plaintext() });
        assert!(matches!(outcome, Err(Fault::Limit("place"))));
    }
    assert!(matches!(open(&bench, b"", &sealed), Err(Fault::Limit("place"))));
    let outcome = bench.machine.run(TENANT, Seal { place: b"place".to_vec(), plaintext: plaintext() });
    assert!(matches!(outcome, Err(Fault::WrongPurpose)));
    let outcome = bench.machine.run(TENANT, Open { place: b"place".to_vec(), sealed });
    assert!(matches!(outcome, Err(Fault::WrongPurpose)));
}

#[test]
fn quick_commands_run_inline() {
    assert_eq!(Encrypt::LANE, Lane::Inline);
    assert_eq!(Open::LANE, Lane::Inline);
    assert_eq!(GenerateKey::LANE, Lane::Engine);
    assert_eq!(GenerateCredential::LANE, Lane::Engine);
}
