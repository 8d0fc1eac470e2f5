//! GCM commits to no key: whoever knows two keys builds a ciphertext that opens under both, by linear algebra over GF(2^128).
//! A frame's commitment has to keep such a ciphertext from opening under more than the one key that it was made for.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::aes::Aes256;
use aes_gcm::{Aes256Gcm, AesGcm, KeyInit};
use firmware_sim::{Algorithm, Fault, WrappedKey};
use sm4::Sm4;
use sm4::cipher::BlockCipherEncrypt;

use crate::derived::{self, Derived};
use crate::support::{Bench, hex};

type Sm4Gcm = AesGcm<Sm4, aes_gcm::aead::consts::U12>;

const HEADER_BYTES: usize = 104;
const SALT: [u8; 16] = [0x3c; 16];
/// The first block of the ciphertext is free, the second is solved for.
const FREE: [u8; 16] = *b"anything goes in";

/// The product in the field of SP 800-38D section 6.3: the first bit is the constant term.
fn product(one: u128, other: u128) -> u128 {
    let (mut sum, mut shifted) = (0, other);
    for bit in (0..128).rev() {
        sum ^= if one >> bit & 1 == 1 { shifted } else { 0 };
        shifted = (shifted >> 1) ^ if shifted & 1 == 1 { 0xe1 << 120 } else { 0 };
    }
    sum
}

/// The inverse by Fermat: the power 2^128 - 2.
fn inverse(number: u128) -> u128 {
    let mut power = number;
    let mut result = 1 << 127;
    for _ in 1..128 {
        power = product(power, power);
        result = product(result, power);
    }
    result
}

fn blocks(bytes: &[u8]) -> Vec<u128> {
    let block = |chunk: &[u8]| {
        let mut block = [0; 16];
        block[..chunk.len()].copy_from_slice(chunk);
        u128::from_be_bytes(block)
    };
    bytes.chunks(16).map(block).collect()
}

/// One block under the message key.
fn block(algorithm: Algorithm, key: &[u8], bytes: [u8; 16]) -> u128 {
    let mut out = bytes.into();
    if algorithm == Algorithm::Aes256 {
        Aes256::new_from_slice(key).expect("32 bytes").encrypt_block(&mut out);
    } else {
        Sm4::new_from_slice(key).expect("16 bytes").encrypt_block(&mut out);
    }
    u128::from_be_bytes(out.into())
}

/// Of a message key and nonce: the hash key, the mask of the tag, and the hash of everything but the second block.
struct Side {
    hash_key: u128,
    mask: u128,
    rest: u128,
}

impl Side {
    fn new(algorithm: Algorithm, derived: &Derived, header: &[u8]) -> Self {
        let hash_key = block(algorithm, &derived.key, [0; 16]);
        let mut counter = [0; 16];
        counter[..12].copy_from_slice(&derived.nonce);
        counter[15] = 1;
        let lengths = (8 * header.len() as u128) << 64 | 256;
        let input = [blocks(header), blocks(&FREE), vec![0, lengths]].concat();
        let rest = input.into_iter().fold(0, |hash, block| product(hash ^ block, hash_key));
        Self { hash_key, mask: block(algorithm, &derived.key, counter), rest }
    }
}

/// A ciphertext with its tag that both message keys authenticate.
fn collide(algorithm: Algorithm, keys: [&Derived; 2], header: &[u8]) -> Vec<u8> {
    let [one, other] = keys.map(|derived| Side::new(algorithm, derived, header));
    let square = |side: &Side| product(side.hash_key, side.hash_key);
    // The second block stands before the block of lengths, so it is multiplied by the square of the hash key.
    let wanted = one.rest ^ one.mask ^ other.rest ^ other.mask;
    let solved = product(wanted, inverse(square(&one) ^ square(&other)));
    let tag = one.rest ^ one.mask ^ product(solved, square(&one));
    [FREE.as_slice(), &solved.to_be_bytes(), &tag.to_be_bytes()].concat()
}

/// Whether GCM alone takes it.
fn gcm_opens(algorithm: Algorithm, derived: &Derived, header: &[u8], ciphertext: &[u8]) -> bool {
    let (nonce, payload) = ((&derived.nonce).into(), Payload { msg: ciphertext, aad: header });
    let opened = if algorithm == Algorithm::Aes256 {
        Aes256Gcm::new_from_slice(&derived.key).expect("32 bytes").decrypt(nonce, payload)
    } else {
        Sm4Gcm::new_from_slice(&derived.key).expect("16 bytes").decrypt(nonce, payload)
    };
    opened.is_ok()
}

#[test]
fn the_field_is_that_of_the_standard() {
    // GCM specification, appendix B, test case 2: GHASH of one block and its length.
    let number = |text: &str| blocks(&hex(text))[0];
    let hash_key = number("66e94bd4ef8a2c3b884cfa59ca342b2e");
    let first = product(number("0388dace60b6a392f328c2b971b2fe78"), hash_key);
    assert_eq!(first, number("5e2ec746917062882c85b0685353deb7"));
    assert_eq!(product(first ^ 128, hash_key), number("f38cbb1ad69223dcc3457ae5b6b0f885"));
    assert_eq!(product(hash_key, inverse(hash_key)), 1 << 127);
}

#[test]
fn no_frame_opens_under_two_keys() {
    let mut accepts = 0;
    for algorithm in [Algorithm::Aes256, Algorithm::Sm4] {
        let bench = Bench::new();
        // Two keys of one name, as only their owner could have them: whoever imports material chooses it.
        let materials = [derived::material(algorithm, 0x11), derived::material(algorithm, 0x77)];
        let keys: Vec<WrappedKey> = materials
            .iter()
            .zip([b"wrapped once", b"wrapped nows"])
            .map(|(material, nonce)| {
                bench.script.then(&[material, nonce]);
                bench.key(algorithm)
            })
            .collect();
        let header = bench.encrypt(&keys[0], b"any")[..HEADER_BYTES].to_vec();
        let [one, other] = [0, 1].map(|at: usize| derived::derive(algorithm, &materials[at], &SALT, &header));
        let ciphertext = collide(algorithm, [&one, &other], &header);
        for derived in [&one, &other] {
            assert!(gcm_opens(algorithm, derived, &header, &ciphertext), "{algorithm:?}: a true collision");
        }
        let mixed: Vec<u8> = one.commitment.iter().zip(&other.commitment).map(|(a, b)| a ^ b).collect();
        for (commitment, opens) in
            [(&one.commitment, [true, false]), (&other.commitment, [false, true]), (&mixed, [false, false])]
        {
            let frame = [&header, [1].as_slice(), &SALT, commitment, &ciphertext].concat();
            let opened = [0, 1].map(|at: usize| bench.decrypt(&keys[at], &frame));
            for (outcome, opens) in opened.iter().zip(opens) {
                // The owner of the commitment opens it: but for the commitment, the frame is genuine.
                assert!(matches!(outcome, Err(Fault::InvalidCiphertext)) != opens, "{algorithm:?}");
            }
            accepts += usize::from(opened.iter().all(Result::is_ok));
        }
    }
    println!("figure collision accepts = {accepts}");
    assert_eq!(accepts, 0);
}
