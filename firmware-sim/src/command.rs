//! What a command of the machine is: a struct that names its reply and executes inside one partition. Imports
//! the partition and the fault. The trait is sealed, so that no code outside the crate ever runs beside keys.

use crate::fault::Fault;
use crate::partition::Partition;

/// Where the service should run a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// On the calling thread: it takes microseconds.
    Inline,
    /// In the pool: it takes longer, or is rare enough to queue.
    Engine,
    /// Behind all others, at low priority: it takes tens of milliseconds.
    Slow,
}

pub(crate) mod sealed {
    /// Implemented by the commands of this crate only.
    pub trait Sealed {}
}

/// One instruction of the machine (design section 7).
pub trait Command: sealed::Sealed + Send + 'static {
    /// What the command answers.
    type Reply: Send + 'static;
    /// Where the service should run it.
    const LANE: Lane;
    /// Whether the reply holds a new key: then the service must keep rolls of the wrapping key away until it has stored it.
    const MAKES_KEY: bool = false;
    /// As [`Command::LANE`], where that depends on what is asked for.
    fn lane(&self) -> Lane {
        Self::LANE
    }
    /// Runs it with the keys of one partition.
    fn execute(self, partition: &Partition) -> Result<Self::Reply, Fault>;
}
