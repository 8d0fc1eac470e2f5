//! What every partition of a machine shares: its state, its entropy and the keys held ready. Imports the cache and the health
//! tests, which every byte that the machine draws passes here.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use zeroize::Zeroize;

use crate::alg::hkdf;
use crate::alg::sha256::MacKey;
use crate::cache::KeyCache;
use crate::entropy::{Entropy, EntropyFailed};
use crate::fault::Fault;
use crate::health::Health;
use crate::identity::{Algorithm, Binding};
use crate::material::Material;
use crate::spare::Spare;

/// Whether the machine answers commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is attended and waits for its passphrase; its self-tests passed.
    Locked,
    /// It does.
    Operational,
    /// A self-test failed; it answers nothing until it is started anew.
    Error,
}

/// Label under which the key of the bindings is derived.
const BINDINGS_LABEL: &[u8] = b"yaoku imported key material";

const LOCKED: u8 = 0;
const OPERATIONAL: u8 = 1;
const ERROR: u8 = 2;

/// What every partition of a machine shares.
pub(crate) struct Shared {
    source: Arc<dyn Entropy>,
    health: Mutex<Health>,
    pub(crate) cache: KeyCache,
    pub(crate) spare: Spare,
    /// The key of the MACs that bind imported material; there once the machine has started.
    bindings: OnceLock<MacKey>,
    state: AtomicU8,
    failed: OnceLock<&'static str>,
    corrupt: Option<&'static str>,
}

impl Shared {
    /// Of a machine that does not answer commands yet.
    pub(crate) fn new(source: Arc<dyn Entropy>, corrupt: Option<&'static str>) -> Self {
        Self {
            source,
            health: Mutex::new(Health::new(corrupt)),
            cache: KeyCache::new(),
            spare: Spare::default(),
            bindings: OnceLock::new(),
            state: AtomicU8::new(LOCKED),
            failed: OnceLock::new(),
            corrupt,
        }
    }

    /// The source of random bytes behind its health tests.
    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self
    }

    /// Whether the test switch corrupts this test.
    pub(crate) fn corrupts(&self, test: &str) -> bool {
        self.corrupt == Some(test)
    }

    /// The source itself, for the test of it that comes before its first use.
    pub(crate) fn source(&self) -> &dyn Entropy {
        &*self.source
    }

    /// The test that the test switch corrupts.
    pub(crate) fn corrupted(&self) -> Option<&'static str> {
        self.corrupt
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            LOCKED => State::Locked,
            OPERATIONAL => State::Operational,
            _ => State::Error,
        }
    }

    /// The self-test that stopped the machine.
    pub(crate) fn failed_test(&self) -> Option<&'static str> {
        self.failed.get().copied()
    }

    /// The MAC that binds imported material to a key for good. Its own key hangs from the storage domain, which no roll of a
    /// wrapping key changes; without that key nobody can try out materials.
    pub(crate) fn binding(
        &self,
        key: &[u8; 16],
        algorithm: Algorithm,
        material: &Material,
    ) -> Result<Binding, Fault> {
        let mac = self.bindings.get().ok_or(Fault::NotOperational)?;
        let message = Material::copy_of(&[key.as_slice(), &[algorithm.code()], material.expose()].concat());
        Ok(mac.mac(message.expose()))
    }

    /// Lets commands run, unless the machine has failed meanwhile.
    pub(crate) fn start(&self, storage_domain: &Material) -> Result<(), Fault> {
        let mut key = Material::copy_of(&[0; 32]);
        hkdf::sha256(storage_domain.expose(), None, &[BINDINGS_LABEL], key.expose_mut());
        self.bindings.get_or_init(|| MacKey::new(key.expose()));
        match self.state.compare_exchange(LOCKED, OPERATIONAL, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(OPERATIONAL) => Ok(()),
            Err(_) => Err(Fault::NotOperational),
        }
    }

    /// Stops the machine for good because of a self-test: no command answers after this, and no key stays ready.
    pub(crate) fn fail(&self, test: &'static str) -> Fault {
        // The first failure is the one to tell; whoever sees the state finds the name.
        let _ = self.failed.set(test);
        self.state.store(ERROR, Ordering::Release);
        self.cache.clear();
        self.spare.clear();
        Fault::NotOperational
    }
}

impl Entropy for Shared {
    /// Draws, and shows the health tests what was drawn before anybody else sees it. The bytes of a draw stay together; the
    /// draws of different threads are tested in the order in which they end.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
        if self.state() == State::Error {
            return Err(EntropyFailed);
        }
        self.source.fill(out)?;
        // A panic under the lock is a bug of the tests; the counters then are whole all the same.
        let verdict = self.health.lock().unwrap_or_else(PoisonError::into_inner).check(out);
        verdict.map_err(|test| {
            out.zeroize();
            self.fail(test);
            EntropyFailed
        })
    }
}
