//! Queues that are full and keepers that die: every call is answered.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout;
use yaoku::api::{Arrival, Call};
use yaoku::catalog;
use yaoku::error::Error;
use yaoku::gateway::{Gateway, Method, Reply, Request};
use yaoku::ids::KeyId;
use yaoku::model::principal::{Plane, Principal};
use yaoku::store::EopTrace;

use super::attack;
use super::wire::PATIENCE;
use crate::kit::{OpenApi, Service, new_id};
use crate::ledger::figure;

/// Changes that are queued on one key.
const CHANGES: usize = 10_000;
/// Calls that may wait for their audit record.
const PLACES: usize = 8;
const ENABLE: &str = "/cmkManage/enableKey";
const DISABLE: &str = "/cmkManage/disableKey";

/// A signed call, as the listeners hand it over.
fn request(admin: &OpenApi, path: &str, body: &Value) -> Request {
    let request = admin.request(path, body.to_string().as_bytes());
    let authorization = request.authorization();
    let headers = request.headers(&authorization);
    Request {
        plane: Plane::OpenApi,
        source: None,
        user_agent: String::new(),
        method: Method::Post,
        headers: headers.map(|(name, value)| (name.to_lowercase().into(), value.to_owned())).to_vec(),
        path: request.path,
        query: String::new(),
        body: Ok(request.body),
    }
}

/// Makes all these calls at once, and waits until every one is answered.
fn all_at_once(gateway: &Arc<Gateway>, requests: Vec<Request>) -> Vec<Reply> {
    attack(LocalSet::new().run_until(async {
        let mut running = JoinSet::new();
        for request in requests {
            let gateway = Arc::clone(gateway);
            running.spawn_local(async move { gateway.perform(Box::new(request)).await });
        }
        let mut replies = Vec::new();
        while let Some(reply) = timeout(PATIENCE, running.join_next()).await.expect("no call is stuck") {
            replies.push(reply.unwrap());
        }
        replies
    }))
}

/// How many were served; all others must have been told to come back.
fn served(replies: &[Reply]) -> usize {
    let served = replies.iter().filter(|reply| reply.result.is_ok()).count();
    let busy = replies.iter().filter(|reply| matches!(reply.result, Err(Error::Unavailable(_)))).count();
    let other = || {
        replies
            .iter()
            .filter_map(|reply| reply.result.as_ref().err())
            .find(|error| !matches!(error, Error::Unavailable(_)))
    };
    assert_eq!(served + busy, replies.len(), "{:?}", other());
    served
}

#[test]
fn ten_thousand_changes_queued_on_one_key_are_all_answered() {
    let service = Service::start();
    let admin = service.admin();
    let body = json!({"cmkUuid": admin.ok("/cmkManage/createKey", json!({}))["cmkUuid"]});
    let changes = (0..CHANGES).map(|n| request(&admin, [DISABLE, ENABLE][n % 2], &body)).collect();
    let replies = all_at_once(&service.gateway(), changes);
    let served = served(&replies);
    figure("queued_changes_answered", format!("{} of {CHANGES}, {served}", replies.len()), "of them served");
    figure("stuck_requests", CHANGES - replies.len(), "calls");
    assert_eq!(replies.len(), CHANGES);
    assert!(served > 0);
    admin.ok(ENABLE, body.clone());
    assert_eq!(admin.ok("/keyManage/describeKey", body)["keyState"], "Enabled");
}

#[test]
fn a_full_queue_refuses_at_once_and_serves_again_later() {
    let service = Service::start_with(|config| config.store.audit_places = PLACES);
    let admin = service.admin();
    let body = json!({"cmkUuid": admin.ok("/cmkManage/createKey", json!({}))["cmkUuid"]});
    let calls = (0..1000).map(|_| request(&admin, "/get/messageDigest", &json!({"input": "x"}))).collect();
    let replies = all_at_once(&service.gateway(), calls);
    let served = served(&replies);
    assert!((1..1000).contains(&served), "{served} of {} with {PLACES} places", replies.len());
    admin.ok("/keyManage/describeKey", body);
}

/// Changes a key in a way that makes its keeper panic.
async fn kill_keeper(gateway: &Gateway, key: &KeyId) -> Result<(), Error> {
    let app = gateway.app();
    let row = catalog::by_name("disableKey").unwrap();
    let arrival = Arrival {
        id: new_id(),
        plane: Plane::Internal,
        source: None,
        user_agent: String::new(),
        time: app.store.time().read(),
        arrived: (Duration::ZERO, app.env.clock.clone()),
    };
    let place = app.store.reserve().unwrap();
    let call = Call::new(arrival, row.spec, Principal::System, place, EopTrace::default());
    // A panic, without the words of one.
    app.keys.change(&call, key, |_| std::panic::resume_unwind(Box::new(()))).await.map(drop)
}

#[test]
fn a_keeper_that_panics_answers_everybody_and_is_there_again() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok("/cmkManage/createKey", json!({}))["cmkUuid"].clone();
    let (body, id): (_, KeyId) = (json!({ "cmkUuid": key }), serde_json::from_value(key).unwrap());
    let gateway = service.gateway();
    for _ in 0..5 {
        let (killed, replies) = attack(LocalSet::new().run_until(async {
            let mut running = JoinSet::new();
            for n in 0..200 {
                let (gateway, request) =
                    (Arc::clone(&gateway), request(&admin, [DISABLE, ENABLE][n % 2], &body));
                running.spawn_local(async move { gateway.perform(Box::new(request)).await });
            }
            let killed = timeout(PATIENCE, kill_keeper(&gateway, &id)).await.expect("the panic is answered");
            (killed, timeout(PATIENCE, running.join_all()).await.expect("no call is stuck"))
        }));
        assert!(matches!(killed, Err(Error::Unavailable(_))), "{killed:?}");
        assert_eq!(replies.len(), 200);
        served(&replies);
        admin.ok(ENABLE, body.clone());
        assert_eq!(admin.ok("/keyManage/describeKey", body.clone())["keyState"], "Enabled");
    }
}
