//! The call that a step makes: its path and its body.

use serde_json::{Value, json};

use super::{AliasName, Brings, CONTEXTS, Caller, Fate, KeyName, Step, TagFilter, Tags, Which, Work};
use crate::export::for_somebody;
use crate::kit::{base64, new_id, unbase64};
use crate::material::{ALGORITHMS, DELETE, IMPORT, PARAMETERS, Way, asked};
use crate::model::reference::{Key, Model, is_pair};

/// Bytes of a ciphertext that name its key and version.
const HEAD: usize = 104;

impl Step {
    /// The path and the body of its call; nothing for a step that is no call, or has nothing to work on.
    pub fn request(&self, by: Caller, model: &Model) -> Option<(&'static str, Value)> {
        Some((self.path()?, self.body(by, model)?))
    }

    /// Whether applications cannot call it: the person of the tenant does.
    pub fn is_for_people(&self) -> bool {
        let prefixes = ["/userAk/", "/tag/", "/cmkManage/rehearse", "/keyManage/listDestroyed"];
        self.path().is_some_and(|path| prefixes.iter().any(|prefix| path.starts_with(prefix)))
    }

    fn path(&self) -> Option<&'static str> {
        Some(match self {
            Self::CreateKey { .. } => "/cmkManage/createKey",
            Self::EnableKey(_) => "/cmkManage/enableKey",
            Self::DisableKey(_) => "/cmkManage/disableKey",
            Self::Rehearse(..) => "/cmkManage/rehearseKeyDisabling",
            Self::DescribeKey(_) => "/keyManage/describeKey",
            Self::ScheduleDeletion(..) => "/cmkManage/scheduleKeyDeletion",
            Self::CancelDeletion(_) => "/cmkManage/cancelKeyDeletion",
            Self::Protect(..) => "/cmkManage/deleteProtect",
            Self::Unprotect(_) => "/cmkManage/cancelDeleteProtect",
            Self::ListDestroyed { .. } => "/keyManage/listDestroyedKeys",
            Self::DescribeOtherwise(..) => "/keyManage/updateKeyDescription",
            Self::ListKeys { .. } => "/keyManage/listAliasKeys",
            Self::CreateAlias { .. } => "/keyName/createAlias",
            Self::UpdateAlias(..) => "/keyName/updateAlias",
            Self::DeleteAlias(_) => "/keyName/deleteAlias",
            Self::ListAliases { .. } => "/keyName/listAlias",
            Self::ListAliasesOfKey { .. } => "/keyName/listAliasByUuid",
            Self::SetRotation(..) => "/versionControl/updateRotationPolicy",
            Self::CreateVersion(..) => "/versionControl/createKeyVersion",
            Self::ListVersions { .. } => "/versionControl/listKeyVersions",
            Self::DescribeVersion(..) => "/versionControl/describeKeyVersion",
            Self::ImportParameters { .. } => PARAMETERS,
            Self::Import { .. } => IMPORT,
            Self::DeleteMaterial(..) => DELETE,
            Self::Encrypt { .. } => "/keyCompute/encrypt",
            Self::Decrypt(..) => "/keyCompute/decrypt",
            Self::GenerateDataKey { shown: true, .. } => "/keyCompute/generateDataKey",
            Self::GenerateDataKey { shown: false, .. } => "/keyCompute/generateDataKeyWithoutPlaintext",
            Self::GenerateAndExport { .. } => "/keyCompute/generateAndExportDataKey",
            Self::Export(..) => "/keyCompute/exportDataKey",
            Self::ReEncrypt { .. } => "/cmManage/reEncrypt",
            Self::ReEncryptAsymmetric { .. } => "/keyCompute/reEncrypt",
            Self::Sign(..) => "/asymmetric/asymmetricSign",
            Self::Verify(..) => "/asymmetric/asymmetricVerify",
            Self::AsymmetricEncrypt(..) => "/asymmetric/asymmetricEncrypt",
            Self::AsymmetricDecrypt(..) => "/asymmetric/asymmetricDecrypt",
            Self::ShowPublicKey(..) => "/asymmetric/getPublicKey",
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
            Self::CreateKey { spec, usage, external, rotation, alias, description, tags, token } => json!({
                "keySpec": spec, "keyUsage": usage, "origin": external.then_some("External"),
                "aliasName": alias, "description": description,
                "tags": tags.as_ref().map(|tags| list(tags).to_string()), "clientToken": token,
                "enableAutomaticRotation": rotation.is_some(), "rotationInterval": rotation,
            }),
            Self::EnableKey(key)
            | Self::DisableKey(key)
            | Self::DescribeKey(key)
            | Self::CancelDeletion(key)
            | Self::Unprotect(key) => of(key, json!({})),
            Self::ScheduleDeletion(key, days) => of(key, json!({"pendingWindowInDays": days})),
            Self::Protect(key, why) => of(key, json!({"deletionProtectionDescription": why})),
            Self::ListDestroyed { number, size, spec } => {
                with(page(*number, *size), json!({"keySpec": spec}))
            }
            Self::Rehearse(key, on) => of(key, json!({"enableRehearsal": on})),
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
            Self::ImportParameters { of: outside, key, algorithm, token } => {
                let key = named(*outside, key.as_ref(), by, model)?;
                with(asked(&json!(key), algorithm), json!({"clientToken": token}))
            }
            Self::Import { of: outside, number, key, brings, ends } => {
                let (way, length) = token_of(*outside, *number, by, model)?;
                let key = named(*outside, key.as_ref(), by, model)?;
                let ends = ends.map(|seconds| if seconds == 0 { 0 } else { model.now + seconds });
                let further = json!({"cmkUuid": key, "keyMaterialExpireUnix": ends});
                with(brings.body(&way, length), further)
            }
            Self::DeleteMaterial(outside, key) => {
                json!({"cmkUuid": named(*outside, key.as_ref(), by, model)?})
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
            Self::CreateVersion(key, token) => {
                json!({"cmkUuid": key.there(by, model)?, "clientToken": token})
            }
            Self::Sign(..)
            | Self::Verify(..)
            | Self::AsymmetricEncrypt(..)
            | Self::AsymmetricDecrypt(..)
            | Self::ShowPublicKey(..)
            | Self::ReEncryptAsymmetric { .. } => return self.with_pair(by, model),
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

/// A key by its name, or one of those with material from outside.
fn named(outside: Which, key: Option<&KeyName>, by: Caller, model: &Model) -> Option<String> {
    match key {
        Some(key) => Some(key.text(by, model)),
        None => outside.among(by, &model.external(), |key| key.account).map(|key| key.id.clone()),
    }
}

/// A token of one of the keys with material from outside, and how long that material is.
fn token_of(outside: Which, number: usize, by: Caller, model: &Model) -> Option<(Way, usize)> {
    let external = model.external();
    let key = outside.among(by, &external, |key| key.account)?;
    let tokens = &key.import.as_ref()?.tokens;
    let token = &tokens[number.checked_rem(tokens.len())?];
    Some((token.way.clone(), if key.spec == "Ctyun_SM4" { 16 } else { 32 }))
}

impl Brings {
    /// What importKeyMaterial takes, and for the reference what is in it: see `Model::import`.
    fn body(self, way: &Way, length: usize) -> Value {
        let (wrapped, brings) = match self {
            Self::Material(byte, more) => {
                let material = vec![byte; length + more];
                (way.wrap(&material), Some(hex::encode(material)))
            }
            Self::OtherAlgorithm => {
                let other = ALGORITHMS.into_iter().find(|other| *other != way.algorithm).unwrap();
                (way.wrap_by(other, &vec![1; length]), None)
            }
            Self::Noise => (base64([0x5a; 256]), None),
        };
        with(way.body_of(&wrapped), json!({"brings": brings}))
    }
}

pub(super) fn with(mut body: Value, further: Value) -> Value {
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
    let version = |key: &Key| Some(key.versions[number.checked_rem(key.versions.len())?].clone());
    named.and_then(version).unwrap_or_else(new_id)
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
    pub(super) fn among<T>(self, by: Caller, all: &[T], owner: impl Fn(&T) -> usize) -> Option<&T> {
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

impl Key {
    fn work(&self) -> Work {
        match (is_pair(&self.spec), self.usage.as_str()) {
            (false, _) => Work::Symmetric,
            (true, "SIGN/VERIFY") => Work::Signing,
            (true, _) => Work::AsymmetricEncryption,
        }
    }
}

impl KeyName {
    pub(super) fn text(&self, by: Caller, model: &Model) -> String {
        self.there(by, model).unwrap_or_else(new_id)
    }

    /// Nothing for a key that is made for some work, if there is none.
    pub(super) fn there(&self, by: Caller, model: &Model) -> Option<String> {
        match self {
            Self::For(work, place) => {
                let fits = |key: &&Key| key.account == by.account && key.work() == *work;
                let place = place.checked_rem(model.keys.iter().filter(fits).count())?;
                model.keys.iter().filter(fits).nth(place).map(|key| key.id.clone())
            }
            Self::Id(which) => {
                let key = which.among(by, &model.keys, |key| key.account);
                Some(key.map_or_else(new_id, |key| key.id.clone()))
            }
            Self::Alias(name) => Some(name.text(by, model)),
            Self::Nobodys => Some(new_id()),
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
