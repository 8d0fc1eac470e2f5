//! Tags on resources: at most 20, each of a key and a value of at most 128 characters (contract 5.1).

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::model::text::Text;

/// How many tags a resource may carry.
pub const TAGS_MAX: usize = 20;

/// One tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tag {
    /// Its name, unique among the tags of a resource.
    pub tag_key: Text<1, 128>,
    /// Its value, possibly empty.
    pub tag_value: Text<0, 128>,
}

/// The tags of a resource, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(extend("maxItems" = TAGS_MAX, "examples" = [[{"tagKey": "team", "tagValue": "payments"}]]))]
pub struct Tags(Vec<Tag>);

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let tags = Vec::<Tag>::deserialize(from)?;
        if tags.len() > TAGS_MAX {
            return Err(serde::de::Error::custom(format_args!("may hold at most {TAGS_MAX} tags")));
        }
        for (index, tag) in tags.iter().enumerate() {
            if tags.iter().take(index).any(|earlier| earlier.tag_key == tag.tag_key) {
                return Err(serde::de::Error::custom("names a tag twice"));
            }
        }
        Ok(Self(tags))
    }
}
