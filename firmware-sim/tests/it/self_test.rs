//! Self-tests: every one of them, corrupted, stops the machine; a source of random bytes that breaks stops it at the next draw.

#![expect(clippy::disallowed_methods, reason = "two tests measure how long the machine takes")]

use std::time::Instant;

use firmware_sim::{
    Algorithm, Decrypt, DigestSm3, Fault, Frame, GenerateKey, Machine, Options, PartitionId, Purpose, Random,
    State, custody, self_tests,
};

use crate::support::{ACCOUNT, Bench, Mood, NAME, Script, TENANT, context, directories, encrypt};

const LATE: PartitionId = PartitionId([8; 16]);

fn corrupt(name: &str) -> Options {
    Options { corrupt: Some(name.into()) }
}

/// Whether every way to ask the machine for something is refused as it is in [`State::Error`].
fn answers_nothing(machine: &Machine, key: &firmware_sim::WrappedKey, frame: &[u8]) -> bool {
    let generate = GenerateKey {
        name: NAME,
        algorithm: Algorithm::Sm4,
        purpose: Purpose::Cipher,
        custody: firmware_sim::Custody::Hsm,
    };
    let frame = Frame::parse(frame).expect("a frame");
    let decrypt = Decrypt { key: key.clone(), account: ACCOUNT.into(), context: context(), frame };
    let outcomes = [
        machine.run(PartitionId::DEVICE, DigestSm3 { message: vec![1] }).map(drop),
        machine.run(TENANT, Random { length: 32 }).map(drop),
        machine.run(TENANT, encrypt(key, b"x")).map(drop),
        machine.run(TENANT, decrypt).map(drop),
        machine.run(TENANT, generate).map(drop),
        machine.create_partition(LATE),
        machine.unlock(b"whatever it may be"),
        machine.self_test().map(drop),
    ];
    machine.state() == State::Error
        && outcomes.iter().all(|outcome| matches!(outcome, Err(Fault::NotOperational)))
}

#[test]
fn every_self_test_corrupted_stops_the_machine() {
    let bench = Bench::new();
    let (key, folders) = (bench.key(Algorithm::Aes256), directories(&bench.folder));
    let frame = bench.encrypt(&key, b"kept");
    let mut stopped = 0;
    for name in self_tests() {
        let open =
            || Machine::open(&folders, bench.script.clone(), corrupt(name)).expect("the files of a machine");
        let machine = open();
        // Some tests run when a key is made, and not at start.
        if machine.state() == State::Operational {
            let (algorithm, purpose) = match *name {
                "RSA pairwise consistency" => (Algorithm::Rsa2048, Purpose::Sign),
                "SM2 key pairwise consistency" => (Algorithm::Sm2, Purpose::Decrypt),
                _ => (Algorithm::Sm4, Purpose::Cipher),
            };
            let generate =
                GenerateKey { name: NAME, algorithm, purpose, custody: firmware_sim::Custody::Hsm };
            assert!(matches!(machine.run(TENANT, generate), Err(Fault::NotOperational)), "{name}");
        }
        assert_eq!(machine.failed_test(), Some(*name));
        assert!(answers_nothing(&machine, &key, &frame), "{name}");
        // A restart that fails again does not help; and no machine comes to be in spite of a failed test.
        assert!(open().failed_test().is_none_or(|failed| failed == *name));
        let empty = tempfile::tempdir().expect("a temporary directory");
        match Machine::initialise(&directories(&empty), bench.script.clone(), corrupt(name)) {
            Err(Fault::SelfTest(failed)) => assert_eq!(failed, *name),
            Err(fault) => panic!("{name}: {fault}"),
            Ok(machine) => assert!(
                ["wrapped key re-opening", "RSA pairwise consistency", "SM2 key pairwise consistency"]
                    .contains(name),
                "{name}: {:?}",
                machine.state()
            ),
        }
        stopped += 1;
    }
    println!("figure breakable_self_tests {stopped} of {} tests", self_tests().len());
    let good = bench.try_open().expect("the files of a machine");
    assert_eq!((good.state(), good.failed_test()), (State::Operational, None), "a restart that passes");
}

#[test]
fn self_tests_have_names_of_their_own() {
    for (at, name) in self_tests().iter().enumerate() {
        assert!(!self_tests()[..at].contains(name), "{name} twice");
    }
    let outcome =
        Machine::initialise(&directories(&Bench::new().folder), Script::new(), corrupt("no such test"));
    assert!(matches!(outcome, Err(Fault::UnknownSelfTest)));
}

/// What a start adds to reading the files, and what an administrator waits for.
#[test]
fn a_good_machine_passes_at_any_time() {
    let bench = Bench::new();
    bench.machine.self_test().expect("a good machine");
    let start = Instant::now();
    let ran = bench.machine.self_test().expect("a good machine");
    println!("figure self_tests_ms {:.1} for {} tests", start.elapsed().as_secs_f64() * 1000.0, ran.len());
    assert!(ran.len() >= 50 && ran.iter().all(|name| self_tests().contains(name)), "{ran:?}");
    assert_eq!(bench.machine.state(), State::Operational);
}

#[test]
fn commands_run_while_the_machine_tests_itself() {
    let bench = Bench::new();
    let key = bench.key(Algorithm::Aes256);
    std::thread::scope(|scope| {
        let testing =
            scope.spawn(|| (0..5).for_each(|_| drop(bench.machine.self_test().expect("a good machine"))));
        while !testing.is_finished() {
            bench.encrypt(&key, b"x");
        }
    });
}

#[test]
fn a_source_that_breaks_stops_the_machine_at_the_next_draw() {
    for (mood, failed, draws) in
        [(Mood::Stuck, "entropy repetition count", 1), (Mood::Repeating, "entropy repeated block", 2)]
    {
        let bench = Bench::new();
        let key = bench.key(Algorithm::Aes256);
        let frame = bench.encrypt(&key, b"kept");
        bench.script.set(mood);
        for draw in 1..=draws {
            let outcome = bench.machine.run(TENANT, Random { length: 32 });
            // One block that was never seen before is no failure yet.
            assert_eq!(matches!(outcome, Err(Fault::NotOperational)), draw == draws, "{failed}");
        }
        assert_eq!(bench.machine.failed_test(), Some(failed));
        assert!(answers_nothing(&bench.machine, &key, &frame));
        // The source works again, the machine does not; only a restart helps, and only with a good source.
        bench.script.set(Mood::Working);
        assert!(answers_nothing(&bench.machine, &key, &frame));
        bench.script.set(mood);
        assert_eq!(bench.try_open().expect("the files").failed_test(), Some("entropy start-up"));
        bench.script.set(Mood::Failing);
        assert_eq!(bench.try_open().expect("the files").failed_test(), Some("entropy start-up"));
        bench.script.set(Mood::Working);
        let bench = bench.reopen();
        assert_eq!(bench.decrypt(&key, &frame).expect("a plaintext").as_bytes(), b"kept");
    }
}

#[test]
fn a_broken_source_shows_at_a_self_test_on_demand() {
    let bench = Bench::new();
    bench.script.set(Mood::Stuck);
    assert!(matches!(bench.machine.self_test(), Err(Fault::SelfTest("entropy start-up"))));
    assert_eq!(bench.machine.state(), State::Error);
}

#[test]
fn a_locked_machine_has_passed_and_tests_itself_again_when_it_opens() {
    const PASSPHRASE: &[u8] = b"correct horse battery";
    let bench = Bench::new();
    let folders = directories(&bench.folder);
    custody::attend(&folders, &*bench.script, PASSPHRASE).expect("an unattended machine");
    let broken =
        Machine::open(&folders, bench.script.clone(), corrupt("SM3")).expect("the files of a machine");
    assert_eq!((broken.state(), broken.failed_test()), (State::Error, Some("SM3")), "not even locked");
    let bench = bench.reopen();
    assert_eq!(bench.machine.state(), State::Locked);
    assert!(matches!(bench.machine.self_test(), Err(Fault::Locked)), "there is no key to test with");
    bench.script.set(Mood::Stuck);
    assert!(matches!(bench.machine.unlock(PASSPHRASE), Err(Fault::SelfTest("entropy start-up"))));
    assert_eq!(bench.machine.state(), State::Error);
}

/// The files of a stopped machine are changed by the same algorithms and the same source.
#[test]
fn a_broken_source_changes_no_custody() {
    let bench = Bench::new();
    bench.script.set(Mood::Stuck);
    let folders = directories(&bench.folder);
    let refused = custody::attend(&folders, &*bench.script, b"correct horse battery");
    assert!(matches!(refused, Err(Fault::SelfTest("entropy start-up"))));
    bench.script.set(Mood::Working);
    assert!(!bench.reopen().machine.is_attended());
}
