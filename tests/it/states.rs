//! What every operation with a key answers in every state of the key: the whole table of contract 4.3, made from the catalog
//! and reviewed in `snapshots/states.txt`. `UPDATE=1` writes it anew. An operation that is new must say here what it is sent,
//! or that it has no key.
//!
//! The contract leaves these cells open; the table shows what was chosen. Beyond its window (column *over*) a key that is
//! not destroyed yet is as in PendingDeletion, but is not kept any more. getDataKey describes, so only missing material
//! refuses it. deleteProtect, cancelDeleteProtect and the tags of a key go with updateKeyDescription. importKeyMaterial and
//! getParametersForImport need a key of the origin External, the state comes second. Where a key is of the wrong kind for
//! a computation, the state is told first. The name of a key that is away (updateAlias from it, deleteAlias) is like any
//! name, until the key is destroyed and has none. A destroyed key is no key: KeyNotFound, and its aliases AliasNotFound.
//! A default key is never seen through an access point, the second answer in its cells.

mod subjects;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use yaoku::catalog::{ROWS, Row};
use yaoku::model::principal::Plane;

use crate::kit::{Service, poll};
use crate::ledger::figure;
use subjects::{CASES, Case, KINDS, Kind, NO_KEY, State, Subject};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// One kind of key on one plane.
struct Lane {
    kind: Kind,
    plane: usize,
    subjects: Vec<Subject>,
    cells: Vec<Cell>,
}

/// One call: what is sent about which of the lane's keys, and what came.
struct Cell {
    case: &'static Case,
    subject: usize,
    came: String,
}

#[test]
fn every_operation_answers_in_every_state_of_its_key_as_reviewed() {
    let named: BTreeSet<&str> =
        CASES.iter().map(|case| case.operation).chain(NO_KEY.iter().copied()).collect();
    let outside = ROWS.iter().filter(|row| !row.spec.paths.is_empty());
    let new: Vec<&str> = outside.map(|row| row.spec.name).filter(|name| !named.contains(name)).collect();
    assert!(new.is_empty(), "{new:?}: say in states/subjects.rs what is sent, or that there is no key");

    let service = Service::start_with(|config| {
        // Nothing is destroyed unless the test has it destroyed.
        config.cron.tick_seconds = 3600;
        config.quota.keys_per_base_instance = 1_000_000;
        config.quota.asymmetric_versions_per_account = 1_000_000;
        config.import.spare_wrapping_keys = 8;
    });
    let (admin, mut lanes) = (service.admin(), Vec::new());
    let product = service.product(&admin, "ecs");
    for kind in KINDS {
        lanes.extend([0, 1].map(|plane| Lane::new(kind, plane)));
    }
    each(&mut lanes, &|lane| lane.subjects.iter_mut().for_each(|subject| subject.make(&admin, &product)));
    service.clock.advance(7 * DAY);
    each(&mut lanes, &|lane| lane.subjects.iter_mut().for_each(|subject| subject.bring(&admin)));
    each(&mut lanes, &|lane| lane.subjects.iter().for_each(|subject| subject.end(&service)));
    each(&mut lanes, &|lane| lane.call(&service));
    figure("states", lanes.iter().map(|lane| lane.cells.len()).sum::<usize>(), "cells");
    let wrong: Vec<String> = lanes.iter().flat_map(Lane::illegal).collect();
    figure("illegal_transitions", wrong.len(), "cells that are not as the contract has them");
    assert!(wrong.is_empty(), "{wrong:#?}");
    compare(&table(&lanes));
}

/// The rows of contract 4.3 that change a key, written down apart from the table: what each answers in a state.
fn contract(operation: &str, state: State) -> Option<&'static str> {
    const MODIFIED: &str = "StateModifiedFailed";
    let pending = match state {
        State::Enabled | State::Disabled | State::PendingImport => false,
        State::PendingDeletion | State::Empty | State::Over => true,
        State::Destroyed => return None,
    };
    let refused = match operation {
        "enableKey" | "disableKey" if pending || state == State::PendingImport => MODIFIED,
        "scheduleKeyDeletion" | "createAlias" if pending => MODIFIED,
        "cancelKeyDeletion" if !pending || state == State::Over => MODIFIED,
        "updateKeyDescription" if pending => "PendingDeletion",
        "enableKey"
        | "disableKey"
        | "scheduleKeyDeletion"
        | "cancelKeyDeletion"
        | "createAlias"
        | "updateKeyDescription" => "ok",
        _ => return None,
    };
    Some(refused)
}

/// Does something with every lane at the same time.
fn each(lanes: &mut [Lane], work: &(impl Fn(&mut Lane) + Sync)) {
    std::thread::scope(|scope| {
        for lane in lanes {
            scope.spawn(move || work(lane));
        }
    });
}

impl Lane {
    /// What changes the state has a key of its own, everything else one for each state.
    fn new(kind: Kind, plane: usize) -> Self {
        let mut lane = Self { kind, plane, subjects: Vec::new(), cells: Vec::new() };
        for state in kind.states() {
            let shared = lane.subjects.len();
            lane.subjects.push(Subject::new(kind, *state, false));
            for case in CASES.iter().filter(|case| case.fits(kind) && reaches(case, plane)) {
                let mut subject = shared;
                if case.moves() {
                    subject = lane.subjects.len();
                    lane.subjects.push(Subject::new(kind, *state, case.operation == "importKeyMaterial"));
                }
                lane.cells.push(Cell { case, subject, came: String::new() });
            }
        }
        lane
    }

    /// What is not as the contract has it; a default key has rules of its own.
    fn illegal(&self) -> Vec<String> {
        let own = self.cells.iter().filter(|_| self.kind != Kind::Default);
        let wrong = own.filter(|cell| {
            let state = self.subjects[cell.subject].state;
            contract(cell.case.operation, state).is_some_and(|wanted| wanted != cell.came)
        });
        let told = |cell: &Cell| {
            format!("{} {}: {}", cell.case.title(), self.subjects[cell.subject].state.title(), cell.came)
        };
        wrong.map(told).collect()
    }

    fn call(&mut self, service: &Service) {
        let planes = service.planes();
        for cell in &mut self.cells {
            let (path, body) = (row(cell.case).spec.paths[0], self.subjects[cell.subject].body(cell.case));
            let answer = poll("a wrapping key", || {
                let answer = planes[self.plane].1(path, body.clone());
                let retry = answer.success().is_none() && answer.code() == "KMS.9071";
                (!retry).then_some(answer)
            });
            cell.came = match answer.success() {
                Some(_) => "ok".into(),
                None => symbol(&answer.code()).into(),
            };
        }
    }
}

fn reaches(case: &Case, plane: usize) -> bool {
    row(case).spec.reach.contains([Plane::OpenApi, Plane::AccessPoint][plane])
}

fn row(case: &Case) -> &'static Row {
    ROWS.iter().find(|row| row.spec.name == case.operation).unwrap()
}

/// The symbol of a code, without what it has in common with others (contract 4.2).
fn symbol(code: &str) -> &'static str {
    match code {
        "KMS.9001" => "KeyNotFound",
        "KMS.9002" => "KeyVersionNotFound",
        "KMS.9003" => "AliasNotFound",
        "KMS.9010" => "Disabled",
        "KMS.9011" => "PendingDeletion",
        "KMS.9012" => "PendingImport",
        "KMS.9013" => "StateModifiedFailed",
        "KMS.9025" => "Origin",
        "KMS.9027" => "Unsupported",
        "KMS.9028" => "InvalidCiphertext",
        "KMS.9029" => "DefaultKey",
        other => panic!("{other} is no answer that hangs from the state of a key"),
    }
}

/// Operations below each other, states beside each other; a cell in which the planes differ has both answers.
fn table(lanes: &[Lane]) -> String {
    let mut text = String::new();
    for kind in KINDS {
        write!(text, "\n{:34}", kind.title()).unwrap();
        kind.states().iter().for_each(|state| write!(text, "{:24}", state.title()).unwrap());
        text.truncate(text.trim_end().len());
        text.push('\n');
        for case in CASES.iter().filter(|case| case.fits(kind)) {
            write!(text, "{:34}", case.title()).unwrap();
            for state in kind.states() {
                let lanes = lanes.iter().filter(|lane| lane.kind == kind);
                let here = lanes.flat_map(|lane| lane.cells.iter().map(move |cell| (lane, cell)));
                let here = here.filter(|(lane, cell)| {
                    std::ptr::eq(cell.case, case) && lane.subjects[cell.subject].state == *state
                });
                let mut came: Vec<&str> = here.map(|(_, cell)| cell.came.as_str()).collect();
                came.dedup();
                write!(text, "{:24}", came.join(" / ")).unwrap();
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
    }
    text
}

fn compare(table: &str) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/snapshots/states.txt");
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(file, table).unwrap();
    }
    let reviewed = std::fs::read_to_string(file).unwrap_or_default();
    let first = reviewed.lines().zip(table.lines()).find(|(old, new)| old != new);
    assert!(
        reviewed == table,
        "{file} is another one, first at {first:?}; write it with UPDATE=1 and review it"
    );
}
