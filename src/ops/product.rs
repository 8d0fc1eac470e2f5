//! What cloud products and their accounts see of each other: default keys, the keys that a product may choose from, and what
//! products work for with a key (contract 5.1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use super::key::{StateFilter, generate, listed_keys, without_material};
use super::key_metadata::{KeyMetadata, aliases_of};
use crate::api::{Call, Moment, Page, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::KeyId;
use crate::model::algorithm::{KeySpec, ProtectionLevel};
use crate::model::alias::{Alias, AliasName, KeyRef};
use crate::model::association::Association;
use crate::model::key::Key;
use crate::model::owner::Owner;
use crate::model::principal::Principal;
use crate::model::product::ServiceCode;
use crate::store::Changes;

/// Makes the default key of a cloud product, or returns the one that is there. The product alone uses it; nobody changes it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateDefaultKey {
    /// The product; one that calls names itself.
    pub service_code: ServiceCode,
}

/// A default key and its name.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DefaultKey {
    /// The key.
    #[serde(flatten)]
    pub metadata: KeyMetadata,
    /// `alias/` and the product.
    pub alias_name: AliasName,
}

impl Operation for CreateDefaultKey {
    type Output = DefaultKey;
    const REFUSALS: &'static [Error] = &[Error::AliasTaken];

    async fn run(self, call: &Call, app: &App) -> Result<DefaultKey> {
        let code = self.service_code;
        match call.principal {
            Principal::Product { code: caller, .. } if caller != code => return Err(Error::NoPermission),
            Principal::Product { .. }
            | Principal::User { .. }
            | Principal::AccessPoint { .. }
            | Principal::System => {}
        }
        // One call at a time makes default keys, so that whoever comes second finds the key and is told of it.
        let _turn = app.making_default_key.lock().await;
        let alias_name = AliasName::of_product(code);
        if let Some(alias) = app.store.get::<Alias>(&(call.account()?, alias_name.clone()))? {
            let key = app.keys.get(&alias.key)?.ok_or(Error::KeyNotFound)?;
            // The name may be older than its meaning.
            if key.owner != Owner::Product(code) {
                return Err(Error::AliasTaken);
            }
            return finish(&key, alias_name, Changes::default(), call, app).await;
        }
        let mut key = without_material(Owner::Product(code), KeySpec::Aes256, call, app)?;
        app.ensure_partition(&key).await?;
        let (version, _held) = generate(&key, call, app).await?;
        key.versions.push(version);
        let alias = Alias { account: key.account, name: alias_name.clone(), key: key.id, created: call.now };
        let mut changes = Changes::default();
        changes.insert(&key, Error::internal("a random key id exists"))?;
        changes.insert(&alias, Error::AliasTaken)?;
        finish(&key, alias_name, changes, call, app).await
    }
}

/// Answers the key, once its changes are durable.
async fn finish(
    key: &Key,
    alias_name: AliasName,
    changes: Changes,
    call: &Call,
    app: &App,
) -> Result<DefaultKey> {
    call.touch_owner(key);
    call.touch_key(key.id, alias_name.as_str());
    let output = DefaultKey { metadata: KeyMetadata::of(key, call, app), alias_name };
    call.create(&app.store, changes, output).await
}

/// Lists the symmetric keys that the caller may choose from, oldest first: a cloud product sees those that serve it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListSymmetricKeys {
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
    /// Only keys of this kind.
    pub key_spec: Option<KeySpec>,
    /// Only keys in this state; Enabled by default.
    pub key_state: Option<StateFilter>,
}

/// A symmetric key to choose.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.1, listSymmetricKeys")]
pub struct SymmetricKey {
    pub cmk_uuid: KeyId,
    /// Its aliases by name, at most 100.
    pub aliases: Vec<AliasName>,
    pub key_spec: KeySpec,
    pub protection_level: ProtectionLevel,
    #[schemars(extend("enum" = ["Enabled", "Disabled", "PendingDeletion", "PendingImport"]))]
    pub key_state: String,
    /// Whether it is the default key of a cloud product.
    pub is_default: bool,
}

/// A page of symmetric keys.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.1 and of paging")]
pub struct SymmetricKeyPage {
    pub keys: Vec<SymmetricKey>,
    pub page_number: u64,
    pub page_size: u64,
    pub total_count: u64,
}

impl Operation for ListSymmetricKeys {
    type Output = SymmetricKeyPage;

    async fn run(self, call: &Call, app: &App) -> Result<SymmetricKeyPage> {
        let state = self.key_state.unwrap_or(StateFilter::Enabled);
        let chooses = matches!(call.principal, Principal::Product { .. });
        let keep = |key: &Key| {
            Ok(key.spec.is_symmetric()
                && self.key_spec.is_none_or(|spec| spec == key.spec)
                && state.matches(key.state_at(call.horizon()))
                && (!chooses || app.check_caller(call, key).is_ok()))
        };
        let page = app.store.filter(&listed_keys(call)?, self.page.offset(), self.page.limit(), keep)?;
        let view = |key: Key| {
            Ok(SymmetricKey {
                cmk_uuid: key.id,
                aliases: aliases_of(key.id, app)?,
                key_spec: key.spec,
                protection_level: key.level,
                key_state: key.state_at(call.horizon()).wire_name().into(),
                is_default: key.is_default(),
            })
        };
        Ok(SymmetricKeyPage {
            keys: page.records.into_iter().map(view).collect::<Result<_>>()?,
            page_number: self.page.page_number.get(),
            page_size: self.page.page_size.get(),
            total_count: page.total,
        })
    }
}

/// Lists what cloud products work for with a key, the latest use first: who would miss it. For each product the resources that it
/// used the key for last, at most 1,000.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DetectAssociation {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
}

/// A resource of a cloud product that works with a key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AssociationView {
    /// The product.
    pub service_code: ServiceCode,
    /// The resource as its product calls it; empty for calls that named none.
    #[schemars(extend("examples" = ["disk-7f3a"]))]
    pub resource_id: String,
    /// What people call it; empty if the product did not say.
    pub resource_name: String,
    /// The first successful call for it.
    #[schemars(with = "Moment")]
    pub first_used_time: String,
    /// The latest successful call for it.
    #[schemars(with = "Moment")]
    pub last_used_time: String,
}

/// A page of associations.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.1 and of paging")]
pub struct AssociationPage {
    pub associations: Vec<AssociationView>,
    pub page_number: u64,
    pub page_size: u64,
    pub total_count: u64,
}

impl Operation for DetectAssociation {
    type Output = AssociationPage;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<AssociationPage> {
        let found = app.store.associations(call.key()?)?;
        let total_count = found.len() as u64;
        let view = |association: Association| AssociationView {
            service_code: association.product,
            resource_id: association.resource.id.to_string(),
            resource_name: association.resource.name.to_string(),
            first_used_time: association.first.to_string(),
            last_used_time: association.last.to_string(),
        };
        let page = found.into_iter().skip(self.page.offset()).take(self.page.limit());
        Ok(AssociationPage {
            associations: page.map(view).collect(),
            page_number: self.page.page_number.get(),
            page_size: self.page.page_size.get(),
            total_count,
        })
    }
}
