//! Types of request and result fields that carry bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firmware_sim::Released;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::env::Timestamp;

/// Form of [`Base64Bytes`]: bits behind the last byte are zero.
const BASE64: &str =
    "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)$";

/// An example of [`PublicKeyBlob`]: an SM2 key that nobody has the private half of.
const PUBLIC_KEY: &str = "MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAEHryK1xyIJrb185R0/Yq7kZibvj1yUsmVvbre8uXLgkbE\
                          H3GApP2npvLFepW7hTewDUpNClTtOC+NwkdxhTbAKQ==";

/// Form of [`Digest`].
const DIGEST: &str = "^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$";

/// Bytes as standard Base64 with padding, one line; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Base64Bytes(pub Vec<u8>);

fn decode<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = Zeroizing::new(String::deserialize(from)?);
    let bytes = STANDARD
        .decode(text.as_bytes())
        .map_err(|_| de::Error::custom("must be standard Base64 with padding"))?;
    if bytes.is_empty() { Err(de::Error::custom("may not be empty")) } else { Ok(bytes) }
}

impl Serialize for Base64Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        decode(from).map(Self)
    }
}

impl JsonSchema for Base64Bytes {
    fn schema_name() -> Cow<'static, str> {
        "Base64Bytes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "contentEncoding": "base64", "pattern": BASE64, "examples": ["SGVsbG8gd29ybGQ="],
            "description": "Bytes as standard Base64 with padding, one line.",
        })
    }
}

/// Somebody's public key: Base64 of a SubjectPublicKeyInfo in DER or PEM, or the PEM text itself.
#[derive(Clone, Debug)]
pub struct PublicKeyBlob(pub Vec<u8>);

impl Serialize for PublicKeyBlob {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for PublicKeyBlob {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.trim_ascii_start().starts_with("-----") {
            return Ok(Self(text.into_bytes()));
        }
        let bytes = STANDARD.decode(text).map_err(|_| {
            de::Error::custom("must be standard Base64 of a SubjectPublicKeyInfo in DER, or PEM")
        })?;
        if bytes.is_empty() { Err(de::Error::custom("may not be empty")) } else { Ok(Self(bytes)) }
    }
}

impl JsonSchema for PublicKeyBlob {
    fn schema_name() -> Cow<'static, str> {
        "PublicKeyBlob".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "contentEncoding": "base64", "pattern": BASE64, "examples": [PUBLIC_KEY],
            "description": "A SubjectPublicKeyInfo in DER as standard Base64, one line; PEM is read too, as it is or as Base64.",
        })
    }
}

/// A digest to sign or to verify: 32 bytes as standard Base64.
#[derive(Clone, Debug)]
pub struct Digest(pub [u8; 32]);

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = decode(from)?.try_into();
        bytes.map(Self).map_err(|_| de::Error::custom("must have 32 bytes"))
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "contentEncoding": "base64", "pattern": DIGEST,
            "examples": ["ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="],
            "description": "32 bytes as standard Base64.",
        })
    }
}

/// Secret bytes on their way from or to a client: wiped after use, printed as their length only.
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// The bytes, for the cipher machine.
    pub fn into_bytes(self) -> Zeroizing<Vec<u8>> {
        self.0
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Released> for Plaintext {
    fn from(released: Released) -> Self {
        Self(Zeroizing::new(released.as_bytes().to_vec()))
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Plaintext {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Zeroizing::new(STANDARD.encode(&*self.0)))
    }
}

impl<'de> Deserialize<'de> for Plaintext {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        decode(from).map(|bytes| Self(Zeroizing::new(bytes)))
    }
}

impl JsonSchema for Plaintext {
    fn schema_name() -> Cow<'static, str> {
        "Plaintext".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "contentEncoding": "base64", "pattern": BASE64, "examples": ["SGVsbG8gd29ybGQ="],
            "description": "Secret bytes as standard Base64 with padding, one line.",
        })
    }
}

/// Raw text that is hashed as UTF-8; never empty. Its size is bounded by that of the body.
#[derive(Clone, Debug, Serialize)]
pub struct InputText(String);

impl InputText {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its UTF-8 bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }
}

impl<'de> Deserialize<'de> for InputText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.is_empty() { Err(de::Error::custom("may not be empty")) } else { Ok(Self(text)) }
    }
}

impl JsonSchema for InputText {
    fn schema_name() -> Cow<'static, str> {
        "InputText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": 1, "examples": ["hello"],
            "description": "Raw text; its UTF-8 bytes count.",
        })
    }
}

/// String pairs that a ciphertext is bound to, at most 8 KiB of names and values (contract 5.5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct EncryptionContext(pub BTreeMap<String, String>);

impl EncryptionContext {
    /// Bytes of names and values together.
    pub const BYTES_MAX: usize = 8 * 1024;
}

impl<'de> Deserialize<'de> for EncryptionContext {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> de::Visitor<'de> for Pairs {
            type Value = EncryptionContext;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object of string pairs")
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<EncryptionContext, A::Error> {
                let (mut pairs, mut bytes) = (BTreeMap::new(), 0);
                while let Some((name, value)) = map.next_entry::<String, String>()? {
                    bytes += name.len() + value.len();
                    if bytes > EncryptionContext::BYTES_MAX {
                        return Err(de::Error::custom("may hold at most 8 KiB"));
                    }
                    pairs.insert(name, value);
                }
                Ok(EncryptionContext(pairs))
            }
        }
        from.deserialize_map(Pairs)
    }
}

impl JsonSchema for EncryptionContext {
    fn schema_name() -> Cow<'static, str> {
        "EncryptionContext".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object", "additionalProperties": { "type": "string" }, "examples": [{ "purpose": "demo" }],
            "description": "String pairs that a ciphertext is bound to, at most 8 KiB; also as a JSON string.",
        })
    }
}

/// A secret text that is shown to its owner once: a secret key or a password. Wiped after use, never printed.
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// A secret that the cipher machine made as text.
    pub fn from_released(released: &Released) -> crate::error::Result<Self> {
        let text = std::str::from_utf8(released.as_bytes()).map_err(crate::error::Error::internal)?;
        Ok(Self::new(text.to_owned()))
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::new)
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> Cow<'static, str> {
        "SecretText".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A secret that is shown only here." })
    }
}

/// A moment as `YYYY-MM-DDTHH:MM:SSZ`.
#[derive(Clone, Copy, Debug)]
pub struct Moment(pub Timestamp);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let moment = Timestamp::parse(&text)
            .ok_or_else(|| de::Error::custom("must be a moment as YYYY-MM-DDTHH:MM:SSZ"));
        moment.map(Self)
    }
}

impl JsonSchema for Moment {
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "format": "date-time", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
            "examples": ["2026-01-01T08:00:00Z"],
            "description": "A moment in UTC.",
        })
    }
}
