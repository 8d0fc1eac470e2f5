//! Clients that are slow, many, ambiguous or too much: whatever they do, a client who behaves succeeds with every call,
//! on both planes, over new connections and over kept ones.

mod bodies;
mod dead;
mod flood;
mod framing;
mod overload;
mod slow;
mod wire;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use yaoku::env::Clock;

use crate::kit::{AccessPoint, OpenApi, agent, base64};
use crate::ledger::figure;
use crate::program::{Home, Program};

/// What the probes call; both leave an audit record.
const DIGEST: &str = "/get/messageDigest";
const ENCRYPT: &str = "/keyCompute/encrypt";
/// Between two calls of a probe: it shall measure the service, not be a load of its own.
const PACE: Duration = Duration::from_millis(20);

/// The real program under attack.
struct Target {
    /// Kept so that the data directory goes when the program does.
    _home: Home,
    program: Program,
    admin: OpenApi,
    application: AccessPoint,
    probe: Probe,
}

/// A client who behaves.
#[derive(Clone)]
struct Probe {
    admin: OpenApi,
    application: AccessPoint,
    key: Value,
}

impl Probe {
    /// One call on one plane, over a new connection or the client's own.
    fn call(&self, plane: usize, client: &ureq::Agent) -> Result<(), String> {
        let answer = match plane {
            0 => OpenApi { agent: client.clone(), ..self.admin.clone() }
                .try_call(DIGEST, &json!({"input": "probe"})),
            _ => AccessPoint { agent: client.clone(), ..self.application.clone() }
                .try_call(ENCRYPT, &json!({"cmkUuid": self.key, "plaintext": base64("probe")})),
        };
        match answer {
            Ok(answer) if answer.success().is_some() => Ok(()),
            Ok(answer) => Err(format!("{answer:?}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Target {
    /// Starts a new appliance with generous rates and these settings.
    fn start(settings: &[(&str, &str)]) -> Self {
        let home = Home::new();
        let mut command = home.command(&["serve"]);
        for class in ["INTEGRITY", "SYMMETRIC", "KEY_CREATE", "KEY_READ", "OTHER_READ", "OTHER_WRITE"] {
            command.env(format!("YAOKU_RATES_{class}_OPENAPI"), "100000");
            command.env(format!("YAOKU_RATES_{class}_ACCESS_POINT"), "100000");
        }
        command.envs(settings.iter().copied());
        let (program, ready) = home.serve_by(command);
        let (first, clock) = (home.first(), Clock::system());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let admin = OpenApi {
            endpoint: text(&ready["openapi"]),
            access_key: text(&first["openapi"]["accessKey"]),
            secret_key: text(&first["openapi"]["secretKey"]),
            clock: clock.clone(),
            agent: agent(),
        };
        let credential = admin.ok("/userAk/createUserAk", json!({"accessPointId": first["accessPointId"]}));
        let application = AccessPoint {
            endpoint: text(&ready["accessPoint"]),
            access_key: text(&credential["accessKey"]),
            secret_key: text(&credential["secretKey"]),
            clock,
            agent: agent(),
        };
        let key = admin.ok("/cmkManage/createKey", json!({"aliasName": "alias/probe"}))["cmkUuid"].clone();
        let probe = Probe { admin: admin.clone(), application: application.clone(), key };
        Self { _home: home, program, admin, application, probe }
    }

    fn endpoints(&self) -> [&str; 2] {
        [&self.admin.endpoint, &self.application.endpoint]
    }

    /// A line of `/proc/PID/status` in megabytes: VmRSS is what is resident now, VmHWM the most it ever was.
    fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.program.child.id())).unwrap();
        let line = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }

    /// Runs an attack while probes call without a break; every one of their calls must succeed.
    fn withstands<T>(&self, name: &str, attack: impl FnOnce() -> T) -> T {
        let (over, calls) = (AtomicBool::new(false), AtomicUsize::new(0));
        let failures: std::sync::Mutex<Vec<String>> = std::sync::Mutex::default();
        let outcome = std::thread::scope(|scope| {
            for (plane, fresh) in [(0, true), (0, false), (1, true), (1, false)] {
                let (over, calls, failures, probe) = (&over, &calls, &failures, self.probe.clone());
                scope.spawn(move || {
                    let kept = agent();
                    while !over.load(Ordering::Acquire) {
                        let result = probe.call(plane, &if fresh { agent() } else { kept.clone() });
                        calls.fetch_add(1, Ordering::Relaxed);
                        if let Err(error) = result {
                            failures.lock().unwrap().push(format!("plane {plane}, new {fresh}: {error}"));
                        }
                        std::thread::sleep(PACE);
                    }
                });
            }
            let _over = Over(&over);
            attack()
        });
        let (calls, failures) = (calls.into_inner(), failures.into_inner().unwrap());
        figure(&format!("probe_during_{name}"), format!("{} of {calls}", calls - failures.len()), "calls");
        assert!(failures.is_empty(), "{name}: {} of {calls} failed: {failures:#?}", failures.len());
        assert!(calls >= 8, "{name}: only {calls} probes");
        outcome
    }
}

/// Tells threads that they may end, also when what they wait for fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs attackers on one thread.
fn attack<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Lets this process have so many files open.
fn allow_files(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    let maximum = limit.maximum.unwrap_or(u64::MAX);
    assert!(
        maximum >= wanted,
        "this test needs {wanted} open files, the limit is {maximum}: raise it (ulimit -Hn {wanted})"
    );
    if limit.current.is_some_and(|current| current < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    }
}

#[test]
fn nothing_but_http_1_1_is_spoken() {
    let target = Target::start(&[]);
    attack(async {
        for endpoint in target.endpoints() {
            let both = wire::tls(endpoint, &wire::connector(&["h2", "http/1.1"])).await.unwrap();
            assert_eq!(both.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
            assert!(wire::tls(endpoint, &wire::connector(&["h2"])).await.is_err(), "h2 alone");
            let none = wire::tls(endpoint, &wire::connector(&[])).await.unwrap();
            assert_eq!(none.get_ref().1.alpn_protocol(), None);
        }
    });
    let packages = include_str!("../../Cargo.lock");
    assert!(!packages.contains("name = \"h2\""), "a library for HTTP/2 is linked");
}
