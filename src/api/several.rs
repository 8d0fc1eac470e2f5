//! Lists in requests: never empty, never longer than they may be. Imports nothing of the project.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};

/// 1 to `MAX` things; on access points, where lists have no signed form, as a JSON string of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Several<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Several<T, MAX> {
    /// The things in the order in which they came.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Several<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let items = Vec::<T>::deserialize(from)?;
        match (1..=MAX).contains(&items.len()) {
            true => Ok(Self(items)),
            false => Err(serde::de::Error::custom(format_args!("must be a list of 1 to {MAX}"))),
        }
    }
}

impl<T: JsonSchema, const MAX: usize> JsonSchema for Several<T, MAX> {
    fn schema_name() -> Cow<'static, str> {
        format!("Several_{}", T::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = T::json_schema(generator);
        let example = item.get("examples").and_then(|examples| examples.get(0)).cloned();
        let mut schema = json_schema!({ "type": "array", "items": item, "minItems": 1, "maxItems": MAX });
        if let Some(example) = example {
            schema.insert("examples".into(), vec![vec![example]].into());
        }
        schema
    }
}
