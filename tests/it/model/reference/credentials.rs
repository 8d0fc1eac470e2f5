//! Credentials of access points: made, switched off and on, deleted for good, and what a call signed by one comes to.

use serde_json::{Value, json};

use super::{Expected, Model, page, text, time};
use crate::model::steps::Caller;

/// One that is deleted keeps its place, so that applications can go on using it in vain.
#[derive(Debug, Clone)]
pub struct Credential {
    pub access_key: String,
    pub secret_key: String,
    made: i64,
    status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Status {
    Enabled,
    Disabled,
    Deleted,
}

impl Model {
    /// The credential that signs, by a place that was drawn: now and then any, else one that is still there.
    pub fn signer(&self, account: usize, place: usize) -> Option<usize> {
        let all = &self.accounts[account].credentials;
        let alive = |at: &usize| place.is_multiple_of(4) || all[*at].status != Status::Deleted;
        let alive: Vec<usize> = (0..all.len()).filter(alive).collect();
        Some(alive[place.checked_rem(alive.len())?])
    }

    /// Whether a call is served at all: the signature is right, but its credential may be switched off or unknown.
    pub fn admit(&self, by: Caller) -> Result<(), &'static str> {
        let credentials = &self.accounts[by.account].credentials;
        match by.credential.map(|at| credentials[at].status) {
            None | Some(Status::Enabled) => Ok(()),
            Some(Status::Disabled) => Err("KMS.9042"),
            Some(Status::Deleted) => Err("KMS.9041"),
        }
    }

    pub(super) fn check_access_point(&self, by: Caller, body: &Value) -> Result<(), &'static str> {
        if body["accessPointId"] == self.accounts[by.account].access_point { Ok(()) } else { Err("KMS.9005") }
    }

    pub(super) fn create_user_ak(&mut self, by: Caller, result: &Value) -> Expected {
        let (access, secret) = (self.fresh(&result["accessKey"]), self.fresh(&result["secretKey"]));
        let (access_key, secret_key, made) = (text(&access), text(&secret), self.now);
        let credential = Credential { access_key, secret_key, made, status: Status::Enabled };
        self.accounts[by.account].credentials.push(credential);
        let created = time(made);
        Ok(json!({"accessKey": access, "secretKey": secret, "status": "Enabled", "createTime": created}))
    }

    /// What is deleted stays deleted.
    pub(super) fn change_user_ak(&mut self, by: Caller, body: &Value, to: Status) -> Expected {
        let mut known = self.accounts[by.account].credentials.iter_mut();
        let credential =
            known.find(|one| body["accessKey"] == one.access_key && one.status != Status::Deleted);
        credential.ok_or("KMS.9005")?.status = to;
        Ok(match to {
            Status::Enabled | Status::Disabled => {
                json!({"accessKey": body["accessKey"], "status": format!("{to:?}")})
            }
            Status::Deleted => json!({"accessKey": body["accessKey"], "status": null}),
        })
    }

    pub(super) fn list_user_ak(&self, by: Caller, body: &Value) -> Expected {
        self.check_access_point(by, body)?;
        let mut found: Vec<&Credential> = self.accounts[by.account].credentials.iter().collect();
        found.retain(|credential| credential.status != Status::Deleted);
        found.sort_by_key(|credential| (credential.made, &credential.access_key));
        let view = |credential: &Credential| {
            let (status, created) = (format!("{:?}", credential.status), time(credential.made));
            json!({"accessKey": credential.access_key, "status": status, "createTime": created, "secretKey": null})
        };
        Ok(page("userAks", found.into_iter().map(view).collect(), body))
    }
}
