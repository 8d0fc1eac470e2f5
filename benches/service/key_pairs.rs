//! Key pairs under load: signing through the service beside the cipher machine alone, and what encryptions suffer while RSA
//! keys are made without pause.

use std::path::Path;
use std::thread;
use std::time::Duration;

use firmware_sim::SignatureScheme;

use crate::SUCCESS;
use crate::bare::Bare;
use crate::load::{Figures, Load};
use crate::options::Options;
use crate::report::{Report, median, sorted};
use crate::signature::{Credential, Request};
use crate::yaoku::Yaoku;

const CONNECTIONS: usize = 64;
/// Keys of the rows that spread over several.
const SEVERAL: usize = 16;
/// A digest of 32 bytes.
const DIGEST: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const SETTINGS: &[(&str, &str)] = &[
    ("YAOKU_QUOTA_KEYS_PER_BASE_INSTANCE", "1000000"),
    ("YAOKU_QUOTA_ASYMMETRIC_VERSIONS_PER_ACCOUNT", "1000000"),
];
const ENCRYPTING: usize = 16;
/// Between the calls of a connection, so that the encryptions leave the processor time to make keys.
const PAUSE: Duration = Duration::from_millis(5);
/// Enough that the one thread that makes RSA keys always has the next to make.
const CREATING: usize = 3;
/// Keys are being made before the encryptions begin and after they end.
const AROUND: Duration = Duration::from_secs(1);

/// What is signed with.
struct Signing {
    name: &'static str,
    spec: &'static str,
    algorithm: &'static str,
    scheme: SignatureScheme,
    aim: &'static str,
}

const SIGNING: [Signing; 3] = [
    Signing {
        name: "rsa_pkcs1",
        spec: "RSA_2048",
        algorithm: "RSA_PKCS1_SHA_256",
        scheme: SignatureScheme::RsaPkcs1Sha256,
        aim: "5000, floor 2500",
    },
    Signing {
        name: "rsa_pss",
        spec: "RSA_2048",
        algorithm: "RSA_PSS_SHA_256",
        scheme: SignatureScheme::RsaPssSha256,
        aim: "5000, floor 2500",
    },
    Signing {
        name: "sm2",
        spec: "Ctyun_SM2",
        algorithm: "SM2DSA",
        scheme: SignatureScheme::Sm2,
        aim: "10000, floor 5000",
    },
];

/// Signing with one key and with several, in turn and more than once, beside the machine alone.
pub fn signing(options: &Options, binary: &Path, report: &mut Report) -> Result<(), String> {
    let directory = tempfile::tempdir_in(&options.data_root).map_err(|error| error.to_string())?;
    let bare = Bare::new(directory.path())?;
    bare.print()?;
    let service = Yaoku::start_with(binary, &options.data_root, SETTINGS)?;
    let credential = service.create_credential()?;
    for Signing { name, spec, algorithm, scheme, aim } in SIGNING {
        let requests = signatures(&service, &credential, spec, algorithm)?;
        let (mut one, mut several, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        report.heading();
        for _ in 0..options.rounds {
            let load = || Load::timed(CONNECTIONS, options.client_threads, options.measured, SUCCESS);
            let mut run = |requests: &[Request], title: String| -> Result<Figures, String> {
                let figures = load().run_each(requests, &service.access_point, &service.server)?;
                report.row(&title, &figures);
                Ok(figures)
            };
            one.push(run(&requests[..1], format!("sign {name}, 1 key"))?);
            several.push(run(&requests, format!("sign {name}, {SEVERAL} keys"))?);
            alone.push(bare.signs(scheme)?);
        }
        for (keys, runs) in [(1, &one), (SEVERAL, &several)] {
            let rate = median(&sorted(runs.iter().map(Figures::calls_per_second)));
            report.figure(&format!("sign_{name}_{keys}_keys"), rate, "calls/s", aim);
            let cpu = median(&sorted(runs.iter().map(Figures::server_cpu_us)));
            report.figure(&format!("sign_{name}_{keys}_keys_server_cpu"), cpu, "µs/call", "none");
        }
        let alone = median(&sorted(alone.into_iter()));
        report.figure(&format!("sign_{name}_machine_alone"), alone, "operations/s of one core", "none");
    }
    Ok(())
}

/// One request for each of several new keys.
fn signatures(
    service: &Yaoku,
    credential: &Credential,
    spec: &str,
    algorithm: &str,
) -> Result<Vec<Request>, String> {
    let request = |_| {
        let (key, version) = service.create_key_pair(spec, "SIGN/VERIFY")?;
        let fields = [
            ("cmkUuid", key.as_str()),
            ("keyVersionId", version.as_str()),
            ("algorithm", algorithm),
            ("digest", DIGEST),
        ];
        let (path, address) = ("/asymmetric/asymmetricSign", service.access_point.address);
        Ok(Request::access_point(address, path, &fields, credential))
    };
    (0..SEVERAL).map(request).collect()
}

/// Latency of encryptions with and without RSA keys being made all the while, in turn; under a moderate load and under one
/// that takes all there is.
pub fn generation(options: &Options, binary: &Path, report: &mut Report) -> Result<(), String> {
    let service = Yaoku::start_with(binary, &options.data_root, SETTINGS)?;
    let (credential, key) = (service.create_credential()?, service.create_key()?);
    let fields = [("cmkUuid", key.as_str()), ("plaintext", &crate::plaintext())];
    let encrypt =
        Request::access_point(service.access_point.address, "/keyCompute/encrypt", &fields, &credential);
    let fields = [("keySpec", "RSA_2048"), ("keyUsage", "SIGN/VERIFY")];
    let create =
        Request::openapi(service.openapi.address, "/v1/cmkManage/createKey", &fields, &service.operator);
    for (load, pause) in [("moderate", PAUSE), ("full", Duration::ZERO)] {
        let encrypting = || {
            let load = Load::timed(ENCRYPTING, options.client_threads, options.measured, SUCCESS);
            Load { pause, ..load }.run(&encrypt, &service.access_point, &service.server)
        };
        let creating = || {
            let load = Load::timed(CREATING, 1, options.measured + 2 * AROUND, SUCCESS);
            load.run(&create, &service.openapi, &service.server)
        };
        let (mut idle, mut busy, mut made) = (Vec::new(), Vec::new(), Vec::new());
        report.heading();
        for _ in 0..options.rounds {
            idle.push(encrypting()?);
            report.row(&format!("encrypt, {load} load"), &idle[idle.len() - 1]);
            let (encrypted, created) = thread::scope(|scope| {
                let created = scope.spawn(creating);
                thread::sleep(AROUND);
                (encrypting(), created.join().unwrap_or_else(|_| Err("a client thread panicked".to_owned())))
            });
            busy.push(encrypted?);
            report.row("  while RSA keys are made", &busy[busy.len() - 1]);
            made.push(created?);
            report.row("  createKey RSA_2048", &made[made.len() - 1]);
        }
        let p99 = |runs: &[Figures]| median(&sorted(runs.iter().map(|run| f64::from(run.p99_us))));
        let keys = median(&sorted(made.iter().map(Figures::calls_per_second)));
        report.figure(&format!("encrypt_p99_{load}_load_idle"), p99(&idle), "µs", "none");
        report.figure(&format!("encrypt_p99_{load}_load_while_keys_are_made"), p99(&busy), "µs", "none");
        // Of neighbours, because the machine may be another one a minute later.
        let pairs = idle.iter().zip(&busy);
        let ratio =
            median(&sorted(pairs.map(|(idle, busy)| f64::from(busy.p99_us) / f64::from(idle.p99_us.max(1)))));
        report.figure(&format!("encrypt_p99_{load}_load_ratio"), ratio, "times_idle", "at most 3");
        report.figure(&format!("rsa_keys_made_{load}_load"), keys, "keys/s", "none");
    }
    Ok(())
}
