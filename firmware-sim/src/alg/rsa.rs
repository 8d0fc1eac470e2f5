//! RSA, RFC 8017, with moduli of 2048 bits. Private keys work in `aws-lc-rs`, in constant time and blinded; `rsa` makes keys
//! from the injected entropy, encodes them and encrypts with public ones. Two random numbers are drawn by `aws-lc-rs` itself,
//! because it takes none: the salt of PSS, which is no secret, and the blinding.

use std::hint::black_box;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::rsa::{
    KeyPair as Signer, OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey,
    Pkcs1PrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RSA_PSS_2048_8192_SHA256, RSA_PSS_SHA256, UnparsedPublicKey,
};
use rsa::pkcs8::{DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use rsa::{BoxedUint, Oaep};
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::alg::Forged;
use crate::alg::source::Source;
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::identity::Purpose;
use crate::material::Material;
use crate::scheme::DIGEST_BYTES;

/// Length of the modulus, and of every signature and ciphertext.
pub(crate) const MODULUS_BYTES: usize = 256;

const MODULUS_BITS: usize = 8 * MODULUS_BYTES;
const PRIME_BYTES: usize = MODULUS_BYTES / 2;
const EXPONENT: u64 = 65_537;
/// Takes the place of what cannot be a ciphertext, so that refusing it takes as long.
const STAND_IN: [u8; MODULUS_BYTES] = {
    let mut bytes = [0xA5; MODULUS_BYTES];
    bytes[0] = 0;
    bytes
};

/// Draws a new key; answers its primes, each of 1024 bits: FIPS 186-5 appendix A.1.3.
pub(crate) fn generate(entropy: &dyn Entropy) -> Result<Material, Fault> {
    let key = rsa::PrivateKey::new(&mut Source(entropy), MODULUS_BITS).map_err(|_| Fault::Entropy)?;
    let mut primes = Zeroizing::new([0; MODULUS_BYTES]);
    for (out, prime) in primes.chunks_exact_mut(PRIME_BYTES).zip(key.primes()) {
        out.copy_from_slice(&Zeroizing::new(prime.to_be_bytes_trimmed_vartime()));
    }
    Ok(Material::copy_of(&*primes))
}

/// A private key, ready for its one purpose, with its public half.
pub(crate) struct PrivateKey {
    ready: Ready,
    public: PublicKey,
}

enum Ready {
    Sign(Signer),
    Decrypt(OaepPrivateDecryptingKey),
    Unwrap(OaepPrivateDecryptingKey, Pkcs1PrivateDecryptingKey),
}

/// A padding of encryption.
#[derive(Clone, Copy)]
pub(crate) enum Padding {
    /// Only to unwrap: RFC 8017 section 7.2.
    Pkcs1,
    OaepSha1,
    OaepSha256,
}

/// A padding of signatures.
#[derive(Clone, Copy)]
pub(crate) enum SignaturePadding {
    Pkcs1,
    Pss,
}

impl PrivateKey {
    /// Makes a key ready from its primes.
    pub(crate) fn open(primes: &Material, purpose: Purpose) -> Result<Self, Forged> {
        let (p, q) = primes.expose().split_at_checked(PRIME_BYTES).ok_or(Forged)?;
        let prime = |bytes| BoxedUint::from_be_slice(bytes, 8 * PRIME_BYTES as u32).map_err(|_| Forged);
        let key =
            rsa::PrivateKey::from_p_q(prime(p)?, prime(q)?, BoxedUint::from(EXPONENT)).map_err(|_| Forged)?;
        let encoded = key.to_pkcs8_der().map_err(|_| Forged)?;
        let decrypting = || PrivateDecryptingKey::from_pkcs8(encoded.as_bytes()).map_err(|_| Forged);
        let oaep = || OaepPrivateDecryptingKey::new(decrypting()?).map_err(|_| Forged);
        let ready = match purpose {
            Purpose::Sign => Ready::Sign(Signer::from_pkcs8(encoded.as_bytes()).map_err(|_| Forged)?),
            Purpose::Decrypt => Ready::Decrypt(oaep()?),
            Purpose::Unwrap => {
                let pkcs1 = Pkcs1PrivateDecryptingKey::new(decrypting()?).map_err(|_| Forged)?;
                Ready::Unwrap(oaep()?, pkcs1)
            }
            Purpose::Cipher | Purpose::Authenticate => return Err(Forged),
        };
        Ok(Self { ready, public: PublicKey::new(key.to_public_key())? })
    }

    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The public half of a key that signs: others have nothing to verify.
    pub(crate) fn verifying(&self) -> Result<&PublicKey, Fault> {
        match self.ready {
            Ready::Sign(_) => Ok(&self.public),
            Ready::Decrypt(_) | Ready::Unwrap(..) => Err(Fault::WrongPurpose),
        }
    }

    /// The public half of a key that decrypts: nobody opens what others encrypt.
    pub(crate) fn encrypting(&self) -> Result<&PublicKey, Fault> {
        match self.ready {
            Ready::Decrypt(_) | Ready::Unwrap(..) => Ok(&self.public),
            Ready::Sign(_) => Err(Fault::WrongPurpose),
        }
    }

    /// Whether it unwraps imported material, and so decrypts nothing for anybody.
    pub(crate) fn unwraps(&self) -> bool {
        match self.ready {
            Ready::Unwrap(..) => true,
            Ready::Sign(_) | Ready::Decrypt(_) => false,
        }
    }

    /// Signs a SHA-256 digest: RFC 8017 sections 8.1.1 and 8.2.1.
    pub(crate) fn sign(
        &self,
        padding: SignaturePadding,
        digest: &[u8; DIGEST_BYTES],
    ) -> Result<[u8; MODULUS_BYTES], Fault> {
        let Ready::Sign(key) = &self.ready else { return Err(Fault::WrongPurpose) };
        let padding = match padding {
            SignaturePadding::Pkcs1 => &RSA_PKCS1_SHA256,
            SignaturePadding::Pss => &RSA_PSS_SHA256,
        };
        let mut signature = [0; MODULUS_BYTES];
        key.sign_digest(padding, &imported(digest), &mut signature).map_err(|_| Fault::Entropy)?;
        Ok(signature)
    }

    /// Decrypts: RFC 8017 sections 7.1.2 and 7.2.2. What is no ciphertext of this key at all costs as much as one that fails.
    pub(crate) fn decrypt(&self, padding: Padding, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Forged> {
        let possible = self.public.may_be_ciphertext(ciphertext);
        // Read in every case: what lies unread in memory comes a tenth of a microsecond later.
        let mut decrypted = black_box(STAND_IN);
        if possible {
            decrypted.copy_from_slice(ciphertext);
        }
        let mut plaintext = Zeroizing::new(vec![0; MODULUS_BYTES]);
        let oaep = |key: &OaepPrivateDecryptingKey, algorithm: &'static OaepAlgorithm, out: &mut [u8]| {
            key.decrypt(algorithm, &decrypted, out, None).map(|plaintext| plaintext.len())
        };
        let opened = match (&self.ready, padding) {
            (Ready::Decrypt(key) | Ready::Unwrap(key, _), Padding::OaepSha1) => {
                oaep(key, &OAEP_SHA1_MGF1SHA1, &mut plaintext)
            }
            (Ready::Decrypt(key) | Ready::Unwrap(key, _), Padding::OaepSha256) => {
                oaep(key, &OAEP_SHA256_MGF1SHA256, &mut plaintext)
            }
            (Ready::Unwrap(_, key), Padding::Pkcs1) => {
                key.decrypt(&decrypted, &mut plaintext).map(|plaintext| plaintext.len())
            }
            (Ready::Decrypt(_), Padding::Pkcs1) | (Ready::Sign(_), _) => return Err(Forged),
        };
        let length = opened.map_err(|_| Forged)?;
        if !possible {
            return Err(Forged);
        }
        plaintext.truncate(length);
        Ok(plaintext)
    }
}

/// A public key with a modulus of 2048 bits.
pub(crate) struct PublicKey {
    key: rsa::PublicKey,
    der: Vec<u8>,
    modulus: Box<[u8]>,
}

impl PublicKey {
    fn new(key: rsa::PublicKey) -> Result<Self, Forged> {
        let modulus = key.n().to_be_bytes_trimmed_vartime();
        if modulus.len() != MODULUS_BYTES || modulus.first().is_none_or(|byte| *byte < 0x80) {
            return Err(Forged);
        }
        let der = key.to_public_key_der().map_err(|_| Forged)?.into_vec();
        Ok(Self { key, der, modulus })
    }

    /// Reads a SubjectPublicKeyInfo (RFC 5280 section 4.1) in DER.
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, Forged> {
        Self::new(rsa::PublicKey::from_public_key_der(der).map_err(|_| Forged)?)
    }

    /// Its SubjectPublicKeyInfo in DER.
    pub(crate) fn der(&self) -> &[u8] {
        &self.der
    }

    /// Verifies a signature over a SHA-256 digest: RFC 8017 sections 8.1.2 and 8.2.2.
    pub(crate) fn verify(
        &self,
        padding: SignaturePadding,
        digest: &[u8; DIGEST_BYTES],
        signature: &[u8],
    ) -> Result<(), Forged> {
        let algorithm = match padding {
            SignaturePadding::Pkcs1 => &RSA_PKCS1_2048_8192_SHA256,
            SignaturePadding::Pss => &RSA_PSS_2048_8192_SHA256,
        };
        let key = UnparsedPublicKey::new(algorithm, &self.der);
        key.verify_digest(&imported(digest), signature).map_err(|_| Forged)
    }

    /// Encrypts: RFC 8017 section 7.1.1. A plaintext is at most as long as the padding leaves room for.
    pub(crate) fn encrypt(
        &self,
        padding: Padding,
        plaintext: &[u8],
        entropy: &dyn Entropy,
    ) -> Result<Vec<u8>, Fault> {
        let mut source = Source(entropy);
        let made = match padding {
            Padding::OaepSha1 => self.key.encrypt(&mut source, Oaep::<Sha1>::new(), plaintext),
            Padding::OaepSha256 => self.key.encrypt(&mut source, Oaep::<Sha256>::new(), plaintext),
            Padding::Pkcs1 => return Err(Fault::WrongPurpose),
        };
        made.map_err(|error| match error {
            rsa::Error::MessageTooLong => Fault::Limit("plaintext"),
            _ => Fault::Entropy,
        })
    }

    /// Whether these bytes are a number below the modulus, of its length. Neither is secret.
    fn may_be_ciphertext(&self, bytes: &[u8]) -> bool {
        bytes.len() == MODULUS_BYTES && *bytes < *self.modulus
    }
}

fn imported(digest: &[u8; DIGEST_BYTES]) -> Digest {
    Digest::import_less_safe(digest, &digest::SHA256).expect("a SHA-256 digest has 32 bytes")
}
