//! The real program in its own folder, started as its users start it; killed with the test. Free ports, and none of the
//! settings of the one who runs the tests.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::kit::{poll, temporary};

/// How long a program may take to its next line, on a busy machine.
const LINE_TIMEOUT: Duration = Duration::from_secs(60);

/// A folder with the data directory of one appliance and whatever a test writes beside it.
pub struct Home {
    pub folder: TempDir,
    pub data: PathBuf,
}

impl Home {
    pub fn new() -> Self {
        Self::at("data")
    }

    pub fn at(data: &str) -> Self {
        let folder = temporary();
        let data = folder.path().join(data);
        Self { folder, data }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program in this folder, without the settings of the one who runs the tests.
    pub fn plain(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yaoku"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_bytes().starts_with(b"YAOKU_")) {
            command.env_remove(name);
        }
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    /// The program with this data directory and ports of the system's choice.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.plain(arguments);
        command
            .env("YAOKU_DATA", &self.data)
            .env("YAOKU_OPENAPI_LISTEN", "127.0.0.1:0")
            .env("YAOKU_ACCESS_POINT_LISTEN", "127.0.0.1:0");
        command
    }

    /// Runs a command that ends by itself.
    pub fn run(&self, arguments: &[&str]) -> Output {
        finish(self.command(arguments), b"")
    }

    /// Starts the service and waits until it is ready.
    pub fn serve(&self) -> (Program, Value) {
        self.serve_by(self.command(&["serve"]))
    }

    /// Starts the service by a changed command and waits until it is ready.
    pub fn serve_by(&self, command: Command) -> (Program, Value) {
        let program = Program::start(command);
        match program.line() {
            Some(line) => (program, serde_json::from_str(&line).unwrap()),
            None => panic!("it ended: {}", program.end().stderr),
        }
    }

    /// What the first start wrote down.
    pub fn first(&self) -> Value {
        serde_json::from_slice(&fs::read(self.data.join("first-run.json")).unwrap()).unwrap()
    }

    /// Calls an operation of the running service that must succeed.
    pub fn call(&self, operation: &str, body: &Value) -> Value {
        let output = self.run(&["call", operation, "--json", &body.to_string()]);
        assert!(output.status.success(), "{operation}: {}", error(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Everything in the folder, with contents.
    pub fn contents(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let files = walk(self.folder.path()).into_iter().filter(|path| path.is_file());
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

/// All paths below a folder, sorted.
pub fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.clone());
        if path.is_dir() {
            found.extend(walk(&path));
        }
    }
    found.sort();
    found
}

/// Runs a command with some input to its end.
pub fn finish(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
    // A program that refuses may end before it has read everything.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

pub fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that a command failed by itself and that the reason says all of this.
pub fn failed(output: &Output, reasons: &[&str]) {
    failed_with(1, output, reasons);
}

/// Asserts that a command failed with this exit code and that the reason says all of this.
pub fn failed_with(code: i32, output: &Output, reasons: &[&str]) {
    let text = error(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(reasons.iter().all(|reason| text.contains(reason)), "{reasons:?} not in: {text}");
}

/// A running program. Dropped, it is killed.
pub struct Program {
    pub child: Child,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

/// What a program left.
pub struct Ended {
    pub status: ExitStatus,
    /// Lines on standard output that nobody had read.
    pub lines: Vec<String>,
    pub stderr: String,
}

impl Program {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        let mut stderr = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self { child, lines, stderr: Some(stderr) }
    }

    /// The next line on standard output; nothing if it was closed.
    pub fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(LINE_TIMEOUT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("the program neither said anything nor ended"),
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks it to stop and waits until it has.
    pub fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.end()
    }

    /// Ends it without a warning.
    pub fn kill(mut self) -> Ended {
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.end()
    }

    /// Waits until it has ended.
    pub fn end(mut self) -> Ended {
        let status = poll("the end of the program", || self.child.try_wait().unwrap());
        let stderr = self.stderr.take().unwrap().join().unwrap();
        Ended { status, lines: self.lines.iter().collect(), stderr }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}
