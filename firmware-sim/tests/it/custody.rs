//! Who opens the machine: its device or a passphrase, the change between the two, and its destruction.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use firmware_sim::{
    Algorithm, DevicePublicKey, DeviceSign, DigestSm3, Directories, Fault, Machine, Open, Options,
    PartitionId, Seal, State, custody,
};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::support::{Bench, Mood, Script, TENANT, directories, encrypt, files};

const FIRST: &[u8] = b"correct horse battery";
const SECOND: &[u8] = "钥库的第二个口令".as_bytes();

/// What a machine must keep through every change: a key, a frame, a sealed value and its public key.
struct Kept {
    key: firmware_sim::WrappedKey,
    frame: Vec<u8>,
    sealed: Vec<u8>,
    public: Vec<u8>,
}

impl Kept {
    fn of(bench: &Bench) -> Self {
        let key = bench.key(Algorithm::Aes256);
        let frame = bench.encrypt(&key, b"kept");
        let seal = Seal { place: b"row".to_vec(), plaintext: Zeroizing::new(b"sealed".to_vec()) };
        let sealed = bench.machine.run(PartitionId::DEVICE, seal).expect("sealed bytes");
        let public = bench.machine.run(PartitionId::DEVICE, DevicePublicKey).expect("a public key");
        Self { key, frame, sealed, public }
    }

    fn check(&self, bench: &Bench) {
        assert_eq!(bench.decrypt(&self.key, &self.frame).expect("a plaintext").as_bytes(), b"kept");
        let open = Open { place: b"row".to_vec(), sealed: self.sealed.clone() };
        let opened = bench.machine.run(PartitionId::DEVICE, open).expect("a plaintext");
        assert_eq!(opened.as_bytes(), b"sealed");
        let public = bench.machine.run(PartitionId::DEVICE, DevicePublicKey).expect("a public key");
        assert_eq!(public, self.public);
    }
}

fn unlocked(bench: Bench, passphrase: &[u8]) -> Bench {
    let bench = bench.reopen();
    assert_eq!(bench.machine.state(), State::Locked);
    bench.machine.unlock(passphrase).expect("the passphrase");
    assert_eq!(bench.machine.state(), State::Operational);
    bench
}

#[test]
fn a_machine_changes_hands_and_keeps_its_keys() {
    let bench = Bench::new();
    let kept = Kept::of(&bench);
    let folders = directories(&bench.folder);
    assert!(!bench.machine.is_attended());
    assert!(matches!(custody::unattend(&folders, &*bench.script, FIRST), Err(Fault::NotAttended)));

    custody::attend(&folders, &*bench.script, FIRST).expect("an unattended machine");
    assert!(!folders.device.join("device.key").exists());
    assert!(matches!(custody::attend(&folders, &*bench.script, FIRST), Err(Fault::AlreadyAttended)));
    let bench = unlocked(bench, FIRST);
    assert!(bench.machine.is_attended());
    kept.check(&bench);

    let wrong = custody::change_passphrase(&folders, &*bench.script, SECOND, SECOND);
    assert!(matches!(wrong, Err(Fault::WrongPassphrase)));
    custody::change_passphrase(&folders, &*bench.script, FIRST, SECOND).expect("the passphrase");
    let bench = bench.reopen();
    assert!(matches!(bench.machine.unlock(FIRST), Err(Fault::WrongPassphrase)));
    let bench = unlocked(bench, SECOND);
    kept.check(&bench);

    assert!(matches!(custody::unattend(&folders, &*bench.script, FIRST), Err(Fault::WrongPassphrase)));
    custody::unattend(&folders, &*bench.script, SECOND).expect("the passphrase");
    let bench = bench.reopen();
    assert_eq!((bench.machine.state(), bench.machine.is_attended()), (State::Operational, false));
    kept.check(&bench);
}

#[test]
fn a_locked_machine_answers_nothing() {
    let bench = Bench::new();
    custody::attend(&directories(&bench.folder), &*bench.script, FIRST).expect("an unattended machine");
    let bench = bench.reopen();
    let refused = bench.machine.run(PartitionId::DEVICE, DigestSm3 { message: vec![1] });
    assert!(matches!(refused, Err(Fault::Locked)));
    assert!(matches!(bench.machine.create_partition(TENANT), Err(Fault::Locked)));
    for wrong in [b"".as_slice(), b"correct horse batterz", &[b'x'; 1025]] {
        let fault = bench.machine.unlock(wrong).expect_err("a wrong passphrase");
        assert_eq!(fault.to_string(), "the passphrase does not open the cipher machine");
        assert_eq!(bench.machine.state(), State::Locked);
    }
    bench.machine.unlock(FIRST).expect("the passphrase");
    bench.machine.unlock(b"whatever").expect("it is open already");
    bench.machine.run(PartitionId::DEVICE, DigestSm3 { message: vec![1] }).expect("a digest");
}

#[test]
fn passphrases_have_bounds() {
    let bench = Bench::new();
    let folders = directories(&bench.folder);
    for wrong in [b"eleven byte".as_slice(), &[b'x'; 1025]] {
        assert!(matches!(custody::attend(&folders, &*bench.script, wrong), Err(Fault::Limit("passphrase"))));
    }
    custody::attend(&folders, &*bench.script, &[b'x'; 1024]).expect("the longest");
    let changed = custody::change_passphrase(&folders, &*bench.script, &[b'x'; 1024], b"twelve bytes");
    changed.expect("the shortest");
    unlocked(bench, b"twelve bytes");
}

/// Every byte of the header is either checked or bound; none of it makes the derivation run without bound.
#[test]
fn a_damaged_attended_machine_does_not_open() {
    let bench = Bench::new();
    custody::attend(&directories(&bench.folder), &*bench.script, FIRST).expect("an unattended machine");
    let file = directories(&bench.folder).hsm.join("slots.bin");
    let whole = fs::read(&file).expect("a file");
    for at in (0..6).chain([6, 10, 14, 17, 18, 33, 34, 46, whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x80;
        fs::write(&file, bytes).expect("a file");
        let opened = bench.try_open().and_then(|machine| machine.unlock(FIRST));
        assert!(matches!(opened, Err(Fault::Storage(_) | Fault::WrongPassphrase)), "byte {at}");
    }
    for length in [0, 5, 6, 33, 45, whole.len() - 1] {
        fs::write(&file, &whole[..length]).expect("a file");
        let opened = bench.try_open().and_then(|machine| machine.unlock(FIRST));
        assert!(matches!(opened, Err(Fault::Storage(_) | Fault::WrongPassphrase)), "cut to {length}");
    }
}

/// A copy of a directory tree.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file");
        }
    }
}

/// The moments at which a change can be cut off, as the files stand then. `before` and `after` are the whole machine.
fn crashes(before: &Directories, after: &Directories, now: &Directories) -> Vec<Box<dyn Fn()>> {
    let slots = |of: &Directories| fs::read(of.hsm.join("slots.bin")).expect("a file");
    let device = |of: &Directories| fs::read(of.device.join("device.key")).ok();
    let (old, new) = (slots(before), slots(after));
    let key = device(before).or_else(|| device(after));
    let file = now.hsm.join("slots.bin");
    let (beside, left) = (file.with_extension("new"), file.with_extension("old"));
    let key_file = now.device.join("device.key");
    let put = move |slots: &[u8],
                    beside_bytes: Option<&[u8]>,
                    left_bytes: Option<&[u8]>,
                    linked: bool,
                    key: Option<&[u8]>| {
        for path in [&file, &beside, &left, &key_file] {
            let _ = fs::remove_file(path);
        }
        fs::write(&file, slots).expect("a file");
        beside_bytes.iter().for_each(|bytes| fs::write(&beside, bytes).expect("a file"));
        left_bytes.iter().for_each(|bytes| fs::write(&left, bytes).expect("a file"));
        if linked {
            fs::hard_link(&file, &left).expect("a file");
        }
        key.iter().for_each(|bytes| fs::write(&key_file, bytes).expect("a file"));
    };
    let put = Arc::new(put);
    let half = [&old[..20], &vec![0xa5; old.len() - 20]].concat();
    type Moment = (bool, Option<Vec<u8>>, Option<Vec<u8>>, bool);
    let moments: Vec<Moment> = vec![
        (false, None, None, false),
        (false, Some(new[..new.len() / 2].to_vec()), None, false),
        (false, Some(new.clone()), None, false),
        (false, Some(new.clone()), None, true),
        (true, None, Some(old.clone()), false),
        (true, None, Some(half), false),
        (true, None, None, false),
    ];
    moments
        .into_iter()
        .map(|(replaced, beside, left, linked)| {
            let (slots, key, put) =
                (if replaced { new.clone() } else { old.clone() }, key.clone(), put.clone());
            let moment = move || put(&slots, beside.as_deref(), left.as_deref(), linked, key.as_deref());
            Box::new(moment) as Box<dyn Fn()>
        })
        .collect()
}

#[test]
fn a_change_cut_off_anywhere_leaves_one_way_in() {
    let bench = Bench::new();
    let kept = Kept::of(&bench);
    let now = directories(&bench.folder);
    let copies: Vec<TempDir> = (0..4).map(|_| tempfile::tempdir().expect("a temporary directory")).collect();
    copy(bench.folder.path(), copies[0].path());
    custody::attend(&now, &*bench.script, FIRST).expect("an unattended machine");
    copy(bench.folder.path(), copies[1].path());
    custody::change_passphrase(&now, &*bench.script, FIRST, SECOND).expect("the passphrase");
    copy(bench.folder.path(), copies[2].path());
    custody::unattend(&now, &*bench.script, SECOND).expect("the passphrase");
    copy(bench.folder.path(), copies[3].path());

    let mut bench = bench;
    let mut moments = 0;
    for step in 0..3 {
        let [before, after] = [step, step + 1].map(|at| directories(&copies[at]));
        for moment in crashes(&before, &after, &now) {
            moment();
            bench = bench.reopen();
            let ways = if bench.machine.is_attended() {
                let ways =
                    [FIRST, SECOND].iter().filter(|passphrase| bench.machine.unlock(passphrase).is_ok());
                // An open machine takes anything; so count the first that opened it.
                ways.take(1).count()
            } else {
                1
            };
            assert_eq!(ways, 1, "step {step}");
            kept.check(&bench);
            // Nothing is left over, and a device key only where it opens something.
            let left = ["slots.old", "slots.new"].iter().filter(|name| now.hsm.join(name).exists()).count();
            assert_eq!(left, 0, "step {step}");
            assert_eq!(now.device.join("device.key").exists(), !bench.machine.is_attended(), "step {step}");
            moments += 1;
        }
    }
    println!("figure custody_changes_cut_off_and_opened {moments} of {}", 3 * 7);
}

#[test]
fn zeroised_means_gone() {
    for (attended, damaged) in [(false, false), (true, false), (false, true)] {
        let bench = Bench::new();
        let key = bench.key(Algorithm::Aes256);
        bench.machine.run(TENANT, encrypt(&key, b"x")).expect("a frame");
        let folders = directories(&bench.folder);
        if attended {
            custody::attend(&folders, &*bench.script, FIRST).expect("an unattended machine");
        }
        if damaged {
            fs::write(folders.hsm.join("slots.bin"), b"torn").expect("a file");
            fs::remove_file(folders.software_root.join("root.bin")).expect("a file");
            fs::write(folders.software_key.join("root.old"), b"left over").expect("a file");
        }
        let secrets: Vec<_> =
            bench.script.take_given().into_iter().filter(|given| given.len() >= 16).collect();
        assert!(secrets.len() > 6);
        let present = files(&bench.folder).iter().filter(|file| file.exists()).count();
        // The names that hold the files' old blocks: what is overwritten is seen through them.
        let held: Vec<_> = files(&bench.folder)
            .into_iter()
            .filter(|file| file.exists())
            .enumerate()
            .map(|(number, file)| {
                let held = bench.folder.path().join(format!("held-{number}"));
                fs::hard_link(&file, &held).expect("a second name");
                (fs::read(&file).expect("a file"), held)
            })
            .collect();
        bench.script.set(if damaged { Mood::Failing } else { Mood::Working });
        let count = custody::zeroise(&folders, &*bench.script).expect("files that can be destroyed");
        assert_eq!(count, present + usize::from(damaged));
        assert_eq!(custody::zeroise(&folders, &*bench.script).expect("nothing is left"), 0);
        let mut residues = 0;
        for (before, held) in &held {
            let after = fs::read(held).expect("a file");
            assert_eq!(after.len(), before.len());
            let shared =
                |length| before.windows(length).any(|part| after.windows(length).any(|left| left == part));
            residues += usize::from(before.len() >= 16 && shared(8));
            residues +=
                secrets.iter().filter(|secret| after.windows(16).any(|left| left == &secret[..16])).count();
        }
        assert_eq!(residues, 0);
        println!("figure zeroise_residues {residues} byte-strings");
        bench.script.set(Mood::Working);
        assert!(matches!(bench.try_open(), Err(Fault::NotInitialised)));
        Machine::initialise(&folders, Script::new(), Options::default()).expect("room for a new machine");
    }
}

#[test]
fn the_device_signs_in_its_own_partition_only() {
    let bench = Bench::new();
    let sign = || DeviceSign { message: b"checkpoint".to_vec() };
    assert_eq!(bench.machine.run(PartitionId::DEVICE, sign()).expect("a signature").len(), 64);
    assert!(matches!(bench.machine.run(TENANT, sign()), Err(Fault::WrongPurpose)));
    assert!(matches!(bench.machine.run(TENANT, DevicePublicKey), Err(Fault::WrongPurpose)));
    let public = bench.machine.run(PartitionId::DEVICE, DevicePublicKey).expect("a public key");
    assert_eq!((public.len(), public[0]), (65, 4));
    let long = DeviceSign { message: vec![0; firmware_sim::SIGNED_MESSAGE_BYTES_MAX + 1] };
    assert!(matches!(bench.machine.run(PartitionId::DEVICE, long), Err(Fault::Limit("message"))));
}
