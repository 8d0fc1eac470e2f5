//! Rolling a partition's wrapping key: a new generation begins, what the old one wrapped is wrapped anew, the old one is
//! erased. Each step is durable in both custodies before it counts, and a step that was cut off is completed when it is
//! asked for again. Whether nothing is left under the old generation, only the service can know.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::Machine;
use crate::fault::Fault;
use crate::identity::PartitionId;
use crate::partition::Partition;

/// How often it is looked whether commands that began before a step have ended.
const COMMANDS_END_STEP: Duration = Duration::from_millis(1);

impl Machine {
    /// Gives a partition the next generation of its wrapping key and answers its number. When this returns, everything
    /// new is wrapped under it, and the generation before it still opens. A roll that is under way is left as it is.
    pub fn begin_roll(&self, id: PartitionId) -> Result<u32, Fault> {
        self.check_operational()?;
        let mut roots = self.lock_roots();
        let roots = roots.as_mut().ok_or(Fault::Locked)?;
        let partition = self.partition(id)?;
        if partition.is_rolling() {
            return Ok(partition.generation());
        }
        let generation = partition.generation().checked_add(1).ok_or(Fault::Limit("generations"))?;
        // Nobody wraps under the new generation before both custodies have stored theirs: cut off in between, the roll
        // has not begun.
        let hsm = roots.hsm.begin_roll(id, generation, self.shared.entropy())?;
        let software = roots.software.begin_roll(id, generation, self.shared.entropy())?;
        self.put(id, partition.with(software, hsm), partition);
        Ok(generation)
    }

    /// Erases the old generation of a partition whose wrapping key rolls, from files and memory: what it wrapped opens
    /// never again. Without a roll under way nothing happens.
    pub fn finish_roll(&self, id: PartitionId) -> Result<(), Fault> {
        self.check_operational()?;
        let mut roots = self.lock_roots();
        let roots = roots.as_mut().ok_or(Fault::Locked)?;
        let partition = self.partition(id)?;
        if !partition.is_rolling() {
            return Ok(());
        }
        let generation = partition.generation();
        let hsm = roots.hsm.finish_roll(id, self.shared.entropy())?;
        let software = roots.software.finish_roll(id, self.shared.entropy())?;
        self.put(id, partition.with(software, hsm), partition);
        self.shared.cache.forget_before(id, generation);
        Ok(())
    }

    /// The partitions whose wrapping key rolls; known from the files after a restart, too.
    pub fn rolling(&self) -> Vec<PartitionId> {
        let partitions = self.partitions.read().unwrap_or_else(PoisonError::into_inner);
        let rolling = partitions.iter().filter(|(_, partition)| partition.is_rolling());
        let mut rolling: Vec<_> = rolling.map(|(id, _)| *id).collect();
        rolling.sort_unstable();
        rolling
    }

    /// The generation of a partition's wrapping key under which everything new is wrapped.
    pub fn generation(&self, id: PartitionId) -> Result<u32, Fault> {
        Ok(self.partition(id)?.generation())
    }

    /// Puts the new state of a partition in place and waits until no command runs in the former one: afterwards nothing
    /// is wrapped, opened or held ready by what it had.
    fn put(&self, id: PartitionId, partition: Partition, former: Arc<Partition>) {
        let listed = {
            let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
            partitions.insert(id, Arc::new(partition))
        };
        drop(listed);
        while Arc::strong_count(&former) > 1 {
            std::thread::sleep(COMMANDS_END_STEP);
        }
    }
}
