//! Public keys from outside, altered: none may panic, and whatever is read is a key of the two kinds that encrypts.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Counted, key, rounds};
use crate::alg::{answers, rsa, sm2};
use crate::identity::{Algorithm, Purpose};
use crate::key_pair::RecipientKey;
use crate::material::Material;
use crate::scheme::EncryptionScheme;

#[test]
fn altered_public_keys_do_not_panic() {
    let random = Counted::default();
    let primes = Material::copy_of(&answers::rsa::PRIMES);
    let pair = rsa::PrivateKey::open(&primes, Purpose::Decrypt).expect("the published primes make a key");
    let keys = [pair.public().der().to_vec(), sm2::encode_public(&key().public())];
    let (mut tried, mut read, mut panics) = (0, 0, 0);
    for round in 0..rounds(4_000, 400_000) {
        let mut bytes = keys[round % 2].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes.insert(at, random.below(256) as u8),
                // Mostly where the form is, not the numbers.
                2 => bytes[at % 40] ^= 1 << random.below(8),
                _ => bytes[at] ^= 1 << random.below(8),
            }
        }
        tried += 1;
        let use_it = || {
            RecipientKey::parse(&bytes).is_ok_and(|recipient| {
                let scheme = match recipient.algorithm() {
                    Algorithm::Sm2 => EncryptionScheme::Sm2,
                    _ => EncryptionScheme::OaepSha256,
                };
                // One of a hundred, for it takes longer than to read a key.
                round % 100 > 1 || recipient.encrypt(scheme, b"data key", &random).is_ok()
            })
        };
        match catch_unwind(AssertUnwindSafe(use_it)) {
            Ok(usable) => read += usize::from(usable),
            Err(_) => panics += 1,
        }
    }
    println!("figure altered_public_keys_panics {panics} of {tried}, {read} read as another key");
    assert_eq!(panics, 0);
}
