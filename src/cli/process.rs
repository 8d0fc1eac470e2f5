//! What the process lets others see of itself: no core dump, no debugger, no file for anybody else, and memory that is
//! not swapped out where the limits allow it.

use rustix::fs::Mode;
use rustix::io::Result;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask,
};
use rustix::thread::{CapabilitySet, capabilities};

/// Guards every sub-command, before it reads anything. What the kernel refuses is told, not hidden.
pub fn guard() {
    umask(Mode::from_raw_mode(0o077));
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    for (guarded, what) in [
        (setrlimit(Resource::Core, none), "core dumps cannot be switched off"),
        (set_dumpable_behavior(DumpableBehavior::NotDumpable), "debuggers cannot be kept out"),
    ] {
        if let Err(error) = guarded {
            eprintln!("yaoku: {what}: {error}");
        }
    }
}

/// Lets others read the files that are written from here on: for a command whose output is no secret.
pub fn share_files() {
    umask(Mode::from_raw_mode(0o022));
}

/// Keeps all memory of the process, present and future, out of swap, and says whether it does. It is tried only where
/// the limit never runs out, because an allocation beyond it would fail: `LimitMEMLOCK=infinity` of systemd,
/// `ulimit -l unlimited`, or the capability to lock memory, which root has.
pub fn lock_memory() -> Result<bool> {
    let unlimited = getrlimit(Resource::Memlock).current.is_none();
    if !unlimited && !capabilities(None)?.effective.contains(CapabilitySet::IPC_LOCK) {
        return Ok(false);
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?;
    Ok(true)
}

/// Raises the limit of open files to what the system allows: each connection is one.
pub fn raise_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
}
