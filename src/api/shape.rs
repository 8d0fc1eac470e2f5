//! The shapes of requests and results as JSON Schema (draft 2020-12): what the API document, the command line and the
//! generated refusal tests are made from. Names, limits and examples follow from the types.

use schemars::generate::{Contract, SchemaSettings};
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema as _, Schema, SchemaGenerator};
use serde_json::{Map, Value};

use super::call::Common;

/// One request field of an operation.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name on the wire.
    pub name: String,
    /// Whether the operation cannot do without.
    pub required: bool,
    /// Its type, limits, description and examples as a JSON Schema without references.
    pub schema: Map<String, Value>,
}

impl Field {
    /// A value that the schema names as an example.
    pub fn example(&self) -> Option<&Value> {
        self.schema.get("examples")?.as_array()?.first()
    }

    /// What the field is, in words.
    pub fn description(&self) -> &str {
        self.schema.get("description").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The fields of a request, in the order of their names; those that every operation understands are not among them.
pub fn fields(request: fn(&mut SchemaGenerator) -> Schema) -> Vec<Field> {
    fields_of(request(&mut generator()))
}

/// Fields that every operation understands (contract section 1).
pub fn common_fields() -> Vec<Field> {
    fields_of(Common::json_schema(&mut generator()))
}

/// What a request's type says of itself, in words.
pub fn description(request: fn(&mut SchemaGenerator) -> Schema) -> String {
    request(&mut generator()).get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Makes schemas of requests without references.
fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.contract = Contract::Deserialize;
    settings.into_generator()
}

fn fields_of(mut schema: Schema) -> Vec<Field> {
    simplify(&mut schema);
    let required: Vec<String> = strings(schema.get("required"));
    let Some(Value::Object(properties)) = schema.get("properties") else { return Vec::new() };
    let field = |(name, schema): (&String, &Value)| Field {
        name: name.clone(),
        required: required.contains(name),
        schema: schema.as_object().cloned().unwrap_or_default(),
    };
    properties.iter().map(field).collect()
}

fn strings(list: Option<&Value>) -> Vec<String> {
    let list = list.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Writes a schema the way people read it: a choice of names is an `enum`, and what may be left out is not also `null`.
pub fn simplify(schema: &mut Schema) {
    RecursiveTransform(|schema: &mut Schema| {
        without_null(schema);
        names_as_enum(schema);
    })
    .transform(schema);
}

/// Writes the schema of a result the way people read it: a choice of names is an `enum`, and what is left out where it is
/// not known is not also `null`.
pub fn simplify_result(schema: &mut Schema) {
    RecursiveTransform(|schema: &mut Schema| {
        names_as_enum(schema);
        let required = strings(schema.get("required"));
        let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
        for (_, property) in properties.iter_mut().filter(|(name, _)| !required.contains(name)) {
            if let Ok(property) = <&mut Schema>::try_from(property) {
                without_null(property);
            }
        }
    })
    .transform(schema);
}

/// `oneOf` of constants becomes an `enum`.
fn names_as_enum(schema: &mut Schema) {
    let Some(Value::Array(choices)) = schema.get("oneOf") else { return };
    let constant = |choice: &Value| match (choice.get("const"), choice.get("enum")) {
        (Some(name), _) => Some(vec![name.clone()]),
        (None, Some(Value::Array(names))) => Some(names.clone()),
        (None, _) => None,
    };
    let Some(names) = choices.iter().map(constant).collect::<Option<Vec<_>>>() else { return };
    let names: Vec<Value> = names.concat();
    schema.remove("oneOf");
    schema.insert("type".into(), "string".into());
    schema.insert("enum".into(), names.into());
}

/// An optional field is one that may be absent; that `null` means the same is said once in the document.
fn without_null(schema: &mut Schema) {
    let null = Value::from("null");
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|kind| *kind != null);
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(names)) = schema.get_mut("enum") {
        names.retain(|name| !name.is_null());
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type") != Some(&null));
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (name, value) in only {
                if schema.get(&name).is_none() {
                    schema.insert(name, value);
                }
            }
        }
    }
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
}
