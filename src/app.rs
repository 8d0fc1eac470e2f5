//! The handles that an operation may use. Starting and stopping is the business of `server.rs`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use actix::ArbiterHandle;
use firmware_sim::{
    Command, DevicePublicKey, DeviceSign, GenerateKey, Machine, PartitionId, ReEncrypt, State, WrappedKey,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use crate::actors::Wrapping;
use crate::actors::{CipherMachine, Keepers};
use crate::api::{Call, Spec};
use crate::config::Config;
use crate::env::{Env, Timestamp};
use crate::error::{Error, Result};
use crate::ids::{AccountId, EventId, InstanceId, VersionId};
use crate::model::access_point::AccessPoint;
use crate::model::account::{Account, User};
use crate::model::attempt::{Attempt, Outcome};
use crate::model::checkpoint::{PublicKey, Signed, Statement};
use crate::model::credential::Credential;
use crate::model::instance::Instance;
use crate::model::key::{Key, KeyVersion, Work};
use crate::model::owner::{self, Owner};
use crate::model::principal::Principal;
use crate::store::{Store, Trail};

/// Password hashes at the same time: each takes 19 MB and a processor.
const HASHES: usize = 2;
/// Password hashes that wait for their turn.
const HASHES_WAITING: usize = 16;

/// Moves of a demo's time that wait for their turn.
const ADVANCES_MAX: usize = 8;

/// A wish to move the time of a demo ahead; the scheduler grants one at a time.
pub struct Advance {
    /// How far.
    pub by: Duration,
    /// Where the outcome goes.
    pub reply: oneshot::Sender<Result<Advanced>>,
}

/// What happened while the time of a demo moved.
#[derive(Debug, Clone, Copy, Default)]
pub struct Advanced {
    /// How often it was moved.
    pub steps: u64,
    /// How many jobs were done that fell due.
    pub jobs: u64,
}

/// One running appliance.
pub struct App {
    /// The effective settings.
    pub config: Config,
    /// What can be called: the catalog without its code, which no operation may import.
    pub operations: Vec<&'static Spec>,
    /// Clock and random source.
    pub env: Env,
    /// The cipher machine.
    pub machine: CipherMachine,
    /// The database.
    pub store: Store,
    /// Keys.
    pub keys: Keepers<Key>,
    /// Access keys.
    pub credentials: Keepers<Credential>,
    /// Access points.
    pub access_points: Keepers<AccessPoint>,
    /// Services.
    pub instances: Keepers<Instance>,
    /// Tenants.
    pub accounts: Keepers<Account>,
    /// People.
    pub users: Keepers<User>,
    /// Password hashes that run, and those with them that wait.
    hashing: Arc<Semaphore>,
    hashing_or_waiting: Semaphore,
    /// Whoever holds it makes a default key, see createDefaultKey.
    pub making_default_key: tokio::sync::Mutex<()>,
    /// When the cipher machine last passed its self-tests, by the wall clock.
    self_tested: Mutex<Timestamp>,
    /// When cron last finished a tick, on the monotonic clock.
    pub last_tick: Mutex<Duration>,
    /// The address that the access-point listener was given, once it listens.
    pub access_point_address: OnceLock<SocketAddr>,
    advances: mpsc::Sender<Advance>,
    /// Where the scheduler takes them from, until it has it.
    waiting_advances: Mutex<Option<mpsc::Receiver<Advance>>>,
}

impl App {
    /// Puts the handles together. Must be called where actix runs; keepers live on `arbiter`.
    pub fn new(
        config: Config,
        operations: Vec<&'static Spec>,
        env: Env,
        machine: Arc<Machine>,
        store: Store,
        arbiter: &ArbiterHandle,
    ) -> Self {
        let engines = std::thread::available_parallelism().map_or(1, usize::from);
        let idle = Duration::from_secs(config.keepers.idle_seconds);
        let (advances, waiting_advances) = mpsc::channel(ADVANCES_MAX);
        Self {
            machine: CipherMachine::start(machine, engines, config.import.spare_wrapping_keys),
            keys: Keepers::new(&store, arbiter.clone(), idle),
            credentials: Keepers::new(&store, arbiter.clone(), idle),
            access_points: Keepers::new(&store, arbiter.clone(), idle),
            instances: Keepers::new(&store, arbiter.clone(), idle),
            accounts: Keepers::new(&store, arbiter.clone(), idle),
            users: Keepers::new(&store, arbiter.clone(), idle),
            hashing: Arc::new(Semaphore::new(HASHES)),
            hashing_or_waiting: Semaphore::new(HASHES + HASHES_WAITING),
            making_default_key: tokio::sync::Mutex::default(),
            // A machine that answers has just passed them, at its start or when it was unlocked.
            self_tested: Mutex::new(env.clock.now()),
            last_tick: Mutex::new(env.clock.monotonic()),
            access_point_address: OnceLock::new(),
            advances,
            waiting_advances: Mutex::new(Some(waiting_advances)),
            store,
            config,
            operations,
            env,
        }
    }

    /// Random bytes for ids.
    pub fn random<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.env.entropy.fill(&mut bytes).map_err(Error::internal)?;
        Ok(bytes)
    }

    /// The version of a key that a call computes with: of this id, or without one the primary version. State, owner and caller
    /// must allow this work now. The one door to versions in use, which notes the use, and the attempt where there is one.
    pub fn use_key<'k>(
        &self,
        call: &Call,
        key: &'k Key,
        work: Work,
        version: Option<VersionId>,
    ) -> Result<&'k KeyVersion> {
        self.check_caller(call, key)?;
        let version = key.version_for_use(work, version, call.horizon());
        let outcome = match &version {
            Ok(_) => key.rehearsal.then_some(Outcome::Rehearsed),
            Err(Error::KeyDisabled | Error::KeyPendingDeletion) => Some(Outcome::Refused),
            Err(_) => None,
        };
        if let Some(outcome) = outcome {
            let event = EventId::from_random(self.random()?);
            call.attempt(Attempt::on(key, outcome, call.horizon(), event));
        }
        let version = version?;
        match work {
            Work::Symmetric | Work::Authentication | Work::Signing | Work::AsymmetricEncryption => {
                call.use_version(key.id, version.id);
            }
            // Reading is no work with the key.
            Work::PublicKey => {}
        }
        Ok(version)
    }

    /// Whether the caller is one of those that the key serves: a default key serves its product alone (contract 5.1).
    pub fn check_caller(&self, call: &Call, key: &Key) -> Result<()> {
        match (key.owner, &call.principal) {
            (_, Principal::System) => Ok(()),
            (Owner::Product(owner), Principal::Product { code, .. }) if owner == *code => Ok(()),
            (Owner::Product(_), _) => Err(Error::DefaultKey),
            (Owner::Service(_), Principal::Product { .. }) if !self.config.products.subscription_keys => {
                Err(Error::NoPermission)
            }
            (Owner::Service(_) | Owner::OnDemand, _) => Ok(()),
        }
    }

    /// Runs a command with a key in its partition, if its service runs.
    pub async fn run_for<C: Command>(&self, key: &Key, command: C) -> Result<C::Reply> {
        self.machine.run(self.running_partition(key)?, command).await
    }

    /// Runs a command that makes something wrapped in the partition of a key, if its service runs.
    pub async fn make_for<C: Command>(&self, key: &Key, command: C, held: &Wrapping) -> Result<C::Reply> {
        self.machine.make(self.running_partition(key)?, command, held).await
    }

    /// Makes a version of a key in its partition, if its service runs; it must be stored under the right that comes with it.
    pub async fn generate_for(&self, key: &Key, command: GenerateKey) -> Result<(WrappedKey, Wrapping)> {
        self.machine.generate(self.running_partition(key)?, command).await
    }

    /// Encrypts a ciphertext of one key anew with another or the same one, if their services run.
    pub async fn re_encrypt(&self, source: &Key, destination: &Key, command: ReEncrypt) -> Result<Vec<u8>> {
        let (source, destination) = (self.running_partition(source)?, self.running_partition(destination)?);
        self.machine.re_encrypt(source, destination, command).await
    }

    fn running_partition(&self, key: &Key) -> Result<PartitionId> {
        if let Some(service) = key.owner.service() {
            self.instance(service)?.check_running()?;
        }
        self.partition_of(key.account, key.owner)
    }

    /// The partition in which an owner's keys lie: of the service, or the account's own.
    pub fn partition_of(&self, account: AccountId, owner: Owner) -> Result<PartitionId> {
        let partition = match owner {
            Owner::Service(service) => self.instance(service)?.partition,
            Owner::OnDemand | Owner::Product(_) => owner::partition_of(account),
        };
        Ok(PartitionId(*partition.as_bytes()))
    }

    /// Makes the partition of a key, if it is the account's own and not there yet; that of a service is.
    pub async fn ensure_partition(&self, key: &Key) -> Result<()> {
        match key.owner {
            Owner::Service(_) => Ok(()),
            Owner::OnDemand | Owner::Product(_) => {
                self.machine.create_partition(self.partition_of(key.account, key.owner)?).await
            }
        }
    }

    /// The public key of the device that signs the audit trail.
    pub async fn device_key(&self) -> Result<PublicKey> {
        let point = self.machine.run(PartitionId::DEVICE, DevicePublicKey).await?;
        PublicKey::from_point(point).ok_or_else(|| Error::internal("the device's public key is malformed"))
    }

    /// Has the device sign a statement.
    pub async fn sign(&self, statement: &Statement) -> Result<Signed> {
        let (key, text) = (self.device_key().await?, statement.text());
        let command = DeviceSign { message: text.clone().into_bytes() };
        let signature = self.machine.run(PartitionId::DEVICE, command).await?;
        Ok(Signed::by_device(text, &key, &signature))
    }

    /// Reads from the audit trail on a thread of its own: it may take a second.
    pub async fn read_trail<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Trail<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.trail(work)).await.map_err(Error::internal)?
    }

    /// Hashes a password on a thread of its own, when it is its turn.
    pub async fn hash_password<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        const BUSY: Error = Error::Unavailable("too many passwords are being hashed; retry in a moment");
        let _waiting = self.hashing_or_waiting.try_acquire().map_err(|_| BUSY)?;
        let turn = Arc::clone(&self.hashing).acquire_owned().await.map_err(Error::internal)?;
        let hash = move || {
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(hash).await.map_err(Error::internal)
    }

    /// A service that some record names.
    pub fn instance(&self, id: InstanceId) -> Result<Arc<Instance>> {
        self.instances.get(&id)?.ok_or(Error::ResourceNotFound("service"))
    }

    /// Has the scheduler move the time of a demo ahead.
    pub async fn advance(&self, by: Duration) -> Result<Advanced> {
        let (reply, advanced) = oneshot::channel();
        let full = |_| Error::Unavailable("the time is being moved already; retry in a moment");
        self.advances.try_send(Advance { by, reply }).map_err(full)?;
        let stopped = |_| Error::Unavailable("the service stops; the time may have moved part of the way");
        advanced.await.map_err(stopped)?
    }

    /// The wishes to move the time ahead, for the scheduler; it asks once.
    pub fn take_advances(&self) -> Option<mpsc::Receiver<Advance>> {
        self.waiting_advances.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// When the cipher machine last passed its self-tests, by the wall clock.
    pub fn self_tested(&self) -> Timestamp {
        *self.self_tested.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The self-test that stopped the cipher machine.
    pub fn failed_self_test(&self) -> Option<&'static str> {
        self.machine.device().failed_test()
    }

    /// Runs the cipher machine's self-tests on an engine; names what passed.
    pub async fn self_test(&self) -> Result<Vec<&'static str>> {
        let passed = self.machine.self_test().await?;
        *self.self_tested.lock().unwrap_or_else(PoisonError::into_inner) = self.env.clock.now();
        Ok(passed)
    }

    /// Where access points are reached.
    pub fn access_point_url(&self) -> String {
        format!("https://{}", self.access_point_address.get().unwrap_or(&self.config.access_point.listen))
    }

    /// Whether calls can be served: the store writes, the machine works, cron ticks.
    pub fn is_ready(&self) -> bool {
        let last = *self.last_tick.lock().unwrap_or_else(PoisonError::into_inner);
        let late = self.env.clock.monotonic().saturating_sub(last);
        let machine = self.machine.device().state() == State::Operational;
        // A tick may take its time; six missed ones are a dead scheduler.
        machine
            && self.store.is_healthy()
            && late < Duration::from_secs(6 * self.config.cron.tick_seconds + 10)
    }
}
