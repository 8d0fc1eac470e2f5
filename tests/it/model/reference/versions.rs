//! Versions of keys and the policy by which they come.

use serde_json::{Value, json};

use super::pairs::is_pair;
use super::{Expected, Import, Key, Model, Rotation, page, state, text, time};
use crate::model::steps::Caller;

impl Model {
    /// A key whose next version is due now: the scheduler makes it without being asked.
    pub fn due(&self) -> Option<usize> {
        let due = |key: &Key| {
            state(key) == "Enabled" && key.rotation.as_ref().is_some_and(|rotation| rotation.next <= self.now)
        };
        self.keys.iter().position(due)
    }

    /// Takes note of the version that a due key got.
    pub fn rotated(&mut self, at: usize, version: &Value) {
        let version = text(&self.fresh(version));
        let key = &mut self.keys[at];
        let rotation = key.rotation.as_mut().unwrap();
        rotation.next = self.now + rotation.interval;
        key.versions.push(version);
        key.made.push(self.now);
    }

    /// Versions that the scheduler has made, in one account.
    pub fn rotations(&self, account: usize) -> usize {
        let keys = self.keys.iter().filter(|key| key.account == account && !is_pair(&key.spec));
        keys.map(Key::rotations).sum::<usize>() + self.rotations_of_stones(account)
    }

    pub(super) fn set_rotation(&mut self, by: Caller, body: &Value) -> Expected {
        let at = self.find(by, &body["cmkUuid"])?;
        let interval = match (&body["enableAutomaticRotation"], &body["rotationInterval"]) {
            (Value::Bool(false), _) => None,
            (_, Value::Null) => return Err("KMS.0118"),
            (_, days) => Some(days.as_str().unwrap().trim_end_matches('d').parse::<i64>().unwrap() * 86_400),
        };
        let now = self.now;
        self.check_usable(at)?;
        let key = &mut self.keys[at];
        if key.import.is_some() {
            return Err("KMS.9025");
        }
        if is_pair(&key.spec) {
            return Err("KMS.9027");
        }
        let same = key.rotation.as_ref().map(|rotation| rotation.interval) == interval;
        if !same {
            key.rotation = interval.map(|interval| Rotation { interval, next: now + interval });
        }
        let mut policy = policy(key);
        policy["cmkUuid"] = json!(key.id);
        Ok(policy)
    }

    pub(super) fn list_versions(&self, by: Caller, body: &Value) -> Expected {
        let key = &self.keys[self.find(by, &body["cmkUuid"])?];
        Ok(page("keyVersions", versions(key), body))
    }

    pub(super) fn describe_version(&self, by: Caller, body: &Value) -> Expected {
        let key = &self.keys[self.find(by, &body["cmkUuid"])?];
        let found = versions(key).into_iter().find(|known| known["keyVersionId"] == body["keyVersionId"]);
        found.ok_or("KMS.9002")
    }
}

impl Key {
    /// Versions that the scheduler has made of it.
    pub(super) fn rotations(&self) -> usize {
        if is_pair(&self.spec) { 0 } else { self.versions.len().saturating_sub(1) }
    }
}

/// What is told of how a key rotates.
pub fn policy(key: &Key) -> Value {
    let rotation = key.rotation.as_ref();
    json!({
        "automaticRotation": match (rotation, state(key) == "Enabled") {
            (None, _) => "Disabled",
            (Some(_), true) => "Enabled",
            (Some(_), false) => "Suspended",
        },
        "rotationInterval": rotation.map(|rotation| format!("{}s", rotation.interval)),
        "nextRotationDate": rotation.map(|rotation| time(rotation.next)),
    })
}

/// The versions of a key, oldest first; the one of a key whose material is away is known all the same.
fn versions(key: &Key) -> Vec<Value> {
    let view = |id: &String, made: i64, is_primary: bool| json!({"cmkUuid": key.id, "keyVersionId": id, "creationDate": time(made), "isPrimary": is_primary});
    let away = key.import.as_ref().filter(|_| key.versions.is_empty()).and_then(Import::version);
    let there = key.versions.iter().zip(&key.made).enumerate();
    let there = there
        .map(|(number, (id, made))| view(id, *made, number + 1 == key.versions.len() && !is_pair(&key.spec)));
    away.map(|(id, made)| view(id, made, false)).into_iter().chain(there).collect()
}
