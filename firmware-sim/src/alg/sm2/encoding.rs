//! The forms in which SM2 values travel: signatures and ciphertexts as DER (GM/T 0009 section 7) or as plain bytes, public keys
//! as SubjectPublicKeyInfo. What is decoded is in range and on the curve.

use std::hint::black_box;

use sm2::PublicKey;
use sm2::dsa::{DerSignature, Signature};
use sm2::elliptic_curve::sec1::ToSec1Point;
use sm2::pkcs8::der::asn1::{OctetStringRef, UintRef};
use sm2::pkcs8::der::{Decode, Header, Reader, SliceReader, Tag};
use sm2::pkcs8::{DecodePublicKey, EncodePublicKey};

use super::{CIPHERTEXT_BYTES_MAX, OVERHEAD_BYTES, PUBLIC_BYTES, SIGNATURE_BYTES, UNCOMPRESSED};
use crate::alg::Forged;

/// How much longer DER is than C1 ‖ C3 ‖ C2: 10 to 12 bytes for C2 of up to 127 bytes, and a little more for what is damaged.
pub(super) const DER_BYTES: usize = 14;

const FIELD_BYTES: usize = 32;
const HASH_BYTES: usize = OVERHEAD_BYTES - PUBLIC_BYTES;

/// The four parts of a ciphertext in DER, of 32 bytes each.
const EXAMPLE: [u8; 4 * 34] = {
    let mut bytes = [1; 4 * 34];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = if at < C3_AT { 2 } else { 4 };
        bytes[at + 1] = 32;
        at += 34;
    }
    bytes
};
const X_AT: usize = 0;
const Y_AT: usize = 34;
const C3_AT: usize = 2 * 34;
const C2_AT: usize = 3 * 34;

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

/// Reads a ciphertext in DER, `SEQUENCE { x, y, hash, cipher }`, or as C1 ‖ C3 ‖ C2. Answers the latter, and whether it is what
/// the bytes say: where they are no ciphertext, others have taken their place, so that each costs as much as the other. Whether
/// C1 is a point is left open.
pub(super) fn decode_ciphertext(bytes: &[u8]) -> (Vec<u8>, bool) {
    let (raw, whole) =
        if bytes.first() == Some(&UNCOMPRESSED) { (bytes.to_vec(), true) } else { from_der(bytes) };
    let fits = (OVERHEAD_BYTES + 1..=CIPHERTEXT_BYTES_MAX).contains(&raw.len());
    (raw, whole && fits)
}

fn from_der(bytes: &[u8]) -> (Vec<u8>, bool) {
    // Read in every case, see `alg/rsa.rs`.
    let example = black_box(EXAMPLE);
    let mut parts = Parts { reader: SliceReader::new(bytes).ok(), example: &example, whole: true };
    parts.head();
    let x = parts.next::<UintRef<'_>>(X_AT).as_bytes();
    let y = parts.next::<UintRef<'_>>(Y_AT).as_bytes();
    let c3 = parts.next::<&OctetStringRef>(C3_AT).as_bytes();
    let c2 = parts.next::<&OctetStringRef>(C2_AT).as_bytes();
    let finished = parts.reader.is_some_and(|reader| reader.is_finished());
    let fits = x.len() <= FIELD_BYTES && y.len() <= FIELD_BYTES && c3.len() == HASH_BYTES;
    let mut raw = vec![0; OVERHEAD_BYTES + c2.len()];
    raw[0] = UNCOMPRESSED;
    let mut put = |end: usize, part: &[u8], room: usize| {
        let part = &part[..part.len().min(room)];
        raw[end - part.len()..end].copy_from_slice(part);
    };
    put(1 + FIELD_BYTES, x, FIELD_BYTES);
    put(PUBLIC_BYTES, y, FIELD_BYTES);
    put(OVERHEAD_BYTES, c3, HASH_BYTES);
    put(OVERHEAD_BYTES + c2.len(), c2, c2.len());
    (raw, parts.whole && finished && fits)
}

/// The parts of a ciphertext that are read one after the other, to the end in every case.
struct Parts<'a> {
    reader: Option<SliceReader<'a>>,
    example: &'a [u8],
    /// Whether nothing was wrong so far.
    whole: bool,
}

impl<'a> Parts<'a> {
    /// Reads the head of the sequence, which is as long as everything behind it.
    fn head(&mut self) {
        let head = self.reader.as_mut().and_then(|reader| {
            let header = Header::decode(reader).ok().filter(|header| header.tag() == Tag::Sequence);
            header.map(|header| header.length() == reader.remaining_len())
        });
        self.whole &= head.unwrap_or_default();
        if head.is_none() {
            self.reader = SliceReader::new(self.example).ok();
        }
    }

    /// Reads a part; if there is none, that of the example, from which it goes on.
    fn next<T: Decode<'a>>(&mut self, at: usize) -> T {
        if let Some(part) = self.reader.as_mut().and_then(|reader| T::decode(reader).ok()) {
            return part;
        }
        self.whole = false;
        let mut example = SliceReader::new(&self.example[at..]).expect("the example is short");
        let Ok(part) = T::decode(&mut example) else { panic!("the example has every part: read in tests") };
        self.reader = Some(example);
        part
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_is_read_to_the_end() {
        let der = [&[0x30, 0x81, 136], EXAMPLE.as_slice()].concat();
        let (raw, whole) = decode_ciphertext(&der);
        assert!(whole);
        assert_eq!(raw, [[4].as_slice(), &[1; 128]].concat());
        for end in 0..der.len() {
            let (raw, whole) = decode_ciphertext(&der[..end]);
            assert!(!whole && raw.len() > OVERHEAD_BYTES, "cut to {end}");
        }
        for at in [0, 1, 2, 3, 4, 37, 38, 71, 72, 105, 106] {
            let mut changed = der.clone();
            changed[at] ^= 1;
            assert!(!decode_ciphertext(&changed).1, "byte {at}");
        }
        assert!(!decode_ciphertext(&[der.as_slice(), &[0]].concat()).1);
        let signed = [&der[..5], &[0x80], &der[6..]].concat();
        assert!(!decode_ciphertext(&signed).1, "a number below zero");
    }
}
