//! A small blocking client of the OpenAPI plane: signs one call, sends it over TLS, opens the envelope of the reply.
//! It trusts the certificates of one file only, follows no redirect, uses no proxy and never repeats a call.

use std::error::Error;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider};
use zeroize::Zeroizing;

use crate::catalog;
use crate::env::{Env, Timestamp};

/// How long one call may take, from the connection to the last byte.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest reply that is read.
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Room for a reply at first: one with a data key then never moves, so that no copy of it is left behind.
const REPLY_BYTES_USUAL: usize = 64 * 1024;

/// Where the service is and who calls it. Has no `Debug`: it holds the secret key.
pub struct Profile {
    /// Scheme, host and port, such as `https://127.0.0.1:8443`.
    pub endpoint: String,
    /// PEM file with the certificates that may have signed the server's.
    pub ca: PathBuf,
    /// Names the caller.
    pub access_key: String,
    /// Signs the calls.
    pub secret_key: Zeroizing<String>,
}

/// Makes signed calls on behalf of one profile.
pub struct Client {
    profile: Profile,
    agent: Agent,
    env: Env,
}

impl Client {
    /// Reads the CA file and checks the profile; does not connect.
    pub fn new(mut profile: Profile, env: Env) -> Result<Self, ClientError> {
        let trimmed = profile.endpoint.trim_end_matches('/').len();
        profile.endpoint.truncate(trimmed);
        let uri: Option<Uri> = profile.endpoint.parse().ok();
        if !uri.is_some_and(|uri| {
            uri.scheme_str() == Some("https") && uri.host().is_some() && uri.query().is_none()
        }) {
            return Err(ClientError::BadEndpoint { endpoint: profile.endpoint });
        }
        let printable = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !printable(&profile.access_key) || !printable(&profile.secret_key) {
            return Err(ClientError::BadCredentials);
        }
        let agent = agent(&profile.ca, CALL_TIMEOUT)?;
        Ok(Self { profile, agent, env })
    }

    /// Calls an operation by its name in the catalog and returns the `result` object of the reply.
    pub fn call(&self, operation: &str, body: &Value) -> Result<Value, ClientError> {
        let path = path_of(operation)?;
        let body = Zeroizing::new(body.to_string());
        let request_id = uuid::Builder::from_random_bytes(self.random_bytes()?).into_uuid().to_string();
        let date = eop_date(self.env.clock.now());
        let Profile { endpoint, access_key, secret_key, .. } = &self.profile;
        let signed = [("ctyun-eop-request-id", request_id.as_str()), ("eop-date", date.as_str())];
        let signature = eop_signature(access_key, secret_key, &signed, "", body.as_bytes(), &date);

        let mut reply = self
            .agent
            .post(format!("{endpoint}/v1{path}"))
            .header("Content-Type", "application/json")
            .header("ctyun-eop-request-id", &request_id)
            .header("Eop-date", &date)
            .header(
                "Eop-Authorization",
                format!("{access_key} Headers=ctyun-eop-request-id;eop-date Signature={signature}"),
            )
            .send(body.as_bytes())
            .map_err(|cause| self.no_reply(cause))?;
        let http_status = reply.status().as_u16();
        let mut bytes = Zeroizing::new(Vec::with_capacity(REPLY_BYTES_USUAL));
        reply
            .body_mut()
            .as_reader()
            .take(REPLY_BYTES_MAX as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|cause| self.no_reply(cause.into()))?;
        if bytes.len() > REPLY_BYTES_MAX {
            return Err(ClientError::ReplyTooLarge);
        }
        open_envelope(http_status, &request_id, &bytes)
    }

    /// Clock and random source of the caller's machine.
    pub(super) fn env(&self) -> &Env {
        &self.env
    }

    /// Random bytes of the operating system.
    pub(super) fn random_bytes<const N: usize>(&self) -> Result<[u8; N], ClientError> {
        let mut bytes = [0; N];
        self.env.entropy.fill(&mut bytes).map_err(|_| ClientError::NoRandom)?;
        Ok(bytes)
    }

    /// Says what a failed connection means.
    fn no_reply(&self, cause: ureq::Error) -> ClientError {
        let endpoint = self.profile.endpoint.clone();
        let ca = self.profile.ca.clone();
        match cause {
            ureq::Error::Timeout(_) => ClientError::TimedOut { endpoint },
            ureq::Error::Io(cause) if cause.kind() == io::ErrorKind::TimedOut => {
                ClientError::TimedOut { endpoint }
            }
            ureq::Error::Io(cause) => match cause.downcast::<rustls::Error>() {
                Ok(cause) => ClientError::TlsFailed { endpoint, ca, cause },
                Err(cause) => ClientError::Unreachable { endpoint, cause },
            },
            ureq::Error::Rustls(cause) => ClientError::TlsFailed { endpoint, ca, cause },
            cause => ClientError::Unreachable { endpoint, cause: io::Error::other(cause) },
        }
    }
}

/// Speaks TLS with whoever shows a certificate of this CA file, and with nobody else.
pub fn agent(ca: &Path, timeout: Duration) -> Result<Agent, ClientError> {
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(root_certificates(ca)?)
        .build();
    Ok(Agent::config_builder()
        .tls_config(tls)
        .https_only(true)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(timeout))
        // A command makes one call, then perhaps works on a file for hours: no connection is kept.
        .max_idle_connections(0)
        .user_agent(concat!("yaoku/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent())
}

/// The path of an operation that can be called from outside.
pub(super) fn path_of(operation: &str) -> Result<&'static str, ClientError> {
    let path = catalog::by_name(operation).and_then(|row| row.spec.paths.first());
    path.copied().ok_or_else(|| ClientError::NoSuchOperation { operation: operation.to_owned() })
}

/// The signature of one call (contract, section 2.1), as Base64. `signed_headers` are lower-case names with their
/// values, sorted by name; `query` is canonical; `date` is the value of `eop-date`.
pub fn eop_signature(
    access_key: &str,
    secret_key: &str,
    signed_headers: &[(&str, &str)],
    query: &str,
    body: &[u8],
    date: &str,
) -> String {
    assert!(signed_headers.is_sorted_by_key(|(name, _)| *name), "signed headers are sorted by name");
    let mut text = String::new();
    for (name, value) in signed_headers {
        text.extend([name, ":", value, "\n"]);
    }
    text.extend(["\n", query, "\n", &hex::encode(Sha256::digest(body))]);
    let day = date.get(..8).unwrap_or(date);
    let time_key = hmac_sha256(secret_key.as_bytes(), date.as_bytes());
    let access_key = hmac_sha256(time_key.as_slice(), access_key.as_bytes());
    let day_key = hmac_sha256(access_key.as_slice(), day.as_bytes());
    STANDARD.encode(hmac_sha256(day_key.as_slice(), text.as_bytes()).as_slice())
}

/// Why a call did not return a result.
#[derive(Debug)]
pub enum ClientError {
    /// The catalog has no such operation, or it cannot be called from outside.
    NoSuchOperation {
        /// As given.
        operation: String,
    },
    /// The endpoint is not an HTTPS address.
    BadEndpoint {
        /// As given.
        endpoint: String,
    },
    /// A key of the profile is empty or has characters that no key has.
    BadCredentials,
    /// The CA file cannot be read.
    CaUnreadable {
        /// The file.
        ca: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// The CA file holds no certificate.
    CaEmpty {
        /// The file.
        ca: PathBuf,
    },
    /// The operating system gave no random bytes.
    NoRandom,
    /// There is no such host, no connection to it, or it broke.
    Unreachable {
        /// The endpoint.
        endpoint: String,
        /// What the system says.
        cause: io::Error,
    },
    /// There is a connection but no TLS: mostly the wrong CA or the wrong host name.
    TlsFailed {
        /// The endpoint.
        endpoint: String,
        /// The CA file.
        ca: PathBuf,
        /// What was wrong.
        cause: rustls::Error,
    },
    /// No complete reply within the time allowed.
    TimedOut {
        /// The endpoint.
        endpoint: String,
    },
    /// The reply is larger than any of the service.
    ReplyTooLarge,
    /// The reply is not one of this service.
    NotUnderstood {
        /// The status of the reply.
        http_status: u16,
        /// The id of the call.
        request_id: String,
    },
    /// The service refused the call.
    Refused {
        /// Such as `KMS.0102`.
        code: String,
        /// Such as `Rejected.Disabled`; empty in the bare envelope.
        symbol: String,
        /// In English.
        message: String,
        /// Names the call in the audit log.
        request_id: String,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchOperation { operation } => {
                let rows = catalog::ROWS.iter().filter(|row| !row.spec.paths.is_empty());
                let names: Vec<&str> = rows.map(|row| row.spec.name).collect();
                write!(f, "there is no operation {operation}; there are {}", names.join(", "))
            }
            Self::BadEndpoint { endpoint } => {
                write!(
                    f,
                    "the endpoint {endpoint:?} is not an address like https://127.0.0.1:8443: correct the profile"
                )
            }
            Self::BadCredentials => {
                f.write_str("the access key or secret key is empty or has blanks: correct the profile")
            }
            Self::CaUnreadable { ca, cause } => {
                write!(
                    f,
                    "cannot read the CA file {}: {cause}; it is tls/ca.pem in the data directory of the service",
                    ca.display()
                )
            }
            Self::CaEmpty { ca } => {
                write!(
                    f,
                    "the CA file {} holds no PEM certificate: use tls/ca.pem of the service",
                    ca.display()
                )
            }
            Self::NoRandom => f.write_str("the operating system gave no random bytes: try again"),
            Self::Unreachable { endpoint, cause } => {
                write!(
                    f,
                    "no connection to {endpoint}: {cause}; check the host and port, that the service runs, and the firewall"
                )
            }
            Self::TlsFailed { endpoint, ca, cause } => write!(
                f,
                "no secure connection to {endpoint}: {cause}; check that {} is the CA of this service and that its certificate names this host",
                ca.display()
            ),
            Self::TimedOut { endpoint } => write!(
                f,
                "{endpoint} did not reply within {} seconds: check the network and the load of the service",
                CALL_TIMEOUT.as_secs()
            ),
            Self::ReplyTooLarge => {
                write!(f, "the reply has more than {REPLY_BYTES_MAX} bytes: check the endpoint")
            }
            Self::NotUnderstood { http_status, request_id } => write!(
                f,
                "the reply (HTTP {http_status}) is not one of this service: check the endpoint for a proxy in between, and the path (request {request_id})"
            ),
            Self::Refused { code, symbol, message, request_id, .. } => {
                let blank = if symbol.is_empty() { "" } else { " " };
                write!(f, "{code}{blank}{symbol}: {message} (request {request_id})")
            }
        }
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::CaUnreadable { cause, .. } | Self::Unreachable { cause, .. } => Some(cause),
            Self::TlsFailed { cause, .. } => Some(cause),
            Self::NoSuchOperation { .. }
            | Self::BadEndpoint { .. }
            | Self::BadCredentials
            | Self::CaEmpty { .. }
            | Self::NoRandom
            | Self::TimedOut { .. }
            | Self::ReplyTooLarge
            | Self::NotUnderstood { .. }
            | Self::Refused { .. } => None,
        }
    }
}

fn root_certificates(ca: &Path) -> Result<RootCerts, ClientError> {
    let pem = fs::read(ca).map_err(|cause| ClientError::CaUnreadable { ca: ca.to_owned(), cause })?;
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(ClientError::CaEmpty { ca: ca.to_owned() }),
        }
    }
    if certificates.is_empty() {
        return Err(ClientError::CaEmpty { ca: ca.to_owned() });
    }
    Ok(RootCerts::from(certificates))
}

/// Takes the result out of a gateway or bare envelope (contract, section 3), or the reason of a refusal.
fn open_envelope(http_status: u16, request_id: &str, body: &[u8]) -> Result<Value, ClientError> {
    let not_understood = || ClientError::NotUnderstood { http_status, request_id: request_id.to_owned() };
    let mut reply: Value = serde_json::from_slice(body).map_err(|_| not_understood())?;
    let gateway = reply.get("statusCode").and_then(Value::as_u64) == Some(800);
    let bare = if gateway { reply.get_mut("returnObj").ok_or_else(not_understood)? } else { &mut reply };
    if (200..300).contains(&http_status) && bare.get("code").and_then(Value::as_u64) == Some(200) {
        return bare.get_mut("result").map(Value::take).ok_or_else(not_understood);
    }
    let text = |name: &str| bare.get(name).and_then(Value::as_str).map(str::to_owned);
    Err(ClientError::Refused {
        code: text("errorCode").or_else(|| text("code")).ok_or_else(not_understood)?,
        symbol: text("error").unwrap_or_default(),
        message: text("message").unwrap_or_default(),
        request_id: text("requestId").unwrap_or_else(|| request_id.to_owned()),
    })
}

/// `yyyyMMdd'T'HHmmss'Z'`.
fn eop_date(now: Timestamp) -> String {
    let now = OffsetDateTime::from_unix_timestamp(now.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second()
    )
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_worked_example() {
        let signed = [
            ("ctyun-eop-request-id", "27cfe4dc-e640-45f6-92ca-492ca73e8680"),
            ("eop-date", "20260101T080000Z"),
        ];
        let body = br#"{"cmkUuid":"241ede22-6261-4617-9caf-10d89990516c","plaintext":"SGVsbG8gd29ybGQ="}"#;
        let found = eop_signature("kms-demo-ak", "kms-demo-sk", &signed, "", body, "20260101T080000Z");
        assert_eq!(found, "SQ4IMMQo1Oy9nHc6taIoQ0ScCTkeM9upeQYkxdECXG4=");
    }

    #[test]
    fn the_signature_covers_the_query() {
        let signed = [("ctyun-eop-request-id", "request-123"), ("eop-date", "20260613T010203Z")];
        let body = br#"{"regionID":"81f7728662dd11ec810800155d307d5b"}"#;
        let found = eop_signature("test-ak", "test-sk", &signed, "a=1&b=two", body, "20260613T010203Z");
        assert_eq!(found, "h+H8K5CbPz1DjnbVWA+FEPGbbcEJOzVsi2GQv4LroyM=");
    }

    #[test]
    fn dates_have_the_form_that_is_signed() {
        let at = Timestamp::from_seconds(1_767_254_405);
        assert_eq!(eop_date(at), "20260101T080005Z");
    }

    #[test]
    fn both_envelopes_give_the_result() {
        let bare = r#"{"code":200,"result":{"cmkUuid":"k"},"statusCode":200,"success":1}"#;
        let gateway = format!(r#"{{"statusCode":800,"returnObj":{bare}}}"#);
        for body in [bare, &gateway] {
            let found = open_envelope(200, "id", body.as_bytes()).expect("a result");
            assert_eq!(found, serde_json::json!({"cmkUuid": "k"}));
        }
    }

    #[test]
    fn both_envelopes_give_the_refusal() {
        let bare = r#"{"code":"KMS.0102","message":"no","statusCode":400,"success":0,"requestId":"r"}"#;
        let gateway = format!(
            r#"{{"statusCode":900,"error":"Rejected.Disabled","errorCode":"KMS.0102","message":"no","description":"否","requestId":"r","returnObj":{bare}}}"#
        );
        for (body, status, prefix) in
            [(bare, 400, "KMS.0102: no"), (&gateway, 200, "KMS.0102 Rejected.Disabled: no")]
        {
            let refused = open_envelope(status, "id", body.as_bytes()).expect_err("refused");
            assert_eq!(refused.to_string(), format!("{prefix} (request r)"));
        }
    }

    #[test]
    fn replies_of_others_are_not_understood() {
        let success = r#"{"code":200,"result":{},"statusCode":200,"success":1}"#;
        for (status, body) in [
            (302, ""),
            (502, "<html>bad gateway</html>"),
            (200, "[]"),
            (200, r#"{"statusCode":800}"#),
            (200, r#"{"statusCode":800,"returnObj":{"code":200}}"#),
            (500, success),
        ] {
            let found = open_envelope(status, "id", body.as_bytes());
            assert!(matches!(found, Err(ClientError::NotUnderstood { .. })), "{body}");
        }
    }

    #[test]
    fn a_profile_is_checked_before_any_call() {
        let folder = tempfile::tempdir().expect("folder");
        let ca = folder.path().join("ca.pem");
        let new = |endpoint: &str, access_key: &str| {
            let profile = Profile {
                endpoint: endpoint.into(),
                ca: ca.clone(),
                access_key: access_key.into(),
                secret_key: Zeroizing::new("secret".into()),
            };
            Client::new(profile, Env::system()).err()
        };
        for endpoint in ["http://127.0.0.1:8443", "127.0.0.1:8443", "", "https://", "https://h/?a=b"] {
            assert!(matches!(new(endpoint, "ak"), Some(ClientError::BadEndpoint { .. })), "{endpoint}");
        }
        assert!(matches!(new("https://127.0.0.1:8443/", "a\nb"), Some(ClientError::BadCredentials)));
        assert!(matches!(new("https://127.0.0.1:8443/", "ak"), Some(ClientError::CaUnreadable { .. })));
        fs::write(&ca, "no certificate").expect("write");
        assert!(matches!(new("https://127.0.0.1:8443/", "ak"), Some(ClientError::CaEmpty { .. })));
    }
}
