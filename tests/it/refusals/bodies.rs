//! Bodies of requests, made from the fields of the catalog: right ones, whose references are those of a tenant, and
//! values that the schema of a field does not allow.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use yaoku::api::{Field, Spec};
use yaoku::catalog::Row;
use yaoku::gateway::Gateway;
use yaoku::model::principal::Plane;
use yaoku::model::rate::RateClass;
use yaoku::model::text::NO_CONTROLS;

use super::message::{Body, Caller};
use crate::kit::{OpenApi, Service, base64, new_id, poll};
use crate::material::{Way, external};

/// Fields that an operation needs although its schema has another way to call it.
const NEEDED: &[(&str, &str)] =
    &[("rollWrappingKey", "instanceId"), ("updateRotationPolicy", "rotationInterval")];

/// Fields that mean something only together with another one.
const TOGETHER: &[(&str, &str)] = &[("tagValue", "tagKey")];

/// A tenant and what it owns.
pub struct Tenant {
    pub person: OpenApi,
    application: Caller,
    gateway: Arc<Gateway>,
    pub account: Value,
}

/// A right body, and the keys behind its fields.
pub struct Right {
    pub body: Body,
    pub keys: Vec<(String, Value)>,
}

/// What to put into a field, and the key behind it.
struct Fixture(Value, Option<Value>);

impl Tenant {
    pub fn new(service: &Service, person: OpenApi, account: Value) -> Self {
        let application = Caller::Application(service.application(&person, &account));
        Self { person, application, gateway: service.gateway(), account }
    }

    /// The tenant on a plane.
    pub fn caller(&self, plane: Plane) -> Caller {
        match plane {
            Plane::AccessPoint => self.application.clone(),
            Plane::OpenApi | Plane::Internal => Caller::Person(self.person.clone()),
        }
    }

    /// A body of the required fields with fresh resources.
    pub fn right(&self, row: &Row) -> Right {
        let mut right = Right { body: Body::new(), keys: Vec::new() };
        for field in fields(row).iter().filter(|field| field.required) {
            let Fixture(value, key) = self.fixture(field, row.spec);
            right.body.insert(field.name.clone(), value);
            right.keys.extend(key.map(|key| (field.name.clone(), key)));
        }
        if row.spec.name == "getParametersForImport" {
            let device = self.gateway.app().machine.device();
            poll("a wrapping key", || (device.spare_keys() > 0).then_some(()));
        }
        // Token and material are of the key beside them.
        if row.spec.name == "importKeyMaterial" {
            let way = Way::new(&self.person, &right.body["cmkUuid"], "RSAES_OAEP_SHA_256");
            right.body.extend(way.body(&[7; 32]).as_object().unwrap().clone());
        }
        // A version is one of the key beside it.
        if let (Some(key), Some(version)) =
            (right.body.get("cmkUuid").cloned(), right.body.get_mut("keyVersionId"))
        {
            let versions = self.person.ok("/versionControl/listKeyVersions", json!({"cmkUuid": key}));
            *version = versions["keyVersions"][0]["keyVersionId"].clone();
        }
        // So is a ciphertext that does not name its key.
        if row.spec.name == "asymmetricDecrypt" {
            let mut request = Value::Object(right.body.clone());
            request["plaintext"] = base64("kept").into();
            let sealed = self.person.ok("/asymmetric/asymmetricEncrypt", request);
            right.body.insert("ciphertextBlob".into(), sealed["ciphertextBlob"].clone());
            right.keys.retain(|(field, _)| field != "ciphertextBlob");
        }
        right
    }

    /// A value of a field that refers to something of this tenant; otherwise one that the schema allows.
    pub fn value(&self, field: &Field, spec: &Spec) -> Value {
        self.fixture(field, spec).0
    }

    fn fixture(&self, field: &Field, spec: &Spec) -> Fixture {
        let fresh = || format!("alias/{}", new_id());
        match field.name.as_str() {
            "cmkUuid" if spec.paths.iter().any(|path| path.starts_with("/importKey/")) => {
                let key = external(&self.person, "AES_256");
                Fixture(key.clone(), Some(key))
            }
            "importToken" => {
                let key = external(&self.person, "AES_256");
                Fixture(Way::new(&self.person, &key, "RSAES_OAEP_SHA_256").token, None)
            }
            "cmkUuid" | "destinationCmkUuid" | "sourceCmkUuid" => {
                let key = self.key_for(spec)["cmkUuid"].clone();
                if spec.name == "cancelKeyDeletion" {
                    let window = json!({"cmkUuid": key, "pendingWindowInDays": 7});
                    self.person.ok("/cmkManage/scheduleKeyDeletion", window);
                }
                Fixture(key.clone(), Some(key))
            }
            "enableAutomaticRotation" if field.required => Fixture(json!(true), None),
            "keyVersionId" | "sourceKeyVersionId" => Fixture(self.key()["primaryKeyVersion"].clone(), None),
            "algorithm" if signs(spec) => Fixture(json!("SM2DSA"), None),
            "algorithm" => Fixture(json!("SM2PKE"), None),
            "aliasName" if spec.name.starts_with("create") => Fixture(fresh().into(), None),
            "aliasName" => {
                let name = fresh();
                let key =
                    self.person.ok("/cmkManage/createKey", json!({"aliasName": name}))["cmkUuid"].clone();
                Fixture(name.into(), Some(key))
            }
            "ciphertextBlob" => {
                let key = self.key()["cmkUuid"].clone();
                let request = json!({"cmkUuid": key, "plaintext": base64("kept")});
                Fixture(self.person.ok("/keyCompute/encrypt", request)["ciphertextBlob"].clone(), Some(key))
            }
            "resourceIds" => {
                let key = self.key()["cmkUuid"].clone();
                Fixture(json!([key]), Some(key))
            }
            "instanceId" => Fixture(self.account["instanceId"].clone(), None),
            "accessPointId" => Fixture(self.account["accessPointId"].clone(), None),
            "accessKey" if spec.name == "deleteProductCredential" => {
                let product = json!({"serviceCode": "ecs"});
                Fixture(
                    self.person.ok("/product/createProductCredential", product)["accessKey"].clone(),
                    None,
                )
            }
            "accountId" => Fixture(self.account["accountId"].clone(), None),
            "accessKey" => {
                let point = json!({"accessPointId": self.account["accessPointId"]});
                Fixture(self.person.ok("/userAk/createUserAk", point)["accessKey"].clone(), None)
            }
            "eventId" => {
                let page = self.person.ok("/audit/queryAudit", json!({"pageSize": 1}));
                Fixture(page["records"][0]["eventId"].clone(), None)
            }
            _ => Fixture(sample(&field.schema), None),
        }
    }

    fn key(&self) -> Value {
        self.person.ok("/cmkManage/createKey", json!({}))
    }

    /// A key of the kind that the operation works with.
    fn key_for(&self, spec: &Spec) -> Value {
        let pair = spec.rate == RateClass::Asymmetric || spec.name == "createKeyVersion";
        let usage = if signs(spec) { "SIGN/VERIFY" } else { "ENCRYPT/DECRYPT" };
        match pair {
            true => {
                self.person.ok("/cmkManage/createKey", json!({"keySpec": "Ctyun_SM2", "keyUsage": usage}))
            }
            false => self.key(),
        }
    }
}

/// Whether an operation needs a key for SIGN/VERIFY.
pub fn signs(spec: &Spec) -> bool {
    ["asymmetricSign", "asymmetricVerify"].contains(&spec.name)
}

/// The fields of an operation.
pub fn fields(row: &Row) -> Vec<Field> {
    let mut fields = row.fields();
    for field in &mut fields {
        field.required |= NEEDED.contains(&(row.spec.name, &field.name));
    }
    fields
}

/// The body with another value in a field, and with the fields that it needs beside it.
pub fn changed(body: &Body, field: &str, value: Value) -> Body {
    let mut body = body.clone();
    for (_, other) in TOGETHER.iter().filter(|(name, _)| *name == field) {
        body.entry(*other).or_insert(json!("demo"));
    }
    body.insert(field.to_owned(), value);
    body
}

/// A value of the form of a reference that refers to nothing.
pub fn nowhere(field: &Field) -> Option<Value> {
    match field.name.as_str() {
        "ciphertextBlob" => None,
        "aliasName" => Some(json!("alias/none")),
        "instanceId" => Some(json!("ins-AAAAAA")),
        "accessKey" | "accountId" => Some(json!(new_id().replace('-', ""))),
        "importToken" => Some(json!(base64([9; 16]))),
        "resourceIds" => Some(json!([new_id()])),
        _ => Some(json!(new_id())),
    }
}

/// A value that a schema allows.
fn sample(schema: &Map<String, Value>) -> Value {
    let first =
        |name: &str| schema.get(name).and_then(Value::as_array).and_then(|list| list.first()).cloned();
    if let Some(value) = first("examples").or_else(|| first("enum")) {
        return value;
    }
    match kinds(schema).first() {
        Some(&"array") => json!([part(schema, "items").map_or(Value::Null, |items| sample(&items))]),
        Some(&"object") => {
            let properties = part(schema, "properties").unwrap_or_default();
            let values = properties
                .iter()
                .filter_map(|(name, schema)| Some((name.clone(), sample(schema.as_object()?))));
            Value::Object(values.collect())
        }
        Some(&"boolean") => json!(true),
        Some(&"integer") => json!(1),
        _ => json!("demo"),
    }
}

/// The first and last values that a schema allows; texts that have a form beside their length have no such ends.
pub fn ends(field: &Field) -> Vec<(&'static str, Value)> {
    let number = |name: &str| field.schema.get(name).and_then(Value::as_i64);
    let free = field.schema.get("pattern").is_none_or(|pattern| *pattern == NO_CONTROLS);
    let free = free && !["cursor", "regionId"].contains(&field.name.as_str());
    let longest = number("maxLength").filter(|_| free).map(|most| json!("x".repeat(size(most))));
    let ends = [("least", number("minimum").map(Value::from)), ("most", number("maximum").map(Value::from))];
    ends.into_iter().chain([("longest", longest)]).filter_map(|(what, end)| Some((what, end?))).collect()
}

/// Values that a schema does not allow, each with what is wrong about it.
pub fn wrong(schema: &Map<String, Value>) -> Vec<(String, Value)> {
    let mut wrong = Vec::new();
    let mut add = |what: &str, value: Value| wrong.push((what.to_owned(), value));
    let kinds = kinds(schema);
    let number = |name: &str| schema.get(name).and_then(Value::as_i64);
    for (kind, name, value) in [
        ("integer", "number", json!(7.5)),
        ("boolean", "boolean", json!(true)),
        ("array", "list", json!([1])),
        ("object", "object", json!({"a": 1})),
        ("string", "text", json!("neither")),
    ] {
        if !kinds.contains(&kind) {
            add(name, value);
        }
    }
    if let Some(least) = number("minimum") {
        add("below", json!(least - 1));
        add("negative", json!(-1));
    }
    if let Some(most) = number("maximum") {
        add("above", json!(most + 1));
    }
    if let Some(least) = number("minLength").filter(|least| *least > 1) {
        add("too short", json!("x".repeat(size(least) - 1)));
    }
    if let Some(most) = number("maxLength") {
        add("too long", json!("x".repeat(size(most) + 1)));
    }
    if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
        let wrong = if pattern == NO_CONTROLS { "a\u{1}b" } else { "\u{94a5} !" };
        add("pattern", json!(wrong));
        let right = sample(schema);
        let right = right.as_str().unwrap_or_default();
        add("line", json!(format!("{right}\n")));
        // A pattern that ends in a count has a longest text.
        if pattern.ends_with("}$") || pattern.ends_with("})$") {
            add("too long", json!(format!("{right}{}", "a".repeat(300))));
        }
    }
    if schema.get("format") == Some(&json!("uuid")) {
        add("no UUID", json!("f47ac10b"));
    }
    if schema.contains_key("enum") {
        add("no such name", json!("nonsense"));
    }
    if schema.get("contentEncoding") == Some(&json!("base64")) {
        add("no Base64", json!("-_-_"));
        add("no padding", json!("YWJjZA"));
    }
    wrong.extend(wrong_inside(schema));
    wrong
}

/// Lists and objects whose parts are not allowed.
fn wrong_inside(schema: &Map<String, Value>) -> Vec<(String, Value)> {
    let mut inside = Vec::new();
    if let Some(items) = part(schema, "items") {
        if schema.contains_key("minItems") {
            inside.push(("no item".to_owned(), json!([])));
        }
        if let Some(most) = schema.get("maxItems").and_then(Value::as_i64) {
            let many = (0..=most).map(|number| numbered(&sample(&items), number));
            inside.push(("too many".to_owned(), Value::Array(many.collect())));
        }
        inside.extend(wrong(&items).into_iter().map(|(what, item)| (format!("item {what}"), json!([item]))));
    }
    let right = sample(schema);
    for (name, property) in part(schema, "properties").unwrap_or_default() {
        let Some(property) = property.as_object() else { continue };
        for (what, value) in wrong(property) {
            let mut spoiled = right.clone();
            spoiled[&name] = value;
            inside.push((format!("{name} {what}"), spoiled));
        }
        if schema.get("required").and_then(Value::as_array).is_some_and(|names| names.contains(&json!(name)))
        {
            let mut spoiled = right.clone();
            spoiled.as_object_mut().unwrap().remove(&name);
            inside.push((format!("{name} missing"), spoiled));
        }
    }
    if let Some(values) = part(schema, "additionalProperties") {
        let spoil = |(what, value)| (format!("value {what}"), json!({"demo": value}));
        inside.extend(wrong(&values).into_iter().map(spoil));
    }
    inside
}

/// The value with another text in it for every number, so that a list of them has no two alike.
fn numbered(value: &Value, number: i64) -> Value {
    match value {
        Value::String(text) => json!(format!("{text}{number}")),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(name, value)| (name.clone(), numbered(value, number))).collect(),
        ),
        other => other.clone(),
    }
}

fn part(schema: &Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    schema.get(name).and_then(Value::as_object).cloned()
}

fn kinds(schema: &Map<String, Value>) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(kind)) => vec![kind],
        _ => vec!["string"],
    }
}

fn size(number: i64) -> usize {
    usize::try_from(number).unwrap()
}
