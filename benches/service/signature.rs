//! Requests of the bench as bytes, signed in place. Two planes: the header HMAC of the access point
//! and the EOP signature of the OpenAPI. Everything of fixed length (date, id, signature) is
//! overwritten where it stands, so that the load loop neither allocates nor formats a head.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fmt::Write;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::prelude::{BASE64_STANDARD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha2::{Digest, Sha256};

const ID_BYTES: usize = 36;
const SIGNATURE_BYTES: usize = 44;
const ACCESS_POINT_DATE_BYTES: usize = 29;
const OPENAPI_DATE_BYTES: usize = 16;
/// `CST` of the access-point date is always eight hours ahead of UTC.
const CST: Duration = Duration::from_secs(8 * 3600);

/// An access key with its secret: a bench credential, gone with the temporary directory.
#[derive(Clone)]
pub struct Credential {
    pub access_key: String,
    pub secret_key: String,
}

/// One POST, ready to be written to a connection once `sign` has been called.
#[derive(Clone)]
pub struct Request {
    bytes: Vec<u8>,
    signer: Signer,
    signed_second: Option<u64>,
}

#[derive(Clone)]
enum Signer {
    AccessPoint {
        secret: Hmac<Sha256>,
        content_md5: String,
        path: String,
        date_at: usize,
        hmac_at: usize,
    },
    OpenApi {
        credential: Credential,
        day_key: Hmac<Sha256>,
        body_hash: String,
        id_at: usize,
        date_at: usize,
        signature_at: usize,
    },
}

impl Request {
    /// A call on the access-point plane; `fields` are the flat text fields of its body.
    pub fn access_point(
        host: SocketAddr,
        path: &str,
        fields: &[(&str, &str)],
        credential: &Credential,
    ) -> Self {
        let body = body(fields);
        let mut head = Head::new(host, path, &body);
        head.header("accessKey", &credential.access_key);
        let date_at = head.header("requestDate", &" ".repeat(ACCESS_POINT_DATE_BYTES));
        let hmac_at = head.header("hmac", &" ".repeat(SIGNATURE_BYTES));
        let signer = Signer::AccessPoint {
            secret: keyed(credential.secret_key.as_bytes()),
            content_md5: content_md5(fields, &credential.access_key),
            path: path.to_owned(),
            date_at,
            hmac_at,
        };
        Self { bytes: head.end(&body), signer, signed_second: None }
    }

    /// A call on the OpenAPI plane; every `sign` gives it a fresh request id.
    pub fn openapi(host: SocketAddr, path: &str, fields: &[(&str, &str)], credential: &Credential) -> Self {
        let body = body(fields);
        let mut head = Head::new(host, path, &body);
        let id_at = head.header("ctyun-eop-request-id", &" ".repeat(ID_BYTES));
        let date_at = head.header("Eop-date", &" ".repeat(OPENAPI_DATE_BYTES));
        let authorization =
            format!("{} Headers=ctyun-eop-request-id;eop-date Signature=", credential.access_key);
        let authorization_at =
            head.header("Eop-Authorization", &(authorization.clone() + &" ".repeat(SIGNATURE_BYTES)));
        let signer = Signer::OpenApi {
            credential: credential.clone(),
            day_key: keyed(b""),
            body_hash: hex(&Sha256::digest(body.as_bytes())),
            id_at,
            date_at,
            signature_at: authorization_at + authorization.len(),
        };
        Self { bytes: head.end(&body), signer, signed_second: None }
    }

    /// Brings the head up to `now`. The access point's date has a resolution of one second and may be
    /// repeated, so it is signed once a second; the OpenAPI refuses a repeated id, so it is signed always.
    pub fn sign(&mut self, now: SystemTime) {
        let second = unix_seconds(now);
        let new_second = self.signed_second.replace(second) != Some(second);
        match &mut self.signer {
            Signer::AccessPoint { secret, content_md5, path, date_at, hmac_at } => {
                if new_second {
                    let date = access_point_date(now);
                    let hmac = mac(secret.clone(), &[content_md5.as_str(), &date, path].join("\n"));
                    put(&mut self.bytes, *date_at, &date);
                    put(&mut self.bytes, *hmac_at, &BASE64_STANDARD.encode(hmac));
                }
            }
            Signer::OpenApi { credential, day_key, body_hash, id_at, date_at, signature_at } => {
                if new_second {
                    let date = openapi_date(now);
                    *day_key = openapi_day_key(credential, &date);
                    put(&mut self.bytes, *date_at, &date);
                }
                let id = fresh_request_id();
                let date = std::str::from_utf8(&self.bytes[*date_at..][..OPENAPI_DATE_BYTES])
                    .expect("a date is ASCII");
                let signature = mac(day_key.clone(), &openapi_string_to_sign(&id, date, body_hash));
                put(&mut self.bytes, *id_at, &id);
                put(&mut self.bytes, *signature_at, &BASE64_STANDARD.encode(signature));
            }
        }
    }

    /// Head and body as they go out.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Proves both signatures on the published examples before anything is measured.
pub fn check_examples() {
    let plaintext = "SGVsbG8gd29ybGQ=";
    let fields = [("cmkUuid", "241ede22-6261-4617-9caf-10d89990516c"), ("plaintext", plaintext)];
    let host = SocketAddr::from(([127, 0, 0, 1], 9092));

    let access_point = Credential {
        access_key: "7c92c33c3b0ea84e2d646b76f6c2cec7".into(),
        secret_key: "kms-demo-aap-sk".into(),
    };
    assert_eq!(content_md5(&fields, &access_point.access_key), "aoGqAzlLoJrz3RhLA13wgg==");
    let mut request = Request::access_point(host, "/keyCompute/encrypt", &fields, &access_point);
    request.sign(UNIX_EPOCH + Duration::from_secs(1_752_652_073));
    assert!(
        contains(request.bytes(), b"\r\nrequestDate: Wed, 16 Jul 2025 15:47:53 CST\r\n"),
        "date of the access point"
    );
    assert!(
        contains(request.bytes(), b"\r\nhmac: GpHvdsenxKsTNZ3KNOgehJikAIoHIoZr3KZXsn8ogpA=\r\n"),
        "HMAC of the access point"
    );

    let openapi = Credential { access_key: "kms-demo-ak".into(), secret_key: "kms-demo-sk".into() };
    let date = openapi_date(UNIX_EPOCH + Duration::from_secs(1_767_254_400));
    assert_eq!(date, "20260101T080000Z", "date of the OpenAPI");
    let body_hash = hex(&Sha256::digest(body(&fields).as_bytes()));
    let to_sign = openapi_string_to_sign("27cfe4dc-e640-45f6-92ca-492ca73e8680", &date, &body_hash);
    let signature = mac(openapi_day_key(&openapi, &date), &to_sign);
    assert_eq!(
        BASE64_STANDARD.encode(signature),
        "SQ4IMMQo1Oy9nHc6taIoQ0ScCTkeM9upeQYkxdECXG4=",
        "signature of the OpenAPI"
    );
}

/// Whether `needle` stands anywhere in `bytes`.
pub fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

struct Head {
    bytes: Vec<u8>,
}

impl Head {
    fn new(host: SocketAddr, path: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n"
        );
        Self { bytes: head.into_bytes() }
    }

    /// Adds a header and returns where its value stands.
    fn header(&mut self, name: &str, value: &str) -> usize {
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        let at = self.bytes.len();
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
        at
    }

    fn end(mut self, body: &str) -> Vec<u8> {
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(body.as_bytes());
        self.bytes
    }
}

fn put(bytes: &mut [u8], at: usize, value: &str) {
    bytes[at..at + value.len()].copy_from_slice(value.as_bytes());
}

/// A JSON object of text fields, in the order given.
fn body(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value))).collect();
    format!("{{{}}}", pairs.join(","))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Values of the body and the access key in the order of their names, joined and digested.
fn content_md5(fields: &[(&str, &str)], access_key: &str) -> String {
    let mut sorted: BTreeMap<&str, &str> = fields.iter().copied().collect();
    sorted.insert("accessKey", access_key);
    let values: Vec<&str> = sorted.into_values().collect();
    BASE64_STANDARD.encode(Md5::digest(values.join("\n").as_bytes()))
}

fn openapi_day_key(credential: &Credential, date: &str) -> Hmac<Sha256> {
    let time_key = mac(keyed(credential.secret_key.as_bytes()), date);
    let access_key_key = mac(keyed(&time_key), &credential.access_key);
    keyed(&mac(keyed(&access_key_key), &date[..8]))
}

/// The query is always empty here, hence the two empty lines.
fn openapi_string_to_sign(id: &str, date: &str, body_hash: &str) -> String {
    format!("ctyun-eop-request-id:{id}\neop-date:{date}\n\n\n{body_hash}")
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn mac(mut keyed: Hmac<Sha256>, message: &str) -> [u8; 32] {
    keyed.update(message.as_bytes());
    keyed.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}

/// Unique over all runs: a random half of the process and a running number, in the form of a UUID.
fn fresh_request_id() -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let process = *PROCESS.get_or_init(|| RandomState::new().hash_one("request ids"));
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!(
        "{:08x}-{:04x}-4{:03x}-8000-{:012x}",
        process >> 32,
        (process >> 16) & 0xffff,
        process & 0xfff,
        number & 0xffff_ffff_ffff
    )
}

fn unix_seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).expect("the clock stands after 1970").as_secs()
}

/// `Wed, 16 Jul 2025 15:47:53 CST`.
fn access_point_date(now: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let t = Civil::at(now + CST);
    let (day_name, month_name) = (DAYS[(t.days_since_1970 % 7) as usize], MONTHS[t.month as usize - 1]);
    format!(
        "{day_name}, {:02} {month_name} {:04} {:02}:{:02}:{:02} CST",
        t.day, t.year, t.hour, t.minute, t.second
    )
}

/// `20260101T080000Z`, in UTC as the letter says.
fn openapi_date(now: SystemTime) -> String {
    let t = Civil::at(now);
    format!("{:04}{:02}{:02}T{:02}{:02}{:02}Z", t.year, t.month, t.day, t.hour, t.minute, t.second)
}

struct Civil {
    days_since_1970: u64,
    year: u64,
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
    second: u64,
}

impl Civil {
    /// Gregorian date by eras of 400 years that begin on 1 March.
    fn at(time: SystemTime) -> Self {
        let seconds = unix_seconds(time);
        let (days_since_1970, second_of_day) = (seconds / 86_400, seconds % 86_400);
        let shifted = days_since_1970 + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            days_since_1970,
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            hour: second_of_day / 3_600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
        }
    }
}
