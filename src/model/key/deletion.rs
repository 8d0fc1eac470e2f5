//! The end of a key (contract 4.3, 5.1): protection from it, the window before it, its rehearsal, and the warnings that it
//! comes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Key, KeyState};
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::model::text::{Description, Number};

/// A day.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Days before a key is destroyed, 7 to 30 (contract 5.1, scheduleKeyDeletion).
pub type DeletionDays = Number<7, 30>;

/// What comes to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// The key: it will be destroyed.
    Key,
    /// Its material from outside.
    Material,
}

/// The end that comes, and how many days before it this is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warning {
    /// What ends.
    pub deadline: Deadline,
    /// When.
    pub at: Timestamp,
    /// At most this many days from now.
    pub days: u8,
}

impl Warning {
    /// Days before an end at which it is said.
    const DAYS: [u8; 3] = [7, 3, 1];

    fn due(self) -> Timestamp {
        self.at.before(DAY * u32::from(self.days))
    }
}

/// The last warning that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The end that it spoke of.
    pub at: Timestamp,
    /// See [`Warning::days`].
    pub days: u8,
}

impl Key {
    /// Protects the key from deletion until the protection is taken away; protecting it again changes the reason.
    pub fn protect(&mut self, why: Description) -> Result<()> {
        self.check_own()?;
        self.check_kept()?;
        self.protection = Some(why);
        Ok(())
    }

    /// Takes the protection away; a key without it stays so.
    pub fn unprotect(&mut self) -> Result<()> {
        self.check_own()?;
        self.check_kept()?;
        self.protection = None;
        Ok(())
    }

    /// Has the key destroyed after a window; until then it is of no use, and the deletion can be cancelled.
    pub fn schedule_deletion(&mut self, window: DeletionDays, now: Timestamp) -> Result<()> {
        self.check_own()?;
        match (self.state, &self.protection) {
            (KeyState::PendingDeletion { .. }, _) => Err(Error::TransitionNotAllowed),
            (KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport, Some(_)) => {
                Err(Error::DeletionProtected)
            }
            (KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport, None) => {
                let days = u32::try_from(window.get()).unwrap_or(u32::MAX);
                self.state = KeyState::PendingDeletion { at: now.after(DAY * days) };
                Ok(())
            }
        }
    }

    /// Keeps the key after all: it is usable again, or waits for material. Once the window is over there is no way back.
    pub fn cancel_deletion(&mut self, horizon: Timestamp) -> Result<()> {
        self.check_own()?;
        match self.state {
            KeyState::PendingDeletion { at } if at > horizon => {
                // Material that is over by a clock which may be wrong is not lost: `state_at` tells.
                self.state =
                    if self.versions.is_empty() { KeyState::PendingImport } else { KeyState::Enabled };
                Ok(())
            }
            KeyState::PendingDeletion { .. }
            | KeyState::Enabled
            | KeyState::Disabled
            | KeyState::PendingImport => Err(Error::TransitionNotAllowed),
        }
    }

    /// Whether the window has ended by `settled`, the moment up to which the time is certain.
    pub fn is_over(&self, settled: Timestamp) -> bool {
        match self.state {
            KeyState::PendingDeletion { at } => at <= settled,
            KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => false,
        }
    }

    /// Begins or ends the rehearsal of disabling the key.
    pub fn rehearse(&mut self, on: bool) -> Result<()> {
        self.check_own()?;
        self.check_kept()?;
        self.rehearsal = on;
        Ok(())
    }

    /// The end that comes: of the key, or of its material.
    pub(super) fn end(&self) -> Option<(Deadline, Timestamp)> {
        match self.state {
            KeyState::PendingDeletion { at } => Some((Deadline::Key, at)),
            KeyState::Enabled | KeyState::Disabled => self.import.expires.map(|at| (Deadline::Material, at)),
            KeyState::PendingImport => None,
        }
    }

    /// The warnings about the end that are still to be given, the first one first.
    fn warnings(&self) -> impl Iterator<Item = Warning> {
        let end = self.end();
        let told = self.told.filter(|told| end.is_some_and(|(_, at)| at == told.at)).map(|told| told.days);
        let left = Warning::DAYS.into_iter().filter(move |days| told.is_none_or(|told| *days < told));
        left.filter_map(move |days| end.map(|(deadline, at)| Warning { deadline, at, days }))
    }

    /// When the next warning is to be given.
    pub(super) fn next_warning(&self) -> Option<Timestamp> {
        self.warnings().next().map(Warning::due)
    }

    /// The warning to give now. Of several that are due the last one, which says most; none once the end has come.
    pub fn warning(&self, now: Timestamp) -> Option<Warning> {
        self.warnings().filter(|warning| warning.due() <= now && warning.at > now).last()
    }

    /// Remembers that a warning was given.
    pub fn tell(&mut self, warning: Warning) {
        self.told = Some(Told { at: warning.at, days: warning.days });
    }
}
