//! Connections by hand: bytes that no client library would send, at a pace of one's own, over TLS that takes every
//! certificate.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whoever is to be ended is ended long before, also on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A client that offers these protocols.
pub fn connector(protocols: &[&str]) -> TlsConnector {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap().dangerous();
    let mut config =
        builder.with_custom_certificate_verifier(Arc::new(Trusting(provider))).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// A connection without TLS.
pub async fn tcp(endpoint: &str) -> TcpStream {
    let stream = TcpStream::connect(endpoint.strip_prefix("https://").unwrap()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A connection with TLS.
pub async fn tls(endpoint: &str, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    connector.connect(ServerName::try_from("localhost").unwrap(), tcp(endpoint).await).await
}

/// Reads until the server ends the connection, in whatever way; fails if it does not.
pub async fn ended(stream: &mut (impl AsyncRead + Unpin), what: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let end = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ = end.unwrap_or_else(|_| panic!("{what}: still open, it said {}", String::from_utf8_lossy(&bytes)));
    bytes
}

/// Sends bytes, says that nothing more will come, and reads what comes back.
pub async fn exchange(endpoint: &str, connector: &TlsConnector, bytes: &[u8], what: &str) -> Vec<Response> {
    let mut stream = tls(endpoint, connector).await.unwrap();
    // The server may hang up on the way; what it said before counts.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    responses(&ended(&mut stream, what).await)
}

/// One response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub body: String,
}

/// All final responses in some bytes.
pub fn responses(mut bytes: &[u8]) -> Vec<Response> {
    let mut found = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        let body = &bytes[end + 4..(end + 4 + length).min(bytes.len())];
        bytes = &bytes[end + 4 + body.len()..];
        if status >= 200 {
            found.push(Response { status, body: String::from_utf8_lossy(body).into_owned() });
        }
    }
    assert!(bytes.is_empty(), "no response: {}", String::from_utf8_lossy(bytes));
    found
}
