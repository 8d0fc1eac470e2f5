//! Checks an export line by line, in constant memory: every record against its block's tree, every block against the
//! chain, every checkpoint and the end against the device's public key. What it reads comes from a stranger.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use serde_json::Value;
use uuid::Uuid;

use super::{Line, VERSION, left, read_hash};
use crate::model::audit::{Hash, node_hash, record_hash};
use crate::model::checkpoint::{PublicKey, Signed, Statement};

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Most records of a block.
const BLOCK_RECORDS_MAX: u32 = 1 << 20;

/// What is wrong with an export.
#[derive(Debug)]
pub struct Flaw {
    /// In which line, from 1.
    pub line: u64,
    /// What; a sentence without its end.
    pub what: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Flaw {}

/// What a sound export holds.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Whose trail it is.
    pub installation: Uuid,
    /// Number of the first record.
    pub first: u64,
    /// Number of the last record.
    pub last: u64,
    /// Records that are shown; the others are there as hashes.
    pub shown: u64,
    /// Blocks.
    pub blocks: u64,
    /// Checkpoints that the device made as time went by.
    pub checkpoints: u64,
    /// Published heads that lie within it and agree.
    pub heads: u64,
    /// Hash of the last block, hexadecimal.
    pub head: String,
    /// When the end was signed.
    pub time: String,
}

/// Heads that were published outside of the data directory.
#[derive(Debug, Default)]
pub struct Heads(BTreeMap<u64, String>);

impl Heads {
    /// Reads the lines of a file of heads. Lines that the key did not sign, and those of other installations, tell nothing of
    /// this trail; a sequence number with two heads contradicts itself.
    pub fn read(lines: impl BufRead, key: &PublicKey) -> Result<Self, Flaw> {
        let mut heads = BTreeMap::new();
        for (number, line) in (1..).zip(lines.lines()) {
            let flaw = |what: &str| Flaw { line: number, what: what.into() };
            let line = line.map_err(|error| flaw(&error.to_string()))?;
            let signed = serde_json::from_str::<Signed>(&line).ok().and_then(|signed| signed.verify(key));
            let Some(Statement::Checkpoint { sequence, head, .. }) = signed else { continue };
            if heads.insert(sequence, head.clone()).is_some_and(|earlier| earlier != head) {
                return Err(flaw(&format!(
                    "record {sequence} has two heads: the trail was rolled back and continued"
                )));
            }
        }
        Ok(Self(heads))
    }
}

/// Checks an export against the device's public key and the published heads.
pub fn verify(export: impl BufRead, key: &PublicKey, heads: &Heads) -> Result<Verdict, Flaw> {
    let mut verifier =
        Verifier { lines: Lines { from: export, number: 0 }, key, heads, state: State::default() };
    verifier.run().map_err(|what| Flaw { line: verifier.lines.number, what })
}

struct Lines<R> {
    from: R,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<String>, String> {
        let mut bytes = Vec::new();
        self.number += 1;
        let read = std::io::Read::take(&mut self.from, LINE_BYTES_MAX).read_until(b'\n', &mut bytes);
        if read.map_err(|error| error.to_string())? == 0 {
            return Ok(None);
        }
        if bytes.pop() != Some(b'\n') {
            return Err("the line is not complete, or too long".into());
        }
        String::from_utf8(bytes).map(Some).map_err(|_| "the line is not UTF-8".into())
    }

    fn demand(&mut self) -> Result<String, String> {
        self.next()?.ok_or_else(|| "the export ends too early".into())
    }
}

/// Where the verifier stands: behind a whole block.
#[derive(Default)]
struct State {
    first: u64,
    next: u64,
    head: Hash,
    shown: u64,
    blocks: u64,
    checkpoints: u64,
    heads: u64,
}

struct Verifier<'k, R> {
    lines: Lines<R>,
    key: &'k PublicKey,
    heads: &'k Heads,
    state: State,
}

impl<R: BufRead> Verifier<'_, R> {
    fn run(&mut self) -> Result<Verdict, String> {
        let installation = self.opening()?;
        loop {
            match read(&self.lines.demand()?)? {
                Line::Block(block) => {
                    let header = block.header().ok_or("a hash of the block is malformed")?;
                    if header.count == 0 || header.count > BLOCK_RECORDS_MAX || header.first == 0 {
                        return Err("the block has an impossible number of records".into());
                    }
                    if self.state.blocks > 0
                        && (header.first != self.state.next || header.previous != self.state.head)
                    {
                        return Err(format!("the block does not follow record {}", self.state.next - 1));
                    }
                    if self.state.blocks == 0 {
                        (self.state.first, self.state.next) = (header.first, header.first);
                    }
                    if self.subtree(header.count as usize)? != header.root {
                        return Err(format!("a record of the block from {} on was changed", header.first));
                    }
                    self.state.head = header.hash();
                    self.state.blocks += 1;
                    self.published(header.first)?;
                }
                Line::Checkpoint(signed) => self.checkpoint(&signed, installation)?,
                Line::End(signed) => return self.end(&signed, installation),
                Line::Evidence(_) => return Err("a second opening".into()),
                Line::Withheld(_) => return Err("a withheld subtree outside of a block".into()),
            }
        }
    }

    fn opening(&mut self) -> Result<Uuid, String> {
        let Line::Evidence(opening) = read(&self.lines.demand()?)? else {
            return Err("the opening is missing".into());
        };
        if opening.version != VERSION {
            return Err(format!("this program does not know version {}", opening.version));
        }
        // The key of the opening proves nothing, but another one than that of the auditor is worth a word.
        if opening.public_key != self.key.to_pem() {
            return Err(
                "the export names another device than that of the key: the device did not sign it".into()
            );
        }
        Ok(opening.installation)
    }

    /// The root over the next `count` records; the depth is the logarithm of their number.
    fn subtree(&mut self, count: usize) -> Result<Hash, String> {
        let line = self.lines.demand()?;
        self.subtree_from(line, count)
    }

    fn subtree_from(&mut self, line: String, count: usize) -> Result<Hash, String> {
        if line.starts_with(r#"{"withheld""#) {
            let Line::Withheld(withheld) = read(&line)? else { return Err("malformed".into()) };
            if withheld.count as usize == count {
                self.state.next += count as u64;
                return read_hash(&withheld.hash).ok_or_else(|| "a hash is malformed".into());
            }
            if withheld.count as usize > count {
                return Err("a withheld subtree is larger than its place".into());
            }
        }
        if count == 1 {
            return self.record(&line);
        }
        let left_hash = self.subtree_from(line, left(count))?;
        let right_hash = self.subtree(count - left(count))?;
        Ok(node_hash(&left_hash, &right_hash))
    }

    fn record(&mut self, line: &str) -> Result<Hash, String> {
        let record: Value = serde_json::from_str(line).map_err(|_| "neither a record nor a known line")?;
        if record.get("sequence").and_then(Value::as_u64) != Some(self.state.next) {
            return Err(format!("record {} should stand here", self.state.next));
        }
        self.state.next += 1;
        self.state.shown += 1;
        Ok(record_hash(line.as_bytes()))
    }

    /// Holds the heads that were published of the block just read against it: each must be that of its end.
    fn published(&mut self, first: u64) -> Result<(), String> {
        let last = self.state.next - 1;
        for (sequence, head) in self.heads.0.range(first..=last) {
            if *sequence != last || *head != hex::encode(self.state.head) {
                return Err(format!("the head that was published for record {sequence} is another one"));
            }
            self.state.heads += 1;
        }
        Ok(())
    }

    fn checkpoint(&mut self, signed: &Signed, of: Uuid) -> Result<(), String> {
        match signed.verify(self.key) {
            Some(Statement::Checkpoint { installation, sequence, head, .. })
                if installation == of
                    && sequence + 1 == self.state.next
                    && head == hex::encode(self.state.head) =>
            {
                self.state.checkpoints += 1;
                Ok(())
            }
            Some(_) => Err("the checkpoint is of another place or trail".into()),
            None => Err("the device did not sign this checkpoint".into()),
        }
    }

    fn end(&mut self, signed: &Signed, of: Uuid) -> Result<Verdict, String> {
        let Some(Statement::Export { installation, first, last, shown, checkpoints, head, time }) =
            signed.verify(self.key)
        else {
            return Err("the device did not sign this end".into());
        };
        let State { first: real, next, shown: counted, blocks, heads, .. } = self.state;
        let whole = (installation, first, last + 1, shown) == (of, real, next, counted);
        if !whole || blocks == 0 || head != hex::encode(self.state.head) {
            return Err(format!(
                "records are missing: the device signed {shown} of {first} to {last}, and there are {counted} of {real} to {}",
                next.saturating_sub(1)
            ));
        }
        if checkpoints != self.state.checkpoints {
            return Err(format!("of {checkpoints} checkpoints there are {}", self.state.checkpoints));
        }
        if self.lines.next()?.is_some() {
            return Err("something stands behind the end".into());
        }
        Ok(Verdict { installation, first, last, shown, blocks, checkpoints, heads, head, time })
    }
}

/// Reads a line that is no record. There is one spelling of each: what is written otherwise was written by somebody else.
fn read(line: &str) -> Result<Line, String> {
    let read: Line = serde_json::from_str(line).map_err(|_| "neither a record nor a known line")?;
    let again = serde_json::to_string(&read).map_err(|error| error.to_string())?;
    if again == line { Ok(read) } else { Err("the line is not written as an export is".into()) }
}
