//! The steps of a story, and how they are drawn. A step names things by their place among those that exist when its turn
//! comes, so that a story stays meaningful when steps are taken out of it. A further operation is a variant of [`Step`], a
//! line in `step`, its request, and an arm of `Model::answer`.

use std::fmt;

use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use serde_json::{Value, json};

use super::reference::Model;
use crate::kit::{base64, new_id, unbase64};

/// Who calls: the person of a tenant, or an application with one of its credentials.
#[derive(Clone, Copy)]
pub struct Caller {
    pub account: usize,
    /// The place of the credential; as long as there is none the person calls.
    pub credential: Option<usize>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant = ["first", "second"][self.account];
        match self.credential {
            None => write!(f, "person of the {tenant} tenant:"),
            Some(number) => write!(f, "application of the {tenant} tenant, credential {number}:"),
        }
    }
}

/// One of the caller's things or of the other tenant's, by its place.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    Own(usize),
    Foreign(usize),
}

/// A key in a request.
#[derive(Debug, Clone)]
pub enum KeyName {
    Id(Which),
    Alias(&'static str),
    /// An id that nobody has.
    Nobodys,
}

/// What becomes of a ciphertext on its way.
#[derive(Debug, Clone, Copy)]
pub enum Fate {
    Whole,
    CutOff,
    Altered,
    OtherContext,
}

#[derive(Debug, Clone)]
pub enum Step {
    CreateKey {
        spec: Option<&'static str>,
        rotation: Option<&'static str>,
        alias: Option<&'static str>,
        description: Option<&'static str>,
        tags: Option<&'static str>,
        token: Option<&'static str>,
    },
    EnableKey(KeyName),
    DisableKey(KeyName),
    DescribeKey(KeyName),
    ListKeys {
        number: u64,
        size: u64,
        state: Option<&'static str>,
        spec: Option<&'static str>,
        part: Option<&'static str>,
    },
    CreateAlias {
        key: Which,
        alias: &'static str,
        token: Option<&'static str>,
    },
    DeleteAlias(&'static str),
    Encrypt {
        key: KeyName,
        bytes: usize,
        context: Option<&'static str>,
    },
    Decrypt(Which, Fate),
    GenerateDataKey {
        key: KeyName,
        spec: Option<&'static str>,
        bytes: Option<u64>,
        context: Option<&'static str>,
        shown: bool,
    },
    /// With a version of some key: of this one, or of another.
    Mac {
        key: KeyName,
        input: &'static str,
        version: Option<(Which, usize)>,
    },
    Digest(&'static str),
    CreateCredential {
        of: Which,
        token: Option<&'static str>,
    },
    ListCredentials {
        of: Which,
        number: u64,
        size: u64,
    },
    /// One of the calls with a `clientToken` again, to the letter.
    Again(usize),
    /// Seconds go by.
    Wait(u64),
    Restart,
}

const ALIASES: [&str; 5] = ["alias/a", "alias/b", "alias/b/2", "alias/C_d-e", "alias/ecs"];
const CONTEXTS: [&str; 2] = [r#"{"a":"1"}"#, r#"{"a":"1","b":"2"}"#];
const SPECS: [&str; 2] = ["AES_256", "Ctyun_SM4"];
const INPUTS: [&str; 3] = ["abc", "钥库", "a\nb"];
const TOKENS: [&str; 2] = ["first token", "second token"];
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// A story: who does what, one after the other. Most begin with some keys, so that there is something to work on.
pub fn story(longest: usize) -> impl Strategy<Value = Vec<(Caller, Step)>> {
    let (first, then) = (vec((caller(), create_key()), 0..=4), vec((caller(), step()), 1..=longest));
    (first, then).prop_map(|(first, then)| [first, then].concat())
}

fn caller() -> impl Strategy<Value = Caller> {
    let credential = prop_oneof![Just(None), (0..4usize).prop_map(Some)];
    (prop_oneof![3 => Just(0usize), 1 => Just(1)], credential)
        .prop_map(|(account, credential)| Caller { account, credential })
}

fn step() -> BoxedStrategy<Step> {
    prop_oneof![
        4 => create_key(),
        4 => key().prop_map(Step::EnableKey),
        3 => key().prop_map(Step::DisableKey),
        4 => key().prop_map(Step::DescribeKey),
        3 => list_keys(),
        6 => (which(), select(&ALIASES[..]), token())
            .prop_map(|(key, alias, token)| Step::CreateAlias { key, alias, token }),
        2 => select(&ALIASES[..]).prop_map(Step::DeleteAlias),
        7 => (key(), length(), of(select(&CONTEXTS[..])))
            .prop_map(|(key, bytes, context)| Step::Encrypt { key, bytes, context }),
        9 => (which(), fate()).prop_map(|(sealed, fate)| Step::Decrypt(sealed, fate)),
        5 => generate_data_key(),
        5 => (key(), select(&INPUTS[..]), of((which(), 0..4usize)))
            .prop_map(|(key, input, version)| Step::Mac { key, input, version }),
        1 => select(&INPUTS[..]).prop_map(Step::Digest),
        2 => (which(), token()).prop_map(|(of, token)| Step::CreateCredential { of, token }),
        1 => (which(), 1..=3u64, 1..=4u64)
            .prop_map(|(of, number, size)| Step::ListCredentials { of, number, size }),
        3 => (0..4usize).prop_map(Step::Again),
        4 => select(&[1, 23 * HOUR, DAY, 7 * DAY, 30 * DAY][..]).prop_map(Step::Wait),
        2 => Just(Step::Restart),
    ]
    .boxed()
}

fn create_key() -> impl Strategy<Value = Step> {
    let rotation = of(select(&["7d", "8d", "30d"][..]));
    let description = of(select(&["", "first", "第二"][..]));
    let tags = weighted(0.2, Just(r#"[{"tagKey":"team","tagValue":"blue"}]"#));
    (of(select(&SPECS[..])), rotation, weighted(0.3, select(&ALIASES[..])), description, tags, token())
        .prop_map(|(spec, rotation, alias, description, tags, token)| Step::CreateKey {
            spec,
            rotation,
            alias,
            description,
            tags,
            token,
        })
}

fn list_keys() -> impl Strategy<Value = Step> {
    let state = weighted(0.3, select(&["Enabled", "Disabled"][..]));
    let part = weighted(0.3, select(&["alias/", "b", "/2", "nowhere"][..]));
    (1..=3u64, 1..=4u64, state, weighted(0.3, select(&SPECS[..])), part)
        .prop_map(|(number, size, state, spec, part)| Step::ListKeys { number, size, state, spec, part })
}

fn generate_data_key() -> impl Strategy<Value = Step> {
    let spec = of(select(&["AES_256", "AES_128", "SM4_128"][..]));
    (key(), spec, weighted(0.3, 1..=1024u64), of(select(&CONTEXTS[..])), any::<bool>()).prop_map(
        |(key, spec, bytes, context, shown)| Step::GenerateDataKey { key, spec, bytes, context, shown },
    )
}

fn which() -> impl Strategy<Value = Which> + Clone {
    // The first of all more often than the others, so that much happens to it.
    let place = prop_oneof![1 => Just(0), 2 => 0..24usize];
    prop_oneof![9 => place.prop_map(Which::Own), 1 => (0..24usize).prop_map(Which::Foreign)]
}

fn key() -> impl Strategy<Value = KeyName> + Clone {
    prop_oneof![
        14 => which().prop_map(KeyName::Id),
        5 => select(&ALIASES[..]).prop_map(KeyName::Alias),
        1 => Just(KeyName::Nobodys),
    ]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 1..=64usize, 1 => Just(6144), 1 => Just(6145)]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Whole),
        1 => Just(Fate::CutOff),
        1 => Just(Fate::Altered),
        1 => Just(Fate::OtherContext),
    ]
}

fn token() -> impl Strategy<Value = Option<&'static str>> + Clone {
    weighted(0.4, select(&TOKENS[..]))
}

impl Step {
    /// The path and the body of its call; nothing for a step that is no call, or has nothing to work on.
    pub fn request(&self, by: Caller, model: &Model) -> Option<(&'static str, Value)> {
        Some(match self {
            Self::CreateKey { spec, rotation, alias, description, tags, token } => {
                let body = json!({
                    "keySpec": spec, "aliasName": alias, "description": description, "tags": tags,
                    "enableAutomaticRotation": rotation.is_some(), "rotationInterval": rotation,
                    "clientToken": token,
                });
                ("/cmkManage/createKey", body)
            }
            Self::EnableKey(key) => ("/cmkManage/enableKey", json!({"cmkUuid": key.text(by, model)})),
            Self::DisableKey(key) => ("/cmkManage/disableKey", json!({"cmkUuid": key.text(by, model)})),
            Self::DescribeKey(key) => ("/keyManage/describeKey", json!({"cmkUuid": key.text(by, model)})),
            Self::ListKeys { number, size, state, spec, part } => {
                let body = json!({
                    "pageNumber": number, "pageSize": size, "keyState": state, "keySpec": spec,
                    "aliasName": part,
                });
                ("/keyManage/listAliasKeys", body)
            }
            Self::CreateAlias { key, alias, token } => {
                let key = KeyName::Id(*key).text(by, model);
                let body = json!({"cmkUuid": key, "aliasName": alias, "clientToken": token});
                ("/keyName/createAlias", body)
            }
            Self::DeleteAlias(alias) => ("/keyName/deleteAlias", json!({"aliasName": alias})),
            Self::Encrypt { key, bytes, context } => {
                let (key, plaintext) = (key.text(by, model), base64(vec![*bytes as u8; *bytes]));
                let body = json!({"cmkUuid": key, "plaintext": plaintext, "encryptionContext": context});
                ("/keyCompute/encrypt", body)
            }
            Self::Decrypt(which, fate) => ("/keyCompute/decrypt", ciphertext(*which, *fate, by, model)?),
            Self::GenerateDataKey { key, spec, bytes, context, shown } => {
                let body = json!({
                    "cmkUuid": key.text(by, model), "keySpec": spec, "numberOfBytes": bytes,
                    "encryptionContext": context,
                });
                match shown {
                    true => ("/keyCompute/generateDataKey", body),
                    false => ("/keyCompute/generateDataKeyWithoutPlaintext", body),
                }
            }
            Self::Mac { key, input, version } => {
                let version = version.map(|(which, number)| {
                    let named = model.keys.iter().find(|key| key.id == KeyName::Id(which).text(by, model));
                    named.map_or_else(new_id, |key| key.versions[number % key.versions.len()].clone())
                });
                let body = json!({"cmkUuid": key.text(by, model), "input": input, "keyVersionId": version});
                ("/get/hmaccompute", body)
            }
            Self::Digest(input) => ("/get/messageDigest", json!({"input": input})),
            Self::CreateCredential { of, token } => {
                let point = &model.accounts[of.account(by)].access_point;
                ("/userAk/createUserAk", json!({"accessPointId": point, "clientToken": token}))
            }
            Self::ListCredentials { of, number, size } => {
                let point = &model.accounts[of.account(by)].access_point;
                let body = json!({"accessPointId": point, "pageNumber": number, "pageSize": size});
                ("/userAk/listUserAk", body)
            }
            Self::Again(_) | Self::Wait(_) | Self::Restart => return None,
        })
    }

    /// Whether applications cannot call it: the person of the tenant does.
    pub fn is_for_people(&self) -> bool {
        matches!(self, Self::CreateCredential { .. } | Self::ListCredentials { .. })
    }
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

impl KeyName {
    fn text(&self, by: Caller, model: &Model) -> String {
        match self {
            Self::Id(which) => {
                which.among(by, &model.keys, |key| key.account).map_or_else(new_id, |key| key.id.clone())
            }
            Self::Alias(name) => (*name).to_owned(),
            Self::Nobodys => new_id(),
        }
    }
}

/// A ciphertext on its way to decrypt.
fn ciphertext(which: Which, fate: Fate, by: Caller, model: &Model) -> Option<Value> {
    let sealed = which.among(by, &model.sealed, |sealed| sealed.account)?;
    let (mut blob, mut context) = (unbase64(&sealed.blob), sealed.context.clone());
    match fate {
        Fate::Whole => {}
        Fate::CutOff => blob.truncate(blob.len() / 2),
        Fate::Altered => *blob.last_mut().unwrap() ^= 1,
        Fate::OtherContext => context = json!(if context == CONTEXTS[0] { CONTEXTS[1] } else { CONTEXTS[0] }),
    }
    Some(json!({"ciphertextBlob": base64(blob), "encryptionContext": context}))
}
