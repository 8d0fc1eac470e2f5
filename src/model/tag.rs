//! Tags on resources: at most 20, each of a key and a value of at most 128 characters (contract 5.1).

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::error::{Error, Result};
use crate::model::text::Text;

/// How many tags a resource may carry.
pub const TAGS_MAX: usize = 20;

/// The name of a tag.
pub type TagKey = Text<1, 128>;
/// What a tag says, possibly nothing.
pub type TagValue = Text<0, 128>;

/// One tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tag {
    /// Its name, unique among the tags of a resource.
    pub tag_key: TagKey,
    /// Its value, possibly empty.
    pub tag_value: TagValue,
}

/// At most 20 tags, each with another `tagKey`; as a list or as a JSON string of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(extend("maxItems" = TAGS_MAX, "examples" = json!([[{ "tagKey": "team", "tagValue": "orders" }]])))]
pub struct Tags(Vec<Tag>);

impl Tags {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tags in the order in which they were given.
    pub fn iter(&self) -> std::slice::Iter<'_, Tag> {
        self.0.iter()
    }

    /// The value under a key.
    pub fn value(&self, key: &TagKey) -> Option<&TagValue> {
        self.0.iter().find(|tag| tag.tag_key == *key).map(|tag| &tag.tag_value)
    }

    /// Adds tags; one whose key is there already gets the new value. All of them, or none if they would be too many.
    pub fn add(&mut self, tags: &Self) -> Result<()> {
        let new = tags.iter().filter(|tag| self.value(&tag.tag_key).is_none()).count();
        if self.0.len() + new > TAGS_MAX {
            return Err(Error::LimitExceeded("tags of a resource", TAGS_MAX as u64));
        }
        for tag in tags.iter() {
            match self.0.iter_mut().find(|known| known.tag_key == tag.tag_key) {
                Some(known) => known.tag_value = tag.tag_value.clone(),
                None => self.0.push(tag.clone()),
            }
        }
        Ok(())
    }

    /// Takes the tag of this key away, if there is one.
    pub fn remove(&mut self, key: &TagKey) {
        self.0.retain(|tag| tag.tag_key != *key);
    }
}

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

/// Which tags a listed resource must carry.
#[derive(Debug, Default)]
pub struct TagFilter {
    key: Option<TagKey>,
    value: Option<TagValue>,
    all: Tags,
}

impl TagFilter {
    /// Reads the three fields of a list request: one tag by its key, its value or both, and tags that must all be there.
    pub fn new(key: Option<TagKey>, value: Option<TagValue>, all: Tags) -> Self {
        Self { key, value, all }
    }

    /// Whether every resource passes.
    pub fn is_open(&self) -> bool {
        self.key.is_none() && self.value.is_none() && self.all.is_empty()
    }

    /// Whether a resource with these tags passes.
    pub fn matches(&self, tags: &Tags) -> bool {
        let asked = |tag: &Tag| {
            self.key.as_ref().is_none_or(|key| *key == tag.tag_key)
                && self.value.as_ref().is_none_or(|value| *value == tag.tag_value)
        };
        let one = (self.key.is_none() && self.value.is_none()) || tags.iter().any(asked);
        one && self.all.iter().all(|tag| tags.value(&tag.tag_key) == Some(&tag.tag_value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        let tag = |(key, value): &(&str, &str)| json!({ "tagKey": key, "tagValue": value });
        serde_json::from_value(pairs.iter().map(tag).collect()).unwrap()
    }

    #[test]
    fn added_tags_replace_their_namesakes_and_keep_to_the_limit() {
        let mut held = tags(&[("a", "1"), ("b", "2")]);
        held.add(&tags(&[("b", "3"), ("c", "")])).unwrap();
        assert_eq!(held, tags(&[("a", "1"), ("b", "3"), ("c", "")]));
        let names: Vec<String> = (0..18).map(|n| format!("n{n}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "v")).collect();
        assert!(matches!(held.add(&tags(&many)), Err(Error::LimitExceeded(_, 20))));
        assert_eq!(held, tags(&[("a", "1"), ("b", "3"), ("c", "")]), "nothing of too many");
        held.add(&tags(&many[..17])).unwrap();
        held.add(&tags(&[("a", "full, but not new")])).unwrap();
        held.remove(&Text::new("a").unwrap());
        held.remove(&Text::new("unknown").unwrap());
        assert_eq!(held.iter().count(), 19);
    }

    #[test]
    fn a_filter_asks_for_a_key_a_pair_or_several_pairs() {
        let held = tags(&[("team", "orders"), ("empty", "")]);
        let filter = |key: Option<&str>, value: Option<&str>, all: &[(&str, &str)]| {
            let text = |text: &str| Text::new(text).unwrap();
            let value = value.map(|text| Text::new(text).unwrap());
            TagFilter::new(key.map(text), value, tags(all)).matches(&held)
        };
        assert!(filter(None, None, &[]) && filter(Some("team"), None, &[]));
        assert!(
            filter(Some("team"), Some("orders"), &[("empty", "")]) && filter(Some("empty"), Some(""), &[])
        );
        assert!(!filter(Some("other"), None, &[]) && !filter(Some("team"), Some("order"), &[]));
        assert!(!filter(None, None, &[("team", "orders"), ("more", "")]));
        assert!(filter(None, Some("orders"), &[]) && filter(None, Some(""), &[]));
        assert!(!filter(None, Some("team"), &[]) && !filter(Some("empty"), Some("orders"), &[]));
    }
}
