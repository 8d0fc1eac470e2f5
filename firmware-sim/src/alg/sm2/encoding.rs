//! The forms in which SM2 values travel: signatures and ciphertexts as DER (GM/T 0009 section 7) or as plain bytes, public keys
//! as SubjectPublicKeyInfo. What is decoded is in range and on the curve.

use sm2::PublicKey;
use sm2::dsa::{DerSignature, Signature};
use sm2::elliptic_curve::sec1::ToSec1Point;
use sm2::pkcs8::der::{Decode, Encode};
use sm2::pkcs8::{DecodePublicKey, EncodePublicKey};
use sm2::pke::{Cipher, Mode};

use super::{CIPHERTEXT_BYTES_MAX, PUBLIC_BYTES, SIGNATURE_BYTES, UNCOMPRESSED};
use crate::alg::Forged;
use crate::fault::Fault;

/// DER `SEQUENCE { r, s }`.
pub(crate) fn encode_signature(signature: &[u8; SIGNATURE_BYTES]) -> Vec<u8> {
    let signature = Signature::from_bytes(&(*signature).into()).expect("a signature just made is in range");
    signature.to_der().as_bytes().to_vec()
}

/// Reads a signature in DER or as r ‖ s.
pub(crate) fn decode_signature(bytes: &[u8]) -> Result<[u8; SIGNATURE_BYTES], Forged> {
    if let Ok(raw) = bytes.try_into() {
        return Ok(raw);
    }
    let signature = DerSignature::from_bytes(bytes).map_err(|_| Forged)?;
    Ok(Signature::try_from(signature).map_err(|_| Forged)?.to_bytes().into())
}

/// DER `SEQUENCE { x, y, hash, cipher }` of C1 ‖ C3 ‖ C2.
pub(crate) fn encode_ciphertext(raw: &[u8]) -> Result<Vec<u8>, Fault> {
    let cipher: Cipher<'_> = Cipher::from_slice(raw, Mode::C1C3C2).map_err(|_| Fault::InvalidCiphertext)?;
    cipher.to_der().map_err(|_| Fault::InvalidCiphertext)
}

/// Reads a ciphertext in DER or as C1 ‖ C3 ‖ C2, and answers the latter.
pub(crate) fn decode_ciphertext(bytes: &[u8]) -> Result<Vec<u8>, Forged> {
    if bytes.first() == Some(&UNCOMPRESSED) {
        return if bytes.len() <= CIPHERTEXT_BYTES_MAX { Ok(bytes.to_vec()) } else { Err(Forged) };
    }
    let cipher: Cipher<'_> = Cipher::from_der(bytes).map_err(|_| Forged)?;
    let raw = cipher.to_vec(Mode::C1C3C2, false).map_err(|_| Forged)?;
    if raw.len() <= CIPHERTEXT_BYTES_MAX { Ok(raw) } else { Err(Forged) }
}

/// SubjectPublicKeyInfo in DER.
pub(crate) fn encode_public(point: &[u8; PUBLIC_BYTES]) -> Vec<u8> {
    let key = PublicKey::from_sec1_bytes(point).expect("the public half of a key lies on the curve");
    key.to_public_key_der().expect("a public key has an encoding").into_vec()
}

/// Reads a SubjectPublicKeyInfo in DER.
pub(crate) fn decode_public(der: &[u8]) -> Result<[u8; PUBLIC_BYTES], Forged> {
    let key = PublicKey::from_public_key_der(der).map_err(|_| Forged)?;
    key.to_sec1_point(false).as_bytes().try_into().map_err(|_| Forged)
}
