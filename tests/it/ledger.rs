//! Clients that keep a ledger: of every effect that the service acknowledged, and of every one that it may have had
//! because no answer came. After a restart the ledger is held against the service: what was acknowledged must be there,
//! what was not may be.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use fastrand::Rng;
use serde_json::{Value, json};
use yaoku::env::Clock;

use crate::kit::{AccessPoint, OpenApi, agent, base64, new_id};
use crate::program::{Home, Program};

/// Credentials that a client makes: less than an access point may have.
const CREDENTIALS_MAX: usize = 90;
/// Old entries that every check looks at again, of each kind.
const SAMPLE: usize = 3;

/// How often a loop is repeated: few times in an ordinary run, often with `LONG_RUN=1`.
pub fn rounds(ordinary: usize, long: usize) -> usize {
    if std::env::var_os("LONG_RUN").is_some() { long } else { ordinary }
}

/// Prints one figure.
pub fn figure(name: &str, value: impl std::fmt::Display, unit: &str) {
    println!("figure {name} {value} {unit}");
}

/// What the ledgers came to.
#[derive(Default)]
pub struct Tally {
    /// Calls that were answered with success.
    pub acknowledged: usize,
    /// Calls without an answer.
    pub unanswered: usize,
    /// Acknowledged effects that were gone later.
    pub lost: Vec<String>,
    /// Successes without an audit record.
    pub unaudited: Vec<String>,
}

impl Tally {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.unanswered += other.unanswered;
        self.lost.extend(other.lost);
        self.unaudited.extend(other.unaudited);
    }

    /// Prints the figures and asserts that nothing is missing.
    pub fn report(&self, of: &str) {
        figure(&format!("{of}_acknowledged"), self.acknowledged, "calls");
        figure(&format!("{of}_unanswered"), self.unanswered, "calls");
        figure(&format!("{of}_acknowledged_but_lost"), self.lost.len(), "effects");
        figure(&format!("{of}_unaudited_successes"), self.unaudited.len(), "calls");
        assert!(self.lost.is_empty(), "lost: {:#?}", self.lost);
        assert!(self.unaudited.is_empty(), "without a record: {:#?}", self.unaudited);
        assert!(self.acknowledged > 0, "nothing was done");
    }
}

/// What came of a call.
enum Outcome {
    Done(Value),
    Refused(String),
    /// No answer, or one that leaves open what happened.
    Open,
}

struct Sealed {
    key: String,
    blob: Value,
    plaintext: Value,
    context: Value,
}

/// One client of both planes, alone in its account.
pub struct Client {
    random: Rng,
    account: Value,
    openapi: OpenApi,
    access_point: Option<AccessPoint>,
    /// By key, the states it may be in: one if the last change was acknowledged.
    keys: BTreeMap<String, Vec<&'static str>>,
    /// By alias, the keys it may name.
    aliases: BTreeMap<String, Vec<Option<String>>>,
    credentials: Vec<(String, String)>,
    sealed: Vec<Sealed>,
    /// What the last check has not seen: names of keys and aliases, and how many of the others it has.
    touched: BTreeSet<String>,
    credentials_seen: usize,
    sealed_seen: usize,
    /// Acknowledged requests since the last check, and those before.
    requests: Vec<String>,
    requests_seen: Vec<String>,
    /// Why the last open call is open.
    last: String,
    tally: Tally,
}

const ENABLED: &str = "Enabled";
const DISABLED: &str = "Disabled";

impl Client {
    /// A client in the account that `first-run.json` or createAccount described.
    fn new(account: Value, ready: &Value, random: Rng) -> Self {
        let text = |name: &str| account["openapi"][name].as_str().unwrap().to_owned();
        let (access_key, secret_key) = (text("accessKey"), text("secretKey"));
        let endpoint = ready["openapi"].as_str().unwrap().to_owned();
        let openapi = OpenApi { endpoint, access_key, secret_key, clock: Clock::system(), agent: agent() };
        Self {
            random,
            account,
            openapi,
            access_point: None,
            keys: BTreeMap::new(),
            aliases: BTreeMap::new(),
            credentials: Vec::new(),
            sealed: Vec::new(),
            touched: BTreeSet::new(),
            credentials_seen: 0,
            sealed_seen: 0,
            requests: Vec::new(),
            requests_seen: Vec::new(),
            last: String::new(),
            tally: Tally::default(),
        }
    }

    /// Goes on with a service that was started again.
    fn connect(&mut self, ready: &Value) {
        self.openapi.endpoint = ready["openapi"].as_str().unwrap().to_owned();
        self.openapi.agent = agent();
        if let Some(access_point) = &mut self.access_point {
            access_point.endpoint = ready["accessPoint"].as_str().unwrap().to_owned();
            access_point.agent = agent();
        }
    }

    /// Works until it is told to stop or an answer fails to come.
    fn work(&mut self, ready: &Value, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) && self.step(ready) {}
    }

    /// One call of any kind; whether the service is still there.
    fn step(&mut self, ready: &Value) -> bool {
        match self.random.u8(0..14) {
            _ if self.keys.is_empty() => self.create_key(),
            0 => self.create_key(),
            1 => self.create_alias(),
            2 => self.delete_alias(),
            3 | 4 => self.switch_key(),
            5 if self.credentials.len() < CREDENTIALS_MAX => self.create_credential(ready),
            6 | 7 => self.data_key(),
            8 => self.read(),
            9 => self.move_alias(),
            10 => self.re_encrypt(),
            _ => self.encrypt(),
        }
    }

    /// Calls an operation: on the access point now and then, if both planes have it.
    fn call(&mut self, path: &str, body: &Value) -> Outcome {
        let both = !path.starts_with("/userAk") && !path.starts_with("/audit");
        let answer = match &self.access_point {
            Some(access_point) if both && self.random.bool() => access_point.try_call(path, body),
            _ => self.openapi.try_call(path, body),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.tally.unanswered += 1;
                self.last = error.to_string();
                return Outcome::Open;
            }
        };
        if let Some(result) = answer.success() {
            self.tally.acknowledged += 1;
            self.requests.push(answer.header("x-trace-id").unwrap().to_owned());
            return Outcome::Done(result.clone());
        }
        if answer.status >= 500 || !answer.body.is_object() {
            self.tally.unanswered += 1;
            self.last = format!("{answer:?}");
            return Outcome::Open;
        }
        Outcome::Refused(answer.code())
    }

    fn create_key(&mut self) -> bool {
        let spec = if self.random.bool() { "AES_256" } else { "Ctyun_SM4" };
        match self.call("/cmkManage/createKey", &json!({"keySpec": spec})) {
            Outcome::Done(key) => {
                let id = text(&key["cmkUuid"]);
                self.touched.insert(id.clone());
                self.keys.insert(id, vec![ENABLED]);
                true
            }
            Outcome::Refused(code) => panic!("createKey: {code}"),
            Outcome::Open => false,
        }
    }

    fn any_key(&mut self, state: Option<&'static str>) -> Option<String> {
        let fits = |states: &[&str]| state.is_none_or(|state| states == [state]);
        let keys: Vec<&String> =
            self.keys.iter().filter(|(_, states)| fits(states)).map(|(key, _)| key).collect();
        self.random.choice(keys).cloned()
    }

    fn create_alias(&mut self) -> bool {
        let Some(key) = self.any_key(None) else { return true };
        let name = format!("alias/{}", new_id());
        self.aliases.insert(name.clone(), vec![None, Some(key.clone())]);
        self.touched.insert(name.clone());
        match self.call("/keyName/createAlias", &json!({"cmkUuid": key, "aliasName": name})) {
            Outcome::Done(_) => self.aliases.insert(name, vec![Some(key)]),
            // A key has a limited number of names.
            Outcome::Refused(_) => self.aliases.insert(name, vec![None]),
            Outcome::Open => return false,
        };
        true
    }

    /// An alias that is known to be there.
    fn any_alias(&mut self) -> Option<String> {
        let stands = |states: &[Option<String>]| states.len() == 1 && states[0].is_some();
        let names: Vec<&String> =
            self.aliases.iter().filter(|(_, states)| stands(states)).map(|(name, _)| name).collect();
        self.random.choice(names).cloned()
    }

    fn move_alias(&mut self) -> bool {
        let (Some(key), Some(name)) = (self.any_key(None), self.any_alias()) else { return true };
        self.aliases.get_mut(&name).unwrap().push(Some(key.clone()));
        self.touched.insert(name.clone());
        match self.call("/keyName/updateAlias", &json!({"cmkUuid": key, "aliasName": name})) {
            Outcome::Done(_) => self.aliases.insert(name, vec![Some(key)]),
            Outcome::Refused(code) => panic!("updateAlias: {code}"),
            Outcome::Open => return false,
        };
        true
    }

    fn delete_alias(&mut self) -> bool {
        let Some(name) = self.any_alias() else { return true };
        self.aliases.get_mut(&name).unwrap().push(None);
        self.touched.insert(name.clone());
        match self.call("/keyName/deleteAlias", &json!({"aliasName": name})) {
            Outcome::Done(_) => self.aliases.insert(name, vec![None]),
            Outcome::Refused(code) => panic!("deleteAlias: {code}"),
            Outcome::Open => return false,
        };
        true
    }

    fn switch_key(&mut self) -> bool {
        let Some(key) = self.any_key(None) else { return true };
        let [state] = self.keys[&key][..] else { return true };
        let (path, wanted) = match state {
            ENABLED => ("/cmkManage/disableKey", DISABLED),
            _ => ("/cmkManage/enableKey", ENABLED),
        };
        self.keys.get_mut(&key).unwrap().push(wanted);
        self.touched.insert(key.clone());
        match self.call(path, &json!({"cmkUuid": key})) {
            Outcome::Done(_) => self.keys.insert(key, vec![wanted]),
            Outcome::Refused(code) => panic!("{path} from {state}: {code}"),
            Outcome::Open => return false,
        };
        true
    }

    fn create_credential(&mut self, ready: &Value) -> bool {
        let body = json!({"accessPointId": self.account["accessPointId"]});
        match self.call("/userAk/createUserAk", &body) {
            Outcome::Done(credential) => {
                let pair = (text(&credential["accessKey"]), text(&credential["secretKey"]));
                self.access_point = Some(AccessPoint {
                    endpoint: text(&ready["accessPoint"]),
                    access_key: pair.0.clone(),
                    secret_key: pair.1.clone(),
                    clock: Clock::system(),
                    agent: agent(),
                });
                self.credentials.push(pair);
                true
            }
            Outcome::Refused(code) => panic!("createUserAk: {code}"),
            Outcome::Open => false,
        }
    }

    fn context(&mut self) -> Value {
        if self.random.bool() { json!({"purpose": new_id()}) } else { json!({}) }
    }

    fn encrypt(&mut self) -> bool {
        let Some(key) = self.any_key(Some(ENABLED)) else { return true };
        let length = self.random.usize(1..200);
        let plaintext = base64((0..length).map(|_| self.random.u8(..)).collect::<Vec<_>>());
        let context = self.context();
        let body = json!({"cmkUuid": key, "plaintext": plaintext, "encryptionContext": context.to_string()});
        match self.call("/keyCompute/encrypt", &body) {
            Outcome::Done(made) => {
                let blob = made["ciphertextBlob"].clone();
                self.sealed.push(Sealed { key, blob, plaintext: plaintext.into(), context });
                true
            }
            Outcome::Refused(code) => panic!("encrypt: {code}"),
            Outcome::Open => false,
        }
    }

    fn re_encrypt(&mut self) -> bool {
        let Some(key) = self.any_key(Some(ENABLED)) else { return true };
        let usable = self.sealed.iter().filter(|sealed| self.keys[&sealed.key] == [ENABLED]);
        let Some(sealed) = self.random.choice(usable.collect::<Vec<_>>()) else { return true };
        let (blob, context, plaintext) = (&sealed.blob, sealed.context.clone(), sealed.plaintext.clone());
        let body = json!({
            "ciphertextBlob": blob, "destinationCmkUuid": key, "sourceEncryptionContext": context.to_string(),
            "destinationEncryptionContext": context.to_string(),
        });
        match self.call("/keyCompute/reEncrypt", &body) {
            Outcome::Done(made) => {
                let blob = made["ciphertextBlob"].clone();
                self.sealed.push(Sealed { key, blob, plaintext, context });
                true
            }
            Outcome::Refused(code) => panic!("reEncrypt: {code}"),
            Outcome::Open => false,
        }
    }

    fn data_key(&mut self) -> bool {
        let Some(key) = self.any_key(Some(ENABLED)) else { return true };
        match self.call("/keyCompute/generateDataKey", &json!({"cmkUuid": key})) {
            Outcome::Done(made) => {
                let (blob, plaintext) = (made["ciphertextBlob"].clone(), made["plaintext"].clone());
                self.sealed.push(Sealed { key, blob, plaintext, context: json!({}) });
                true
            }
            Outcome::Refused(code) => panic!("generateDataKey: {code}"),
            Outcome::Open => false,
        }
    }

    fn read(&mut self) -> bool {
        let Some(key) = self.any_key(None) else { return true };
        !matches!(self.call("/keyManage/describeKey", &json!({"cmkUuid": key})), Outcome::Open)
    }

    /// Holds the ledger against the service: everything, or what is new and a sample of the rest.
    fn check(&mut self, everything: bool) {
        // The requests of this check are looked for by the next one.
        let mut requests = std::mem::take(&mut self.requests);
        self.check_keys(everything);
        self.check_aliases(everything);
        self.check_credentials(everything);
        self.check_sealed(everything);
        self.touched.clear();
        if everything {
            requests.extend(self.requests_seen.iter().cloned());
        }
        self.check_records(&requests);
        self.requests_seen.extend(requests);
    }

    /// What to look at of the names of a kind.
    fn chosen(&mut self, names: Vec<String>, everything: bool) -> Vec<String> {
        let sample = self.random.choose_multiple(names.iter().cloned(), SAMPLE);
        names
            .into_iter()
            .filter(|name| everything || self.touched.contains(name) || sample.contains(name))
            .collect()
    }

    fn check_keys(&mut self, everything: bool) {
        for key in self.chosen(self.keys.keys().cloned().collect(), everything) {
            let possible = self.keys[&key].clone();
            let found = match self.call("/keyManage/describeKey", &json!({"cmkUuid": key})) {
                Outcome::Done(found) => text(&found["keyState"]),
                Outcome::Refused(code) => code,
                Outcome::Open => panic!("the ledger cannot be checked: {}", self.last),
            };
            match possible.iter().find(|state| **state == found) {
                Some(state) => drop(self.keys.insert(key, vec![state])),
                None => self.tally.lost.push(format!("key {key}: {found} instead of {possible:?}")),
            }
        }
    }

    fn check_aliases(&mut self, everything: bool) {
        for name in self.chosen(self.aliases.keys().cloned().collect(), everything) {
            let possible = self.aliases[&name].clone();
            let found = match self.call("/keyManage/describeKey", &json!({"cmkUuid": name})) {
                Outcome::Done(found) => Some(text(&found["cmkUuid"])),
                Outcome::Refused(_) => None,
                Outcome::Open => panic!("the ledger cannot be checked: {}", self.last),
            };
            if possible.contains(&found) {
                self.aliases.insert(name, vec![found]);
            } else {
                self.tally.lost.push(format!("{name}: {found:?} instead of {possible:?}"));
            }
        }
    }

    fn check_credentials(&mut self, everything: bool) {
        let Some(mut access_point) = self.access_point.clone() else { return };
        let from = if everything { 0 } else { self.credentials_seen };
        for (access_key, secret_key) in &self.credentials[from..] {
            access_point.access_key.clone_from(access_key);
            access_point.secret_key.clone_from(secret_key);
            let answer = access_point.call("/get/messageDigest", json!({"input": "abc"}));
            if answer.success().is_none() {
                self.tally.lost.push(format!("credential {access_key}: {}", answer.body));
            }
        }
        self.credentials_seen = self.credentials.len();
    }

    fn check_sealed(&mut self, everything: bool) {
        let from = if everything { 0 } else { self.sealed_seen };
        let old = self.random.choose_multiple(0..from, SAMPLE);
        for at in (from..self.sealed.len()).chain(old) {
            let key = self.sealed[at].key.clone();
            if self.keys[&key] == [DISABLED] {
                match self.call("/cmkManage/enableKey", &json!({"cmkUuid": key})) {
                    Outcome::Done(_) => drop(self.keys.insert(key, vec![ENABLED])),
                    _ => self.tally.lost.push(format!("key {key} cannot be enabled")),
                }
            }
            let sealed = &self.sealed[at];
            let body = json!({
                "ciphertextBlob": sealed.blob, "encryptionContext": sealed.context.to_string(),
            });
            let wanted = sealed.plaintext.clone();
            match self.call("/keyCompute/decrypt", &body) {
                Outcome::Done(opened) if opened["plaintext"] == wanted => {}
                Outcome::Done(_) => self.tally.lost.push(format!("ciphertext {at}: another plaintext")),
                Outcome::Refused(code) => self.tally.lost.push(format!("ciphertext {at}: {code}")),
                Outcome::Open => panic!("the ledger cannot be checked: {}", self.last),
            }
        }
        self.sealed_seen = self.sealed.len();
    }

    /// Pages through the audit records, newest first, until all of these successes are found.
    fn check_records(&mut self, requests: &[String]) {
        let mut missing: BTreeSet<&str> = requests.iter().map(String::as_str).collect();
        let mut cursor = Value::Null;
        while !missing.is_empty() {
            let body = json!({"pageSize": 100, "cursor": cursor});
            let page = match self.call("/audit/queryAudit", &body) {
                Outcome::Done(page) => page,
                Outcome::Refused(code) => panic!("queryAudit {body}: {code}"),
                Outcome::Open => panic!("the ledger cannot be checked: {}", self.last),
            };
            for record in page["records"].as_array().unwrap() {
                if record["httpStatus"] == 200 {
                    missing.remove(record["requestId"].as_str().unwrap());
                }
            }
            cursor = page["nextCursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        self.tally.unaudited.extend(missing.into_iter().map(str::to_owned));
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// One appliance and its clients.
pub struct Appliance {
    pub home: Home,
    pub clients: Vec<Client>,
    pub random: Rng,
}

impl Appliance {
    /// Initialises an appliance and gives each client its account; all of it is durable.
    pub fn new(clients: usize, seed: u64) -> Self {
        let mut appliance = Self { home: Home::new(), clients: Vec::new(), random: Rng::with_seed(seed) };
        let (program, ready) = appliance.home.serve();
        let first = Client::new(appliance.home.first(), &ready, appliance.random.fork());
        for number in 1..clients {
            let account =
                first.openapi.ok("/account/createAccount", json!({"name": format!("client {number}")}));
            appliance.clients.push(Client::new(account, &ready, appliance.random.fork()));
        }
        appliance.clients.push(first);
        assert!(program.stop().status.success());
        appliance
    }

    /// An appliance that was started elsewhere, with one client in its first account.
    pub fn started(home: Home, ready: &Value, seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let client = Client::new(home.first(), ready, random.fork());
        Self { home, clients: vec![client], random }
    }

    /// The service on this data directory, with rates that nobody reaches.
    pub fn command(&self) -> Command {
        let mut command = self.home.command(&["serve"]);
        plenty(&mut command);
        command
    }

    /// Starts the service; the clients find it.
    pub fn serve(&mut self) -> (Program, Value) {
        let (program, ready) = self.home.serve_by(self.command());
        self.clients.iter_mut().for_each(|client| client.connect(&ready));
        (program, ready)
    }

    /// Lets all clients find a service that was started by another command.
    pub fn connect(&mut self, ready: &Value) {
        self.clients.iter_mut().for_each(|client| client.connect(ready));
    }

    /// All clients work while something happens to the service.
    pub fn load<T>(&mut self, ready: &Value, meanwhile: impl FnOnce() -> T) -> T {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            for client in &mut self.clients {
                let stop = &stop;
                scope.spawn(move || client.work(ready, stop));
            }
            let happened = meanwhile();
            stop.store(true, Ordering::Relaxed);
            happened
        })
    }

    /// Holds every ledger against the running service.
    pub fn check(&mut self, everything: bool) {
        thread::scope(|scope| {
            for client in &mut self.clients {
                scope.spawn(move || client.check(everything));
            }
        });
    }

    /// Starts the service once more, checks every ledger as a whole, and adds them up.
    pub fn finish(mut self) -> Tally {
        let (_program, _) = self.serve();
        self.check(true);
        let mut tally = Tally::default();
        self.clients.into_iter().for_each(|client| tally.add(client.tally));
        tally
    }
}

/// Settings that no test reaches the bounds of.
pub fn plenty(command: &mut Command) {
    for class in [
        "KEY_CREATE",
        "KEY_READ",
        "KEY_WRITE",
        "SYMMETRIC",
        "INTEGRITY",
        "RANDOM",
        "OTHER_READ",
        "OTHER_WRITE",
    ] {
        for plane in ["OPENAPI", "ACCESS_POINT"] {
            command.env(format!("YAOKU_RATES_{class}_{plane}"), "1000000");
        }
    }
    command.env("YAOKU_QUOTA_KEYS_PER_BASE_INSTANCE", "1000000");
}
