//! Tests of encrypting and decrypting files: what stands under the final name, and when.

use std::os::unix::fs::{PermissionsExt, symlink};

use tempfile::TempDir;

use super::*;

const CMK: &str = "241ede22-6261-4617-9caf-10d89990516c";

fn data_key() -> Result<DataKey, EncryptFileError> {
    Ok(DataKey {
        plaintext: Zeroizing::new(vec![7; 32]),
        cmk_uuid: CMK.into(),
        key_version_id: "v".into(),
        ciphertext_blob: "blob".into(),
    })
}

/// A folder with the file `plain` and its sealed form `sealed`.
struct Fixture {
    folder: TempDir,
    plain: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let plain: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
        let fixture = Self { folder, plain };
        fs::write(fixture.at("plain"), &fixture.plain).expect("write");
        fixture.seal("sealed", false).expect("seal");
        fixture
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn seal(&self, output: &str, force: bool) -> Result<Summary, EncryptFileError> {
        seal_with(
            Algorithm::Aes256,
            [1; NONCE_BYTES],
            &self.at("plain"),
            &self.at(output),
            force,
            &Clock::system(),
            data_key,
        )
    }

    fn open(&self, input: &str, output: &str, force: bool) -> Result<Summary, EncryptFileError> {
        open_with(&self.at(input), &self.at(output), force, &Clock::system(), |header| {
            assert_eq!(header.ciphertext_blob(), "blob");
            Ok(data_key()?.plaintext)
        })
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.folder.path())
            .expect("folder")
            .map(|entry| entry.expect("entry").file_name().into_string().expect("name"))
            .collect();
        names.sort();
        names
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.at(name)).expect("read")
    }
}

#[test]
fn a_file_comes_back_and_only_its_owner_may_read_it() {
    let fixture = Fixture::new();
    let summary = fixture.open("sealed", "back", false).expect("open");
    assert_eq!(summary.bytes, 200_000);
    assert!(summary.seconds >= 0.0);
    assert_eq!(fixture.read("back"), fixture.plain);
    assert_eq!(fixture.names(), ["back", "plain", "sealed"]);
    for name in ["sealed", "back"] {
        let mode = fs::metadata(fixture.at(name)).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn an_existing_output_is_replaced_only_with_force() {
    let fixture = Fixture::new();
    fs::write(fixture.at("back"), "old").expect("write");
    assert!(matches!(fixture.open("sealed", "back", false), Err(EncryptFileError::OutputExists { .. })));
    assert_eq!(fixture.read("back"), b"old");
    fixture.open("sealed", "back", true).expect("open");
    assert_eq!(fixture.read("back"), fixture.plain);
    assert_eq!(fixture.names(), ["back", "plain", "sealed"]);
}

#[test]
fn a_file_may_be_sealed_in_its_own_place() {
    let fixture = Fixture::new();
    fixture.seal("plain", true).expect("seal");
    assert_eq!(fixture.read("plain"), fixture.read("sealed"));
}

#[test]
fn an_output_that_came_into_being_meanwhile_stays() {
    let fixture = Fixture::new();
    let found = open_with(&fixture.at("sealed"), &fixture.at("back"), false, &Clock::system(), |_| {
        fs::write(fixture.at("back"), "newer").expect("write");
        Ok(data_key()?.plaintext)
    });
    assert!(matches!(found, Err(EncryptFileError::OutputExists { .. })));
    assert_eq!(fixture.read("back"), b"newer");
    assert_eq!(fixture.names(), ["back", "plain", "sealed"]);
}

#[test]
fn a_stale_partial_is_replaced_only_with_force() {
    let fixture = Fixture::new();
    fs::write(fixture.at("back.partial"), "half").expect("write");
    let refused = fixture.open("sealed", "back", false).expect_err("stale");
    assert!(matches!(refused, EncryptFileError::PartialExists { .. }));
    assert!(refused.to_string().contains("back.partial"));
    assert_eq!(fixture.read("back.partial"), b"half");
    fixture.open("sealed", "back", true).expect("open");
    assert_eq!(fixture.names(), ["back", "plain", "sealed"]);
}

#[test]
fn a_bad_file_never_appears_and_leaves_the_old_one() {
    let fixture = Fixture::new();
    let whole = fixture.read("sealed");
    let mut flipped = whole.clone();
    flipped[100_000] ^= 1;
    for bad in [&flipped, &whole[..whole.len() - 1], &[&whole[..], b"x"].concat(), &whole[..5], b"text"] {
        fs::write(fixture.at("bad"), bad).expect("write");
        let found = fixture.open("bad", "back", false);
        assert!(matches!(found, Err(EncryptFileError::Sealed { .. })));
        assert_eq!(fixture.names(), ["bad", "plain", "sealed"]);
        fs::write(fixture.at("old"), "old").expect("write");
        assert!(fixture.open("bad", "old", true).is_err());
        assert_eq!(fixture.read("old"), b"old");
        fs::remove_file(fixture.at("old")).expect("remove");
    }
}

#[test]
fn a_refusal_of_the_service_leaves_nothing() {
    let fixture = Fixture::new();
    let refuse = || Err(EncryptFileError::ReplyIncomplete { field: "plaintext" });
    let found = seal_with(
        Algorithm::Sm4,
        [1; NONCE_BYTES],
        &fixture.at("plain"),
        &fixture.at("x"),
        false,
        &Clock::system(),
        refuse,
    );
    assert!(matches!(found, Err(EncryptFileError::ReplyIncomplete { .. })));
    assert_eq!(fixture.names(), ["plain", "sealed"]);
}

#[test]
fn a_data_key_of_the_wrong_length_leaves_nothing() {
    let fixture = Fixture::new();
    let found = seal_with(
        Algorithm::Sm4,
        [1; NONCE_BYTES],
        &fixture.at("plain"),
        &fixture.at("x"),
        false,
        &Clock::system(),
        data_key,
    );
    assert!(matches!(
        found,
        Err(EncryptFileError::Sealed { cause: SealedFileError::DataKeyLength { .. }, .. })
    ));
    assert_eq!(fixture.names(), ["plain", "sealed"]);
}

#[test]
fn folders_devices_and_links_are_not_replaced() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.at("folder")).expect("folder");
    symlink(fixture.at("plain"), fixture.at("link")).expect("link");
    let names = fixture.names();
    for output in
        [fixture.at("folder"), fixture.at("link"), fixture.at("folder/.."), PathBuf::from("/dev/null")]
    {
        let found =
            open_with(&fixture.at("sealed"), &output, true, &Clock::system(), |_| Ok(data_key()?.plaintext));
        assert!(matches!(found, Err(EncryptFileError::OutputNotFile { .. })), "{}", output.display());
    }
    assert!(matches!(fixture.open("folder", "x", true), Err(EncryptFileError::Read { .. })));
    assert!(matches!(fixture.open("absent", "x", true), Err(EncryptFileError::Read { .. })));
    assert!(matches!(fixture.open("sealed", "absent/x", true), Err(EncryptFileError::Write { .. })));
    assert_eq!(fixture.names(), names);
}

#[test]
fn the_data_key_is_taken_out_of_the_reply_of_the_right_key() {
    let fixture = Fixture::new();
    let (header, _) = sealed_file::read_header(&mut fixture.read("sealed").as_slice()).expect("header");
    let mut reply = json!({"cmkUuid": CMK, "keyVersionId": "v", "plaintext": "AQID"});
    assert_eq!(*data_key_of(&mut reply, &header).expect("data key"), [1, 2, 3]);
    assert_eq!(reply["plaintext"], Value::Null);
    let mut reply = json!({"cmkUuid": "other", "plaintext": "AQID"});
    assert!(matches!(data_key_of(&mut reply, &header), Err(EncryptFileError::OtherKey { .. })));
    for bad in [json!({"cmkUuid": CMK}), json!({"cmkUuid": CMK, "plaintext": "?"}), json!([]), json!(null)] {
        let found = data_key_of(&mut bad.clone(), &header);
        assert!(matches!(found, Err(EncryptFileError::ReplyIncomplete { field: "plaintext" })), "{bad}");
    }
}
