//! Credentials of access points (contract 5.10). The secret key is shown once, when it is made.

use firmware_sim::{GenerateCredential, PartitionId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use crate::api::{Call, Moment, Page, SecretText, Target};
use crate::app::{App, Wrapping};
use crate::error::{Error, Result};
use crate::ids::{AccessKeyId, AccessPointId, AccountId};
use crate::model::credential::{Credential, CredentialStatus, Holder};
use crate::store::Changes;

/// Credentials that one access point may have.
const CREDENTIALS_MAX: u64 = 100;
/// A credential that was deleted while the call was on its way.
const NO_ACCESS_KEY: Error = Error::ResourceNotFound("access key");

/// Makes a credential of an access point.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateUserAk {
    /// The access point whose applications sign with it.
    pub access_point_id: AccessPointId,
}

/// A credential with its secret key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.10, createUserAk")]
pub struct NewUserAk {
    pub access_key: AccessKeyId,
    pub secret_key: SecretText,
    pub status: CredentialStatus,
    #[schemars(with = "Moment")]
    pub create_time: String,
}

/// Makes a credential; nothing is stored yet, so the caller goes on holding the right to make keys.
pub(super) async fn make(
    holder: Holder,
    account: AccountId,
    held: &Wrapping,
    call: &Call,
    app: &App,
) -> Result<(Credential, SecretText)> {
    let id = AccessKeyId::from_bytes(app.random()?);
    let command = GenerateCredential { access_key: *id.as_bytes() };
    let (secret, shown) = app.machine.make(PartitionId::DEVICE, command, held).await?;
    let status = CredentialStatus::Enabled;
    Ok((
        Credential { id, account, holder, secret, status, created: call.now },
        SecretText::from_released(&shown)?,
    ))
}

impl Operation for CreateUserAk {
    type Output = NewUserAk;
    const REFUSALS: &'static [Error] = &[Error::LimitExceeded("", 0)];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::AccessPoint(self.access_point_id)])
    }

    async fn run(self, call: &Call, app: &App) -> Result<NewUserAk> {
        let holder = Holder::AccessPoint(self.access_point_id);
        let wrapping = app.machine.wrapping().await;
        let (credential, secret_key) = make(holder, call.account()?, &wrapping, call, app).await?;
        let mut changes = Changes::default();
        changes.insert(&credential, Error::internal("a random access key exists"))?;
        changes.limit(
            Credential::of_access_point(self.access_point_id),
            CREDENTIALS_MAX,
            "credentials of the access point",
        );
        let output = NewUserAk {
            access_key: credential.id,
            secret_key,
            status: credential.status,
            create_time: credential.created.to_string(),
        };
        call.create(&app.store, changes, output).await
    }
}

/// Lists the credentials of an access point, oldest first, without their secrets.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListUserAk {
    /// The access point.
    pub access_point_id: AccessPointId,
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
}

/// A credential without its secret key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.10, listUserAk")]
pub struct UserAk {
    pub access_key: AccessKeyId,
    pub status: CredentialStatus,
    #[schemars(with = "Moment")]
    pub create_time: String,
}

/// A page of credentials.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.10 and of paging")]
pub struct UserAkPage {
    pub user_aks: Vec<UserAk>,
    pub page_number: u64,
    pub page_size: u64,
    pub total_count: u64,
}

impl Operation for ListUserAk {
    type Output = UserAkPage;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::AccessPoint(self.access_point_id)])
    }

    async fn run(self, _: &Call, app: &App) -> Result<UserAkPage> {
        let list = Credential::of_access_point(self.access_point_id);
        let page = app.store.page::<Credential>(&list, self.page.offset(), self.page.limit())?;
        let view = |credential: Credential| UserAk {
            access_key: credential.id,
            status: credential.status,
            create_time: credential.created.to_string(),
        };
        Ok(UserAkPage {
            user_aks: page.records.into_iter().map(view).collect(),
            page_number: self.page.page_number.get(),
            page_size: self.page.page_size.get(),
            total_count: page.total,
        })
    }
}

/// Has a credential of an access point accepted again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnableUserAk {
    /// The access key of an access point.
    pub access_key: AccessKeyId,
}

/// Has a credential of an access point refused until it is enabled.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisableUserAk {
    /// The access key of an access point.
    pub access_key: AccessKeyId,
}

/// What switching a credential answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.10, enableUserAk")]
pub struct SwitchedUserAk {
    pub access_key: AccessKeyId,
    pub status: CredentialStatus,
}

async fn switch(
    id: AccessKeyId,
    call: &Call,
    app: &App,
    transition: fn(&mut Credential) -> Result<()>,
) -> Result<SwitchedUserAk> {
    let credential = app.credentials.change(call, &id, transition).await?.ok_or(NO_ACCESS_KEY)?;
    Ok(SwitchedUserAk { access_key: id, status: credential.status })
}

impl Operation for EnableUserAk {
    type Output = SwitchedUserAk;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Credential(self.access_key)])
    }

    async fn run(self, call: &Call, app: &App) -> Result<SwitchedUserAk> {
        switch(self.access_key, call, app, Credential::enable).await
    }
}

impl Operation for DisableUserAk {
    type Output = SwitchedUserAk;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Credential(self.access_key)])
    }

    async fn run(self, call: &Call, app: &App) -> Result<SwitchedUserAk> {
        switch(self.access_key, call, app, Credential::disable).await
    }
}

/// Deletes a credential of an access point for good. A call that it has signed and that runs already ends as usual.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeleteUserAk {
    /// The access key of an access point.
    pub access_key: AccessKeyId,
}

/// The access key that is no more.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.10, deleteUserAk")]
pub struct DeletedUserAk {
    pub access_key: AccessKeyId,
}

impl Operation for DeleteUserAk {
    type Output = DeletedUserAk;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Credential(self.access_key)])
    }

    async fn run(self, call: &Call, app: &App) -> Result<DeletedUserAk> {
        app.credentials.retire(call, &self.access_key).await?.ok_or(NO_ACCESS_KEY)?;
        Ok(DeletedUserAk { access_key: self.access_key })
    }
}
