//! Self-tests: their names, and those that run at start and on demand. The others run where what they test happens: the
//! continuous health tests at every draw, pairwise consistency and re-opening when a key is made. The test switch corrupts one
//! of them, to show that its failure stops the machine.

use std::sync::{LazyLock, Mutex, PoisonError};

use zeroize::Zeroize;

use crate::entropy::{Entropy, EntropyFailed};
use crate::fault::Fault;
use crate::health::{self, Health};
use crate::known_answers::KNOWN_ANSWERS;
use crate::shared::Shared;
use crate::{pairwise, partition};

static NAMES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let later = [
        health::REPETITION,
        health::PROPORTION,
        health::BLOCK,
        pairwise::SM2,
        pairwise::SM2_KEY,
        pairwise::RSA,
        partition::REOPENING,
    ];
    KNOWN_ANSWERS.iter().map(|test| test.name).chain([health::START_UP]).chain(later).collect()
});

/// The names of all self-tests, for [`crate::Options::corrupt`].
pub fn self_tests() -> &'static [&'static str] {
    &NAMES
}

/// Finds the test that is to be corrupted; refuses the name of a test that there is not.
pub(crate) fn find(name: Option<&str>) -> Result<Option<&'static str>, Fault> {
    let Some(name) = name else { return Ok(None) };
    self_tests().iter().copied().find(|test| *test == name).map(Some).ok_or(Fault::UnknownSelfTest)
}

/// Runs every known-answer test, then the start-up test of the source. Names what ran, or the test that failed.
pub(crate) fn run(
    source: &dyn Entropy,
    corrupt: Option<&'static str>,
) -> Result<Vec<&'static str>, &'static str> {
    let mut ran = Vec::with_capacity(NAMES.len());
    for test in KNOWN_ANSWERS {
        if !test.passes(corrupt == Some(test.name)) {
            return Err(test.name);
        }
        ran.push(test.name);
    }
    health::start_up(source, corrupt)?;
    ran.push(health::START_UP);
    Ok(ran)
}

/// Runs them on a machine, where a failure stops it.
pub(crate) fn run_on(machine: &Shared) -> Result<Vec<&'static str>, Fault> {
    run(machine.source(), machine.corrupted()).map_err(|test| {
        machine.fail(test);
        Fault::SelfTest(test)
    })
}

/// The source of work on a stopped machine's files: used after all self-tests passed, and under the same health tests.
pub(crate) struct Proven<'a> {
    source: &'a dyn Entropy,
    health: Mutex<Health>,
}

impl<'a> Proven<'a> {
    /// Runs the self-tests before anything is drawn.
    pub(crate) fn new(source: &'a dyn Entropy) -> Result<Self, Fault> {
        run(source, None).map_err(Fault::SelfTest)?;
        Ok(Self { source, health: Mutex::new(Health::new(None)) })
    }
}

impl Entropy for Proven<'_> {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
        self.source.fill(out)?;
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.check(out).map_err(|_| {
            out.zeroize();
            EntropyFailed
        })
    }
}
