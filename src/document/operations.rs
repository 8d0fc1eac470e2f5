//! Paths and operations of the document: one row of the catalog becomes a POST and, where it reads, a GET.

use schemars::SchemaGenerator;
use serde_json::{Map, Value, json};

use super::answers::Answers;
use super::requests;
use crate::api::Access;
use crate::catalog::Row;
use crate::model::principal::{Audience, Plane};
use crate::model::rate::RateClass;

/// Adds the paths of a row, and the schemas that it brings.
pub fn describe(
    row: &Row,
    answers: &Answers,
    results: &mut SchemaGenerator,
    paths: &mut Map<String, Value>,
    schemas: &mut Map<String, Value>,
) {
    let plane = answers.plane;
    let fields = requests::fields(row, plane);
    let request = request_name(row);
    schemas.insert(request.clone(), requests::body(&fields, plane));
    let result = super::readable((row.result)(results).to_value());
    let responses = answers.of(row, &fields, &result);
    for (number, path) in row.spec.paths.iter().enumerate() {
        let id = match number {
            0 => row.spec.name.to_owned(),
            further => format!("{}{}", row.spec.name, further + 1),
        };
        let mut item = Map::new();
        let mut post = common(row, &id, number > 0, &responses);
        let required = fields.iter().any(|field| field.required);
        post.insert(
            "requestBody".into(),
            json!({
                "required": required,
                "content": { "application/json": {
                    "schema": { "$ref": format!("#/components/schemas/{request}") },
                    "example": requests::example(&fields),
                } },
            }),
        );
        item.insert("post".into(), post.into());
        if row.spec.access == Access::Read {
            let mut get = common(row, &format!("{id}ByGet"), number > 0, &responses);
            get.insert("parameters".into(), requests::parameters(&fields).into());
            item.insert("get".into(), get.into());
        }
        let prefix = match plane {
            Plane::OpenApi => "/v1",
            Plane::AccessPoint | Plane::Internal => "",
        };
        paths.insert(format!("{prefix}{path}"), item.into());
    }
}

/// `CreateKeyRequest` of `createKey`.
fn request_name(row: &Row) -> String {
    let (first, rest) = row.spec.name.split_at(1);
    format!("{}{rest}Request", first.to_ascii_uppercase())
}

/// What POST and GET have in common.
fn common(row: &Row, id: &str, deprecated: bool, responses: &Value) -> Map<String, Value> {
    let spec = row.spec;
    let planes: Vec<&str> = [(Plane::OpenApi, "openapi"), (Plane::AccessPoint, "accessPoint")]
        .into_iter()
        .filter(|(plane, _)| spec.reach.contains(*plane))
        .map(|(_, name)| name)
        .collect();
    let mut operation = Map::new();
    let mut set = |name: &str, value: Value| operation.insert(name.to_owned(), value);
    set("operationId", id.into());
    set("tags", json!([super::section(row).0]));
    set("summary", format!("{} · {}", spec.title_zh, spec.title_en).into());
    set("description", requests::description(row).into());
    set("responses", responses.clone());
    set("x-operation", spec.name.into());
    set("x-title-zh", spec.title_zh.into());
    set("x-title-en", spec.title_en.into());
    set("x-action", spec.action.into());
    set("x-access", access(spec.access).into());
    set("x-rate-class", rate_class(spec.rate).into());
    set("x-planes", planes.into());
    let mark = match (spec.audience, spec.reach.contains(Plane::OpenApi)) {
        (Audience::Administrator, _) => Some("x-administrators-only"),
        (Audience::Product, true) => Some("x-cloud-products"),
        (Audience::Product, false) | (Audience::Tenant, _) => None,
    };
    if let Some(mark) = mark {
        set(mark, true.into());
    }
    if spec.reach.is_demo_only() {
        set("x-demo-instances-only", true.into());
    }
    if deprecated {
        set("deprecated", true.into());
    }
    operation
}

fn access(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
    }
}

/// The name of the class in the settings of rates.
fn rate_class(class: RateClass) -> &'static str {
    match class {
        RateClass::KeyCreate => "key_create",
        RateClass::KeyRead => "key_read",
        RateClass::KeyWrite => "key_write",
        RateClass::Symmetric => "symmetric",
        RateClass::Asymmetric => "asymmetric",
        RateClass::DefaultKey => "default_key",
        RateClass::Integrity => "integrity",
        RateClass::Random => "random",
        RateClass::OtherRead => "other_read",
        RateClass::OtherWrite => "other_write",
        RateClass::Unlimited => "unlimited",
    }
}
