//! The API document of each plane: a reviewed snapshot, complete and consistent, true to the settings, and silent about
//! the installation. The page that shows it loads nothing from elsewhere. Whatever any test of this binary is refused
//! with must stand in the document, see [`check_documented`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::{Value, json};
use yaoku::api::Access;
use yaoku::catalog;
use yaoku::config::{Config, EnvelopeForm, OpenApi, StatusForm};
use yaoku::document;
use yaoku::model::principal::Plane;

use crate::kit::{Answer, Service, agent, send};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PLANES: [(Plane, &str, &str); 2] =
    [(Plane::OpenApi, "/v1", "openapi.json"), (Plane::AccessPoint, "", "access-point.json")];

fn settings(envelope: EnvelopeForm, http_status: StatusForm) -> OpenApi {
    OpenApi { envelope, http_status, ..Config::default().openapi }
}

fn of(plane: Plane) -> Value {
    document::of(plane, &Config::default().openapi, true)
}

/// JSON with every value that fits a line, and every list of plain values, on one line.
fn pretty(value: &Value, indent: usize, out: &mut String) {
    let line = value.to_string();
    let nested = |one: &Value| one.is_array() || one.is_object();
    let (open, close, members): (_, _, Vec<(String, &Value)>) = match value {
        Value::Object(map) if indent + line.len() > 118 => {
            ('{', '}', map.iter().map(|(name, value)| (format!("{}: ", json!(name)), value)).collect())
        }
        Value::Array(list) if indent + line.len() > 118 && list.iter().any(nested) => {
            ('[', ']', list.iter().map(|value| (String::new(), value)).collect())
        }
        _ => return out.push_str(&line),
    };
    out.push(open);
    for (number, (name, member)) in members.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        write!(out, "{comma}\n{:width$}{name}", "", width = indent + 1).unwrap();
        pretty(member, indent + 1, out);
    }
    write!(out, "\n{:indent$}{close}", "").unwrap();
}

#[test]
fn it_is_the_reviewed_one() {
    for (plane, _, name) in PLANES {
        let path = Path::new(ROOT).join("tests/it/snapshots").join(name);
        let mut found = String::new();
        pretty(&of(plane), 0, &mut found);
        found.push('\n');
        if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
            fs::write(&path, &found).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        let first = found.lines().zip(expected.lines()).find(|(one, other)| one != other);
        assert!(
            found == expected,
            "{name} differs, first in {first:?}: run with UPDATE=1 and review the change"
        );
    }
}

#[test]
fn every_path_of_every_operation_is_in_it_and_nothing_internal() {
    for (plane, prefix, _) in PLANES {
        let (document, mut expected) = (of(plane), BTreeSet::new());
        for row in catalog::ROWS.iter().filter(|row| row.spec.reach.contains(plane)) {
            for (number, path) in row.spec.paths.iter().enumerate() {
                let path = format!("{prefix}{path}");
                let item = &document["paths"][&path];
                assert_eq!(item["post"]["x-operation"], row.spec.name, "{path}");
                assert_eq!(item.get("get").is_some(), row.spec.access == Access::Read, "{path}");
                assert_eq!(item["post"].get("deprecated").is_some(), number > 0, "{path}");
                assert_ne!(item["post"]["tags"], json!(["other"]), "{path}: give its section a line");
                expected.insert(path);
            }
        }
        let found: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(found, expected);
    }
}

#[test]
fn every_operation_says_what_it_takes_and_gives() {
    for (plane, ..) in PLANES {
        let document = of(plane);
        let mut ids = BTreeSet::new();
        for operation in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} twice");
            assert!(operation["summary"].as_str().unwrap().contains(" · "), "{id}");
            assert!(operation["description"].as_str().unwrap().len() > 8, "{id}: say what it does");
            let success = operation["responses"]["200"]["content"].to_string();
            assert!(success.contains("/Success"), "{id}");
            for status in ["401", "403", "413", "429", "500", "503"] {
                assert!(!operation["responses"][status].is_null(), "{id} {status}");
            }
        }
    }
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let items = document["paths"].as_object().unwrap().values();
    items.flat_map(|item| item.as_object().unwrap().values())
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    for (plane, ..) in PLANES {
        let document = of(plane);
        let mut references = BTreeSet::new();
        collect(&document, &mut references);
        for reference in &references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        for kind in ["schemas", "responses"] {
            for name in document["components"][kind].as_object().unwrap().keys() {
                let reference = format!("#/components/{kind}/{name}");
                assert!(references.contains(&reference), "nobody uses {reference}");
            }
        }
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                references.insert(reference.clone());
            }
            map.values().for_each(|inner| collect(inner, references));
        }
        Value::Array(list) => list.iter().for_each(|inner| collect(inner, references)),
        _ => {}
    }
}

#[test]
fn it_follows_the_settings_that_shape_answers() {
    let (gateway, bare) = (EnvelopeForm::Gateway, EnvelopeForm::Bare);
    for (envelope, status, hidden, field) in [
        (gateway, StatusForm::Ctyun, true, "errorCode"),
        (gateway, StatusForm::Rest, false, "errorCode"),
        (bare, StatusForm::Ctyun, false, "code"),
    ] {
        let document = document::of(Plane::OpenApi, &settings(envelope, status), false);
        let responses = &document["paths"]["/v1/keyManage/describeKey"]["post"]["responses"];
        assert_eq!(responses.get("404").is_none(), hidden);
        let holder = if hidden { "200" } else { "404" };
        assert!(
            responses[holder].to_string().contains(&format!("{{\"{field}\":{{\"enum\":[\"KMS.")),
            "{responses}"
        );
        let failure = &document["components"]["schemas"]["Failure"]["properties"];
        assert_eq!(failure.get("errorCode").is_some(), field == "errorCode");
        let one = document::of(Plane::AccessPoint, &settings(envelope, status), false);
        assert_eq!(one, of(Plane::AccessPoint), "access points have one form");
    }
}

/// A service with its own names serves what a service without any serves.
#[test]
fn anybody_reads_it_and_learns_nothing_of_the_installation() {
    let service = Service::start_with(|config| {
        config.region = "hidden-region".into();
        config.tls.names = vec!["hidden.example".into()];
        config.rates.symmetric.openapi = 1234;
        config.openapi.envelope = EnvelopeForm::Bare;
    });
    let audited = service.audit().len();
    for (endpoint, plane) in
        [(&service.ready.openapi, Plane::OpenApi), (&service.ready.access_point, Plane::AccessPoint)]
    {
        let answer = get(endpoint, "/openapi.json");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(answer.body, document::of(plane, &settings(EnvelopeForm::Bare, StatusForm::Ctyun), false));
    }
    assert_eq!(service.audit().len(), audited + 1, "only the call that counted");
}

fn get(endpoint: &str, path: &str) -> Answer {
    send(&agent(), "GET", &format!("{endpoint}{path}"), &[], b"")
}

#[test]
fn a_wrong_method_is_told_those_of_the_document() {
    let service = Service::start();
    let document = of(Plane::OpenApi);
    for (path, item) in document["paths"].as_object().unwrap() {
        let answer = send(&agent(), "PUT", &format!("{}{path}", service.ready.openapi), &[], b"{}");
        let methods = item.as_object().unwrap().keys().map(|method| method.to_uppercase());
        assert_eq!((answer.status, answer.code().as_str()), (405, "KMS.9061"), "{path}");
        assert_eq!(answer.header("allow"), Some(methods.collect::<Vec<_>>().join(", ").as_str()), "{path}");
    }
}

#[test]
fn the_page_loads_nothing_from_elsewhere_and_makes_no_markup_of_data() {
    let service = Service::start();
    let page = get(&service.ready.openapi, "/docs");
    for (path, kind) in
        [("/docs", "text/html"), ("/docs/docs.js", "text/javascript"), ("/docs/docs.css", "text/css")]
    {
        let answer = get(&service.ready.openapi, path);
        assert!(answer.status == 200 && answer.header("content-type").unwrap().starts_with(kind), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
        let text = answer.body.as_str().unwrap();
        for word in [
            "://",
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "style=",
            "onclick",
        ] {
            assert!(!text.contains(word), "{path} has {word}");
        }
    }
    let html = page.body.as_str().unwrap();
    assert_eq!(html.matches("<script").count(), html.matches("<script src=\"/docs/").count());
    assert!(get(&service.ready.openapi, "/").body.as_str().unwrap().contains("href=\"/docs\""));
}

/// A refusal of an operation must be one that the document names for it.
pub fn check_documented(url: &str, answer: &Value) {
    static CODES: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    let codes = CODES.get_or_init(|| {
        let mut codes = BTreeMap::<String, String>::new();
        for (plane, prefix, _) in PLANES {
            let document = of(plane);
            let shared = document["components"]["responses"].to_string();
            for (path, item) in document["paths"].as_object().unwrap() {
                let path = path.strip_prefix(prefix).unwrap().to_owned();
                *codes.entry(path).or_default() += &format!("{shared}{}", item["post"]["responses"]);
            }
        }
        codes
    });
    let Some(code) = answer["errorCode"].as_str().or(answer["code"].as_str()) else { return };
    let path = url.split("://").last().and_then(|rest| Some(rest.split_once('/')?.1)).unwrap_or_default();
    let path = format!("/{}", path.split('?').next().unwrap_or_default());
    let tail = path.strip_prefix("/v1").unwrap_or(&path);
    let known = codes.get(tail).is_none_or(|known| known.contains(&format!("\"{code}\"")));
    assert!(
        known || ["KMS.9061", "KMS.9062"].contains(&code),
        "{tail} gave {code}, which the document does not name"
    );
}
