//! Canaries in key pairs: primes of RSA and numbers of SM2, known because the test's source of random bytes remembers what it
//! gave. That they are the keys is proven by the public halves.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::scanner::{FORMS, Scanner};
use crate::export::for_somebody;
use crate::kit::{OpenApi, Service, base64, temporary};
use crate::ledger::figure;
use crate::program::walk;

const USAGES: [&str; 2] = ["SIGN/VERIFY", "ENCRYPT/DECRYPT"];

/// The DER of a version's public key.
fn public(admin: &OpenApi, key: &Value, version: &Value) -> Vec<u8> {
    let body = json!({"cmkUuid": key, "keyVersionId": version});
    let pem = admin.ok("/asymmetric/getPublicKey", body)["publicKey"].clone();
    yaoku::model::pem::decode(pem.as_str().unwrap()).unwrap()
}

/// The numbers whose public half this is, among those that were drawn.
fn sm2_numbers(drawn: &[Vec<u8>], public: &[u8]) -> Vec<Vec<u8>> {
    let folder = temporary();
    let (secret, half) = (folder.path().join("secret"), folder.path().join("public"));
    let belongs = |number: &&Vec<u8>| {
        let start = hex::decode("30310201010420").unwrap();
        let curve = hex::decode("a00a06082a811ccf5501822d").unwrap();
        let mut der = [start.as_slice(), number, &curve].concat();
        der[1] = (der.len() - 2) as u8;
        fs::write(&secret, der).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["pkey", "-inform", "DER", "-pubout", "-outform", "DER", "-in"]).arg(&secret);
        openssl.arg("-out").arg(&half);
        let made = openssl.output().expect("these tests need openssl 3 in the PATH").status.success();
        made && fs::read(&half).unwrap() == public
    };
    drawn.iter().filter(|bytes| bytes.len() == 32).filter(belongs).cloned().collect()
}

/// The first 120 bytes of both primes, big-endian: a prime is the first one behind what was drawn, the two highest bits set.
fn rsa_primes(drawn: &[Vec<u8>], public: &[u8]) -> Vec<Vec<u8>> {
    let candidates = drawn.iter().filter(|bytes| bytes.len() == 128).map(|bytes| {
        let mut prime: Vec<u8> = bytes.iter().rev().copied().collect();
        prime[0] |= 0xc0;
        prime.truncate(120);
        prime
    });
    let (candidates, modulus): (Vec<_>, _) = (candidates.collect(), &public[33..]);
    let head = |bytes: &[u8]| u128::from(u64::from_be_bytes(*bytes.first_chunk().unwrap()));
    let product = |one: &[u8], other: &[u8]| (head(one) * head(other)) >> 64;
    let fits = |one: &&Vec<u8>| {
        candidates.iter().any(|other| product(one, other).abs_diff(head(modulus)) < 4 && *one != other)
    };
    candidates.iter().filter(fits).cloned().collect()
}

/// What a call answered, refused or not, unless it is a plaintext.
fn answers(admin: &OpenApi, key: &Value, spec: &str) -> String {
    let of = |further: Value| {
        let mut body = json!({"cmkUuid": key["cmkUuid"], "keyVersionId": key["version"]});
        body.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        body
    };
    let (sign, encrypt) =
        if spec == "RSA_2048" { ("RSA_PSS_SHA_256", "RSAES_OAEP_SHA_256") } else { ("SM2DSA", "SM2PKE") };
    let digest = base64([7; 32]);
    let mut text = String::new();
    for (path, body) in [
        ("/asymmetric/asymmetricSign", of(json!({"algorithm": sign, "digest": digest}))),
        ("/asymmetric/asymmetricVerify", of(json!({"algorithm": sign, "digest": digest, "value": digest}))),
        ("/asymmetric/asymmetricEncrypt", of(json!({"algorithm": encrypt, "plaintext": "aGVsbG8="}))),
        ("/asymmetric/asymmetricDecrypt", of(json!({"algorithm": encrypt, "ciphertextBlob": digest}))),
        ("/asymmetric/getPublicKey", of(json!({}))),
        ("/keyManage/describeKey", of(json!({}))),
        ("/versionControl/listKeyVersions", of(json!({}))),
    ] {
        text.push_str(&format!("{:?}\n", admin.call(path, body)));
    }
    text
}

#[test]
fn no_private_key_is_found_where_it_does_not_belong() {
    let mut service = Service::start();
    let admin = service.admin();
    let (mut secrets, mut places) = (Vec::new(), Vec::new());
    for (spec, usage) in
        ["RSA_2048", "Ctyun_SM2"].into_iter().flat_map(|spec| USAGES.map(|usage| (spec, usage)))
    {
        let from = service.entropy.0.lock().unwrap().len();
        let key = admin.ok("/cmkManage/createKey", json!({"keySpec": spec, "keyUsage": usage}));
        let drawn = service.entropy.0.lock().unwrap()[from..].to_vec();
        let versions = admin.ok("/versionControl/listKeyVersions", json!({"cmkUuid": key["cmkUuid"]}));
        let version = &versions["keyVersions"][0]["keyVersionId"];
        let public = public(&admin, &key["cmkUuid"], version);
        let found =
            if spec == "RSA_2048" { rsa_primes(&drawn, &public) } else { sm2_numbers(&drawn, &public) };
        assert_eq!(found.len(), if spec == "RSA_2048" { 2 } else { 1 }, "{spec}: the public half proves it");
        for secret in found {
            let little: Vec<u8> = secret.iter().rev().copied().collect();
            secrets.push((format!("{spec} for {usage}"), secret));
            secrets.push((format!("{spec} for {usage}, little-endian"), little));
        }
        let named = json!({"cmkUuid": key["cmkUuid"], "version": version});
        places.push((format!("answers with {spec} for {usage}"), answers(&admin, &named, spec).into_bytes()));
    }
    // A data key that leaves encrypted only, and comes back to whoever may decrypt it.
    let key = admin.ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
    let made = admin.ok("/keyCompute/generateAndExportDataKey", for_somebody(json!({"cmkUuid": key})));
    let again = admin
        .ok("/keyCompute/exportDataKey", for_somebody(json!({"ciphertextBlob": made["ciphertextBlob"]})));
    places.push(("answers of exports".into(), format!("{made}{again}").into_bytes()));
    let opened = admin.ok("/keyCompute/decrypt", json!({"ciphertextBlob": made["ciphertextBlob"]}));
    secrets.push(("an exported data key".into(), crate::kit::unbase64(&opened["plaintext"])));
    places.push(("the audit trail".into(), json!(service.audit()).to_string().into_bytes()));
    service.stop();
    let files: Vec<_> = walk(&service.config.data).into_iter().filter(|path| path.is_file()).collect();
    assert!(files.iter().any(|path| path.ends_with("yaoku.redb")));
    places.extend(files.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())));
    let scanner = Scanner::new(&secrets);
    let hits: Vec<String> = places
        .iter()
        .flat_map(|(place, bytes)| {
            scanner.find(bytes).into_iter().map(move |found| format!("{found}: in {place}"))
        })
        .collect();
    let searched = secrets.len() * FORMS * places.len();
    figure("canary_hits_of_key_pairs", format!("{} of {searched}", hits.len()), "(secrets x forms x places)");
    assert!(hits.is_empty(), "{hits:#?}");
}
