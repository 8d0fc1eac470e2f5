//! The appliance itself (contract 5.13): its state, and the self-tests of its cipher machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use super::clock::ClockView;
use super::wrapping_key::{self, Roll};
use crate::api::Call;
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::principal::Audience;

/// Says what the appliance is and how it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DescribeSystem {}

/// The state of the appliance.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SystemView {
    /// Version of the program.
    pub version: String,
    /// Region id.
    pub region: String,
    /// The appliance's time.
    pub time: String,
    /// The clocks that it goes by.
    #[serde(flatten)]
    pub clock: ClockView,
    /// State of the cipher machine. Whoever is asked in another state than `Operational` is the door.
    pub machine_state: String,
    /// When the cipher machine last passed its self-tests.
    pub self_test_time: String,
    /// Partitions of the cipher machine, its own included.
    pub partitions: usize,
    /// Whether the store accepts every write.
    pub store_healthy: bool,
    /// `Healthy`, or `Reduced` while the disk is full.
    pub store_state: String,
    /// Audit records from the first one on.
    pub audit_records: u64,
    /// Hash of the last audit block, hexadecimal: write it down elsewhere to prove later that nothing was cut off.
    pub audit_head: String,
    /// Commits since start.
    pub commits: u64,
    /// Keys that are in memory.
    pub active_keys: usize,
    /// Rolls of wrapping keys that are under way; only administrators see them.
    pub rolls: Vec<Roll>,
}

impl Operation for DescribeSystem {
    type Output = SystemView;

    async fn run(self, call: &Call, app: &App) -> Result<SystemView> {
        let (audit_records, head) = app.store.audit_head()?;
        let device = app.machine.device();
        Ok(SystemView {
            version: env!("CARGO_PKG_VERSION").into(),
            region: app.config.region.clone(),
            time: call.now.to_string(),
            clock: ClockView::of(&call.time(), app),
            machine_state: format!("{:?}", device.state()),
            self_test_time: app.self_tested().after(call.time().offset).to_string(),
            partitions: device.partitions(),
            store_healthy: app.store.is_healthy(),
            store_state: format!("{:?}", app.store.condition()),
            audit_records,
            audit_head: hex::encode(head),
            commits: app.store.figures().commits(),
            active_keys: app.keys.active(),
            rolls: match call.principal.permits(Audience::Administrator) {
                true => wrapping_key::rolls(app)?,
                false => Vec::new(),
            },
        })
    }
}

/// Runs the cipher machine's self-tests. An administrator asks for it, and cron at every `self_test.interval_seconds`. If one
/// fails, the machine answers nothing any more: neither this call nor its audit record comes to an end.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunSelfTest {}

/// What passed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelfTestView {
    /// Names of the tests that ran; all of them passed.
    pub tests: Vec<String>,
    /// How long they took.
    pub duration_milliseconds: u64,
    /// When they had passed.
    pub self_test_time: String,
}

impl Operation for RunSelfTest {
    type Output = SelfTestView;

    async fn run(self, call: &Call, app: &App) -> Result<SelfTestView> {
        let since = app.env.clock.monotonic();
        let tests = app.self_test().await?;
        let duration = app.env.clock.monotonic().saturating_sub(since);
        Ok(SelfTestView {
            tests: tests.into_iter().map(str::to_owned).collect(),
            duration_milliseconds: u64::try_from(duration.as_millis()).map_err(Error::internal)?,
            self_test_time: app.self_tested().after(call.time().offset).to_string(),
        })
    }
}
