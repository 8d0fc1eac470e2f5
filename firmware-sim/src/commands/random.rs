//! Random bytes for callers.

use zeroize::Zeroizing;

use crate::command::{Command, Lane, sealed};
use crate::fault::Fault;
use crate::material::Released;
use crate::partition::Partition;

/// Most random bytes of one call (contract section 5.5, getRandom).
pub const RANDOM_BYTES_MAX: usize = 1024;

/// Draws random bytes (contract section 5.5, getRandom).
pub struct Random {
    /// How many, 1 to [`RANDOM_BYTES_MAX`].
    pub length: usize,
}

impl sealed::Sealed for Random {}

impl Command for Random {
    type Reply = Released;
    const LANE: Lane = Lane::Inline;

    fn execute(self, partition: &Partition) -> Result<Released, Fault> {
        if self.length == 0 || self.length > RANDOM_BYTES_MAX {
            return Err(Fault::Limit("random length"));
        }
        let mut random = Zeroizing::new(vec![0; self.length]);
        partition.entropy().fill(&mut random)?;
        Ok(Released::new(random))
    }
}
