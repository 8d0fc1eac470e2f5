//! The identifiers of every durable thing. One macro, one type per id, so that an account's id can never be
//! passed where a key's id is meant. Imports nothing of the project.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAnId(pub &'static str);

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Form and example of ids that print as lower-case UUIDs.
const HYPHENATED: (&str, &str) = (
    "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    "241ede22-6261-4617-9caf-10d89990516c",
);
/// Form and example of ids that print as 32 hexadecimal digits.
const SIMPLE: (&str, &str) = ("^[0-9a-f]{32}$", "7c92c33c3b0ea84e2d646b76f6c2cec7");

/// Bytes of any form of a UUID at most.
const TEXT_BYTES: usize = Uuid::encode_buffer().len();

/// Declares 16-byte ids. `hyphenated` ids print as lower-case UUIDs, `simple` ids as 32 lower-case hex digits.
macro_rules! ids {
    ($($(#[doc = $doc:literal])* $name:ident $form:ident $sample:ident $wrong:literal;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes the id from its 16 bytes.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Makes a version-4 id from 16 random bytes.
            pub fn from_random(bytes: [u8; 16]) -> Self {
                Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
            }

            /// The 16 bytes, as they stand in store keys and wrapped keys.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The printed form.
            pub fn text(&self) -> String {
                self.encode(&mut Uuid::encode_buffer()).to_owned()
            }

            fn encode<'a>(&self, buffer: &'a mut [u8; TEXT_BYTES]) -> &'a str {
                self.0.$form().encode_lower(buffer)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.encode(&mut Uuid::encode_buffer()))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;
            /// Accepts exactly the printed form: one spelling per id.
            fn from_str(text: &str) -> Result<Self, NotAnId> {
                let id = Self(Uuid::try_parse(text).map_err(|_| NotAnId($wrong))?);
                if id.encode(&mut Uuid::encode_buffer()) == text { Ok(id) } else { Err(NotAnId($wrong)) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                match to.is_human_readable() {
                    true => to.serialize_str(self.encode(&mut Uuid::encode_buffer())),
                    false => self.0.serialize(to),
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                if from.is_human_readable() {
                    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
                } else {
                    Uuid::deserialize(from).map(Self)
                }
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let (pattern, example) = $sample;
                let description = concat!($($doc),*).trim();
                json_schema!({
                    "type": "string", "pattern": pattern, "description": description, "examples": [example],
                })
            }
        }
    )*};
}

ids! {
    /// A key, `cmkUuid` on the wire.
    KeyId hyphenated HYPHENATED "must be a lower-case UUID";
    /// One version of a key, `keyVersionId`.
    VersionId hyphenated HYPHENATED "must be a lower-case UUID";
    /// An access point.
    AccessPointId hyphenated HYPHENATED "must be a lower-case UUID";
    /// A tenant. Prints as 32 hex digits.
    AccountId simple SIMPLE "must be 32 lower-case hexadecimal digits";
    /// The public half of a credential (AK). Prints as 32 hex digits.
    AccessKeyId simple SIMPLE "must be 32 lower-case hexadecimal digits";
    /// A person who can sign in.
    UserId hyphenated HYPHENATED "must be a lower-case UUID";
    /// Something that somebody should be told.
    EventId hyphenated HYPHENATED "must be a lower-case UUID";
    /// A virtual machine inside the cipher machine.
    PartitionId hyphenated HYPHENATED "must be a lower-case UUID";
}

/// A token of `getParametersForImport`: 16 random bytes, in standard Base64 on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImportTokenId([u8; 16]);

impl ImportTokenId {
    /// Makes the id from 16 random bytes.
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ImportTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for ImportTokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ImportTokenId {
    type Err = NotAnId;
    /// Accepts exactly the printed form: one spelling per id.
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(NotAnId("must be a token as getParametersForImport gave it"))
    }
}

impl Serialize for ImportTokenId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
    }
}

impl<'de> Deserialize<'de> for ImportTokenId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 16]>::deserialize(from).map(Self)
        }
    }
}

impl JsonSchema for ImportTokenId {
    fn schema_name() -> Cow<'static, str> {
        "ImportTokenId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^[A-Za-z0-9+/]{21}[AQgw]==$", "examples": ["fJLDPAsOqE0uZGt29sLOxw=="],
            "description": "A token of `getParametersForImport`.",
        })
    }
}

/// A service instance, `ins-` and six letters or digits, such as `ins-BhviB3` (contract section 1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceId([u8; 6]);

impl InstanceId {
    const ALPHABET: &'static [u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    /// Makes an id from six random bytes. The slight bias of the reduction does not matter: the id is no secret
    /// and its uniqueness is checked when the record is stored.
    pub fn from_random(bytes: [u8; 6]) -> Self {
        Self(bytes.map(|byte| Self::ALPHABET[usize::from(byte) % Self::ALPHABET.len()]))
    }

    /// The six characters after `ins-`, as they stand in store keys.
    pub fn as_bytes(&self) -> &[u8; 6] {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = *b"ins-......";
        text.iter_mut().skip(4).zip(self.0).for_each(|(to, byte)| *to = byte);
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for InstanceId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        const WRONG: NotAnId = NotAnId("must be `ins-` and six letters or digits");
        let tail = text.strip_prefix("ins-").ok_or(WRONG)?;
        let bytes: [u8; 6] = tail.as_bytes().try_into().map_err(|_| WRONG)?;
        if bytes.iter().all(u8::is_ascii_alphanumeric) { Ok(Self(bytes)) } else { Err(WRONG) }
    }
}

impl Serialize for InstanceId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { self.0.serialize(to) }
    }
}

impl<'de> Deserialize<'de> for InstanceId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        if from.is_human_readable() {
            String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
        } else {
            <[u8; 6]>::deserialize(from).map(Self)
        }
    }
}

impl JsonSchema for InstanceId {
    fn schema_name() -> Cow<'static, str> {
        "InstanceId".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "pattern": "^ins-[A-Za-z0-9]{6}$", "examples": ["ins-BhviB3"],
            "description": "A service instance.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id: KeyId = "241ede22-6261-4617-9caf-10d89990516c".parse().unwrap();
        assert_eq!(id.to_string(), "241ede22-6261-4617-9caf-10d89990516c");
        assert!("241EDE22-6261-4617-9caf-10d89990516c".parse::<KeyId>().is_err());
        assert!("241ede22626146179caf10d89990516c".parse::<KeyId>().is_err());
        assert!("241ede22-6261-4617-9caf-10d89990516c".parse::<AccountId>().is_err());
    }

    #[test]
    fn import_tokens_have_one_spelling() {
        let text = "fJLDPAsOqE0uZGt29sLOxw==";
        assert_eq!(text.parse::<ImportTokenId>().unwrap().to_string(), text);
        for wrong in [
            "fJLDPAsOqE0uZGt29sLOxw",
            "fJLDPAsOqE0uZGt29sLOxx==",
            "fJLDPAsOqE0uZGt29sLO",
            "",
            " fJLDPAsOqE0uZGt29sLOxw==",
        ] {
            assert!(wrong.parse::<ImportTokenId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn instance_ids_keep_the_published_form() {
        assert_eq!("ins-BhviB3".parse::<InstanceId>().unwrap().to_string(), "ins-BhviB3");
        for wrong in ["ins-", "ins-BhviB", "ins-BhviB33", "ins-Bhv!B3", "BhviB3", "ins-Bhviß"] {
            assert!(wrong.parse::<InstanceId>().is_err(), "{wrong}");
        }
    }
}
