//! SM3 and SM4 against the openssl command (3.0 or newer), which shares no code with the machine: digests, MACs, and
//! a frame taken apart with openssl's own SM3, HKDF and SM4.

use std::io::Write as _;
use std::process::{Command, Stdio};

use firmware_sim::{Algorithm, DigestSm3, HmacSm3, KeyName, WrappedKey};

use crate::support::{ACCOUNT, Bench, TENANT, hex};

const NAME: KeyName = KeyName { key: [0x3c; 16], version: [0x4d; 16] };
const KEY_TEXT: &str = "3c3c3c3c-3c3c-3c3c-3c3c-3c3c3c3c3c3c";
const VERSION_TEXT: &str = "4d4d4d4d-4d4d-4d4d-4d4d-4d4d4d4d4d4d";
const KEY: [u8; 16] = *b"sixteen key bits";

/// The bytes that openssl writes.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("these tests need openssl 3 in the PATH");
    let mut stdin = child.stdin.take().expect("a pipe");
    // `openssl kdf` reads nothing and may have ended.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().expect("openssl ends");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `length` bytes of HKDF with SM3.
fn hkdf(key: &[u8], salt: &[u8], info: &[u8], length: usize) -> Vec<u8> {
    let (length, key) = (length.to_string(), format!("hexkey:{}", text(key)));
    let (salt, info) = (format!("hexsalt:{}", text(salt)), format!("hexinfo:{}", text(info)));
    let fixed = ["kdf", "-binary", "-keylen", &length, "-kdfopt", "digest:SM3", "-kdfopt", &key];
    let further = ["-kdfopt", &salt, "-kdfopt", &info, "HKDF"];
    // No salt is the same as an empty one; openssl takes no empty one.
    let further = if salt == "hexsalt:" { &further[2..] } else { &further };
    openssl(&[fixed.as_slice(), further].concat(), b"")
}

/// The parts, each behind its length in four bytes.
fn prefixed(parts: &[&[u8]]) -> Vec<u8> {
    parts.iter().flat_map(|part| [&(part.len() as u32).to_be_bytes(), *part].concat()).collect()
}

/// Bytes that repeat with no period of a block.
fn message(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

/// An SM4 key whose clear bytes are [`KEY`].
fn known_key(bench: &Bench) -> WrappedKey {
    bench.script.then(&[&KEY, b"wrapped once"]);
    bench.named_key(NAME, Algorithm::Sm4)
}

#[test]
fn digests_are_those_of_openssl() {
    let bench = Bench::new();
    for length in [0, 1, 2, 3, 31, 32, 33, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 6144] {
        let message = message(length);
        let expected = openssl(&["dgst", "-sm3", "-binary"], &message);
        let digest = bench.machine.run(TENANT, DigestSm3 { message }).expect("a digest");
        assert_eq!(digest.as_slice(), expected, "{length} bytes");
    }
}

#[test]
fn macs_are_those_of_openssl_under_the_derived_key() {
    let bench = Bench::new();
    let key = known_key(&bench);
    let info = prefixed(&[b"kms-hmac", KEY_TEXT.as_bytes(), VERSION_TEXT.as_bytes()]);
    let mac_key = format!("hexkey:{}", text(&hkdf(&KEY, b"", &info, 32)));
    for length in [1, 55, 56, 63, 64, 65, 1000] {
        let message = message(length);
        let arguments = ["mac", "-binary", "-digest", "SM3", "-macopt", &mac_key, "-in", "-", "HMAC"];
        let expected = openssl(&arguments, &message);
        let mac = bench.machine.run(TENANT, HmacSm3 { key: key.clone(), message }).expect("a MAC");
        assert_eq!(mac.as_slice(), expected, "{length} bytes");
    }
}

#[test]
fn an_sm4_frame_decrypts_with_openssl() {
    let bench = Bench::new();
    let key = known_key(&bench);
    for length in [1, 15, 16, 17, 1000] {
        let plaintext = message(length);
        let frame = bench.encrypt(&key, &plaintext);
        let (header, payload) = frame.split_at(104);
        let (salt, commitment) = (&payload[1..17], &payload[17..49]);
        let ciphertext = &payload[49..payload.len() - 16];

        let context: [&[u8]; 4] = [b"app", "钥库".as_bytes(), b"purpose", b"test"];
        let head: [&[u8]; 4] = [&[1], b"Ctyun_SM4", header, ACCOUNT.as_bytes()];
        let bound = openssl(&["dgst", "-sm3", "-binary"], &prefixed(&[head, context].concat()));
        let derived = hkdf(&KEY, salt, &[b"yaoku/frame".as_slice(), &bound].concat(), 16 + 12 + 32);
        assert_eq!(&derived[28..], commitment, "{length} bytes");
        // GCM encrypts in counter mode from 2 on; block 1 masks the tag.
        let (message_key, counter) = (text(&derived[..16]), text(&derived[16..28]) + "00000002");
        let arguments = ["enc", "-d", "-sm4-ctr", "-K", &message_key, "-iv", &counter, "-nopad"];
        assert_eq!(openssl(&arguments, ciphertext), plaintext, "{length} bytes");
    }
}

/// The block cipher itself, by the vector of GB/T 32907-2016, so that the openssl at hand is known to be right.
#[test]
fn openssl_knows_the_published_sm4_vector() {
    let key = "0123456789abcdeffedcba9876543210";
    let block = openssl(&["enc", "-sm4-ecb", "-K", key, "-nopad"], &hex(key));
    assert_eq!(block, hex("681edf34d206965e86b3e94f536e4246"));
}
