//! Data keys: random bytes for the caller's own encryption, handed out clear, framed, or framed only (contract
//! section 5.5). The frame is the one that encrypt makes, so decrypt opens it.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use crate::command::{Command, Lane, sealed};
use crate::fault::Fault;
use crate::frame;
use crate::material::Released;
use crate::partition::Partition;
use crate::wrapped::WrappedKey;

/// Longest data key, in bytes (contract section 5.5, numberOfBytes).
pub const DATA_KEY_BYTES_MAX: usize = 1024;

/// Makes a data key (contract section 5.5, generateDataKey). Answers it clear, and its frame.
pub struct GenerateDataKey {
    /// The key version that frames it.
    pub key: WrappedKey,
    /// The account the frame is bound to.
    pub account: String,
    /// The encryption context the frame is bound to.
    pub context: BTreeMap<String, String>,
    /// Its length in bytes, 1 to [`DATA_KEY_BYTES_MAX`].
    pub length: usize,
}

impl sealed::Sealed for GenerateDataKey {}

impl Command for GenerateDataKey {
    type Reply = (Released, Vec<u8>);
    const LANE: Lane = Lane::Inline;

    fn execute(self, partition: &Partition) -> Result<Self::Reply, Fault> {
        if self.length == 0 || self.length > DATA_KEY_BYTES_MAX {
            return Err(Fault::Limit("data key length"));
        }
        let key = partition.key(&self.key)?;
        let (name, cipher) = (key.name(), key.cipher()?);
        let mut data_key = Zeroizing::new(vec![0; self.length]);
        partition.entropy().fill(&mut data_key)?;
        let frame = frame::seal(&name, cipher, &self.account, &self.context, &data_key, partition.entropy())?;
        Ok((Released::new(data_key), frame))
    }
}

/// Makes a data key that nobody sees yet (contract section 5.5, generateDataKeyWithoutPlaintext). Answers its
/// frame.
pub struct GenerateDataKeyWithoutPlaintext {
    /// The key version that frames it.
    pub key: WrappedKey,
    /// The account the frame is bound to.
    pub account: String,
    /// The encryption context the frame is bound to.
    pub context: BTreeMap<String, String>,
    /// Its length in bytes, 1 to [`DATA_KEY_BYTES_MAX`].
    pub length: usize,
}

impl sealed::Sealed for GenerateDataKeyWithoutPlaintext {}

impl Command for GenerateDataKeyWithoutPlaintext {
    type Reply = Vec<u8>;
    const LANE: Lane = Lane::Inline;

    fn execute(self, partition: &Partition) -> Result<Vec<u8>, Fault> {
        let Self { key, account, context, length } = self;
        let (_, frame) = GenerateDataKey { key, account, context, length }.execute(partition)?;
        Ok(frame)
    }
}
