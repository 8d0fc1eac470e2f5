//! Request fields of the document: the body of a POST and the query of a GET. Fields stand in their canonical form;
//! what else is read is said once, above all operations.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::api::{FIELDS_MAX, Field, common_fields};
use crate::catalog::Row;
use crate::model::principal::Plane;

/// The fields of an operation with those that every operation understands, by name.
pub fn fields(row: &Row, plane: Plane) -> Vec<Field> {
    let mut fields = row.fields();
    let creates = row.spec.name.starts_with("create");
    for field in common_fields() {
        let known = fields.iter().any(|own| own.name == field.name);
        if !known && (creates || field.name != "clientToken") {
            fields.push(field);
        }
    }
    fields.sort_by(|one, other| one.name.cmp(&other.name));
    if plane == Plane::AccessPoint {
        fields.iter_mut().for_each(flatten);
    }
    fields
}

/// On access points lists and objects have no signed form: there they are strings of JSON (contract 2.2).
fn flatten(field: &mut Field) {
    if !is_nested(&field.schema) {
        return;
    }
    let mut inner = std::mem::take(&mut field.schema);
    let text = |value: Value| Value::from(value.to_string());
    let examples = inner.remove("examples");
    let examples =
        examples.and_then(|list| Some(list.as_array()?.iter().cloned().map(text).collect::<Vec<_>>()));
    let mut outer = Map::new();
    for (name, value) in [
        ("description", inner.remove("description")),
        ("examples", examples.map(Value::from)),
        ("default", inner.remove("default").map(text)),
        ("x-also-named", inner.remove("x-also-named")),
        ("type", Some("string".into())),
        ("contentMediaType", Some("application/json".into())),
        ("contentSchema", Some(inner.into())),
    ] {
        if let Some(value) = value {
            outer.insert(name.to_owned(), value);
        }
    }
    field.schema = outer;
}

fn is_nested(schema: &Map<String, Value>) -> bool {
    schema.get("type").is_some_and(|kind| kind == "array" || kind == "object")
}

/// The schema of a body.
pub fn body(fields: &[Field], plane: Plane) -> Value {
    let required: Vec<&str> =
        fields.iter().filter(|field| field.required).map(|field| &*field.name).collect();
    let properties: Map<String, Value> =
        fields.iter().map(|field| (field.name.clone(), field.schema.clone().into())).collect();
    let mut body = json!({ "type": "object", "properties": properties, "maxProperties": FIELDS_MAX });
    if !required.is_empty() {
        body["required"] = required.into();
    }
    if plane == Plane::AccessPoint {
        body["additionalProperties"] = json!({ "type": ["string", "number", "boolean", "null"] });
    }
    body
}

/// The parameters of a query.
pub fn parameters(fields: &[Field]) -> Vec<Value> {
    let parameter = |field: &Field| {
        let mut schema = field.schema.clone();
        let description = schema.remove("description");
        let mut parameter = json!({ "name": field.name, "in": "query", "required": field.required });
        if let Some(description) = description {
            parameter["description"] = description;
        }
        match is_nested(&schema) {
            true => parameter["content"] = json!({ "application/json": { "schema": schema } }),
            false => parameter["schema"] = schema.into(),
        }
        parameter
    };
    fields.iter().map(parameter).collect()
}

/// A body of the required fields alone.
pub fn example(fields: &[Field]) -> Value {
    let examples = fields.iter().filter(|field| field.required);
    examples.filter_map(|field| Some((field.name.clone(), field.example()?.clone()))).collect()
}

/// What the operation does, in the words of its type.
pub fn description(row: &Row) -> String {
    let schema = (row.request)(&mut SchemaSettings::draft2020_12().into_generator());
    schema.get("description").and_then(Value::as_str).unwrap_or_default().to_owned()
}
