//! The forms in which SM2 values travel: signatures and ciphertexts as DER (GM/T 0009 section 7) or as plain bytes, public keys
//! as SubjectPublicKeyInfo. What is decoded is in range and on the curve.

use sm2::PublicKey;
use sm2::dsa::{DerSignature, Signature};
use sm2::elliptic_curve::sec1::ToSec1Point;
use sm2::pkcs8::der::asn1::{OctetStringRef, UintRef};
use sm2::pkcs8::der::{self, Decode, Reader, SliceReader};
use sm2::pkcs8::{DecodePublicKey, EncodePublicKey};

use super::{CIPHERTEXT_BYTES_MAX, OVERHEAD_BYTES, PUBLIC_BYTES, SIGNATURE_BYTES, UNCOMPRESSED};
use crate::alg::Forged;

/// How much longer DER is than C1 ‖ C3 ‖ C2 at most, for C2 of up to 127 bytes; a few bytes of length more for longer ones.
pub(super) const DER_BYTES: usize = 12;

const FIELD_BYTES: usize = 32;

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

/// Reads a ciphertext in DER, `SEQUENCE { x, y, hash, cipher }`, or as C1 ‖ C3 ‖ C2, and answers the latter. Whether C1 is a
/// point is left open: looking at that costs more than everything here, and must be done for what is no ciphertext too.
pub(crate) fn decode_ciphertext(bytes: &[u8]) -> Result<Vec<u8>, Forged> {
    let raw = if bytes.first() == Some(&UNCOMPRESSED) { bytes.to_vec() } else { from_der(bytes)? };
    if raw.len() <= CIPHERTEXT_BYTES_MAX { Ok(raw) } else { Err(Forged) }
}

fn from_der(bytes: &[u8]) -> Result<Vec<u8>, Forged> {
    let mut reader = SliceReader::new(bytes).map_err(|_| Forged)?;
    let parts = reader.sequence(|parts| {
        let (x, y) = (UintRef::decode(parts)?, UintRef::decode(parts)?);
        let (c3, c2) = (<&OctetStringRef>::decode(parts)?, <&OctetStringRef>::decode(parts)?);
        Ok::<_, der::Error>((x.as_bytes(), y.as_bytes(), c3.as_bytes(), c2.as_bytes()))
    });
    let (x, y, c3, c2) = parts.map_err(|_| Forged)?;
    reader.finish().map_err(|_| Forged)?;
    if x.len() > FIELD_BYTES || y.len() > FIELD_BYTES || c3.len() != OVERHEAD_BYTES - PUBLIC_BYTES {
        return Err(Forged);
    }
    let mut raw = vec![0; OVERHEAD_BYTES + c2.len()];
    raw[0] = UNCOMPRESSED;
    raw[1 + FIELD_BYTES - x.len()..][..x.len()].copy_from_slice(x);
    raw[PUBLIC_BYTES - y.len()..][..y.len()].copy_from_slice(y);
    raw[PUBLIC_BYTES..OVERHEAD_BYTES].copy_from_slice(c3);
    raw[OVERHEAD_BYTES..].copy_from_slice(c2);
    Ok(raw)
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
