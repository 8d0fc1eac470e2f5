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
