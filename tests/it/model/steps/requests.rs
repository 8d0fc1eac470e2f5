//! The call that a step makes: its path and its body.

use serde_json::{Value, json};

use super::{AliasName, CONTEXTS, Caller, Fate, KeyName, Step, TagFilter, Tags, Which};
use crate::export::for_somebody;
use crate::kit::{base64, new_id, unbase64};
use crate::model::reference::Model;

/// Bytes of a ciphertext that name its key and version.
const HEAD: usize = 104;

impl Step {
    /// The path and the body of its call; nothing for a step that is no call, or has nothing to work on.
    pub fn request(&self, by: Caller, model: &Model) -> Option<(&'static str, Value)> {
        Some((self.path()?, self.body(by, model)?))
    }

    /// Whether applications cannot call it: the person of the tenant does.
    pub fn is_for_people(&self) -> bool {
        self.path().is_some_and(|path| path.starts_with("/userAk/") || path.starts_with("/tag/"))
    }

    fn path(&self) -> Option<&'static str> {
        Some(match self {
            Self::CreateKey { .. } => "/cmkManage/createKey",
            Self::EnableKey(_) => "/cmkManage/enableKey",
            Self::DisableKey(_) => "/cmkManage/disableKey",
            Self::DescribeKey(_) => "/keyManage/describeKey",
            Self::DescribeOtherwise(..) => "/keyManage/updateKeyDescription",
            Self::ListKeys { .. } => "/keyManage/listAliasKeys",
            Self::CreateAlias { .. } => "/keyName/createAlias",
            Self::UpdateAlias(..) => "/keyName/updateAlias",
            Self::DeleteAlias(_) => "/keyName/deleteAlias",
            Self::ListAliases { .. } => "/keyName/listAlias",
            Self::ListAliasesOfKey { .. } => "/keyName/listAliasByUuid",
            Self::SetRotation(..) => "/versionControl/updateRotationPolicy",
            Self::ListVersions { .. } => "/versionControl/listKeyVersions",
            Self::DescribeVersion(..) => "/versionControl/describeKeyVersion",
            Self::Encrypt { .. } => "/keyCompute/encrypt",
            Self::Decrypt(..) => "/keyCompute/decrypt",
            Self::GenerateDataKey { shown: true, .. } => "/keyCompute/generateDataKey",
            Self::GenerateDataKey { shown: false, .. } => "/keyCompute/generateDataKeyWithoutPlaintext",
            Self::GenerateAndExport { .. } => "/keyCompute/generateAndExportDataKey",
            Self::Export(..) => "/keyCompute/exportDataKey",
            Self::ReEncrypt { .. } => "/cmManage/reEncrypt",
            Self::GetDataKey(..) => "/keyCompute/getDataKey",
            Self::Mac { .. } => "/get/hmaccompute",
            Self::Digest(_) => "/get/messageDigest",
            Self::CreateCredential { .. } => "/userAk/createUserAk",
            Self::EnableCredential(_) => "/userAk/enableUserAk",
            Self::DisableCredential(_) => "/userAk/disableUserAk",
            Self::DeleteCredential(_) => "/userAk/deleteUserAk",
            Self::ListCredentials { .. } => "/userAk/listUserAk",
            Self::Tag(..) => "/tag/tagResources",
            Self::Untag(..) => "/tag/untagResources",
            Self::ListTagResources { .. } => "/tag/listTagResources",
            Self::ListTagKeys { .. } => "/tag/listTagKeys",
            Self::Again(_) | Self::Wait(_) | Self::Restart => return None,
        })
    }

    fn body(&self, by: Caller, model: &Model) -> Option<Value> {
        let of = |key: &KeyName, further: Value| with(json!({"cmkUuid": key.text(by, model)}), further);
        Some(match self {
            Self::CreateKey { spec, rotation, alias, description, tags, token } => json!({
                "keySpec": spec, "aliasName": alias, "description": description,
                "tags": tags.as_ref().map(|tags| list(tags).to_string()), "clientToken": token,
                "enableAutomaticRotation": rotation.is_some(), "rotationInterval": rotation,
            }),
            Self::EnableKey(key) | Self::DisableKey(key) | Self::DescribeKey(key) => of(key, json!({})),
            Self::DescribeOtherwise(key, characters) => {
                of(key, json!({"description": "钥".repeat(*characters)}))
            }
            Self::ListKeys { number, size, state, spec, part, tags } => {
                let asked = json!({"keyState": state, "keySpec": spec, "aliasName": part});
                with(with(page(*number, *size), asked), tags.fields())
            }
            Self::CreateAlias { key, alias, token } => {
                of(&KeyName::Id(*key), json!({"aliasName": alias, "clientToken": token}))
            }
            Self::UpdateAlias(key, alias) => of(key, json!({"aliasName": alias.text(by, model)})),
            Self::DeleteAlias(alias) => json!({"aliasName": alias.text(by, model)}),
            Self::ListAliases { number, size } | Self::ListTagKeys { number, size } => page(*number, *size),
            Self::ListAliasesOfKey { key, number, size } => of(key, page(*number, *size)),
            Self::SetRotation(key, on, interval) => {
                of(key, json!({"enableAutomaticRotation": on, "rotationInterval": interval}))
            }
            Self::ListVersions { key, number, size } => of(key, page(*number, *size)),
            Self::DescribeVersion(key, which, number) => {
                of(key, json!({"keyVersionId": version_of(*which, *number, by, model)}))
            }
            Self::Encrypt { key, bytes, context } => {
                let plaintext = base64(vec![*bytes as u8; *bytes]);
                of(key, json!({"plaintext": plaintext, "encryptionContext": context}))
            }
            Self::Decrypt(sealed, fate) | Self::GetDataKey(sealed, fate) => {
                let (blob, context) = ciphertext(*sealed, *fate, by, model)?;
                json!({"ciphertextBlob": blob, "encryptionContext": context})
            }
            Self::GenerateDataKey { key, spec, bytes, context, shown: _ } => {
                of(key, json!({"keySpec": spec, "numberOfBytes": bytes, "encryptionContext": context}))
            }
            Self::GenerateAndExport { key, bytes, context } => {
                for_somebody(of(key, json!({"numberOfBytes": bytes, "encryptionContext": context})))
            }
            Self::Export(sealed, fate) => {
                let (blob, context) = ciphertext(*sealed, *fate, by, model)?;
                for_somebody(json!({"ciphertextBlob": blob, "encryptionContext": context}))
            }
            Self::ReEncrypt { sealed, fate, to, context } => {
                let (blob, source) = ciphertext(*sealed, *fate, by, model)?;
                let maker = sealed.among(by, &model.sealed, |sealed| sealed.account)?.key.clone();
                let to = to.as_ref().map_or(maker, |key| key.text(by, model));
                let to = json!({"destinationCmkUuid": to, "destinationEncryptionContext": context});
                with(json!({"ciphertextBlob": blob, "sourceEncryptionContext": source}), to)
            }
            Self::Mac { key, input, version } => {
                let version = version.map(|(which, number)| version_of(which, number, by, model));
                of(key, json!({"input": input, "keyVersionId": version}))
            }
            Self::Digest(input) => json!({"input": input}),
            Self::CreateCredential { of, token } => {
                with(point(*of, by, model), json!({"clientToken": token}))
            }
            Self::EnableCredential(of) | Self::DisableCredential(of) | Self::DeleteCredential(of) => {
                json!({"accessKey": access_key(*of, by, model)})
            }
            Self::ListCredentials { of, number, size } => with(point(*of, by, model), page(*number, *size)),
            Self::Tag(keys, tags) => with(resources(keys, by, model), json!({"tags": list(tags)})),
            Self::Untag(keys, names) => with(resources(keys, by, model), json!({"tagKeys": names})),
            Self::ListTagResources { keys, number, size, tags } => {
                let named = keys.as_ref().map_or(json!({}), |keys| resources(keys, by, model));
                with(with(page(*number, *size), named), tags.fields())
            }
            Self::Again(_) | Self::Wait(_) | Self::Restart => return None,
        })
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

/// Some version of a key.
fn version_of(which: Which, number: usize, by: Caller, model: &Model) -> String {
    let named = which.among(by, &model.keys, |key| key.account);
    named.map_or_else(new_id, |key| key.versions[number % key.versions.len()].clone())
}

fn point(of: Which, by: Caller, model: &Model) -> Value {
    json!({"accessPointId": model.accounts[of.account(by)].access_point})
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
