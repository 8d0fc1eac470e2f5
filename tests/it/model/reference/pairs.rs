//! Key pairs: versions that are asked for, signatures and who verifies them, ciphertexts that do not name their key, and
//! public keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Expected, Model, text, time};
use crate::model::steps::Caller;

/// A signature that the service made.
#[derive(Debug, Clone)]
pub struct Signed {
    pub account: usize,
    /// The request that it answers.
    pub request: Value,
    pub value: Value,
}

/// A ciphertext that the service made with a public key.
#[derive(Debug, Clone)]
pub struct Shut {
    pub account: usize,
    pub key: String,
    pub version: String,
    pub algorithm: String,
    pub blob: Value,
    plaintext: Value,
}

/// Whether keys of a kind have two halves.
pub fn is_pair(spec: &str) -> bool {
    ["RSA_2048", "Ctyun_SM2"].contains(&spec)
}

/// The kind of key that an algorithm works with.
fn spec_of(algorithm: &str) -> &'static str {
    if algorithm.starts_with("RSA") { "RSA_2048" } else { "Ctyun_SM2" }
}

/// Bytes of a plaintext at most.
fn most(algorithm: &str) -> usize {
    match algorithm {
        "RSAES_OAEP_SHA_256" => 190,
        "RSAES_OAEP_SHA_1" => 214,
        _ => 6047,
    }
}

impl Model {
    /// A pair whose first version nobody has asked for: createKey does not tell it.
    pub fn untold(&self) -> Option<usize> {
        self.keys.iter().position(|key| key.import.is_none() && key.versions.is_empty())
    }

    /// Takes note of the version that a list tells first.
    pub(super) fn learn(&mut self, by: Caller, body: &Value, result: &Value) {
        let Ok(at) = self.find(by, &body["cmkUuid"]) else { return };
        if self.keys[at].import.is_none() && self.keys[at].versions.is_empty() {
            let version = text(&self.fresh(&result["keyVersions"][0]["keyVersionId"]));
            self.keys[at].versions.push(version);
        }
    }

    /// Whether the account has as many versions of pairs as it may.
    pub(super) fn is_full(&self, by: Caller) -> bool {
        let pairs = self.keys.iter().filter(|key| key.account == by.account && is_pair(&key.spec));
        pairs.map(|key| key.made.len()).sum::<usize>() >= self.cap
    }

    pub(super) fn create_version(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let at = self.usable(by, &body["cmkUuid"])?;
        if !is_pair(&self.keys[at].spec) {
            return Err("KMS.9027");
        }
        if self.is_full(by) {
            return Err("KMS.9030");
        }
        let version = text(&self.fresh(&result["keyVersionId"]));
        let (key, now) = (&mut self.keys[at], self.now);
        key.versions.push(version.clone());
        key.made.push(now);
        Ok(json!({"cmkUuid": key.id, "keyVersionId": version, "creationDate": time(now)}))
    }

    /// The key and the version of a call that works with a pair; first comes the state, then what the key is for.
    fn pair(&self, by: Caller, body: &Value, usage: Option<&str>) -> Result<(String, String), &'static str> {
        let key = &self.keys[self.usable(by, &body["cmkUuid"])?];
        if !is_pair(&key.spec) || usage.is_some_and(|usage| usage != key.usage) {
            return Err("KMS.9027");
        }
        let version = text(&body["keyVersionId"]);
        if !key.versions.contains(&version) {
            return Err("KMS.9002");
        }
        let fits = body["algorithm"].as_str().is_none_or(|algorithm| spec_of(algorithm) == key.spec);
        if fits { Ok((key.id.clone(), version)) } else { Err("KMS.9027") }
    }

    pub(super) fn sign(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let (key, version) = self.pair(by, body, Some("SIGN/VERIFY"))?;
        let mut request = body.clone();
        request["cmkUuid"] = json!(key);
        let known = self.signed.iter().find(|signed| signed.request == request);
        let value = match (text(&body["algorithm"]).as_str(), known) {
            // It has no salt.
            ("RSA_PKCS1_SHA_256", Some(known)) => known.value.clone(),
            _ => self.fresh(&result["value"]),
        };
        self.signed.push(Signed { account: by.account, request, value: value.clone() });
        Ok(json!({"cmkUuid": key, "keyVersionId": version, "value": value}))
    }

    /// Genuine is what the same version signed by the same algorithm over the same digest, to the last byte.
    pub(super) fn verify(&self, by: Caller, body: &Value) -> Expected {
        let (key, version) = self.pair(by, body, Some("SIGN/VERIFY"))?;
        let mut request = body.clone();
        let value = request.as_object_mut().unwrap().remove("value").unwrap();
        request["cmkUuid"] = json!(key);
        let genuine = self.signed.iter().any(|signed| signed.request == request && signed.value == value);
        Ok(json!({"cmkUuid": key, "keyVersionId": version, "value": genuine}))
    }

    pub(super) fn asymmetric_encrypt(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let algorithm = text(&body["algorithm"]);
        if STANDARD.decode(text(&body["plaintext"])).unwrap().len() > most(&algorithm) {
            return Err("KMS.9020");
        }
        let (key, version) = self.pair(by, body, Some("ENCRYPT/DECRYPT"))?;
        let blob = self.fresh(&result["ciphertextBlob"]);
        let expected = json!({"cmkUuid": key, "keyVersionId": version, "ciphertextBlob": blob});
        let (account, plaintext) = (by.account, body["plaintext"].clone());
        self.shut.push(Shut { account, key, version, algorithm, blob, plaintext });
        Ok(expected)
    }

    pub(super) fn asymmetric_decrypt(&self, by: Caller, body: &Value) -> Expected {
        let (key, version) = self.pair(by, body, Some("ENCRYPT/DECRYPT"))?;
        let plaintext = self.opened(&key, &version, body)?;
        Ok(json!({"cmkUuid": key, "keyVersionId": version, "plaintext": plaintext}))
    }

    fn opened(&self, key: &str, version: &str, body: &Value) -> Expected {
        let opens = |shut: &&Shut| {
            (shut.key.as_str(), shut.version.as_str()) == (key, version)
                && body["algorithm"] == shut.algorithm
                && body["ciphertextBlob"] == shut.blob
        };
        self.shut.iter().find(opens).map(|shut| shut.plaintext.clone()).ok_or("KMS.9028")
    }

    /// What encrypting a ciphertext of a pair anew finds in it: the place of the secret.
    pub(super) fn secret_of_pair(&mut self, by: Caller, body: &Value) -> Result<usize, &'static str> {
        let request = json!({
            "cmkUuid": body["sourceCmkUuid"], "keyVersionId": body["sourceKeyVersionId"],
            "algorithm": body["sourceEncryptionAlgorithm"], "ciphertextBlob": body["ciphertextBlob"],
        });
        let (key, version) = self.pair(by, &request, Some("ENCRYPT/DECRYPT"))?;
        let plaintext = self.opened(&key, &version, &request)?;
        let bytes = STANDARD.decode(text(&plaintext)).unwrap().len();
        Ok(self.keep(Some(plaintext), bytes))
    }

    /// The same for a version whenever it is asked for, and another for each.
    pub(super) fn public_key(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let (key, version) = self.pair(by, body, None)?;
        if !self.public.contains_key(&version) {
            let shown = self.fresh(&result["publicKey"]);
            self.public.insert(version.clone(), shown);
        }
        Ok(json!({"cmkUuid": key, "keyVersionId": version, "publicKey": self.public[&version]}))
    }
}
