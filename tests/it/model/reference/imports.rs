//! Material from outside: tokens, the one material that a key takes, and its end.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Expected, Key, Model, state, text, time};
use crate::material::Way;
use crate::model::steps::Caller;

const DAY: i64 = 24 * 3600;
const FAILURES: usize = 5;
const TOKENS: usize = 10;

/// What a key knows of material from outside.
#[derive(Debug, Clone, Default)]
pub struct Import {
    /// The first material, in hexadecimal, with the version and the time that it made.
    first: Option<(String, String, i64)>,
    pub expires: Option<i64>,
    /// Oldest first.
    pub tokens: Vec<Token>,
}

#[derive(Debug, Clone)]
pub struct Token {
    pub way: Way,
    expires: i64,
    failures: usize,
}

impl Import {
    /// The version that the first material made, and when.
    pub fn version(&self) -> Option<(&String, i64)> {
        self.first.as_ref().map(|(_, version, made)| (version, *made))
    }
}

impl Model {
    /// Whatever is over by now goes: material, and the memory of tokens a day after theirs.
    pub fn end_imports(&mut self) {
        let now = self.now;
        for key in &mut self.keys {
            let Some(import) = &mut key.import else { continue };
            import.tokens.retain(|token| token.expires + DAY > now);
            if import.expires.is_some_and(|at| at <= now) {
                take_away(key);
            }
        }
    }

    pub(super) fn import_parameters(&mut self, at: usize, body: &Value, result: &Value) -> Expected {
        if self.keys[at].import.is_none() {
            return Err("KMS.9025");
        }
        let token = self.fresh(&result["importToken"]);
        let public = self.fresh(&result["publicKey"]);
        let algorithm = text(&body["wrappingAlgorithm"]);
        let (expires, id) = (self.now + DAY, json!(self.keys[at].id));
        let given = json!({"importToken": token, "publicKey": public});
        if STANDARD.decode(text(&token)).is_ok_and(|token| token.len() == 16) {
            let way = Way::of(&id, &algorithm, &given);
            let tokens = &mut self.keys[at].import.as_mut().unwrap().tokens;
            if tokens.len() == TOKENS {
                tokens.remove(0);
            }
            tokens.push(Token { way, expires, failures: 0 });
        }
        Ok(json!({
            "cmkUuid": id, "importToken": token, "publicKey": public, "tokenExpireTime": time(expires),
        }))
    }

    /// `brings` tells the reference what the wrapped bytes are, if they are wrapped as the token asks for it. The service
    /// ignores what it does not know.
    pub(super) fn import(&mut self, by: Caller, body: &Value) -> Expected {
        let at = self.find(by, &body["cmkUuid"])?;
        let (now, spec) = (self.now, self.keys[at].spec.clone());
        self.keys[at].import.as_ref().ok_or("KMS.9025")?;
        self.check_movable(by, body)?;
        let import = self.keys[at].import.as_mut().unwrap();
        let expires = body["keyMaterialExpireUnix"].as_i64().filter(|at| *at != 0);
        if expires.is_some_and(|at| at <= now) {
            return Err("KMS.9020");
        }
        let number = import.tokens.iter().position(|token| token.way.token == body["importToken"]);
        let number = number.ok_or("KMS.9023")?;
        if import.tokens[number].expires <= now {
            return Err("KMS.9024");
        }
        let length = if spec == "Ctyun_SM4" { 16 } else { 32 };
        let brings = body["brings"].as_str().filter(|hex| hex.len() == 2 * length);
        let brings = brings.filter(|hex| import.first.as_ref().is_none_or(|(first, ..)| first == hex));
        let Some(material) = brings.map(str::to_owned) else {
            import.tokens[number].failures += 1;
            import.tokens.retain(|token| token.failures < FAILURES);
            return Err("KMS.9022");
        };
        import.expires = expires;
        // No answer to an import names the version: the story asks for it.
        let (_, version, made) = import.first.get_or_insert((material, String::new(), now)).clone();
        let key = &mut self.keys[at];
        (key.versions, key.made) = (vec![version], vec![made]);
        Ok(json!({
            "cmkUuid": key.id, "keyState": state(key),
            "materialExpireTime": expires.map_or_else(String::new, time),
        }))
    }

    /// A key that was just bound to its first material, under a version that is not known yet.
    pub fn bound(&self) -> Option<usize> {
        self.keys.iter().position(|key| key.versions.first().is_some_and(String::is_empty))
    }

    /// Takes note of the version of the first material.
    pub fn binds(&mut self, at: usize, version: &Value) {
        let version = text(&self.fresh(version));
        let key = &mut self.keys[at];
        key.versions = vec![version.clone()];
        if let Some((_, known, _)) = key.import.as_mut().and_then(|import| import.first.as_mut()) {
            *known = version;
        }
    }

    pub(super) fn delete_material(&mut self, by: Caller, body: &Value) -> Expected {
        let at = self.find(by, &body["cmkUuid"])?;
        let key = &mut self.keys[at];
        if key.import.is_none() {
            return Err("KMS.9025");
        }
        take_away(key);
        Ok(json!({"cmkUuid": key.id, "keyState": state(key)}))
    }

    /// The keys whose material comes from outside.
    pub fn external(&self) -> Vec<&Key> {
        self.keys.iter().filter(|key| key.import.is_some()).collect()
    }
}

/// A key that gets its material back is on, whatever it was before.
fn take_away(key: &mut Key) {
    key.versions.clear();
    key.made.clear();
    key.enabled = true;
    if let Some(import) = &mut key.import {
        import.expires = None;
    }
}
