//! What the device signs of the audit trail, and the form in which it leaves: a statement as text, exactly as signed, and
//! a list of signatures, so that others can be added. Who checks one needs the text and the device's public key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sm3::{Digest as _, Sm3};
use uuid::Uuid;

use crate::env::Timestamp;
use crate::model::audit::Hash;
use crate::model::pem;

/// Signature with SM2 and SM3 under the default identity (GB/T 32918.2), r ‖ s.
const SM2_SM3: &str = "SM2-SM3";
/// SubjectPublicKeyInfo of an SM2 key up to the point (GM/T 0010, RFC 5480): algorithm 1.2.840.10045.2.1 on the curve
/// 1.2.156.10197.1.301.
const SPKI_HEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x81,
    0x1c, 0xcf, 0x55, 0x01, 0x82, 0x2d, 0x03, 0x42, 0x00,
];

/// An SM2 public key, such as the device's: an uncompressed point, 65 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Takes the 65 bytes that the device gives out.
    pub fn from_point(point: Vec<u8>) -> Option<Self> {
        (point.len() == 65 && point.first() == Some(&4)).then_some(Self(point))
    }

    /// Reads a PEM SubjectPublicKeyInfo of an SM2 key.
    pub fn from_pem(text: &str) -> Option<Self> {
        Self::from_point(pem::decode(text)?.strip_prefix(&SPKI_HEAD)?.to_vec())
    }

    /// The point's coordinates x ‖ y.
    pub fn coordinates(&self) -> &[u8] {
        self.0.strip_prefix(&[4]).unwrap_or_default()
    }

    /// The key as PEM SubjectPublicKeyInfo, which openssl reads.
    pub fn to_pem(&self) -> String {
        pem::encode(&[SPKI_HEAD.as_slice(), &self.0].concat())
    }

    /// Names the key in a list of signatures: the first 16 bytes of SM3 over the point, hexadecimal.
    pub fn id(&self) -> String {
        let hash: Hash = Sm3::digest(&self.0).into();
        hex::encode(hash.first_chunk::<16>().unwrap_or(&[0; 16]))
    }
}

/// What an export holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Number of the first record.
    pub first: u64,
    /// Number of the last record.
    pub last: u64,
    /// How many of them are shown.
    pub shown: u64,
    /// How many checkpoints stand among them.
    pub checkpoints: u64,
}

/// What a device states about its audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "statement", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum Statement {
    /// The chain ended so at this time.
    #[serde(rename = "yaoku/audit/checkpoint")]
    Checkpoint {
        /// Whose trail.
        installation: Uuid,
        /// Number of the last record.
        sequence: u64,
        /// Hash of the last block, hexadecimal.
        head: String,
        /// When.
        time: String,
    },
    /// An export is complete from its first block to its last.
    #[serde(rename = "yaoku/audit/export")]
    Export {
        /// Whose trail.
        installation: Uuid,
        /// Number of the first record.
        first: u64,
        /// Number of the last record.
        last: u64,
        /// How many of them are shown; the others are withheld.
        shown: u64,
        /// How many checkpoints stand among them.
        checkpoints: u64,
        /// Hash of the last block, hexadecimal.
        head: String,
        /// When.
        time: String,
    },
}

impl Statement {
    /// A checkpoint over everything up to a record.
    pub fn checkpoint(installation: &[u8; 16], sequence: u64, head: &Hash, time: Timestamp) -> Self {
        let installation = Uuid::from_bytes(*installation);
        Self::Checkpoint { installation, sequence, head: hex::encode(head), time: time.to_string() }
    }

    /// An export that holds this.
    pub fn export(installation: &[u8; 16], extent: Extent, head: &Hash, time: Timestamp) -> Self {
        let Extent { first, last, shown, checkpoints } = extent;
        let (installation, head) = (Uuid::from_bytes(*installation), hex::encode(head));
        Self::Export { installation, first, last, shown, checkpoints, head, time: time.to_string() }
    }

    /// The text that is signed.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("a statement has string keys and plain values")
    }
}

/// A statement with its signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// The text, exactly as signed.
    pub statement: String,
    /// Who signed it.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// How it was made.
    pub algorithm: String,
    /// Id of the key.
    pub key: String,
    /// The signature, Base64.
    pub value: String,
}

impl Signed {
    /// Puts the device's signature, r ‖ s, under a text.
    pub fn by_device(statement: String, key: &PublicKey, signature: &[u8]) -> Self {
        let (algorithm, value) = (SM2_SM3.into(), STANDARD.encode(signature));
        Self { statement, signatures: vec![Signature { algorithm, key: key.id(), value }] }
    }

    /// The statement, if this key signed it. Signatures of other keys and kinds are left alone.
    pub fn verify(&self, key: &PublicKey) -> Option<Statement> {
        let id = key.id();
        let genuine = self.signatures.iter().any(|signature| {
            signature.algorithm == SM2_SM3
                && signature.key == id
                && STANDARD.decode(&signature.value).is_ok_and(|value| {
                    firmware_sim::is_device_signature(&key.0, self.statement.as_bytes(), &value)
                })
        });
        genuine.then(|| serde_json::from_str(&self.statement).ok()).flatten()
    }

    /// The line of JSON in which it is stored and published.
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("a signed statement has string keys and plain values")
    }
}

/// The record up to which a stored line claims to sign; whether it is genuine is another question.
pub fn unchecked_sequence(line: &str) -> Option<u64> {
    let signed: Signed = serde_json::from_str(line).ok()?;
    match serde_json::from_str(&signed.statement).ok()? {
        Statement::Checkpoint { sequence, .. } => Some(sequence),
        Statement::Export { .. } => None,
    }
}

/// When a stored checkpoint was made, by its own account.
pub fn time_of(line: &str) -> Option<Timestamp> {
    let signed: Signed = serde_json::from_str(line).ok()?;
    match serde_json::from_str(&signed.statement).ok()? {
        Statement::Checkpoint { time, .. } | Statement::Export { time, .. } => Timestamp::parse(&time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_key_is_read_as_it_is_written() {
        let key = PublicKey::from_point([&[4], [7; 64].as_slice()].concat()).unwrap();
        let pem = key.to_pem();
        assert_eq!(PublicKey::from_pem(&pem), Some(key));
        assert_eq!(PublicKey::from_pem(&pem.replace("MFkw", "MFkx")), None, "another algorithm");
        assert_eq!(PublicKey::from_pem("no key"), None);
        assert_eq!(PublicKey::from_point(vec![4; 64]), None);
    }

    #[test]
    fn a_statement_without_the_keys_signature_says_nothing() {
        let key = PublicKey::from_point([&[4], [7; 64].as_slice()].concat()).unwrap();
        let statement = Statement::checkpoint(&[1; 16], 9, &[2; 32], Timestamp::from_seconds(0));
        let signed = Signed::by_device(statement.text(), &key, &[1; 64]);
        assert_eq!(signed.verify(&key), None);
        assert_eq!(Signed { signatures: Vec::new(), ..signed }.verify(&key), None);
    }
}
