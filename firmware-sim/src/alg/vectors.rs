//! Third parties' test vectors, run against the adapters: Wycheproof, Botan, Tongsuo, GM/T 0003.5. The files are not part of
//! the project; where they are absent the tests say so and pass. `KMS_VECTORS` names another folder.
//!
//! Of the collection are not run, for want of an adapter: AES in CBC and CTR, key wrapping and CCM, ECDSA, PBES2 and PBKDF2,
//! PKCS#12, and Botan's encryption with SM2, which is on the curve of the draft.

mod rsa;
mod sm2;

use std::fs;
use std::path::PathBuf;

use aes_gcm::KeyInit;
use serde_json::Value;
use sm4::Sm4;
use sm4::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt};

use crate::alg::{aes_gcm as gcm, sha256, sm3, sm4_gcm};

/// Reads hexadecimal text.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "hexadecimal digits come in pairs");
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("vectors hold hexadecimal digits only");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn read(file: &str) -> Option<String> {
    let folder = std::env::var_os("KMS_VECTORS").map(PathBuf::from);
    let beside = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors/open"));
    let text = fs::read_to_string(folder.unwrap_or_else(beside).join(file)).ok();
    if text.is_none() {
        eprintln!("{file} is absent: its vectors did not run");
    }
    text
}

fn json(file: &str) -> Option<Value> {
    read(file).map(|text| serde_json::from_str(&text).expect("a vector file is JSON"))
}

/// Vectors that ran, and those that went wrong.
#[derive(Default)]
struct Count {
    ran: usize,
    wrong: Vec<String>,
}

impl Count {
    fn add(&mut self, right: bool, what: impl FnOnce() -> String) {
        self.ran += 1;
        if !right {
            self.wrong.push(what());
        }
    }

    /// Prints what ran; all of it must have passed, and no fewer vectors than are known to be there.
    fn finish(self, name: &str, least: usize) {
        println!("figure vectors_{name} {} of {} passed", self.ran - self.wrong.len(), self.ran);
        assert!(self.wrong.is_empty(), "{:?}", self.wrong);
        assert!(self.ran >= least, "{} vectors ran", self.ran);
    }
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().expect("the schema has this list")
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex(value[name].as_str().expect("the schema has this text"))
}

/// Reads `Name = value` lines in groups parted by blank lines or headings.
fn groups(text: &str) -> Vec<Vec<(&str, &str)>> {
    let mut groups = vec![Vec::new()];
    for line in text.lines().map(str::trim) {
        match line.split_once('=') {
            _ if line.starts_with('#') => {}
            Some((name, value)) => groups.last_mut().expect("never empty").push((name.trim(), value.trim())),
            None => groups.push(Vec::new()),
        }
    }
    groups
}

fn value<'a>(group: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    group.iter().find(|(found, _)| *found == name).map(|(_, value)| *value)
}

#[test]
fn wycheproof_aes_256_gcm() {
    let Some(file) = json("wycheproof/aes_gcm_test.json") else { return };
    let mut count = Count::default();
    for group in list(&file, "testGroups") {
        if group["keySize"] != 256 || group["ivSize"] != 96 || group["tagSize"] != 128 {
            continue;
        }
        for test in list(group, "tests") {
            let [key, nonce, associated, message, ciphertext, tag] =
                ["key", "iv", "aad", "msg", "ct", "tag"].map(|name| bytes(test, name));
            let key = key.as_slice().try_into().expect("32 bytes: keySize");
            let nonce = nonce.as_slice().try_into().expect("12 bytes: ivSize");
            let tag = tag.as_slice().try_into().expect("16 bytes: tagSize");
            let mut buffer = ciphertext.clone();
            let opened = gcm::open(key, nonce, &associated, &mut buffer, tag).is_ok();
            assert_eq!(opened, test["result"] == "valid", "test {}", test["tcId"]);
            if opened {
                assert_eq!(buffer, message, "test {}", test["tcId"]);
                assert_eq!(gcm::seal(key, nonce, &associated, &mut buffer), *tag, "test {}", test["tcId"]);
                assert_eq!(buffer, ciphertext, "test {}", test["tcId"]);
            }
            count.add(true, String::new);
        }
    }
    count.finish("wycheproof_aes_256_gcm", 60);
}

fn wycheproof_mac(name: &str, mac: fn(&[u8], &[u8]) -> [u8; 32]) {
    let Some(file) = json(&format!("wycheproof/{name}_test.json")) else { return };
    let mut count = Count::default();
    for test in list(&file, "testGroups").iter().flat_map(|group| list(group, "tests")) {
        let tag = bytes(test, "tag");
        let computed = mac(&bytes(test, "key"), &bytes(test, "msg"));
        let valid = computed[..tag.len()] == tag;
        count.add(valid == (test["result"] == "valid"), || format!("test {}", test["tcId"]));
    }
    count.finish(&format!("wycheproof_{name}"), 170);
}

#[test]
fn wycheproof_hmac_sm3() {
    wycheproof_mac("hmac_sm3", |key, message| sm3::mac(key, &[message]));
}

#[test]
fn wycheproof_hmac_sha_256() {
    wycheproof_mac("hmac_sha256", |key, message| sha256::MacKey::new(key).mac(message));
}

fn run_sm3(file: &str, input: &str, output: &str, chosen: fn(&[(&str, &str)]) -> bool, least: usize) {
    let Some(text) = read(file) else { return };
    let mut count = Count::default();
    for group in groups(&text).iter().filter(|group| chosen(group)) {
        let (Some(message), Some(digest)) = (value(group, input), value(group, output)) else { continue };
        count.add(sm3::digest(&hex(message)).as_slice() == hex(digest), || format!("SM3 of {message}"));
    }
    count.finish(&format!("sm3 {file}"), least);
}

#[test]
fn botan_sm3() {
    run_sm3("botan/sm3.vec", "In", "Out", |_| true, 130);
}

#[test]
fn tongsuo_sm3() {
    run_sm3("tongsuo/evpmd_sm3.txt", "Input", "Output", |group| value(group, "Digest") == Some("SM3"), 8);
}

/// A text in quotation marks, or hexadecimal digits.
fn text_or_hex(value: &str) -> Vec<u8> {
    let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    quoted.map_or_else(|| hex(value), |text| text.as_bytes().to_vec())
}

#[test]
fn tongsuo_hmac_sm3() {
    let Some(text) = read("tongsuo/evpmac_sm3.txt") else { return };
    let mut count = Count::default();
    for group in groups(&text) {
        let fields = ["Key", "Input", "Output"].map(|name| value(&group, name).map(text_or_hex));
        let [Some(key), Some(input), Some(output)] = fields else { continue };
        count.add(sm3::mac(&key, &[&input]).as_slice() == output, || format!("{group:?}"));
    }
    count.finish("tongsuo_hmac_sm3", 4);
}

fn check_sm4_blocks(key: &str, plaintext: &str, ciphertext: &str) {
    let key: [u8; 16] = hex(key).try_into().expect("an SM4 key has 16 bytes");
    let cipher = Sm4::new(&key.into());
    let (plaintext, ciphertext) = (hex(plaintext), hex(ciphertext));
    assert_eq!(plaintext.len(), ciphertext.len());
    for (plain, sealed) in plaintext.chunks(16).zip(ciphertext.chunks(16)) {
        let mut block = Array::try_from(plain).expect("whole blocks");
        cipher.encrypt_block(&mut block);
        assert_eq!(block.as_slice(), sealed);
        cipher.decrypt_block(&mut block);
        assert_eq!(block.as_slice(), plain);
    }
}

#[test]
fn botan_sm4() {
    let Some(text) = read("botan/sm4.vec") else { return };
    let mut count = Count::default();
    for group in groups(&text) {
        let fields = (value(&group, "Key"), value(&group, "In"), value(&group, "Out"));
        let (Some(key), Some(plaintext), Some(ciphertext)) = fields else { continue };
        check_sm4_blocks(key, plaintext, ciphertext);
        count.add(true, String::new);
    }
    count.finish("botan_sm4", 20);
}

#[test]
fn tongsuo_sm4() {
    let Some(text) = read("tongsuo/evpciph_sm4.txt") else { return };
    let (mut blocks, mut frames) = (0, 0);
    for group in groups(&text) {
        let field = |name| value(&group, name).expect("the group has this field");
        match value(&group, "Cipher") {
            Some("SM4-ECB") => {
                check_sm4_blocks(field("Key"), field("Plaintext"), field("Ciphertext"));
                blocks += 1;
            }
            Some("SM4-GCM") => {
                let [key, nonce, associated, tag, plaintext, ciphertext] =
                    ["Key", "IV", "AAD", "Tag", "Plaintext", "Ciphertext"].map(|name| hex(field(name)));
                let key = key.as_slice().try_into().expect("16 bytes");
                let nonce = nonce.as_slice().try_into().expect("12 bytes");
                let mut buffer = plaintext.clone();
                assert_eq!(sm4_gcm::seal(key, nonce, &associated, &mut buffer).as_slice(), tag);
                assert_eq!(buffer, ciphertext);
                let tag = tag.as_slice().try_into().expect("16 bytes");
                assert_eq!(sm4_gcm::open(key, nonce, &associated, &mut buffer, tag), Ok(()));
                assert_eq!(buffer, plaintext);
                frames += 1;
            }
            Some(_) | None => {}
        }
    }
    println!("figure vectors_tongsuo_sm4 {blocks} block and {frames} GCM vectors passed");
    assert!(blocks >= 1 && frames >= 1);
}
