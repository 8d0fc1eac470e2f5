//! A call in flight: who calls, when, what it touches, and the place that its audit record has been promised.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::Spec;
use crate::env::{Clock, Timestamp};
use crate::error::{Error, Result};
use crate::ids::{AccessKeyId, AccessPointId, AccountId, InstanceId, KeyId, VersionId};
use crate::model::alias::{Alias, AliasName, KeyRef};
use crate::model::association::{ProductUse, Resource};
use crate::model::attempt::{Attempt, Outcome};
use crate::model::audit::Draft;
use crate::model::confirmed::Reading;
use crate::model::key::Key;
use crate::model::owner::ServiceRef;
use crate::model::principal::{Plane, Principal};
use crate::model::text::{Number, Text};
use crate::store::{Changes, Entry, EopTrace, Place, Remembered, Store, TokenKey, UsedVersions};

/// How long a `clientToken` returns the first result.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A resource that an operation touches. The gateway resolves and authorises each before the operation runs.
#[derive(Debug, Clone)]
pub enum Target {
    /// A key, by id or alias.
    Key(KeyRef),
    /// An alias itself.
    Alias(AliasName),
    /// An access point.
    AccessPoint(AccessPointId),
    /// A credential of an access point.
    Credential(AccessKeyId),
    /// A credential of a cloud product.
    ProductCredential(AccessKeyId),
    /// A service, named by `instanceId` or the caller's default.
    Service,
}

/// What the targets became.
#[derive(Default)]
struct Touched {
    keys: Vec<KeyId>,
    alias: Option<Alias>,
    account: Option<AccountId>,
    instance: Option<InstanceId>,
    project: String,
    resource_type: &'static str,
    resource_ids: Vec<String>,
    resource_name: String,
}

/// One call in flight.
pub struct Call {
    /// Request id, as the client sees it.
    pub id: String,
    /// The surface it came in on.
    pub plane: Plane,
    /// Its row in the catalog.
    pub spec: &'static Spec,
    /// Who calls.
    pub principal: Principal,
    /// Where from.
    pub source: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: String,
    /// The appliance's time, read once: what records, dates and due jobs go by.
    pub now: Timestamp,
    /// The wall clock, read at the same time.
    pub wall: Timestamp,
    /// Fields that every operation understands.
    pub common: Common,
    /// Key and request fingerprint of the `clientToken`, if there is one.
    pub token: Option<(TokenKey, [u8; 32])>,
    /// Arrival on the monotonic clock, and that clock.
    pub arrived: (Duration, Clock),
    time: Reading,
    touched: RefCell<Touched>,
    used: Cell<UsedVersions>,
    resource: RefCell<Resource>,
    attempts: RefCell<Vec<Attempt>>,
    eop: EopTrace,
    place: RefCell<Option<Place>>,
    recorded: Cell<bool>,
}

/// Fields that are not repeated in every operation (contract section 1).
#[derive(Debug, Default, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Common {
    /// The service meant; without it the caller's own or oldest. `on-demand` means keys that belong to no service.
    pub instance_id: Option<ServiceRef>,
    /// For a day, the same token with the same request returns the first result.
    pub client_token: Option<Text<1, 64>>,
    /// The region; it must be that of the service.
    #[schemars(extend("examples" = ["local"]))]
    pub region_id: Option<Text<1, 64>>,
}

/// Which page of a list.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Page {
    /// Which page, from 1.
    #[serde(alias = "pageNo", alias = "pageNum")]
    #[schemars(extend("x-also-named" = ["pageNo", "pageNum"]))]
    pub page_number: Number<1, 1_000_000>,
    /// How many on a page, 1 to 100.
    pub page_size: Number<1, 100>,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            page_number: Number::new(1).expect("1 is within 1 to 1,000,000"),
            page_size: Number::new(10).expect("10 is within 1 to 100"),
        }
    }
}

impl Page {
    /// Records before the page.
    pub fn offset(&self) -> usize {
        (self.page_number.size() - 1) * self.page_size.size()
    }

    /// Records on the page at most.
    pub fn limit(&self) -> usize {
        self.page_size.size()
    }
}

/// Everything the gateway knows of a call before it runs.
pub struct Arrival {
    /// See [`Call::id`].
    pub id: String,
    /// See [`Call::plane`].
    pub plane: Plane,
    /// See [`Call::source`].
    pub source: Option<IpAddr>,
    /// See [`Call::user_agent`].
    pub user_agent: String,
    /// All clocks, read once.
    pub time: Reading,
    /// See [`Call::arrived`].
    pub arrived: (Duration, Clock),
}

impl Call {
    /// A call whose principal is proven and whose audit record has a place.
    pub fn new(
        arrival: Arrival,
        spec: &'static Spec,
        principal: Principal,
        place: Place,
        eop: EopTrace,
    ) -> Self {
        Self {
            id: arrival.id,
            plane: arrival.plane,
            spec,
            principal,
            source: arrival.source,
            user_agent: arrival.user_agent,
            now: arrival.time.now(),
            wall: arrival.time.wall,
            common: Common::default(),
            token: None,
            arrived: arrival.arrived,
            time: arrival.time,
            touched: RefCell::default(),
            used: Cell::default(),
            resource: RefCell::default(),
            attempts: RefCell::default(),
            eop,
            place: RefCell::new(Some(place)),
            recorded: Cell::new(false),
        }
    }

    /// The later of [`Call::now`] and the confirmed clock: what has run out by it cannot be used, although the wall clock may
    /// have been turned back. A wall clock that runs ahead takes it there for as long as it does.
    pub fn horizon(&self) -> Timestamp {
        self.time.horizon()
    }

    /// What has run out by this moment may be destroyed, never after [`Call::now`]; nothing while the wall clock is not trusted.
    pub fn settled(&self) -> Option<Timestamp> {
        self.time.settled()
    }

    /// All clocks, as they were when the call arrived.
    pub fn time(&self) -> Reading {
        self.time
    }

    /// The tenant that the call is for. The appliance's own calls name theirs by their targets.
    pub fn account(&self) -> Result<AccountId> {
        self.principal.account().ok_or(Error::NoPermission)
    }

    /// The key that the call is about: the first key among its targets.
    pub fn key(&self) -> Result<KeyId> {
        self.touched.borrow().keys.first().copied().ok_or(Error::KeyNotFound)
    }

    /// The keys that the call is about, in the order of its targets.
    pub fn keys(&self) -> Vec<KeyId> {
        self.touched.borrow().keys.clone()
    }

    /// The alias that the call is about, as it was when the caller's right to its key was checked.
    pub fn alias(&self) -> Result<Alias> {
        self.touched.borrow().alias.clone().ok_or(Error::AliasNotFound)
    }

    /// The service that the call is about.
    pub fn instance(&self) -> Result<InstanceId> {
        self.touched.borrow().instance.ok_or(Error::ResourceNotFound("service"))
    }

    /// Notes the key that a target resolved to.
    pub fn touch_key(&self, key: KeyId, meant_as: &str) {
        self.touched.borrow_mut().keys.push(key);
        self.touch("CMK", key.text(), meant_as);
    }

    /// Notes the alias that a target resolved to, and the key that it pointed to.
    pub fn touch_alias(&self, alias: Alias) {
        self.touch("Alias", alias.name.as_str(), alias.name.as_str());
        self.touch("CMK", alias.key.text(), "");
        self.touched.borrow_mut().alias.get_or_insert(alias);
    }

    /// Notes whose a key is: in records of the appliance's own calls it decides who sees them.
    pub fn touch_owner(&self, key: &Key) {
        self.touch_account(key.account);
        if let Some(instance) = key.owner.service() {
            self.touch_instance(instance);
        }
        let mut touched = self.touched.borrow_mut();
        if touched.project.is_empty() {
            touched.project = key.project.to_string();
        }
    }

    /// Notes the tenant that a target belongs to.
    pub fn touch_account(&self, account: AccountId) {
        self.touched.borrow_mut().account.get_or_insert(account);
    }

    /// Notes the service that a target belongs to.
    pub fn touch_instance(&self, instance: InstanceId) {
        self.touched.borrow_mut().instance.get_or_insert(instance);
    }

    /// Notes a resource for the audit record.
    pub fn touch(&self, kind: &'static str, id: impl Into<String>, meant_as: &str) {
        let mut touched = self.touched.borrow_mut();
        if touched.resource_type.is_empty() {
            touched.resource_type = kind;
        }
        touched.resource_ids.push(id.into());
        if touched.resource_name.is_empty() {
            touched.resource_name = meant_as.to_owned();
        }
    }

    /// Notes that the call works with a key version: one use of it, if the call succeeds.
    pub fn use_version(&self, key: KeyId, version: VersionId) {
        let mut used = self.used.get();
        used.note(key, version);
        self.used.set(used);
    }

    /// Notes the resource that a cloud product works for. What other callers say of resources is of no account.
    pub fn work_for(&self, resource: Resource) {
        *self.resource.borrow_mut() = resource;
    }

    /// What a successful call leaves among the associations: a cloud product's work with keys.
    fn product_use(&self) -> Option<Box<ProductUse>> {
        match (&self.principal, self.used.get().is_empty()) {
            (Principal::Product { code, .. }, false) => {
                Some(Box::new(ProductUse { product: *code, resource: self.resource.borrow().clone() }))
            }
            (Principal::Product { .. }, true)
            | (Principal::User { .. } | Principal::AccessPoint { .. } | Principal::System, _) => None,
        }
    }

    /// Notes that a key is disabled, pending deletion or in rehearsal. A call makes one attempt on a key, however often it
    /// names it.
    pub fn attempt(&self, attempt: Attempt) {
        let mut attempts = self.attempts.borrow_mut();
        if attempts.iter().all(|noted| noted.key != attempt.key) {
            attempts.push(attempt);
        }
    }

    /// Commits a create operation: its changes, its audit record and, if the caller sent a `clientToken`, its result.
    pub async fn create<T: Serialize>(&self, store: &Store, mut changes: Changes, output: T) -> Result<T> {
        self.remember(&mut changes, &output)?;
        self.commit(store, changes).await?;
        Ok(output)
    }

    /// Adds the result of a create operation to its changes, if the caller sent a `clientToken`.
    pub fn remember(&self, changes: &mut Changes, output: &impl Serialize) -> Result<()> {
        self.remember_from(self.time.steady(), changes, output)
    }

    /// Does the same for a call during which the time was moved to `now`, by the steady clock.
    pub fn remember_from(
        &self,
        now: Timestamp,
        changes: &mut Changes,
        output: &impl Serialize,
    ) -> Result<()> {
        if let Some((key, request)) = self.token {
            let output = serde_json::to_string(output).map_err(Error::internal)?;
            changes.remember(key, Remembered { request, output, expires: now.after(TOKEN_LIFE) });
        }
        Ok(())
    }

    /// Commits changes together with the call's audit record, which says success, or why the changes were refused.
    pub async fn commit(&self, store: &Store, changes: Changes) -> Result<()> {
        let place = self.take_place().ok_or_else(|| Error::internal("a call commits once"))?;
        let entry = self.entry(changes, None);
        let verdict = store.record(place, entry).await?;
        self.note_recorded();
        verdict
    }

    /// Writes the audit record of a call, unless it was written with its changes.
    pub async fn finish(self: Box<Self>, store: &Store, failure: Option<&Error>) -> Result<()> {
        if self.recorded.get() {
            return Ok(());
        }
        let place = match self.take_place() {
            Some(place) => place,
            None => store.reserve()?,
        };
        let entry = self.entry(Changes::default(), failure.cloned());
        drop(self);
        store.record(place, entry).await?
    }

    /// Notes that the call has its audit record.
    pub fn note_recorded(&self) {
        self.recorded.set(true);
    }

    /// Takes the promised place; whoever has it writes the audit record.
    pub fn take_place(&self) -> Option<Place> {
        self.place.borrow_mut().take()
    }

    /// Gives the place back: nothing was recorded.
    pub fn return_place(&self, place: Place) {
        *self.place.borrow_mut() = Some(place);
    }

    /// What the call leaves behind.
    pub fn entry(&self, changes: Changes, failure: Option<Error>) -> Box<Entry> {
        let touched = self.touched.borrow();
        let (since, clock) = &self.arrived;
        let attempts = self.attempts.borrow().clone();
        let draft = Draft {
            time: self.now,
            demo_offset: self.time.offset,
            event_name: self.spec.name,
            event_type: self.plane.event_type(),
            event_source: self.plane.event_source(),
            account: self.principal.account().or(touched.account),
            instance: touched.instance,
            project: touched.project.clone(),
            resource_type: touched.resource_type,
            resource_ids: touched.resource_ids.clone(),
            resource_name: touched.resource_name.clone(),
            principal_type: self.principal.kind(),
            user_name: self.principal.name(),
            access_key: self.principal.access_key(),
            source: self.source,
            user_agent: self.user_agent.clone(),
            request_id: self.id.clone(),
            suppressed: None,
            rehearsal: attempts.iter().any(|attempt| attempt.outcome == Outcome::Rehearsed),
            duration: clock.monotonic().saturating_sub(*since),
        };
        let (uses, product) = (self.used.get(), self.product_use());
        Box::new(Entry { draft, failure, changes, uses, product, attempts, eop: self.eop.clone() })
    }
}
