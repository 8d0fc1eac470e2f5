//! The body of a call: what `--json` gives, and over it each `--field name=value`, typed by the field's schema.

use std::fs::File;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::exit::{Usage, closest};
use super::operation::{is_base64, types};
use crate::api::{Field, common_fields};
use crate::catalog::Row;

/// Largest file or standard input that is read into a request; the service takes far less.
const INPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why there is no body.
type Refusal = Box<dyn std::error::Error>;

/// Puts the body of a call together. `json` is an object, `@FILE` or `-`; `pairs` are texts such as `pageSize=20`.
pub fn body(row: &Row, json: Option<&str>, pairs: &[String]) -> Result<Value, Refusal> {
    let from_stdin = |pair: &&String| pair.split_once('=').is_some_and(|(_, value)| value == "@-");
    if pairs.iter().filter(from_stdin).count() + usize::from(matches!(json, Some("-" | "@-"))) > 1 {
        return Err(usage("standard input can be read once only".into()));
    }
    let mut body = json.map_or(Ok(Map::new()), object)?;
    let (mut fields, mut named) = (row.fields(), Vec::new());
    fields.extend(common_fields());
    for pair in pairs {
        let Some((name, text)) = pair.split_once('=') else {
            return Err(usage(format!("--field {pair}: give a name and a value, such as pageSize=20")));
        };
        let field = fields.iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| unknown(row, name, &fields))?;
        if named.contains(&name) {
            return Err(usage(format!("--field {name} is given twice")));
        }
        named.push(name);
        body.insert(name.to_owned(), value(field, text)?);
    }
    Ok(Value::Object(body))
}

fn usage(text: String) -> Refusal {
    Box::new(Usage(text))
}

fn unknown(row: &Row, name: &str, fields: &[Field]) -> Refusal {
    let names = || fields.iter().map(|field| field.name.as_str());
    let like = closest(name, names()).map_or(String::new(), |like| format!("did you mean {like}? "));
    let names = names().collect::<Vec<_>>().join(", ");
    usage(format!("{} has no field {name}; {like}it has {names}", row.spec.name))
}

fn object(text: &str) -> Result<Map<String, Value>, Refusal> {
    let read = match (text, text.strip_prefix('@')) {
        ("-", _) => input("-")?,
        (_, Some(path)) => input(path)?,
        (_, None) => Zeroizing::new(text.as_bytes().to_vec()),
    };
    let body: Value = serde_json::from_slice(&read).map_err(|error| usage(format!("--json: {error}")))?;
    match body {
        Value::Object(fields) => Ok(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(usage("--json: give an object, such as '{\"cmkUuid\":\"alias/demo\"}'".into()))
        }
    }
}

/// The value of a field. `@FILE` is what a file holds, `@-` what standard input does, `@@` stands for one `@`.
fn value(field: &Field, text: &str) -> Result<Value, Refusal> {
    let schema = Value::Object(field.schema.clone());
    let text = match text.strip_prefix('@') {
        Some(rest) if rest.starts_with('@') => Zeroizing::new(rest.to_owned()),
        None => Zeroizing::new(text.to_owned()),
        Some(path) => {
            let bytes = input(path)?;
            if is_base64(&schema) {
                return Ok(STANDARD.encode(&*bytes).into());
            }
            let text = std::str::from_utf8(&bytes).map_err(|_| format!("{path} is no UTF-8 text"))?;
            Zeroizing::new(text.to_owned())
        }
    };
    let kinds = types(&schema);
    if let Some(value) = kinds.iter().find_map(|kind| of_type(kind, &text)) {
        return Ok(value);
    }
    let forms: Vec<&str> = kinds.iter().map(|kind| form(kind)).collect();
    Err(usage(format!("--field {}: give {}", field.name, forms.join(" or "))))
}

/// The text as a value of this type, if it is one.
fn of_type(kind: &str, text: &str) -> Option<Value> {
    let json = || serde_json::from_str::<Value>(text.trim()).ok();
    match kind {
        "boolean" => json().filter(Value::is_boolean),
        "integer" => json().filter(|value| value.is_i64() || value.is_u64()),
        "array" => json().filter(Value::is_array),
        "object" => json().filter(Value::is_object),
        _ => Some(text.into()),
    }
}

fn form(kind: &str) -> &str {
    match kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "array" => "a list in JSON",
        "object" => "an object in JSON",
        other => other,
    }
}

/// What a file or standard input holds.
fn input(path: &str) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let refused = |error: io::Error| format!("cannot read {path}: {error}");
    let mut bytes = Zeroizing::new(Vec::new());
    let length = match path {
        "-" => io::stdin().lock().take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes),
        _ => File::open(path).map_err(refused)?.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes),
    };
    if length.map_err(refused)? as u64 > INPUT_BYTES_MAX {
        return Err(format!("{path} has more than {INPUT_BYTES_MAX} bytes").into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::catalog::by_name;

    fn read(operation: &str, json: Option<&str>, pairs: &[&str]) -> Result<Value, String> {
        let pairs: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
        body(by_name(operation).unwrap(), json, &pairs).map_err(|error| error.to_string())
    }

    #[test]
    fn values_have_the_types_of_their_fields() {
        for (operation, pair, expected) in [
            ("listAliasKeys", "pageSize=20", json!({"pageSize": 20})),
            ("createKey", "enableAutomaticRotation=true", json!({"enableAutomaticRotation": true})),
            ("createKey", "description=7", json!({"description": "7"})),
            ("createKey", "description=", json!({"description": ""})),
            ("createKey", "description=a=b", json!({"description": "a=b"})),
            ("createKey", "description=@@home", json!({"description": "@home"})),
            ("createKey", "rotationInterval=90d", json!({"rotationInterval": "90d"})),
            ("encrypt", r#"encryptionContext={"a":"b"}"#, json!({"encryptionContext": {"a": "b"}})),
            ("createKey", "clientToken=t", json!({"clientToken": "t"})),
        ] {
            assert_eq!(read(operation, None, &[pair]), Ok(expected), "{pair}");
        }
    }

    #[test]
    fn values_of_another_type_are_refused() {
        for (operation, pair, reason) in [
            ("listAliasKeys", "pageSize=many", "give a whole number"),
            ("listAliasKeys", "pageSize=1.5", "give a whole number"),
            ("createKey", "enableAutomaticRotation=yes", "give true or false"),
            ("encrypt", "encryptionContext=a", "give an object in JSON"),
            ("encrypt", "encryptionContext=[]", "give an object in JSON"),
            ("createKey", "description", "give a name and a value"),
            ("createKey", "=x", "has no field"),
        ] {
            let refused = read(operation, None, &[pair]).unwrap_err();
            assert!(refused.contains(reason), "{pair}: {refused}");
        }
    }

    #[test]
    fn a_field_wins_over_the_json_and_is_given_once() {
        let json = Some(r#"{"pageSize":5,"other":1}"#);
        assert_eq!(read("listAliasKeys", json, &["pageSize=6"]), Ok(json!({"pageSize": 6, "other": 1})));
        assert!(read("listAliasKeys", None, &["pageSize=6", "pageSize=6"]).unwrap_err().contains("twice"));
    }
}
