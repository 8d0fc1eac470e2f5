//! Destroyed keys, for those who must show that they are gone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::listed_owner;
use super::{Operation, erasure};
use crate::api::{Call, Moment, Page};
use crate::app::App;
use crate::error::Result;
use crate::ids::KeyId;
use crate::model::algorithm::{KeySpec, KeyUsage, Origin, ProtectionLevel};
use crate::model::alias::AliasName;
use crate::model::text::{Description, Text};
use crate::model::tombstone::Tombstone;

/// Lists the destroyed keys of the caller's account, the last one first: what each of them was, when it went, and whether
/// every copy of it is worthless by now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListDestroyedKeys {
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
    /// Only the key of this id.
    pub cmk_uuid: Option<KeyId>,
    /// Only keys of this kind.
    pub key_spec: Option<KeySpec>,
    /// Only keys for this use.
    pub key_usage: Option<KeyUsage>,
    /// Only keys of this level.
    pub protection_level: Option<ProtectionLevel>,
    /// Only keys whose material came from there.
    pub origin: Option<Origin>,
    /// Only keys with an alias that held this text, among those that are kept.
    pub alias_name: Option<Text<0, 70>>,
    /// Only keys of this enterprise project.
    #[serde(alias = "epId")]
    #[schemars(extend("x-also-named" = ["epId"]))]
    pub project_id: Option<Description>,
    /// Only keys that were destroyed from this moment on.
    pub start_time: Option<Moment>,
    /// Only keys that were destroyed up to this moment.
    pub end_time: Option<Moment>,
    /// Only keys whose copies are erased, or those whose are not yet.
    pub erased: Option<bool>,
}

/// A key that was destroyed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestroyedKeyView {
    /// Its id; no key has it any more, and none will.
    pub cmk_uuid: KeyId,
    /// Its name in policies.
    pub arn: String,
    /// Who made it.
    pub creator: String,
    /// When it was made.
    #[schemars(with = "Moment")]
    pub creation_date: String,
    /// When its window ended.
    #[schemars(with = "Moment")]
    pub delete_date: String,
    /// When it was destroyed.
    #[schemars(with = "Moment")]
    pub destroy_date: String,
    /// Whether the wrapping key that its copies in freed pages of the database need is erased too.
    pub erased: bool,
    /// Its description.
    pub description: String,
    /// What kind of key it was.
    pub key_spec: KeySpec,
    /// What it could be used for.
    pub key_usage: KeyUsage,
    /// Where its material came from.
    pub origin: Origin,
    /// Where its root key lay.
    pub protection_level: ProtectionLevel,
    /// Its enterprise project.
    pub project_id: String,
    /// Its service; `on-demand` for a key on demand, empty for a default key.
    #[schemars(extend("examples" = ["ins-BhviB3"]))]
    pub instance_id: String,
    /// Its first aliases by name, at most 20; they are free for other keys.
    pub aliases: Vec<AliasName>,
    /// How many aliases it had.
    pub alias_count: u64,
}

/// A page of destroyed keys.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of paging")]
pub struct DestroyedKeyPage {
    /// The keys of the page.
    pub destroyed_keys: Vec<DestroyedKeyView>,
    pub page_number: u64,
    pub page_size: u64,
    pub total_count: u64,
}

impl ListDestroyedKeys {
    fn is_filtered(&self) -> bool {
        self.cmk_uuid.is_some()
            || self.key_spec.is_some()
            || self.key_usage.is_some()
            || self.protection_level.is_some()
            || self.origin.is_some()
            || self.alias_name.is_some()
            || self.project_id.is_some()
            || self.start_time.is_some()
            || self.end_time.is_some()
            || self.erased.is_some()
    }

    fn keeps(&self, stone: &Tombstone) -> bool {
        let named =
            |part: &Text<0, 70>| stone.aliases.iter().any(|name| name.as_str().contains(part.as_str()));
        self.cmk_uuid.is_none_or(|id| id == stone.id)
            && self.key_spec.is_none_or(|spec| spec == stone.spec)
            && self.key_usage.is_none_or(|usage| usage == stone.usage)
            && self.protection_level.is_none_or(|level| level == stone.level)
            && self.origin.is_none_or(|origin| origin == stone.origin)
            && self.alias_name.as_ref().is_none_or(named)
            && self.project_id.as_ref().is_none_or(|project| *project == stone.project)
            && self.start_time.is_none_or(|from| stone.destroyed >= from.0)
            && self.end_time.is_none_or(|to| stone.destroyed <= to.0)
    }
}

/// Whether no copy of what was wrapped opens any more.
fn is_erased(stone: &Tombstone, app: &App) -> Result<bool> {
    stone.generation.map_or(Ok(true), |generation| erasure::is_erased(stone.partition, generation, app))
}

impl DestroyedKeyView {
    fn of(stone: Tombstone, app: &App) -> Result<Self> {
        Ok(Self {
            erased: is_erased(&stone, app)?,
            cmk_uuid: stone.id,
            arn: stone.arn(&app.config.region),
            creator: stone.creator,
            creation_date: stone.created.to_string(),
            delete_date: stone.scheduled.to_string(),
            destroy_date: stone.destroyed.to_string(),
            description: stone.description.to_string(),
            key_spec: stone.spec,
            key_usage: stone.usage,
            origin: stone.origin,
            protection_level: stone.level,
            project_id: stone.project.to_string(),
            instance_id: stone.owner.instance_id(),
            aliases: stone.aliases,
            alias_count: stone.alias_count,
        })
    }
}

impl Operation for ListDestroyedKeys {
    type Output = DestroyedKeyPage;

    async fn run(self, call: &Call, app: &App) -> Result<DestroyedKeyPage> {
        let owner = listed_owner(call);
        let (offset, limit) = (self.page.offset(), self.page.limit());
        let list = Tombstone::of_account(call.account()?);
        let keep = |stone: &Tombstone| -> Result<bool> {
            let here = owner.is_none_or(|owner| stone.owner == owner);
            let kept = here && self.keeps(stone);
            match self.erased {
                Some(wanted) if kept => Ok(is_erased(stone, app)? == wanted),
                Some(_) | None => Ok(kept),
            }
        };
        let page = match owner.is_some() || self.is_filtered() {
            true => app.store.filter(&list, offset, limit, keep)?,
            false => app.store.page(&list, offset, limit)?,
        };
        let views = page.records.into_iter().map(|stone| DestroyedKeyView::of(stone, app));
        Ok(DestroyedKeyPage {
            destroyed_keys: views.collect::<Result<_>>()?,
            page_number: self.page.page_number.get(),
            page_size: self.page.page_size.get(),
            total_count: page.total,
        })
    }
}
