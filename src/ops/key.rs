//! Making, describing, listing and switching keys (contract 5.1).

use firmware_sim::{GenerateKey, KeyName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use super::key_metadata::{KeyDetails, KeyMetadata, NamedKey};
use super::rehearsal::KeyAttempts;
use crate::api::{Call, Page, Target};
use crate::app::{App, Wrapping};
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{AccountId, KeyId, VersionId};
use crate::model::algorithm::{KeySpec, KeyUsage, Origin, ProtectionLevel};
use crate::model::alias::{Alias, AliasName, KeyRef};
use crate::model::import::Import;
use crate::model::instance::Edition;
use crate::model::key::{Key, KeyState, KeyVersion};
use crate::model::owner::{Owner, ServiceRef};
use crate::model::principal::Principal;
use crate::model::record::List;
use crate::model::rotation::{Rotation, RotationPeriod};
use crate::model::tag::{TagFilter, TagKey, TagValue, Tags};
use crate::model::text::{Description, Text};
use crate::store::Changes;

/// Makes a key in the caller's service.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateKey {
    /// What kind of key; AES_256 by default.
    pub key_spec: Option<KeySpec>,
    /// What it may be used for; ENCRYPT/DECRYPT by default.
    pub key_usage: Option<KeyUsage>,
    /// Where its root key lives; HSM for SM keys, else SOFTWARE, by default.
    pub protection_level: Option<ProtectionLevel>,
    /// Where its material comes from; Ctyun_KMS by default.
    pub origin: Option<Origin>,
    /// Its first name: `alias/` and 1 to 64 letters, digits, `/`, `_` or `-`.
    pub alias_name: Option<AliasName>,
    /// Free text, 0 to 255 characters.
    #[serde(default)]
    pub description: Description,
    /// Whether it gets a new primary version every `rotationInterval`.
    #[serde(default)]
    pub enable_automatic_rotation: bool,
    /// How often it rotates, 7 to 730 days: whole days, or a number and `d`, `h`, `m` or `s`.
    pub rotation_interval: Option<RotationPeriod>,
    /// Its enterprise project; `default` by default.
    #[serde(alias = "epId")]
    #[schemars(extend("x-also-named" = ["epId"]))]
    pub project_id: Option<Description>,
    /// At most 20 tags; as a list or as a JSON string of one.
    #[serde(default)]
    pub tags: Tags,
}

impl CreateKey {
    fn rotation(&self, spec: KeySpec, origin: Origin, now: Timestamp) -> Result<Rotation> {
        match (self.enable_automatic_rotation, self.rotation_interval) {
            (false, _) => Ok(Rotation::Off),
            (true, _) if origin == Origin::External => {
                Err(Error::UnsupportedOrigin("a key with imported material cannot rotate"))
            }
            (true, _) if !spec.is_symmetric() => {
                Err(Error::Unsupported("an asymmetric key cannot rotate by itself; see createKeyVersion"))
            }
            (true, None) => Err(Error::MissingField("rotationInterval".into())),
            (true, Some(period)) => Ok(Rotation::every(period, now)),
        }
    }
}

/// Makes a version of a key, with the right under which it must be stored.
pub(super) async fn generate(key: &Key, call: &Call, app: &App) -> Result<(KeyVersion, Wrapping)> {
    let version = VersionId::from_random(app.random()?);
    let command = GenerateKey {
        name: KeyName { key: *key.id.as_bytes(), version: *version.as_bytes() },
        algorithm: key.spec.algorithm(),
        purpose: key.spec.purpose(key.usage),
        custody: key.level.custody(),
    };
    let (wrapped, held) = app.generate_for(key, command).await?;
    Ok((KeyVersion { id: version, wrapped, created: call.now }, held))
}

/// What the quota of versions of asymmetric keys counts, as its refusal names it.
const COUNTED: &str = "versions of asymmetric keys of the account";

/// Refuses an account that has as many versions of asymmetric keys as it may, before the machine makes one for nothing.
pub(super) fn check_versions(spec: KeySpec, account: AccountId, app: &App) -> Result<()> {
    let most = app.config.quota.asymmetric_versions_per_account;
    match !spec.is_symmetric() && app.store.count(&Key::asymmetric_versions_of(account))? >= most {
        true => Err(Error::LimitExceeded(COUNTED, most)),
        false => Ok(()),
    }
}

/// Demands that the account has no more versions of asymmetric keys than it may when the call commits (contract 4.4).
pub(super) fn limit_versions(changes: &mut Changes, key: &Key, app: &App) {
    if !key.spec.is_symmetric() {
        let most = app.config.quota.asymmetric_versions_per_account;
        changes.limit(Key::asymmetric_versions_of(key.account), most, COUNTED);
    }
}

impl Operation for CreateKey {
    type Output = KeyMetadata;
    const REFUSALS: &'static [Error] = &[
        Error::AliasTaken,
        Error::UnsupportedOrigin(""),
        Error::UnsupportedLevel(""),
        Error::Unsupported(""),
        Error::LimitExceeded("", 0),
        Error::ServiceFrozen,
    ];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Service])
    }

    async fn run(self, call: &Call, app: &App) -> Result<KeyMetadata> {
        let home = Home::of(call, app)?;
        let spec = self.key_spec.unwrap_or(KeySpec::Aes256);
        let usage = self.key_usage.unwrap_or(KeyUsage::EncryptDecrypt);
        let level = self.protection_level.unwrap_or(spec.default_level());
        let origin = self.origin.unwrap_or(Origin::CtyunKms);
        spec.check(usage, level, home.edition)?;
        spec.check_origin(origin)?;
        let rotation = self.rotation(spec, origin, call.time().steady())?;
        if let Some(name) = &self.alias_name {
            name.check_free()?;
        }
        let plain = without_material(home.owner, spec, call, app)?;
        let mut key = Key {
            project: self.project_id.filter(|project| !project.as_str().is_empty()).unwrap_or(plain.project),
            usage,
            level,
            origin,
            state: match origin {
                Origin::CtyunKms => KeyState::Enabled,
                Origin::External => KeyState::PendingImport,
            },
            rotation,
            description: self.description,
            tags: self.tags,
            ..plain
        };
        app.ensure_partition(&key).await?;
        // The material is made last and stored first: all that can be refused before it is.
        let _held = match origin {
            Origin::CtyunKms => {
                check_versions(spec, key.account, app)?;
                let (version, held) = generate(&key, call, app).await?;
                key.versions.push(version);
                Some(held)
            }
            Origin::External => None,
        };
        let mut changes = Changes::default();
        changes.insert(&key, Error::internal("a random key id exists"))?;
        changes.limit(Key::of_owner(key.account, key.owner), home.keys_most, home.keys_counted);
        limit_versions(&mut changes, &key, app);
        call.touch_owner(&key);
        call.touch_key(key.id, "");
        if let Some(name) = self.alias_name {
            let alias = Alias { account: key.account, name, key: key.id, created: call.now };
            changes.insert(&alias, Error::AliasTaken)?;
        }
        call.create(&app.store, changes, KeyMetadata::of(&key, call, app)).await
    }
}

/// Where a new key goes, and what it finds there.
struct Home {
    owner: Owner,
    edition: Edition,
    keys_most: u64,
    keys_counted: &'static str,
}

impl Home {
    /// The service that is named or the caller's own, if it runs, or the account's keys on demand, if it may have any. These know no
    /// editions: everything is offered.
    fn of(call: &Call, app: &App) -> Result<Self> {
        let quota = &app.config.quota;
        if call.common.instance_id == Some(ServiceRef::OnDemand) {
            let account = app.accounts.get(&call.account()?)?.ok_or(Error::NoPermission)?;
            if !account.on_demand {
                return Err(Error::Unsupported(
                    "the account has no keys on demand; an administrator of the appliance can allow them",
                ));
            }
            return Ok(Self {
                owner: Owner::OnDemand,
                edition: Edition::Enterprise,
                keys_most: quota.on_demand_keys_per_account,
                keys_counted: "keys on demand of the account",
            });
        }
        let instance = app.instance(call.instance()?)?;
        instance.check_running()?;
        Ok(Self {
            owner: Owner::Service(instance.id),
            edition: instance.edition,
            keys_most: quota.keys_per_base_instance * u64::from(instance.base_instances),
            keys_counted: "keys of the service",
        })
    }
}

/// A key of the caller's account as it is when nothing else is said, without material.
pub(super) fn without_material(owner: Owner, spec: KeySpec, call: &Call, app: &App) -> Result<Key> {
    Ok(Key {
        id: KeyId::from_random(app.random()?),
        account: call.account()?,
        owner,
        project: Text::new("default").map_err(Error::internal)?,
        spec,
        usage: KeyUsage::EncryptDecrypt,
        level: spec.default_level(),
        origin: Origin::CtyunKms,
        state: KeyState::Enabled,
        versions: Vec::new(),
        rotation: Rotation::Off,
        rotated: None,
        import: Import::default(),
        protection: None,
        rehearsal: false,
        told: None,
        description: Description::default(),
        tags: Tags::default(),
        creator: call.principal.name(),
        created: call.now,
    })
}

/// Describes a key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DescribeKey {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
}

impl Operation for DescribeKey {
    type Output = KeyDetails;
    const REFUSALS: &'static [Error] = &[Error::DefaultKey];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<KeyDetails> {
        let key = app.keys.get(&call.key()?)?.ok_or(Error::KeyNotFound)?;
        // A product learns of the keys that serve it, and of no others.
        if let Principal::Product { .. } = call.principal {
            app.check_caller(call, &key)?;
        }
        let attempts = KeyAttempts::on(key.id, call, app)?;
        Ok(KeyDetails { key: NamedKey::of(&key, call, app)?, attempts })
    }
}

/// Lists the caller's keys with their aliases, oldest first.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListAliasKeys {
    /// Which page.
    #[serde(flatten)]
    pub page: Page,
    /// Only keys in this state.
    pub key_state: Option<StateFilter>,
    /// Only keys of this kind.
    pub key_spec: Option<KeySpec>,
    /// Only keys for this use.
    pub key_usage: Option<KeyUsage>,
    /// Only keys of this level.
    pub protection_level: Option<ProtectionLevel>,
    /// Only keys whose material comes from there.
    pub origin: Option<Origin>,
    /// Only keys with an alias that holds this text.
    pub alias_name: Option<Text<0, 70>>,
    /// Only keys of this enterprise project.
    #[serde(alias = "epId")]
    #[schemars(extend("x-also-named" = ["epId"]))]
    pub project_id: Option<Description>,
    /// Only keys with a tag of this key.
    pub tag_key: Option<TagKey>,
    /// Only keys with a tag of this value; of `tagKey`, if that is there.
    pub tag_value: Option<TagValue>,
    /// Only keys that carry all of these tags.
    #[serde(default)]
    pub tags: Tags,
}

/// A key state without its date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[allow(missing_docs, reason = "the names are those of contract 1.1, keyState")]
pub enum StateFilter {
    Enabled,
    Disabled,
    PendingDeletion,
    PendingImport,
}

impl StateFilter {
    /// Whether a state is this one.
    pub(super) fn matches(self, state: KeyState) -> bool {
        match state {
            KeyState::Enabled => self == Self::Enabled,
            KeyState::Disabled => self == Self::Disabled,
            KeyState::PendingDeletion { .. } => self == Self::PendingDeletion,
            KeyState::PendingImport => self == Self::PendingImport,
        }
    }
}

/// A page of keys with their aliases.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.1 and of paging")]
pub struct KeyPage {
    pub keys: Vec<NamedKey>,
    pub page_number: u64,
    pub page_size: u64,
    pub total_count: u64,
}

impl ListAliasKeys {
    fn is_filtered(&self) -> bool {
        self.key_state.is_some()
            || self.key_spec.is_some()
            || self.key_usage.is_some()
            || self.protection_level.is_some()
            || self.origin.is_some()
            || self.alias_name.is_some()
            || self.project_id.is_some()
    }

    fn keeps(&self, key: &Key, call: &Call, app: &App) -> Result<bool> {
        let plain = self.key_state.is_none_or(|state| state.matches(key.state_at(call.horizon())))
            && self.key_spec.is_none_or(|spec| spec == key.spec)
            && self.key_usage.is_none_or(|usage| usage == key.usage)
            && self.protection_level.is_none_or(|level| level == key.level)
            && self.origin.is_none_or(|origin| origin == key.origin)
            && self.project_id.as_ref().is_none_or(|project| *project == key.project);
        match &self.alias_name {
            Some(part) if plain => {
                let keep = |alias: &Alias| Ok(alias.name.as_str().contains(part.as_str()));
                Ok(app.store.filter(&Alias::of_key(key.id), 0, 1, keep)?.total > 0)
            }
            Some(_) | None => Ok(plain),
        }
    }
}

/// The one owner of keys that a list is about: an access point's own service, or what a caller names, which the gateway has
/// found to be theirs.
pub(super) fn listed_owner(call: &Call) -> Option<Owner> {
    match (&call.principal, call.common.instance_id) {
        (Principal::AccessPoint { instance, .. }, _) => Some(Owner::Service(*instance)),
        (Principal::User { .. } | Principal::Product { .. } | Principal::System, named) => {
            named.map(Owner::from)
        }
    }
}

/// The keys that a list is about: those of one owner, or all of the caller's account.
pub(super) fn listed_keys(call: &Call) -> Result<List> {
    let account = call.account()?;
    Ok(listed_owner(call).map_or(Key::of_account(account), |owner| Key::of_owner(account, owner)))
}

impl Operation for ListAliasKeys {
    type Output = KeyPage;

    async fn run(self, call: &Call, app: &App) -> Result<KeyPage> {
        let list = listed_keys(call)?;
        let (offset, limit) = (self.page.offset(), self.page.limit());
        let tags = TagFilter::new(self.tag_key.clone(), self.tag_value.clone(), self.tags.clone());
        let page = match self.is_filtered() || !tags.is_open() {
            true => {
                let keep = |key: &Key| Ok(tags.matches(&key.tags) && self.keeps(key, call, app)?);
                app.store.filter(&list, offset, limit, keep)?
            }
            false => app.store.page(&list, offset, limit)?,
        };
        let keys = page.records.iter().map(|key| NamedKey::of(key, call, app));
        Ok(KeyPage {
            keys: keys.collect::<Result<_>>()?,
            page_number: self.page.page_number.get(),
            page_size: self.page.page_size.get(),
            total_count: page.total,
        })
    }
}

/// Describes a key otherwise.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpdateKeyDescription {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// The new description, 0 to 255 characters.
    pub description: Description,
}

/// A key's new description.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.1, updateKeyDescription")]
pub struct DescribedKey {
    pub cmk_uuid: KeyId,
    pub description: Description,
}

impl Operation for UpdateKeyDescription {
    type Output = DescribedKey;
    const REFUSALS: &'static [Error] = &[Error::DefaultKey, Error::KeyPendingDeletion];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<DescribedKey> {
        let edit = move |key: &mut Key| key.describe(self.description);
        let key = app.keys.change(call, &call.key()?, edit).await?.ok_or(Error::KeyNotFound)?;
        Ok(DescribedKey { cmk_uuid: key.id, description: key.description.clone() })
    }
}

/// What switching a key answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.1, enableKey")]
pub struct SwitchedKey {
    pub cmk_uuid: KeyId,
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub key_state: String,
}

async fn switch(
    call: &Call,
    app: &App,
    transition: fn(&mut Key, Timestamp) -> Result<()>,
) -> Result<SwitchedKey> {
    let now = call.horizon();
    let transition = move |key: &mut Key| transition(key, now);
    let key = app.keys.change(call, &call.key()?, transition).await?.ok_or(Error::KeyNotFound)?;
    Ok(SwitchedKey { cmk_uuid: key.id, key_state: key.state_at(now).wire_name().into() })
}

/// Makes a disabled key usable again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnableKey {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
}

impl Operation for EnableKey {
    type Output = SwitchedKey;
    const REFUSALS: &'static [Error] = &[Error::DefaultKey, Error::TransitionNotAllowed];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<SwitchedKey> {
        switch(call, app, Key::enable).await
    }
}

/// Switches a key off: it neither encrypts nor decrypts until it is enabled.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisableKey {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
}

impl Operation for DisableKey {
    type Output = SwitchedKey;
    const REFUSALS: &'static [Error] = &[Error::DefaultKey, Error::TransitionNotAllowed];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<SwitchedKey> {
        switch(call, app, Key::disable).await
    }
}
