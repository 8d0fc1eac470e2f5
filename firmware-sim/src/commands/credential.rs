//! Secrets of credentials: made here, shown once, then used only to compute the MACs that signatures rest on
//! (contract section 2). The service compares a MAC with the signature; it never sees the secret again.

use zeroize::Zeroizing;

use crate::alg::sha256::MacKey;
use crate::command::{Command, Lane, sealed};
use crate::fault::Fault;
use crate::identity::{Algorithm, Custody, KeyName, Purpose};
use crate::material::{Material, Released};
use crate::partition::Partition;
use crate::wrapped::WrappedKey;

/// Most messages that one [`CredentialMac`] chains.
pub const MAC_MESSAGES_MAX: usize = 16;

const SECRET_BYTES: usize = 32;
const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Makes the secret of a credential: 32 random bytes as 64 lower-case hexadecimal digits, the text itself being
/// the HMAC key. Answers it wrapped, under HSM custody, and clear to be shown once.
pub struct GenerateCredential {
    /// The id of the access key; the wrapped key carries it as key id, with a version id of zeros.
    pub access_key: [u8; 16],
}

impl sealed::Sealed for GenerateCredential {}

impl Command for GenerateCredential {
    type Reply = (WrappedKey, Released);
    const LANE: Lane = Lane::Engine;
    const MAKES_KEY: bool = true;

    fn execute(self, partition: &Partition) -> Result<Self::Reply, Fault> {
        let random = Material::random(partition.entropy(), SECRET_BYTES)?;
        let mut text = Zeroizing::new(vec![0; 2 * SECRET_BYTES]);
        for (digits, byte) in text.chunks_exact_mut(2).zip(random.expose()) {
            digits[0] = HEX_DIGITS[usize::from(byte >> 4)];
            digits[1] = HEX_DIGITS[usize::from(byte & 15)];
        }
        let name = KeyName { key: self.access_key, version: [0; 16] };
        let secret = Material::copy_of(&text);
        let wrapped =
            partition.wrap(name, Algorithm::CredentialHmac, Purpose::Authenticate, Custody::Hsm, &secret)?;
        Ok((wrapped, Released::new(text)))
    }
}

/// Chains HMAC-SHA-256: the secret keys the first message, each result keys the next (contract sections 2.1 and
/// 2.2). Answers the last result.
pub struct CredentialMac {
    /// The secret, as [`GenerateCredential`] wrapped it.
    pub credential: WrappedKey,
    /// The messages in order, 1 to [`MAC_MESSAGES_MAX`].
    pub messages: Vec<Vec<u8>>,
}

impl sealed::Sealed for CredentialMac {}

impl Command for CredentialMac {
    type Reply = [u8; 32];
    const LANE: Lane = Lane::Inline;

    fn execute(self, partition: &Partition) -> Result<[u8; 32], Fault> {
        let Some((first, rest)) = self.messages.split_first() else {
            return Err(Fault::Limit("messages"));
        };
        if self.messages.len() > MAC_MESSAGES_MAX {
            return Err(Fault::Limit("messages"));
        }
        let key = partition.key(&self.credential)?;
        let mut chained = Zeroizing::new(key.credential()?.mac(first));
        for message in rest {
            *chained = MacKey::new(chained.as_slice()).mac(message);
        }
        Ok(*chained)
    }
}
