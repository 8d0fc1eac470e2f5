//! What every partition of a machine shares: its state, its entropy and the keys held ready. Imports the cache.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::cache::KeyCache;
use crate::entropy::Entropy;
use crate::fault::Fault;

/// Whether the machine answers commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is attended and waits for its passphrase.
    Locked,
    /// It does.
    Operational,
    /// A self-test failed; it answers nothing until it is started anew.
    Error,
}

const LOCKED: u8 = 0;
const OPERATIONAL: u8 = 1;
const ERROR: u8 = 2;

/// What every partition of a machine shares.
pub(crate) struct Shared {
    entropy: Arc<dyn Entropy>,
    pub(crate) cache: KeyCache,
    state: AtomicU8,
}

impl Shared {
    /// Of a machine that does not answer commands yet.
    pub(crate) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { entropy, cache: KeyCache::new(), state: AtomicU8::new(LOCKED) }
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        &*self.entropy
    }

    pub(crate) fn state(&self) -> State {
        match self.state.load(Ordering::Acquire) {
            LOCKED => State::Locked,
            OPERATIONAL => State::Operational,
            _ => State::Error,
        }
    }

    /// Lets commands run, unless the machine has failed meanwhile.
    pub(crate) fn start(&self) -> Result<(), Fault> {
        match self.state.compare_exchange(LOCKED, OPERATIONAL, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) | Err(OPERATIONAL) => Ok(()),
            Err(_) => Err(Fault::NotOperational),
        }
    }

    /// Stops the machine for good: no command runs after this, and no key stays ready.
    pub(crate) fn fail(&self) -> Fault {
        self.state.store(ERROR, Ordering::Release);
        self.cache.clear();
        Fault::NotOperational
    }
}
