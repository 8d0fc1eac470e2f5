//! A machine in a temporary directory, with entropy that is scripted, recorded and reproducible.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use firmware_sim::{
    Algorithm, Custody, Decrypt, Directories, Encrypt, Entropy, EntropyFailed, Fault, Frame, GenerateKey,
    KeyName, Machine, Options, PartitionId, Purpose, Released, WrappedKey,
};
use tempfile::TempDir;
use zeroize::Zeroizing;

pub const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";
pub const TENANT: PartitionId = PartitionId([7; 16]);
pub const NAME: KeyName = KeyName { key: [0x11; 16], version: [0xa2; 16] };

/// What the entropy does when asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Working,
    Failing,
    Panicking,
    /// It gives the same byte for ever.
    Stuck,
    /// It gives the same block for ever, as after a restored snapshot.
    Repeating,
}

/// Gives the scripted answers first, then a counter's bytes; remembers all it gave.
pub struct Script(Mutex<State>);

struct State {
    mood: Mood,
    next: VecDeque<Vec<u8>>,
    given: Vec<Vec<u8>>,
    counter: u64,
}

impl Script {
    pub fn new() -> Arc<Self> {
        let state = State { mood: Mood::Working, next: VecDeque::new(), given: Vec::new(), counter: 0 };
        Arc::new(Self(Mutex::new(state)))
    }

    pub fn set(&self, mood: Mood) {
        self.0.lock().expect("no panic under the lock").mood = mood;
    }

    pub fn then(&self, answers: &[&[u8]]) {
        let mut state = self.0.lock().expect("no panic under the lock");
        state.next.extend(answers.iter().map(|answer| answer.to_vec()));
    }

    pub fn take_given(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.0.lock().expect("no panic under the lock").given)
    }
}

impl Entropy for Script {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
        let mood = self.0.lock().expect("no panic under the lock").mood;
        match mood {
            Mood::Working => {}
            Mood::Failing => return Err(EntropyFailed),
            Mood::Panicking => panic!("as the test wants"),
            Mood::Stuck => {
                out.fill(0x55);
                return Ok(());
            }
            Mood::Repeating => {
                out.iter_mut().zip((1..=251).cycle()).for_each(|(out, byte)| *out = byte);
                return Ok(());
            }
        }
        let mut state = self.0.lock().expect("no panic under the lock");
        if let Some(answer) = state.next.pop_front() {
            out.copy_from_slice(&answer);
        } else {
            for chunk in out.chunks_mut(8) {
                state.counter += 1;
                // A multiplication by an odd constant: distinct and unlike, which is all a test needs.
                let word = state.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
                chunk.copy_from_slice(&word[..chunk.len()]);
            }
        }
        state.given.push(out.to_vec());
        Ok(())
    }
}

/// A machine, its files and its entropy.
pub struct Bench {
    pub folder: TempDir,
    pub script: Arc<Script>,
    pub machine: Machine,
}

pub fn directories(folder: &TempDir) -> Directories {
    let part = |name| folder.path().join(name);
    Directories {
        hsm: part("hsm"),
        device: part("device"),
        software_root: part("software_root"),
        software_private_key: part("software_private_key"),
        software_key: part("software_key"),
    }
}

/// The machine's seven files.
pub fn files(folder: &TempDir) -> [PathBuf; 7] {
    [
        "device/device.key",
        "software_key/root.key",
        "hsm/slots.bin",
        "software_root/root.bin",
        "hsm/partitions.bin",
        "software_root/partitions.bin",
        "software_private_key/private.bin",
    ]
    .map(|file| folder.path().join(file))
}

impl Bench {
    /// A new machine with one tenant's partition.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let script = Script::new();
        let machine = Machine::initialise(&directories(&folder), script.clone(), Options::default())
            .expect("an empty directory");
        machine.create_partition(TENANT).expect("a partition");
        Self { folder, script, machine }
    }

    /// Starts the machine again from its files.
    pub fn reopen(self) -> Self {
        let Self { folder, script, machine } = self;
        drop(machine);
        let machine = Machine::open(&directories(&folder), script.clone(), Options::default())
            .expect("the files of a machine");
        Self { folder, script, machine }
    }

    pub fn try_open(&self) -> Result<Machine, Fault> {
        Machine::open(&directories(&self.folder), self.script.clone(), Options::default())
    }

    pub fn key(&self, algorithm: Algorithm) -> WrappedKey {
        self.named_key(NAME, algorithm)
    }

    pub fn named_key(&self, name: KeyName, algorithm: Algorithm) -> WrappedKey {
        self.machine
            .run(TENANT, GenerateKey { name, algorithm, purpose: Purpose::Cipher, custody: Custody::Hsm })
            .expect("a key")
    }

    pub fn encrypt(&self, key: &WrappedKey, plaintext: &[u8]) -> Vec<u8> {
        self.machine.run(TENANT, encrypt(key, plaintext)).expect("a frame")
    }

    pub fn decrypt(&self, key: &WrappedKey, frame: &[u8]) -> Result<Released, Fault> {
        self.decrypt_as(key, ACCOUNT, context(), frame)
    }

    pub fn decrypt_as(
        &self,
        key: &WrappedKey,
        account: &str,
        context: BTreeMap<String, String>,
        frame: &[u8],
    ) -> Result<Released, Fault> {
        let frame = Frame::parse(frame)?;
        self.machine.run(TENANT, Decrypt { key: key.clone(), account: account.into(), context, frame })
    }
}

pub fn encrypt(key: &WrappedKey, plaintext: &[u8]) -> Encrypt {
    let plaintext = Zeroizing::new(plaintext.to_vec());
    Encrypt { key: key.clone(), account: ACCOUNT.into(), context: context(), plaintext }
}

pub fn context() -> BTreeMap<String, String> {
    [("purpose", "test"), ("app", "钥库")].map(|(name, value)| (name.into(), value.into())).into()
}

pub fn hex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("a literal of hexadecimal digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// Flips one bit of a file.
pub fn damage(file: &PathBuf, at: usize) {
    let mut bytes = fs::read(file).expect("a file of the machine");
    bytes[at] ^= 1;
    fs::write(file, bytes).expect("a file of the machine");
}
