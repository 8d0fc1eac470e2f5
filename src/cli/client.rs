//! A small blocking client of both planes: signs one call, sends it over TLS, opens the envelope of the reply. It trusts
//! the certificates of one file only, follows no redirect, uses no proxy and never repeats a call.

mod error;
mod signing;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use ureq::Agent;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, TlsProvider};
use zeroize::Zeroizing;

pub use error::ClientError;
use signing::{access_point_date, access_point_hmac, eop_date, eop_signature};

use crate::catalog;
use crate::env::Env;
use crate::model::principal;

/// How long one call may take, from the connection to the last byte.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest reply that is read.
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Room for a reply at first: one with a data key then never moves, so that no copy of it is left behind.
const REPLY_BYTES_USUAL: usize = 64 * 1024;

/// The surface that a profile speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Plane {
    /// For people and scripts that administer
    #[default]
    #[serde(rename = "openapi")]
    #[value(name = "openapi")]
    OpenApi,
    /// For applications
    AccessPoint,
}

impl Plane {
    /// The same plane, as the catalog names it.
    pub fn in_catalog(self) -> principal::Plane {
        match self {
            Self::OpenApi => principal::Plane::OpenApi,
            Self::AccessPoint => principal::Plane::AccessPoint,
        }
    }

    /// As the command line and profiles write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenApi => "openapi",
            Self::AccessPoint => "access-point",
        }
    }
}

/// Where the service is and who calls it. Has no `Debug`: it holds the secret key.
pub struct Profile {
    /// Which plane the endpoint is of.
    pub plane: Plane,
    /// Scheme, host and port, such as `https://127.0.0.1:8443`.
    pub endpoint: String,
    /// PEM file with the certificates that may have signed the server's.
    pub ca: PathBuf,
    /// Names the caller.
    pub access_key: String,
    /// Signs the calls.
    pub secret_key: Zeroizing<String>,
}

/// Path, headers and body of a call.
type Signed = (String, [(&'static str, String); 3], Zeroizing<String>);

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

    /// Calls an operation by its name in the catalog and returns the result object of the reply.
    pub fn call(&self, operation: &str, body: &Value) -> Result<Value, ClientError> {
        let plane = self.profile.plane;
        let row = catalog::by_name(operation).filter(|row| row.spec.reach.contains(plane.in_catalog()));
        let path = row.and_then(|row| row.spec.paths.first()).copied();
        let path = path.ok_or_else(|| ClientError::NoSuchOperation {
            operation: operation.to_owned(),
            plane: plane.name(),
        })?;
        let request_id = uuid::Builder::from_random_bytes(self.random_bytes()?).into_uuid().to_string();
        let (path, headers, body) = match plane {
            Plane::OpenApi => self.sign_eop(path, body, &request_id),
            Plane::AccessPoint => self.sign_access_point(path, body),
        };
        let mut request = self
            .agent
            .post(format!("{}{path}", self.profile.endpoint))
            .header("Content-Type", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut reply = request.send(body.as_bytes()).map_err(|cause| self.no_reply(cause))?;
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
        open_envelope(plane, http_status, &request_id, &bytes)
    }

    /// Path, headers and body of an OpenAPI call.
    fn sign_eop(&self, path: &str, body: &Value, request_id: &str) -> Signed {
        let body = Zeroizing::new(body.to_string());
        let date = eop_date(self.env.clock.now());
        let Profile { access_key, secret_key, .. } = &self.profile;
        let signed = [("ctyun-eop-request-id", request_id), ("eop-date", date.as_str())];
        let signature = eop_signature(access_key, secret_key, &signed, "", body.as_bytes(), &date);
        let authorization =
            format!("{access_key} Headers=ctyun-eop-request-id;eop-date Signature={signature}");
        let headers = [
            ("ctyun-eop-request-id", request_id.to_owned()),
            ("Eop-date", date),
            ("Eop-Authorization", authorization),
        ];
        (format!("/v1{path}"), headers, body)
    }

    /// Path, headers and body of an access-point call. Lists and objects go as JSON strings: nothing else can be signed.
    fn sign_access_point(&self, path: &str, body: &Value) -> Signed {
        let flat = |value: &Value| match value {
            Value::Array(_) | Value::Object(_) => Value::String(value.to_string()),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
        };
        let fields = body.as_object().into_iter().flatten();
        let fields = fields.map(|(name, value)| (name.clone(), flat(value))).collect();
        let date = access_point_date(self.env.clock.now());
        let Profile { access_key, secret_key, .. } = &self.profile;
        let hmac = access_point_hmac(access_key, secret_key, &fields, &date, path);
        let headers = [("accessKey", access_key.clone()), ("requestDate", date), ("hmac", hmac)];
        (path.to_owned(), headers, Zeroizing::new(Value::Object(fields).to_string()))
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

/// Takes the result out of an envelope of its plane (contract, section 3), or the reason of a refusal.
fn open_envelope(
    plane: Plane,
    http_status: u16,
    request_id: &str,
    body: &[u8],
) -> Result<Value, ClientError> {
    let not_understood = || ClientError::NotUnderstood { http_status, request_id: request_id.to_owned() };
    let mut reply: Value = serde_json::from_slice(body).map_err(|_| not_understood())?;
    let (gateway, result) = match plane {
        Plane::OpenApi => (reply.get("statusCode").and_then(Value::as_u64) == Some(800), "result"),
        Plane::AccessPoint => (false, "data"),
    };
    let bare = if gateway { reply.get_mut("returnObj").ok_or_else(not_understood)? } else { &mut reply };
    if (200..300).contains(&http_status) && bare.get("code").and_then(Value::as_u64) == Some(200) {
        return bare.get_mut(result).map(Value::take).ok_or_else(not_understood);
    }
    let text = |name: &str| bare.get(name).and_then(Value::as_str).map(str::to_owned);
    let statuses = [bare.pointer("/returnObj/statusCode"), bare.get("statusCode"), bare.get("code")];
    let statuses = statuses.into_iter().flatten().filter_map(Value::as_u64);
    let status = statuses.filter_map(|status| u16::try_from(status).ok()).find(|it| (200..600).contains(it));
    Err(ClientError::Refused {
        status: status.unwrap_or(http_status),
        code: text("errorCode").or_else(|| text("code")).ok_or_else(not_understood)?,
        symbol: text("error").unwrap_or_default(),
        message: text("message").unwrap_or_default(),
        request_id: text("requestId").unwrap_or_else(|| request_id.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_envelopes_give_the_result() {
        let bare = r#"{"code":200,"result":{"cmkUuid":"k"},"statusCode":200,"success":1}"#;
        let gateway = format!(r#"{{"statusCode":800,"returnObj":{bare}}}"#);
        for body in [bare, &gateway] {
            let found = open_envelope(Plane::OpenApi, 200, "id", body.as_bytes()).expect("a result");
            assert_eq!(found, serde_json::json!({"cmkUuid": "k"}));
        }
    }

    #[test]
    fn every_envelope_gives_the_refusal_and_its_real_status() {
        let bare = r#"{"code":"KMS.0102","message":"no","statusCode":400,"success":0,"requestId":"r"}"#;
        let gateway = format!(
            r#"{{"statusCode":900,"error":"Rejected.Disabled","errorCode":"KMS.0102","message":"no","description":"否","requestId":"r","returnObj":{bare}}}"#
        );
        let aap = r#"{"code":400,"errorCode":"KMS.0102","message":"no","data":null,"requestId":"r"}"#;
        for (plane, body, http_status, text) in [
            (Plane::OpenApi, bare, 400, "KMS.0102: no (request r)"),
            (Plane::OpenApi, &gateway, 200, "KMS.0102 Rejected.Disabled: no (request r)"),
            (Plane::AccessPoint, aap, 400, "KMS.0102: no (request r)"),
        ] {
            let refused = open_envelope(plane, http_status, "id", body.as_bytes()).expect_err("refused");
            assert_eq!(refused.to_string(), text);
            assert!(matches!(refused, ClientError::Refused { status: 400, .. }), "{body}");
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
            let found = open_envelope(Plane::OpenApi, status, "id", body.as_bytes());
            assert!(matches!(found, Err(ClientError::NotUnderstood { .. })), "{body}");
        }
    }

    #[test]
    fn a_profile_is_checked_before_any_call() {
        let folder = tempfile::tempdir().expect("folder");
        let ca = folder.path().join("ca.pem");
        let new = |endpoint: &str, access_key: &str| {
            let profile = Profile {
                plane: Plane::OpenApi,
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
