//! The scheduler actor: at every tick it asks the store what is due and submits ordinary operations as the appliance
//! itself, so that what happens by itself is audited like everything else. Whether something is really due is decided
//! by the record's own transition.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};

use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::ids::KeyId;
use crate::model::alias::KeyRef;
use crate::model::key::DueJob;
use crate::model::record::Kind;
use crate::ops::audit_trail::{DeleteExpiredAudit, MoveAudit, SignAuditCheckpoint};
use crate::ops::event::{DeleteExpiredEvents, WarnDueKey};
use crate::ops::key_material::ExpireKeyMaterial;
use crate::ops::rotation::RotateDueKey;
use crate::ops::system::RunSelfTest;
use crate::ops::wrapping_key::{self, FinishRoll, RewrapCredential, RewrapKey};

/// Due records that one tick takes up.
const DUE_MAX: usize = 1000;
/// Records that one tick rewraps.
const REWRAPS_MAX: usize = 1000;
/// Audit records a second below which a moment is quiet.
const QUIET: u64 = 2000;
/// Moves of audit records that one tick makes.
const MOVES_MAX: usize = 200;

/// The scheduler.
pub struct Cron {
    gateway: Arc<Gateway>,
    /// Whether a tick is still at work; the next one then waits.
    busy: bool,
    /// Whether the log has the failed self-test.
    told: bool,
    /// Audit records at the tick before.
    recorded: u64,
}

impl Cron {
    /// A scheduler that submits to this gateway.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway, busy: false, told: false, recorded: 0 }
    }
}

impl Actor for Cron {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let tick = Duration::from_secs(self.gateway.app().config.cron.tick_seconds);
        context.run_interval(tick, move |cron, context| {
            let failed = cron.gateway.app().failed_self_test().filter(|_| !cron.told);
            if let Some(test) = failed {
                cron.told = true;
                tracing::error!(
                    event = "selfTest",
                    test,
                    "a self-test failed: nothing is served until a restart passes"
                );
            }
            if std::mem::replace(&mut cron.busy, true) {
                return;
            }
            let gateway = Arc::clone(&cron.gateway);
            let recorded = gateway.app().store.figures().records();
            let quiet = (recorded - std::mem::replace(&mut cron.recorded, recorded)) / tick.as_secs() < QUIET;
            let work = async move { tick_once(&gateway, quiet).await };
            context.spawn(work.into_actor(cron).map(|(), cron, _| cron.busy = false));
        });
    }
}

/// One tick. A failure is logged and tried again at the next one.
async fn tick_once(gateway: &Gateway, quiet: bool) {
    let app = gateway.app();
    // Behind a failed self-test nothing can be read or recorded; the jobs wait for the restart.
    if app.failed_self_test().is_none() {
        app.machine.refill();
        for result in [
            self_test(gateway).await,
            keys(gateway).await,
            roll(gateway).await,
            keep_audit(gateway, quiet).await,
            delete_events(gateway).await,
            gateway.sweep().await,
        ] {
            if let Err(error) = result {
                tracing::warn!(event = "tick", %error, "a scheduled job failed; the next tick tries again");
            }
        }
    }
    *app.last_tick.lock().unwrap_or_else(PoisonError::into_inner) = app.env.clock.monotonic();
}

/// Signs, moves and deletes what is due of the audit trail. Nobody waits for a move, so it waits for a quiet moment.
async fn keep_audit(gateway: &Gateway, quiet: bool) -> Result<()> {
    let app = gateway.app();
    if SignAuditCheckpoint::is_due(app)? {
        gateway.submit(SignAuditCheckpoint {}).await?;
    }
    for _ in 0..MOVES_MAX {
        if !MoveAudit::is_due(app, quiet)? {
            break;
        }
        gateway.submit(MoveAudit {}).await?;
    }
    if DeleteExpiredAudit::is_due(app) {
        gateway.submit(DeleteExpiredAudit {}).await?;
    }
    Ok(())
}

/// Deletes some of the events whose time is over.
async fn delete_events(gateway: &Gateway) -> Result<()> {
    match DeleteExpiredEvents::is_due(gateway.app())? {
        true => gateway.submit(DeleteExpiredEvents {}).await.map(drop),
        false => Ok(()),
    }
}

/// Has the cipher machine test itself, if its last time is long enough ago.
async fn self_test(gateway: &Gateway) -> Result<()> {
    let app = gateway.app();
    let interval = Duration::from_secs(app.config.self_test.interval_seconds);
    if app.env.clock.now().since(app.self_tested()) < interval {
        return Ok(());
    }
    gateway.submit(RunSelfTest {}).await.map(drop)
}

/// Does what is due with keys: their next version, or the end of their material.
async fn keys(gateway: &Gateway) -> Result<()> {
    let app = gateway.app();
    let time = app.store.time().read();
    for due in app.store.due(time.now(), DUE_MAX)? {
        if due.kind != Kind::Key as u8 {
            continue;
        }
        let id = KeyId::from_bytes(<[u8; 16]>::try_from(due.id.as_slice()).map_err(Error::internal)?);
        let cmk_uuid = KeyRef::Id(id);
        match app.keys.get(&id)?.and_then(|key| key.due_job(time.now(), time.settled())) {
            Some(DueJob::Rotate) => {
                note("rotateDueKey", &id.to_string(), gateway.submit(RotateDueKey { cmk_uuid }).await);
            }
            Some(DueJob::Expire) => {
                note(
                    "expireKeyMaterial",
                    &id.to_string(),
                    gateway.submit(ExpireKeyMaterial { cmk_uuid }).await,
                );
            }
            Some(DueJob::Warn) => {
                note("warnDueKey", &id.to_string(), gateway.submit(WarnDueKey { cmk_uuid }).await);
            }
            Some(DueJob::Destroy) | None => {}
        }
    }
    Ok(())
}

/// Goes on with the rolls of wrapping keys: rewraps what the old generation still wraps. A roll is finished in a later
/// tick than its last rewrap, so that calls which read a record before have ended by then.
async fn roll(gateway: &Gateway) -> Result<()> {
    let app = gateway.app();
    let mut room = REWRAPS_MAX;
    for partition in wrapping_key::rolling(app) {
        let left = wrapping_key::left(partition, room, app)?;
        if left.total == 0 {
            note("finishRoll", &partition.to_string(), gateway.submit(FinishRoll { partition }).await);
        }
        room -= left.keys.len() + left.credentials.len();
        for key in left.keys {
            let rewrapped = gateway.submit(RewrapKey { cmk_uuid: KeyRef::Id(key) }).await;
            note("rewrapKey", &key.to_string(), rewrapped);
        }
        for access_key in left.credentials {
            let rewrapped = gateway.submit(RewrapCredential { access_key }).await;
            note("rewrapCredential", &access_key.to_string(), rewrapped);
        }
    }
    Ok(())
}

/// Logs a step that was refused; the next tick tries it again.
fn note<T>(event: &str, id: &str, outcome: Result<T>) {
    if let Err(error) = outcome {
        tracing::warn!(event, id, %error, "not done yet; the next tick tries again");
    }
}
