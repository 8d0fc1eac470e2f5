//! HKDF, RFC 5869, over HMAC-SHA-256 and over HMAC-SM3 (GB/T 32905). Imports `hkdf`. Its own output and the
//! pseudorandom key are wiped; what the library leaves on the stack while it expands is not.

use hkdf::Hkdf;
use sha2::Sha256;
use sm3::Sm3;
use zeroize::Zeroize;

/// Derives `out` with HMAC-SHA-256: RFC 5869 sections 2.2 and 2.3.
pub(crate) fn sha256(key: &[u8], salt: Option<&[u8]>, info: &[&[u8]], out: &mut [u8]) {
    let (mut pseudorandom, expander) = Hkdf::<Sha256>::extract(salt, key);
    pseudorandom.as_mut_slice().zeroize();
    expander.expand_multi_info(info, out).expect("every caller asks for less than 255 blocks of 32 bytes");
}

/// Derives `out` with HMAC-SM3: RFC 5869 sections 2.2 and 2.3 with the digest of GB/T 32905.
pub(crate) fn sm3(key: &[u8], salt: Option<&[u8]>, info: &[&[u8]], out: &mut [u8]) {
    let (mut pseudorandom, expander) = Hkdf::<Sm3>::extract(salt, key);
    pseudorandom.as_mut_slice().zeroize();
    expander.expand_multi_info(info, out).expect("every caller asks for less than 255 blocks of 32 bytes");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alg::sm3::mac;

    /// RFC 5869 section 2.3 written out: T(1) = HMAC(PRK, info ‖ 1), T(2) = HMAC(PRK, T(1) ‖ info ‖ 2).
    #[test]
    fn sm3_form_follows_the_rfc() {
        let mut out = [0; 48];
        sm3(b"key", None, &[b"in", b"fo"], &mut out);
        let pseudorandom = mac(&[0; 32], &[b"key"]);
        let first = mac(&pseudorandom, &[b"info", &[1]]);
        let second = mac(&pseudorandom, &[&first, b"info", &[2]]);
        assert_eq!(out[..32], first);
        assert_eq!(out[32..], second[..16]);
    }
}
