//! Known-answer tests: one for each direction of each algorithm and form that the machine uses, against the published
//! vectors in `alg/answers`. A forgery is an answer too: what must be refused. Imports the algorithms and the frame.

use std::panic::catch_unwind;
use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::alg::aes_gcm_siv::Sealer;
use crate::alg::argon2id::Cost;
use crate::alg::rsa::{self, Padding, SignaturePadding};
use crate::alg::sha256::MacKey;
use crate::alg::{TAG_BYTES, aes_gcm, answers, hkdf, sm2, sm3, sm4_gcm};
use crate::entropy::Fixed;
use crate::frame::{self, Frame, FrameKey};
use crate::identity::{KeyName, Purpose};
use crate::material::Material;

/// One test: whether the machine gives this answer.
pub(crate) struct KnownAnswer {
    /// Its name, for operators and the test switch.
    pub(crate) name: &'static str,
    answer: &'static [u8],
    holds: fn(&[u8]) -> bool,
}

const fn test(name: &'static str, answer: &'static [u8], holds: fn(&[u8]) -> bool) -> KnownAnswer {
    KnownAnswer { name, answer, holds }
}

/// Every test. The answer of a forgery is the genuine one with a bit flipped, so that a corrupted one is genuine.
pub(crate) const KNOWN_ANSWERS: &[KnownAnswer] = &[
    test("SHA-256", &answers::SHA_256, |answer| *Sha256::digest(b"abc") == *answer),
    test("SM3", &answers::SM3, |answer| sm3::digest(b"abc") == *answer),
    test("HMAC-SHA-256", &answers::HMAC_SHA_256, |answer| {
        MacKey::new(b"Jefe").mac(b"what do ya want for nothing?") == *answer
    }),
    test("HMAC-SM3", &answers::hmac_sm3::TAG, |answer| {
        sm3::mac(&answers::hmac_sm3::KEY, &[&answers::hmac_sm3::MESSAGE]) == *answer
    }),
    test("HKDF-SHA-256", &answers::hkdf::SHA_256, |answer| derives(hkdf::sha256, answer)),
    test("HKDF-SM3", &answers::hkdf::SM3, |answer| derives(hkdf::sm3, answer)),
    test("Argon2id", &answers::ARGON2ID, |answer| {
        let cost = Cost { memory_kib: 256, passes: 2, lanes: 1 };
        cost.derive(b"password", b"somesalt").is_ok_and(|key| key.expose() == answer)
    }),
    test("AES-256-GCM encryption", &answers::aes_gcm::SEALED, aes_gcm_seals),
    test("AES-256-GCM decryption", &answers::aes_gcm::PLAINTEXT, |answer| {
        aes_gcm_opens(&answers::aes_gcm::SEALED).is_some_and(|plaintext| plaintext == answer)
    }),
    test("AES-256-GCM forgery", &forged(answers::aes_gcm::SEALED), |answer| aes_gcm_opens(answer).is_none()),
    test("AES-256-GCM-SIV encryption", &answers::aes_gcm_siv::SEALED, siv_seals),
    test("AES-256-GCM-SIV decryption", &answers::aes_gcm_siv::PLAINTEXT, |answer| {
        siv_opens(&answers::aes_gcm_siv::SEALED).is_some_and(|plaintext| plaintext == answer)
    }),
    test("AES-256-GCM-SIV forgery", &forged(answers::aes_gcm_siv::SEALED), |answer| {
        siv_opens(answer).is_none()
    }),
    test("SM4-GCM encryption", &answers::sm4_gcm::SEALED, sm4_gcm_seals),
    test("SM4-GCM decryption", &answers::sm4_gcm::PLAINTEXT, |answer| {
        sm4_gcm_opens(&answers::sm4_gcm::SEALED).is_some_and(|plaintext| plaintext == answer)
    }),
    test("SM4-GCM forgery", &forged(answers::sm4_gcm::SEALED), |answer| sm4_gcm_opens(answer).is_none()),
    test("SM2 signing", &answers::sm2::MADE_SIGNATURE, sm2_signs),
    test("SM2 verification", &answers::sm2::SIGNATURE, sm2_verifies),
    test("SM2 forgery", &forged(answers::sm2::SIGNATURE), |answer| !sm2_verifies(answer)),
    test("SM2 encryption", &answers::sm2::CIPHERTEXT, sm2_encrypts),
    test("SM2 decryption", answers::sm2::PLAINTEXT, |answer| {
        sm2_decrypts(&answers::sm2::CIPHERTEXT).is_some_and(|plaintext| plaintext == answer)
    }),
    test("SM2 damaged ciphertext", &forged(answers::sm2::CIPHERTEXT), |answer| {
        sm2_decrypts(answer).is_none()
    }),
    test("SM2 digest signing", &answers::sm2::MADE_SIGNATURE, sm2_signs_digest),
    test("SM2 digest verification", &answers::sm2::SIGNATURE, sm2_verifies_digest),
    test("SM2 digest forgery", &forged(answers::sm2::SIGNATURE), |answer| !sm2_verifies_digest(answer)),
    test("SM2 signature encoding", &answers::sm2::SIGNATURE_DER, |answer| {
        sm2::encode_signature(&answers::sm2::SIGNATURE) == answer
    }),
    test("SM2 signature decoding", &answers::sm2::SIGNATURE, |answer| {
        sm2::decode_signature(&answers::sm2::SIGNATURE_DER).is_ok_and(|signature| signature == answer)
    }),
    test("SM2 encoded encryption", &answers::sm2::CIPHERTEXT_DER, |answer| {
        let entropy = Fixed::new(&answers::sm2::NONCE);
        sm2::encrypt_encoded(&sm2_key().public(), answers::sm2::PLAINTEXT, &entropy)
            .is_ok_and(|made| made == answer)
    }),
    test("SM2 encoded decryption", answers::sm2::PLAINTEXT, |answer| {
        sm2_key().decrypt_encoded(&answers::sm2::CIPHERTEXT_DER).is_ok_and(|plaintext| *plaintext == answer)
    }),
    test("RSA PKCS#1 signing", &answers::rsa::PKCS1_SIGNATURE, |answer| {
        let signed = rsa_signs(SignaturePadding::Pkcs1, &answers::rsa::DIGEST);
        signed.is_some_and(|signature| signature == answer)
    }),
    test("RSA PKCS#1 verification", &answers::rsa::PKCS1_SIGNATURE, |answer| {
        rsa_verifies(SignaturePadding::Pkcs1, answer)
    }),
    test("RSA PKCS#1 forgery", &forged(answers::rsa::PKCS1_SIGNATURE), |answer| {
        !rsa_verifies(SignaturePadding::Pkcs1, answer)
    }),
    // The salt is random: what is signed, anybody can verify.
    test("RSA PSS signing", &answers::rsa::DIGEST, |answer| {
        let signed = rsa_signs(SignaturePadding::Pss, answer);
        signed.is_some_and(|signature| rsa_verifies(SignaturePadding::Pss, &signature))
    }),
    test("RSA PSS verification", &answers::rsa::PSS_SIGNATURE, |answer| {
        rsa_verifies(SignaturePadding::Pss, answer)
    }),
    test("RSA PSS forgery", &forged(answers::rsa::PSS_SIGNATURE), |answer| {
        !rsa_verifies(SignaturePadding::Pss, answer)
    }),
    test("RSA OAEP-SHA-256 encryption", &answers::rsa::OAEP_SHA_256, |answer| {
        rsa_encrypts(Padding::OaepSha256, &answers::rsa::OAEP_SHA_256_SEED, answer)
    }),
    test("RSA OAEP-SHA-256 decryption", answers::rsa::MESSAGE, |answer| {
        rsa_decrypts(Padding::OaepSha256, &answers::rsa::OAEP_SHA_256).is_some_and(|opened| opened == answer)
    }),
    test("RSA OAEP-SHA-256 damaged ciphertext", &forged(answers::rsa::OAEP_SHA_256), |answer| {
        rsa_decrypts(Padding::OaepSha256, answer).is_none()
    }),
    test("RSA OAEP-SHA-1 encryption", &answers::rsa::OAEP_SHA_1, |answer| {
        rsa_encrypts(Padding::OaepSha1, &answers::rsa::OAEP_SHA_1_SEED, answer)
    }),
    test("RSA OAEP-SHA-1 decryption", answers::rsa::MESSAGE, |answer| {
        rsa_decrypts(Padding::OaepSha1, &answers::rsa::OAEP_SHA_1).is_some_and(|opened| opened == answer)
    }),
    test("RSA OAEP-SHA-1 damaged ciphertext", &forged(answers::rsa::OAEP_SHA_1), |answer| {
        rsa_decrypts(Padding::OaepSha1, answer).is_none()
    }),
    test("RSA PKCS#1 decryption", answers::rsa::MESSAGE, |answer| {
        rsa_decrypts(Padding::Pkcs1, &answers::rsa::PKCS1).is_some_and(|opened| opened == answer)
    }),
    test("RSA PKCS#1 damaged ciphertext", &forged(answers::rsa::PKCS1), |answer| {
        rsa_decrypts(Padding::Pkcs1, answer).is_none()
    }),
    test("frame AES_256 encryption", &answers::frame::AES_256, |answer| frame_seals(AES_256_KEY, answer)),
    test("frame AES_256 decryption", answers::frame::PLAINTEXT, |answer| {
        frame_opens(AES_256_KEY, &answers::frame::AES_256).is_some_and(|plaintext| plaintext == answer)
    }),
    test("frame AES_256 forgery", &forged(answers::frame::AES_256), |answer| {
        frame_opens(AES_256_KEY, answer).is_none()
    }),
    test("frame Ctyun_SM4 encryption", &answers::frame::SM4, |answer| frame_seals(SM4_KEY, answer)),
    test("frame Ctyun_SM4 decryption", answers::frame::PLAINTEXT, |answer| {
        frame_opens(SM4_KEY, &answers::frame::SM4).is_some_and(|plaintext| plaintext == answer)
    }),
    test("frame Ctyun_SM4 forgery", &forged(answers::frame::SM4), |answer| {
        frame_opens(SM4_KEY, answer).is_none()
    }),
];

impl KnownAnswer {
    /// Whether the machine gives the answer; a library that panics does not. `corrupt` flips a bit of the answer first.
    pub(crate) fn passes(&self, corrupt: bool) -> bool {
        let mut answer = self.answer.to_vec();
        if corrupt {
            flip(&mut answer);
        }
        let holds = self.holds;
        catch_unwind(move || holds(&answer)).unwrap_or(false)
    }
}

/// The same with a bit of the last byte flipped.
const fn forged<const N: usize>(mut genuine: [u8; N]) -> [u8; N] {
    flip(&mut genuine);
    genuine
}

const fn flip(bytes: &mut [u8]) {
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
}

type Derive = fn(&[u8], Option<&[u8]>, &[&[u8]], &mut [u8]);

fn derives(derive: Derive, answer: &[u8]) -> bool {
    let mut out = vec![0; answer.len()];
    let (start, end) = answers::hkdf::INFO.split_at(5);
    derive(&answers::hkdf::KEY, Some(&answers::hkdf::SALT), &[start, end], &mut out);
    out == answer
}

/// Parts ciphertext and tag.
fn part(sealed: &[u8]) -> (Vec<u8>, &[u8; TAG_BYTES]) {
    let (ciphertext, tag) = sealed.split_last_chunk().expect("sealed answers end with a tag");
    (ciphertext.to_vec(), tag)
}

fn aes_gcm_seals(answer: &[u8]) -> bool {
    use answers::aes_gcm::{ASSOCIATED, KEY, NONCE, PLAINTEXT};
    let mut buffer = PLAINTEXT;
    let tag = aes_gcm::seal(&KEY, &NONCE, &ASSOCIATED, &mut buffer);
    [buffer.as_slice(), &tag].concat() == answer
}

fn aes_gcm_opens(sealed: &[u8]) -> Option<Vec<u8>> {
    use answers::aes_gcm::{ASSOCIATED, KEY, NONCE};
    let (mut buffer, tag) = part(sealed);
    aes_gcm::open(&KEY, &NONCE, &ASSOCIATED, &mut buffer, tag).ok().map(|()| buffer)
}

fn siv_seals(answer: &[u8]) -> bool {
    use answers::aes_gcm_siv::{ASSOCIATED, KEY, NONCE, PLAINTEXT};
    let mut buffer = PLAINTEXT;
    let tag = Sealer::new(&Material::copy_of(&KEY)).seal(&NONCE, &ASSOCIATED, &mut buffer);
    [buffer.as_slice(), &tag].concat() == answer
}

fn siv_opens(sealed: &[u8]) -> Option<Vec<u8>> {
    use answers::aes_gcm_siv::{ASSOCIATED, KEY, NONCE};
    let (mut buffer, tag) = part(sealed);
    Sealer::new(&Material::copy_of(&KEY)).open(&NONCE, &ASSOCIATED, &mut buffer, tag).ok().map(|()| buffer)
}

fn sm4_gcm_seals(answer: &[u8]) -> bool {
    use answers::sm4_gcm::{ASSOCIATED, KEY, NONCE, PLAINTEXT};
    let mut buffer = PLAINTEXT;
    let tag = sm4_gcm::seal(&KEY, &NONCE, &ASSOCIATED, &mut buffer);
    [buffer.as_slice(), &tag].concat() == answer
}

fn sm4_gcm_opens(sealed: &[u8]) -> Option<Vec<u8>> {
    use answers::sm4_gcm::{ASSOCIATED, KEY, NONCE};
    let (mut buffer, tag) = part(sealed);
    sm4_gcm::open(&KEY, &NONCE, &ASSOCIATED, &mut buffer, tag).ok().map(|()| buffer)
}

fn sm2_key() -> sm2::PrivateKey {
    sm2::PrivateKey::from_material(Material::copy_of(&answers::sm2::PRIVATE))
        .expect("the published key is in range")
}

fn sm2_signs(answer: &[u8]) -> bool {
    sm2_key().sign(answers::sm2::SIGNED, &Fixed::new(&answers::sm2::NONCE)).is_ok_and(|made| made == *answer)
}

fn sm2_verifies(signature: &[u8]) -> bool {
    let signature = signature.first_chunk().expect("signatures have 64 bytes");
    sm2::verify(&sm2_key().public(), answers::sm2::SIGNED, signature).is_ok()
}

fn sm2_encrypts(answer: &[u8]) -> bool {
    let entropy = Fixed::new(&answers::sm2::NONCE);
    sm2::encrypt(&sm2_key().public(), answers::sm2::PLAINTEXT, &entropy).is_ok_and(|made| made == answer)
}

fn sm2_decrypts(ciphertext: &[u8]) -> Option<Vec<u8>> {
    sm2_key().decrypt(ciphertext).ok().map(|plaintext| plaintext.to_vec())
}

fn sm2_signs_digest(answer: &[u8]) -> bool {
    let entropy = Fixed::new(&answers::sm2::NONCE);
    let signed = sm2_key().signing_key().sign_digest(&answers::sm2::DIGEST, &entropy);
    signed.is_ok_and(|made| made == *answer)
}

fn sm2_verifies_digest(signature: &[u8]) -> bool {
    let signature = signature.first_chunk().expect("signatures have 64 bytes");
    sm2_key().signing_key().verify_digest(&answers::sm2::DIGEST, signature).is_ok()
}

/// The key of the vectors, which anybody may know: opened once for each use, because that takes longer than all they do with it.
static RSA_SIGNING: LazyLock<rsa::PrivateKey> = LazyLock::new(|| rsa_key(Purpose::Sign));
static RSA_UNWRAPPING: LazyLock<rsa::PrivateKey> = LazyLock::new(|| rsa_key(Purpose::Unwrap));

fn rsa_key(purpose: Purpose) -> rsa::PrivateKey {
    rsa::PrivateKey::open(&Material::copy_of(&answers::rsa::PRIMES), purpose)
        .expect("the published primes make a key")
}

fn rsa_signs(padding: SignaturePadding, digest: &[u8]) -> Option<Vec<u8>> {
    let digest = digest.first_chunk().expect("a digest has 32 bytes");
    RSA_SIGNING.sign(padding, digest).ok().map(Vec::from)
}

fn rsa_verifies(padding: SignaturePadding, signature: &[u8]) -> bool {
    RSA_SIGNING.public().verify(padding, &answers::rsa::DIGEST, signature).is_ok()
}

fn rsa_encrypts(padding: Padding, seed: &[u8], answer: &[u8]) -> bool {
    let made = RSA_UNWRAPPING.public().encrypt(padding, answers::rsa::MESSAGE, &Fixed::new(seed));
    made.is_ok_and(|made| made == answer)
}

fn rsa_decrypts(padding: Padding, ciphertext: &[u8]) -> Option<Vec<u8>> {
    RSA_UNWRAPPING.decrypt(padding, ciphertext).ok().map(|plaintext| plaintext.to_vec())
}

/// How the key version of a frame is made from its clear bytes.
type MakeKey = fn(&Material) -> FrameKey<'_>;

const AES_256_KEY: (MakeKey, u8) = (|material| FrameKey::Aes256(material), 32);
const SM4_KEY: (MakeKey, u8) = (|material| FrameKey::Sm4(material), 16);

/// The frame of the vectors with this behind its header.
fn whole_frame(payload: &[u8]) -> Vec<u8> {
    [frame::header(&frame_name()).as_slice(), payload].concat()
}

fn frame_name() -> KeyName {
    KeyName {
        key: std::array::from_fn(|at| 0x10 + at as u8),
        version: std::array::from_fn(|at| 0xa0 + at as u8),
    }
}

fn frame_context() -> std::collections::BTreeMap<String, String> {
    answers::frame::CONTEXT.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn frame_seals((make, bytes): (MakeKey, u8), answer: &[u8]) -> bool {
    use answers::frame::{ACCOUNT, PLAINTEXT, SALT};
    let material = Material::copy_of(&(0..bytes).collect::<Vec<u8>>());
    let entropy = Fixed::new(&SALT);
    let sealed = frame::seal(&frame_name(), make(&material), ACCOUNT, &frame_context(), PLAINTEXT, &entropy);
    sealed.is_ok_and(|sealed| sealed == whole_frame(answer))
}

fn frame_opens((make, bytes): (MakeKey, u8), payload: &[u8]) -> Option<Vec<u8>> {
    let material = Material::copy_of(&(0..bytes).collect::<Vec<u8>>());
    let frame = Frame::parse(&whole_frame(payload)).ok()?;
    let opened = frame.open(make(&material), answers::frame::ACCOUNT, &frame_context());
    opened.ok().map(|plaintext| plaintext.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_answer_holds_and_no_corrupted_one_does() {
        for test in KNOWN_ANSWERS {
            assert!(test.passes(false), "{}", test.name);
            assert!(!test.passes(true), "{} corrupted", test.name);
        }
    }
}
