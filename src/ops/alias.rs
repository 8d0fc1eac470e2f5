//! Making, moving, listing and deleting aliases (contract 5.2).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use super::key::listed_owner;
use crate::api::{Call, Page, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::KeyId;
use crate::model::alias::{Alias, AliasName, KeyRef};
use crate::model::key::Key;
use crate::model::record::List;
use crate::store::Changes;

/// Gives a key a name.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateAlias {
    /// The key, by its UUID in lower case.
    pub cmk_uuid: KeyId,
    /// A name that is free: `alias/` and 1 to 64 letters, digits, `/`, `_` or `-`.
    pub alias_name: AliasName,
}

/// A name and its key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.2")]
pub struct NamedAlias {
    pub cmk_uuid: KeyId,
    pub alias_name: AliasName,
}

impl Operation for CreateAlias {
    type Output = NamedAlias;
    const REFUSALS: &'static [Error] = &[Error::AliasTaken, Error::DefaultKey, Error::TransitionNotAllowed];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(KeyRef::Id(self.cmk_uuid))])
    }

    async fn run(self, call: &Call, app: &App) -> Result<NamedAlias> {
        self.alias_name.check_free()?;
        let key = app.keys.get(&self.cmk_uuid)?.ok_or(Error::KeyNotFound)?;
        let alias =
            Alias { account: key.account, name: self.alias_name.clone(), key: key.id, created: call.now };
        let mut changes = Changes::default();
        changes.insert(&alias, Error::AliasTaken)?;
        let output = NamedAlias { cmk_uuid: key.id, alias_name: self.alias_name };
        call.remember(&mut changes, &output)?;
        // Through the key's keeper, so that the key cannot change its state in between.
        let named = app.keys.change_with(call, &key.id, changes, |key| key.check_alias()).await?;
        named.map(|_| output).ok_or(Error::KeyNotFound)
    }
}

/// Moves a name to another key. A name that points there already stays as it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateAlias {
    /// The key that the name shall point to: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// A name that exists, `alias/…`.
    pub alias_name: AliasName,
}

impl Operation for UpdateAlias {
    type Output = NamedAlias;
    const REFUSALS: &'static [Error] = &[Error::DefaultKey, Error::KeyPendingDeletion];

    /// The name brings its old key with it.
    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Alias(self.alias_name.clone()), Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<NamedAlias> {
        let (alias, key) = (call.alias()?, call.key()?);
        app.keys.get(&alias.key)?.ok_or(Error::AliasNotFound)?.check_own()?;
        let mut changes = Changes::default();
        if alias.key != key {
            let moved = Alias { key, ..alias.clone() };
            changes.replace(&alias, &moved, Error::AliasNotFound)?;
        }
        // Through the new key's keeper, so that the key cannot change its state in between.
        let named = app.keys.change_with(call, &key, changes, |key| key.check_alias_target()).await?;
        named.ok_or(Error::KeyNotFound)?;
        Ok(NamedAlias { cmk_uuid: key, alias_name: self.alias_name })
    }
}

/// Takes a name away. The key stays as it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeleteAlias {
    /// The name, `alias/…`.
    pub alias_name: AliasName,
}

/// The name that is free again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.2, deleteAlias")]
pub struct DeletedAlias {
    pub alias_name: AliasName,
}

impl Operation for DeleteAlias {
    type Output = DeletedAlias;
    const REFUSALS: &'static [Error] = &[Error::DefaultKey];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Alias(self.alias_name.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<DeletedAlias> {
        let alias = call.alias()?;
        app.keys.get(&alias.key)?.ok_or(Error::AliasNotFound)?.check_own()?;
        let mut changes = Changes::default();
        changes.remove(&alias, Error::AliasNotFound)?;
        call.commit(&app.store, changes).await?;
        Ok(DeletedAlias { alias_name: self.alias_name })
    }
}

/// Lists the caller's aliases, by name.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListAlias {
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
}

/// Lists the aliases of a key, by name.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListAliasByUuid {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
}

/// An alias as clients see it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.2, listAlias")]
pub struct AliasView {
    pub alias_name: AliasName,
    pub cmk_uuid: KeyId,
    pub alias_arn: String,
}

/// A page of aliases.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.2, listAlias, and of paging")]
pub struct AliasPage {
    pub aliases: Vec<AliasView>,
    pub page_number: u64,
    pub page_size: u64,
    pub total_count: u64,
}

impl AliasPage {
    fn of(found: crate::store::Page<Alias>, page: &Page, region: &str) -> Self {
        let view = |alias: Alias| AliasView {
            alias_arn: alias.arn(region),
            alias_name: alias.name,
            cmk_uuid: alias.key,
        };
        Self {
            aliases: found.records.into_iter().map(view).collect(),
            page_number: page.page_number.get(),
            page_size: page.page_size.get(),
            total_count: found.total,
        }
    }
}

impl Operation for ListAlias {
    type Output = AliasPage;

    async fn run(self, call: &Call, app: &App) -> Result<AliasPage> {
        let (offset, limit, account) = (self.page.offset(), self.page.limit(), call.account()?);
        let list = Alias::of_account(account);
        let mut found = app.store.page(&list, offset, limit)?;
        // Counted after the page was read: a key that it shows is among those counted, or gone.
        let keys = |list: List| app.store.count(&list);
        if let Some(owner) = listed_owner(call)
            && keys(Key::of_owner(account, owner))? != keys(Key::of_account(account))?
        {
            found = app.store.filter(&list, offset, limit, |alias: &Alias| {
                Ok(app.store.get::<Key>(&alias.key)?.is_some_and(|key| key.owner == owner))
            })?;
        }
        Ok(AliasPage::of(found, &self.page, &app.config.region))
    }
}

impl Operation for ListAliasByUuid {
    type Output = AliasPage;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<AliasPage> {
        let list = Alias::of_key(call.key()?);
        let found = app.store.page(&list, self.page.offset(), self.page.limit())?;
        Ok(AliasPage::of(found, &self.page, &app.config.region))
    }
}
