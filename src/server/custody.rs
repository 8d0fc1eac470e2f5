//! The cipher machine's files, as the settings place them, and what an operator does to them while the service is
//! stopped: choose who opens the machine at start, or destroy its keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use firmware_sim::{Directories, Machine, Options, custody, self_tests};

use super::FIRST_RUN;
use crate::config::Config;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::store::DirectoryLock;

/// Where the cipher machine's files lie.
pub(super) fn directories(config: &Config) -> Directories {
    let machine = config.data.join("machine");
    let directory = |set: &Path, name: &str| match set.as_os_str().is_empty() {
        true => machine.join(name),
        false => set.to_owned(),
    };
    let custody = &config.custody;
    Directories {
        hsm: directory(&custody.hsm, "hsm"),
        device: directory(&custody.device, "device"),
        software_root: directory(&custody.software_root, "software-root"),
        software_private_key: directory(&custody.software_private_key, "software-private-key"),
        software_key: directory(&custody.software_key, "software-key"),
    }
}

/// Whether all three files of software custody lie under the data directory: then whoever copies that has them all.
pub(super) fn is_software_together(config: &Config) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let (data, directories) = (real(&config.data), directories(config));
    [directories.software_root, directories.software_private_key, directories.software_key]
        .iter()
        .all(|directory| real(directory).starts_with(&data))
}

/// The test switch of the settings.
pub(super) fn options(config: &Config) -> Result<Options> {
    let name = config.self_test.corrupt.as_str();
    match name.is_empty() || self_tests().contains(&name) {
        true => Ok(Options { corrupt: Some(name.to_owned()).filter(|name| !name.is_empty()) }),
        false => Err(Error::internal(format!(
            "self_test.corrupt names no self-test; it must be empty or one of: {}",
            self_tests().join(", ")
        ))),
    }
}

/// Opens the machine; an attended one is locked.
pub(super) fn open_machine(config: &Config, env: &Env) -> Result<Arc<Machine>> {
    let machine = Machine::open(&directories(config), Arc::clone(&env.entropy), options(config)?);
    machine.map(Arc::new).map_err(Error::internal)
}

/// From the next start on a passphrase opens the machine; the device key is destroyed.
pub fn attend(config: &Config, env: &Env, passphrase: &[u8]) -> Result<()> {
    let _lock = stopped(config, env)?;
    custody::attend(&directories(config), &*env.entropy, passphrase).map_err(Error::internal)
}

/// From the next start on a new device key opens the machine.
pub fn unattend(config: &Config, env: &Env, passphrase: &[u8]) -> Result<()> {
    let _lock = stopped(config, env)?;
    custody::unattend(&directories(config), &*env.entropy, passphrase).map_err(Error::internal)
}

/// Changes the passphrase of an attended machine.
pub fn change_passphrase(config: &Config, env: &Env, present: &[u8], new: &[u8]) -> Result<()> {
    let _lock = stopped(config, env)?;
    custody::change_passphrase(&directories(config), &*env.entropy, present, new).map_err(Error::internal)
}

/// Destroys every key of the machine, the first credentials and the key of the appliance's CA. Returns the number of
/// files.
pub fn zeroise(config: &Config, env: &Env) -> Result<usize> {
    let _lock = stopped(config, env)?;
    let mut files = custody::zeroise(&directories(config), &*env.entropy).map_err(Error::internal)?;
    for name in [FIRST_RUN, "tls/ca.key"] {
        let destroyed = custody::destroy(&config.data.join(name), &*env.entropy).map_err(Error::internal)?;
        files += usize::from(destroyed);
    }
    Ok(files)
}

/// How the machine is opened and where its files lie: a name and a text each.
pub fn describe(config: &Config) -> Result<Vec<(&'static str, String)>> {
    let directories = directories(config);
    let opened = match custody::is_attended(&directories).map_err(Error::internal)? {
        true => "attended: by a passphrase, with `yaoku unlock`",
        false => "unattended: by the device key",
    };
    let place = |path: PathBuf| path.display().to_string();
    Ok(vec![
        ("opened", opened.to_owned()),
        ("key slots", place(directories.hsm)),
        ("device key", place(directories.device)),
        ("software root key", place(directories.software_root)),
        ("software private key", place(directories.software_private_key)),
        ("software key", place(directories.software_key)),
    ])
}

/// The right to the files of a service that does not run.
fn stopped(config: &Config, env: &Env) -> Result<DirectoryLock> {
    if !config.data.is_dir() {
        return Err(Error::internal(format!("there is no data directory {}", config.data.display())));
    }
    DirectoryLock::take(&config.data, env.clock.now())
}
