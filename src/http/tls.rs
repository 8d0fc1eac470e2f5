//! The appliance's own CA and the server's certificate. The CA is made at initialisation and kept in `DATA/tls`; the
//! server's key and certificate are made anew at every start and never stored, so they neither expire unseen nor lie
//! in a backup.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use crate::env::Timestamp;
use crate::error::{Error, Result};

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const CA_YEARS: i64 = 20;
/// Longest time that browsers accept.
const SERVER_DAYS: i64 = 397;

/// Makes the CA.
pub fn initialise(directory: &Path, now: Timestamp) -> Result<()> {
    fs::create_dir_all(directory).map_err(Error::internal)?;
    let key = KeyPair::generate().map_err(Error::internal)?;
    let mut params = CertificateParams::new(Vec::new()).map_err(Error::internal)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = named("Yaoku appliance CA");
    validity(&mut params, now, Duration::days(365 * CA_YEARS));
    let certificate = params.self_signed(&key).map_err(Error::internal)?;
    write(&directory.join(CA), certificate.pem().as_bytes(), 0o644)?;
    write(&directory.join(CA_KEY), key.serialize_pem().as_bytes(), 0o600)?;
    // The entries of both files; the caller sees to that of the directory.
    fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(Error::internal)
}

/// The settings of the listeners, with a new certificate for this host and the configured names.
pub fn server_config(directory: &Path, names: &[String], now: Timestamp) -> Result<ServerConfig> {
    let read = |name: &str| {
        let text = fs::read_to_string(directory.join(name));
        text.map_err(|error| Error::internal(format!("cannot read {name} of the appliance's CA: {error}")))
    };
    let ca_key = KeyPair::from_pem(&read(CA_KEY)?).map_err(Error::internal)?;
    let issuer = Issuer::from_ca_cert_pem(&read(CA)?, ca_key).map_err(Error::internal)?;
    let key = KeyPair::generate().map_err(Error::internal)?;
    let mut all: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    all.extend(names.iter().cloned());
    let mut params =
        CertificateParams::new(all).map_err(|error| Error::internal(format!("tls.names: {error}")))?;
    params.distinguished_name = named("Yaoku");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    validity(&mut params, now, Duration::days(SERVER_DAYS));
    let certificate = params.signed_by(&key, &issuer).map_err(Error::internal)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .map_err(Error::internal)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn named(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Valid from a day ago, for clients whose clock is behind.
fn validity(params: &mut CertificateParams, now: Timestamp, span: Duration) {
    let now = OffsetDateTime::from_unix_timestamp(now.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    params.not_before = now - Duration::DAY;
    params.not_after = now + span;
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all())).map_err(Error::internal)
}
