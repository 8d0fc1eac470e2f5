//! The injected entropy in the form that the libraries ask for.

use sm2::elliptic_curve::rand_core::{TryCryptoRng, TryRng};

use crate::entropy::{Entropy, EntropyFailed};

pub(crate) struct Source<'a>(pub(crate) &'a dyn Entropy);

impl TryRng for Source<'_> {
    type Error = EntropyFailed;

    fn try_next_u32(&mut self) -> Result<u32, EntropyFailed> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, EntropyFailed> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), EntropyFailed> {
        self.0.fill(out)
    }
}

impl TryCryptoRng for Source<'_> {}
