//! An appliance with everything that a refusal can need: two tenants, switched-off credentials, keys in every state, all of
//! its records, and its audit trail.

use std::collections::HashMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use yaoku::app::App;
use yaoku::env::Disk;
use yaoku::ids::{AccessKeyId, InstanceId, KeyId};
use yaoku::model::access_point::AccessPoint;
use yaoku::model::account::{Account, User};
use yaoku::model::alias::Alias;
use yaoku::model::credential::{Credential, CredentialStatus};
use yaoku::model::instance::{Instance, ServiceState};
use yaoku::model::key::{Key, KeyState};
use yaoku::model::principal::{Audience, Plane};
use yaoku::model::record::Record;
use yaoku::store::Query;

use super::bodies::Tenant;
use super::message::Caller;
use crate::kit::{OpenApi, Service};

/// Refusals of strangers that have a record of their own within a minute.
const STRANGERS: usize = 60;

pub struct Appliance {
    pub service: Service,
    /// Whose calls are refused.
    pub tenant: Tenant,
    /// To whom the others' resources belong.
    pub stranger: Tenant,
    pub administrator: Tenant,
    /// A cloud product that encrypts for the tenant.
    pub product: OpenApi,
    disabled: Tenant,
    runtime: tokio::runtime::Runtime,
    strangers: usize,
}

impl Appliance {
    pub fn start() -> Self {
        let service = Service::demo(Disk::System, |config| {
            config.quota.asymmetric_versions_per_account = 100_000;
            config.import.spare_wrapping_keys = 1;
            // What falls due would change things beside the call that is looked at.
            config.cron.tick_seconds = 3600;
            // advanceTime goes as far as it may.
            config.audit.retention_days = 0;
        });
        let tenant = || {
            let (person, account) = service.tenant();
            Tenant::new(&service, person, account)
        };
        let (first, stranger, disabled) = (tenant(), tenant(), tenant());
        let administrator = Tenant::new(&service, service.admin(), service.first.clone());
        let product = service.product(&first.person, "ecs");
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let appliance = Self {
            service,
            tenant: first,
            stranger,
            administrator,
            product,
            disabled,
            runtime,
            strangers: 0,
        };
        for plane in [Plane::OpenApi, Plane::AccessPoint] {
            let mut caller = appliance.disabled(plane);
            appliance.disable(caller.credential().0);
        }
        appliance
    }

    /// Who may call an operation for this audience.
    pub fn owner(&self, audience: Audience) -> &Tenant {
        match audience {
            Audience::Tenant | Audience::Product => &self.tenant,
            Audience::Administrator => &self.administrator,
        }
    }

    /// A caller whose credential is switched off.
    pub fn disabled(&self, plane: Plane) -> Caller {
        self.disabled.caller(plane)
    }

    /// Lets a minute pass before so many refusals of strangers would be more than get records of their own in one.
    pub fn expect_strangers(&mut self, number: usize) {
        self.strangers += number;
        if self.strangers > STRANGERS {
            self.strangers = number;
            self.service.clock.advance(Duration::from_secs(60));
        }
    }

    /// Puts a key into a state, whether or not an operation leads there.
    pub fn put_key(&self, key: &Value, state: KeyState) {
        let (app, id): (&App, KeyId) = (self.app(), serde_json::from_value(key.clone()).unwrap());
        let edit = move |key: &mut Key| {
            key.state = state;
            Ok(())
        };
        self.runtime.block_on(app.keys.change(&self.service.internal_call(), &id, edit)).unwrap().unwrap();
    }

    /// Puts a tenant's service into a state.
    pub fn put_service(&self, id: &Value, state: ServiceState) {
        let (app, id): (&App, InstanceId) = (self.app(), serde_json::from_value(id.clone()).unwrap());
        let edit = move |instance: &mut Instance| {
            instance.state = state;
            Ok(())
        };
        self.runtime
            .block_on(app.instances.change(&self.service.internal_call(), &id, edit))
            .unwrap()
            .unwrap();
    }

    fn disable(&self, access_key: &str) {
        let (app, id): (&App, AccessKeyId) = (self.app(), access_key.parse().unwrap());
        let edit = |credential: &mut Credential| {
            credential.status = CredentialStatus::Disabled;
            Ok(())
        };
        self.runtime
            .block_on(app.credentials.change(&self.service.internal_call(), &id, edit))
            .unwrap()
            .unwrap();
    }

    /// The running appliance behind its listeners.
    pub fn app(&self) -> &App {
        self.service.app()
    }
}

/// Every record, without the wrapped forms of secrets and the warnings given: cron may change those at any time.
pub fn records(app: &App) -> Vec<Value> {
    let mut records = Vec::new();
    note::<Key>(app, &mut records);
    note::<Alias>(app, &mut records);
    note::<Credential>(app, &mut records);
    note::<AccessPoint>(app, &mut records);
    note::<Instance>(app, &mut records);
    note::<Account>(app, &mut records);
    note::<User>(app, &mut records);
    records
}

/// How many audit records there are.
pub fn recorded(app: &App) -> u64 {
    app.store.audit_head().unwrap().0
}

/// The audit records after the first `number`, by request id.
pub fn trail(app: &App, number: u64) -> HashMap<String, Vec<Value>> {
    let (mut by_request, mut before) = (HashMap::new(), None);
    let keep = |record: &serde_json::Map<String, Value>| {
        record["sequence"].as_u64().is_some_and(|sequence| sequence >= number)
    };
    loop {
        let query = Query { before, from: None, to: None, limit: 1000, values: Vec::new(), keep: &keep };
        let found = app.store.search(&query).unwrap();
        for record in found.records {
            let id = record["requestId"].as_str().unwrap_or_default().to_owned();
            by_request.entry(id).or_insert_with(Vec::new).push(Value::Object(record));
        }
        before = found.next.filter(|next| *next > number);
        if before.is_none() {
            return by_request;
        }
    }
}

fn note<R: Record + Serialize>(app: &App, records: &mut Vec<Value>) {
    for record in app.store.scan::<R>(usize::MAX, |_| true).unwrap().records {
        let mut record = serde_json::to_value(&record).unwrap();
        without_wrapped(&mut record);
        records.push(json!([R::KIND as u8, record]));
    }
}

fn without_wrapped(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|name, _| !["wrapped", "wrapping_key", "secret", "told"].contains(&name.as_str()));
            fields.values_mut().for_each(without_wrapped);
        }
        Value::Array(items) => items.iter_mut().for_each(without_wrapped),
        _ => {}
    }
}
