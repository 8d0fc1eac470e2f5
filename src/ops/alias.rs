//! Making and deleting aliases (contract 5.2).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use crate::api::{Call, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::KeyId;
use crate::model::alias::{Alias, AliasName, KeyRef};
use crate::store::Changes;

/// Gives a key a name.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.2, createAlias")]
pub struct CreateAlias {
    pub cmk_uuid: KeyId,
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
    const REFUSALS: &'static [Error] = &[Error::AliasTaken, Error::TransitionNotAllowed];

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

/// Takes a name away. The key stays as it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.2, deleteAlias")]
pub struct DeleteAlias {
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

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Alias(self.alias_name.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<DeletedAlias> {
        let alias: Alias =
            app.store.get(&(call.account()?, self.alias_name.clone()))?.ok_or(Error::AliasNotFound)?;
        let mut changes = Changes::default();
        changes.remove(&alias, Error::AliasNotFound)?;
        call.commit(&app.store, changes).await?;
        Ok(DeletedAlias { alias_name: self.alias_name })
    }
}
