//! The recipe of README, run by bash as its reader types it, beside a running program.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use crate::kit::base64;
use crate::material::ALGORITHMS;
use crate::program::Home;
use crate::readme::{bash, blocks};
use crate::witness::open_frame;

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

fn run(home: &Home, lines: &str) -> String {
    bash(home, lines).unwrap_or_else(|error| panic!("{lines}\n{error}"))
}

#[test]
fn the_recipe_of_the_readme_works_as_written_for_every_choice() {
    let blocks = blocks("Bringing your own key");
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
        let told = run(&home, &format!("{chosen}{recipe}echo $token"));
        let key = home.call("describeKey", &json!({"cmkUuid": "alias/mine"}));
        assert_eq!((&key["keyState"], &key["keySpec"]), (&json!("Enabled"), &json!(named(spec))));
        let sealed = home.call("encrypt", &json!({"cmkUuid": "alias/mine", "plaintext": base64("kept")}));
        // The bytes in the reader's file open what the key encrypted.
        let material = hex::encode(fs::read(home.path("material.bin")).unwrap());
        let (account, blob) = (&home.first()["accountId"], &sealed["ciphertextBlob"]);
        assert!(open_frame(&named(spec), &material, account, blob, &json!({})).is_some());
        // What the section says afterwards, with what the reader's shell knows by then.
        let token = told.lines().last().unwrap();
        run(&home, &format!("token={token}\n{}", after.concat()));
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
