//! `yaoku digest`: what asymmetricSign signs and asymmetricVerify verifies. The file stays here and is read as a stream; the
//! service sees 32 bytes of it. Nothing here is secret.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use sha2::Sha256;
use sm3::{Digest, Sm3};

use super::{Outcome, print};
use crate::model::checkpoint::PublicKey;

/// Bytes that are read at once.
const BUFFER: usize = 64 * 1024;
/// Longest identity, so that its length in bits has two bytes.
const IDENTITY_BYTES_MAX: usize = 8191;
/// The curve's a, b and base point, which Z covers: GB/T 32918.5 section 2.
const CURVE: [[u8; 32]; 4] = [
    number("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFC"),
    number("28E9FA9E9D9F5E344D5A9E4BCF6509A7F39789F515AB8F92DDBCBD414D940E93"),
    number("32C4AE2C1F1981195F9904466A39C9948FE30BBFF2660BE1715A4589334C74C7"),
    number("BC3736A2F4F6779C59BDCEE36B692153D0A9877CC62A474002DF32E52139F0A0"),
];

#[derive(Args)]
pub struct DigestArguments {
    /// File to sign or to verify, or - for standard input
    file: PathBuf,
    /// How it is signed
    #[arg(long, value_enum)]
    algorithm: Algorithm,
    /// File with the public key of the version that signs, as getPublicKey answers it; SM2DSA needs it
    #[arg(long, value_name = "PEMFILE", required_if_eq("algorithm", "SM2DSA"))]
    public_key: Option<PathBuf>,
    /// Identity of the signer, of SM2DSA only
    #[arg(long, value_name = "TEXT", default_value = "1234567812345678")]
    id: String,
}

/// The names are those of the service.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Algorithm {
    /// SHA-256
    #[value(name = "RSA_PKCS1_SHA_256")]
    Pkcs1Sha256,
    /// SHA-256
    #[value(name = "RSA_PSS_SHA_256")]
    PssSha256,
    /// SM3 over the signer's Z and the file
    #[value(name = "SM2DSA")]
    Sm2,
}

/// Prints the digest of a file as Base64.
pub fn digest(arguments: &DigestArguments) -> Outcome {
    let digest: [u8; 32] = match (arguments.algorithm, &arguments.public_key) {
        (Algorithm::Pkcs1Sha256 | Algorithm::PssSha256, _) => {
            let mut hash = Sha256::new();
            read(&arguments.file, |part| hash.update(part))?;
            hash.finalize().into()
        }
        (Algorithm::Sm2, Some(key)) => {
            let mut hash = Sm3::new_with_prefix(z(&arguments.id, &public_key(key)?)?);
            read(&arguments.file, |part| hash.update(part))?;
            hash.finalize().into()
        }
        (Algorithm::Sm2, None) => return Err("SM2DSA needs --public-key".into()),
    };
    print(&format!("{}\n", STANDARD.encode(digest)));
    Ok(())
}

/// Reads a file to its end, part by part.
fn read(path: &Path, mut each: impl FnMut(&[u8])) -> Result<(), String> {
    let explain = |error: io::Error| format!("{}: {error}", path.display());
    let mut file: Box<dyn Read> = match path == Path::new("-") {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path).map_err(explain)?),
    };
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => each(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(explain(error)),
        }
    }
}

fn public_key(path: &Path) -> Result<PublicKey, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    PublicKey::from_pem(&text)
        .ok_or_else(|| format!("{} is no SM2 public key in PEM; getPublicKey answers one", path.display()))
}

/// Z of a signer: GB/T 32918.2 section 5.5.
fn z(identity: &str, key: &PublicKey) -> Result<[u8; 32], String> {
    let too_long = || format!("--id has more than {IDENTITY_BYTES_MAX} bytes");
    let bits = u16::try_from(identity.len() * 8).map_err(|_| too_long())?;
    let mut hash = Sm3::new();
    hash.update(bits.to_be_bytes());
    hash.update(identity);
    CURVE.iter().for_each(|number| hash.update(number));
    hash.update(key.coordinates());
    Ok(hash.finalize().into())
}

/// A number of the standard as it is printed there.
const fn number(text: &str) -> [u8; 32] {
    let (text, mut bytes, mut at) = (text.as_bytes(), [0; 32], 0);
    assert!(text.len() == 64);
    while at < 32 {
        bytes[at] = nibble(text[2 * at]) << 4 | nibble(text[2 * at + 1]);
        at += 1;
    }
    bytes
}

const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'A'..=b'F' => digit - b'A' + 10,
        _ => panic!("a hexadecimal digit in capitals"),
    }
}
