//! The bodies of calls that work with key pairs.

use serde_json::{Value, json};

use super::requests::with;
use super::{Caller, Fate, Part, Step};
use crate::kit::{base64, new_id, unbase64};
use crate::model::reference::{Key, Model};

const RSA_SIGNS: [&str; 2] = ["RSA_PKCS1_SHA_256", "RSA_PSS_SHA_256"];
const RSA_ENCRYPTS: [&str; 2] = ["RSAES_OAEP_SHA_256", "RSAES_OAEP_SHA_1"];

impl Step {
    /// Nothing for a step that is no such call, or has nothing to work on.
    pub(super) fn with_pair(&self, by: Caller, model: &Model) -> Option<Value> {
        Some(match self {
            Self::Sign(key, part, digest) => {
                let body = part.of(&key.there(by, model)?, RSA_SIGNS, "SM2DSA", by, model);
                with(body, json!({"digest": base64([*digest; 32])}))
            }
            Self::AsymmetricEncrypt(key, part, bytes) => {
                let body = part.of(&key.there(by, model)?, RSA_ENCRYPTS, "SM2PKE", by, model);
                with(body, json!({"plaintext": base64(vec![*bytes as u8; *bytes])}))
            }
            Self::ShowPublicKey(key, part) => {
                let key = key.there(by, model)?;
                json!({"cmkUuid": key, "keyVersionId": part.version_of(&key, by, model)})
            }
            Self::Verify(signed, fate) => {
                let signed = signed.among(by, &model.signed, |signed| signed.account)?;
                let mut body = signed.request.clone();
                match fate {
                    Fate::OtherHead => body["digest"] = base64([9; 32]).into(),
                    Fate::OtherContext => body["keyVersionId"] = json!(other_version(&body, by, model)),
                    Fate::Whole | Fate::CutOff | Fate::Altered | Fate::Headless => {}
                }
                with(body, json!({"value": spoiled(&signed.value, *fate)}))
            }
            Self::AsymmetricDecrypt(shut, fate) => {
                let shut = shut.among(by, &model.shut, |shut| shut.account)?;
                let mut body =
                    json!({"cmkUuid": shut.key, "keyVersionId": shut.version, "algorithm": shut.algorithm});
                match fate {
                    Fate::OtherHead => body["algorithm"] = json!(other_algorithm(&shut.algorithm)),
                    Fate::OtherContext => body["keyVersionId"] = json!(other_version(&body, by, model)),
                    Fate::Whole | Fate::CutOff | Fate::Altered | Fate::Headless => {}
                }
                with(body, json!({"ciphertextBlob": spoiled(&shut.blob, *fate)}))
            }
            Self::ReEncryptAsymmetric { shut, fate, to, context, fields } => {
                let opened = Self::AsymmetricDecrypt(*shut, *fate).with_pair(by, model)?;
                let mut body = json!({
                    "ciphertextBlob": opened["ciphertextBlob"], "destinationCmkUuid": to.text(by, model),
                    "destinationEncryptionContext": context,
                });
                let source = [
                    ("sourceCmkUuid", "cmkUuid"),
                    ("sourceKeyVersionId", "keyVersionId"),
                    ("sourceEncryptionAlgorithm", "algorithm"),
                ];
                for (field, of) in &source[..*fields] {
                    body[*field] = opened[*of].clone();
                }
                body
            }
            _ => return None,
        })
    }
}

impl Part {
    /// A body with the version and the algorithm that are meant, of the key with this id or name.
    fn of(self, key: &str, rsa: [&str; 2], sm2: &str, by: Caller, model: &Model) -> Value {
        let is_rsa = named(key, by, model).is_some_and(|key| key.spec == "RSA_2048");
        let algorithm = if is_rsa == self.fits { rsa[self.algorithm] } else { sm2 };
        json!({"cmkUuid": key, "keyVersionId": self.version_of(key, by, model), "algorithm": algorithm})
    }

    fn version_of(self, key: &str, by: Caller, model: &Model) -> String {
        let versions = named(key, by, model).map(|key| key.versions.as_slice()).unwrap_or_default();
        let place = self.version.and_then(|number| number.checked_rem(versions.len()));
        place.map_or_else(new_id, |place| versions[place].clone())
    }
}

/// The caller's key of this id or name.
fn named<'a>(key: &str, by: Caller, model: &'a Model) -> Option<&'a Key> {
    model.find(by, &json!(key)).ok().map(|at| &model.keys[at])
}

/// The version after the one that a body names.
fn other_version(body: &Value, by: Caller, model: &Model) -> String {
    let versions = named(body["cmkUuid"].as_str().unwrap(), by, model).map(|key| key.versions.as_slice());
    let versions = versions.unwrap_or_default();
    let place = versions.iter().position(|version| body["keyVersionId"] == *version);
    place.map_or_else(new_id, |place| versions[(place + 1) % versions.len()].clone())
}

fn other_algorithm(algorithm: &str) -> &str {
    match algorithm {
        "RSAES_OAEP_SHA_256" => "RSAES_OAEP_SHA_1",
        "RSAES_OAEP_SHA_1" => "RSAES_OAEP_SHA_256",
        other => other,
    }
}

fn spoiled(right: &Value, fate: Fate) -> String {
    let mut bytes = unbase64(right);
    match fate {
        Fate::CutOff => bytes.truncate(bytes.len() / 2),
        Fate::Altered => *bytes.last_mut().unwrap() ^= 1,
        Fate::Headless => bytes[0] ^= 1,
        Fate::Whole | Fate::OtherHead | Fate::OtherContext => {}
    }
    base64(bytes)
}
