//! Stories drawn at random, told to the service and to a small reference of it: two tenants, people and applications,
//! keys, names, ciphertexts, time that goes by, restarts. A story in which the two part is cut down to the few steps that
//! matter; its seed is kept and told first from then on.

mod reference;
mod steps;
mod story;

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

use crate::kit::parallel;
use crate::ledger::{figure, rounds};
use steps::{Caller, Step};
use story::Story;

/// Seeds of stories that once failed.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/model/regressions");
/// Stories that are told at the same time: each waits for its scheduler most of the time.
const LANES: usize = 4;

#[derive(Default)]
struct Tally {
    stories: AtomicUsize,
    calls: AtomicUsize,
    refused: AtomicUsize,
}

#[test]
fn stories_go_as_the_reference_says() {
    let tally = Tally::default();
    let differences: Vec<String> = parallel(LANES, |_| tell(&tally)).into_iter().flatten().collect();
    let (calls, refused) = (tally.calls.into_inner(), tally.refused.into_inner());
    figure("model_stories", tally.stories.into_inner(), "stories");
    figure("model_calls", calls, "calls");
    figure("model_calls_refused", refused, "calls");
    figure("model_differences", differences.len(), "stories");
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    assert!(refused > 0 && calls > 2 * refused, "the stories have too little to tell");
}

/// Tells one lane's stories; where service and model part, and the shortest story that leads there.
fn tell(tally: &Tally) -> Option<String> {
    let config = Config {
        cases: u32::try_from(rounds(6, 1000)).unwrap(),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        // Taking out one step after the other takes minutes; see `shorten`.
        max_shrink_iters: 0,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps::story(100), |steps| {
        let told = Story::begin().tell(&steps).map_err(|difference| TestCaseError::fail(difference.text))?;
        tally.stories.fetch_add(1, Ordering::Relaxed);
        tally.calls.fetch_add(told.calls, Ordering::Relaxed);
        tally.refused.fetch_add(told.refused, Ordering::Relaxed);
        Ok(())
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(reason, steps)) => {
            let (steps, reason) = shorten(steps, reason.to_string());
            let steps: Vec<String> = steps.iter().map(|(by, step)| format!("  {by:?} {step:?}")).collect();
            Some(format!("{reason}\nThe shortest story:\n{}", steps.join("\n")))
        }
        Err(error @ TestError::Abort(_)) => Some(error.to_string()),
    }
}

/// Takes ever smaller parts out of a story, as long as service and model still part in what is left.
fn shorten(mut steps: Vec<(Caller, Step)>, mut reason: String) -> (Vec<(Caller, Step)>, String) {
    let mut part = steps.len();
    while part > 1 {
        part = part.div_ceil(2);
        let mut at = 0;
        while at < steps.len() {
            let mut shorter = steps.clone();
            shorter.drain(at..steps.len().min(at + part));
            match Story::begin().tell(&shorter) {
                Ok(_) => at += part,
                Err(difference) => {
                    // What came after the difference was never told.
                    shorter.truncate(difference.steps);
                    (steps, reason) = (shorter, difference.text);
                }
            }
        }
    }
    (steps, reason)
}
