//! The rate of default keys: one for all products of an account together, beside that of other symmetric work (contract 4.4).

use std::time::Duration;

use serde_json::json;
use yaoku::config::Config;
use yaoku::model::rate::Rate;

use super::{CREATE, DATA_KEY, DESCRIBE, ENCRYPT, default_key, text};
use crate::kit::Service;

/// Three calls with default keys, two of other symmetric work; the clock stands.
fn slow() -> Service {
    Service::start_with(|config| {
        config.rates.default_key = Rate { openapi: 3, access_point: 0 };
        config.rates.symmetric = Rate { openapi: 2, access_point: 0 };
    })
}

#[test]
fn all_products_of_an_account_share_the_rate_of_default_keys() {
    let service = slow();
    let (admin, (second, _)) = (service.admin(), service.tenant());
    let (ecs, zos) = (service.product(&admin, "ecs"), service.product(&admin, "zos"));
    let (first, other) = (default_key(&ecs, "ecs"), default_key(&zos, "zos"));
    let elsewhere = service.product(&second, "ecs");
    let theirs = default_key(&elsewhere, "ecs");
    let plain = admin.ok(CREATE, json!({}));
    ecs.ok(ENCRYPT, text(&first));
    zos.ok(ENCRYPT, text(&other));
    ecs.ok(DATA_KEY, json!({"cmkUuid": "alias/ecs"}));
    for (product, key) in [(&ecs, &first), (&zos, &other)] {
        let answer = product.call(ENCRYPT, text(key));
        assert_eq!((answer.status, answer.code().as_str()), (429, "KMS.9050"));
        product.ok(DESCRIBE, json!({"cmkUuid": key["cmkUuid"]}));
    }
    elsewhere.ok(ENCRYPT, text(&theirs));
    // Other symmetric work has its own rate, which products and people share.
    ecs.ok(ENCRYPT, text(&plain));
    admin.ok(ENCRYPT, text(&plain));
    assert_eq!(zos.refused(ENCRYPT, text(&plain)), "KMS.9050");
    assert_eq!(admin.refused(ENCRYPT, text(&plain)), "KMS.9050");
    service.clock.advance(Duration::from_secs(1));
    zos.ok(ENCRYPT, text(&other));
    admin.ok(ENCRYPT, text(&plain));
}

/// A call between a default key and another one counts as work with a default key.
#[test]
fn one_default_key_among_the_keys_of_a_call_decides() {
    let service = slow();
    let admin = service.admin();
    let ecs = service.product(&admin, "ecs");
    let (own, plain) = (default_key(&ecs, "ecs"), admin.ok(CREATE, json!({})));
    let sealed = ecs.ok(ENCRYPT, text(&own));
    let body = json!({"ciphertextBlob": sealed["ciphertextBlob"], "destinationCmkUuid": plain["cmkUuid"]});
    ecs.ok("/keyCompute/reEncrypt", body.clone());
    ecs.ok("/keyCompute/reEncrypt", body.clone());
    assert_eq!(ecs.refused("/keyCompute/reEncrypt", body), "KMS.9050");
    ecs.ok(ENCRYPT, text(&plain));
}

/// What names no key that is there is charged too.
#[test]
fn calls_that_cannot_be_read_are_not_free() {
    let service = slow();
    let ecs = service.product(&service.admin(), "ecs");
    assert_eq!(ecs.refused(ENCRYPT, json!({"cmkUuid": 7})), "KMS.9020");
    assert_eq!(ecs.refused(DATA_KEY, json!({"cmkUuid": "alias/none"})), "KMS.9003");
    assert_eq!(ecs.refused(ENCRYPT, json!({"cmkUuid": 7})), "KMS.9050");
}

#[test]
fn the_default_is_that_of_the_manual() {
    assert_eq!(Config::default().rates.default_key.openapi, 1000);
}
