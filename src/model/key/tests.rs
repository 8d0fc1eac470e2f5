//! What a key allows when, and what its transitions leave.

use std::time::Duration;

use super::*;
use crate::ids::ImportTokenId;
use crate::model::algorithm::ImportAlgorithm;
use crate::model::import::ImportToken;
use crate::model::product::ServiceCode;
use crate::model::text::Text;

const DAY: i64 = 86_400;

/// All clocks show this.
fn sure(now: Timestamp) -> Reading {
    Reading { wall: now, confirmed: now, offset: Duration::ZERO }
}

/// It is this time, and the wall clock is an hour behind.
fn in_doubt(now: Timestamp) -> Reading {
    Reading { wall: now.before(Duration::from_secs(3600)), ..sure(now) }
}

/// Key state against operation, contract 4.3, for the operations of this version.
#[test]
fn the_state_decides_what_may_happen() {
    let at = Timestamp::from_seconds(1);
    let states =
        [KeyState::Enabled, KeyState::Disabled, KeyState::PendingDeletion { at }, KeyState::PendingImport];
    let now = Timestamp::from_seconds(5);
    let mut table = String::new();
    for state in states {
        let key = sample(state);
        let mut pair = sample(state);
        (pair.spec, pair.usage) = (KeySpec::Rsa2048, KeyUsage::SignVerify);
        let mut external = sample(state);
        external.origin = Origin::External;
        external.add_token(token(1, now), now).unwrap();
        let import = |mut key: Key| key.import(0, token(1, now).id, version(1, 11), [7; 32], None, now);
        let mut protected = sample(state);
        protected.protection = Some(Description::default());
        let window = DeletionDays::new(7).unwrap();
        let code = |result: Result<()>| result.err().map_or("ok", |error| error.wire().code);
        let row = [
            ("use", code(key.check_use(Work::Symmetric, now))),
            ("sign", code(pair.check_use(Work::Signing, now))),
            ("enable", code(key.clone().enable(now))),
            ("disable", code(key.clone().disable(now))),
            ("alias", code(key.check_alias())),
            ("re-point", code(key.check_alias_target())),
            ("describe", code(key.clone().describe(Description::default()))),
            ("tag", code(key.clone().tag(&Tags::default()))),
            ("untag", code(key.clone().untag(std::iter::empty()))),
            ("version", code(pair.clone().add_version(version(2, 22), now))),
            ("rotation", code(key.clone().set_rotation(period("7"), now))),
            ("parameters", code(external.clone().add_token(token(2, now), now))),
            ("import", code(import(external.clone()))),
            ("delete", code(external.clone().delete_material())),
            ("schedule", code(key.clone().schedule_deletion(window, now))),
            ("protected", code(protected.clone().schedule_deletion(window, now))),
            ("cancel", code(key.clone().cancel_deletion(Timestamp(0)))),
            ("protect", code(key.clone().protect(Description::default()))),
            ("unprotect", code(key.clone().unprotect())),
            ("rehearse", code(key.clone().rehearse(true))),
        ];
        table.push_str(state.wire_name());
        row.iter().for_each(|(name, code)| table.push_str(&format!(" {name}={code}")));
        table.push('\n');
    }
    let expected = [
        "Enabled use=ok sign=ok enable=ok disable=ok alias=ok re-point=ok describe=ok tag=ok untag=ok version=ok rotation=ok \
         parameters=ok import=ok delete=ok schedule=ok protected=KMS.9014 cancel=KMS.9013 protect=ok unprotect=ok rehearse=ok\n",
        "Disabled use=KMS.9010 sign=KMS.9010 enable=ok disable=ok alias=ok re-point=ok describe=ok tag=ok untag=ok \
         version=KMS.9010 rotation=KMS.9010 parameters=ok import=ok delete=ok schedule=ok protected=KMS.9014 \
         cancel=KMS.9013 protect=ok unprotect=ok rehearse=ok\n",
        "PendingDeletion use=KMS.9011 sign=KMS.9011 enable=KMS.9013 disable=KMS.9013 alias=KMS.9013 re-point=KMS.9011 \
         describe=KMS.9011 tag=KMS.9011 untag=KMS.9011 version=KMS.9011 rotation=KMS.9011 parameters=ok import=KMS.9013 \
         delete=ok schedule=KMS.9013 protected=KMS.9013 cancel=ok protect=KMS.9011 unprotect=KMS.9011 rehearse=KMS.9011\n",
        "PendingImport use=KMS.9012 sign=KMS.9012 enable=KMS.9013 disable=KMS.9013 alias=ok re-point=ok describe=ok tag=ok \
         untag=ok version=KMS.9012 rotation=KMS.9012 parameters=ok import=ok delete=ok schedule=ok protected=KMS.9014 \
         cancel=KMS.9013 protect=ok unprotect=ok rehearse=ok\n",
    ];
    assert_eq!(table, expected.concat());
}

#[test]
fn spec_and_usage_decide_what_work_a_key_does() {
    use KeySpec::{Aes256, Rsa2048, Sm2, Sm4};
    use KeyUsage::{EncryptDecrypt, SignVerify};
    let all =
        [Work::Symmetric, Work::Authentication, Work::Signing, Work::AsymmetricEncryption, Work::PublicKey];
    let mut key = sample(KeyState::Enabled);
    let cases = [
        (Aes256, EncryptDecrypt, [true, true, false, false, false]),
        (Sm4, EncryptDecrypt, [true, true, false, false, false]),
        (Rsa2048, EncryptDecrypt, [false, false, false, true, true]),
        (Rsa2048, SignVerify, [false, false, true, false, true]),
        (Sm2, EncryptDecrypt, [false, false, false, true, true]),
        (Sm2, SignVerify, [false, false, true, false, true]),
    ];
    for (spec, usage, fits) in cases {
        (key.spec, key.usage) = (spec, usage);
        let results = all.map(|work| key.check_use(work, Timestamp(0)));
        assert_eq!(results.each_ref().map(Result::is_ok), fits, "{spec:?} {usage:?}");
        assert!(results.into_iter().flat_map(Result::err).all(|error| error.code() == "KMS.9027"));
    }
}

#[test]
fn origin_and_spec_decide_how_versions_come() {
    let now = Timestamp::from_seconds(0);
    let mut key = sample(KeyState::Enabled);
    assert_eq!(code(key.add_version(version(1, 11), now)), "KMS.9027");
    assert_eq!(code(key.clone().delete_material()), "KMS.9025");
    assert_eq!(code(key.add_token(token(1, now), now)), "KMS.9025");
    key.spec = KeySpec::Rsa2048;
    assert_eq!(code(key.set_rotation(period("7"), now)), "KMS.9027");
    (key.spec, key.origin) = (KeySpec::Aes256, Origin::External);
    assert_eq!(code(key.add_version(version(1, 11), now)), "KMS.9025");
    assert_eq!(code(key.set_rotation(period("7"), now)), "KMS.9025");
    assert!(key.versions.is_empty() && key.rotation == Rotation::Off, "a refusal changes nothing");
}

#[test]
fn a_late_rotation_happens_once_and_rests_while_disabled() {
    let day = |day| Timestamp::from_seconds(day * DAY);
    let mut key = sample(KeyState::Enabled);
    key.set_rotation(period("7"), day(0)).unwrap();
    assert_eq!((key.due(), key.due_job(&sure(day(6)))), (Some(day(7)), None));
    assert_eq!(key.due_job(&sure(day(7))), Some(DueJob::Rotate));
    key.disable(day(8)).unwrap();
    assert_eq!((key.due(), key.due_job(&sure(day(100)))), (None, None));
    assert_eq!(code(key.rotate(version(1, 11), day(100))), "KMS.9013");
    key.enable(day(100)).unwrap();
    key.rotate(version(1, 11), day(100)).unwrap();
    assert_eq!(code(key.rotate(version(2, 22), day(100))), "KMS.9013");
    assert_eq!((key.due(), key.rotated, key.versions.len()), (Some(day(107)), Some(day(100)), 1));
    assert_eq!(key.due_job(&sure(day(-300))), None, "a clock that went back makes nothing due");
}

#[test]
fn only_another_policy_moves_the_date() {
    let day = |day| Timestamp::from_seconds(day * DAY);
    let mut key = sample(KeyState::Enabled);
    key.rotated = Some(day(0));
    key.set_rotation(period("7"), day(0)).unwrap();
    key.set_rotation(period("7d"), day(3)).unwrap();
    assert_eq!(key.due(), Some(day(7)));
    key.set_rotation(period("8"), day(3)).unwrap();
    assert_eq!(key.due(), Some(day(11)));
    key.set_rotation(None, day(4)).unwrap();
    assert_eq!((key.due(), key.rotated), (None, Some(day(0))));
    key.set_rotation(period("8"), day(5)).unwrap();
    assert_eq!(key.due(), Some(day(13)));
}

#[test]
fn imported_material_binds_the_key_for_good() {
    let at = Timestamp::from_seconds;
    let mut key = external();
    key.import(0, token(1, at(0)).id, version(5, 11), [7; 32], Some(at(100)), at(1)).unwrap();
    assert!(key.state == KeyState::Enabled && key.versions[0].created == at(5));
    // Less than a day before the end, all three warnings are due; one is given.
    let warning = key.warning(at(1)).unwrap();
    assert_eq!(warning, Warning { deadline: Deadline::Material, at: at(100), days: 1 });
    assert_eq!(key.due_job(&in_doubt(at(1))), Some(DueJob::Warn));
    key.tell(warning);
    assert_eq!((key.due(), key.warning(at(1))), (Some(at(100)), None));
    // Material is over at its second, whether or not anybody took it away.
    assert_eq!(key.state_at(at(99)), KeyState::Enabled);
    assert_eq!(key.state_at(at(100)), KeyState::PendingImport);
    assert_eq!(code(key.version_for_use(Work::Symmetric, None, at(100))), "KMS.9012");
    assert_eq!(code(key.version(VersionId::from_bytes([5; 16]), at(100))), "KMS.9012");
    assert_eq!(code(key.enable(at(100))), "KMS.9013");
    assert!(key.primary_at(at(100)).is_none());
    assert_eq!((key.due_job(&sure(at(99))), key.due_job(&sure(at(100)))), (None, Some(DueJob::Expire)));
    assert!(!key.expire(at(99)).unwrap());
    assert!(key.expire(at(100)).unwrap());
    assert!(key.versions.is_empty() && key.import.expires.is_none());
    assert!(!key.expire(at(100)).unwrap());
    // The machine refuses other material; what does not fit here was raced. The first material comes back under its version.
    let again =
        |key: &mut Key, id, print| key.import(0, token(1, at(0)).id, version(id, 12), print, None, at(200));
    assert_eq!(code(again(&mut key, 5, [8; 32])), "KMS.9071");
    assert_eq!(code(again(&mut key, 6, [7; 32])), "KMS.9071");
    assert!(key.versions.is_empty() && key.state == KeyState::PendingImport, "a refusal changes nothing");
    again(&mut key, 5, [7; 32]).unwrap();
    assert!(key.state == KeyState::Enabled && key.versions[0].created == at(5));
    key.delete_material().unwrap();
    assert_eq!(key.state, KeyState::PendingImport);
    assert!(key.import.binding.is_some());
}

#[test]
fn deleting_material_keeps_what_the_owner_decided() {
    let at = Timestamp::from_seconds;
    let import = |key: &mut Key| key.import(0, token(1, at(0)).id, version(5, 11), [7; 32], None, at(1));
    let mut key = external();
    import(&mut key).unwrap();
    key.disable(at(2)).unwrap();
    import(&mut key).unwrap();
    assert_eq!(key.state, KeyState::Disabled);
    key.state = KeyState::PendingDeletion { at: at(9) };
    assert_eq!(code(import(&mut key)), "KMS.9013");
    key.delete_material().unwrap();
    assert!(key.state == KeyState::PendingDeletion { at: at(9) } && key.versions.is_empty());
}

#[test]
fn five_failures_spend_a_token_however_parallel() {
    let now = Timestamp::from_seconds(1);
    let mut key = external();
    let id = token(1, now).id;
    for seen in 0..5 {
        assert_eq!(key.token(id, now).unwrap().failures, seen);
        // Two attempts read the same count: one is counted, the other is told to come again.
        key.count_failed_import(id, seen, now).unwrap();
        let late = key.count_failed_import(id, seen, now);
        assert_eq!(code(late), if seen < 4 { "KMS.9071" } else { "KMS.9023" });
        let raced = key.import(seen, id, version(5, 11), [7; 32], None, now);
        assert_eq!(code(raced), if seen < 4 { "KMS.9071" } else { "KMS.9023" });
    }
    assert_eq!(code(key.token(id, now)), "KMS.9023");
    assert!(key.versions.is_empty() && key.import.tokens.is_empty());
}

#[test]
fn tokens_run_out_and_give_way() {
    let at = Timestamp::from_seconds;
    let mut key = external();
    let first = token(1, at(0)).id;
    assert!(key.token(first, at(DAY - 1)).is_ok());
    assert_eq!(code(key.token(first, at(DAY))), "KMS.9024");
    assert_eq!((key.due(), key.due_job(&sure(at(2 * DAY)))), (Some(at(2 * DAY)), Some(DueJob::Expire)));
    assert!(key.clone().expire(at(2 * DAY)).unwrap());
    for n in 2..=11 {
        assert!(key.token(first, at(0)).is_ok(), "{n}");
        key.add_token(token(n, at(0)), at(0)).unwrap();
    }
    assert_eq!(code(key.token(first, at(0))), "KMS.9023");
    assert_eq!(key.import.tokens.len(), 10);
    assert!(key.expire(at(2 * DAY)).unwrap());
    assert!(key.import.tokens.is_empty() && key.due().is_none());
}

#[test]
fn a_rewrapped_form_replaces_only_what_it_was_made_from() {
    let mut key = sample(KeyState::Disabled);
    key.versions = vec![version(1, 11), version(2, 22), version(3, 33)];
    key.import.tokens = vec![token(1, Timestamp(0))];
    assert_eq!(key.wrapped_keys().count(), 4);
    key.rewrap(&[(wrapped(11), wrapped(12)), (wrapped(21), wrapped(23)), (wrapped(201), wrapped(99))]);
    assert!(key.versions == [version(1, 12), version(2, 22), version(3, 33)]);
    assert!(key.import.tokens[0].wrapping_key == wrapped(99));
}

#[test]
fn every_version_of_an_asymmetric_key_counts_in_its_account() {
    let mut key = sample(KeyState::Enabled);
    key.versions = vec![version(1, 11), version(2, 22)];
    let counted = |key: &Key| {
        let list = Key::asymmetric_versions_of(key.account);
        key.listings().iter().filter(|row| row.list == list).count()
    };
    assert_eq!(counted(&key), 0);
    key.spec = KeySpec::Sm2;
    assert_eq!(counted(&key), 2);
}

/// Stored by the code of record version 1: a key that waits for its deletion, with two versions and rotation.
const ROTATING_1: &str = "011001010101010101010101010101010101100202020202020202020202020202020244444444444400000000000280d1ca0802100505\
     050505050505050505050505050579594b574b010b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b010b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\
     0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0101000b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\
     0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b80ade204100606060606060606060606060606060679594b574b011616\
     16161616161616161616161616160116161616161616161616161616161616161616161616161616161616161616161616161601010016\
     16161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616\
     1616161680b6dc050180f52480c8d0070180bfd606036f6c640008736f6d65626f647900";
/// And one that is enabled, with one version and without rotation.
const RESTING_1: &str = "01100101010101010101010101010101010110020202020202020202020202020202024444444444440000000000000110050505050505\
     0505050505050505050579594b574b010b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b010b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\
     0b0b0b0b0b0b0b0b0b0b0b0b0b0b0101000b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\
     0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b80ade20400036f6c640008736f6d65626f647900";

/// The same as record version 2 has it: with its last rotation, and with material from outside, of which there is none.
const RESTING_2: &str = "02100101010101010101010101010101010110020202020202020202020202020202024444444444440000\
     0000000001100505050505050505050505050505050579594b574b010b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b010b0b0b0b0b0b0b0b0b0b\
     0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0101000b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b\
     0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b80ade2040000000000036f6c640008736f6d65626f\
     647900";

#[test]
fn keys_of_older_record_versions_are_read() {
    let at = Timestamp::from_seconds;
    let mut key = sample(KeyState::PendingDeletion { at: at(9) });
    key.versions = vec![version(5, 11), version(6, 22)];
    key.rotation = Rotation::On { period: "7".parse().unwrap(), next: at(8) };
    key.rotated = Some(at(7));
    key.description = Text::new("old").unwrap();
    key.creator = "somebody".into();
    let stored = hex::decode(ROTATING_1).unwrap();
    assert!(Key::decode(&stored) == Some(key.clone()));
    (key.state, key.rotation, key.rotated) = (KeyState::Enabled, Rotation::Off, None);
    key.versions.truncate(1);
    assert!(Key::decode(&hex::decode(RESTING_1).unwrap()) == Some(key.clone()));
    assert!(Key::decode(&hex::decode(RESTING_2).unwrap()) == Some(key.clone()));
    // Written back, it is of this version; cut short or of a version to come, it is not read.
    let stored_now = key.encode().unwrap();
    assert!(stored_now[0] == 3 && Key::decode(&stored_now) == Some(key));
    assert!(Key::decode(&stored[..stored.len() - 1]).is_none());
    assert!(Key::decode(&[&[4], &stored[1..]].concat()).is_none());
}

fn code<T>(result: Result<T>) -> &'static str {
    result.err().map_or("ok", |error| error.code())
}

fn period(text: &str) -> Option<RotationPeriod> {
    Some(text.parse().unwrap())
}

/// A wrapped key as to its form; no machine made it.
fn wrapped(fill: u8) -> WrappedKey {
    let mut bytes = vec![fill; 121];
    bytes[..5].copy_from_slice(b"YKWK\x01");
    (bytes[21], bytes[58], bytes[59], bytes[60]) = (1, 1, 1, 0);
    WrappedKey::from_bytes(bytes).unwrap()
}

fn version(id: u8, fill: u8) -> KeyVersion {
    KeyVersion {
        id: VersionId::from_bytes([id; 16]),
        wrapped: wrapped(fill),
        created: Timestamp::from_seconds(i64::from(id)),
    }
}

fn token(id: u8, now: Timestamp) -> ImportToken {
    ImportToken {
        id: ImportTokenId::from_random([id; 16]),
        wrapping_key: wrapped(200 + id),
        algorithm: ImportAlgorithm::OaepSha256,
        expires: now.after(ImportToken::LIFETIME),
        failures: 0,
    }
}

/// A key that waits for its material, with one token.
fn external() -> Key {
    let mut key = sample(KeyState::PendingImport);
    key.origin = Origin::External;
    key.add_token(token(1, Timestamp(0)), Timestamp(0)).unwrap();
    key
}

fn sample(state: KeyState) -> Key {
    Key {
        id: KeyId::from_bytes([1; 16]),
        account: AccountId::from_bytes([2; 16]),
        owner: Owner::Service(InstanceId::from_random([3; 6])),
        project: Description::default(),
        spec: KeySpec::Aes256,
        usage: KeyUsage::EncryptDecrypt,
        level: ProtectionLevel::Software,
        origin: Origin::CtyunKms,
        state,
        versions: Vec::new(),
        rotation: Rotation::Off,
        rotated: None,
        import: Import::default(),
        protection: None,
        rehearsal: false,
        told: None,
        description: Description::default(),
        tags: Tags::default(),
        creator: String::new(),
        created: Timestamp::from_seconds(0),
    }
}

/// What nobody may do to the default key of a product, and what anybody may (contract 5.1, createDefaultKey).
#[test]
fn a_default_key_stays_as_its_product_needs_it() {
    let now = Timestamp::from_seconds(5);
    let mut key = sample(KeyState::Enabled);
    key.owner = Owner::Product(ServiceCode::Ecs);
    let made = key.clone();
    let refused = [
        key.enable(now),
        key.disable(now),
        key.check_alias(),
        key.check_alias_target(),
        key.describe(Description::default()),
        key.add_version(version(2, 22), now),
        key.set_rotation(period("7"), now),
        key.add_token(token(2, now), now),
        key.check_import(),
        key.delete_material(),
        key.schedule_deletion(DeletionDays::new(7).unwrap(), now),
        key.cancel_deletion(now),
        key.protect(Description::default()),
        key.unprotect(),
        key.rehearse(true),
        key.check_use(Work::Authentication, now),
    ];
    assert!(refused.into_iter().all(|refused| code(refused) == "KMS.9029"));
    assert!(key == made && key.tag(&Tags::default()).is_ok() && key.check_use(Work::Symmetric, now).is_ok());
}

#[test]
fn a_window_ends_once_and_is_announced_three_times() {
    let day = |days: i64| Timestamp::from_seconds(days * DAY);
    let mut key = sample(KeyState::Enabled);
    key.versions = vec![version(5, 11)];
    key.schedule_deletion(DeletionDays::new(30).unwrap(), day(0)).unwrap();
    assert!(key.state == KeyState::PendingDeletion { at: day(30) });
    let mut told = Vec::new();
    for now in 0..=40 {
        assert_eq!(
            key.due_job(&in_doubt(day(now))).is_some(),
            key.due().is_some_and(|at| at <= day(now) && now < 30)
        );
        while let Some(warning) = key.warning(day(now)) {
            key.tell(warning);
            told.push((now, warning.days));
        }
        assert_eq!(key.due_job(&sure(day(now))) == Some(DueJob::Destroy), now >= 30, "{now}");
        assert_eq!(key.due_job(&in_doubt(day(now))), None, "nothing is destroyed while the time is in doubt");
        assert_eq!(key.clone().cancel_deletion(day(now)).is_ok(), now < 30, "{now}");
    }
    assert_eq!(told, [(23, 7), (27, 3), (29, 1)]);
    // After a pause the last warning that is due is the only one.
    key.told = None;
    assert_eq!(key.warning(day(28)).map(|warning| warning.days), Some(3));
    // A key without versions waits for material again, and another window is announced anew.
    key.versions.clear();
    key.cancel_deletion(day(29)).unwrap();
    assert!(key.state == KeyState::PendingImport && key.due().is_none());
    key.schedule_deletion(DeletionDays::new(7).unwrap(), day(29)).unwrap();
    assert_eq!(key.warning(day(29)).map(|warning| (warning.at, warning.days)), Some((day(36), 7)));
}
