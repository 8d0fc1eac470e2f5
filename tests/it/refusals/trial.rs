//! One operation on one plane, refused in every way that can come before it.

use std::collections::HashMap;

use serde_json::{Value, json};
use ureq::Agent;
use yaoku::api::{Access, Field, common_fields};
use yaoku::catalog::Row;
use yaoku::env::Timestamp;
use yaoku::model::instance::ServiceState;
use yaoku::model::key::KeyState;
use yaoku::model::principal::{Audience, Plane};

use super::appliance::{Appliance, recorded, records, trail};
use super::bodies::{Right, Tenant, changed, ends, fields, nowhere, wrong};
use super::contract::{OK, absent, by_state, fault, may_be_empty, missing, needs_running, record_fault};
use super::message::{Body, Caller, Message};
use super::{Cell, Refused, paths};
use crate::kit::{Answer, new_id};

/// Seconds by which a date may be off.
const WINDOW: i64 = 15 * 60;
/// Bytes of a body at most.
const BODY_MAX: usize = 64 * 1024;

/// One operation on one plane.
pub struct Trial<'a> {
    appliance: &'a mut Appliance,
    row: &'static Row,
    agent: Agent,
    caller: Caller,
    /// The path as this plane spells it.
    path: String,
    body: Body,
    before: Vec<Value>,
    /// By request id, the plane and the codes of its answers.
    expected: HashMap<String, (Plane, Vec<&'static str>)>,
    refused: Refused,
}

impl<'a> Trial<'a> {
    pub fn run(appliance: &'a mut Appliance, row: &'static Row, plane: Plane) -> Refused {
        let (recorded, owner) = (recorded(appliance.app()), appliance.owner(row.spec.audience));
        let (caller, right) = (owner.caller(plane), owner.right(row));
        let mut trial = Self {
            agent: appliance.service.agent(),
            caller,
            path: paths(row, plane).remove(0),
            body: flat(right.body, plane),
            before: Vec::new(),
            expected: HashMap::new(),
            refused: Refused::default(),
            appliance,
            row,
        };
        trial.replay();
        for path in paths(row, plane) {
            trial.path = path;
            trial.strangers();
            trial.places();
        }
        trial.path = paths(row, plane).remove(0);
        trial.malformed();
        trial.fields();
        trial.references();
        trial.audience();
        trial.states();
        trial.frozen();
        trial.succeed();
        trial.check_records(recorded);
        trial.refused
    }

    fn plane(&self) -> Plane {
        self.caller.plane()
    }

    /// The body with another value.
    fn with(&self, field: &str, value: Value) -> Body {
        changed(&self.body, field, value)
    }

    fn owner(&self) -> &Tenant {
        self.appliance.owner(self.row.spec.audience)
    }

    /// A call that must be refused with this code and change nothing.
    fn refuse(&mut self, of: &str, why: &str, code: &'static str, message: &Message) -> Answer {
        let (answer, id) = message.send(&self.agent);
        let plane = self.plane();
        self.note(of, why, code, &id);
        if let Some(fault) = fault(&answer, code, plane, &id) {
            self.wrong(of, why, &fault);
        }
        let after = records(self.appliance.app());
        if after != self.before {
            self.wrong(of, why, "changed something");
            self.before = after;
        }
        answer
    }

    /// A refusal of what stands in a field. Where the code says only that a field is wrong, the text says which.
    fn refuse_body(&mut self, of: &str, why: &str, code: &'static str, body: &Body) {
        // What an application cannot sign is refused before it is known.
        if body.values().any(|value| value.is_array() || value.is_object()) {
            self.appliance.expect_strangers(1);
        }
        let message = self.caller.post(&self.path, body);
        let answer = self.refuse(of, why, code, &message);
        let named = answer.body["message"].as_str().is_some_and(|text| text.contains(of));
        if ["KMS.0101", "KMS.9020"].contains(&code) && !named {
            self.wrong(of, why, &format!("the name of the field expected: {answer:?}"));
        }
    }

    /// A call that must succeed.
    fn accept(&mut self, of: &str, why: &str, message: &Message) {
        let (answer, id) = message.send(&self.agent);
        self.note(of, why, OK, &id);
        if answer.success().is_none() {
            self.wrong(of, why, &format!("success expected: {answer:?}"));
        }
        self.before = records(self.appliance.app());
    }

    fn note(&mut self, of: &str, why: &str, code: &'static str, id: &str) {
        let plane = self.plane();
        self.expected.entry(id.to_owned()).or_insert((plane, Vec::new())).1.push(code);
        self.refused.cells.push(Cell { of: of.to_owned(), why: why.to_owned(), code });
    }

    fn wrong(&mut self, of: &str, why: &str, fault: &str) {
        let (name, plane) = (self.row.spec.name, self.plane());
        self.refused.faults.push(format!("{name} {plane:?} {}, {of}: {why}: {fault}", self.path));
    }

    /// A right call succeeds; the same request again is a replay on OpenAPI.
    fn replay(&mut self) {
        self.appliance.expect_strangers(1);
        let message = self.caller.post(&self.path, &self.body);
        self.accept("body", "right", &message);
        if self.plane() == Plane::OpenApi {
            self.refuse("caller", "replayed", "KMS.9045", &message);
        }
        self.body = flat(self.owner().right(self.row).body, self.plane());
        self.before = records(self.appliance.app());
    }

    /// Callers who cannot be proven.
    fn strangers(&mut self) {
        self.appliance.expect_strangers(10);
        let (caller, path, body, plane) =
            (self.caller.clone(), self.path.clone(), self.body.clone(), self.plane());
        let post = |caller: &Caller| caller.post(&path, &body);
        let bytes = Value::Object(body.clone()).to_string().into_bytes();
        let altered = Value::Object(self.with("unsigned", json!("field"))).to_string().into_bytes();
        let right = post(&caller);
        let unsigned = right.clone().without(plane, "Eop-Authorization", "hmac");
        let undated = right.clone().without(plane, "Eop-date", "requestDate");
        self.refuse("caller", "unsigned", "KMS.9040", &unsigned);
        self.refuse("caller", "undated", "KMS.9043", &undated);
        self.refuse("caller", "altered", "KMS.9040", &Message { bytes: altered, ..right });
        for (why, seconds) in [("too old", -WINDOW - 1), ("too early", WINDOW + 1)] {
            let message = caller.message("POST", &path, &body, &bytes, seconds);
            self.refuse("caller", why, "KMS.9043", &message);
        }
        let mut forger = caller.clone();
        *forger.credential().1 = "another secret".to_owned();
        self.refuse("caller", "forged", "KMS.9040", &post(&forger));
        let mut unknown = caller.clone();
        *unknown.credential().0 = new_id().replace('-', "");
        self.refuse("caller", "unknown access key", "KMS.9041", &post(&unknown));
        let mut other = self.owner().caller(other(plane));
        let (mut crossed, theirs) = (caller, other.credential());
        (*crossed.credential().0, *crossed.credential().1) = (theirs.0.clone(), theirs.1.clone());
        self.refuse("caller", "credential of the other plane", "KMS.9041", &post(&crossed));
        let disabled = self.appliance.disabled(plane);
        self.refuse("caller", "disabled credential", "KMS.9042", &post(&disabled));
        let mut forger = disabled;
        *forger.credential().1 = "another secret".to_owned();
        self.refuse("caller", "disabled credential and forged", "KMS.9040", &post(&forger));
    }

    /// Methods that the operation does not take, and places where it is not.
    fn places(&mut self) {
        self.appliance.expect_strangers(5);
        let (caller, path, body) = (self.caller.clone(), self.path.clone(), self.body.clone());
        let bytes = Value::Object(body.clone()).to_string().into_bytes();
        self.refuse("path", "PUT", "KMS.9061", &caller.message("PUT", &path, &body, &bytes, 0));
        match self.row.spec.access {
            Access::Write => {
                self.refuse("path", "GET", "KMS.9061", &caller.get(&path, &body));
            }
            Access::Read => {
                let right = caller.get(&path, &body);
                let mark = if right.url.contains('?') { '&' } else { '?' };
                let altered = Message { url: format!("{}{mark}unsigned=field", right.url), ..right.clone() };
                self.refuse("caller", "altered query", "KMS.9040", &altered);
                self.accept("path", "GET", &right);
            }
        }
        let mut elsewhere = vec![("longer", format!("{path}/"))];
        if self.plane() == Plane::OpenApi {
            elsewhere.push(("without /v1", path.strip_prefix("/v1").unwrap().to_owned()));
        }
        for (why, place) in elsewhere {
            self.refuse("path", why, "KMS.9062", &caller.post(&place, &body));
        }
        if self.plane() == Plane::OpenApi && !self.row.spec.reach.contains(Plane::AccessPoint) {
            let application = self.owner().caller(Plane::AccessPoint);
            let message = application.post(path.strip_prefix("/v1").unwrap(), &body);
            self.refuse_on(Plane::AccessPoint, "path", "access point", "KMS.9062", &message);
        }
    }

    /// As `refuse`, on the plane that the operation is not on.
    fn refuse_on(&mut self, plane: Plane, of: &str, why: &str, code: &'static str, message: &Message) {
        let there = self.owner().caller(plane);
        let caller = std::mem::replace(&mut self.caller, there);
        self.refuse(of, why, code, message);
        self.caller = caller;
    }

    /// Bodies that are no flat JSON objects of a bounded size. What an application sends cannot be proven unless it can be
    /// read.
    fn malformed(&mut self) {
        self.appliance.expect_strangers(10);
        let deep = format!(r#"{{"unknown":{}{}}}"#, "[".repeat(17), "]".repeat(17));
        let many: Vec<String> = (0..65).map(|number| format!("\"f{number}\":1")).collect();
        let large = self.with("unknown", json!("x".repeat(BODY_MAX)));
        let large = Value::Object(large).to_string();
        for (why, bytes, code) in [
            ("no JSON", b"nonsense".as_slice(), "KMS.9020"),
            ("no object", b"[{}]", "KMS.9020"),
            ("unfinished", b"{\"unknown\":1", "KMS.9020"),
            ("more than one", b"{}{}", "KMS.9020"),
            ("field twice", b"{\"unknown\":1,\"unknown\":1}", "KMS.9020"),
            ("field twice inside", b"{\"unknown\":{\"a\":1,\"a\":1}}", "KMS.9020"),
            ("no UTF-8", b"{\"unknown\":\"\xff\"}", "KMS.9020"),
            ("too deep", deep.as_bytes(), "KMS.9020"),
            ("too many fields", format!("{{{}}}", many.join(",")).as_bytes(), "KMS.9020"),
            ("too large", large.as_bytes(), "KMS.9060"),
        ] {
            let message = self.caller.message("POST", &self.path, &Body::new(), bytes, 0);
            self.refuse("body", why, code, &message);
        }
    }

    /// The fields of the operation, and those that every operation understands.
    fn every_field(&self) -> Vec<Field> {
        let own = fields(self.row);
        let common =
            common_fields().into_iter().filter(|common| own.iter().all(|field| field.name != common.name));
        own.iter().cloned().chain(common).collect()
    }

    /// Fields that are missing, empty, of another type or out of their limits, and those at their limits, which are right.
    fn fields(&mut self) {
        for field in &self.every_field() {
            if field.required {
                let mut body = self.body.clone();
                body.remove(&field.name);
                self.refuse_body(&field.name, "missing", missing(&field.name, self.row.spec), &body);
                if self.row.spec.access == Access::Read {
                    let message = self.caller.get(&self.path, &body);
                    self.refuse(
                        &field.name,
                        "missing in a query",
                        missing(&field.name, self.row.spec),
                        &message,
                    );
                }
                let body = self.with(&field.name, Value::Null);
                self.refuse_body(&field.name, "null", missing(&field.name, self.row.spec), &body);
            }
            if !may_be_empty(field) {
                let body = self.with(&field.name, json!(""));
                self.refuse_body(&field.name, "empty", missing(&field.name, self.row.spec), &body);
            }
            for (why, value) in wrong(&field.schema) {
                let body = self.with(&field.name, flat_value(value, field, self.plane()));
                self.refuse_body(&field.name, &why, "KMS.9020", &body);
            }
            for (why, value) in ends(field) {
                let right = flat(self.owner().right(self.row).body, self.plane());
                let body = changed(&right, &field.name, value);
                self.accept(&field.name, why, &self.caller.post(&self.path, &body));
            }
        }
        let body = self.with("regionId", json!("elsewhere"));
        self.refuse_body("regionId", "unknown", "KMS.9020", &body);
    }

    /// What belongs to somebody else is not there, as what does not exist is not.
    fn references(&mut self) {
        for field in &self.every_field() {
            let Some(code) = absent(field, self.row.spec) else { continue };
            let mut others: Vec<_> =
                nowhere(field).map(|value| ("unknown", code, value)).into_iter().collect();
            if self.row.spec.audience != Audience::Administrator {
                let value = self.appliance.stranger.value(field, self.row.spec);
                others.push(("somebody else's", code, value));
            }
            let pattern = field.schema.get("pattern").and_then(Value::as_str).unwrap_or_default();
            if code == "KMS.9001" && pattern.contains("alias/") {
                let name = format!("alias/{}", new_id());
                self.appliance.stranger.person.ok("/cmkManage/createKey", json!({"aliasName": name}));
                others.push(("somebody else's alias", "KMS.9003", name.into()));
            }
            self.before = records(self.appliance.app());
            for (why, code, value) in others {
                let body = self.with(&field.name, flat_value(value, field, self.plane()));
                self.refuse_body(&field.name, why, code, &body);
            }
        }
    }

    /// An operation of administrators, called by a tenant; one that is not for cloud products, called by one.
    fn audience(&mut self) {
        if self.plane() == Plane::OpenApi {
            let body = flat(self.owner().right(self.row).body, self.plane());
            self.before = records(self.appliance.app());
            let message = Caller::Person(self.appliance.product.clone()).post(&self.path, &body);
            match self.row.spec.audience {
                Audience::Product => self.accept("caller", "cloud product", &message),
                Audience::Tenant | Audience::Administrator => {
                    self.refuse("caller", "cloud product", "KMS.9044", &message);
                }
            }
        }
        if self.row.spec.audience == Audience::Administrator {
            let tenant = Caller::Person(self.appliance.tenant.person.clone());
            let message = tenant.post(&self.path, &self.body);
            self.refuse("caller", "no administrator", "KMS.9044", &message);
        }
    }

    /// Each key behind a field in each state that is not Enabled.
    fn states(&mut self) {
        let at = Timestamp::from_seconds(4_000_000_000);
        let states = [KeyState::Disabled, KeyState::PendingDeletion { at }, KeyState::PendingImport];
        let keys = self.owner().right(self.row).keys.len();
        for number in 0..keys {
            for (index, state) in states.into_iter().enumerate() {
                let right = self.owner().right(self.row);
                let (field, key) = &right.keys[number];
                self.appliance.put_key(key, state);
                self.before = records(self.appliance.app());
                let message = self.caller.post(&self.path, &flat(right.body, self.plane()));
                match by_state(self.row.spec, field)[index] {
                    OK => self.accept(field, state.wire_name(), &message),
                    code => {
                        self.refuse(field, state.wire_name(), code, &message);
                    }
                }
            }
        }
    }

    /// A service that is expired or unsubscribed.
    fn frozen(&mut self) {
        let Right { body, keys } = self.owner().right(self.row);
        if !needs_running(self.row.spec, !keys.is_empty()) {
            return;
        }
        let service = self.owner().account["instanceId"].clone();
        self.appliance.put_service(&service, ServiceState::Frozen);
        self.before = records(self.appliance.app());
        let message = self.caller.post(&self.path, &flat(body, self.plane()));
        self.refuse("service", "Frozen", "KMS.9015", &message);
        self.appliance.put_service(&service, ServiceState::Running);
    }

    /// What was refused in so many ways succeeds as it is, under every path.
    fn succeed(&mut self) {
        for path in paths(self.row, self.plane()) {
            let message = self.caller.post(&path, &self.body);
            self.accept("path", "POST", &message);
            self.body = flat(self.owner().right(self.row).body, self.plane());
        }
    }

    /// Every call has its audit record, and no more than that.
    fn check_records(&mut self, recorded: u64) {
        let trail = trail(self.appliance.app(), recorded);
        for (id, (plane, codes)) in std::mem::take(&mut self.expected) {
            let records: Vec<&Value> = trail.get(&id).into_iter().flatten().collect();
            if let Some(fault) = record_fault(&records, &codes, plane) {
                self.wrong("audit", &id, &fault);
            }
        }
        let suppressed = trail.values().flatten().any(|record| record["eventName"] == "suppressedCalls");
        assert!(!suppressed, "strangers were only counted");
    }
}

fn other(plane: Plane) -> Plane {
    if plane == Plane::OpenApi { Plane::AccessPoint } else { Plane::OpenApi }
}

/// On access points lists and objects come as JSON strings.
fn flat_value(value: Value, field: &Field, plane: Plane) -> Value {
    let kind = field.schema.get("type").and_then(Value::as_str);
    let nested = value.is_array() || value.is_object();
    match plane {
        Plane::AccessPoint if nested && matches!(kind, Some("array" | "object")) => value.to_string().into(),
        _ => value,
    }
}

fn flat(body: Body, plane: Plane) -> Body {
    let nested = |value: &Value| value.is_array() || value.is_object();
    let flat = |(name, value): (String, Value)| match plane {
        Plane::AccessPoint if nested(&value) => (name, value.to_string().into()),
        _ => (name, value),
    };
    body.into_iter().map(flat).collect()
}
