//! Associations: what cloud products work for with a key, folded by the writer into one row for each key, product and
//! resource. Written in the transaction of the audit records, so what a product was answered stands here. Rows begin with the
//! id of their key.

use redb::{ReadableTable as _, Table, TableError, WriteTransaction};
use sm3::{Digest as _, Sm3};

use super::Store;
use super::entry::Entry;
use super::sealer::Sealer;
use super::tables::{self, ASSOCIATIONS, ASSOCIATIONS_NAME};
use crate::error::{Error, Result};
use crate::ids::KeyId;
use crate::model::association::{Association, ProductUse};

/// Resources of one product with one key that are remembered. When one more comes, those that were used longest ago go.
const RESOURCES_MAX: u64 = 1000;
/// How many of them go at once, because all have to be read to find them.
const FORGOTTEN_AT_ONCE: usize = 100;
/// Length of the row of a product's number of resources: key id ‖ product.
const GROUP_BYTES: usize = 17;

type Rows<'t> = Table<'t, &'static [u8], &'static [u8]>;

impl Store {
    /// What cloud products work for with a key, the latest use first.
    pub fn associations(&self, key: KeyId) -> Result<Vec<Association>> {
        let mut found: Vec<Association> = self.read(|snapshot| {
            let table = match snapshot.open_table(ASSOCIATIONS) {
                Ok(table) => table,
                // The first association makes it.
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(Error::internal(error)),
            };
            let mut found = Vec::new();
            for row in tables::starting_with(&table, key.as_bytes()).map_err(Error::internal)? {
                let (row, value) = row.map_err(Error::internal)?;
                if row.value().len() > GROUP_BYTES {
                    found.push(open(&self.inner.sealer, row.value(), value.value())?);
                }
            }
            Ok(found)
        })?;
        let order = |it: &Association| (std::cmp::Reverse(it.last), it.product, it.resource.clone());
        found.sort_by_cached_key(order);
        Ok(found)
    }
}

/// Adds what products did in some calls that succeeded. A key that is gone by now keeps nothing.
pub(super) fn add<'a>(
    transaction: &WriteTransaction,
    sealer: &Sealer,
    calls: impl Iterator<Item = &'a Entry>,
) -> Result<()> {
    let mut uses = Vec::new();
    for entry in calls {
        let Some(product) = &entry.product else { continue };
        uses.extend(entry.uses.keys().map(|key| (row(key, product), key, &**product, entry.draft.time)));
    }
    if uses.is_empty() {
        return Ok(());
    }
    // Brings the uses of a row together, the latest one last.
    uses.sort_by(|one, other| (&one.0, one.3).cmp(&(&other.0, other.3)));
    let mut rows = transaction.open_table(ASSOCIATIONS).map_err(Error::internal)?;
    for of_row in uses.chunk_by(|one, next| one.0 == next.0) {
        let Some((row, key, first, at)) = of_row.first() else { continue };
        if !tables::is_there(transaction, *key).map_err(Error::internal)? {
            continue;
        }
        let stored = rows.get(row.as_slice()).map_err(Error::internal)?;
        let stored = stored.map(|value| open(sealer, row, value.value())).transpose()?;
        if stored.is_none() {
            make_room(&mut rows, row, sealer)?;
        }
        let mut association =
            stored.unwrap_or_else(|| Association::new(first.product, first.resource.clone(), *at));
        of_row.iter().for_each(|(.., used, at)| association.add(&used.resource.name, *at));
        let sealed = association.encode().map_err(Error::internal)?;
        let sealed = sealer.seal_row(ASSOCIATIONS_NAME, row, sealed)?;
        rows.insert(row.as_slice(), sealed.as_slice()).map_err(Error::internal)?;
    }
    Ok(())
}

/// Counts one more resource of the row's product, and forgets others if there are too many.
fn make_room(rows: &mut Rows<'_>, row: &[u8], sealer: &Sealer) -> Result<()> {
    let group = row.get(..GROUP_BYTES).unwrap_or_default();
    let mut count = tables::count(rows, group).map_err(Error::internal)?;
    if count >= RESOURCES_MAX {
        let mut last = Vec::new();
        for known in tables::starting_with(rows, group).map_err(Error::internal)? {
            let (known, value) = known.map_err(Error::internal)?;
            if known.value().len() > GROUP_BYTES {
                last.push((open(sealer, known.value(), value.value())?.last, known.value().to_vec()));
            }
        }
        last.sort_unstable();
        for (_, oldest) in last.iter().take(FORGOTTEN_AT_ONCE) {
            rows.remove(oldest.as_slice()).map_err(Error::internal)?;
            count -= 1;
        }
    }
    let count = (count + 1).to_be_bytes();
    rows.insert(group, count.as_slice()).map_err(Error::internal)?;
    Ok(())
}

/// Key id ‖ product ‖ hash of the resource's id: what products call their resources is for nobody who holds the file.
fn row(key: KeyId, used: &ProductUse) -> Vec<u8> {
    let hash: [u8; 32] = Sm3::digest(used.resource.id.as_str()).into();
    [key.as_bytes().as_slice(), &[used.product.number()], &hash].concat()
}

fn open(sealer: &Sealer, row: &[u8], sealed: &[u8]) -> Result<Association> {
    let stored = sealer.open_row(ASSOCIATIONS_NAME, row, sealed)?;
    Association::decode(&stored).ok_or_else(|| Error::internal("an association cannot be read"))
}
