//! What one call changes: records, and constraints that span records. Constraints are checked inside the writer's
//! transaction before the first write of the call, because redb cannot roll back one member of a group.

use serde::{Deserialize, Serialize};

use super::time::TimeEdit;
use super::trail::TrailEdit;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::KeyId;
use crate::model::event::Event;
use crate::model::record::{List, Listing, Record};

/// One call's changes. Committed only together with the call's audit record.
#[derive(Default)]
pub struct Changes {
    pub(super) edits: Vec<Edit>,
    pub(super) limits: Vec<Limit>,
    pub(super) token: Option<(TokenKey, Remembered)>,
    pub(super) trail: Option<TrailEdit>,
    /// Keys whose rows in the tables of figures go.
    pub(super) forgotten: Vec<KeyId>,
    /// Numbers of the occurrences that events among the edits tell of.
    pub(super) events: Vec<usize>,
    pub(super) time: Option<TimeEdit>,
}

/// The derived rows of a record.
pub(super) struct Derived {
    pub listings: Vec<Listing>,
    pub due: Option<Timestamp>,
}

pub(super) struct Edit {
    pub row: Vec<u8>,
    pub before: Option<Derived>,
    pub after: Option<(Vec<u8>, Derived)>,
    /// What is wrong when the row is there and should not be, or the other way round; none: a row that is there stays.
    pub conflict: Option<Error>,
}

pub(super) struct Limit {
    pub list: List,
    pub most: u64,
    pub what: &'static str,
}

/// Fingerprint of principal, operation and `clientToken`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenKey(pub [u8; 32]);

/// The first result of a create operation with a `clientToken`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Remembered {
    /// Fingerprint of the request, so that the token cannot fetch the result of another one.
    pub request: [u8; 32],
    /// The result, as JSON.
    pub output: String,
    /// When it is forgotten.
    pub expires: Timestamp,
}

impl Changes {
    /// Adds a new record; `taken` is the error if its id exists.
    pub fn insert<R: Record>(&mut self, record: &R, taken: Error) -> Result<()> {
        self.edit::<R>(None, Some(record), Some(taken))
    }

    /// Adds a record, unless there is one with its id, which then stays as it is.
    pub fn ensure<R: Record>(&mut self, record: &R) -> Result<()> {
        self.edit::<R>(None, Some(record), None)
    }

    /// Writes the new state of a record that exists; `missing` is the error if it is gone.
    pub fn replace<R: Record>(&mut self, before: &R, after: &R, missing: Error) -> Result<()> {
        debug_assert!(R::row(&before.id()) == R::row(&after.id()), "a record keeps its id");
        self.edit(Some(before), Some(after), Some(missing))
    }

    /// Removes a record; `missing` is the error if it is gone already.
    pub fn remove<R: Record>(&mut self, record: &R, missing: Error) -> Result<()> {
        self.edit(Some(record), None, Some(missing))
    }

    /// Demands that a list holds at most `most` records after this call.
    pub fn limit(&mut self, list: List, most: u64, what: &'static str) {
        self.limits.push(Limit { list, most, what });
    }

    /// Takes the rows of a key out of the tables of figures: the key itself goes.
    pub fn forget(&mut self, key: KeyId) {
        self.forgotten.push(key);
    }

    /// Adds an event.
    pub fn event(&mut self, event: &Event) -> Result<()> {
        self.events.push(event.what.number());
        self.insert(event, Error::internal("a random event id exists"))
    }

    /// Remembers the result of a create operation under its token.
    pub fn remember(&mut self, key: TokenKey, first: Remembered) {
        self.token = Some((key, first));
    }

    /// Changes the audit trail itself.
    pub fn trail(&mut self, edit: TrailEdit) {
        self.trail = Some(edit);
    }

    /// Changes the appliance's time.
    pub fn time(&mut self, edit: TimeEdit) {
        self.time = Some(edit);
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
            && self.forgotten.is_empty()
            && self.token.is_none()
            && self.trail.is_none()
            && self.time.is_none()
    }

    fn edit<R: Record>(
        &mut self,
        before: Option<&R>,
        after: Option<&R>,
        conflict: Option<Error>,
    ) -> Result<()> {
        let derived = |record: &R| Derived { listings: record.listings(), due: record.due() };
        let row = before.or(after).map(|record| R::row(&record.id())).unwrap_or_default();
        let after = match after {
            Some(record) => Some((record.encode().map_err(Error::internal)?, derived(record))),
            None => None,
        };
        self.edits.push(Edit { row, before: before.map(derived), after, conflict });
        Ok(())
    }
}

impl Edit {
    /// How many rows more the list has after this edit.
    pub(super) fn adds_to(&self, list: &List) -> u64 {
        let rows = |listings: &[Listing]| listings.iter().filter(|row| row.list == *list).count() as u64;
        let before = self.before.as_ref().map_or(0, |derived| rows(&derived.listings));
        let after = self.after.as_ref().map_or(0, |(_, derived)| rows(&derived.listings));
        after.saturating_sub(before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Timestamp;
    use crate::model::record::Kind;

    /// One record may stand in a list more than once, as a key does with its versions.
    #[test]
    fn a_limit_counts_rows() {
        let (counted, other) = (List::all(Kind::KeyVersion), List::all(Kind::Key));
        let derived = |rows: u8| {
            let row = |list: &List, at: u8| Listing::by_creation(list.clone(), Timestamp(0), &[at]);
            let mut listings = vec![row(&other, 0)];
            listings.extend((0..rows).map(|at| row(&counted, at)));
            Derived { listings, due: None }
        };
        let added = |before: Option<u8>, after: Option<u8>| {
            let (before, after) = (before.map(derived), after.map(|rows| (Vec::new(), derived(rows))));
            let edit = Edit { row: Vec::new(), before, after, conflict: None };
            (edit.adds_to(&counted), edit.adds_to(&other))
        };
        assert_eq!(added(None, Some(1)), (1, 1));
        assert_eq!(added(Some(1), Some(3)), (2, 0));
        assert_eq!(added(Some(3), Some(3)), (0, 0));
        assert_eq!(added(Some(3), None), (0, 0));
    }
}
