//! MACs over customers' messages: HMAC-SM3 under a key derived from a symmetric key version.

use zeroize::Zeroizing;

use crate::alg::{hkdf, sm3};
use crate::command::{Command, Lane, sealed};
use crate::fault::Fault;
use crate::identity::uuid_text;
use crate::partition::Partition;
use crate::wrapped::WrappedKey;

const LABEL: &[u8] = b"kms-hmac";

/// Computes HMAC-SM3 of a message (contract section 5.5, hmaccompute). The MAC key is derived from the key
/// version and its ids, so it is no key that encrypts.
pub struct HmacSm3 {
    /// The symmetric key version to derive from.
    pub key: WrappedKey,
    /// The message.
    pub message: Vec<u8>,
}

impl sealed::Sealed for HmacSm3 {}

impl Command for HmacSm3 {
    type Reply = [u8; 32];
    const LANE: Lane = Lane::Inline;

    fn execute(self, partition: &Partition) -> Result<[u8; 32], Fault> {
        let key = partition.key(&self.key)?;
        let cipher = key.cipher()?;
        let name = key.name();
        let (key_text, version_text) = (uuid_text(&name.key), uuid_text(&name.version));
        let [label_length, text_length] =
            [LABEL.len(), key_text.len()].map(|length| (length as u32).to_be_bytes());
        let info: [&[u8]; 6] = [&label_length, LABEL, &text_length, &key_text, &text_length, &version_text];
        let mut mac_key = Zeroizing::new([0; 32]);
        hkdf::sm3(cipher.material().expose(), None, &info, mac_key.as_mut_slice());
        Ok(sm3::mac(mac_key.as_slice(), &[&self.message]))
    }
}
