//! The processes that are measured, and what the kernel says about them. A server is killed when its
//! value is dropped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

const READY_MAX: Duration = Duration::from_secs(30);
const STOP_MAX: Duration = Duration::from_secs(20);
/// Processor time in /proc is counted in hundredths of a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// A child that has said `"event":"ready"` on its standard output.
pub struct Server {
    child: Child,
    /// From the start of the process to its ready line.
    pub ready_after: Duration,
}

impl Server {
    /// Starts `command` and returns it with its ready line. Its standard input stays open until the drop.
    pub fn start(command: &mut Command) -> Result<(Self, Value), String> {
        let begun = Instant::now();
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        let mut server = Self { child, ready_after: Duration::ZERO };
        let output = server.child.stdout.take().expect("standard output is piped");
        let (send, receive) = mpsc::sync_channel(1);
        // Reads on to the end, so that the child never waits for its own output.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let line = serde_json::from_str::<Value>(&line).unwrap_or_default();
                if line["event"] == "ready" {
                    let _ = send.try_send(line);
                }
            }
        });
        let ready = receive.recv_timeout(READY_MAX).map_err(|_| format!("{name} did not become ready"))?;
        server.ready_after = begun.elapsed();
        Ok((server, ready))
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(mut self) -> Result<ExitStatus, String> {
        let kill = format!("kill -TERM {}", self.child.id());
        let asked =
            Command::new("sh").args(["-c", &kill]).status().map_err(|error| format!("sh: {error}"))?;
        if !asked.success() {
            return Err(format!("{kill}: {asked}"));
        }
        let give_up = Instant::now() + STOP_MAX;
        while Instant::now() < give_up {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err(format!("the server did not stop within {STOP_MAX:?}"))
    }

    pub fn cpu(&self) -> Result<CpuTime, String> {
        CpuTime::read(&format!("/proc/{}/stat", self.child.id()))
    }

    pub fn resident_bytes(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        kilobytes.map(|kilobytes| kilobytes * 1024).ok_or_else(|| format!("{path} has no VmRSS"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of a process, all its threads together.
#[derive(Clone, Copy)]
pub struct CpuTime(Duration);

impl CpuTime {
    pub fn own() -> Result<Self, String> {
        Self::read("/proc/self/stat")
    }

    pub fn since(self, before: Self) -> Duration {
        self.0.saturating_sub(before.0)
    }

    /// Fields 14 and 15. The name in field 2 may hold blanks, so counting begins behind its bracket.
    fn read(path: &str) -> Result<Self, String> {
        let stat = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: Vec<u32> =
            behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
        match ticks.as_slice() {
            [user, system] => Ok(Self(TICK * *user + TICK * *system)),
            _ => Err(format!("{path} has an unknown form")),
        }
    }
}
