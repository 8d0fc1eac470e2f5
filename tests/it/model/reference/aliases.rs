//! Names of keys: unique in an account, and one key may have many.

use serde_json::{Value, json};

use super::{Expected, Model, page, text};
use crate::model::steps::Caller;

const NAMES_OF_PRODUCTS: [&str; 2] = ["alias/ecs", "alias/zos"];

impl Model {
    pub(super) fn create_alias(&mut self, by: Caller, body: &Value) -> Expected {
        let (key, name) = (text(&body["cmkUuid"]), text(&body["aliasName"]));
        if NAMES_OF_PRODUCTS.contains(&name.as_str()) {
            return Err("KMS.9020");
        }
        // The key's keeper looks at it before the name is looked up.
        self.check_movable(by, body)?;
        self.check_name(by, &name)?;
        self.accounts[by.account].aliases.insert(name.clone(), key.clone());
        Ok(json!({"cmkUuid": key, "aliasName": name}))
    }

    pub(super) fn check_name(&self, by: Caller, name: &str) -> Result<(), &'static str> {
        if NAMES_OF_PRODUCTS.contains(&name) {
            return Err("KMS.9020");
        }
        if self.accounts[by.account].aliases.contains_key(name) { Err("KMS.9021") } else { Ok(()) }
    }

    /// The new key may be named by an alias too, also by the one that moves.
    pub(super) fn update_alias(&mut self, by: Caller, body: &Value) -> Expected {
        let name = text(&body["aliasName"]);
        if !self.accounts[by.account].aliases.contains_key(&name) {
            return Err("KMS.9003");
        }
        let at = self.find(by, &body["cmkUuid"])?;
        self.check_kept(at)?;
        let key = self.keys[at].id.clone();
        self.accounts[by.account].aliases.insert(name.clone(), key.clone());
        Ok(json!({"cmkUuid": key, "aliasName": name}))
    }

    pub(super) fn delete_alias(&mut self, by: Caller, body: &Value) -> Expected {
        let name = text(&body["aliasName"]);
        self.accounts[by.account].aliases.remove(&name).ok_or("KMS.9003")?;
        Ok(json!({"aliasName": name}))
    }

    /// Those of one key, or all, by name.
    pub(super) fn list_aliases(&self, by: Caller, body: &Value, of_key: bool) -> Expected {
        let key = if of_key { Some(&self.keys[self.find(by, &body["cmkUuid"])?].id) } else { None };
        let account = &self.accounts[by.account];
        let found = account.aliases.iter().filter(|(_, id)| key.is_none_or(|key| key == *id));
        let view = |(name, key)| {
            let arn = format!("ctyun:kms:local:{}:{name}", account.id);
            json!({"aliasName": name, "cmkUuid": key, "aliasArn": arn})
        };
        Ok(page("aliases", found.map(view).collect(), body))
    }
}
