//! What is wrong with a ciphertext or a signature stays a secret of the machine: every ciphertext that does not open has one
//! answer and one audit record, and a wrong signature is a verdict.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    DECRYPT, ENCRYPT, ENCRYPTIONS, ENCRYPTS, PUBLIC_KEY, Pair, SIGN, SIGNATURES, SIGNS, VERIFY, outcome,
};
use crate::kit::{AccessPoint, OpenApi, Service, access_point_date, base64, unbase64};
use crate::ledger::figure;

/// An answer to the last byte, with a mark in the place of the request's id.
fn raw(
    agent: &ureq::Agent,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    id: Option<&str>,
) -> (String, String) {
    let mut request = ureq::http::Request::builder().method("POST").uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = agent.run(request.body(body.to_vec()).unwrap()).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let id = id.map(str::to_owned).or_else(|| header("x-request-id")).unwrap();
    // `date` is the moment of the answer.
    let headers: Vec<_> = answer.headers().iter().filter(|(name, _)| *name != "date").collect();
    let mut head = format!("{} {headers:?}", answer.status()).replace(&id, "<id>");
    head.push('\n');
    (head + &text.replace(&id, "<id>"), id)
}

fn by_person(person: &OpenApi, path: &str, body: &Value) -> (String, String) {
    let request = person.request(path, body.to_string().as_bytes());
    let authorization = request.authorization();
    let headers = request.headers(&authorization);
    raw(&person.agent, &person.url(&request), &headers, &request.body, Some(&request.id))
}

fn by_application(application: &AccessPoint, path: &str, body: &Value) -> (String, String) {
    let date = access_point_date(application.clock.now());
    let mac = application.mac(path, body, &date);
    let headers = [
        ("content-type", "application/json"),
        ("accessKey", application.access_key.as_str()),
        ("requestDate", &date),
        ("hmac", &mac),
    ];
    let url = format!("{}{path}", application.endpoint);
    raw(&application.agent, &url, &headers, body.to_string().as_bytes(), None)
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

/// Ciphertexts that are wrong whatever the algorithm.
fn spoiled(right: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for at in [0, 1, right.len() / 3, right.len() / 2, right.len() - 2, right.len() - 1] {
        all.push((format!("byte {at} changed"), flipped(right, at)));
    }
    for length in [1, 2, right.len() / 2, right.len() - 1] {
        all.push((format!("cut to {length}"), right[..length].to_vec()));
    }
    all.push(("a byte more".into(), [right, &[0]].concat()));
    all.push(("a byte before".into(), [&[0], right].concat()));
    all.push(("twice".into(), right.repeat(2)));
    for (what, byte) in [("zeros", 0x00), ("ones", 0xff), ("fours", 0x04), ("sequences", 0x30)] {
        for length in [32, 97, 98, 128, 255, 256, 257, 6144, 6145, 20_000] {
            all.push((format!("{length} {what}"), vec![byte; length]));
        }
    }
    all
}

/// DER of an SM2 ciphertext taken apart: x, y, C3 and C2.
fn parts(der: &[u8]) -> [Vec<u8>; 4] {
    let mut rest = match der[1] {
        length if length < 0x80 => &der[2..],
        length => &der[2 + usize::from(length & 0x7f)..],
    };
    [(); 4].map(|()| {
        let length = usize::from(rest[1]);
        assert!(length < 0x80);
        let part = rest[2..2 + length].to_vec();
        rest = &rest[2 + length..];
        part
    })
}

fn padded(number: &[u8]) -> [u8; 32] {
    let significant = number.strip_prefix(&[0]).filter(|rest| rest.len() == 32).unwrap_or(number);
    let mut padded = [0; 32];
    padded[32 - significant.len()..].copy_from_slice(significant);
    padded
}

fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let length = match value.len() {
        short @ 0..0x80 => vec![short as u8],
        long => vec![0x81, u8::try_from(long).unwrap()],
    };
    [&[tag], length.as_slice(), value].concat()
}

/// C1 ‖ C3 ‖ C2 of a ciphertext in DER.
fn bare(der: &[u8]) -> Vec<u8> {
    let [x, y, hash, cipher] = parts(der);
    [&[4], padded(&x).as_slice(), &padded(&y), &hash, &cipher].concat()
}

/// SM2 ciphertexts that are wrong in ways of their own.
fn spoiled_sm2(der: &[u8]) -> Vec<(String, Vec<u8>)> {
    let [x, y, hash, cipher] = parts(der);
    let sequence = |x: &[u8], y: &[u8], hash: &[u8], cipher: &[u8]| {
        tlv(0x30, &[tlv(2, x), tlv(2, y), tlv(4, hash), tlv(4, cipher)].concat())
    };
    assert_eq!(sequence(&x, &y, &hash, &cipher), der);
    let raw = bare(der);
    let mut compressed = raw.clone();
    compressed[0] = 2;
    let mut all = vec![
        ("a padded number".to_owned(), sequence(&[&[0, 0], x.as_slice()].concat(), &y, &hash, &cipher)),
        ("a negative number".to_owned(), sequence(&[0xff; 32], &y, &hash, &cipher)),
        ("a point at zero".to_owned(), sequence(&[0], &[0], &hash, &cipher)),
        ("a point beside the curve".to_owned(), sequence(&flipped(&x, 5), &y, &hash, &cipher)),
        ("a short hash".to_owned(), sequence(&x, &y, &hash[1..], &cipher)),
        ("no cipher".to_owned(), sequence(&x, &y, &hash, b"")),
        ("another form of length".to_owned(), [&[0x30, 0x82, 0, der.len() as u8 - 2], &der[2..]].concat()),
        ("C1 C2 C3".to_owned(), [&raw[..65], &cipher, &hash].concat()),
        ("a compressed point".to_owned(), compressed),
    ];
    for at in [0, 1, 40, 70, 97, raw.len() - 1] {
        all.push((format!("bare, byte {at} changed"), flipped(&raw, at)));
    }
    all.push(("bare, no cipher".to_owned(), raw[..97].to_vec()));
    all.push(("bare, a byte more".to_owned(), [raw.as_slice(), &[0]].concat()));
    all
}

/// Its record without what every call has of its own.
fn record(person: &OpenApi, id: &str) -> String {
    let page = person.ok("/audit/queryAudit", json!({"eventName": "asymmetricDecrypt", "pageSize": 1}));
    let mut record = page["records"][0].clone();
    assert_eq!(record["requestId"], id);
    for own in ["eventId", "sequence", "requestId", "durationMicros"] {
        record.as_object_mut().unwrap().remove(own);
    }
    record.to_string()
}

#[test]
fn whatever_is_wrong_with_a_ciphertext_is_one_answer_and_one_record() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let (mut classes, mut most) = (0, 0);
    for (spec, algorithm, _) in ENCRYPTIONS {
        let pair = Pair::make(&admin, spec, ENCRYPTS);
        let seal = |pair: &Pair, algorithm: &str| {
            unbase64(&admin.ok(ENCRYPT, pair.encrypt(algorithm, b"a plaintext"))["ciphertextBlob"])
        };
        let right = seal(&pair, algorithm);
        let mut wrong = spoiled(&right);
        wrong.push(("of another version".into(), seal(&pair.next(&admin), algorithm)));
        wrong.push(("of another key".into(), seal(&Pair::make(&admin, spec, ENCRYPTS), algorithm)));
        match spec {
            "Ctyun_SM2" => wrong.extend(spoiled_sm2(&right)),
            _ => {
                let other = ENCRYPTIONS.iter().find(|(other, name, _)| *other == spec && *name != algorithm);
                wrong.push(("of another padding".into(), seal(&pair, other.unwrap().1)));
            }
        }
        let aes = admin.ok("/cmkManage/createKey", json!({}));
        let frame =
            json!({"cmkUuid": aes["cmkUuid"], "plaintext": base64("text"), "encryptionContext": "{}"});
        wrong.push(("a frame".into(), unbase64(&admin.ok("/keyCompute/encrypt", frame)["ciphertextBlob"])));
        classes += wrong.len();
        let (mut answers, mut records) = ([BTreeSet::new(), BTreeSet::new()], BTreeSet::new());
        for (what, bytes) in &wrong {
            let body = pair.decrypt(algorithm, base64(bytes));
            let (answer, id) = by_person(&admin, DECRYPT, &body);
            assert!(answer.contains("KMS.9028"), "{algorithm}, {what}: {answer}");
            answers[0].insert(answer);
            records.insert(record(&admin, &id));
            answers[1].insert(by_application(&application, DECRYPT, &body).0);
        }
        for forms in answers.iter().chain([&records]) {
            assert_eq!(forms.len(), 1, "{algorithm}: {forms:#?}");
            most = most.max(forms.len());
        }
        let opened = admin.ok(DECRYPT, pair.decrypt(algorithm, base64(&right)));
        assert_eq!(unbase64(&opened["plaintext"]), b"a plaintext");
    }
    figure("shapes_of_decryption_failures", most, &format!("of {classes} wrong ciphertexts"));
}

#[test]
fn sm2_ciphertexts_open_in_both_forms_up_to_the_longest() {
    let service = Service::start();
    let admin = service.admin();
    let pair = Pair::make(&admin, "Ctyun_SM2", ENCRYPTS);
    let der = unbase64(&admin.ok(ENCRYPT, pair.encrypt("SM2PKE", b"in both forms"))["ciphertextBlob"]);
    for form in [bare(&der), der] {
        let opened = admin.ok(DECRYPT, pair.decrypt("SM2PKE", base64(form)));
        assert_eq!(unbase64(&opened["plaintext"]), b"in both forms");
    }
    let longest = admin.ok(ENCRYPT, pair.encrypt("SM2PKE", &[1; 6047]))["ciphertextBlob"].clone();
    let bytes = unbase64(&longest);
    let (head, cipher) = bytes.split_at(bytes.len() - 6047);
    assert_eq!(head[head.len() - 4..], [4, 0x82, 0x17, 0x9f], "the cipher stands at the end");
    assert_eq!(cipher.len(), 6047);
    let opened = admin.ok(DECRYPT, pair.decrypt("SM2PKE", longest));
    assert_eq!(unbase64(&opened["plaintext"]), [1; 6047]);
}

#[test]
fn a_wrong_signature_is_a_verdict() {
    let service = Service::start();
    let admin = service.admin();
    let (mut verdicts, mut taken) = (0, Vec::new());
    for (spec, algorithm) in SIGNATURES {
        let pair = Pair::make(&admin, spec, SIGNS);
        let other = Pair::make(&admin, spec, SIGNS);
        let right = unbase64(&admin.ok(SIGN, pair.sign(algorithm, [7; 32]))["value"]);
        let mut wrong = spoiled(&right);
        if let Some((_, another)) =
            SIGNATURES.iter().find(|(other, name)| *other == spec && *name != algorithm)
        {
            let signed = unbase64(&admin.ok(SIGN, pair.sign(another, [7; 32]))["value"]);
            wrong.push(("of another padding".into(), signed));
        }
        wrong.push((
            "of another digest".into(),
            unbase64(&admin.ok(SIGN, pair.sign(algorithm, [8; 32]))["value"]),
        ));
        wrong.push((
            "of another key".into(),
            unbase64(&admin.ok(SIGN, other.sign(algorithm, [7; 32]))["value"]),
        ));
        for (plane, call) in service.planes() {
            let verdict = |value: &[u8]| {
                let answer = call(VERIFY, pair.verify(algorithm, [7; 32], base64(value)));
                pair.names(&answer.result());
                answer.result()["value"].clone()
            };
            assert_eq!(verdict(&right), true, "{plane} {algorithm}");
            for (what, value) in &wrong {
                verdicts += 1;
                if verdict(value) != false {
                    taken.push(format!("{plane} {algorithm}: {what}"));
                }
            }
        }
    }
    figure("wrong_signatures_taken", taken.len(), &format!("of {verdicts}"));
    assert!(taken.is_empty(), "{taken:?}");
}

#[test]
fn sm2_signatures_are_der_and_verify_as_two_numbers_too() {
    let service = Service::start();
    let admin = service.admin();
    let pair = Pair::make(&admin, "Ctyun_SM2", SIGNS);
    for digest in 0..20 {
        let der = unbase64(&admin.ok(SIGN, pair.sign("SM2DSA", [digest; 32]))["value"]);
        let length = usize::from(der[3]);
        let (r, s) = (padded(&der[4..4 + length]), padded(&der[6 + length..]));
        assert_eq!((der[0], usize::from(der[1]), der[2], der[4 + length]), (0x30, der.len() - 2, 2, 2));
        let verdict = |value: Vec<u8>| {
            admin.ok(VERIFY, pair.verify("SM2DSA", [digest; 32], base64(value)))["value"].clone()
        };
        assert_eq!(verdict([r, s].concat()), true);
        assert_eq!(verdict([s, r].concat()), false);
        assert_eq!(verdict([[0; 32], s].concat()), false);
        assert_eq!(verdict([r, [0xff; 32]].concat()), false);
    }
}

#[test]
fn malformed_fields_have_the_codes_of_the_manual() {
    let service = Service::start();
    let admin = service.admin();
    let signing = Pair::make(&admin, "Ctyun_SM2", SIGNS);
    let encrypting = Pair::make(&admin, "Ctyun_SM2", ENCRYPTS);
    let sign = signing.sign("SM2DSA", [7; 32]);
    let verify = signing.verify("SM2DSA", [7; 32], base64([7; 64]));
    let encrypt = encrypting.encrypt("SM2PKE", b"text");
    let decrypt = encrypting.decrypt("SM2PKE", base64([4; 128]));
    let show = encrypting.body(json!({}));
    for (plane, call) in service.planes() {
        for (path, right, field, missing) in [
            (SIGN, &sign, "cmkUuid", "KMS.0102"),
            (SIGN, &sign, "keyVersionId", "KMS.0105"),
            (SIGN, &sign, "algorithm", "KMS.0106"),
            (SIGN, &sign, "digest", "KMS.0104"),
            (VERIFY, &verify, "algorithm", "KMS.0106"),
            (VERIFY, &verify, "digest", "KMS.0104"),
            (VERIFY, &verify, "value", "KMS.0125"),
            (ENCRYPT, &encrypt, "algorithm", "KMS.0114"),
            (ENCRYPT, &encrypt, "plaintext", "KMS.0107"),
            (DECRYPT, &decrypt, "algorithm", "KMS.0114"),
            (DECRYPT, &decrypt, "ciphertextBlob", "KMS.0108"),
            (PUBLIC_KEY, &show, "keyVersionId", "KMS.0105"),
        ] {
            let with = |value: Value| {
                let mut body = right.clone();
                body[field] = value;
                outcome(&call(path, body))
            };
            let mut without = right.clone();
            without.as_object_mut().unwrap().remove(field);
            assert_eq!(outcome(&call(path, without)), missing, "{plane} {path} {field} missing");
            assert_eq!(with(Value::Null), missing, "{plane} {path} {field} null");
            assert_eq!(with(json!("")), missing, "{plane} {path} {field} empty");
            for wrong in [json!("not Base64, no name"), json!("YWJj\n"), json!("YQ"), json!(7), json!(true)] {
                assert_eq!(with(wrong.clone()), "KMS.9020", "{plane} {path} {field} {wrong}");
            }
            if field == "digest" {
                for length in [1, 31, 33, 64] {
                    assert_eq!(with(base64(vec![7; length]).into()), "KMS.9020", "{plane} {length} bytes");
                }
            }
        }
    }
}
