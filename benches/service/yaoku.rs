//! The service under measurement: a child process on a fresh data directory, and the few calls that bring
//! it from its first start to an access point that encrypts.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::client::Endpoint;
use crate::process::Server;
use crate::signature::{Credential, Request};

/// Rates far above what one machine reaches, so that the service is measured and not its throttle.
const CONFIG: &str = "\
[rates]
key_create = { openapi = 10000000, access_point = 10000000 }
key_read = { openapi = 10000000, access_point = 10000000 }
key_write = { openapi = 10000000, access_point = 10000000 }
symmetric = { openapi = 10000000, access_point = 10000000 }
asymmetric = { openapi = 10000000, access_point = 10000000 }
default_key = { openapi = 10000000, access_point = 10000000 }
integrity = { openapi = 10000000, access_point = 10000000 }
random = { openapi = 10000000, access_point = 10000000 }
other_read = { openapi = 10000000, access_point = 10000000 }
other_write = { openapi = 10000000, access_point = 10000000 }
";
const LOG_EXCERPT_LINES: usize = 10;

/// A running service with its first account.
pub struct Yaoku {
    // Dropped in this order: the process ends before its directory goes.
    pub server: Server,
    pub openapi: Endpoint,
    pub access_point: Endpoint,
    pub operator: Credential,
    access_point_id: String,
    home: Home,
}

struct Home {
    binary: PathBuf,
    directory: TempDir,
    settings: &'static [(&'static str, &'static str)],
}

impl Yaoku {
    /// Starts `binary` on an empty data directory below `data_root`.
    pub fn start(binary: &Path, data_root: &Path) -> Result<Self, String> {
        Self::start_with(binary, data_root, &[])
    }

    /// Starts it with some settings, named by their variables.
    pub fn start_with(
        binary: &Path,
        data_root: &Path,
        settings: &'static [(&'static str, &'static str)],
    ) -> Result<Self, String> {
        let directory = tempfile::Builder::new().prefix("yaoku-bench-").tempdir_in(data_root);
        let home = Home {
            binary: binary.to_owned(),
            directory: directory.map_err(|error| error.to_string())?,
            settings,
        };
        Self::launch(home)
    }

    /// Stops the process and starts it again on the same data.
    pub fn restart(self) -> Result<Self, String> {
        let status = self.server.stop()?;
        if !status.success() {
            println!("the service stopped with {status}");
        }
        Self::launch(self.home)
    }

    /// Kills the process and starts it again on the same data.
    pub fn kill_and_start(self) -> Result<Self, String> {
        drop(self.server);
        Self::launch(self.home)
    }

    /// Stops the process, has something done to its data, and starts it again.
    pub fn between(self, work: impl FnOnce(&Path) -> Result<(), String>) -> Result<Self, String> {
        self.server.stop()?;
        work(&self.home.directory.path().join("data"))?;
        Self::launch(self.home)
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.home.directory.path().join("data")
    }

    /// How many audit records there are.
    pub fn audit_records(&self) -> Result<u64, String> {
        let described = self.call_openapi("/v1/system/describeSystem", &[])?;
        described["auditRecords"].as_u64().ok_or_else(|| "the service left out auditRecords".to_owned())
    }

    fn launch(home: Home) -> Result<Self, String> {
        let data = home.directory.path().join("data");
        let config = home.directory.path().join("bench.toml");
        let log = home.directory.path().join("server.log");
        fs::write(&config, CONFIG).map_err(|error| error.to_string())?;
        let mut command = Command::new(&home.binary);
        command.arg("serve").arg("--config").arg(&config).arg("--data").arg(&data);
        command.envs(home.settings.iter().copied());
        command.env("YAOKU_OPENAPI_LISTEN", "127.0.0.1:0").env("YAOKU_ACCESS_POINT_LISTEN", "127.0.0.1:0");
        command.stderr(File::create(&log).map_err(|error| error.to_string())?);
        let (server, ready) = Server::start(&mut command).map_err(|error| error + &log_excerpt(&log))?;

        let first_run_file = data.join("first-run.json");
        let first_run =
            fs::read(&first_run_file).map_err(|error| format!("{}: {error}", first_run_file.display()))?;
        let first_run: Value = serde_json::from_slice(&first_run)
            .map_err(|error| format!("{}: {error}", first_run_file.display()))?;
        let authority = data.join("tls/ca.pem");
        Ok(Self {
            server,
            openapi: Endpoint::new(&text(&ready, "openapi")?, &authority)?,
            access_point: Endpoint::new(&text(&ready, "accessPoint")?, &authority)?,
            operator: credential(&first_run["openapi"])?,
            access_point_id: text(&first_run, "accessPointId")?,
            home,
        })
    }

    /// A new credential of the access point that exists from the start.
    pub fn create_credential(&self) -> Result<Credential, String> {
        let fields = [("accessPointId", self.access_point_id.as_str())];
        credential(&self.call_openapi("/v1/userAk/createUserAk", &fields)?)
    }

    /// A new AES-256 key; returns its UUID.
    pub fn create_key(&self) -> Result<String, String> {
        text(&self.call_openapi("/v1/cmkManage/createKey", &[])?, "cmkUuid")
    }

    /// A new key pair; returns its UUID and the id of its first version.
    pub fn create_key_pair(&self, spec: &str, usage: &str) -> Result<(String, String), String> {
        let fields = [("keySpec", spec), ("keyUsage", usage)];
        let key = text(&self.call_openapi("/v1/cmkManage/createKey", &fields)?, "cmkUuid")?;
        let fields = [("cmkUuid", key.as_str())];
        let listed = self.call_openapi("/v1/versionControl/listKeyVersions", &fields)?;
        let version = text(&listed["keyVersions"][0], "keyVersionId")?;
        Ok((key, version))
    }

    /// Encrypts once over the access point; returns the ciphertext.
    pub fn encrypt(&self, credential: &Credential, fields: &[(&str, &str)]) -> Result<String, String> {
        let request =
            Request::access_point(self.access_point.address, "/keyCompute/encrypt", fields, credential);
        let reply = call(&self.access_point, request)?;
        text(successful(&reply, "data")?, "ciphertextBlob")
    }

    /// Ids of up to `count` keys, from pages that lie evenly over the list of all.
    pub fn keys(&self, count: usize) -> Result<Vec<String>, String> {
        let page = |number: u64| {
            let number = number.to_string();
            let fields = [("pageNumber", number.as_str()), ("pageSize", "100")];
            self.call_openapi("/v1/keyManage/listAliasKeys", &fields)
        };
        let pages = page(1)?["totalCount"].as_u64().unwrap_or_default().div_ceil(100).max(1);
        let wanted = pages.min(count.div_ceil(100) as u64).max(1);
        let mut keys = Vec::new();
        for index in 0..wanted {
            let listed = page(1 + index * pages / wanted)?;
            for key in listed["keys"].as_array().into_iter().flatten() {
                keys.push(text(key, "cmkUuid")?);
            }
        }
        Ok(keys)
    }

    fn call_openapi(&self, path: &str, fields: &[(&str, &str)]) -> Result<Value, String> {
        let reply =
            call(&self.openapi, Request::openapi(self.openapi.address, path, fields, &self.operator))?;
        successful(&reply["returnObj"], "result").cloned().map_err(|_| format!("{path}: {reply}"))
    }
}

/// Version and cipher suite that `endpoint` agrees on with the client of the bench.
pub fn suite(endpoint: &Endpoint) -> Result<String, String> {
    alone(async {
        Ok(endpoint.connect().await.map_err(|error| format!("{}: {error}", endpoint.address))?.suite())
    })
}

fn call(endpoint: &Endpoint, mut request: Request) -> Result<Value, String> {
    alone(async {
        let failed = |error: std::io::Error| format!("{}: {error}", endpoint.address);
        let mut connection = endpoint.connect().await.map_err(failed)?;
        request.sign(std::time::SystemTime::now());
        let reply = connection.call(request.bytes()).await.map_err(failed)?;
        let parsed = serde_json::from_slice(reply.body);
        parsed.ok().filter(|_| reply.status == 200).ok_or_else(|| reply.excerpt())
    })
}

/// Runs one step of the preparation, which may take a while but not for ever.
fn alone<T>(step: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let limited = async { tokio::time::timeout(std::time::Duration::from_secs(20), step).await };
    runtime.block_on(limited).map_err(|_| "no reply in time".to_owned())?
}

/// The result object of a reply whose code is 200.
fn successful<'a>(reply: &'a Value, result: &str) -> Result<&'a Value, String> {
    if reply["code"] == 200 { Ok(&reply[result]) } else { Err(reply.to_string()) }
}

fn credential(object: &Value) -> Result<Credential, String> {
    Ok(Credential { access_key: text(object, "accessKey")?, secret_key: text(object, "secretKey")? })
}

fn text(object: &Value, field: &str) -> Result<String, String> {
    object[field].as_str().map(str::to_owned).ok_or_else(|| format!("the service left out {field}"))
}

fn log_excerpt(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_EXCERPT_LINES)..].iter().map(|line| format!("\n  {line}")).collect()
}
