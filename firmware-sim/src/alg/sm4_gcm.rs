//! SM4-GCM: the mode of NIST SP 800-38D over the block cipher of GB/T 32907, as RFC 8998 section 2 profiles it
//! (96-bit nonce, 128-bit tag). Imports `sm4` and the generic mode of `aes-gcm`, which is defined for any
//! 128-bit block cipher. A key and nonce are used once; the frame derives both from a fresh salt.

use aes_gcm::aead::consts::U12;
use aes_gcm::aead::inout::InOutBuf;
use aes_gcm::{AeadInOut, AesGcm, KeyInit};
use sm4::Sm4;

use crate::alg::{Forged, NONCE_BYTES, TAG_BYTES};

type Sm4Gcm = AesGcm<Sm4, U12>;

/// Encrypts `buffer` in place and returns the tag: RFC 8998 section 2.1, SP 800-38D section 7.1.
pub(crate) fn seal(
    key: &[u8; 16],
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    buffer: &mut [u8],
) -> [u8; TAG_BYTES] {
    Sm4Gcm::new(key.into())
        .encrypt_inout_detached(nonce.into(), associated, InOutBuf::from(buffer))
        .expect("a buffer in memory is shorter than 2^36 bytes: every caller bounds it by a named limit")
        .into()
}

/// Verifies the tag, then decrypts `buffer` in place: RFC 8998 section 2.1, SP 800-38D section 7.2.
pub(crate) fn open(
    key: &[u8; 16],
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> Result<(), Forged> {
    Sm4Gcm::new(key.into())
        .decrypt_inout_detached(nonce.into(), associated, InOutBuf::from(buffer), tag.into())
        .map_err(|_| Forged)
}

#[cfg(test)]
mod tests {
    use sm4::cipher::BlockCipherEncrypt;
    use zeroize::ZeroizeOnDrop;

    use super::*;
    use crate::alg::vectors::hex;

    fn wipes_on_drop<T: ZeroizeOnDrop>() {}

    #[test]
    fn expanded_keys_wipe_on_drop() {
        wipes_on_drop::<Sm4>();
        wipes_on_drop::<Sm4Gcm>();
    }

    /// GB/T 32907-2016, appendix A.1: one block under the example key.
    #[test]
    fn block_example() {
        let key: [u8; 16] = hex("0123456789abcdeffedcba9876543210").try_into().expect("16 bytes: literal");
        let mut block = key.into();
        Sm4::new(&key.into()).encrypt_block(&mut block);
        assert_eq!(block.as_slice(), hex("681edf34d206965e86b3e94f536e4246"));
    }
}
