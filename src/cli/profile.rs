//! Where the service is and who calls it: a profile file, or the data directory of a service on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::Settings;
use super::client::{Client, Profile};
use crate::config::Config;
use crate::env::Env;
use crate::server::{FIRST_RUN, READY, ReadyLine};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ProfileFile {
    endpoint: String,
    ca: PathBuf,
    access_key: String,
    secret_key: Zeroizing<String>,
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

/// A client for the profile file, or for the service whose data directory the settings name.
pub fn client(
    profile: Option<&Path>,
    settings: &Settings,
    env: Env,
) -> Result<Client, Box<dyn std::error::Error>> {
    let profile = match profile {
        Some(path) => from_file(path)?,
        None => from_data(settings)?,
    };
    Ok(Client::new(profile, env)?)
}

/// A JSON object of `endpoint`, `ca` (a path, relative to the file), `accessKey` and `secretKey`.
fn from_file(path: &Path) -> Result<Profile, Box<dyn std::error::Error>> {
    let file: ProfileFile = read(path, "name a JSON file with endpoint, ca, accessKey and secretKey")?;
    let folder = path.parent().unwrap_or(Path::new("."));
    Ok(Profile {
        endpoint: file.endpoint,
        ca: folder.join(file.ca),
        access_key: file.access_key,
        secret_key: file.secret_key,
    })
}

fn from_data(settings: &Settings) -> Result<Profile, Box<dyn std::error::Error>> {
    let config = settings.load()?;
    let first: FirstRun = read(
        &config.data.join(FIRST_RUN),
        "give --profile FILE, or --data DIR of a service on this machine",
    )?;
    Ok(Profile {
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

fn read<T: serde::de::DeserializeOwned>(path: &Path, advice: &str) -> Result<T, Box<dyn std::error::Error>> {
    let bytes =
        fs::read(path).map_err(|error| format!("cannot read {}: {error}; {advice}", path.display()))?;
    let bytes = Zeroizing::new(bytes);
    Ok(serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}; {advice}", path.display()))?)
}
