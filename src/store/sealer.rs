//! Seals every stored value: confidentiality, and that a value is read back from the row it was written to. It does
//! not prove freshness: an old value put back into its own row opens. The key never leaves the cipher machine.

use std::sync::Arc;

use firmware_sim::{Machine, Open, PartitionId, Seal};
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Seals and opens values by the machine's storage key.
#[derive(Clone)]
pub struct Sealer(Arc<Machine>);

impl Sealer {
    /// A sealer that uses this machine.
    pub fn new(machine: &Arc<Machine>) -> Self {
        Self(Arc::clone(machine))
    }

    /// Whether the machine failed a self-test: then nothing is sealed or opened any more.
    pub fn has_failed(&self) -> bool {
        self.0.failed_test().is_some()
    }

    /// Seals a value for a place.
    pub fn seal(&self, place: &[u8], plaintext: Vec<u8>) -> Result<Vec<u8>> {
        let command = Seal { place: place.to_vec(), plaintext: Zeroizing::new(plaintext) };
        self.0.run(PartitionId::DEVICE, command).map_err(Error::internal)
    }

    /// Opens the value of a place.
    pub fn open(&self, place: &[u8], sealed: Vec<u8>) -> Result<Zeroizing<Vec<u8>>> {
        let released = self.0.run(PartitionId::DEVICE, Open { place: place.to_vec(), sealed });
        Ok(Zeroizing::new(released.map_err(Error::internal)?.as_bytes().to_vec()))
    }

    /// Seals the value of a row of a table.
    pub fn seal_row(&self, table: &str, row: &[u8], plaintext: Vec<u8>) -> Result<Vec<u8>> {
        self.seal(&place(table, row), plaintext)
    }

    /// Opens the value of a row of a table.
    pub fn open_row(&self, table: &str, row: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.open(&place(table, row), sealed.to_vec())
    }
}

fn place(table: &str, row: &[u8]) -> Vec<u8> {
    [table.as_bytes(), b"/", row].concat()
}
