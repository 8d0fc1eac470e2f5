//! What a large appliance costs: the time from a kill to the next ready line, with keys of many versions and a million audit
//! records, and the bytes on the disk of each record, under load and at a trickle.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ::yaoku::config::Config;
use ::yaoku::env::{Clock, Disk, Env, SystemEntropy, Timestamp};
use ::yaoku::gateway::Gateway;
use ::yaoku::ids::KeyId;
use ::yaoku::model::alias::KeyRef;
use ::yaoku::ops::rotation::RotateDueKey;
use ::yaoku::server::Server;

use crate::SUCCESS;
use crate::load::Load;
use crate::options::Options;
use crate::report::{Report, megabytes};
use crate::signature::Request;
use crate::yaoku::Yaoku;

const KEYS: u32 = 2000;
const VERSIONS: usize = 20;
const TRICKLE: u32 = 3000;
/// As many connections as make groups of about 200.
const CONNECTIONS: usize = 256;
const KILLS: usize = 5;
/// Rotations that are under way at the same time.
const ROTATIONS: usize = 200;
/// Longer than the interval of rotation.
const WEEK: Duration = Duration::from_secs(8 * 24 * 3600);
/// Everything moves to segment files at the next tick, so that their size can be told.
const SETTINGS: &[(&str, &str)] = &[
    ("YAOKU_AUDIT_TAIL_BLOCKS", "1"),
    ("YAOKU_CRON_TICK_SECONDS", "1"),
    ("YAOKU_QUOTA_KEYS_PER_BASE_INSTANCE", "3000"),
];
const MOVED_WITHIN: Duration = Duration::from_secs(60);

/// Builds the appliance, measures it, and kills it a few times.
pub fn measure(options: &Options, binary: &Path, report: &mut Report) -> Result<(), String> {
    let service = Yaoku::start_with(binary, &options.data_root, SETTINGS)?;
    let fields = [("enableAutomaticRotation", "true"), ("rotationInterval", "7d")];
    let create =
        Request::openapi(service.openapi.address, "/v1/cmkManage/createKey", &fields, &service.operator);
    report.heading();
    let created = Load::counted(16, 1, KEYS, SUCCESS).run(&create, &service.openapi, &service.server)?;
    report.row("createKey", &created);
    let service = service.between(rotate)?;

    let (credential, key) = (service.create_credential()?, service.create_key()?);
    let fields = [("cmkUuid", key.as_str()), ("plaintext", &crate::plaintext())];
    let encrypt =
        Request::access_point(service.access_point.address, "/keyCompute/encrypt", &fields, &credential);
    let run = |load: Load| load.run(&encrypt, &service.access_point, &service.server);
    settled(&service)?;
    let (before, records) = (segments(&service.data())?, service.audit_records()?);
    report.row("encrypt, trickle", &run(Load::counted(1, 1, TRICKLE, SUCCESS))?);
    settled(&service)?;
    let trickle = per_record(&service, before, records)?;
    let (before, records) = (segments(&service.data())?, service.audit_records()?);
    report.row(
        "encrypt, load",
        &run(Load::counted(CONNECTIONS, options.client_threads, options.records, SUCCESS))?,
    );
    settled(&service)?;
    let loaded = per_record(&service, before, records)?;
    let openapi =
        Request::openapi(service.openapi.address, "/v1/keyCompute/encrypt", &fields, &service.operator);
    let (before, records) = (segments(&service.data())?, service.audit_records()?);
    let load = Load::counted(CONNECTIONS, options.client_threads, options.records / 10, SUCCESS);
    report.row("encrypt over OpenAPI", &load.run(&openapi, &service.openapi, &service.server)?);
    settled(&service)?;
    let random_ids = per_record(&service, before, records)?;

    let (mut service, mut ready) = (service, Vec::new());
    for _ in 0..KILLS {
        service = service.kill_and_start()?;
        ready.push(service.server.ready_after.as_secs_f64() * 1e3);
    }
    let (size, records) = (megabytes(segments(&service.data())?), service.audit_records()?);
    let worst = ready.iter().copied().fold(0.0, f64::max);
    println!(
        "\nrecovery   {KEYS} keys of {VERSIONS} versions, {records} audit records in {size:.1} MB of segment files"
    );
    println!("           ready after each of {KILLS} kills: {ready:.0?} ms");
    report.figure("ready_after_kill", worst, "ms", "under 300");
    report.figure("audit_record_on_disk_under_load", loaded, "bytes", "under 80");
    report.figure("audit_record_on_disk_with_random_request_ids", random_ids, "bytes", "under 80");
    report.figure("audit_record_on_disk_at_a_trickle", trickle, "bytes", "none");
    Ok(())
}

/// Bytes of segment files for each record since then.
fn per_record(service: &Yaoku, before: u64, records: u64) -> Result<f64, String> {
    let (bytes, records) = (segments(&service.data())? - before, service.audit_records()? - records);
    Ok(bytes as f64 / records.max(1) as f64)
}

/// Waits until the segment files stop growing.
fn settled(service: &Yaoku) -> Result<(), String> {
    let (mut size, mut quiet) = (0, 0);
    for _ in 0..MOVED_WITHIN.as_secs() {
        thread::sleep(Duration::from_secs(1));
        let now = segments(&service.data())?;
        quiet = if now == size { quiet + 1 } else { 0 };
        if quiet == 4 {
            break;
        }
        size = now;
    }
    Ok(())
}

/// Bytes of all segment files.
fn segments(data: &Path) -> Result<u64, String> {
    let Ok(entries) = fs::read_dir(data.join("audit")) else { return Ok(0) };
    let lengths = entries.map(|entry| entry.and_then(|entry| entry.metadata()).map(|file| file.len()));
    lengths.sum::<std::io::Result<u64>>().map_err(|error| error.to_string())
}

/// Gives every key its versions: the service in this process, on a clock that jumps a week at a time.
fn rotate(data: &Path) -> Result<(), String> {
    let mut config = Config { data: data.to_owned(), ..Config::default() };
    config.openapi.listen = ([127, 0, 0, 1], 0).into();
    config.access_point.listen = ([127, 0, 0, 1], 0).into();
    // Nothing but the rotations below.
    config.cron.tick_seconds = 3600;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().map_err(|error| error.to_string())?;
    let start = Timestamp(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
    let env = Env { clock: Clock::manual(start), entropy: Arc::new(SystemEntropy), disk: Disk::System };
    actix::System::new().block_on(async {
        let failed = |error: ::yaoku::error::Error| format!("{error:?}");
        let server = Server::start(&config, &env).await.map_err(failed)?;
        let gateway = server.gateway().ok_or("the service is locked")?;
        for _ in 1..VERSIONS {
            env.clock.advance(WEEK);
            let due = gateway.app().store.due(env.clock.now(), None, KEYS as usize).map_err(failed)?;
            for group in due.chunks(ROTATIONS) {
                let rotations: Vec<_> = group
                    .iter()
                    .map(|due| actix::spawn(rotate_one(Arc::clone(&gateway), due.id.clone())))
                    .collect();
                for rotation in rotations {
                    rotation.await.map_err(|error| error.to_string())??;
                }
            }
        }
        server.stop().await;
        Ok(())
    })
}

async fn rotate_one(gateway: Arc<Gateway>, id: Vec<u8>) -> Result<(), String> {
    let id = <[u8; 16]>::try_from(id).map_err(|_| "an id has 16 bytes")?;
    let operation = RotateDueKey { cmk_uuid: KeyRef::Id(KeyId::from_bytes(id)) };
    gateway.submit(operation).await.map(drop).map_err(|error| format!("{error:?}"))
}
