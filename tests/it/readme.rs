//! Sections of README, run by bash as their readers type them, beside the real program.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::program::{Home, error, finish};

/// The code of a section, one text.
fn section(title: &str) -> String {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once(&format!("\n### {title}\n")).expect("README has the section");
    let section = section.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
    section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap()).collect()
}

/// What lines print in the folder of a running program, which lies where README says; the first that fails ends them.
fn bash(home: &Home, lines: &str) -> Result<String, String> {
    let program = home.command(&[]);
    let place = home.path("target/release/yaoku");
    if !place.exists() {
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        symlink(program.get_program(), place).unwrap();
    }
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
