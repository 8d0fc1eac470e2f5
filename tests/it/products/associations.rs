//! Associations: what cloud products work for with a key, from their successful calls alone.

use std::time::Duration;

use serde_json::{Value, json};
use yaoku::env::Timestamp;
use yaoku::ids::{KeyId, VersionId};
use yaoku::model::association::{ProductUse, Resource};
use yaoku::model::product::ServiceCode;
use yaoku::model::text::Text;
use yaoku::store::{Entry, UsedVersions};

use super::{CREATE, DATA_KEY, DECRYPT, DESCRIBE, ENCRYPT, default_key, text};
use crate::kit::{OpenApi, START, Service, base64, parallel, poll};
use crate::planted::draft;

const DETECT: &str = "/cmkManage/detectAssociation";
const WRAPPED_DATA_KEY: &str = "/keyCompute/generateDataKeyWithoutPlaintext";

fn for_disk(key: &Value, id: &str, name: &str) -> Value {
    json!({"cmkUuid": key["cmkUuid"], "resourceId": id, "resourceName": name})
}

/// Product, resource, name, first and last use of each association, in their order.
fn found(person: &OpenApi, key: &Value) -> Vec<[String; 5]> {
    let page = person.ok(DETECT, json!({"cmkUuid": key["cmkUuid"], "pageSize": 100}));
    let fields = ["serviceCode", "resourceId", "resourceName", "firstUsedTime", "lastUsedTime"];
    let of = |it: &Value| fields.map(|field| it[field].as_str().unwrap().to_owned());
    let found: Vec<_> = page["associations"].as_array().unwrap().iter().map(of).collect();
    assert_eq!(page["totalCount"], found.len());
    found
}

fn at(minutes: u64) -> String {
    START.after(Duration::from_secs(60 * minutes)).to_string()
}

fn line(code: &str, id: &str, name: &str, first: u64, last: u64) -> [String; 5] {
    [code.into(), id.into(), name.into(), at(first), at(last)]
}

#[test]
fn every_call_of_a_product_is_seen_the_latest_first_also_after_a_restart() {
    let mut service = Service::start();
    let admin = service.admin();
    let (ecs, zos) = (service.product(&admin, "ecs"), service.product(&admin, "zos"));
    let key = admin.ok(CREATE, json!({}));
    assert_eq!(found(&admin, &key), Vec::<[String; 5]>::new());
    let minute = || service.clock.advance(Duration::from_secs(60));
    let sealed = ecs.ok(DATA_KEY, for_disk(&key, "disk-1", "数据盘"));
    minute();
    ecs.ok(WRAPPED_DATA_KEY, for_disk(&key, "disk-2", ""));
    minute();
    zos.ok(DATA_KEY, for_disk(&key, "disk-1", "bucket"));
    minute();
    let open = json!({"ciphertextBlob": sealed["ciphertextBlob"], "resourceId": "disk-1"});
    ecs.ok(DECRYPT, open);
    minute();
    ecs.ok(ENCRYPT, text(&key));
    let expected = [
        line("ecs", "", "", 4, 4),
        line("ecs", "disk-1", "数据盘", 0, 3),
        line("zos", "disk-1", "bucket", 2, 2),
        line("ecs", "disk-2", "", 1, 1),
    ];
    assert_eq!(found(&admin, &key), expected);
    service.restart();
    let admin = service.admin();
    assert_eq!(found(&admin, &key), expected);
    let page = json!({"cmkUuid": key["cmkUuid"], "pageSize": 3, "pageNumber": 2});
    let page = admin.ok(DETECT, page);
    assert_eq!((&page["totalCount"], &page["associations"][0]["resourceId"]), (&json!(4), &json!("disk-2")));
    assert_eq!(page["associations"].as_array().unwrap().len(), 1);
}

#[test]
fn others_and_calls_that_fail_leave_nothing() {
    let service = Service::start();
    let (admin, application) = (service.admin(), service.first_application());
    let ecs = service.product(&admin, "ecs");
    let key = admin.ok(CREATE, json!({}));
    let sealed = admin.ok(DATA_KEY, for_disk(&key, "mine", "mine"));
    application.ok(DATA_KEY, for_disk(&key, "mine", "mine"));
    let mut spoiled = crate::kit::unbase64(&sealed["ciphertextBlob"]);
    *spoiled.last_mut().unwrap() ^= 1;
    let open = |bytes: &[u8]| json!({"ciphertextBlob": base64(bytes), "resourceId": "disk"});
    assert_eq!(ecs.refused(DECRYPT, open(&spoiled)), "KMS.9028");
    admin.ok("/cmkManage/disableKey", json!({"cmkUuid": key["cmkUuid"]}));
    assert_eq!(ecs.refused(DATA_KEY, for_disk(&key, "disk", "")), "KMS.9010");
    admin.ok("/cmkManage/enableKey", json!({"cmkUuid": key["cmkUuid"]}));
    assert_eq!(found(&admin, &key), Vec::<[String; 5]>::new());
    assert_eq!(ecs.refused(DATA_KEY, for_disk(&key, &"x".repeat(129), "")), "KMS.9020");
    ecs.ok(DATA_KEY, for_disk(&key, &"钥".repeat(128), &"匙".repeat(128)));
    assert_eq!(found(&admin, &key).len(), 1);
}

#[test]
fn its_account_alone_sees_what_a_key_is_used_for() {
    let service = Service::start();
    let (admin, (second, _)) = (service.admin(), service.tenant());
    let ecs = service.product(&admin, "ecs");
    let key = default_key(&ecs, "ecs");
    let other = admin.ok(CREATE, json!({}));
    let sealed = ecs.ok(ENCRYPT, text(&other));
    let body = json!({"ciphertextBlob": sealed["ciphertextBlob"], "destinationCmkUuid": key["cmkUuid"]});
    ecs.ok("/keyCompute/reEncrypt", body);
    assert_eq!(found(&admin, &key), [line("ecs", "", "", 0, 0)], "reEncrypt uses both keys");
    assert_eq!(found(&admin, &other), [line("ecs", "", "", 0, 0)]);
    let body = json!({"cmkUuid": key["cmkUuid"]});
    assert_eq!(second.refused(DETECT, body.clone()), "KMS.9001");
    assert_eq!(ecs.refused(DETECT, body.clone()), "KMS.9044");
    assert_eq!(service.first_application().refused(DETECT, body), "KMS.9062");
}

/// Names are user data: the database shows neither them nor ids.
#[test]
fn whoever_holds_the_database_reads_no_resource_in_it() {
    let mut service = Service::start();
    let admin = service.admin();
    let ecs = service.product(&admin, "ecs");
    let key = default_key(&ecs, "ecs");
    ecs.ok(DATA_KEY, for_disk(&key, "disk-of-payroll", "salaries-2026"));
    assert_eq!(found(&admin, &key), [line("ecs", "disk-of-payroll", "salaries-2026", 0, 0)]);
    service.stop();
    let file = std::fs::read(service.config.data.join("yaoku.redb")).unwrap();
    let shows = |text: &str| file.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!shows("disk-of-payroll") && !shows("salaries-2026"));
    assert!(shows("alias/ecs"), "names of keys are no secret, so the search finds what is there");
}

/// Calls that nobody made, as the writer takes them.
fn record(service: &Service, key: KeyId, code: ServiceCode, ids: impl Iterator<Item = (usize, Timestamp)>) {
    let store = service.app().store.clone();
    let entries: Vec<_> = ids
        .map(|(number, time)| {
            let mut uses = UsedVersions::default();
            uses.note(key, VersionId::from_bytes([1; 16]));
            let resource =
                Resource { id: Text::new(format!("disk-{number}")).unwrap(), name: Text::default() };
            let product = Some(Box::new(ProductUse { product: code, resource }));
            let mut draft = draft();
            draft.time = time;
            Box::new(Entry { uses, product, ..Entry::of_record(draft, None) })
        })
        .collect();
    actix::System::new().block_on(async move {
        for entry in entries {
            store.record(store.reserve().unwrap(), entry).await.unwrap().unwrap();
        }
    });
}

/// The thousand that were used last are remembered, for each product; room is made for a hundred at once.
#[test]
fn resources_that_were_used_longest_ago_are_forgotten_when_there_are_too_many() {
    let service = Service::start();
    let admin = service.admin();
    let key = admin.ok(CREATE, json!({}));
    let id: KeyId = serde_json::from_value(key["cmkUuid"].clone()).unwrap();
    let time = |second: usize| Timestamp::from_seconds(START.seconds() + second as i64);
    record(&service, id, ServiceCode::Zos, std::iter::once((0, time(0))));
    record(&service, id, ServiceCode::Ecs, (0..1000).map(|number| (number, time(number))));
    // The oldest is used again.
    record(&service, id, ServiceCode::Ecs, std::iter::once((0, time(2000))));
    let of_ecs = || -> Vec<String> {
        let found = service.app().store.associations(id).unwrap().into_iter();
        let found = found.filter(|it| it.product == ServiceCode::Ecs);
        found.map(|it| it.resource.id.to_string()).collect()
    };
    assert_eq!((of_ecs().len(), of_ecs()[0].as_str()), (1000, "disk-0"));
    record(&service, id, ServiceCode::Ecs, std::iter::once((1000, time(3000))));
    let left = of_ecs();
    assert_eq!(left.len(), 901);
    assert_eq!(left[..2], ["disk-1000", "disk-0"]);
    assert!(!left.contains(&"disk-100".to_owned()) && left.contains(&"disk-101".to_owned()));
    let total = admin.ok(DETECT, json!({"cmkUuid": key["cmkUuid"]}))["totalCount"].clone();
    assert_eq!(total, 902, "those of the other product stay");
    record(&service, id, ServiceCode::Ecs, (2000..2099).map(|number| (number, time(4000))));
    assert_eq!(of_ecs().len(), 1000);
}

/// What is known of a key's use goes with it.
#[test]
fn a_destroyed_key_takes_its_associations_along() {
    let service = Service::start();
    let admin = service.admin();
    let ecs = service.product(&admin, "ecs");
    let keys = [admin.ok(CREATE, json!({})), admin.ok(CREATE, json!({}))];
    let ids = keys.each_ref().map(|key| -> KeyId { serde_json::from_value(key["cmkUuid"].clone()).unwrap() });
    let known = |id| service.app().store.associations(id).unwrap().len();
    for key in &keys {
        ecs.ok(DATA_KEY, for_disk(key, "disk-1", "data"));
        ecs.ok(DATA_KEY, for_disk(key, "disk-2", "data"));
    }
    let window = json!({"cmkUuid": keys[0]["cmkUuid"], "pendingWindowInDays": 7});
    admin.ok("/cmkManage/scheduleKeyDeletion", window);
    assert_eq!(found(&admin, &keys[0]).len(), 2, "seen until the end");
    service.clock.advance(Duration::from_secs(8 * 24 * 3600));
    poll("the destruction of the key", || {
        let answer = admin.call(DESCRIBE, json!({"cmkUuid": keys[0]["cmkUuid"]}));
        answer.success().is_none().then_some(())
    });
    assert_eq!(ids.map(known), [0, 2]);
}

/// A call may end after its key was destroyed: it brings nothing back.
#[test]
fn a_key_that_is_gone_keeps_no_association() {
    let service = Service::start();
    let id = KeyId::from_bytes([7; 16]);
    record(&service, id, ServiceCode::Ecs, std::iter::once((0, START)));
    assert_eq!(service.app().store.associations(id).unwrap(), []);
}

#[test]
fn calls_at_the_same_time_are_all_seen() {
    let service = Service::start();
    let admin = service.admin();
    let ecs = service.product(&admin, "ecs");
    let key = default_key(&ecs, "ecs");
    parallel(16, |thread| {
        for call in 0..5 {
            ecs.ok(DATA_KEY, for_disk(&key, &format!("disk-{}", thread % 4 * 5 + call), ""));
        }
    });
    assert_eq!(found(&admin, &key).len(), 20);
}
