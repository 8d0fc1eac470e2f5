//! Use counters: the key versions that calls worked with, folded by the writer into one row per version and commit. Written
//! in the transaction of the audit records, so a use that was acknowledged is counted, exactly once.

use redb::{ReadableTable as _, TableError, WriteTransaction};

use super::Store;
use super::tables::{self, USES};
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{KeyId, VersionId};

/// Length of a row's key: key id ‖ version id.
const ROW_BYTES: usize = 32;
/// Length of a row's value: count ‖ last use.
const VALUE_BYTES: usize = 16;

/// The key versions that one call works with; no operation has more than two.
#[derive(Debug, Clone, Copy, Default)]
pub struct UsedVersions([Option<(KeyId, VersionId)>; 2]);

impl UsedVersions {
    /// Notes a version. A call uses a version once, however often it names it.
    pub fn note(&mut self, key: KeyId, version: VersionId) {
        let used = Some((key, version));
        if self.0.contains(&used) {
            return;
        }
        let place = self.0.iter_mut().find(|place| place.is_none());
        debug_assert!(place.is_some(), "a call works with two key versions at most");
        if let Some(place) = place {
            *place = used;
        }
    }

    /// Whether no version was used.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// The keys whose versions were used, each once.
    pub(super) fn keys(&self) -> impl Iterator<Item = KeyId> {
        let [first, second] = self.0.map(|used| used.map(|(key, _)| key));
        first.into_iter().chain(second.filter(|key| Some(*key) != first))
    }
}

/// How often a key version was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Uses {
    /// Successful calls that worked with it.
    pub count: u64,
    /// The latest of them; none if there was none.
    pub last: Option<Timestamp>,
}

impl Uses {
    fn decode(value: &[u8]) -> Option<Self> {
        let (count, last) = value.split_first_chunk()?;
        let last = Timestamp(i64::from_be_bytes(last.try_into().ok()?));
        Some(Self { count: u64::from_be_bytes(*count), last: Some(last) })
    }
}

impl Store {
    /// How often a key version was used: every acknowledged call is counted.
    pub fn uses(&self, key: KeyId, version: VersionId) -> Result<Uses> {
        self.read(|snapshot| {
            let table = match snapshot.open_table(USES) {
                Ok(table) => table,
                // The first use makes it.
                Err(TableError::TableDoesNotExist(_)) => return Ok(Uses::default()),
                Err(error) => return Err(Error::internal(error)),
            };
            let value = table.get(row(key, version).as_slice()).map_err(Error::internal)?;
            Ok(value.and_then(|value| Uses::decode(value.value())).unwrap_or_default())
        })
    }
}

/// Adds the uses of some calls, each with the time of the call, to the rows of their versions, as long as their keys are there. However many calls used a
/// version, its row is read and written once.
pub(super) fn add<'a>(
    transaction: &WriteTransaction,
    calls: impl Iterator<Item = (&'a UsedVersions, Timestamp)>,
) -> Result<(), redb::Error> {
    let of_call = |(used, at): (&'a UsedVersions, _)| used.0.iter().flatten().map(move |used| (*used, at));
    let mut used: Vec<((KeyId, VersionId), Timestamp)> = calls.flat_map(of_call).collect();
    if used.is_empty() {
        return Ok(());
    }
    // Brings the uses of a version together, the latest one last.
    used.sort_unstable();
    let mut table = transaction.open_table(USES)?;
    for of_version in used.chunk_by(|one, next| one.0 == next.0) {
        let Some(((key, version), latest)) = of_version.last() else { continue };
        let row = row(*key, *version);
        let before = table.get(row.as_slice())?.and_then(|value| Uses::decode(value.value()));
        // A call may end after the key that it worked with was destroyed.
        if before.is_none() && !tables::is_there(transaction, *key)? {
            continue;
        }
        let before = before.unwrap_or_default();
        let count = before.count.saturating_add(of_version.len() as u64);
        let last = before.last.map_or(*latest, |last| last.max(*latest));
        table.insert(row.as_slice(), value(count, last).as_slice())?;
    }
    Ok(())
}

fn row(key: KeyId, version: VersionId) -> [u8; ROW_BYTES] {
    joined(key.as_bytes(), version.as_bytes())
}

fn value(count: u64, last: Timestamp) -> [u8; VALUE_BYTES] {
    joined(&count.to_be_bytes(), &last.0.to_be_bytes())
}

fn joined<const LENGTH: usize>(first: &[u8], second: &[u8]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes.iter_mut().zip(first.iter().chain(second)).for_each(|(to, from)| *to = *from);
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]
mod tests {
    use redb::backends::InMemoryBackend;
    use redb::{Builder, Database, ReadableDatabase as _, ReadableTableMetadata as _};

    use super::*;
    use crate::model::key::Key;
    use crate::model::record::Record as _;

    /// A database with the keys that the tests use.
    fn database() -> Database {
        let database = Builder::new().create_with_backend(InMemoryBackend::new()).unwrap();
        let transaction = database.begin_write().unwrap();
        for number in [10, 20] {
            let mut records = transaction.open_table(tables::RECORDS).unwrap();
            records.insert(Key::row(&version(number).0).as_slice(), [].as_slice()).unwrap();
        }
        transaction.commit().unwrap();
        database
    }

    fn version(number: u8) -> (KeyId, VersionId) {
        (KeyId::from_bytes([number / 10; 16]), VersionId::from_bytes([number; 16]))
    }

    fn used(versions: &[u8]) -> UsedVersions {
        let mut used = UsedVersions::default();
        versions.iter().map(|number| version(*number)).for_each(|(key, version)| used.note(key, version));
        used
    }

    /// Commits one group: what each call used, and when.
    fn commit(database: &Database, group: &[(&[u8], i64)]) {
        let calls: Vec<_> = group.iter().map(|(versions, at)| (used(versions), Timestamp(*at))).collect();
        let transaction = database.begin_write().unwrap();
        add(&transaction, calls.iter().map(|(used, at)| (used, *at))).unwrap();
        transaction.commit().unwrap();
    }

    fn stored(database: &Database, number: u8) -> Option<(u64, i64)> {
        let (key, version) = version(number);
        let table = database.begin_read().unwrap().open_table(USES).unwrap();
        let uses = table.get(row(key, version).as_slice()).unwrap().map(|value| Uses::decode(value.value()));
        uses.map(|uses| uses.unwrap()).map(|uses| (uses.count, uses.last.unwrap().0))
    }

    #[test]
    fn uses_of_a_group_and_of_groups_add_up_for_each_version() {
        let database = database();
        commit(&database, &[(&[10], 5), (&[11, 20], 7), (&[10], 9), (&[], 30), (&[20, 10], 8)]);
        assert_eq!(stored(&database, 10), Some((3, 9)));
        assert_eq!(stored(&database, 11), Some((1, 7)));
        assert_eq!(stored(&database, 20), Some((2, 8)));
        commit(&database, &[(&[20], 40), (&[10], 41)]);
        assert_eq!(stored(&database, 10), Some((4, 41)));
        assert_eq!(stored(&database, 11), Some((1, 7)));
        assert_eq!(stored(&database, 20), Some((3, 40)));
    }

    #[test]
    fn the_last_use_never_goes_back() {
        let database = database();
        commit(&database, &[(&[10], 50)]);
        commit(&database, &[(&[10], 20), (&[10], 10)]);
        assert_eq!(stored(&database, 10), Some((3, 50)));
    }

    #[test]
    fn a_call_uses_a_version_once() {
        let database = database();
        commit(&database, &[(&[10, 10], 1)]);
        assert_eq!(stored(&database, 10), Some((1, 1)));
    }

    #[test]
    fn what_is_forgotten_with_its_key_does_not_come_back() {
        let database = database();
        commit(&database, &[(&[10, 11], 5), (&[20], 6)]);
        let transaction = database.begin_write().unwrap();
        let key = version(10).0;
        transaction.open_table(tables::RECORDS).unwrap().remove(Key::row(&key).as_slice()).unwrap();
        tables::forget(&transaction, key).unwrap();
        transaction.commit().unwrap();
        commit(&database, &[(&[10, 20], 7), (&[11], 8)]);
        assert_eq!([10, 11, 20].map(|number| stored(&database, number)), [None, None, Some((2, 7))]);
    }

    #[test]
    fn a_group_without_uses_makes_no_table() {
        let database = database();
        commit(&database, &[(&[], 1)]);
        let missing = database.begin_read().unwrap().open_table(USES).unwrap_err();
        assert!(matches!(missing, TableError::TableDoesNotExist(_)), "{missing}");
    }

    #[test]
    fn a_group_as_large_as_it_gets_is_one_row_for_each_version() {
        let database = database();
        let group: Vec<(&[u8], i64)> =
            (0..1024).map(|call| (if call % 2 == 0 { [10, 11].as_slice() } else { &[11] }, call)).collect();
        commit(&database, &group);
        assert_eq!(stored(&database, 10), Some((512, 1022)));
        assert_eq!(stored(&database, 11), Some((1024, 1023)));
        assert_eq!(database.begin_read().unwrap().open_table(USES).unwrap().len().unwrap(), 2);
    }

    #[test]
    fn a_row_is_what_the_drawing_says() {
        let (key, version) = (KeyId::from_bytes([1; 16]), VersionId::from_bytes([2; 16]));
        assert_eq!(row(key, version).to_vec(), [[1; 16], [2; 16]].concat());
        assert_eq!(value(3, Timestamp(-2)).to_vec(), [3u64.to_be_bytes(), (-2i64).to_be_bytes()].concat());
        assert_eq!(Uses::decode(&value(3, Timestamp(4))), Some(Uses { count: 3, last: Some(Timestamp(4)) }));
    }
}
