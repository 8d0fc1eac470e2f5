//! Events: listing them, the warnings that cron submits, and the end of old ones.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CLOCK_IN_DOUBT, Operation};
use crate::api::{Call, Moment, Several, Target};
use crate::app::App;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{AccessKeyId, EventId, InstanceId, KeyId, VersionId};
use crate::model::alias::KeyRef;
use crate::model::event::{Event, Occurrence};
use crate::model::key::Key;
use crate::model::principal::{Caller, Principal};
use crate::model::text::{Number, Text};
use crate::store::Changes;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Events that one call deletes.
const DELETED_MAX: usize = 500;
/// Kinds that one filter names.
const KINDS_MAX: usize = Occurrence::NAMES.len();

/// Finds events of the caller's account, newest first: what one should be told without asking. Administrators also find the
/// appliance's own.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListEvents {
    /// `nextCursor` of the page before.
    pub cursor: Option<Text<48, 48>>,
    /// How many on a page, 1 to 100.
    pub page_size: Option<Number<1, 100>>,
    /// Only events of this kind.
    pub kind: Option<EventKind>,
    /// Only events of these kinds; as a list or as a JSON string of one.
    pub kinds: Option<Several<EventKind, KINDS_MAX>>,
    /// Only events about this key: its UUID in lower case, also once it is destroyed, or one of its aliases.
    pub cmk_uuid: Option<KeyRef>,
    /// Only events from this moment on.
    pub start_time: Option<Moment>,
    /// Only events up to this moment.
    pub end_time: Option<Moment>,
}

/// What an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum EventKind {
    /// The key has a new primary version.
    KeyRotated,
    /// The material from outside expires soon.
    MaterialExpiring,
    /// The material from outside expired and was destroyed.
    MaterialExpired,
    /// The key will be destroyed soon.
    KeyExpiring,
    /// The key was destroyed.
    KeyDestroyed,
    /// Somebody tried to use a key that is disabled or pending deletion.
    UseRefused,
    /// Somebody used a key whose disabling is rehearsed.
    UseRehearsed,
    /// The clock cannot be trusted.
    ClockInDoubt,
    /// The clock is trusted again.
    ClockConfirmed,
}

impl EventKind {
    fn of(what: &Occurrence) -> Self {
        match what {
            Occurrence::KeyRotated { .. } => Self::KeyRotated,
            Occurrence::MaterialExpiring { .. } => Self::MaterialExpiring,
            Occurrence::MaterialExpired => Self::MaterialExpired,
            Occurrence::KeyExpiring { .. } => Self::KeyExpiring,
            Occurrence::KeyDestroyed => Self::KeyDestroyed,
            Occurrence::UseRefused { .. } => Self::UseRefused,
            Occurrence::UseRehearsed { .. } => Self::UseRehearsed,
            Occurrence::ClockInDoubt => Self::ClockInDoubt,
            Occurrence::ClockConfirmed => Self::ClockConfirmed,
        }
    }
}

/// One event, with everything that a notification about it says.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShownEvent {
    /// Its id.
    pub event_id: EventId,
    /// What it tells of.
    pub kind: EventKind,
    /// `WARNING` where somebody may have to act, `INCIDENT` where somebody must.
    #[schemars(extend("enum" = ["NORMAL", "WARNING", "INCIDENT"]))]
    pub level: String,
    /// When it happened.
    #[schemars(with = "Moment")]
    pub time: String,
    /// The key that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmk_uuid: Option<KeyId>,
    /// The service of that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    /// The new version, of KeyRotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_version_id: Option<VersionId>,
    /// When it ends, of KeyExpiring and MaterialExpiring.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Moment>")]
    pub end_time: Option<String>,
    /// It ends within so many days: 7, 3 or 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days: Option<u8>,
    /// Who called, of UseRefused and UseRehearsed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<ShownCaller>,
    /// The state of the key then, of UseRefused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_state: Option<String>,
    /// What happened, in English.
    pub message: String,
    /// What happened, in Chinese.
    pub description: String,
}

/// Somebody who called, as audit records name them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.14")]
pub struct ShownCaller {
    pub principal_type: String,
    pub user_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<AccessKeyId>,
}

impl From<Caller> for ShownCaller {
    fn from(Caller { kind, name, access_key }: Caller) -> Self {
        Self { principal_type: kind, user_name: name, access_key }
    }
}

impl From<Event> for ShownEvent {
    fn from(event: Event) -> Self {
        let (message, description) = event.sentences();
        let mut shown = Self {
            event_id: event.id,
            kind: EventKind::of(&event.what),
            level: event.what.level().into(),
            time: event.time.to_string(),
            cmk_uuid: event.key,
            instance_id: event.instance,
            key_version_id: None,
            end_time: None,
            days: None,
            by: None,
            key_state: None,
            message,
            description,
        };
        match event.what {
            Occurrence::KeyRotated { version } => shown.key_version_id = Some(version),
            Occurrence::MaterialExpiring { at, days } | Occurrence::KeyExpiring { at, days } => {
                (shown.end_time, shown.days) = (Some(at.to_string()), Some(days));
            }
            Occurrence::UseRefused { by, state } => {
                (shown.by, shown.key_state) = (Some(by.into()), Some(state));
            }
            Occurrence::UseRehearsed { by } => shown.by = Some(by.into()),
            Occurrence::MaterialExpired
            | Occurrence::KeyDestroyed
            | Occurrence::ClockInDoubt
            | Occurrence::ClockConfirmed => {}
        }
        shown
    }
}

/// A page of events.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EventPage {
    /// The events, newest first.
    pub events: Vec<ShownEvent>,
    /// Pass it as `cursor` to go on; absent at the end. A page may be short and still have a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl ListEvents {
    /// The place in the lists behind which the page begins.
    fn after(&self) -> Result<Vec<u8>> {
        let end = match self.end_time {
            // A moment of a request is a whole second.
            Some(Moment(end)) => place(Timestamp(end.0.saturating_add(999_999))),
            None => Vec::new(),
        };
        match &self.cursor {
            Some(cursor) => {
                let cursor = hex::decode(cursor.as_str())
                    .map_err(|_| Error::invalid("cursor", "is not one that this operation gave out"))?;
                Ok(cursor.max(end))
            }
            None => Ok(end),
        }
    }

    fn keeps(&self, event: &Event) -> bool {
        let kind = EventKind::of(&event.what);
        self.kind.is_none_or(|wanted| wanted == kind)
            && self.kinds.as_ref().is_none_or(|wanted| wanted.iter().any(|wanted| *wanted == kind))
    }
}

/// Where events of a moment begin in a list, the newest first.
fn place(at: Timestamp) -> Vec<u8> {
    at.0.saturating_neg().to_be_bytes().to_vec()
}

impl Operation for ListEvents {
    type Output = EventPage;

    /// A key that is named by its id may be gone.
    fn targets(&self) -> Result<Vec<Target>> {
        match &self.cmk_uuid {
            Some(KeyRef::Alias(name)) => Ok(vec![Target::Key(KeyRef::Alias(name.clone()))]),
            Some(KeyRef::Id(_)) | None => Ok(Vec::new()),
        }
    }

    async fn run(self, call: &Call, app: &App) -> Result<EventPage> {
        let account = call.account()?;
        let mut lists = match self.cmk_uuid {
            Some(KeyRef::Id(id)) => vec![Event::of_key(account, id)],
            Some(KeyRef::Alias(_)) => vec![Event::of_key(account, call.key()?)],
            None => vec![Event::of_account(Some(account))],
        };
        if let (Principal::User { administrator: true, .. }, None) = (&call.principal, &self.cmk_uuid) {
            lists.push(Event::of_account(None));
        }
        let (after, until) = (self.after()?, self.start_time.map(|Moment(start)| place(start)));
        let limit = self.page_size.map_or(10, Number::size);
        let keep = |event: &Event| self.keeps(event);
        let stretch = app.store.stretch::<Event>(&lists, &after, until.as_deref(), limit, keep)?;
        Ok(EventPage {
            events: stretch.records.into_iter().map(ShownEvent::from).collect(),
            next_cursor: stretch.next.map(hex::encode),
        })
    }
}

/// Tells that a key, or its material, comes to its end. A key that has nothing to warn of any more refuses, and nothing changes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WarnDueKey {
    /// The key.
    pub cmk_uuid: KeyRef,
}

/// The warning.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Warned {
    /// The key.
    pub cmk_uuid: KeyId,
    /// It ends within so many days.
    pub days: u8,
}

impl Operation for WarnDueKey {
    type Output = Warned;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<Warned> {
        // A wall clock that runs ahead would say it too early, and then never again.
        let (id, steady) = (call.key()?, call.time().steady());
        let key = app.keys.get(&id)?.ok_or(Error::KeyNotFound)?;
        let warning = key.warning(steady).ok_or(Error::TransitionNotAllowed)?;
        let event = Event::about(&key, EventId::from_random(app.random()?), call.now, warning.into());
        let mut changes = Changes::default();
        changes.event(&event)?;
        let tell = move |key: &mut Key| {
            if key.warning(steady) != Some(warning) {
                return Err(Error::TransitionNotAllowed);
            }
            key.tell(warning);
            Ok(())
        };
        app.keys.change_with(call, &id, changes, tell).await?.ok_or(Error::KeyNotFound)?;
        Ok(Warned { cmk_uuid: id, days: warning.days })
    }
}

/// Deletes the oldest events whose time is over, a bounded number of them.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeleteExpiredEvents {}

/// What was deleted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeletedEvents {
    /// How many events.
    pub count: usize,
}

impl DeleteExpiredEvents {
    /// Whether there is anything to delete.
    pub fn is_due(app: &App) -> Result<bool> {
        match app.store.time().read().settled() {
            Some(settled) => Ok(!expired(settled, 1, app)?.is_empty()),
            None => Ok(false),
        }
    }
}

/// The oldest events whose time is over.
fn expired(settled: Timestamp, most: usize, app: &App) -> Result<Vec<Event>> {
    let days = match u32::try_from(app.config.events.retention_days) {
        Ok(0) | Err(_) => return Ok(Vec::new()),
        Ok(days) => days,
    };
    let oldest = app.store.page::<Event>(&Event::all(), 0, most)?.records;
    Ok(oldest.into_iter().take_while(|event| event.time < settled.before(DAY * days)).collect())
}

impl Operation for DeleteExpiredEvents {
    type Output = DeletedEvents;

    async fn run(self, call: &Call, app: &App) -> Result<DeletedEvents> {
        let events = expired(call.settled().ok_or(CLOCK_IN_DOUBT)?, DELETED_MAX, app)?;
        let mut changes = Changes::default();
        for event in &events {
            changes.remove(event, Error::internal("an event was deleted twice"))?;
        }
        call.commit(&app.store, changes).await?;
        Ok(DeletedEvents { count: events.len() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_names_of_occurrences() {
        let by = Caller { kind: "USER".into(), name: "one".into(), access_key: None };
        let (at, days) = (Timestamp(0), 3);
        let all = [
            Occurrence::KeyRotated { version: VersionId::from_bytes([1; 16]) },
            Occurrence::MaterialExpiring { at, days },
            Occurrence::MaterialExpired,
            Occurrence::KeyExpiring { at, days },
            Occurrence::KeyDestroyed,
            Occurrence::UseRefused { by: by.clone(), state: "Disabled".into() },
            Occurrence::UseRehearsed { by },
            Occurrence::ClockInDoubt,
            Occurrence::ClockConfirmed,
        ];
        let names = all.map(|what| (EventKind::of(&what), what.number()));
        for (name, (kind, number)) in Occurrence::NAMES.into_iter().zip(names) {
            assert_eq!(serde_json::to_value(kind).unwrap(), name);
            assert_eq!(Occurrence::NAMES[number], name);
        }
    }
}
