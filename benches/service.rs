//! Load on the running service, beside a bare TLS echo server as the baseline, both measured by the same
//! client on this machine. Prints figures and asserts none: a run fails only when a call failed. Options:
//! `cargo bench --bench service -- --help`. Only loopback is ever called; every loop is bounded.

#![allow(
    clippy::disallowed_methods,
    reason = "a load generator measures time and ends its own child process"
)]

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::load::{Figures, Load};
use crate::options::{Options, Part};
use crate::report::{Report, megabytes};
use crate::signature::{Credential, Request};
use crate::yaoku::Yaoku;

#[path = "service/bare.rs"]
mod bare;
#[path = "service/client.rs"]
mod client;
#[path = "service/echo.rs"]
mod echo;
#[path = "service/key_pairs.rs"]
mod key_pairs;
#[path = "service/load.rs"]
mod load;
#[path = "service/machine.rs"]
mod machine;
#[path = "service/options.rs"]
mod options;
#[path = "service/process.rs"]
mod process;
#[path = "service/recovery.rs"]
mod recovery;
#[path = "service/report.rs"]
mod report;
#[path = "service/scale.rs"]
mod scale;
#[path = "service/signature.rs"]
mod signature;
#[path = "service/yaoku.rs"]
mod yaoku;

/// A good reply of the service on either plane. The text cannot stand inside a Base64 value.
const SUCCESS: &str = r#""code":200"#;
/// A good reply of the echo server.
const ECHOED: &str = r#""plaintext":""#;
const FURTHER_CONNECTIONS: usize = 64;
const CREATE_CONNECTIONS: usize = 16;
const CREATED_ALONE: u32 = 200;
const IDLE: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).peekable();
    if arguments.next_if(|argument| argument == echo::ARGUMENT).is_some() {
        let certificate = arguments.next().unwrap_or_default();
        return ended(echo::serve(Path::new(&certificate)).map_err(|error| format!("echo server: {error}")));
    }
    if std::env::args().any(|argument| argument == "--help") {
        println!("{}", options::USAGE);
        return ExitCode::SUCCESS;
    }
    signature::check_examples();
    ended(
        Options::parse(arguments)
            .map_err(|error| format!("{error}\n{}", options::USAGE))
            .and_then(|options| bench(&options)),
    )
}

fn ended(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(options: &Options) -> Result<(), String> {
    fs::create_dir_all(&options.data_root)
        .map_err(|error| format!("{}: {error}", options.data_root.display()))?;
    let sync = machine::describe(&options.data_root)?;
    let mut report = Report::default();
    if options.echo_only {
        echo_alone(options, &mut report)?;
    } else {
        let binary = options.binary.as_deref().ok_or("no program to measure: --binary FILE")?;
        for part in &options.only {
            match part {
                Part::Calls => calls(options, binary, &mut report)?,
                Part::Commits => commits(options, binary, sync, &mut report)?,
                Part::Refusals => scale::refusals(options, binary, &mut report)?,
                Part::Keys if options.many_keys > 0 => scale::keys(options, binary, &mut report)?,
                Part::Recovery if options.records > 0 => recovery::measure(options, binary, &mut report)?,
                Part::Keys | Part::Recovery => {}
                Part::Signing => key_pairs::signing(options, binary, &mut report)?,
                Part::Generation => key_pairs::generation(options, binary, &mut report)?,
            }
        }
    }
    report.summary();
    if report.failures > 0 { Err(format!("{} calls failed", report.failures)) } else { Ok(()) }
}

/// The baseline by itself: what the machine and the client can do at most.
fn echo_alone(options: &Options, report: &mut Report) -> Result<(), String> {
    let directory = tempfile::tempdir_in(&options.data_root).map_err(|error| error.to_string())?;
    let (server, endpoint) = echo::start(directory.path())?;
    println!("echo       {}", yaoku::suite(&endpoint)?);
    let request = echo_request(&endpoint);
    report.heading();
    for &connections in &options.connections {
        report.echo(timed(options, connections, ECHOED).run(&request, &endpoint, &server)?);
    }
    server.stop().map(drop)
}

/// Echo and encryption in turn at every number of connections, then the other calls.
fn calls(options: &Options, binary: &Path, report: &mut Report) -> Result<(), String> {
    let directory = tempfile::tempdir_in(&options.data_root).map_err(|error| error.to_string())?;
    let (echo_server, echo) = echo::start(directory.path())?;
    let service = Yaoku::start(binary, &options.data_root)?;
    println!("echo       {}", yaoku::suite(&echo)?);
    println!(
        "service    {}, ready {} ms after its first start",
        yaoku::suite(&service.access_point)?,
        service.server.ready_after.as_millis()
    );

    let credential = service.create_credential()?;
    let key = service.create_key()?;
    let plaintext = plaintext();
    let fields = [("cmkUuid", key.as_str()), ("plaintext", plaintext.as_str())];
    let ciphertext = service.encrypt(&credential, &fields)?;
    let access_point = |path: &str, fields: &[(&str, &str)]| {
        Request::access_point(service.access_point.address, path, fields, &credential)
    };
    let on_access_point = |connections: usize, request: &Request| -> Result<Figures, String> {
        timed(options, connections, SUCCESS).run(request, &service.access_point, &service.server)
    };

    report.heading();
    let (echo_request, encrypt) = (echo_request(&echo), access_point("/keyCompute/encrypt", &fields));
    let most = options.connections.iter().max();
    for connections in &options.connections {
        // What is compared is measured in turn and more than once: the machine may be another one a second later.
        for _ in 0..if Some(connections) == most { options.rounds } else { 1 } {
            report.echo(timed(options, *connections, ECHOED).run(&echo_request, &echo, &echo_server)?);
            report.encrypt(on_access_point(*connections, &encrypt)?);
        }
    }
    let decrypt = access_point("/keyCompute/decrypt", &[("ciphertextBlob", ciphertext.as_str())]);
    report.row("decrypt", &on_access_point(FURTHER_CONNECTIONS, &decrypt)?);
    let data_key = access_point("/keyCompute/generateDataKey", &[("cmkUuid", key.as_str())]);
    report.row("generateDataKey", &on_access_point(FURTHER_CONNECTIONS, &data_key)?);
    let openapi =
        Request::openapi(service.openapi.address, "/v1/keyCompute/encrypt", &fields, &service.operator);
    let on_openapi =
        timed(options, FURTHER_CONNECTIONS, SUCCESS).run(&openapi, &service.openapi, &service.server)?;
    report.row("encrypt over OpenAPI", &on_openapi);
    report.comparison();
    println!();
    Ok(())
}

/// What one durable call costs, and what the service weighs once it holds many keys and stands idle.
fn commits(options: &Options, binary: &Path, sync: Duration, report: &mut Report) -> Result<(), String> {
    let sync_us = sync.as_secs_f64() * 1e6;
    println!("commit     {sync_us:.0} µs for a write and fdatasync of the disk");
    if let Some(encrypt) = report.encrypt_alone() {
        commit_line("encrypt", encrypt, sync_us);
    }
    if options.keys == 0 {
        return Ok(());
    }
    let service = Yaoku::start(binary, &options.data_root)?;
    let create = Request::openapi(service.openapi.address, "/v1/cmkManage/createKey", &[], &service.operator);
    let created_alone = options.keys.min(CREATED_ALONE);
    let alone =
        Load::counted(1, 1, created_alone, SUCCESS).run(&create, &service.openapi, &service.server)?;
    commit_line("createKey", &alone, sync_us);
    report.heading();
    report.row("createKey", &alone);
    if options.keys > created_alone {
        let load =
            Load::counted(CREATE_CONNECTIONS, options.client_threads, options.keys - created_alone, SUCCESS);
        report.row("createKey", &load.run(&create, &service.openapi, &service.server)?);
    }
    thread::sleep(IDLE);
    let idle = megabytes(service.server.resident_bytes()?);
    let service = service.restart()?;
    let ready_ms = service.server.ready_after.as_secs_f64() * 1e3;
    let restarted = megabytes(service.server.resident_bytes()?);
    let keys = options.keys;
    println!(
        "\nmemory     {idle:.1} MB idle with {keys} keys; after a restart {restarted:.1} MB, ready in {ready_ms:.0} ms"
    );
    report.figure(&format!("idle_memory_{keys}_keys"), idle, "MB", "under 40");
    report.figure(&format!("restarted_memory_{keys}_keys"), restarted, "MB", "under 40");
    report.figure(&format!("restart_ready_{keys}_keys"), ready_ms, "ms", "none");
    Ok(())
}

fn commit_line(name: &str, alone: &Figures, sync_us: f64) {
    let (per_second, us) = (alone.calls_per_second(), alone.us_per_call());
    println!(
        "commit     {us:.0} µs for one {name} by one client: {per_second:.0} a second, {:.1} times the fdatasync",
        us / sync_us.max(1e-9)
    );
}

fn timed(options: &Options, connections: usize, expect: &'static str) -> Load {
    Load::timed(connections, options.client_threads, options.measured, expect)
}

/// Of the same size and with the same work for the client as an encryption.
fn echo_request(endpoint: &client::Endpoint) -> Request {
    let credential = Credential {
        access_key: "7c92c33c3b0ea84e2d646b76f6c2cec7".to_owned(),
        secret_key: "bench".to_owned(),
    };
    let fields = [("cmkUuid", "241ede22-6261-4617-9caf-10d89990516c"), ("plaintext", &plaintext())];
    Request::access_point(endpoint.address, "/keyCompute/encrypt", &fields, &credential)
}

/// 32 bytes, a data key's worth.
fn plaintext() -> String {
    BASE64_STANDARD.encode(std::array::from_fn::<u8, 32, _>(|index| index as u8))
}
