//! What a story left of attempts: the trail marks every use of a key in rehearsal and nothing else, and every key counts as many
//! uses and refusals as the trail has.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use yaoku::catalog;
use yaoku::model::rate::RateClass;

use super::{Called, Story, records};

/// Whether an operation computes with a key.
fn computes(event: &str) -> bool {
    let row = catalog::by_name(event).unwrap();
    matches!(row.spec.rate, RateClass::Symmetric | RateClass::Asymmetric | RateClass::Integrity)
        && !["getDataKey", "messageDigest"].contains(&event)
}

/// The keys of a record that were in rehearsal when the call was made, each once.
fn rehearsed<'a>(call: &'a Called, record: &Value) -> Vec<&'a String> {
    let ids = record["resourceIds"].as_array().into_iter().flatten();
    let ids: Vec<&str> = ids.filter_map(Value::as_str).collect();
    let used = call.code.is_none() && computes(&call.event);
    call.rehearsing.iter().filter(|key| used && ids.contains(&key.as_str())).collect()
}

pub(super) fn check(story: &Story) -> Result<(), String> {
    for (account, person) in story.people.iter().enumerate() {
        let records: BTreeMap<String, Value> = records(person)
            .into_iter()
            .map(|record| (record["requestId"].as_str().unwrap().to_owned(), record))
            .collect();
        // A refusal that names a key which was destroyed since may have gone with it.
        let (mut used, mut refused, mut gone) = (BTreeMap::<&String, u64>::new(), 0, 0);
        let kept: Vec<Value> = story.model.keys.iter().map(|key| json!(key.id)).collect();
        for call in story.calls.iter().filter(|call| call.account == account) {
            let record = &records[&call.id];
            let keys = rehearsed(call, record);
            if (record["rehearsal"] == true) == keys.is_empty() {
                return Err(format!("with {keys:?} in rehearsal, the trail says {record}"));
            }
            keys.into_iter().for_each(|key| *used.entry(key).or_default() += 1);
            if matches!(call.code.as_deref(), Some("KMS.9010" | "KMS.9011")) && computes(&call.event) {
                let mut named = record["resourceIds"].as_array().into_iter().flatten();
                let counted = if named.all(|key| kept.contains(key)) { &mut refused } else { &mut gone };
                *counted += 1;
            }
        }
        let mut told = 0;
        for key in story.model.keys.iter().filter(|key| key.account == account) {
            let described = person.ok("/keyManage/describeKey", json!({"cmkUuid": key.id}));
            let attempts = described["attempts"].as_array().cloned().unwrap_or_default();
            let count = |outcome: &str| -> u64 {
                let rows = attempts.iter().filter(|row| row["outcome"] == outcome);
                rows.map(|row| row["count"].as_u64().unwrap()).sum()
            };
            let wanted = used.get(&key.id).copied().unwrap_or_default();
            if count("rehearsed") != wanted {
                return Err(format!("{wanted} uses of {} in rehearsals: {attempts:?}", key.id));
            }
            told += count("refused");
        }
        if !(refused..=refused + gone).contains(&told) {
            return Err(format!("{told} refusals were counted, {refused} to {} were made", refused + gone));
        }
    }
    Ok(())
}
