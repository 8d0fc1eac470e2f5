//! Stories drawn at random, told to the service and to a small reference of it: two tenants, people and applications,
//! keys, names, ciphertexts, time that goes by, restarts. A story in which the two part is cut down to the few steps that
//! matter; its seed is kept and told first from then on.

mod reference;
mod steps;
mod story;

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

use crate::kit::parallel;
use crate::ledger::{figure, rounds};
use steps::{Caller, Step};
use story::Story;

/// Seeds of stories that once failed.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/model/regressions");
/// Stories that are told at the same time: each waits for its scheduler most of the time.
const LANES: usize = 4;

/// How often each operation came to what: nothing for a success, else a code.
type Outcomes = BTreeMap<(String, Option<String>), usize>;

#[derive(Default)]
struct Tally {
    stories: usize,
    outcomes: Outcomes,
}

#[test]
fn stories_go_as_the_reference_says() {
    let tally = Mutex::new(Tally::default());
    let differences: Vec<String> = parallel(LANES, |_| tell(&tally)).into_iter().flatten().collect();
    let Tally { stories, outcomes } = tally.into_inner().unwrap();
    let count = |of: &dyn Fn(&Option<String>) -> bool| -> usize {
        outcomes.iter().filter(|((_, code), _)| of(code)).map(|(_, count)| count).sum()
    };
    let (calls, refused) = (count(&|_| true), count(&Option::is_some));
    for ((operation, code), count) in &outcomes {
        println!("{operation} {}: {count}", code.as_deref().unwrap_or("ok"));
    }
    figure("model_stories", stories, "stories");
    figure("model_calls", calls, "calls");
    figure("model_calls_refused", refused, "calls");
    figure("model_outcomes", outcomes.len(), "pairs of an operation and what it came to");
    figure("model_differences", differences.len(), "stories");
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    assert!(outcomes.len() > 80 && calls > 2 * refused, "the stories have too little to tell");
}

/// Tells one lane's stories; where service and model part, and the shortest story that leads there.
fn tell(tally: &Mutex<Tally>) -> Option<String> {
    let config = Config {
        cases: u32::try_from(rounds(6, 1000)).unwrap(),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        // Taking out one step after the other takes minutes; see `shorten`.
        max_shrink_iters: 0,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps::story(200), |steps| {
        let told = Story::begin().tell(&steps).map_err(|difference| TestCaseError::fail(difference.text))?;
        let mut tally = tally.lock().unwrap();
        tally.stories += 1;
        for outcome in told {
            *tally.outcomes.entry(outcome).or_default() += 1;
        }
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
