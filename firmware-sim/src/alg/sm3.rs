//! SM3, GB/T 32905, and HMAC over it, GB/T 15852.2 MAC algorithm 2 (RFC 2104). Imports `sm3` and `hmac`; states
//! that absorbed a key wipe on drop.

use hmac::{Hmac, KeyInit, Mac};
use sm3::{Digest, Sm3};

/// Hashes a message: GB/T 32905 section 5.
pub(crate) fn digest(message: &[u8]) -> [u8; 32] {
    Sm3::digest(message).into()
}

/// Computes HMAC-SM3 over the concatenated parts: RFC 2104 section 2.
pub(crate) fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac =
        Hmac::<Sm3>::new_from_slice(key).expect("HMAC takes a key of any length: RFC 2104 section 3");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use zeroize::ZeroizeOnDrop;

    use super::*;
    use crate::alg::vectors::hex;

    fn wipes_on_drop<T: ZeroizeOnDrop>() {}

    /// `Hmac<Sm3>` holds two compression states and one block buffer; `Sm3` is one of each, and asserts that
    /// both wipe themselves.
    #[test]
    fn keyed_states_wipe_on_drop() {
        wipes_on_drop::<Sm3>();
    }

    /// GB/T 32905-2016, appendix A.2: "abcd" sixteen times.
    #[test]
    fn second_example() {
        assert_eq!(
            digest("abcd".repeat(16).as_bytes()).as_slice(),
            hex("debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732")
        );
    }
}
