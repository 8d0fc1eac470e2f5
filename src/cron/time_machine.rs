//! The way of a demo's time: from one moment at which something falls due to the next, and whatever that is happens before the
//! time goes on. Each step is durable with its audit record, so that a stop on the way leaves an earlier time and nothing else.

use std::time::Duration;

use super::{due, keep_audit, ticked};
use crate::app::Advanced;
use crate::error::{Error, Result};
use crate::gateway::Gateway;
use crate::ops::clock::StepTime;

/// How often all that is due at one moment is looked at anew: a job may leave another one due.
const PASSES_MAX: usize = 100;
/// Steps after which the audit trail is tended.
const STEPS_UNTENDED: u64 = 64;

/// Moves the time ahead, and does on the way what falls due.
pub async fn advance(gateway: &Gateway, by: Duration) -> Result<Advanced> {
    let app = gateway.app();
    let target = app.store.time().demo_offset().ok_or(Error::OperationNotFound)? + by;
    let mut advanced = Advanced::default();
    loop {
        advanced.jobs += settle(gateway).await?;
        ticked(app);
        let time = app.store.time().read();
        if time.offset >= target {
            tracing::info!(event = "advanced", time = %time.now(), steps = advanced.steps, jobs = advanced.jobs);
            return Ok(advanced);
        }
        // The first whole second at which something else is due; what is due already was refused, and waits for a tick.
        // The clocks may be a moment apart: a step goes as far as to make it certain.
        let certain = time.settled().unwrap_or(time.now());
        let next = app.store.next_due(certain)?.map(|at| at.since(certain.before(time.offset)));
        let next = next.map(|ahead| {
            Duration::from_secs(ahead.as_micros().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX))
        });
        let to = next.map_or(target, |next| next.min(target));
        gateway.submit(StepTime { demo_offset: to.as_secs() }).await?;
        advanced.steps += 1;
        if advanced.steps % STEPS_UNTENDED == 0 {
            keep_audit(gateway, true).await?;
        }
    }
}

/// Does all that is due at the present moment; returns how many jobs that were.
async fn settle(gateway: &Gateway) -> Result<u64> {
    let mut jobs = 0;
    for _ in 0..PASSES_MAX {
        let (mut done, mut last) = due::records(gateway, None).await?;
        while let Some(after) = last {
            let more = due::records(gateway, Some(&after)).await?;
            (done, last) = (done + more.0, more.1);
        }
        done += due::rolls(gateway).await?;
        jobs += done;
        if done == 0 {
            return Ok(jobs);
        }
    }
    tracing::warn!(
        event = "advance",
        passes = PASSES_MAX,
        "something is due again and again; the time goes on"
    );
    Ok(jobs)
}
