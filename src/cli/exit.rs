//! Exit codes: what each tells a script, and which one a failure has.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use super::client::ClientError;

/// Every exit code and what it means.
pub const CODES: [(u8, &str); 7] = [
    (0, "done"),
    (FAILED, "failed here or inside the service: files, settings, an internal failure"),
    (USAGE, "wrong arguments; nothing was sent"),
    (REFUSED, "refused by the service; the KMS code on standard error says why"),
    (NOT_PERMITTED, "the caller is not authenticated or not permitted: credentials, clock, rights"),
    (BUSY, "too many calls, or the service is unavailable for the moment: try again later"),
    (UNREACHABLE, "no connection, no trust, no answer in time, or an answer of something else"),
];

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const REFUSED: u8 = 3;
const NOT_PERMITTED: u8 = 4;
const BUSY: u8 = 5;
const UNREACHABLE: u8 = 6;

/// The table as the help prints it.
pub fn table() -> String {
    let lines = CODES.map(|(code, meaning)| format!("  {code}  {meaning}"));
    format!("Exit codes:\n{}", lines.join("\n"))
}

/// Arguments that clap takes and the catalog does not; the text says what to give instead.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Usage {}

/// The exit code of a failure: that of its first cause that has one.
pub fn code_of(failure: &(dyn Error + 'static)) -> ExitCode {
    let mut next = Some(failure);
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<ClientError>() {
            return code_of_call(error).into();
        }
        if cause.is::<Usage>() {
            return USAGE.into();
        }
        next = cause.source();
    }
    FAILED.into()
}

fn code_of_call(error: &ClientError) -> u8 {
    match error {
        ClientError::NoSuchOperation { .. } => USAGE,
        ClientError::BadEndpoint { .. }
        | ClientError::BadCredentials
        | ClientError::CaUnreadable { .. }
        | ClientError::CaEmpty { .. }
        | ClientError::NoRandom => FAILED,
        ClientError::Unreachable { .. }
        | ClientError::TlsFailed { .. }
        | ClientError::TimedOut { .. }
        | ClientError::ReplyTooLarge
        | ClientError::NotUnderstood { .. } => UNREACHABLE,
        ClientError::Refused { status: 401 | 403, .. } => NOT_PERMITTED,
        ClientError::Refused { status: 429 | 503, .. } => BUSY,
        ClientError::Refused { status: 500..600, .. } => FAILED,
        ClientError::Refused { .. } => REFUSED,
    }
}

/// The name most like a misspelt one, if any is.
pub fn closest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |other: &str| strsim::jaro(&name.to_lowercase(), &other.to_lowercase());
    let rated = names.map(|other| (likeness(other), other)).filter(|(likeness, _)| *likeness > 0.75);
    rated.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_one_it_is_most_like() {
        let names = ["createKey", "createAlias", "encrypt", "decrypt"];
        for (name, expected) in [
            ("createkey", Some("createKey")),
            ("creatKey", Some("createKey")),
            ("encypt", Some("encrypt")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(closest(name, names.into_iter()), expected, "{name}");
        }
    }
}
