//! A tenant for one operation of the catalog: what it sends, and everything that the store holds of it, as counted
//! facts without ids and dates.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use yaoku::api::Spec;
use yaoku::app::App;
use yaoku::error::Error;
use yaoku::ids::{AccessKeyId, AccessPointId, AccountId};
use yaoku::model::access_point::AccessPoint;
use yaoku::model::account::{Account, User};
use yaoku::model::alias::{Alias, AliasName};
use yaoku::model::credential::Credential;
use yaoku::model::instance::Instance;
use yaoku::model::key::Key;
use yaoku::model::principal::Audience;
use yaoku::model::record::{List, Record};
use yaoku::store::Changes;

use crate::export::for_somebody;
use crate::kit::{OpenApi, Service, base64, new_id, poll};
use crate::material::{DELETE, IMPORT, Way, asked, external};

/// Operations of the access type "write" that change no record: they compute with a key, or hand out random bytes.
pub const COMPUTES: &[&str] = &[
    "encrypt",
    "decrypt",
    "generateDataKey",
    "generateDataKeyWithoutPlaintext",
    "exportDataKey",
    "generateAndExportDataKey",
    "reEncrypt",
    "hmaccompute",
    "messageDigest",
    "getRandom",
    "asymmetricSign",
    "asymmetricVerify",
    "asymmetricEncrypt",
    "asymmetricDecrypt",
    "getPublicKey",
    // Tests the machine, or begins what others finish.
    "runSelfTest",
    "rollWrappingKey",
    // Change the time and no record.
    "confirmClock",
    "advanceTime",
];

/// How often each fact holds.
pub type Facts = BTreeMap<String, i64>;

/// One tenant with a key.
pub struct Tenant {
    pub person: OpenApi,
    pub key: Value,
    /// A second key.
    other: Value,
    account: Value,
    ciphertext: Value,
    /// To a key whose material comes from outside.
    way: Option<Way>,
    administers: bool,
}

impl Tenant {
    pub fn new(service: &Service, spec: &Spec) -> Self {
        let administers = spec.audience == Audience::Administrator;
        let (person, account) = match administers {
            true => (service.admin(), service.first.clone()),
            false => service.tenant(),
        };
        let key = person.ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
        let other = person.ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
        let plaintext = json!({"cmkUuid": key, "plaintext": base64("kept")});
        let ciphertext = person.ok("/keyCompute/encrypt", plaintext)["ciphertextBlob"].clone();
        let way = ["importKeyMaterial", "deleteKeyMaterial"].contains(&spec.name).then(|| {
            let way = Way::new(&person, &external(&person, "AES_256"), "RSAES_OAEP_SHA_256");
            // The first material binds the key, which happens once.
            person.ok(IMPORT, way.body(&[7; 32]));
            way
        });
        Self { person, key, other, account, ciphertext, way, administers }
    }

    /// What to send so that the operation succeeds; brings its target into the state that it needs.
    pub fn body(&self, service: &Service, spec: &Spec) -> Value {
        let key = json!({"cmkUuid": self.key});
        let name = json!({"aliasName": "alias/name"});
        let named = json!({"cmkUuid": self.key, "aliasName": "alias/name"});
        match spec.name {
            "createKey" => json!({"aliasName": format!("alias/{}", new_id())}),
            "enableKey" => {
                self.person.ok("/cmkManage/disableKey", key.clone());
                key
            }
            "disableKey" => {
                self.person.ok("/cmkManage/enableKey", key.clone());
                key
            }
            "scheduleKeyDeletion" => {
                self.person.call("/cmkManage/cancelKeyDeletion", key);
                json!({"cmkUuid": self.key, "pendingWindowInDays": 7})
            }
            "cancelKeyDeletion" => {
                let window = json!({"cmkUuid": self.key, "pendingWindowInDays": 7});
                self.person.call("/cmkManage/scheduleKeyDeletion", window);
                key
            }
            "deleteProtect" => {
                self.person.ok("/cmkManage/cancelDeleteProtect", key);
                json!({"cmkUuid": self.key, "deletionProtectionDescription": "told"})
            }
            "cancelDeleteProtect" => {
                self.person.ok("/cmkManage/deleteProtect", key.clone());
                key
            }
            "createAlias" => {
                // Absent unless the call before made it.
                self.person.call("/keyName/deleteAlias", name);
                named
            }
            "deleteAlias" => {
                self.person.call("/keyName/createAlias", named);
                name
            }
            "updateAlias" => {
                self.person.call("/keyName/createAlias", named.clone());
                self.person
                    .ok("/keyName/updateAlias", json!({"cmkUuid": self.other, "aliasName": "alias/name"}));
                named
            }
            "rehearseKeyDisabling" => {
                let off = json!({"cmkUuid": self.key, "enableRehearsal": false});
                self.person.ok("/cmkManage/rehearseKeyDisabling", off);
                json!({"cmkUuid": self.key, "enableRehearsal": true})
            }
            "updateKeyDescription" => {
                self.person
                    .ok("/keyManage/updateKeyDescription", json!({"cmkUuid": self.key, "description": ""}));
                json!({"cmkUuid": self.key, "description": "told"})
            }
            "updateRotationPolicy" => {
                let off = json!({"cmkUuid": self.key, "enableAutomaticRotation": false});
                self.person.ok("/versionControl/updateRotationPolicy", off);
                json!({"cmkUuid": self.key, "enableAutomaticRotation": true, "rotationInterval": "7d"})
            }
            "getParametersForImport" => {
                let device = service.app().machine.device();
                poll("a wrapping key", || (device.spare_keys() > 0).then_some(()));
                asked(&external(&self.person, "AES_256"), "RSAES_OAEP_SHA_256")
            }
            "importKeyMaterial" => {
                let way = self.way.as_ref().unwrap();
                self.person.ok(DELETE, json!({"cmkUuid": way.key}));
                way.body(&[7; 32])
            }
            "deleteKeyMaterial" => {
                let way = self.way.as_ref().unwrap();
                self.person.ok(IMPORT, way.body(&[7; 32]));
                json!({"cmkUuid": way.key})
            }
            "describeKeyVersion" => {
                let versions = self.person.ok("/versionControl/listKeyVersions", key);
                json!({"cmkUuid": self.key, "keyVersionId": versions["keyVersions"][0]["keyVersionId"]})
            }
            "createKeyVersion" => json!({"cmkUuid": self.pair("ENCRYPT/DECRYPT")["cmkUuid"]}),
            "getPublicKey" => self.pair("SIGN/VERIFY"),
            "asymmetricSign" | "asymmetricVerify" | "asymmetricEncrypt" | "asymmetricDecrypt" => {
                self.asymmetric(spec.name)
            }
            "tagResources" | "untagResources" => self.tagging(spec.name),
            "enableUserAk" | "disableUserAk" | "deleteUserAk" => self.credential(spec.name),
            "describeKey"
            | "detectAssociation"
            | "listKeyVersions"
            | "listAliasByUuid"
            | "generateDataKey"
            | "generateDataKeyWithoutPlaintext" => key,
            "encrypt" => json!({"cmkUuid": self.key, "plaintext": base64("text")}),
            "decrypt" | "getDataKey" => json!({"ciphertextBlob": self.ciphertext}),
            "exportDataKey" => for_somebody(json!({"ciphertextBlob": self.ciphertext})),
            "generateAndExportDataKey" => for_somebody(key),
            "reEncrypt" => json!({"ciphertextBlob": self.ciphertext, "destinationCmkUuid": self.other}),
            "hmaccompute" => json!({"cmkUuid": self.key, "input": "text"}),
            "messageDigest" => json!({"input": "text"}),
            "listAliasKeys"
            | "listSymmetricKeys"
            | "listProductCredential"
            | "resourceInfo"
            | "listAlias"
            | "listDestroyedKeys"
            | "listAllUri"
            | "listAccount"
            | "listTagResources"
            | "listTagKeys"
            | "getRandom"
            | "listApplicationAccessPoint"
            | "describeSystem"
            | "listEvents"
            | "queryAudit"
            | "exportAudit"
            | "verifyAudit"
            | "runSelfTest"
            | "confirmClock" => json!({}),
            "advanceTime" => json!({"seconds": 1}),
            "describeAudit" => {
                let page = self.person.ok("/audit/queryAudit", json!({"pageSize": 1}));
                json!({"eventId": page["records"][0]["eventId"]})
            }
            "rollWrappingKey" => json!({"instanceId": self.account["instanceId"]}),
            "createUserAk" | "listUserAk" => json!({"accessPointId": self.account["accessPointId"]}),
            "createDefaultKey" => {
                self.forget_default_key(service);
                json!({"serviceCode": "ecs"})
            }
            "createProductCredential" => {
                // Their number is limited.
                for made in self.product_credentials() {
                    self.person.ok("/product/deleteProductCredential", json!({"accessKey": made}));
                }
                json!({"serviceCode": "ecs"})
            }
            "deleteProductCredential" => {
                let made = self.product_credentials().first().cloned();
                let fresh = || {
                    let product = json!({"serviceCode": "ecs"});
                    self.person.ok("/product/createProductCredential", product)["accessKey"].clone()
                };
                json!({"accessKey": made.unwrap_or_else(fresh)})
            }
            "describeAccount" => json!({"accountId": self.account["accountId"]}),
            "updateAccount" => {
                let other = service.tenant().1["accountId"].clone();
                json!({"accountId": other, "onDemandKeys": true})
            }
            "createAccount" => json!({"name": "one more"}),
            other => panic!("{other} is new: say here what to send, so that the disk fails under it as well"),
        }
    }

    /// An SM2 key and its first version; the same one for each usage.
    fn pair(&self, usage: &str) -> Value {
        let request = json!({"keySpec": "Ctyun_SM2", "keyUsage": usage, "clientToken": usage});
        let key = json!({"cmkUuid": self.person.ok("/cmkManage/createKey", request)["cmkUuid"]});
        let versions = self.person.ok("/versionControl/listKeyVersions", key.clone());
        json!({"cmkUuid": key["cmkUuid"], "keyVersionId": versions["keyVersions"][0]["keyVersionId"]})
    }

    /// A computation with a key pair.
    fn asymmetric(&self, operation: &str) -> Value {
        let signs = ["asymmetricSign", "asymmetricVerify"].contains(&operation);
        let usage = if signs { "SIGN/VERIFY" } else { "ENCRYPT/DECRYPT" };
        let mut body = self.pair(usage);
        body["algorithm"] = json!(if signs { "SM2DSA" } else { "SM2PKE" });
        match operation {
            "asymmetricSign" => body["digest"] = base64([7; 32]).into(),
            "asymmetricVerify" => {
                body["digest"] = base64([7; 32]).into();
                body["value"] = self.person.ok("/asymmetric/asymmetricSign", body.clone())["value"].clone();
            }
            _ => body["plaintext"] = base64("kept").into(),
        }
        if operation == "asymmetricDecrypt" {
            let sealed = self.person.ok("/asymmetric/asymmetricEncrypt", body.clone());
            body["ciphertextBlob"] = sealed["ciphertextBlob"].clone();
            body.as_object_mut().unwrap().remove("plaintext");
        }
        body
    }

    /// Brings both keys into the state before they are tagged, or untagged.
    fn tagging(&self, operation: &str) -> Value {
        let keys = json!({"resourceType": "CMK", "resourceIds": [self.key, self.other]});
        let (mut tag, mut untag) = (keys.clone(), keys);
        tag["tags"] = json!([{"tagKey": "a", "tagValue": "b"}]);
        untag["tagKeys"] = json!(["a"]);
        let (first, path, then) = match operation {
            "tagResources" => (untag, "/tag/untagResources", tag),
            _ => (tag, "/tag/tagResources", untag),
        };
        self.person.ok(path, first);
        then
    }

    /// Makes a credential in the state before the operation.
    fn credential(&self, operation: &str) -> Value {
        let point = json!({"accessPointId": self.account["accessPointId"]});
        let listed = self.person.ok("/userAk/listUserAk", point.clone());
        // One credential serves until it is deleted: their number is limited.
        let known = listed["userAks"].get(0).map(|credential| credential["accessKey"].clone());
        let access_key =
            known.unwrap_or_else(|| self.person.ok("/userAk/createUserAk", point)["accessKey"].clone());
        let body = json!({"accessKey": access_key});
        let before = if operation == "enableUserAk" { "disable" } else { "enable" };
        self.person.ok(&format!("/userAk/{before}UserAk"), body.clone());
        body
    }

    fn product_credentials(&self) -> Vec<Value> {
        let listed = self.person.ok("/product/listProductCredential", json!({}));
        let listed = listed["productCredentials"].as_array().unwrap().iter();
        listed.map(|credential| credential["accessKey"].clone()).collect()
    }

    /// Takes the default key away, which no operation does.
    fn forget_default_key(&self, service: &Service) {
        let (app, account) = (service.app(), self.account_id());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let name: AliasName = "alias/ecs".parse().unwrap();
        let Some(alias) = app.store.get::<Alias>(&(account, name)).unwrap() else { return };
        runtime.block_on(app.keys.retire(&service.internal_call(), &alias.key)).unwrap().unwrap();
        let mut changes = Changes::default();
        changes.remove(&alias, Error::AliasNotFound).unwrap();
        runtime.block_on(service.internal_call().commit(&app.store, changes)).unwrap();
    }

    /// The tenant's keys as they are stored.
    pub fn keys(&self, app: &App) -> Vec<Key> {
        all(app, &Key::of_account(self.account_id()))
    }

    /// The credentials of its access point as they are stored.
    pub fn credentials(&self, app: &App) -> Vec<Credential> {
        let point: AccessPointId = serde_json::from_value(self.account["accessPointId"].clone()).unwrap();
        all(app, &Credential::of_access_point(point))
    }

    /// Credentials that are held ready and not stored.
    pub fn deleted(&self, app: &App) -> Vec<AccessKeyId> {
        let gone = |id: &AccessKeyId| app.store.get::<Credential>(id).unwrap().is_none();
        app.credentials.published().iter().map(|credential| credential.id).filter(gone).collect()
    }

    /// Everything that is stored of the tenant; of an administrator's appliance, its tenants as well.
    pub fn facts(&self, app: &App) -> Facts {
        let mut facts = Facts::new();
        let account = self.account_id();
        note(&mut facts, "key", &self.keys(app));
        let aliases = all::<Alias>(app, &Alias::of_account(account));
        note(&mut facts, "alias", &aliases);
        let here = aliases.iter().filter(|alias| json!(alias.key) == self.key).count();
        assert_eq!(here, self.key_aliases(app), "the list of a key's aliases is in step");
        facts.insert("alias of the key".into(), here as i64);
        note(&mut facts, "credential", &self.credentials(app));
        note(&mut facts, "product credential", &all::<Credential>(app, &Credential::of_products(account)));
        note(&mut facts, "access point", &all::<AccessPoint>(app, &AccessPoint::of_account(account)));
        if self.administers {
            let accounts = all::<Account>(app, &Account::all());
            for other in accounts.iter().filter(|other| other.id != account) {
                note(&mut facts, "service", &all::<Instance>(app, &Instance::of_account(other.id)));
                note(
                    &mut facts,
                    "access point",
                    &all::<AccessPoint>(app, &AccessPoint::of_account(other.id)),
                );
                for user in all::<User>(app, &User::of_account(other.id)) {
                    note(&mut facts, "credential", &all::<Credential>(app, &Credential::of_user(user.id)));
                }
            }
            note(&mut facts, "account", &accounts);
        }
        facts
    }

    fn key_aliases(&self, app: &App) -> usize {
        let key = serde_json::from_value(self.key.clone()).unwrap();
        all::<Alias>(app, &Alias::of_key(key)).len()
    }

    fn account_id(&self) -> AccountId {
        serde_json::from_value(self.account["accountId"].clone()).unwrap()
    }
}

fn all<R: Record>(app: &App, list: &List) -> Vec<R> {
    let page = app.store.page(list, 0, 10_000).unwrap();
    assert_eq!(page.records.len() as u64, page.total, "the count of a list is its length");
    page.records
}

/// Notes each record, and each of its fields that is no id, date or wrapped secret.
fn note<R: Serialize>(facts: &mut Facts, kind: &str, records: &[R]) {
    for record in records {
        *facts.entry(format!("record {kind}")).or_default() += 1;
        note_fields(facts, kind, &serde_json::to_value(record).unwrap());
    }
}

fn note_fields(facts: &mut Facts, path: &str, value: &Value) {
    const OWN: [&str; 12] = [
        "id",
        "account",
        "instance",
        "key",
        "holder",
        "created",
        "wrapped",
        "wrapping_key",
        "secret",
        "partition",
        "name",
        // Cron warns when it comes to it.
        "told",
    ];
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
                note_fields(facts, &format!("{path}.{name}"), value);
            }
        }
        Value::Array(items) => {
            for item in items {
                *facts.entry(format!("{path}[]")).or_default() += 1;
                note_fields(facts, &format!("{path}[]"), item);
            }
        }
        plain => *facts.entry(format!("{path}={plain}")).or_default() += 1,
    }
}
