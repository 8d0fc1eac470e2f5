//! `yaoku unlock`, `custody` and `zeroise`: who opens the cipher machine at start, and how its keys end. All but `unlock`
//! work on the files of a service that is stopped.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use zeroize::Zeroizing;

use super::{Outcome, Settings, explain};
use crate::env::Env;
use crate::server::{UNLOCK_SOCKET, UNLOCKED, custody};

/// Longest line that is taken for a passphrase, in bytes.
const LINE_BYTES_MAX: u64 = 4096;

#[derive(Args)]
pub struct UnlockArguments {
    /// File whose first line is the passphrase; without it, the terminal or standard input is asked
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args)]
pub struct CustodyArguments {
    #[command(subcommand)]
    change: Change,
}

#[derive(Subcommand)]
enum Change {
    /// Ask for a passphrase at every start from now on; the key that opened the machine unattended is destroyed
    Attend(Passphrases),
    /// Start without a passphrase from now on: whoever holds the machine's files holds its keys
    Unattend(Passphrases),
    /// Change the passphrase
    #[command(name = "change-passphrase")]
    Renew(Passphrases),
    /// Print how the machine is opened and where its files lie
    Show(Settings),
}

#[derive(Args)]
struct Passphrases {
    /// File whose first line is the present passphrase
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// File whose first line is the new passphrase, of at least 12 bytes
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args)]
pub struct ZeroiseArguments {
    /// Confirms that every key, and with them everything ever encrypted under them, shall be lost
    #[arg(long)]
    destroy_all_keys: bool,
    #[command(flatten)]
    settings: Settings,
}

/// Opens the machine of the service that runs on this data directory.
pub fn unlock(arguments: UnlockArguments) -> Outcome {
    let config = arguments.settings.load()?;
    let socket = config.data.join(UNLOCK_SOCKET);
    let connect = || {
        UnixStream::connect(&socket)
            .map_err(|error| format!("no locked service waits at {}: {error}", socket.display()))
    };
    // Nobody should type a passphrase for a service that is not there.
    drop(connect()?);
    let passphrase = passphrase("Passphrase", arguments.passphrase_file.as_deref())?;
    let mut stream = connect()?;
    stream.write_all(&passphrase)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.take(LINE_BYTES_MAX).read_to_string(&mut answer)?;
    match answer.as_str() {
        UNLOCKED => {
            super::print("unlocked\n");
            Ok(())
        }
        "" => Err("the service ended the connection; its log names the cause".into()),
        refusal => Err(refusal.into()),
    }
}

/// Changes how the machine is opened.
pub fn custody(arguments: CustodyArguments, env: &Env) -> Outcome {
    let done = match &arguments.change {
        Change::Attend(passphrases) => {
            let new = new_passphrase(passphrases)?;
            custody::attend(&passphrases.settings.load()?, env, &new).map_err(explain)?;
            "attended: every start waits for `yaoku unlock`"
        }
        Change::Unattend(passphrases) => {
            let present = passphrase("Passphrase", passphrases.passphrase_file.as_deref())?;
            custody::unattend(&passphrases.settings.load()?, env, &present).map_err(explain)?;
            "unattended: the machine opens by its device key"
        }
        Change::Renew(passphrases) => {
            let present = passphrase("Present passphrase", passphrases.passphrase_file.as_deref())?;
            let new = new_passphrase(passphrases)?;
            custody::change_passphrase(&passphrases.settings.load()?, env, &present, &new)
                .map_err(explain)?;
            "the passphrase is changed"
        }
        Change::Show(settings) => {
            for (name, text) in custody::describe(&settings.load()?).map_err(explain)? {
                super::print(&format!("{name:21}{text}\n"));
            }
            return Ok(());
        }
    };
    super::print(&format!("{done}\n"));
    Ok(())
}

/// Destroys every key of the machine.
pub fn zeroise(arguments: &ZeroiseArguments, env: &Env) -> Outcome {
    let config = arguments.settings.load()?;
    if !arguments.destroy_all_keys {
        return Err(format!(
            "this destroys every key of {}: everything encrypted under them is lost, the audit trail becomes unreadable \
             (export it first), and nothing but a backup brings them back; if that is what you want, repeat the command with \
             --destroy-all-keys",
            config.data.display()
        )
        .into());
    }
    let files = custody::zeroise(&config, env).map_err(explain)?;
    super::print(&format!("destroyed {files} files; the database no longer opens\n"));
    Ok(())
}

fn new_passphrase(passphrases: &Passphrases) -> Result<Zeroizing<Vec<u8>>, Box<dyn std::error::Error>> {
    let file = passphrases.new_passphrase_file.as_deref();
    let new = passphrase("New passphrase", file)?;
    if file.is_none() && std::io::stdin().is_terminal() && passphrase("Once more", None)? != new {
        return Err("the two passphrases differ; nothing was changed".into());
    }
    Ok(new)
}

/// A secret that is asked for: the first line of the file, or what the terminal or standard input says.
pub(super) fn passphrase(
    prompt: &str,
    file: Option<&Path>,
) -> Result<Zeroizing<Vec<u8>>, Box<dyn std::error::Error>> {
    let line = match file {
        Some(path) => {
            let file = std::fs::File::open(path);
            let file = file.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            first_line(file)?
        }
        None if std::io::stdin().is_terminal() => {
            Zeroizing::new(rpassword::prompt_password(format!("{prompt}: "))?.into_bytes())
        }
        None => first_line(std::io::stdin())?,
    };
    if line.is_empty() {
        return Err(format!("the {} is empty", prompt.to_lowercase()).into());
    }
    Ok(line)
}

fn first_line(from: impl std::io::Read) -> std::io::Result<Zeroizing<Vec<u8>>> {
    // Room for everything at once: a vector that grows would leave a passphrase behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX as usize));
    std::io::BufReader::new(from).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    let length = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    line.truncate(length);
    Ok(line)
}
