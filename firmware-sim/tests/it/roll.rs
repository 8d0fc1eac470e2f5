//! Rolling a wrapping key: what is rewrapped works on, and what an erased generation wrapped opens never again.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use firmware_sim::{
    Algorithm, CredentialMac, Custody, DeviceSign, Fault, GenerateCredential, GenerateKey, KeyName, Open,
    PartitionId, Purpose, Rewrap, Seal, WrappedKey,
};
use zeroize::Zeroizing;

use crate::support::{Bench, Mood, NAME, TENANT, encrypt, files};

const OTHER: PartitionId = PartitionId([8; 16]);
const CUSTODIES: [Custody; 2] = [Custody::Software, Custody::Hsm];

fn rewrap(bench: &Bench, partition: PartitionId, key: &WrappedKey) -> Result<WrappedKey, Fault> {
    bench.machine.run(partition, Rewrap { key: key.clone() })
}

fn made(bench: &Bench, algorithm: Algorithm, custody: Custody) -> WrappedKey {
    bench
        .machine
        .run(TENANT, GenerateKey { name: NAME, algorithm, purpose: Purpose::Cipher, custody })
        .expect("a key")
}

/// One key of each algorithm and custody, with a frame made by it.
fn keys(bench: &Bench) -> Vec<(WrappedKey, Vec<u8>)> {
    let kinds = [Algorithm::Aes256, Algorithm::Sm4].into_iter();
    let kinds = kinds.flat_map(|algorithm| CUSTODIES.map(|custody| (algorithm, custody)));
    kinds
        .map(|(algorithm, custody)| {
            let key = made(bench, algorithm, custody);
            let frame = bench.encrypt(&key, b"kept");
            (key, frame)
        })
        .collect()
}

fn opens(bench: &Bench, key: &WrappedKey, frame: &[u8]) {
    assert_eq!(bench.decrypt(key, frame).expect("a plaintext").as_bytes(), b"kept");
}

fn is_retired(bench: &Bench, key: &WrappedKey, frame: &[u8]) {
    assert!(matches!(bench.decrypt(key, frame), Err(Fault::RetiredGeneration)));
    assert!(matches!(rewrap(bench, TENANT, key), Err(Fault::RetiredGeneration)));
}

/// The lists of wrapping keys: HSM custody, software custody.
fn lists(bench: &Bench) -> [PathBuf; 2] {
    let [_, _, _, _, hsm, software, _] = files(&bench.folder);
    [hsm, software]
}

#[test]
fn rewrapped_keys_work_on_and_their_old_forms_open_no_more() {
    let mut bench = Bench::new();
    let kept = keys(&bench);
    assert_eq!(bench.machine.begin_roll(TENANT).expect("a roll"), 2);
    assert_eq!((bench.machine.rolling(), bench.machine.generation(TENANT).ok()), (vec![TENANT], Some(2)));
    let mut rewrapped = Vec::new();
    for (key, frame) in &kept {
        opens(&bench, key, frame);
        let new = rewrap(&bench, TENANT, key).expect("a key of the generation before");
        assert_eq!(new.header().generation, 2);
        assert_eq!(firmware_sim::WrappedHeader { generation: 1, ..new.header() }, key.header());
        assert_eq!(rewrap(&bench, TENANT, &new).expect("a key").as_bytes(), new.as_bytes());
        opens(&bench, &new, frame);
        rewrapped.push(new);
    }
    assert_eq!(made(&bench, Algorithm::Sm4, Custody::Software).header().generation, 2);
    bench.machine.finish_roll(TENANT).expect("the end of the roll");
    for _ in 0..2 {
        assert_eq!((bench.machine.rolling(), bench.machine.generation(TENANT).ok()), (vec![], Some(2)));
        for ((key, frame), new) in kept.iter().zip(&rewrapped) {
            opens(&bench, new, frame);
            is_retired(&bench, key, frame);
        }
        bench = bench.reopen();
    }
    assert_eq!(bench.machine.begin_roll(TENANT).expect("the next roll"), 3);
}

#[test]
fn asking_twice_changes_nothing() {
    let bench = Bench::new();
    let key = bench.key(Algorithm::Aes256);
    bench.machine.finish_roll(TENANT).expect("nothing to do");
    assert_eq!(rewrap(&bench, TENANT, &key).expect("a key").as_bytes(), key.as_bytes());
    assert_eq!(bench.machine.begin_roll(TENANT).expect("a roll"), 2);
    assert_eq!(bench.machine.begin_roll(TENANT).expect("the same roll"), 2);
    let new = rewrap(&bench, TENANT, &key).expect("a key");
    bench.machine.finish_roll(TENANT).expect("the end");
    bench.machine.finish_roll(TENANT).expect("nothing to do");
    bench.encrypt(&new, b"x");
    let unknown = PartitionId([9; 16]);
    assert!(matches!(bench.machine.begin_roll(unknown), Err(Fault::NoSuchPartition)));
    assert!(matches!(bench.machine.finish_roll(unknown), Err(Fault::NoSuchPartition)));
    assert!(matches!(bench.machine.generation(unknown), Err(Fault::NoSuchPartition)));
}

#[test]
fn a_roll_concerns_its_partition_only() {
    let bench = Bench::new();
    bench.machine.create_partition(OTHER).expect("a partition");
    let key = bench.key(Algorithm::Aes256);
    let frame = bench.encrypt(&key, b"kept");
    bench.machine.begin_roll(OTHER).expect("a roll");
    for partition in [OTHER, PartitionId::DEVICE] {
        assert!(matches!(rewrap(&bench, partition, &key), Err(Fault::InvalidWrappedKey)));
    }
    // Nor does a header that claims the other partition, or a generation of it, help.
    for generation in 1..=3u32 {
        let mut claimed = key.as_bytes().to_vec();
        claimed[5..21].copy_from_slice(&OTHER.0);
        claimed[22..26].copy_from_slice(&generation.to_be_bytes());
        let claimed = WrappedKey::from_bytes(claimed).expect("the form is right");
        assert!(matches!(rewrap(&bench, OTHER, &claimed), Err(Fault::InvalidWrappedKey)));
    }
    bench.machine.finish_roll(OTHER).expect("the end");
    assert_eq!(bench.machine.generation(TENANT).ok(), Some(1));
    opens(&bench, &key, &frame);
}

#[test]
fn a_generation_is_authenticated() {
    let bench = Bench::new();
    let key = bench.key(Algorithm::Aes256);
    bench.machine.begin_roll(TENANT).expect("a roll");
    let mut claimed = key.as_bytes().to_vec();
    claimed[22..26].copy_from_slice(&2u32.to_be_bytes());
    let claimed = WrappedKey::from_bytes(claimed).expect("the form is right");
    assert!(matches!(bench.machine.run(TENANT, encrypt(&claimed, b"x")), Err(Fault::InvalidWrappedKey)));
    assert!(matches!(rewrap(&bench, TENANT, &claimed), Err(Fault::InvalidWrappedKey)));
}

#[test]
fn the_device_rolls_and_keeps_what_else_it_holds() {
    let bench = Bench::new();
    let device = PartitionId::DEVICE;
    let (secret, _) =
        bench.machine.run(device, GenerateCredential { access_key: [5; 16] }).expect("a credential");
    let mac = |bench: &Bench, credential: &WrappedKey| {
        let command = CredentialMac { credential: credential.clone(), messages: vec![b"m".to_vec()] };
        bench.machine.run(device, command)
    };
    let seal = Seal { place: b"row".to_vec(), plaintext: Zeroizing::new(b"value".to_vec()) };
    let sealed = bench.machine.run(device, seal).expect("sealed bytes");
    let before = mac(&bench, &secret).expect("a MAC");
    assert_eq!(bench.machine.begin_roll(device).expect("a roll"), 2);
    let new = rewrap(&bench, device, &secret).expect("a credential");
    bench.machine.finish_roll(device).expect("the end");
    let bench = bench.reopen();
    assert_eq!(mac(&bench, &new).expect("a MAC"), before);
    assert!(matches!(mac(&bench, &secret), Err(Fault::RetiredGeneration)));
    let opened = bench.machine.run(device, Open { place: b"row".to_vec(), sealed }).expect("a plaintext");
    assert_eq!(opened.as_bytes(), b"value");
    bench.machine.run(device, DeviceSign { message: vec![1] }).expect("a signature");
}

/// A crash between the two lists, whichever is behind: the roll has not begun, and begins when asked again.
#[test]
fn a_half_begun_roll_is_completed() {
    // The lists stand in the other order: where one is behind, the custody beside it is ahead.
    for (behind, custody) in CUSTODIES.into_iter().enumerate() {
        let bench = Bench::new();
        let kept = keys(&bench);
        let list = lists(&bench)[behind].clone();
        let old = fs::read(&list).expect("a file");
        bench.machine.begin_roll(TENANT).expect("a roll");
        // In the custody that is ahead this is the very generation that is found again.
        let ahead = made(&bench, Algorithm::Aes256, custody);
        fs::write(&list, old).expect("a file");

        let bench = bench.reopen();
        assert_eq!((bench.machine.rolling(), bench.machine.generation(TENANT).ok()), (vec![], Some(1)));
        bench.machine.finish_roll(TENANT).expect("nothing to do");
        kept.iter().for_each(|(key, frame)| opens(&bench, key, frame));
        assert_eq!(bench.key(Algorithm::Aes256).header().generation, 1);
        assert!(matches!(bench.machine.run(TENANT, encrypt(&ahead, b"x")), Err(Fault::InvalidWrappedKey)));
        assert_eq!(bench.machine.begin_roll(TENANT).expect("the missing half"), 2);
        bench.encrypt(&ahead, b"x");
        kept.iter().for_each(|(key, frame)| opens(&bench, key, frame));
        let bench = bench.reopen();
        assert_eq!(bench.machine.rolling(), [TENANT]);
        bench.encrypt(&ahead, b"x");
    }
}

/// A crash between the two lists, whichever is behind: the roll is still under way, and ends when asked again.
#[test]
fn a_half_finished_roll_is_completed() {
    for behind in 0..2 {
        let bench = Bench::new();
        let kept = keys(&bench);
        bench.machine.begin_roll(TENANT).expect("a roll");
        let new: Vec<_> = kept.iter().map(|(key, _)| rewrap(&bench, TENANT, key).expect("a key")).collect();
        let list = lists(&bench)[behind].clone();
        let old = fs::read(&list).expect("a file");
        bench.machine.finish_roll(TENANT).expect("the end");
        fs::write(&list, old).expect("a file");

        let bench = bench.reopen();
        assert_eq!((bench.machine.rolling(), bench.machine.generation(TENANT).ok()), (vec![TENANT], Some(2)));
        assert_eq!(bench.machine.begin_roll(TENANT).expect("the same roll"), 2);
        bench.machine.finish_roll(TENANT).expect("the end");
        let bench = bench.reopen();
        assert_eq!(bench.machine.rolling(), []);
        for ((key, frame), new) in kept.iter().zip(&new) {
            opens(&bench, new, frame);
            is_retired(&bench, key, frame);
        }
    }
}

/// Entropy that fails is a step that fails before it is stored; asked again it goes on.
#[test]
fn a_step_that_fails_changes_nothing() {
    let bench = Bench::new();
    let (key, frame) = keys(&bench).remove(0);
    bench.script.set(Mood::Failing);
    assert!(matches!(bench.machine.begin_roll(TENANT), Err(Fault::Entropy)));
    assert_eq!((bench.machine.rolling(), bench.machine.generation(TENANT).ok()), (vec![], Some(1)));
    bench.script.set(Mood::Working);
    bench.machine.begin_roll(TENANT).expect("a roll");
    bench.script.set(Mood::Failing);
    assert!(matches!(bench.machine.finish_roll(TENANT), Err(Fault::Entropy)));
    assert_eq!(bench.machine.rolling(), [TENANT]);
    bench.script.set(Mood::Working);
    opens(&bench, &key, &frame);
    let new = rewrap(&bench, TENANT, &key).expect("a key");
    bench.machine.finish_roll(TENANT).expect("the end");
    opens(&bench, &new, &frame);
}

/// The moments at which replacing a list can be cut off, in each step and custody.
#[test]
fn a_replacement_cut_off_anywhere_leaves_a_machine_that_goes_on() {
    let mut moments = 0;
    for (step, which) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let bench = Bench::new();
        let (key, frame) = keys(&bench).remove(0);
        if step == 1 {
            bench.machine.begin_roll(TENANT).expect("a roll");
        }
        let list = lists(&bench)[which].clone();
        let before = fs::read(&list).expect("a file");
        match step {
            0 => drop(bench.machine.begin_roll(TENANT).expect("a roll")),
            _ => bench.machine.finish_roll(TENANT).expect("the end"),
        }
        let after = fs::read(&list).expect("a file");
        let half = [&before[..20], &vec![0xa5; before.len() - 20]].concat();
        let (beside, left) = (list.with_extension("new"), list.with_extension("old"));
        let mut bench = bench;
        type Moment<'a> = (&'a [u8], Option<&'a [u8]>, Option<&'a [u8]>, bool);
        let cut_off: [Moment<'_>; 6] = [
            (&before, Some(&after[..after.len() / 2]), None, false),
            (&before, Some(&after), None, false),
            (&before, Some(&after), None, true),
            (&after, None, Some(&before), false),
            (&after, None, Some(&half), false),
            (&after, None, None, false),
        ];
        for (valid, new, old, linked) in cut_off {
            fs::write(&list, valid).expect("a file");
            new.iter().for_each(|bytes| fs::write(&beside, bytes).expect("a file"));
            old.iter().for_each(|bytes| fs::write(&left, bytes).expect("a file"));
            if linked {
                fs::hard_link(&list, &left).expect("a file");
            }
            bench = bench.reopen();
            assert!(!beside.exists() && !left.exists(), "nothing is left over");
            assert_eq!(fs::read(&list).expect("a file"), valid);
            moments += 1;
        }
        if step == 0 {
            bench.machine.begin_roll(TENANT).expect("a roll");
            let new = rewrap(&bench, TENANT, &key).expect("a key");
            bench.machine.finish_roll(TENANT).expect("the end");
            opens(&bench, &new, &frame);
        }
        is_retired(&bench, &key, &frame);
    }
    println!("figure roll_replacements_cut_off_and_opened {moments} of {}", 4 * 6);
}

/// Every file that ever held the old generation, kept by a second name: its bytes are overwritten. And no copy of the
/// files made afterwards opens what the old generation wrapped, whatever copy of that was kept.
#[test]
fn nothing_of_an_erased_generation_is_left_in_the_files() {
    let bench = Bench::new();
    let kept = keys(&bench);
    let mut held: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    let mut hold = |bench: &Bench, moment: &str| {
        for (at, list) in lists(bench).iter().enumerate() {
            let link = bench.folder.path().join(format!("{moment}-{at}"));
            fs::hard_link(list, &link).expect("a second name");
            held.push((link, fs::read(list).expect("a file")));
        }
    };
    hold(&bench, "first");
    bench.machine.create_partition(OTHER).expect("a partition");
    hold(&bench, "before");
    bench.machine.begin_roll(TENANT).expect("a roll");
    hold(&bench, "during");
    bench.machine.finish_roll(TENANT).expect("the end");
    let mut residues = 0;
    for (link, before) in &held {
        let after = fs::read(link).expect("a file");
        assert_eq!(after.len(), before.len());
        let sealed = &before[6..];
        residues += sealed.windows(8).filter(|part| after.windows(8).any(|left| left == *part)).count();
    }
    assert_eq!(residues, 0);
    println!("figure roll_residues {residues} byte-strings of {} files", held.len());
    let bench = bench.reopen();
    kept.iter().for_each(|(key, frame)| is_retired(&bench, key, frame));
}

/// Lists of different times are no machine: one custody has erased what the other still wraps with.
#[test]
fn lists_that_do_not_belong_together_are_refused() {
    for behind in 0..2 {
        let bench = Bench::new();
        let list = lists(&bench)[behind].clone();
        let old = fs::read(&list).expect("a file");
        bench.machine.begin_roll(TENANT).expect("a roll");
        bench.machine.finish_roll(TENANT).expect("the end");
        fs::write(&list, old).expect("a file");
        assert!(matches!(bench.try_open(), Err(Fault::Storage(_))));
    }
}

/// While others make, rewrap and use keys without a pause, rolls come and go: whoever still has the old form is told so
/// by the one fault that asks to read again, and nobody ever makes a key under a generation that is gone.
#[test]
fn threads_go_on_while_a_wrapping_key_rolls() {
    let bench = Bench::new();
    let stopped = AtomicBool::new(false);
    let machine = &bench.machine;
    let work = |number: u8| {
        let (mut made, mut retired) = (0, 0);
        while !stopped.load(Ordering::Acquire) {
            let before = machine.generation(TENANT).expect("a partition");
            let name = KeyName { key: [number; 16], version: [number; 16] };
            let command = GenerateKey {
                name,
                algorithm: Algorithm::Aes256,
                purpose: Purpose::Cipher,
                custody: CUSTODIES[usize::from(number % 2)],
            };
            let mut key = machine.run(TENANT, command).expect("a key");
            assert!(key.header().generation >= before, "wrapped under an older generation");
            for _ in 0..20 {
                match machine.run(TENANT, encrypt(&key, b"x")) {
                    Ok(_) => {}
                    Err(Fault::RetiredGeneration) => {
                        retired += 1;
                        break;
                    }
                    Err(fault) => panic!("{fault}"),
                }
                match machine.run(TENANT, Rewrap { key: key.clone() }) {
                    Ok(new) => key = new,
                    Err(Fault::RetiredGeneration) => break,
                    Err(fault) => panic!("{fault}"),
                }
            }
            made += 1;
        }
        (made, retired)
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|number| scope.spawn(move || work(number))).collect();
        for generation in 2..12 {
            assert_eq!(machine.begin_roll(TENANT).expect("a roll"), generation);
            machine.finish_roll(TENANT).expect("the end");
        }
        stopped.store(true, Ordering::Release);
        let done: Vec<_> = workers.into_iter().map(|worker| worker.join().expect("no panic")).collect();
        assert!(done.iter().all(|(made, _)| *made > 0), "{done:?}");
    });
}
