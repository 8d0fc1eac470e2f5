//! Counts of attempts: who would use a key that is disabled or pending deletion, or uses one whose disabling is rehearsed,
//! folded by the writer into one row per key, outcome and caller. Written in the transaction of the audit records, so an
//! attempt that was answered is counted, exactly once, and told of at most once a day.

use redb::{ReadableTable as _, TableError, WriteTransaction};
use sm3::{Digest as _, Sm3};

use super::Store;
use super::changes::Changes;
use super::entry::Entry;
use super::sealer::Sealer;
use super::tables::{self, ATTEMPTS, ATTEMPTS_NAME};
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::KeyId;
use crate::model::attempt::{Attempt, Attempts, Outcome};
use crate::model::principal::Caller;

/// Callers of one key that have a row of their own for each outcome; whoever comes later is counted with the others.
const CALLERS_MAX: usize = 100;
/// Length of a row's key: key id ‖ outcome ‖ fingerprint of the caller.
const ROW_BYTES: usize = 33;
/// Version of a row's body.
const VERSION: u8 = 1;
/// The place of the fingerprint in the row of all others.
const OTHERS: [u8; 16] = [0xFF; 16];

type Row = [u8; ROW_BYTES];
type Table<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// What the attempts of a group came to.
#[derive(Default)]
pub(super) struct Counted {
    /// How many, by the number of their outcome.
    pub outcomes: [u64; Outcome::NAMES.len()],
    /// The events that tell of them.
    pub events: Changes,
}

/// One attempt of a group.
struct Noted<'a> {
    row: Row,
    at: Timestamp,
    attempt: &'a Attempt,
    caller: Caller,
}

impl Store {
    /// The attempts on a key by caller and outcome, the latest first.
    pub fn attempts(&self, key: KeyId) -> Result<Vec<Attempts>> {
        self.read(|snapshot| {
            let table = match snapshot.open_table(ATTEMPTS) {
                Ok(table) => table,
                // The first attempt makes it.
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(Error::internal(error)),
            };
            let rows = tables::starting_with(&table, key.as_bytes()).map_err(Error::internal)?;
            let read = |row: redb::Result<_, _>| {
                let (row, sealed): (redb::AccessGuard<'_, &[u8]>, redb::AccessGuard<'_, &[u8]>) =
                    row.map_err(Error::internal)?;
                open(&self.inner.sealer, row.value(), sealed.value())
            };
            let mut attempts = rows.map(read).collect::<Result<Vec<Attempts>>>()?;
            attempts.sort_by_key(|attempts| std::cmp::Reverse(attempts.last));
            Ok(attempts)
        })
    }
}

/// Counts the attempts of some calls, each with how it ended. However many calls a caller made, its row is read and written
/// once. What came to a key that is gone counts no more.
pub(super) fn add<'a>(
    transaction: &WriteTransaction,
    sealer: &Sealer,
    calls: impl Iterator<Item = (&'a Entry, Option<&'a Error>)>,
) -> Result<Counted> {
    let mut noted: Vec<Noted<'_>> = calls.flat_map(noted).collect();
    let mut counted = Counted::default();
    if noted.is_empty() {
        return Ok(counted);
    }
    // Brings the attempts of a caller together, the earliest first.
    noted.sort_unstable_by_key(|noted| (noted.row, noted.at));
    let mut table = transaction.open_table(ATTEMPTS).map_err(Error::internal)?;
    for of_caller in noted.chunk_by(|one, next| one.row == next.row) {
        let Some(first) = of_caller.first() else { continue };
        let (row, mut attempts) = match read(&table, sealer, &first.row)? {
            Some(attempts) => (first.row, attempts),
            None if tables::is_there(transaction, first.attempt.key).map_err(Error::internal)? => {
                new_place(&table, sealer, first)?
            }
            None => continue,
        };
        for noted in of_caller {
            if let Some(outcomes) = counted.outcomes.get_mut(usize::from(attempts.outcome.number())) {
                *outcomes += 1;
            }
            if attempts.add(noted.at) {
                counted.events.event(&noted.attempt.event(noted.caller.clone(), noted.at))?;
            }
        }
        let sealed = sealer.seal_row(ATTEMPTS_NAME, &row, encode(&attempts)?)?;
        table.insert(row.as_slice(), sealed.as_slice()).map_err(Error::internal)?;
    }
    Ok(counted)
}

/// The attempts of a call that count.
fn noted<'a>((entry, failure): (&'a Entry, Option<&'a Error>)) -> impl Iterator<Item = Noted<'a>> {
    entry.attempts.iter().filter(move |attempt| attempt.counts(failure)).map(|attempt| {
        let draft = &entry.draft;
        let (kind, name) = (draft.principal_type.into(), draft.user_name.clone());
        let caller = Caller { kind, name, access_key: draft.access_key };
        Noted {
            row: row(attempt.key, attempt.outcome, &fingerprint(&caller)),
            at: draft.time,
            attempt,
            caller,
        }
    })
}

/// The row of a caller who has none yet: an empty one, or that of the others when all places are taken.
fn new_place(table: &Table<'_>, sealer: &Sealer, noted: &Noted<'_>) -> Result<(Row, Attempts)> {
    let Attempt { key, outcome, .. } = *noted.attempt;
    let others = row(key, outcome, &OTHERS);
    let start = others.get(..ROW_BYTES - OTHERS.len()).unwrap_or_default();
    let taken = tables::starting_with(table, start).map_err(Error::internal)?.take(CALLERS_MAX).count();
    if taken < CALLERS_MAX {
        return Ok((noted.row, Attempts::none(Some(noted.caller.clone()), outcome, noted.at)));
    }
    let attempts = read(table, sealer, &others)?;
    Ok((others, attempts.unwrap_or_else(|| Attempts::none(None, outcome, noted.at))))
}

fn read(table: &Table<'_>, sealer: &Sealer, row: &Row) -> Result<Option<Attempts>> {
    let sealed = table.get(row.as_slice()).map_err(Error::internal)?;
    sealed.map(|sealed| open(sealer, row, sealed.value())).transpose()
}

fn row(key: KeyId, outcome: Outcome, fingerprint: &[u8; 16]) -> Row {
    let (mut row, outcome) = ([0; ROW_BYTES], [outcome.number()]);
    let bytes = key.as_bytes().iter().chain(&outcome).chain(fingerprint);
    row.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    row
}

/// Tells callers apart; the access key in it is random.
fn fingerprint(caller: &Caller) -> [u8; 16] {
    let mut hash = Sm3::new();
    for part in [caller.kind.as_bytes(), caller.name.as_bytes()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    if let Some(access_key) = &caller.access_key {
        hash.update(access_key.as_bytes());
    }
    let mut fingerprint = [0; 16];
    fingerprint.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    fingerprint
}

fn encode(attempts: &Attempts) -> Result<Vec<u8>> {
    postcard::to_extend(attempts, vec![VERSION]).map_err(Error::internal)
}

fn open(sealer: &Sealer, row: &[u8], sealed: &[u8]) -> Result<Attempts> {
    let stored = sealer.open_row(ATTEMPTS_NAME, row, sealed)?;
    match stored.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).map_err(Error::internal),
        Some(_) | None => Err(Error::internal("stored attempts cannot be read; their version is unknown")),
    }
}
