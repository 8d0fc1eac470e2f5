//! Automatic rotation: how often, and when the next version is due (contract 5.1.1, 5.3).

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::env::Timestamp;
use crate::model::text::whole;

/// Automatic rotation of a symmetric key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rotation {
    /// Never.
    Off,
    /// Every so often.
    On {
        /// How often.
        period: RotationPeriod,
        /// When the next version is due.
        next: Timestamp,
    },
}

/// 7 to 730 days; on input whole days or `<n>d|h|m|s` (contract 5.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotationPeriod(Duration);

impl RotationPeriod {
    const DAY: u64 = 86_400;
    const WRONG: &'static str = "must be 7 to 730 days, as days or as a number with d, h, m or s";

    fn from_seconds(seconds: u64) -> Result<Self, &'static str> {
        match (7 * Self::DAY..=730 * Self::DAY).contains(&seconds) {
            true => Ok(Self(Duration::from_secs(seconds))),
            false => Err(Self::WRONG),
        }
    }

    /// One period after a moment.
    pub fn after(self, moment: Timestamp) -> Timestamp {
        moment.after(self.0)
    }
}

impl FromStr for RotationPeriod {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (digits, unit) = match text.as_bytes().last() {
            Some(b'd') => (text.trim_end_matches('d'), Self::DAY),
            Some(b'h') => (text.trim_end_matches('h'), 3600),
            Some(b'm') => (text.trim_end_matches('m'), 60),
            Some(b's') => (text.trim_end_matches('s'), 1),
            Some(_) | None => (text, Self::DAY),
        };
        let plain = digits.len() + 1 >= text.len() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u64 = digits.parse().ok().filter(|_| plain).ok_or(Self::WRONG)?;
        Self::from_seconds(number.checked_mul(unit).ok_or(Self::WRONG)?)
    }
}

impl fmt::Display for RotationPeriod {
    /// `<seconds>s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0.as_secs())
    }
}

impl Serialize for RotationPeriod {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { to.collect_str(self) } else { to.serialize_u64(self.0.as_secs()) }
    }
}

impl JsonSchema for RotationPeriod {
    fn schema_name() -> Cow<'static, str> {
        "RotationPeriod".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"], "pattern": "^0*([7-9]|[1-9][0-9]|[1-6][0-9]{2}|7[0-2][0-9]|730)d?$", "minimum": 7, "maximum": 730,
            "examples": ["90d"],
            "description": "7 to 730 days, as a number or with `d`; the same time in `h`, `m` or `s` is understood too.",
        })
    }
}

impl<'de> Deserialize<'de> for RotationPeriod {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let period = if from.is_human_readable() {
            struct AnyForm;
            impl serde::de::Visitor<'_> for AnyForm {
                type Value = RotationPeriod;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(RotationPeriod::WRONG)
                }
                fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RotationPeriod, E> {
                    text.parse().map_err(E::custom)
                }
                fn visit_u64<E: serde::de::Error>(self, days: u64) -> Result<RotationPeriod, E> {
                    let seconds =
                        days.checked_mul(RotationPeriod::DAY).ok_or(E::custom(RotationPeriod::WRONG))?;
                    RotationPeriod::from_seconds(seconds).map_err(E::custom)
                }
                fn visit_f64<E: serde::de::Error>(self, days: f64) -> Result<RotationPeriod, E> {
                    self.visit_u64(whole(days).ok_or(E::custom(RotationPeriod::WRONG))?)
                }
            }
            return from.deserialize_any(AnyForm);
        } else {
            Self::from_seconds(u64::deserialize(from)?)
        };
        period.map_err(serde::de::Error::custom)
    }
}

impl Rotation {
    /// Rotation every `period`, first due one period after `now`.
    pub fn every(period: RotationPeriod, now: Timestamp) -> Self {
        Self::On { period, next: period.after(now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn period(text: &str) -> Result<RotationPeriod, &'static str> {
        text.parse()
    }

    #[test]
    fn a_rotation_period_has_five_spellings() {
        for same in ["365", "365d", "8760h", "525600m", "31536000s"] {
            assert_eq!(period(same).unwrap().to_string(), "31536000s", "{same}");
        }
        for wrong in ["", "d", "6", "731", "7dd", "-7", "7 d", "604799s", "99999999999999999999d", "7w"] {
            assert!(period(wrong).is_err(), "{wrong}");
        }
    }
}
