//! What is left of a key, and what is free again.

use serde_json::{Value, json};
use yaoku::ids::KeyId;
use yaoku::model::alias::Alias;
use yaoku::model::event::{Event, Occurrence};
use yaoku::store::Uses;

use super::{
    CREATE, DAY, DECRYPT, DESCRIBE, DESTROYED, SCHEDULE, destroy, gone, in_days, made, named, records, seal,
    stone, stones,
};
use crate::kit::{Service, poll};

#[test]
fn a_destroyed_key_is_nobodys_and_everything_of_it_is_free() {
    let service = Service::start_with(|config| {
        config.quota.keys_per_base_instance = 2;
        config.quota.asymmetric_versions_per_account = 2;
    });
    let admin = service.admin();
    let pair = made(&admin, json!({"keySpec": "RSA_2048", "aliasName": "alias/pair"}));
    admin.ok("/versionControl/createKeyVersion", named(&pair));
    let key = made(&admin, json!({"aliasName": "alias/name", "tags": [{"tagKey": "a", "tagValue": "b"}]}));
    let ciphertext = seal(&admin, &key);
    let version = admin.ok(DESCRIBE, named(&key))["primaryKeyVersion"].clone();
    let uses = || {
        let id = |text: &Value| serde_json::from_value::<KeyId>(text.clone()).unwrap();
        service.app().store.uses(id(&key), serde_json::from_value(version.clone()).unwrap()).unwrap()
    };
    assert_eq!(uses().count, 1);
    assert_eq!(admin.refused(CREATE, json!({})), "KMS.9030");
    let held = service.app().machine.device().keys_ready();
    destroy(&service, &admin, &[&pair, &key]);

    assert!(service.app().machine.device().keys_ready() < held, "the machine holds it no more");
    assert_eq!(uses(), Uses::default());
    for (_, call) in service.planes() {
        for (path, body, code) in [
            (DESCRIBE, named(&key), "KMS.9001"),
            (DESCRIBE, json!({"cmkUuid": "alias/name"}), "KMS.9003"),
            (DECRYPT, json!({"ciphertextBlob": ciphertext}), "KMS.9001"),
            ("/cmkManage/cancelKeyDeletion", named(&key), "KMS.9001"),
            (SCHEDULE, in_days(&key, 7), "KMS.9001"),
            ("/keyName/listAliasByUuid", named(&key), "KMS.9001"),
            ("/keyName/deleteAlias", json!({"aliasName": "alias/name"}), "KMS.9003"),
            ("/versionControl/listKeyVersions", named(&pair), "KMS.9001"),
            ("/keyName/createAlias", json!({"cmkUuid": key, "aliasName": "alias/x"}), "KMS.9001"),
        ] {
            assert_eq!(call(path, body).code(), code, "{path}");
        }
        assert_eq!(call("/keyName/listAlias", json!({})).result()["totalCount"], 0);
        assert_eq!(call("/keyManage/listAliasKeys", json!({})).result()["totalCount"], 0);
    }
    let tagged = admin.ok("/tag/listTagResources", json!({"resourceType": "CMK"}));
    assert_eq!(tagged["totalCount"], 0, "{tagged}");

    let again = made(&admin, json!({"keySpec": "RSA_2048", "aliasName": "alias/name"}));
    admin.ok("/versionControl/createKeyVersion", named(&again));
    assert_eq!(admin.ok(DESCRIBE, json!({"cmkUuid": "alias/name"}))["cmkUuid"], again);
    assert_eq!(admin.refused("/versionControl/createKeyVersion", named(&again)), "KMS.9030");
    // The name of the other key opens nothing of this one.
    assert_eq!(admin.refused(DECRYPT, json!({"ciphertextBlob": ciphertext})), "KMS.9001");

    // Nothing of it is hidden from the audit.
    let of_key = admin.ok("/audit/queryAudit", json!({"resourceId": key, "pageSize": 100}));
    let events: Vec<_> = of_key["records"].as_array().unwrap().iter().collect();
    for event in ["createKey", "encrypt", "scheduleKeyDeletion", "destroyKey"] {
        let found =
            events.iter().find(|record| record["eventName"] == event && record["errorCode"].is_null());
        let found = found.unwrap_or_else(|| panic!("{event}: {events:?}"));
        assert_eq!(found["accountId"], service.first["accountId"]);
        assert_eq!(found["instanceId"], service.first["instanceId"]);
    }
    let events =
        service.app().store.scan::<Event>(10, |event| event.what == Occurrence::KeyDestroyed).unwrap();
    let mut about: Vec<_> = events.records.iter().map(|event| json!(event.key)).collect();
    about.sort_by_key(Value::to_string);
    let mut wanted = vec![key, pair];
    wanted.sort_by_key(Value::to_string);
    assert_eq!(about, wanted);
}

#[test]
fn a_tombstone_says_what_the_key_was_to_its_own_account_alone() {
    let mut service = Service::start();
    let admin = service.admin();
    let (second, account) = service.tenant();
    let request = json!({
        "keySpec": "Ctyun_SM4", "aliasName": "alias/z", "description": "the archive of 2019", "projectId": "archive",
    });
    let key = admin.ok(CREATE, request);
    admin.ok("/keyName/createAlias", json!({"cmkUuid": key["cmkUuid"], "aliasName": "alias/a"}));
    let theirs = made(&second, json!({"aliasName": "alias/z"}));
    admin.ok(SCHEDULE, in_days(&key["cmkUuid"], 9));
    service.clock.advance(9 * DAY);
    gone(&admin, &key["cmkUuid"]);
    service.clock.advance(DAY);
    destroy(&service, &second, &[&theirs]);
    for _ in 0..2 {
        let (admin, second) = (service.admin(), service.person(&account));
        let mut found = stone(&admin, &key["cmkUuid"]);
        assert!(found["erased"].take().is_boolean());
        let date = crate::kit::START.after(9 * DAY).to_string();
        let wanted = json!({
            "cmkUuid": key["cmkUuid"], "arn": key["arn"], "creator": key["creator"], "creationDate": key["creationDate"],
            "deleteDate": date, "destroyDate": date, "erased": null, "description": "the archive of 2019",
            "keySpec": "Ctyun_SM4", "keyUsage": "ENCRYPT/DECRYPT", "origin": "Ctyun_KMS", "protectionLevel": "HSM",
            "projectId": "archive", "instanceId": service.first["instanceId"], "aliases": ["alias/a", "alias/z"], "aliasCount": 2,
        });
        assert_eq!(found, wanted);
        assert_eq!(stones(&admin).len(), 1);
        assert_eq!(stones(&second)[0]["cmkUuid"], theirs);
        assert_eq!(second.ok(DESTROYED, named(&key["cmkUuid"]))["totalCount"], 0);
        let foreign = json!({"instanceId": account["instanceId"]});
        assert_eq!(admin.refused(DESTROYED, foreign.clone()), "KMS.9005");
        assert_eq!(second.ok(DESTROYED, foreign)["totalCount"], 1);
        assert_eq!(service.first_application().refused(DESTROYED, json!({})), "KMS.9062");
        service.restart();
    }
}

#[test]
fn tombstones_are_listed_the_last_one_first_and_filtered() {
    let service = Service::start();
    let admin = service.admin();
    let mut keys = Vec::new();
    for (spec, usage, alias) in [
        ("AES_256", "ENCRYPT/DECRYPT", "alias/old"),
        ("Ctyun_SM4", "ENCRYPT/DECRYPT", "alias/older"),
        ("Ctyun_SM2", "SIGN/VERIFY", "alias/pair"),
    ] {
        let key = made(&admin, json!({"keySpec": spec, "keyUsage": usage, "aliasName": alias}));
        destroy(&service, &admin, &[&key]);
        keys.push((key, service.clock.now().to_string()));
    }
    let empty = made(&admin, json!({"origin": "External", "projectId": "other"}));
    destroy(&service, &admin, &[&empty]);
    keys.push((empty, service.clock.now().to_string()));
    let ids = |body: Value| -> Vec<Value> {
        let found = admin.ok(DESTROYED, body);
        found["destroyedKeys"].as_array().unwrap().iter().map(|key| key["cmkUuid"].clone()).collect()
    };
    let of = |numbers: &[usize]| -> Vec<Value> { numbers.iter().map(|at| keys[*at].0.clone()).collect() };
    assert_eq!(ids(json!({})), of(&[3, 2, 1, 0]));
    assert_eq!(ids(json!({"pageSize": 2})), of(&[3, 2]));
    assert_eq!(ids(json!({"pageSize": 3, "pageNumber": 2})), of(&[0]));
    for (filter, wanted) in [
        (json!({"keySpec": "AES_256"}), of(&[3, 0])),
        (json!({"keyUsage": "SIGN/VERIFY"}), of(&[2])),
        (json!({"protectionLevel": "HSM"}), of(&[2, 1])),
        (json!({"origin": "External"}), of(&[3])),
        (json!({"aliasName": "old"}), of(&[1, 0])),
        (json!({"projectId": "other"}), of(&[3])),
        (json!({"epId": "default"}), of(&[2, 1, 0])),
        (json!({"startTime": keys[2].1}), of(&[3, 2])),
        (json!({"endTime": keys[1].1, "keySpec": "SM4"}), of(&[1])),
        (json!({"cmkUuid": keys[1].0, "pageSize": 1}), of(&[1])),
        (json!({"instanceId": service.first["instanceId"]}), of(&[3, 2, 1, 0])),
    ] {
        assert_eq!(ids(filter.clone()), wanted, "{filter}");
    }
    // Everything that could be wrapped is erased in the end; what is not, is told.
    let all = |erased: bool| admin.ok(DESTROYED, json!({"erased": erased}))["totalCount"].clone();
    service.clock.advance(DAY);
    poll("the end of the roll", || (all(true) == 4 && all(false) == 0).then_some(()));
    assert!(stones(&admin).iter().all(|stone| stone["erased"] == true));
}

#[test]
fn a_key_with_a_thousand_names_goes_with_all_of_them() {
    let service = Service::start();
    let admin = service.admin();
    let (key, other) = (made(&admin, json!({})), made(&admin, json!({"aliasName": "alias/kept"})));
    for number in 0..1000 {
        let body = json!({"cmkUuid": key, "aliasName": format!("alias/n{number:03}")});
        admin.ok("/keyName/createAlias", body);
    }
    destroy(&service, &admin, &[&key]);
    let found = stone(&admin, &key);
    let first: Vec<String> = (0..20).map(|number| format!("alias/n{number:03}")).collect();
    assert_eq!((&found["aliasCount"], &found["aliases"]), (&json!(1000), &json!(first)));
    assert_eq!(admin.ok("/keyName/listAlias", json!({}))["totalCount"], 1);
    assert_eq!(admin.ok(DESCRIBE, json!({"cmkUuid": "alias/kept"}))["cmkUuid"], other);
    assert_eq!(service.app().store.scan::<Alias>(usize::MAX, |_| true).unwrap().total, 1);
    for number in [0, 500, 999] {
        admin.ok(
            "/keyName/createAlias",
            json!({"cmkUuid": other, "aliasName": format!("alias/n{number:03}")}),
        );
    }
    assert_eq!(records(&admin, "destroyKey").len(), 1);
}
