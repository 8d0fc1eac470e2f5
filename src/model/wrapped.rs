//! A wrapped key as bytes in the stored body of a record, for serde.

use firmware_sim::WrappedKey;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes the bytes.
pub fn serialize<S: Serializer>(key: &WrappedKey, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_bytes(key.as_bytes())
}

/// Reads the bytes; refuses what has not the form of a wrapped key.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<WrappedKey, D::Error> {
    let bytes = Vec::<u8>::deserialize(from)?;
    WrappedKey::from_bytes(bytes).map_err(serde::de::Error::custom)
}
