//! AES-256-GCM: NIST SP 800-38D over FIPS 197, with a 96-bit nonce and a 128-bit tag. Imports `aes-gcm`. A key
//! and nonce are used once; the frame derives both from a fresh salt.

use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit};

use crate::alg::{Forged, NONCE_BYTES, TAG_BYTES};

/// Encrypts `buffer` in place and returns the tag: SP 800-38D section 7.1.
pub(crate) fn seal(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    buffer: &mut [u8],
) -> [u8; TAG_BYTES] {
    Aes256Gcm::new(key.into())
        .encrypt_inout_detached(nonce.into(), associated, InOutBuf::from(buffer))
        .expect("a buffer in memory is shorter than 2^36 bytes: every caller bounds it by a named limit")
        .into()
}

/// Verifies the tag, then decrypts `buffer` in place: SP 800-38D section 7.2.
pub(crate) fn open(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> Result<(), Forged> {
    Aes256Gcm::new(key.into())
        .decrypt_inout_detached(nonce.into(), associated, InOutBuf::from(buffer), tag.into())
        .map_err(|_| Forged)
}

#[cfg(test)]
mod tests {
    use aes_gcm::aes::Aes256;
    use zeroize::ZeroizeOnDrop;

    use super::*;
    use crate::alg::vectors::hex;

    fn wipes_on_drop<T: ZeroizeOnDrop>() {}

    #[test]
    fn expanded_keys_wipe_on_drop() {
        wipes_on_drop::<Aes256>();
        wipes_on_drop::<Aes256Gcm>();
    }

    /// GCM specification (McGrew and Viega), appendix B, test case 14.
    #[test]
    fn specification_case_14() {
        let mut buffer = [0; 16];
        let tag = seal(&[0; 32], &[0; 12], &[], &mut buffer);
        assert_eq!(buffer.as_slice(), hex("cea7403d4d606b6e074ec5d3baf39d18"));
        assert_eq!(tag.as_slice(), hex("d0d1c8a799996bf0265b98b5d48ab919"));
    }
}
