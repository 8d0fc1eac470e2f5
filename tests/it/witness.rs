//! What others say: the frames, MACs, digests, signatures and TLS of the running service, checked by programs that
//! share no code with it: the Python witnesses in `tests/python` and the openssl command.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{OpenApi, Service, access_point_date, base64, eop_date, unbase64};

const FRAME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/frame.py");
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/client.py");
const ALGORITHMS: [&str; 2] = ["AES_256", "Ctyun_SM4"];

/// Runs a program that must be there; returns whether it succeeded, and what it wrote on both outputs.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> (bool, String, String) {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn();
    let mut child = child.unwrap_or_else(|error| panic!("these tests need {program} in the PATH: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    // A program that needs no input may end before it is written.
    let _ = stdin.write_all(input);
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

/// Runs a Python witness; its answer is one line of JSON.
fn python(arguments: &[&str], input: &str) -> (bool, Value) {
    let (success, stdout, stderr) = run("python3", arguments, input.as_bytes());
    let answer = serde_json::from_str(&stdout);
    (success, answer.unwrap_or_else(|error| panic!("{arguments:?}: {error}: {stdout}{stderr}")))
}

fn selftest(witness: &str) {
    let (success, stdout, stderr) = run("python3", &[witness, "--selftest"], b"");
    assert!(success && stdout.lines().count() >= 5, "{stdout}{stderr}");
    assert!(stdout.lines().all(|line| line.starts_with("ok ")), "{stdout}");
}

#[test]
fn the_frame_witness_knows_published_vectors() {
    selftest(FRAME);
}

#[test]
fn the_client_witness_knows_the_vectors_of_the_contract() {
    selftest(CLIENT);
}

/// What frame.py makes of a frame with a key in hexadecimal.
pub fn open_frame(
    algorithm: &str,
    key: &str,
    account: &Value,
    blob: &Value,
    context: &Value,
) -> Option<Value> {
    let input = json!({
        "algorithm": algorithm, "key": key, "account": account, "context": context, "ciphertextBlob": blob,
    });
    let (success, answer) = python(&[FRAME], &input.to_string());
    assert_eq!(success, answer["error"].is_null(), "{answer}");
    success.then_some(answer)
}

/// A key, and everything of a key's length that the machine drew while it made it: one of these is the clear key.
struct Known {
    algorithm: &'static str,
    key: Value,
    drawn: Vec<String>,
}

impl Known {
    fn new(service: &Service, admin: &OpenApi, algorithm: &'static str) -> Self {
        let from = service.entropy.0.lock().unwrap().len();
        let key = admin.ok("/cmkManage/createKey", json!({"keySpec": algorithm}));
        let length = if algorithm == "AES_256" { 32 } else { 16 };
        let drawn = service.entropy.0.lock().unwrap()[from..].to_vec();
        let drawn = drawn.into_iter().filter(|bytes| bytes.len() == length).map(hex::encode).collect();
        Self { algorithm, key, drawn }
    }

    /// What frame.py makes of a frame with one of the candidates.
    fn open(&self, candidate: &str, account: &Value, blob: &Value, context: &Value) -> Option<Value> {
        open_frame(self.algorithm, candidate, account, blob, context)
    }

    /// The clear key: the one candidate that opens a frame of the key.
    fn clear(&self, account: &Value, blob: &Value) -> String {
        let opens = |candidate: &&String| self.open(candidate, account, blob, &json!({})).is_some();
        let found: Vec<&String> = self.drawn.iter().filter(opens).collect();
        assert_eq!(found.len(), 1, "of {} candidates for {}", self.drawn.len(), self.algorithm);
        found[0].clone()
    }
}

fn encrypt(admin: &OpenApi, key: &Value, plaintext: &[u8], context: &Value) -> Value {
    let body = json!({"cmkUuid": key, "plaintext": base64(plaintext), "encryptionContext": context});
    admin.ok("/keyCompute/encrypt", body)["ciphertextBlob"].clone()
}

#[test]
fn a_frame_opens_outside_with_the_recorded_key() {
    let service = Service::start();
    let (admin, account) = (service.admin(), &service.first["accountId"]);
    for algorithm in ALGORITHMS {
        let known = Known::new(&service, &admin, algorithm);
        let key = &known.key["cmkUuid"];
        let clear = known.clear(account, &encrypt(&admin, key, b"x", &json!({})));
        for context in [json!({}), json!({"项目": "钥库", "b": "2", "a": "1"})] {
            for plaintext in [b"k".to_vec(), "你好".into(), vec![0x5a; 6144]] {
                let blob = encrypt(&admin, key, &plaintext, &context);
                let answer = known.open(&clear, account, &blob, &context).expect("the frame opens");
                assert_eq!(unbase64(&answer["plaintext"]), plaintext);
                assert_eq!(answer["cmkUuid"], *key);
            }
        }
    }
}

#[test]
fn a_data_key_opens_outside_with_the_recorded_key() {
    let service = Service::start();
    let (admin, account, context) = (service.admin(), &service.first["accountId"], json!({"file": "a"}));
    for algorithm in ALGORITHMS {
        let known = Known::new(&service, &admin, algorithm);
        let clear = known.clear(account, &encrypt(&admin, &known.key["cmkUuid"], b"x", &json!({})));
        let body =
            json!({"cmkUuid": known.key["cmkUuid"], "numberOfBytes": 48, "encryptionContext": context});
        let data_key = admin.ok("/keyCompute/generateDataKey", body.clone());
        let answer = known.open(&clear, account, &data_key["ciphertextBlob"], &context).expect("it opens");
        assert_eq!(answer["plaintext"], data_key["plaintext"]);
        assert_eq!(answer["keyVersionId"], data_key["keyVersionId"]);

        let unseen = admin.ok("/keyCompute/generateDataKeyWithoutPlaintext", body);
        let answer = known.open(&clear, account, &unseen["ciphertextBlob"], &context).expect("it opens");
        assert_eq!(unbase64(&answer["plaintext"]).len(), 48);
    }
}

#[test]
fn a_frame_is_bound_to_context_account_and_every_part() {
    let service = Service::start();
    let (admin, account) = (service.admin(), &service.first["accountId"]);
    let context = json!({"file": "a"});
    for algorithm in ALGORITHMS {
        let known = Known::new(&service, &admin, algorithm);
        let clear = known.clear(account, &encrypt(&admin, &known.key["cmkUuid"], b"x", &json!({})));
        let blob = encrypt(&admin, &known.key["cmkUuid"], b"secret", &context);
        assert!(known.open(&clear, account, &blob, &context).is_some());
        for wrong in [json!({}), json!({"file": "b"}), json!({"fil": "ea"}), json!({"file": "a", "x": ""})] {
            assert!(known.open(&clear, account, &blob, &wrong).is_none(), "{wrong}");
        }
        assert!(known.open(&clear, &json!("0".repeat(32)), &blob, &context).is_none());
        let bytes = unbase64(&blob);
        // In the header's length and text, the version, the salt, the commitment, the ciphertext and the tag.
        for at in [3, 40, 104, 105, 121, 153, 159, bytes.len() - 1] {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            let flipped = json!(base64(flipped));
            assert!(known.open(&clear, account, &flipped, &context).is_none(), "{algorithm}: byte {at}");
            let body = json!({"ciphertextBlob": flipped, "encryptionContext": context});
            admin.refused("/keyCompute/decrypt", body);
        }
    }
}

#[test]
fn a_re_encrypted_frame_opens_outside_with_the_key_that_it_moved_to() {
    let service = Service::start();
    let (admin, account, context) = (service.admin(), &service.first["accountId"], json!({"file": "b"}));
    for (from, to) in ALGORITHMS.into_iter().flat_map(|from| ALGORITHMS.map(|to| (from, to))) {
        let (source, known) = (Known::new(&service, &admin, from), Known::new(&service, &admin, to));
        let blob = encrypt(&admin, &source.key["cmkUuid"], "搬家".as_bytes(), &json!({"file": "a"}));
        let clear = known.clear(account, &encrypt(&admin, &known.key["cmkUuid"], b"x", &json!({})));
        let moved = admin.ok(
            "/keyCompute/reEncrypt",
            json!({
                "ciphertextBlob": blob, "destinationCmkUuid": known.key["cmkUuid"],
                "sourceEncryptionContext": {"file": "a"}, "destinationEncryptionContext": context,
            }),
        );
        let answer = known.open(&clear, account, &moved["ciphertextBlob"], &context).expect("it opens");
        assert_eq!(unbase64(&answer["plaintext"]), "搬家".as_bytes(), "{from} to {to}");
        assert_eq!(answer["keyVersionId"], moved["keyVersionId"]);
        assert!(known.open(&clear, account, &moved["ciphertextBlob"], &json!({"file": "a"})).is_none());
    }
}

#[test]
fn a_keyed_mac_is_computed_alike_outside() {
    let service = Service::start();
    let (admin, account) = (service.admin(), &service.first["accountId"]);
    for algorithm in ALGORITHMS {
        let known = Known::new(&service, &admin, algorithm);
        let clear = known.clear(account, &encrypt(&admin, &known.key["cmkUuid"], b"x", &json!({})));
        for input in ["a", "钥库 🔑", &"long ".repeat(100)] {
            let mac = admin.ok("/get/hmaccompute", json!({"cmkUuid": known.key["cmkUuid"], "input": input}));
            let request = json!({
                "key": clear, "cmkUuid": mac["cmkUuid"], "keyVersionId": mac["keyVersionId"], "input": input,
            });
            let (_, answer) = python(&[FRAME, "--hmac"], &request.to_string());
            assert_eq!(answer["hmacoutput"], mac["hmacoutput"], "{algorithm} {input}");
        }
    }
}

#[test]
fn a_digest_is_the_one_of_openssl() {
    let service = Service::start();
    let admin = service.admin();
    let lengths = [1, 3, 55, 56, 63, 64, 65, 119, 120, 1000].map(|length| "a".repeat(length));
    let texts = lengths.into_iter().chain(["消息摘要".into(), "é\n\0🔑".into(), "密".repeat(341)]);
    for text in texts {
        let digest = unbase64(&admin.ok("/get/messageDigest", json!({"input": text}))["output"]);
        let (success, stdout, stderr) = run("openssl", &["dgst", "-sm3"], text.as_bytes());
        let expected = stdout.trim().rsplit(' ').next().unwrap();
        assert!(success && hex::encode(digest) == expected, "{text}: {stdout}{stderr}");
    }
}

/// Calls through client.py as a person of the OpenAPI plane.
fn client_eop(service: &Service, person: &OpenApi, date: &str, further: &[&str]) -> Value {
    let (ca, access_key, secret_key) = (service.ca(), &person.access_key, &person.secret_key);
    let fixed = [CLIENT, "eop", "--endpoint", &person.endpoint, "--ca", ca.to_str().unwrap(), "--date", date];
    let login = ["--ak", access_key, "--sk", secret_key];
    python(&[&fixed, login.as_slice(), further].concat(), "").1
}

/// Bodies that are hard to sign: Chinese text, and numbers, booleans and nulls in JSON's own form.
fn hard_bodies() -> [(&'static str, Value); 4] {
    [
        ("/get/messageDigest", json!({"input": "钥库 & <签名> = \"对\"\\ 🔑"})),
        ("/certificatecompute/getRandom", json!({"length": 33})),
        ("/keyManage/listAliasKeys", json!({"pageNum": 1, "pageSize": 10, "keyState": null})),
        (
            "/cmkManage/createKey",
            json!({"description": "主密钥，测试", "enableAutomaticRotation": true, "rotationInterval": "30d"}),
        ),
    ]
}

#[test]
fn another_client_is_understood_on_the_openapi_plane() {
    let service = Service::start();
    let (admin, date) = (service.admin(), eop_date(service.clock.now()));
    for (path, body) in hard_bodies() {
        let answer = client_eop(&service, &admin, &date, &[&format!("/v1{path}"), &body.to_string()]);
        assert_eq!(answer["body"]["statusCode"], 800, "{path}: {answer}");
    }
    let forged = OpenApi { secret_key: "wrong".into(), ..admin };
    let answer = client_eop(&service, &forged, &date, &["/v1/get/messageDigest", r#"{"input":"a"}"#]);
    assert_eq!(answer["body"]["errorCode"], "KMS.9040", "{answer}");
}

#[test]
fn another_client_may_read_by_a_signed_query() {
    let service = Service::start();
    let (admin, date) = (service.admin(), eop_date(service.clock.now()));
    let alias = json!({"aliasName": "alias/a/b_1"});
    let key = admin.ok("/cmkManage/createKey", alias)["cmkUuid"].clone();
    let get = |query, path| client_eop(&service, &admin, &date, &["--method", "GET", "--query", query, path]);
    let answer = get("cmkUuid=alias/a/b_1", "/v1/keyManage/describeKey");
    assert_eq!(answer["body"]["returnObj"]["result"]["cmkUuid"], key, "{answer}");
    let answer = get("pageSize=5&aliasName=钥 库&pageNum=1", "/v1/keyManage/listAliasKeys");
    assert_eq!(answer["body"]["returnObj"]["result"]["keys"], json!([]), "{answer}");
}

#[test]
fn another_client_may_live_in_beijing() {
    let service = Service::start();
    let (person, _) = service.tenant();
    let beijing = eop_date(service.clock.now().after(Duration::from_secs(8 * 3600)));
    let body = r#"{"input":"北京"}"#;
    for _ in 0..2 {
        let answer = client_eop(&service, &person, &beijing, &["/v1/get/messageDigest", body]);
        assert_eq!(answer["body"]["statusCode"], 800, "{answer}");
    }
}

#[test]
fn another_client_is_understood_on_the_access_point_plane() {
    let service = Service::start();
    let application = service.first_application();
    let (ca, date) = (service.ca(), access_point_date(service.clock.now()));
    let call = |secret_key: &str, path: &str, body: &str| {
        let fixed = [CLIENT, "aap", "--endpoint", &application.endpoint, "--ca", ca.to_str().unwrap()];
        let login = ["--date", &date, "--ak", &application.access_key, "--sk", secret_key, path, body];
        python(&[fixed.as_slice(), login.as_slice()].concat(), "").1
    };
    for (path, body) in hard_bodies() {
        let answer = call(&application.secret_key, path, &body.to_string());
        assert_eq!(answer["body"]["code"], 200, "{path}: {answer}");
    }
    let answer = call("wrong", "/get/messageDigest", r#"{"input":"a"}"#);
    assert_eq!(answer["body"]["errorCode"], "KMS.9040", "{answer}");
}

/// Opens a TLS connection to the OpenAPI plane with `openssl s_client`.
fn handshake(service: &Service, arguments: &[&str]) -> (bool, String) {
    let (address, ca) = (service.ready.openapi.strip_prefix("https://").unwrap(), service.ca());
    let fixed = ["s_client", "-connect", address, "-CAfile", ca.to_str().unwrap(), "-verify_return_error"];
    let (success, stdout, stderr) = run("openssl", &[fixed.as_slice(), arguments].concat(), b"");
    (success, stdout + &stderr)
}

#[test]
fn the_certificate_is_of_the_appliances_own_ca_and_names_this_host() {
    let service = Service::start();
    for name in [["-verify_ip", "127.0.0.1"], ["-verify_hostname", "localhost"], ["-verify_ip", "::1"]] {
        let (success, text) = handshake(&service, &name);
        assert!(success && text.contains("Verify return code: 0 (ok)"), "{name:?}: {text}");
    }
    let (success, text) = handshake(&service, &["-verify_hostname", "example.org"]);
    assert!(!success && text.contains("hostname mismatch"), "{text}");
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let service = Service::start();
    for version in ["-tls1_2", "-tls1_3"] {
        let (success, text) = handshake(&service, &[version]);
        assert!(success, "{version}: {text}");
    }
    for version in ["-tls1", "-tls1_1"] {
        // Without the lower security level openssl itself would not offer them.
        let (success, text) = handshake(&service, &[version, "-cipher", "DEFAULT@SECLEVEL=0"]);
        assert!(!success && text.contains("SSL alert number"), "the service refuses {version}: {text}");
    }
}

#[test]
fn http_2_is_not_negotiated() {
    let service = Service::start();
    let (success, text) = handshake(&service, &["-alpn", "h2,http/1.1"]);
    assert!(success && text.contains("ALPN protocol: http/1.1"), "{text}");
    let (_, text) = handshake(&service, &["-alpn", "h2"]);
    assert!(!text.contains("ALPN protocol: h2"), "{text}");
}
