//! What has fallen due: records whose moment has come, and rolls of wrapping keys that are under way. Each job is an operation
//! that the appliance submits; whether it is really due is decided by the record's own transition.

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::ids::KeyId;
use crate::model::alias::KeyRef;
use crate::model::confirmed::Reading;
use crate::model::erasure::Erasure;
use crate::model::key::DueJob;
use crate::model::record::Kind;
use crate::ops::deletion::DestroyKey;
use crate::ops::erasure::{self, Step};
use crate::ops::event::WarnDueKey;
use crate::ops::key_material::ExpireKeyMaterial;
use crate::ops::rotation::RotateDueKey;
use crate::ops::wrapping_key::{self, FinishRoll, RewrapCredential, RewrapKey};
use crate::store::Due;

/// Due records that are looked at in one go.
const DUE_MAX: usize = 1000;
/// Records that are rewrapped in one go.
const REWRAPS_MAX: usize = 1000;

/// Does what is due of some records, in the order of their moments, from the one behind `after` on. Returns how many jobs were
/// done, and the last record if there may be more behind it.
pub async fn records(gateway: &Gateway, after: Option<&Due>) -> Result<(u64, Option<Due>)> {
    let app = gateway.app();
    let time = app.store.time().read();
    let mut due = app.store.due(time.horizon(), after, DUE_MAX)?;
    let mut done = 0;
    for due in &due {
        done += u64::from(record(due, &time, gateway).await?);
    }
    let last = if due.len() == DUE_MAX { due.pop() } else { None };
    Ok((done, last))
}

/// Does what one record waits for; false if that is nothing yet, or was refused.
async fn record(due: &Due, time: &Reading, gateway: &Gateway) -> Result<bool> {
    if due.kind == Kind::Key as u8 {
        return key(due, time, gateway).await;
    }
    if due.kind == Kind::Erasure as u8 {
        return erasure(due, gateway).await;
    }
    Ok(false)
}

/// A key's next version, the end of its material, or its own. While the clock is in doubt, nothing has ended for good.
async fn key(due: &Due, time: &Reading, gateway: &Gateway) -> Result<bool> {
    let id = KeyId::from_bytes(<[u8; 16]>::try_from(due.id.as_slice()).map_err(Error::internal)?);
    let (text, cmk_uuid) = (id.to_string(), KeyRef::Id(id));
    Ok(match gateway.app().keys.get(&id)?.and_then(|key| key.due_job(time)) {
        Some(DueJob::Rotate) => done("rotateDueKey", &text, gateway.submit(RotateDueKey { cmk_uuid }).await),
        Some(DueJob::Expire) => {
            done("expireKeyMaterial", &text, gateway.submit(ExpireKeyMaterial { cmk_uuid }).await)
        }
        Some(DueJob::Warn) => done("warnDueKey", &text, gateway.submit(WarnDueKey { cmk_uuid }).await),
        Some(DueJob::Destroy) => done("destroyKey", &text, gateway.submit(DestroyKey { cmk_uuid }).await),
        None => false,
    })
}

/// The roll that is owed since something wrapped was destroyed, and its settling once the roll has ended.
async fn erasure(due: &Due, gateway: &Gateway) -> Result<bool> {
    let Some(id) = Erasure::read_id(&due.id) else {
        return Err(Error::internal("the id of an erasure is damaged"));
    };
    let text = id.0.to_string();
    Ok(match erasure::next_step(&id, gateway.app())? {
        Some(Step::Roll(roll)) => done("rollWrappingKey", &text, gateway.submit(roll).await),
        Some(Step::Settle(settle)) => done("settleErasure", &text, gateway.submit(settle).await),
        None => false,
    })
}

/// Goes on with the rolls of wrapping keys: rewraps what the old generation still wraps. A roll is finished in a later
/// go than its last rewrap, so that calls which read a record before have ended by then. Returns how many jobs were done.
pub async fn rolls(gateway: &Gateway) -> Result<u64> {
    let app = gateway.app();
    let (mut room, mut jobs) = (REWRAPS_MAX, 0);
    for partition in wrapping_key::rolling(app) {
        let left = wrapping_key::left(partition, room, app)?;
        if left.total == 0 {
            let finished = gateway.submit(FinishRoll { partition }).await;
            jobs += u64::from(done("finishRoll", &partition.to_string(), finished));
        }
        room -= left.keys.len() + left.credentials.len();
        for key in left.keys {
            let rewrapped = gateway.submit(RewrapKey { cmk_uuid: KeyRef::Id(key) }).await;
            jobs += u64::from(done("rewrapKey", &key.to_string(), rewrapped));
        }
        for access_key in left.credentials {
            let rewrapped = gateway.submit(RewrapCredential { access_key }).await;
            jobs += u64::from(done("rewrapCredential", &access_key.to_string(), rewrapped));
        }
    }
    Ok(jobs)
}

/// Logs a job that was refused; a later tick tries it again.
fn done<T>(event: &str, id: &str, outcome: Result<T>) -> bool {
    match outcome {
        Ok(_) => true,
        Err(error) => {
            tracing::warn!(event, id, %error, "not done yet; a later tick tries again");
            false
        }
    }
}
