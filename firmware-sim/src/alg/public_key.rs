//! The form in which public keys come from outside: SubjectPublicKeyInfo, RFC 5280 section 4.1, in DER or as PEM (RFC 7468
//! section 13). Lines of PEM may have any length: not everybody breaks them after 64 characters.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::alg::Forged;

const BEGIN: &[u8] = b"-----BEGIN PUBLIC KEY-----";
const END: &[u8] = b"-----END PUBLIC KEY-----";

/// The DER of a key in either form; what is inside is not looked at.
pub(crate) fn der(bytes: &[u8]) -> Result<Vec<u8>, Forged> {
    let text = bytes.trim_ascii();
    if !text.starts_with(b"-----") {
        return Ok(bytes.to_vec());
    }
    let body = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or(Forged)?;
    let body: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(body).map_err(|_| Forged)
}
