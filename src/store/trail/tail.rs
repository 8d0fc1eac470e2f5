//! The tail of the trail: the newest blocks, in the database, each written in the transaction of the calls it records.
//! What the appliance's own calls change of the trail (checkpoints, blocks that moved on) is written here too.

use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::Block;
use crate::error::{Error, Result};
use crate::model::audit::BlockHeader;
use crate::store::sealer::Sealer;
use crate::store::tables::{AUDIT, CHECKPOINTS, META};

/// Lines of one block may not decompress to more than this.
const LINES_MAX: usize = 16 << 20;
const CHECKPOINTS_NAME: &str = "checkpoints";
/// The row of the table `meta` with the number of the last record that was deleted when its time was over.
const EXPIRED: &str = "expired";

/// What a call changes of the trail itself.
#[derive(Debug)]
pub enum TrailEdit {
    /// A signed checkpoint over everything up to a record.
    Checkpoint {
        /// Number of the last record.
        sequence: u64,
        /// The signed statement.
        line: String,
    },
    /// The records up to a number lie in segment files now.
    Moved(u64),
    /// The records up to a number are deleted: their time is over.
    Expired(u64),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    header: BlockHeader,
    length: usize,
}

/// The value of a block's row.
pub fn seal(sealer: &Sealer, header: &BlockHeader, length: usize, compressed: &[u8]) -> Result<Vec<u8>> {
    let stored = Stored { header: header.clone(), length };
    let mut bytes = postcard::to_stdvec(&stored).map_err(Error::internal)?;
    bytes.extend_from_slice(compressed);
    sealer.seal_row("audit", &header.first.to_be_bytes(), bytes)
}

/// Reads a block's row.
pub fn open(sealer: &Sealer, first: u64, sealed: &[u8]) -> Result<Block> {
    let bytes = sealer.open_row("audit", &first.to_be_bytes(), sealed)?;
    let (stored, compressed) = postcard::take_from_bytes::<Stored>(&bytes).map_err(Error::internal)?;
    if stored.header.first != first || stored.length > LINES_MAX {
        return Err(Error::internal("an audit block is damaged"));
    }
    let lines = zstd::bulk::decompress(compressed, stored.length).map_err(Error::internal)?;
    Ok(Block { header: stored.header, lines: String::from_utf8(lines).map_err(Error::internal)? })
}

/// The checkpoint over everything up to a record.
pub fn checkpoint(
    table: &impl ReadableTable<u64, &'static [u8]>,
    sequence: u64,
    sealer: &Sealer,
) -> Result<Option<String>> {
    let Some(sealed) = table.get(sequence).map_err(Error::internal)? else { return Ok(None) };
    let line = sealer.open_row(CHECKPOINTS_NAME, &sequence.to_be_bytes(), sealed.value())?;
    String::from_utf8(line.to_vec()).map(Some).map_err(Error::internal)
}

/// Number of the last record that was deleted when its time was over; 0 if none was.
pub fn expired(table: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<u64> {
    let value = table.get(EXPIRED).map_err(Error::internal)?;
    Ok(value.and_then(|value| value.value().try_into().ok().map(u64::from_be_bytes)).unwrap_or(0))
}

/// Writes what a call changes of the trail.
pub fn apply(transaction: &WriteTransaction, edit: &TrailEdit, sealer: &Sealer) -> Result<()> {
    match edit {
        TrailEdit::Checkpoint { sequence, line } => {
            let row = sequence.to_be_bytes();
            let sealed = sealer.seal_row(CHECKPOINTS_NAME, &row, line.clone().into_bytes())?;
            let mut table = transaction.open_table(CHECKPOINTS).map_err(Error::internal)?;
            table.insert(sequence, sealed.as_slice()).map_err(Error::internal)?;
        }
        TrailEdit::Moved(last) => {
            let mut blocks = transaction.open_table(AUDIT).map_err(Error::internal)?;
            blocks.retain_in(..=*last, |_, _| false).map_err(Error::internal)?;
            // The newest checkpoint stays, wherever its block lies: a trail that ends before it was cut off.
            let mut checkpoints = transaction.open_table(CHECKPOINTS).map_err(Error::internal)?;
            let newest =
                checkpoints.last().map_err(Error::internal)?.map_or(0, |(sequence, _)| sequence.value());
            checkpoints.retain_in(..newest.min(last + 1), |_, _| false).map_err(Error::internal)?;
        }
        TrailEdit::Expired(last) => {
            let mut meta = transaction.open_table(META).map_err(Error::internal)?;
            meta.insert(EXPIRED, last.to_be_bytes().as_slice()).map_err(Error::internal)?;
        }
    }
    Ok(())
}
