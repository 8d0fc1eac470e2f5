//! Key pairs at work in the cipher machine alone: its commands in this process, on one thread, without service, client or
//! audit. What a call through the service costs is judged beside this.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::yaoku::env::SystemEntropy;
use firmware_sim::{
    Algorithm, AsymmetricDecrypt, AsymmetricEncrypt, AsymmetricSign, AsymmetricVerify, Command, Custody,
    Directories, EncryptionScheme, GenerateKey, KeyName, Machine, Options, PartitionId, Purpose,
    SignatureScheme, WrappedKey,
};
use zeroize::Zeroizing;

const PARTITION: PartitionId = PartitionId([1; 16]);
const WARM_UP: u32 = 20;
const MEASURED: Duration = Duration::from_secs(1);

/// A machine of its own with two key pairs of each algorithm.
pub struct Bare {
    machine: Machine,
    signing: [WrappedKey; 2],
    decrypting: [WrappedKey; 2],
}

impl Bare {
    /// Makes it below an empty directory.
    pub fn new(directory: &Path) -> Result<Self, String> {
        let part = |name: &str| directory.join(name);
        let directories = Directories {
            hsm: part("hsm"),
            device: part("device"),
            software_root: part("software-root"),
            software_private_key: part("software-private-key"),
            software_key: part("software-key"),
        };
        let machine = Machine::initialise(&directories, Arc::new(SystemEntropy), Options::default())
            .map_err(|fault| format!("{fault:?}"))?;
        machine.create_partition(PARTITION).map_err(|fault| format!("{fault:?}"))?;
        let pair = |algorithm: Algorithm, purpose| {
            let name = KeyName { key: [2; 16], version: [algorithm as u8; 16] };
            run(&machine, GenerateKey { name, algorithm, purpose, custody: Custody::Hsm })
        };
        let pairs = |purpose| Ok([pair(Algorithm::Rsa2048, purpose)?, pair(Algorithm::Sm2, purpose)?]);
        let (signing, decrypting): (_, Result<_, String>) = (pairs(Purpose::Sign)?, pairs(Purpose::Decrypt));
        Ok(Self { signing, decrypting: decrypting?, machine })
    }

    /// Signatures a second.
    pub fn signs(&self, scheme: SignatureScheme) -> Result<f64, String> {
        let key = self.key(&self.signing, scheme.algorithm());
        self.rate(|| AsymmetricSign { key: key.clone(), scheme, digest: [7; 32] })
    }

    /// Prints what one core does of everything, each with a plaintext of 32 bytes.
    pub fn print(&self) -> Result<(), String> {
        println!("\nthe cipher machine alone, one thread: operations a second");
        for scheme in [SignatureScheme::RsaPkcs1Sha256, SignatureScheme::RsaPssSha256, SignatureScheme::Sm2] {
            let (key, digest) = (self.key(&self.signing, scheme.algorithm()), [7; 32]);
            let signature = run(&self.machine, AsymmetricSign { key: key.clone(), scheme, digest })?;
            let verifies = self.rate(|| {
                let (key, signature) = (key.clone(), signature.clone());
                AsymmetricVerify { key, scheme, digest, signature }
            })?;
            println!("  {scheme:<16?} sign    {:>8.0}    verify  {verifies:>8.0}", self.signs(scheme)?);
        }
        for scheme in [EncryptionScheme::OaepSha256, EncryptionScheme::OaepSha1, EncryptionScheme::Sm2] {
            let key = self.key(&self.decrypting, scheme.algorithm());
            let encrypt =
                || AsymmetricEncrypt { key: key.clone(), scheme, plaintext: Zeroizing::new(vec![7; 32]) };
            let ciphertext = run(&self.machine, encrypt())?;
            let decrypts = self.rate(|| {
                let (key, ciphertext) = (key.clone(), ciphertext.clone());
                AsymmetricDecrypt { key, scheme, ciphertext }
            })?;
            println!("  {scheme:<16?} encrypt {:>8.0}    decrypt {decrypts:>8.0}", self.rate(encrypt)?);
        }
        Ok(())
    }

    fn key<'a>(&self, [rsa, sm2]: &'a [WrappedKey; 2], algorithm: Algorithm) -> &'a WrappedKey {
        if algorithm == Algorithm::Sm2 { sm2 } else { rsa }
    }

    fn rate<C: Command>(&self, command: impl Fn() -> C) -> Result<f64, String> {
        for _ in 0..WARM_UP {
            run(&self.machine, command())?;
        }
        let (start, mut count) = (Instant::now(), 0_u32);
        while start.elapsed() < MEASURED {
            run(&self.machine, command())?;
            count += 1;
        }
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    }
}

fn run<C: Command>(machine: &Machine, command: C) -> Result<C::Reply, String> {
    machine.run(PARTITION, command).map_err(|fault| format!("{fault:?}"))
}
