//! Texts and numbers with limits, made once at decoding, so that nothing further in checks them again.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text of `MIN` to `MAX` characters without control characters.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Text<const MIN: usize, const MAX: usize>(String);

/// Form of a text without control characters, as a regular expression.
pub const NO_CONTROLS: &str = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

/// A description: 0 to 255 characters (contract 5.1).
pub type Description = Text<0, 255>;
/// A name of an account, a user or an access point.
pub type Name = Text<1, 64>;

impl<const MIN: usize, const MAX: usize> Text<MIN, MAX> {
    /// Checks length and characters; the error completes "field …".
    pub fn new(text: impl Into<String>) -> Result<Self, String> {
        let text = text.into();
        let length = text.chars().count();
        if !(MIN..=MAX).contains(&length) {
            return Err(format!("must have {MIN} to {MAX} characters"));
        }
        if text.chars().any(char::is_control) {
            return Err("may not hold control characters".into());
        }
        Ok(Self(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Display for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MIN: usize, const MAX: usize> fmt::Debug for Text<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de, const MIN: usize, const MAX: usize> Deserialize<'de> for Text<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl<const MIN: usize, const MAX: usize> JsonSchema for Text<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "minLength": MIN, "maxLength": MAX, "pattern": NO_CONTROLS,
            "examples": ["demo"],
        })
    }
}

/// A whole number from `MIN` to `MAX`; on input also as a decimal string (contract section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Number<MIN, MAX> {
    /// Checks the range; the error completes "field …".
    pub fn new(number: u64) -> Result<Self, String> {
        if (MIN..=MAX).contains(&number) { Ok(Self(number)) } else { Err(Self::range()) }
    }

    fn range() -> String {
        format!("must be a whole number from {MIN} to {MAX}")
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number as a size; numbers of this type are far below the limit of any platform's sizes or saturate.
    pub fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// A number that was written with a fraction of zero, as some clients write whole numbers and JSON Schema has them be;
/// nothing if it is not whole, or beyond what a double tells apart.
pub fn whole(number: f64) -> Option<u64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let exact = number.fract() == 0.0 && (0.0..EXACT_MAX).contains(&number);
    // Both ends of the cast are checked above.
    exact.then_some(number as u64)
}

impl<const MIN: u64, const MAX: u64> Serialize for Number<MIN, MAX> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Number<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor<const MIN: u64, const MAX: u64>;
        impl<const MIN: u64, const MAX: u64> serde::de::Visitor<'_> for Visitor<MIN, MAX> {
            type Value = Number<MIN, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&Number::<MIN, MAX>::range())
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Self::Value, E> {
                Number::new(number).map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
                Err(E::custom(Number::<MIN, MAX>::range()))
            }
            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Self::Value, E> {
                let whole = whole(number).ok_or_else(|| E::custom(Number::<MIN, MAX>::range()))?;
                self.visit_u64(whole)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                let number = text.parse().ok().filter(|_| digits);
                number.ok_or_else(|| E::custom(Number::<MIN, MAX>::range())).and_then(|n| self.visit_u64(n))
            }
        }
        from.deserialize_any(Visitor)
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Number<MIN, MAX> {
    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX, "examples": [MIN] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_count_characters_and_refuse_controls() {
        assert!(Text::<1, 3>::new("钥库云").is_ok());
        assert!(Text::<1, 3>::new("").is_err());
        assert!(Text::<1, 3>::new("abcd").is_err());
        assert!(Text::<0, 3>::new("a\n").is_err());
    }

    #[test]
    fn numbers_come_as_numbers_or_decimal_strings() {
        let read = |text: &str| serde_json::from_str::<Number<1, 100>>(text).map(Number::get).ok();
        assert_eq!(read("7"), Some(7));
        assert_eq!(read("\"7\""), Some(7));
        assert_eq!((read("95.0"), read("1e1")), (Some(95), Some(10)), "JSON Schema counts them as whole");
        for wrong in ["0", "101", "-1", "1.5", "-1.0", "1e300", "\"+7\"", "\"7 \"", "\"7.0\"", "\"\"", "true"]
        {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
