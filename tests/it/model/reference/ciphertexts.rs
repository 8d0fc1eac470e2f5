//! Ciphertexts and data keys: who can open them, what they hold, and what is told of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Expected, Model, state, text};
use crate::model::steps::Caller;

/// How every ciphertext of a symmetric key begins; others do not name their key.
const SYMMETRIC: &[u8] = b"0064";
/// Bytes of a ciphertext that name its key and version; a whole one has a byte, a salt, a commitment and a tag more.
const HEADER: usize = 104;
const LEAST: usize = HEADER + 1 + 16 + 32 + 16;

/// Bytes that SM2PKE takes.
const EXPORTED_MAX: usize = 6047;

/// A ciphertext that the service made.
#[derive(Debug, Clone)]
pub struct Sealed {
    pub account: usize,
    pub blob: Value,
    pub context: Value,
    pub key: String,
    version: String,
    /// The place of what it holds.
    secret: usize,
}

/// What one ciphertext or several hold: those encrypted anew hold what the first one does.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Base64; nothing for a data key that nobody has opened yet.
    plaintext: Option<Value>,
    bytes: usize,
}

impl Model {
    pub(super) fn encrypt(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let bytes = STANDARD.decode(text(&body["plaintext"])).unwrap().len();
        if bytes > 6144 {
            return Err("KMS.9020");
        }
        let at = self.symmetric(by, &body["cmkUuid"])?;
        let secret = self.keep(Some(body["plaintext"].clone()), bytes);
        Ok(self.seal(at, &body["encryptionContext"], secret, result))
    }

    pub(super) fn generate_data_key(
        &mut self,
        by: Caller,
        body: &Value,
        result: &Value,
        shown: bool,
    ) -> Expected {
        let of_spec = if body["keySpec"].as_str().is_none_or(|spec| spec == "AES_256") { 32 } else { 16 };
        let bytes = body["numberOfBytes"].as_u64().map_or(of_spec, |bytes| bytes as usize);
        let at = self.symmetric(by, &body["cmkUuid"])?;
        let plaintext = shown.then(|| self.drawn(&result["plaintext"], bytes));
        let secret = self.keep(plaintext.clone(), bytes);
        let mut expected = self.seal(at, &body["encryptionContext"], secret, result);
        expected["plaintext"] = plaintext.unwrap_or(Value::Null);
        Ok(expected)
    }

    pub(super) fn decrypt(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let (blob, context) = (&body["ciphertextBlob"], &body["encryptionContext"]);
        let at = self.maker(by, blob)?;
        self.check_usable(at)?;
        let Sealed { key, version, secret, .. } = self.whole(blob, context)?.clone();
        if self.secrets[secret].plaintext.is_none() {
            self.secrets[secret].plaintext =
                Some(self.drawn(&result["plaintext"], self.secrets[secret].bytes));
        }
        let plaintext = &self.secrets[secret].plaintext;
        Ok(json!({"cmkUuid": key, "keyVersionId": version, "plaintext": plaintext}))
    }

    /// As a data key that nobody has seen, for a recipient who is always there.
    pub(super) fn generate_and_export(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let mut expected = self.generate_data_key(by, body, result, false)?;
        expected["exportedDataKey"] = self.fresh(&result["exportedDataKey"]);
        Ok(expected)
    }

    /// Who may decrypt may hand over what fits the algorithm; the plaintext is not shown.
    pub(super) fn export(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let blob = &body["ciphertextBlob"];
        let at = self.maker(by, blob)?;
        self.check_usable(at)?;
        let Sealed { key, version, secret, .. } = self.whole(blob, &body["encryptionContext"])?.clone();
        if self.secrets[secret].bytes > EXPORTED_MAX {
            return Err("KMS.9020");
        }
        let exported = self.fresh(&result["exportedDataKey"]);
        Ok(json!({"cmkUuid": key, "keyVersionId": version, "exportedDataKey": exported, "plaintext": null}))
    }

    /// From whatever version made it to the newest one of the destination; the plaintext is not shown.
    pub(super) fn re_encrypt(&mut self, by: Caller, body: &Value, result: &Value) -> Expected {
        let blob = &body["ciphertextBlob"];
        let framed = STANDARD.decode(text(blob)).unwrap().starts_with(SYMMETRIC);
        for (field, code) in [
            ("sourceCmkUuid", "KMS.0110"),
            ("sourceKeyVersionId", "KMS.0111"),
            ("sourceEncryptionAlgorithm", "KMS.0114"),
        ] {
            if !framed && body[field].is_null() {
                return Err(code);
            }
        }
        let source = if framed { self.maker(by, blob)? } else { self.find(by, &body["sourceCmkUuid"])? };
        self.find(by, &body["destinationCmkUuid"])?;
        let destination = self.symmetric(by, &body["destinationCmkUuid"])?;
        self.check_usable(source)?;
        let secret = match framed {
            true => self.whole(blob, &body["sourceEncryptionContext"])?.secret,
            false => self.secret_of_pair(by, body)?,
        };
        let mut expected = self.seal(destination, &body["destinationEncryptionContext"], secret, result);
        expected["plaintext"] = Value::Null;
        Ok(expected)
    }

    /// In every state of the key, but never with the plaintext.
    pub(super) fn get_data_key(&self, by: Caller, body: &Value) -> Expected {
        let blob = &body["ciphertextBlob"];
        let key = &self.keys[self.maker(by, blob)?];
        if key.versions.is_empty() {
            return Err("KMS.9012");
        }
        let sealed = self.whole(blob, &body["encryptionContext"])?;
        Ok(json!({
            "cmkUuid": key.id, "keyVersionId": sealed.version, "keyState": state(key),
            "numberOfBytes": self.secrets[sealed.secret].bytes,
            "isPrimaryVersion": key.versions.last() == Some(&sealed.version), "plaintext": null,
        }))
    }

    /// The key that a ciphertext names, if the caller may see it.
    fn maker(&self, by: Caller, blob: &Value) -> Result<usize, &'static str> {
        let blob = STANDARD.decode(text(blob)).unwrap();
        if blob.len() < LEAST || !blob.starts_with(SYMMETRIC) {
            return Err("KMS.9028");
        }
        let header = |sealed: &Sealed| STANDARD.decode(text(&sealed.blob)).unwrap()[..HEADER].to_vec();
        let kin = self.sealed.iter().find(|sealed| header(sealed) == blob[..HEADER]);
        let kin = kin.filter(|kin| kin.account == by.account).ok_or("KMS.9001")?;
        self.keys.iter().position(|key| key.id == kin.key).ok_or("KMS.9001")
    }

    /// The ciphertext that this is from its first byte to its last, with the context that it is bound to.
    fn whole(&self, blob: &Value, context: &Value) -> Result<&Sealed, &'static str> {
        let mut whole =
            self.sealed.iter().filter(|sealed| sealed.blob == *blob && sealed.context == *context);
        whole.next().ok_or("KMS.9028")
    }

    pub(super) fn keep(&mut self, plaintext: Option<Value>, bytes: usize) -> usize {
        self.secrets.push(Secret { plaintext, bytes });
        self.secrets.len() - 1
    }

    /// A new ciphertext of the newest version of a key.
    fn seal(&mut self, at: usize, context: &Value, secret: usize, result: &Value) -> Value {
        let blob = self.fresh(&result["ciphertextBlob"]);
        let (key, context) = (&self.keys[at], context.clone());
        let (account, id, version) = (key.account, key.id.clone(), key.versions.last().unwrap().clone());
        let expected = json!({"cmkUuid": id, "keyVersionId": version, "ciphertextBlob": blob});
        self.sealed.push(Sealed { account, blob, context, key: id, version, secret });
        expected
    }
}
