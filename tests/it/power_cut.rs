//! Power cuts: the real program with a library in between (`tests/c/power_cut.c`) that forgets what was not synced. The
//! first start is cut at every single operation, later ones at random operations under load, up to five times in a row.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::kit::{parallel, temporary};
use crate::ledger::{Appliance, Tally, figure, plenty, rounds};
use crate::program::{Home, Program, error, finish};

const LANES: usize = 2;
/// How a program ends when the power does.
const CUT: i32 = 137;
/// More operations than a first start has.
const FIRST_START_MAX: u64 = 2000;
/// A cut under load comes at one of the first operations after the start.
const UNDER_LOAD_MAX: u64 = 300;
const CHAIN_MAX: usize = 5;

/// The library, compiled once for all tests.
static LIBRARY: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let folder = temporary();
    let library = folder.path().join("power_cut.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/power_cut.c");
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(source);
    let output = finish(gcc, b"");
    assert!(output.status.success(), "{}", error(&output));
    (folder, library)
});

/// Has the power of a command fail at its operation number `at`. What stands below `disk` in the home is the disk; the
/// data directory lies there, so that its own entry can be lost as well.
fn cut(home: &Home, mut command: Command, at: u64, seed: u64) -> Command {
    let stash = home.path("stash");
    fs::create_dir_all(&stash).unwrap();
    fs::create_dir_all(home.path("disk")).unwrap();
    command
        .env("LD_PRELOAD", &LIBRARY.1)
        .env("POWER_CUT_ROOT", home.path("disk").canonicalize().unwrap())
        .env("POWER_CUT_STASH", stash)
        .env("POWER_CUT_AT", at.to_string())
        .env("POWER_CUT_SEED", seed.to_string())
        .env("POWER_CUT_COUNT", home.path("count"));
    command
}

fn home() -> Home {
    Home::at("disk/data")
}

// The library itself

/// Runs some Python under the library, with `disk` as its folder.
fn python(home: &Home, script: &str, at: u64, seed: u64) -> Output {
    fs::create_dir_all(home.path("disk")).unwrap();
    let mut command = Command::new("python3");
    command.args(["-c", script]).current_dir(home.path("disk"));
    finish(cut(home, command, at, seed), b"")
}

/// The whole sequence of a careful writer, then an overwrite and a new name that were not synced, then one write more
/// for the cut to come at.
const WRITER: &str = "
import os
def sync(path):
    fd = os.open(path, os.O_RDONLY); os.fsync(fd); os.close(fd)
fd = os.open('kept', os.O_RDWR | os.O_CREAT, 0o600)
os.write(fd, b'a' * 2048)
os.fsync(fd)
sync('.')
os.pwrite(fd, b'b' * 2048, 0)
os.write(fd, b'c' * 512)
other = os.open('new', os.O_WRONLY | os.O_CREAT, 0o600)
os.write(other, b'd' * 512)
os.fsync(other)
os.rename('new', 'named')
os.write(other, b'e')
";
/// Operations of the writer up to the sync of the directory, and all of them.
const WRITER_SYNCED: u64 = 4;
const WRITER_ALL: u64 = 10;

#[test]
fn what_was_synced_survives_and_what_was_not_may_go() {
    let (mut old, mut new, mut mixed, mut longer, mut named, mut unnamed) = (0, 0, 0, 0, 0, 0);
    for seed in 0..60 {
        let home = home();
        let output = python(&home, WRITER, WRITER_ALL, seed);
        assert_eq!(output.status.code(), Some(CUT), "{}", error(&output));
        let kept = fs::read(home.path("disk/kept")).unwrap();
        assert!(kept.len() == 2048 || kept.len() == 2560, "{} bytes", kept.len());
        assert!(kept[..2048].iter().all(|byte| b"ab".contains(byte)), "neither the old nor the new bytes");
        let new_bytes = kept[..2048].iter().filter(|byte| **byte == b'b').count();
        match new_bytes {
            0 => old += 1,
            2048 => new += 1,
            _ => mixed += 1,
        }
        longer += usize::from(kept.len() == 2560);
        named += usize::from(home.path("disk/named").exists());
        unnamed += usize::from(!home.path("disk/named").exists() && !home.path("disk/new").exists());
    }
    let counts = [old, new, mixed, longer, 60 - longer, named, unnamed];
    assert!(counts.iter().all(|count| *count > 0), "every outcome is possible: {counts:?}");
}

#[test]
fn a_cut_after_the_sync_changes_nothing_and_a_cut_before_it_may_lose_the_file() {
    let (mut gone, mut empty) = (0, 0);
    for seed in 0..40 {
        let after = home();
        python(&after, WRITER, WRITER_SYNCED + 1, seed);
        assert!(fs::read(after.path("disk/kept")).unwrap().len() == 2048);
        let before = home();
        python(&before, WRITER, WRITER_SYNCED - 2, seed);
        let kept = fs::read(before.path("disk/kept"));
        gone += usize::from(kept.is_err());
        empty += usize::from(kept.is_ok_and(|bytes| bytes.is_empty()));
    }
    assert!(gone > 0 && empty > 0, "{gone} gone, {empty} empty");
}

/// The library counts what the kernel sees: no operation of the program passes it by.
#[test]
fn every_operation_of_the_program_is_seen() {
    let home = home();
    let init = cut(&home, home.command(&["init"]), 0, 1);
    let mut strace = Command::new("strace");
    strace.args(["-f", "-y", "-E"]).arg(format!("LD_PRELOAD={}", LIBRARY.1.display()));
    strace.args(["-o", home.path("trace").to_str().unwrap(), init.get_program().to_str().unwrap(), "init"]);
    for (name, value) in init.get_envs().filter(|(name, _)| *name != "LD_PRELOAD") {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    let output = finish(strace, b"");
    assert!(output.status.success(), "{}", error(&output));
    let trace = fs::read_to_string(home.path("trace")).unwrap();
    let disk = home.path("disk").canonicalize().unwrap();
    let kinds = [
        "write",
        "writev",
        "pwrite64",
        "pwritev",
        "pwritev2",
        "ftruncate",
        "fallocate",
        "fsync",
        "fdatasync",
        "sync_file_range",
        "copy_file_range",
        "sendfile",
        "splice",
        "rename",
        "renameat",
        "renameat2",
        "unlink",
        "unlinkat",
        "rmdir",
        "mkdir",
        "mkdirat",
        "link",
        "symlink",
        "symlinkat",
        "truncate",
    ];
    let seen = trace.lines().filter(|line| {
        let call = line.split_once(' ').map_or("", |(_, call)| call.trim_start());
        let (name, rest) = call.split_once('(').unwrap_or_default();
        let failed = rest.contains(" = -1 ");
        kinds.contains(&name) && rest.contains(disk.to_str().unwrap()) && !failed && !rest.contains("/stash/")
    });
    let counted: usize = fs::read_to_string(home.path("count")).unwrap().trim().parse().unwrap();
    let made = trace.lines().filter(|line| line.contains("O_CREAT") && line.contains(disk.to_str().unwrap()));
    let made = made.filter(|line| !line.contains(" = -1 ")).count();
    let seen = seen.count();
    // A file that is opened for creation may be there already; every other operation is counted exactly once.
    assert!(
        (seen..=seen + made).contains(&counted) && seen > 50,
        "{counted} counted, {seen} and {made} seen"
    );
}

// The program

#[test]
fn a_first_start_that_was_cut_at_any_operation_starts_over() {
    let seeds = rounds(1, 20) as u64;
    let outcomes = parallel(LANES, |lane| {
        let (mut unopenable, mut cuts) = (Vec::new(), 0);
        for seed in 0..seeds {
            for at in 1..FIRST_START_MAX {
                let home = home();
                let output =
                    finish(cut(&home, home.command(&["init"]), at, seed * FIRST_START_MAX + at), b"");
                if output.status.success() {
                    break;
                }
                assert_eq!(output.status.code(), Some(CUT), "operation {at}: {}", error(&output));
                // Each lane walks the same way and looks at its own half.
                if at % LANES as u64 != lane as u64 {
                    continue;
                }
                cuts += 1;
                let program = Program::start(home.command(&["serve"]));
                if program.line().is_none() {
                    unopenable.push(format!("operation {at}, seed {seed}: {}", program.end().stderr));
                    continue;
                }
                home.call("createKey", &serde_json::json!({}));
            }
        }
        (unopenable, cuts)
    });
    let cuts: usize = outcomes.iter().map(|(_, cuts)| cuts).sum();
    let unopenable: Vec<String> = outcomes.into_iter().flat_map(|(unopenable, _)| unopenable).collect();
    figure("unopenable_first_starts", format!("{} of {cuts}", unopenable.len()), "starts");
    assert!(unopenable.is_empty() && cuts > 50, "{cuts} cuts, {unopenable:#?}");
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let chains = rounds(40, 2000);
    let outcomes = parallel(LANES, |lane| {
        let (mut tally, mut cuts) = (Tally::default(), 0);
        // Every few chains a new appliance: its first start is without a sync that comes from an orderly stop.
        for appliance in 0..chains.div_ceil(CHAIN_MAX) as u64 {
            let (appliance, first) = run_chains(appliance * LANES as u64 + lane as u64);
            cuts += first;
            tally.add(appliance.finish());
        }
        (tally, cuts)
    });
    let (mut tally, mut cuts) = (Tally::default(), 0);
    for (other, number) in outcomes {
        tally.add(other);
        cuts += number;
    }
    figure("power_cuts", cuts, "cuts");
    tally.report("power_cut");
}

/// A first start with its load up to a cut, then chains of cuts with a check behind each.
fn run_chains(seed: u64) -> (Appliance, usize) {
    let mut appliance = first_cut(seed);
    let mut cuts = 1;
    for _ in 0..CHAIN_MAX {
        for _ in 1..appliance.random.usize(1..=CHAIN_MAX) {
            cut_once(&mut appliance);
            cuts += 1;
        }
        let (program, _) = appliance.serve();
        appliance.check(false);
        assert!(program.stop().status.success());
    }
    (appliance, cuts)
}

/// A new appliance whose power fails under load, before its first orderly stop. Where a cut comes before the service is
/// ready nothing was promised yet, and another appliance is given more time.
fn first_cut(seed: u64) -> Appliance {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut at = 0;
    while at < FIRST_START_MAX {
        at += 1 + random.u64(0..UNDER_LOAD_MAX);
        let home = home();
        let mut command = cut(&home, home.command(&["serve"]), at, seed);
        plenty(&mut command);
        let program = Program::start(command);
        let Some(line) = program.line() else {
            let ended = program.end();
            assert_eq!(ended.status.code(), Some(CUT), "{}", ended.stderr);
            continue;
        };
        let ready = serde_json::from_str(&line).unwrap();
        let mut appliance = Appliance::started(home, &ready, seed);
        appliance.load(&ready, || assert_eq!(program.end().status.code(), Some(CUT)));
        return appliance;
    }
    panic!("a first start takes more than {FIRST_START_MAX} operations");
}

/// One start that ends with a cut: while it starts, or under load.
fn cut_once(appliance: &mut Appliance) {
    let (at, seed) = (1 + appliance.random.u64(0..UNDER_LOAD_MAX), appliance.random.u64(..));
    let program = Program::start(cut(&appliance.home, appliance.command(), at, seed));
    let Some(line) = program.line() else {
        let ended = program.end();
        assert_eq!(ended.status.code(), Some(CUT), "{}", ended.stderr);
        return;
    };
    let ready = serde_json::from_str(&line).unwrap();
    appliance.connect(&ready);
    appliance.load(&ready, || assert_eq!(program.end().status.code(), Some(CUT)));
}
