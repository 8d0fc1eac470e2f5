//! Material that expires.

use std::time::Duration;

use serde_json::{Value, json};
use yaoku::env::Timestamp;
use yaoku::ids::KeyId;
use yaoku::model::key::Key;

use super::{DISABLE, IMPORT, MATERIAL, OAEP, describe, opens, records, seal, service, shut, state};
use crate::kit::{OpenApi, START, Service, base64, poll};
use crate::material::{Way, external};

const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

fn until(way: &Way, at: Timestamp) -> Value {
    let mut body = way.body(&MATERIAL);
    body["keyMaterialExpireUnix"] = json!(at.seconds());
    body
}

/// How many versions the store has of a key.
fn stored(service: &Service, key: &Value) -> usize {
    let id: KeyId = serde_json::from_value(key.clone()).unwrap();
    service.app().store.get::<Key>(&id).unwrap().unwrap().versions.len()
}

#[test]
fn material_expires_at_its_second_and_is_destroyed() {
    let service = service();
    let admin = service.admin();
    let way = Way::new(&admin, &external(&admin, "AES_256"), OAEP);
    for past in [START, Timestamp::from_seconds(START.seconds() - 1), Timestamp::from_seconds(1)] {
        assert_eq!(admin.refused(IMPORT, until(&way, past)), "KMS.9020", "{past}");
    }
    let end = START.after(DAY);
    let imported = admin.ok(IMPORT, until(&way, end));
    assert_eq!(imported["materialExpireTime"], "2026-11-03T00:00:00Z");
    assert_eq!(describe(&admin, &way.key)["materialExpireTime"], "2026-11-03T00:00:00Z");
    let sealed = seal(&admin, &way.key);
    service.clock.advance(DAY - SECOND);
    opens(&admin, &sealed);
    service.clock.advance(SECOND);
    // From this call on, whether or not the scheduler came by.
    assert_eq!(shut(&admin, &sealed), "KMS.9012");
    let encrypt = json!({"cmkUuid": way.key, "plaintext": base64("more")});
    assert_eq!(admin.refused("/keyCompute/encrypt", encrypt), "KMS.9012");
    assert_eq!(state(&admin, &way.key), "PendingImport");
    poll("the end of the material", || (stored(&service, &way.key) == 0).then_some(()));
    assert_eq!(records(&admin, "expireKeyMaterial").len(), 1);
}

/// Each import says anew when the material ends; without a date it stays.
#[test]
fn the_latest_import_says_when_material_ends() {
    let service = service();
    let admin = service.admin();
    let way = Way::new(&admin, &external(&admin, "AES_256"), OAEP);
    admin.ok(IMPORT, until(&way, START.after(DAY / 2)));
    admin.ok(IMPORT, until(&way, START.after(DAY / 4)));
    assert_eq!(describe(&admin, &way.key)["materialExpireTime"], "2026-11-02T06:00:00Z");
    admin.ok(DISABLE, json!({"cmkUuid": way.key}));
    let body = way.body(&MATERIAL);
    let kept = admin.ok(IMPORT, body);
    assert_eq!((&kept["keyState"], &kept["materialExpireTime"]), (&json!("Disabled"), &json!("")));
    service.clock.advance(DAY - SECOND);
    assert_eq!(state(&admin, &way.key), "Disabled");
    assert_eq!(stored(&service, &way.key), 1);
    // A disabled key loses its material as well.
    admin.ok(IMPORT, until(&way, service.clock.now().after(SECOND)));
    service.clock.advance(SECOND);
    assert_eq!(state(&admin, &way.key), "PendingImport");
    poll("the end of the material", || (stored(&service, &way.key) == 0).then_some(()));
}

/// A clock that goes back brings nothing back, even if nobody had destroyed the material when its time came.
#[test]
fn a_clock_that_is_turned_back_revives_no_material() {
    let mut service = Service::start_with(|config| {
        config.import.spare_wrapping_keys = 1;
        config.cron.tick_seconds = 3600;
    });
    let admin = service.admin();
    let way = Way::new(&admin, &external(&admin, "AES_256"), OAEP);
    admin.ok(IMPORT, until(&way, START.after(DAY)));
    let sealed = seal(&admin, &way.key);
    service.clock.advance(DAY);
    assert_eq!(shut(&admin, &sealed), "KMS.9012");
    assert_eq!(stored(&service, &way.key), 1, "no tick came");
    let back = |service: &mut Service| {
        service.restart_at(START.after(DAY - 1200 * SECOND));
    };
    back(&mut service);
    let gone = |admin: &OpenApi| {
        assert_eq!(shut(admin, &sealed), "KMS.9012");
        assert_eq!(state(admin, &way.key), "PendingImport");
        assert_eq!(admin.refused("/cmkManage/enableKey", json!({"cmkUuid": way.key})), "KMS.9013");
    };
    gone(&service.admin());
    // What would be over at once is refused.
    let again = Way::new(&service.admin(), &way.key, OAEP);
    assert_eq!(service.admin().refused(IMPORT, until(&again, START.after(DAY - SECOND))), "KMS.9020");
    service.config.cron.tick_seconds = 1;
    service.restart_at(START.after(DAY));
    poll("the end of the material", || (stored(&service, &way.key) == 0).then_some(()));
    gone(&service.admin());
    service.admin().ok(IMPORT, again.body(&MATERIAL));
    opens(&service.admin(), &sealed);
}
