//! The client in `examples/python`, run against the real program as a reader of README runs it.

use std::process::Command;

use serde_json::Value;

use crate::program::{Home, finish};

const TOUR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/python/tour.py");

/// The tour on a service that answers in this form.
fn tour(variables: &[(&str, &str)]) -> String {
    let home = Home::new();
    let mut serve = home.command(&["serve"]);
    serve.envs(variables.iter().copied());
    let (_program, ready) = home.serve_by(serve);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut command = Command::new("python3");
    command.args(["-B", TOUR, "--endpoint", &text(&ready["openapi"])]);
    command.args(["--access-point", &text(&ready["accessPoint"])]);
    command.arg("--ca").arg(home.data.join("tls/ca.pem"));
    command.arg("--credential").arg(home.data.join("first-run.json"));
    let output = finish(command, b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_python_client_tours_both_planes() {
    let printed = tour(&[]);
    for who in ["person", "application"] {
        let lines: Vec<&str> = printed.lines().filter(|line| line.starts_with(who)).collect();
        assert_eq!(lines.len(), 5, "{printed}");
        assert!(lines[0].contains("AES_256 Enabled") && lines[2].contains("8000000 bytes"), "{printed}");
        assert!(lines[3].contains("KMS.9010") && lines[4].contains("KMS.9028"), "{printed}");
    }
}

/// The same client reads every form that the settings can give answers.
#[test]
fn the_python_client_reads_the_other_forms_of_answers() {
    for variables in [[("YAOKU_OPENAPI_ENVELOPE", "bare")], [("YAOKU_OPENAPI_HTTP_STATUS", "rest")]] {
        assert_eq!(tour(&variables).lines().count(), 10);
    }
}
