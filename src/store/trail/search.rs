//! Searching the trail, newest first. Frames whose times or summary say that nothing is in them stay shut.

use serde_json::{Map, Value};

use super::{Trail, tail};
use crate::env::Timestamp;
use crate::error::{Error, Result};

/// Records that one search may look at before it hands out a cursor.
const LOOKED_AT_MAX: u64 = 100_000;

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
    /// Values that every wanted record has, by the names of their fields; `resourceId` is one of the resources.
    pub values: Vec<(&'static str, String)>,
    /// Which lines: given the parsed line, whether it is wanted.
    pub keep: &'a dyn Fn(&Map<String, Value>) -> bool,
}

/// What a search found.
#[derive(Default)]
pub struct Found {
    /// Lines, newest first.
    pub records: Vec<Map<String, Value>>,
    /// Where to go on; `None` when everything was looked at.
    pub next: Option<u64>,
    looked_at: u64,
}

impl Query<'_> {
    /// Whether a stretch of the trail may hold wanted records, by its times. The last second of a search is part of it.
    fn overlaps(&self, earliest: Timestamp, latest: Timestamp) -> bool {
        self.to.is_none_or(|to| earliest.seconds() <= to.seconds())
            && self.from.is_none_or(|from| latest >= from)
    }

    /// Whether a record's time is within the query's; times of one form compare as texts.
    fn in_time(&self, record: &Map<String, Value>) -> bool {
        let time = record.get("time").and_then(Value::as_str).unwrap_or_default();
        self.from.is_none_or(|from| time >= from.to_string().as_str())
            && self.to.is_none_or(|to| time <= to.to_string().as_str())
    }
}

impl Trail<'_> {
    /// Searches newest first.
    pub fn search(&self, query: &Query<'_>) -> Result<Found> {
        let before = query.before.unwrap_or(u64::MAX);
        let mut found = Found::default();
        for row in self.blocks.range(..before).map_err(Error::internal)?.rev() {
            let (key, sealed) = row.map_err(Error::internal)?;
            let block = tail::open(self.sealer, key.value(), sealed.value())?;
            if query.overlaps(block.header.earliest, block.header.latest)
                && found.take(query, block.header.first, &block.lines)?
            {
                return Ok(found);
            }
        }
        for place in self.frames.iter().rev().filter(|place| place.head.first < before) {
            let head = &place.head;
            if !query.overlaps(head.earliest, head.latest) {
                continue;
            }
            let summary = self.segments.summary(place, self.sealer)?;
            if query.values.iter().all(|(name, value)| summary.may_hold(name, value))
                && found.take(query, head.first, &self.segments.frame(place, self.sealer)?.lines)?
            {
                return Ok(found);
            }
        }
        Ok(found)
    }
}

impl Found {
    /// Takes what is wanted of a stretch; whether the search is over.
    fn take(&mut self, query: &Query<'_>, first: u64, lines: &str) -> Result<bool> {
        let before = query.before.unwrap_or(u64::MAX);
        let numbered: Vec<(&str, u64)> =
            lines.lines().zip(first..).filter(|(_, sequence)| *sequence < before).collect();
        for (line, sequence) in numbered.into_iter().rev() {
            self.looked_at += 1;
            let record: Map<_, _> = serde_json::from_str(line).map_err(Error::internal)?;
            if query.in_time(&record) && (query.keep)(&record) {
                self.records.push(record);
            }
            if self.records.len() == query.limit || self.looked_at >= LOOKED_AT_MAX {
                self.next = (sequence > 1).then_some(sequence);
                return Ok(true);
            }
        }
        Ok(false)
    }
}
