//! Start and stop, in order: data directory, cipher machine, store, keepers, gateway, cron, listeners; and back.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use actix::{Actor, Arbiter};
use firmware_sim::{Directories, Machine};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::config::Config;
use crate::cron::Cron;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::http::{self, Listeners};
use crate::ops::account::InitialiseAppliance;
use crate::store::{Store, Writer};

/// Credentials of the first account, written once at initialisation.
pub const FIRST_RUN: &str = "first-run.json";
/// The ready line of the running service, for the command line on the same machine.
pub const READY: &str = "ready.json";
/// Lies in the data directory while initialisation is under way.
const INITIALISING: &str = "initialising";

/// What `serve` prints when it is ready.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadyLine {
    /// Always `ready`.
    pub event: String,
    /// URL of the OpenAPI plane.
    pub openapi: String,
    /// URL of the access-point plane.
    pub access_point: String,
    /// URL for a browser.
    pub console: String,
}

/// A running service.
pub struct Server {
    /// Where it listens.
    pub ready: ReadyLine,
    core: Core,
    cron: Arbiter,
    listeners: Listeners,
}

/// Everything below the listeners.
struct Core {
    gateway: Arc<Gateway>,
    keepers: Arbiter,
    store: Store,
    writer: Writer,
}

/// Whether the data directory holds an appliance. A directory that holds parts of one is refused.
pub fn is_initialised(config: &Config) -> Result<bool> {
    let data = &config.data;
    if data.join(INITIALISING).exists() {
        return Ok(false);
    }
    match (Store::exists(data), data.join("machine").exists()) {
        (true, _) => Ok(true),
        (false, false) => Ok(false),
        (false, true) => Err(Error::internal(format!(
            "{} holds a cipher machine but no database: restore the database, or move the directory away",
            data.display()
        ))),
    }
}

/// Makes a new appliance in the data directory. Interrupted at any moment, it starts over at the next try: nothing of
/// it was promised to anybody yet.
pub async fn initialise(config: &Config, env: &Env) -> Result<()> {
    let data = &config.data;
    if is_initialised(config)? {
        return Err(Error::internal(format!("{} holds an appliance already", data.display())));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(Error::internal)?;
    if data.join(INITIALISING).exists() {
        clear(data)?;
    }
    write_secret(&data.join(INITIALISING), b"")?;
    sync(data)?;
    Machine::initialise(&directories(data), Arc::clone(&env.entropy)).map_err(Error::internal)?;
    http::initialise_tls(&data.join("tls"), env.clock.now())?;
    let machine = open_machine(config, env)?;
    Store::create(data, &machine, &*env.entropy)?;
    let core = Core::start(config, env, machine)?;
    let first = core.gateway.submit(InitialiseAppliance {}).await;
    core.stop().await;
    let first = zeroize::Zeroizing::new(serde_json::to_vec_pretty(&first?).map_err(Error::internal)?);
    write_secret(&data.join(FIRST_RUN), &first)?;
    sync(data)?;
    fs::remove_file(data.join(INITIALISING)).map_err(Error::internal)?;
    sync(data)
}

/// Removes what an interrupted initialisation left.
fn clear(data: &Path) -> Result<()> {
    let ignore_missing = |result: std::io::Result<()>| match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::internal(error)),
        Ok(()) | Err(_) => Ok(()),
    };
    for directory in ["machine", "tls"] {
        ignore_missing(fs::remove_dir_all(data.join(directory)))?;
    }
    for file in ["yaoku.redb", "yaoku.redb.new", FIRST_RUN, INITIALISING] {
        ignore_missing(fs::remove_file(data.join(file)))?;
    }
    Ok(())
}

fn directories(data: &Path) -> Directories {
    let machine = data.join("machine");
    Directories {
        hsm: machine.join("hsm"),
        device: machine.join("device"),
        software: machine.join("software"),
        software_key: machine.join("software-key"),
    }
}

fn open_machine(config: &Config, env: &Env) -> Result<Arc<Machine>> {
    Machine::open(&directories(&config.data), Arc::clone(&env.entropy)).map(Arc::new).map_err(Error::internal)
}

fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(Error::internal)
}

fn sync(directory: &Path) -> Result<()> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::internal)
}

impl Core {
    fn start(config: &Config, env: &Env, machine: Arc<Machine>) -> Result<Self> {
        let (store, writer) = Store::open(&config.data, &machine, &config.store)?;
        let keepers = Arbiter::new();
        let app = App::new(config.clone(), env.clone(), machine, store.clone(), &keepers.handle());
        let gateway = Arc::new(Gateway::new(Arc::new(app))?);
        Ok(Self { gateway, keepers, store, writer })
    }

    /// Ends the keepers, then the writer, which first commits what is queued.
    async fn stop(self) {
        self.keepers.stop();
        if self.keepers.join().is_err() {
            tracing::error!(event = "stop", "the keepers' thread panicked");
        }
        self.store.close().await;
        self.writer.join();
        drop(self.gateway);
        self.store.released().await;
    }
}

impl Server {
    /// Starts the service on an initialised data directory. Must be called where actix runs.
    pub async fn start(config: &Config, env: &Env) -> Result<Self> {
        let core = Core::start(config, env, open_machine(config, env)?)?;
        let listeners = Listeners::start(&core.gateway)?;
        let scheduler = Arc::clone(&core.gateway);
        let cron = Arbiter::new();
        Cron::start_in_arbiter(&cron.handle(), move |_| Cron::new(scheduler));
        let ready = ReadyLine {
            event: "ready".into(),
            openapi: format!("https://{}", listeners.openapi),
            access_point: format!("https://{}", listeners.access_point),
            console: format!("https://{}/", listeners.openapi),
        };
        let line = serde_json::to_vec(&ready).map_err(Error::internal)?;
        write_secret(&config.data.join(READY), &line)?;
        if config.data.join(FIRST_RUN).exists() {
            tracing::warn!(
                event = "first-run",
                "{FIRST_RUN} still lies in the data directory: keep its contents in a safe place and delete it"
            );
        }
        Ok(Self { ready, core, cron, listeners })
    }

    /// Stops accepting, finishes and commits what is in flight, and returns when everything is durable.
    pub async fn stop(self) {
        self.listeners.stop().await;
        self.cron.stop();
        let _ = self.cron.join();
        let config = &self.core.gateway.app().config;
        let _ = fs::remove_file(config.data.join(READY));
        self.core.stop().await;
    }
}
