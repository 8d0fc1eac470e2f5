//! The smallest HTTP/1.1 client that can be trusted in a measurement: one request at a time over a kept
//! TLS connection, a reply parsed for status, length and body, nothing else. It never retries.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const CONNECT_MAX: Duration = Duration::from_secs(10);
const REPLY_BYTES_MAX: usize = 1 << 20;
const READ_BYTES: usize = 16 << 10;

/// Where a server listens and which certificate authority it must show.
#[derive(Clone)]
pub struct Endpoint {
    pub address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Endpoint {
    /// Reads `https://127.0.0.1:port` and the authority's PEM file. Any address but loopback is refused.
    pub fn new(url: &str, authority: &Path) -> std::result::Result<Self, String> {
        let host = url.strip_prefix("https://").unwrap_or(url).trim_end_matches('/');
        let address: SocketAddr = host.parse().map_err(|error| format!("address {url}: {error}"))?;
        if !address.ip().is_loopback() {
            return Err(format!("{url} is not a loopback address"));
        }
        let mut roots = RootCertStore::empty();
        let certificates = CertificateDer::pem_file_iter(authority)
            .map_err(|error| format!("{}: {error}", authority.display()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| format!("{}: {error}", authority.display()))?;
            roots.add(certificate).map_err(|error| format!("{}: {error}", authority.display()))?;
        }
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|error| error.to_string())?
                .with_root_certificates(roots)
                .with_no_client_auth();
        Ok(Self { address, tls: Arc::new(config) })
    }

    pub async fn connect(&self) -> Result<Connection> {
        let connecting = async {
            let socket = TcpStream::connect(self.address).await?;
            socket.set_nodelay(true)?;
            let name = ServerName::IpAddress(self.address.ip().into());
            TlsConnector::from(self.tls.clone()).connect(name, socket).await
        };
        let stream = match tokio::time::timeout(CONNECT_MAX, connecting).await {
            Ok(stream) => stream?,
            Err(_) => return Err(Error::new(ErrorKind::TimedOut, "no TLS connection in time")),
        };
        Ok(Connection { stream, received: vec![0; READ_BYTES] })
    }
}

/// One kept connection. After an error it must not be used again: the stream may stand mid-reply.
pub struct Connection {
    stream: TlsStream<TcpStream>,
    received: Vec<u8>,
}

impl Connection {
    /// Sends one whole request and waits for its whole reply.
    pub async fn call(&mut self, request: &[u8]) -> Result<Reply<'_>> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        let mut filled = 0;
        let head = loop {
            filled += self.read(filled).await?;
            if let Some(head) = Head::parse(&self.received[..filled])? {
                break head;
            }
        };
        let end = head.bytes + head.content_length;
        while filled < end {
            filled += self.read(filled).await?;
        }
        if filled > end {
            return Err(Error::new(ErrorKind::InvalidData, "bytes after the end of the reply"));
        }
        Ok(Reply { status: head.status, body: &self.received[head.bytes..end] })
    }

    /// Version and cipher suite in use, for the report.
    pub fn suite(&self) -> String {
        let (_, tls) = self.stream.get_ref();
        let version = tls.protocol_version().and_then(|version| version.as_str().map(str::to_owned));
        let suite = tls.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str().map(str::to_owned));
        format!("{} {}", version.unwrap_or_default(), suite.unwrap_or_default())
    }

    async fn read(&mut self, filled: usize) -> Result<usize> {
        if filled == self.received.len() {
            if filled >= REPLY_BYTES_MAX {
                return Err(Error::new(ErrorKind::InvalidData, "the reply is too long"));
            }
            self.received.resize(filled * 2, 0);
        }
        match self.stream.read(&mut self.received[filled..]).await? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "connection closed by the server")),
            count => Ok(count),
        }
    }
}

/// A reply, in the buffer of its connection.
pub struct Reply<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Reply<'_> {
    /// Status and the first part of the body, for a message.
    pub fn excerpt(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(400)]);
        format!("HTTP {}: {text}", self.status)
    }
}

struct Head {
    status: u16,
    content_length: usize,
    bytes: usize,
}

impl Head {
    /// `None` while the head is not complete. A reply without a length is an error: nothing here is chunked.
    fn parse(received: &[u8]) -> Result<Option<Self>> {
        let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = &received[..end + 2];
        let invalid = |what: &str| Error::new(ErrorKind::InvalidData, what.to_owned());
        if !head.starts_with(b"HTTP/1.1 ") || head.len() < 14 {
            return Err(invalid("no HTTP/1.1 status line"));
        }
        let status = number(&head[9..12]).ok_or_else(|| invalid("no status code"))?;
        let mut content_length = None;
        for line in head.split(|byte| *byte == b'\n') {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                continue;
            };
            if line[..colon].eq_ignore_ascii_case(b"content-length") {
                content_length = number(line[colon + 1..].trim_ascii());
            }
        }
        let content_length = content_length.ok_or_else(|| invalid("no content length"))?;
        let status = u16::try_from(status).map_err(|_| invalid("no status code"))?;
        Ok(Some(Self { status, content_length, bytes: end + 4 }))
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 7 {
        return None;
    }
    digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + usize::from(digit - b'0')))
}
