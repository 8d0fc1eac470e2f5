//! Tags of resources (contract 5.13, /tag/…). Resources are keys; a call that names several changes all of them or none.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use super::key::listed_keys;
use crate::api::{Call, Page, Several, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::KeyId;
use crate::model::alias::KeyRef;
use crate::model::key::Key;
use crate::model::tag::{TAGS_MAX, TagFilter, TagKey, TagValue, Tags};

/// Resources of one call at most.
const RESOURCES_MAX: usize = 50;

/// The kinds of resource that carry tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("examples" = ["CMK"]))]
pub enum ResourceType {
    /// A key.
    #[serde(rename = "CMK")]
    Key,
}

/// The resources of one call: keys by UUID or alias.
type ResourceIds = Several<KeyRef, RESOURCES_MAX>;

fn keys_of(resources: &ResourceIds) -> Vec<Target> {
    resources.iter().cloned().map(Target::Key).collect()
}

/// What changing tags answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TaggedResources {
    /// Their kind.
    pub resource_type: ResourceType,
    /// The resources, each once.
    pub resource_ids: Vec<KeyId>,
}

/// The keys that the call is about, each once.
fn each_once(call: &Call) -> Vec<KeyId> {
    let mut ids = Vec::new();
    for id in call.keys() {
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    ids
}

async fn change(call: &Call, app: &App, edit: impl Fn(&mut Key) -> Result<()>) -> Result<TaggedResources> {
    let resource_ids = each_once(call);
    app.keys.change_all(call, &resource_ids, edit).await?.ok_or(Error::KeyNotFound)?;
    Ok(TaggedResources { resource_type: ResourceType::Key, resource_ids })
}

/// Gives resources tags; a tag that is there already gets the new value. All resources or none.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagResources {
    /// The kind of all these resources.
    pub resource_type: ResourceType,
    /// 1 to 50 keys, by UUID or alias.
    pub resource_ids: ResourceIds,
    /// 1 to 20 tags for each of them.
    #[schemars(extend("minItems" = 1))]
    pub tags: Tags,
}

impl Operation for TagResources {
    type Output = TaggedResources;
    const REFUSALS: &'static [Error] = &[Error::KeyPendingDeletion, Error::LimitExceeded("", 0)];

    fn targets(&self) -> Result<Vec<Target>> {
        if self.tags.is_empty() {
            return Err(Error::invalid("tags", "must hold a tag"));
        }
        Ok(keys_of(&self.resource_ids))
    }

    async fn run(self, call: &Call, app: &App) -> Result<TaggedResources> {
        change(call, app, |key| key.tag(&self.tags)).await
    }
}

/// Takes tags from resources; one that is not there is no failure. All resources or none.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UntagResources {
    /// The kind of all these resources.
    pub resource_type: ResourceType,
    /// 1 to 50 keys, by UUID or alias.
    pub resource_ids: ResourceIds,
    /// 1 to 20 keys of tags.
    pub tag_keys: Several<TagKey, TAGS_MAX>,
}

impl Operation for UntagResources {
    type Output = TaggedResources;
    const REFUSALS: &'static [Error] = &[Error::KeyPendingDeletion];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(keys_of(&self.resource_ids))
    }

    async fn run(self, call: &Call, app: &App) -> Result<TaggedResources> {
        change(call, app, |key| key.untag(self.tag_keys.iter())).await
    }
}

/// Lists resources that carry tags, with their tags, oldest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListTagResources {
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
    /// Only resources of this kind.
    pub resource_type: Option<ResourceType>,
    /// Only these keys, 1 to 50, by UUID or alias.
    pub resource_ids: Option<ResourceIds>,
    /// Only resources with a tag of this key.
    pub tag_key: Option<TagKey>,
    /// Only resources with a tag of this value; of `tagKey`, if that is there.
    pub tag_value: Option<TagValue>,
    /// Only resources that carry all of these tags.
    #[serde(default)]
    pub tags: Tags,
}

/// A resource with its tags.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagResource {
    /// Its kind.
    pub resource_type: ResourceType,
    /// The resource.
    pub resource_id: KeyId,
    /// Its tags.
    pub tags: Tags,
}

/// A page of resources with tags.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields of paging")]
pub struct TagResourcePage {
    /// The resources.
    pub tag_resources: Vec<TagResource>,
    pub page_number: u64,
    pub page_size: u64,
    pub total_count: u64,
}

impl Operation for ListTagResources {
    type Output = TagResourcePage;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(self.resource_ids.as_ref().map(keys_of).unwrap_or_default())
    }

    async fn run(self, call: &Call, app: &App) -> Result<TagResourcePage> {
        let filter = TagFilter::new(self.tag_key, self.tag_value, self.tags);
        let keep = |key: &Key| !key.tags.is_empty() && filter.matches(&key.tags);
        let (offset, limit) = (self.page.offset(), self.page.limit());
        let (keys, total_count) = if self.resource_ids.is_some() {
            let mut keys = Vec::new();
            for id in each_once(call) {
                keys.extend(app.store.get::<Key>(&id)?.filter(keep));
            }
            keys.sort_by_key(|key| (key.created, key.id));
            let total = keys.len() as u64;
            (keys.into_iter().skip(offset).take(limit).collect(), total)
        } else {
            let page = app.store.filter(&listed_keys(call)?, offset, limit, |key| Ok(keep(key)))?;
            (page.records, page.total)
        };
        let view =
            |key: Key| TagResource { resource_type: ResourceType::Key, resource_id: key.id, tags: key.tags };
        Ok(TagResourcePage {
            tag_resources: keys.into_iter().map(view).collect(),
            page_number: self.page.page_number.get(),
            page_size: self.page.page_size.get(),
            total_count,
        })
    }
}

/// Lists the tag keys in use, by name, and how many resources carry each.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListTagKeys {
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
    /// Only tags of resources of this kind.
    pub resource_type: Option<ResourceType>,
}

/// A tag key in use.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsedTagKey {
    /// The key.
    pub tag_key: TagKey,
    /// How many resources carry a tag of this key.
    pub resource_count: u64,
}

/// A page of tag keys.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields of paging")]
pub struct TagKeyPage {
    /// The tag keys.
    pub tag_keys: Vec<UsedTagKey>,
    pub page_number: u64,
    pub page_size: u64,
    pub total_count: u64,
}

impl Operation for ListTagKeys {
    type Output = TagKeyPage;

    async fn run(self, call: &Call, app: &App) -> Result<TagKeyPage> {
        let mut counts: BTreeMap<TagKey, u64> = BTreeMap::new();
        let list = listed_keys(call)?;
        app.store.filter(&list, 0, 0, |key: &Key| {
            for tag in key.tags.iter() {
                *counts.entry(tag.tag_key.clone()).or_default() += 1;
            }
            Ok(false)
        })?;
        let total_count = counts.len() as u64;
        let page = counts.into_iter().skip(self.page.offset()).take(self.page.limit());
        Ok(TagKeyPage {
            tag_keys: page.map(|(tag_key, resource_count)| UsedTagKey { tag_key, resource_count }).collect(),
            page_number: self.page.page_number.get(),
            page_size: self.page.page_size.get(),
            total_count,
        })
    }
}
