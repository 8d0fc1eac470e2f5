//! Searching the audit records (contract 5.14).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Operation;
use crate::api::{Call, Moment};
use crate::app::App;
use crate::error::Result;
use crate::model::principal::Principal;
use crate::model::text::{Number, Text};
use crate::store::Query;

type Filter = Option<Text<0, 128>>;

/// Finds audit records of the caller's account, newest first. Administrators also find records that belong to no
/// account: the appliance's own, and those of callers that nobody knows.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.14, queryAudit")]
pub struct QueryAudit {
    /// `nextCursor` of the page before.
    pub cursor: Option<Number<1, { u64::MAX }>>,
    pub page_size: Option<Number<1, 100>>,
    pub start_time: Option<Moment>,
    pub end_time: Option<Moment>,
    pub event_name: Filter,
    pub event_type: Filter,
    pub event_source: Filter,
    pub event_level: Filter,
    pub resource_type: Filter,
    pub resource_id: Filter,
    pub user_name: Filter,
    pub access_key: Filter,
    pub source_ip: Filter,
    /// `success` or `failure`.
    pub result: Option<ResultFilter>,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResultFilter {
    /// It was done.
    Success,
    /// It was refused or failed.
    Failure,
}

/// A page of audit records.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditPage {
    /// The records, newest first.
    pub records: Vec<Map<String, Value>>,
    /// Pass it as `cursor` to go on; absent at the end. A page may be short and still have a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl QueryAudit {
    fn keeps(&self, record: &Map<String, Value>, principal: &Principal) -> bool {
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let owner = text("accountId");
        let mine = match principal {
            Principal::User { account, administrator, .. } => {
                owner.map_or(*administrator, |owner| owner == account.to_string())
            }
            Principal::AccessPoint { .. } => false,
            Principal::System => true,
        };
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
        mine && equal(&self.event_name, "eventName")
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

impl Operation for QueryAudit {
    type Output = AuditPage;

    async fn run(self, call: &Call, app: &App) -> Result<AuditPage> {
        let found = app.store.search(&Query {
            before: self.cursor.map(Number::get),
            from: self.start_time.map(|moment| moment.0),
            to: self.end_time.map(|moment| moment.0),
            limit: self.page_size.map_or(10, Number::size),
            keep: &|record| self.keeps(record, &call.principal),
        })?;
        Ok(AuditPage { records: found.records, next_cursor: found.next.map(|next| next.to_string()) })
    }
}
