//! Looks for secrets in whatever form they might have leaked: raw, hexadecimal, Base64 at every alignment, UTF-16.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Forms of one secret.
pub const FORMS: usize = 11;
/// Shorter forms would be found by chance.
const LEAST: usize = 8;

/// What is looked for.
pub struct Scanner {
    patterns: Vec<(String, Vec<u8>)>,
    /// By their first bytes.
    starts: HashMap<[u8; LEAST], Vec<usize>>,
}

impl Scanner {
    pub fn new(secrets: &[(String, Vec<u8>)]) -> Self {
        let mut patterns = Vec::new();
        for (name, secret) in secrets {
            patterns.extend(forms(secret).map(|(form, bytes)| (format!("{name} as {form}"), bytes)));
        }
        let mut starts: HashMap<[u8; LEAST], Vec<usize>> = HashMap::new();
        for (number, (name, pattern)) in patterns.iter().enumerate() {
            assert!(pattern.len() >= LEAST, "{name} is too short to look for");
            starts.entry(pattern[..LEAST].try_into().unwrap()).or_default().push(number);
        }
        Self { patterns, starts }
    }

    /// The names of what stands in these bytes.
    pub fn find(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        for (at, start) in bytes.windows(LEAST).enumerate() {
            let start: &[u8; LEAST] = start.try_into().unwrap();
            for number in self.starts.get(start).into_iter().flatten() {
                let (name, pattern) = &self.patterns[*number];
                if bytes[at..].starts_with(pattern) {
                    found.push(name.as_str());
                }
            }
        }
        found
    }
}

/// Every form of a secret that is looked for.
pub fn forms(secret: &[u8]) -> [(&'static str, Vec<u8>); FORMS] {
    let base64 = |engine: &dyn Fn(&[u8]) -> String, shift: usize| {
        let text = engine(&[&vec![0; shift], secret].concat());
        // Characters that hold bits of the secret alone.
        let (from, to) = ((shift * 8).div_ceil(6), (shift + secret.len()) * 8 / 6);
        text.as_bytes()[from..to].to_vec()
    };
    let standard = |bytes: &[u8]| STANDARD_NO_PAD.encode(bytes);
    let url = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    [
        ("it is", secret.to_vec()),
        ("hex", hex::encode(secret).into_bytes()),
        ("HEX", hex::encode_upper(secret).into_bytes()),
        ("Base64", base64(&standard, 0)),
        ("Base64 after one byte", base64(&standard, 1)),
        ("Base64 after two bytes", base64(&standard, 2)),
        ("URL-safe Base64", base64(&url, 0)),
        ("URL-safe Base64 after one byte", base64(&url, 1)),
        ("URL-safe Base64 after two bytes", base64(&url, 2)),
        ("UTF-16LE", secret.iter().flat_map(|byte| [*byte, 0]).collect()),
        ("UTF-16BE", secret.iter().flat_map(|byte| [0, *byte]).collect()),
    ]
}
