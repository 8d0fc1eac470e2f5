//! Long lists that grow while they are read, a stretch at a time: from a place on rather than by page numbers, and several
//! lists as if they were one.

use super::Store;
use super::tables::{LISTS, RECORDS};
use crate::error::{Error, Result};
use crate::model::record::{List, Record};

/// Rows that one stretch reads at most, so that a filter which finds little keeps nobody waiting.
const ROWS_MAX: usize = 2_000;

/// A part of some lists.
pub struct Stretch<R> {
    /// The records that were wanted.
    pub records: Vec<R>,
    /// The last place that was looked at, if there may be more behind it.
    pub next: Option<Vec<u8>>,
}

impl Store {
    /// Up to `limit` records that `keep` accepts, in the order of their places in these lists: of the places behind `after`, up
    /// to and with those that begin with `until`.
    pub fn stretch<R: Record>(
        &self,
        lists: &[List],
        after: &[u8],
        until: Option<&[u8]>,
        limit: usize,
        keep: impl Fn(&R) -> bool,
    ) -> Result<Stretch<R>> {
        self.read(|snapshot| {
            let table = snapshot.open_table(LISTS).map_err(Error::internal)?;
            let records = snapshot.open_table(RECORDS).map_err(Error::internal)?;
            let mut heads = Vec::with_capacity(lists.len());
            for list in lists {
                let list = list.as_bytes();
                let from = [list, after].concat();
                let rows = table.range(from.as_slice()..).map_err(Error::internal)?;
                let rows = rows.map(move |row| -> Result<Option<(Vec<u8>, Vec<u8>)>> {
                    let (key, value) = row.map_err(Error::internal)?;
                    let place = key.value().strip_prefix(list);
                    Ok(place.map(|place| (place.to_vec(), value.value().to_vec())))
                });
                // A list ends where another one begins.
                heads.push(rows.map(Result::transpose).map_while(|row| row).peekable());
            }
            let mut stretch = Stretch { records: Vec::new(), next: None };
            for _ in 0..ROWS_MAX {
                let place =
                    |head: &Result<(Vec<u8>, Vec<u8>)>| head.as_ref().ok().map(|(place, _)| place.clone());
                // A row that cannot be read comes first, and ends the reading.
                let first = heads.iter_mut().filter_map(|head| Some((head.peek().map(place)?, head)));
                let Some((_, head)) = first.min_by(|one, other| one.0.cmp(&other.0)) else {
                    return Ok(Stretch { next: None, ..stretch });
                };
                let Some(row) = head.next() else { break };
                let (place, row) = row?;
                if place.as_slice() <= after {
                    continue;
                }
                if until.is_some_and(|until| place.as_slice() > until && !place.starts_with(until)) {
                    return Ok(Stretch { next: None, ..stretch });
                }
                stretch.records.extend(self.load::<R>(&records, &row)?.filter(&keep));
                stretch.next = Some(place);
                if stretch.records.len() == limit {
                    break;
                }
            }
            Ok(stretch)
        })
    }
}
