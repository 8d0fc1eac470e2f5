//! Public keys as PEM: RFC 7468 section 13. Imports Base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// Writes a SubjectPublicKeyInfo, given in DER.
pub fn encode(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap_or_default());
    [BEGIN].into_iter().chain(lines).chain([END, ""]).collect::<Vec<_>>().join("\n")
}

/// Reads the first key of a text; answers its DER.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}
