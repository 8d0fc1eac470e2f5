//! The door to the gateway. It is shut while the cipher machine is locked, and shuts for good when one of its self-tests
//! fails: nobody can be authenticated and nothing can be audited then, because both need the machine's keys. Before a shut door
//! only the state is told; every other call is counted. The count of a locked service gets its audit record when the door
//! opens. That of a failed one cannot have any, because the machine seals no record any more: it is logged when the service
//! stops, and lost with a service that is killed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use firmware_sim::Machine;
use serde_json::{Value, json};

use super::{Calls, Gateway, Reply, Request};
use crate::config::Config;
use crate::env::{Env, Timestamp};
use crate::error::{Error, Result};
use crate::model::principal::Plane;
use crate::ops::Listed;
use crate::ops::system::DescribeSystem;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What a locked service answers (contract: KMS.9071).
const LOCKED: Error =
    Error::Unavailable("the cipher machine is locked; an operator opens it with `yaoku unlock`");

/// What a service answers whose cipher machine failed a self-test.
const FAILED: Error =
    Error::Unavailable("a self-test of the cipher machine failed; an operator must restart the service");

/// Whether calls are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// They are.
    Ready,
    /// Not all of them, or not in time.
    Unavailable,
    /// The cipher machine waits for its passphrase.
    Locked,
    /// This self-test of the cipher machine failed.
    Failed(&'static str),
}

/// Where listeners hand their calls.
pub struct Door {
    config: Config,
    env: Env,
    machine: Arc<Machine>,
    started: Timestamp,
    gateway: OnceLock<Arc<Gateway>>,
    calls: Arc<Calls>,
    refused: AtomicU64,
}

impl Door {
    /// A door that is shut.
    pub fn new(config: Config, env: Env, machine: Arc<Machine>) -> Self {
        let (gateway, calls, refused) = (OnceLock::new(), Arc::default(), AtomicU64::new(0));
        let started = env.clock.now();
        Self { config, env, machine, started, gateway, calls, refused }
    }

    /// The effective settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Clock and random source.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// When the service started.
    pub fn started(&self) -> Timestamp {
        self.started
    }

    /// The cipher machine behind it.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Where every call is counted.
    pub fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// Opens the door, for good. Returns how many calls stood before it.
    pub fn open(&self, gateway: Arc<Gateway>) -> u64 {
        let _ = self.gateway.set(gateway);
        self.refused.swap(0, Ordering::AcqRel)
    }

    /// The gateway, once the door is open.
    pub fn gateway(&self) -> Option<&Arc<Gateway>> {
        self.gateway.get()
    }

    /// Whether the instance was made as a demo, once that is known.
    pub fn is_demo(&self) -> bool {
        self.gateway.get().is_some_and(|gateway| gateway.app().store.time().demo_offset().is_some())
    }

    /// How many calls were refused since the door was shut.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }

    /// Whether calls are served.
    pub fn readiness(&self) -> Readiness {
        match (self.machine.failed_test(), self.gateway.get()) {
            (Some(test), _) => Readiness::Failed(test),
            (None, None) => Readiness::Locked,
            (None, Some(gateway)) if gateway.app().is_ready() => Readiness::Ready,
            (None, Some(_)) => Readiness::Unavailable,
        }
    }

    /// Serves one call.
    pub async fn perform(&self, request: Box<Request>) -> Reply {
        match (self.machine.failed_test(), self.gateway.get()) {
            (None, Some(gateway)) => gateway.perform(request).await,
            (Some(test), _) => self.refuse(&request, self.error_state(test), FAILED),
            (None, None) => {
                self.refuse(&request, json!({ "version": VERSION, "machineState": "Locked" }), LOCKED)
            }
        }
    }

    /// What describeSystem says in the error state.
    fn error_state(&self, test: &str) -> Value {
        let passed = self.gateway.get().map(|gateway| gateway.app().self_tested().to_string());
        let mut state = json!({ "version": VERSION, "machineState": "Error", "failedSelfTest": test });
        if let Some(passed) = passed {
            state["selfTestTime"] = passed.into();
        }
        state
    }

    /// Tells anybody the state, and nobody anything else. There is no signature that could be checked.
    fn refuse(&self, request: &Request, state: Value, refusal: Error) -> Reply {
        let theirs = super::header(&request.headers, "ctyun-eop-request-id");
        let theirs = theirs.filter(|id| request.plane == Plane::OpenApi && (1..=128).contains(&id.len()));
        let request_id = theirs.map_or_else(|| self.new_id(), |id| Ok(id.to_owned()));
        let row = super::route(request).ok();
        let describes = row.is_some_and(|row| row.spec.name == DescribeSystem::SPEC.name);
        let result = match describes {
            true => Ok(state.to_string()),
            false => {
                self.refused.fetch_add(1, Ordering::AcqRel);
                Err(refusal)
            }
        };
        self.calls.count(row, request.plane, result.as_ref().err(), Duration::ZERO);
        Reply { request_id: request_id.unwrap_or_default(), result }
    }

    fn new_id(&self) -> Result<String> {
        let mut bytes = [0; 16];
        self.env.entropy.fill(&mut bytes).map_err(Error::internal)?;
        Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
    }
}
