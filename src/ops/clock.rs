//! The appliance's time (contract 5.13): what is said of its clocks, their confirmation, and the time of a demo.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Operation, erasure};
use crate::api::Call;
use crate::app::App;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::EventId;
use crate::model::confirmed::Reading;
use crate::model::event::{Event, Occurrence};
use crate::model::text::Number;
use crate::store::{Changes, TimeEdit};

/// Furthest that the time of a demo is ahead of the wall clock.
const OFFSET_MAX: Duration = Duration::from_secs(1000 * 366 * 24 * 3600);

/// The clocks of the appliance. The confirmed clock shows the wall clock as it was when it was believed, and the time that passed
/// since then by a clock that nobody can set. While the wall clock is more than ten minutes off, nothing is destroyed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClockView {
    /// The wall clock of the machine: signatures are dated by it.
    pub wall_time: String,
    /// The confirmed clock.
    pub confirmed_time: String,
    /// `InDoubt` while the wall clock is not trusted.
    #[schemars(extend("enum" = ["Trusted", "InDoubt"]))]
    pub clock_state: String,
    /// Why the wall clock is not trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_doubt: Option<String>,
    /// Whether the instance was made as a demo, whose time can be moved ahead.
    pub demo: bool,
    /// Seconds that the time of a demo is ahead of the wall clock.
    pub demo_offset: u64,
}

impl ClockView {
    /// What a reading shows.
    pub fn of(time: &Reading, app: &App) -> Self {
        let doubt = time.doubt();
        Self {
            wall_time: time.wall.to_string(),
            confirmed_time: time.confirmed.to_string(),
            clock_state: if doubt.is_some() { "InDoubt" } else { "Trusted" }.into(),
            clock_doubt: doubt.map(|doubt| doubt.to_string()),
            demo: app.store.time().demo_offset().is_some(),
            demo_offset: time.offset.as_secs(),
        }
    }
}

/// Says that the wall clock is right, when it is in doubt: the confirmed clock shows the same from now on. What is due by it is
/// destroyed then. If that takes the confirmed clock back, what has not run out by the wall clock can be used again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ConfirmClock {}

impl Operation for ConfirmClock {
    type Output = ClockView;

    async fn run(self, call: &Call, app: &App) -> Result<ClockView> {
        let (time, mut changes) = (app.store.time(), Changes::default());
        changes.time(TimeEdit::Confirm);
        if call.time().doubt().is_some() || time.told() {
            changes.event(&event(Occurrence::ClockConfirmed, call.now, app)?)?;
        }
        erasure::begin_from(call.now, &mut changes, app)?;
        call.commit(&app.store, changes).await?;
        Ok(ClockView::of(&time.read(), app))
    }
}

/// Tells that the wall clock is in doubt, or that it is trusted again.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct NoteClock {}

impl NoteClock {
    /// Whether what was last told of the clock is so no more.
    pub fn is_due(app: &App) -> bool {
        let time = app.store.time();
        time.told() != time.read().doubt().is_some()
    }
}

impl Operation for NoteClock {
    type Output = ClockView;

    async fn run(self, call: &Call, app: &App) -> Result<ClockView> {
        let (time, mut changes) = (call.time(), Changes::default());
        let doubt = time.doubt();
        if app.store.time().told() == doubt.is_some() {
            return Err(Error::TransitionNotAllowed);
        }
        let event = match doubt {
            // A clock that nobody trusts is no date for it.
            Some(_) => event(Occurrence::ClockInDoubt, time.confirmed.after(time.offset), app)?,
            None => event(Occurrence::ClockConfirmed, call.now, app)?,
        };
        changes.event(&event)?;
        changes.time(TimeEdit::Tell(doubt.is_some()));
        call.commit(&app.store, changes).await?;
        match doubt {
            Some(_) => warn_of_doubt(&time),
            None => tracing::info!(event = "clock", "the wall clock is trusted again"),
        }
        Ok(ClockView::of(&time, app))
    }
}

/// Says in the log that the wall clock is in doubt, if it is.
pub fn warn_of_doubt(time: &Reading) {
    if let Some(doubt) = time.doubt() {
        tracing::warn!(
            event = "clock",
            "{doubt}: nothing is destroyed until they agree. Set the wall clock right; if it is right, have an \
             administrator call confirmClock, or start the service with --confirm-clock"
        );
    }
}

/// An event of the appliance.
fn event(what: Occurrence, time: Timestamp, app: &App) -> Result<Event> {
    let (id, account, instance, key) = (EventId::from_random(app.random()?), None, None, None);
    Ok(Event { id, account, instance, key, time, what })
}

/// Moves the time of a demo ahead, step by step: whatever falls due on the way happens at its moment and in its order, before
/// the call is answered. Only instances that were made with `--demo` have this operation.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdvanceTime {
    /// How far, in seconds: 3,660 days at most.
    #[schemars(extend("examples" = [86_400]))]
    pub seconds: Number<1, 316_224_000>,
}

/// The time after it was moved.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AdvancedTime {
    /// The appliance's time.
    pub time: String,
    /// Seconds that it is ahead of the wall clock.
    pub demo_offset: u64,
    /// How often the time was moved on the way.
    pub steps: u64,
    /// How many jobs were done that fell due.
    pub jobs: u64,
}

impl Operation for AdvanceTime {
    type Output = AdvancedTime;

    async fn run(self, call: &Call, app: &App) -> Result<AdvancedTime> {
        let by = Duration::from_secs(self.seconds.get());
        if call.time().offset + by > OFFSET_MAX {
            return Err(Error::invalid("seconds", "moves the time more than a thousand years ahead"));
        }
        let advanced = app.advance(by).await?;
        let time = app.store.time().read();
        let output = AdvancedTime {
            time: time.now().to_string(),
            demo_offset: time.offset.as_secs(),
            steps: advanced.steps,
            jobs: advanced.jobs,
        };
        let mut changes = Changes::default();
        call.remember_from(time.steady(), &mut changes, &output)?;
        call.commit(&app.store, changes).await?;
        Ok(output)
    }
}

/// One step on the way of advanceTime.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepTime {
    /// Seconds that the time is ahead of the wall clock from now on; it never goes back.
    pub demo_offset: u64,
}

impl Operation for StepTime {
    type Output = ();

    async fn run(self, call: &Call, app: &App) -> Result<()> {
        if app.store.time().demo_offset().is_none() {
            return Err(Error::OperationNotFound);
        }
        let mut changes = Changes::default();
        changes.time(TimeEdit::Step(Duration::from_secs(self.demo_offset)));
        call.commit(&app.store, changes).await
    }
}
