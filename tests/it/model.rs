//! Stories drawn at random, told to the service and to a small reference of it: two tenants, people and applications,
//! keys, names, ciphertexts, time that goes by, restarts. A story in which the two part is cut down to the few steps that
//! matter; its seed is kept and told first from then on.

mod reference;
mod steps;
mod story;

use std::cell::Cell;

use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

use crate::ledger::{figure, rounds};
use story::Story;

/// Seeds of stories that once failed.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/model/regressions");

#[test]
fn stories_go_as_the_reference_says() {
    let (stories, calls) = (Cell::new(0), Cell::new(0));
    let config = Config {
        cases: u32::try_from(rounds(12, 2000)).unwrap(),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        max_shrink_iters: 1000,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps::story(60), |steps| {
        let made = Story::begin().tell(&steps).map_err(TestCaseError::fail)?;
        stories.set(stories.get() + 1);
        calls.set(calls.get() + made);
        Ok(())
    });
    figure("model_stories", stories.get(), "stories");
    figure("model_calls", calls.get(), "calls");
    figure("model_differences", u32::from(outcome.is_err()), "calls");
    match outcome {
        Ok(()) => assert!(calls.get() > 0, "nothing was called"),
        Err(TestError::Fail(reason, steps)) => {
            let steps: Vec<String> = steps.iter().map(|(by, step)| format!("  {by:?} {step:?}")).collect();
            panic!("{reason}\nThe shortest story:\n{}", steps.join("\n"));
        }
        Err(error) => panic!("{error}"),
    }
}
