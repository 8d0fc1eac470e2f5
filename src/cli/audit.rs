//! `yaoku audit`: export the audit records, verify an export. Verifying needs the export, the device's public key and
//! nothing else: no service, no data directory, no network.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::custody::passphrase;
use super::profile::Connection;
use super::{Outcome, explain};
use crate::env::{Env, Timestamp};
use crate::error::Error;
use crate::model::checkpoint::PublicKey;
use crate::model::evidence::{self, Heads, Verdict};
use crate::ops::audit_export::Form;
use crate::server::audit;
use crate::store::DirectoryLock;

#[derive(Args)]
pub struct AuditArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Export audit records, with everything that proves them: of a service that runs, what the caller may see; of one that is
    /// stopped, everything
    Export(ExportArguments),
    /// Verify an export, with nothing but the export and the device's public key
    Verify(VerifyArguments),
}

#[derive(Args)]
struct ExportArguments {
    /// File to write, or - for standard output
    output: PathBuf,
    /// Not earlier than this, as YYYY-MM-DDTHH:MM:SSZ
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
    /// Not later than this
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<Timestamp>,
    /// Evidence, or a table that proves nothing
    #[arg(long, value_enum, default_value = "jsonl")]
    format: Format,
    /// Replace a file that exists
    #[arg(long)]
    force: bool,
    /// File whose first line is the passphrase of an attended machine, if the service is stopped
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Args)]
struct VerifyArguments {
    /// Export to verify, or - for standard input
    export: PathBuf,
    /// The device's public key: audit-key.pem of the data directory, from a source that you trust
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// File of published heads: the export must agree with each of them that lies within it
    #[arg(long, value_name = "FILE")]
    heads: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

impl Format {
    fn form(self) -> Form {
        match self {
            Self::Jsonl => Form::Jsonl,
            Self::Csv => Form::Csv,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
        }
    }
}

fn moment(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).ok_or_else(|| "write it as 2026-01-31T08:00:00Z".into())
}

/// Runs one of the two.
pub fn audit(arguments: AuditArguments, env: Env) -> Outcome {
    match arguments.action {
        Action::Export(arguments) => export(&arguments, env),
        Action::Verify(arguments) => verify(&arguments),
    }
}

fn export(arguments: &ExportArguments, env: Env) -> Outcome {
    let config = arguments.connection.settings().load()?;
    let to_stdout = arguments.output == Path::new("-");
    // The file appears under its name only when it is whole.
    let part = arguments.output.with_added_extension("part");
    if !to_stdout && !arguments.force && arguments.output.exists() {
        return Err(format!("{} exists; --force replaces it", arguments.output.display()).into());
    }
    let mut out: Box<dyn Write> = match to_stdout {
        true => Box::new(io::stdout().lock()),
        false => {
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part);
            Box::new(BufWriter::new(
                file.map_err(|error| format!("cannot write {}: {error}", part.display()))?,
            ))
        }
    };
    let running = arguments.connection.profile().is_some()
        || DirectoryLock::take(&config.data, env.clock.now()).is_err();
    let written = match running {
        true => export_running(arguments, env, &mut out),
        false => {
            let ask = || {
                let passphrase = passphrase("Passphrase", arguments.passphrase_file.as_deref());
                passphrase.map_err(|error| Error::internal(error.to_string()))
            };
            let times = (arguments.from, arguments.to);
            audit::export(&config, &env, arguments.format.form(), times, ask, &mut out).map_err(explain)
        }
    };
    drop(out);
    let records = match written {
        Ok(records) => records,
        Err(error) => {
            if !to_stdout {
                let _ = fs::remove_file(&part);
            }
            return Err(error);
        }
    };
    if !to_stdout {
        File::open(&part)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&part, &arguments.output))?;
    }
    eprintln!("exported {records} records");
    Ok(())
}

/// Puts the pages of a running service one behind the other.
fn export_running(
    arguments: &ExportArguments,
    env: Env,
    out: &mut impl Write,
) -> Result<u64, Box<dyn std::error::Error>> {
    let client = arguments.connection.client(env)?;
    let mut request = json!({ "format": arguments.format.name() });
    for (name, time) in [("startTime", arguments.from), ("endTime", arguments.to)] {
        if let Some(time) = time {
            request[name] = time.to_string().into();
        }
    }
    loop {
        let page = client.call("exportAudit", &request)?;
        out.write_all(page["content"].as_str().unwrap_or_default().as_bytes())?;
        match &page["nextCursor"] {
            Value::Null => {
                out.flush()?;
                return Ok(page["records"].as_u64().unwrap_or(0));
            }
            cursor => request["cursor"] = cursor.clone(),
        }
    }
}

fn verify(arguments: &VerifyArguments) -> Outcome {
    let open =
        |path: &Path| File::open(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let mut pem = String::new();
    open(&arguments.key)?.take(1 << 16).read_to_string(&mut pem)?;
    let key = PublicKey::from_pem(&pem)
        .ok_or_else(|| format!("{} holds no SM2 public key in PEM", arguments.key.display()))?;
    let heads = match &arguments.heads {
        None => Heads::default(),
        Some(path) => Heads::read(BufReader::new(open(path)?), &key)
            .map_err(|flaw| format!("NOT INTACT: {}, {flaw}", path.display()))?,
    };
    let verdict = match arguments.export == Path::new("-") {
        true => evidence::verify(io::stdin().lock(), &key, &heads),
        false => evidence::verify(BufReader::new(open(&arguments.export)?), &key, &heads),
    };
    let Verdict { installation, first, last, shown, blocks, checkpoints, heads, head, time } =
        verdict.map_err(|flaw| format!("NOT INTACT: {}, {flaw}", arguments.export.display()))?;
    let verdict = json!({
        "intact": true, "installation": installation, "first": first, "last": last, "shown": shown,
        "withheld": last - first + 1 - shown, "blocks": blocks, "checkpoints": checkpoints, "publishedHeads": heads,
        "head": head, "signedAt": time,
    });
    super::print(&format!("{verdict:#}\n"));
    Ok(())
}
