//! Where the files of a machine lie. Imports the custodies' names and the standard library only.

use std::path::PathBuf;

use crate::fault::Fault;
use crate::identity::Custody;

/// Where the machine keeps its files. What lies in `device` and `software_key` opens the rest, so these two are worth
/// most when kept, and backed up, elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    /// Holds `slots.bin` and the HSM custody's `partitions.bin`: the machine's own memory.
    pub hsm: PathBuf,
    /// Holds `device.key`, which opens `slots.bin` of an unattended machine.
    pub device: PathBuf,
    /// Holds `root.bin`, the software root key, and the software custody's `partitions.bin`.
    pub software_root: PathBuf,
    /// Holds `private.bin`, the private key that opens `root.bin`.
    pub software_private_key: PathBuf,
    /// Holds `root.key`, which opens `private.bin`.
    pub software_key: PathBuf,
}

impl Directories {
    pub(crate) fn device_key(&self) -> PathBuf {
        self.device.join("device.key")
    }

    pub(crate) fn slots(&self) -> PathBuf {
        self.hsm.join("slots.bin")
    }

    pub(crate) fn software_key(&self) -> PathBuf {
        self.software_key.join("root.key")
    }

    pub(crate) fn software_private_key(&self) -> PathBuf {
        self.software_private_key.join("private.bin")
    }

    pub(crate) fn software_root(&self) -> PathBuf {
        self.software_root.join("root.bin")
    }

    pub(crate) fn partitions(&self, custody: Custody) -> PathBuf {
        match custody {
            Custody::Software => self.software_root.join("partitions.bin"),
            Custody::Hsm => self.hsm.join("partitions.bin"),
        }
    }

    /// Every directory once per purpose; some may be the same.
    pub(crate) fn all(&self) -> [&PathBuf; 5] {
        let Self { hsm, device, software_root, software_private_key, software_key } = self;
        [hsm, device, software_root, software_private_key, software_key]
    }

    /// Every file, those first whose loss makes the others worthless.
    pub(crate) fn files(&self) -> [PathBuf; 7] {
        [
            self.device_key(),
            self.slots(),
            self.software_key(),
            self.software_private_key(),
            self.software_root(),
            self.partitions(Custody::Hsm),
            self.partitions(Custody::Software),
        ]
    }

    /// How many of the machine's files are there.
    pub(crate) fn present(&self) -> Result<usize, Fault> {
        let mut present = 0;
        for file in self.files() {
            present += usize::from(file.try_exists()?);
        }
        Ok(present)
    }
}
