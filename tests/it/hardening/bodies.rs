//! Bodies that are deep, wide, large or doubtful, and thousands of them at once.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::wire::{connector, ended, responses, tls};
use super::{DIGEST, Target, allow_files, attack};
use crate::ledger::figure;

const BODY_BYTES_MAX: usize = 64 * 1024;
/// Strangers with a body of the largest size, at the same time.
const STRANGERS: usize = 2000;

/// Bodies that no reader may take for something.
fn doubtful() -> Vec<String> {
    let half = BODY_BYTES_MAX / 2;
    let list = |field: &str| format!("{{\"pageSize\":{field}}}");
    let mut bodies: Vec<String> = [
        "1e400",
        "-1e400",
        "-0",
        "-0.0",
        "0.15e1",
        "1E3",
        "1.0000000001",
        "9223372036854775808",
        "18446744073709551616",
        "340282366920938463463374607431768211457",
        "01",
        "+1",
        ".1",
        "1.",
        "0x1",
        "NaN",
        "Infinity",
        "1_0",
    ]
    .into_iter()
    .map(list)
    .collect();
    bodies.push(list(&"1".repeat(60_000)));
    bodies.push(list(&format!("0.{}", "1".repeat(60_000))));
    bodies.push(list(&format!("1e{}", "1".repeat(60_000))));
    bodies.push("[".repeat(BODY_BYTES_MAX));
    bodies.push("{\"a\":".repeat(BODY_BYTES_MAX / 5));
    bodies.push(format!("{{\"a\":{}{}}}", "[".repeat(half - 10), "]".repeat(half - 10)));
    bodies.push(format!("{{\"a\":{}1{}}}", "{\"a\":".repeat(17), "}".repeat(17)));
    bodies.push(format!("{{{}}}", (0..6000).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(",")));
    bodies.push(format!("{{{}}}", vec!["\"a\":1"; 6000].join(",")));
    bodies.push("{\"pageSize\":1,\"pageSize\":1}".into());
    bodies.push("{\"pageSize\":1,\"page\\u0053ize\":1}".into());
    bodies.push("{\"x\":{\"a\":[{\"b\":1,\"b\":1}]}}".into());
    bodies.push("{\"pageSize\":1}{\"pageSize\":1}".into());
    bodies.push("{\"pageSize\":1,}".into());
    bodies.push("{'pageSize':1}".into());
    bodies.push("{\"pageSize\":1/**/}".into());
    bodies.push(format!("{{\"aliasName\":\"{}\"}}", "\\u0000".repeat(10_000)));
    bodies.push(format!("{{\"{}\":1}}{}", "a".repeat(30_000), " ".repeat(30_000) + "x"));
    bodies
}

#[test]
fn a_doubtful_body_is_refused_whoever_signs_it() {
    let target = Target::start(&[]);
    let before = target.memory("VmRSS");
    let bodies = doubtful();
    let mut accepted = Vec::new();
    for body in &bodies {
        let request = target.admin.request("/keyManage/listAliasKeys", body.as_bytes());
        let answer = target.admin.send(request);
        if answer.success().is_some() || answer.code() != "KMS.9020" {
            accepted.push(format!("{}: {answer:?}", &body[..body.len().min(60)]));
        }
    }
    figure("doubtful_bodies", format!("{} of {}", accepted.len(), bodies.len()), "accepted");
    assert!(accepted.is_empty(), "{accepted:#?}");
    assert!(target.memory("VmHWM") < before + 100);
}

#[test]
fn thousands_of_the_largest_bodies_at_once_disturb_nobody() {
    allow_files(STRANGERS as u64 + 500);
    let target = Target::start(&[
        ("YAOKU_HTTP_HEAD_SECONDS", "600"),
        ("YAOKU_HTTP_BODY_SECONDS", "600"),
        ("YAOKU_HTTP_IDLE_SECONDS", "600"),
    ]);
    let before = target.memory("VmRSS");
    let head = format!("POST /v1{DIGEST} HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY_BYTES_MAX}\r\n\r\n");
    let body = json!({"input": "x".repeat(BODY_BYTES_MAX - "{\"input\":\"\"}".len())}).to_string();
    let all_but_one = [head.as_bytes(), &body.as_bytes()[..BODY_BYTES_MAX - 1]].concat();
    target.withstands("largest_bodies", || {
        attack(async {
            let connector = connector(&[]);
            let mut held = Vec::with_capacity(STRANGERS);
            for number in 0..STRANGERS {
                let mut stream = tls(target.endpoints()[number % 2], &connector).await.unwrap();
                stream.write_all(&all_but_one).await.unwrap();
                held.push(stream);
            }
            // Now that all are there, the last byte of each.
            for stream in &mut held {
                stream.write_all(b"}").await.unwrap();
                stream.shutdown().await.unwrap();
            }
            for mut stream in held {
                let answers = responses(&ended(&mut stream, "a stranger's body").await);
                assert_eq!(answers.len(), 1);
                assert!((400..600).contains(&answers[0].status), "{answers:?}");
                assert!(answers[0].body.contains("KMS."), "{answers:?}");
            }
        });
    });
    let peak = target.memory("VmHWM");
    figure("memory_of_2000_largest_bodies", peak, &format!("MB, {before} before"));
    // The bytes themselves come to 125 MB; a client's buffers on the way may hold them twice more.
    assert!(peak < before + 500, "{peak} MB");
    // Whoever is known may send as much.
    target.admin.ok(DIGEST, json!({"input": "x".repeat(60_000)}));
}
