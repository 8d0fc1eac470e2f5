//! How a client signs, on both planes (contract 2.1 and 2.2). Unlike the service, a client holds its secret key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value};
use sha2::Sha256;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::env::Timestamp;
use crate::model::signature::{access_point_message, eop_mac_chain, eop_string_to_sign};

/// The signature of one OpenAPI call (contract, section 2.1), as Base64. `signed_headers` are lower-case names with their
/// values, sorted by name; `query` is canonical; `date` is the value of `eop-date`, of at least eight characters.
pub fn eop_signature(
    access_key: &str,
    secret_key: &str,
    signed_headers: &[(&str, &str)],
    query: &str,
    body: &[u8],
    date: &str,
) -> String {
    assert!(signed_headers.is_sorted_by_key(|(name, _)| *name), "signed headers are sorted by name");
    let text = eop_string_to_sign(signed_headers, query, body);
    let chain = eop_mac_chain(date, access_key, &text).expect("a date has more than eight characters");
    let mut key = Zeroizing::new(secret_key.as_bytes().to_vec());
    for message in chain {
        key = hmac_sha256(&key, &message);
    }
    STANDARD.encode(&*key)
}

/// The HMAC of one access-point call (contract, section 2.2), as Base64. `fields` are the body: texts, numbers, booleans.
pub fn access_point_hmac(
    access_key: &str,
    secret_key: &str,
    fields: &Map<String, Value>,
    date: &str,
    path: &str,
) -> String {
    let mut pairs: Vec<(&str, Zeroizing<String>)> = vec![("accessKey", access_key.to_owned().into())];
    for (name, value) in fields {
        let text = match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
        };
        pairs.push((name, text.into()));
    }
    pairs.sort_unstable_by_key(|(name, _)| *name);
    let values: Vec<&str> = pairs.iter().map(|(_, value)| value.as_str()).collect();
    let message = access_point_message(&values, date, path);
    STANDARD.encode(&*hmac_sha256(secret_key.as_bytes(), &message))
}

/// `yyyyMMdd'T'HHmmss'Z'`.
pub fn eop_date(now: Timestamp) -> String {
    let now = OffsetDateTime::from_unix_timestamp(now.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second()
    )
}

/// `EEE, dd MMM yyyy HH:mm:ss GMT`.
pub fn access_point_date(now: Timestamp) -> String {
    let now = OffsetDateTime::from_unix_timestamp(now.seconds()).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (weekday, month) = (now.weekday().to_string(), now.month().to_string());
    format!(
        "{weekday:.3}, {:02} {month:.3} {:04} {:02}:{:02}:{:02} GMT",
        now.day(),
        now.year(),
        now.hour(),
        now.minute(),
        now.second()
    )
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_worked_example() {
        let signed = [
            ("ctyun-eop-request-id", "27cfe4dc-e640-45f6-92ca-492ca73e8680"),
            ("eop-date", "20260101T080000Z"),
        ];
        let body = br#"{"cmkUuid":"241ede22-6261-4617-9caf-10d89990516c","plaintext":"SGVsbG8gd29ybGQ="}"#;
        let found = eop_signature("kms-demo-ak", "kms-demo-sk", &signed, "", body, "20260101T080000Z");
        assert_eq!(found, "SQ4IMMQo1Oy9nHc6taIoQ0ScCTkeM9upeQYkxdECXG4=");
    }

    #[test]
    fn the_signature_covers_the_query() {
        let signed = [("ctyun-eop-request-id", "request-123"), ("eop-date", "20260613T010203Z")];
        let body = br#"{"regionID":"81f7728662dd11ec810800155d307d5b"}"#;
        let found = eop_signature("test-ak", "test-sk", &signed, "a=1&b=two", body, "20260613T010203Z");
        assert_eq!(found, "h+H8K5CbPz1DjnbVWA+FEPGbbcEJOzVsi2GQv4LroyM=");
    }

    #[test]
    fn dates_have_the_form_that_is_signed() {
        let at = Timestamp::from_seconds(1_767_254_405);
        assert_eq!(eop_date(at), "20260101T080005Z");
    }
    /// Vector of contract 2.2.
    #[test]
    fn the_access_point_hmac_is_that_of_the_vector() {
        let fields = serde_json::json!({
            "plaintext": "SGVsbG8gd29ybGQ=", "cmkUuid": "241ede22-6261-4617-9caf-10d89990516c",
        });
        let access_key = "7c92c33c3b0ea84e2d646b76f6c2cec7";
        let found = access_point_hmac(
            access_key,
            "kms-demo-aap-sk",
            fields.as_object().expect("an object"),
            "Wed, 16 Jul 2025 15:47:53 CST",
            "/keyCompute/encrypt",
        );
        assert_eq!(found, "GpHvdsenxKsTNZ3KNOgehJikAIoHIoZr3KZXsn8ogpA=");
        assert_eq!(
            access_point_date(Timestamp::from_seconds(1_752_652_073)),
            "Wed, 16 Jul 2025 07:47:53 GMT"
        );
    }
}
