//! What grows with the number of keys, and what must not: list pages, describing a key, memory. And what a forged signature
//! costs the service beside a good one.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::SUCCESS;
use crate::load::{Figures, Load};
use crate::options::Options;
use crate::report::{Report, megabytes};
use crate::signature::{Credential, Request};
use crate::yaoku::Yaoku;

/// Where describing is measured first, and lists.
const FEW: u32 = 1_000;
const SOME: u32 = 2_000;
/// Keys that are described in turn.
const DESCRIBED: usize = 1_000;
/// Keys that are described once to see what memory they take, and how long their keepers stay.
const TOUCHED: usize = 20_000;
/// Long enough that nobody leaves during a measurement, short enough to wait for.
const KEEPERS_LEAVE_AFTER: Duration = Duration::from_secs(20);
const SETTINGS: &[(&str, &str)] =
    &[("YAOKU_QUOTA_KEYS_PER_BASE_INSTANCE", "1100000"), ("YAOKU_KEEPERS_IDLE_SECONDS", "10")];
const CONNECTIONS: usize = 64;
const PAGE: u32 = 100;
const COUNTED: u32 = 300;

/// Encryptions with a good signature and with a forged one, by the same client.
pub fn refusals(options: &Options, binary: &Path, report: &mut Report) -> Result<(), String> {
    let service = Yaoku::start(binary, &options.data_root)?;
    let (credential, key) = (service.create_credential()?, service.create_key()?);
    let fields = [("cmkUuid", key.as_str()), ("plaintext", &crate::plaintext())];
    let request = |credential: &Credential| {
        Request::access_point(service.access_point.address, "/keyCompute/encrypt", &fields, credential)
    };
    let forger = Credential { access_key: credential.access_key.clone(), secret_key: "guessed".to_owned() };
    // Below the number of strangers that are served at a time.
    let load = || Load::timed(32, options.client_threads, options.measured, SUCCESS);
    report.heading();
    let good = load().run(&request(&credential), &service.access_point, &service.server)?;
    report.row("encrypt", &good);
    let refused = Load { expect: "KMS.9040", status: 401, ..load() };
    let refused = refused.run(&request(&forger), &service.access_point, &service.server)?;
    report.row("encrypt, forged", &refused);
    let ratio = refused.server_cpu_us() / good.server_cpu_us().max(1e-9);
    report.figure("forged_signature_cpu", ratio, "times_accepted", "under 1");
    Ok(())
}

/// Lists, descriptions and memory at a thousand keys and at many.
pub fn keys(options: &Options, binary: &Path, report: &mut Report) -> Result<(), String> {
    let service = Yaoku::start_with(binary, &options.data_root, SETTINGS)?;
    report.heading();
    create(&service, options, FEW, report)?;
    let few = describe(&service, options, FEW, report)?;
    create(&service, options, SOME - FEW, report)?;
    let listed_some = list(&service, SOME, report)?;
    let service = service.restart()?;
    let memory_some = resident(&service)?;

    create(&service, options, options.many_keys.saturating_sub(SOME), report)?;
    let many = describe(&service, options, options.many_keys, report)?;
    let listed_many = list(&service, options.many_keys, report)?;
    let service = service.restart()?;
    let memory_many = resident(&service)?;
    let touch = requests(&service, TOUCHED)?;
    let touched = Load::counted(1, 1, u32::try_from(touch.len()).unwrap_or(u32::MAX), SUCCESS).run_each(
        &touch,
        &service.openapi,
        &service.server,
    )?;
    report.row("describeKey, each once", &touched);
    let memory_touched = resident(&service)?;
    thread::sleep(KEEPERS_LEAVE_AFTER);
    let memory_left = resident(&service)?;

    let keys = options.many_keys;
    println!(
        "\nmemory     {memory_some:.1} MB after a start with {SOME} keys, {memory_many:.1} MB with {keys}; \
         {memory_touched:.1} MB after {TOUCHED} of them were described, {memory_left:.1} MB once they were left alone"
    );
    let ratio = |many: &Figures, few: &Figures| many.us_per_call() / few.us_per_call().max(1e-9);
    let cpu = many.1.server_cpu_us() / few.1.server_cpu_us().max(1e-9);
    report.figure(
        &format!("describe_key_at_{keys}_keys"),
        ratio(&many.0, &few.0),
        "times_at_1000",
        "at most 2",
    );
    report.figure(&format!("describe_key_cpu_at_{keys}_keys"), cpu, "times_at_1000", "at most 2");
    for (name, (some, many)) in PAGES.iter().zip(listed_some.iter().zip(&listed_many)) {
        report.figure(&format!("list_{name}_page_at_{SOME}_keys"), some.us_per_call() / 1e3, "ms", "none");
        report.figure(&format!("list_{name}_page_at_{keys}_keys"), many.us_per_call() / 1e3, "ms", "none");
    }
    report.figure(&format!("memory_after_start_{keys}_keys"), memory_many, "MB", "under 40");
    report.figure("memory_of_keys_left_alone", memory_left - memory_many, "MB", "none");
    Ok(())
}

fn create(service: &Yaoku, options: &Options, count: u32, report: &mut Report) -> Result<(), String> {
    if count == 0 {
        return Ok(());
    }
    let create = Request::openapi(service.openapi.address, "/v1/cmkManage/createKey", &[], &service.operator);
    let load = Load::counted(256, options.client_threads, count, SUCCESS);
    report.row("createKey", &load.run(&create, &service.openapi, &service.server)?);
    Ok(())
}

/// One after the other, and in parallel.
fn describe(
    service: &Yaoku,
    options: &Options,
    keys: u32,
    report: &mut Report,
) -> Result<(Figures, Figures), String> {
    let requests = requests(service, DESCRIBED)?;
    let run = |load: Load| load.run_each(&requests, &service.openapi, &service.server);
    let alone = run(Load::timed(1, 1, options.measured, SUCCESS))?;
    report.row(&format!("describeKey of {keys}"), &alone);
    let together = run(Load::timed(CONNECTIONS, options.client_threads, options.measured, SUCCESS))?;
    report.row(&format!("describeKey of {keys}"), &together);
    Ok((alone, together))
}

fn requests(service: &Yaoku, count: usize) -> Result<Vec<Request>, String> {
    let keys = service.keys(count)?;
    let one = |key: &String| {
        let (path, fields) = ("/v1/keyManage/describeKey", [("cmkUuid", key.as_str())]);
        Request::openapi(service.openapi.address, path, &fields, &service.operator)
    };
    Ok(keys.iter().map(one).collect())
}

const PAGES: [&str; 3] = ["first", "middle", "last"];

/// The first page, one in the middle and the last, each by one client.
fn list(service: &Yaoku, keys: u32, report: &mut Report) -> Result<Vec<Figures>, String> {
    let last = keys.div_ceil(PAGE).max(1);
    let mut listed = Vec::new();
    for (name, number) in PAGES.iter().zip([1, last.div_ceil(2), last]) {
        let number = number.to_string();
        let fields = [("pageNumber", number.as_str()), ("pageSize", "100")];
        let (path, address) = ("/v1/keyManage/listAliasKeys", service.openapi.address);
        let request = Request::openapi(address, path, &fields, &service.operator);
        let load = Load::counted(1, 1, COUNTED, SUCCESS);
        let figures = load.run(&request, &service.openapi, &service.server)?;
        report.row(&format!("list, {name} page of {keys}"), &figures);
        listed.push(figures);
    }
    Ok(listed)
}

fn resident(service: &Yaoku) -> Result<f64, String> {
    thread::sleep(Duration::from_secs(3));
    Ok(megabytes(service.server.resident_bytes()?))
}
