//! Self-tests: the names of what the machine proves about itself before it answers.

use crate::fault::Fault;

const NAMES: [&str; 0] = [];

/// The names of all self-tests, for [`crate::Options::corrupt`].
pub fn self_tests() -> &'static [&'static str] {
    &NAMES
}

/// Refuses the name of a test that there is not.
pub(crate) fn check_name(name: Option<&str>) -> Result<(), Fault> {
    match name {
        Some(name) if !self_tests().contains(&name) => Err(Fault::UnknownSelfTest),
        Some(_) | None => Ok(()),
    }
}
