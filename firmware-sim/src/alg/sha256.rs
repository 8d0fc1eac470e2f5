//! HMAC-SHA-256, FIPS 198-1 over FIPS 180-4. Imports `sha2` and `hmac`; states that absorbed a key wipe on drop.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// An HMAC key that has absorbed its pads (FIPS 198-1 section 4, steps 1 to 4), ready to be copied per message.
pub(crate) struct MacKey(Hmac<Sha256>);

impl MacKey {
    /// Absorbs a key of any length.
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length: FIPS 198-1 section 3"))
    }

    /// Computes the MAC of a message: FIPS 198-1 section 4, steps 5 to 9.
    pub(crate) fn mac(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use zeroize::ZeroizeOnDrop;

    use super::*;

    fn wipes_on_drop<T: ZeroizeOnDrop>() {}

    /// `Hmac<Sha256>` holds two compression states and one block buffer; `Sha256` is one of each, and asserts
    /// that both wipe themselves.
    #[test]
    fn keyed_states_wipe_on_drop() {
        wipes_on_drop::<Sha256>();
    }
}
