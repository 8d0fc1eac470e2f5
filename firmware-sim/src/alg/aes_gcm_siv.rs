//! AES-256-GCM-SIV: RFC 8452, with a 96-bit nonce. Imports `aes-gcm-siv`. Used where one key seals many things
//! under random nonces: a nonce that repeats then shows equal plaintexts and nothing more (RFC 8452 section 9).

use aes_gcm_siv::aead::inout::InOutBuf;
use aes_gcm_siv::{AeadInOut, Aes256GcmSiv, KeyInit};

use crate::alg::{Forged, NONCE_BYTES, TAG_BYTES};
use crate::material::Material;

/// An expanded key, ready to seal; the expanded form wipes on drop with the cipher inside it.
pub(crate) struct Sealer(Aes256GcmSiv);

impl Sealer {
    /// Expands a 32-byte key.
    pub(crate) fn new(key: &Material) -> Self {
        let key: &[u8; 32] =
            key.expose().try_into().expect("sealing keys are drawn, read and derived as 32 bytes");
        Self(Aes256GcmSiv::new(key.into()))
    }

    /// Encrypts `buffer` in place and returns the tag: RFC 8452 section 4.
    pub(crate) fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        associated: &[u8],
        buffer: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        assert!(!associated.is_empty(), "whatever is sealed is bound to where it lives");
        self.0
            .encrypt_inout_detached(nonce.into(), associated, InOutBuf::from(buffer))
            .expect("a buffer in memory is shorter than 2^36 bytes: every caller bounds it by a named limit")
            .into()
    }

    /// Decrypts `buffer` in place and verifies the tag: RFC 8452 section 5.
    pub(crate) fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        associated: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> Result<(), Forged> {
        self.0
            .decrypt_inout_detached(nonce.into(), associated, InOutBuf::from(buffer), tag.into())
            .map_err(|_| Forged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alg::vectors::hex;

    /// RFC 8452 appendix C.2: AES-256-GCM-SIV, 8 bytes of plaintext, 1 byte of additional data.
    #[test]
    fn rfc_8452_example() {
        let mut key = [0; 32];
        key[0] = 1;
        let mut nonce = [0; 12];
        nonce[0] = 3;
        let sealer = Sealer::new(&Material::copy_of(&key));
        let plaintext = hex("0200000000000000");
        let mut buffer = plaintext.clone();
        let tag = sealer.seal(&nonce, &[1], &mut buffer);
        assert_eq!(buffer, hex("1de22967237a8132"));
        assert_eq!(tag.as_slice(), hex("91213f267e3b452f02d01ae33e4ec854"));
        assert_eq!(sealer.open(&nonce, &[1], &mut buffer, &tag), Ok(()));
        assert_eq!(buffer, plaintext);
        assert_eq!(sealer.open(&nonce, &[2], &mut buffer, &tag), Err(Forged));
    }
}
