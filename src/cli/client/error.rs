//! Why a call did not return a result, in words that say what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use super::{CALL_TIMEOUT, REPLY_BYTES_MAX};

/// Why a call did not return a result.
#[derive(Debug)]
pub enum ClientError {
    /// The plane has no such operation.
    NoSuchOperation {
        /// As given.
        operation: String,
        /// The plane of the profile.
        plane: &'static str,
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
        /// The real HTTP status, whatever the envelope was sent with.
        status: u16,
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
            Self::NoSuchOperation { operation, plane } => {
                write!(
                    f,
                    "{operation} cannot be called on the plane {plane}: use a profile of the other plane"
                )
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
