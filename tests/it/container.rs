//! The program as container engines and systemd run it: as process 1 and as nobody in particular, on a root that it cannot
//! write to, asked for its health, and telling that it is ready.

use std::fs;
use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::ledger::figure;
use crate::program::{Home, Program, error, failed, failed_with, walk};

/// The user of the image.
const USER: u32 = 10_001;
const PROGRAM: &str = env!("CARGO_BIN_EXE_yaoku");

/// Mounts the image's root read-only with its volume and runs the program there, all in namespaces of its own.
const SCRIPT: &str = r#"
    set -e
    root=$1
    mount --bind "$root" "$root"
    mount --bind "$2" "$root/data"
    mount -t proc proc "$root/proc"
    shift 2
    for file in "$@"; do mount --bind -o ro "$file" "$root$file"; done
    mount -o remount,bind,ro "$root"
    cd "$root"
    exec setpriv --no-new-privs chroot --userspec=10001:10001 --groups=10001 "$root" "$PROGRAM" serve
"#;

/// What the program needs of a system: itself, and the libraries that it is linked to.
fn needed() -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(PROGRAM).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(PathBuf::from).chain([PathBuf::from(PROGRAM)]).collect()
}

/// Files to mount over, below a root that has nothing else.
fn make_root(root: &Path, files: &[PathBuf]) {
    let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap());
    for folder in ["/data", "/proc"] {
        fs::create_dir_all(inside(Path::new(folder))).unwrap();
    }
    for file in files {
        fs::create_dir_all(inside(file.parent().unwrap())).unwrap();
        fs::write(inside(file), "").unwrap();
    }
    for path in walk(root).iter().map(PathBuf::as_path).chain([root]) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

fn status(process: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
}

/// Children of a process; there is one file of them for each thread.
fn children(process: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let lists = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap());
    lists.flat_map(|list| list.split_whitespace().map(|id| id.parse().unwrap()).collect::<Vec<_>>()).collect()
}

#[test]
fn the_image_needs_no_writable_root_and_no_rights() {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: only root can mount a root file system for the service");
    }
    let (home, files) = (Home::at("volume/appliance"), needed());
    let (root, volume) = (home.path("root"), home.path("volume"));
    fs::create_dir(&volume).unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o700)).unwrap();
    chown(&volume, Some(USER), Some(USER)).unwrap();
    fs::create_dir(&root).unwrap();
    make_root(&root, &files);
    let mut command = home.command(&[]);
    let environment: Vec<_> =
        command.get_envs().map(|(name, value)| (name.to_owned(), value.map(ToOwned::to_owned))).collect();
    command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT, "sh"]);
    command.arg(&root).arg(&volume).args(&files).env("PROGRAM", PROGRAM);
    for (name, value) in environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("YAOKU_DATA", "/data/appliance").env("YAOKU_METRICS_LISTEN", "127.0.0.1:0");
    let (program, _) = home.serve_by(command);
    let service = children(program.child.id().try_into().unwrap());
    let [service] = service[..] else { panic!("{service:?}") };

    assert!(status(service, "NSpid:").ends_with("\t1"), "it is process 1 of its namespace");
    assert_eq!(status(service, "Uid:"), vec![USER.to_string(); 4].join("\t"));
    assert_eq!((status(service, "CapEff:"), status(service, "NoNewPrivs:")), ("0".repeat(16), "1".into()));
    let probe = fs::write(format!("/proc/{service}/root/probe"), "").unwrap_err();
    assert_eq!(probe.kind(), ErrorKind::ReadOnlyFilesystem);

    let inside = |arguments: &[&str]| {
        let mut command = Command::new("nsenter");
        let user = USER.to_string();
        command.args(["--mount", "--pid", "--root", "--wd", "--setuid", &user, "--setgid", &user]);
        command.args(["--target", &service.to_string(), PROGRAM]).args(arguments);
        command.env("YAOKU_DATA", "/data/appliance").output().unwrap()
    };
    let health = inside(&["health"]);
    assert!(health.status.success(), "{}", error(&health));
    assert_eq!(String::from_utf8_lossy(&health.stdout), "{\"status\":\"ready\"}\n");
    let made = inside(&["call", "createKey", "--json", &json!({}).to_string()]);
    assert!(made.status.success(), "{}", error(&made));
    let metrics: serde_json::Value =
        serde_json::from_slice(&fs::read(volume.join("appliance/ready.json")).unwrap()).unwrap();
    let metrics =
        crate::kit::send(&crate::kit::agent(), "GET", metrics["metrics"].as_str().unwrap(), &[], b"");
    for name in ["process_resident_memory_bytes ", "process_open_fds ", "process_cpu_seconds_total "] {
        assert!(metrics.body.as_str().unwrap().contains(name), "{name}: {metrics:?}");
    }
    assert_eq!(children(service), Vec::<i32>::new(), "it starts nothing, so that there is nothing to reap");

    kill_process(Pid::from_raw(service).unwrap(), Signal::TERM).unwrap();
    let ended = program.end();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    // The new namespaces have the limits of the one who runs the tests; an image is told by its engine.
    let trouble = ended.stderr.lines().filter(|line| line.contains("ERROR") || line.contains("WARN"));
    let known = |line: &&str| {
        ["first-run", "custody", "memory"].iter().any(|event| line.contains(&format!("event=\"{event}\"")))
    };
    let trouble: Vec<&str> = trouble.filter(|line| !known(line)).collect();
    assert_eq!(trouble, Vec::<&str>::new());
    let outside = walk(&root).into_iter().filter(|path| path.is_file()).count();
    figure(
        "files_written_outside_of_the_volume",
        outside - files.iter().collect::<std::collections::BTreeSet<_>>().len(),
        "files",
    );
    let entries =
        fs::read_dir(&volume).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut entries: Vec<String> = entries.collect();
    entries.sort();
    assert_eq!(entries, ["appliance", "appliance.heads"]);
}

#[test]
fn health_is_told_by_the_exit_code() {
    let home = Home::new();
    failed(&home.run(&["health"]), &["CA"]);
    let (program, _) = home.serve();
    let health = home.run(&["health"]);
    assert!(health.status.success(), "{}", error(&health));
    assert!(program.stop().status.success());
    failed(&home.run(&["health"]), &["no answer from https://127.0.0.1:0/health/ready"]);
    let mut command = home.command(&["serve"]);
    command.env("YAOKU_SELF_TEST_CORRUPT", "wrapped key re-opening");
    let (program, _) = home.serve_by(command);
    failed_with(5, &home.run(&["call", "createKey", "--json", "{}"]), &["KMS.9071"]);
    failed(&home.run(&["health"]), &["not ready", "503", "\"error\""]);
    drop(program);
}

/// What comes on a socket as systemd gives it.
fn told(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 256];
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

fn serve_with(home: &Home, name: &str) -> Program {
    let mut command = home.command(&["serve"]);
    command.env("NOTIFY_SOCKET", name);
    Program::start(command)
}

#[test]
fn systemd_is_told_when_the_service_listens_and_when_it_stops() {
    let home = Home::new();
    let path = home.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let program = serve_with(&home, path.to_str().unwrap());
    assert_eq!(told(&socket), "READY=1\nSTATUS=ready");
    assert!(program.line().unwrap().contains("\"ready\""));
    program.signal(Signal::TERM);
    assert_eq!(told(&socket), "STOPPING=1");
    assert!(program.end().status.success());

    fs::write(home.path("passphrase"), "correct horse battery\n").unwrap();
    assert!(home.run(&["custody", "attend", "--new-passphrase-file", "passphrase"]).status.success());
    let name = format!("yaoku-test-{}", std::process::id());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let program = serve_with(&home, &format!("@{name}"));
    assert_eq!(told(&socket), "READY=1\nSTATUS=locked");
    assert!(home.run(&["unlock", "--passphrase-file", "passphrase"]).status.success());
    assert_eq!(told(&socket), "READY=1\nSTATUS=ready");
    assert!(program.stop().status.success());
    assert_eq!(told(&socket), "STOPPING=1");

    let program = serve_with(&home, "/nowhere");
    assert!(program.line().unwrap().contains("\"locked\""), "nobody who listens is no reason not to serve");
    assert!(program.stop().status.success());
}
