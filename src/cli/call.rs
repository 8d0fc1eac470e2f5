//! `yaoku call`, `encrypt-file` and `decrypt-file`: the commands that talk to a running service.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::client::path_of;
use super::encrypt_file::{self, Summary};
use super::sealed_file::Algorithm;
use super::{Outcome, Settings, profile};
use crate::env::Env;

#[derive(Args)]
pub struct CallArguments {
    /// Operation, such as createKey
    operation: String,
    /// Request fields as a JSON object
    #[arg(long, default_value = "{}", value_name = "OBJECT")]
    json: String,
    #[command(flatten)]
    connection: Connection,
}

/// Whom to call and as whom; without a profile, the service on this machine as its first administrator.
#[derive(Args)]
struct Connection {
    /// JSON file with endpoint, ca, accessKey and secretKey
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args)]
pub struct EncryptArguments {
    /// Key to encrypt under: its id or an alias
    #[arg(long)]
    key: String,
    /// Cipher of the file
    #[arg(long, value_enum, default_value = "aes-256")]
    algorithm: FileAlgorithm,
    /// File to encrypt, or - for standard input
    input: PathBuf,
    /// File to write, or - for standard output
    output: PathBuf,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
pub struct DecryptArguments {
    /// File to decrypt, or - for standard input
    input: PathBuf,
    /// File to write, or - for standard output
    output: PathBuf,
    /// Replace an output that exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, ValueEnum)]
enum FileAlgorithm {
    #[value(name = "aes-256")]
    Aes256,
    #[value(name = "sm4")]
    Sm4,
}

/// Calls one operation.
pub fn call(arguments: CallArguments, env: Env) -> Outcome {
    path_of(&arguments.operation)?;
    let body: Value = serde_json::from_str(&arguments.json).map_err(|error| format!("--json: {error}"))?;
    if !body.is_object() {
        return Err("--json: give an object, such as '{\"cmkUuid\":\"alias/demo\"}'".into());
    }
    let Connection { profile, settings } = &arguments.connection;
    let result = profile::client(profile.as_deref(), settings, env)?.call(&arguments.operation, &body)?;
    super::print(&format!("{result:#}\n"));
    Ok(())
}

/// Encrypts a file.
pub fn encrypt(arguments: EncryptArguments, env: Env) -> Outcome {
    let Connection { profile, settings } = &arguments.connection;
    let client = profile::client(profile.as_deref(), settings, env)?;
    let algorithm = match arguments.algorithm {
        FileAlgorithm::Aes256 => Algorithm::Aes256,
        FileAlgorithm::Sm4 => Algorithm::Sm4,
    };
    let EncryptArguments { key, input, output, force, .. } = &arguments;
    let summary = encrypt_file::encrypt_file(&client, key, algorithm, input, output, *force)?;
    report("encrypted", &summary);
    Ok(())
}

/// Decrypts a file.
pub fn decrypt(arguments: DecryptArguments, env: Env) -> Outcome {
    let Connection { profile, settings } = &arguments.connection;
    let client = profile::client(profile.as_deref(), settings, env)?;
    let summary = encrypt_file::decrypt_file(&client, &arguments.input, &arguments.output, arguments.force)?;
    report("decrypted", &summary);
    Ok(())
}

/// On standard error: standard output may be the file.
fn report(done: &str, summary: &Summary) {
    let Summary { bytes, seconds } = summary;
    eprintln!("{done} {bytes} bytes in {seconds:.1} s");
}
