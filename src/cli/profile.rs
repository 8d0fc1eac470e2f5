//! Where the service is and who calls it: a profile, or the data directory of a service on this machine.

mod folder;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Settings;
use super::client::{Client, Plane, Profile};
use crate::config::{Config, PROFILE_VARIABLE};
use crate::env::Env;
use crate::server::{FIRST_RUN, READY, ReadyLine};

pub use folder::{ProfileArguments, profile};

/// What the commands do when something is wrong here.
type Refusal = Box<dyn std::error::Error>;

/// Whom to call and as whom; without a profile, the service on this machine as its first administrator.
#[derive(Args)]
pub struct Connection {
    /// Profile to use: a name (see `yaoku profile`), or a file with a / or .json in its name [variable: YAOKU_PROFILE]
    #[arg(long, value_name = "PROFILE", global = true, display_order = 10)]
    profile: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

impl Connection {
    /// A client for the profile, or for the service whose data directory the settings name.
    pub fn client(&self, env: Env) -> Result<Client, Refusal> {
        let profile = match self.profile() {
            Some(name) => from_file(&path_of(&name)?)?,
            None => from_data(&self.settings)?,
        };
        Ok(Client::new(profile, env)?)
    }

    /// The profile that was named. An option beats the variable, also one that names a data directory.
    pub fn profile(&self) -> Option<String> {
        let Settings { config, data } = &self.settings;
        let variable = || std::env::var(PROFILE_VARIABLE).ok().filter(|name| !name.is_empty());
        let local = config.is_some() || data.is_some();
        self.profile.clone().or_else(|| if local { None } else { variable() })
    }

    /// Where the settings of this machine come from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

/// A profile as it is stored. Has no `Debug`: it holds the secret key.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProfileFile {
    #[serde(default)]
    plane: Plane,
    endpoint: String,
    /// Relative to the file.
    ca: PathBuf,
    access_key: String,
    secret_key: Zeroizing<String>,
}

impl ProfileFile {
    fn read(path: &Path) -> Result<Self, Refusal> {
        read(
            path,
            "`yaoku profile list` prints the profiles that have names; a file needs endpoint, ca, accessKey, secretKey",
        )
    }
}

#[derive(Deserialize)]
struct FirstRun {
    openapi: Login,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Login {
    access_key: String,
    secret_key: Zeroizing<String>,
}

/// The file of a profile: a path as it is, a name in the folder of the user.
fn path_of(profile: &str) -> Result<PathBuf, Refusal> {
    if profile.contains('/') || profile.ends_with(".json") {
        return Ok(profile.into());
    }
    folder::path_of(profile)
}

fn from_file(path: &Path) -> Result<Profile, Refusal> {
    let file = ProfileFile::read(path)?;
    if fs::metadata(path).is_ok_and(|about| about.mode() & 0o077 != 0) {
        eprintln!("yaoku: others may read or change the secret key in {0}: chmod 600 {0}", path.display());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    Ok(Profile {
        plane: file.plane,
        endpoint: file.endpoint,
        ca: folder.join(file.ca),
        access_key: file.access_key,
        secret_key: file.secret_key,
    })
}

/// The first administrator of the service on this machine.
fn from_data(settings: &Settings) -> Result<Profile, Refusal> {
    let config = settings.load()?;
    let first: FirstRun = read(
        &config.data.join(FIRST_RUN),
        "give --profile PROFILE, or --data DIR of a service on this machine",
    )?;
    Ok(Profile {
        plane: Plane::OpenApi,
        endpoint: endpoint(&config)?,
        ca: config.data.join("tls/ca.pem"),
        access_key: first.openapi.access_key,
        secret_key: first.openapi.secret_key,
    })
}

/// Where the service of this data directory is reached on this machine.
pub fn endpoint(config: &Config) -> Result<String, Box<dyn std::error::Error>> {
    let endpoint = match fs::read(config.data.join(READY)) {
        Ok(line) => serde_json::from_slice::<ReadyLine>(&line)?.openapi,
        Err(_) => format!("https://{}", config.openapi.listen),
    };
    Ok(reachable(&endpoint))
}

/// A service that listens on every address is reached on this machine by the loopback one.
fn reachable(endpoint: &str) -> String {
    endpoint.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
}

fn read<T: serde::de::DeserializeOwned>(path: &Path, advice: &str) -> Result<T, Refusal> {
    let bytes =
        fs::read(path).map_err(|error| format!("cannot read {}: {error}; {advice}", path.display()))?;
    let bytes = Zeroizing::new(bytes);
    Ok(serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}; {advice}", path.display()))?)
}
