//! MACs: the same for the same key, version and input, whenever they are asked for.

use serde_json::{Value, json};

use super::{Expected, Model, text};
use crate::model::steps::Caller;

impl Model {
    pub(super) fn hmac(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let key = &self.keys[self.symmetric(by, &body["cmkUuid"])?];
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
}
