//! The call that a step makes: its path and its body.

use serde_json::{Value, json};

use super::{AliasName, CONTEXTS, Caller, Fate, KeyName, Step, TagFilter, Tags, Which};
use crate::kit::{base64, new_id, unbase64};
use crate::model::reference::Model;

/// Bytes of a ciphertext that name its key and version.
const HEAD: usize = 104;

impl Step {
    /// The path and the body of its call; nothing for a step that is no call, or has nothing to work on.
    pub fn request(&self, by: Caller, model: &Model) -> Option<(&'static str, Value)> {
        let of_key = |key: &KeyName| json!({"cmkUuid": key.text(by, model)});
        let of_credential = |which: &Which| json!({"accessKey": access_key(*which, by, model)});
        let of_ciphertext = |sealed: &Which, fate: &Fate| {
            let (blob, context) = ciphertext(*sealed, *fate, by, model)?;
            Some(json!({"ciphertextBlob": blob, "encryptionContext": context}))
        };
        Some(match self {
            Self::CreateKey { spec, rotation, alias, description, tags, token } => {
                let body = json!({
                    "keySpec": spec, "aliasName": alias, "description": description,
                    "tags": tags.as_ref().map(|tags| list(tags).to_string()), "clientToken": token,
                    "enableAutomaticRotation": rotation.is_some(), "rotationInterval": rotation,
                });
                ("/cmkManage/createKey", body)
            }
            Self::EnableKey(key) => ("/cmkManage/enableKey", of_key(key)),
            Self::DisableKey(key) => ("/cmkManage/disableKey", of_key(key)),
            Self::DescribeKey(key) => ("/keyManage/describeKey", of_key(key)),
            Self::DescribeOtherwise(key, characters) => (
                "/keyManage/updateKeyDescription",
                with(of_key(key), json!({"description": "钥".repeat(*characters)})),
            ),
            Self::ListKeys { number, size, state, spec, part, tags } => {
                let asked = json!({"keyState": state, "keySpec": spec, "aliasName": part});
                ("/keyManage/listAliasKeys", with(with(page(*number, *size), asked), tags.fields()))
            }
            Self::CreateAlias { key, alias, token } => {
                let further = json!({"aliasName": alias, "clientToken": token});
                ("/keyName/createAlias", with(of_key(&KeyName::Id(*key)), further))
            }
            Self::UpdateAlias(key, alias) => {
                ("/keyName/updateAlias", with(of_key(key), json!({"aliasName": alias.text(by, model)})))
            }
            Self::DeleteAlias(alias) => ("/keyName/deleteAlias", json!({"aliasName": alias.text(by, model)})),
            Self::ListAliases { number, size } => ("/keyName/listAlias", page(*number, *size)),
            Self::ListAliasesOfKey { key, number, size } => {
                ("/keyName/listAliasByUuid", with(of_key(key), page(*number, *size)))
            }
            Self::Encrypt { key, bytes, context } => {
                let plaintext = base64(vec![*bytes as u8; *bytes]);
                let further = json!({"plaintext": plaintext, "encryptionContext": context});
                ("/keyCompute/encrypt", with(of_key(key), further))
            }
            Self::Decrypt(sealed, fate) => ("/keyCompute/decrypt", of_ciphertext(sealed, fate)?),
            Self::GenerateDataKey { key, spec, bytes, context, shown } => {
                let further = json!({"keySpec": spec, "numberOfBytes": bytes, "encryptionContext": context});
                match shown {
                    true => ("/keyCompute/generateDataKey", with(of_key(key), further)),
                    false => ("/keyCompute/generateDataKeyWithoutPlaintext", with(of_key(key), further)),
                }
            }
            Self::ReEncrypt { sealed, fate, to, context } => {
                let (blob, source) = ciphertext(*sealed, *fate, by, model)?;
                let body = json!({
                    "ciphertextBlob": blob, "sourceEncryptionContext": source,
                    "destinationCmkUuid": to.text(by, model), "destinationEncryptionContext": context,
                });
                ("/cmManage/reEncrypt", body)
            }
            Self::GetDataKey(sealed, fate) => ("/keyCompute/getDataKey", of_ciphertext(sealed, fate)?),
            Self::Mac { key, input, version } => {
                let version = version.map(|(which, number)| {
                    let named = model.keys.iter().find(|key| key.id == KeyName::Id(which).text(by, model));
                    named.map_or_else(new_id, |key| key.versions[number % key.versions.len()].clone())
                });
                let further = json!({"input": input, "keyVersionId": version});
                ("/get/hmaccompute", with(of_key(key), further))
            }
            Self::Digest(input) => ("/get/messageDigest", json!({"input": input})),
            Self::CreateCredential { of, token } => {
                let point = &model.accounts[of.account(by)].access_point;
                ("/userAk/createUserAk", json!({"accessPointId": point, "clientToken": token}))
            }
            Self::EnableCredential(which) => ("/userAk/enableUserAk", of_credential(which)),
            Self::DisableCredential(which) => ("/userAk/disableUserAk", of_credential(which)),
            Self::DeleteCredential(which) => ("/userAk/deleteUserAk", of_credential(which)),
            Self::ListCredentials { of, number, size } => {
                let point = &model.accounts[of.account(by)].access_point;
                ("/userAk/listUserAk", with(page(*number, *size), json!({"accessPointId": point})))
            }
            Self::Tag(keys, tags) => {
                ("/tag/tagResources", with(resources(keys, by, model), json!({"tags": list(tags)})))
            }
            Self::Untag(keys, names) => {
                ("/tag/untagResources", with(resources(keys, by, model), json!({"tagKeys": names})))
            }
            Self::ListTagResources { keys, number, size, tags } => {
                let named = keys.as_ref().map_or(json!({}), |keys| resources(keys, by, model));
                ("/tag/listTagResources", with(with(page(*number, *size), named), tags.fields()))
            }
            Self::ListTagKeys { number, size } => ("/tag/listTagKeys", page(*number, *size)),
            Self::Again(_) | Self::Wait(_) | Self::Restart => return None,
        })
    }

    /// Whether applications cannot call it: the person of the tenant does.
    pub fn is_for_people(&self) -> bool {
        matches!(
            self,
            Self::CreateCredential { .. }
                | Self::EnableCredential(_)
                | Self::DisableCredential(_)
                | Self::DeleteCredential(_)
                | Self::ListCredentials { .. }
                | Self::Tag(..)
                | Self::Untag(..)
                | Self::ListTagResources { .. }
                | Self::ListTagKeys { .. }
        )
    }
}

fn with(mut body: Value, further: Value) -> Value {
    let Value::Object(further) = further else { panic!("{further} is no object") };
    body.as_object_mut().unwrap().extend(further);
    body
}

fn page(number: u64, size: u64) -> Value {
    json!({"pageNumber": number, "pageSize": size})
}

/// As a list, which only people can send.
fn list(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({"tagKey": key, "tagValue": value})).collect()
}

impl TagFilter {
    fn fields(&self) -> Value {
        let all = self.all.as_ref().map(|tags| list(tags).to_string());
        json!({"tagKey": self.key, "tagValue": self.value, "tags": all})
    }
}

fn resources(keys: &[KeyName], by: Caller, model: &Model) -> Value {
    let ids: Vec<String> = keys.iter().map(|key| key.text(by, model)).collect();
    json!({"resourceType": "CMK", "resourceIds": ids})
}

/// An access key of an application; one that nobody has if there is none.
fn access_key(which: Which, by: Caller, model: &Model) -> String {
    let (Which::Own(place) | Which::Foreign(place)) = which;
    let known = &model.accounts[which.account(by)].credentials;
    let known = place.checked_rem(known.len()).map(|at| known[at].access_key.clone());
    known.unwrap_or_else(|| new_id().replace('-', ""))
}

impl Which {
    fn account(self, by: Caller) -> usize {
        match self {
            Self::Own(_) => by.account,
            Self::Foreign(_) => 1 - by.account,
        }
    }

    /// Picks one of those that belong to the account.
    fn among<T>(self, by: Caller, all: &[T], owner: impl Fn(&T) -> usize) -> Option<&T> {
        let (Self::Own(place) | Self::Foreign(place)) = self;
        let count = all.iter().filter(|one| owner(one) == self.account(by)).count();
        let mut own = all.iter().filter(|one| owner(one) == self.account(by));
        own.nth(place.checked_rem(count)?)
    }
}

impl AliasName {
    fn text(self, by: Caller, model: &Model) -> String {
        let known = &model.accounts[by.account].aliases;
        match self {
            Self::Existing(place) => {
                let name = place.checked_rem(known.len()).and_then(|place| known.keys().nth(place));
                name.map_or_else(|| "alias/nobodys".into(), String::clone)
            }
            Self::Text(name) => name.to_owned(),
        }
    }
}

impl KeyName {
    fn text(&self, by: Caller, model: &Model) -> String {
        match self {
            Self::Id(which) => {
                which.among(by, &model.keys, |key| key.account).map_or_else(new_id, |key| key.id.clone())
            }
            Self::Alias(name) => name.text(by, model),
            Self::Nobodys => new_id(),
        }
    }
}

/// A ciphertext on its way, and the context that is sent with it.
fn ciphertext(which: Which, fate: Fate, by: Caller, model: &Model) -> Option<(String, Value)> {
    let sealed = which.among(by, &model.sealed, |sealed| sealed.account)?;
    let (mut blob, mut context) = (unbase64(&sealed.blob), sealed.context.clone());
    match fate {
        Fate::Whole => {}
        Fate::CutOff => blob.truncate(blob.len() / 2),
        Fate::Altered => *blob.last_mut().unwrap() ^= 1,
        Fate::Headless => blob[0] ^= 1,
        Fate::OtherHead => blob[..HEAD].copy_from_slice(&unbase64(&model.sealed[0].blob)[..HEAD]),
        Fate::OtherContext => context = json!(if context == CONTEXTS[0] { CONTEXTS[1] } else { CONTEXTS[0] }),
    }
    Some((base64(blob), context))
}
