//! Handing a data key over to the owner of a public key (contract section 5.5): it leaves encrypted for them, never clear.

use std::collections::BTreeMap;

use crate::command::{Command, Lane, sealed};
use crate::commands::data_key::GenerateDataKey;
use crate::commands::symmetric::Decrypt;
use crate::fault::Fault;
use crate::key_pair::RecipientKey;
use crate::partition::Partition;
use crate::scheme::EncryptionScheme;
use crate::wrapped::WrappedKey;

/// Opens a frame and encrypts what it holds for somebody (contract section 5.5, exportDataKey). Answers it encrypted.
pub struct ExportDataKey {
    /// What to open.
    pub opened: Decrypt,
    /// Whom to encrypt for.
    pub recipient: RecipientKey,
    /// How.
    pub scheme: EncryptionScheme,
}

impl sealed::Sealed for ExportDataKey {}

impl Command for ExportDataKey {
    type Reply = Vec<u8>;
    const LANE: Lane = Lane::Engine;

    fn execute(self, partition: &Partition) -> Result<Vec<u8>, Fault> {
        let data_key = self.opened.execute(partition)?;
        if data_key.len() > self.scheme.plaintext_bytes_max() {
            return Err(Fault::TooLongToExport);
        }
        self.recipient.encrypt(self.scheme, data_key.as_bytes(), partition.entropy())
    }
}

/// Makes a data key that only somebody else sees (contract section 5.5, generateAndExportDataKey). Answers its frame, and the
/// data key encrypted for them.
pub struct GenerateAndExportDataKey {
    /// The key version that frames it.
    pub key: WrappedKey,
    /// The account the frame is bound to.
    pub account: String,
    /// The encryption context the frame is bound to.
    pub context: BTreeMap<String, String>,
    /// Its length in bytes, 1 to [`crate::DATA_KEY_BYTES_MAX`] and within what the scheme takes.
    pub length: usize,
    /// Whom to encrypt for.
    pub recipient: RecipientKey,
    /// How.
    pub scheme: EncryptionScheme,
}

impl sealed::Sealed for GenerateAndExportDataKey {}

impl Command for GenerateAndExportDataKey {
    type Reply = (Vec<u8>, Vec<u8>);
    const LANE: Lane = Lane::Engine;

    fn execute(self, partition: &Partition) -> Result<Self::Reply, Fault> {
        let Self { key, account, context, length, recipient, scheme } = self;
        let (data_key, frame) = GenerateDataKey { key, account, context, length }.execute(partition)?;
        let exported = recipient.encrypt(scheme, data_key.as_bytes(), partition.entropy())?;
        Ok((frame, exported))
    }
}
