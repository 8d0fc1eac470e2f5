//! Waiting for the passphrase of an attended machine. It comes over a local socket in the data directory, which only
//! the owner of the service can open: no caller of the network can try, disturb or end it. Attempts are taken one by
//! one, with a pause after a wrong one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firmware_sim::{Fault, Machine, State};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Name of the socket in the data directory.
pub const SOCKET: &str = "unlock.sock";
/// What the service answers to the right passphrase; anything else is the reason of a refusal.
pub const UNLOCKED: &str = "unlocked";

/// Longest passphrase that is read, in bytes.
const PASSPHRASE_BYTES_MAX: u64 = 1024;
/// How long one attempt may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause after an attempt that failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Returns when the machine is unlocked, or has failed a self-test on the way.
pub async fn wait(data: &Path, machine: &Arc<Machine>) -> Result<()> {
    let path = data.join(SOCKET);
    remove(&path)?;
    let listener = UnixListener::bind(&path).map_err(Error::internal)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(Error::internal)?;
    loop {
        let (stream, _) = listener.accept().await.map_err(Error::internal)?;
        match attempt(stream, machine).await {
            _ if machine.state() == State::Error => return remove(&path),
            Ok(true) => return remove(&path),
            Ok(false) => tracing::warn!(event = "unlock", "an attempt with a wrong passphrase"),
            Err(error) => tracing::warn!(event = "unlock", cause = ?error, "an attempt failed"),
        }
        sleep(PAUSE).await;
    }
}

/// Reads one passphrase up to the end of what the client sends, tries it, and tells how it went.
async fn attempt(mut stream: UnixStream, machine: &Arc<Machine>) -> Result<bool> {
    // Room for everything at once: a vector that grows would leave a passphrase behind.
    let mut passphrase = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES_MAX as usize + 2));
    let mut reading = (&mut stream).take(PASSPHRASE_BYTES_MAX + 1);
    timeout(PATIENCE, reading.read_to_end(&mut passphrase))
        .await
        .map_err(Error::internal)?
        .map_err(Error::internal)?;
    let device = Arc::clone(machine);
    let unlocked = tokio::task::spawn_blocking(move || device.unlock(&passphrase)).await;
    let unlocked = unlocked.map_err(Error::internal)?;
    let answer = match &unlocked {
        Ok(()) => UNLOCKED.to_owned(),
        Err(fault) => fault.to_string(),
    };
    // Whoever sent the right passphrase and hung up has unlocked the machine all the same.
    let _ = timeout(PATIENCE, stream.write_all(answer.as_bytes())).await;
    match unlocked {
        Ok(()) => Ok(true),
        Err(Fault::WrongPassphrase) => Ok(false),
        Err(fault) => Err(Error::internal(fault)),
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::internal(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
