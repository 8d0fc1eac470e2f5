//! Key pairs, made and proven: a pair is used only after its halves were seen to belong together. The one place where the
//! machine makes pairs. Imports the algorithms and what the partitions share.

use zeroize::Zeroizing;

use crate::alg::{rsa, sm2};
use crate::fault::Fault;
use crate::identity::{Algorithm, Purpose};
use crate::key_pair::KeyPair;
use crate::material::Material;
use crate::scheme::{DIGEST_BYTES, EncryptionScheme, ImportScheme, SignatureScheme};
use crate::shared::Shared;

/// Name of the test of the machine's own SM2 pairs.
pub(crate) const SM2: &str = "SM2 pairwise consistency";
/// Name of the test of customers' SM2 pairs, in their one use.
pub(crate) const SM2_KEY: &str = "SM2 key pairwise consistency";
/// Name of the test of RSA pairs, in their one use.
pub(crate) const RSA: &str = "RSA pairwise consistency";

const PROBE: &[u8] = b"pairwise consistency";
const DIGEST: [u8; DIGEST_BYTES] = [7; DIGEST_BYTES];

/// Makes an SM2 pair of the machine itself, which signs and decrypts. One that is inconsistent stops the machine.
pub(crate) fn generate_sm2(shared: &Shared) -> Result<sm2::PrivateKey, Fault> {
    let key = sm2::PrivateKey::generate(shared.entropy())?;
    check_sm2(shared, &key)?;
    Ok(key)
}

/// Makes a pair of an asymmetric algorithm and answers what is kept of it. One that is inconsistent stops the machine.
pub(crate) fn generate(shared: &Shared, algorithm: Algorithm, purpose: Purpose) -> Result<Material, Fault> {
    let (name, made, signature, encryption) = match algorithm {
        Algorithm::Rsa2048 => {
            let primes = rsa::generate(shared.entropy())?;
            (RSA, primes, SignatureScheme::RsaPkcs1Sha256, EncryptionScheme::OaepSha256)
        }
        Algorithm::Sm2 => {
            let key = sm2::PrivateKey::generate(shared.entropy())?;
            let number = Material::copy_of(key.material().expose());
            (SM2_KEY, number, SignatureScheme::Sm2, EncryptionScheme::Sm2)
        }
        Algorithm::Aes256 | Algorithm::Sm4 | Algorithm::CredentialHmac => return Err(Fault::WrongAlgorithm),
    };
    let copy = Material::copy_of(made.expose());
    let Ok(pair) = KeyPair::open(algorithm, purpose, copy) else { return Err(shared.fail(name)) };
    let corrupt = shared.corrupts(name);
    let consistent = match purpose {
        Purpose::Sign => signs(&pair, signature, shared, corrupt)?,
        Purpose::Decrypt => {
            decrypts(&pair, encryption, shared, corrupt, |ciphertext| pair.decrypt(encryption, ciphertext))?
        }
        Purpose::Unwrap => decrypts(&pair, encryption, shared, corrupt, |ciphertext| {
            pair.unwrap(ImportScheme::OaepSha256, ciphertext)
        })?,
        Purpose::Cipher | Purpose::Authenticate => return Err(Fault::WrongPurpose),
    };
    if consistent { Ok(made) } else { Err(shared.fail(name)) }
}

/// Whether the public half verifies what the private half signs, and nothing else.
fn signs(pair: &KeyPair, scheme: SignatureScheme, shared: &Shared, corrupt: bool) -> Result<bool, Fault> {
    let mut signature = pair.sign(scheme, &DIGEST, shared.entropy())?;
    signature[0] ^= u8::from(corrupt);
    let other = [DIGEST[0] ^ 1; DIGEST_BYTES];
    Ok(pair.verify(scheme, &DIGEST, &signature)? && !pair.verify(scheme, &other, &signature)?)
}

/// Whether the private half opens what the public half encrypts.
fn decrypts(
    pair: &KeyPair,
    scheme: EncryptionScheme,
    shared: &Shared,
    corrupt: bool,
    open: impl FnOnce(&[u8]) -> Result<Zeroizing<Vec<u8>>, Fault>,
) -> Result<bool, Fault> {
    let mut ciphertext = pair.encrypt(scheme, PROBE, shared.entropy())?;
    ciphertext[0] ^= u8::from(corrupt);
    Ok(open(&ciphertext).is_ok_and(|plaintext| *plaintext == PROBE))
}

/// Proves a pair: what the private key signs, the public key verifies; what the public key encrypts, the private key
/// decrypts. One that is inconsistent stops the machine.
pub(crate) fn check_sm2(shared: &Shared, key: &sm2::PrivateKey) -> Result<(), Fault> {
    let public = key.public();
    let mut signature = key.sign(PROBE, shared.entropy())?;
    if shared.corrupts(SM2) {
        signature[0] ^= 1;
    }
    let ciphertext = sm2::encrypt(&public, PROBE, shared.entropy())?;
    let signs = sm2::verify(&public, PROBE, &signature).is_ok();
    let decrypts = key.decrypt(&ciphertext).is_ok_and(|plaintext| *plaintext == PROBE);
    if signs && decrypts { Ok(()) } else { Err(shared.fail(SM2)) }
}
