//! Where random bytes come from: whoever builds the machine hands it a source. Imports nothing. It never asks
//! the operating system and holds no generator of its own (design section 7).

use std::fmt;

/// A source of random bytes, such as the operating system's generator.
pub trait Entropy: Send + Sync {
    /// Fills all of `out`, or fails and leaves it unspecified.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed>;
}

/// The source of random bytes gave none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntropyFailed;

impl fmt::Display for EntropyFailed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the source of random bytes failed")
    }
}

impl std::error::Error for EntropyFailed {}

/// The same bytes over and over, for known answers.
pub(crate) struct Fixed<'a>(&'a [u8]);

impl<'a> Fixed<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl Entropy for Fixed<'_> {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
        out.iter_mut().zip(self.0.iter().cycle()).for_each(|(out, byte)| *out = *byte);
        Ok(())
    }
}
