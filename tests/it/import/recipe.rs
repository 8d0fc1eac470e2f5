//! The recipe of README, run by bash as its reader types it, beside a running program.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::json;

use crate::kit::base64;
use crate::material::ALGORITHMS;
use crate::program::{Home, error, finish};
use crate::witness::open_frame;

/// The code of README's section, block by block.
fn blocks() -> Vec<String> {
    let readme = include_str!("../../../README.md");
    let (_, section) = readme.split_once("\n### Bringing your own key\n").expect("README has the section");
    let section = section.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
    let code = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap().to_owned());
    code.collect()
}

/// The choices that begin so, as the recipe lists them: the first is made, the others are comments.
fn choices(recipe: &str, name: &str) -> Vec<String> {
    let lines = recipe.lines().map(|line| line.trim_start_matches("# "));
    lines.filter(|line| line.starts_with(name)).map(str::to_owned).collect()
}

/// The recipe with another choice made.
fn choose(recipe: &str, name: &str, choice: &str) -> String {
    let line = |line: &str| match line.trim_start_matches("# ") {
        chosen if chosen == choice => chosen.to_owned(),
        other if other.starts_with(name) => format!("# {other}"),
        _ => line.to_owned(),
    };
    recipe.lines().map(|text| line(text) + "\n").collect()
}

/// Runs lines in the folder of a program, which lies where README says. A call that is told to come again does so.
fn bash(home: &Home, lines: &str) -> String {
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
    assert!(output.status.success(), "{lines}\n{}", error(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_recipe_of_the_readme_works_as_written_for_every_choice() {
    let blocks = blocks();
    let [choice, recipe, after @ ..] = &blocks[..] else { panic!("choices and recipe expected: {blocks:?}") };
    let (specs, algorithms) = (choices(choice, "spec="), choices(choice, "algorithm="));
    let names = |lines: &[String]| -> BTreeSet<String> { lines.iter().map(|line| named(line)).collect() };
    assert_eq!(names(&specs), ["AES_256", "Ctyun_SM4"].map(String::from).into());
    assert_eq!(names(&algorithms), ALGORITHMS.map(String::from).into());
    let home = Home::new();
    let (_program, _) = home.serve();
    let mut as_written = 0;
    for (spec, algorithm) in specs.iter().flat_map(|spec| algorithms.iter().map(move |other| (spec, other))) {
        let chosen = choose(&choose(choice, "spec=", spec), "algorithm=", algorithm);
        as_written += usize::from(chosen == *choice);
        let told = bash(&home, &format!("{chosen}{recipe}echo $token"));
        let key = home.call("describeKey", &json!({"cmkUuid": "alias/mine"}));
        assert_eq!((&key["keyState"], &key["keySpec"]), (&json!("Enabled"), &json!(named(spec))));
        let sealed = home.call("encrypt", &json!({"cmkUuid": "alias/mine", "plaintext": base64("kept")}));
        // The bytes in the reader's file open what the key encrypted.
        let material = hex::encode(fs::read(home.path("material.bin")).unwrap());
        let (account, blob) = (&home.first()["accountId"], &sealed["ciphertextBlob"]);
        assert!(open_frame(&named(spec), &material, account, blob, &json!({})).is_some());
        // What the section says afterwards, with what the reader's shell knows by then.
        let token = told.lines().last().unwrap();
        bash(&home, &format!("token={token}\n{}", after.concat()));
        let opened = home.call("decrypt", &json!({"ciphertextBlob": blob}));
        assert_eq!(opened["plaintext"], base64("kept"), "deleted and brought again");
        let key = home.call("describeKey", &json!({"cmkUuid": "alias/mine"}));
        assert_ne!(key["materialExpireTime"], "", "and it expires now");
        home.call("deleteAlias", &json!({"aliasName": "alias/mine"}));
    }
    assert_eq!(as_written, 1, "one choice is the one that README makes");
}

/// What a line of choices sets its first name to.
fn named(line: &str) -> String {
    line.split([' ', '=']).nth(1).unwrap().to_owned()
}
