//! The description of a key as clients see it (contract 5.1.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rehearsal::KeyAttempts;
use crate::api::{Call, Moment};
use crate::app::App;
use crate::error::Result;
use crate::ids::{KeyId, VersionId};
use crate::model::algorithm::{KeySpec, KeyUsage, Origin, ProtectionLevel};
use crate::model::alias::{Alias, AliasName};
use crate::model::key::{Key, KeyState};
use crate::model::rotation::Rotation;
use crate::model::tag::Tags;

/// Aliases of one key that are shown with it.
const ALIASES_SHOWN: usize = 100;

/// What clients see of a key: the KeyMetadata of the product.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.1.1")]
pub struct KeyMetadata {
    pub cmk_uuid: KeyId,
    pub arn: String,
    pub creator: String,
    #[schemars(with = "Moment")]
    pub creation_date: String,
    pub description: String,
    pub key_spec: KeySpec,
    pub key_usage: KeyUsage,
    #[schemars(extend("enum" = ["Enabled", "Disabled", "PendingDeletion", "PendingImport"]))]
    pub key_state: String,
    pub origin: Origin,
    pub protection_level: ProtectionLevel,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_key_version: Option<VersionId>,
    #[serde(flatten)]
    pub rotation: RotationPolicy,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Moment>")]
    pub last_rotation_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Moment>")]
    pub delete_date: Option<String>,
    /// Empty for material that never expires, and while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["2027-01-01T00:00:00Z"]))]
    pub material_expire_time: Option<String>,
    /// Whether its disabling is rehearsed: uses go through, and are marked.
    pub rehearsal: bool,
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub deletion_protection: String,
    /// Why it is protected; only of a protected key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_protection_description: Option<String>,
    pub project_id: String,
    /// The service; `on-demand` for a key on demand, empty for a default key.
    #[schemars(extend("examples" = ["ins-BhviB3"]))]
    pub instance_id: String,
    #[schemars(extend("enum" = ["SUBSCRIPTION", "ON_DEMAND", "DEFAULT"]))]
    pub charge_mode: String,
    pub is_default: bool,
    pub tags: Tags,
}

/// How a key rotates.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.1.1")]
pub struct RotationPolicy {
    #[schemars(extend("enum" = ["Enabled", "Disabled", "Suspended"]))]
    pub automatic_rotation: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("examples" = ["7776000s"]))]
    pub rotation_interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Moment>")]
    pub next_rotation_date: Option<String>,
}

impl RotationPolicy {
    /// The policy of a key; suspended while the key rests.
    pub fn of(key: &Key) -> Self {
        let (automatic_rotation, period, next) = match (key.rotation, key.state) {
            (Rotation::Off, _) => ("Disabled", None, None),
            (Rotation::On { period, next }, KeyState::Enabled) => ("Enabled", Some(period), Some(next)),
            (
                Rotation::On { period, next },
                KeyState::Disabled | KeyState::PendingDeletion { .. } | KeyState::PendingImport,
            ) => ("Suspended", Some(period), Some(next)),
        };
        Self {
            automatic_rotation: automatic_rotation.into(),
            rotation_interval: period.map(|period| period.to_string()),
            next_rotation_date: next.map(|at| at.to_string()),
        }
    }
}

/// KeyMetadata and the aliases of the key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedKey {
    /// The key.
    #[serde(flatten)]
    pub metadata: KeyMetadata,
    /// Its aliases by name, at most 100.
    pub aliases: Vec<AliasName>,
}

/// Everything about a key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyDetails {
    /// The key and its aliases.
    #[serde(flatten)]
    pub key: NamedKey,
    /// Who tried to use it while it was disabled or pending deletion, and who used it in a rehearsal; the latest first, at most
    /// 100, absent while there is nobody. Shown to people, not to applications.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<KeyAttempts>,
}

impl KeyMetadata {
    /// Describes a key.
    pub fn of(key: &Key, call: &Call, app: &App) -> Self {
        let now = call.horizon();
        let state = key.state_at(now);
        let delete_date = match state {
            KeyState::PendingDeletion { at } => Some(at.to_string()),
            KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => None,
        };
        let material_expire_time = match key.origin {
            Origin::CtyunKms => None,
            Origin::External if key.versions_at(now).is_empty() => Some(String::new()),
            Origin::External => Some(key.import.expires.map_or_else(String::new, |at| at.to_string())),
        };
        Self {
            cmk_uuid: key.id,
            arn: key.arn(&app.config.region),
            creator: key.creator.clone(),
            creation_date: key.created.to_string(),
            description: key.description.to_string(),
            key_spec: key.spec,
            key_usage: key.usage,
            key_state: state.wire_name().into(),
            origin: key.origin,
            protection_level: key.level,
            primary_key_version: key.primary_at(now).map(|version| version.id),
            rotation: RotationPolicy::of(key),
            last_rotation_date: key.rotated.map(|at| at.to_string()),
            delete_date,
            material_expire_time,
            rehearsal: key.rehearsal,
            deletion_protection: if key.protection.is_some() { "Enabled" } else { "Disabled" }.into(),
            deletion_protection_description: key.protection.as_ref().map(|why| why.to_string()),
            project_id: key.project.to_string(),
            instance_id: key.owner.instance_id(),
            charge_mode: key.owner.charge_mode().into(),
            is_default: key.is_default(),
            tags: key.tags.clone(),
        }
    }
}

impl NamedKey {
    /// Describes a key with its aliases.
    pub fn of(key: &Key, call: &Call, app: &App) -> Result<Self> {
        Ok(Self { metadata: KeyMetadata::of(key, call, app), aliases: aliases_of(key.id, app)? })
    }
}

/// The aliases that are shown with a key.
pub(super) fn aliases_of(key: KeyId, app: &App) -> Result<Vec<AliasName>> {
    let aliases = app.store.page::<Alias>(&Alias::of_key(key), 0, ALIASES_SHOWN)?;
    Ok(aliases.records.into_iter().map(|alias| alias.name).collect())
}
