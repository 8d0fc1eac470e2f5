//! Keys: made, switched, described and listed.

use serde_json::{Value, json};

use super::pairs::is_pair;
use super::tags::{self, Filter};
use super::versions::policy;
use super::{Expected, Import, Key, Model, Rotation, page, state, text, time};
use crate::model::steps::Caller;

impl Model {
    pub(super) fn create_key(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let tags = tags::read(&body["tags"])?;
        let spec = body["keySpec"].as_str().unwrap_or("AES_256");
        let usage = body["keyUsage"].as_str().unwrap_or("ENCRYPT/DECRYPT");
        let rotates = body["enableAutomaticRotation"] == true;
        if !is_pair(spec) && usage == "SIGN/VERIFY" {
            return Err("KMS.9027");
        }
        let import = (body["origin"] == "External").then(Import::default);
        if import.is_some() && (is_pair(spec) || rotates) {
            return Err("KMS.9025");
        }
        if is_pair(spec) && rotates {
            return Err("KMS.9027");
        }
        let alias = body["aliasName"].as_str().map(str::to_owned);
        let named = alias.as_ref().map_or(Ok(()), |name| self.check_name(by, name));
        // A name that nobody may have is seen before anything is counted, one that is taken when the key is kept.
        if named == Err("KMS.9020") {
            return Err("KMS.9020");
        }
        if is_pair(spec) && self.is_full(by) {
            return Err("KMS.9030");
        }
        named?;
        if self.keys.iter().filter(|key| key.account == by.account).count() >= self.quota {
            return Err("KMS.9030");
        }
        let days = body["rotationInterval"].as_str().map(|days| days.trim_end_matches('d').parse::<i64>());
        let rotation = days
            .map(|days| days.unwrap() * 86_400)
            .map(|interval| Rotation { interval, next: self.now + interval });
        let key = Key {
            id: text(&self.fresh(&result["cmkUuid"])),
            account: by.account,
            spec: spec.to_owned(),
            usage: usage.to_owned(),
            description: body["description"].as_str().unwrap_or_default().to_owned(),
            tags,
            created: self.now,
            enabled: true,
            rehearsed: false,
            rotation,
            versions: match is_pair(spec) || import.is_some() {
                true => Vec::new(),
                false => vec![text(&self.fresh(&result["primaryKeyVersion"]))],
            },
            made: if import.is_none() { vec![self.now] } else { Vec::new() },
            import,
            ends: None,
            protected: None,
        };
        let mut described = self.describe(&key);
        described.as_object_mut().unwrap().remove("aliases");
        if let Some(name) = alias {
            self.accounts[by.account].aliases.insert(name, key.id.clone());
        }
        self.keys.push(key);
        Ok(described)
    }

    pub(super) fn switch(&mut self, by: Caller, body: &Value, on: bool) -> Expected {
        let at = self.check_movable(by, body)?;
        let key = &mut self.keys[at];
        if key.waits() {
            return Err("KMS.9013");
        }
        key.enabled = on;
        Ok(json!({"cmkUuid": key.id, "keyState": state(key)}))
    }

    pub(super) fn rehearse(&mut self, by: Caller, body: &Value) -> Expected {
        let at = self.find(by, &body["cmkUuid"])?;
        self.check_kept(at)?;
        let key = &mut self.keys[at];
        key.rehearsed = body["enableRehearsal"] == true;
        Ok(json!({"cmkUuid": key.id, "rehearsal": key.rehearsed}))
    }

    /// The keys whose disabling is rehearsed.
    pub fn rehearsing(&self) -> Vec<String> {
        self.keys.iter().filter(|key| key.rehearsed).map(|key| key.id.clone()).collect()
    }

    pub(super) fn describe_otherwise(&mut self, by: Caller, body: &Value) -> Expected {
        let description = text(&body["description"]);
        if description.chars().count() > 255 {
            return Err("KMS.9020");
        }
        let at = self.find(by, &body["cmkUuid"])?;
        self.check_kept(at)?;
        self.keys[at].description = description.clone();
        Ok(json!({"cmkUuid": self.keys[at].id, "description": description}))
    }

    pub(super) fn describe(&self, key: &Key) -> Value {
        let account = &self.accounts[key.account];
        let named = account.aliases.iter().filter(|(_, id)| **id == key.id).map(|(name, _)| name);
        let mut described = json!({
            "cmkUuid": key.id,
            "arn": format!("ctyun:kms:local:{}:key/{}", account.id, key.id),
            "creationDate": time(key.created),
            "description": key.description,
            "keySpec": key.spec,
            "keyUsage": key.usage,
            "keyState": state(key),
            "origin": if key.import.is_some() { "External" } else { "Ctyun_KMS" },
            "materialExpireTime":
                key.import.as_ref().map(|import| import.expires.map_or_else(String::new, time)),
            "protectionLevel": if key.spec.starts_with("Ctyun") { "HSM" } else { "SOFTWARE" },
            "primaryKeyVersion": key.versions.last().filter(|_| !is_pair(&key.spec)),
            "lastRotationDate": key.made.last().filter(|_| key.has_rotated()).copied().map(time),
            "deleteDate": key.ends.map(time),
            "deletionProtection": if key.protected.is_some() { "Enabled" } else { "Disabled" },
            "deletionProtectionDescription": key.protected,
            "rehearsal": key.rehearsed,
            "instanceId": account.service,
            "tags": tags::view(&key.tags),
            "aliases": named.collect::<Vec<_>>(),
        });
        let Value::Object(policy) = policy(key) else { unreachable!("a policy is an object") };
        described.as_object_mut().unwrap().extend(policy);
        described
    }

    pub(super) fn list_keys(&self, by: Caller, body: &Value) -> Expected {
        let filter = Filter::read(body)?;
        let mut found = self.oldest_first(by);
        let asked = |name: &str, value: &str| body[name].as_str().is_none_or(|wanted| wanted == value);
        let named = |key: &Key, part: &str| {
            let aliases = &self.accounts[by.account].aliases;
            aliases.iter().any(|(name, id)| *id == key.id && name.contains(part))
        };
        found.retain(|key| asked("keyState", state(key)) && asked("keySpec", &key.spec));
        found.retain(|key| body["aliasName"].as_str().is_none_or(|part| named(key, part)));
        found.retain(|key| filter.passes(&key.tags));
        let found = found.into_iter().map(|key| self.describe(key)).collect();
        Ok(page("keys", found, body))
    }

    /// The caller's keys.
    pub(super) fn oldest_first(&self, by: Caller) -> Vec<&Key> {
        let mut keys: Vec<&Key> = self.keys.iter().filter(|key| key.account == by.account).collect();
        keys.sort_by_key(|key| (key.created, &key.id));
        keys
    }

    /// The key that a call names, by id or by alias, if the caller may see it.
    pub fn find(&self, by: Caller, name: &Value) -> Result<usize, &'static str> {
        let name = name.as_str().unwrap();
        let id = match name.starts_with("alias/") {
            true => self.accounts[by.account].aliases.get(name).ok_or("KMS.9003")?,
            false => name,
        };
        let at = self.keys.iter().position(|key| key.id == id && key.account == by.account);
        at.ok_or("KMS.9001")
    }

    pub(super) fn usable(&self, by: Caller, name: &Value) -> Result<usize, &'static str> {
        let at = self.find(by, name)?;
        self.check_usable(at)?;
        Ok(at)
    }

    pub(super) fn check_usable(&self, at: usize) -> Result<(), &'static str> {
        match state(&self.keys[at]) {
            "Enabled" => Ok(()),
            "PendingImport" => Err("KMS.9012"),
            "PendingDeletion" => Err("KMS.9011"),
            _ => Err("KMS.9010"),
        }
    }

    /// The key that a call names, if symmetric work may be done with it.
    pub(super) fn symmetric(&self, by: Caller, name: &Value) -> Result<usize, &'static str> {
        let at = self.usable(by, name)?;
        if is_pair(&self.keys[at].spec) { Err("KMS.9027") } else { Ok(at) }
    }
}

impl Key {
    /// Whether it waits for its material.
    pub(super) fn waits(&self) -> bool {
        self.import.is_some() && self.versions.is_empty()
    }

    fn has_rotated(&self) -> bool {
        !is_pair(&self.spec) && self.made.len() > 1
    }
}
