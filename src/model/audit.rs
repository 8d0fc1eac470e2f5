//! Audit records and the chain over them. A record is one line of JSON with a fixed order of fields; that line is its
//! canonical form, so an auditor needs nothing but the line and SM3. The records of one commit form a block: a hash
//! tree over the lines, and a chain from block to block.

use std::net::IpAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sm3::{Digest as _, Sm3};
use uuid::Uuid;

use crate::env::Timestamp;
use crate::error::{Error, Wire};
use crate::ids::{AccessKeyId, AccountId, InstanceId};

/// An SM3 hash (GB/T 32905).
pub type Hash = [u8; 32];

/// The hash before the first block.
pub const GENESIS: Hash = [0; 32];

/// Everything that a record says, except its place in the sequence and the outcome (contract 5.14). Never a request
/// or response body.
#[derive(Debug, Clone)]
pub struct Draft {
    /// When the call came, by the appliance's time.
    pub time: Timestamp,
    /// How far that time was ahead of the wall clock; nothing unless the instance is a demo.
    pub demo_offset: Duration,
    /// The event of the operation, or what happened before one was known.
    pub event_name: &'static str,
    /// `API`, `CONSOLE` or `SYSTEM`.
    pub event_type: &'static str,
    /// The plane.
    pub event_source: &'static str,
    /// The tenant, where one is known.
    pub account: Option<AccountId>,
    /// The service.
    pub instance: Option<InstanceId>,
    /// The enterprise project of the resource.
    pub project: String,
    /// What kind of resource was touched.
    pub resource_type: &'static str,
    /// Ids of the resources, in the order in which the operation names them.
    pub resource_ids: Vec<String>,
    /// The name by which the caller meant the resource, such as an alias.
    pub resource_name: String,
    /// `USER`, `ACCESS_POINT`, `PRODUCT`, `SYSTEM`; `UNKNOWN` before authentication.
    pub principal_type: &'static str,
    /// Name of the caller.
    pub user_name: String,
    /// The access key that was presented.
    pub access_key: Option<AccessKeyId>,
    /// Where the call came from.
    pub source: Option<IpAddr>,
    /// What the client calls itself, cut to 128 characters.
    pub user_agent: String,
    /// The request id that the caller sees too.
    pub request_id: String,
    /// How many calls the record stands for, when it stands for more than one.
    pub suppressed: Option<u64>,
    /// Whether it used a key whose disabling is rehearsed.
    pub rehearsal: bool,
    /// Time from the arrival of the call to the writing of the record.
    pub duration: Duration,
}

/// What every record of an appliance says alike.
#[derive(Debug, Clone)]
pub struct Appliance {
    /// The number of its installation, which event ids begin with.
    pub installation: [u8; 16],
    /// Its region.
    pub region: String,
}

/// One call in the audit trail, as its line says it. Never a request or response body.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AuditRecord")]
pub struct Line<'a> {
    sequence: u64,
    event_id: Uuid,
    time: String,
    /// Seconds that a demo is ahead of the wall clock; 0 on every other instance.
    demo_offset: u64,
    event_name: &'a str,
    event_type: &'a str,
    event_source: &'a str,
    event_level: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_id: Option<AccountId>,
    region: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance_id: Option<InstanceId>,
    #[serde(skip_serializing_if = "str::is_empty")]
    project_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    resource_type: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    resource_ids: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    resource_name: &'a str,
    principal_type: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_key: Option<AccessKeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<u64>,
    /// The call used a key whose disabling is rehearsed; only there if it did.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    rehearsal: bool,
    http_status: u16,
    #[serde(skip_serializing_if = "str::is_empty")]
    error_code: &'a str,
    duration_micros: u64,
}

impl Draft {
    /// Appends the canonical line, without a line end. `failure` is how the call ended; `None` is success.
    pub fn write_line(
        &self,
        lines: &mut Vec<u8>,
        appliance: &Appliance,
        sequence: u64,
        failure: Option<&Error>,
    ) {
        let wire = failure.map(Error::wire);
        // A call that failed used no key.
        let rehearsal = self.rehearsal && failure.is_none();
        let line = Line {
            sequence,
            event_id: event_id(&appliance.installation, sequence),
            time: self.time.to_string(),
            demo_offset: self.demo_offset.as_secs(),
            event_name: self.event_name,
            event_type: self.event_type,
            event_source: self.event_source,
            event_level: if rehearsal { "WARNING" } else { level(wire.as_ref()) },
            account_id: self.account,
            region: &appliance.region,
            instance_id: self.instance,
            project_id: &self.project,
            resource_type: self.resource_type,
            resource_ids: &self.resource_ids,
            resource_name: &self.resource_name,
            principal_type: self.principal_type,
            user_name: &self.user_name,
            access_key: self.access_key,
            source_ip: self.source,
            user_agent: &self.user_agent,
            request_id: &self.request_id,
            suppressed: self.suppressed,
            rehearsal,
            http_status: wire.as_ref().map_or(200, |wire| wire.status),
            error_code: wire.as_ref().map_or("", |wire| wire.code),
            duration_micros: u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
        };
        serde_json::to_writer(lines, &line).expect("a record has string keys and a vector takes every byte");
    }
}

/// `NORMAL` success outside of a rehearsal, `INCIDENT` a failed proof of identity or a fault of ours, `WARNING` every other refusal.
fn level(wire: Option<&Wire>) -> &'static str {
    match wire.map(|wire| wire.status) {
        None => "NORMAL",
        Some(401 | 500..) => "INCIDENT",
        Some(_) => "WARNING",
    }
}

/// The sequence number in an event id of this installation.
pub fn sequence_of(installation: &[u8; 16], id: &Uuid) -> Option<u64> {
    let number = id.as_bytes().last_chunk().map(|bytes| u64::from_be_bytes(*bytes))?;
    // The two highest bits say what form of id it is.
    let sequence = number & (u64::MAX >> 2);
    (event_id(installation, sequence) == *id).then_some(sequence)
}

/// A UUID-shaped id that follows from the installation and the sequence number.
fn event_id(installation: &[u8; 16], sequence: u64) -> Uuid {
    let mut bytes = *installation;
    for (to, from) in bytes.iter_mut().skip(8).zip(sequence.to_be_bytes()) {
        *to = from;
    }
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The facts of a block that its hash covers, beside its lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockHeader {
    /// Sequence number of the first record.
    pub first: u64,
    /// How many records.
    pub count: u32,
    /// Time of the earliest record.
    pub earliest: Timestamp,
    /// Time of the latest record.
    pub latest: Timestamp,
    /// Hash of the block before.
    pub previous: Hash,
    /// Root of the hash tree over the lines.
    pub root: Hash,
}

impl BlockHeader {
    /// The block's place in the chain.
    pub fn hash(&self) -> Hash {
        let mut hash = Sm3::new();
        hash.update(b"yaoku/audit/block");
        hash.update(self.first.to_be_bytes());
        hash.update(self.count.to_be_bytes());
        hash.update(self.earliest.0.to_be_bytes());
        hash.update(self.latest.0.to_be_bytes());
        hash.update(self.previous);
        hash.update(self.root);
        hash.finalize().into()
    }

    /// Whether these lines are the block's lines and the block follows `previous`.
    pub fn covers<'a>(&self, previous: &Hash, lines: impl Iterator<Item = &'a str>) -> bool {
        let hashes: Vec<Hash> = lines.map(|line| record_hash(line.as_bytes())).collect();
        *previous == self.previous && hashes.len() == self.count as usize && tree_root(hashes) == self.root
    }
}

/// Hash of one record: SM3 of a zero byte and the line.
pub fn record_hash(line: &[u8]) -> Hash {
    let mut hash = Sm3::new();
    hash.update([0]);
    hash.update(line);
    hash.finalize().into()
}

/// Hash of an inner node: SM3 of a one byte and both children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hash = Sm3::new();
    hash.update([1]);
    hash.update(left);
    hash.update(right);
    hash.finalize().into()
}

/// Root of the hash tree: an odd node rises unchanged. So the left subtree is over the largest power of two below the
/// number of records.
pub fn tree_root(mut level: Vec<Hash>) -> Hash {
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => node_hash(left, right),
                odd => odd.first().copied().unwrap_or(GENESIS),
            })
            .collect();
    }
    level.first().copied().unwrap_or(GENESIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_cannot_inject_a_line() {
        let draft = Draft {
            time: Timestamp::from_seconds(0),
            demo_offset: Duration::ZERO,
            event_name: "encrypt",
            event_type: "API",
            event_source: "AAP",
            account: None,
            instance: None,
            project: String::new(),
            resource_type: "CMK",
            resource_ids: vec!["x".into()],
            resource_name: String::new(),
            principal_type: "UNKNOWN",
            user_name: String::new(),
            access_key: None,
            source: None,
            user_agent: "a\r\n{\"sequence\":1}\u{1b}[2J".into(),
            request_id: "\n".into(),
            suppressed: None,
            rehearsal: false,
            duration: Duration::from_micros(5),
        };
        let mut lines = Vec::new();
        let appliance = Appliance { installation: [7; 16], region: "r".into() };
        draft.write_line(&mut lines, &appliance, 9, Some(&Error::KeyDisabled));
        let line = String::from_utf8(lines).unwrap();
        assert!(!line.contains(['\n', '\r', '\u{1b}']));
        assert!(
            line.starts_with("{\"sequence\":9,\"eventId\":\"07070707-0707-8707-8000-000000000009\""),
            "{line}"
        );
        assert!(line.contains("\"httpStatus\":409,\"errorCode\":\"KMS.9010\""), "{line}");
    }

    #[test]
    fn the_tree_tells_every_change_of_order_and_number() {
        let lines = ["a", "b", "c", "d", "e"];
        let root =
            |lines: &[&str]| tree_root(lines.iter().map(|line| record_hash(line.as_bytes())).collect());
        let whole = root(&lines);
        assert_ne!(whole, root(&["b", "a", "c", "d", "e"]));
        assert_ne!(whole, root(&lines[..4]));
        assert_ne!(whole, root(&["a", "b", "c", "d", "e", "e"]));
        let header = BlockHeader {
            first: 1,
            count: 5,
            earliest: Timestamp(0),
            latest: Timestamp(0),
            previous: GENESIS,
            root: whole,
        };
        assert!(header.covers(&GENESIS, lines.into_iter()));
        assert!(!header.covers(&[1; 32], lines.into_iter()));
        assert!(!header.covers(&GENESIS, lines[..4].iter().copied()));
    }
}
