//! `yaoku digest`: files of every size, standard input, and what it refuses. That openssl verifies what is signed over its
//! digests is shown in `asymmetric/openssl.rs`.

use std::fs;
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use sm3::Sm3;

use crate::program::{Home, failed_with, finish};

/// The public key of GB/T 32918.5, annex A.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAECfnfMR5UIaFQ3X0WHkvFxnIXn60Y
M/wHa7CP81bzUCDM6kkM4md1pS3G6nGMwapgCu0F+/NeCEpmMvYHLamtEw==
-----END PUBLIC KEY-----
";

fn digest(home: &Home, arguments: &[&str], input: &[u8]) -> Output {
    let mut command: Command = home.plain(&["digest"]);
    command.args(arguments);
    finish(command, input)
}

fn printed(output: &Output) -> Vec<u8> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    STANDARD.decode(String::from_utf8(output.stdout.clone()).unwrap().trim_end()).unwrap()
}

#[test]
fn rsa_algorithms_sign_sha_256() {
    let home = Home::new();
    // Around the size of what is read at once.
    for length in [0, 1, 65_535, 65_536, 65_537, 3_000_000] {
        let content = vec![0xA5; length];
        fs::write(home.path("file"), &content).unwrap();
        for algorithm in ["RSA_PKCS1_SHA_256", "RSA_PSS_SHA_256"] {
            let of_file = printed(&digest(&home, &["file", "--algorithm", algorithm], b""));
            let of_input = printed(&digest(&home, &["-", "--algorithm", algorithm], &content));
            assert_eq!((&of_file, &of_input), (&Sha256::digest(&content).to_vec(), &of_file), "{length}");
        }
    }
}

/// The example of GB/T 32918.5, annex A: Z, and e of "message digest".
#[test]
fn sm2_signs_the_digest_of_the_standards_example() {
    let home = Home::new();
    fs::write(home.path("public.pem"), PUBLIC).unwrap();
    fs::write(home.path("file"), "message digest").unwrap();
    let sm2 = ["--algorithm", "SM2DSA", "--public-key", "public.pem"];
    let example = printed(&digest(&home, &[&["file"], &sm2[..]].concat(), b""));
    assert_eq!(hex::encode(example), "f0b43e94ba45accaace692ed534382eb17e6ab5a19ce7b31f4486fdfc0d28640");
    let z = hex::decode("b2e14c5c79c6df5b85f4fe7ed8db7a262b9da7e07ccb0ea9f4747b8ccda8a4f3").unwrap();
    for length in [0, 65_536, 200_000] {
        let content = vec![0xA5; length];
        let whole = Sm3::digest([z.as_slice(), &content].concat()).to_vec();
        assert_eq!(printed(&digest(&home, &[&["-"], &sm2[..]].concat(), &content)), whole, "{length}");
    }
}

#[test]
fn what_is_no_key_no_file_and_no_identity_is_refused() {
    let home = Home::new();
    fs::write(home.path("file"), "text").unwrap();
    fs::write(home.path("public.pem"), PUBLIC).unwrap();
    fs::write(home.path("cut.pem"), &PUBLIC[..80]).unwrap();
    let sm2 = ["file", "--algorithm", "SM2DSA"];
    let long = "x".repeat(8192);
    for (code, further, reason) in [
        (2, &[][..], "--public-key"),
        (1, &["--public-key", "cut.pem"], "getPublicKey"),
        (1, &["--public-key", "file"], "getPublicKey"),
        (1, &["--public-key", "nowhere.pem"], "nowhere.pem"),
        (1, &["--public-key", "public.pem", "--id", &long], "8191"),
    ] {
        failed_with(code, &digest(&home, &[&sm2, further].concat(), b""), &[reason]);
    }
    failed_with(1, &digest(&home, &["nowhere", "--algorithm", "RSA_PSS_SHA_256"], b""), &["nowhere"]);
    failed_with(2, &digest(&home, &["file"], b""), &["--algorithm"]);
    failed_with(2, &digest(&home, &["file", "--algorithm", "MD5"], b""), &["SM2DSA"]);
}
