//! The reference: what a caller may expect of the service, written from the contract in plain maps. It knows nothing of the
//! service's code. It is handed each call with its answer, says what the answer should have been, and takes from it only
//! what the service is free to choose: ids, ciphertexts, secrets.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sm3::{Digest as _, Sm3};

use super::steps::Caller;

/// The fields of the result that are known, or the code of the refusal.
pub type Expected = Result<Value, &'static str>;

/// How long a `clientToken` returns the first result, in seconds.
const TOKEN_LIFE: i64 = 24 * 3600;
/// Bytes of a ciphertext that name its key and version; a whole one has a byte, a salt, a commitment and a tag more.
const HEADER: usize = 104;
const LEAST: usize = HEADER + 1 + 16 + 32 + 16;
const NAMES_OF_PRODUCTS: [&str; 2] = ["alias/ecs", "alias/zos"];

/// One tenant.
#[derive(Debug, Clone)]
pub struct Account {
    pub id: String,
    pub service: String,
    pub access_point: String,
    /// Names and the keys that they stand for.
    pub aliases: BTreeMap<String, String>,
    /// Access key, secret key, and when they were made.
    pub credentials: Vec<(String, String, i64)>,
}

#[derive(Debug, Clone)]
pub struct Key {
    pub id: String,
    pub account: usize,
    /// As asked for when it was made; `Ctyun_SM4` lives in the cipher machine.
    spec: String,
    description: String,
    tags: Value,
    created: i64,
    pub enabled: bool,
    rotation: Option<Rotation>,
    /// Oldest first; the last one is the primary version.
    pub versions: Vec<String>,
}

#[derive(Debug, Clone)]
struct Rotation {
    interval: i64,
    next: i64,
    last: Option<i64>,
}

/// A ciphertext that the service made.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub account: usize,
    pub blob: Value,
    pub context: Value,
    key: String,
    version: String,
    /// Base64; nothing for a data key that nobody has opened yet.
    plaintext: Option<Value>,
    bytes: usize,
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
    pub accounts: [Account; 2],
    pub keys: Vec<Key>,
    pub sealed: Vec<Sealed>,
    /// MACs by key, version and input.
    macs: BTreeMap<(String, String, String), Value>,
    tokens: BTreeMap<(usize, bool, String, String), Remembered>,
    /// Everything that the service chose and may never choose again.
    chosen: BTreeSet<String>,
}

impl Model {
    /// What a fresh appliance with two tenants holds.
    pub fn new(now: i64, quota: usize, accounts: [Account; 2]) -> Self {
        let (keys, sealed, chosen) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self { now, quota, accounts, keys, sealed, macs: BTreeMap::new(), tokens: BTreeMap::new(), chosen }
    }

    /// What a call should come to; changes the model accordingly. `result` is what came, `null` for a refusal.
    pub fn answer(&mut self, by: Caller, operation: &str, body: &Value, result: &Value) -> Expected {
        match operation {
            "createKey" => self.once(by, operation, body, |model| model.create_key(by, body, result)),
            "enableKey" => self.switch(by, body, true),
            "disableKey" => self.switch(by, body, false),
            "describeKey" => Ok(self.describe(&self.keys[self.find(by, body)?])),
            "listAliasKeys" => self.list_keys(by, body),
            "createAlias" => {
                self.find(by, body)?;
                self.once(by, operation, body, |model| model.create_alias(by, body))
            }
            "deleteAlias" => {
                let name = text(&body["aliasName"]);
                self.accounts[by.account].aliases.remove(&name).ok_or("KMS.9003")?;
                Ok(json!({"aliasName": name}))
            }
            "encrypt" => self.encrypt(by, body, result),
            "decrypt" => self.decrypt(by, body, result),
            "generateDataKey" => self.generate_data_key(by, body, result, true),
            "generateDataKeyWithoutPlaintext" => self.generate_data_key(by, body, result, false),
            "hmaccompute" => self.hmac(by, body, result),
            "messageDigest" => Ok(json!({"output": STANDARD.encode(Sm3::digest(text(&body["input"])))})),
            "createUserAk" => {
                self.check_access_point(by, body)?;
                self.once(by, operation, body, |model| model.create_user_ak(by, result))
            }
            "listUserAk" => self.list_user_ak(by, body),
            other => panic!("the model does not know {other}"),
        }
    }

    /// A key whose next version is due now: the scheduler makes it without being asked.
    pub fn due(&self) -> Option<usize> {
        let due = |key: &Key| {
            key.enabled && key.rotation.as_ref().is_some_and(|rotation| rotation.next <= self.now)
        };
        self.keys.iter().position(due)
    }

    /// Takes note of the version that a due key got.
    pub fn rotated(&mut self, at: usize, version: &Value) {
        let version = text(&self.fresh(version));
        let key = &mut self.keys[at];
        let rotation = key.rotation.as_mut().unwrap();
        (rotation.last, rotation.next) = (Some(self.now), self.now + rotation.interval);
        key.versions.push(version);
    }

    /// Versions that the scheduler has made, in one account.
    pub fn rotations(&self, account: usize) -> usize {
        let keys = self.keys.iter().filter(|key| key.account == account);
        keys.map(|key| key.versions.len() - 1).sum()
    }

    fn create_key(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let alias = body["aliasName"].as_str().map(str::to_owned);
        if let Some(name) = &alias {
            self.check_name(by, name)?;
        }
        if self.keys.iter().filter(|key| key.account == by.account).count() >= self.quota {
            return Err("KMS.9030");
        }
        let days = body["rotationInterval"].as_str().map(|days| days.trim_end_matches('d').parse::<i64>());
        let rotation = days.map(|days| days.unwrap() * 86_400).map(|interval| Rotation {
            interval,
            next: self.now + interval,
            last: None,
        });
        let key = Key {
            id: text(&self.fresh(&result["cmkUuid"])),
            account: by.account,
            spec: body["keySpec"].as_str().unwrap_or("AES_256").to_owned(),
            description: body["description"].as_str().unwrap_or_default().to_owned(),
            tags: body["tags"].as_str().map_or(json!([]), |tags| serde_json::from_str(tags).unwrap()),
            created: self.now,
            enabled: true,
            rotation,
            versions: vec![text(&self.fresh(&result["primaryKeyVersion"]))],
        };
        let mut described = self.describe(&key);
        described.as_object_mut().unwrap().remove("aliases");
        if let Some(name) = alias {
            self.accounts[by.account].aliases.insert(name, key.id.clone());
        }
        self.keys.push(key);
        Ok(described)
    }

    fn switch(&mut self, by: Caller, body: &Value, on: bool) -> Expected {
        let at = self.find(by, body)?;
        let key = &mut self.keys[at];
        key.enabled = on;
        Ok(json!({"cmkUuid": key.id, "keyState": state(key)}))
    }

    fn describe(&self, key: &Key) -> Value {
        let account = &self.accounts[key.account];
        let named = account.aliases.iter().filter(|(_, id)| **id == key.id).map(|(name, _)| name);
        let rotation = key.rotation.as_ref();
        json!({
            "cmkUuid": key.id,
            "arn": format!("ctyun:kms:local:{}:key/{}", account.id, key.id),
            "creationDate": time(key.created),
            "description": key.description,
            "keySpec": key.spec,
            "keyUsage": "ENCRYPT/DECRYPT",
            "keyState": state(key),
            "origin": "Ctyun_KMS",
            "protectionLevel": if key.spec == "Ctyun_SM4" { "HSM" } else { "SOFTWARE" },
            "primaryKeyVersion": key.versions.last(),
            "automaticRotation": match (rotation, key.enabled) {
                (None, _) => "Disabled",
                (Some(_), true) => "Enabled",
                (Some(_), false) => "Suspended",
            },
            "rotationInterval": rotation.map(|rotation| format!("{}s", rotation.interval)),
            "nextRotationDate": rotation.map(|rotation| time(rotation.next)),
            "lastRotationDate": rotation.and_then(|rotation| rotation.last).map(time),
            "deleteDate": null,
            "instanceId": account.service,
            "tags": key.tags,
            "aliases": named.collect::<Vec<_>>(),
        })
    }

    fn list_keys(&self, by: Caller, body: &Value) -> Expected {
        let mut found: Vec<&Key> = self.keys.iter().filter(|key| key.account == by.account).collect();
        found.sort_by_key(|key| (key.created, &key.id));
        let asked = |name: &str, value: &str| body[name].as_str().is_none_or(|wanted| wanted == value);
        let named = |key: &Key, part: &str| {
            let aliases = &self.accounts[by.account].aliases;
            aliases.iter().any(|(name, id)| *id == key.id && name.contains(part))
        };
        found.retain(|key| asked("keyState", state(key)) && asked("keySpec", &key.spec));
        found.retain(|key| body["aliasName"].as_str().is_none_or(|part| named(key, part)));
        let found = found.into_iter().map(|key| self.describe(key)).collect();
        Ok(page("keys", found, body))
    }

    fn create_alias(&mut self, by: Caller, body: &Value) -> Expected {
        let (key, name) = (text(&body["cmkUuid"]), text(&body["aliasName"]));
        self.check_name(by, &name)?;
        self.accounts[by.account].aliases.insert(name.clone(), key.clone());
        Ok(json!({"cmkUuid": key, "aliasName": name}))
    }

    fn check_name(&self, by: Caller, name: &str) -> Result<(), &'static str> {
        if NAMES_OF_PRODUCTS.contains(&name) {
            return Err("KMS.9020");
        }
        if self.accounts[by.account].aliases.contains_key(name) { Err("KMS.9021") } else { Ok(()) }
    }

    fn encrypt(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let bytes = STANDARD.decode(text(&body["plaintext"])).unwrap().len();
        if bytes > 6144 {
            return Err("KMS.9020");
        }
        self.seal(by, body, result, Some(body["plaintext"].clone()), bytes)
    }

    fn generate_data_key(&mut self, by: Caller, body: &Value, result: &Value, shown: bool) -> Expected {
        let of_spec = if body["keySpec"].as_str().is_none_or(|spec| spec == "AES_256") { 32 } else { 16 };
        let bytes = body["numberOfBytes"].as_u64().map_or(of_spec, |bytes| bytes as usize);
        self.usable(by, body)?;
        let plaintext = shown.then(|| self.drawn(&result["plaintext"], bytes));
        let mut expected = self.seal(by, body, result, plaintext.clone(), bytes)?;
        expected["plaintext"] = plaintext.unwrap_or(Value::Null);
        Ok(expected)
    }

    fn seal(
        &mut self,
        by: Caller,
        body: &Value,
        result: &Value,
        plaintext: Option<Value>,
        bytes: usize,
    ) -> Expected {
        let at = self.usable(by, body)?;
        let (key, version) = (self.keys[at].id.clone(), self.keys[at].versions.last().unwrap().clone());
        let blob = self.fresh(&result["ciphertextBlob"]);
        let expected = json!({"cmkUuid": key, "keyVersionId": version, "ciphertextBlob": blob});
        let (account, context) = (by.account, body["encryptionContext"].clone());
        self.sealed.push(Sealed { account, blob, context, key, version, plaintext, bytes });
        Ok(expected)
    }

    fn decrypt(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let blob = STANDARD.decode(text(&body["ciphertextBlob"])).unwrap();
        if blob.len() < LEAST {
            return Err("KMS.9028");
        }
        let header = |sealed: &Sealed| STANDARD.decode(text(&sealed.blob)).unwrap()[..HEADER].to_vec();
        let kin = self.sealed.iter().find(|sealed| header(sealed) == blob[..HEADER]);
        let kin = kin.filter(|kin| kin.account == by.account).ok_or("KMS.9001")?;
        if !self.keys.iter().any(|key| key.id == kin.key && key.enabled) {
            return Err("KMS.9010");
        }
        let whole = |sealed: &Sealed| {
            sealed.blob == body["ciphertextBlob"] && sealed.context == body["encryptionContext"]
        };
        let at = self.sealed.iter().position(whole).ok_or("KMS.9028")?;
        if self.sealed[at].plaintext.is_none() {
            let plaintext = self.drawn(&result["plaintext"], self.sealed[at].bytes);
            self.sealed[at].plaintext = Some(plaintext);
        }
        let Sealed { key, version, plaintext, .. } = &self.sealed[at];
        Ok(json!({"cmkUuid": key, "keyVersionId": version, "plaintext": plaintext}))
    }

    fn hmac(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let key = &self.keys[self.usable(by, body)?];
        let version = body["keyVersionId"].as_str().or(key.versions.last().map(String::as_str)).unwrap();
        if !key.versions.iter().any(|known| known == version) {
            return Err("KMS.9002");
        }
        let of = (key.id.clone(), version.to_owned(), text(&body["input"]));
        let mut expected = json!({"cmkUuid": key.id, "keyVersionId": version});
        if !self.macs.contains_key(&of) {
            let mac = self.fresh(&result["hmacoutput"]);
            self.macs.insert(of.clone(), mac);
        }
        expected["hmacoutput"] = self.macs[&of].clone();
        Ok(expected)
    }

    fn check_access_point(&self, by: Caller, body: &Value) -> Result<(), &'static str> {
        if body["accessPointId"] == self.accounts[by.account].access_point { Ok(()) } else { Err("KMS.9005") }
    }

    fn create_user_ak(&mut self, by: Caller, result: &Value) -> Expected {
        let (access, secret) = (self.fresh(&result["accessKey"]), self.fresh(&result["secretKey"]));
        self.accounts[by.account].credentials.push((text(&access), text(&secret), self.now));
        let created = time(self.now);
        Ok(json!({"accessKey": access, "secretKey": secret, "status": "Enabled", "createTime": created}))
    }

    fn list_user_ak(&self, by: Caller, body: &Value) -> Expected {
        self.check_access_point(by, body)?;
        let mut found: Vec<(i64, &String)> = Vec::new();
        found.extend(self.accounts[by.account].credentials.iter().map(|(access, _, made)| (*made, access)));
        found.sort();
        let view = |(made, access): (i64, &String)| json!({"accessKey": access, "status": "Enabled", "createTime": time(made), "secretKey": null});
        Ok(page("userAks", found.into_iter().map(view).collect(), body))
    }

    /// The key that a call names, by id or by alias, if the caller may see it.
    fn find(&self, by: Caller, body: &Value) -> Result<usize, &'static str> {
        let name = body["cmkUuid"].as_str().unwrap();
        let id = match name.starts_with("alias/") {
            true => self.accounts[by.account].aliases.get(name).ok_or("KMS.9003")?,
            false => name,
        };
        let at = self.keys.iter().position(|key| key.id == id && key.account == by.account);
        at.ok_or("KMS.9001")
    }

    fn usable(&self, by: Caller, body: &Value) -> Result<usize, &'static str> {
        let at = self.find(by, body)?;
        if self.keys[at].enabled { Ok(at) } else { Err("KMS.9010") }
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
    if key.enabled { "Enabled" } else { "Disabled" }
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
