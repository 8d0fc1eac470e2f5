//! Everything that is broken when the service starts ends the start: with an exit code, a reason, and no listener. What
//! authenticates, encrypts or names a place is never replaced by a default.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::kit::parallel;
use crate::ledger::figure;
use crate::program::{Home, Program};

/// One way to break a start.
enum Broken {
    /// A variable.
    Variable(&'static str, &'static str),
    /// A settings file.
    Settings(&'static str),
    /// Arguments behind `serve`.
    Arguments(&'static [&'static str]),
    /// An initialised data directory, damaged.
    Damage(&'static str, fn(&Path)),
}
use Broken::{Arguments, Damage, Settings, Variable};

const BROKEN: &[Broken] = &[
    Variable("YAOKU_OPENAPI_LISTEN", "0.0.0.0"),
    Variable("YAOKU_OPENAPI_LISTEN", "https://127.0.0.1:0"),
    Variable("YAOKU_OPENAPI_LISTEN", "127.0.0.1:0 127.0.0.1:0"),
    Variable("YAOKU_OPENAPI_LISTEN", "192.0.2.1:0"),
    Variable("YAOKU_ACCESS_POINT_LISTEN", ""),
    Variable("YAOKU_ACCESS_POINT_LISTEN", "[::1:0"),
    Variable("YAOKU_ACCESS_POINT_LISTEN", "192.0.2.1:0"),
    Variable("YAOKU_OPENAPI_ENVELOPE", "Gateway "),
    Variable("YAOKU_OPENAPI_HTTP_STATUS", ""),
    Variable("YAOKU_OPENAPI_DATE_ZONE", "local"),
    Variable("YAOKU_OPENAPI_AUTHENTICATION", "off"),
    Variable("YAOKU_TLS", "off"),
    Variable("YAOKU_TLS_NAMES", "*"),
    Variable("YAOKU_TLS_NAMES", "kms.example:8443"),
    Variable("YAOKU_HTTP_WORKERS", "-1"),
    Variable("YAOKU_HTTP_CONNECTIONS_MAX", "1e3"),
    Variable("YAOKU_HTTP_HEAD_SECONDS", "3601"),
    Variable("YAOKU_STORE_CACHE_BYTES", "8MB"),
    Variable("YAOKU_STORE_RESERVE_BYTES", "0"),
    Variable("YAOKU_STORE_REOPEN_MILLISECONDS", "60001"),
    Variable("YAOKU_SELF_TEST_INTERVAL_SECONDS", "0"),
    Variable("YAOKU_SELF_TEST_INTERVAL_SECONDS", "never"),
    Variable("YAOKU_QUOTA_KEYS_PER_BASE_INSTANCE", "unlimited"),
    Variable("YAOKU_RATES_SYMMETRIC_ACCESS_POINT", "-1"),
    Variable("YAOKU_LOG_LEVEL", ""),
    Variable("YAOKU_DATA", "/dev/null/data"),
    Variable("YAOKU_DATA", "/proc/yaoku"),
    Settings("[openapi]\nsigned = false"),
    Settings("[access_point]\nlisten = [\"127.0.0.1:0\"]"),
    Settings("[tls]\nnames = \"kms.example\""),
    Settings("[tls]\nverify = false"),
    Settings("[custody]\nhsm = 1"),
    Settings("[custody]\npassphrase = \"in the file\""),
    Settings("[store]\ncache_bytes = 1.5"),
    Settings("[log]\nlevel = \"everything\""),
    Settings("[rates]\nsymmetric = { openapi = 750, cloud = 1 }"),
    Settings("[[openapi]]\nlisten = \"127.0.0.1:0\""),
    Settings("region = \"a/b\""),
    Settings("\u{feff}region = 7"),
    Arguments(&["--config"]),
    Arguments(&["--config", "absent.toml"]),
    Arguments(&["--config", "."]),
    Arguments(&["--insecure"]),
    Arguments(&["--data", ""]),
    Damage("an empty CA key", |data| fs::write(data.join("tls/ca.key"), "").unwrap()),
    Damage("a CA key that is none", |data| {
        fs::write(data.join("tls/ca.key"), "-----BEGIN PRIVATE KEY-----\nAAAA\n").unwrap()
    }),
    Damage("no CA key", |data| fs::remove_file(data.join("tls/ca.key")).unwrap()),
    Damage("no CA certificate", |data| fs::remove_file(data.join("tls/ca.pem")).unwrap()),
    Damage("no device key", |data| fs::remove_file(data.join("machine/device/device.key")).unwrap()),
    Damage("half a device key", |data| halve(&data.join("machine/device/device.key"))),
    Damage("no software key", |data| fs::remove_file(data.join("machine/software-key/root.key")).unwrap()),
    Damage("half of the slots", |data| halve(&data.join("machine/hsm/slots.bin"))),
    Damage("no slots", |data| fs::remove_file(data.join("machine/hsm/slots.bin")).unwrap()),
    Damage("no partitions", |data| fs::remove_file(data.join("machine/hsm/partitions.bin")).unwrap()),
    Damage("an empty database", |data| fs::write(data.join("yaoku.redb"), "").unwrap()),
    Damage("half a database", |data| halve(&data.join("yaoku.redb"))),
    Damage("a database that is none", |data| fs::write(data.join("yaoku.redb"), vec![7; 100_000]).unwrap()),
    Damage("no database", |data| fs::remove_file(data.join("yaoku.redb")).unwrap()),
    Damage("a database that leads in a circle", |data| {
        fs::remove_file(data.join("yaoku.redb")).unwrap();
        symlink("yaoku.redb", data.join("yaoku.redb")).unwrap();
    }),
    Damage("a lock that is a directory", |data| {
        fs::remove_file(data.join("lock")).unwrap();
        fs::create_dir(data.join("lock")).unwrap();
    }),
];

fn halve(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// Tries one start; what went wrong with it.
fn attempt(broken: &Broken) -> Option<String> {
    let home = Home::new();
    // Ports that were free a moment ago: whoever listens there now is the service.
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let addresses: [SocketAddr; 2] = [free(), free()];
    let mut command = home.command(&["serve"]);
    command.env("YAOKU_OPENAPI_LISTEN", addresses[0].to_string());
    command.env("YAOKU_ACCESS_POINT_LISTEN", addresses[1].to_string());
    let what = match broken {
        Variable(name, value) => {
            command.env(name, value);
            format!("{name}={value}")
        }
        Settings(text) => {
            fs::write(home.path("settings.toml"), text).unwrap();
            command.args(["--config", "settings.toml"]);
            // A variable would hide what the file says.
            for name in ["YAOKU_DATA", "YAOKU_OPENAPI_LISTEN", "YAOKU_ACCESS_POINT_LISTEN"] {
                command.env_remove(name);
            }
            format!("settings {text:?}")
        }
        Arguments(arguments) => {
            command.args(*arguments);
            format!("arguments {arguments:?}")
        }
        Damage(what, damage) => {
            assert!(home.run(&["init"]).status.success());
            damage(&home.data);
            (*what).to_owned()
        }
    };
    let program = Program::start(command);
    if let Some(line) = program.line() {
        return Some(format!("{what}: it started and said {line}"));
    }
    let listening = addresses.iter().any(|address| TcpStream::connect(address).is_ok());
    let ended = program.end();
    let told = ended.stderr.lines().any(|line| {
        let reason = line.strip_prefix("yaoku: ").or(line.strip_prefix("error: "));
        reason.is_some_and(|reason| reason.len() > 10)
    });
    let code = ended.status.code();
    let expected =
        if matches!(broken, Arguments(_)) { [Some(1), Some(2)].contains(&code) } else { code == Some(1) };
    (listening || !told || !expected || ended.stderr.contains("panicked"))
        .then(|| format!("{what}: listening {listening}, exit {code:?}: {}", ended.stderr))
}

#[test]
fn a_broken_start_ends_with_a_reason_and_without_a_listener() {
    const LANES: usize = 3;
    let wrong = parallel(LANES, |lane| {
        BROKEN.iter().skip(lane).step_by(LANES).filter_map(attempt).collect::<Vec<_>>()
    });
    let wrong: Vec<String> = wrong.into_iter().flatten().collect();
    figure("starts_with_broken_config", format!("{} of {}", wrong.len(), BROKEN.len()), "starts");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
