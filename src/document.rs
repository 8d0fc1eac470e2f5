//! The API document: OpenAPI 3.1 of one plane, made from the catalog, the types of the operations and the settings that
//! shape answers. It says what this program answers and nothing of the installation: no address, region or rate.

mod answers;
mod operations;
mod requests;

use schemars::Schema;
use schemars::generate::{Contract, SchemaSettings};
use serde_json::{Map, Value, json};

use crate::api::simplify_result;
use crate::catalog::{self, Row};
use crate::config::OpenApi;
use crate::model::principal::Plane;

/// Sections: first parts of path tails, the tag, and its titles.
const SECTIONS: &[(&[&str], &str, &str, &str)] = &[
    (&["cmkManage", "keyManage", "resource"], "keys", "密钥", "Keys"),
    (&["keyName"], "aliases", "别名", "Aliases"),
    (&["versionControl"], "versions", "密钥版本", "Key versions"),
    (&["importKey"], "import", "密钥材料导入", "Import of key material"),
    (&["keyCompute", "get", "certificatecompute", "cmManage"], "cryptography", "密码运算", "Cryptography"),
    (&["asymmetric"], "asymmetric", "非对称运算", "Asymmetric cryptography"),
    (&["manageCertificate", "certificateCompute"], "certificates", "证书", "Certificates"),
    (&["accessPoint", "userAk", "network"], "access-points", "应用接入点", "Access points"),
    (&["instance"], "services", "服务", "Services"),
    (
        &["account", "user", "group", "policy", "project", "product", "session", "approval"],
        "accounts",
        "账号与权限",
        "Accounts and permissions",
    ),
    (&["event"], "events", "事件", "Events"),
    (&["tag"], "tags", "标签", "Tags"),
    (&["system"], "system", "系统", "System"),
    (&["audit"], "audit", "审计", "Audit"),
];

/// The section of a row; what no section names stands under the last one.
fn section(row: &Row) -> (&'static str, &'static str, &'static str) {
    let folder = row.spec.paths.first().and_then(|path| path.split('/').nth(1)).unwrap_or_default();
    let found = SECTIONS.iter().find(|(folders, ..)| folders.contains(&folder));
    found.map_or(("other", "其他", "Other"), |(_, tag, zh, en)| (tag, zh, en))
}

/// The operations that outsiders can call on a plane, of a demo if it is one.
fn rows(plane: Plane, demo: bool) -> impl Iterator<Item = &'static Row> {
    let offered =
        move |row: &&Row| row.spec.reach.contains(plane) && (demo || !row.spec.reach.is_demo_only());
    catalog::ROWS.iter().filter(|row| !row.spec.paths.is_empty()).filter(offered)
}

/// The document of a plane whose answers have the form of these settings, of a demo if it is one.
pub fn of(plane: Plane, settings: &OpenApi, demo: bool) -> Value {
    let mut schemas = SchemaSettings::draft2020_12();
    schemas.definitions_path = "/components/schemas".into();
    schemas.contract = Contract::Serialize;
    let mut results = schemas.into_generator();
    let answers = answers::Answers { plane, settings };
    let (mut paths, mut components) = (Map::new(), Map::new());
    for row in rows(plane, demo) {
        operations::describe(row, &answers, &mut results, &mut paths, &mut components);
    }
    for (name, schema) in results.take_definitions(true) {
        components.insert(name, readable(schema));
    }
    components.extend(answers.schemas());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Yaoku 钥库 KMS",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": title(plane),
            "description": about(plane),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "servers": [{ "url": "/" }],
        "tags": tags(plane, demo),
        "security": [security(plane)],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": answers.shared(),
            "securitySchemes": security_schemes(plane),
        },
        "x-error-codes": answers::codes(plane),
    })
}

/// A result's schema the way people read it.
fn readable(mut schema: Value) -> Value {
    if let Ok(schema) = <&mut Schema>::try_from(&mut schema) {
        simplify_result(schema);
    }
    schema
}

fn tags(plane: Plane, demo: bool) -> Vec<Value> {
    let mut tags: Vec<Value> = Vec::new();
    for (tag, zh, en) in rows(plane, demo).map(section) {
        let tag =
            json!({ "name": tag, "description": format!("{zh} · {en}"), "x-title-zh": zh, "x-title-en": en });
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    tags
}

fn title(plane: Plane) -> &'static str {
    match plane {
        Plane::OpenApi => "密钥管理服务 OpenAPI · Key management: OpenAPI plane",
        Plane::AccessPoint | Plane::Internal => "密钥管理服务应用接入点 · Key management: access-point plane",
    }
}

/// What stands above all operations.
fn about(plane: Plane) -> String {
    let path =
        catalog::by_name("encrypt").and_then(|row| row.spec.paths.first()).copied().unwrap_or_default();
    let signing = match plane {
        Plane::OpenApi => include_str!("document/openapi.md"),
        Plane::AccessPoint | Plane::Internal => include_str!("document/access_point.md"),
    };
    format!("{}\n{}", include_str!("document/about.md"), signing.replace("{encrypt}", path))
}

/// Headers that carry the signature: name of the scheme, header, and what it holds.
fn signature_headers(plane: Plane) -> &'static [(&'static str, &'static str, &'static str)] {
    match plane {
        Plane::OpenApi => &[
            (
                "requestId",
                "ctyun-eop-request-id",
                "A new id for each request, normally a UUID; 1 to 128 characters.",
            ),
            ("date", "Eop-date", "When the request was signed, `yyyyMMddTHHmmssZ`; 15 minutes off at most."),
            (
                "authorization",
                "Eop-Authorization",
                "`<access key> Headers=ctyun-eop-request-id;eop-date Signature=<Base64>`, see the description of the document.",
            ),
        ],
        Plane::AccessPoint | Plane::Internal => &[
            ("accessKey", "accessKey", "The access key of the access point's credential."),
            (
                "date",
                "requestDate",
                "When the request was signed, such as `Wed, 16 Jul 2025 15:47:53 GMT`; 15 minutes off at most.",
            ),
            ("hmac", "hmac", "The signature in Base64, see the description of the document."),
        ],
    }
}

/// All headers of the signature together.
fn security(plane: Plane) -> Value {
    signature_headers(plane).iter().map(|(scheme, ..)| ((*scheme).to_owned(), json!([]))).collect()
}

fn security_schemes(plane: Plane) -> Value {
    let scheme = |(scheme, header, text): &(&str, &str, &str)| {
        (
            (*scheme).to_owned(),
            json!({ "type": "apiKey", "in": "header", "name": header, "description": text }),
        )
    };
    signature_headers(plane).iter().map(scheme).collect()
}
