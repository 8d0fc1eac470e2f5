//! Data keys exported to the owner of a public key: openssl makes the pairs, and decrypts to the very data key that the
//! service knows.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kit::{Answer, OpenApi, Service, base64, temporary, unbase64};

const CREATE: &str = "/cmkManage/createKey";
const EXPORT: &str = "/keyCompute/exportDataKey";
const GENERATE: &str = "/keyCompute/generateAndExportDataKey";
const OAEP_SHA_256: &str = "RSAES_OAEP_SHA_256";
const OAEP_SHA_1: &str = "RSAES_OAEP_SHA_1";
const SM2PKE: &str = "SM2PKE";

/// Whoever a data key is exported to: a folder with the pair in `private.pem` and `public.der`.
struct Recipient {
    folder: TempDir,
    spec: &'static str,
}

impl Recipient {
    /// Makes a pair as `openssl genpkey` understands it.
    fn new(spec: &'static str, how: &str) -> Self {
        let recipient = Self { folder: temporary(), spec };
        recipient.openssl(&format!("genpkey -quiet -out private.pem {how}"));
        recipient.openssl("pkey -in private.pem -pubout -outform DER -out public.der");
        recipient
    }

    fn rsa(bits: u32) -> Self {
        Self::new("RSA_2048", &format!("-algorithm RSA -pkeyopt rsa_keygen_bits:{bits}"))
    }

    fn sm2() -> Self {
        Self::new("Ctyun_SM2", "-algorithm SM2")
    }

    fn openssl(&self, arguments: &str) {
        let mut command = Command::new("openssl");
        command.current_dir(self.folder.path()).args(arguments.split(' ').filter(|word| *word != "-quiet"));
        let output = command.output().expect("these tests need openssl 3 in the PATH");
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap()
    }

    fn public(&self) -> String {
        base64(self.file("public.der"))
    }

    /// The body with this recipient.
    fn of(&self, algorithm: &str, mut body: Value) -> Value {
        body["publicKeyBlob"] = self.public().into();
        body["wrappingKeySpec"] = self.spec.into();
        body["wrappingAlgorithm"] = algorithm.into();
        body
    }

    /// What openssl makes of an exported data key.
    fn opens(&self, algorithm: &str, answer: &Value) -> Vec<u8> {
        let how = match algorithm {
            OAEP_SHA_256 => {
                " -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256"
            }
            OAEP_SHA_1 => {
                " -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha1 -pkeyopt rsa_mgf1_md:sha1"
            }
            _ => "",
        };
        fs::write(self.folder.path().join("exported"), unbase64(&answer["exportedDataKey"])).unwrap();
        self.openssl(&format!("pkeyutl -decrypt -inkey private.pem -in exported -out opened{how}"));
        self.file("opened")
    }
}

/// The body with a recipient who is always there: somebody on the curve of SM2.
pub fn for_somebody(mut body: Value) -> Value {
    let public = "MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAEHryK1xyIJrb185R0/Yq7kZibvj1yUsmVvbre8uXLgkbEH3GApP2npvLFepW7hTew\
                  DUpNClTtOC+NwkdxhTbAKQ==";
    body["publicKeyBlob"] = public.into();
    body["wrappingKeySpec"] = "Ctyun_SM2".into();
    body["wrappingAlgorithm"] = SM2PKE.into();
    body
}

fn key(admin: &OpenApi, spec: &str) -> Value {
    admin.ok(CREATE, json!({"keySpec": spec}))["cmkUuid"].clone()
}

fn data_key(admin: &OpenApi, key: &Value, bytes: usize) -> Value {
    admin.ok("/keyCompute/generateDataKey", json!({"cmkUuid": key, "numberOfBytes": bytes}))
}

fn opened(admin: &OpenApi, blob: &Value) -> Vec<u8> {
    unbase64(&admin.ok("/keyCompute/decrypt", json!({"ciphertextBlob": blob}))["plaintext"])
}

/// A refusal as KMS.9020 of the field.
fn refuses_field(answer: &Answer, field: &str) -> bool {
    answer.code() == "KMS.9020" && answer.body["message"].as_str().unwrap().starts_with(field)
}

#[test]
fn recipients_decrypt_to_the_very_data_key_on_both_planes() {
    let service = Service::start();
    let admin = service.admin();
    let (rsa, sm2) = (Recipient::rsa(2048), Recipient::sm2());
    for (plane, call) in service.planes() {
        let key = key(&admin, if plane == "OpenAPI" { "AES_256" } else { "Ctyun_SM4" });
        for (recipient, algorithm, sizes) in [
            (&rsa, OAEP_SHA_256, [1, 16, 32, 190].as_slice()),
            (&rsa, OAEP_SHA_1, &[1, 16, 32, 214]),
            (&sm2, SM2PKE, &[1, 16, 32, 214, 1024]),
        ] {
            for bytes in sizes {
                let known = data_key(&admin, &key, *bytes);
                let body = recipient.of(algorithm, json!({"ciphertextBlob": known["ciphertextBlob"]}));
                let exported = call(EXPORT, body).result();
                let told = [&exported["cmkUuid"], &exported["keyVersionId"]];
                assert_eq!(told, [&known["cmkUuid"], &known["keyVersionId"]]);
                assert_eq!(exported.as_object().unwrap().len(), 3, "no plaintext");
                let plaintext = unbase64(&known["plaintext"]);
                assert_eq!(recipient.opens(algorithm, &exported), plaintext, "{plane} {algorithm} {bytes}");

                let body = recipient.of(algorithm, json!({"cmkUuid": key, "numberOfBytes": bytes}));
                let made = call(GENERATE, body).result();
                assert_eq!(made.as_object().unwrap().len(), 4, "no plaintext");
                let told = [&made["cmkUuid"], &made["keyVersionId"]];
                assert_eq!(told, [&known["cmkUuid"], &known["keyVersionId"]]);
                let plaintext = opened(&admin, &made["ciphertextBlob"]);
                assert_eq!(plaintext.len(), *bytes);
                assert_eq!(recipient.opens(algorithm, &made), plaintext, "{plane} {algorithm} {bytes}");
            }
        }
    }
}

/// Any ciphertext may hold what is to be handed over, and every data-key spec has its length.
#[test]
fn ciphertexts_up_to_what_the_algorithm_takes_and_specs_by_name() {
    let service = Service::start();
    let (admin, sm2) = (service.admin(), Recipient::sm2());
    let key = key(&admin, "AES_256");
    let sealed = |bytes: usize| {
        let body = json!({"cmkUuid": key, "plaintext": base64(vec![0x6b; bytes])});
        json!({"ciphertextBlob": admin.ok("/keyCompute/encrypt", body)["ciphertextBlob"]})
    };
    let exported = admin.ok(EXPORT, sm2.of(SM2PKE, sealed(6047)));
    assert_eq!(sm2.opens(SM2PKE, &exported), vec![0x6b; 6047]);
    assert!(refuses_field(&admin.call(EXPORT, sm2.of(SM2PKE, sealed(6048))), "ciphertextBlob"));
    for (spec, bytes) in [(None, 32), (Some("AES_256"), 32), (Some("aes_128"), 16), (Some("SM4_128"), 16)] {
        let made = admin.ok(GENERATE, sm2.of(SM2PKE, json!({"cmkUuid": key, "keySpec": spec})));
        assert_eq!(sm2.opens(SM2PKE, &made).len(), bytes, "{spec:?}");
    }
    let rsa = Recipient::rsa(2048);
    for (algorithm, most) in [(OAEP_SHA_256, 190), (OAEP_SHA_1, 214)] {
        let long = data_key(&admin, &key, most + 1);
        let body = json!({"ciphertextBlob": long["ciphertextBlob"]});
        assert!(refuses_field(&admin.call(EXPORT, rsa.of(algorithm, body)), "ciphertextBlob"));
        let body = rsa.of(algorithm, json!({"cmkUuid": key, "numberOfBytes": most + 1}));
        assert!(refuses_field(&admin.call(GENERATE, body), "numberOfBytes"), "{algorithm}");
    }
}

#[test]
fn data_keys_keep_their_context_and_their_account() {
    let service = Service::start();
    let (admin, sm2) = (service.admin(), Recipient::sm2());
    let (other, _) = service.tenant();
    let body = json!({"cmkUuid": key(&admin, "Ctyun_SM4"), "encryptionContext": {"a": "1"}});
    let made = admin.ok(GENERATE, sm2.of(SM2PKE, body));
    let blob = &made["ciphertextBlob"];
    let export = |person: &OpenApi, blob: &Value, context: Value| {
        let body = json!({"ciphertextBlob": blob, "encryptionContext": context});
        person.call(EXPORT, sm2.of(SM2PKE, body))
    };
    let same = export(&admin, blob, json!({"a": "1"})).result();
    assert_eq!(sm2.opens(SM2PKE, &same), sm2.opens(SM2PKE, &made));
    assert_ne!(same["exportedDataKey"], made["exportedDataKey"], "each time anew");
    for context in [json!({}), json!({"a": "2"}), json!({"a": "1", "b": ""})] {
        assert_eq!(export(&admin, blob, context).code(), "KMS.9028");
    }
    assert_eq!(export(&other, blob, json!({"a": "1"})).code(), "KMS.9001", "somebody else's key");
    let mut bytes = unbase64(blob);
    for at in [3, 104, 110, 140, bytes.len() - 17, bytes.len() - 1] {
        bytes[at] ^= 1;
        let refused = export(&admin, &base64(&bytes).into(), json!({"a": "1"}));
        assert_eq!(refused.code(), "KMS.9028", "byte {at}");
        bytes[at] ^= 1;
    }
    assert_eq!(export(&admin, &base64(&bytes[..150]).into(), json!({"a": "1"})).code(), "KMS.9028");
}

#[test]
fn public_keys_come_as_der_or_pem() {
    let service = Service::start();
    let admin = service.admin();
    let known = data_key(&admin, &key(&admin, "AES_256"), 32);
    for (recipient, algorithm) in [(Recipient::rsa(2048), OAEP_SHA_256), (Recipient::sm2(), SM2PKE)] {
        recipient.openssl("pkey -in private.pem -pubout -out public.pem");
        let pem = String::from_utf8(recipient.file("public.pem")).unwrap();
        let mut forms = vec![
            recipient.public(),
            base64(&pem),
            pem.clone(),
            pem.trim().to_owned(),
            format!("\n{}\n", pem.replace('\n', "\r\n")),
            format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----", recipient.public()),
        ];
        if algorithm == SM2PKE {
            let compressed = "ec -in private.pem -pubout -conv_form compressed -outform DER -out compressed";
            recipient.openssl(compressed);
            forms.push(base64(recipient.file("compressed")));
        }
        for form in forms {
            for (plane, call) in service.planes() {
                let mut body = recipient.of(algorithm, json!({"ciphertextBlob": known["ciphertextBlob"]}));
                body["publicKeyBlob"] = form.clone().into();
                let exported = call(EXPORT, body).result();
                assert_eq!(recipient.opens(algorithm, &exported), unbase64(&known["plaintext"]), "{plane}");
            }
        }
    }
}

/// DER of a short or a long value.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ ..0x80 => vec![short as u8],
        long => vec![0x82, (long >> 8) as u8, long as u8],
    };
    [&[tag], length.as_slice(), content].concat()
}

/// SubjectPublicKeyInfo of an RSA key, whatever its numbers are.
fn rsa_public(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    let positive = |number: &[u8]| der(2, &[&[0][..number[0] as usize >> 7], number].concat());
    let numbers = der(0x30, &[positive(modulus), positive(exponent)].concat());
    let algorithm = hex::decode("300d06092a864886f70d0101010500").unwrap();
    der(0x30, &[algorithm, der(3, &[&[0], numbers.as_slice()].concat())].concat())
}

#[test]
fn public_keys_of_another_kind_or_off_the_curve_are_refused() {
    let service = Service::start();
    let admin = service.admin();
    let known = data_key(&admin, &key(&admin, "AES_256"), 16)["ciphertextBlob"].clone();
    let (rsa, sm2) = (Recipient::rsa(2048), Recipient::sm2());
    rsa.openssl("pkey -in private.pem -pubout -out public.pem");
    let pem = String::from_utf8(rsa.file("public.pem")).unwrap();
    rsa.openssl("rsa -in private.pem -RSAPublicKey_out -out pkcs1.pem");
    let modulus = rsa.file("public.der")[33..289].to_vec();
    assert_eq!(rsa_public(&modulus, &[1, 0, 1]), rsa.file("public.der"), "the numbers are where they are");
    let changed = |at: usize, to: u8| {
        let mut modulus = modulus.clone();
        modulus[at] = to;
        modulus
    };
    let point = sm2.file("public.der");
    let other = |how| Recipient::new("RSA_2048", how).file("public.der");
    let mut off_curve = point.clone();
    *off_curve.last_mut().unwrap() ^= 1;
    let curve = hex::decode("301306072a8648ce3d020106082a811ccf5501822d").unwrap();
    let infinity = der(0x30, &[curve, der(3, &[0, 0])].concat());
    let rsa_keys = [
        ("1024 bits", Recipient::rsa(1024).file("public.der")),
        ("3072 bits", Recipient::rsa(3072).file("public.der")),
        ("2040 bits", rsa_public(&changed(0, 0xff)[..255], &[1, 0, 1])),
        ("2047 bits", rsa_public(&changed(0, 0x7f), &[1, 0, 1])),
        ("an even modulus", rsa_public(&changed(255, 2), &[1, 0, 1])),
        ("exponent 1", rsa_public(&modulus, &[1])),
        ("an even exponent", rsa_public(&modulus, &[1, 0, 0])),
        ("a long exponent", rsa_public(&modulus, &[2, 0, 0, 0, 1])),
        ("a huge modulus", rsa_public(&[0xc1; 40_000], &[1, 0, 1])),
        ("a byte too many", [rsa.file("public.der"), vec![0]].concat()),
        ("cut off", rsa.file("public.der")[..200].to_vec()),
        ("no bytes of meaning", vec![0x55; 294]),
        ("the form of PKCS#1", rsa.file("pkcs1.pem")),
        ("a private key", rsa.file("private.pem")),
        ("PEM without an end", pem.as_bytes()[..200].to_vec()),
        ("PEM of no Base64", pem.replace('M', "*").into_bytes()),
        ("another label", pem.replace("PUBLIC KEY", "CERTIFICATE").into_bytes()),
        ("an SM2 key", point.clone()),
    ];
    let sm2_keys = [
        ("off the curve", off_curve),
        ("infinity", infinity),
        ("half a point", point[..58].to_vec()),
        ("P-256", other("-algorithm EC -pkeyopt ec_paramgen_curve:P-256")),
        ("secp256k1", other("-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1")),
        ("Ed25519", other("-algorithm ed25519")),
        ("a bare point", point[26..].to_vec()),
        ("an RSA key", rsa.file("public.der")),
    ];
    let cases = rsa_keys.map(|case| (&rsa, OAEP_SHA_1, case)).into_iter();
    for (recipient, algorithm, (what, bytes)) in cases.chain(sm2_keys.map(|case| (&sm2, SM2PKE, case))) {
        let mut body = recipient.of(algorithm, json!({"ciphertextBlob": known}));
        body["publicKeyBlob"] = base64(&bytes).into();
        let refused = admin.call(EXPORT, body);
        assert!(refuses_field(&refused, "publicKeyBlob"), "{what}: {refused:?}");
    }
}

#[test]
fn algorithms_fit_the_kind_of_public_key_or_are_refused() {
    let service = Service::start();
    let admin = service.admin();
    let key = key(&admin, "AES_256");
    let known = data_key(&admin, &key, 16)["ciphertextBlob"].clone();
    let (rsa, sm2) = (Recipient::rsa(2048), Recipient::sm2());
    for (path, body) in [(EXPORT, json!({"ciphertextBlob": known})), (GENERATE, json!({"cmkUuid": key}))] {
        for (recipient, algorithm) in [(&rsa, SM2PKE), (&sm2, OAEP_SHA_1), (&sm2, OAEP_SHA_256)] {
            assert_eq!(admin.refused(path, recipient.of(algorithm, body.clone())), "KMS.9027");
        }
        let import = rsa.of("RSAES_PKCS1_V1_5", body.clone());
        assert!(refuses_field(&admin.call(path, import), "wrappingAlgorithm"), "that is for imports");
        let mut symmetric = rsa.of(OAEP_SHA_1, body.clone());
        symmetric["wrappingKeySpec"] = "AES_256".into();
        assert!(refuses_field(&admin.call(path, symmetric), "wrappingKeySpec"));
        let mut synonym = sm2.of(SM2PKE, body);
        synonym["wrappingKeySpec"] = "ec_sm2".into();
        assert!(admin.call(path, synonym).success().is_some());
    }
    let asymmetric = admin.ok(CREATE, json!({"keySpec": "Ctyun_SM2"}))["cmkUuid"].clone();
    assert_eq!(admin.refused(GENERATE, sm2.of(SM2PKE, json!({"cmkUuid": asymmetric}))), "KMS.9027");
}
