//! The end of keys: protection, windows, the way back, and what is gone when they are over.

use serde_json::{Value, json};

use super::{Expected, Model, state, text, time};
use crate::model::steps::Caller;

const DAY: i64 = 24 * 3600;

/// A key that is no more, as its tombstone tells of it.
#[derive(Debug, Clone)]
pub struct Stone {
    account: usize,
    id: String,
    spec: String,
    ended: i64,
    destroyed: i64,
    aliases: Vec<String>,
    /// Versions that the scheduler had made.
    rotations: usize,
}

impl Model {
    pub(super) fn schedule(&mut self, by: Caller, body: &Value) -> Expected {
        let days = body["pendingWindowInDays"].as_i64().unwrap();
        if !(7..=30).contains(&days) {
            return Err("KMS.9020");
        }
        let at = self.find(by, &body["cmkUuid"])?;
        let (key, now) = (&mut self.keys[at], self.now);
        match (key.ends, &key.protected) {
            (Some(_), _) => Err("KMS.9013"),
            (None, Some(_)) => Err("KMS.9014"),
            (None, None) => {
                let end = now + days * DAY;
                key.ends = Some(end);
                Ok(json!({"cmkUuid": key.id, "keyState": "PendingDeletion", "deleteDate": time(end)}))
            }
        }
    }

    pub(super) fn keep_key(&mut self, by: Caller, body: &Value) -> Expected {
        let at = self.find(by, &body["cmkUuid"])?;
        let key = &mut self.keys[at];
        key.ends.take().ok_or("KMS.9013")?;
        key.enabled = true;
        Ok(json!({"cmkUuid": key.id, "keyState": state(key)}))
    }

    pub(super) fn protect(&mut self, by: Caller, body: &Value, on: bool) -> Expected {
        let at = self.find(by, &body["cmkUuid"])?;
        self.check_kept(at)?;
        let key = &mut self.keys[at];
        let why = body["deletionProtectionDescription"].as_str().unwrap_or_default();
        key.protected = on.then(|| why.to_owned());
        let shown = if on { "Enabled" } else { "Disabled" };
        Ok(json!({"cmkUuid": key.id, "deletionProtection": shown}))
    }

    pub(super) fn check_kept(&self, at: usize) -> Result<(), &'static str> {
        if self.keys[at].ends.is_some() { Err("KMS.9011") } else { Ok(()) }
    }

    /// A key whose window is over: the scheduler destroys it without being asked.
    pub fn over(&self) -> Option<usize> {
        self.keys.iter().position(|key| key.ends.is_some_and(|end| end <= self.now))
    }

    /// Takes note that a key is gone, with its names.
    pub fn destroyed(&mut self, at: usize) {
        let key = self.keys.remove(at);
        let names = &mut self.accounts[key.account].aliases;
        let aliases = names.iter().filter(|(_, id)| **id == key.id).map(|(name, _)| name.clone()).collect();
        names.retain(|_, id| *id != key.id);
        let rotations = key.rotations();
        let (ended, destroyed) = (key.ends.unwrap(), self.now);
        let (account, id, spec) = (key.account, key.id, key.spec);
        self.stones.push(Stone { account, id, spec, ended, destroyed, aliases, rotations });
    }

    /// Versions that the scheduler had made of keys that are gone.
    pub(super) fn rotations_of_stones(&self, account: usize) -> usize {
        self.stones.iter().filter(|stone| stone.account == account).map(|stone| stone.rotations).sum()
    }

    /// Keys of an account that are gone.
    pub fn destructions(&self, account: usize) -> usize {
        self.stones.iter().filter(|stone| stone.account == account).count()
    }

    /// The last one first.
    pub(super) fn list_destroyed(&self, by: Caller, body: &Value) -> Expected {
        let mut found: Vec<&Stone> = self.stones.iter().filter(|stone| stone.account == by.account).collect();
        found.sort_by_key(|stone| (-stone.destroyed, &stone.id));
        found.retain(|stone| body["keySpec"].as_str().is_none_or(|spec| spec == stone.spec));
        let view = |stone: &Stone| {
            json!({
                "cmkUuid": stone.id, "keySpec": stone.spec, "deleteDate": time(stone.ended),
                "destroyDate": time(stone.destroyed), "aliases": stone.aliases, "aliasCount": stone.aliases.len(),
            })
        };
        Ok(super::page("destroyedKeys", found.into_iter().map(view).collect(), body))
    }

    /// The state in which a key cannot get another one, told by its end.
    pub(super) fn check_movable(&self, by: Caller, body: &Value) -> Result<usize, &'static str> {
        let at = self.find(by, &json!(text(&body["cmkUuid"])))?;
        if self.keys[at].ends.is_some() { Err("KMS.9013") } else { Ok(at) }
    }
}
