//! Searching and describing audit records (contract 5.14).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Operation;
use crate::api::{Call, Moment};
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::audit::{Line, sequence_of};
use crate::model::checkpoint::{Extent, Statement};
use crate::model::evidence;
use crate::model::principal::Principal;
use crate::model::text::{Number, Text};
use crate::store::{Query, Trail};

type Filter = Option<Text<0, 128>>;

/// The largest whole number that every reader of JSON tells from its neighbours (RFC 7493 section 2.2).
const EXACT_MAX: u64 = (1 << 53) - 1;

/// Finds audit records of the caller's account, newest first. Administrators also find records that belong to no
/// account: the appliance's own, and those of callers that nobody knows.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QueryAudit {
    /// `nextCursor` of the page before.
    pub cursor: Option<Number<1, EXACT_MAX>>,
    /// How many on a page, 1 to 100.
    pub page_size: Option<Number<1, 100>>,
    /// Only records from this moment on.
    pub start_time: Option<Moment>,
    /// Only records up to this moment.
    pub end_time: Option<Moment>,
    /// Only records of this operation.
    pub event_name: Filter,
    /// Only records of this type: `API`, `CONSOLE` or `SYSTEM`.
    pub event_type: Filter,
    /// Only records of this plane: `OPENAPI`, `AAP` or `INTERNAL`.
    pub event_source: Filter,
    /// Only records of this level: `NORMAL`, `WARNING` or `INCIDENT`.
    pub event_level: Filter,
    /// Only records of this kind of resource.
    pub resource_type: Filter,
    /// Only records of this resource.
    pub resource_id: Filter,
    /// Only records of this caller.
    pub user_name: Filter,
    /// Only records of calls that this access key signed.
    pub access_key: Filter,
    /// Only records of calls from this address.
    pub source_ip: Filter,
    /// `success` or `failure`.
    pub result: Option<ResultFilter>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResultFilter {
    /// It was done.
    Success,
    /// It was refused or failed.
    Failure,
}

/// A page of audit records.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// The records, newest first.
    #[schemars(with = "Vec<Line<'static>>")]
    pub records: Vec<Map<String, Value>>,
    /// Pass it as `cursor` to go on; absent at the end. A page may be short and still have a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Whether a record is the caller's to see: those of its account; for administrators also those that belong to none.
pub fn sees_record(principal: &Principal, record: &Map<String, Value>) -> bool {
    let owner = record.get("accountId").and_then(Value::as_str);
    match principal {
        Principal::User { account, administrator, .. } => {
            owner.map_or(*administrator, |owner| owner == account.to_string())
        }
        Principal::AccessPoint { .. } | Principal::Product { .. } => false,
        Principal::System => true,
    }
}

impl QueryAudit {
    fn keeps(&self, record: &Map<String, Value>, principal: &Principal) -> bool {
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let equal = |filter: &Filter, name: &str| {
            filter.as_ref().is_none_or(|wanted| text(name).is_some_and(|value| value == wanted.as_str()))
        };
        let names_resource = || {
            let ids = record.get("resourceIds").and_then(Value::as_array);
            self.resource_id.as_ref().is_none_or(|wanted| {
                ids.is_some_and(|ids| ids.iter().any(|id| id.as_str() == Some(wanted.as_str())))
            })
        };
        let failed = text("errorCode").is_some();
        sees_record(principal, record)
            && equal(&self.event_name, "eventName")
            && equal(&self.event_type, "eventType")
            && equal(&self.event_source, "eventSource")
            && equal(&self.event_level, "eventLevel")
            && equal(&self.resource_type, "resourceType")
            && equal(&self.user_name, "userName")
            && equal(&self.access_key, "accessKey")
            && equal(&self.source_ip, "sourceIp")
            && self.result.is_none_or(|wanted| (wanted == ResultFilter::Failure) == failed)
            && names_resource()
    }
}

/// What a search can skip whole stretches of the trail by.
fn values(query: &QueryAudit) -> Vec<(&'static str, String)> {
    let filters = [
        ("eventName", &query.event_name),
        ("resourceType", &query.resource_type),
        ("resourceId", &query.resource_id),
        ("userName", &query.user_name),
        ("accessKey", &query.access_key),
        ("sourceIp", &query.source_ip),
    ];
    filters
        .into_iter()
        .filter_map(|(name, filter)| Some((name, filter.as_ref()?.as_str().to_owned())))
        .collect()
}

impl Operation for QueryAudit {
    type Output = AuditPage;

    async fn run(self, call: &Call, app: &App) -> Result<AuditPage> {
        let principal = call.principal.clone();
        let search = move |trail: &Trail<'_>| {
            trail.search(&Query {
                before: self.cursor.map(Number::get),
                from: self.start_time.map(|moment| moment.0),
                to: self.end_time.map(|moment| moment.0),
                limit: self.page_size.map_or(10, Number::size),
                values: values(&self),
                keep: &|record| self.keeps(record, &principal),
            })
        };
        let found = app.read_trail(search).await?;
        Ok(AuditPage { records: found.records, next_cursor: found.next.map(|next| next.to_string()) })
    }
}

/// Shows one record, and its proof.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DescribeAudit {
    /// Which record.
    #[schemars(example = "f47ac10b-58cc-4372-a567-0e02b2c3d479")]
    pub event_id: Uuid,
}

/// One record with its proof.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DescribedAudit {
    /// The record.
    #[schemars(with = "Line<'static>")]
    pub record: Map<String, Value>,
    /// An export of its block, in which every other record is withheld: `yaoku audit verify` checks it.
    pub evidence: String,
}

impl Operation for DescribeAudit {
    type Output = DescribedAudit;

    async fn run(self, call: &Call, app: &App) -> Result<DescribedAudit> {
        const MISSING: Error = Error::ResourceNotFound("audit record");
        let installation = *app.store.installation();
        let sequence = sequence_of(&installation, &self.event_id).ok_or(MISSING)?;
        let block = app.read_trail(move |trail| trail.block_of(sequence)).await?.ok_or(MISSING)?;
        let lines: Vec<&str> = block.lines.lines().collect();
        let place = usize::try_from(sequence - block.header.first).map_err(Error::internal)?;
        let line = *lines.get(place).ok_or(MISSING)?;
        let record: Map<_, _> = serde_json::from_str(line).map_err(Error::internal)?;
        if !sees_record(&call.principal, &record) {
            return Err(MISSING);
        }
        let mut text = String::new();
        evidence::write_opening(&mut text, &installation, app.device_key().await?.to_pem());
        let shown = evidence::write_block(&mut text, &block.header, &lines, |other| other == line);
        let extent = Extent { first: block.header.first, last: block.last(), shown, checkpoints: 0 };
        let statement = Statement::export(&installation, extent, &block.header.hash(), call.now);
        evidence::write_end(&mut text, app.sign(&statement).await?);
        Ok(DescribedAudit { record, evidence: text })
    }
}
