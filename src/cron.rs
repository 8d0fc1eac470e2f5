//! The scheduler actor: at every tick it asks the store what is due and submits ordinary operations as the appliance
//! itself, so that what happens by itself is audited like everything else. It also moves the time of a demo. It does one
//! thing at a time: a tick, or one way of the time machine.

mod due;
mod time_machine;

use std::future::pending;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, WrapFuture};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::{Advance, App};
use crate::error::Result;
use crate::gateway::Gateway;
use crate::ops::audit_trail::{DeleteExpiredAudit, MoveAudit, SignAuditCheckpoint};
use crate::ops::clock::NoteClock;
use crate::ops::event::DeleteExpiredEvents;
use crate::ops::system::RunSelfTest;
use crate::store::Due;

/// Audit records a second below which a moment is quiet.
const QUIET: u64 = 2000;
/// Moves of audit records that one tick makes.
const MOVES_MAX: usize = 200;

/// The scheduler.
pub struct Cron {
    gateway: Arc<Gateway>,
}

impl Cron {
    /// A scheduler that submits to this gateway.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway }
    }
}

impl Actor for Cron {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.spawn(Work::new(Arc::clone(&self.gateway)).run().into_actor(self));
    }
}

/// What the scheduler is at.
pub struct Work {
    gateway: Arc<Gateway>,
    /// Whether the log has the failed self-test.
    told: bool,
    /// Audit records at the tick before.
    recorded: u64,
    /// The due record that the tick before ended with; more may wait behind it.
    place: Option<Due>,
}

impl Work {
    /// Nothing yet.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self { gateway, told: false, recorded: 0, place: None }
    }

    /// Works until the arbiter stops.
    async fn run(mut self) {
        let gateway = Arc::clone(&self.gateway);
        let app = gateway.app();
        let seconds = app.config.cron.tick_seconds;
        let mut advances = app.take_advances();
        let mut ticks = interval(Duration::from_secs(seconds));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one comes at once.
        ticks.tick().await;
        loop {
            tokio::select! {
                _ = ticks.tick() => self.tick(seconds).await,
                advance = next(&mut advances) => {
                    let advanced = time_machine::advance(&gateway, advance.by).await;
                    // Who asked may be gone; the time has moved all the same.
                    let _ = advance.reply.send(advanced);
                }
            }
        }
    }

    /// One tick, so many seconds after the one before. A failure is logged and tried again at the next one.
    pub async fn tick(&mut self, seconds: u64) {
        let gateway = &*self.gateway;
        let app = gateway.app();
        let recorded = app.store.figures().records();
        let quiet = (recorded - std::mem::replace(&mut self.recorded, recorded)) / seconds < QUIET;
        // Behind a failed self-test nothing can be read or recorded; the jobs wait for the restart.
        match app.failed_self_test() {
            None => {
                app.machine.refill();
                let place = self.place.take();
                let records = due::records(gateway, place.as_ref()).await;
                for result in [
                    self_test(gateway).await,
                    records.map(|(_, last)| self.place = last),
                    due::rolls(gateway).await.map(drop),
                    keep_audit(gateway, quiet).await,
                    note_clock(gateway).await,
                    delete_events(gateway).await,
                    gateway.sweep().await,
                ] {
                    if let Err(error) = result {
                        tracing::warn!(event = "tick", %error, "a scheduled job failed; the next tick tries again");
                    }
                }
            }
            Some(test) if !std::mem::replace(&mut self.told, true) => tracing::error!(
                event = "selfTest",
                test,
                "a self-test failed: nothing is served until a restart passes"
            ),
            Some(_) => {}
        }
        ticked(app);
    }
}

/// The next wish to move the time ahead.
async fn next(advances: &mut Option<mpsc::Receiver<Advance>>) -> Advance {
    match advances {
        Some(advances) => match advances.recv().await {
            Some(advance) => advance,
            None => pending().await,
        },
        None => pending().await,
    }
}

/// Notes that the scheduler works.
fn ticked(app: &App) {
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

/// Tells that the wall clock is in doubt, or trusted again.
async fn note_clock(gateway: &Gateway) -> Result<()> {
    match NoteClock::is_due(gateway.app()) {
        true => gateway.submit(NoteClock {}).await.map(drop),
        false => Ok(()),
    }
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
