//! The real program as its users start it: first start, the ready line, settings, signals, calls and sealed files.
//! Every program of these tests has its own folder, ports that the system chooses, and is killed with the test.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use rustix::process::Signal;
use serde_json::{Value, json};
use yaoku::env::Clock;

use crate::program::{Home, Program, error, failed, failed_with, finish, mode, walk};

fn fields(object: &Value) -> Vec<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

// First start

#[test]
fn an_appliance_is_initialised_once() {
    let home = Home::new();
    let output = home.run(&["init"]);
    assert!(output.status.success(), "{}", error(&output));
    let before = home.contents();
    failed(&home.run(&["init"]), &["holds an appliance already"]);
    assert!(home.contents() == before, "a refused init changed files");
    home.serve();
}

#[test]
fn serve_prints_one_ready_line_and_nothing_else() {
    let home = Home::new();
    let (program, ready) = home.serve();
    assert_eq!(BTreeSet::from_iter(fields(&ready)), ["accessPoint", "console", "event", "openapi"].into());
    assert_eq!(ready["event"], "ready");
    let (openapi, access_point) =
        (ready["openapi"].as_str().unwrap(), ready["accessPoint"].as_str().unwrap());
    for address in [openapi, access_point] {
        let port = address.strip_prefix("https://127.0.0.1:").unwrap();
        assert_ne!(port.parse::<u16>().unwrap(), 0);
    }
    assert_ne!(openapi, access_point);
    assert_eq!(ready["console"], format!("{openapi}/"));
    home.call("describeSystem", &json!({}));
    let ended = program.stop();
    assert_eq!(ended.lines, Vec::<String>::new());
}

#[test]
fn the_first_credentials_have_the_documented_form() {
    let home = Home::new();
    home.run(&["init"]);
    let path = home.data.join("first-run.json");
    let first: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let expected = ["accessPointId", "accountId", "console", "instanceId", "openapi", "region"];
    assert_eq!(BTreeSet::from_iter(fields(&first)), expected.into());
    assert_eq!(BTreeSet::from_iter(fields(&first["console"])), ["password", "user"].into());
    assert_eq!(BTreeSet::from_iter(fields(&first["openapi"])), ["accessKey", "secretKey"].into());
    let texts = [&first["accountId"], &first["console"]["password"], &first["openapi"]["secretKey"]];
    assert!(texts.iter().all(|text| text.as_str().unwrap().len() >= 12));
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn nothing_in_the_data_directory_is_for_others() {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    command.env("YAOKU_LOG_LEVEL", "debug");
    let program = Program::start(command);
    program.line().unwrap();
    home.call("createKey", &json!({"aliasName": "alias/a"}));
    let paths = walk(&home.data);
    assert!(paths.len() > 8, "{paths:?}");
    for path in paths.iter().chain([&home.data]) {
        assert_eq!(mode(path) & 0o077, 0, "{}: {:o}", path.display(), mode(path));
    }
}

#[test]
fn a_data_directory_may_have_any_name() {
    for name in ["with blanks in it", "钥库 'data'\"$HOME\"", "-d", "a/b/c"] {
        let home = Home::at(name);
        let (program, _) = home.serve();
        home.call("describeSystem", &json!({}));
        assert!(program.stop().status.success());
    }
}

/// The moments are spread over the whole of a first start, as long as it takes here.
#[test]
fn a_first_start_that_was_killed_at_any_moment_starts_over() {
    let clock = Clock::system();
    Home::new().serve();
    let whole = clock.monotonic();
    for step in 0..30 {
        let home = Home::new();
        for _ in 0..=step % 2 {
            let program = Program::start(home.command(&["serve"]));
            std::thread::sleep(whole * step / 30);
            program.signal(Signal::KILL);
            program.end();
        }
        let (program, _) = home.serve();
        assert!(home.data.join("first-run.json").exists() && !home.data.join("initialising").exists());
        drop(program);
    }
}

#[test]
fn a_cipher_machine_without_its_database_is_left_alone() {
    let home = Home::new();
    home.run(&["init"]);
    fs::remove_file(home.data.join("yaoku.redb")).unwrap();
    let before = home.contents();
    for command in ["serve", "init"] {
        failed(&home.run(&[command]), &["holds a cipher machine but no database", "restore the database"]);
        assert!(home.contents() == before, "{command} changed files");
    }
}

// Running and stopping

#[test]
fn a_signal_ends_the_service_in_order_and_a_restart_has_everything() {
    let home = Home::new();
    let (mut program, _) = home.serve();
    let key = home.call("createKey", &json!({"aliasName": "alias/kept"}))["cmkUuid"].clone();
    let sealed = home.call("encrypt", &json!({"cmkUuid": key, "plaintext": "aGVsbG8="}));
    for signal in [Signal::TERM, Signal::INT] {
        program.signal(signal);
        let ended = program.end();
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
        assert!(!home.data.join("ready.json").exists());
        program = home.serve().0;
        assert_eq!(home.call("describeKey", &json!({"cmkUuid": "alias/kept"}))["cmkUuid"], key);
        let opened = home.call("decrypt", &json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
        assert_eq!(opened["plaintext"], "aGVsbG8=");
    }
    let made = home.call("queryAudit", &json!({"eventName": "createKey"}));
    assert_eq!(made["records"].as_array().unwrap().len(), 1);
}

#[test]
fn a_killed_service_has_everything_that_it_acknowledged() {
    let home = Home::new();
    for round in 0..5 {
        let (program, _) = home.serve();
        for earlier in 0..round {
            home.call("describeKey", &json!({"cmkUuid": format!("alias/{earlier}")}));
        }
        home.call("createKey", &json!({"aliasName": format!("alias/{round}")}));
        program.signal(Signal::KILL);
        program.end();
    }
}

/// Whoever waits for the ready line may stop the service at once.
#[test]
fn a_signal_right_after_the_ready_line_ends_the_service_in_order() {
    let home = Home::new();
    for _ in 0..20 {
        let (program, _) = home.serve();
        let ended = program.stop();
        assert_eq!(ended.status.code(), Some(0), "{:?}: {}", ended.status, ended.stderr);
    }
}

#[test]
fn a_data_directory_serves_one_process() {
    let home = Home::new();
    let (program, ready) = home.serve();
    let second = home.run(&["serve"]);
    failed(&second, &["yaoku: "]);
    let line: Value = serde_json::from_slice(&fs::read(home.data.join("ready.json")).unwrap()).unwrap();
    assert_eq!(line, ready, "the first one is still announced");
    home.call("describeSystem", &json!({}));
    assert!(program.stop().status.success());
}

#[test]
fn a_second_process_is_told_which_directory_is_in_use() {
    let home = Home::new();
    let (_program, _) = home.serve();
    let reason = error(&home.run(&["serve"]));
    let reason = reason.lines().find(|line| line.starts_with("yaoku: ")).unwrap();
    assert!(reason.contains(home.data.to_str().unwrap()), "{reason}");
}

#[test]
fn health_answers_without_a_signature() {
    let home = Home::new();
    let (_program, ready) = home.serve();
    let script = "import ssl, sys, urllib.request as r\n\
                  tls = ssl.create_default_context(cafile=sys.argv[2])\n\
                  a = r.urlopen(sys.argv[1], context=tls, timeout=20)\n\
                  print(a.status, a.read().decode())";
    let ca = home.data.join("tls/ca.pem");
    for (path, expected) in
        [("/health/live", r#"200 {"status":"live"}"#), ("/health/ready", r#"200 {"status":"ready"}"#)]
    {
        for plane in ["openapi", "accessPoint"] {
            let url = format!("{}{path}", ready[plane].as_str().unwrap());
            let mut command = Command::new("python3");
            command.args(["-c", script, &url, ca.to_str().unwrap()]).env_remove("https_proxy");
            let output = finish(command, b"");
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{url}: {}", error(&output));
        }
    }
}

// Settings

#[test]
fn config_prints_settings_that_read_back() {
    let home = Home::new();
    let mut command = home.command(&["config"]);
    command.env("YAOKU_RATES_RANDOM_OPENAPI", "7").env("YAOKU_TLS_NAMES", "kms.example, 10.0.0.1");
    let printed = finish(command, b"").stdout;
    let text = String::from_utf8(printed.clone()).unwrap();
    assert!(text.contains("kms.example") && text.contains(home.data.to_str().unwrap()), "{text}");
    fs::write(home.path("settings.toml"), &printed).unwrap();
    let again = finish(home.plain(&["config", "--config", "settings.toml"]), b"");
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text);
    assert!(!home.data.exists());
}

#[test]
fn an_option_beats_a_variable_and_a_variable_beats_the_file() {
    let home = Home::new();
    fs::write(home.path("settings.toml"), "region = \"file\"\n[cron]\ntick_seconds = 9\n").unwrap();
    let mut command = home.command(&["config", "--config", "settings.toml", "--data", "option"]);
    command.env("YAOKU_REGION", "variable");
    let output = finish(command, b"");
    let settings: toml::Table = String::from_utf8(output.stdout).unwrap().parse().unwrap();
    assert_eq!(settings["data"].as_str(), Some("option"));
    assert_eq!(settings["region"].as_str(), Some("variable"));
    assert_eq!(settings["cron"]["tick_seconds"].as_integer(), Some(9));
}

#[test]
fn version_prints_name_and_version() {
    let expected = concat!("yaoku ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();
    for argument in ["version", "--version"] {
        assert_eq!(Home::new().run(&[argument]).stdout, expected, "{argument}");
    }
}

/// Asserts that `serve` stops before it is ready, says what is wrong, and leaves the folder as it is.
fn refuses_to_start(home: &Home, command: Command, what: &str) {
    let before = walk(home.folder.path());
    let program = Program::start(command);
    if let Some(line) = program.line() {
        panic!("{what}: it started and said {line}");
    }
    let ended = program.end();
    assert_eq!(ended.status.code(), Some(1), "{what}: {}", ended.stderr);
    assert!(ended.stderr.lines().any(|line| line.starts_with("yaoku: ")), "{what}: {}", ended.stderr);
    assert_eq!(walk(home.folder.path()), before, "{what}: it left files");
}

fn refuses_variable(name: &str, value: &str) {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    command.env(name, value);
    refuses_to_start(&home, command, &format!("{name}={value}"));
}

#[test]
fn a_variable_that_names_no_setting_stops_the_start() {
    for name in ["YAOKU_NO_SUCH", "YAOKU_", "YAOKU_OPENAPI", "YAOKU_OPENAPI_LISTEN_", "YAOKU_DATA_DIR"] {
        refuses_variable(name, "1");
    }
}

#[test]
fn an_address_that_is_none_stops_the_start() {
    for address in ["nowhere", "", "127.0.0.1", "127.0.0.1:99999", ":0", "::1:0", "127.0.0.1:-1"] {
        refuses_variable("YAOKU_OPENAPI_LISTEN", address);
    }
    refuses_variable("YAOKU_ACCESS_POINT_LISTEN", "localhost");
}

#[test]
fn a_value_that_is_none_stops_the_start() {
    for (name, value) in [
        ("YAOKU_OPENAPI_ENVELOPE", "xml"),
        ("YAOKU_OPENAPI_HTTP_STATUS", "200"),
        ("YAOKU_OPENAPI_DATE_ZONE", "+09:00"),
        ("YAOKU_CRON_TICK_SECONDS", "soon"),
        ("YAOKU_KEEPERS_IDLE_SECONDS", "-1"),
        ("YAOKU_HTTP_WORKERS", "1.5"),
        ("YAOKU_STORE_CACHE_BYTES", ""),
        ("YAOKU_RATES_SYMMETRIC_OPENAPI", "many"),
        ("YAOKU_REGION", ""),
        ("YAOKU_REGION", "two words"),
        ("YAOKU_LOG_LEVEL", "yaoku=loud"),
    ] {
        refuses_variable(name, value);
    }
}

#[test]
fn a_limit_of_zero_stops_the_start() {
    for name in [
        "YAOKU_HTTP_CONNECTIONS_MAX",
        "YAOKU_HTTP_HEAD_SECONDS",
        "YAOKU_HTTP_IDLE_SECONDS",
        "YAOKU_STORE_AUDIT_PLACES",
        "YAOKU_KEEPERS_IDLE_SECONDS",
        "YAOKU_CRON_TICK_SECONDS",
    ] {
        refuses_variable(name, "0");
    }
}

#[test]
fn a_number_that_nothing_can_hold_stops_the_start() {
    for name in ["STORE_AUDIT_PLACES", "HTTP_WORKERS", "HTTP_HEAD_SECONDS", "HTTP_IDLE_SECONDS"] {
        refuses_variable(&format!("YAOKU_{name}"), "9223372036854775807");
    }
}

/// `log.level` is a level or a filter; a word that is neither would switch the log off unseen.
#[test]
fn a_misspelt_log_level_stops_the_start() {
    refuses_variable("YAOKU_LOG_LEVEL", "inof");
}

#[test]
fn a_certificate_name_that_is_none_stops_the_start() {
    refuses_variable("YAOKU_TLS_NAMES", "kms.example, 钥库");
}

#[test]
fn an_empty_data_directory_name_stops_the_start() {
    refuses_variable("YAOKU_DATA", "");
}

#[test]
fn a_variable_that_is_no_text_stops_the_start() {
    let home = Home::new();
    let mut command = home.command(&["serve"]);
    command.env("YAOKU_REGION", std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    refuses_to_start(&home, command, "YAOKU_REGION that is not UTF-8");
}

#[test]
fn an_address_that_cannot_be_bound_stops_the_start() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = home.command(&["serve"]);
    command.env("YAOKU_OPENAPI_LISTEN", taken.local_addr().unwrap().to_string());
    let program = Program::start(command);
    assert_eq!(program.line(), None);
    let ended = program.end();
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("cannot listen on 127.0.0.1:"), "{}", ended.stderr);
}

#[test]
fn a_settings_file_that_is_none_stops_the_start() {
    let files = [
        "region = ",
        "region = \"a\"\nregion = \"b\"",
        "no_such = 1",
        "[no_such]\na = 1",
        "[openapi]\nlisten = 8443",
        "[openapi]\nport = 8443",
        "openapi = \"127.0.0.1:0\"",
        "[http]\nhead_seconds = 0",
        "[http]\nhead_seconds = \"5\"",
        "[rates]\nsymmetric = 5",
        "[rates]\nsymmetric = { openapi = -5, access_point = 1 }",
        "data = 7",
        "\u{0}",
    ];
    for text in files {
        let home = Home::new();
        fs::write(home.path("settings.toml"), text).unwrap();
        refuses_to_start(&home, home.plain(&["serve", "--config", "settings.toml"]), text);
    }
    let home = Home::new();
    refuses_to_start(&home, home.plain(&["serve", "--config", "absent.toml"]), "no file");
}

#[test]
fn wrong_arguments_exit_with_2_and_make_nothing() {
    let home = Home::new();
    let wrong: [&[&str]; 5] = [&[], &["serve", "--no-such"], &["no-such"], &["call"], &["serve", "data"]];
    for arguments in wrong {
        let output = home.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && error(&output).contains("Usage: yaoku"), "{arguments:?}");
    }
    assert!(home.contents().is_empty());
}

// Calls

#[test]
fn call_prints_the_result_as_json() {
    let home = Home::new();
    let (_program, _) = home.serve();
    let key = home.call("createKey", &json!({"keySpec": "Ctyun_SM4", "aliasName": "alias/sm4"}));
    assert_eq!(key["keySpec"], "Ctyun_SM4");
    assert_eq!(home.call("describeKey", &json!({"cmkUuid": "alias/sm4"}))["cmkUuid"], key["cmkUuid"]);
    let digest = home.call("messageDigest", &json!({"input": "abc"}));
    assert_eq!(digest["output"], "Zsfw9GLu7dnR8tRr3BDk4kFnxIdc8veiKX2gK49LqOA=");
}

#[test]
fn a_refused_call_exits_with_3_and_says_the_code() {
    let home = Home::new();
    let (_program, _) = home.serve();
    let body = json!({"cmkUuid": "alias/absent"}).to_string();
    failed_with(3, &home.run(&["call", "describeKey", "--json", &body]), &["yaoku: KMS.", "(request "]);
    home.call("createKey", &json!({"aliasName": "alias/off"}));
    home.call("disableKey", &json!({"cmkUuid": "alias/off"}));
    let body = json!({"cmkUuid": "alias/off", "plaintext": "YQ=="}).to_string();
    failed_with(3, &home.run(&["call", "encrypt", "--json", &body]), &["KMS.9010 Rejected.Disabled"]);
}

#[test]
fn an_unknown_operation_is_answered_with_the_one_that_was_perhaps_meant() {
    let home = Home::new();
    for name in ["createkey", "noSuch", "rotateDueKey", ""] {
        failed_with(2, &home.run(&["call", name]), &["there is no operation", "`yaoku call --list`"]);
    }
    failed_with(2, &home.run(&["call", "createkey"]), &["did you mean createKey?"]);
}

#[test]
fn a_body_that_is_no_object_is_refused_before_any_call() {
    let home = Home::new();
    for body in ["", "{", "[]", "7", "\"a\"", "{} {}", "{'a': 1}"] {
        failed_with(2, &home.run(&["call", "describeSystem", "--json", body]), &["--json: "]);
    }
}

#[test]
fn a_call_without_a_service_says_what_to_give() {
    let home = Home::new();
    failed(&home.run(&["call", "describeSystem"]), &["first-run.json", "--profile PROFILE", "--data DIR"]);
    let (program, ready) = home.serve();
    fs::copy(home.data.join("ready.json"), home.path("ready.json")).unwrap();
    program.stop();
    fs::copy(home.path("ready.json"), home.data.join("ready.json")).unwrap();
    failed_with(6, &home.run(&["call", "describeSystem"]), &[ready["openapi"].as_str().unwrap()]);
}

/// A profile elsewhere, with the CA beside it.
fn profile(home: &Home, change: impl FnOnce(&mut Value)) -> PathBuf {
    let first = fs::read(home.data.join("first-run.json")).unwrap();
    let first: Value = serde_json::from_slice(&first).unwrap();
    let line: Value = serde_json::from_slice(&fs::read(home.data.join("ready.json")).unwrap()).unwrap();
    let mut profile = json!({
        "endpoint": line["openapi"], "ca": "ca.pem",
        "accessKey": first["openapi"]["accessKey"], "secretKey": first["openapi"]["secretKey"],
    });
    change(&mut profile);
    let folder = home.path("profiles");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(home.data.join("tls/ca.pem"), folder.join("ca.pem")).unwrap();
    fs::write(folder.join("profile.json"), profile.to_string()).unwrap();
    folder.join("profile.json")
}

#[test]
fn a_profile_needs_no_data_directory() {
    let home = Home::new();
    let (_program, _) = home.serve();
    let path = profile(&home, |_| {});
    let arguments = ["call", "describeSystem", "--profile", path.to_str().unwrap(), "--data", "elsewhere"];
    let output = home.run(&arguments);
    assert!(output.status.success(), "{}", error(&output));
    assert!(!home.path("elsewhere").exists());
}

#[test]
fn a_wrong_profile_is_explained() {
    let home = Home::new();
    let (_program, _) = home.serve();
    let wrong: [(&str, Value, i32, &str); 7] = [
        ("secretKey", json!("wrong"), 4, "KMS.9040"),
        ("accessKey", json!("unknown"), 4, "KMS.9041"),
        ("endpoint", json!("http://127.0.0.1:1"), 1, "is not an address like https://"),
        ("endpoint", json!("https://127.0.0.1:1"), 6, "no connection to https://127.0.0.1:1"),
        ("ca", json!("absent.pem"), 1, "absent.pem"),
        ("ca", json!("profile.json"), 1, "no PEM certificate"),
        ("colour", json!("red"), 1, "colour"),
    ];
    for (field, value, code, reason) in wrong {
        let path = profile(&home, |profile| profile[field] = value);
        let output = home.run(&["call", "describeSystem", "--profile", path.to_str().unwrap()]);
        failed_with(code, &output, &[reason]);
    }
}

/// The server of another appliance is not trusted, though it stands at the right address.
#[test]
fn the_ca_of_another_appliance_is_refused() {
    let (home, other) = (Home::new(), Home::new());
    let (_program, _) = home.serve();
    other.run(&["init"]);
    let path = profile(&home, |profile| profile["ca"] = json!(other.data.join("tls/ca.pem")));
    failed_with(6, &home.run(&["call", "describeSystem", "--profile", path.to_str().unwrap()]), &["ca.pem"]);
}

// Sealed files

/// A running service with a key of the name `alias/file`, and a file of `length` bytes named `plain`.
fn with_file(length: usize) -> (Home, Program, Vec<u8>) {
    let home = Home::new();
    let (program, _) = home.serve();
    home.call("createKey", &json!({"aliasName": "alias/file"}));
    let bytes: Vec<u8> = (0..length as u64).map(|at| (at * at / 7 % 253) as u8).collect();
    fs::write(home.path("plain"), &bytes).unwrap();
    (home, program, bytes)
}

fn encrypt(home: &Home, further: &[&str]) -> Output {
    home.run(&[&["encrypt-file", "--key", "alias/file"], further].concat())
}

const MEGABYTES_5: usize = 5_000_000;

#[test]
fn a_file_of_5_megabytes_comes_back_under_both_ciphers() {
    let (home, _program, bytes) = with_file(MEGABYTES_5);
    for (algorithm, name) in [("aes-256", "\"AES_256\""), ("sm4", "\"SM4_128\"")] {
        let (sealed, back) = (format!("{algorithm}.sealed"), format!("{algorithm}.back"));
        let output = encrypt(&home, &["--algorithm", algorithm, "plain", &sealed]);
        assert!(output.status.success() && output.stdout.is_empty(), "{}", error(&output));
        let head = fs::read(home.path(&sealed)).unwrap();
        assert!(head.starts_with(b"YAOKUFL1") && String::from_utf8_lossy(&head[..400]).contains(name));
        assert!(!head.windows(32).any(|part| part == &bytes[1_000_000..1_000_032]));
        let output = home.run(&["decrypt-file", &sealed, &back]);
        assert!(output.status.success() && output.stdout.is_empty(), "{}", error(&output));
        assert!(fs::read(home.path(&back)).unwrap() == bytes, "{algorithm}");
        assert_eq!(mode(&home.path(&back)), 0o600);
    }
}

#[test]
fn files_go_through_pipes() {
    let (home, _program, bytes) = with_file(MEGABYTES_5);
    let sealed = finish(home.command(&["encrypt-file", "--key", "alias/file", "-", "-"]), &bytes);
    assert!(sealed.status.success(), "{}", error(&sealed));
    let back = finish(home.command(&["decrypt-file", "-", "-"]), &sealed.stdout);
    assert!(back.status.success() && back.stdout == bytes, "{}", error(&back));
    let cut = finish(home.command(&["decrypt-file", "-", "-"]), &sealed.stdout[..1_000_000]);
    assert_eq!(cut.status.code(), Some(1));
    assert!(bytes.starts_with(&cut.stdout), "what came out before the cut is authentic");
}

#[test]
fn an_empty_file_comes_back() {
    let (home, _program, _) = with_file(0);
    assert!(encrypt(&home, &["plain", "sealed"]).status.success());
    assert!(home.run(&["decrypt-file", "sealed", "back"]).status.success());
    assert_eq!(fs::read(home.path("back")).unwrap(), b"");
}

#[test]
fn a_sealed_file_that_was_changed_is_refused_and_leaves_nothing() {
    let (home, _program, _) = with_file(300_000);
    assert!(encrypt(&home, &["plain", "sealed"]).status.success());
    let sealed = fs::read(home.path("sealed")).unwrap();
    let header = 12 + u32::from_be_bytes(sealed[8..12].try_into().unwrap()) as usize;
    let chunk = 64 * 1024 + 16;
    let (head, body) = sealed.split_at(header);
    let chunks: Vec<&[u8]> = body.chunks(chunk).collect();
    assert_eq!(chunks.len(), 5);
    let put = |order: &[usize]| {
        let chunks: Vec<u8> = order.iter().flat_map(|at| chunks[*at]).copied().collect();
        [head, &chunks].concat()
    };
    let flipped = |at: usize| {
        let mut bytes = sealed.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cut = |length: usize| sealed[..length].to_vec();
    let changed = [
        ("nothing", vec![]),
        ("magic only", cut(8)),
        ("half the header", cut(header / 2)),
        ("header only", cut(header)),
        ("half a chunk", cut(header + chunk / 2)),
        ("a chunk less at the end", put(&[0, 1, 2, 3])),
        ("a byte less", cut(sealed.len() - 1)),
        ("a byte more", [sealed.clone(), vec![0]].concat()),
        ("itself once more", [sealed.clone(), sealed.clone()].concat()),
        ("its last chunk twice", put(&[0, 1, 2, 3, 4, 4])),
        ("two chunks exchanged", put(&[1, 0, 2, 3, 4])),
        ("a chunk left out", put(&[0, 2, 3, 4])),
        ("the last chunk first", put(&[4, 0, 1, 2, 3])),
        ("another magic", flipped(0)),
        ("another header", flipped(header - 3)),
        ("a bit of a chunk", flipped(header + 5)),
        ("the last bit", flipped(sealed.len() - 1)),
    ];
    for (what, bytes) in changed {
        fs::write(home.path("changed"), bytes).unwrap();
        failed(&home.run(&["decrypt-file", "changed", "back"]), &["yaoku: "]);
        assert!(!home.path("back").exists() && !home.path("back.partial").exists(), "{what}");
    }
    assert!(home.run(&["decrypt-file", "sealed", "back"]).status.success());
}

#[test]
fn an_existing_output_is_replaced_with_force_only() {
    let (home, _program, bytes) = with_file(1000);
    assert!(encrypt(&home, &["plain", "sealed"]).status.success());
    let before = fs::read(home.path("sealed")).unwrap();
    fs::write(home.path("back"), "precious").unwrap();
    failed(&encrypt(&home, &["plain", "sealed"]), &["exists already", "--force"]);
    failed(&home.run(&["decrypt-file", "sealed", "back"]), &["exists already", "--force"]);
    assert_eq!(fs::read(home.path("sealed")).unwrap(), before);
    assert_eq!(fs::read(home.path("back")).unwrap(), b"precious");

    let output = home.run(&["decrypt-file", "--force", "sealed", "back"]);
    assert!(output.status.success() && fs::read(home.path("back")).unwrap() == bytes, "{}", error(&output));
    assert!(encrypt(&home, &["--force", "plain", "sealed"]).status.success());
    assert_ne!(fs::read(home.path("sealed")).unwrap(), before);
}

#[test]
fn a_refused_replacement_leaves_the_old_output() {
    let (home, _program, _) = with_file(100_000);
    assert!(encrypt(&home, &["plain", "sealed"]).status.success());
    let mut sealed = fs::read(home.path("sealed")).unwrap();
    sealed.truncate(90_000);
    fs::write(home.path("sealed"), sealed).unwrap();
    fs::write(home.path("back"), "precious").unwrap();
    failed(&home.run(&["decrypt-file", "--force", "sealed", "back"]), &["yaoku: "]);
    assert_eq!(fs::read(home.path("back")).unwrap(), b"precious");
    assert!(!home.path("back.partial").exists());
}

#[test]
fn a_disabled_key_opens_no_file() {
    let (home, _program, _) = with_file(1000);
    assert!(encrypt(&home, &["plain", "sealed"]).status.success());
    home.call("disableKey", &json!({"cmkUuid": "alias/file"}));
    for output in [home.run(&["decrypt-file", "sealed", "back"]), encrypt(&home, &["plain", "again"])] {
        failed_with(3, &output, &["KMS.9010 Rejected.Disabled"]);
    }
    let left = ["back", "back.partial", "again", "again.partial"];
    assert!(left.iter().all(|name| !home.path(name).exists()));
    home.call("enableKey", &json!({"cmkUuid": "alias/file"}));
    assert!(home.run(&["decrypt-file", "sealed", "back"]).status.success());
}
