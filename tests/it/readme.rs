//! Sections of README, run by bash as their readers type them, beside the real program.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;

use crate::program::{Home, error, finish};

/// The code of a section, block by block.
pub fn blocks(title: &str) -> Vec<String> {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once(&format!("\n### {title}\n")).expect("README has the section");
    let section = section.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
    let code = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    code.collect()
}

fn section(title: &str) -> String {
    blocks(title).concat()
}

/// What lines print in the folder of a running program, which lies where README says; the first that fails ends them. A call
/// that is told to come again does so.
pub fn bash(home: &Home, lines: &str) -> Result<String, String> {
    let program = home.command(&[]);
    let place = home.path("target/release/yaoku");
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    let again = "do code=$?; [ $code = 5 ] || exit $code; sleep 0.2; done";
    let script = format!("#!/bin/bash\nuntil '{}' \"$@\"; {again}\n", program.get_program().display());
    fs::write(&place, script).unwrap();
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).unwrap();
    let mut shell = Command::new("bash");
    shell.args(["-euo", "pipefail", "-c", lines]).current_dir(home.folder.path());
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let output = finish(shell, b"");
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(error(&output)),
    }
}

#[test]
fn signing_and_verifying_works_as_written() {
    let home = Home::new();
    let (_program, _) = home.serve();
    fs::write(home.path("photo.bin"), vec![0x5A; 3_000_000]).unwrap();
    let told = bash(&home, &section("Signing and verifying")).unwrap();
    assert!(told.contains("Verified OK\n"), "{told}");
    assert!(told.contains("Signature Verified Successfully\n"), "{told}");
    assert!(told.ends_with("true\n"), "{told}");
    fs::write(home.path("photo.bin"), b"another").unwrap();
    let verify: Vec<String> = section("Signing and verifying")
        .replace("\\\n", " ")
        .lines()
        .filter(|line| line.starts_with("openssl"))
        .map(str::to_owned)
        .collect();
    assert_eq!(verify.len(), 2);
    for line in verify {
        assert!(bash(&home, &line).is_err(), "{line}: another file");
    }
}

#[test]
fn encrypting_with_a_key_pair_works_as_written() {
    let home = Home::new();
    let (_program, _) = home.serve();
    let told = bash(&home, &section("Encrypting with a key pair")).unwrap();
    assert!(told.ends_with("secret"), "{told}");
}

#[test]
fn deleting_a_key_works_as_written() {
    let home = Home::new();
    let (_program, _) = home.serve();
    let told = bash(&home, &section("Deleting a key")).unwrap();
    assert!(told.contains("PendingDeletion") && told.contains("\"destroyedKeys\""), "{told}");
    let key = home.call("describeKey", &json!({"cmkUuid": "alias/old"}));
    assert_eq!((&key["keyState"], &key["deletionProtection"]), (&json!("Enabled"), &json!("Disabled")));
}

#[test]
fn exporting_a_data_key_works_as_written() {
    let home = Home::new();
    let (_program, _) = home.serve();
    bash(&home, "./target/release/yaoku call createKey --field aliasName=alias/demo").unwrap();
    let told = bash(&home, &section("Exporting data keys")).unwrap();
    assert!(told.ends_with("identical\n"), "{told}");
}

#[test]
fn finding_out_who_uses_a_key_works_as_written() {
    let home = Home::new();
    let (_program, _) = home.serve();
    bash(&home, "./target/release/yaoku call createKey --field aliasName=alias/demo").unwrap();
    let told = bash(&home, &section("Before you disable a key")).unwrap();
    for word in ["\"rehearsed\"", "UseRehearsed", "refused\n", "\"refused\"", "UseRefused", "\"rehearsal\""] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let key = home.call("describeKey", &json!({"cmkUuid": "alias/demo"}));
    let outcomes: Vec<_> = key["attempts"].as_array().unwrap().iter().map(|it| &it["count"]).collect();
    assert_eq!(outcomes, [1, 1], "{key}");
    assert_eq!((&key["keyState"], &key["rehearsal"]), (&json!("Enabled"), &json!(false)));
}

#[test]
fn rotating_a_key_works_as_written() {
    let home = Home::new();
    let (_program, _) = home.serve();
    bash(&home, "./target/release/yaoku call createKey --field aliasName=alias/demo").unwrap();
    bash(&home, &section("Rotating keys")).unwrap();
    for (alias, rotates) in [("alias/orders", "Enabled"), ("alias/demo", "Disabled")] {
        let key = home.call("describeKey", &json!({"cmkUuid": alias}));
        assert_eq!(key["automaticRotation"], rotates, "{key}");
    }
}

/// Weeks in a minute: rotation, deletion and the end of material, in the order that README tells.
#[test]
fn a_demo_works_as_written() {
    let home = Home::at("show");
    let [first, make, pass] = <[String; 3]>::try_from(blocks("A demo: weeks in a minute")).unwrap();
    let (init, serve) = first.trim().split_once('\n').unwrap();
    assert_eq!(serve, "./target/release/yaoku serve --data show");
    bash(&home, init).unwrap();
    let (_program, _) = home.serve_by(home.command(&["serve", "--data", "show"]));
    bash(&home, &make).unwrap();
    let told = bash(&home, &pass).unwrap();
    let lines: Vec<&str> = told.lines().filter(|line| !line.starts_with([' ', '{', '}'])).collect();
    assert_eq!(lines, ["2", "true", "Enabled", "PendingImport"], "{told}");
    // The end was asked for in days from a moment that passed before the time was moved.
    let recorded = |offset: &&str| told.contains(&format!("\"demoOffset\": {offset}"));
    assert!(["863", "864"].iter().any(recorded), "the record of the end: {told}");
}

/// The address is that of the test's service; the profile lies in the test's folder.
#[test]
fn what_a_cloud_product_does_works_as_written() {
    let home = Home::new();
    let (_program, ready) = home.serve();
    let lines = section("Cloud products");
    let written = "https://127.0.0.1:8443";
    assert_eq!(lines.matches(written).count(), 1);
    let lines = lines.replace(written, ready["openapi"].as_str().unwrap());
    let told = bash(&home, &format!("export XDG_CONFIG_HOME=$PWD/settings\n{lines}")).unwrap();
    assert!(told.ends_with("database\n"), "{told}");
    assert_eq!(fs::read(home.path("disk.clear")).unwrap().len(), 32);
    let found = home.call("detectAssociation", &json!({"cmkUuid": "alias_ecs"}));
    assert_eq!(
        (&found["totalCount"], &found["associations"][0]["resourceId"]),
        (&json!(1), &json!("disk-7f3a"))
    );
    let made = home.call("listProductCredential", &json!({}));
    assert_eq!(made["totalCount"], 1, "one credential for both calls");
}
