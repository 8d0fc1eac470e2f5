//! What the running process shows and reaches: no core, no view for other processes, memory locked where that is allowed,
//! files for nobody else, and no connection to anywhere.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;

use rustix::process::Signal;
use serde_json::json;

use crate::kit::poll;
use crate::ledger::figure;
use crate::program::{Home, Program, mode, walk};

/// A line of /proc/PID/status or limits.
fn line(program: &Program, file: &str, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{}/{file}", program.child.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))[name.len()..].trim().to_owned()
}

#[test]
fn a_crash_leaves_no_core() {
    for signal in [Signal::SEGV, Signal::ABORT] {
        let home = Home::new();
        let (mut program, _) = home.serve();
        let limit = line(&program, "limits", "Max core file size");
        assert_eq!(limit.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"], "soft and hard");
        let before = walk(home.folder.path());
        // The runtime lets the first SIGSEGV pass, to see whether the instruction faults again.
        poll("the crash", || {
            program.signal(signal);
            program.child.try_wait().unwrap()
        });
        let ended = program.end();
        use std::os::unix::process::ExitStatusExt as _;
        assert_eq!(ended.status.signal(), Some(signal.as_raw()), "{}", ended.stderr);
        assert!(!ended.status.core_dumped());
        let after = walk(home.folder.path());
        let cores = after.iter().filter(|path| !before.contains(path)).collect::<Vec<_>>();
        assert!(cores.is_empty(), "{cores:?}");
    }
    figure("cores_after_a_crash", "0 of 2", "crashes");
}

/// A process that is not dumpable belongs to root in /proc, whoever runs it: its memory, environment and descriptors are
/// closed to the other processes of its user. Shown by a service that runs as another user, which only root can start.
#[test]
fn other_processes_of_the_same_user_cannot_look_inside() {
    if !rustix::process::geteuid().is_root() {
        return println!(
            "skipped: only root can start the service as another user, to see whom its /proc belongs to"
        );
    }
    const NOBODY: u32 = 65_534;
    use std::os::unix::process::CommandExt as _;
    let home = Home::new();
    std::os::unix::fs::chown(home.folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    // The program itself may lie where only root can go.
    let program = home.path("yaoku");
    fs::copy(env!("CARGO_BIN_EXE_yaoku"), &program).unwrap();
    fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new(&program);
    command.arg("serve").uid(NOBODY).gid(NOBODY).current_dir(home.folder.path());
    for (name, value) in home.command(&[]).get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let (service, _) = home.serve_by(command);
    let id = service.child.id();
    let owners = ["environ", "mem", "maps", "fd", "io"]
        .map(|file| (file, fs::metadata(format!("/proc/{id}/{file}")).unwrap().uid()));
    assert!(owners.iter().all(|(_, owner)| *owner == 0), "{owners:?}");
    let mut peek = Command::new("cat");
    peek.arg(format!("/proc/{id}/environ")).uid(NOBODY).gid(NOBODY);
    let output = peek.output().unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    figure("proc_files_open_to_the_same_user", format!("0 of {}", owners.len()), "files");
}

#[test]
fn memory_is_locked_where_that_is_allowed() {
    let home = Home::new();
    let (program, _) = home.serve();
    let locked = line(&program, "status", "VmLck:");
    let kilobytes: u64 = locked.trim_end_matches("kB").trim().parse().unwrap();
    let limit = line(&program, "limits", "Max locked memory");
    // CAP_IPC_LOCK is bit 14.
    let capable = u64::from_str_radix(&line(&program, "status", "CapEff:"), 16).unwrap() & (1 << 14) != 0;
    if capable || limit.starts_with("unlimited") {
        assert!(kilobytes > 0);
    } else {
        println!("not locked: the limit here is {limit} and there is no capability");
        let ended = program.stop();
        assert!(ended.stderr.contains("memory may be swapped out"), "it is said: {}", ended.stderr);
    }
    figure("locked_memory", kilobytes, "kB");
}

#[test]
fn files_and_the_mask_are_for_the_owner_alone() {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    command.env("YAOKU_LOG_LEVEL", "debug");
    let (program, _) = home.serve_by(command);
    home.call("createKey", &json!({}));
    assert_eq!(line(&program, "status", "Umask:"), "0077");
    let paths = walk(&home.data);
    let wrong: Vec<String> = paths
        .iter()
        .chain([&home.data])
        .filter(|path| mode(path) != if path.is_dir() { 0o700 } else { 0o600 })
        .map(|path| format!("{} {:o}", path.display(), mode(path)))
        .collect();
    figure("files_with_another_mode", format!("{} of {}", wrong.len(), paths.len() + 1), "files");
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// From the first instruction to the last, calls on both planes included.
#[test]
fn the_service_connects_to_nowhere() {
    let home = Home::new();
    let trace = home.path("trace");
    let served = home.command(&["serve"]);
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-e", "trace=execve,connect,sendto,sendmsg,socket,bind", "-o"])
        .arg(&trace)
        .arg(served.get_program())
        .arg("serve");
    strace.current_dir(home.folder.path());
    for (name, value) in served.get_envs() {
        match value {
            Some(value) => strace.env(name, value),
            None => strace.env_remove(name),
        };
    }
    if Command::new("strace").arg("-V").output().is_err() {
        return println!("skipped: strace is not installed");
    }
    let program = Program::start(strace);
    let ready = program.line().unwrap();
    assert!(ready.contains("\"ready\""), "{ready}");
    let key = home.call("createKey", &json!({"enableAutomaticRotation": true, "rotationInterval": "7d"}));
    home.call("generateDataKey", &json!({"cmkUuid": key["cmkUuid"]}));
    home.call("createAccount", &json!({"name": "second"}));
    home.call("queryAudit", &json!({}));
    // The service is the child of strace: the process that the trace begins with.
    let first = fs::read_to_string(&trace).unwrap();
    let service: i32 = first.split_whitespace().next().unwrap().parse().unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_raw(service).unwrap(), Signal::TERM).unwrap();
    let ended = program.end();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    let trace = fs::read_to_string(&trace).unwrap();
    assert!(trace.contains("bind("), "strace saw the service: {trace}");
    let calls =
        |name: &str| trace.lines().filter(|line| line.contains(&format!("{name}("))).collect::<Vec<_>>();
    let outbound: Vec<&str> = calls("connect").into_iter().filter(|line| !line.contains("AF_UNIX")).collect();
    let datagrams: Vec<&str> = calls("socket")
        .into_iter()
        .filter(|line| line.contains("SOCK_DGRAM") && !line.contains("AF_UNIX"))
        .collect();
    figure("outbound_connects", outbound.len(), "connects");
    figure("outbound_datagram_sockets", datagrams.len(), "sockets");
    assert!(outbound.is_empty() && datagrams.is_empty(), "{outbound:#?} {datagrams:#?}");
}
