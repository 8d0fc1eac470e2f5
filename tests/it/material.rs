//! Key material as its owner brings it: wrapped to the public key of an import token.

use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, Pkcs1PublicEncryptingKey,
    PublicEncryptingKey,
};
use serde_json::{Value, json};

use crate::kit::{OpenApi, base64, poll, unbase64};

pub const PARAMETERS: &str = "/importKey/getParametersForImport";
pub const IMPORT: &str = "/importKey/importKeyMaterial";
pub const DELETE: &str = "/importKey/deleteKeyMaterial";
pub const ALGORITHMS: [&str; 3] = ["RSAES_PKCS1_V1_5", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"];

/// A key that waits for its material.
pub fn external(person: &OpenApi, spec: &str) -> Value {
    person.ok("/cmkManage/createKey", json!({"origin": "External", "keySpec": spec}))["cmkUuid"].clone()
}

/// What getParametersForImport takes.
pub fn asked(key: &Value, algorithm: &str) -> Value {
    json!({"cmkUuid": key, "wrappingKeySpec": "RSA_2048", "wrappingAlgorithm": algorithm})
}

/// A token with its public key.
#[derive(Debug, Clone)]
pub struct Way {
    pub key: Value,
    pub token: Value,
    pub algorithm: String,
    /// SubjectPublicKeyInfo in DER.
    pub public: Vec<u8>,
}

impl Way {
    /// Asks for the parameters of an import until a wrapping key is ready.
    pub fn new(person: &OpenApi, key: &Value, algorithm: &str) -> Self {
        let given = poll("a wrapping key", || {
            let answer = person.call(PARAMETERS, asked(key, algorithm));
            (answer.success().is_some() || answer.code() != "KMS.9071").then_some(answer)
        });
        Self::of(key, algorithm, &given.result())
    }

    /// Of the result of getParametersForImport.
    pub fn of(key: &Value, algorithm: &str, given: &Value) -> Self {
        let public = unbase64(&given["publicKey"]);
        Self { key: key.clone(), token: given["importToken"].clone(), algorithm: algorithm.into(), public }
    }

    /// Wraps some bytes as the token asks for it.
    pub fn wrap(&self, material: &[u8]) -> String {
        self.wrap_by(&self.algorithm, material)
    }

    /// Wraps some bytes to the token's public key by any algorithm.
    pub fn wrap_by(&self, algorithm: &str, material: &[u8]) -> String {
        let key = PublicEncryptingKey::from_der(&self.public).unwrap();
        let mut out = vec![0; 256];
        let oaep = |key| OaepPublicEncryptingKey::new(key).unwrap();
        let length = match algorithm {
            "RSAES_PKCS1_V1_5" => {
                Pkcs1PublicEncryptingKey::new(key).unwrap().encrypt(material, &mut out).unwrap().len()
            }
            "RSAES_OAEP_SHA_1" => {
                oaep(key).encrypt(&OAEP_SHA1_MGF1SHA1, material, &mut out, None).unwrap().len()
            }
            "RSAES_OAEP_SHA_256" => {
                oaep(key).encrypt(&OAEP_SHA256_MGF1SHA256, material, &mut out, None).unwrap().len()
            }
            other => panic!("{other} is no algorithm of imports"),
        };
        base64(&out[..length])
    }

    /// What importKeyMaterial takes to bring this material.
    pub fn body(&self, material: &[u8]) -> Value {
        self.body_of(&self.wrap(material))
    }

    /// What importKeyMaterial takes to bring something wrapped.
    pub fn body_of(&self, wrapped: &str) -> Value {
        json!({"cmkUuid": self.key, "importToken": self.token, "encryptedKeyMaterial": wrapped})
    }
}
