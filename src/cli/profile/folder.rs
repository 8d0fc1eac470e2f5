//! `yaoku profile`: profiles with names, in `yaoku/profiles` of the user's configuration folder. A profile is two files, for
//! nobody else to read: `NAME.json`, and the CA beside it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use zeroize::Zeroizing;

use super::{ProfileFile, Refusal, from_data};
use crate::cli::client::{Client, Plane, Profile};
use crate::cli::custody::passphrase;
use crate::cli::exit::Usage;
use crate::cli::{Outcome, Settings, print};
use crate::env::Env;

/// Longest name of a profile.
const NAME_BYTES_MAX: usize = 64;

/// Room for a profile.
const FILE_BYTES_USUAL: usize = 16 * 1024;

#[derive(Args)]
pub struct ProfileArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Write a profile; without --endpoint it is that of the first administrator of the service on this machine
    Add(AddArguments),
    /// Print the profiles: name, plane, endpoint, access key; never the secret key
    List {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a profile; its access key stays valid in the service
    Remove {
        /// Name of the profile
        name: String,
    },
}

#[derive(Args)]
struct AddArguments {
    /// Name: letters, digits, - and _
    name: String,
    /// Address of the service, such as https://kms.example:8443
    #[arg(long, value_name = "URL", requires_all = ["ca", "access_key"])]
    endpoint: Option<String>,
    /// CA certificate of the service: tls/ca.pem of its data directory; it is copied
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    ca: Option<PathBuf>,
    /// Access key; its secret key is asked on the terminal, or read from standard input
    #[arg(long, value_name = "KEY", requires = "endpoint")]
    access_key: Option<String>,
    /// Plane that the endpoint and the access key are of
    #[arg(long, value_enum, default_value = "openapi", requires = "endpoint")]
    plane: Plane,
    /// Replace a profile that exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Runs one of the three.
pub fn profile(arguments: &ProfileArguments, env: Env) -> Outcome {
    match &arguments.action {
        Action::Add(arguments) => add(arguments, env),
        Action::List { json } => list(*json),
        Action::Remove { name } => remove(name),
    }
}

/// The file of a named profile.
pub fn path_of(name: &str) -> Result<PathBuf, Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(plain) || name.starts_with('-') {
        let text =
            format!("{name:?} is no name of a profile: use letters, digits, - and _, or ./{name} for a file");
        return Err(Box::new(Usage(text)));
    }
    Ok(folder()?.join(name).with_extension("json"))
}

/// `$XDG_CONFIG_HOME/yaoku/profiles`, or below `~/.config`.
fn folder() -> Result<PathBuf, Refusal> {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let config = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    let config = config.ok_or("neither HOME nor XDG_CONFIG_HOME names a folder for profiles")?;
    Ok(config.join("yaoku/profiles"))
}

fn add(arguments: &AddArguments, env: Env) -> Outcome {
    let path = path_of(&arguments.name)?;
    if path.exists() && !arguments.force {
        return Err(format!("the profile {} exists; --force replaces it", arguments.name).into());
    }
    let profile = match (&arguments.endpoint, &arguments.ca, &arguments.access_key) {
        (Some(endpoint), Some(ca), Some(access_key)) => Profile {
            plane: arguments.plane,
            endpoint: endpoint.clone(),
            ca: ca.clone(),
            access_key: access_key.clone(),
            secret_key: secret_key()?,
        },
        _ => from_data(&arguments.settings)?,
    };
    let ca = path.with_extension("pem");
    let certificates = fs::read(&profile.ca);
    let file = ProfileFile {
        plane: profile.plane,
        endpoint: profile.endpoint.clone(),
        ca: ca.file_name().map(PathBuf::from).unwrap_or_default(),
        access_key: profile.access_key.clone(),
        secret_key: profile.secret_key.clone(),
    };
    // Whatever is wrong with endpoint, CA or keys is said before anything is written.
    Client::new(profile, env)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder()?)?;
    write(&ca, &certificates?)?;
    // Room for everything at once: text that grows would leave a copy of the secret key behind.
    let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES_USUAL));
    serde_json::to_writer_pretty(&mut *text, &file)?;
    text.push(b'\n');
    write(&path, &text)?;
    print(&format!("wrote {}\n", path.display()));
    Ok(())
}

fn secret_key() -> Result<Zeroizing<String>, Refusal> {
    let line = passphrase("Secret key", None)?;
    let text = std::str::from_utf8(&line).map_err(|_| "the secret key is no text")?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Writes a file that is whole under its name, for its owner alone.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    let part = path.with_added_extension("part");
    let refused = |error| format!("cannot write {}: {error}", path.display());
    let written = || -> std::io::Result<()> {
        let mut file: File =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    Ok(written().map_err(refused)?)
}

/// The profiles in the order of their names.
fn all() -> Result<Vec<(String, ProfileFile)>, Refusal> {
    let folder = folder()?;
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder)? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension() == Some(OsStr::new("json")));
    paths.sort();
    let named = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Ok((name, ProfileFile::read(path)?))
    };
    paths.iter().map(named).collect()
}

fn list(as_json: bool) -> Outcome {
    let profiles = all()?;
    if as_json {
        let object = |(name, file): &(String, ProfileFile)| json!({ "name": name, "plane": file.plane, "endpoint": file.endpoint, "accessKey": file.access_key });
        print(&format!("{:#}\n", profiles.iter().map(object).collect::<serde_json::Value>()));
        return Ok(());
    }
    for (name, file) in &profiles {
        print(&[name, file.plane.name(), &file.endpoint, &file.access_key].join("\t"));
        print("\n");
    }
    Ok(())
}

fn remove(name: &str) -> Outcome {
    let path = path_of(name)?;
    fs::remove_file(&path).map_err(|error| format!("cannot remove {}: {error}", path.display()))?;
    // A profile that was written by hand has its CA elsewhere.
    match fs::remove_file(path.with_extension("pem")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}
