//! What an operator does to a stopped machine's files: hand the slots from the device's key to a passphrase or back, change
//! the passphrase, destroy everything. Each step is durable before the next, and what is no longer valid is overwritten, so
//! a crash leaves a machine that opens in one way; what was left over vanishes at its next start. The self-tests run before
//! anything is drawn or sealed; destruction waits for none.

use std::path::Path;

use crate::directories::Directories;
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::material::Material;
use crate::sealed_file::{self, Role};
use crate::selftest::Proven;
use crate::slots::{self, Slots};

/// Shortest passphrase, in bytes.
pub const PASSPHRASE_BYTES_MIN: usize = 12;
/// Longest passphrase, in bytes.
pub const PASSPHRASE_BYTES_MAX: usize = 1024;

const KEY_BYTES: usize = 32;

/// Makes an unattended machine attended: from now on it starts locked, and only the passphrase opens it.
pub fn attend(directories: &Directories, entropy: &dyn Entropy, passphrase: &[u8]) -> Result<(), Fault> {
    check_length(passphrase)?;
    let file = slots::read(directories)?;
    if slots::is_attended(&file) {
        return Err(Fault::AlreadyAttended);
    }
    let entropy = &Proven::new(entropy)?;
    let slots = slots::open_with_device(directories, &file)?;
    let sealed = slots.seal_attended(passphrase, entropy)?;
    sealed_file::replace_and_erase(&directories.slots(), &sealed, entropy)?;
    sealed_file::erase(&directories.device_key(), entropy)?;
    Ok(())
}

/// Makes an attended machine unattended: from now on a new `device.key` opens it.
pub fn unattend(directories: &Directories, entropy: &dyn Entropy, passphrase: &[u8]) -> Result<(), Fault> {
    let entropy = &Proven::new(entropy)?;
    let slots = open_attended(directories, passphrase)?;
    let device_key = Material::random(entropy, KEY_BYTES)?;
    let sealed = slots.seal(&device_key, entropy)?;
    // One may be left of an interrupted change; it opens nothing.
    sealed_file::erase(&directories.device_key(), entropy)?;
    let key_file = sealed_file::encode_key(Role::DeviceKey, &device_key);
    sealed_file::write_new(&directories.device_key(), &key_file)?;
    sealed_file::replace_and_erase(&directories.slots(), &sealed, entropy)
}

/// Changes the passphrase of an attended machine.
pub fn change_passphrase(
    directories: &Directories,
    entropy: &dyn Entropy,
    old: &[u8],
    new: &[u8],
) -> Result<(), Fault> {
    check_length(new)?;
    let entropy = &Proven::new(entropy)?;
    let sealed = open_attended(directories, old)?.seal_attended(new, entropy)?;
    sealed_file::replace_and_erase(&directories.slots(), &sealed, entropy)
}

/// Destroys the machine: overwrites and removes its files, keys first, whatever state they are in, and says how many there
/// were. Asked again after an interruption, it goes on; a file that cannot be destroyed does not spare the others.
pub fn zeroise(directories: &Directories, entropy: &dyn Entropy) -> Result<usize, Fault> {
    let mut destroyed = 0;
    let mut failed = None;
    for file in directories.files() {
        for path in sealed_file::with_leftovers(&file) {
            match sealed_file::erase(&path, entropy) {
                Ok(was_there) => destroyed += usize::from(was_there),
                Err(fault) => failed = failed.or(Some(fault)),
            }
        }
    }
    match failed {
        Some(fault) => Err(fault),
        None => Ok(destroyed),
    }
}

/// Whether a passphrase opens the machine.
pub fn is_attended(directories: &Directories) -> Result<bool, Fault> {
    Ok(slots::is_attended(&slots::read(directories)?))
}

/// Destroys a secret file that lies beside the machine's own: overwritten, then removed. Says whether there was one.
pub fn destroy(path: &Path, entropy: &dyn Entropy) -> Result<bool, Fault> {
    sealed_file::erase(path, entropy)
}

/// Clears away what an interrupted change left, once the machine has opened: only then is it sure what is valid.
pub(crate) fn settle(directories: &Directories, entropy: &dyn Entropy, attended: bool) -> Result<(), Fault> {
    for file in directories.files() {
        sealed_file::settle(&file, entropy)?;
    }
    if attended {
        sealed_file::erase(&directories.device_key(), entropy)?;
    }
    Ok(())
}

fn open_attended(directories: &Directories, passphrase: &[u8]) -> Result<Slots, Fault> {
    let file = slots::read(directories)?;
    if !slots::is_attended(&file) {
        return Err(Fault::NotAttended);
    }
    Slots::open_attended(&file, passphrase)
}

fn check_length(passphrase: &[u8]) -> Result<(), Fault> {
    if (PASSPHRASE_BYTES_MIN..=PASSPHRASE_BYTES_MAX).contains(&passphrase.len()) {
        Ok(())
    } else {
        Err(Fault::Limit("passphrase"))
    }
}
