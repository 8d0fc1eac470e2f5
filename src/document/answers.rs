//! Answers of the document: the result of an operation in the form of its plane, and every code that may stand there
//! instead (contract sections 3 and 4).

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::api::Field;
use crate::catalog::Row;
use crate::config::{EnvelopeForm, OpenApi};
use crate::error::{Error, Wire, missing};
use crate::gateway::BODY_BYTES_MAX;
use crate::model::principal::Plane;

/// How a plane answers.
pub struct Answers<'a> {
    /// The plane.
    pub plane: Plane,
    /// The settings that shape the answers of OpenAPI.
    pub settings: &'a OpenApi,
}

/// What may refuse every call, whatever it asks for.
fn always(plane: Plane) -> Vec<Error> {
    let mut errors = vec![
        Error::SignatureMismatch,
        Error::AccessKeyNotFound,
        Error::AccessKeyDisabled,
        Error::TimeSkewed,
        Error::NoPermission,
        Error::Throttled(Duration::ZERO),
        Error::TooLarge(BODY_BYTES_MAX),
        Error::internal("example"),
        Error::Unavailable("the service is temporarily unavailable; retry in a moment"),
    ];
    if plane == Plane::OpenApi {
        errors.push(Error::Replayed);
    }
    errors
}

/// What may refuse an operation because of its fields: of every field that it may not be empty, of some that what they
/// name is not there.
fn of_fields(row: &Row, fields: &[Field]) -> Vec<Error> {
    let mut errors = vec![Error::InvalidBody("a field or the body is malformed or out of range")];
    errors.push(Error::ResourceNotFound("service"));
    for field in fields {
        if !accepts_empty(field) {
            errors.push(row.missing(field));
        }
        match field.name.as_str() {
            "ciphertextBlob" => errors.extend([Error::InvalidCiphertext, Error::KeyNotFound]),
            "aliasName" if !row.spec.name.starts_with("create") => errors.push(Error::AliasNotFound),
            // Keys are the resources that have tags.
            name if name == "resourceIds" || name.to_ascii_lowercase().ends_with("cmkuuid") => {
                errors.extend([Error::KeyNotFound, Error::AliasNotFound]);
            }
            _ => {}
        }
    }
    errors
}

/// Whether an empty text is a value of the field.
fn accepts_empty(field: &Field) -> bool {
    let text = field.schema.get("type").is_some_and(|kind| kind == "string");
    let limited = ["enum", "contentSchema", "contentEncoding", "format"]
        .iter()
        .any(|name| field.schema.contains_key(*name));
    text && !limited && field.schema.get("minLength") == Some(&json!(0))
}

/// Facts of every code that a plane may answer.
pub fn codes(plane: Plane) -> Value {
    let mut codes = BTreeMap::new();
    let mut errors = always(plane);
    errors.extend([Error::OperationNotFound, Error::MethodNotAllowed("POST")]);
    for row in super::rows(plane, true) {
        errors.extend(of_fields(row, &super::requests::fields(row, plane)));
        errors.extend(row.refusals.iter().cloned());
    }
    for error in errors {
        let wire = error.wire();
        codes.insert(
            wire.code,
            json!({
                "httpStatus": wire.status, "error": wire.symbol, "description": wire.description,
                "message": message(&error, &wire),
            }),
        );
    }
    json!(codes)
}

/// The text of a code, where it is always the same.
fn message(error: &Error, wire: &Wire) -> Value {
    let varies = matches!(
        error,
        Error::Unsupported(_)
            | Error::UnsupportedOrigin(_)
            | Error::UnsupportedLevel(_)
            | Error::LimitExceeded(..)
            | Error::ResourceNotFound(_)
            | Error::InvalidField(..)
            | Error::InvalidBody(_)
            | Error::Throttled(_)
            | Error::Unavailable(_)
    );
    if varies {
        return Value::Null;
    }
    if let Error::MissingField(field) = error { missing(field).1.into() } else { wire.message.clone().into() }
}

impl Answers<'_> {
    fn form(&self) -> Form {
        match (self.plane, self.settings.envelope) {
            (Plane::OpenApi, EnvelopeForm::Gateway) => Form::Gateway,
            (Plane::OpenApi, EnvelopeForm::Bare) => Form::Bare,
            (Plane::AccessPoint | Plane::Internal, _) => Form::AccessPoint,
        }
    }

    /// The HTTP status under which an error comes here.
    fn status(&self, wire: &Wire) -> u16 {
        let hidden = self.plane == Plane::OpenApi && self.settings.hides_status() && wire.is_business();
        if hidden { 200 } else { wire.status }
    }

    fn by_status(&self, errors: &[Error]) -> BTreeMap<u16, Vec<&'static str>> {
        let mut found: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
        for wire in errors.iter().map(Error::wire) {
            found.entry(self.status(&wire)).or_default().push(wire.code);
        }
        for codes in found.values_mut() {
            codes.sort_unstable();
            codes.dedup();
        }
        found
    }

    /// The responses of an operation by HTTP status.
    pub fn of(&self, row: &Row, fields: &[Field], result: &Value) -> Value {
        let shared = self.by_status(&always(self.plane));
        let mut errors = always(self.plane);
        errors.extend(of_fields(row, fields));
        errors.extend(row.refusals.iter().cloned());
        let mut failures = self.by_status(&errors);
        let mut responses = Map::new();
        let success = self.success(result);
        responses.insert(
            "200".into(),
            match failures.remove(&200) {
                None => response("成功 · Success", success),
                Some(codes) => response(
                    "成功或业务错误 · Success, or a business error: `statusCode` tells",
                    json!({ "oneOf": [success, self.failure(&codes)] }),
                ),
            },
        );
        for (status, codes) in failures {
            let answer = match shared.get(&status) {
                Some(common) if *common == codes => {
                    json!({ "$ref": format!("#/components/responses/{}", shared_name(status)) })
                }
                Some(_) | None => self.refusal(status, &codes),
            };
            responses.insert(status.to_string(), answer);
        }
        responses.into()
    }

    /// The responses that operations have in common.
    pub fn shared(&self) -> Value {
        let shared = self.by_status(&always(self.plane));
        shared
            .iter()
            .map(|(status, codes)| (shared_name(*status).to_owned(), self.refusal(*status, codes)))
            .collect()
    }

    fn refusal(&self, status: u16, codes: &[&str]) -> Value {
        let mut refusal = response(&title(status), self.failure(codes));
        if status == 429 {
            refusal["headers"] = json!({ "Retry-After": {
                "description": "Seconds to wait.", "schema": { "type": "integer", "minimum": 1 },
            } });
        }
        refusal
    }

    fn success(&self, result: &Value) -> Value {
        let place = match self.form() {
            Form::Gateway => json!({ "returnObj": { "properties": { "result": result } } }),
            Form::Bare => json!({ "result": result }),
            Form::AccessPoint => json!({ "data": result }),
        };
        json!({ "allOf": [{ "$ref": "#/components/schemas/Success" }, { "properties": place }] })
    }

    fn failure(&self, codes: &[&str]) -> Value {
        let field = match self.form() {
            Form::Gateway | Form::AccessPoint => "errorCode",
            Form::Bare => "code",
        };
        json!({ "allOf": [
            { "$ref": "#/components/schemas/Failure" }, { "properties": { field: { "enum": codes } } },
        ] })
    }

    /// The forms around results and errors.
    pub fn schemas(&self) -> Map<String, Value> {
        let bare_success = object(json!({
            "code": { "const": 200 }, "result": { "type": "object" }, "statusCode": { "const": 200 },
            "success": { "const": 1 },
        }));
        let bare_failure = object(json!({
            "code": code(), "message": message_schema(), "statusCode": status_schema(),
            "success": { "const": 0 }, "requestId": request_id(),
        }));
        let (success, failure) = match self.form() {
            Form::Gateway => (
                object(json!({ "statusCode": { "const": 800 }, "returnObj": bare_success })),
                object(json!({
                    "statusCode": { "const": 900 }, "errorCode": code(), "error": symbol(), "message": message_schema(),
                    "description": { "type": "string", "description": "The message in Chinese." },
                    "requestId": request_id(), "returnObj": bare_failure,
                })),
            ),
            Form::Bare => (bare_success, bare_failure),
            Form::AccessPoint => (
                object(json!({ "code": { "const": 200 }, "data": { "type": "object" } })),
                object(json!({
                    "code": status_schema(), "errorCode": code(), "message": message_schema(), "data": { "type": "null" },
                    "requestId": request_id(),
                })),
            ),
        };
        [("Success".to_owned(), success), ("Failure".to_owned(), failure)].into_iter().collect()
    }
}

/// The form of answers.
enum Form {
    Gateway,
    Bare,
    AccessPoint,
}

fn object(properties: Value) -> Value {
    let required: Vec<String> = properties.as_object().into_iter().flat_map(Map::keys).cloned().collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

fn code() -> Value {
    json!({
        "type": "string", "pattern": "^KMS\\.[0-9]{4}$", "examples": ["KMS.9001"],
        "description": "The code; `x-error-codes` lists all.",
    })
}

fn symbol() -> Value {
    json!({ "type": "string", "examples": ["Forbidden.KeyNotFound"], "description": "The code in words." })
}

fn message_schema() -> Value {
    json!({ "type": "string", "examples": ["there is no such key"], "description": "What is wrong and what to do." })
}

fn status_schema() -> Value {
    json!({ "type": "integer", "minimum": 400, "maximum": 599, "examples": [404], "description": "The real HTTP status." })
}

fn request_id() -> Value {
    json!({
        "type": "string", "examples": ["27cfe4dc-e640-45f6-92ca-492ca73e8680"],
        "description": "The id under which the audit trail knows the call.",
    })
}

fn response(description: &str, schema: Value) -> Value {
    json!({ "description": description, "content": { "application/json": { "schema": schema } } })
}

fn shared_name(status: u16) -> &'static str {
    match status {
        401 => "Unauthenticated",
        403 => "Forbidden",
        413 => "TooLarge",
        429 => "Throttled",
        500 => "InternalFailure",
        _ => "Unavailable",
    }
}

fn title(status: u16) -> String {
    let (zh, en) = match status {
        400 => ("请求无效", "Bad request"),
        401 => ("未通过认证", "Not authenticated"),
        403 => ("禁止访问", "Forbidden"),
        404 => ("不存在", "Not found"),
        409 => ("状态冲突", "The state forbids it"),
        413 => ("请求体过大", "Too large"),
        429 => ("请求过于频繁", "Too many requests"),
        500 => ("服务内部错误", "Internal failure"),
        _ => ("服务暂时不可用", "Temporarily unavailable"),
    };
    format!("{zh} · {en}")
}
