//! Key pairs, made and proven: a pair is used only after its halves were seen to belong together. The one place where the
//! machine makes pairs. Imports the algorithms and what the partitions share.

use crate::alg::sm2;
use crate::fault::Fault;
use crate::shared::Shared;

/// Name of the test.
pub(crate) const SM2: &str = "SM2 pairwise consistency";

const PROBE: &[u8] = b"pairwise consistency";

/// Makes an SM2 pair. One that is inconsistent stops the machine.
pub(crate) fn generate_sm2(shared: &Shared) -> Result<sm2::PrivateKey, Fault> {
    let key = sm2::PrivateKey::generate(shared.entropy())?;
    check_sm2(shared, &key)?;
    Ok(key)
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
