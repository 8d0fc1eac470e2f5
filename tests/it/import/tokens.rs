//! Import tokens: one key, one public key, one algorithm, one day.

use std::time::Duration;

use serde_json::json;

use super::{IMPORT, MATERIAL, OAEP, PARAMETERS, service, state};
use crate::kit::{AccessPoint, START, base64, unbase64};
use crate::ledger::figure;
use crate::material::{Way, asked, external};

const DAY: Duration = Duration::from_secs(24 * 3600);
const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_token_serves_its_own_key_alone() {
    let service = service();
    let (admin, (second, _)) = (service.admin(), service.tenant());
    let mine = Way::new(&admin, &external(&admin, "AES_256"), OAEP);
    let other = external(&admin, "AES_256");
    let theirs = Way::new(&second, &external(&second, "AES_256"), OAEP);
    for (token, what) in [(&theirs.token, "another account's"), (&mine.token, "another key's")] {
        let way = Way { key: other.clone(), token: token.clone(), ..mine.clone() };
        assert_eq!(admin.refused(IMPORT, way.body(&MATERIAL)), "KMS.9023", "{what}");
    }
    for at in [0, 7, 15] {
        let mut token = unbase64(&mine.token);
        token[at] ^= 1;
        let way = Way { token: base64(token).into(), ..mine.clone() };
        assert_eq!(admin.refused(IMPORT, way.body(&MATERIAL)), "KMS.9023", "tampered at {at}");
    }
    let foreign = Way { key: theirs.key.clone(), ..mine.clone() };
    assert_eq!(admin.refused(IMPORT, foreign.body(&MATERIAL)), "KMS.9001");
    assert_eq!(admin.refused(PARAMETERS, asked(&theirs.key, OAEP)), "KMS.9001");
    admin.ok(IMPORT, mine.body(&MATERIAL));
    assert_eq!(state(&admin, &other), "PendingImport");
}

/// A token serves any number of imports; of eleven the oldest has given way.
#[test]
fn ten_tokens_of_a_key_serve_beside_each_other() {
    let service = service();
    let admin = service.admin();
    let key = external(&admin, "AES_256");
    let ways: Vec<Way> = (0..11).map(|_| Way::new(&admin, &key, OAEP)).collect();
    assert_eq!(admin.refused(IMPORT, ways[0].body(&MATERIAL)), "KMS.9023");
    for way in ways.iter().skip(1).chain(&ways[1..3]) {
        admin.ok(IMPORT, way.body(&MATERIAL));
    }
    // Each has a wrapping key of its own.
    let crossed = Way { token: ways[1].token.clone(), ..ways[2].clone() };
    assert_eq!(admin.refused(IMPORT, crossed.body(&MATERIAL)), "KMS.9022");
}

/// Nothing makes a token valid again whose day is over: not a clock that is turned back, not a restart.
#[test]
fn a_token_is_over_after_a_day_for_good() {
    let mut service = service();
    let (admin, application) = (service.admin(), service.first_application());
    let way = Way::new(&admin, &external(&admin, "AES_256"), OAEP);
    service.clock.advance(DAY - SECOND);
    admin.ok(IMPORT, way.body(&MATERIAL));
    service.clock.advance(SECOND);
    assert_eq!(admin.refused(IMPORT, way.body(&MATERIAL)), "KMS.9024");
    let mut accepted = 0;
    let times = [START.after(DAY - SECOND), START, START.after(DAY)];
    for time in times {
        service.restart_at(time);
        // OpenAPI takes no date from so long ago.
        let endpoint = service.ready.access_point.clone();
        let application = AccessPoint { endpoint, ..application.clone() };
        let answer = application.call(IMPORT, way.body(&MATERIAL));
        accepted += usize::from(answer.success().is_some());
        assert_eq!(answer.code(), "KMS.9024", "at {time}");
    }
    figure("import_tokens_accepted_after_expiry", format!("{accepted} of {}", times.len()), "imports");
    // A new one serves although the clock is behind: a day from the confirmed time.
    let behind = Duration::from_secs(20 * 60);
    service.restart_at(START.after(DAY - behind));
    let admin = service.admin();
    let late = Way::new(&admin, &way.key, OAEP);
    admin.ok(IMPORT, late.body(&MATERIAL));
    // What ended two days ago is not even known any more.
    service.clock.advance(3 * DAY);
    admin.ok("/keyManage/describeKey", json!({"cmkUuid": way.key}));
    service.clock.set(service.clock.now().after(behind));
    crate::kit::poll("the end of old tokens", || {
        (admin.refused(IMPORT, way.body(&MATERIAL)) == "KMS.9023").then_some(())
    });
}
