//! The machine: started from its files, then asked one command at a time, from any number of threads. It imports
//! the partitions and the root keys. It waits for nothing but its disk, and for that only when a partition is
//! made; a panic in a command stays in that command.

use std::collections::{HashMap, HashSet};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::command::Command;
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::identity::PartitionId;
use crate::partition::{Partition, Shared};
use crate::root_key::{Directories, Roots};
use crate::sealed_file::damaged;

/// Whether the machine answers commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does.
    Operational,
    /// A self-check failed; it answers nothing until it is started anew.
    Error,
}

/// The cipher machine (design section 7).
pub struct Machine {
    // A panic under either lock leaves whole values: both change by one assignment or insertion at the end. So a
    // poisoned lock is used on.
    partitions: RwLock<HashMap<PartitionId, Arc<Partition>>>,
    roots: Mutex<Roots>,
    shared: Arc<Shared>,
    commands_run: AtomicU64,
    faults: AtomicU64,
}

impl Machine {
    /// Makes a new machine with its device partition. Refuses if any of its files exists.
    pub fn initialise(directories: &Directories, entropy: Arc<dyn Entropy>) -> Result<Self, Fault> {
        let roots = Roots::initialise(directories, &*entropy)?;
        Self::start(roots, entropy)
    }

    /// Starts the machine that lies in these directories.
    pub fn open(directories: &Directories, entropy: Arc<dyn Entropy>) -> Result<Self, Fault> {
        Self::start(Roots::open(directories)?, entropy)
    }

    fn start(roots: Roots, entropy: Arc<dyn Entropy>) -> Result<Self, Fault> {
        let shared = Arc::new(Shared::new(entropy));
        // A partition known to one custody only was being made when the machine stopped. It serves nobody until
        // create_partition is asked again and completes it.
        let mut partitions = HashMap::new();
        let in_hsm: HashSet<_> = roots.hsm.ids().collect();
        for id in roots.software.ids().filter(|id| in_hsm.contains(id)) {
            let keys = roots.software.find(id).zip(roots.hsm.find(id));
            let (software, hsm) = keys.expect("the id was listed by both roots just now");
            partitions.insert(id, Arc::new(Partition::new(id, software, hsm, shared.clone())));
        }
        if !partitions.contains_key(&PartitionId::DEVICE) {
            return Err(damaged());
        }
        Ok(Self {
            partitions: RwLock::new(partitions),
            roots: Mutex::new(roots),
            shared,
            commands_run: AtomicU64::new(0),
            faults: AtomicU64::new(0),
        })
    }

    /// Makes a partition, if it is not there; it is durable when this returns. Asked again after a crash, it
    /// completes what was begun.
    pub fn create_partition(&self, id: PartitionId) -> Result<(), Fault> {
        self.check_operational()?;
        let mut roots = self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        if self.partition(id).is_ok() {
            return Ok(());
        }
        // HSM custody first. The order does not matter, only that both are stored before anyone uses either.
        let hsm = roots.hsm.ensure(id, self.shared.entropy())?;
        let software = roots.software.ensure(id, self.shared.entropy())?;
        let partition = Arc::new(Partition::new(id, software, hsm, self.shared.clone()));
        self.partitions.write().unwrap_or_else(PoisonError::into_inner).insert(id, partition);
        Ok(())
    }

    /// Runs a command in a partition, on the calling thread.
    pub fn run<C: Command>(&self, partition: PartitionId, command: C) -> Result<C::Reply, Fault> {
        let outcome = self.attempt(partition, command);
        self.commands_run.fetch_add(1, Ordering::Relaxed);
        if outcome.is_err() {
            self.faults.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    fn attempt<C: Command>(&self, partition: PartitionId, command: C) -> Result<C::Reply, Fault> {
        self.check_operational()?;
        let partition = self.partition(partition)?;
        // A command owns its arguments and borrows keys it cannot change: a panic leaves nothing half done.
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| command.execute(&partition)));
        // Another command may have stopped the machine meanwhile: then this reply is not let out either.
        self.check_operational()?;
        outcome.unwrap_or(Err(Fault::Panicked))
    }

    /// Whether the machine answers commands.
    pub fn state(&self) -> State {
        if self.shared.has_failed() { State::Error } else { State::Operational }
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

    fn partition(&self, id: PartitionId) -> Result<Arc<Partition>, Fault> {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        partitions.get(&id).cloned().ok_or(Fault::NoSuchPartition)
    }

    fn check_operational(&self) -> Result<(), Fault> {
        match self.state() {
            State::Operational => Ok(()),
            State::Error => Err(Fault::NotOperational),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alg::vectors::hex;
    use crate::command::{Lane, sealed};
    use crate::commands::credential::{CredentialMac, GenerateCredential};
    use crate::commands::digest::DigestSm3;
    use crate::entropy::EntropyFailed;

    struct Counting;

    impl Entropy for Counting {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
            out.iter_mut().zip(0..).for_each(|(byte, count)| *byte = count);
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

    fn machine() -> (tempfile::TempDir, Machine) {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let part = |name| folder.path().join(name);
        let directories = Directories {
            hsm: part("hsm"),
            device: part("device"),
            software: part("software"),
            software_key: part("software_key"),
        };
        let machine = Machine::initialise(&directories, Arc::new(Counting)).expect("an empty directory");
        (folder, machine)
    }

    #[test]
    fn a_panic_stays_in_its_command() {
        let (_folder, machine) = machine();
        assert!(matches!(machine.run(PartitionId::DEVICE, Panic), Err(Fault::Panicked)));
        assert_eq!(machine.state(), State::Operational);
        machine.run(PartitionId::DEVICE, DigestSm3 { message: vec![1] }).expect("the machine goes on");
        assert_eq!((machine.commands_run(), machine.faults()), (2, 1));
    }

    #[test]
    fn a_failed_machine_answers_nothing() {
        let (_folder, machine) = machine();
        machine.shared.fail();
        assert_eq!(machine.state(), State::Error);
        let refused = machine.run(PartitionId::DEVICE, DigestSm3 { message: vec![1] });
        assert!(matches!(refused, Err(Fault::NotOperational)));
        assert!(matches!(machine.create_partition(PartitionId([1; 16])), Err(Fault::NotOperational)));
    }

    /// The secret is the hexadecimal text of bytes 0 to 31; the expected chain was computed with another library.
    #[test]
    fn credential_mac_chains_from_the_text_of_the_secret() {
        let (_folder, machine) = machine();
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
