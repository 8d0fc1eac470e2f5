//! Lists and objects inside a field: what they may not be, whatever they are decoded to. Imports nothing of the project.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserializer;
use serde::de::{self, MapAccess, Visitor};

/// Depth of lists and objects inside a field.
const DEPTH_MAX: usize = 16;

/// Refuses duplicate keys and too much depth in a list or object.
pub(super) fn check_nested(raw: &str) -> Result<(), serde_json::Error> {
    struct Strict(usize);
    impl<'de> de::DeserializeSeed<'de> for Strict {
        type Value = ();
        fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
            if self.0 == 0 {
                return Err(de::Error::custom("the request is nested too deeply"));
            }
            from.deserialize_any(self)
        }
    }
    impl<'de> Visitor<'de> for Strict {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON value")
        }
        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }
        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }
        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }
        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }
        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            while items.next_element_seed(Strict(self.0 - 1))?.is_some() {}
            Ok(())
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut seen = BTreeSet::new();
            while let Some(name) = map.next_key::<String>()? {
                if !seen.insert(name) {
                    return Err(de::Error::custom("the request names a field twice"));
                }
                map.next_value_seed(Strict(self.0 - 1))?;
            }
            Ok(())
        }
    }
    let mut json = serde_json::Deserializer::from_str(raw);
    de::DeserializeSeed::deserialize(Strict(DEPTH_MAX), &mut json)
}
