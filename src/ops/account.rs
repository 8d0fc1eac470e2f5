//! Tenants (contract 5.13). A new tenant comes with everything that it needs to work: a running service with its
//! partition, the default access point without credentials, and an administrator with an OpenAPI credential.

use argon2::{Argon2, PasswordHasher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Operation, credential};
use crate::api::{Call, Moment, Page, SecretText};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{AccessKeyId, AccessPointId, AccountId, InstanceId, PartitionId, UserId};
use crate::model::access_point::AccessPoint;
use crate::model::account::{Account, User};
use crate::model::credential::Holder;
use crate::model::instance::{Edition, Instance, ServiceState};
use crate::model::text::{Name, Text};
use crate::store::Changes;

/// Tenants of one appliance: each needs a partition of the cipher machine.
const ACCOUNTS_MAX: u64 = 4000;
const NO_ACCOUNT: Error = Error::ResourceNotFound("account");
const PASSWORD_ALPHABET: &[u8; 64] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789-_.+*=~";

/// Sets the appliance up: the first account, which administers it. Runs once.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitialiseAppliance {}

/// Adds a tenant.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateAccount {
    /// What the tenant is called, 1 to 64 characters.
    pub name: Name,
    /// Whether it may make keys on demand, which belong to no service.
    #[serde(default)]
    pub on_demand_keys: bool,
}

/// A new tenant: ids, and the secrets that are shown only here.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of first-run.json")]
pub struct NewAccount {
    pub account_id: AccountId,
    pub region: String,
    pub instance_id: InstanceId,
    pub console: ConsoleLogin,
    pub openapi: OpenApiLogin,
    pub access_point_id: AccessPointId,
}

/// How the first person signs in.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the fields are those of first-run.json")]
pub struct ConsoleLogin {
    pub user: String,
    pub password: SecretText,
}

/// The first person's OpenAPI credential.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of first-run.json")]
pub struct OpenApiLogin {
    pub access_key: AccessKeyId,
    pub secret_key: SecretText,
}

impl Operation for InitialiseAppliance {
    type Output = NewAccount;

    async fn run(self, call: &Call, app: &App) -> Result<NewAccount> {
        let account = Account {
            id: AccountId::from_random(app.random()?),
            name: named("appliance")?,
            administrator: true,
            on_demand: false,
            created: call.now,
        };
        found(account, 1, call, app).await
    }
}

impl Operation for CreateAccount {
    type Output = NewAccount;
    const REFUSALS: &'static [Error] = &[Error::LimitExceeded("", 0)];

    async fn run(self, call: &Call, app: &App) -> Result<NewAccount> {
        let account = Account {
            id: AccountId::from_random(app.random()?),
            name: self.name,
            administrator: false,
            on_demand: self.on_demand_keys,
            created: call.now,
        };
        found(account, ACCOUNTS_MAX, call, app).await
    }
}

/// Lists the tenants of the appliance, oldest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListAccount {
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
    /// Only tenants whose name holds this text.
    pub name: Option<Text<0, 64>>,
}

/// A tenant as administrators of the appliance see it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
    /// Its id.
    pub account_id: AccountId,
    /// Its name.
    pub name: Name,
    /// Whether its people administer the appliance.
    pub administrator: bool,
    /// Whether it may make keys on demand, which belong to no service.
    pub on_demand_keys: bool,
    /// When it was made.
    #[schemars(with = "Moment")]
    pub create_time: String,
}

impl AccountView {
    fn of(account: &Account) -> Self {
        Self {
            account_id: account.id,
            name: account.name.clone(),
            administrator: account.administrator,
            on_demand_keys: account.on_demand,
            create_time: account.created.to_string(),
        }
    }
}

/// A page of tenants.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields of paging")]
pub struct AccountPage {
    /// The tenants.
    pub accounts: Vec<AccountView>,
    pub page_number: u64,
    pub page_size: u64,
    pub total_count: u64,
}

impl Operation for ListAccount {
    type Output = AccountPage;

    async fn run(self, _: &Call, app: &App) -> Result<AccountPage> {
        let (offset, limit) = (self.page.offset(), self.page.limit());
        let page = match &self.name {
            None => app.store.page(&Account::all(), offset, limit)?,
            Some(part) => app.store.filter(&Account::all(), offset, limit, |account: &Account| {
                Ok(account.name.as_str().contains(part.as_str()))
            })?,
        };
        Ok(AccountPage {
            accounts: page.records.iter().map(AccountView::of).collect(),
            page_number: self.page.page_number.get(),
            page_size: self.page.page_size.get(),
            total_count: page.total,
        })
    }
}

/// Describes a tenant.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DescribeAccount {
    /// The tenant.
    pub account_id: AccountId,
}

impl Operation for DescribeAccount {
    type Output = AccountView;

    async fn run(self, call: &Call, app: &App) -> Result<AccountView> {
        let account = app.accounts.get(&self.account_id)?.ok_or(NO_ACCOUNT)?;
        call.touch("Account", account.id.text(), account.name.as_str());
        Ok(AccountView::of(&account))
    }
}

/// Changes what a tenant may do; what is not said stays as it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateAccount {
    /// The tenant.
    pub account_id: AccountId,
    /// Whether it may make keys on demand, which belong to no service. Those that it has stay usable.
    pub on_demand_keys: Option<bool>,
}

impl Operation for UpdateAccount {
    type Output = AccountView;

    async fn run(self, call: &Call, app: &App) -> Result<AccountView> {
        let account = app.accounts.get(&self.account_id)?.ok_or(NO_ACCOUNT)?;
        call.touch("Account", account.id.text(), account.name.as_str());
        let edit = move |account: &mut Account| {
            account.on_demand = self.on_demand_keys.unwrap_or(account.on_demand);
            Ok(())
        };
        let account = app.accounts.change(call, &self.account_id, edit).await?.ok_or(NO_ACCOUNT)?;
        Ok(AccountView::of(&account))
    }
}

fn named(name: &str) -> Result<Name> {
    Name::new(name).map_err(Error::internal)
}

/// Makes a tenant with everything it needs, in one transaction. Its partition is made first: a partition that no
/// service names does no harm.
async fn found(account: Account, most: u64, call: &Call, app: &App) -> Result<NewAccount> {
    let instance = Instance {
        id: InstanceId::from_random(app.random()?),
        account: account.id,
        name: named("default")?,
        edition: Edition::Enterprise,
        base_instances: 1,
        state: ServiceState::Running,
        partition: PartitionId::from_random(app.random()?),
        created: call.now,
    };
    let access_point = AccessPoint {
        id: AccessPointId::from_random(app.random()?),
        account: account.id,
        instance: instance.id,
        name: named("default")?,
        vpc: named("vpc-default")?,
        subnet: named("subnet-default")?,
        project: Text::new("default").map_err(Error::internal)?,
        description: Text::default(),
        created: call.now,
    };
    let password = new_password(app)?;
    let user = User {
        id: UserId::from_random(app.random()?),
        account: account.id,
        name: named("admin")?,
        password_hash: hash_password(password.clone(), app).await?,
        must_change_password: true,
        created: call.now,
    };
    let (holder, wrapping) = (Holder::User(user.id), app.machine.wrapping().await);
    let (credential, secret_key) = credential::make(holder, account.id, &wrapping, call, app).await?;
    app.machine.create_partition(firmware_sim::PartitionId(*instance.partition.as_bytes())).await?;
    call.touch_account(account.id);
    call.touch("Account", account.id.text(), account.name.as_str());
    let taken = || Error::internal("a random id exists");
    let mut changes = Changes::default();
    changes.insert(&account, taken())?;
    changes.insert(&instance, taken())?;
    changes.insert(&access_point, taken())?;
    changes.insert(&user, taken())?;
    changes.insert(&credential, taken())?;
    changes.limit(Account::all(), most, "accounts of the appliance");
    let output = NewAccount {
        account_id: account.id,
        region: app.config.region.clone(),
        instance_id: instance.id,
        console: ConsoleLogin { user: user.name.to_string(), password: SecretText::new(password) },
        openapi: OpenApiLogin { access_key: credential.id, secret_key },
        access_point_id: access_point.id,
    };
    call.create(&app.store, changes, output).await
}

/// 20 characters of 6 bits each.
fn new_password(app: &App) -> Result<String> {
    let bytes: [u8; 20] = app.random()?;
    let character = |byte: u8| PASSWORD_ALPHABET.get(usize::from(byte & 63)).copied().map_or('-', char::from);
    Ok(bytes.map(character).iter().collect())
}

/// Argon2id (RFC 9106) with the library's parameters.
async fn hash_password(password: String, app: &App) -> Result<String> {
    let (password, salt): (_, [u8; 16]) = (zeroize::Zeroizing::new(password), app.random()?);
    let hash = move || Argon2::default().hash_password_with_salt(password.as_bytes(), &salt);
    let hash = app.hash_password(hash).await?;
    hash.map(|hash| hash.to_string()).map_err(|error| Error::internal(error.to_string()))
}
