//! Credentials of cloud products (contract 5.13, /product/…). A product signs as people do, on OpenAPI; the secret key is shown
//! once, when it is made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Operation, credential};
use crate::api::{Call, Moment, Page, SecretText, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::AccessKeyId;
use crate::model::credential::{Credential, CredentialStatus, Holder};
use crate::model::product::ServiceCode;
use crate::store::Changes;

/// Credentials that one product may have in one account.
const CREDENTIALS_MAX: u64 = 10;

/// Makes a credential with which a cloud product encrypts for the account.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateProductCredential {
    /// The product that signs with it.
    pub service_code: ServiceCode,
}

/// A credential with its secret key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of createUserAk and of contract 5.13")]
pub struct NewProductCredential {
    pub access_key: AccessKeyId,
    pub secret_key: SecretText,
    pub service_code: ServiceCode,
    pub status: CredentialStatus,
    #[schemars(with = "Moment")]
    pub create_time: String,
}

impl Operation for CreateProductCredential {
    type Output = NewProductCredential;
    const REFUSALS: &'static [Error] = &[Error::LimitExceeded("", 0)];

    async fn run(self, call: &Call, app: &App) -> Result<NewProductCredential> {
        let (code, account) = (self.service_code, call.account()?);
        let wrapping = app.machine.wrapping().await;
        let (credential, secret_key) =
            credential::make(Holder::Product(code), account, &wrapping, call, app).await?;
        call.touch("Credential", credential.id.text(), code.code());
        let mut changes = Changes::default();
        changes.insert(&credential, Error::internal("a random access key exists"))?;
        let list = Credential::of_product(account, code);
        changes.limit(list, CREDENTIALS_MAX, "credentials of the product");
        let output = NewProductCredential {
            access_key: credential.id,
            secret_key,
            service_code: code,
            status: credential.status,
            create_time: credential.created.to_string(),
        };
        call.create(&app.store, changes, output).await
    }
}

/// Lists the credentials of cloud products, oldest first, without their secrets.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListProductCredential {
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
    /// Only credentials of this product.
    pub service_code: Option<ServiceCode>,
}

/// A credential without its secret key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of listUserAk and of contract 5.13")]
pub struct ProductCredential {
    pub access_key: AccessKeyId,
    pub service_code: ServiceCode,
    pub status: CredentialStatus,
    #[schemars(with = "Moment")]
    pub create_time: String,
}

/// A page of credentials.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.13 and of paging")]
pub struct ProductCredentialPage {
    pub product_credentials: Vec<ProductCredential>,
    pub page_number: u64,
    pub page_size: u64,
    pub total_count: u64,
}

impl ProductCredential {
    /// What its account sees of a product's credential; nothing of those of others.
    fn of(credential: Credential) -> Option<Self> {
        match credential.holder {
            Holder::Product(service_code) => Some(Self {
                access_key: credential.id,
                service_code,
                status: credential.status,
                create_time: credential.created.to_string(),
            }),
            Holder::AccessPoint(_) | Holder::User(_) => None,
        }
    }
}

impl Operation for ListProductCredential {
    type Output = ProductCredentialPage;

    async fn run(self, call: &Call, app: &App) -> Result<ProductCredentialPage> {
        let account = call.account()?;
        let list = match self.service_code {
            Some(code) => Credential::of_product(account, code),
            None => Credential::of_products(account),
        };
        let page = app.store.page::<Credential>(&list, self.page.offset(), self.page.limit())?;
        Ok(ProductCredentialPage {
            product_credentials: page.records.into_iter().filter_map(ProductCredential::of).collect(),
            page_number: self.page.page_number.get(),
            page_size: self.page.page_size.get(),
            total_count: page.total,
        })
    }
}

/// Deletes a credential of a cloud product for good. A call that it has signed and that runs already ends as usual.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeleteProductCredential {
    /// The access key of a cloud product.
    pub access_key: AccessKeyId,
}

/// The access key that is no more.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletedProductCredential {
    /// The access key.
    pub access_key: AccessKeyId,
}

impl Operation for DeleteProductCredential {
    type Output = DeletedProductCredential;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::ProductCredential(self.access_key)])
    }

    async fn run(self, call: &Call, app: &App) -> Result<DeletedProductCredential> {
        let gone = Error::ResourceNotFound("access key");
        app.credentials.retire(call, &self.access_key).await?.ok_or(gone)?;
        Ok(DeletedProductCredential { access_key: self.access_key })
    }
}
