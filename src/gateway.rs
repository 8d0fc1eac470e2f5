//! The pipeline that every call passes, whoever submits it: HTTP planes, cron and the command line come in here and can
//! call nothing deeper. Every call, refused or failed ones included, leaves exactly one audit record before it is
//! answered; floods of strangers are counted in one record per source and minute.

mod authentication;
mod calls;
mod door;
mod metrics;
mod replays;
mod strangers;
mod targets;
mod throttle;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use sm3::Sm3;

use crate::api::{Access, Arrival, Call, Common, Fields};
use crate::app::App;
use crate::catalog::{self, Row};
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::model::audit::Draft;
use crate::model::principal::{Audience, Plane, Principal};
use crate::ops::{Operation, Prepared};
use crate::store::{Condition, Entry, EopTrace, TokenKey};
use authentication::Refusal;
pub use calls::Calls;
pub use door::{Door, Readiness};
pub use metrics::METRICS_TYPE;
use replays::Replays;
use strangers::Strangers;
use throttle::Throttle;

/// Largest body of the operations of this version (contract section 1).
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The gateway of one appliance.
pub struct Gateway {
    app: Arc<App>,
    throttle: Throttle,
    strangers: Strangers,
    replays: Replays,
    calls: Arc<Calls>,
    start_id: [u8; 16],
    ids: AtomicU64,
}

/// A call as it arrives, whatever it came over.
pub struct Request {
    /// The surface.
    pub plane: Plane,
    /// Where from.
    pub source: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: String,
    /// How.
    pub method: Method,
    /// The path as sent, without the query.
    pub path: String,
    /// The query as sent.
    pub query: String,
    /// Header names in lower case and their values.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body, or why there is none.
    pub body: Result<Vec<u8>>,
}

/// HTTP methods that make a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read operations accept it.
    Get,
    /// Every operation accepts it.
    Post,
    /// Nobody accepts it.
    Other,
}

/// What goes back.
pub struct Reply {
    /// The request id, echoed or made here.
    pub request_id: String,
    /// The result as JSON, or why there is none.
    pub result: Result<String>,
}

/// A call whose caller is proven.
struct Proven {
    row: &'static Row,
    /// What they sent, or why it cannot be read.
    fields: Result<Fields>,
    principal: Principal,
    eop: EopTrace,
}

impl Gateway {
    /// A gateway over an appliance, which counts its calls here; remembers the request ids that were accepted before the
    /// last stop.
    pub fn new(app: Arc<App>, calls: Arc<Calls>) -> Result<Self> {
        let replays = Replays::new(*app.store.replay_key(), app.store.eop_memory()?);
        let (throttle, strangers) = (Throttle::default(), Strangers::default());
        let (start_id, ids) = (app.random()?, AtomicU64::new(0));
        Ok(Self { throttle, strangers, replays, calls, start_id, ids, app })
    }

    /// The appliance behind the gateway.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Serves one call that came over HTTP. What it carries is boxed: the state of a call that waits for its commit
    /// stays small.
    pub async fn perform(&self, request: Box<Request>) -> Reply {
        let arrival = self.arrival(&request);
        let (request_id, since, plane) = (arrival.id.clone(), arrival.arrived.0, arrival.plane);
        let identified = self.identify(&request, &arrival).await;
        // What a call carried goes before it waits: after its commit it would be in no cache any more.
        drop(request);
        let (row, result) = match identified {
            Ok(proven) => (Some(proven.row), self.serve(arrival, proven).await),
            Err(refusal) => (refusal.row, Err(Box::pin(self.refuse(arrival, refusal)).await)),
        };
        self.finished(row, plane, since, &request_id, &result);
        Reply { request_id, result }
    }

    /// Serves one call of the appliance itself.
    pub async fn submit<O: Operation>(&self, operation: O) -> Result<O::Output>
    where
        O::Output: DeserializeOwned,
    {
        let row = catalog::by_name(O::SPEC.name).ok_or(Error::OperationNotFound)?;
        let fields = Fields::from_json(&serde_json::to_vec(&operation).map_err(Error::internal)?)?;
        let clock = self.app.env.clock.clone();
        let arrival = Box::new(Arrival {
            id: self.new_id(),
            plane: Plane::Internal,
            source: None,
            user_agent: String::new(),
            time: self.app.store.time().read(),
            arrived: (clock.monotonic(), clock),
        });
        let (id, since) = (arrival.id.clone(), arrival.arrived.0);
        let eop = EopTrace::default();
        let proven = Box::new(Proven { row, fields: Ok(fields), principal: Principal::System, eop });
        let result = self.serve(arrival, proven).await;
        self.finished(Some(row), Plane::Internal, since, &id, &result);
        serde_json::from_str(&result?).map_err(Error::internal)
    }

    /// Counts a call that is over, and logs the cause of an internal failure: nobody else does.
    fn finished(&self, row: Option<&Row>, plane: Plane, since: Duration, id: &str, result: &Result<String>) {
        let latency = self.app.env.clock.monotonic().saturating_sub(since);
        self.calls.count(row, plane, result.as_ref().err(), latency);
        if let Err(error @ Error::Internal(cause)) = result {
            tracing::error!(event = "internal", request = id, ?cause, "{error}");
        }
    }

    /// Writes what the past minute's floods of strangers came to and forgets what is of no more use. Cron calls it.
    pub async fn sweep(&self) -> Result<()> {
        let time = self.app.store.time().read();
        self.app.store.tend();
        self.throttle.forget(self.app.env.clock.monotonic());
        self.replays.forget(time.confirmed);
        for suppressed in self.strangers.finished(time.now()) {
            let time = (suppressed.minute, time.offset);
            let draft = self.stranger_draft(Plane::Internal, time, suppressed.source);
            self.record_suppressed(draft, suppressed.calls, Error::SignatureMismatch).await?;
        }
        Ok(())
    }

    /// Writes how many calls came while the cipher machine was locked.
    pub async fn record_locked(&self, calls: u64) -> Result<()> {
        if calls == 0 {
            return Ok(());
        }
        let time = self.app.store.time().read();
        let draft = self.stranger_draft(Plane::Internal, (time.now(), time.offset), None);
        self.record_suppressed(draft, calls, Error::Unavailable("the cipher machine was locked")).await
    }

    async fn record_suppressed(&self, draft: Draft, calls: u64, failure: Error) -> Result<()> {
        let draft = Draft { request_id: self.new_id(), suppressed: Some(calls), ..draft };
        let entry = Box::new(Entry::of_record(draft, Some(failure)));
        self.app.store.record(self.app.store.reserve()?, entry).await?
    }

    fn arrival(&self, request: &Request) -> Box<Arrival> {
        let clock = self.app.env.clock.clone();
        let theirs = header(&request.headers, "ctyun-eop-request-id").filter(|id| id.len() <= 128);
        let id = match (request.plane, theirs) {
            (Plane::OpenApi, Some(id)) if !id.is_empty() => id.to_owned(),
            (Plane::OpenApi | Plane::AccessPoint | Plane::Internal, _) => self.new_id(),
        };
        Box::new(Arrival {
            id,
            plane: request.plane,
            source: request.source,
            user_agent: first_characters(&request.user_agent, 128).to_owned(),
            time: self.app.store.time().read(),
            arrived: (clock.monotonic(), clock),
        })
    }

    /// An id that no other call of this appliance has: the random number of this start, and a count.
    fn new_id(&self) -> String {
        let mut bytes = self.start_id;
        let count = self.ids.fetch_add(1, Ordering::Relaxed);
        for (to, from) in bytes.iter_mut().skip(8).zip(count.to_be_bytes()) {
            *to = from;
        }
        uuid::Builder::from_custom_bytes(bytes)
            .into_uuid()
            .hyphenated()
            .encode_lower(&mut uuid::Uuid::encode_buffer())
            .to_owned()
    }

    /// Steps 2 to 9 for a caller who is proven.
    async fn serve(&self, arrival: Box<Arrival>, proven: Box<Proven>) -> Result<String> {
        let Proven { row, fields, principal, eop } = *proven;
        if self.app.store.condition() == Condition::Reduced && !row.spec.served_when_full() {
            return Err(Error::Unavailable(
                "the disk of the service is full: until there is space again, only reading, disabling and deleting work",
            ));
        }
        let place = self.app.store.reserve()?;
        let pinned = eop.zone;
        let mut call = Box::new(Call::new(*arrival, row.spec, principal, place, eop));
        let result = match fields {
            Ok(fields) => self.execute(row, &fields, &mut call).await,
            Err(error) => Err(error),
        };
        if let Err(Error::OutcomeUnknown) = result {
            // If the change is durable, so is its record; one of its failure would contradict it.
            return result;
        }
        call.finish(&self.app.store, result.as_ref().err()).await?;
        if let Some((access_key, _)) = pinned {
            self.replays.confirm(access_key);
        }
        result
    }

    /// Steps 3 to 8: permitted at all, rate, decoding, targets, and the operation itself.
    async fn execute(&self, row: &Row, fields: &Fields, call: &mut Call) -> Result<String> {
        if !call.principal.permits(row.spec.audience) {
            return Err(Error::NoPermission);
        }
        let product = matches!(call.principal, Principal::Product { .. });
        if !product {
            self.throttle.charge(call, row.spec.rate, &self.app)?;
        }
        let operation = self.decode(row, fields, call);
        if product {
            // Its keys decide; what cannot be read, or names none of them, counts like other calls.
            self.throttle.charge(call, self.class_of_product(row, call)?, &self.app)?;
        }
        let operation = operation?;
        if let Some(first) = self.first_result(fields, call)? {
            return Ok(first);
        }
        operation.run(call, &self.app).await
    }

    /// Steps 5 to 7: what is asked for, and whether the caller may touch what it names.
    fn decode(&self, row: &Row, fields: &Fields, call: &mut Call) -> Result<Box<dyn Prepared>> {
        call.common = fields.decode::<Common>()?;
        if call.common.region_id.as_ref().is_some_and(|region| region.as_str() != self.app.config.region) {
            return Err(Error::invalid("regionId", "names no region of this appliance"));
        }
        let operation = (row.prepare)(fields)?;
        if let (Some(named), Audience::Tenant | Audience::Product) =
            (call.common.instance_id, row.spec.audience)
        {
            self.named_service(named, call)?;
        }
        for target in operation.targets()? {
            self.resolve(target, call)?;
        }
        Ok(operation)
    }

    /// The first result under this `clientToken`; notes the token for the operation if there is none yet.
    fn first_result(&self, fields: &Fields, call: &mut Call) -> Result<Option<String>> {
        let Some(token) = &call.common.client_token else { return Ok(None) };
        let mut hash = Sm3::new();
        for part in [
            &call.principal.name(),
            &call.principal.account().map(|id| id.to_string()).unwrap_or_default(),
            call.spec.name,
            token.as_str(),
        ] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let key = TokenKey(hash.finalize().into());
        let request = Sha256::digest(fields.fingerprint_text()).into();
        let remembered = self.app.store.remembered(&key, call.time().steady())?;
        call.token = Some((key, request));
        match remembered {
            Some(first) if first.request == request => Ok(Some(first.output)),
            Some(_) => Err(Error::invalid("clientToken", "was used with another request")),
            None => Ok(None),
        }
    }

    /// Records a call whose caller is not proven, or counts it with others of its source.
    async fn refuse(&self, arrival: Box<Arrival>, refusal: Box<Refusal>) -> Error {
        let Some(_place) = self.strangers.enter() else {
            return Error::Unavailable("too many calls that cannot be authenticated; retry in a moment");
        };
        if !self.strangers.records(arrival.source, arrival.time.now()) {
            return refusal.error;
        }
        let (since, clock) = &arrival.arrived;
        let draft = Draft {
            event_name: refusal.row.map_or(calls::UNKNOWN, |row| row.spec.name),
            account: refusal.account,
            access_key: refusal.access_key,
            user_agent: arrival.user_agent,
            request_id: arrival.id,
            duration: clock.monotonic().saturating_sub(*since),
            ..self.stranger_draft(arrival.plane, (arrival.time.now(), arrival.time.offset), arrival.source)
        };
        let failure = Some(refusal.error.clone());
        let entry = Box::new(Entry::of_record(draft, failure));
        let recorded = match self.app.store.reserve() {
            Ok(place) => self.app.store.record(place, entry).await.map(|_| ()),
            Err(error) => Err(error),
        };
        recorded.err().unwrap_or(refusal.error)
    }

    /// A record of somebody who is not known, with the appliance's time and how far that is ahead of the wall clock.
    fn stranger_draft(
        &self,
        plane: Plane,
        (time, demo_offset): (Timestamp, Duration),
        source: Option<IpAddr>,
    ) -> Draft {
        Draft {
            time,
            demo_offset,
            event_name: "suppressedCalls",
            event_type: plane.event_type(),
            event_source: plane.event_source(),
            account: None,
            instance: None,
            project: String::new(),
            resource_type: "",
            resource_ids: Vec::new(),
            resource_name: String::new(),
            principal_type: "UNKNOWN",
            user_name: String::new(),
            access_key: None,
            source,
            user_agent: String::new(),
            request_id: String::new(),
            suppressed: None,
            rehearsal: false,
            duration: Duration::ZERO,
        }
    }
}

/// The value of a header that is there exactly once.
fn header<'a>(headers: &'a [(Cow<'static, str>, String)], name: &str) -> Option<&'a str> {
    let mut values = headers.iter().filter(|(header, _)| *header == name).map(|(_, value)| value.as_str());
    let value = values.next();
    if values.next().is_some() { None } else { value }
}

/// A text, cut after so many characters.
fn first_characters(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| text.get(..end).unwrap_or_default())
}

/// Reads the operation and the service path out of a request.
fn route(request: &Request) -> Result<&'static Row> {
    let tail = match request.plane {
        Plane::OpenApi => request.path.strip_prefix("/v1").ok_or(Error::OperationNotFound)?,
        Plane::AccessPoint | Plane::Internal => request.path.strip_prefix("/v1").unwrap_or(&request.path),
    };
    let row = catalog::by_path(tail).filter(|row| row.spec.reach.contains(request.plane));
    let row = row.ok_or(Error::OperationNotFound)?;
    match (request.method, row.spec.access) {
        (Method::Post, _) | (Method::Get, Access::Read) => Ok(row),
        (Method::Get | Method::Other, Access::Write) => Err(Error::MethodNotAllowed("POST")),
        (Method::Other, Access::Read) => Err(Error::MethodNotAllowed("GET, POST")),
    }
}
