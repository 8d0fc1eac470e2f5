//! A frame: many blocks of the chain merged, compressed together and sealed, as it lies in a segment file. What follows from
//! the lines (hashes, places in the chain) is not stored but computed when somebody checks it.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Block;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::model::audit::{BlockHeader, Hash, record_hash, tree_root};
use crate::store::sealer::Sealer;

/// Lines of a frame, in bytes: a frame is closed by the first block that exceeds it.
pub const LINES_USUAL: usize = 1 << 20;
/// Lines of a frame at most, in bytes: a commit of the largest possible records on top.
const LINES_MAX: usize = 24 << 20;
/// How hard blocks are compressed once more. Under load each record passes here, so time counts more than a byte.
const COMPRESSION: i32 = 3;
/// Length of a head in the file.
pub const HEAD_BYTES: usize = 40;
/// How many bits a term sets in a summary, which has eight for each: one look in fifty is in vain.
const PROBES: usize = 5;
// A frame in its file, all numbers big-endian:
//
//   offset  0   4  length of the sealed summary, a
//           4   4  length of the sealed body, b
//           8   8  number of the first record        16   8  number of the last record
//          24   8  time of the earliest, in µs       32   8  time of the latest
//          40   a  summary, sealed to "segment/summary/" ‖ bytes 8 to 39
//        40+a   b  body, sealed to "segment/body/" ‖ bytes 8 to 39
//
// The summary is a Bloom filter over name and value of the fields that searches ask for. The body is postcard: hash of the block before,
// number and times of each block, checkpoints, length of the lines, and the lines compressed by zstd.

/// The part of a frame that is read without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    pub summary_bytes: u32,
    pub body_bytes: u32,
    pub first: u64,
    pub last: u64,
    pub earliest: Timestamp,
    pub latest: Timestamp,
}

impl FrameHead {
    /// Reads a head; what contradicts itself is none.
    pub fn decode(bytes: &[u8; HEAD_BYTES]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..)?.first_chunk().map(|word| u32::from_be_bytes(*word));
        let long = |at: usize| bytes.get(at..)?.first_chunk().map(|long| u64::from_be_bytes(*long));
        let head = Self {
            summary_bytes: word(0)?,
            body_bytes: word(4)?,
            first: long(8)?,
            last: long(16)?,
            earliest: Timestamp(long(24)?.cast_signed()),
            latest: Timestamp(long(32)?.cast_signed()),
        };
        (head.first > 0 && head.first <= head.last && head.body_bytes > 0).then_some(head)
    }

    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let (lengths, range) = bytes.split_at_mut(8);
        let (summary, body) = lengths.split_at_mut(4);
        summary.copy_from_slice(&self.summary_bytes.to_be_bytes());
        body.copy_from_slice(&self.body_bytes.to_be_bytes());
        range.copy_from_slice(&self.range());
        bytes
    }

    /// Length of the whole frame in its file.
    pub fn length(&self) -> u64 {
        HEAD_BYTES as u64 + u64::from(self.summary_bytes) + u64::from(self.body_bytes)
    }

    fn range(&self) -> [u8; 32] {
        let parts = [self.first, self.last, self.earliest.0.cast_unsigned(), self.latest.0.cast_unsigned()];
        let mut range = [0; 32];
        for (to, part) in range.chunks_exact_mut(8).zip(parts) {
            to.copy_from_slice(&part.to_be_bytes());
        }
        range
    }

    fn place(&self, part: &str) -> Vec<u8> {
        [b"segment/", part.as_bytes(), b"/", &self.range()].concat()
    }
}

#[derive(Serialize, Deserialize)]
struct Body {
    previous: Hash,
    blocks: Vec<Shape>,
    checkpoints: Vec<String>,
    lines_bytes: usize,
    compressed: Vec<u8>,
}

/// What is stored of one block.
#[derive(Serialize, Deserialize)]
struct Shape {
    count: u32,
    earliest: Timestamp,
    latest: Timestamp,
}

/// A frame that is open.
pub struct Frame {
    pub first: u64,
    previous: Hash,
    blocks: Vec<Shape>,
    /// Lines of signed checkpoints, in order.
    pub checkpoints: Vec<String>,
    /// The records, each with its line end.
    pub lines: String,
}

impl Frame {
    /// A frame that begins with this block.
    pub fn begin(first: &BlockHeader) -> Self {
        let (blocks, checkpoints) = (Vec::new(), Vec::new());
        Self { first: first.first, previous: first.previous, blocks, checkpoints, lines: String::new() }
    }

    /// Adds the block that follows, with its checkpoint.
    pub fn push(&mut self, block: &Block, checkpoint: Option<String>) {
        let BlockHeader { count, earliest, latest, .. } = block.header;
        self.blocks.push(Shape { count, earliest, latest });
        self.lines.push_str(&block.lines);
        self.checkpoints.extend(checkpoint);
    }

    /// Whether the frame has its usual size.
    pub fn is_full(&self) -> bool {
        self.lines.len() >= LINES_USUAL
    }

    /// Number of the last record.
    pub fn last(&self) -> u64 {
        self.first + self.blocks.iter().map(|block| u64::from(block.count)).sum::<u64>() - 1
    }

    /// The blocks, each with its place in the chain; hashes every line.
    pub fn blocks(&self) -> Vec<Block> {
        let (mut first, mut previous, mut lines) = (self.first, self.previous, self.lines.as_str());
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for Shape { count, earliest, latest } in &self.blocks {
            let length: usize = lines.split_inclusive('\n').take(*count as usize).map(str::len).sum();
            let (own, rest) = lines.split_at(length);
            let root = tree_root(own.lines().map(|line| record_hash(line.as_bytes())).collect());
            let header =
                BlockHeader { first, count: *count, earliest: *earliest, latest: *latest, previous, root };
            (first, previous, lines) = (first + u64::from(*count), header.hash(), rest);
            blocks.push(Block { header, lines: own.to_owned() });
        }
        blocks
    }

    /// The bytes of the frame in its file, and its head.
    pub fn seal(&self, sealer: &Sealer) -> Result<(FrameHead, Vec<u8>)> {
        let times = || self.blocks.iter();
        let mut head = FrameHead {
            summary_bytes: 0,
            body_bytes: 0,
            first: self.first,
            last: self.last(),
            earliest: times().map(|block| block.earliest).min().unwrap_or(Timestamp(0)),
            latest: times().map(|block| block.latest).max().unwrap_or(Timestamp(0)),
        };
        let body = Body {
            previous: self.previous,
            blocks: times()
                .map(|Shape { count, earliest, latest }| Shape {
                    count: *count,
                    earliest: *earliest,
                    latest: *latest,
                })
                .collect(),
            checkpoints: self.checkpoints.clone(),
            lines_bytes: self.lines.len(),
            compressed: zstd::bulk::compress(self.lines.as_bytes(), COMPRESSION).map_err(Error::internal)?,
        };
        let summary = sealer.seal(&head.place("summary"), Summary::of(&self.lines)?.0)?;
        let body = sealer.seal(&head.place("body"), postcard::to_stdvec(&body).map_err(Error::internal)?)?;
        head.summary_bytes = u32::try_from(summary.len()).map_err(Error::internal)?;
        head.body_bytes = u32::try_from(body.len()).map_err(Error::internal)?;
        Ok((head, [head.encode().as_slice(), &summary, &body].concat()))
    }

    /// Opens the body of a frame.
    pub fn open(head: &FrameHead, sealed: Vec<u8>, sealer: &Sealer) -> Result<Self> {
        let bytes = sealer.open(&head.place("body"), sealed)?;
        let body: Body = postcard::from_bytes(&bytes).map_err(Error::internal)?;
        if body.lines_bytes > LINES_MAX {
            return Err(Error::internal("a frame of audit records is damaged"));
        }
        let lines = zstd::bulk::decompress(&body.compressed, body.lines_bytes).map_err(Error::internal)?;
        let lines = String::from_utf8(lines).map_err(Error::internal)?;
        let Body { previous, blocks, checkpoints, .. } = body;
        let frame = Self { first: head.first, previous, blocks, checkpoints, lines };
        if frame.blocks.is_empty() || frame.last() != head.last {
            return Err(Error::internal("a frame of audit records contradicts its head"));
        }
        Ok(frame)
    }
}

/// The fields of a record that searches ask for.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summarised<'a> {
    #[serde(borrow)]
    event_name: Cow<'a, str>,
    #[serde(borrow, default)]
    resource_type: Cow<'a, str>,
    #[serde(borrow, default)]
    resource_ids: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    user_name: Cow<'a, str>,
    #[serde(borrow, default)]
    access_key: Cow<'a, str>,
    #[serde(borrow, default)]
    source_ip: Cow<'a, str>,
}

impl<'a> Summarised<'a> {
    fn terms(self) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> {
        let ids = self.resource_ids.into_iter().map(|id| ("resourceId", id));
        [
            ("eventName", self.event_name),
            ("resourceType", self.resource_type),
            ("userName", self.user_name),
            ("accessKey", self.access_key),
            ("sourceIp", self.source_ip),
        ]
        .into_iter()
        .chain(ids)
    }
}

/// Which values may occur in the records of a frame.
pub struct Summary(Vec<u8>);

impl Summary {
    fn of(lines: &str) -> Result<Self> {
        let mut terms = HashSet::new();
        for line in lines.lines() {
            let record: Summarised<'_> = serde_json::from_str(line).map_err(Error::internal)?;
            terms.extend(record.terms().filter(|(_, value)| !value.is_empty()));
        }
        let mut bits = vec![0; terms.len().max(8)];
        for (name, value) in terms {
            for bit in probes(term(name, &value), bits.len() * 8) {
                if let Some(byte) = bits.get_mut(bit / 8) {
                    *byte |= 1 << (bit % 8);
                }
            }
        }
        Ok(Self(bits))
    }

    /// Opens the summary of a frame.
    pub fn open(head: &FrameHead, sealed: Vec<u8>, sealer: &Sealer) -> Result<Self> {
        Ok(Self(sealer.open(&head.place("summary"), sealed)?.to_vec()))
    }

    /// Whether a record with this value may be there; without a doubt only if the answer is no.
    pub fn may_hold(&self, name: &str, value: &str) -> bool {
        probes(term(name, value), self.0.len() * 8)
            .into_iter()
            .all(|bit| self.0.get(bit / 8).is_some_and(|byte| byte & (1 << (bit % 8)) != 0))
    }
}

fn term(name: &str, value: &str) -> [u8; 32] {
    Sha256::new().chain_update(name).chain_update([0]).chain_update(value).finalize().into()
}

/// The bits of a term.
fn probes(term: [u8; 32], bits: usize) -> [usize; PROBES] {
    let mut probes = [0; PROBES];
    for (probe, part) in probes.iter_mut().zip(term.chunks_exact(4)) {
        let number = part.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
        *probe = number % bits.max(1);
    }
    probes
}
