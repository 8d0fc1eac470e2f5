//! The command line: arguments become settings and one sub-command runs. What it does on a running service goes over
//! the planes of the service, signed like any other client's call.

mod audit;
mod call;
mod client;
mod completion;
mod custody;
mod digest;
mod encrypt_file;
mod exit;
mod health;
mod manual;
mod notify;
mod operation;
mod process;
mod profile;
mod request;
mod sealed_file;
mod serve;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::config::Config;
use crate::env::Env;
use crate::error::Error;

/// What a sub-command returns; the text is for a person and says what to do.
type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Key management service and simulated cipher machine in one binary.
#[derive(Parser)]
#[command(name = "yaoku", version, propagate_version = true, after_help = exit::table())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the service; on an empty data directory, initialise it first
    Serve(serve::ServeArguments),
    /// Initialise the data directory and exit
    Init(serve::InitArguments),
    /// Open the cipher machine of a service that waits for its passphrase
    Unlock(custody::UnlockArguments),
    /// Choose how the cipher machine of a stopped service is opened at start
    Custody(custody::CustodyArguments),
    /// Destroy every key of a stopped service for good
    Zeroise(custody::ZeroiseArguments),
    /// Call an operation and print its result
    Call(call::CallArguments),
    /// Encrypt a file under a new data key, streaming, in constant memory
    EncryptFile(call::EncryptArguments),
    /// Decrypt a file made by encrypt-file
    DecryptFile(call::DecryptArguments),
    /// Print the digest of a file that asymmetricSign signs
    Digest(digest::DigestArguments),
    /// Export audit records, or verify an export
    Audit(audit::AuditArguments),
    /// Write, list and remove profiles: where a service is and who calls it
    Profile(profile::ProfileArguments),
    /// Print a script that completes commands, operations and fields in a shell
    Completions(completion::CompletionArguments),
    /// Print the manual page, or write all pages into a folder
    Man(manual::ManualArguments),
    /// Ask the service on this machine whether it serves: exit code 0 or 1
    Health(Settings),
    /// Print the effective settings as TOML
    Config(Settings),
    /// Print the version
    Version,
}

/// Where settings come from: the compiled-in default, then the file, then YAOKU_… variables, then these options.
#[derive(Args, Clone)]
struct Settings {
    /// Settings file (TOML); `yaoku config` prints every setting
    #[arg(long, value_name = "FILE", global = true, display_order = 11)]
    config: Option<PathBuf>,
    /// Data directory [default: data]
    #[arg(long, value_name = "DIR", global = true, display_order = 12)]
    data: Option<PathBuf>,
}

impl Settings {
    fn load(&self) -> Result<Config, crate::config::ConfigError> {
        let mut config = Config::load(self.config.as_deref(), std::env::vars_os())?;
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        Ok(config)
    }
}

/// Runs the program; [`exit::CODES`] says how it ends.
pub fn main() -> ExitCode {
    process::guard();
    let env = Env::system();
    let outcome = match Arguments::parse().command {
        Command::Serve(arguments) => serve::serve(&arguments, env),
        Command::Init(arguments) => serve::init(&arguments, env),
        Command::Unlock(arguments) => custody::unlock(arguments),
        Command::Custody(arguments) => custody::custody(arguments, &env),
        Command::Zeroise(arguments) => custody::zeroise(&arguments, &env),
        Command::Call(arguments) => call::call(arguments, env),
        Command::EncryptFile(arguments) => call::encrypt(arguments, env),
        Command::DecryptFile(arguments) => call::decrypt(arguments, env),
        Command::Digest(arguments) => digest::digest(&arguments),
        Command::Audit(arguments) => audit::audit(arguments, env),
        Command::Profile(arguments) => profile::profile(&arguments, env),
        Command::Completions(arguments) => completion::completions(&arguments, Arguments::command()),
        Command::Man(arguments) => manual::manual(&arguments, Arguments::command()),
        Command::Health(settings) => health::health(&settings),
        Command::Config(settings) => {
            settings.load().map_err(Into::into).map(|config| print(&config.to_toml()))
        }
        Command::Version => {
            print(concat!("yaoku ", env!("CARGO_PKG_VERSION"), "\n"));
            Ok(())
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("yaoku: {error}");
            exit::code_of(&*error)
        }
    }
}

/// Prints to standard output; a reader that went away is no failure of ours.
fn print(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// On the command line the operator reads the cause; on the wire nobody does.
fn explain(error: Error) -> Box<dyn std::error::Error> {
    match std::error::Error::source(&error) {
        Some(cause) => cause.to_string().into(),
        None => Box::new(error),
    }
}
