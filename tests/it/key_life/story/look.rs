//! What a story looks at from outside: every key after each tick, and everything that is left at the end.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use yaoku::env::Timestamp;

use super::super::reference::{DAY, Fault, Parted, State};
use super::super::steps::{Kind, Setting};
use super::{Life, Story};
use crate::events::events_of;

const DESCRIBE: &str = "/keyManage/describeKey";

fn wire(state: State) -> &'static str {
    match state {
        State::Enabled => "Enabled",
        State::Disabled => "Disabled",
        State::Pending { .. } => "PendingDeletion",
        State::Empty => "PendingImport",
    }
}

fn differ<T>(fault: Fault, text: String) -> Result<T, Parted> {
    Err((fault, text))
}

impl Story {
    /// Looks at every key that should be there, and at those that went last.
    pub(super) fn look(&mut self) -> Result<(), Parted> {
        let gone = (0..self.keys.len()).rev().filter(|at| self.keys[*at].gone).take(2);
        let there = (0..self.keys.len()).filter(|at| !self.keys[*at].gone);
        let places: Vec<usize> = there.chain(gone).collect();
        places.into_iter().try_for_each(|at| self.look_at(&self.keys[at]))
    }

    fn look_at(&self, key: &Life) -> Result<(), Parted> {
        let body = json!({"cmkUuid": key.id});
        let answer = self.application.call(DESCRIBE, body.clone());
        let Some(shown) = answer.success() else {
            return match (key.gone, answer.code().as_str()) {
                (true, "KMS.9001") => Ok(()),
                (_, code) => differ(Fault::Early, format!("{} answers {code}", key.id)),
            };
        };
        if key.gone {
            return differ(Fault::Stuck, format!("{} is still there", key.id));
        }
        let (state, _) = key.shown(&self.time);
        let end = match state {
            State::Pending { end } => json!(Timestamp::from_seconds(end).to_string()),
            State::Enabled | State::Disabled | State::Empty => Value::Null,
        };
        if shown["keyState"] != wire(state) || shown["deleteDate"] != end {
            let fault = match (shown["keyState"].as_str().unwrap(), state) {
                ("PendingImport", _) => Fault::Early,
                (_, State::Empty | State::Pending { .. }) => Fault::Revival,
                (_, State::Enabled | State::Disabled) => Fault::Other,
            };
            return differ(fault, format!("expected {state:?}: {shown}"));
        }
        match key.kind {
            Kind::Rotating(_) => self.look_at_versions(key),
            Kind::Plain | Kind::External => Ok(()),
        }
    }

    /// One version for each rotation that was due.
    fn look_at_versions(&self, key: &Life) -> Result<(), Parted> {
        let page = self.application.ok("/versionControl/listKeyVersions", json!({"cmkUuid": key.id}));
        let (came, due) = (page["totalCount"].as_u64().unwrap(), 1 + key.rotations);
        match came == due {
            true => Ok(()),
            false => {
                let fault = if came < due { Fault::Stuck } else { Fault::Other };
                differ(fault, format!("{} has {came} versions, and {due} were due", key.id))
            }
        }
    }

    /// The clock is right and confirmed, and the longest window goes by: all that is due has happened, once each.
    pub(super) fn end(&mut self) -> Result<(), Parted> {
        self.note(format_args!("the end"));
        self.set(Setting::Running, 0)?;
        self.confirm()?;
        for seconds in [31 * DAY, DAY, 60, 60, 60] {
            self.pass(seconds);
            self.tick()?;
        }
        if let Some(key) =
            self.keys.iter().find(|key| !key.gone && matches!(key.state, State::Pending { .. }))
        {
            return differ(Fault::Stuck, format!("{} is pending for ever", key.id));
        }
        self.look_at_lists()?;
        self.look_at_stones()?;
        self.look_at_events()
    }

    fn look_at_lists(&self) -> Result<(), Parted> {
        let there = || self.keys.iter().filter(|key| !key.gone);
        let aliases = there().filter(|key| key.alias.is_some()).count();
        for (path, wanted) in [("/keyManage/listAliasKeys", there().count()), ("/keyName/listAlias", aliases)]
        {
            let page = self.admin.ok(path, json!({}));
            if page["totalCount"] != wanted {
                return differ(Fault::Stuck, format!("{path} has {}, not {wanted}", page["totalCount"]));
            }
        }
        Ok(())
    }

    /// One stone for each key that is gone, and nothing of it opens any more.
    fn look_at_stones(&self) -> Result<(), Parted> {
        let (mut gone, mut number) = (BTreeMap::new(), 1);
        loop {
            let body = json!({"pageNumber": number, "pageSize": 100});
            let page = self.admin.ok("/keyManage/listDestroyedKeys", body);
            for stone in page["destroyedKeys"].as_array().unwrap() {
                gone.insert(stone["cmkUuid"].to_string(), stone["erased"].clone());
            }
            if page["totalCount"] == gone.len() {
                break;
            }
            number += 1;
            if number > 100 {
                return differ(Fault::Other, format!("stones come twice: {page}"));
            }
        }
        if let Some((key, _)) = gone.iter().find(|(_, erased)| **erased == false) {
            return differ(Fault::Stuck, format!("{key} is not erased"));
        }
        let keys = self.keys.iter().filter(|key| key.gone);
        match keys.clone().all(|key| gone.contains_key(&key.id.to_string())) && keys.count() == gone.len() {
            true => Ok(()),
            false => differ(Fault::Other, format!("other stones: {gone:?}")),
        }
    }

    /// One event for each destruction and rotation.
    fn look_at_events(&self) -> Result<(), Parted> {
        for (kind, wanted) in [
            ("KeyDestroyed", (|key| u64::from(key.gone)) as fn(&Life) -> u64),
            ("KeyRotated", |key| key.rotations),
        ] {
            let mut told: BTreeMap<String, u64> = BTreeMap::new();
            for event in events_of(&self.admin, kind) {
                *told.entry(event["cmkUuid"].to_string()).or_default() += 1;
            }
            for key in &self.keys {
                let count = told.remove(&key.id.to_string()).unwrap_or_default();
                if count != wanted(key) {
                    let text = format!("{kind} of {}: {count}, not {}", key.id, wanted(key));
                    return differ(Fault::Other, text);
                }
            }
            if let Some((key, _)) = told.pop_first() {
                return differ(Fault::Other, format!("{kind} of {key}, which nobody made"));
            }
        }
        Ok(())
    }
}
