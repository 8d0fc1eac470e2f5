//! SM2 ciphertexts that are none: altered, cut, off the curve, oddly encoded. None may open, and none may panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Counted, key, rounds};
use crate::alg::sm2::{OVERHEAD_BYTES, PUBLIC_BYTES, encrypt, encrypt_encoded};
use crate::entropy::Entropy as _;

/// The prime of the curve.
const PRIME: &str = "fffffffeffffffffffffffffffffffffffffffff00000000ffffffffffffffff";

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ ..0x80 => vec![short as u8],
        middle @ ..0x100 => vec![0x81, middle as u8],
        long => vec![0x82, (long >> 8) as u8, long as u8],
    };
    [&[tag], length.as_slice(), content].concat()
}

/// An integer of DER.
fn integer(number: &[u8]) -> Vec<u8> {
    let number = &number[number.iter().position(|byte| *byte != 0).unwrap_or(number.len() - 1)..];
    der(2, &[&[0][..usize::from(number[0] >> 7)], number].concat())
}

/// The sum of two numbers of 32 bytes, in 33.
fn sum(one: &[u8], other: &[u8]) -> Vec<u8> {
    let (mut sum, mut carry) = (vec![0; 33], 0);
    for at in (0..32).rev() {
        let digit = u16::from(one[at]) + u16::from(other[at]) + carry;
        sum[at + 1] = digit as u8;
        carry = digit >> 8;
    }
    sum[0] = carry as u8;
    sum
}

/// Every odd encoding of a ciphertext C1 ‖ C3 ‖ C2, each of which a lax reader takes for it.
fn odd(raw: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let (point, rest) = raw.split_at(PUBLIC_BYTES);
    let (hash, cipher) = rest.split_at(32);
    let (x, y) = point[1..].split_at(32);
    let strings = [der(4, hash), der(4, cipher)].concat();
    let of = |parts: &[Vec<u8>]| der(0x30, &parts.concat());
    let (right, prime) =
        ([integer(x), integer(y), strings.clone()].concat(), crate::alg::vectors::hex(PRIME));
    let with_prefix = |prefix: u8| [&[prefix], &raw[1..]].concat();
    let (len, short) = (right.len() as u8, der(0x30, &right));
    let mut padded = short.clone();
    padded.splice(1..short.len() - right.len(), [0x83, 0, 0, len]);
    vec![
        ("nothing", Vec::new()),
        ("a byte too many", [der(0x30, &right), vec![0]].concat()),
        ("a length too long", padded),
        ("no end", [&[0x30, 0x80], right.as_slice(), &[0, 0]].concat()),
        ("a set", der(0x31, &right)),
        ("another part", of(&[right.clone(), der(2, &[1])])),
        ("no parts", of(&[])),
        ("C1 C2 C3", of(&[integer(x), integer(y), der(4, cipher), der(4, hash)])),
        ("y before x", of(&[integer(y), integer(x), strings.clone()])),
        ("padded x", of(&[der(2, &[&[0, 0], x].concat()), integer(y), strings.clone()])),
        ("negative x", of(&[der(2, &[&[0xff], x].concat()), integer(y), strings.clone()])),
        ("x above the prime", of(&[integer(&sum(x, &prime)), integer(y), strings.clone()])),
        ("y above the prime", of(&[integer(x), integer(&sum(y, &prime)), strings.clone()])),
        ("x is zero", of(&[integer(&[0]), integer(y), strings.clone()])),
        ("x and y are zero", of(&[integer(&[0]), integer(&[0]), strings.clone()])),
        ("x is the prime", of(&[integer(&prime), integer(y), strings])),
        ("a short hash", of(&[integer(x), integer(y), der(4, &hash[1..]), der(4, cipher)])),
        ("a long hash", of(&[integer(x), integer(y), der(4, &[hash, &[0]].concat()), der(4, cipher)])),
        ("no hash", of(&[integer(x), integer(y), der(4, &[]), der(4, cipher)])),
        ("no cipher", of(&[integer(x), integer(y), der(4, hash), der(4, &[])])),
        ("a constructed string", of(&[integer(x), integer(y), der(4, hash), der(0x24, &der(4, cipher))])),
        ("DER inside of DER", der(4, &der(0x30, &right))),
        ("infinity", [&[0], rest].concat()),
        ("infinity with coordinates", with_prefix(0)),
        ("compressed, even", [&[2], x, rest].concat()),
        ("compressed, odd", [&[3], x, rest].concat()),
        ("compressed with both", with_prefix(2)),
        ("hybrid, even", with_prefix(6)),
        ("hybrid, odd", with_prefix(7)),
        ("without a prefix", raw[1..].to_vec()),
        ("zeros", [&[4], [0; 64].as_slice(), rest].concat()),
        ("coordinates swapped", [&[4], y, x, rest].concat()),
        ("only a point", point.to_vec()),
        ("only C1 and C3", raw[..OVERHEAD_BYTES].to_vec()),
        ("too long", [raw, &[0; 7000]].concat()),
        (
            "too long in DER",
            of(&[integer(x), integer(y), der(4, hash), der(4, &[cipher, &[0; 7000]].concat())]),
        ),
    ]
}

/// One of the two forms, altered at random.
fn altered(random: &Counted, raw: &[u8], der: &[u8]) -> Vec<u8> {
    let mut bytes = if random.below(2) == 0 { raw.to_vec() } else { der.to_vec() };
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len().max(1));
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.below(256) as u8),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            3 => bytes.extend_from_slice(&raw[..at.min(raw.len())]),
            4 => {
                bytes = vec![0; random.below(300)];
                random.fill(&mut bytes).expect("hashing does not fail");
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes
}

#[test]
fn malformed_sm2_ciphertexts_neither_open_nor_panic() {
    let (key, random) = (key(), Counted::default());
    let made = |bytes: usize| {
        let plaintext = vec![0x5c; bytes];
        let raw = encrypt(&key.public(), &plaintext, &random).expect("a ciphertext");
        let der = encrypt_encoded(&key.public(), &plaintext, &random).expect("one of the other form");
        for form in [&raw, &der] {
            assert_eq!(**key.decrypt_encoded(form).expect("a right one opens"), vec![0x5c; bytes]);
        }
        (raw, der)
    };
    let (mut tried, mut panics, mut accepted) = (0, 0, Vec::new());
    let mut attempt = |what: &str, bytes: &[u8]| {
        tried += 1;
        match catch_unwind(AssertUnwindSafe(|| key.decrypt_encoded(bytes).is_ok())) {
            Err(_) => panics += 1,
            Ok(true) => accepted.push(what.to_owned()),
            Ok(false) => {}
        }
    };
    for bytes in [1, 31, 32, 33] {
        let (raw, der) = made(bytes);
        for (what, odd) in odd(&raw) {
            attempt(what, &odd);
        }
        for form in [&raw, &der] {
            for at in 0..form.len() {
                attempt("cut off", &form[..at]);
                let mut flipped = form.clone();
                flipped[at] ^= 1 << (at % 8);
                attempt("a flipped bit", &flipped);
            }
        }
    }
    for _ in 0..rounds(600, 20_000) {
        let (raw, der) = made(1 + random.below(40));
        for _ in 0..4 {
            let bytes = altered(&random, &raw, &der);
            if bytes != raw && bytes != der {
                attempt("altered at random", &bytes);
            }
        }
    }
    println!("figure sm2_malformed_ciphertexts_panics {panics} of {tried}");
    println!("figure sm2_malformed_ciphertexts_opened {} of {tried}", accepted.len());
    assert!(panics == 0 && accepted.is_empty(), "{accepted:?}");
}
