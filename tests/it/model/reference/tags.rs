//! Tags of keys: given and taken on several keys at once, and what is found by them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Expected, Key, Model, page, text};
use crate::model::steps::Caller;

/// A key and its value.
pub type Tag = (String, String);

/// Tags that a resource may carry.
const MOST: usize = 20;

/// Which resources a list asks for.
pub struct Filter<'a> {
    key: Option<&'a str>,
    value: Option<&'a str>,
    all: Vec<Tag>,
}

/// Tags of a request, as a list or as its JSON text: no key twice, no more than a resource may carry.
pub fn read(tags: &Value) -> Result<Vec<Tag>, &'static str> {
    let list = match tags.as_str() {
        Some(text) => serde_json::from_str(text).unwrap(),
        None => tags.clone(),
    };
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    let tags: Vec<Tag> = list.iter().map(|tag| (text(&tag["tagKey"]), text(&tag["tagValue"]))).collect();
    let keys: BTreeMap<&str, ()> = tags.iter().map(|(key, _)| (key.as_str(), ())).collect();
    if keys.len() < tags.len() || tags.len() > MOST { Err("KMS.9020") } else { Ok(tags) }
}

/// Tags in an answer, in the order in which they were given.
pub fn view(tags: &[Tag]) -> Value {
    tags.iter().map(|(key, value)| json!({"tagKey": key, "tagValue": value})).collect()
}

impl<'a> Filter<'a> {
    pub fn read(body: &'a Value) -> Result<Self, &'static str> {
        let (key, value) = (body["tagKey"].as_str(), body["tagValue"].as_str());
        Ok(Self { key, value, all: read(&body["tags"])? })
    }

    /// One tag has both the key and the value that are asked for, and all of the others are there.
    pub fn passes(&self, tags: &[Tag]) -> bool {
        let asked = |(key, value): &Tag| {
            self.key.is_none_or(|asked| asked == key) && self.value.is_none_or(|asked| asked == value)
        };
        let nothing = self.key.is_none() && self.value.is_none();
        (nothing || tags.iter().any(asked)) && self.all.iter().all(|tag| tags.contains(tag))
    }
}

impl Model {
    /// A tag that is there already gets the new value in its old place. All keys get all tags, or none gets any.
    pub(super) fn tag(&mut self, by: Caller, body: &Value) -> Expected {
        let tags = read(&body["tags"])?;
        if tags.is_empty() {
            return Err("KMS.9020");
        }
        let keys = self.named(by, &body["resourceIds"])?;
        // The service asks them in the order of their ids.
        let mut in_order = keys.clone();
        in_order.sort_by_key(|at| &self.keys[*at].id);
        let mut after = Vec::new();
        for at in &in_order {
            self.check_kept(*at)?;
            let mut held = self.keys[*at].tags.clone();
            for (key, value) in &tags {
                match held.iter_mut().find(|(known, _)| known == key) {
                    Some((_, old)) => old.clone_from(value),
                    None => held.push((key.clone(), value.clone())),
                }
            }
            if held.len() > MOST {
                return Err("KMS.9030");
            }
            after.push(held);
        }
        for (at, tags) in in_order.iter().zip(after) {
            self.keys[*at].tags = tags;
        }
        Ok(self.resources(&keys))
    }

    /// A tag that is not there is no failure.
    pub(super) fn untag(&mut self, by: Caller, body: &Value) -> Expected {
        let gone = body["tagKeys"].as_array().unwrap();
        if gone.is_empty() || gone.len() > MOST {
            return Err("KMS.9020");
        }
        let keys = self.named(by, &body["resourceIds"])?;
        keys.iter().try_for_each(|at| self.check_kept(*at))?;
        for at in &keys {
            self.keys[*at].tags.retain(|(key, _)| !gone.contains(&json!(key)));
        }
        Ok(self.resources(&keys))
    }

    /// The keys that carry tags, of all or of those that are named.
    pub(super) fn list_tag_resources(&self, by: Caller, body: &Value) -> Expected {
        let filter = Filter::read(body)?;
        let mut found = self.oldest_first(by);
        if body["resourceIds"].is_array() {
            let named = self.named(by, &body["resourceIds"])?;
            found.retain(|key| named.iter().any(|at| self.keys[*at].id == key.id));
        }
        found.retain(|key| !key.tags.is_empty() && filter.passes(&key.tags));
        let view = |key: &Key| json!({"resourceType": "CMK", "resourceId": key.id, "tags": view(&key.tags)});
        Ok(page("tagResources", found.into_iter().map(view).collect(), body))
    }

    /// The keys of tags in use, by name, and how many resources carry each.
    pub(super) fn list_tag_keys(&self, by: Caller, body: &Value) -> Expected {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (key, _) in self.oldest_first(by).into_iter().flat_map(|key| &key.tags) {
            *counts.entry(key).or_default() += 1;
        }
        let view = |(key, count)| json!({"tagKey": key, "resourceCount": count});
        Ok(page("tagKeys", counts.into_iter().map(view).collect(), body))
    }

    /// The keys that a call names, by id or by alias, each once: all of them, or the refusal of the first that fails.
    fn named(&self, by: Caller, names: &Value) -> Result<Vec<usize>, &'static str> {
        let names = names.as_array().unwrap();
        if names.is_empty() || names.len() > 50 {
            return Err("KMS.9020");
        }
        let mut found = Vec::new();
        for name in names {
            let at = self.find(by, name)?;
            if !found.contains(&at) {
                found.push(at);
            }
        }
        Ok(found)
    }

    fn resources(&self, keys: &[usize]) -> Value {
        let ids: Vec<&String> = keys.iter().map(|at| &self.keys[*at].id).collect();
        json!({"resourceType": "CMK", "resourceIds": ids})
    }
}
