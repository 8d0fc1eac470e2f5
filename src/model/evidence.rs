//! An export of audit records with everything that proves it: blocks with their hash trees, what is withheld as hashes,
//! checkpoints, and a signed end. It is text, one JSON value in a line; a verifier needs it and the device's public key.
//!
//! ```text
//! {"evidence":{"version":1,"installation":"…","publicKey":"…"}}     first line; the key is a hint, not to be trusted
//! {"block":{"first":1,"count":3,"earliest":…,"latest":…,"previous":"…","root":"…"}}
//! {"sequence":1,…}                                                  a record, exactly as hashed
//! {"withheld":{"count":2,"hash":"…"}}                               a subtree of records that are not shown
//! {"checkpoint":{"statement":"…","signatures":[…]}}                 stands behind the block that it signs
//! {"end":{"statement":"…","signatures":[…]}}                        last line: nothing is missing from first to last
//! ```
//!
//! The tree over n records has its left subtree over the largest power of two below n. So whoever reads a block of n
//! records reads either a withheld subtree of n, or a record if n is 1, or both subtrees.

mod verifier;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::env::Timestamp;
use crate::model::audit::{BlockHeader, Hash, record_hash, tree_root};
use crate::model::checkpoint::Signed;
pub use verifier::{Flaw, Heads, Verdict, verify};

/// Version of this form.
const VERSION: u32 = 1;

/// A line that is not a record.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
enum Line {
    Evidence(Opening),
    Block(BlockLine),
    Withheld(Withheld),
    Checkpoint(Signed),
    End(Signed),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Opening {
    version: u32,
    installation: Uuid,
    public_key: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockLine {
    first: u64,
    count: u32,
    earliest: Timestamp,
    latest: Timestamp,
    previous: String,
    root: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Withheld {
    count: u32,
    hash: String,
}

impl BlockLine {
    fn new(header: &BlockHeader) -> Self {
        let BlockHeader { first, count, earliest, latest, previous, root } = header;
        let (previous, root) = (hex::encode(previous), hex::encode(root));
        Self { first: *first, count: *count, earliest: *earliest, latest: *latest, previous, root }
    }

    fn header(&self) -> Option<BlockHeader> {
        Some(BlockHeader {
            first: self.first,
            count: self.count,
            earliest: self.earliest,
            latest: self.latest,
            previous: read_hash(&self.previous)?,
            root: read_hash(&self.root)?,
        })
    }
}

/// One spelling only: lower-case hexadecimal.
fn read_hash(text: &str) -> Option<Hash> {
    let hash: Hash = hex::decode(text).ok()?.try_into().ok()?;
    (hex::encode(hash) == text).then_some(hash)
}

/// Records of the left subtree over `count` records, of which there are two at least.
fn left(count: usize) -> usize {
    count.next_power_of_two() / 2
}

/// Writes the first line.
pub fn write_opening(out: &mut String, installation: &[u8; 16], public_key: String) {
    let installation = Uuid::from_bytes(*installation);
    push(out, &Line::Evidence(Opening { version: VERSION, installation, public_key }));
}

/// Writes a block; shows the records that `shows` accepts and withholds the others. Returns how many are shown.
pub fn write_block(
    out: &mut String,
    header: &BlockHeader,
    lines: &[&str],
    shows: impl Fn(&str) -> bool,
) -> u64 {
    push(out, &Line::Block(BlockLine::new(header)));
    let shown: Vec<bool> = lines.iter().map(|line| shows(line)).collect();
    write_subtree(out, lines, &shown);
    shown.into_iter().filter(|shown| *shown).count() as u64
}

fn write_subtree(out: &mut String, lines: &[&str], shown: &[bool]) {
    match lines {
        [] => {}
        [line] if shown == [true] => {
            out.push_str(line);
            out.push('\n');
        }
        lines if !shown.contains(&true) => {
            let hashes = lines.iter().map(|line| record_hash(line.as_bytes())).collect();
            let count = u32::try_from(lines.len()).expect("a block has at most as many records as a commit");
            push(out, &Line::Withheld(Withheld { count, hash: hex::encode(tree_root(hashes)) }));
        }
        lines => {
            let (left_lines, right_lines) = lines.split_at(left(lines.len()));
            let (left_shown, right_shown) = shown.split_at(left(lines.len()));
            write_subtree(out, left_lines, left_shown);
            write_subtree(out, right_lines, right_shown);
        }
    }
}

/// Writes a checkpoint over everything up to the block before it.
pub fn write_checkpoint(out: &mut String, signed: Signed) {
    push(out, &Line::Checkpoint(signed));
}

/// Writes the last line.
pub fn write_end(out: &mut String, signed: Signed) {
    push(out, &Line::End(signed));
}

fn push(out: &mut String, line: &Line) {
    out.push_str(&serde_json::to_string(line).expect("a line has string keys and plain values"));
    out.push('\n');
}
