//! What both planes sign (contract 2.1 and 2.2), as pure functions: the texts, the dates, the time window. The HMACs
//! over them are computed by the cipher machine, which alone knows the secret keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use sha2::Sha256;
use time::{Date, Month, PrimitiveDateTime, Time};

use crate::env::Timestamp;

/// How far a request's date may be off, in either direction, in seconds.
pub const WINDOW_SECONDS: i64 = 15 * 60;
/// The two headers that an EOP signature must cover.
pub const EOP_MANDATORY: [&str; 2] = ["ctyun-eop-request-id", "eop-date"];

/// Whether a signed date is within the window around the wall clock.
pub fn in_window(signed: Timestamp, wall: Timestamp) -> bool {
    (signed.seconds() - wall.seconds()).abs() <= WINDOW_SECONDS
}

/// The first minute of signed dates whose request ids are remembered. An older date is refused: the wall clock was turned
/// back, and nobody knows any more what was accepted then. With a trusted clock no date within the window is that old.
pub fn oldest_minute(confirmed: Timestamp) -> i64 {
    confirmed.minute() - 2 * WINDOW_SECONDS / 60 - 1
}

/// The parts of `Eop-Authorization: <ak> Headers=<list> Signature=<base64>`.
#[derive(Debug, PartialEq, Eq)]
pub struct EopAuthorization<'a> {
    /// AK, not yet looked up.
    pub access_key: &'a str,
    /// Signed header names, lower case, sorted.
    pub headers: Vec<String>,
    /// Base64 of the signature.
    pub signature: &'a str,
}

impl<'a> EopAuthorization<'a> {
    /// Parses the header; `None` if a part is missing, a header is named twice or a mandatory one is not signed.
    pub fn parse(value: &'a str) -> Option<Self> {
        let mut parts = value.split_ascii_whitespace();
        let access_key = parts.next()?;
        let list = parts.next()?;
        let list = list.strip_prefix("Headers=").or_else(|| list.strip_prefix("Header="))?;
        let signature = parts.next()?.strip_prefix("Signature=")?;
        if parts.next().is_some() {
            return None;
        }
        let mut headers: Vec<String> = list.split(';').map(str::to_ascii_lowercase).collect();
        headers.sort_unstable();
        let twice = headers.windows(2).any(|pair| pair.first() == pair.last());
        let complete = EOP_MANDATORY.iter().all(|name| headers.iter().any(|header| header == name));
        (complete && !twice).then_some(Self { access_key, headers, signature })
    }
}

/// The signed text of an EOP request. `headers` are names and values in the order of [`EopAuthorization::headers`].
pub fn eop_string_to_sign(headers: &[(&str, &str)], query: &str, body: &[u8]) -> String {
    let mut text = String::with_capacity(256);
    for (name, value) in headers {
        text.push_str(name);
        text.push(':');
        text.push_str(value);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(query);
    text.push('\n');
    text.push_str(&hex::encode(Sha256::digest(body)));
    text
}

/// The chain of HMAC-SHA256 messages whose first key is the secret key: `ktime`, `kAk`, `kdate`, signature.
/// `None` if the date has fewer than eight characters.
pub fn eop_mac_chain(date: &str, access_key: &str, string_to_sign: &str) -> Option<Vec<Vec<u8>>> {
    let day = date.get(..8)?;
    Some([date, access_key, day, string_to_sign].map(|part| part.as_bytes().to_vec()).to_vec())
}

/// The query re-canonicalised: pairs sorted by name, values percent-encoded with nothing left safe.
pub fn eop_canonical_query(raw: &str) -> String {
    let mut pairs: Vec<(String, String)> = parse_query(raw);
    pairs.sort();
    let encoded = pairs.iter().map(|(name, value)| format!("{name}={}", percent_encode(value)));
    encoded.collect::<Vec<_>>().join("&")
}

/// The pairs of a query string, percent-decoded; `+` is a space.
pub fn parse_query(raw: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode(text);
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            pair.split_once('=').map_or((decode(pair), String::new()), |(n, v)| (decode(n), decode(v)))
        })
        .collect()
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        let escaped = (byte == b'%').then(|| bytes.get(index + 1..index + 3)).flatten();
        let escaped = escaped.and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(value) => {
                out.push(value);
                index += 3;
            }
            None => {
                out.push(if byte == b'+' { b' ' } else { byte });
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// RFC 3986: everything but unreserved characters is escaped.
fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Whose clock an EOP date was written by (contract 2.1: the `Z` does not mean UTC in the vendor's SDKs).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EopZone {
    /// UTC.
    Utc = 0,
    /// UTC+8.
    Beijing = 8,
}

impl EopZone {
    /// Seconds to subtract from a date of this zone.
    fn offset(self) -> i64 {
        i64::from(self as u8) * 3600
    }
}

/// The moment that `yyyyMMdd'T'HHmmss'Z'` names in a zone.
pub fn eop_date(text: &str, zone: EopZone) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') {
        return None;
    }
    let part = |from: usize, to: usize| digits(text.get(from..to)?);
    let at = moment(part(0, 4)?, part(4, 6)?, part(6, 8)?, [part(9, 11)?, part(11, 13)?, part(13, 15)?])?;
    Some(Timestamp::from_seconds(at - zone.offset()))
}

/// The moment that `EEE, dd MMM yyyy HH:mm:ss zzz` names; CST always means UTC+8 (contract 2.2).
pub fn access_point_date(text: &str) -> Option<Timestamp> {
    let mut words = text.split(' ');
    let mut next = || words.next();
    let weekday = next()?.strip_suffix(',')?;
    if !["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"].contains(&weekday) {
        return None;
    }
    let day = digits(next()?)?;
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let name = next()?;
    let month = MONTHS.iter().position(|month| *month == name)? + 1;
    let year = digits(next()?)?;
    let clock: Vec<i64> = next()?.split(':').map(digits).collect::<Option<_>>()?;
    let offset = zone_offset(next()?)?;
    if next().is_some() {
        return None;
    }
    let clock: [i64; 3] = clock.try_into().ok()?;
    let at = moment(year, i64::try_from(month).ok()?, day, clock)?;
    Some(Timestamp::from_seconds(at - offset))
}

/// Seconds east of UTC of a zone token: `CST`, `UTC`, `GMT`, `Z`, `+08`, `+08:00`, `+0800`, `GMT+08:00`.
fn zone_offset(token: &str) -> Option<i64> {
    match token {
        "CST" => return Some(8 * 3600),
        "UTC" | "GMT" | "Z" => return Some(0),
        _ => {}
    }
    let signed = token.strip_prefix("GMT").or_else(|| token.strip_prefix("UTC")).unwrap_or(token);
    let (sign, rest) = match signed.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.len() {
        2 => (rest, "00"),
        4 => rest.split_at_checked(2)?,
        5 => rest.split_once(':')?,
        _ => return None,
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn digits(text: &str) -> Option<i64> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn moment(year: i64, month: i64, day: i64, [hour, minute, second]: [i64; 3]) -> Option<i64> {
    let small = |number: i64| u8::try_from(number).ok();
    let month = Month::try_from(small(month)?).ok()?;
    let date = Date::from_calendar_date(i32::try_from(year).ok()?, month, small(day)?).ok()?;
    let time = Time::from_hms(small(hour)?, small(minute)?, small(second)?).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}

/// What the access-point HMAC covers. `values` are the values of all body fields and of `accessKey`, sorted by name.
pub fn access_point_message(values: &[&str], request_date: &str, service_path: &str) -> Vec<u8> {
    let mut content = Md5::new();
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            content.update("\n");
        }
        content.update(value);
    }
    let mut message = String::with_capacity(26 + request_date.len() + service_path.len());
    STANDARD.encode_string(content.finalize(), &mut message);
    for part in [request_date, service_path] {
        message.push('\n');
        message.push_str(part);
    }
    message.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of contract 2.1; the HMAC chain itself is checked where keys are known, in `tests/`.
    #[test]
    fn the_eop_text_is_the_published_one() {
        let body = br#"{"cmkUuid":"241ede22-6261-4617-9caf-10d89990516c","plaintext":"SGVsbG8gd29ybGQ="}"#;
        let headers = [
            ("ctyun-eop-request-id", "27cfe4dc-e640-45f6-92ca-492ca73e8680"),
            ("eop-date", "20260101T080000Z"),
        ];
        assert_eq!(
            eop_string_to_sign(&headers, "", body),
            "ctyun-eop-request-id:27cfe4dc-e640-45f6-92ca-492ca73e8680\neop-date:20260101T080000Z\n\n\n\
             2545e9742bf9b743159a02686a4b38d3e465a5e591bffea9021cea724f7af795"
        );
    }

    #[test]
    fn the_authorization_header_is_read_strictly() {
        let good = "kms-demo-ak Headers=eop-date;ctyun-eop-request-id Signature=abc=";
        let parsed = EopAuthorization::parse(good).unwrap();
        assert_eq!((parsed.access_key, parsed.signature), ("kms-demo-ak", "abc="));
        assert_eq!(parsed.headers, ["ctyun-eop-request-id", "eop-date"]);
        assert!(EopAuthorization::parse("ak Header=ctyun-eop-request-id;eop-date Signature=x").is_some());
        for wrong in [
            "",
            "ak",
            "ak Headers=eop-date Signature=x",
            "ak Headers=ctyun-eop-request-id;eop-date",
            "ak Headers=ctyun-eop-request-id;eop-date;eop-date Signature=x",
            "ak Headers=ctyun-eop-request-id;eop-date Signature=x more",
        ] {
            assert_eq!(EopAuthorization::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn queries_are_canonicalised() {
        assert_eq!(eop_canonical_query("b=two&a=1"), "a=1&b=two");
        assert_eq!(eop_canonical_query("a=x+y%2F~"), "a=x%20y%2F~");
        assert_eq!(eop_canonical_query("a==b&c"), "a=%3Db&c=");
    }

    #[test]
    fn dates_have_a_zone() {
        let noon = Timestamp::from_seconds(1_767_254_400);
        assert_eq!(eop_date("20260101T080000Z", EopZone::Utc), Some(noon));
        assert_eq!(eop_date("20260101T160000Z", EopZone::Beijing), Some(noon));
        for wrong in
            ["20260101T080000", "20260101 080000Z", "20261301T080000Z", "2026010aT080000Z", "２０２６"]
        {
            assert_eq!(eop_date(wrong, EopZone::Utc), None, "{wrong}");
        }
        let july = Timestamp::from_seconds(1_752_652_073);
        for same in [
            "15:47:53 CST",
            "15:47:53 +08",
            "15:47:53 +08:00",
            "15:47:53 GMT+08:00",
            "07:47:53 GMT",
            "07:47:53 UTC",
        ] {
            assert_eq!(access_point_date(&format!("Wed, 16 Jul 2025 {same}")), Some(july), "{same}");
        }
        for wrong in [
            "16 Jul 2025 15:47:53 CST",
            "Wed, 16 Jul 2025 15:47 CST",
            "Wed, 16 Jul 2025 15:47:53 EST",
            "Wed, 32 Jul 2025 15:47:53 CST",
            "Wed, 16 Jul 2025 15:47:53",
        ] {
            assert_eq!(access_point_date(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_window_is_fifteen_minutes_both_ways() {
        let wall = Timestamp::from_seconds(10_000);
        assert!(in_window(Timestamp::from_seconds(10_000 + 900), wall));
        assert!(!in_window(Timestamp::from_seconds(10_000 + 901), wall));
        assert!(!in_window(Timestamp::from_seconds(10_000 - 901), wall));
    }

    /// Vector of contract 2.2.
    #[test]
    fn the_access_point_text_is_the_published_one() {
        let values =
            ["7c92c33c3b0ea84e2d646b76f6c2cec7", "241ede22-6261-4617-9caf-10d89990516c", "SGVsbG8gd29ybGQ="];
        let message = access_point_message(&values, "Wed, 16 Jul 2025 15:47:53 CST", "/keyCompute/encrypt");
        assert!(message.starts_with(b"aoGqAzlLoJrz3RhLA13wgg==\nWed, 16 Jul"));
    }
}
