//! Heads that are too much: by number, by length, without an end.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::wire::{PATIENCE, connector, ended, responses, tls};
use super::{Target, attack};
use crate::ledger::figure;

/// Connections of each kind, on each plane.
const EACH: usize = 20;
/// A client could have all places filled with half a head: it may not come to more than this for each.
const MEGABYTES_MORE: u64 = 300;

/// A name, and a head that is refused.
fn floods() -> Vec<(&'static str, Vec<u8>)> {
    let head = |lines: String| format!("POST /v1/none HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();
    let lines =
        |count: usize, value: &str| (0..count).map(|n| format!("X-{n}: {value}\r\n")).collect::<String>();
    vec![
        ("10,000 headers", head(lines(10_000, "y"))),
        ("97 headers", head(lines(97, "y"))),
        ("10,000 times the same", head("X: y\r\n".repeat(10_000))),
        ("10,000 headers without a value", head("X:\r\n".repeat(10_000))),
        ("1,000 headers of 1,000 bytes", head(lines(1000, &"y".repeat(1000)))),
        ("a value of 1 MB", head(format!("X: {}\r\n", "y".repeat(1 << 20)))),
        ("a name of 1 MB", head(format!("{}: y\r\n", "X".repeat(1 << 20)))),
        ("a name of 70,000 bytes", head(format!("{}: y\r\n", "X".repeat(70_000)))),
        (
            "a target of 1 MB",
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(1 << 20)).into_bytes(),
        ),
        (
            "a query of 1 MB",
            format!("GET /?{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(1 << 20)).into_bytes(),
        ),
        ("a method of 1 MB", format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", "A".repeat(1 << 20)).into_bytes()),
    ]
}

#[test]
fn a_flood_of_headers_is_refused_in_bounded_memory() {
    let target = Target::start(&[]);
    let (before, floods) = (target.memory("VmRSS"), floods());
    target.withstands("header_floods", || {
        attack(async {
            let connector = connector(&[]);
            let mut running = tokio::task::JoinSet::new();
            for (name, head) in &floods {
                for number in 0..2 * EACH {
                    let (name, head, connector) = (*name, head.clone(), connector.clone());
                    let endpoint = target.endpoints()[number % 2].to_owned();
                    running.spawn(async move {
                        let mut stream = tls(&endpoint, &connector).await.unwrap();
                        // It may hang up before it has everything, and then its answer may be lost.
                        let _ = timeout(PATIENCE, stream.write_all(&head)).await.expect(name);
                        let answers = responses(&ended(&mut stream, name).await);
                        assert!(answers.len() <= 1, "{name}: {answers:?}");
                        let refused = |status: u16| (400..500).contains(&status);
                        assert!(answers.iter().all(|answer| refused(answer.status)), "{name}: {answers:?}");
                        answers.len()
                    });
                }
            }
            let told: usize = running.join_all().await.into_iter().sum();
            figure(
                "header_floods",
                floods.len() * 2 * EACH,
                &format!("refused, {told} of them by an answer"),
            );
            assert!(told > 0, "none was answered");
        });
    });
    let peak = target.memory("VmHWM");
    figure("memory_under_header_floods", peak, &format!("MB, {before} before"));
    assert!(peak < before + MEGABYTES_MORE, "{peak} MB");
}

#[test]
fn a_head_without_an_end_is_cut_off() {
    let target = Target::start(&[("YAOKU_HTTP_HEAD_SECONDS", "2")]);
    attack(async {
        let connector = connector(&[]);
        for (first, repeated) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n", "X: y\r\n".repeat(1000)),
            ("GET / HTTP/1.1\r\nX: ", "y".repeat(10_000)),
            ("GET /", "a".repeat(10_000)),
            ("", "\r\n".repeat(5000)),
            ("", "\n".repeat(5000)),
            ("", "\0".repeat(5000)),
        ] {
            let mut stream = tls(&target.admin.endpoint, &connector).await.unwrap();
            let endless = async {
                let _ = stream.write_all(first.as_bytes()).await;
                while stream.write_all(repeated.as_bytes()).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            assert!(timeout(PATIENCE, endless).await.is_ok(), "{first:?} {:?} goes on", &repeated[..2]);
        }
    });
    assert!(target.memory("VmHWM") < 300);
}
