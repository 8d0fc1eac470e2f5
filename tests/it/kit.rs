//! The test kit: starts the real service in this process on free ports, with a clock that stands still until a test
//! moves it and a temporary data directory in memory, and calls it over TLS on both planes. The signatures here are
//! written from the contract, apart from the service's own code.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use firmware_sim::{Entropy, EntropyFailed};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use ureq::Agent;
use ureq::tls::{TlsConfig, TlsProvider};
use yaoku::api::{Arrival, Call};
use yaoku::app::App;
use yaoku::catalog;
use yaoku::config::Config;
use yaoku::env::{Clock, Disk, Env, SystemEntropy, Timestamp};
use yaoku::gateway::Gateway;
use yaoku::model::principal::{Plane, Principal};
use yaoku::model::rate::{Rate, Rates};
use yaoku::server::{ReadyLine, Server};
use yaoku::store::EopTrace;

/// When every test begins: 2026-11-02T00:00:00Z, a Monday.
pub const START: Timestamp = Timestamp::from_seconds(1_793_577_600);

/// Base64 of some bytes.
pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// Bytes of some Base64.
pub fn unbase64(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// A fresh UUID-shaped request id.
pub fn new_id() -> String {
    let mut bytes = [0; 16];
    SystemEntropy.fill(&mut bytes).unwrap();
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}

/// A temporary directory in memory, where there is such a thing.
pub fn temporary() -> TempDir {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory).unwrap() } else { TempDir::new().unwrap() }
}

/// The system's generator, with every output on record: a test that injects it knows the keys that were made. A test can
/// also break it: from then on it gives the same byte for ever.
#[derive(Default)]
pub struct Recorder(pub Mutex<Vec<Vec<u8>>>, pub AtomicBool);

impl Entropy for Recorder {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
        SystemEntropy.fill(out)?;
        if self.1.load(Ordering::Acquire) {
            out.fill(0x55);
        }
        self.0.lock().unwrap().push(out.to_vec());
        Ok(())
    }
}

/// Calls an operation by its path tail.
pub type Caller = Box<dyn Fn(&str, Value) -> Answer>;

/// Asks again and again until there is an answer; gives up after half a minute.
pub fn poll<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} did not happen within half a minute");
}

/// Runs the same work on many threads at once; the answers come in the order of the threads' numbers.
pub fn parallel<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (start, work) = (std::sync::Barrier::new(threads), &work);
    std::thread::scope(|scope| {
        let start = &start;
        let spawn = |number| {
            scope.spawn(move || {
                start.wait();
                work(number)
            })
        };
        let running: Vec<_> = (0..threads).map(spawn).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A client that takes every certificate.
pub fn agent() -> Agent {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .disable_verification(true)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .new_agent()
}

/// A running service.
pub struct Service {
    /// Kept so that the data directory goes when the service does.
    _directory: TempDir,
    pub config: Config,
    pub clock: Clock,
    pub entropy: Arc<Recorder>,
    pub ready: ReadyLine,
    /// Contents of `first-run.json`.
    pub first: Value,
    disk: Disk,
    /// Whether it is made as a demo.
    demo: bool,
    running: Option<Running>,
}

struct Running {
    gateway: Option<Arc<Gateway>>,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Service {
    /// Starts a new appliance with generous rates.
    pub fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts a new demo, which has every operation, with this disk under its database.
    pub fn demo(disk: Disk, change: impl FnOnce(&mut Config)) -> Self {
        let mut service = Self::stopped_on(temporary(), disk, change);
        service.demo = true;
        service.restart();
        service
    }

    /// Starts a new appliance whose settings a test has changed.
    pub fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_on(temporary(), Disk::System, change)
    }

    /// Starts a new appliance in this directory, with this disk under its database.
    pub fn start_on(directory: TempDir, disk: Disk, change: impl FnOnce(&mut Config)) -> Self {
        let mut service = Self::stopped_on(directory, disk, change);
        service.restart();
        service
    }

    /// An appliance that is not started yet, and not initialised either.
    pub fn stopped_on(directory: TempDir, disk: Disk, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { data: directory.path().join("data"), ..Config::default() };
        config.openapi.listen = "127.0.0.1:0".parse().unwrap();
        config.access_point.listen = "127.0.0.1:0".parse().unwrap();
        config.cron.tick_seconds = 1;
        // Making wrapping keys takes time that few tests need.
        config.import.spare_wrapping_keys = 0;
        config.store.reserve_bytes = 1 << 16;
        config.rates = same_rates(Rate { openapi: 100_000, access_point: 100_000 });
        change(&mut config);
        let (clock, entropy) = (Clock::manual(START), Arc::new(Recorder::default()));
        let nowhere = String::new;
        let ready = ReadyLine {
            event: nowhere(),
            openapi: nowhere(),
            access_point: nowhere(),
            console: nowhere(),
            metrics: None,
        };
        let (first, demo, running) = (Value::Null, false, None);
        Self { _directory: directory, config, clock, entropy, ready, first, disk, demo, running }
    }

    /// Stops the service as SIGTERM does; everything is durable afterwards.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            let Running { gateway, stop, thread } = running;
            drop(gateway);
            stop.send(()).unwrap();
            thread.join().unwrap();
        }
    }

    /// Starts it again on the same data.
    pub fn restart(&mut self) {
        self.try_restart().expect("the service starts");
    }

    /// Starts it again after a new start of its machine, whose wall clock then shows `wall`.
    pub fn restart_at(&mut self, wall: Timestamp) {
        self.stop();
        self.clock.set(wall);
        self.clock.reboot();
        self.restart();
    }

    /// Starts it again on the same data, or says why it refuses.
    pub fn try_restart(&mut self) -> Result<(), String> {
        self.stop();
        let env = Env { clock: self.clock.clone(), entropy: self.entropy.clone(), disk: self.disk.clone() };
        let (running, ready) = Running::start(&self.config, env, self.demo)?;
        let first = std::fs::read(self.config.data.join("first-run.json")).unwrap();
        (self.ready, self.first) = (ready, serde_json::from_slice(&first).unwrap());
        self.running = Some(running);
        Ok(())
    }

    /// The running appliance behind its listeners.
    pub fn app(&self) -> &App {
        self.running_gateway().app()
    }

    /// Where the listeners hand their calls.
    pub fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(self.running_gateway())
    }

    fn running_gateway(&self) -> &Arc<Gateway> {
        let running = self.running.as_ref().expect("the service runs");
        running.gateway.as_ref().expect("nobody has to unlock the machine")
    }

    /// The first administrator on the OpenAPI plane.
    pub fn admin(&self) -> OpenApi {
        self.person(&self.first)
    }

    /// The person of a `first-run.json` or of a result of createAccount.
    pub fn person(&self, account: &Value) -> OpenApi {
        OpenApi {
            endpoint: self.ready.openapi.clone(),
            access_key: account["openapi"]["accessKey"].as_str().unwrap().into(),
            secret_key: account["openapi"]["secretKey"].as_str().unwrap().into(),
            clock: self.clock.clone(),
            agent: self.agent(),
        }
    }

    /// A second tenant: its person, and the whole result of createAccount.
    pub fn tenant(&self) -> (OpenApi, Value) {
        let account = self.admin().ok("/account/createAccount", json!({"name": "second"}));
        (self.person(&account), account)
    }

    /// An application with a new credential of an account's default access point.
    pub fn application(&self, person: &OpenApi, account: &Value) -> AccessPoint {
        let credential =
            person.ok("/userAk/createUserAk", json!({"accessPointId": account["accessPointId"]}));
        AccessPoint {
            endpoint: self.ready.access_point.clone(),
            access_key: credential["accessKey"].as_str().unwrap().into(),
            secret_key: credential["secretKey"].as_str().unwrap().into(),
            clock: self.clock.clone(),
            agent: self.agent(),
        }
    }

    /// A cloud product with a new credential of a person's account: it signs as people do.
    pub fn product(&self, person: &OpenApi, code: &str) -> OpenApi {
        let credential = person.ok("/product/createProductCredential", json!({"serviceCode": code}));
        OpenApi {
            access_key: credential["accessKey"].as_str().unwrap().into(),
            secret_key: credential["secretKey"].as_str().unwrap().into(),
            ..person.clone()
        }
    }

    /// A call of the appliance itself, for changes that no operation makes.
    pub fn internal_call(&self) -> Call {
        let (app, clock) = (self.app(), self.clock.clone());
        let arrival = Arrival {
            id: new_id(),
            plane: Plane::Internal,
            source: None,
            user_agent: String::new(),
            time: app.store.time().read(),
            arrived: (clock.monotonic(), clock),
        };
        let spec = catalog::by_name("rewrapKey").unwrap().spec;
        Call::new(arrival, spec, Principal::System, app.store.reserve().unwrap(), EopTrace::default())
    }

    /// An application of the first account.
    pub fn first_application(&self) -> AccessPoint {
        self.application(&self.admin(), &self.first)
    }

    /// The first administrator and an application of the first account, as functions that call an operation: what
    /// holds on both planes is asked of both.
    pub fn planes(&self) -> [(&'static str, Caller); 2] {
        let (admin, application) = (self.admin(), self.first_application());
        [
            ("OpenAPI", Box::new(move |path, body| admin.call(path, body))),
            ("access point", Box::new(move |path, body| application.call(path, body))),
        ]
    }

    /// The CA file of the appliance.
    pub fn ca(&self) -> PathBuf {
        self.config.data.join("tls/ca.pem")
    }

    /// A client that takes the certificate as it is: it is made out by the test's clock, and a client reads the real
    /// one. That the certificate verifies is shown on the real program.
    pub fn agent(&self) -> Agent {
        agent()
    }

    /// All audit records of the first account and of the appliance, oldest first.
    pub fn audit(&self) -> Vec<Value> {
        let (admin, mut records, mut cursor) = (self.admin(), Vec::new(), Value::Null);
        loop {
            let page = admin.ok("/audit/queryAudit", json!({"pageSize": 100, "cursor": cursor}));
            records.extend(page["records"].as_array().unwrap().iter().cloned());
            cursor = page["nextCursor"].clone();
            if cursor.is_null() {
                records.reverse();
                return records;
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.stop.send(());
            let _ = running.thread.join();
        }
    }
}

impl Running {
    fn start(config: &Config, env: Env, demo: bool) -> Result<(Self, ReadyLine), String> {
        let config = config.clone();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (ready_sender, ready) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix::System::new().block_on(async move {
                match start(&config, &env, demo).await {
                    Ok(server) => {
                        let gateway = server.gateway();
                        ready_sender.send(Ok((server.ready.clone(), gateway))).unwrap();
                        drop(ready_sender);
                        let _ = stopped.await;
                        server.stop().await;
                    }
                    Err(error) => ready_sender.send(Err(error)).unwrap(),
                }
            });
        });
        match ready.recv_timeout(Duration::from_secs(60)) {
            Ok(Ok((ready, gateway))) => Ok((Self { gateway, stop, thread }, ready)),
            Ok(Err(error)) => {
                thread.join().unwrap();
                Err(error)
            }
            Err(error) => panic!("the service neither started nor refused to: {error}"),
        }
    }
}

/// Initialises if need be and starts; the reason of a refusal with its cause, as the command line prints it.
async fn start(config: &Config, env: &Env, demo: bool) -> Result<Server, String> {
    let explain = |error: yaoku::error::Error| match std::error::Error::source(&error) {
        Some(cause) => cause.to_string(),
        None => error.to_string(),
    };
    if !yaoku::server::is_initialised(config).map_err(explain)? {
        yaoku::server::initialise(config, env, demo).await.map_err(explain)?;
    }
    Server::start(config, env).await.map_err(explain)
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Answer {
    /// The result object; nothing if the call was refused.
    pub fn success(&self) -> Option<&Value> {
        let result = match self.body["statusCode"].as_u64() {
            Some(800) => &self.body["returnObj"]["result"],
            Some(_) => &self.body["result"],
            None => &self.body["data"],
        };
        (self.status == 200 && !result.is_null()).then_some(result)
    }

    /// The result object; panics with the whole answer if there is none.
    pub fn result(&self) -> Value {
        self.success().unwrap_or_else(|| panic!("not a success: {self:?}")).clone()
    }

    /// The error code; panics if the call succeeded.
    pub fn code(&self) -> String {
        let code = self.body["errorCode"].as_str().or(self.body["code"].as_str());
        code.unwrap_or_else(|| panic!("not a failure: {self:?}")).to_owned()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

/// Sends one request and reads the answer.
pub fn send(agent: &Agent, method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    try_send(agent, method, url, headers, body).unwrap()
}

/// Sends one request to a service that may be about to stop.
pub fn try_send(
    agent: &Agent,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, ureq::Error> {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    let mut answer = match (method, body) {
        ("GET", []) => agent.run(request.body(()).unwrap())?,
        _ => agent.run(request.body(body.to_vec()).unwrap())?,
    };
    let headers = answer.headers().iter();
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let headers = headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect();
    let text = answer.body_mut().read_to_string()?;
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    crate::api_document::check_documented(url, &body);
    Ok(Answer { status: answer.status().as_u16(), headers, body })
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// A person on the OpenAPI plane.
#[derive(Clone)]
pub struct OpenApi {
    pub endpoint: String,
    pub access_key: String,
    pub secret_key: String,
    pub clock: Clock,
    pub agent: Agent,
}

/// Everything that a test may want to send otherwise.
#[derive(Clone)]
pub struct EopRequest {
    pub method: &'static str,
    pub path: String,
    pub query: String,
    /// What is signed as the query; normally the same.
    pub signed_query: String,
    pub body: Vec<u8>,
    pub id: String,
    pub date: String,
    pub access_key: String,
    pub secret_key: String,
}

impl OpenApi {
    /// Calls an operation by its path tail.
    pub fn call(&self, path: &str, body: Value) -> Answer {
        self.send(self.request(path, body.to_string().as_bytes()))
    }

    /// Calls an operation of a service that may be about to end.
    pub fn try_call(&self, path: &str, body: &Value) -> Result<Answer, ureq::Error> {
        let request = self.request(path, body.to_string().as_bytes());
        let authorization = request.authorization();
        try_send(&self.agent, "POST", &self.url(&request), &request.headers(&authorization), &request.body)
    }

    /// Calls an operation that must succeed.
    pub fn ok(&self, path: &str, body: Value) -> Value {
        self.call(path, body).result()
    }

    /// Calls an operation that must be refused; returns the code.
    pub fn refused(&self, path: &str, body: Value) -> String {
        self.call(path, body).code()
    }

    /// Reads by GET; the query is signed as it is sent.
    pub fn get(&self, path: &str, query: &str) -> Answer {
        let (query, request) = (query.to_owned(), self.request(path, b""));
        self.send(EopRequest { method: "GET", signed_query: query.clone(), query, ..request })
    }

    /// A correct request, to be changed and sent.
    pub fn request(&self, path: &str, body: &[u8]) -> EopRequest {
        EopRequest {
            method: "POST",
            path: format!("/v1{path}"),
            query: String::new(),
            signed_query: String::new(),
            body: body.to_vec(),
            id: new_id(),
            date: eop_date(self.clock.now()),
            access_key: self.access_key.clone(),
            secret_key: self.secret_key.clone(),
        }
    }

    /// Signs and sends.
    pub fn send(&self, request: EopRequest) -> Answer {
        let authorization = request.authorization();
        let headers = request.headers(&authorization);
        send(&self.agent, request.method, &self.url(&request), &headers, &request.body)
    }

    /// Where a request goes.
    pub fn url(&self, request: &EopRequest) -> String {
        let mark = if request.query.is_empty() { "" } else { "?" };
        format!("{}{}{mark}{}", self.endpoint, request.path, request.query)
    }
}

impl EopRequest {
    /// The headers of a request with this `Eop-Authorization`.
    pub fn headers<'a>(&'a self, authorization: &'a str) -> [(&'static str, &'a str); 4] {
        [
            ("content-type", "application/json"),
            ("ctyun-eop-request-id", &self.id),
            ("Eop-date", &self.date),
            ("Eop-Authorization", authorization),
        ]
    }

    /// The value of `Eop-Authorization` (contract 2.1).
    pub fn authorization(&self) -> String {
        let body_hash = hex::encode(Sha256::digest(&self.body));
        let text = format!(
            "ctyun-eop-request-id:{}\neop-date:{}\n\n{}\n{body_hash}",
            self.id, self.date, self.signed_query
        );
        let signature = eop_signature(&self.access_key, &self.secret_key, &self.date, &text);
        format!("{} Headers=ctyun-eop-request-id;eop-date Signature={signature}", self.access_key)
    }
}

/// The signature of a string to sign (contract 2.1).
pub fn eop_signature(access_key: &str, secret_key: &str, date: &str, text: &str) -> String {
    let time_key = hmac_sha256(secret_key.as_bytes(), date.as_bytes());
    let ak_key = hmac_sha256(&time_key, access_key.as_bytes());
    let day_key = hmac_sha256(&ak_key, &date.as_bytes()[..8.min(date.len())]);
    base64(hmac_sha256(&day_key, text.as_bytes()))
}

/// `yyyyMMdd'T'HHmmss'Z'` of a moment, in UTC.
pub fn eop_date(at: Timestamp) -> String {
    at.to_string().replace(['-', ':'], "")
}

/// An application on the access-point plane.
#[derive(Clone)]
pub struct AccessPoint {
    pub endpoint: String,
    pub access_key: String,
    pub secret_key: String,
    pub clock: Clock,
    pub agent: Agent,
}

impl AccessPoint {
    /// Calls an operation by its path.
    pub fn call(&self, path: &str, body: Value) -> Answer {
        self.try_call(path, &body).unwrap()
    }

    /// Calls an operation of a service that may be about to end.
    pub fn try_call(&self, path: &str, body: &Value) -> Result<Answer, ureq::Error> {
        let date = access_point_date(self.clock.now());
        let mac = self.mac(path, body, &date);
        let (headers, url) = (self.headers(&date, &mac), format!("{}{path}", self.endpoint));
        try_send(&self.agent, "POST", &url, &headers, body.to_string().as_bytes())
    }

    fn headers<'a>(&'a self, date: &'a str, mac: &'a str) -> [(&'static str, &'a str); 4] {
        [
            ("content-type", "application/json"),
            ("accessKey", &self.access_key),
            ("requestDate", date),
            ("hmac", mac),
        ]
    }

    /// Calls an operation that must succeed.
    pub fn ok(&self, path: &str, body: Value) -> Value {
        self.call(path, body).result()
    }

    /// Calls an operation that must be refused; returns the code.
    pub fn refused(&self, path: &str, body: Value) -> String {
        self.call(path, body).code()
    }

    /// Reads by GET with the query as sent; `fields` are the same values, for the MAC.
    pub fn get(&self, path: &str, query: &str, fields: Value) -> Answer {
        let date = access_point_date(self.clock.now());
        let mac = self.mac(path, &fields, &date);
        self.send_with("GET", &format!("{path}?{query}"), &date, &mac, b"")
    }

    /// Sends with the given date and MAC.
    pub fn send(&self, path: &str, date: &str, mac: &str, body: &[u8]) -> Answer {
        self.send_with("POST", path, date, mac, body)
    }

    /// Sends by any method with the given date and MAC.
    pub fn send_with(&self, method: &str, path: &str, date: &str, mac: &str, body: &[u8]) -> Answer {
        send(&self.agent, method, &format!("{}{path}", self.endpoint), &self.headers(date, mac), body)
    }

    /// The value of `hmac` (contract 2.2) for a body of scalars.
    pub fn mac(&self, path: &str, body: &Value, date: &str) -> String {
        let mut fields: Vec<(String, String)> = body
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| match value {
                Value::String(text) => (name.clone(), text.clone()),
                Value::Null => (name.clone(), String::new()),
                other => (name.clone(), other.to_string()),
            })
            .collect();
        fields.push(("accessKey".into(), self.access_key.clone()));
        fields.sort();
        let values: Vec<String> = fields.into_iter().map(|(_, value)| value).collect();
        let content = base64(Md5::digest(values.join("\n")));
        base64(hmac_sha256(self.secret_key.as_bytes(), format!("{content}\n{date}\n{path}").as_bytes()))
    }
}

/// `EEE, dd MMM yyyy HH:mm:ss CST` of a moment.
pub fn access_point_date(at: Timestamp) -> String {
    let at = time::OffsetDateTime::from_unix_timestamp(at.seconds() + 8 * 3600).unwrap();
    let (weekday, month) = (at.weekday().to_string(), at.month().to_string());
    format!(
        "{}, {:02} {} {} {:02}:{:02}:{:02} CST",
        &weekday[..3],
        at.day(),
        &month[..3],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

/// The same rate for every class.
pub fn same_rates(rate: Rate) -> Rates {
    Rates {
        key_create: rate,
        key_read: rate,
        key_write: rate,
        symmetric: rate,
        asymmetric: rate,
        default_key: rate,
        integrity: rate,
        random: rate,
        other_read: rate,
        other_write: rate,
    }
}
