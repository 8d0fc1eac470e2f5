//! The reference: what a caller may expect of the service, written from the contract in plain maps. It knows nothing of the
//! service's code. It is handed each call with its answer, says what the answer should have been, and takes from it only
//! what the service is free to choose: ids, ciphertexts, secrets.

mod aliases;
mod ciphertexts;
mod credentials;
mod deletion;
mod imports;
mod keys;
mod macs;
mod pairs;
mod tags;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sm3::{Digest as _, Sm3};

use super::steps::Caller;
use ciphertexts::{Sealed, Secret};
use credentials::{Credential, Status};
use deletion::Stone;
use imports::Import;
pub use pairs::is_pair;
use pairs::{Shut, Signed};
use tags::Tag;

/// The fields of the result that are known, or the code of the refusal.
pub type Expected = Result<Value, &'static str>;

/// How long a `clientToken` returns the first result, in seconds.
const TOKEN_LIFE: i64 = 24 * 3600;

/// One tenant.
#[derive(Debug, Clone)]
pub struct Account {
    pub id: String,
    pub service: String,
    pub access_point: String,
    /// Names and the keys that they stand for.
    pub aliases: BTreeMap<String, String>,
    /// Oldest first, with those that are deleted.
    pub credentials: Vec<Credential>,
}

#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    pub account: usize,
    /// As asked for when it was made; `Ctyun_SM4` lives in the cipher machine.
    pub spec: String,
    pub usage: String,
    description: String,
    tags: Vec<Tag>,
    created: i64,
    pub enabled: bool,
    /// Whether its disabling is rehearsed.
    rehearsed: bool,
    rotation: Option<Rotation>,
    /// Oldest first; the last one is the primary version of a symmetric key.
    pub versions: Vec<String>,
    /// When each of them was made.
    made: Vec<i64>,
    /// Of a key whose material comes from outside; it has no version while it waits for it.
    pub import: Option<Import>,
    /// When it is destroyed, if it is scheduled.
    pub ends: Option<i64>,
    /// Why it is protected.
    protected: Option<String>,
}

#[derive(Debug, Clone)]
struct Rotation {
    interval: i64,
    next: i64,
}

/// A call that was answered under a `clientToken`.
struct Remembered {
    request: Value,
    result: Value,
    expires: i64,
}

pub struct Model {
    /// Seconds since 1970.
    pub now: i64,
    /// Keys that a service may hold.
    pub quota: usize,
    /// Versions of key pairs that an account may have.
    pub cap: usize,
    pub accounts: [Account; 2],
    pub keys: Vec<Key>,
    pub sealed: Vec<Sealed>,
    secrets: Vec<Secret>,
    pub signed: Vec<Signed>,
    pub shut: Vec<Shut>,
    /// Public keys by version.
    public: BTreeMap<String, Value>,
    /// MACs by key, version and input.
    macs: BTreeMap<(String, String, String), Value>,
    stones: Vec<Stone>,
    tokens: BTreeMap<(usize, bool, String, String), Remembered>,
    /// Everything that the service chose and may never choose again.
    chosen: BTreeSet<String>,
}

impl Model {
    /// What a fresh appliance with two tenants holds.
    pub fn new(now: i64, quota: usize, cap: usize, accounts: [Account; 2]) -> Self {
        let (keys, sealed, secrets, signed, shut) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (public, macs, tokens, chosen) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let stones = Vec::new();
        Self {
            now,
            quota,
            cap,
            accounts,
            keys,
            sealed,
            secrets,
            signed,
            shut,
            public,
            macs,
            stones,
            tokens,
            chosen,
        }
    }

    /// What a call should come to; changes the model accordingly. `result` is what came, `null` for a refusal.
    pub fn answer(&mut self, by: Caller, operation: &str, body: &Value, result: &Value) -> Expected {
        self.end_imports();
        self.admit(by)?;
        match operation {
            "createKey" => self.once(by, operation, body, |model| model.create_key(by, body, result)),
            "enableKey" => self.switch(by, body, true),
            "disableKey" => self.switch(by, body, false),
            "scheduleKeyDeletion" => self.schedule(by, body),
            "cancelKeyDeletion" => self.keep_key(by, body),
            "deleteProtect" => self.protect(by, body, true),
            "cancelDeleteProtect" => self.protect(by, body, false),
            "listDestroyedKeys" => self.list_destroyed(by, body),
            "rehearseKeyDisabling" => self.rehearse(by, body),
            "updateKeyDescription" => self.describe_otherwise(by, body),
            "describeKey" => Ok(self.describe(&self.keys[self.find(by, &body["cmkUuid"])?])),
            "listAliasKeys" => self.list_keys(by, body),
            "createAlias" => {
                self.find(by, &body["cmkUuid"])?;
                self.once(by, operation, body, |model| model.create_alias(by, body))
            }
            "updateAlias" => self.update_alias(by, body),
            "deleteAlias" => self.delete_alias(by, body),
            "listAlias" => self.list_aliases(by, body, false),
            "listAliasByUuid" => self.list_aliases(by, body, true),
            "updateRotationPolicy" => self.set_rotation(by, body),
            "createKeyVersion" => {
                self.find(by, &body["cmkUuid"])?;
                self.once(by, operation, body, |model| model.create_version(by, body, result))
            }
            "listKeyVersions" => {
                self.learn(by, body, result);
                self.list_versions(by, body)
            }
            "asymmetricSign" => self.sign(by, body, result),
            "asymmetricVerify" => self.verify(by, body),
            "asymmetricEncrypt" => self.asymmetric_encrypt(by, body, result),
            "asymmetricDecrypt" => self.asymmetric_decrypt(by, body),
            "getPublicKey" => self.public_key(by, body, result),
            "describeKeyVersion" => self.describe_version(by, body),
            "getParametersForImport" => {
                let at = self.find(by, &body["cmkUuid"])?;
                self.once(by, operation, body, |model| model.import_parameters(at, body, result))
            }
            "importKeyMaterial" => self.import(by, body),
            "deleteKeyMaterial" => self.delete_material(by, body),
            "encrypt" => self.encrypt(by, body, result),
            "decrypt" => self.decrypt(by, body, result),
            "generateDataKey" => self.generate_data_key(by, body, result, true),
            "generateDataKeyWithoutPlaintext" => self.generate_data_key(by, body, result, false),
            "generateAndExportDataKey" => self.generate_and_export(by, body, result),
            "exportDataKey" => self.export(by, body, result),
            "reEncrypt" => self.re_encrypt(by, body, result),
            "getDataKey" => self.get_data_key(by, body),
            "hmaccompute" => self.hmac(by, body, result),
            "messageDigest" => Ok(json!({"output": STANDARD.encode(Sm3::digest(text(&body["input"])))})),
            "createUserAk" => {
                self.check_access_point(by, body)?;
                self.once(by, operation, body, |model| model.create_user_ak(by, result))
            }
            "enableUserAk" => self.change_user_ak(by, body, Status::Enabled),
            "disableUserAk" => self.change_user_ak(by, body, Status::Disabled),
            "deleteUserAk" => self.change_user_ak(by, body, Status::Deleted),
            "listUserAk" => self.list_user_ak(by, body),
            "tagResources" => self.tag(by, body),
            "untagResources" => self.untag(by, body),
            "listTagResources" => self.list_tag_resources(by, body),
            "listTagKeys" => self.list_tag_keys(by, body),
            other => panic!("the model does not know {other}"),
        }
    }

    /// A creation under its `clientToken`: the first result again for a day, for the same request of the same caller.
    fn once(
        &mut self,
        by: Caller,
        operation: &str,
        body: &Value,
        create: impl FnOnce(&mut Self) -> Expected,
    ) -> Expected {
        let Some(token) = body["clientToken"].as_str() else { return create(self) };
        let token = (by.account, by.credential.is_some(), operation.to_owned(), token.to_owned());
        if let Some(first) = self.tokens.get(&token).filter(|first| first.expires > self.now) {
            return if first.request == *body { Ok(first.result.clone()) } else { Err("KMS.9020") };
        }
        let result = create(self)?;
        let (request, expires) = (body.clone(), self.now + TOKEN_LIFE);
        self.tokens.insert(token, Remembered { request, result: result.clone(), expires });
        Ok(result)
    }

    /// What the service chose, if it never chose it before.
    fn fresh(&mut self, value: &Value) -> Value {
        match value.as_str() {
            Some(text) if !text.is_empty() && self.chosen.insert(text.to_owned()) => value.clone(),
            Some(_) | None => json!("something that the service never said before"),
        }
    }

    /// Random bytes that the service chose, if there are as many as these.
    fn drawn(&mut self, value: &Value, bytes: usize) -> Value {
        let length = value.as_str().and_then(|text| STANDARD.decode(text).ok()).map(|drawn| drawn.len());
        if length != Some(bytes) {
            return json!(format!("{bytes} bytes"));
        }
        // Few bytes may well come twice.
        if bytes < 16 { value.clone() } else { self.fresh(value) }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn state(key: &Key) -> &'static str {
    match key.enabled {
        _ if key.ends.is_some() => "PendingDeletion",
        _ if key.waits() => "PendingImport",
        true => "Enabled",
        false => "Disabled",
    }
}

/// `YYYY-MM-DDTHH:MM:SSZ`.
fn time(seconds: i64) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
    let (date, month) = (at.date(), u8::from(at.month()));
    let (hour, minute, second) = at.to_hms();
    format!("{}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", date.year(), date.day())
}

fn page(name: &str, all: Vec<Value>, body: &Value) -> Value {
    let (number, size) = (body["pageNumber"].as_u64().unwrap_or(1), body["pageSize"].as_u64().unwrap_or(10));
    let shown: Vec<&Value> = all.iter().skip(((number - 1) * size) as usize).take(size as usize).collect();
    json!({name: shown, "pageNumber": number, "pageSize": size, "totalCount": all.len()})
}
