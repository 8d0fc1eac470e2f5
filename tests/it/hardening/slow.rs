//! Clients who take their time, or all of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Barrier;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::wire::{PATIENCE, connector, ended, exchange, tcp, tls};
use super::{Target, allow_files, attack};
use crate::ledger::figure;

/// Between two bytes.
const DRIP: Duration = Duration::from_millis(200);
/// Connections of each kind at the same time.
const EACH: usize = 20;
const LIVE: &[u8] = b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n";

/// One way to be slow.
#[derive(Debug, Clone, Copy)]
enum Slow {
    /// A connection, and nothing else.
    Silence,
    /// A TLS handshake, byte by byte.
    Handshake,
    /// A TLS handshake, and nothing else.
    SilenceInTls,
    /// A head, byte by byte.
    Head,
    /// A request, then another head, byte by byte.
    SecondHead,
    /// A body of a known length, byte by byte.
    Body,
    /// A body in chunks of one byte.
    Chunks,
    /// Chunks without an end, at full speed.
    EndlessChunks,
    /// Trailers without an end.
    Trailers,
    /// Asks whether it may send a body, and never does.
    Expect,
    /// Asks for pages and reads none.
    NeverReads,
    /// Asks for one page, then nothing.
    Idle,
}

const ALL: [Slow; 12] = [
    Slow::Silence,
    Slow::Handshake,
    Slow::SilenceInTls,
    Slow::Head,
    Slow::SecondHead,
    Slow::Body,
    Slow::Chunks,
    Slow::EndlessChunks,
    Slow::Trailers,
    Slow::Expect,
    Slow::NeverReads,
    Slow::Idle,
];

trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// Behaves so until the server ends the connection.
async fn endure(slow: Slow, endpoint: &str, connector: &TlsConnector) {
    let post = |rest: &str| format!("POST /v1/none HTTP/1.1\r\nHost: a\r\n{rest}\r\n").into_bytes();
    let (first, repeated, pause): (Vec<u8>, &[u8], _) = match slow {
        Slow::Silence | Slow::SilenceInTls => (Vec::new(), b"", None),
        // A record of the handshake, which says that 512 bytes follow.
        Slow::Handshake => (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), b"\x00", Some(DRIP)),
        Slow::Head => (b"POST /v1/none HTTP/1.1\r\nHost: a\r\nX: ".to_vec(), b"x", Some(DRIP)),
        Slow::SecondHead => ([LIVE, b"POST /v1/none HTTP/1.1\r\nX: "].concat(), b"x", Some(DRIP)),
        Slow::Body => (post("Content-Length: 60000\r\n"), b"x", Some(DRIP)),
        Slow::Chunks => (post("Transfer-Encoding: chunked\r\n"), b"1\r\nx\r\n", Some(DRIP)),
        Slow::EndlessChunks => {
            (post("Transfer-Encoding: chunked\r\n"), b"4\r\nabcd\r\n", Some(Duration::ZERO))
        }
        Slow::Trailers => {
            let head = post("Transfer-Encoding: chunked\r\n");
            ([&head, b"0\r\n".as_slice()].concat(), b"X: y\r\n", Some(DRIP))
        }
        Slow::Expect => (post("Content-Length: 10\r\nExpect: 100-continue\r\n"), b"", None),
        Slow::NeverReads => (Vec::new(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(Duration::ZERO)),
        Slow::Idle => (LIVE.to_vec(), b"", None),
    };
    let mut stream: Pin<Box<dyn Stream>> = match slow {
        Slow::Silence | Slow::Handshake => Box::pin(tcp(endpoint).await),
        _ => Box::pin(tls(endpoint, connector).await.unwrap()),
    };
    let _ = stream.write_all(&first).await;
    if let Some(pause) = pause {
        let dripping = async {
            while stream.write_all(repeated).await.is_ok() && stream.flush().await.is_ok() {
                sleep(pause).await;
            }
        };
        // A write fails some time after the server has hung up.
        timeout(PATIENCE, dripping).await.unwrap_or_else(|_| panic!("{slow:?} is still served"));
    } else {
        ended(&mut stream, &format!("{slow:?}")).await;
    }
}

#[test]
fn whoever_is_slow_is_ended_and_disturbs_nobody() {
    // Short, but not so short that a client who behaves is late on a busy machine.
    let target = Target::start(&[
        ("YAOKU_HTTP_HEAD_SECONDS", "3"),
        ("YAOKU_HTTP_BODY_SECONDS", "3"),
        ("YAOKU_HTTP_IDLE_SECONDS", "3"),
    ]);
    let before = target.memory("VmRSS");
    target.withstands("slow_clients", || {
        attack(async {
            let connector = connector(&[]);
            let mut running = tokio::task::JoinSet::new();
            for slow in ALL {
                for number in 0..EACH {
                    let endpoint = target.endpoints()[number % 2].to_owned();
                    let connector = connector.clone();
                    running.spawn(async move { endure(slow, &endpoint, &connector).await });
                }
            }
            while let Some(one) = running.join_next().await {
                one.unwrap();
            }
        });
    });
    figure("slow_clients_ended", ALL.len() * EACH, "connections");
    figure("memory_under_slow_clients", target.memory("VmHWM"), &format!("MB, {before} before"));
}

#[test]
fn whoever_stops_sending_still_gets_the_answer() {
    let target = Target::start(&[]);
    attack(async {
        for endpoint in target.endpoints() {
            let answers = exchange(endpoint, &connector(&[]), LIVE, "half-closed").await;
            assert_eq!(answers.len(), 1);
            assert_eq!((answers[0].status, answers[0].body.as_str()), (200, r#"{"status":"live"}"#));
        }
    });
}

/// The worst case: limits so long that all of them stay.
#[test]
fn five_thousand_idle_connections_disturb_nobody() {
    const CONNECTIONS: usize = 5000;
    allow_files(CONNECTIONS as u64 + 500);
    let target = Target::start(&[
        ("YAOKU_HTTP_HEAD_SECONDS", "600"),
        ("YAOKU_HTTP_BODY_SECONDS", "600"),
        ("YAOKU_HTTP_IDLE_SECONDS", "600"),
    ]);
    let before = target.memory("VmRSS");
    let resident = target.withstands("5000_idle", || {
        attack(async {
            let connector = connector(&[]);
            let mut held: Vec<Pin<Box<dyn Stream>>> = Vec::with_capacity(CONNECTIONS);
            for number in 0..CONNECTIONS {
                let endpoint = target.endpoints()[number % 2];
                held.push(match number / 2 % 8 {
                    // A few hundred unfinished handshakes are all that some servers bear.
                    0 => Box::pin(tcp(endpoint).await),
                    kind => {
                        let mut stream = tls(endpoint, &connector).await.unwrap();
                        match kind {
                            1 => stream.write_all(b"POST /v1/none HT").await.unwrap(),
                            2 => stream.write_all(LIVE).await.unwrap(),
                            3 => {
                                let head = "POST /v1/none HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";
                                stream.write_all(head.as_bytes()).await.unwrap();
                            }
                            _ => {}
                        }
                        Box::pin(stream)
                    }
                });
            }
            // All of them are there, and the probes go on for a while.
            sleep(Duration::from_secs(2)).await;
            let resident = target.memory("VmRSS");
            for stream in &mut held {
                assert!(!is_closed(stream).await, "it was ended although there is room");
            }
            resident
        })
    });
    figure("memory_of_5000_idle_connections", resident, &format!("MB, {before} before"));
    assert!(resident < 1000, "{resident} MB");
}

/// Whether the server has ended the connection already.
async fn is_closed(stream: &mut Pin<Box<dyn Stream>>) -> bool {
    use tokio::io::AsyncReadExt as _;
    let mut buffer = [0; 1024];
    loop {
        match timeout(Duration::from_micros(100), stream.read(&mut buffer)).await {
            Err(_) => return false,
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
        }
    }
}

/// Twice as many strangers as there are places, again and again.
#[test]
fn when_all_places_are_taken_strangers_give_way_and_customers_stay() {
    const STRANGERS: usize = 256;
    const ROUNDS: usize = 5;
    const ARRIVE_EVERY: Duration = Duration::from_millis(4);
    let target = Target::start(&[
        ("YAOKU_HTTP_CONNECTIONS_MAX", "64"),
        ("YAOKU_HTTP_HEAD_SECONDS", "600"),
        ("YAOKU_HTTP_IDLE_SECONDS", "600"),
    ]);
    let ended = target.withstands("full_house", || {
        attack(async {
            let (connector, all) = (connector(&[]), Arc::new(Barrier::new(STRANGERS)));
            let mut running = tokio::task::JoinSet::new();
            for number in 0..STRANGERS {
                let endpoint = target.endpoints()[number % 2].to_owned();
                let (connector, all) = (connector.clone(), Arc::clone(&all));
                running.spawn(async move {
                    let mut ended = 0;
                    for _ in 0..ROUNDS {
                        // One after the other: nobody is safe from as many newcomers as there are places within its handshake.
                        sleep(ARRIVE_EVERY * u32::try_from(number).unwrap()).await;
                        let stream = tls(&endpoint, &connector).await;
                        all.wait().await;
                        ended += match stream {
                            Ok(mut stream) => {
                                let _ = stream.write_all(LIVE).await;
                                let mut stream: Pin<Box<dyn Stream>> = Box::pin(stream);
                                sleep(Duration::from_millis(300)).await;
                                usize::from(is_closed(&mut stream).await)
                            }
                            Err(_) => 1,
                        };
                    }
                    ended
                });
            }
            running.join_all().await.into_iter().sum::<usize>()
        })
    });
    figure("strangers_who_gave_way", format!("{ended} of {}", STRANGERS * ROUNDS), "connections");
    assert!(ended >= STRANGERS * ROUNDS / 4, "{ended}: they were never too many");
}
