//! What is due and when: rows that the store derives from records, in the order of their moments.

use std::ops::Bound;

use super::Store;
use super::tables::{self, DUE};
use crate::env::Timestamp;
use crate::error::{Error, Result};

/// What cron finds due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Since when.
    pub at: Timestamp,
    /// What kind of record.
    pub kind: u8,
    /// The id's bytes.
    pub id: Vec<u8>,
}

impl Store {
    /// What is due at `now`, earliest first, from the one behind `after` on.
    pub fn due(&self, now: Timestamp, after: Option<&Due>, limit: usize) -> Result<Vec<Due>> {
        let start =
            after.map(|after| tables::due_key(after.at, &[&[after.kind], after.id.as_slice()].concat()));
        let start = start.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let end = tables::due_key(Timestamp(now.0.saturating_add(1)), &[]);
        self.due_rows((start, Bound::Excluded(&end)), limit)
    }

    /// The first moment after `now` at which something is due.
    pub fn next_due(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let start = tables::due_key(Timestamp(now.0.saturating_add(1)), &[]);
        let next = self.due_rows((Bound::Included(&start), Bound::Unbounded), 1)?;
        Ok(next.first().map(|due| due.at))
    }

    fn due_rows(&self, range: (Bound<&[u8]>, Bound<&[u8]>), limit: usize) -> Result<Vec<Due>> {
        self.read(|snapshot| {
            let table = snapshot.open_table(DUE).map_err(Error::internal)?;
            let mut due = Vec::new();
            for row in table.range::<&[u8]>(range).map_err(Error::internal)?.take(limit) {
                let (key, _) = row.map_err(Error::internal)?;
                due.extend(tables::read_due(key.value()));
            }
            Ok(due)
        })
    }
}
