//! SM2, GB/T 32918: key pairs on the recommended curve of part 5, signatures with SM3 (part 2) under the default
//! identity, encryption in the order C1 C3 C2 (part 4). Imports `sm2`. The library's keys for decryption live for one call
//! each: they print their scalar and do not wipe themselves; what stays is a [`Material`]. Its keys for signing print nothing,
//! but do not wipe themselves either: ours is overwritten.

mod encoding;

use std::hint::black_box;
use std::sync::LazyLock;

use sm2::dsa::signature::hazmat::{PrehashVerifier, RandomizedPrehashSigner};
use sm2::dsa::signature::{RandomizedSigner, Verifier};
use sm2::dsa::{self, Signature, VerifyingKey};
use sm2::elliptic_curve::sec1::ToSec1Point;
use sm2::pke::{Cipher, DecryptingKey, EncryptingKey, Mode};
use sm2::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use self::encoding::decode_ciphertext;
pub(crate) use self::encoding::{decode_public, decode_signature, encode_public, encode_signature};
use crate::alg::Forged;
use crate::alg::source::Source;
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::material::Material;
use crate::scheme::DIGEST_BYTES;

/// Length of a private key.
pub(crate) const PRIVATE_BYTES: usize = 32;
/// Length of a public key, 4 ‖ x ‖ y.
pub(crate) const PUBLIC_BYTES: usize = 65;
/// Length of a signature, r ‖ s.
pub(crate) const SIGNATURE_BYTES: usize = 64;
/// How much longer a ciphertext is than its plaintext: C1 and C3.
pub(crate) const OVERHEAD_BYTES: usize = PUBLIC_BYTES + 32;

/// Identity of a signer that has no other: GM/T 0009 section 10.
const IDENTITY: &str = "1234567812345678";
const UNCOMPRESSED: u8 = 4;
/// Longest ciphertext, C1 ‖ C3 ‖ C2 (contract section 1.2).
const CIPHERTEXT_BYTES_MAX: usize = 6144;
/// The base point.
static GENERATOR: LazyLock<[u8; PUBLIC_BYTES]> = LazyLock::new(|| {
    let point = sm2::AffinePoint::GENERATOR.to_sec1_point(false);
    point.as_bytes().try_into().expect("an uncompressed point has 65 bytes")
});
/// Draws until one is a scalar; each fails with a chance of 2^-32.
const DRAWS_MAX: usize = 8;

/// A private key.
pub(crate) struct PrivateKey(Material);

impl PrivateKey {
    /// Draws a new key: GB/T 32918.1 section 6.1, by rejection. For `pairwise`, which proves it before it is used.
    pub(crate) fn generate(entropy: &dyn Entropy) -> Result<Self, Fault> {
        for _ in 0..DRAWS_MAX {
            if let Ok(key) = Self::from_material(Material::random(entropy, PRIVATE_BYTES)?) {
                return Ok(key);
            }
        }
        Err(Fault::Entropy)
    }

    /// Takes a key whose number lies in range.
    pub(crate) fn from_material(material: Material) -> Result<Self, Forged> {
        // The largest number in the range has no inverse of 1 + d and cannot sign.
        let key = Self(material);
        SecretKey::from_slice(key.0.expose()).map_err(|_| Forged)?;
        Ok(key)
    }

    /// The number, for files of this crate only.
    pub(crate) fn material(&self) -> &Material {
        &self.0
    }

    /// The public key that belongs to this one.
    pub(crate) fn public(&self) -> [u8; PUBLIC_BYTES] {
        let point = self.secret().public_key().to_sec1_point(false);
        point.as_bytes().try_into().expect("an uncompressed point has 65 bytes")
    }

    /// Signs a message with SM3 and the signer's Z: GB/T 32918.2 section 6. The nonce follows RFC 6979 over the key,
    /// the digest and fresh entropy, so that neither a weak source nor a repeated message repeats it.
    pub(crate) fn sign(&self, message: &[u8], entropy: &dyn Entropy) -> Result<[u8; SIGNATURE_BYTES], Fault> {
        let key = self.signing_key();
        let signature: Signature =
            key.0.try_sign_with_rng(&mut Source(entropy), message).map_err(|_| Fault::Entropy)?;
        Ok(signature.to_bytes().into())
    }

    /// The same key, ready to sign many times.
    pub(crate) fn signing_key(&self) -> SigningKey {
        let key = dsa::SigningKey::new(IDENTITY, &self.secret()).expect("the identity is short: 16 bytes");
        SigningKey(Box::new(key))
    }

    /// Decrypts a ciphertext in DER or as C1 ‖ C3 ‖ C2. What is no ciphertext at all costs as much as one that fails.
    pub(crate) fn decrypt_encoded(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Forged> {
        let (decoded, well_formed) = decode_ciphertext(ciphertext);
        let mut raw = stand_in(ciphertext);
        // Each step is taken once, by what came or by the other; both are there in every case.
        let point = if well_formed { &decoded } else { &raw };
        let possible = PublicKey::from_sec1_bytes(&point[..PUBLIC_BYTES]).is_ok() && well_formed;
        if possible {
            raw = decoded;
        }
        let opened = self.decrypt(&raw);
        if possible { opened } else { Err(Forged) }
    }

    /// Decrypts what [`encrypt`] made: GB/T 32918.4 section 7.
    pub(crate) fn decrypt(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Forged> {
        if ciphertext.len() <= OVERHEAD_BYTES || ciphertext.first() != Some(&UNCOMPRESSED) {
            return Err(Forged);
        }
        let cipher: Cipher<'_> = Cipher::from_slice(ciphertext, Mode::C1C3C2).map_err(|_| Forged)?;
        let mut plaintext = Zeroizing::new(vec![0; cipher.c2().len()]);
        let key = DecryptingKey::new(self.secret());
        key.decrypt_cipher_with_buf(&cipher, &mut plaintext).map_err(|_| Forged)?;
        // Step B4: a derived key of zeros is an error. The library lets it pass.
        if plaintext.as_slice() == cipher.c2() {
            return Err(Forged);
        }
        Ok(plaintext)
    }

    fn secret(&self) -> SecretKey {
        SecretKey::from_slice(self.0.expose()).expect("from_material checked the range")
    }
}

/// A private key that signs digests: e of GB/T 32918.2 section 6, step A2, which covers the identity. On the heap, so that
/// moving it copies a pointer.
pub(crate) struct SigningKey(Box<dsa::SigningKey>);

/// What a signing key becomes at its end: the key of the number 1, which is nobody's.
static NOBODYS: LazyLock<dsa::SigningKey> = LazyLock::new(|| {
    let mut number = [0; PRIVATE_BYTES];
    number[PRIVATE_BYTES - 1] = 1;
    dsa::SigningKey::from_slice(IDENTITY, &number).expect("1 is in range")
});

impl Drop for SigningKey {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl SigningKey {
    /// Writes another key over this one.
    fn wipe(&mut self) {
        *self.0 = NOBODYS.clone();
        // Whoever might look keeps the compiler from leaving the write out.
        black_box(&mut self.0);
    }

    /// The public key that belongs to this one.
    pub(crate) fn public(&self) -> [u8; PUBLIC_BYTES] {
        let point = self.0.verifying_key().to_sec1_point(false);
        point.as_bytes().try_into().expect("an uncompressed point has 65 bytes")
    }

    /// Signs a digest; the nonce is made as for [`PrivateKey::sign`].
    pub(crate) fn sign_digest(
        &self,
        digest: &[u8; DIGEST_BYTES],
        entropy: &dyn Entropy,
    ) -> Result<[u8; SIGNATURE_BYTES], Fault> {
        let signature: Signature =
            self.0.sign_prehash_with_rng(&mut Source(entropy), digest).map_err(|_| Fault::Entropy)?;
        Ok(signature.to_bytes().into())
    }

    /// Verifies a signature of a digest: GB/T 32918.2 section 7, from step B4.
    pub(crate) fn verify_digest(
        &self,
        digest: &[u8; DIGEST_BYTES],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), Forged> {
        let signature = Signature::from_bytes(&(*signature).into()).map_err(|_| Forged)?;
        self.0.verifying_key().verify_prehash(digest, &signature).map_err(|_| Forged)
    }
}

/// A ciphertext C1 ‖ C3 ‖ C2 that opens under no key, as long as this one is in that form.
fn stand_in(ciphertext: &[u8]) -> Vec<u8> {
    let encoding = if ciphertext.first() == Some(&UNCOMPRESSED) { 0 } else { encoding::DER_BYTES };
    // How long the numbers of DER are is not known; what people encrypt, data keys, is as long as this makes it.
    let plaintext = ciphertext.len().saturating_sub(OVERHEAD_BYTES + encoding).next_multiple_of(16);
    let mut raw = vec![0x5A; (OVERHEAD_BYTES + plaintext).clamp(OVERHEAD_BYTES + 16, CIPHERTEXT_BYTES_MAX)];
    raw[..PUBLIC_BYTES].copy_from_slice(&*GENERATOR);
    raw
}

/// Verifies a signature of the default identity: GB/T 32918.2 section 7.
pub(crate) fn verify(
    public: &[u8; PUBLIC_BYTES],
    message: &[u8],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<(), Forged> {
    let key = VerifyingKey::from_sec1_bytes(IDENTITY, public).map_err(|_| Forged)?;
    let signature = Signature::from_bytes(&(*signature).into()).map_err(|_| Forged)?;
    key.verify(message, &signature).map_err(|_| Forged)
}

/// Encrypts for the owner of a public key, C1 ‖ C3 ‖ C2: GB/T 32918.4 section 6. It hides, and does not authenticate:
/// everybody can encrypt.
pub(crate) fn encrypt(
    public: &[u8; PUBLIC_BYTES],
    plaintext: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, Fault> {
    let public = PublicKey::from_sec1_bytes(public).map_err(|_| Fault::InvalidWrappedKey)?;
    EncryptingKey::new_with_mode(public, Mode::C1C3C2)
        .encrypt(&mut Source(entropy), plaintext)
        .map_err(|_| Fault::Entropy)
}

/// The same in DER.
pub(crate) fn encrypt_encoded(
    public: &[u8; PUBLIC_BYTES],
    plaintext: &[u8],
    entropy: &dyn Entropy,
) -> Result<Vec<u8>, Fault> {
    let public = PublicKey::from_sec1_bytes(public).map_err(|_| Fault::InvalidWrappedKey)?;
    EncryptingKey::new(public).encrypt_der(&mut Source(entropy), plaintext).map_err(|_| Fault::Entropy)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use super::*;
    use crate::alg::answers::sm2::{CIPHERTEXT, MADE_SIGNATURE, NONCE, PRIVATE, SIGNATURE, SIGNED};
    use crate::alg::vectors::hex;
    use crate::entropy::Fixed;

    fn published() -> PrivateKey {
        PrivateKey::from_material(Material::copy_of(&PRIVATE)).expect("in range")
    }

    #[test]
    fn no_neighbour_of_the_published_signature_verifies() {
        let public = published().public();
        assert!(verify(&public, SIGNED, &SIGNATURE).is_ok());
        assert!(verify(&public, b"message digesu", &SIGNATURE).is_err());
        for at in 0..SIGNATURE_BYTES {
            let mut changed = SIGNATURE;
            changed[at] ^= 1;
            assert!(verify(&public, SIGNED, &changed).is_err(), "byte {at}");
        }
        assert!(verify(&public, SIGNED, &[0; SIGNATURE_BYTES]).is_err());
    }

    #[test]
    fn no_neighbour_of_the_published_ciphertext_opens() {
        let key = published();
        assert!(key.decrypt(&CIPHERTEXT).is_ok());
        for at in 0..CIPHERTEXT.len() {
            let mut changed = CIPHERTEXT;
            changed[at] ^= 1;
            assert!(key.decrypt(&changed).is_err(), "byte {at}");
            assert!(key.decrypt(&CIPHERTEXT[..at]).is_err(), "cut to {at}");
        }
    }

    /// One byte is short enough to find a nonce whose derived key is zero. The library alone opens such a ciphertext.
    #[test]
    fn a_derived_key_of_zeros_is_refused() {
        let key = published();
        for number in 1..4096_u16 {
            let nonce = [&number.to_be_bytes(), &NONCE[2..]].concat();
            // The library draws again when all of the derived key is zero; so two bytes, of which the first counts.
            let made = encrypt(&key.public(), &[7, 7], &Fixed::new(&nonce)).expect("a ciphertext");
            let cipher: Cipher<'_> = Cipher::from_slice(&made, Mode::C1C3C2).expect("its own ciphertext");
            if cipher.c2()[0] != 7 {
                continue;
            }
            let point = sm2::ProjectivePoint::from(*cipher.c1()) * *key.secret().to_nonzero_scalar();
            let point = point.to_affine().to_sec1_point(false);
            let (x, y) = (point.x().expect("a point"), point.y().expect("a point"));
            let hash = crate::alg::sm3::digest(&[x.as_slice(), &[7], y.as_slice()].concat());
            let forged = [&made[..PUBLIC_BYTES], &hash, &[7]].concat();
            assert_eq!(DecryptingKey::new(key.secret()).decrypt(&forged).expect("the library's fault"), [7]);
            assert!(key.decrypt(&forged).is_err());
            return;
        }
        panic!("no nonce of 4095 derives a zero");
    }

    #[test]
    fn signatures_differ_and_verify_whatever_the_entropy() {
        let key = published();
        let stuck = Fixed::new(&[0]);
        let one = key.sign(b"one", &stuck).expect("a signature");
        let two = key.sign(b"two", &stuck).expect("a signature");
        let again = key.sign(b"one", &Fixed::new(&[1])).expect("a signature");
        assert!(one[..32] != two[..32] && one[..32] != again[..32], "no nonce serves twice");
        for (message, signature) in [(b"one", one), (b"two", two), (b"one", again)] {
            assert!(verify(&key.public(), message, &signature).is_ok());
        }
    }

    #[test]
    fn a_signing_key_is_overwritten_at_its_end() {
        let mut key = published().signing_key();
        assert_eq!(key.public(), published().public());
        key.wipe();
        assert_eq!(*key.0.as_nonzero_scalar().as_ref(), sm2::Scalar::ONE);
    }

    #[test]
    fn numbers_out_of_range_are_no_keys() {
        for number in [[0; 32], [0xff; 32]] {
            assert!(PrivateKey::from_material(Material::copy_of(&number)).is_err());
            assert!(matches!(PrivateKey::generate(&Fixed::new(&number)), Err(Fault::Entropy)));
        }
    }

    /// Runs openssl in a directory.
    fn openssl(folder: &Path, arguments: &str) -> bool {
        let mut command = Command::new("openssl");
        command.current_dir(folder).args(arguments.split(' '));
        command.output().expect("these tests need openssl 3 in the PATH").status.success()
    }

    /// An integer of DER.
    fn integer(number: &[u8]) -> Vec<u8> {
        let significant = &number[number.iter().position(|byte| *byte != 0).expect("not zero")..];
        let pad: &[u8] = if significant[0] >= 0x80 { &[0] } else { &[] };
        [&[2, (pad.len() + significant.len()) as u8], pad, significant].concat()
    }

    fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
        let content = parts.concat();
        assert!(content.len() < 256);
        let length: &[u8] = if content.len() < 128 { &[] } else { &[0x81] };
        [&[0x30], length, &[content.len() as u8], content.as_slice()].concat()
    }

    #[test]
    fn openssl_reads_our_ciphertexts_and_signatures() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("a file");
        let (key, public) = (published(), published().public());
        // SEC 1 private key and SubjectPublicKeyInfo of the curve 1.2.156.10197.1.301.
        let (start, end) = (hex("30770201010420"), hex("a00a06082a811ccf5501822da14403420004"));
        write("key.der", &[start.as_slice(), &PRIVATE, &end, &public[1..]].concat());
        let head = hex("3059301306072a8648ce3d020106082a811ccf5501822d034200");
        write("public.der", &[head.as_slice(), &public].concat());
        let der = |signature: &[u8; SIGNATURE_BYTES]| {
            sequence(&[integer(&signature[..32]), integer(&signature[32..])])
        };
        let verify = "pkeyutl -verify -pubin -inkey public.der -keyform DER -rawin -digest sm3 \
                      -pkeyopt distid:1234567812345678 -in message -sigfile signature";
        assert_eq!(key.sign(SIGNED, &Fixed::new(&NONCE)).expect("a signature"), MADE_SIGNATURE);
        write("message", SIGNED);
        write("signature", &der(&MADE_SIGNATURE));
        assert!(openssl(folder.path(), verify), "the signature among the known answers");
        for (number, length) in (1..).zip([1, 31, 32, 33, 200]) {
            let seed = [number; 7];
            let entropy = Fixed::new(&seed);
            let message = vec![length as u8; length];
            let made = encrypt(&public, &message, &entropy).expect("a ciphertext");
            let (c3, c2) = made[PUBLIC_BYTES..].split_at(32);
            if length <= 100 {
                let string = |bytes: &[u8]| [&[4, bytes.len() as u8], bytes].concat();
                let der = [integer(&made[1..33]), integer(&made[33..65]), string(c3), string(c2)];
                write("ciphertext", &sequence(&der));
                assert!(openssl(
                    folder.path(),
                    "pkeyutl -decrypt -inkey key.der -keyform DER -in ciphertext -out plaintext"
                ));
                assert_eq!(fs::read(folder.path().join("plaintext")).expect("a file"), message);
            }
            let signature = key.sign(&message, &entropy).expect("a signature");
            write("message", &message);
            write("signature", &der(&signature));
            assert!(openssl(folder.path(), verify), "{length} bytes");
            write("message", b"another");
            assert!(!openssl(folder.path(), verify), "another message");
        }
    }
}
