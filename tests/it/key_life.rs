//! The life of keys under clocks that jump: stories drawn at random, told to the service and to a small reference that knows the
//! true time. Keys are made, filled, used, switched, scheduled and kept; hours and weeks go by; the wall clock is set by
//! the table of jumps, while the service runs, while it is stopped, and over a new start of its machine; the service restarts
//! and dies. Nothing may go before its true end, nothing that has run out may come back, and what is due goes in the end.
//!
//! A wall clock that was set up to thirty days ahead (or not as far back as the machine was off) while the machine was off
//! cannot be told from a machine that was off for as long. The design believes it, so no story has it; while the machine
//! runs, and as long as the jump was noticed before, it is told, and the stories have it.

mod reference;
mod steps;
mod story;

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

use crate::kit::parallel;
use crate::ledger::{figure, rounds};
use reference::Fault;
use steps::Chapter;
use story::{Count, Story};

/// Seeds of stories that once failed.
const REGRESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/key_life/regressions");
/// Stories that are told at the same time.
const LANES: usize = 4;
/// Chapters of a story, each with one jump.
const CHAPTERS: usize = 50;
/// Of one in which an administrator may be wrong.
const CHAPTERS_AT_WORD: usize = 20;

#[derive(Default)]
struct Tally {
    count: Count,
    faults: BTreeMap<Fault, usize>,
    texts: Vec<String>,
}

#[test]
fn no_jump_of_the_clock_ends_a_life_early_or_gives_one_back() {
    let stories = rounds(5, 200);
    let tally = run(stories, false);
    assert!(tally.count.jumps >= LANES * stories * CHAPTERS, "{} jumps", tally.count.jumps);
}

/// Whom an administrator confirms a clock that is wrong: their word is the time from then on, for better or worse.
#[test]
fn a_confirmation_is_taken_at_its_word() {
    run(rounds(1, 20), true);
}

/// Tells stories, prints what they came to, and fails if service and reference part.
fn run(stories: usize, at_word: bool) -> Tally {
    let tally = Mutex::new(Tally::default());
    parallel(LANES, |_| tell(stories, at_word, &tally));
    let tally = tally.into_inner().unwrap();
    let (name, count) = (if at_word { "key_life_at_word" } else { "key_life" }, &tally.count);
    for (what, number, unit) in [
        ("jumps", count.jumps, "jumps"),
        ("restarts", count.restarts, "restarts"),
        ("calls", count.calls, "calls"),
        ("destructions", count.destructions, "keys"),
        ("material_ends", count.material_ends, "materials"),
        ("rotations", count.rotations, "rotations"),
        ("refused_after_the_end", count.refused_after_end, "calls"),
    ] {
        figure(&format!("{name}_{what}"), number, unit);
    }
    for (what, fault) in Fault::ALL {
        let number = tally.faults.get(&fault).copied().unwrap_or_default();
        figure(&format!("{name}_{what}"), number, "stories");
    }
    assert!(tally.texts.is_empty(), "{}", tally.texts.join("\n\n"));
    tally
}

/// Tells one lane's stories, up to the first in which service and reference part.
fn tell(stories: usize, at_word: bool, tally: &Mutex<Tally>) {
    let chapters = if at_word { CHAPTERS_AT_WORD } else { CHAPTERS };
    let config = Config {
        cases: u32::try_from(stories).unwrap(),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        // Taking out one step after the other takes minutes; see `shorten`.
        max_shrink_iters: 0,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps::story(chapters, at_word), |chapters| {
        let (count, outcome) = Story::begin().tell(&chapters);
        tally.lock().unwrap().count.add(&count);
        outcome.map_err(|difference| TestCaseError::fail(difference.text))
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, chapters)) => {
            let (fault, text) = shorten(chapters, reason.to_string());
            let mut tally = tally.lock().unwrap();
            *tally.faults.entry(fault).or_default() += 1;
            tally.texts.push(text);
        }
        Err(error @ TestError::Abort(_)) => tally.lock().unwrap().texts.push(error.to_string()),
    }
}

/// Takes ever smaller parts out of a story, as long as service and reference still part in what is left.
fn shorten(mut chapters: Vec<Chapter>, mut text: String) -> (Fault, String) {
    let (mut fault, mut part) = (Fault::Other, chapters.len());
    while part > 1 {
        part = part.div_ceil(2);
        let mut at = 0;
        while at < chapters.len() {
            let mut shorter = chapters.clone();
            shorter.drain(at..chapters.len().min(at + part));
            match Story::begin().tell(&shorter).1 {
                Ok(()) => at += part,
                Err(difference) => {
                    shorter.truncate(difference.chapters);
                    (chapters, text, fault) = (shorter, difference.text, difference.fault);
                }
            }
        }
    }
    (fault, text)
}
