//! The derivation of a frame's message key, nonce and commitment, from the contract's text with nothing of the crate: HKDF is
//! written out from HMAC.

use firmware_sim::Algorithm;
use hmac::{KeyInit, Mac};

use crate::support::ACCOUNT;

pub struct Derived {
    pub key: Vec<u8>,
    pub nonce: [u8; 12],
    pub commitment: Vec<u8>,
}

/// A key version of the algorithm.
pub fn material(algorithm: Algorithm, first: u8) -> Vec<u8> {
    (first..).take(if algorithm == Algorithm::Aes256 { 32 } else { 16 }).collect()
}

/// What a frame of this salt and header has, under the context of the tests.
pub fn derive(algorithm: Algorithm, material: &[u8], salt: &[u8], header: &[u8]) -> Derived {
    if algorithm == Algorithm::Aes256 {
        with::<hmac::Hmac<sha2::Sha256>, sha2::Sha256>("AES_256", 32, material, salt, header)
    } else {
        with::<hmac::Hmac<sm3::Sm3>, sm3::Sm3>("Ctyun_SM4", 16, material, salt, header)
    }
}

fn with<M: Mac + KeyInit, H: sha2::Digest>(
    algorithm: &str,
    key_bytes: usize,
    material: &[u8],
    salt: &[u8],
    header: &[u8],
) -> Derived {
    let mac = |key: &[u8], parts: &[&[u8]]| {
        let mut mac = <M as KeyInit>::new_from_slice(key).expect("any length");
        parts.iter().for_each(|part| Mac::update(&mut mac, part));
        mac.finalize().into_bytes().to_vec()
    };
    let mut bound = H::new();
    let parts: [&[u8]; 8] = [
        &[1],
        algorithm.as_bytes(),
        header,
        ACCOUNT.as_bytes(),
        b"app",
        "钥库".as_bytes(),
        b"purpose",
        b"test",
    ];
    for part in parts {
        bound.update((part.len() as u32).to_be_bytes());
        bound.update(part);
    }
    let bound = bound.finalize();
    let pseudorandom = mac(salt, &[material]);
    let (mut output, mut last) = (Vec::new(), Vec::new());
    for count in 1..=3_u8 {
        last = mac(&pseudorandom, &[&last, b"yaoku/frame", &bound, &[count]]);
        output.extend_from_slice(&last);
    }
    let (key, rest) = output.split_at(key_bytes);
    let (nonce, rest) = rest.split_at(12);
    Derived { key: key.to_vec(), nonce: nonce.try_into().expect("12 bytes"), commitment: rest[..32].to_vec() }
}
