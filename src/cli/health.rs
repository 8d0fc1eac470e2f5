//! `yaoku health`: asks the service of a data directory on this machine whether it serves, for container engines and
//! scripts. It needs no credential, only the CA file.

use std::time::Duration;

use super::client::agent;
use super::{Outcome, Settings, profile};

/// How long the answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Succeeds if the service is ready; otherwise says how it is.
pub fn health(settings: &Settings) -> Outcome {
    let config = settings.load()?;
    let url = format!("{}/health/ready", profile::endpoint(&config)?);
    let answer = agent(&config.data.join("tls/ca.pem"), TIMEOUT)?.get(&url).call();
    let mut answer = answer.map_err(|error| format!("no answer from {url}: {error}"))?;
    let body = answer.body_mut().with_config().limit(1024).read_to_string().unwrap_or_default();
    match answer.status().as_u16() {
        200 => {
            super::print(&format!("{body}\n"));
            Ok(())
        }
        status => Err(format!("not ready: {url} answers {status} {body}").into()),
    }
}
