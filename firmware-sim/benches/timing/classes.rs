//! Classes of bad ciphertexts. What they look like before encryption is built here, because no library makes what is wrong.

use firmware_sim::{
    AsymmetricEncrypt, Custody, EncryptionScheme, Entropy, GetPublicKey, Machine, MakeSpareKey, TakeSpareKey,
    WrappedKey,
};
use rsa::BoxedUint;
use rsa::pkcs8::DecodePublicKey;
use rsa::traits::PublicKeyParts;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{NAME, PARTITION, System};

/// Ciphertexts of each class; which one is sent is drawn.
const POOL: usize = 64;
const MODULUS_BYTES: usize = 256;
const PLAINTEXT: [u8; 32] = [7; 32];
/// What no material comes to.
pub const BINDING: [u8; 32] = [9; 32];

/// A way of decrypting.
#[derive(Clone, Copy)]
pub enum Probe {
    OaepSha256,
    OaepSha1,
    /// Of wrapped key material.
    Pkcs1,
    Sm2,
    /// The same, not in DER.
    Sm2Raw,
}

impl Probe {
    pub fn name(self) -> &'static str {
        match self {
            Self::OaepSha256 => "oaep-sha-256",
            Self::OaepSha1 => "oaep-sha-1",
            Self::Pkcs1 => "pkcs1",
            Self::Sm2 => "sm2",
            Self::Sm2Raw => "sm2-raw",
        }
    }

    /// `None` where material is imported.
    pub fn scheme(self) -> Option<EncryptionScheme> {
        match self {
            Self::OaepSha256 => Some(EncryptionScheme::OaepSha256),
            Self::OaepSha1 => Some(EncryptionScheme::OaepSha1),
            Self::Pkcs1 => None,
            Self::Sm2 | Self::Sm2Raw => Some(EncryptionScheme::Sm2),
        }
    }
}

/// Ciphertexts that are bad in the same way.
pub struct Class {
    pub name: &'static str,
    /// Whether everybody sees that it is bad, without the key: by its length, its form or its number.
    pub visible: bool,
    pub ciphertexts: Vec<Vec<u8>>,
}

fn class(name: &'static str, mut make: impl FnMut() -> Vec<u8>) -> Class {
    Class { name, visible: false, ciphertexts: (0..POOL).map(|_| make()).collect() }
}

fn visible(name: &'static str, make: impl FnMut() -> Vec<u8>) -> Class {
    Class { visible: true, ..class(name, make) }
}

/// The classes of a way of decrypting; the first is what the others are compared with.
pub fn of(probe: Probe, machine: &Machine, key: &WrappedKey, entropy: &System) -> Vec<Class> {
    let draw = |length: usize| drawn(entropy, length);
    match probe {
        Probe::OaepSha256 => oaep::<Sha256>(&Public::of(machine, key), &draw),
        Probe::OaepSha1 => oaep::<Sha1>(&Public::of(machine, key), &draw),
        Probe::Pkcs1 => pkcs1(&Public::of(machine, key), &draw),
        Probe::Sm2 => sm2(&|| encrypted(machine, key), &draw),
        Probe::Sm2Raw => sm2_raw(&|| encrypted(machine, key)),
    }
}

/// A wrapping key of an import.
pub fn wrapping_key(machine: &Machine) -> WrappedKey {
    machine.run(PARTITION, MakeSpareKey { most: 1 }).expect("a key pair");
    machine.run(PARTITION, TakeSpareKey { name: NAME, custody: Custody::Hsm }).expect("a wrapping key").0
}

fn drawn(entropy: &System, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    entropy.fill(&mut bytes).expect("random bytes");
    bytes
}

struct Public(rsa::PublicKey);

impl Public {
    fn of(machine: &Machine, key: &WrappedKey) -> Self {
        let der = machine.run(PARTITION, GetPublicKey { key: key.clone() }).expect("a public key");
        Self(rsa::PublicKey::from_public_key_der(&der).expect("a public key"))
    }

    /// RFC 8017 section 5.1.1, with the exponent 65537.
    fn raise(&self, encoded: &[u8]) -> Vec<u8> {
        let base = BoxedUint::from_be_slice(encoded, 8 * MODULUS_BYTES as u32).expect("256 bytes");
        let n = self.0.n();
        let base = base.rem(n);
        let power = (0..16).fold(base.clone(), |power, _| power.mul_mod(&power, n));
        power.mul_mod(&base, n).to_be_bytes().into()
    }

    fn modulus(&self) -> Vec<u8> {
        self.0.n().to_be_bytes().into()
    }

    fn below(&self, draw: &impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
        loop {
            let number = draw(MODULUS_BYTES);
            if number < self.modulus() {
                return number;
            }
        }
    }
}

/// RFC 8017 section 7.1.1, step 2, with what may be wrong about it.
struct Encoding {
    first: u8,
    label: &'static [u8],
    separator: u8,
}

const RIGHT: Encoding = Encoding { first: 0, label: b"", separator: 1 };

fn mask<H: Digest>(seed: &[u8], out: &mut [u8]) {
    let length = <H as Digest>::output_size();
    for (count, chunk) in (0_u32..).zip(out.chunks_mut(length)) {
        let hash = H::new().chain_update(seed).chain_update(count.to_be_bytes()).finalize();
        chunk.iter_mut().zip(&hash).for_each(|(out, mask)| *out ^= mask);
    }
}

fn encode<H: Digest>(encoding: &Encoding, seed: &[u8]) -> Vec<u8> {
    let hash = <H as Digest>::output_size();
    let mut encoded = vec![0; MODULUS_BYTES];
    encoded[0] = encoding.first;
    encoded[1..][..hash].copy_from_slice(seed);
    encoded[1 + hash..][..hash].copy_from_slice(&H::digest(encoding.label));
    let message_at = MODULUS_BYTES - PLAINTEXT.len();
    encoded[message_at - 1] = encoding.separator;
    encoded[message_at..].copy_from_slice(&PLAINTEXT);
    let (seed_masked, block) = encoded[1..].split_at_mut(hash);
    mask::<H>(seed, block);
    mask::<H>(block, seed_masked);
    encoded
}

fn oaep<H: Digest>(public: &Public, draw: &impl Fn(usize) -> Vec<u8>) -> Vec<Class> {
    let encoded =
        |encoding: &Encoding| public.raise(&encode::<H>(encoding, &draw(<H as Digest>::output_size())));
    vec![
        class("random, below the modulus", || public.below(draw)),
        class("first byte not zero", || encoded(&Encoding { first: 1, ..RIGHT })),
        class("another label", || encoded(&Encoding { label: b"label", ..RIGHT })),
        class("no byte before the message", || encoded(&Encoding { separator: 2, ..RIGHT })),
        visible("modulus and above", || above(public, draw)),
        visible("one byte too long", || [public.below(draw), vec![0]].concat()),
        visible("one byte too short", || public.below(draw)[1..].to_vec()),
        visible("empty", Vec::new),
    ]
}

fn above(public: &Public, draw: &impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    // The modulus is odd and its last bytes leave room nearly always; its first ones stay.
    let mut number = public.modulus();
    number[0] = 0xFF;
    number[1..].copy_from_slice(&draw(MODULUS_BYTES - 1));
    if number < public.modulus() { public.modulus() } else { number }
}

/// 0 ‖ 2 ‖ padding ‖ 0 ‖ material: RFC 8017 section 7.2.1.
fn pkcs1(public: &Public, draw: &impl Fn(usize) -> Vec<u8>) -> Vec<Class> {
    let padding = |length: usize| draw(length).into_iter().map(|byte| byte.max(1)).collect::<Vec<u8>>();
    let encoded = |head: [u8; 2], padding: Vec<u8>, end: u8, material: Vec<u8>| {
        let encoded = [head.as_slice(), &padding, &[end], &material].concat();
        assert_eq!(encoded.len(), MODULUS_BYTES);
        public.raise(&encoded)
    };
    let fitting = MODULUS_BYTES - 3 - 32;
    vec![
        class("random, below the modulus", || public.below(draw)),
        class("first byte not zero", || encoded([1, 2], padding(fitting), 0, draw(32))),
        class("another block type", || encoded([0, 1], padding(fitting), 0, draw(32))),
        class("no zero behind the padding", || encoded([0, 2], padding(fitting), 1, padding(32))),
        class("a zero early in the padding", || {
            let mut early = padding(fitting);
            early[3] = 0;
            encoded([0, 2], early, 0, draw(32))
        }),
        class("material of 31 bytes", || encoded([0, 2], padding(fitting + 1), 0, draw(31))),
        class("material of 16 bytes", || encoded([0, 2], padding(fitting + 16), 0, draw(16))),
        class("other material than at first", || encoded([0, 2], padding(fitting), 0, draw(32))),
        visible("modulus and above", || above(public, draw)),
        visible("one byte too short", || public.below(draw)[1..].to_vec()),
    ]
}

/// A ciphertext with a byte changed.
fn changed(mut ciphertext: Vec<u8>, at: usize) -> Vec<u8> {
    ciphertext[at] ^= 1;
    ciphertext
}

fn encrypted(machine: &Machine, key: &WrappedKey) -> Vec<u8> {
    let plaintext = Zeroizing::new(PLAINTEXT.to_vec());
    let command = AsymmetricEncrypt { key: key.clone(), scheme: EncryptionScheme::Sm2, plaintext };
    machine.run(PARTITION, command).expect("a ciphertext")
}

/// Ciphertexts of SM2 in DER; an encryption makes the good ones.
fn sm2(encrypt: &impl Fn() -> Vec<u8>, draw: &impl Fn(usize) -> Vec<u8>) -> Vec<Class> {
    let from_end = |back: usize| {
        let ciphertext = encrypt();
        let at = ciphertext.len() - back;
        changed(ciphertext, at)
    };
    vec![
        class("C3 changed", || from_end(PLAINTEXT.len() + 3)),
        class("C2 changed", || from_end(1)),
        class("C1 another point", || another_point(encrypt).der()),
        visible("C1 off the curve", || off_the_curve(encrypt).der()),
        visible("no DER", || [vec![0x31], draw(139)].concat()),
        visible("cut by a byte", || {
            let ciphertext = encrypt();
            ciphertext[..ciphertext.len() - 1].to_vec()
        }),
        visible("longer by a byte", || [encrypt(), vec![0]].concat()),
        visible("neither form", || [&[0], &Parts::of(&encrypt()).raw()[1..]].concat()),
        visible("C3 of 31 bytes", || {
            let mut parts = Parts::of(&encrypt());
            parts.hash.truncate(31);
            parts.der()
        }),
    ]
}

/// Ciphertexts of SM2 as C1 ‖ C3 ‖ C2.
fn sm2_raw(encrypt: &impl Fn() -> Vec<u8>) -> Vec<Class> {
    let raw = || Parts::of(&encrypt()).raw();
    vec![
        class("C3 changed", || changed(raw(), 65)),
        class("C2 changed", || changed(raw(), 97)),
        class("C1 another point", || another_point(encrypt).raw()),
        visible("C1 off the curve", || off_the_curve(encrypt).raw()),
        visible("C1 beyond the field", || Parts { x: [0xFF; 32], ..Parts::of(&encrypt()) }.raw()),
    ]
}

/// With the point of another ciphertext.
fn another_point(encrypt: &impl Fn() -> Vec<u8>) -> Parts {
    let (parts, other) = (Parts::of(&encrypt()), Parts::of(&encrypt()));
    Parts { x: other.x, y: other.y, ..parts }
}

fn off_the_curve(encrypt: &impl Fn() -> Vec<u8>) -> Parts {
    let mut parts = Parts::of(&encrypt());
    parts.y[31] ^= 1;
    parts
}

/// A ciphertext of SM2, taken apart.
struct Parts {
    x: [u8; 32],
    y: [u8; 32],
    hash: Vec<u8>,
    cipher: Vec<u8>,
}

impl Parts {
    /// Reads SEQUENCE { INTEGER, INTEGER, OCTET STRING, OCTET STRING }, with a plaintext of 32 bytes.
    fn of(der: &[u8]) -> Self {
        let content = &der[if der[1] < 0x80 { 2 } else { 3 }..];
        let (x, content) = integer(content);
        let (y, content) = integer(content);
        Self { x, y, hash: content[2..34].to_vec(), cipher: content[36..].to_vec() }
    }

    fn der(&self) -> Vec<u8> {
        let integer = |number: &[u8; 32]| {
            let significant = &number[number.iter().position(|byte| *byte != 0).unwrap_or(31)..];
            let pad: &[u8] = if significant[0] >= 0x80 { &[0] } else { &[] };
            [&[2, (pad.len() + significant.len()) as u8], pad, significant].concat()
        };
        let string = |bytes: &[u8]| [&[4, bytes.len() as u8], bytes].concat();
        let content = [integer(&self.x), integer(&self.y), string(&self.hash), string(&self.cipher)].concat();
        [&[0x30, 0x81, content.len() as u8], content.as_slice()].concat()
    }

    fn raw(&self) -> Vec<u8> {
        [&[4], self.x.as_slice(), &self.y, &self.hash, &self.cipher].concat()
    }
}

fn integer(content: &[u8]) -> ([u8; 32], &[u8]) {
    let (number, rest) = content[2..].split_at(usize::from(content[1]));
    let number = &number[number.len().saturating_sub(32)..];
    let mut padded = [0; 32];
    padded[32 - number.len()..].copy_from_slice(number);
    (padded, rest)
}
