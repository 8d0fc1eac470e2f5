//! Closed-loop load: a fixed number of connections, each with one call in the air, over a few client
//! threads. Every reply is checked. Bounded in time, and where asked also in the number of calls.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use crate::client::{Connection, Endpoint};
use crate::process::{CpuTime, Server};
use crate::signature::{Request, contains};

/// A connection that failed this often stops calling.
const FAILURES_PER_CONNECTION_MAX: u64 = 100;
/// How long after the end of the window a reply may still come.
const LAST_REPLY_MAX: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(20);

/// What to send, how, and for how long.
pub struct Load {
    pub connections: usize,
    pub client_threads: usize,
    pub warm_up: Duration,
    pub measured: Duration,
    pub calls_max: Option<u32>,
    /// Text that a good reply contains.
    pub expect: &'static str,
    /// Status of a good reply.
    pub status: u16,
    /// How long a connection rests between a reply and its next call.
    pub pause: Duration,
}

/// What came back in the measured window. Failures count from the first call on.
pub struct Figures {
    pub connections: usize,
    pub calls: u64,
    pub failures: u64,
    pub first_failure: Option<String>,
    pub elapsed: Duration,
    pub p50_us: u32,
    pub p99_us: u32,
    pub max_us: u32,
    pub server_cpu: Duration,
    pub client_cpu: Duration,
    pub server_resident_bytes: u64,
}

impl Load {
    /// A load of `measured` after one second of warm-up.
    pub fn timed(
        connections: usize,
        client_threads: usize,
        measured: Duration,
        expect: &'static str,
    ) -> Self {
        Self {
            connections,
            client_threads,
            warm_up: Duration::from_secs(1),
            measured,
            calls_max: None,
            expect,
            status: 200,
            pause: Duration::ZERO,
        }
    }

    /// A load of exactly `calls`, given up after a minute.
    pub fn counted(connections: usize, client_threads: usize, calls: u32, expect: &'static str) -> Self {
        let measured = Duration::from_secs(60);
        Self {
            connections,
            client_threads,
            warm_up: Duration::ZERO,
            measured,
            calls_max: Some(calls),
            expect,
            status: 200,
            pause: Duration::ZERO,
        }
    }

    /// Sends `request` over and over to `endpoint`, which `server` answers.
    pub fn run(&self, request: &Request, endpoint: &Endpoint, server: &Server) -> Result<Figures, String> {
        self.run_each(std::slice::from_ref(request), endpoint, server)
    }

    /// Sends the requests in turn, over and over; every connection begins at another one.
    pub fn run_each(
        &self,
        requests: &[Request],
        endpoint: &Endpoint,
        server: &Server,
    ) -> Result<Figures, String> {
        let run = Arc::new(Run {
            endpoint: endpoint.clone(),
            expect: self.expect,
            status: self.status,
            pause: self.pause,
            connected: AtomicUsize::new(0),
            tickets: AtomicI64::new(self.calls_max.map_or(i64::MAX, i64::from)),
            window: OnceLock::new(),
        });
        let threads = self.client_threads.min(self.connections);
        let barrier = Arc::new(Barrier::new(threads + 1));
        let clients: Vec<JoinHandle<Tally>> = (0..threads)
            .map(|thread| {
                let connections =
                    self.connections / threads + usize::from(thread < self.connections % threads);
                let (run, barrier, requests) = (run.clone(), barrier.clone(), requests.to_vec());
                thread::spawn(move || client_thread(&run, &barrier, connections, &requests))
            })
            .collect();
        barrier.wait(); // every connection stands
        let start = Instant::now() + self.warm_up;
        let window = *run.window.get_or_init(|| Window { start, end: start + self.measured });
        barrier.wait(); // and may call

        thread::sleep(window.start.saturating_duration_since(Instant::now()));
        let (server_before, client_before) = (server.cpu()?, CpuTime::own()?);
        while Instant::now() < window.end && !clients.iter().all(JoinHandle::is_finished) {
            thread::sleep(window.end.saturating_duration_since(Instant::now()).min(POLL));
        }
        let (server_after, client_after) = (server.cpu()?, CpuTime::own()?);
        let server_resident_bytes = server.resident_bytes()?;

        let tally = Tally::of(clients)?;
        let last_reply = tally.last_reply.unwrap_or(window.end).saturating_duration_since(window.start);
        Ok(Figures {
            connections: self.connections,
            calls: tally.latencies_us.len() as u64,
            failures: tally.failures,
            elapsed: if self.calls_max.is_some() { last_reply } else { self.measured },
            p50_us: tally.latency_us(50),
            p99_us: tally.latency_us(99),
            max_us: tally.latency_us(100),
            first_failure: tally.first_failure,
            server_cpu: server_after.since(server_before),
            client_cpu: client_after.since(client_before),
            server_resident_bytes,
        })
    }
}

impl Figures {
    pub fn calls_per_second(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    pub fn server_cpu_us(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.calls.max(1) as f64
    }

    pub fn client_cpu_us(&self) -> f64 {
        self.client_cpu.as_secs_f64() * 1e6 / self.calls.max(1) as f64
    }

    /// Wall time of one call where only one is in the air.
    pub fn us_per_call(&self) -> f64 {
        self.elapsed.as_secs_f64() * 1e6 / self.calls.max(1) as f64
    }
}

#[derive(Clone, Copy)]
struct Window {
    start: Instant,
    end: Instant,
}

/// What the connections of one run share.
struct Run {
    endpoint: Endpoint,
    expect: &'static str,
    status: u16,
    pause: Duration,
    connected: AtomicUsize,
    tickets: AtomicI64,
    window: OnceLock<Window>,
}

#[derive(Default)]
struct Tally {
    latencies_us: Vec<u32>,
    failures: u64,
    first_failure: Option<String>,
    last_reply: Option<Instant>,
}

impl Tally {
    /// All client threads together, the latencies sorted.
    fn of(clients: Vec<JoinHandle<Self>>) -> Result<Self, String> {
        let mut tally = Self::default();
        for client in clients {
            tally.add(client.join().map_err(|_| "a client thread panicked".to_owned())?);
        }
        tally.latencies_us.sort_unstable();
        Ok(tally)
    }

    fn fail(&mut self, cause: impl FnOnce() -> String) {
        self.failures += 1;
        self.first_failure.get_or_insert_with(cause);
    }

    fn add(&mut self, other: Self) {
        self.latencies_us.extend(other.latencies_us);
        self.failures += other.failures;
        self.first_failure = self.first_failure.take().or(other.first_failure);
        self.last_reply = self.last_reply.max(other.last_reply);
    }

    /// Of sorted latencies, the one that `percent` of the calls did not exceed.
    fn latency_us(&self, percent: usize) -> u32 {
        let rank = (self.latencies_us.len() * percent).div_ceil(100);
        self.latencies_us.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }
}

/// Connects one by one, so that a handshake storm is no part of the measurement, then calls in parallel.
fn client_thread(run: &Arc<Run>, barrier: &Barrier, connections: usize, requests: &[Request]) -> Tally {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs only file descriptors");
    let mut tally = Tally::default();
    let mut connected = Vec::with_capacity(connections);
    runtime.block_on(async {
        for _ in 0..connections {
            match run.endpoint.connect().await {
                Ok(connection) => connected.push(connection),
                Err(error) => {
                    tally.fail(|| format!("connect: {error}"));
                    break;
                }
            }
        }
    });
    barrier.wait();
    barrier.wait();
    runtime.block_on(async {
        let calling: Vec<_> = connected
            .into_iter()
            .map(|connection| tokio::spawn(connection_task(run.clone(), connection, requests.to_vec())))
            .collect();
        for task in calling {
            match task.await {
                Ok(of_connection) => tally.add(of_connection),
                Err(error) => tally.fail(|| error.to_string()),
            }
        }
    });
    tally
}

async fn connection_task(run: Arc<Run>, connection: Connection, mut requests: Vec<Request>) -> Tally {
    let window = *run.window.get().expect("set between the two barriers");
    let mut tally = Tally::default();
    let limit = tokio::time::Instant::from_std(window.end + LAST_REPLY_MAX);
    if tokio::time::timeout_at(limit, drive(&run, window, connection, &mut requests, &mut tally))
        .await
        .is_err()
    {
        tally.fail(|| "a call without a reply at the end of the run".to_owned());
    }
    tally
}

async fn drive(
    run: &Run,
    window: Window,
    mut connection: Connection,
    requests: &mut [Request],
    tally: &mut Tally,
) {
    let mut next = run.connected.fetch_add(1, Ordering::Relaxed) * 7;
    while tally.failures < FAILURES_PER_CONNECTION_MAX {
        let sent = Instant::now();
        if sent >= window.end || run.tickets.fetch_sub(1, Ordering::Relaxed) <= 0 {
            return;
        }
        let turn = next % requests.len();
        let request = &mut requests[turn];
        next += 1;
        request.sign(SystemTime::now());
        match connection.call(request.bytes()).await {
            Ok(reply) if reply.status == run.status && contains(reply.body, run.expect.as_bytes()) => {
                let received = Instant::now();
                if received >= window.start && received < window.end {
                    tally.latencies_us.push((received - sent).as_micros().try_into().unwrap_or(u32::MAX));
                    tally.last_reply = Some(received);
                }
                if !run.pause.is_zero() {
                    tokio::time::sleep(run.pause).await;
                }
            }
            Ok(reply) => tally.fail(|| reply.excerpt()),
            Err(error) => {
                tally.fail(|| format!("call: {error}"));
                match run.endpoint.connect().await {
                    Ok(fresh) => connection = fresh,
                    Err(error) => return tally.fail(|| format!("connect again: {error}")),
                }
            }
        }
    }
}
