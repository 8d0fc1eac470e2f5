//! The machine: started from its files, then asked one command at a time, from any number of threads. It imports
//! the partitions and the root keys. It waits for nothing but its disk, and for that only when a partition is
//! made or its wrapping key rolls; a panic in a command stays in that command.

mod roll;

use std::collections::HashSet;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use foldhash::{HashMap, HashMapExt as _};

use crate::command::Command;
use crate::commands::re_encrypt::ReEncrypt;
use crate::custody;
use crate::directories::Directories;
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::identity::PartitionId;
use crate::material::Material;
use crate::pairwise;
use crate::partition::{DeviceKeys, Partition};
use crate::root_key::Roots;
use crate::sealed_file::damaged;
use crate::selftest;
use crate::shared::{Shared, State};
use crate::slots::{self, Slots};
use crate::wrapped::WrappedKey;

/// How a machine is started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Test switch: the self-test that is made to fail, one of [`crate::self_tests`].
    pub corrupt: Option<String>,
}

/// The cipher machine (design section 7).
pub struct Machine {
    // A panic under either lock leaves whole values: both change by one assignment or insertion at the end. So a
    // poisoned lock is used on.
    partitions: RwLock<HashMap<PartitionId, Arc<Partition>>>,
    /// None while the machine is locked.
    roots: Mutex<Option<Roots>>,
    shared: Arc<Shared>,
    directories: Directories,
    attended: bool,
    commands_run: AtomicU64,
    faults: AtomicU64,
}

impl Machine {
    /// Makes a new, unattended machine with its device partition. Refuses if any of its files exists.
    pub fn initialise(
        directories: &Directories,
        entropy: Arc<dyn Entropy>,
        options: Options,
    ) -> Result<Self, Fault> {
        let machine = Self::new(directories, entropy, &options, false)?;
        selftest::run_on(&machine.shared)?;
        let made = Roots::initialise(directories, &machine.shared);
        made.and_then(|(roots, slots)| machine.start(roots, slots)).map_err(|fault| machine.cause(fault))?;
        Ok(machine)
    }

    /// Starts the machine that lies in these directories: first its self-tests, then its keys. An attended one is locked
    /// until [`Machine::unlock`]; one whose self-test failed is in [`State::Error`] and says which.
    pub fn open(
        directories: &Directories,
        entropy: Arc<dyn Entropy>,
        options: Options,
    ) -> Result<Self, Fault> {
        if directories.present()? == 0 {
            return Err(Fault::NotInitialised);
        }
        let file = slots::read(directories)?;
        let attended = slots::is_attended(&file);
        let machine = Self::new(directories, entropy, &options, attended)?;
        match machine.prepare(&file) {
            Err(_) if machine.state() == State::Error => Ok(machine),
            prepared => prepared.map(|()| machine),
        }
    }

    /// What comes before the first command: self-tests, and the keys of an unattended machine.
    fn prepare(&self, file: &[u8]) -> Result<(), Fault> {
        selftest::run_on(&self.shared)?;
        if self.attended {
            return Ok(());
        }
        let slots = slots::open_with_device(&self.directories, file)?;
        self.start(Roots::open(&self.directories, &slots)?, slots)
    }

    /// The failed self-test rather than what it led to.
    fn cause(&self, fault: Fault) -> Fault {
        self.failed_test().map_or(fault, Fault::SelfTest)
    }

    fn new(
        directories: &Directories,
        entropy: Arc<dyn Entropy>,
        options: &Options,
        attended: bool,
    ) -> Result<Self, Fault> {
        let corrupt = selftest::find(options.corrupt.as_deref())?;
        Ok(Self {
            partitions: RwLock::default(),
            roots: Mutex::default(),
            shared: Arc::new(Shared::new(entropy, corrupt)),
            directories: directories.clone(),
            attended,
            commands_run: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        })
    }

    /// Opens an attended machine with its passphrase; one that is open stays so, whatever is said.
    pub fn unlock(&self, passphrase: &[u8]) -> Result<(), Fault> {
        let mut roots = self.lock_roots();
        match self.state() {
            State::Locked => {}
            State::Operational => return Ok(()),
            State::Error => return Err(Fault::NotOperational),
        }
        if passphrase.len() > custody::PASSPHRASE_BYTES_MAX {
            return Err(Fault::WrongPassphrase);
        }
        // Between Locked and Operational, however long ago the start was.
        selftest::run_on(&self.shared)?;
        let slots = Slots::open_attended(&slots::read(&self.directories)?, passphrase)?;
        let opened = Roots::open(&self.directories, &slots)?;
        self.start_with(&mut roots, opened, slots).map_err(|fault| self.cause(fault))
    }

    fn start(&self, opened: Roots, slots: Slots) -> Result<(), Fault> {
        self.start_with(&mut self.lock_roots(), opened, slots)
    }

    fn start_with(&self, place: &mut Option<Roots>, opened: Roots, slots: Slots) -> Result<(), Fault> {
        pairwise::check_sm2(&self.shared, &slots.signing)?;
        custody::settle(&self.directories, self.shared.entropy(), self.is_attended())?;
        let storage_domain = Material::copy_of(slots.storage_domain.expose());
        let device = Arc::new(DeviceKeys::new(slots));
        // A partition known to one custody only was being made when the machine stopped. It serves nobody until
        // create_partition is asked again and completes it.
        let mut partitions = HashMap::new();
        let in_hsm: HashSet<_> = opened.hsm.ids().collect();
        for id in opened.software.ids().filter(|id| in_hsm.contains(id)) {
            let (software, hsm) = opened.pair(id).ok_or_else(damaged)?;
            let device = (id == PartitionId::DEVICE).then(|| device.clone());
            let partition = Partition::new(id, software, hsm, device, self.shared.clone());
            partitions.insert(id, Arc::new(partition));
        }
        if !partitions.contains_key(&PartitionId::DEVICE) {
            return Err(damaged());
        }
        *self.partitions.write().unwrap_or_else(PoisonError::into_inner) = partitions;
        *place = Some(opened);
        self.shared.start(&storage_domain)
    }

    fn lock_roots(&self) -> MutexGuard<'_, Option<Roots>> {
        self.roots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a partition, if it is not there; it is durable when this returns. Asked again after a crash, it
    /// completes what was begun.
    pub fn create_partition(&self, id: PartitionId) -> Result<(), Fault> {
        self.check_operational()?;
        let made = self.add_partition(id);
        // Whatever was drawn by a source that failed meanwhile serves nobody.
        self.check_operational()?;
        made
    }

    fn add_partition(&self, id: PartitionId) -> Result<(), Fault> {
        let mut roots = self.lock_roots();
        let roots = roots.as_mut().ok_or(Fault::Locked)?;
        if self.partition(id).is_ok() {
            return Ok(());
        }
        // HSM custody first. The order does not matter, only that both are stored before anyone uses either.
        let hsm = roots.hsm.ensure(id, self.shared.entropy())?;
        let software = roots.software.ensure(id, self.shared.entropy())?;
        let partition = Arc::new(Partition::new(id, software, hsm, None, self.shared.clone()));
        self.partitions.write().unwrap_or_else(PoisonError::into_inner).insert(id, partition);
        Ok(())
    }

    /// Runs the self-tests again, while commands run: known answers, start-up test of the entropy, consistency of the device's
    /// pair. Names what passed; a failure stops the machine.
    pub fn self_test(&self) -> Result<Vec<&'static str>, Fault> {
        self.check_operational()?;
        let device = self.partition(PartitionId::DEVICE)?;
        let tested = selftest::run_on(&self.shared).and_then(|mut ran| {
            pairwise::check_sm2(&self.shared, device.signing_key()?)?;
            ran.push(pairwise::SM2);
            Ok(ran)
        });
        tested.map_err(|fault| self.cause(fault))
    }

    /// The self-test that put the machine into [`State::Error`].
    pub fn failed_test(&self) -> Option<&'static str> {
        self.shared.failed_test()
    }

    /// Runs a command in a partition, on the calling thread.
    pub fn run<C: Command>(&self, partition: PartitionId, command: C) -> Result<C::Reply, Fault> {
        self.count(|| {
            let partition = self.partition(partition)?;
            self.attempt(|| command.execute(&partition))
        })
    }

    /// Moves what a ciphertext holds from one partition to another, on the calling thread. It is the only command that sees
    /// two partitions, and it answers nothing but a frame of one account.
    pub fn re_encrypt(
        &self,
        source: PartitionId,
        destination: PartitionId,
        command: ReEncrypt,
    ) -> Result<Vec<u8>, Fault> {
        self.count(|| {
            let (source, destination) = (self.partition(source)?, self.partition(destination)?);
            self.attempt(|| command.execute(&source, &destination))
        })
    }

    fn count<T>(&self, run: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        let outcome = self.check_operational().and_then(|()| run());
        self.commands_run.fetch_add(1, Ordering::Relaxed);
        if outcome.is_err() {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    fn attempt<T>(&self, execute: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
        // A command owns its arguments and borrows keys it cannot change: a panic leaves nothing half done.
        let outcome = panic::catch_unwind(AssertUnwindSafe(execute));
        // Another command may have stopped the machine meanwhile: then this reply is not let out either.
        self.check_operational()?;
        outcome.unwrap_or(Err(Fault::Panicked))
    }

    /// Whether the machine answers commands.
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Whether the machine starts locked and a passphrase opens it.
    pub fn is_attended(&self) -> bool {
        self.attended
    }

    /// How many partitions there are, the device's own included.
    pub fn partitions(&self) -> usize {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many commands were asked for since start.
    pub fn commands_run(&self) -> u64 {
        self.commands_run.load(Ordering::Relaxed)
    }

    /// How many of them were refused or failed.
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    /// Wipes a key that is held ready; its owner destroyed it. Another command that uses it just now goes on to its end.
    pub fn forget(&self, wrapped: &WrappedKey) {
        self.shared.cache.forget(wrapped);
    }

    /// How many keys are held ready.
    pub fn keys_ready(&self) -> usize {
        self.shared.cache.len()
    }

    /// How many wrapping keys for imports are ready.
    pub fn spare_keys(&self) -> usize {
        self.shared.spare.len()
    }

    fn partition(&self, id: PartitionId) -> Result<Arc<Partition>, Fault> {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        partitions.get(&id).cloned().ok_or(Fault::NoSuchPartition)
    }

    fn check_operational(&self) -> Result<(), Fault> {
        match self.state() {
            State::Operational => Ok(()),
            State::Locked => Err(Fault::Locked),
            State::Error => Err(Fault::NotOperational),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alg::sm3;
    use crate::alg::vectors::hex;
    use crate::command::{Lane, sealed};
    use crate::commands::credential::{CredentialMac, GenerateCredential};
    use crate::commands::digest::DigestSm3;
    use crate::entropy::EntropyFailed;

    /// Gives what a test put first, then SM3 of a counter.
    #[derive(Default)]
    struct Script {
        first: Mutex<Option<Vec<u8>>>,
        draws: AtomicU64,
    }

    impl Entropy for Script {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
            if let Some(first) = self.first.lock().expect("no panic under the lock").take() {
                out.copy_from_slice(&first);
                return Ok(());
            }
            for block in out.chunks_mut(32) {
                let count = self.draws.fetch_add(1, Ordering::Relaxed);
                block.copy_from_slice(&sm3::digest(&count.to_be_bytes())[..block.len()]);
            }
            Ok(())
        }
    }

    struct Panic;

    impl sealed::Sealed for Panic {}

    impl Command for Panic {
        type Reply = ();
        const LANE: Lane = Lane::Inline;
        fn execute(self, _: &Partition) -> Result<(), Fault> {
            panic!("as the test wants")
        }
    }

    fn machine() -> (tempfile::TempDir, Arc<Script>, Machine) {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let part = |name| folder.path().join(name);
        let directories = Directories {
            hsm: part("hsm"),
            device: part("device"),
            software_root: part("software_root"),
            software_private_key: part("software_private_key"),
            software_key: part("software_key"),
        };
        let script = Arc::new(Script::default());
        let machine = Machine::initialise(&directories, script.clone(), Options::default())
            .expect("an empty directory");
        (folder, script, machine)
    }

    #[test]
    fn a_panic_stays_in_its_command() {
        let (_folder, _, machine) = machine();
        assert!(matches!(machine.run(PartitionId::DEVICE, Panic), Err(Fault::Panicked)));
        assert_eq!(machine.state(), State::Operational);
        machine.run(PartitionId::DEVICE, DigestSm3 { message: vec![1] }).expect("the machine goes on");
        assert_eq!((machine.commands_run(), machine.faults()), (2, 1));
    }

    #[test]
    fn a_failed_machine_answers_nothing() {
        let (_folder, _, machine) = machine();
        machine.shared.fail(pairwise::SM2);
        assert_eq!((machine.state(), machine.failed_test()), (State::Error, Some(pairwise::SM2)));
        let refused = machine.run(PartitionId::DEVICE, DigestSm3 { message: vec![1] });
        assert!(matches!(refused, Err(Fault::NotOperational)));
        assert!(matches!(machine.create_partition(PartitionId([1; 16])), Err(Fault::NotOperational)));
    }

    /// The secret is the hexadecimal text of bytes 0 to 31; the expected chain was computed with another library.
    #[test]
    fn credential_mac_chains_from_the_text_of_the_secret() {
        let (_folder, script, machine) = machine();
        *script.first.lock().expect("no panic under the lock") = Some((0..32).collect());
        let (credential, secret) = machine
            .run(PartitionId::DEVICE, GenerateCredential { access_key: [9; 16] })
            .expect("a credential");
        assert_eq!(secret.as_bytes(), b"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
        let messages = [b"date".as_slice(), b"region", b"request"].map(Vec::from).to_vec();
        let mac = machine.run(PartitionId::DEVICE, CredentialMac { credential, messages }).expect("a MAC");
        assert_eq!(mac.as_slice(), hex("6028af71e99d949cf1c378e53eb9136a351cb6430e2819a012f576d8f70212b7"));
    }

    #[test]
    fn a_machine_is_shared_by_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Machine>();
    }
}
