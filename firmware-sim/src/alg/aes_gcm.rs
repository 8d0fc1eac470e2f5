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

    /// GCM specification (McGrew and Viega), appendix B, test case 16.
    #[test]
    fn specification_case_16() {
        let key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
        let key = key.as_slice().try_into().expect("32 bytes: literal");
        let nonce = hex("cafebabefacedbaddecaf888");
        let nonce = nonce.as_slice().try_into().expect("12 bytes: literal");
        let associated = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
        let plaintext = hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                             1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
        let mut buffer = plaintext.clone();
        let tag = seal(key, nonce, &associated, &mut buffer);
        assert_eq!(
            buffer,
            hex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                 8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662")
        );
        assert_eq!(tag.as_slice(), hex("76fc6ece0f4e1768cddf8853bb2d551b"));
        assert_eq!(open(key, nonce, &associated, &mut buffer, &tag), Ok(()));
        assert_eq!(buffer, plaintext);
        assert_eq!(open(key, nonce, &associated[1..], &mut buffer, &tag), Err(Forged));
    }
}
