//! RSA: Wycheproof's OAEP, PKCS#1 v1.5 and PSS, and the signatures inside its JSON Web Signatures.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::pkcs8::{DecodePrivateKey, EncodePublicKey};
use rsa::traits::PrivateKeyParts;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Count, bytes, json, list};
use crate::alg::rsa::{Padding, PrivateKey, PublicKey, SignaturePadding};
use crate::entropy::Fixed;
use crate::identity::Purpose;
use crate::material::Material;

/// The private key of a group, from its primes, as the machine keeps them.
fn private(group: &Value, purpose: Purpose) -> PrivateKey {
    let der = bytes(group, "privateKeyPkcs8");
    let key = rsa::PrivateKey::from_pkcs8_der(&der).expect("the group has a key");
    let primes: Vec<u8> = key.primes().iter().flat_map(|prime| prime.to_be_bytes_trimmed_vartime()).collect();
    PrivateKey::open(&Material::copy_of(&primes), purpose).expect("the exponent is 65537")
}

fn digest(message: &[u8]) -> [u8; 32] {
    Sha256::digest(message).into()
}

/// A ciphertext with a label is refused although it is a valid one: the machine's label is empty, always.
fn oaep(file: &str, padding: Padding, figure: &str) {
    let Some(file) = json(file) else { return };
    let mut count = Count::default();
    for group in list(&file, "testGroups") {
        let key = private(group, Purpose::Decrypt);
        for test in list(group, "tests") {
            let opens = test["result"] == "valid" && test["label"] == "";
            let opened = key.decrypt(padding, &bytes(test, "ct"));
            let right = match &opened {
                Ok(plaintext) => opens && **plaintext == bytes(test, "msg"),
                Err(_) => !opens,
            };
            count.add(right, || format!("test {}", test["tcId"]));
        }
    }
    count.finish(figure, 36);
}

#[test]
fn wycheproof_rsa_oaep_sha_1() {
    oaep("wycheproof/rsa_oaep_2048_sha1_mgf1sha1_test.json", Padding::OaepSha1, "wycheproof_rsa_oaep_sha_1");
}

#[test]
fn wycheproof_rsa_oaep_sha_256() {
    oaep(
        "wycheproof/rsa_oaep_2048_sha256_mgf1sha256_test.json",
        Padding::OaepSha256,
        "wycheproof_rsa_oaep_sha_256",
    );
}

/// What unwraps imported material.
#[test]
fn wycheproof_rsa_pkcs1_decryption() {
    let Some(file) = json("wycheproof/rsa_pkcs1_2048_test.json") else { return };
    let mut count = Count::default();
    for group in list(&file, "testGroups") {
        let key = private(group, Purpose::Unwrap);
        for test in list(group, "tests") {
            let opened = key.decrypt(Padding::Pkcs1, &bytes(test, "ct"));
            let right = match &opened {
                Ok(plaintext) => test["result"] == "valid" && **plaintext == bytes(test, "msg"),
                Err(_) => test["result"] == "invalid",
            };
            count.add(right, || format!("test {} {}", test["tcId"], test["comment"]));
        }
    }
    count.finish("wycheproof_rsa_pkcs1_decryption", 67);
}

/// Verifies each signature under the key of its group; "acceptable" ones must be refused.
fn signatures(file: &str, padding: SignaturePadding, figure: &str, least: usize) {
    let Some(file) = json(file) else { return };
    let mut count = Count::default();
    for group in list(&file, "testGroups") {
        let key = PublicKey::from_der(&bytes(group, "publicKeyDer")).expect("the group has a public key");
        for test in list(group, "tests") {
            let verified = key.verify(padding, &digest(&bytes(test, "msg")), &bytes(test, "sig")).is_ok();
            count.add(verified == (test["result"] == "valid"), || format!("test {}", test["tcId"]));
        }
    }
    count.finish(figure, least);
}

/// The one acceptable signature leaves the NULL out of the encoded algorithm. RFC 8017 section 9.2 writes it, and whoever
/// compares the whole encoding, as that section says, refuses what lacks it.
#[test]
fn wycheproof_rsa_pkcs1_verification() {
    let file = "wycheproof/rsa_signature_2048_sha256_test.json";
    signatures(file, SignaturePadding::Pkcs1, "wycheproof_rsa_pkcs1_verification", 259);
}

#[test]
fn wycheproof_rsa_pss_verification() {
    let file = "wycheproof/rsa_pss_2048_sha256_mgf1_32_test.json";
    signatures(file, SignaturePadding::Pss, "wycheproof_rsa_pss_verification", 108);
}

/// Signatures that are the same wherever they are made. Of other digests and of exponents but 65537, which the machine makes
/// no keys with, none is run: these are all that are only acceptable.
#[test]
fn wycheproof_rsa_pkcs1_signing() {
    let Some(file) = json("wycheproof/rsa_pkcs1_2048_sig_gen_test.json") else { return };
    let mut count = Count::default();
    for group in list(&file, "testGroups") {
        if group["sha"] != "SHA-256" || group["privateKey"]["publicExponent"] != "010001" {
            continue;
        }
        let key = private(group, Purpose::Sign);
        for test in list(group, "tests") {
            assert_eq!(test["result"], "valid");
            let signed = key.sign(SignaturePadding::Pkcs1, &digest(&bytes(test, "msg")));
            let right = signed.is_ok_and(|signature| signature == *bytes(test, "sig"));
            count.add(right, || format!("test {}", test["tcId"]));
        }
    }
    count.finish("wycheproof_rsa_pkcs1_signing", 8);
}

/// The signatures inside of JSON Web Signatures with RS256 and PS256. What is malformed as a web signature, so that it has no
/// three parts or no signature that can be read, is no vector here; nor is what names another algorithm than its key.
#[test]
fn wycheproof_json_web_signatures() {
    let Some(file) = json("wycheproof/json_web_signature_test.json") else { return };
    let mut count = Count::default();
    for group in list(&file, "testGroups") {
        let padding = match group["public"]["alg"].as_str() {
            Some("RS256") => SignaturePadding::Pkcs1,
            Some("PS256") => SignaturePadding::Pss,
            Some(_) | None => continue,
        };
        let number = |name: &str| {
            let text = group["public"][name].as_str().expect("an RSA key has both numbers");
            let bytes = URL_SAFE_NO_PAD.decode(text).expect("a web key is Base64");
            rsa::BoxedUint::from_be_slice_vartime(&bytes)
        };
        let key = rsa::PublicKey::new(number("n"), number("e")).expect("a key of 2048 bits");
        let der = key.to_public_key_der().expect("a public key has an encoding");
        let key = PublicKey::from_der(der.as_bytes()).expect("a key of 2048 bits");
        for test in list(group, "tests") {
            let text = test["jws"].as_str().unwrap_or_default();
            let Some((signed, signature)) = text.rsplit_once('.') else { continue };
            let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { continue };
            let header = signed.split_once('.').and_then(|(header, _)| URL_SAFE_NO_PAD.decode(header).ok());
            let header: Option<Value> = header.and_then(|header| serde_json::from_slice(&header).ok());
            if header.is_none_or(|header| header["alg"] != group["public"]["alg"]) {
                continue;
            }
            let verified = key.verify(padding, &digest(signed.as_bytes()), &signature).is_ok();
            count.add(verified == (test["result"] == "valid"), || format!("test {}", test["tcId"]));
        }
    }
    count.finish("wycheproof_json_web_signatures", 250);
}

/// The seed of a ciphertext decides all of it.
#[test]
fn wycheproof_oaep_ciphertexts_are_made_again() {
    use crate::alg::answers::rsa::{MESSAGE, OAEP_SHA_256, OAEP_SHA_256_SEED};
    let Some(file) = json("wycheproof/rsa_oaep_2048_sha256_mgf1sha256_test.json") else { return };
    let group = &list(&file, "testGroups")[0];
    let test = list(group, "tests").iter().find(|test| bytes(test, "msg") == MESSAGE).expect("test 3");
    assert_eq!(bytes(test, "ct"), OAEP_SHA_256, "the known answer is the published one");
    let key = private(group, Purpose::Decrypt);
    let made = key.public().encrypt(Padding::OaepSha256, MESSAGE, &Fixed::new(&OAEP_SHA_256_SEED));
    assert_eq!(made.expect("a ciphertext"), OAEP_SHA_256);
}
