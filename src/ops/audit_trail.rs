//! Keeping the audit trail: what the appliance does with it by itself, as calls of its own, and checking it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use crate::api::Call;
use crate::app::App;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::model::checkpoint::{PublicKey, Signed, Statement, time_of};
use crate::model::text::Text;
use crate::store::{Anchor, Changes, Check, Store, TrailEdit, day};

/// How many times as many blocks stay in the database while the service is busy.
const TAIL_BUSY: u64 = 16;
const DAY_SECONDS: u64 = 24 * 3600;

/// Has the device sign the end of the chain, stores the checkpoint and publishes it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct SignAuditCheckpoint {}

/// A checkpoint.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditCheckpoint {
    /// Number of the last record that it covers.
    pub sequence: u64,
    /// Hash of the last block, hexadecimal.
    pub head: String,
}

impl SignAuditCheckpoint {
    /// Whether there is anything to sign: records other than that of the checkpoint before.
    pub fn has_work(store: &Store) -> Result<bool> {
        store.trail(|trail| {
            let last = trail.head()?.0;
            Ok(trail.newest_checkpoint()?.map_or(last > 0, |(sequence, _)| last > sequence + 1))
        })
    }

    /// Whether that is so, and the last checkpoint, or the first record, is old enough. A clock that was turned back does
    /// not put it off.
    pub fn is_due(app: &App) -> Result<bool> {
        let since = app.store.trail(|trail| match trail.newest_checkpoint()? {
            Some((_, line)) => Ok(time_of(&line)),
            None => Ok(trail.tail_blocks()?.1),
        })?;
        let now = app.store.time().read().now();
        let interval = Duration::from_secs(app.config.audit.checkpoint_seconds);
        let old = since.is_none_or(|since| now < since || now.since(since) >= interval);
        Ok(old && Self::has_work(&app.store)?)
    }
}

impl Operation for SignAuditCheckpoint {
    type Output = AuditCheckpoint;

    async fn run(self, call: &Call, app: &App) -> Result<AuditCheckpoint> {
        let (sequence, head) = app.store.audit_head()?;
        let statement = Statement::checkpoint(app.store.installation(), sequence, &head, call.now);
        let line = app.sign(&statement).await?.line();
        let mut changes = Changes::default();
        changes.trail(TrailEdit::Checkpoint { sequence, line: line.clone() });
        call.commit(&app.store, changes).await?;
        let head = hex::encode(head);
        tracing::info!(event = "checkpoint", sequence, %head, "the device signed the audit trail");
        if let Err(error) = app.store.heads().publish(&line) {
            tracing::error!(event = "heads", cause = ?error, "the signed head could not be published outside");
        }
        Ok(AuditCheckpoint { sequence, head })
    }
}

/// Moves the oldest blocks from the database to the segment file of their day.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct MoveAudit {}

/// Where the records are now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MovedAudit {
    /// Number of the last record in segment files; 0 if nothing moved.
    pub sequence: u64,
}

impl MoveAudit {
    /// Whether there is anything to move: more blocks than may stay, or one of an earlier day; while the service is busy, only
    /// what grows far beyond that.
    pub fn is_due(app: &App, quiet: bool) -> Result<bool> {
        let (blocks, oldest) = app.store.trail(|trail| trail.tail_blocks())?;
        let most = app.config.audit.tail_blocks;
        let earlier = oldest.is_some_and(|oldest| day(oldest) < day(app.store.time().read().now()));
        Ok(blocks > most.saturating_mul(TAIL_BUSY) || (quiet && (blocks > most || earlier)))
    }
}

impl Operation for MoveAudit {
    type Output = MovedAudit;

    async fn run(self, call: &Call, app: &App) -> Result<MovedAudit> {
        let Some(sequence) = app.store.move_audit()? else { return Ok(MovedAudit { sequence: 0 }) };
        let mut changes = Changes::default();
        changes.trail(TrailEdit::Moved(sequence));
        call.commit(&app.store, changes).await?;
        Ok(MovedAudit { sequence })
    }
}

/// Deletes the segment files of days whose time is over.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeleteExpiredAudit {}

/// What was deleted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeletedAudit {
    /// The days.
    pub days: Vec<String>,
}

/// The days whose time is over, and the number of their last record; none while the clock is not trusted.
fn expired(app: &App) -> Option<(Vec<String>, u64)> {
    let days = app.config.audit.retention_days;
    let kept = Duration::from_secs(days * DAY_SECONDS).as_micros();
    let settled = app.store.time().read().settled()?;
    let oldest = Timestamp(settled.0.saturating_sub(i64::try_from(kept).unwrap_or(i64::MAX)));
    if days == 0 { None } else { app.store.audit_days_before(&day(oldest)) }
}

impl DeleteExpiredAudit {
    /// Whether there is anything to delete.
    pub fn is_due(app: &App) -> bool {
        expired(app).is_some()
    }
}

impl Operation for DeleteExpiredAudit {
    type Output = DeletedAudit;

    async fn run(self, call: &Call, app: &App) -> Result<DeletedAudit> {
        let Some((days, last)) = expired(app) else { return Ok(DeletedAudit { days: Vec::new() }) };
        days.iter().for_each(|day| call.touch("AuditSegment", day, ""));
        let mut changes = Changes::default();
        changes.trail(TrailEdit::Expired(last));
        call.commit(&app.store, changes).await?;
        app.store.delete_audit(last)?;
        Ok(DeletedAudit { days })
    }
}

/// Leaves an incident in the trail: it ends before, or differs from, a head that the device signed and published.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NoteAuditRollback {
    /// Number of the last record under the published head.
    pub published: u64,
    /// Number of the last record that is there.
    pub last: u64,
}

impl Operation for NoteAuditRollback {
    type Output = ();

    async fn run(self, call: &Call, _: &App) -> Result<()> {
        let Self { published, last } = self;
        call.touch("AuditTrail", format!("published {published}"), "");
        call.touch("AuditTrail", format!("last {last}"), "");
        Err(Error::internal(format!(
            "the audit trail ends at record {last} and does not contain the head that was signed and published for record \
             {published}: an older copy of the data directory was put in place"
        )))
    }
}

/// What the trail lacks of the last published head, if it lacks anything. A head of another appliance says nothing.
pub fn rollback(store: &Store, key: &PublicKey) -> Result<Option<NoteAuditRollback>> {
    let line = store.heads().last()?;
    let statement = line.and_then(|line| serde_json::from_str::<Signed>(&line).ok()?.verify(key));
    let Some(Statement::Checkpoint { installation, sequence, head, .. }) = statement else { return Ok(None) };
    if installation.as_bytes() != store.installation() {
        return Ok(None);
    }
    store.trail(|trail| {
        let last = trail.head()?.0;
        let deleted = sequence < trail.first()?;
        let found = trail.block_of(sequence)?.filter(|block| block.last() == sequence);
        let agrees = found.is_some_and(|block| hex::encode(block.header.hash()) == head);
        Ok((!agrees && !deleted).then_some(NoteAuditRollback { published: sequence, last }))
    })
}

/// Checks the stored trail, a hundred thousand records at a time: every record against its block, every block against the
/// chain, every checkpoint against the device's key, and the end against the published head.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct VerifyAudit {
    /// `nextCursor` of the step before.
    pub cursor: Option<Text<1, 100>>,
}

/// What one step of a check came to.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VerifiedAudit {
    /// Whether everything that was checked holds.
    pub intact: bool,
    /// What does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Number of the first record that was checked.
    pub first: u64,
    /// Number of the last one.
    pub last: u64,
    /// Hash of the last block, hexadecimal.
    pub head: String,
    /// Checkpoints that hold.
    pub checkpoints: u64,
    /// Pass it as `cursor` to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Operation for VerifyAudit {
    type Output = VerifiedAudit;

    async fn run(self, _: &Call, app: &App) -> Result<VerifiedAudit> {
        let key = app.device_key().await?;
        let from = self.cursor.as_ref().map(|cursor| anchor(cursor.as_str())).transpose()?;
        let step_key = key.clone();
        let Check { first, end, checkpoints, mut broken, complete } =
            app.read_trail(move |trail| trail.check(from, &step_key)).await?;
        if complete && broken.is_none() {
            let rollback = rollback(&app.store, &key)?;
            broken = rollback.map(|gap| format!("record {} was published, and is not there", gap.published));
        }
        let head = hex::encode(end.head);
        let next_cursor = (!complete && broken.is_none()).then(|| format!("{}-{head}", end.next));
        let (intact, last) = (broken.is_none(), end.next - 1);
        Ok(VerifiedAudit { intact, reason: broken, first, last, head, checkpoints, next_cursor })
    }
}

fn anchor(cursor: &str) -> Result<Anchor> {
    let parts = cursor.split_once('-').and_then(|(next, head)| {
        Some(Anchor { next: next.parse().ok()?, head: hex::decode(head).ok()?.try_into().ok()? })
    });
    parts.ok_or_else(|| Error::invalid("cursor", "is not one that this operation gave out"))
}
