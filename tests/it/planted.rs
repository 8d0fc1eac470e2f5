//! Records that no operation of this version makes yet, put into the store of a running service: what must hold for a second
//! service of an account, and for keys in states that cannot be reached otherwise.

use std::time::Duration;

use serde_json::{Value, json};
use yaoku::error::Error;
use yaoku::ids::{InstanceId, KeyId, PartitionId};
use yaoku::model::audit::Draft;
use yaoku::model::instance::{Instance, ServiceState};
use yaoku::model::key::{Key, KeyState};
use yaoku::store::{Changes, Entry};

use crate::kit::{START, Service, new_id};

/// The record of a call that nobody made.
pub fn draft() -> Draft {
    Draft {
        time: START,
        demo_offset: Duration::ZERO,
        event_name: "planted",
        event_type: "SYSTEM",
        event_source: "INTERNAL",
        account: None,
        instance: None,
        project: String::new(),
        resource_type: "",
        resource_ids: Vec::new(),
        resource_name: String::new(),
        principal_type: "SYSTEM",
        user_name: String::new(),
        access_key: None,
        source: None,
        user_agent: String::new(),
        request_id: new_id(),
        suppressed: None,
        rehearsal: false,
        duration: Duration::ZERO,
    }
}

/// Commits changes that no operation makes.
pub fn commit(service: &Service, changes: Changes) {
    let store = service.app().store.clone();
    let entry = Box::new(Entry { changes, ..Entry::of_record(draft(), None) });
    let place = store.reserve().unwrap();
    actix::System::new().block_on(async move { store.record(place, entry).await }).unwrap().unwrap();
}

/// A second service of the first account, with a partition of its own.
pub fn second_service(service: &Service) -> Value {
    let app = service.app();
    let first: InstanceId = serde_json::from_value(service.first["instanceId"].clone()).unwrap();
    let partition = PartitionId::from_random(app.random().unwrap());
    app.machine.device().create_partition(firmware_sim::PartitionId(*partition.as_bytes())).unwrap();
    let instance = Instance {
        id: InstanceId::from_random([7; 6]),
        partition,
        // The older one is the default.
        created: START.after(Duration::from_secs(1)),
        ..Instance::clone(&app.instance(first).unwrap())
    };
    let mut changes = Changes::default();
    changes.insert(&instance, Error::internal("it exists")).unwrap();
    commit(service, changes);
    json!(instance.id)
}

/// Brings a service into a state and starts the appliance again, so that nobody holds what it was.
pub fn set_service(service: &mut Service, id: &Value, state: ServiceState) {
    let id: InstanceId = serde_json::from_value(id.clone()).unwrap();
    let before: Instance = service.app().store.get(&id).unwrap().unwrap();
    let mut changes = Changes::default();
    let after = Instance { state, ..before.clone() };
    changes.replace(&before, &after, Error::internal("it is gone")).unwrap();
    commit(service, changes);
    service.restart();
}

/// Brings a key into a state and starts the service again.
pub fn set_state(service: &mut Service, key: &Value, state: KeyState) {
    change_key(service, key, |key| key.state = state);
}

/// Changes a key and starts the service again, so that nobody holds what it was.
pub fn change_key(service: &mut Service, key: &Value, change: impl FnOnce(&mut Key)) {
    let id: KeyId = serde_json::from_value(key.clone()).unwrap();
    let before: Key = service.app().store.get(&id).unwrap().unwrap();
    let mut after = before.clone();
    change(&mut after);
    let mut changes = Changes::default();
    changes.replace(&before, &after, Error::internal("it is gone")).unwrap();
    commit(service, changes);
    service.restart();
}
