//! Attempts: calls that found a key disabled or pending deletion, and uses of a key whose disabling is rehearsed. They tell
//! who would break, counted for each caller.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::error::Error;
use crate::ids::{AccountId, EventId, InstanceId, KeyId};
use crate::model::event::{Event, Occurrence};
use crate::model::key::Key;
use crate::model::principal::Caller;

/// At most one event in this time about the attempts of a caller.
const QUIET: Duration = Duration::from_secs(24 * 3600);

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "AttemptOutcome")]
pub enum Outcome {
    /// It was refused, because the key is disabled or pending deletion.
    Refused,
    /// It went through, because disabling the key is only rehearsed.
    Rehearsed,
}

impl Outcome {
    /// Names on the wire.
    pub const NAMES: [&'static str; 2] = ["refused", "rehearsed"];

    /// Its place among [`Self::NAMES`].
    pub fn number(self) -> u8 {
        match self {
            Self::Refused => 0,
            Self::Rehearsed => 1,
        }
    }
}

/// What a call notes of an attempt; it counts if the call ends that way.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// The key.
    pub key: KeyId,
    /// How the attempt ends.
    pub outcome: Outcome,
    account: AccountId,
    instance: Option<InstanceId>,
    state: &'static str,
    event: EventId,
}

impl Attempt {
    /// An attempt on a key as it is now; `event` is the id of the event, should there be one.
    pub fn on(key: &Key, outcome: Outcome, now: Timestamp, event: EventId) -> Self {
        let (account, instance) = (key.account, key.owner.service());
        Self { key: key.id, outcome, account, instance, state: key.state_at(now).wire_name(), event }
    }

    /// Whether it counts in a call that ended so.
    pub fn counts(&self, failure: Option<&Error>) -> bool {
        match self.outcome {
            Outcome::Refused => matches!(failure, Some(Error::KeyDisabled | Error::KeyPendingDeletion)),
            Outcome::Rehearsed => failure.is_none(),
        }
    }

    /// The event that tells of it.
    pub fn event(&self, by: Caller, time: Timestamp) -> Event {
        let what = match self.outcome {
            Outcome::Refused => Occurrence::UseRefused { by, state: self.state.into() },
            Outcome::Rehearsed => Occurrence::UseRehearsed { by },
        };
        let (account, key) = (Some(self.account), Some(self.key));
        Event { id: self.event, account, instance: self.instance, key, time, what }
    }
}

/// The attempts of one caller on one key with one outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// Who; none: all callers together that found no place of their own.
    pub caller: Option<Caller>,
    /// How they ended.
    pub outcome: Outcome,
    /// How many.
    pub count: u64,
    /// The earliest of them.
    pub first: Timestamp,
    /// The latest of them.
    pub last: Timestamp,
    told: Option<Timestamp>,
}

impl Attempts {
    /// No attempts yet; the first one comes at `at`.
    pub fn none(caller: Option<Caller>, outcome: Outcome, at: Timestamp) -> Self {
        Self { caller, outcome, count: 0, first: at, last: at, told: None }
    }

    /// Counts one more. Answers whether it is to be told: the first one is, and then one a day, whatever the clock does.
    pub fn add(&mut self, at: Timestamp) -> bool {
        self.count = self.count.saturating_add(1);
        self.first = self.first.min(at);
        self.last = self.last.max(at);
        let tell = self.told.is_none_or(|told| at.since(told).max(told.since(at)) >= QUIET);
        if tell {
            self.told = Some(at);
        }
        tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    #[test]
    fn one_a_day_is_told_whatever_the_clock_does() {
        let mut attempts = Attempts::none(None, Outcome::Refused, Timestamp::from_seconds(0));
        for (hours, told) in [
            (0, true),
            (0, false),
            (23, false),
            (24, true),
            (23, false),
            (47, false),
            (1, false),
            (0, true),
            (23, false),
        ] {
            assert_eq!(attempts.add(Timestamp::from_seconds(hours * HOUR)), told, "{hours}");
        }
        let (first, last) = (Timestamp::from_seconds(0), Timestamp::from_seconds(47 * HOUR));
        assert_eq!((attempts.count, attempts.first, attempts.last), (9, first, last));
    }

    #[test]
    fn an_attempt_counts_only_in_a_call_that_ended_so() {
        let attempt = |outcome| Attempt {
            key: KeyId::from_bytes([1; 16]),
            outcome,
            account: AccountId::from_bytes([2; 16]),
            instance: None,
            state: "Disabled",
            event: EventId::from_bytes([3; 16]),
        };
        for (failure, refused, rehearsed) in [
            (None, false, true),
            (Some(Error::KeyDisabled), true, false),
            (Some(Error::KeyPendingDeletion), true, false),
            (Some(Error::KeyPendingImport), false, false),
            (Some(Error::InvalidCiphertext), false, false),
        ] {
            assert_eq!(attempt(Outcome::Refused).counts(failure.as_ref()), refused, "{failure:?}");
            assert_eq!(attempt(Outcome::Rehearsed).counts(failure.as_ref()), rehearsed, "{failure:?}");
        }
    }

    #[test]
    fn numbers_and_names_are_those_of_the_wire() {
        for outcome in [Outcome::Refused, Outcome::Rehearsed] {
            let name = Outcome::NAMES[usize::from(outcome.number())];
            assert_eq!(serde_json::to_value(outcome).unwrap(), name);
        }
    }
}
