//! What makes destruction real: copies of what was wrapped lie on in freed pages of the database and in the memory of
//! disks, so the wrapping key that opens them is erased. Whoever destroys something wrapped leaves an [`Erasure`] in the same
//! transaction; cron then rolls the wrapping key of the partition, unless somebody does it before, and settles the erasure
//! once the old generation is gone. Where things stand is known from the machine's files and the records alone.

use std::time::Duration;

use firmware_sim::{Fault, PartitionId as MachinePartition};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use super::wrapping_key::{self, RollWrappingKey, in_machine};
use crate::api::Call;
use crate::app::App;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::PartitionId;
use crate::model::algorithm::Origin;
use crate::model::erasure::Erasure;
use crate::model::key::Key;
use crate::store::Changes;

/// Notes that a roll which was owed has ended: what was destroyed before opens nowhere any more.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettleErasure {
    /// The partition.
    pub partition: PartitionId,
    /// The generation that had to be erased.
    pub generation: u32,
}

/// An erasure that is done.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SettledErasure {
    /// The partition.
    pub partition: PartitionId,
    /// The generation that is gone, with all before it.
    pub generation: u32,
}

impl Operation for SettleErasure {
    type Output = SettledErasure;

    async fn run(self, call: &Call, app: &App) -> Result<SettledErasure> {
        const MISSING: Error = Error::ResourceNotFound("erasure");
        let (partition, generation) = (self.partition, self.generation);
        call.touch("Partition", partition.text(), "");
        let erasure: Erasure = app.store.get(&(partition, generation))?.ok_or(MISSING)?;
        call.touch_account(erasure.account);
        erasure.instance.into_iter().for_each(|instance| call.touch_instance(instance));
        if !is_erased(partition, generation, app)? {
            return Err(Error::Unavailable("the generation still opens; retry once the roll has ended"));
        }
        let mut changes = Changes::default();
        changes.remove(&erasure, MISSING)?;
        call.commit(&app.store, changes).await?;
        Ok(SettledErasure { partition, generation })
    }
}

/// What cron does next about an erasure.
pub enum Step {
    /// Begin the roll.
    Roll(RollWrappingKey),
    /// The roll has ended.
    Settle(SettleErasure),
}

/// What is to be done now about an erasure that is due; nothing while its partition rolls.
pub fn next_step((partition, generation): &(PartitionId, u32), app: &App) -> Result<Option<Step>> {
    let (partition, generation) = (*partition, *generation);
    let Some(erasure) = app.store.get::<Erasure>(&(partition, generation))? else { return Ok(None) };
    if wrapping_key::rolling(app).contains(&partition) {
        return Ok(None);
    }
    if is_erased(partition, generation, app)? {
        return Ok(Some(Step::Settle(SettleErasure { partition, generation })));
    }
    let account_id = erasure.instance.is_none().then_some(erasure.account);
    Ok(Some(Step::Roll(RollWrappingKey { instance_id: erasure.instance, account_id, device: false })))
}

/// How long the roll waits for more that is destroyed.
pub(super) fn delay(app: &App) -> Duration {
    Duration::from_secs(app.config.erasure.delay_seconds)
}

/// Whether nothing opens any more that this generation of a partition wrapped, or one before it.
pub fn is_erased(partition: PartitionId, generation: u32, app: &App) -> Result<bool> {
    let newest = app.machine.device().generation(in_machine(partition))?;
    Ok(newest > generation && !wrapping_key::rolling(app).contains(&partition))
}

/// Where a clock that ran ahead is set right: what is owed since a moment that has not come is owed from `now` on.
pub(super) fn begin_from(now: Timestamp, changes: &mut Changes, app: &App) -> Result<()> {
    const ENDED: Error = Error::Unavailable("an erasure just ended; retry");
    for owed in app.store.page::<Erasure>(&Erasure::all(), 0, usize::MAX)?.records {
        if owed.since > now {
            changes.replace(&owed, &owed.clone().owed_since(now), ENDED)?;
        }
    }
    Ok(())
}

/// The newest generation that may have wrapped material of a key, as nobody changes the key now; none if nothing of it was
/// ever wrapped. Material from outside may have come and gone before.
pub(super) fn newest_generation(key: &Key, partition: MachinePartition, app: &App) -> Result<Option<u32>> {
    match key.origin {
        Origin::CtyunKms => Ok(key.wrapped_keys().map(|wrapped| wrapped.header().generation).max()),
        Origin::External => match app.machine.device().generation(partition) {
            Ok(generation) => Ok(Some(generation)),
            // Nothing was ever made there.
            Err(Fault::NoSuchPartition) => Ok(None),
            Err(fault) => Err(fault.into()),
        },
    }
}
