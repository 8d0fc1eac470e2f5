//! `yaoku serve` and `yaoku init`.

use std::io::Write as _;

use actix::System;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Outcome, Settings, explain, notify, process};
use crate::config::Config;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::ops::clock::ConfirmClock;
use crate::server::{self, ReadyLine, Server};

/// How `yaoku init` is called.
#[derive(Args)]
pub struct InitArguments {
    /// Make an instance for shows and lessons, whose time can be moved ahead; it stays one
    #[arg(long)]
    demo: bool,
    #[command(flatten)]
    settings: Settings,
}

/// How `yaoku serve` is called.
#[derive(Args)]
pub struct ServeArguments {
    /// Say that the wall clock of this machine is right, after it was in doubt
    #[arg(long)]
    confirm_clock: bool,
    #[command(flatten)]
    init: InitArguments,
}

/// Initialises the data directory.
pub fn init(arguments: &InitArguments, env: Env) -> Outcome {
    let config = arguments.settings.load()?;
    start_log(&config)?;
    System::new().block_on(server::initialise(&config, &env, arguments.demo)).map_err(explain)?;
    super::print(&format!(
        "initialised {}\nthe first credentials are in {}\n",
        config.data.display(),
        config.data.join(server::FIRST_RUN).display()
    ));
    Ok(())
}

/// Serves until SIGTERM or SIGINT; a second signal ends at once. Fails at the end if a self-test of the cipher machine failed.
pub fn serve(arguments: &ServeArguments, env: Env) -> Outcome {
    let config = arguments.init.settings.load()?;
    start_log(&config)?;
    match process::lock_memory() {
        Ok(true) => {}
        Ok(false) => tracing::warn!(
            event = "memory",
            "memory may be swapped out: raise the limit of locked memory (ulimit -l)"
        ),
        Err(error) => tracing::warn!(event = "memory", %error, "memory may be swapped out"),
    }
    if let Err(error) = process::raise_files() {
        tracing::warn!(event = "files", %error, "the limit of open files stays as it is");
    }
    System::new().block_on(run(&config, &env, arguments)).map_err(explain)?;
    Ok(())
}

async fn run(config: &Config, env: &Env, arguments: &ServeArguments) -> Result<()> {
    let demo = arguments.init.demo;
    if !server::is_initialised(config)? {
        server::initialise(config, env, demo).await?;
        tracing::info!(event = "initialised", data = %config.data.display(), "a new appliance");
    }
    // Before anybody is told that the service is there: whoever reads the ready line may stop it at once.
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    let mut server = Server::start(config, env).await?;
    if server.is_locked() {
        announce(&ReadyLine { event: "locked".into(), ..server.ready.clone() })?;
        tracing::info!(event = "locked", "the cipher machine is attended: open it with `yaoku unlock`");
        let stopped = tokio::select! {
            unlocked = server.unlocked() => unlocked.map(|()| false)?,
            _ = terminate.recv() => true,
            _ = interrupt.recv() => true,
        };
        if stopped {
            notify::stopping();
            server.stop().await;
            return Ok(());
        }
    }
    if let Err(error) = prepare(&server, arguments).await {
        server.stop().await;
        return Err(error);
    }
    if let Some(test) = server.failed_self_test() {
        announce(&ReadyLine { event: "error".into(), ..server.ready.clone() })?;
        tracing::error!(
            event = "selfTest",
            test,
            "a self-test failed: nothing is served until a restart passes"
        );
    } else {
        announce(&server.ready)?;
        tracing::info!(event = "ready", openapi = %server.ready.openapi, access_point = %server.ready.access_point);
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(event = "stopping", "finishing calls in flight; a second signal ends at once");
    notify::stopping();
    let failed = server.failed_self_test();
    tokio::select! {
        () = server.stop() => tracing::info!(event = "stopped"),
        _ = terminate.recv() => tracing::warn!(event = "stopped", "at once"),
        _ = interrupt.recv() => tracing::warn!(event = "stopped", "at once"),
    }
    // Whoever watches the service learns by its exit code that it had stopped serving.
    match failed {
        Some(test) => {
            Err(Error::internal(format!("self-test failed: {test}; nothing was served after that")))
        }
        None => Ok(()),
    }
}

/// Does what the arguments ask of a service that has just started.
async fn prepare(server: &Server, arguments: &ServeArguments) -> Result<()> {
    let Some(gateway) = server.gateway() else { return Ok(()) };
    if arguments.init.demo && gateway.app().store.time().demo_offset().is_none() {
        return Err(Error::internal(
            "this instance was not made as a demo and stays what it is; leave out --demo",
        ));
    }
    if arguments.confirm_clock {
        let clock = gateway.submit(ConfirmClock {}).await?;
        tracing::info!(event = "clock", time = clock.confirmed_time, "the wall clock is confirmed");
    }
    Ok(())
}

/// Prints one JSON line for whoever started the service, and tells systemd. A closed standard output is no reason not to serve.
fn announce(line: &ReadyLine) -> Result<()> {
    let event = &line.event;
    let mut line = serde_json::to_string(line).map_err(Error::internal)?;
    line.push('\n');
    let mut out = std::io::stdout();
    let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    notify::ready(event);
    Ok(())
}

/// Logs to standard error, as text; secrets never reach the log. Nor does every malformed request, which anybody could
/// fill a disk with; a filter that names `actix_http` shows them.
fn start_log(config: &Config) -> Result<(), Box<dyn std::error::Error>> {
    let filter = EnvFilter::try_new(format!("actix_http=off,{}", config.log.level))
        .map_err(|error| format!("log.level: {error}"))?;
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(false).init();
    Ok(())
}
