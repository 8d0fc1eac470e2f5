//! Start and stop, in order: data directory, cipher machine, store, keepers, gateway, listeners, cron; and back. While
//! the machine is locked only the listeners run, before a shut door.

pub mod audit;
pub mod custody;
mod unlocking;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use actix::{Actor, Arbiter};
use firmware_sim::{Machine, State};
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::catalog;
use crate::config::Config;
use crate::cron::Cron;
use crate::env::Env;
use crate::error::{Error, Result};
use crate::gateway::{Calls, Door, Gateway};
use crate::http::{self, Listeners};
use crate::ops::account::InitialiseAppliance;
use crate::ops::clock::warn_of_doubt;
use crate::store::{DirectoryLock, Store, Writer};
use custody::{directories, open_machine, options};
pub use unlocking::{SOCKET as UNLOCK_SOCKET, UNLOCKED};

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
    /// `ready`; `locked` before the passphrase; `error` after a failed self-test.
    pub event: String,
    /// URL of the OpenAPI plane.
    pub openapi: String,
    /// URL of the access-point plane.
    pub access_point: String,
    /// URL for a browser.
    pub console: String,
    /// URL of the metrics, if they are on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<String>,
}

/// A service that listens; whether it serves depends on its cipher machine.
pub struct Server {
    /// Where it listens.
    pub ready: ReadyLine,
    config: Config,
    env: Env,
    /// The right to the data directory, until [`Core`] has it.
    lock: Option<DirectoryLock>,
    machine: Arc<Machine>,
    door: Arc<Door>,
    listeners: Listeners,
    running: Option<Running>,
}

/// What runs once the machine is unlocked.
struct Running {
    core: Core,
    cron: Arbiter,
}

/// Everything below the listeners.
struct Core {
    gateway: Arc<Gateway>,
    keepers: Arbiter,
    store: Store,
    writer: Writer,
    /// Let go of last.
    lock: DirectoryLock,
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

/// Makes a new appliance in the data directory; the time of a demo can be moved ahead, and it stays one. Interrupted at any moment, it starts over at the next try: nothing of
/// it was promised to anybody yet.
pub async fn initialise(config: &Config, env: &Env, demo: bool) -> Result<()> {
    let data = &config.data;
    if is_initialised(config)? {
        return Err(Error::internal(format!("{} holds an appliance already", data.display())));
    }
    create_directory(data)?;
    let lock = DirectoryLock::take(data, env.clock.now())?;
    if is_initialised(config)? {
        return Err(Error::internal(format!("{} was just initialised by another process", data.display())));
    }
    if data.join(INITIALISING).exists() {
        clear(data)?;
    }
    write_secret(&data.join(INITIALISING), b"")?;
    sync(data)?;
    let machine = Machine::initialise(&directories(config), Arc::clone(&env.entropy), options(config)?);
    let machine = machine.map(Arc::new).map_err(Error::internal)?;
    http::initialise_tls(&data.join("tls"), env.clock.now())?;
    Store::create(data, &machine, &*env.entropy, demo)?;
    let core = Core::start(config, env, machine, lock, Arc::default())?;
    let first = core.gateway.submit(InitialiseAppliance {}).await;
    let _lock = core.stop();
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

fn write_secret(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(Error::internal)
}

/// Makes a directory with those above it. Each is durable only when the one that holds it was synced: without that, a
/// power cut long after could take the whole appliance away, and the next start would make a new one.
fn create_directory(path: &Path) -> Result<()> {
    let path = std::path::absolute(path).map_err(Error::internal)?;
    let missing: Vec<&Path> = path.ancestors().take_while(|directory| !directory.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(Error::internal)?;
    if missing.is_empty() {
        // Made by somebody else, or by a first start that was killed. Who may not read the parent cannot sync it.
        let _ = path.parent().map(sync);
    }
    missing.into_iter().filter_map(Path::parent).try_for_each(sync)
}

fn sync(directory: &Path) -> Result<()> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::internal)
}

impl Core {
    fn start(
        config: &Config,
        env: &Env,
        machine: Arc<Machine>,
        lock: DirectoryLock,
        calls: Arc<Calls>,
    ) -> Result<Self> {
        let (store, writer) = Store::open(config, &machine, audit::heads(config)?, env)?;
        let keepers = Arbiter::new();
        let specs = catalog::ROWS.iter().map(|row| row.spec).collect();
        let app = App::new(config.clone(), specs, env.clone(), machine, store.clone(), &keepers.handle());
        match Gateway::new(Arc::new(app), calls) {
            Ok(gateway) => Ok(Self { gateway: Arc::new(gateway), keepers, store, writer, lock }),
            Err(error) => {
                end(keepers, &store, writer);
                Err(error)
            }
        }
    }

    fn stop(self) -> DirectoryLock {
        end(self.keepers, &self.store, self.writer);
        self.lock
    }
}

/// Ends the keepers, then the writer, which first commits what is queued and closes the database.
fn end(keepers: Arbiter, store: &Store, writer: Writer) {
    keepers.stop();
    if keepers.join().is_err() {
        tracing::error!(event = "stop", "the keepers' thread panicked");
    }
    store.close();
    writer.join();
}

impl Server {
    /// Starts the service on an initialised data directory. If its cipher machine is attended, the service only listens
    /// until [`Server::unlocked`] has returned; if a self-test of the machine failed, it only listens. Must be called where
    /// actix runs.
    pub async fn start(config: &Config, env: &Env) -> Result<Self> {
        let mut lock = Some(DirectoryLock::take(&config.data, env.clock.now())?);
        let machine = open_machine(config, env)?;
        let door = Arc::new(Door::new(config.clone(), env.clone(), Arc::clone(&machine)));
        let core = match lock.take_if(|_| machine.state() == State::Operational) {
            None => None,
            Some(lock) => {
                let calls = Arc::clone(door.calls());
                let core = Core::start(config, env, Arc::clone(&machine), lock, calls)?;
                door.open(Arc::clone(&core.gateway));
                Some(core)
            }
        };
        let listeners = Listeners::start(&door)?;
        let ready = ReadyLine {
            event: "ready".into(),
            openapi: format!("https://{}", listeners.openapi),
            access_point: format!("https://{}", listeners.access_point),
            console: format!("https://{}/", listeners.openapi),
            metrics: listeners.metrics_url(),
        };
        let (config, env) = (config.clone(), env.clone());
        let mut server = Self { ready, config, env, lock, machine, door, listeners, running: None };
        if let Some(core) = core {
            server.run(core).await?;
        }
        Ok(server)
    }

    /// Whether the service waits for its passphrase.
    pub fn is_locked(&self) -> bool {
        self.machine.state() == State::Locked
    }

    /// The self-test that stopped the cipher machine: the service answers nothing but that, until it is started anew.
    pub fn failed_self_test(&self) -> Option<&'static str> {
        self.machine.failed_test()
    }

    /// Waits for the passphrase of an attended machine, then serves; not if a self-test fails when it opens.
    pub async fn unlocked(&mut self) -> Result<()> {
        if self.is_locked() {
            unlocking::wait(&self.config.data, &self.machine).await?;
            if self.failed_self_test().is_some() {
                return Ok(());
            }
            tracing::info!(event = "unlocked", "the cipher machine is open");
            let lock = self
                .lock
                .take()
                .ok_or_else(|| Error::internal("a locked service holds its data directory"))?;
            let (machine, calls) = (Arc::clone(&self.machine), Arc::clone(self.door.calls()));
            let core = Core::start(&self.config, &self.env, machine, lock, calls)?;
            self.run(core).await?;
        }
        Ok(())
    }

    /// Opens the door, starts the scheduler and tells where the service is.
    async fn run(&mut self, core: Core) -> Result<()> {
        let _ = core.gateway.app().access_point_address.set(self.listeners.access_point);
        let refused = self.door.open(Arc::clone(&core.gateway));
        core.gateway.record_locked(refused).await?;
        audit::begin(&self.config, &core.gateway).await?;
        warn_of_doubt(&core.store.time().read());
        let scheduler = Arc::clone(&core.gateway);
        let cron = Arbiter::new();
        Cron::start_in_arbiter(&cron.handle(), move |_| Cron::new(scheduler));
        self.running = Some(Running { core, cron });
        let line = serde_json::to_vec(&self.ready).map_err(Error::internal)?;
        let path = self.config.data.join(READY);
        if let Err(error) = write_secret(&path, &line) {
            // A full disk keeps nobody from being served; an empty file would only confuse the command line.
            let _ = fs::remove_file(&path);
            tracing::warn!(event = "ready", cause = ?error, "{READY} cannot be written: name the endpoint in a profile");
        }
        self.warn();
        Ok(())
    }

    /// What an operator should change.
    fn warn(&self) {
        if self.config.data.join(FIRST_RUN).exists() {
            tracing::warn!(
                event = "first-run",
                "{FIRST_RUN} still lies in the data directory: keep its contents in a safe place and delete it"
            );
        }
        if self.door.is_demo() {
            tracing::warn!(
                event = "demo",
                "this instance is a demo: an administrator can move its time ahead"
            );
        }
        if custody::is_software_together(&self.config) {
            tracing::warn!(
                event = "custody",
                "all files of software custody lie in the data directory, and in every copy of it: set custody.software_key \
                 to a directory elsewhere"
            );
        }
    }

    /// Stops accepting, finishes and commits what is in flight, and returns when everything is durable.
    pub async fn stop(self) {
        self.listeners.stop().await;
        if let Some(test) = self.machine.failed_test() {
            // The machine seals no record any more, so that this line is all that is left of them.
            let refused = self.door.refused();
            tracing::error!(
                event = "selfTest",
                test,
                refused,
                "calls refused in the error state have no audit record"
            );
        }
        let Some(Running { core, cron }) = self.running else { return };
        cron.stop();
        let _ = cron.join();
        let _ = fs::remove_file(self.config.data.join(READY));
        audit::end(&core.gateway).await;
        core.stop();
    }

    /// The gateway behind the listeners, once the machine is unlocked.
    pub fn gateway(&self) -> Option<Arc<Gateway>> {
        self.door.gateway().cloned()
    }
}
