//! The cipher machine as operations see it: short commands run on the calling thread, long ones in a pool of engines,
//! each a thread of its own. A command that panics is a fault, never the end of an engine. It also keeps new keys and
//! rolls of wrapping keys apart, so that no key is lost to a roll.

use std::sync::Arc;

use actix::{Actor, Addr, Handler, Message, SyncArbiter, SyncContext};
use firmware_sim::{Command, Fault, Lane, Machine, PartitionId};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, Semaphore, oneshot};

use crate::error::{Error, Result};

/// Commands that wait for an engine at most.
const WAITING_MAX: usize = 256;

/// One device; cheap to clone.
#[derive(Clone)]
pub struct CipherMachine {
    device: Arc<Machine>,
    engines: Addr<Engine>,
    waiting: Arc<Semaphore>,
    /// Held shared while a new key is made and stored, and alone while a roll begins.
    wrapping: Arc<RwLock<()>>,
}

/// The right to make keys, see [`CipherMachine::wrapping`].
pub struct Wrapping(#[expect(dead_code, reason = "held, not read")] OwnedRwLockReadGuard<()>);

struct Engine(Arc<Machine>);

impl Actor for Engine {
    type Context = SyncContext<Self>;
}

struct Job(Box<dyn FnOnce(&Machine) + Send>);

impl Message for Job {
    type Result = ();
}

impl Handler<Job> for Engine {
    type Result = ();
    fn handle(&mut self, job: Job, _: &mut SyncContext<Self>) {
        (job.0)(&self.0);
    }
}

impl CipherMachine {
    /// Starts `engines` engine threads over a device. Must be called where actix runs.
    pub fn start(device: Arc<Machine>, engines: usize) -> Self {
        let pool = Arc::clone(&device);
        let engines = SyncArbiter::start(engines.max(1), move || Engine(Arc::clone(&pool)));
        Self { device, engines, waiting: Arc::new(Semaphore::new(WAITING_MAX)), wrapping: Arc::default() }
    }

    /// The device itself, for what is neither a command nor secret: its state and figures.
    pub fn device(&self) -> &Machine {
        &self.device
    }

    /// Commands that wait for an engine or run on one.
    pub fn jobs(&self) -> usize {
        WAITING_MAX - self.waiting.available_permits()
    }

    /// Runs a command where its lane says. Commands that make keys do not compile here, see [`CipherMachine::make`].
    pub async fn run<C: Command>(&self, partition: PartitionId, command: C) -> Result<C::Reply> {
        const { assert!(!C::MAKES_KEY, "a command that makes a key needs the right to: CipherMachine::make") };
        self.dispatch(partition, command).await
    }

    /// The right to make keys. Whoever makes one holds it until the record that keeps the key is committed: a roll of the
    /// wrapping key begins before or after that, so it finds the record, or the key is of the new generation.
    pub async fn wrapping(&self) -> Wrapping {
        Wrapping(Arc::clone(&self.wrapping).read_owned().await)
    }

    /// Runs a command that makes a key.
    pub async fn make<C: Command>(
        &self,
        partition: PartitionId,
        command: C,
        _held: &Wrapping,
    ) -> Result<C::Reply> {
        self.dispatch(partition, command).await
    }

    async fn dispatch<C: Command>(&self, partition: PartitionId, command: C) -> Result<C::Reply> {
        match C::LANE {
            Lane::Inline => self.device.run(partition, command).map_err(Error::from),
            // Boxed, so that short commands do not carry the long way's state.
            Lane::Engine => Box::pin(self.on_engine(move |device| device.run(partition, command))).await,
        }
    }

    /// Makes a partition, durably. Making one that exists changes nothing.
    pub async fn create_partition(&self, partition: PartitionId) -> Result<()> {
        self.on_engine(move |device| device.create_partition(partition)).await
    }

    /// Runs the self-tests again; names what passed.
    pub async fn self_test(&self) -> Result<Vec<&'static str>> {
        self.on_engine(Machine::self_test).await
    }

    /// Begins to roll a partition's wrapping key, durably, and answers the new generation. Waits for the commits of keys
    /// that were made under the old one.
    pub async fn begin_roll(&self, partition: PartitionId) -> Result<u32> {
        let alone = Arc::clone(&self.wrapping).write_owned().await;
        let begin = move |device: &Machine| {
            let generation = device.begin_roll(partition);
            drop(alone);
            generation
        };
        self.on_engine(begin).await
    }

    /// Erases the old generation of a partition whose wrapping key rolls. The caller has proven that nothing is left
    /// under it.
    pub async fn finish_roll(&self, partition: PartitionId) -> Result<()> {
        self.on_engine(move |device| device.finish_roll(partition)).await
    }

    async fn on_engine<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Machine) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        const BUSY: Error = Error::Unavailable("the cipher machine is busy; retry in a moment");
        let _place = self.waiting.try_acquire().map_err(|_| BUSY)?;
        let (reply, result) = oneshot::channel();
        let job = Job(Box::new(move |device| {
            let _ = reply.send(job(device));
        }));
        self.engines.send(job).await.map_err(Error::internal)?;
        result.await.map_err(Error::internal)?.map_err(Error::from)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::InvalidFrame | Fault::InvalidCiphertext => Self::InvalidCiphertext,
            Fault::NotOperational => {
                Self::Unavailable("the cipher machine is not operational; the log names the cause")
            }
            Fault::SelfTest(_) => Self::Unavailable(
                "a self-test of the cipher machine failed; it answers nothing until the service is restarted",
            ),
            Fault::RetiredGeneration => Self::Unavailable("the key was just wrapped anew; retry"),
            Fault::Locked => Self::Unavailable("the cipher machine is locked; an operator unlocks it"),
            fault @ (Fault::InvalidWrappedKey
            | Fault::WrongPurpose
            | Fault::WrongAlgorithm
            | Fault::NoSuchPartition
            | Fault::Limit(_)
            | Fault::AlreadyInitialised
            | Fault::NotInitialised
            | Fault::Storage(_)
            | Fault::Entropy
            | Fault::WrongPassphrase
            | Fault::AlreadyAttended
            | Fault::NotAttended
            | Fault::UnknownSelfTest
            | Fault::Panicked) => Self::internal(fault),
        }
    }
}
