//! The form in which public keys come from outside: SubjectPublicKeyInfo, RFC 5280 section 4.1, in DER or as PEM (RFC 7468
//! section 13).

use sm2::pkcs8::Document;

use crate::alg::Forged;

const PEM_LABEL: &str = "PUBLIC KEY";

/// The DER of a key in either form; what is inside is not looked at.
pub(crate) fn der(bytes: &[u8]) -> Result<Vec<u8>, Forged> {
    if !bytes.trim_ascii_start().starts_with(b"-----") {
        return Ok(bytes.to_vec());
    }
    let text = str::from_utf8(bytes.trim_ascii()).map_err(|_| Forged)?;
    let (label, document) = Document::from_pem(text).map_err(|_| Forged)?;
    if label == PEM_LABEL { Ok(document.into_vec()) } else { Err(Forged) }
}
