//! Key pairs against the openssl command (3.0 or newer), which shares no code with the machine: what one signs or encrypts,
//! the other verifies or decrypts; and material that openssl wrapped is imported.

use std::fs;
use std::path::Path;
use std::process::Command;

use firmware_sim::{
    Algorithm, AsymmetricDecrypt, AsymmetricEncrypt, AsymmetricSign, AsymmetricVerify, Custody, Decrypt,
    DigestSm3, EncryptionScheme, ExportDataKey, Fault, Frame, GenerateAndExportDataKey, GenerateKey,
    GetPublicKey, ImportKey, ImportScheme, KeyName, MakeSpareKey, PartitionId, Purpose, RecipientKey,
    SignatureScheme, TakeSpareKey, WrappedKey,
};
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::support::{ACCOUNT, Bench, TENANT, context, hex};

const NAME: KeyName = KeyName { key: [0x51; 16], version: [0x62; 16] };
const MESSAGE: &[u8] = b"what is signed here is the digest of this text";

/// Runs openssl in a directory.
pub fn openssl(folder: &TempDir, arguments: &str) -> bool {
    let mut command = Command::new("openssl");
    command.current_dir(folder.path()).args(arguments.split(' '));
    command.output().expect("these tests need openssl 3 in the PATH").status.success()
}

pub fn write(folder: &TempDir, name: &str, bytes: &[u8]) {
    fs::write(folder.path().join(name), bytes).expect("a file");
}

pub fn read(folder: &Path, name: &str) -> Vec<u8> {
    fs::read(folder.join(name)).expect("a file")
}

/// A key pair, its public half in public.der of a folder.
fn pair(bench: &Bench, algorithm: Algorithm, purpose: Purpose) -> (WrappedKey, TempDir) {
    let command = GenerateKey { name: NAME, algorithm, purpose, custody: Custody::Hsm };
    let key = bench.machine.run(TENANT, command).expect("a key pair");
    let folder = tempfile::tempdir().expect("a temporary directory");
    write(&folder, "public.der", &public(bench, &key));
    (key, folder)
}

fn public(bench: &Bench, key: &WrappedKey) -> Vec<u8> {
    bench.machine.run(TENANT, GetPublicKey { key: key.clone() }).expect("a public key")
}

/// The digest e of GB/T 32918.2 section 6, from the text of the standard.
fn sm2_digest(bench: &Bench, public: &[u8]) -> [u8; 32] {
    let sm3 = |message: Vec<u8>| bench.machine.run(TENANT, DigestSm3 { message }).expect("a digest");
    let curve = hex(concat!(
        "fffffffeffffffffffffffffffffffffffffffff00000000fffffffffffffffc",
        "28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93",
        "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7",
        "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0",
    ));
    let point = &public[public.len() - 64..];
    let z = sm3([&[0, 128], b"1234567812345678".as_slice(), &curve, point].concat());
    sm3([z.as_slice(), MESSAGE].concat())
}

#[test]
fn openssl_verifies_what_the_machine_signs() {
    let bench = Bench::new();
    for scheme in [SignatureScheme::RsaPkcs1Sha256, SignatureScheme::RsaPssSha256, SignatureScheme::Sm2] {
        let (key, folder) = pair(&bench, scheme.algorithm(), Purpose::Sign);
        write(&folder, "message", MESSAGE);
        assert!(openssl(&folder, "dgst -sha256 -binary -out digest message"));
        let (digest, how) = match scheme {
            SignatureScheme::RsaPkcs1Sha256 => {
                (read(folder.path(), "digest").try_into().expect("32 bytes"), "-digest sha256 -rawin")
            }
            SignatureScheme::RsaPssSha256 => (
                read(folder.path(), "digest").try_into().expect("32 bytes"),
                "-digest sha256 -rawin -pkeyopt rsa_padding_mode:pss -pkeyopt rsa_pss_saltlen:32 \
                 -pkeyopt rsa_mgf1_md:sha256",
            ),
            SignatureScheme::Sm2 => (
                sm2_digest(&bench, &public(&bench, &key)),
                "-digest sm3 -rawin -pkeyopt distid:1234567812345678",
            ),
        };
        let how = how.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        let sign = AsymmetricSign { key: key.clone(), scheme, digest };
        let signature = bench.machine.run(TENANT, sign).expect("a signature");
        write(&folder, "signature", &signature);
        let verify = format!(
            "pkeyutl -verify -pubin -inkey public.der -keyform DER {how} -in message -sigfile signature"
        );
        assert!(openssl(&folder, &verify), "{scheme:?}");
        let genuine = |digest, signature: &[u8]| {
            let command =
                AsymmetricVerify { key: key.clone(), scheme, digest, signature: signature.to_vec() };
            bench.machine.run(TENANT, command).expect("a verdict")
        };
        assert!(genuine(digest, &signature) && !genuine([1; 32], &signature) && !genuine(digest, b"none"));
        write(&folder, "message", b"another");
        assert!(!openssl(&folder, &verify), "{scheme:?}, another message");
    }
}

#[test]
fn the_machine_decrypts_what_openssl_encrypts() {
    let bench = Bench::new();
    for (scheme, how) in [
        (EncryptionScheme::OaepSha256, " -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256"),
        (EncryptionScheme::OaepSha1, " -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1"),
        (EncryptionScheme::Sm2, ""),
    ] {
        let (key, folder) = pair(&bench, scheme.algorithm(), Purpose::Decrypt);
        for length in [1, 32, scheme.plaintext_bytes_max()] {
            let plaintext = vec![0x6d; length];
            write(&folder, "plaintext", &plaintext);
            let encrypt =
                "pkeyutl -encrypt -pubin -inkey public.der -keyform DER -in plaintext -out ciphertext";
            assert!(openssl(&folder, &format!("{encrypt}{how}")), "{scheme:?}");
            let decrypt = |ciphertext: Vec<u8>| {
                bench.machine.run(TENANT, AsymmetricDecrypt { key: key.clone(), scheme, ciphertext })
            };
            let opened = decrypt(read(folder.path(), "ciphertext")).expect("a plaintext");
            assert_eq!(opened.as_bytes(), plaintext, "{scheme:?}, {length} bytes");
            let plaintext = Zeroizing::new(plaintext);
            let command = AsymmetricEncrypt { key: key.clone(), scheme, plaintext };
            let ours = bench.machine.run(TENANT, command).expect("a ciphertext");
            assert_eq!(decrypt(ours.clone()).expect("a plaintext").len(), length);
            assert!(matches!(decrypt(ours[1..].to_vec()), Err(Fault::InvalidCiphertext)));
        }
        let command =
            AsymmetricSign { key: key.clone(), scheme: SignatureScheme::RsaPkcs1Sha256, digest: [0; 32] };
        assert!(matches!(bench.machine.run(TENANT, command), Err(Fault::WrongPurpose)));
    }
}

/// The value of an element of DER whose tag and length take two or three bytes, and what comes behind it.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (start, length) = match der[1] {
        0x81 => (3, der[2]),
        short => (2, short),
    };
    der[start..].split_at(length.into())
}

/// A number of DER in 32 bytes.
fn number(content: &[u8]) -> Vec<u8> {
    let significant = &content[content.len().saturating_sub(32)..];
    [vec![0; 32 - significant.len()].as_slice(), significant].concat()
}

#[test]
fn sm2_values_are_read_in_both_forms() {
    let bench = Bench::new();
    let (key, folder) = pair(&bench, Algorithm::Sm2, Purpose::Decrypt);
    for length in [1, 16, 20] {
        write(&folder, "plaintext", &vec![0x6d; length]);
        let encrypt = "pkeyutl -encrypt -pubin -inkey public.der -keyform DER -in plaintext -out ciphertext";
        assert!(openssl(&folder, encrypt));
        let der = read(folder.path(), "ciphertext");
        let ((x, rest), scheme) = (element(element(&der).0), EncryptionScheme::Sm2);
        let ((y, rest), (x, mut raw)) = (element(rest), (number(x), vec![4]));
        let ((hash, rest), y) = (element(rest), number(y));
        [x.as_slice(), &y, hash, element(rest).0].iter().for_each(|part| raw.extend_from_slice(part));
        for ciphertext in [der, raw] {
            let command = AsymmetricDecrypt { key: key.clone(), scheme, ciphertext };
            let opened = bench.machine.run(TENANT, command).expect("a plaintext");
            assert_eq!(opened.as_bytes(), vec![0x6d; length]);
        }
    }
    let (key, _folder) = pair(&bench, Algorithm::Sm2, Purpose::Sign);
    let (scheme, digest) = (SignatureScheme::Sm2, [9; 32]);
    let der = bench.machine.run(TENANT, AsymmetricSign { key: key.clone(), scheme, digest });
    let der = der.expect("a signature");
    let (r, rest) = element(element(&der).0);
    let raw = [number(r), number(element(rest).0)].concat();
    let swapped = [&raw[32..], &raw[..32]].concat();
    for (signature, genuine) in [
        (der.clone(), true),
        (raw.clone(), true),
        (swapped, false),
        (der[1..].to_vec(), false),
        (vec![], false),
    ] {
        let command = AsymmetricVerify { key: key.clone(), scheme, digest, signature };
        assert_eq!(bench.machine.run(TENANT, command).expect("a verdict"), genuine);
    }
}

/// A key does what it was made for, by the algorithms of its kind; no caller chooses otherwise.
#[test]
fn keys_fix_their_algorithm_and_their_purpose() {
    let bench = Bench::new();
    let (signs, encrypts) = (
        [SignatureScheme::RsaPkcs1Sha256, SignatureScheme::RsaPssSha256, SignatureScheme::Sm2],
        [EncryptionScheme::OaepSha256, EncryptionScheme::OaepSha1, EncryptionScheme::Sm2],
    );
    let mut accepted = 0;
    for algorithm in [Algorithm::Rsa2048, Algorithm::Sm2] {
        for purpose in [Purpose::Sign, Purpose::Decrypt] {
            let (key, _folder) = pair(&bench, algorithm, purpose);
            for scheme in signs {
                let fits = purpose == Purpose::Sign && scheme.algorithm() == algorithm;
                let command = AsymmetricSign { key: key.clone(), scheme, digest: [1; 32] };
                let signature = bench.machine.run(TENANT, command);
                assert_eq!(signature.is_ok(), fits, "{algorithm:?} {purpose:?} {scheme:?}");
                for other in signs {
                    let signature = signature.as_deref().unwrap_or(&[0; 64]).to_vec();
                    let command =
                        AsymmetricVerify { key: key.clone(), scheme: other, digest: [1; 32], signature };
                    let verdict = bench.machine.run(TENANT, command);
                    assert_eq!(verdict.is_ok(), purpose == Purpose::Sign && other.algorithm() == algorithm);
                    let genuine = verdict.is_ok_and(|genuine| genuine);
                    assert!(genuine == (fits && other == scheme), "{scheme:?} {other:?}");
                    accepted += usize::from(genuine && (!fits || other != scheme));
                }
            }
            for scheme in encrypts {
                let fits = purpose == Purpose::Decrypt && scheme.algorithm() == algorithm;
                let plaintext = Zeroizing::new(b"plain".to_vec());
                let command = AsymmetricEncrypt { key: key.clone(), scheme, plaintext };
                let made = bench.machine.run(TENANT, command);
                assert_eq!(made.is_ok(), fits, "{algorithm:?} {purpose:?} {scheme:?}");
                for other in encrypts {
                    let ciphertext = made.as_deref().unwrap_or(&[4; 256]).to_vec();
                    let command = AsymmetricDecrypt { key: key.clone(), scheme: other, ciphertext };
                    let opened = bench.machine.run(TENANT, command).is_ok();
                    assert!(opened == (fits && other == scheme), "{scheme:?} {other:?}");
                    accepted += usize::from(opened && (!fits || other != scheme));
                }
            }
        }
    }
    println!("figure algorithms_confused {accepted} accepted");
}

/// The owner of the public key is a pair of the machine here; only the private half opens what is exported.
#[test]
fn exported_data_keys_are_for_the_recipient_and_within_bounds() {
    let bench = Bench::new();
    let key = bench.key(Algorithm::Aes256);
    for scheme in [EncryptionScheme::OaepSha256, EncryptionScheme::OaepSha1, EncryptionScheme::Sm2] {
        let (pair, folder) = pair(&bench, scheme.algorithm(), Purpose::Decrypt);
        let recipient = || RecipientKey::parse(&read(folder.path(), "public.der")).expect("a public key");
        assert_eq!(recipient().algorithm(), scheme.algorithm());
        let export = |bytes: usize, scheme| {
            let frame = Frame::parse(&bench.encrypt(&key, &vec![0x6b; bytes])).expect("a frame");
            let opened = Decrypt { key: key.clone(), account: ACCOUNT.into(), context: context(), frame };
            bench.machine.run(TENANT, ExportDataKey { opened, recipient: recipient(), scheme })
        };
        let most = scheme.plaintext_bytes_max();
        for bytes in [1, 16, 32, most] {
            let ciphertext = export(bytes, scheme).expect("an exported data key");
            let command = AsymmetricDecrypt { key: pair.clone(), scheme, ciphertext };
            let opened = bench.machine.run(TENANT, command).expect("the data key");
            assert_eq!(opened.as_bytes(), vec![0x6b; bytes], "{scheme:?}");
        }
        assert!(matches!(export(most + 1, scheme), Err(Fault::TooLongToExport)));
        let other =
            if scheme == EncryptionScheme::Sm2 { EncryptionScheme::OaepSha1 } else { EncryptionScheme::Sm2 };
        assert!(matches!(export(16, other), Err(Fault::WrongAlgorithm)), "{scheme:?}");
        let make = |length| {
            let (account, context) = (ACCOUNT.into(), context());
            let (key, recipient) = (key.clone(), recipient());
            let command = GenerateAndExportDataKey { key, account, context, length, recipient, scheme };
            bench.machine.run(TENANT, command)
        };
        let (frame, ciphertext) = make(16).expect("a data key");
        let command = AsymmetricDecrypt { key: pair.clone(), scheme, ciphertext };
        let opened = bench.machine.run(TENANT, command).expect("the data key");
        assert_eq!(opened.as_bytes(), bench.decrypt(&key, &frame).expect("the data key").as_bytes());
        for length in [0, 1025, most + 1] {
            assert!(matches!(make(length), Err(Fault::Limit(_))), "{scheme:?} {length}");
        }
    }
}

#[test]
fn material_that_openssl_wraps_is_imported_once_and_for_all() {
    let bench = Bench::new();
    assert_eq!(bench.machine.run(PartitionId::DEVICE, MakeSpareKey { most: 3 }).expect("a key"), 1);
    let take = || bench.machine.run(TENANT, TakeSpareKey { name: NAME, custody: Custody::Hsm });
    let (wrapping_key, public) = take().expect("a wrapping key");
    assert!(matches!(take(), Err(Fault::NoSpareKey)));
    let folder = tempfile::tempdir().expect("a temporary directory");
    write(&folder, "public.der", &public);
    let wrapped = |material: &[u8], how: &str| {
        write(&folder, "material", material);
        let wrap = "pkeyutl -encrypt -pubin -inkey public.der -keyform DER -in material -out wrapped";
        assert!(openssl(&folder, &format!("{wrap} -pkeyopt rsa_padding_mode:{how}")));
        read(folder.path(), "wrapped")
    };
    let import = |scheme, material: Vec<u8>, binding| {
        let command = ImportKey {
            name: NAME,
            algorithm: Algorithm::Aes256,
            custody: Custody::Hsm,
            wrapping_key: wrapping_key.clone(),
            scheme,
            material,
            binding,
        };
        bench.machine.run(TENANT, command)
    };
    let (first, other) = ([0x11; 32], [0x22; 32]);
    let (scheme, ciphertext) = (EncryptionScheme::OaepSha1, wrapped(&first, "oaep"));
    let shown = AsymmetricDecrypt { key: wrapping_key.clone(), scheme, ciphertext };
    assert!(
        matches!(bench.machine.run(TENANT, shown), Err(Fault::WrongPurpose)),
        "it unwraps, and shows nothing"
    );
    let imported = import(ImportScheme::Pkcs1, wrapped(&first, "pkcs1"), None).expect("an import");
    let frame = bench.encrypt(&imported.wrapped, b"kept");
    for (scheme, how) in [
        (ImportScheme::Pkcs1, "pkcs1"),
        (ImportScheme::OaepSha1, "oaep -pkeyopt rsa_oaep_md:sha1"),
        (ImportScheme::OaepSha256, "oaep -pkeyopt rsa_oaep_md:sha256"),
    ] {
        let again = import(scheme, wrapped(&first, how), Some(imported.binding)).expect("the same material");
        assert_eq!(bench.decrypt(&again.wrapped, &frame).expect("a plaintext").as_bytes(), b"kept");
        for bad in [wrapped(&other, how), wrapped(&first[1..], how), vec![0; 256], vec![1; 7]] {
            let refused = import(scheme, bad, Some(imported.binding));
            assert!(matches!(refused, Err(Fault::InvalidKeyMaterial)), "{scheme:?}");
        }
    }
}
