//! `yaoku call`, `encrypt-file` and `decrypt-file`: the commands that talk to a running service.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand, ValueEnum};
use serde_json::Value;

use super::encrypt_file::{self, Summary};
use super::exit::{self, Usage, closest};
use super::profile::Connection;
use super::sealed_file::Algorithm;
use super::{Outcome, completion, operation, request};
use crate::catalog::{self, Row};
use crate::env::Env;

/// How the command is written.
pub const USAGE: &str = "yaoku call OPERATION [--field NAME=VALUE]... [--json OBJECT] [--get FIELD [--decode]] [--profile PROFILE]
       yaoku call OPERATION --help
       yaoku call --list [--json]";

#[derive(Args)]
#[command(
    override_usage = USAGE,
    arg_required_else_help = true,
    allow_external_subcommands = true,
    disable_help_subcommand = true,
    subcommand_help_heading = "Operations",
    after_help = exit::table()
)]
pub struct CallArguments {
    /// Print every operation: name, read or write, planes, titles; with tabs in between unless on a terminal
    #[arg(long)]
    list: bool,
    /// Print the list as JSON
    #[arg(long, requires = "list")]
    json: bool,
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    operation: Option<OperationCall>,
}

/// An operation as it was named, and what it shall be called with.
struct OperationCall {
    name: String,
    request: RequestArguments,
    connection: Connection,
}

/// What every operation takes.
#[derive(Args, Default)]
pub struct RequestArguments {
    /// A request field; as its value, @FILE stands for what a file holds and @- for standard input; wins over --json
    #[arg(short, long = "field", value_name = "NAME=VALUE")]
    fields: Vec<String>,
    /// Request fields as a JSON object, or @FILE, or - for standard input
    #[arg(long, value_name = "OBJECT")]
    json: Option<String>,
    /// Print this field of the result alone, a text without quotes; further steps after dots, such as keyVersions.0.keyVersionId
    #[arg(long, value_name = "FIELD")]
    get: Option<String>,
    /// Print the bytes that the field stands for in Base64
    #[arg(long, requires = "get")]
    decode: bool,
}

impl Subcommand for OperationCall {
    fn augment_subcommands(command: Command) -> Command {
        // Forms of fields take time to make: they are made for the operation whose help or completion is asked for.
        let arguments = |command: Command| match catalog::by_name(command.get_name()) {
            Some(row) => RequestArguments::augment_args(command)
                .mut_arg("fields", |field| completion::with_names(field, row))
                .about(operation::titles(row))
                .long_about(operation::introduction(row))
                .after_help(operation::details(row)),
            None => command,
        };
        command.subcommands(operation::callable().map(|row| operation::command(row).defer(arguments)))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    /// Any name is taken for an operation's, so that a misspelt one is answered with a hint.
    fn has_subcommand(_: &str) -> bool {
        true
    }
}

impl FromArgMatches for OperationCall {
    fn from_arg_matches(all: &ArgMatches) -> Result<Self, clap::Error> {
        let (name, matches) =
            all.subcommand().ok_or_else(|| clap::Error::new(clap::error::ErrorKind::MissingSubcommand))?;
        let name = name.to_owned();
        if operation::find(&name).is_err() {
            let connection = Connection::from_arg_matches(all)?;
            return Ok(Self { name, request: RequestArguments::default(), connection });
        }
        let request = RequestArguments::from_arg_matches(matches)?;
        Ok(Self { name, request, connection: Connection::from_arg_matches(matches)? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
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

/// Calls one operation, or lists all.
pub fn call(arguments: CallArguments, env: Env) -> Outcome {
    match arguments.operation {
        Some(_) if arguments.list => Err(Box::new(Usage("give an operation or --list, not both".into()))),
        Some(call) => call_one(&call, env),
        None if arguments.json => {
            super::print(&format!("{:#}\n", operation::list_json()));
            Ok(())
        }
        None if arguments.list => {
            super::print(&operation::list(std::io::stdout().is_terminal()));
            Ok(())
        }
        None => Err(Box::new(Usage("name an operation; `yaoku call --list` prints all".into()))),
    }
}

fn call_one(call: &OperationCall, env: Env) -> Outcome {
    let RequestArguments { fields, json, get, decode } = &call.request;
    let row = operation::find(&call.name)?;
    if let Some(field) = get {
        check_result_field(row, field, *decode)?;
    }
    let body = request::body(row, json.as_deref(), fields)?;
    let result = call.connection.client(env)?.call(row.spec.name, &body)?;
    let Some(name) = get else {
        super::print(&format!("{result:#}\n"));
        return Ok(());
    };
    match part(&result, name) {
        Some(Value::String(text)) if *decode => {
            let bytes = STANDARD.decode(text).map_err(|_| format!("{name} is not Base64"))?;
            // Whoever reads bytes must know when some are missing.
            std::io::stdout().write_all(&bytes).map_err(|error| format!("standard output: {error}"))?;
        }
        Some(Value::String(text)) => super::print(&format!("{text}\n")),
        Some(value) => super::print(&format!("{value:#}\n")),
        None => return Err(format!("the result has no {name}").into()),
    }
    Ok(())
}

/// What a name with its steps leads to: fields by name, items of lists by number from 0.
fn part<'a>(result: &'a Value, name: &str) -> Option<&'a Value> {
    name.split('.').try_fold(result, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    })
}

/// A field that no result has is refused before the call does something.
fn check_result_field(row: &Row, name: &str, decode: bool) -> Result<(), Usage> {
    let fields = row.result_fields();
    let (name, inside) = name.split_once('.').map_or((name, None), |(name, rest)| (name, Some(rest)));
    let Some(field) = fields.iter().find(|field| field.name == name) else {
        let names = || fields.iter().map(|field| field.name.as_str());
        let like = closest(name, names()).map_or(String::new(), |like| format!("did you mean {like}? "));
        let names = names().collect::<Vec<_>>().join(", ");
        return Err(Usage(format!("the result of {} has no {name}; {like}it has {names}", row.spec.name)));
    };
    let bytes = inside.is_some() || operation::is_base64(&Value::Object(field.schema.clone()));
    if decode && !bytes { Err(Usage(format!("--decode: {name} is not Base64"))) } else { Ok(()) }
}

/// Encrypts a file.
pub fn encrypt(arguments: EncryptArguments, env: Env) -> Outcome {
    let client = arguments.connection.client(env)?;
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
    let client = arguments.connection.client(env)?;
    let summary = encrypt_file::decrypt_file(&client, &arguments.input, &arguments.output, arguments.force)?;
    report("decrypted", &summary);
    Ok(())
}

/// On standard error: standard output may be the file.
fn report(done: &str, summary: &Summary) {
    let Summary { bytes, seconds } = summary;
    eprintln!("{done} {bytes} bytes in {seconds:.1} s");
}
