//! Key pairs, made and proven: a pair is used only after its halves were seen to belong together. The one place where the
//! machine makes pairs. Imports the algorithms and what the partitions share.

use crate::alg::{rsa, sm2};
use crate::fault::Fault;
use crate::identity::{Algorithm, Purpose};
use crate::key_pair::KeyPair;
use crate::material::Material;
use crate::scheme::{DIGEST_BYTES, EncryptionScheme, ImportScheme, SignatureScheme};
use crate::shared::Shared;

/// Name of the test of SM2 pairs.
pub(crate) const SM2: &str = "SM2 pairwise consistency";
/// Name of the test of RSA pairs.
pub(crate) const RSA: &str = "RSA pairwise consistency";

const PROBE: &[u8] = b"pairwise consistency";

/// Makes an SM2 pair. One that is inconsistent stops the machine.
pub(crate) fn generate_sm2(shared: &Shared) -> Result<sm2::PrivateKey, Fault> {
    let key = sm2::PrivateKey::generate(shared.entropy())?;
    check_sm2(shared, &key)?;
    Ok(key)
}

/// Makes a pair of an asymmetric algorithm and answers what is kept of it. One that is inconsistent stops the machine.
pub(crate) fn generate(shared: &Shared, algorithm: Algorithm, purpose: Purpose) -> Result<Material, Fault> {
    match algorithm {
        Algorithm::Rsa2048 => {
            let primes = rsa::generate(shared.entropy())?;
            check_rsa(shared, &primes, purpose)?;
            Ok(primes)
        }
        Algorithm::Sm2 => Ok(Material::copy_of(generate_sm2(shared)?.material().expose())),
        Algorithm::Aes256 | Algorithm::Sm4 | Algorithm::CredentialHmac => Err(Fault::WrongAlgorithm),
    }
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

/// Proves an RSA pair in its one use.
fn check_rsa(shared: &Shared, primes: &Material, purpose: Purpose) -> Result<(), Fault> {
    let primes = Material::copy_of(primes.expose());
    let Ok(pair) = KeyPair::open(Algorithm::Rsa2048, purpose, primes) else { return Err(shared.fail(RSA)) };
    let corrupt = u8::from(shared.corrupts(RSA));
    let consistent = match purpose {
        Purpose::Sign => {
            let (scheme, digest) = (SignatureScheme::RsaPkcs1Sha256, [7; DIGEST_BYTES]);
            let mut signature = pair.sign(scheme, &digest, shared.entropy())?;
            signature[0] ^= corrupt;
            pair.verify(scheme, &digest, &signature)?
        }
        Purpose::Decrypt | Purpose::Unwrap => {
            let mut ciphertext = pair.encrypt(EncryptionScheme::OaepSha256, PROBE, shared.entropy())?;
            ciphertext[0] ^= corrupt;
            pair.unwrap(ImportScheme::OaepSha256, &ciphertext).is_ok_and(|plaintext| *plaintext == PROBE)
        }
        Purpose::Cipher | Purpose::Authenticate => return Err(Fault::WrongPurpose),
    };
    if consistent { Ok(()) } else { Err(shared.fail(RSA)) }
}
