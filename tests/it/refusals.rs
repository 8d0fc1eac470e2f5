//! The matrix of refusals, made from the catalog: every operation, on every plane and under every path that reaches it, with
//! every refusal that can come before it. Each is a real call, answered with the code that the contract names, in the form
//! and with the status of its plane; it changes nothing and leaves exactly one audit record. The body that was refused in
//! so many ways succeeds at the end as it is. A new row of the catalog needs no test here, only a value for a reference
//! that is new as well.

mod appliance;
mod bodies;
mod contract;
mod message;
mod trial;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use yaoku::catalog::{ROWS, Row};
use yaoku::env::Disk;
use yaoku::model::principal::Plane;
use yaoku::model::rate::Rate;

use crate::kit::{Service, parallel, same_rates};
use crate::ledger::figure;
use appliance::{Appliance, recorded, records, trail};
use bodies::Tenant;
use contract::{OK, fault, record_fault, shown_status};
use message::Body;
use trial::Trial;

/// Appliances at the same time.
const LANES: usize = 3;
/// Operations of one appliance: after every call all of its records are compared, so they should stay few.
const OPERATIONS: usize = 5;

/// What an operation refuses on one plane.
#[derive(Default)]
struct Refused {
    cells: Vec<Cell>,
    faults: Vec<String>,
}

/// One refusal: of what, why, and the code.
struct Cell {
    of: String,
    why: String,
    code: &'static str,
}

#[test]
fn every_operation_refuses_what_the_contract_says_with_its_code_without_effect_and_with_one_record() {
    let planes = [Plane::OpenApi, Plane::AccessPoint];
    let reached = ROWS.iter().flat_map(|row| planes.map(|plane| (row, plane)));
    let work: Vec<(&Row, Plane)> = reached.filter(|(row, plane)| row.spec.reach.contains(*plane)).collect();
    let next = AtomicUsize::new(0);
    let lanes = parallel(LANES, |lane| {
        let mut done = Vec::new();
        if lane == 0 {
            done.extend(throttled(&work).into_iter().enumerate());
        }
        let mut appliance = Appliance::start();
        for number in 1.. {
            if number % OPERATIONS == 0 {
                appliance = Appliance::start();
            }
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((row, plane)) = work.get(at) else { break };
            done.push((at, Trial::run(&mut appliance, row, *plane)));
        }
        done
    });
    let mut refused: Vec<Refused> = work.iter().map(|_| Refused::default()).collect();
    for (at, part) in lanes.into_iter().flatten() {
        refused[at].cells.extend(part.cells);
        refused[at].faults.extend(part.faults);
    }
    let faults: Vec<&String> = refused.iter().flat_map(|refused| &refused.faults).collect();
    let refusals = |refused: &Refused| refused.cells.iter().filter(|cell| cell.code != OK).count();
    let cells: usize = refused.iter().map(refusals).sum();
    let operations: BTreeSet<&str> = work.iter().map(|(row, _)| row.spec.name).collect();
    figure("refusals", format!("{cells} cells, {} operations, {}", operations.len(), faults.len()), "wrong");
    assert!(faults.is_empty(), "{faults:#?}");
    compare(&table(&work, &refused));
}

/// Every operation while its rate is used up; the clock stands, so that the second call of a second is one too many.
fn throttled(work: &[(&'static Row, Plane)]) -> Vec<Refused> {
    let service = Service::demo(Disk::System, |config| {
        config.rates = same_rates(Rate { openapi: 1, access_point: 1 });
    });
    let tenant = Tenant::new(&service, service.admin(), service.first.clone());
    let (app, agent) = (service.app(), service.agent());
    let one = |(row, plane): &(&'static Row, Plane)| {
        let (caller, mut refused) = (tenant.caller(*plane), Refused::default());
        for path in paths(row, *plane) {
            service.clock.advance(Duration::from_secs(10));
            let call = || caller.post(&path, &Body::new()).send(&agent);
            let ((first, _), before, number) = (call(), records(app), recorded(app));
            let (answer, id) = call();
            let unchanged = records(app) == before;
            service.clock.advance(Duration::from_secs(1));
            let (last, _) = call();
            let trail = trail(app, number);
            let kept: Vec<&Value> = trail.get(&id).into_iter().flatten().collect();
            let fault = fault(&answer, "KMS.9050", *plane, &id);
            let fault = fault.or_else(|| record_fault(&kept, &["KMS.9050"], *plane));
            let spared = [&first, &last].iter().all(|answer| answer.status != 429);
            if fault.is_some() || !spared || !unchanged || answer.header("retry-after") != Some("1") {
                let name = row.spec.name;
                refused.faults.push(format!("{name} {plane:?} {path}, too fast: {fault:?} {answer:?}"));
            }
            refused.cells.push(Cell { of: "caller".into(), why: "too fast".into(), code: "KMS.9050" });
        }
        refused
    };
    work.iter().map(one).collect()
}

/// Every path of an operation on a plane; the first is the one that clients should use.
fn paths(row: &Row, plane: Plane) -> Vec<String> {
    let paths = row.spec.paths.iter();
    match plane {
        Plane::OpenApi | Plane::Internal => paths.map(|path| format!("/v1{path}")).collect(),
        Plane::AccessPoint => paths.flat_map(|path| [(*path).to_owned(), format!("/v1{path}")]).collect(),
    }
}

/// What each operation refuses with what: by code, and in one line whatever is refused for the same reasons.
fn table(work: &[(&'static Row, Plane)], refused: &[Refused]) -> String {
    let mut text = String::new();
    for ((row, plane), refused) in work.iter().zip(refused) {
        let place = if *plane == Plane::OpenApi { "OpenAPI" } else { "access point" };
        writeln!(text, "\n{} on {place}: {}", row.spec.name, paths(row, *plane).join(" ")).unwrap();
        let mut reasons: Vec<(&str, &str, Vec<&str>)> = Vec::new();
        for cell in &refused.cells {
            match reasons.iter_mut().find(|(code, of, _)| (*code, *of) == (cell.code, cell.of.as_str())) {
                Some((.., why)) if why.contains(&cell.why.as_str()) => {}
                Some((.., why)) => why.push(&cell.why),
                None => reasons.push((cell.code, &cell.of, vec![&cell.why])),
            }
        }
        let mut lines: Vec<(&str, Vec<&str>, Vec<&str>)> = Vec::new();
        for (code, of, why) in reasons {
            match lines.iter_mut().find(|line| line.0 == code && line.2 == why) {
                Some((_, all, _)) => all.push(of),
                None => lines.push((code, vec![of], why)),
            }
        }
        lines.sort_by_key(|(code, ..)| *code);
        for (code, of, why) in lines {
            let (status, of) = (shown_status(code, *plane), of.join(", "));
            writeln!(text, "  {code:8} {status}  {of}: {}", why.join(", ")).unwrap();
        }
    }
    text
}

/// Compares the table with the reviewed one; `UPDATE=1` puts it in its place.
fn compare(table: &str) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/snapshots/refusals.txt");
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(file, table).unwrap();
    }
    let reviewed = std::fs::read_to_string(file).unwrap_or_default();
    let pairs = reviewed.lines().zip(table.lines());
    let first = pairs.into_iter().find(|(old, new)| old != new);
    assert!(
        reviewed == table,
        "{file} is another one, first at {first:?}; write it with UPDATE=1 and review it"
    );
}
