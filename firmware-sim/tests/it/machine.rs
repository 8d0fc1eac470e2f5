//! Start, restart, files and faults of the machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use firmware_sim::{
    Algorithm, Custody, DigestSm3, Fault, GenerateKey, Machine, Options, PartitionId, Purpose, Random, State,
};

use crate::support::{Bench, Mood, NAME, Script, TENANT, damage, directories, encrypt, files};

const LATE: PartitionId = PartitionId([8; 16]);

#[test]
fn keys_survive_a_restart() {
    let bench = Bench::new();
    let keys = [Custody::Software, Custody::Hsm].map(|custody| {
        let command =
            GenerateKey { name: NAME, algorithm: Algorithm::Sm4, purpose: Purpose::Cipher, custody };
        bench.machine.run(TENANT, command).expect("a key")
    });
    let frames = keys.each_ref().map(|key| bench.encrypt(key, b"kept"));
    assert_eq!(bench.machine.partitions(), 2);
    let bench = bench.reopen();
    assert_eq!(bench.machine.state(), State::Operational);
    assert_eq!(bench.machine.partitions(), 2);
    for (key, frame) in keys.iter().zip(frames) {
        assert_eq!(bench.decrypt(key, &frame).expect("a plaintext").as_bytes(), b"kept");
    }
}

#[test]
fn a_second_initialisation_is_refused() {
    let bench = Bench::new();
    let before = files(&bench.folder).map(|file| fs::read(file).expect("a file"));
    let outcome = Machine::initialise(&directories(&bench.folder), bench.script.clone(), Options::default());
    assert!(matches!(outcome, Err(Fault::AlreadyInitialised)));
    assert_eq!(files(&bench.folder).map(|file| fs::read(file).expect("a file")), before);
}

#[test]
fn any_one_file_forbids_initialisation_and_its_absence_the_start() {
    for number in 0..7 {
        let bench = Bench::new();
        let file = &files(&bench.folder)[number];
        let bytes = fs::read(file).expect("a file");
        fs::remove_file(file).expect("a file");
        assert!(matches!(bench.try_open(), Err(Fault::Storage(_))), "without file {number}");

        let empty = tempfile::tempdir().expect("a temporary directory");
        assert!(matches!(
            Machine::open(&directories(&empty), Script::new(), Options::default()),
            Err(Fault::NotInitialised)
        ));
        let lonely = &files(&empty)[number];
        fs::create_dir_all(lonely.parent().expect("in a directory")).expect("a directory");
        fs::write(lonely, bytes).expect("a file");
        let outcome = Machine::initialise(&directories(&empty), Script::new(), Options::default());
        assert!(matches!(outcome, Err(Fault::AlreadyInitialised)), "with file {number}");
    }
}

#[test]
fn a_damaged_file_is_refused() {
    let bench = Bench::new();
    for file in files(&bench.folder) {
        let whole = fs::read(&file).expect("a file");
        for at in 0..whole.len() {
            damage(&file, at);
            assert!(matches!(bench.try_open(), Err(Fault::Storage(_))), "byte {at} of {file:?}");
            fs::write(&file, &whole).expect("a file");
        }
        for length in 0..whole.len() {
            fs::write(&file, &whole[..length]).expect("a file");
            assert!(matches!(bench.try_open(), Err(Fault::Storage(_))), "{file:?} cut to {length}");
        }
        fs::write(&file, vec![0; (1 << 20) + 1]).expect("a file");
        assert!(matches!(bench.try_open(), Err(Fault::Storage(_))), "{file:?} of a mebibyte");
        fs::write(&file, &whole).expect("a file");
    }
    assert!(bench.try_open().is_ok());
}

#[test]
fn no_file_stands_in_for_another() {
    let (bench, other) = (Bench::new(), Bench::new());
    // Another machine draws other keys: the script runs on.
    let reinitialised = tempfile::tempdir().expect("a temporary directory");
    Machine::initialise(&directories(&reinitialised), bench.script.clone(), Options::default())
        .expect("an empty directory");
    let (own, strange) = (files(&bench.folder), files(&reinitialised));
    for (own, strange) in own.iter().zip(&strange) {
        let whole = fs::read(own).expect("a file");
        fs::copy(strange, own).expect("a file");
        assert!(matches!(bench.try_open(), Err(Fault::Storage(_))), "{own:?} of another machine");
        fs::write(own, whole).expect("a file");
    }
    for (one, two) in [(0, 1), (2, 3), (4, 5), (2, 4), (3, 5)] {
        let (first, second) = (fs::read(&own[one]).expect("a file"), fs::read(&own[two]).expect("a file"));
        fs::write(&own[one], &second).expect("a file");
        fs::write(&own[two], &first).expect("a file");
        assert!(matches!(bench.try_open(), Err(Fault::Storage(_))), "files {one} and {two} exchanged");
        fs::write(&own[one], first).expect("a file");
        fs::write(&own[two], second).expect("a file");
    }
    assert!(bench.try_open().is_ok() && other.try_open().is_ok());
}

#[test]
fn files_are_for_their_owner_only() {
    let bench = Bench::new();
    for file in files(&bench.folder) {
        let mode =
            |path: &std::path::Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600, "{file:?}");
        assert_eq!(mode(file.parent().expect("in a directory")), 0o700, "{file:?}");
    }
}

#[test]
fn making_a_partition_twice_changes_nothing() {
    let bench = Bench::new();
    let key = bench.key(Algorithm::Aes256);
    let before = files(&bench.folder).map(|file| fs::read(file).expect("a file"));
    bench.machine.create_partition(TENANT).expect("it is there");
    bench.machine.create_partition(PartitionId::DEVICE).expect("it is there");
    assert_eq!(files(&bench.folder).map(|file| fs::read(file).expect("a file")), before);
    bench.encrypt(&key, b"x");
}

/// A crash between the two lists leaves a partition in one of them, whichever it is.
#[test]
fn a_half_made_partition_is_completed() {
    for lagging in [4, 5] {
        let bench = Bench::new();
        let list = files(&bench.folder)[lagging].clone();
        let old = fs::read(&list).expect("a file");
        bench.machine.create_partition(LATE).expect("a partition");
        let custody = if lagging == 4 { Custody::Software } else { Custody::Hsm };
        let command =
            GenerateKey { name: NAME, algorithm: Algorithm::Aes256, purpose: Purpose::Cipher, custody };
        let key = bench.machine.run(LATE, command).expect("a key");
        fs::write(&list, old).expect("a file");
        // What an interrupted attempt leaves beside the list does not matter.
        fs::write(list.with_extension("new"), b"torn").expect("a file");

        let bench = bench.reopen();
        assert_eq!(bench.machine.partitions(), 2);
        assert!(matches!(bench.machine.run(LATE, encrypt(&key, b"x")), Err(Fault::NoSuchPartition)));
        bench.machine.create_partition(LATE).expect("the missing half");
        bench.machine.run(LATE, encrypt(&key, b"x")).expect("the half that was there is the same");
        let bench = bench.reopen();
        assert_eq!(bench.machine.partitions(), 3);
        bench.machine.run(LATE, encrypt(&key, b"x")).expect("and stays so");
    }
}

#[test]
fn failing_entropy_refuses_the_command_only() {
    let bench = Bench::new();
    let key = bench.key(Algorithm::Aes256);
    bench.script.set(Mood::Failing);
    assert!(matches!(bench.machine.run(TENANT, encrypt(&key, b"x")), Err(Fault::Entropy)));
    assert!(matches!(bench.machine.run(TENANT, Random { length: 8 }), Err(Fault::Entropy)));
    assert!(matches!(bench.machine.create_partition(LATE), Err(Fault::Entropy)));
    bench.script.set(Mood::Working);
    bench.encrypt(&key, b"x");
    bench.machine.create_partition(LATE).expect("a partition");
}

#[test]
fn a_panic_is_answered_and_poisons_nothing() {
    let bench = Bench::new();
    let key = bench.key(Algorithm::Aes256);
    bench.script.set(Mood::Panicking);
    assert!(matches!(bench.machine.run(TENANT, encrypt(&key, b"x")), Err(Fault::Panicked)));
    let torn = catch_unwind(AssertUnwindSafe(|| bench.machine.create_partition(LATE)));
    assert!(torn.is_err(), "only commands are caught");
    bench.script.set(Mood::Working);
    assert_eq!(bench.machine.state(), State::Operational);
    bench.encrypt(&key, b"x");
    bench.machine.create_partition(LATE).expect("a partition");
    assert_eq!(bench.machine.partitions(), 3);
}

#[test]
fn threads_share_a_machine() {
    let bench = Arc::new(Bench::new());
    let key = bench.key(Algorithm::Aes256);
    let workers: Vec<_> = (0..4_u8)
        .map(|number| {
            let (bench, key) = (bench.clone(), key.clone());
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let frame = bench.encrypt(&key, &[number]);
                    assert_eq!(bench.decrypt(&key, &frame).expect("a plaintext").as_bytes(), [number]);
                    bench.machine.create_partition(PartitionId([100 + number; 16])).expect("a partition");
                }
            })
        })
        .collect();
    workers.into_iter().for_each(|worker| worker.join().expect("no thread panics"));
    assert_eq!(bench.machine.partitions(), 6);
}

#[test]
fn commands_and_faults_are_counted() {
    let bench = Bench::new();
    bench.machine.run(TENANT, DigestSm3 { message: vec![] }).expect("a digest");
    assert!(bench.machine.run(LATE, DigestSm3 { message: vec![] }).is_err());
    assert_eq!((bench.machine.commands_run(), bench.machine.faults()), (2, 1));
}
