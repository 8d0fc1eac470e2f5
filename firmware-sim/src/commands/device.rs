//! The device's own key: it signs what the machine vouches for. Both commands run in the device's partition; any other
//! answers `WrongPurpose`.

use crate::alg::sm2;
use crate::command::{Command, Lane, sealed};
use crate::fault::Fault;
use crate::partition::Partition;

/// Longest message that is signed at once, in bytes.
pub const SIGNED_MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Signs a message by SM2 with SM3 under the device's key and the default identity `1234567812345678`. Answers 64 bytes,
/// r ‖ s.
pub struct DeviceSign {
    /// The message.
    pub message: Vec<u8>,
}

impl sealed::Sealed for DeviceSign {}

impl Command for DeviceSign {
    type Reply = Vec<u8>;
    const LANE: Lane = Lane::Engine;

    fn execute(self, partition: &Partition) -> Result<Vec<u8>, Fault> {
        let key = partition.signing_key()?;
        if self.message.len() > SIGNED_MESSAGE_BYTES_MAX {
            return Err(Fault::Limit("message"));
        }
        Ok(key.sign(&self.message, partition.entropy())?.to_vec())
    }
}

/// Answers the public key that verifies [`DeviceSign`]: 65 bytes, 4 ‖ x ‖ y.
pub struct DevicePublicKey;

impl sealed::Sealed for DevicePublicKey {}

impl Command for DevicePublicKey {
    type Reply = Vec<u8>;
    const LANE: Lane = Lane::Engine;

    fn execute(self, partition: &Partition) -> Result<Vec<u8>, Fault> {
        Ok(partition.signing_key()?.public().to_vec())
    }
}

/// Whether a signature is one that [`DeviceSign`] made over this message under this public key. Needs no machine: whoever
/// checks what a device signed has neither its keys nor its files.
pub fn is_device_signature(public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match (public.try_into(), signature.try_into()) {
        (Ok(public), Ok(signature)) => sm2::verify(public, message, signature).is_ok(),
        (Err(_), _) | (_, Err(_)) => false,
    }
}
