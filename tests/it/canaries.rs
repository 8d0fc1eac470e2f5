//! Canaries: secrets that a test knows, looked for wherever the real program leaves something: its outputs at log level
//! trace, the audit trail, the database with its free pages and every other file, answers that are no results, health,
//! and what the system shows of the process.

mod pairs;
mod scanner;

use std::fs;
use std::path::Path;
use std::process::Command;

use fastrand::Rng;
use rustix::process::Signal;
use serde_json::{Value, json};
use yaoku::env::Clock;

use crate::kit::{AccessPoint, OpenApi, agent, base64, send, unbase64};
use crate::ledger::figure;
use crate::material::{ALGORITHMS, DELETE, IMPORT, Way, external};
use crate::program::{Home, Program, error, finish, walk};
use scanner::{FORMS, Scanner, forms};

const PASSPHRASE: &str = "a passphrase that nobody else knows 7319";

/// A copy of what somebody might read: its name and its bytes.
type Place = (String, Vec<u8>);

/// What the scan has gathered.
#[derive(Default)]
struct Gathered {
    secrets: Vec<(String, Vec<u8>)>,
    places: Vec<Place>,
    /// Of key pairs whose private halves are secret, in hexadecimal.
    moduli: Vec<String>,
}

impl Gathered {
    fn secret(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        self.secrets.push((name.to_owned(), bytes.as_ref().to_vec()));
    }

    /// The text of a secret, and the bytes behind it if it is hexadecimal.
    fn secret_text(&mut self, name: &str, text: &Value) {
        let text = text.as_str().unwrap();
        self.secret(name, text);
        if let Ok(bytes) = hex::decode(text) {
            self.secret(&format!("the bytes of {name}"), bytes);
        }
    }

    fn place(&mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.places.push((name.into(), bytes.into()));
    }

    fn process(&mut self, program: &Program) {
        for file in ["environ", "cmdline"] {
            let path = format!("/proc/{}/{file}", program.child.id());
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.is_empty());
            self.place(path, bytes);
        }
    }
}

fn connect(ready: &Value, first: &Value) -> OpenApi {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    OpenApi {
        endpoint: text(&ready["openapi"]),
        access_key: text(&first["openapi"]["accessKey"]),
        secret_key: text(&first["openapi"]["secretKey"]),
        clock: Clock::system(),
        agent: agent(),
    }
}

/// Makes secrets and uses them on both planes, rightly and wrongly.
fn use_secrets(gathered: &mut Gathered, admin: &OpenApi, ready: &Value, point: &Value) {
    let mut random = Rng::with_seed(11);
    let key = admin.ok("/cmkManage/createKey", json!({"aliasName": "alias/canary"}))["cmkUuid"].clone();
    let plaintext: Vec<u8> = (0..40).map(|_| random.u8(..)).collect();
    let sealed = admin.ok("/keyCompute/encrypt", json!({"cmkUuid": key, "plaintext": base64(&plaintext)}));
    admin.ok("/keyCompute/decrypt", json!({"ciphertextBlob": sealed["ciphertextBlob"]}));
    gathered.secret("a plaintext", &plaintext);
    let blob = &sealed["ciphertextBlob"];
    for answer in [
        admin.call("/keyCompute/reEncrypt", json!({"ciphertextBlob": blob, "destinationCmkUuid": key})),
        admin.call("/keyCompute/getDataKey", json!({"ciphertextBlob": blob})),
    ] {
        gathered.place("an answer without a plaintext", answer.result().to_string());
    }
    let account = admin.ok("/account/createAccount", json!({"name": "second", "clientToken": "account"}));
    gathered.secret_text("the second console password", &account["console"]["password"]);
    gathered.secret_text("the second secret key", &account["openapi"]["secretKey"]);
    let token = json!({"accessPointId": point, "clientToken": "credential"});
    let credential = admin.ok("/userAk/createUserAk", token.clone());
    assert_eq!(admin.ok("/userAk/createUserAk", token), credential, "what a token remembers");
    gathered.secret_text("a credential's secret key", &credential["secretKey"]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let application = AccessPoint {
        endpoint: text(&ready["accessPoint"]),
        access_key: text(&credential["accessKey"]),
        secret_key: text(&credential["secretKey"]),
        clock: Clock::system(),
        agent: agent(),
    };
    for number in 0..3 {
        let body = json!({"cmkUuid": "alias/canary", "clientToken": format!("key {number}")});
        let data_key = application.ok("/keyCompute/generateDataKey", body);
        gathered.secret(&format!("data key {number}"), unbase64(&data_key["plaintext"]));
    }
    let token = json!({"serviceCode": "ecs", "clientToken": "product"});
    let credential = admin.ok("/product/createProductCredential", token.clone());
    assert_eq!(admin.ok("/product/createProductCredential", token), credential, "what a token remembers");
    gathered.secret_text("a product's secret key", &credential["secretKey"]);
    let (access_key, secret_key) = (text(&credential["accessKey"]), text(&credential["secretKey"]));
    let product = OpenApi { access_key, secret_key, ..admin.clone() };
    product.ok("/cmkManage/createDefaultKey", json!({"serviceCode": "ecs"}));
    let (disk, owner) = ("disk-of-the-canary-7f3a", "whose-name-nobody-reads");
    let body = json!({"cmkUuid": "alias/ecs", "resourceId": disk, "resourceName": owner});
    let data_key = product.ok("/keyCompute/generateDataKey", body);
    gathered.secret("a product's data key", unbase64(&data_key["plaintext"]));
    gathered.secret("a resource's id", disk);
    gathered.secret("a resource's name", owner);
    let drawn = admin.ok("/certificatecompute/getRandom", json!({}));
    gathered.secret("drawn random bytes", unbase64(&drawn["random"]));
    let input = hex::encode(&plaintext);
    gathered.secret("a text", &input);
    application.ok("/get/hmaccompute", json!({"cmkUuid": key, "input": input}));

    let plain = base64(&plaintext);
    let wrong = [
        admin.call("/keyCompute/encrypt", json!({"cmkUuid": plain, "plaintext": plain})),
        admin.call("/keyCompute/encrypt", json!({"cmkUuid": key, "plaintext": format!("{plain}!")})),
        admin.call("/keyCompute/decrypt", json!({"ciphertextBlob": plain})),
        admin
            .call("/cmkManage/createKey", json!({"aliasName": format!("alias/{}", plain), "keySpec": plain})),
        admin.call(
            "/keyCompute/encrypt",
            json!({"cmkUuid": key, "plaintext": plain, "encryptionContext": input}),
        ),
        application.call("/keyCompute/generateDataKey", json!({"cmkUuid": key, "numberOfBytes": plain})),
        admin.send(admin.request("/cmkManage/createKey", format!("{{\"a\": \"{plain}").as_bytes())),
        OpenApi { secret_key: "wrong".into(), ..admin.clone() }
            .call("/keyCompute/encrypt", json!({"cmkUuid": key, "plaintext": plain})),
        AccessPoint { secret_key: "wrong".into(), ..application.clone() }
            .call("/keyCompute/encrypt", json!({"cmkUuid": key, "plaintext": plain})),
    ];
    for (number, answer) in wrong.iter().enumerate() {
        assert!(answer.success().is_none(), "{answer:?}");
        gathered.place(format!("answer to wrong call {number}"), format!("{answer:?}"));
    }
}

/// Brings key material in, rightly and wrongly, and takes it away.
fn import_material(gathered: &mut Gathered, admin: &OpenApi) {
    let mut random = Rng::with_seed(17);
    let mut material = |bytes: usize| -> Vec<u8> { (0..bytes).map(|_| random.u8(..)).collect() };
    for (algorithm, spec, bytes) in
        [(ALGORITHMS[0], "AES_256", 32), (ALGORITHMS[1], "Ctyun_SM4", 16), (ALGORITHMS[2], "AES_256", 32)]
    {
        let (right, other) = (material(bytes), material(bytes + 1));
        let way = Way::new(admin, &external(admin, spec), algorithm);
        // Behind 33 bytes of SubjectPublicKeyInfo.
        gathered.moduli.push(hex::encode(&way.public[33..289]));
        admin.ok(IMPORT, way.body(&right));
        admin.ok("/keyCompute/encrypt", json!({"cmkUuid": way.key, "plaintext": base64("kept")}));
        let (clear, mut as_token) = (way.body_of(&base64(&right)), way.body(&right));
        as_token["importToken"] = json!(base64(&right));
        for (why, body) in [("another", way.body(&other)), ("clear", clear), ("as token", as_token)] {
            let answer = admin.call(IMPORT, body);
            assert!(answer.success().is_none(), "{answer:?}");
            gathered.place(format!("answer to {why} material by {algorithm}"), format!("{answer:?}"));
        }
        if spec == "Ctyun_SM4" {
            admin.ok(DELETE, json!({"cmkUuid": way.key}));
        }
        gathered.secret(&format!("material by {algorithm}"), &right);
        gathered.secret(&format!("wrong material by {algorithm}"), &other);
    }
}

/// Places where a prime of one of the key pairs stands.
fn private_keys(gathered: &Gathered) -> Vec<String> {
    const PRIMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/primes.py");
    let folder = crate::kit::temporary();
    for (number, (_, bytes)) in gathered.places.iter().enumerate() {
        fs::write(folder.path().join(number.to_string()), bytes).unwrap();
    }
    let python = |arguments: &[String]| {
        let mut command = Command::new("python3");
        command.args(["-B", PRIMES]).args(arguments);
        let output = finish(command, b"");
        assert!(output.status.success(), "{}", error(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let tested = python(&["--selftest".into()]);
    assert!(tested.lines().count() > 5 && tested.lines().all(|line| line.starts_with("ok ")), "{tested}");
    let found = python(&[vec![folder.path().display().to_string()], gathered.moduli.clone()].concat());
    found
        .lines()
        .map(|file| file.rsplit('/').next().unwrap().parse::<usize>().unwrap())
        .map(|number| gathered.places[number].0.clone())
        .collect()
}

/// The whole trail, as text.
fn trail(admin: &OpenApi) -> String {
    let (mut text, mut cursor) = (String::new(), Value::Null);
    loop {
        let page = admin.ok("/audit/queryAudit", json!({"pageSize": 100, "cursor": cursor}));
        text.push_str(&page.to_string());
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            return text;
        }
    }
}

fn traced(home: &Home) -> Program {
    let mut command = home.command(&["serve"]);
    command.env("YAOKU_LOG_LEVEL", "trace").env("YAOKU_STORE_RESERVE_BYTES", "65536");
    Program::start(command)
}

fn end(gathered: &mut Gathered, what: &str, program: Program, signal: Signal) {
    program.signal(signal);
    let ended = program.end();
    assert!(ended.stderr.contains("TRACE") || ended.stderr.contains("DEBUG"), "nothing was traced");
    gathered.place(format!("standard error {what}"), ended.stderr);
    gathered.place(format!("standard output {what}"), ended.lines.join("\n"));
}

/// The clear keys in the machine's own files: those files hold them by design, nothing else may.
fn root_keys(gathered: &mut Gathered, data: &Path) -> Vec<(String, String)> {
    let mut own = Vec::new();
    for name in ["machine/device/device.key", "machine/software-key/root.key"] {
        let bytes = fs::read(data.join(name)).unwrap();
        // A prefix, then 32 bytes.
        gathered.secret(name, &bytes[bytes.len() - 32..]);
        own.push((data.join(name).display().to_string(), format!("{name} as it is")));
    }
    own
}

#[test]
fn no_secret_is_found_where_it_does_not_belong() {
    let (home, mut gathered) = (Home::new(), Gathered::default());
    let program = traced(&home);
    let line = program.line().unwrap();
    let (ready, first): (Value, Value) = (serde_json::from_str(&line).unwrap(), home.first());
    gathered.place("the ready line", line);
    fs::remove_file(home.data.join("first-run.json")).unwrap();
    gathered.secret_text("the first console password", &first["console"]["password"]);
    gathered.secret_text("the first secret key", &first["openapi"]["secretKey"]);
    let own = root_keys(&mut gathered, &home.data);
    let admin = connect(&ready, &first);
    use_secrets(&mut gathered, &admin, &ready, &first["accessPointId"]);
    import_material(&mut gathered, &admin);
    for path in ["/health/live", "/health/ready", "/", "/no/such"] {
        let answer = send(&admin.agent, "GET", &format!("{}{path}", admin.endpoint), &[], b"");
        gathered.place(path, format!("{answer:?}"));
    }
    gathered.place("the audit trail", trail(&admin));
    gathered.process(&program);
    end(&mut gathered, "before", program, Signal::TERM);

    // A passphrase from now on, given in files that an operator keeps elsewhere.
    let elsewhere = crate::kit::temporary();
    let file = elsewhere.path().join("passphrase");
    fs::write(&file, format!("{PASSPHRASE}\n")).unwrap();
    gathered.secret("the passphrase", PASSPHRASE);
    let attend = home.run(&["custody", "attend", "--new-passphrase-file", file.to_str().unwrap()]);
    assert!(attend.status.success(), "{}", error(&attend));
    gathered.place("custody attend", [attend.stdout, attend.stderr].concat());
    let program = traced(&home);
    gathered.place("the locked line", program.line().unwrap());
    let wrong = elsewhere.path().join("wrong");
    fs::write(&wrong, format!("{PASSPHRASE} but for the end\n")).unwrap();
    for (file, opens) in [(&wrong, false), (&file, true)] {
        let unlock = home.run(&["unlock", "--passphrase-file", file.to_str().unwrap()]);
        assert_eq!(unlock.status.success(), opens, "{}", error(&unlock));
        gathered.place("unlock", [unlock.stdout, unlock.stderr].concat());
    }
    let ready: Value = serde_json::from_str(&program.line().unwrap()).unwrap();
    let admin = connect(&ready, &first);
    admin.ok("/keyManage/describeKey", json!({"cmkUuid": "alias/canary"}));
    gathered.place("the audit trail after unlocking", trail(&admin));
    gathered.process(&program);
    end(&mut gathered, "after", program, Signal::KILL);

    // Killed, so the database is as it is in the middle of its work.
    let files: Vec<_> = walk(home.folder.path()).into_iter().filter(|path| path.is_file()).collect();
    assert!(files.iter().any(|path| path.ends_with("yaoku.redb")));
    for path in files {
        gathered.place(path.display().to_string(), fs::read(&path).unwrap());
    }
    let scanner = Scanner::new(&gathered.secrets);
    let mut hits = Vec::new();
    for (place, bytes) in &gathered.places {
        for found in scanner.find(bytes) {
            if !own.contains(&(place.clone(), found.to_owned())) {
                hits.push(format!("{found}: in {place}"));
            }
        }
    }
    let private = private_keys(&gathered);
    figure("canary_private_keys", format!("{} of {}", private.len(), gathered.places.len()), "places");
    assert!(private.is_empty(), "{private:#?}");
    let searched = gathered.secrets.len() * FORMS * gathered.places.len();
    let bytes: usize = gathered.places.iter().map(|(_, bytes)| bytes.len()).sum();
    figure("canary_secrets", gathered.secrets.len(), "secrets");
    figure("canary_bytes_searched", bytes, "bytes");
    figure("canary_hits", format!("{} of {searched}", hits.len()), "(secrets x forms x places)");
    assert!(hits.is_empty(), "{hits:#?}");
}

/// The scanner would notice: every form, at every place of some bytes.
#[test]
fn planted_canaries_are_found_in_every_form() {
    let secret = b"\x00\xff planted \x3e\xfb".to_vec();
    let scanner = Scanner::new(&[("it".into(), secret.clone())]);
    let mut random = Rng::with_seed(5);
    let noise: Vec<u8> = (0..5000).map(|_| random.u8(..)).collect();
    assert!(scanner.find(&noise).is_empty());
    for (form, bytes) in forms(&secret) {
        for at in [0, 17, 5000] {
            let planted = [&noise[..at], &bytes, &noise[at..]].concat();
            assert!(scanner.find(&planted).iter().any(|name| name.ends_with(form)), "{form} at {at}");
        }
    }
    // Base64 of something longer holds the secret at one of three alignments.
    for before in 0..6 {
        let text = base64([&noise[..before], &secret, &noise[..7]].concat());
        assert!(!scanner.find(text.as_bytes()).is_empty(), "behind {before} bytes");
    }
    assert!(scanner.find(&secret[1..]).is_empty());
}
