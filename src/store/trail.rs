//! Reading the audit trail: blocks as they are stored, searching them newest first, and checking the chain.

use redb::ReadableTable;
use serde::Deserialize;

use super::sealer::Sealer;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::model::audit::{BlockHeader, GENESIS};

/// Records that one search may look at before it hands out a cursor.
const LOOKED_AT_MAX: u64 = 100_000;
/// Lines of one block may not decompress to more than this.
const LINES_MAX: usize = 16 << 20;

/// A block as stored: header, then the compressed lines.
pub(super) struct Block {
    pub header: BlockHeader,
    length: usize,
    compressed: Vec<u8>,
}

#[derive(serde::Serialize, Deserialize)]
struct Stored {
    header: BlockHeader,
    length: usize,
}

/// What to search for; every filter that is set must hold.
pub struct Query<'a> {
    /// Only records with a smaller sequence number.
    pub before: Option<u64>,
    /// Not earlier than this.
    pub from: Option<Timestamp>,
    /// Not later than this.
    pub to: Option<Timestamp>,
    /// How many at most.
    pub limit: usize,
    /// Which lines: given the parsed line, whether it is wanted.
    pub keep: &'a dyn Fn(&serde_json::Map<String, serde_json::Value>) -> bool,
}

/// What a search found.
pub struct Found {
    /// Lines, newest first.
    pub records: Vec<serde_json::Map<String, serde_json::Value>>,
    /// Where to go on; `None` when everything was looked at.
    pub next: Option<u64>,
}

pub(super) fn seal(
    sealer: &Sealer,
    header: &BlockHeader,
    length: usize,
    compressed: &[u8],
) -> Result<Vec<u8>> {
    let stored = Stored { header: header.clone(), length };
    let mut bytes = postcard::to_stdvec(&stored).map_err(Error::internal)?;
    bytes.extend_from_slice(compressed);
    sealer.seal_row("audit", &header.first.to_be_bytes(), bytes)
}

pub(super) fn open(sealer: &Sealer, first: u64, sealed: &[u8]) -> Result<Block> {
    let bytes = sealer.open_row("audit", &first.to_be_bytes(), sealed)?;
    let (stored, compressed) = postcard::take_from_bytes::<Stored>(&bytes).map_err(Error::internal)?;
    if stored.header.first != first || stored.length > LINES_MAX {
        return Err(Error::internal("an audit block is damaged"));
    }
    Ok(Block { header: stored.header, length: stored.length, compressed: compressed.to_vec() })
}

impl Block {
    fn lines(&self) -> Result<String> {
        let bytes = zstd::bulk::decompress(&self.compressed, self.length).map_err(Error::internal)?;
        String::from_utf8(bytes).map_err(Error::internal)
    }
}

pub(super) fn search(
    table: &impl ReadableTable<u64, &'static [u8]>,
    sealer: &Sealer,
    query: &Query<'_>,
) -> Result<Found> {
    let before = query.before.unwrap_or(u64::MAX);
    let mut records = Vec::new();
    let mut looked_at = 0;
    for row in table.range(..before).map_err(Error::internal)?.rev() {
        let (key, sealed) = row.map_err(Error::internal)?;
        let block = open(sealer, key.value(), sealed.value())?;
        if query.to.is_some_and(|to| block.header.earliest.seconds() > to.seconds())
            || query.from.is_some_and(|from| block.header.latest < from)
        {
            continue;
        }
        let lines = block.lines()?;
        let numbered = lines.lines().zip(block.header.first..).collect::<Vec<_>>();
        for (line, sequence) in numbered.into_iter().rev().filter(|(_, sequence)| *sequence < before) {
            looked_at += 1;
            let record: serde_json::Map<_, _> = serde_json::from_str(line).map_err(Error::internal)?;
            if in_time(&record, query) && (query.keep)(&record) {
                records.push(record);
            }
            if records.len() == query.limit || looked_at >= LOOKED_AT_MAX {
                return Ok(Found { records, next: (sequence > 1).then_some(sequence) });
            }
        }
    }
    Ok(Found { records, next: None })
}

/// Whether a record's time is within the query's; times of one form compare as texts.
fn in_time(record: &serde_json::Map<String, serde_json::Value>, query: &Query<'_>) -> bool {
    let time = record.get("time").and_then(serde_json::Value::as_str).unwrap_or_default();
    query.from.is_none_or(|from| time >= from.to_string().as_str())
        && query.to.is_none_or(|to| time <= to.to_string().as_str())
}

pub(super) fn verify(table: &impl ReadableTable<u64, &'static [u8]>, sealer: &Sealer) -> Result<u64> {
    let (mut previous, mut next) = (GENESIS, 1);
    for row in table.iter().map_err(Error::internal)? {
        let (key, sealed) = row.map_err(Error::internal)?;
        let block = open(sealer, key.value(), sealed.value())?;
        if block.header.first != next || !block.header.covers(&previous, block.lines()?.lines()) {
            return Err(Error::internal(format!("the audit chain is broken at record {next}")));
        }
        previous = block.header.hash();
        next += u64::from(block.header.count);
    }
    Ok(next - 1)
}
