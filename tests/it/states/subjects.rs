//! Keys of every kind in every state, and what is sent about them.

use serde_json::{Value, json};
use yaoku::ids::KeyId;
use yaoku::model::alias::KeyRef;
use yaoku::ops::deletion::DestroyKey;

use crate::export::for_somebody;
use crate::kit::{OpenApi, Service, base64, new_id};
use crate::material::{DELETE, IMPORT, Way, asked};

/// Operations that outsiders call and that name no key; lists show keys whatever their state.
pub const NO_KEY: &[&str] = &[
    "createKey",
    "createDefaultKey",
    "listAliasKeys",
    "listSymmetricKeys",
    "resourceInfo",
    "listDestroyedKeys",
    "listAlias",
    "messageDigest",
    "getRandom",
    "listApplicationAccessPoint",
    "listAllUri",
    "createUserAk",
    "enableUserAk",
    "disableUserAk",
    "deleteUserAk",
    "listUserAk",
    "createAccount",
    "listAccount",
    "describeAccount",
    "updateAccount",
    "createProductCredential",
    "listProductCredential",
    "deleteProductCredential",
    "listEvents",
    "confirmClock",
    "advanceTime",
    "listTagResources",
    "listTagKeys",
    "describeSystem",
    "runSelfTest",
    "rollWrappingKey",
    "queryAudit",
    "describeAudit",
    "exportAudit",
    "verifyAudit",
];

/// One way in which an operation touches a key.
pub struct Case {
    pub operation: &'static str,
    /// What the key is in it, where it may be several things.
    part: &'static str,
}

const fn case(operation: &'static str) -> Case {
    Case { operation, part: "" }
}

const fn part(operation: &'static str, part: &'static str) -> Case {
    Case { operation, part }
}

/// In the order of contract 4.3, then those that it does not name.
pub static CASES: &[Case] = &[
    case("encrypt"),
    case("decrypt"),
    case("generateDataKey"),
    case("generateDataKeyWithoutPlaintext"),
    case("exportDataKey"),
    case("generateAndExportDataKey"),
    part("reEncrypt", "from"),
    part("reEncrypt", "to"),
    case("asymmetricSign"),
    case("asymmetricVerify"),
    case("asymmetricEncrypt"),
    case("asymmetricDecrypt"),
    case("hmaccompute"),
    case("getPublicKey"),
    case("describeKey"),
    case("listAliasByUuid"),
    case("listKeyVersions"),
    case("describeKeyVersion"),
    case("detectAssociation"),
    case("updateKeyDescription"),
    case("enableKey"),
    case("disableKey"),
    case("scheduleKeyDeletion"),
    case("cancelKeyDeletion"),
    case("createAlias"),
    part("updateAlias", "to"),
    part("updateAlias", "from"),
    case("deleteAlias"),
    case("getParametersForImport"),
    case("deleteKeyMaterial"),
    case("importKeyMaterial"),
    case("createKeyVersion"),
    case("updateRotationPolicy"),
    case("getDataKey"),
    case("deleteProtect"),
    case("cancelDeleteProtect"),
    case("rehearseKeyDisabling"),
    case("tagResources"),
    case("untagResources"),
];

impl Case {
    pub fn title(&self) -> String {
        [self.operation, self.part].join(" ").trim_end().to_owned()
    }

    /// Whether it may change the state of the key, or take its name.
    pub fn moves(&self) -> bool {
        const MOVES: [&str; 8] = [
            "enableKey",
            "disableKey",
            "scheduleKeyDeletion",
            "cancelKeyDeletion",
            "updateAlias",
            "deleteAlias",
            "deleteKeyMaterial",
            "importKeyMaterial",
        ];
        MOVES.contains(&self.operation)
    }

    /// Whether there is anything to send: no pair makes a ciphertext that names its key.
    pub fn fits(&self, kind: Kind) -> bool {
        let framed = ["decrypt", "exportDataKey", "getDataKey"].contains(&self.operation);
        match kind {
            Kind::Symmetric | Kind::External | Kind::Default => true,
            Kind::Encrypting | Kind::Signing => !framed,
        }
    }
}

/// What kind of key.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Symmetric,
    External,
    Encrypting,
    Signing,
    /// The default key of a cloud product, called by the people of its account.
    Default,
}

pub const KINDS: [Kind; 5] =
    [Kind::Symmetric, Kind::External, Kind::Encrypting, Kind::Signing, Kind::Default];

impl Kind {
    pub fn title(self) -> &'static str {
        match self {
            Self::Symmetric => "AES_256",
            Self::External => "AES_256, External",
            Self::Encrypting => "Ctyun_SM2, ENCRYPT/DECRYPT",
            Self::Signing => "Ctyun_SM2, SIGN/VERIFY",
            Self::Default => "default key of a product",
        }
    }

    pub fn states(self) -> &'static [State] {
        use State::{Destroyed, Disabled, Empty, Enabled, Over, PendingDeletion, PendingImport};
        match self {
            Self::External => &[Enabled, Disabled, PendingDeletion, PendingImport, Empty, Over, Destroyed],
            Self::Default => &[Enabled],
            Self::Symmetric | Self::Encrypting | Self::Signing => {
                &[Enabled, Disabled, PendingDeletion, Over, Destroyed]
            }
        }
    }

    fn is_pair(self) -> bool {
        matches!(self, Self::Encrypting | Self::Signing)
    }

    fn request(self, alias: &str) -> Value {
        match self {
            Self::Symmetric | Self::Default => json!({"aliasName": alias}),
            Self::External => json!({"aliasName": alias, "origin": "External"}),
            Self::Encrypting => json!({"aliasName": alias, "keySpec": "Ctyun_SM2"}),
            Self::Signing => json!({"aliasName": alias, "keySpec": "Ctyun_SM2", "keyUsage": "SIGN/VERIFY"}),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    #[default]
    Enabled,
    Disabled,
    PendingDeletion,
    PendingImport,
    /// Pending deletion, and its material was taken away.
    Empty,
    /// The window is over, and the key is not destroyed yet.
    Over,
    Destroyed,
}

impl State {
    pub fn title(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Disabled => "Disabled",
            Self::PendingDeletion => "PendingDeletion",
            Self::PendingImport => "PendingImport",
            Self::Empty => "PendingDeletion, empty",
            Self::Over => "over",
            Self::Destroyed => "destroyed",
        }
    }
}

/// A key and what there is of it.
#[derive(Default)]
pub struct Subject {
    kind: Kind,
    pub state: State,
    /// Whether there will be an import.
    imports: bool,
    key: Value,
    alias: String,
    version: Value,
    /// Of a pair bare, else in a frame.
    ciphertext: Value,
    /// Of a token that serves, for an import.
    way: Option<Way>,
    /// Another key of the same tenant, with its name and a ciphertext of it.
    other: Value,
    other_alias: String,
    other_ciphertext: Value,
}

impl Subject {
    /// A key that is not made yet.
    pub fn new(kind: Kind, state: State, imports: bool) -> Self {
        Self { kind, state, imports, ..Self::default() }
    }

    /// Makes the key: enabled, or with a window that begins now.
    pub fn make(&mut self, admin: &OpenApi, product: &OpenApi) {
        let create = |request| admin.ok("/cmkManage/createKey", request)["cmkUuid"].clone();
        let fresh = || format!("alias/{}", new_id());
        (self.alias, self.other_alias) = (fresh(), fresh());
        self.key = match self.kind {
            Kind::Default => {
                self.alias = "alias/ecs".into();
                admin.ok("/cmkManage/createDefaultKey", json!({"serviceCode": "ecs"}))["cmkUuid"].clone()
            }
            Kind::Symmetric | Kind::External | Kind::Encrypting | Kind::Signing => {
                create(self.kind.request(&self.alias))
            }
        };
        self.other = create(json!({"aliasName": self.other_alias}));
        if self.kind == Kind::External {
            admin.ok(IMPORT, Way::new(admin, &self.key, "RSAES_OAEP_SHA_256").body(&[7; 32]));
        }
        let versions = admin.ok("/versionControl/listKeyVersions", json!({"cmkUuid": self.key}));
        self.version = versions["keyVersions"][0]["keyVersionId"].clone();
        self.ciphertext = self.sealed(if self.kind == Kind::Default { product } else { admin });
        let plaintext = json!({"cmkUuid": self.other, "plaintext": base64("kept")});
        self.other_ciphertext = admin.ok("/keyCompute/encrypt", plaintext)["ciphertextBlob"].clone();
        if matches!(self.state, State::Over | State::Destroyed) {
            self.schedule(admin, 7);
        }
    }

    fn sealed(&self, admin: &OpenApi) -> Value {
        let mut body = json!({"cmkUuid": self.key, "plaintext": base64("kept")});
        let path = match self.kind {
            Kind::Symmetric | Kind::External | Kind::Default => "/keyCompute/encrypt",
            Kind::Encrypting => {
                body["keyVersionId"] = self.version.clone();
                body["algorithm"] = json!("SM2PKE");
                "/asymmetric/asymmetricEncrypt"
            }
            Kind::Signing => return base64([7; 200]).into(),
        };
        admin.ok(path, body)["ciphertextBlob"].clone()
    }

    fn schedule(&self, admin: &OpenApi, days: u64) {
        let body = json!({"cmkUuid": self.key, "pendingWindowInDays": days});
        admin.ok("/cmkManage/scheduleKeyDeletion", body);
    }

    /// Brings the key into its state, unless that comes at the end of a window.
    pub fn bring(&mut self, admin: &OpenApi) {
        let named = json!({"cmkUuid": self.key});
        if self.imports && self.kind == Kind::External {
            self.way = Some(Way::new(admin, &self.key, "RSAES_OAEP_SHA_256"));
        }
        match self.state {
            State::Enabled | State::Over | State::Destroyed => {}
            State::Disabled => drop(admin.ok("/cmkManage/disableKey", named)),
            State::PendingImport => drop(admin.ok(DELETE, named)),
            State::PendingDeletion => self.schedule(admin, 30),
            State::Empty => {
                self.schedule(admin, 30);
                admin.ok(DELETE, named);
            }
        }
    }

    /// Has the key destroyed, if that is its state.
    pub fn end(&self, service: &Service) {
        if self.state != State::Destroyed {
            return;
        }
        let id: KeyId = serde_json::from_value(self.key.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let destroy = DestroyKey { cmk_uuid: KeyRef::Id(id) };
        runtime.block_on(service.gateway().submit(destroy)).unwrap();
    }

    /// What to send.
    pub fn body(&self, case: &Case) -> Value {
        let key = json!({"cmkUuid": self.key});
        let with = |field: &str, value: Value| {
            let mut body = key.clone();
            body[field] = value;
            body
        };
        match (case.operation, case.part) {
            ("encrypt", _) => with("plaintext", base64("new").into()),
            ("decrypt" | "getDataKey", _) => json!({"ciphertextBlob": self.ciphertext}),
            ("exportDataKey", _) => for_somebody(json!({"ciphertextBlob": self.ciphertext})),
            ("generateAndExportDataKey", _) => for_somebody(key),
            ("reEncrypt", _) => self.re_encryption(case.part),
            ("hmaccompute", _) => with("input", "text".into()),
            ("getPublicKey" | "describeKeyVersion", _) => with("keyVersionId", self.version.clone()),
            (name, _) if name.starts_with("asymmetric") => self.computation(name),
            ("updateKeyDescription", _) => with("description", "told".into()),
            ("rehearseKeyDisabling", _) => with("enableRehearsal", true.into()),
            ("scheduleKeyDeletion", _) => with("pendingWindowInDays", 7.into()),
            ("createAlias", _) => with("aliasName", format!("alias/{}", new_id()).into()),
            ("updateAlias", "to") => with("aliasName", self.other_alias.clone().into()),
            ("updateAlias", _) => json!({"cmkUuid": self.other, "aliasName": self.alias}),
            ("deleteAlias", _) => json!({"aliasName": self.alias}),
            ("getParametersForImport", _) => asked(&self.key, "RSAES_OAEP_SHA_256"),
            ("importKeyMaterial", _) => match &self.way {
                Some(way) => way.body(&[7; 32]),
                None => json!({
                    "cmkUuid": self.key, "importToken": base64([9; 16]), "encryptedKeyMaterial": base64([9; 256]),
                }),
            },
            ("updateRotationPolicy", _) => {
                json!({"cmkUuid": self.key, "enableAutomaticRotation": true, "rotationInterval": "7d"})
            }
            ("tagResources", _) => {
                let tags = json!([{"tagKey": "a", "tagValue": "b"}]);
                json!({"resourceType": "CMK", "resourceIds": [self.key], "tags": tags})
            }
            ("untagResources", _) => {
                json!({"resourceType": "CMK", "resourceIds": [self.key], "tagKeys": ["a"]})
            }
            _ => key,
        }
    }

    fn re_encryption(&self, part: &str) -> Value {
        match part {
            "to" => json!({"ciphertextBlob": self.other_ciphertext, "destinationCmkUuid": self.key}),
            _ if self.kind.is_pair() => json!({
                "ciphertextBlob": self.ciphertext, "sourceCmkUuid": self.key, "sourceKeyVersionId": self.version,
                "sourceEncryptionAlgorithm": "SM2PKE", "destinationCmkUuid": self.other,
            }),
            _ => json!({"ciphertextBlob": self.ciphertext, "destinationCmkUuid": self.other}),
        }
    }

    fn computation(&self, operation: &str) -> Value {
        let signs = ["asymmetricSign", "asymmetricVerify"].contains(&operation);
        let mut body = json!({
            "cmkUuid": self.key, "keyVersionId": self.version, "algorithm": if signs { "SM2DSA" } else { "SM2PKE" },
        });
        match operation {
            "asymmetricSign" => body["digest"] = base64([7; 32]).into(),
            "asymmetricVerify" => {
                body["digest"] = base64([7; 32]).into();
                body["value"] = base64([7; 64]).into();
            }
            "asymmetricEncrypt" => body["plaintext"] = base64("new").into(),
            _ => body["ciphertextBlob"] = self.ciphertext.clone(),
        }
        body
    }
}
