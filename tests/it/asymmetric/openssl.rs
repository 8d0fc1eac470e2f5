//! The service and the openssl command understand each other: what one signs the other verifies, what one encrypts the other
//! decrypts, with nothing but the public key that getPublicKey answers.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{DECRYPT, ENCRYPTS, PUBLIC_KEY, Pair, SIGN, SIGNS, VERIFY};
use crate::kit::{OpenApi, Service, base64, temporary, unbase64};

const MESSAGES: [&[u8]; 4] = [b"", b"a", b"message digest", &[0xA5; 100_000]];

/// Runs openssl in a directory; whether it succeeded.
fn openssl(folder: &Path, arguments: &str) -> bool {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments.split_ascii_whitespace());
    command.output().expect("tests need openssl 3 in the PATH").status.success()
}

/// A directory with the public key of a pair.
fn folder(person: &OpenApi, pair: &Pair) -> TempDir {
    let folder = temporary();
    let shown = person.ok(PUBLIC_KEY, pair.body(json!({})));
    pair.names(&shown);
    fs::write(folder.path().join("public.pem"), shown["publicKey"].as_str().unwrap()).unwrap();
    folder
}

/// What `yaoku digest` prints.
fn digest(folder: &Path, further: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yaoku"));
    let output = command.current_dir(folder).args(["digest", "message"]).args(further).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Signs every message by the service, and has openssl verify it, and refuse it for another message.
fn signed(spec: &str, algorithm: &str, key: &[&str], verify: &str) {
    let service = Service::start();
    let admin = service.admin();
    let first = Pair::make(&admin, spec, SIGNS);
    let second = first.next(&admin);
    let write = |folder: &Path, name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    for pair in [&first, &second] {
        let folder = folder(&admin, pair);
        let folder = folder.path();
        for message in MESSAGES {
            write(folder, "message", message);
            let digest = digest(folder, &[&["--algorithm", algorithm], key].concat());
            let request = pair.body(json!({"algorithm": algorithm, "digest": digest}));
            let signature = admin.ok(SIGN, request.clone())["value"].clone();
            write(folder, "signature", &unbase64(&signature));
            assert!(openssl(folder, verify), "{algorithm}, {} bytes", message.len());
            let mut again = request;
            again["value"] = signature;
            assert_eq!(admin.ok(VERIFY, again)["value"], true);
            write(folder, "message", &[message, b"!"].concat());
            assert!(!openssl(folder, verify), "{algorithm}: another message");
        }
    }
}

#[test]
fn openssl_verifies_pkcs1_signatures() {
    signed(
        "RSA_2048",
        "RSA_PKCS1_SHA_256",
        &[],
        "dgst -sha256 -verify public.pem -signature signature message",
    );
}

#[test]
fn openssl_verifies_pss_signatures() {
    signed(
        "RSA_2048",
        "RSA_PSS_SHA_256",
        &[],
        "dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32 -sigopt rsa_mgf1_md:sha256 \
         -verify public.pem -signature signature message",
    );
}

#[test]
fn openssl_verifies_sm2_signatures() {
    for (identity, further) in
        [("1234567812345678", &[][..]), ("somebody@example.org", &["--id", "somebody@example.org"])]
    {
        signed(
            "Ctyun_SM2",
            "SM2DSA",
            &[&["--public-key", "public.pem"], further].concat(),
            &format!(
                "pkeyutl -verify -pubin -inkey public.pem -rawin -digest sm3 -pkeyopt distid:{identity} \
                 -in message -sigfile signature"
            ),
        );
    }
}

/// Has openssl encrypt plaintexts of these lengths, and the service decrypt them.
fn encrypted(spec: &str, algorithm: &str, lengths: &[usize], options: &str) {
    let service = Service::start();
    let admin = service.admin();
    let pair = Pair::make(&admin, spec, ENCRYPTS);
    let folder = folder(&admin, &pair);
    let folder = folder.path();
    let encrypt =
        format!("pkeyutl -encrypt -pubin -inkey public.pem {options} -in plaintext -out ciphertext");
    for length in lengths {
        let plaintext: Vec<u8> = (0..*length).map(|at| (at * 7) as u8).collect();
        fs::write(folder.join("plaintext"), &plaintext).unwrap();
        assert!(openssl(folder, &encrypt), "{algorithm}, {length} bytes");
        let ciphertext = fs::read(folder.join("ciphertext")).unwrap();
        for (plane, call) in service.planes() {
            let opened: Value = call(DECRYPT, pair.decrypt(algorithm, base64(&ciphertext))).result();
            assert_eq!(unbase64(&opened["plaintext"]), plaintext, "{plane} {algorithm} {length}");
        }
    }
}

#[test]
fn the_service_decrypts_what_openssl_encrypted_by_oaep_with_sha_256() {
    let options = "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256";
    encrypted("RSA_2048", "RSAES_OAEP_SHA_256", &[1, 32, 190], options);
}

#[test]
fn the_service_decrypts_what_openssl_encrypted_by_oaep_with_sha_1() {
    encrypted("RSA_2048", "RSAES_OAEP_SHA_1", &[1, 32, 214], "-pkeyopt rsa_padding_mode:oaep");
}

/// Many of them, so that numbers with leading zeros occur, which DER writes shorter.
#[test]
fn the_service_decrypts_what_openssl_encrypted_by_sm2() {
    let short = [16; 40];
    encrypted("Ctyun_SM2", "SM2PKE", &[&short[..], &[1, 31, 32, 33, 200, 1000]].concat(), "");
}
