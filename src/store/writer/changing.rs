//! The tables that calls with changes touch: a call's constraints are checked before its first write, because redb cannot roll
//! back one member of a group.

use redb::{ReadableTable as _, Table, WriteTransaction};

use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::model::record::Listing;
use crate::store::changes::{Changes, Edit, Remembered, TokenKey};
use crate::store::sealer::Sealer;
use crate::store::tables::{self, COUNTS, DUE, EXPIRY, LISTS, RECORDS, RECORDS_NAME, TOKENS, TOKENS_NAME};

type BytesTable<'t> = Table<'t, &'static [u8], &'static [u8]>;

/// The tables that calls with changes touch.
pub(super) struct Tables<'t> {
    records: BytesTable<'t>,
    lists: BytesTable<'t>,
    counts: BytesTable<'t>,
    due: BytesTable<'t>,
    tokens: BytesTable<'t>,
    expiry: BytesTable<'t>,
}

impl<'t> Tables<'t> {
    pub fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::TableError> {
        Ok(Self {
            records: transaction.open_table(RECORDS)?,
            lists: transaction.open_table(LISTS)?,
            counts: transaction.open_table(COUNTS)?,
            due: transaction.open_table(DUE)?,
            tokens: transaction.open_table(TOKENS)?,
            expiry: transaction.open_table(EXPIRY)?,
        })
    }

    /// The outer error is a failure of the store, the inner one the refusal of this call.
    pub fn check(&self, changes: &Changes, sealer: &Sealer, now: Timestamp) -> Result<Result<()>> {
        if let Some((key, _)) = &changes.token
            && let Some(earlier) = self.token(key, sealer)?
            && earlier.expires > now
        {
            return Ok(Err(Error::Unavailable("a call with the same clientToken just finished; retry")));
        }
        for edit in &changes.edits {
            let Some(conflict) = &edit.conflict else { continue };
            if self.exists(edit)? != edit.before.is_some() {
                return Ok(Err(conflict.clone()));
            }
            if !self.stands_as_read(edit).map_err(Error::internal)? {
                return Ok(Err(Error::Unavailable("another call just changed the same record; retry")));
            }
        }
        for limit in &changes.limits {
            let count = tables::count(&self.counts, limit.list.as_bytes()).map_err(Error::internal)?;
            let added: u64 = changes.edits.iter().map(|edit| edit.adds_to(&limit.list)).sum();
            if count + added > limit.most {
                return Ok(Err(Error::LimitExceeded(limit.what, limit.most)));
            }
        }
        Ok(Ok(()))
    }

    /// Whether a record stands in the lists that it stood in when the call read it. A record without a keeper may have been
    /// moved meanwhile, and its lists would fall out of step.
    fn stands_as_read(&self, edit: &Edit) -> Result<bool, redb::StorageError> {
        for Listing { list, place } in edit.before.iter().flat_map(|derived| &derived.listings) {
            if self.lists.get([list.as_bytes(), place].concat().as_slice())?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn token(&self, key: &TokenKey, sealer: &Sealer) -> Result<Option<Remembered>> {
        let Some(sealed) = self.tokens.get(key.0.as_slice()).map_err(Error::internal)? else {
            return Ok(None);
        };
        let stored = sealer.open_row(TOKENS_NAME, &key.0, sealed.value())?;
        postcard::from_bytes(&stored).map(Some).map_err(Error::internal)
    }

    fn exists(&self, edit: &Edit) -> Result<bool> {
        Ok(self.records.get(edit.row.as_slice()).map_err(Error::internal)?.is_some())
    }

    pub fn apply(&mut self, changes: &Changes, sealer: &Sealer) -> Result<()> {
        for edit in &changes.edits {
            if edit.conflict.is_none() && self.exists(edit)? {
                continue;
            }
            match &edit.after {
                Some((stored, _)) => {
                    let sealed = sealer.seal_row(RECORDS_NAME, &edit.row, stored.clone())?;
                    self.records.insert(edit.row.as_slice(), sealed.as_slice()).map_err(Error::internal)?;
                }
                None => {
                    self.records.remove(edit.row.as_slice()).map_err(Error::internal)?;
                }
            }
            self.derive(edit).map_err(Error::internal)?;
        }
        if let Some((key, first)) = &changes.token {
            let earlier = self.token(key, sealer)?;
            let stored = postcard::to_stdvec(first).map_err(Error::internal)?;
            let sealed = sealer.seal_row(TOKENS_NAME, &key.0, stored)?;
            self.tokens.insert(key.0.as_slice(), sealed.as_slice()).map_err(Error::internal)?;
            let expiry = |at: Timestamp| [at.0.to_be_bytes().as_slice(), &key.0].concat();
            if let Some(earlier) = earlier {
                self.expiry.remove(expiry(earlier.expires).as_slice()).map_err(Error::internal)?;
            }
            self.expiry.insert(expiry(first.expires).as_slice(), [].as_slice()).map_err(Error::internal)?;
        }
        Ok(())
    }

    /// Brings lists, counts and due rows in step with a record.
    fn derive(&mut self, edit: &Edit) -> Result<(), redb::StorageError> {
        let empty: &[Listing] = &[];
        let before = edit.before.as_ref().map_or(empty, |derived| &derived.listings);
        let after = edit.after.as_ref().map_or(empty, |(_, derived)| &derived.listings);
        for (gone, list) in before.iter().filter(|row| !after.contains(row)).map(|row| (row, &row.list)) {
            self.lists.remove([list.as_bytes(), &gone.place].concat().as_slice())?;
            let count = tables::count(&self.counts, list.as_bytes())?.saturating_sub(1);
            self.counts.insert(list.as_bytes(), count.to_be_bytes().as_slice())?;
        }
        for (new, list) in after.iter().filter(|row| !before.contains(row)).map(|row| (row, &row.list)) {
            self.lists.insert([list.as_bytes(), &new.place].concat().as_slice(), edit.row.as_slice())?;
            let count = tables::count(&self.counts, list.as_bytes())? + 1;
            self.counts.insert(list.as_bytes(), count.to_be_bytes().as_slice())?;
        }
        let due_before = edit.before.as_ref().and_then(|derived| derived.due);
        let due_after = edit.after.as_ref().and_then(|(_, derived)| derived.due);
        if due_before != due_after {
            if let Some(at) = due_before {
                self.due.remove(tables::due_key(at, &edit.row).as_slice())?;
            }
            if let Some(at) = due_after {
                self.due.insert(tables::due_key(at, &edit.row).as_slice(), [].as_slice())?;
            }
        }
        Ok(())
    }
}
