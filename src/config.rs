//! Settings: the compiled-in default, then a file, then `YAOKU_…` variables. A setting that is unknown or malformed
//! stops the start; nothing falls back silently.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

use crate::model::rate::Rates;

/// Every setting with its default and a comment.
pub const DEFAULT: &str = include_str!("../config/default.toml");

/// The one variable of this family that is no setting: it names the profile of the commands that call a service.
pub const PROFILE_VARIABLE: &str = "YAOKU_PROFILE";

/// The effective settings; the fields are described in `config/default.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "every field is described once, in config/default.toml")]
pub struct Config {
    pub data: PathBuf,
    pub region: String,
    pub openapi: OpenApi,
    pub access_point: AccessPoint,
    pub tls: Tls,
    pub http: Http,
    pub metrics: Metrics,
    pub store: Store,
    pub audit: Audit,
    pub events: Events,
    pub custody: Custody,
    pub self_test: SelfTest,
    pub keepers: Keepers,
    pub time: Time,
    pub cron: Cron,
    pub quota: Quota,
    pub import: Import,
    pub erasure: Erasure,
    pub products: Products,
    pub log: Log,
    pub rates: Rates,
}

/// How the OpenAPI plane listens and answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct OpenApi {
    pub listen: SocketAddr,
    pub envelope: EnvelopeForm,
    pub http_status: StatusForm,
    pub date_zone: DateZone,
}

impl OpenApi {
    /// Whether business errors come with HTTP 200: the vendor's client cores lose the body of anything else.
    pub fn hides_status(&self) -> bool {
        self.envelope == EnvelopeForm::Gateway && self.http_status == StatusForm::Ctyun
    }
}

/// The form of OpenAPI answers (contract section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EnvelopeForm {
    /// `statusCode` 800 or 900 around the bare form.
    Gateway,
    /// The bare form.
    Bare,
}

/// Whether business errors keep their HTTP status (contract section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusForm {
    /// Business errors come with HTTP 200.
    Ctyun,
    /// The real status.
    Rest,
}

/// The zone of `Eop-date` (contract 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DateZone {
    /// Pinned by the first accepted request of each access key.
    #[serde(rename = "auto")]
    Auto,
    /// UTC.
    #[serde(rename = "utc")]
    Utc,
    /// UTC+8.
    #[serde(rename = "+08:00")]
    Beijing,
}

/// Where access points listen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct AccessPoint {
    pub listen: SocketAddr,
}

/// The server's certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Tls {
    pub names: Vec<String>,
}

/// Limits of the listeners.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Http {
    pub workers: usize,
    pub connections_max: usize,
    pub head_seconds: u64,
    pub body_seconds: u64,
    pub idle_seconds: u64,
}

/// Where metrics are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Metrics {
    #[serde(serialize_with = "write_address", deserialize_with = "read_address")]
    pub listen: Option<SocketAddr>,
}

/// Writes an address, or "" for none.
fn write_address<S: Serializer>(address: &Option<SocketAddr>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&address.map(|address| address.to_string()).unwrap_or_default())
}

/// Reads an address, or "" for none.
fn read_address<'a, D: Deserializer<'a>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    match text.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}

/// Limits of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Store {
    pub cache_bytes: usize,
    pub audit_places: usize,
    pub reserve_bytes: u64,
    pub reopen_milliseconds: u64,
}

/// The audit trail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Audit {
    pub checkpoint_seconds: u64,
    pub heads_file: PathBuf,
    pub tail_blocks: u64,
    pub retention_days: u64,
}

/// Events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Events {
    pub retention_days: u64,
}

/// Where the cipher machine keeps its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Custody {
    pub hsm: PathBuf,
    pub device: PathBuf,
    pub software_root: PathBuf,
    pub software_private_key: PathBuf,
    pub software_key: PathBuf,
}

/// When the cipher machine tests itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct SelfTest {
    pub interval_seconds: u64,
    pub corrupt: String,
}

/// How long records stay in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Keepers {
    pub idle_seconds: u64,
}

/// When the wall clock is trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Time {
    pub max_offline_gap_days: u64,
}

/// The scheduler.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Cron {
    pub tick_seconds: u64,
}

/// Quotas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Quota {
    pub keys_per_base_instance: u64,
    pub asymmetric_versions_per_account: u64,
    pub on_demand_keys_per_account: u64,
}

/// Imports of key material.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Import {
    pub spare_wrapping_keys: usize,
}

/// Rolls of wrapping keys after something was destroyed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Erasure {
    pub delay_seconds: u64,
}

/// Cloud products that have their data encrypted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Products {
    pub subscription_keys: bool,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "described in config/default.toml")]
pub struct Log {
    pub level: String,
}

/// Why the settings cannot be used.
#[derive(Debug)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// The effective settings: default, then `file`, then the `YAOKU_…` variables among `variables`.
    pub fn load(
        file: Option<&Path>,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut table = defaults();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConfigError(format!("cannot read {}: {error}", path.display())))?;
            let file: Table =
                text.parse().map_err(|error| ConfigError(format!("{}: {error}", path.display())))?;
            merge(&mut table, file);
        }
        for (name, value) in variables {
            let name = name.to_string_lossy();
            let Some(tail) = name.strip_prefix("YAOKU_").filter(|_| name != PROFILE_VARIABLE) else {
                continue;
            };
            let value = value.to_str().ok_or_else(|| ConfigError(format!("{name} is not valid UTF-8")))?;
            if !set(&mut table, &tail.to_ascii_lowercase(), value) {
                return Err(ConfigError(format!("{name} names no setting; see `yaoku config`")));
            }
        }
        Self::checked(table)
    }

    fn checked(table: Table) -> Result<Self, ConfigError> {
        let config: Self = table.try_into().map_err(|error| ConfigError(format!("settings: {error}")))?;
        let day = 24 * 3600;
        let bounds = [
            ("store.audit_places", config.store.audit_places as u64, 1, 1_000_000),
            ("store.cache_bytes", config.store.cache_bytes as u64, 1 << 16, 1 << 40),
            ("store.reserve_bytes", config.store.reserve_bytes, 1 << 16, 1 << 40),
            ("store.reopen_milliseconds", config.store.reopen_milliseconds, 1, 60_000),
            ("audit.checkpoint_seconds", config.audit.checkpoint_seconds, 1, day),
            ("audit.tail_blocks", config.audit.tail_blocks, 1, 1_000_000),
            ("audit.retention_days", config.audit.retention_days, 0, 100 * 366),
            ("events.retention_days", config.events.retention_days, 0, 100 * 366),
            ("http.workers", config.http.workers as u64, 0, 512),
            ("http.connections_max", config.http.connections_max as u64, 1, 1_000_000),
            ("http.head_seconds", config.http.head_seconds, 1, 3600),
            ("http.body_seconds", config.http.body_seconds, 1, 3600),
            ("http.idle_seconds", config.http.idle_seconds, 1, day),
            ("keepers.idle_seconds", config.keepers.idle_seconds, 1, 365 * day),
            ("time.max_offline_gap_days", config.time.max_offline_gap_days, 0, 100 * 366),
            ("cron.tick_seconds", config.cron.tick_seconds, 1, 3600),
            ("self_test.interval_seconds", config.self_test.interval_seconds, 60, 30 * day),
            ("quota.keys_per_base_instance", config.quota.keys_per_base_instance, 0, 1_000_000_000),
            (
                "quota.asymmetric_versions_per_account",
                config.quota.asymmetric_versions_per_account,
                0,
                1_000_000_000,
            ),
            ("erasure.delay_seconds", config.erasure.delay_seconds, 0, 30 * day),
            ("quota.on_demand_keys_per_account", config.quota.on_demand_keys_per_account, 0, 1_000_000_000),
            ("import.spare_wrapping_keys", config.import.spare_wrapping_keys as u64, 0, 1000),
        ];
        for (name, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                return Err(ConfigError(format!("{name} must be a whole number from {least} to {most}")));
            }
        }
        if config.data.as_os_str().is_empty() {
            return Err(ConfigError("data must name a directory".into()));
        }
        if !config.log.level.split(',').all(is_log_directive) {
            return Err(ConfigError(
                "log.level must be error, warn, info, debug, trace or a filter of them".into(),
            ));
        }
        if let Some(name) = config.tls.names.iter().find(|name| !is_host(name)) {
            return Err(ConfigError(format!("tls.names: {name:?} is neither a host name nor an address")));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if config.region.is_empty() || config.region.len() > 64 || !config.region.bytes().all(plain) {
            return Err(ConfigError("region must have 1 to 64 letters, digits, `-`, `_` or `.`".into()));
        }
        Ok(config)
    }

    /// The settings as a file that [`Config::load`] reads back.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("settings are tables of plain values")
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::checked(defaults()).expect("the compiled-in default is complete: checked by a test")
    }
}

/// A level, or `target=level`.
fn is_log_directive(directive: &str) -> bool {
    let (target, level) = directive.split_once('=').unwrap_or(("", directive));
    let known = ["off", "error", "warn", "info", "debug", "trace"];
    known.contains(&level.trim())
        && target.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte))
}

/// A host name of letters, digits and hyphens, or an address, as a certificate can be made out to.
fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    let tail = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<std::net::IpAddr>().is_ok() || (name.len() <= 253 && tail.split('.').all(label))
}

fn defaults() -> Table {
    DEFAULT.parse().expect("the compiled-in default is TOML: checked by a test")
}

fn merge(into: &mut Table, from: Table) {
    for (name, value) in from {
        match (into.get_mut(&name), value) {
            (Some(Value::Table(inner)), Value::Table(outer)) => merge(inner, outer),
            (_, value) => {
                into.insert(name, value);
            }
        }
    }
}

/// Sets the setting whose path, joined by `_`, is `name`. The present value says of which type the text must be.
fn set(table: &mut Table, name: &str, text: &str) -> bool {
    for (key, value) in table.iter_mut() {
        if let Value::Table(inner) = value {
            let tail = name.strip_prefix(key.as_str()).and_then(|tail| tail.strip_prefix('_'));
            if tail.is_some_and(|tail| set(inner, tail, text)) {
                return true;
            }
        } else if key == name {
            *value = match value {
                Value::Integer(_) => text.parse().map_or_else(|_| Value::String(text.into()), Value::Integer),
                Value::Array(_) => {
                    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                    Value::Array(items.map(|item| Value::String(item.into())).collect())
                }
                _ => Value::String(text.into()),
            };
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::load(None, variables.iter().map(|(name, value)| ((*name).into(), (*value).into())))
    }

    #[test]
    fn the_default_is_complete_and_reads_back() {
        let config = Config::default();
        assert_eq!(config.to_toml().parse::<Table>().unwrap(), defaults());
    }

    #[test]
    fn variables_reach_every_depth() {
        let config = load(&[
            ("YAOKU_DATA", "/tmp/x"),
            ("YAOKU_OPENAPI_LISTEN", "127.0.0.1:0"),
            ("YAOKU_ACCESS_POINT_LISTEN", "[::1]:0"),
            ("YAOKU_METRICS_LISTEN", "127.0.0.1:9100"),
            ("YAOKU_RATES_KEY_CREATE_OPENAPI", "7"),
            ("YAOKU_TLS_NAMES", "a.example, b.example"),
            ("YAOKU_PROFILE", "production"),
            ("HOME", "/root"),
        ])
        .unwrap();
        assert_eq!(config.data, PathBuf::from("/tmp/x"));
        assert_eq!(config.rates.key_create.openapi, 7);
        assert_eq!(config.tls.names, ["a.example", "b.example"]);
        assert!(config.access_point.listen.is_ipv6());
        assert_eq!(config.metrics.listen, "127.0.0.1:9100".parse().ok());
        assert_eq!(Config::default().metrics.listen, None);
    }

    #[test]
    fn a_wrong_setting_stops_the_start() {
        for (name, value) in [
            ("YAOKU_NO_SUCH", "1"),
            ("YAOKU_OPENAPI_LISTEN", "nowhere"),
            ("YAOKU_METRICS_LISTEN", "9100"),
            ("YAOKU_OPENAPI_ENVELOPE", "xml"),
            ("YAOKU_HTTP_HEAD_SECONDS", "0"),
            ("YAOKU_CRON_TICK_SECONDS", "soon"),
            ("YAOKU_REGION", ""),
            ("YAOKU_DATA", ""),
            ("YAOKU_HTTP_WORKERS", "513"),
            ("YAOKU_LOG_LEVEL", "inof"),
            ("YAOKU_LOG_LEVEL", "yaoku=inof"),
            ("YAOKU_TLS_NAMES", "钥库"),
            ("YAOKU_TLS_NAMES", "a..b"),
        ] {
            assert!(load(&[(name, value)]).is_err(), "{name}={value}");
        }
    }
}
