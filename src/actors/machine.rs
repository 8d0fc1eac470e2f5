//! The cipher machine as operations see it: short commands run on the calling thread, long ones in a pool of engines,
//! each a thread of its own, and those that make RSA keys on one thread that gives way to all others. A command that panics is
//! a fault, never the end of an engine. It also keeps new keys and rolls of wrapping keys apart, so that no key is lost to a
//! roll.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix::{Actor, Addr, Handler, Message, SyncArbiter, SyncContext};
use firmware_sim::{
    Command, Fault, GenerateKey, Lane, Machine, MakeSpareKey, PartitionId, ReEncrypt, Rewrap, WrappedKey,
};
use tokio::sync::{OwnedRwLockReadGuard, RwLock, Semaphore, oneshot};

use crate::error::{Error, Result};

/// Commands that wait for an engine at most.
const WAITING_MAX: usize = 256;
/// Commands that wait for the slow lane at most: some seconds.
const SLOW_WAITING_MAX: usize = 64;
/// The priority of the slow lane: it runs while nobody else wants to.
const SLOW_NICE: i32 = 19;

/// One device; cheap to clone.
#[derive(Clone)]
pub struct CipherMachine {
    device: Arc<Machine>,
    engines: Queue,
    slow: Queue,
    /// Wrapping keys for imports that are kept ready, and whether one is on order.
    spare: usize,
    ordered: Arc<AtomicBool>,
    /// Held shared while a new key is made and stored, and alone while a roll begins.
    wrapping: Arc<RwLock<()>>,
}

/// The right to make keys, see [`CipherMachine::wrapping`].
pub struct Wrapping(#[expect(dead_code, reason = "held, not read")] OwnedRwLockReadGuard<()>);

/// Engine threads, and the places of those who wait for one.
#[derive(Clone)]
struct Queue {
    engines: Addr<Engine>,
    waiting: Arc<Semaphore>,
    most: usize,
}

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
    /// Starts `engines` engine threads over a device, and keeps `spare` wrapping keys for imports ready. Must be called where
    /// actix runs.
    pub fn start(device: Arc<Machine>, engines: usize, spare: usize) -> Self {
        let pool = Arc::clone(&device);
        let fast = SyncArbiter::start(engines.max(1), move || Engine(Arc::clone(&pool)));
        let lane = Arc::clone(&device);
        let slow = SyncArbiter::start(1, move || {
            // Of this thread alone. Giving way more needs no right, and a lane that does not is only less polite.
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), SLOW_NICE);
            Engine(Arc::clone(&lane))
        });
        let machine = Self {
            device,
            engines: Queue::new(fast, WAITING_MAX),
            slow: Queue::new(slow, SLOW_WAITING_MAX),
            spare,
            ordered: Arc::default(),
            wrapping: Arc::default(),
        };
        machine.refill();
        machine
    }

    /// The device itself, for what is neither a command nor secret: its state and figures.
    pub fn device(&self) -> &Machine {
        &self.device
    }

    /// Commands that wait for an engine or run on one.
    pub fn jobs(&self) -> usize {
        self.engines.jobs() + self.slow.jobs()
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

    /// Makes a key version, and answers it with the right under which it must be stored. An RSA key takes a
    /// while, behind all who wait for the lane too, for which no roll should wait: if one begins meanwhile, the new key is wrapped
    /// anew; if it has ended too, the caller retries.
    pub async fn generate(
        &self,
        partition: PartitionId,
        command: GenerateKey,
    ) -> Result<(WrappedKey, Wrapping)> {
        match command.lane() {
            Lane::Inline | Lane::Engine => {
                let held = self.wrapping().await;
                Ok((self.make(partition, command, &held).await?, held))
            }
            Lane::Slow => {
                let key = self.dispatch(partition, command).await?;
                let held = self.wrapping().await;
                Ok((self.run(partition, Rewrap { key }).await?, held))
            }
        }
    }

    /// Has the slow lane make wrapping keys for imports, one after the other, until as many are ready as are kept so. Others who
    /// wait for the lane have their turn between them.
    pub fn refill(&self) {
        if self.spare == 0 || self.ordered.swap(true, Ordering::AcqRel) {
            return;
        }
        let machine = self.clone();
        let ordered = self.slow.engines.try_send(Job(Box::new(move |device| {
            // Whoever takes one from now on orders another.
            machine.ordered.store(false, Ordering::Release);
            // Nobody waits for a failure; cron orders again.
            let ready = device.run(PartitionId::DEVICE, MakeSpareKey { most: machine.spare });
            if ready.is_ok_and(|ready| ready < machine.spare) {
                machine.refill();
            }
        })));
        if ordered.is_err() {
            // The lane has enough to do; cron orders again.
            self.ordered.store(false, Ordering::Release);
        }
    }

    async fn dispatch<C: Command>(&self, partition: PartitionId, command: C) -> Result<C::Reply> {
        let queue = match command.lane() {
            Lane::Inline => return self.device.run(partition, command).map_err(Error::from),
            Lane::Engine => &self.engines,
            Lane::Slow => &self.slow,
        };
        // Boxed, so that short commands do not carry the long way's state.
        Box::pin(queue.run(move |device| device.run(partition, command))).await
    }

    /// Encrypts a ciphertext anew, see [`Machine::re_encrypt`].
    pub async fn re_encrypt(
        &self,
        source: PartitionId,
        destination: PartitionId,
        command: ReEncrypt,
    ) -> Result<Vec<u8>> {
        match command.lane() {
            Lane::Inline => Ok(self.device.re_encrypt(source, destination, command)?),
            Lane::Engine | Lane::Slow => {
                let work = move |device: &Machine| device.re_encrypt(source, destination, command);
                Box::pin(self.engines.run(work)).await
            }
        }
    }

    /// Makes a partition, durably. Making one that exists changes nothing.
    pub async fn create_partition(&self, partition: PartitionId) -> Result<()> {
        self.engines.run(move |device| device.create_partition(partition)).await
    }

    /// Runs the self-tests again; names what passed.
    pub async fn self_test(&self) -> Result<Vec<&'static str>> {
        self.engines.run(Machine::self_test).await
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
        self.engines.run(begin).await
    }

    /// Erases the old generation of a partition whose wrapping key rolls. The caller has proven that nothing is left
    /// under it.
    pub async fn finish_roll(&self, partition: PartitionId) -> Result<()> {
        self.engines.run(move |device| device.finish_roll(partition)).await
    }
}

impl Queue {
    fn new(engines: Addr<Engine>, most: usize) -> Self {
        Self { engines, waiting: Arc::new(Semaphore::new(most)), most }
    }

    fn jobs(&self) -> usize {
        self.most - self.waiting.available_permits()
    }

    async fn run<T: Send + 'static>(
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
            Fault::InvalidPublicKey => Self::invalid(
                "publicKeyBlob",
                "must be the SubjectPublicKeyInfo of an RSA key of 2048 bits or of an SM2 key, as DER or PEM",
            ),
            Fault::TooLongToExport => Self::invalid(
                "ciphertextBlob",
                "holds more than wrappingAlgorithm takes: 190 bytes with RSAES_OAEP_SHA_256, 214 with RSAES_OAEP_SHA_1, 6047 with SM2PKE",
            ),
            Fault::InvalidKeyMaterial => Self::InvalidKeyMaterial,
            Fault::NoSpareKey => {
                Self::Unavailable("wrapping keys for imports are being made; retry in a moment")
            }
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
