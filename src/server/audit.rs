//! The audit trail at start and stop, and the export of a service that is stopped: whoever holds its files and, if it is
//! attended, its passphrase reads everything.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use firmware_sim::{DevicePublicKey, DeviceSign, Machine, PartitionId};

use super::custody::open_machine;
use crate::config::Config;
use crate::env::{Env, Timestamp};
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::model::checkpoint::{PublicKey, Signed, Statement};
use crate::model::evidence;
use crate::ops::audit_export::{Form, Page, Progress, Then};
use crate::ops::audit_trail::{SignAuditCheckpoint, rollback};
use crate::store::{DirectoryLock, HeadsFile, Store};

/// The public key of the device, for auditors: a file in the data directory, made anew where it is missing.
pub const PUBLIC_KEY: &str = "audit-key.pem";

/// The file of published heads: beside the data directory, unless the settings name another.
pub fn heads_path(config: &Config) -> Result<PathBuf> {
    let set = &config.audit.heads_file;
    if !set.as_os_str().is_empty() {
        return Ok(set.clone());
    }
    let data = std::path::absolute(&config.data).map_err(Error::internal)?;
    let mut name = data.components().collect::<PathBuf>().into_os_string();
    name.push(".heads");
    Ok(name.into())
}

pub(super) fn heads(config: &Config) -> Result<HeadsFile> {
    heads_path(config).map(HeadsFile::at)
}

/// Shows auditors the public key, and compares the trail with what was published of it.
pub(super) async fn begin(config: &Config, gateway: &Gateway) -> Result<()> {
    let app = gateway.app();
    let key = app.device_key().await?;
    let (path, pem) = (config.data.join(PUBLIC_KEY), key.to_pem());
    if fs::read_to_string(&path).ok().as_ref() != Some(&pem) {
        fs::write(&path, pem).map_err(Error::internal)?;
    }
    match rollback(&app.store, &key) {
        Ok(None) => {}
        // Its record is an incident; the gateway logs the rest.
        Ok(Some(gap)) => drop(gateway.submit(gap).await),
        Err(error) => {
            tracing::error!(event = "heads", cause = ?error, "the published heads cannot be compared with the audit trail");
        }
    }
    Ok(())
}

/// Signs what came since the last checkpoint.
pub(super) async fn end(gateway: &Gateway) {
    let signed = match SignAuditCheckpoint::has_work(&gateway.app().store) {
        Ok(true) => gateway.submit(SignAuditCheckpoint {}).await.map(drop),
        Ok(false) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = signed {
        tracing::warn!(event = "checkpoint", %error, "the end of the audit trail is not signed");
    }
}

/// Exports the records of a stopped service between two times, all of them. An attended machine needs its passphrase.
/// Returns the number of records; [`Error::Unavailable`] if the service runs.
pub fn export(
    config: &Config,
    env: &Env,
    form: Form,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
    passphrase: impl FnOnce() -> Result<zeroize::Zeroizing<Vec<u8>>>,
    out: &mut impl Write,
) -> Result<u64> {
    let _lock = DirectoryLock::take(&config.data, env.clock.now())?;
    let machine = open_machine(config, env)?;
    if machine.is_attended() {
        machine.unlock(&passphrase()?).map_err(Error::internal)?;
    }
    let (store, writer) = Store::open(config, &machine, heads(config)?, env)?;
    let exported = write_pages(&store, &machine, form, (from, to), out);
    store.close();
    writer.join();
    exported
}

fn write_pages(
    store: &Store,
    machine: &Arc<Machine>,
    form: Form,
    (from, to): (Option<Timestamp>, Option<Timestamp>),
    out: &mut impl Write,
) -> Result<u64> {
    let key = machine.run(PartitionId::DEVICE, DevicePublicKey).map_err(Error::internal)?;
    let key =
        PublicKey::from_point(key).ok_or_else(|| Error::internal("the device's public key is malformed"))?;
    let installation = store.installation();
    let mut progress = store.trail(|trail| Progress::begin(trail, from, to))?;
    loop {
        let opening = (installation, key.to_pem());
        let Page { text, then } = store.trail(|trail| progress.page(trail, form, opening, |_| true))?;
        out.write_all(text.as_bytes()).map_err(Error::internal)?;
        match then {
            Then::More(more) => progress = more,
            Then::End(extent, head) => {
                if form == Form::Jsonl {
                    let text =
                        Statement::export(installation, extent, &head, store.time().read().now()).text();
                    let command = DeviceSign { message: text.clone().into_bytes() };
                    let signature = machine.run(PartitionId::DEVICE, command).map_err(Error::internal)?;
                    let mut end = String::new();
                    evidence::write_end(&mut end, Signed::by_device(text, &key, &signature));
                    out.write_all(end.as_bytes()).map_err(Error::internal)?;
                }
                out.flush().map_err(Error::internal)?;
                return Ok(extent.shown);
            }
        }
    }
}
