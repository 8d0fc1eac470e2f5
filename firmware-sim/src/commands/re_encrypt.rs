//! Encrypting anew what another key encrypted (contract section 5.5, reEncrypt): the plaintext stays inside.

use std::collections::BTreeMap;

use crate::command::{Command as _, Lane};
use crate::commands::asymmetric::AsymmetricDecrypt;
use crate::commands::symmetric::Decrypt;
use crate::fault::Fault;
use crate::frame::{self, Frame};
use crate::partition::Partition;
use crate::wrapped::WrappedKey;

/// Decrypts and encrypts what it found with another, symmetric key version. The keys may hang in two partitions, so it is
/// [`crate::Machine::re_encrypt`] that runs it. Answers the new frame.
pub struct ReEncrypt {
    /// What to decrypt, and how.
    pub source: Source,
    /// The key version to encrypt with.
    pub destination: WrappedKey,
    /// The encryption context the new frame is bound to.
    pub context: BTreeMap<String, String>,
    /// The account the new frame is bound to, and a source frame too.
    pub account: String,
}

/// A ciphertext that is encrypted anew.
pub enum Source {
    /// The frame of a symmetric key.
    Frame {
        /// The key version that the frame names.
        key: WrappedKey,
        /// The encryption context the frame was bound to.
        context: BTreeMap<String, String>,
        /// What to decrypt.
        frame: Frame,
    },
    /// The ciphertext of an asymmetric key.
    Asymmetric(AsymmetricDecrypt),
}

impl ReEncrypt {
    /// Where the service should run it.
    pub fn lane(&self) -> Lane {
        match self.source {
            Source::Frame { .. } => Lane::Inline,
            Source::Asymmetric(_) => Lane::Engine,
        }
    }

    pub(crate) fn execute(self, source: &Partition, destination: &Partition) -> Result<Vec<u8>, Fault> {
        let account = self.account;
        let plaintext = match self.source {
            Source::Frame { key, context, frame } => {
                Decrypt { key, account: account.clone(), context, frame }.execute(source)?
            }
            Source::Asymmetric(command) => command.execute(source)?,
        };
        let key = destination.key(&self.destination)?;
        let (name, cipher) = (key.name(), key.cipher()?);
        frame::seal(&name, cipher, &account, &self.context, plaintext.as_bytes(), destination.entropy())
    }
}
