//! Exporting audit records (contract 5.14): as evidence that an auditor checks without the appliance, or as a table. An
//! export goes page by page; what the pages hold, put one behind the other, is the file.

use std::ops::ControlFlow;

use hmac::{Hmac, KeyInit as _, Mac as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::Sha256;

use super::Operation;
use super::audit::sees_record;
use crate::api::{Call, Moment};
use crate::app::App;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::model::audit::Hash;
use crate::model::checkpoint::{Extent, Signed, Statement};
use crate::model::evidence;
use crate::model::principal::Principal;
use crate::model::text::Text;
use crate::store::{Block, Trail};

/// Text of one page, in bytes; the block that exceeds it is its last.
const PAGE_BYTES: usize = 512 << 10;
/// Columns of a table.
const COLUMNS: [&str; 20] = [
    "sequence",
    "eventId",
    "time",
    "demoOffset",
    "eventName",
    "eventType",
    "eventSource",
    "eventLevel",
    "accountId",
    "instanceId",
    "resourceType",
    "resourceIds",
    "userName",
    "accessKey",
    "sourceIp",
    "requestId",
    "httpStatus",
    "errorCode",
    "durationMicros",
    "rehearsal",
];

/// The form of an export.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Records with everything that proves them.
    #[default]
    Jsonl,
    /// A table for a spreadsheet; it proves nothing.
    Csv,
}

/// How far an export has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Number of the first record.
    pub first: u64,
    /// Number of the next record.
    pub next: u64,
    /// Number of the record at which it ends.
    pub last: u64,
    /// Records shown so far.
    pub shown: u64,
    /// Checkpoints so far.
    pub checkpoints: u64,
}

impl Progress {
    /// The cursor that a caller gets. It carries a MAC: a made-up one would have the device sign for what the caller did not
    /// get to see.
    fn cursor(&self, mac_key: &[u8; 32], principal: &Principal) -> String {
        let Self { first, next, last, shown, checkpoints } = self;
        let numbers = format!("{first}-{next}-{last}-{shown}-{checkpoints}");
        let mac = hex::encode(mac(mac_key, principal, &numbers).finalize().into_bytes());
        format!("{numbers}-{mac}")
    }

    fn extent(&self) -> Extent {
        let Self { first, next, shown, checkpoints, .. } = *self;
        Extent { first, last: next - 1, shown, checkpoints }
    }

    fn from_cursor(cursor: &str, mac_key: &[u8; 32], principal: &Principal) -> Result<Self> {
        let parts = cursor.rsplit_once('-').and_then(|(numbers, tag)| {
            mac(mac_key, principal, numbers).verify_slice(&hex::decode(tag).ok()?).ok()?;
            let mut numbers = numbers.split('-').map_while(|number| number.parse().ok());
            let mut next = || numbers.next();
            Some(Self { first: next()?, next: next()?, last: next()?, shown: next()?, checkpoints: next()? })
        });
        parts.ok_or_else(|| Error::invalid("cursor", "is not one that this operation gave to this caller"))
    }
}

fn mac(key: &[u8; 32], principal: &Principal, numbers: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    let account = principal.account().map(|account| *account.as_bytes()).unwrap_or_default();
    for part in [b"yaoku/audit/cursor".as_slice(), &account, numbers.as_bytes()] {
        mac.update(part);
    }
    mac
}

/// One page of an export.
pub struct Page {
    /// Its text.
    pub text: String,
    /// Where to go on; at the end, the end to sign.
    pub then: Then,
}

/// What follows a page.
pub enum Then {
    /// Another page.
    More(Progress),
    /// Nothing: what the export holds, and the hash of its last block.
    End(Extent, Hash),
}

impl Progress {
    /// Begins an export of everything between two times.
    pub fn begin(trail: &Trail<'_>, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Self> {
        const NOTHING: Error = Error::ResourceNotFound("audit record in this period");
        let (first, mut last) = (trail.first_from(from)?, trail.head()?.0);
        if let Some(to) = to {
            last = trail.last_until(first, to)?.ok_or(NOTHING)?;
        }
        if first > last {
            Err(NOTHING)
        } else {
            Ok(Self { first, next: first, last, shown: 0, checkpoints: 0 })
        }
    }

    /// Writes the next page; `shows` says of each record whether it may be seen.
    pub fn page(
        mut self,
        trail: &Trail<'_>,
        form: Form,
        opening: (&[u8; 16], String),
        shows: impl Fn(&Map<String, Value>) -> bool,
    ) -> Result<Page> {
        let mut text = String::new();
        match form {
            _ if self.next > self.first => {}
            Form::Jsonl => evidence::write_opening(&mut text, opening.0, opening.1),
            Form::Csv => text.push_str(&(COLUMNS.join(",") + "\r\n")),
        }
        let mut head = None;
        trail.walk(self.next, |block, checkpoint| {
            let first = block.header.first;
            // What stood here when the export began has been deleted meanwhile.
            if first != self.next {
                return Ok(ControlFlow::Break(()));
            }
            self.shown += write(&mut text, form, block, checkpoint, &shows)?;
            self.checkpoints += u64::from(checkpoint.is_some());
            self.next = block.last() + 1;
            head = Some(block.header.hash());
            let full = text.len() >= PAGE_BYTES || self.next > self.last;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        let head =
            head.ok_or_else(|| Error::ResourceNotFound("audit record any more where this export stands"))?;
        let then = match self.next > self.last {
            true => Then::End(self.extent(), head),
            false => Then::More(self),
        };
        Ok(Page { text, then })
    }
}

/// Writes one block and returns how many of its records are shown.
fn write(
    text: &mut String,
    form: Form,
    block: &Block,
    checkpoint: Option<&str>,
    shows: &impl Fn(&Map<String, Value>) -> bool,
) -> Result<u64> {
    let parse = |line: &str| serde_json::from_str::<Map<String, Value>>(line).ok();
    match form {
        Form::Jsonl => {
            let lines: Vec<&str> = block.lines.lines().collect();
            let shown = evidence::write_block(text, &block.header, &lines, |line| {
                parse(line).is_some_and(|record| shows(&record))
            });
            if let Some(line) = checkpoint {
                evidence::write_checkpoint(
                    text,
                    serde_json::from_str::<Signed>(line).map_err(Error::internal)?,
                );
            }
            Ok(shown)
        }
        Form::Csv => {
            let records: Vec<_> =
                block.lines.lines().filter_map(parse).filter(|record| shows(record)).collect();
            records.iter().for_each(|record| write_row(text, record));
            Ok(records.len() as u64)
        }
    }
}

/// RFC 4180; a value that a spreadsheet would compute is marked as text.
fn write_row(text: &mut String, record: &Map<String, Value>) {
    let cells = COLUMNS.map(|name| {
        let value = match record.get(name) {
            None => String::new(),
            Some(Value::String(value)) => value.clone(),
            Some(Value::Array(values)) => {
                values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
            }
            Some(value) => value.to_string(),
        };
        let mark = if value.starts_with(['=', '+', '-', '@', '\t']) { "'" } else { "" };
        format!("\"{mark}{}\"", value.replace('"', "\"\""))
    });
    text.push_str(&(cells.join(",") + "\r\n"));
}

/// Exports the audit records that the caller may see, a page at a time. As evidence, the others stand there as hashes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportAudit {
    /// Not earlier than this; whole blocks are exported, so a few records before it may come along.
    pub start_time: Option<Moment>,
    /// Not later than this; likewise.
    pub end_time: Option<Moment>,
    /// `jsonl` (evidence, the default) or `csv`.
    pub format: Option<Form>,
    /// `nextCursor` of the page before.
    pub cursor: Option<Text<1, 200>>,
}

/// A page of an export.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExportedAudit {
    /// The text; put behind that of the page before.
    pub content: String,
    /// Records shown so far.
    pub records: u64,
    /// Pass it as `cursor` to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Operation for ExportAudit {
    type Output = ExportedAudit;

    async fn run(self, call: &Call, app: &App) -> Result<ExportedAudit> {
        let (form, installation) = (self.format.unwrap_or_default(), *app.store.installation());
        let (key, principal) = (app.device_key().await?.to_pem(), call.principal.clone());
        let mac_key = *app.store.replay_key();
        let cursor = self.cursor.as_ref();
        let cursor =
            cursor.map(|cursor| Progress::from_cursor(cursor.as_str(), &mac_key, &principal)).transpose()?;
        let (from, to) = (self.start_time.map(|moment| moment.0), self.end_time.map(|moment| moment.0));
        let page = app.read_trail(move |trail| {
            let progress = match cursor {
                Some(progress) => progress,
                None => Progress::begin(trail, from, to)?,
            };
            progress.page(trail, form, (&installation, key), |record| sees_record(&principal, record))
        });
        let Page { mut text, then } = page.await?;
        match then {
            Then::More(progress) => {
                let next_cursor = Some(progress.cursor(&mac_key, &call.principal));
                Ok(ExportedAudit { content: text, records: progress.shown, next_cursor })
            }
            Then::End(extent, head) => {
                if form == Form::Jsonl {
                    let statement = Statement::export(&installation, extent, &head, call.now);
                    evidence::write_end(&mut text, app.sign(&statement).await?);
                }
                Ok(ExportedAudit { content: text, records: extent.shown, next_cursor: None })
            }
        }
    }
}
