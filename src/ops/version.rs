//! The versions of a key (contract 5.3).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use super::key::{check_versions, generate, limit_versions};
use crate::api::{Call, Moment, Page, Target};
use crate::app::App;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{KeyId, VersionId};
use crate::model::alias::KeyRef;
use crate::model::key::Key;
use crate::store::Changes;

/// A version of a key as clients see it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.3, describeKeyVersion")]
pub struct VersionView {
    pub cmk_uuid: KeyId,
    pub key_version_id: VersionId,
    #[schemars(with = "Moment")]
    pub creation_date: String,
    /// Whether new ciphertexts are made with it; not while its material is away, nor for an asymmetric key, whose callers name
    /// the version.
    pub is_primary: bool,
    /// Calls that worked with it and succeeded.
    pub use_count: u64,
    /// When the latest of them came; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Moment>")]
    pub last_used_time: Option<String>,
}

impl VersionView {
    fn of(key: &Key, (id, created): (VersionId, Timestamp), call: &Call, app: &App) -> Result<Self> {
        let uses = app.store.uses(key.id, id)?;
        Ok(Self {
            cmk_uuid: key.id,
            key_version_id: id,
            creation_date: created.to_string(),
            is_primary: key.primary_at(call.horizon()).is_some_and(|primary| primary.id == id),
            use_count: uses.count,
            last_used_time: uses.last.map(|at| at.to_string()),
        })
    }
}

/// Adds a version to an asymmetric key. The versions that it has stay usable; each call names the one it means.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateKeyVersion {
    /// The asymmetric key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
}

/// A new version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.3, createKeyVersion")]
pub struct CreatedVersion {
    pub cmk_uuid: KeyId,
    pub key_version_id: VersionId,
    pub creation_date: Moment,
}

impl Operation for CreateKeyVersion {
    type Output = CreatedVersion;
    const REFUSALS: &'static [Error] = &[
        Error::DefaultKey,
        Error::KeyDisabled,
        Error::KeyPendingDeletion,
        Error::KeyPendingImport,
        Error::LimitExceeded("", 0),
        Error::ServiceFrozen,
        Error::Unsupported(""),
        Error::UnsupportedOrigin(""),
    ];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<CreatedVersion> {
        let (id, horizon) = (call.key()?, call.horizon());
        let key = app.keys.get(&id)?.ok_or(Error::KeyNotFound)?;
        key.check_add_version(horizon)?;
        check_versions(key.spec, key.account, app)?;
        let (version, _held) = generate(&key, call, app).await?;
        let output =
            CreatedVersion { cmk_uuid: id, key_version_id: version.id, creation_date: Moment(call.now) };
        let mut beside = Changes::default();
        limit_versions(&mut beside, &key, app);
        call.remember(&mut beside, &output)?;
        let add = move |key: &mut Key| key.add_version(version, horizon);
        app.keys.change_with(call, &id, beside, add).await?.ok_or(Error::KeyNotFound)?;
        Ok(output)
    }
}

/// Lists the versions of a key, oldest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListKeyVersions {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
}

/// A page of versions.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.3, listKeyVersions, and of paging")]
pub struct VersionPage {
    pub key_versions: Vec<VersionView>,
    pub page_number: u64,
    pub page_size: u64,
    pub total_count: u64,
}

impl Operation for ListKeyVersions {
    type Output = VersionPage;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<VersionPage> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let versions = key.known_versions();
        let page = versions.iter().copied().skip(self.page.offset()).take(self.page.limit());
        Ok(VersionPage {
            key_versions: page
                .map(|version| VersionView::of(&key, version, call, app))
                .collect::<Result<_>>()?,
            page_number: self.page.page_number.get(),
            page_size: self.page.page_size.get(),
            total_count: versions.len() as u64,
        })
    }
}

/// Describes one version of a key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DescribeKeyVersion {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// The version.
    pub key_version_id: VersionId,
}

impl Operation for DescribeKeyVersion {
    type Output = VersionView;
    const REFUSALS: &'static [Error] = &[Error::KeyVersionNotFound];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<VersionView> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        let found = key.known_versions().into_iter().find(|(id, _)| *id == self.key_version_id);
        VersionView::of(&key, found.ok_or(Error::KeyVersionNotFound)?, call, app)
    }
}
