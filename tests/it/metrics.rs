//! Metrics as Prometheus reads them: what is counted, what is told of every state, what is never told, and that the
//! dashboard and the operator's page speak of metrics that exist.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::exposition::{Sample, Scrape};
use crate::kit::{OpenApi, Service, agent, base64, send};
use crate::program::Home;

const CREATE: &str = "/cmkManage/createKey";
const DESCRIBE: &str = "/keyManage/describeKey";
const ENCRYPT: &str = "/keyCompute/encrypt";
const CALLS: &str = "yaoku_calls_total";
const LATENCY: &str = "yaoku_call_duration_seconds";

fn service() -> Service {
    Service::start_with(|config| config.metrics.listen = "127.0.0.1:0".parse().ok())
}

/// The text, whose form is checked.
fn text(url: &str) -> String {
    let answer = send(&agent(), "GET", url, &[], b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    answer.body.as_str().unwrap().to_owned()
}

fn read(url: &str) -> Scrape {
    let text = text(url);
    Scrape::parse(&text).unwrap_or_else(|reason| panic!("{reason}\n{text}"))
}

fn url(service: &Service) -> &str {
    service.ready.metrics.as_deref().unwrap()
}

/// What came to the calls from outside between two readings.
fn added(before: &Scrape, after: &Scrape) -> BTreeMap<[String; 3], f64> {
    let key = |sample: &Sample| ["operation", "plane", "result"].map(|name| sample.labels[name].clone());
    let all = |scrape: &Scrape| -> BTreeMap<_, f64> {
        scrape.samples(CALLS).into_iter().map(|sample| (key(sample), sample.value)).collect()
    };
    let (before, mut after) = (all(before), all(after));
    for (key, count) in &mut after {
        *count -= before.get(key).copied().unwrap_or(0.0);
    }
    after.retain(|[_, plane, _], count| plane != "INTERNAL" && *count != 0.0);
    after
}

fn expect(calls: &[(&str, &str, &str, u32)]) -> BTreeMap<[String; 3], f64> {
    let key = |operation: &str, plane: &str, result: &str| [operation, plane, result].map(str::to_owned);
    calls.iter().map(|(name, plane, result, count)| (key(name, plane, result), f64::from(*count))).collect()
}

#[test]
fn every_call_is_counted_once_where_it_belongs() {
    let service = service();
    let (admin, application) = (service.admin(), service.first_application());
    let before = read(url(&service));
    let key = admin.ok(CREATE, json!({}))["cmkUuid"].clone();
    let encrypt = json!({"cmkUuid": key, "plaintext": base64("x")});
    (0..3).for_each(|_| drop(application.ok(ENCRYPT, encrypt.clone())));
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": key}));
    assert_eq!(application.refused(ENCRYPT, encrypt.clone()), "KMS.9010");
    assert_eq!(admin.refused(ENCRYPT, encrypt), "KMS.9010");
    assert_eq!(admin.refused(ENCRYPT, json!({"cmkUuid": key})), "KMS.0107");
    assert_eq!(admin.refused("/no/such", json!({})), "KMS.9062");
    assert_eq!(application.refused("/userAk/createUserAk", json!({})), "KMS.9062");
    let stranger = OpenApi { secret_key: "wrong".into(), ..admin.clone() };
    (0..70).for_each(|_| assert_eq!(stranger.refused(DESCRIBE, json!({"cmkUuid": key})), "KMS.9040"));
    let after = read(url(&service));
    let expected = expect(&[
        ("createKey", "OPENAPI", "ok", 1),
        ("disableKey", "OPENAPI", "ok", 1),
        ("encrypt", "AAP", "ok", 3),
        ("encrypt", "AAP", "KMS.9010", 1),
        ("encrypt", "OPENAPI", "KMS.9010", 1),
        ("encrypt", "OPENAPI", "KMS.0107", 1),
        ("unknownOperation", "OPENAPI", "KMS.9062", 1),
        ("unknownOperation", "AAP", "KMS.9062", 1),
        ("describeKey", "OPENAPI", "KMS.9040", 70),
    ]);
    assert_eq!(added(&before, &after), expected);
    for sample in after.samples(&format!("{LATENCY}_count")) {
        let labels: Vec<(&str, &str)> = sample.labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(sample.value, after.value(CALLS, &labels), "{labels:?}");
    }
    // 60 of a source and minute have records of their own; two before were refused as unknown.
    let suppressed = after.value("yaoku_strangers_suppressed_total", &[]);
    assert_eq!(suppressed, 72.0 - 60.0);
}

#[test]
fn throttled_calls_are_counted_by_their_code() {
    let service = Service::start_with(|config| {
        config.metrics.listen = "127.0.0.1:0".parse().ok();
        config.rates.key_read.openapi = 2;
    });
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({}))["cmkUuid"].clone();
    let before = read(url(&service));
    let answers = (0..5).map(|_| admin.call(DESCRIBE, json!({"cmkUuid": key})));
    let throttled =
        answers.filter(|answer| answer.success().is_none() && answer.code() == "KMS.9050").count();
    assert_eq!(throttled, 3, "the clock stands still");
    let expected = expect(&[("describeKey", "OPENAPI", "ok", 2), ("describeKey", "OPENAPI", "KMS.9050", 3)]);
    let after = read(url(&service));
    assert_eq!(added(&before, &after), expected);
    assert!(after.value("yaoku_rates_active", &[]) >= 1.0);
}

#[test]
fn store_machine_and_keepers_are_told_as_they_are() {
    let service = service();
    let admin = service.admin();
    let before = read(url(&service));
    let keys: Vec<Value> = (0..3).map(|_| admin.ok(CREATE, json!({}))).collect();
    keys.iter().for_each(|key| drop(admin.ok(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]}))));
    let (figures, after) = (service.app().store.figures(), read(url(&service)));
    assert_eq!(after.value("yaoku_machine_state", &[("state", "Operational")]), 1.0);
    assert_eq!(after.value("yaoku_machine_state", &[]), 1.0, "in one state at a time");
    assert_eq!(after.value("yaoku_store_state", &[("state", "Healthy")]), 1.0);
    assert_eq!(after.value("yaoku_store_state", &[]), 1.0);
    assert_eq!(after.value("yaoku_ready", &[]), 1.0);
    assert_eq!(after.value("yaoku_keepers", &[("kind", "key")]), 3.0);
    assert_eq!(after.value("yaoku_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
    assert_eq!(after.value("yaoku_replay_ids", &[]) - before.value("yaoku_replay_ids", &[]), 6.0);
    assert_eq!(after.value("yaoku_writer_places_max", &[]), service.config.store.audit_places as f64);
    assert!(after.value("yaoku_writer_places", &[]) <= 1.0, "cron at most");
    assert!(after.value("yaoku_connections", &[]) >= 1.0, "the client keeps its connection");
    assert_eq!(after.value("process_start_time_seconds", &[]), crate::kit::START.seconds() as f64);
    assert!(after.value("process_resident_memory_bytes", &[]) > 1e6);
    assert!(after.value("process_cpu_seconds_total", &[]) > 0.0);
    // Cron may leave a record at any time, so both are looked at from both sides.
    let (records, sequence) =
        (after.value("yaoku_commit_calls_sum", &[]), after.value("yaoku_audit_records_total", &[]));
    assert!(records - before.value("yaoku_commit_calls_sum", &[]) >= 6.0);
    assert!(sequence - before.value("yaoku_audit_records_total", &[]) >= 6.0);
    assert!(sequence <= admin.ok("/system/describeSystem", json!({}))["auditRecords"].as_f64().unwrap());
    assert!(figures.records() as f64 >= records && figures.sequence() as f64 >= sequence);
    let commits = |scrape: &Scrape| {
        (
            scrape.value("yaoku_commit_calls_count", &[]),
            scrape.value("yaoku_commit_duration_seconds_count", &[]),
        )
    };
    assert!(commits(&after).0 >= 6.0 && (commits(&after).0 - commits(&after).1).abs() <= 1.0);
}

/// A service whose machine answers nothing still says how it is.
#[test]
fn metrics_are_told_behind_a_shut_door() {
    let mut service = service();
    let admin = service.admin();
    service.config.self_test.corrupt = "SM2 signing".into();
    service.try_restart().unwrap();
    let admin = OpenApi { endpoint: service.ready.openapi.clone(), ..admin };
    assert_eq!(admin.refused(CREATE, json!({})), "KMS.9071");
    admin.ok("/system/describeSystem", json!({}));
    let scrape = read(url(&service));
    assert_eq!(scrape.value("yaoku_machine_state", &[("state", "Error")]), 1.0);
    assert_eq!(scrape.value("yaoku_machine_state", &[]), 1.0);
    assert_eq!(scrape.value("yaoku_ready", &[]), 0.0);
    assert_eq!(scrape.value(CALLS, &[("operation", "createKey"), ("result", "KMS.9071")]), 1.0);
    assert_eq!(scrape.value(CALLS, &[("operation", "describeSystem"), ("result", "ok")]), 1.0);
    assert!(scrape.samples("yaoku_store_state").is_empty(), "there is no store");
}

#[test]
fn a_locked_program_tells_its_state_and_then_that_it_is_open() {
    let home = Home::new();
    let (program, _) = home.serve();
    assert!(program.stop().status.success());
    fs::write(home.path("passphrase"), "correct horse battery\n").unwrap();
    let attended = home.run(&["custody", "attend", "--new-passphrase-file", "passphrase"]);
    assert!(attended.status.success(), "{attended:?}");
    let mut command = home.command(&["serve"]);
    command.env("YAOKU_METRICS_LISTEN", "127.0.0.1:0");
    let (program, line) = home.serve_by(command);
    let url = line["metrics"].as_str().unwrap();
    let state = |state: &str| read(url).value("yaoku_machine_state", &[("state", state)]);
    assert_eq!((state("Locked"), state("Operational")), (1.0, 0.0));
    assert!(home.run(&["unlock", "--passphrase-file", "passphrase"]).status.success());
    assert!(program.line().unwrap().contains("\"ready\""));
    assert_eq!((state("Locked"), state("Operational")), (0.0, 1.0));
    home.call("createKey", &json!({}));
    let scrape = read(url);
    let create = [("operation", "createKey"), ("plane", "OPENAPI")];
    assert_eq!(scrape.value(&format!("{LATENCY}_count"), &create), 1.0);
    let seconds = scrape.value(&format!("{LATENCY}_sum"), &create);
    assert!(seconds > 0.0 && seconds < 60.0, "{seconds}");
    assert!(scrape.value("yaoku_commit_duration_seconds_sum", &[]) > 0.0);
    assert!(program.stop().status.success());
}

#[test]
fn nothing_of_a_customer_is_told() {
    let service = service();
    let (admin, application) = (service.admin(), service.first_application());
    let key = admin.ok(CREATE, json!({"aliasName": "alias/payroll", "description": "salaries"}));
    application.ok(ENCRYPT, json!({"cmkUuid": "alias/payroll", "plaintext": base64("thirteen apples")}));
    let (person, account) = service.tenant();
    person.refused(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]}));
    let stranger = OpenApi { secret_key: "wrong".into(), ..admin.clone() };
    stranger.refused("/payroll/secretPath", json!({"cmkUuid": key["cmkUuid"]}));
    let told_text = text(url(&service));
    let text = told_text.to_lowercase();
    assert!(text.contains("operation=\"encrypt\""));
    let plaintext = base64("thirteen apples");
    let mut told = vec![&plaintext, "payroll", "salaries", "apples", "secretpath", "second", "127.0.0.1"];
    told.extend(
        [&key["cmkUuid"], &service.first["accountId"], &account["accountId"]].map(|id| id.as_str().unwrap()),
    );
    told.extend(
        [&service.first["instanceId"], &service.first["accessPointId"]].map(|id| id.as_str().unwrap()),
    );
    for caller in [&admin, &person] {
        told.extend([caller.access_key.as_str(), &caller.secret_key]);
    }
    told.extend([application.access_key.as_str(), &application.secret_key]);
    let seconds = text.replace("seconds", "");
    for word in told {
        assert!(!seconds.contains(&word.to_lowercase()), "{word}");
    }
    // Whatever a label says is a word of the program, not a number or an id.
    for sample in Scrape::parse(&told_text).unwrap().0.values().flat_map(|family| &family.samples) {
        for (name, value) in &sample.labels {
            let known = ["operation", "plane", "result", "state", "kind", "outcome", "version", "le"];
            assert!(known.contains(&name.as_str()) && value.len() <= 32, "{name} {value}");
        }
    }
}

#[test]
fn metrics_have_a_listener_of_their_own_or_none() {
    let silent = Service::start();
    assert!(silent.ready.metrics.is_none());
    let service = service();
    for plane in [&service.ready.openapi, &service.ready.access_point, &silent.ready.openapi] {
        let answer = send(&agent(), "GET", &format!("{plane}/metrics"), &[], b"");
        assert_eq!(answer.code(), "KMS.9062", "{answer:?}");
    }
    let address = url(&service).strip_suffix("/metrics").unwrap();
    assert!(address.starts_with("http://127.0.0.1:"), "{address}");
    for path in ["/", "/health/ready", "/v1/system/describeSystem", "/system/describeSystem", "/metrics/"] {
        assert_eq!(send(&agent(), "GET", &format!("{address}{path}"), &[], b"").status, 404, "{path}");
    }
    assert_eq!(send(&agent(), "POST", url(&service), &[], b"{}").status, 404);
}

#[test]
fn metrics_that_leave_the_machine_are_encrypted() {
    let service = Service::start_with(|config| config.metrics.listen = "0.0.0.0:0".parse().ok());
    let url = url(&service).replace("//0.0.0.0:", "//127.0.0.1:");
    assert!(url.starts_with("https://"), "{url}");
    assert_eq!(read(&url).value("yaoku_ready", &[]), 1.0);
    let plain = crate::kit::try_send(&agent(), "GET", &url.replace("https:", "http:"), &[], b"");
    assert!(plain.is_err(), "{plain:?}");
}

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// A service that has met everything that the documents speak of.
fn experienced() -> Scrape {
    let service = service();
    service.admin().ok(CREATE, json!({}));
    service.admin().refused("/no/such", json!({}));
    read(url(&service))
}

/// The metric names in a query, each with the labels that stand in its braces.
fn named(query: &str) -> Vec<(&str, Vec<&str>)> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts =
        query.char_indices().filter(|(at, _)| !query[..*at].ends_with(part)).map(|(at, _)| &query[at..]);
    let metrics = starts.filter(|tail| tail.starts_with("yaoku_") || tail.starts_with("process_"));
    metrics
        .map(|tail| {
            let (name, rest) = tail.split_at(tail.find(|c| !part(c)).unwrap_or(tail.len()));
            let inside = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let matchers = inside.map_or("", |(inside, _)| inside).split(',').filter(|it| !it.is_empty());
            (name, matchers.map(|it| it.split(['=', '!']).next().unwrap()).collect())
        })
        .collect()
}

#[test]
fn the_dashboard_asks_for_metrics_and_labels_that_exist() {
    let scrape = experienced();
    let dashboard: Value = serde_json::from_str(&document("config/grafana.json")).unwrap();
    let variables: Vec<&Value> = dashboard["templating"]["list"].as_array().unwrap().iter().collect();
    assert!(variables.iter().any(|it| it["type"] == "datasource" && it["name"] == "datasource"));
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    let mut asked = BTreeSet::new();
    for panel in panels {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}");
            let query = target["expr"].as_str().unwrap();
            let metrics = named(query);
            assert!(!metrics.is_empty(), "{query}");
            for (name, labels) in metrics {
                let samples = scrape.samples(name);
                assert!(!samples.is_empty(), "{}: there is no {name}", panel["title"]);
                for label in labels.into_iter().filter(|label| *label != "instance") {
                    assert!(
                        samples.iter().any(|sample| sample.labels.contains_key(label)),
                        "{query}: {label}"
                    );
                }
                asked.insert(
                    name.trim_end_matches("_bucket")
                        .trim_end_matches("_sum")
                        .trim_end_matches("_count")
                        .to_owned(),
                );
            }
        }
    }
    let missing: Vec<&String> =
        scrape.0.keys().filter(|name| name.starts_with("yaoku_") && !asked.contains(*name)).collect();
    assert!(missing.is_empty(), "the dashboard leaves out {missing:?}");
}

#[test]
fn the_operators_page_lists_every_metric_and_no_other() {
    let page = document("OPERATIONS.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split_once('`'));
    let listed = rows.map(|(name, _)| name.to_owned());
    let listed: BTreeSet<String> =
        listed.filter(|name| name.starts_with("yaoku_") || name.starts_with("process_")).collect();
    assert_eq!(listed, experienced().0.into_keys().collect());
}
