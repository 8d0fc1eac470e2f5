//! The door to the gateway. It is shut while the cipher machine is locked: nobody can be authenticated and nothing can
//! be audited then, because both need the machine's keys. Behind a shut door only the state is told; every other call
//! is counted, and the count gets its audit record when the door opens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::json;

use super::{Gateway, Reply, Request};
use crate::config::Config;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::model::principal::Plane;
use crate::ops::Listed;
use crate::ops::system::DescribeSystem;

/// What a locked service answers (contract: KMS.9071).
const LOCKED: Error =
    Error::Unavailable("the cipher machine is locked; an operator opens it with `yaoku unlock`");

/// Where listeners hand their calls.
pub struct Door {
    config: Config,
    env: Env,
    gateway: OnceLock<Arc<Gateway>>,
    refused: AtomicU64,
}

impl Door {
    /// A door that is shut.
    pub fn new(config: Config, env: Env) -> Self {
        Self { config, env, gateway: OnceLock::new(), refused: AtomicU64::new(0) }
    }

    /// The effective settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Clock and random source.
    pub fn env(&self) -> &Env {
        &self.env
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

    /// Serves one call.
    pub async fn perform(&self, request: Box<Request>) -> Reply {
        match self.gateway.get() {
            Some(gateway) => gateway.perform(request).await,
            None => self.refuse(&request),
        }
    }

    /// Tells anybody the state, and nobody anything else. There is no signature that could be checked.
    fn refuse(&self, request: &Request) -> Reply {
        let theirs = super::header(&request.headers, "ctyun-eop-request-id");
        let theirs = theirs.filter(|id| request.plane == Plane::OpenApi && (1..=128).contains(&id.len()));
        let request_id = theirs.map_or_else(|| self.new_id(), |id| Ok(id.to_owned()));
        let describes = super::route(request).is_ok_and(|row| row.spec.name == DescribeSystem::SPEC.name);
        let result = match describes {
            true => Ok(json!({ "version": env!("CARGO_PKG_VERSION"), "machineState": "Locked" }).to_string()),
            false => {
                self.refused.fetch_add(1, Ordering::AcqRel);
                Err(LOCKED)
            }
        };
        Reply { request_id: request_id.unwrap_or_default(), result }
    }

    fn new_id(&self) -> Result<String> {
        let mut bytes = [0; 16];
        self.env.entropy.fill(&mut bytes).map_err(Error::internal)?;
        Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
    }
}
