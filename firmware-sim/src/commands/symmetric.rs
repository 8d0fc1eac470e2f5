//! Encrypting and decrypting with a symmetric key: the frames of contract section 1.3.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::command::{Command, Lane, sealed};
use crate::fault::Fault;
use crate::frame::{self, Frame};
use crate::material::Released;
use crate::partition::Partition;
use crate::wrapped::WrappedKey;

/// Encrypts up to [`crate::PLAINTEXT_BYTES_MAX`] bytes (contract section 5.5, encrypt). Answers the whole frame.
pub struct Encrypt {
    /// The key version to encrypt with.
    pub key: WrappedKey,
    /// The account the ciphertext is bound to.
    pub account: String,
    /// The encryption context the ciphertext is bound to.
    pub context: BTreeMap<String, String>,
    /// What to encrypt; not empty.
    pub plaintext: Zeroizing<Vec<u8>>,
}

impl sealed::Sealed for Encrypt {}

impl Command for Encrypt {
    type Reply = Vec<u8>;
    const LANE: Lane = Lane::Inline;

    fn execute(self, partition: &Partition) -> Result<Vec<u8>, Fault> {
        let key = partition.key(&self.key)?;
        let (name, cipher) = (key.name(), key.cipher()?);
        frame::seal(&name, cipher, &self.account, &self.context, &self.plaintext, partition.entropy())
    }
}

/// Decrypts a frame (contract section 5.5, decrypt). Answers the plaintext.
pub struct Decrypt {
    /// The key version that the frame names.
    pub key: WrappedKey,
    /// The account the ciphertext was bound to.
    pub account: String,
    /// The encryption context the ciphertext was bound to.
    pub context: BTreeMap<String, String>,
    /// What to decrypt.
    pub frame: Frame,
}

impl sealed::Sealed for Decrypt {}

impl Command for Decrypt {
    type Reply = Released;
    const LANE: Lane = Lane::Inline;

    fn execute(self, partition: &Partition) -> Result<Released, Fault> {
        let key = partition.key(&self.key)?;
        let cipher = key.cipher()?;
        if self.frame.name() != key.name() {
            return Err(Fault::InvalidCiphertext);
        }
        self.frame.open(cipher, &self.account, &self.context)
    }
}

/// Opens a frame as [`Decrypt`] does and answers only how many bytes it holds (contract section 5.5, getDataKey).
pub struct MeasureFrame(pub Decrypt);

impl sealed::Sealed for MeasureFrame {}

impl Command for MeasureFrame {
    type Reply = usize;
    const LANE: Lane = Lane::Inline;

    fn execute(self, partition: &Partition) -> Result<usize, Fault> {
        Ok(self.0.execute(partition)?.len())
    }
}
