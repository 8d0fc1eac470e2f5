//! Finding out who uses a key before it is disabled: its rehearsal, and the attempts that describeKey shows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use crate::api::{Call, Moment, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{AccessKeyId, KeyId};
use crate::model::alias::KeyRef;
use crate::model::attempt::{Attempts, Outcome};
use crate::model::key::Key;
use crate::model::principal::Principal;

/// Attempts on one key that are shown with it.
const ATTEMPTS_SHOWN: usize = 100;

/// Begins or ends the rehearsal of disabling a key. While it lasts every use of the key goes through, but is marked in the audit
/// trail, counted for its caller and told of in events: so one sees who would break before the key is disabled.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RehearseKeyDisabling {
    /// The key: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// Whether uses of the key are marked from now on.
    #[schemars(extend("examples" = [true]))]
    pub enable_rehearsal: bool,
}

/// Whether a key's disabling is rehearsed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RehearsedKey {
    /// The key.
    pub cmk_uuid: KeyId,
    /// Whether its uses are marked.
    pub rehearsal: bool,
}

impl Operation for RehearseKeyDisabling {
    type Output = RehearsedKey;
    const REFUSALS: &'static [Error] = &[Error::DefaultKey, Error::KeyPendingDeletion];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<RehearsedKey> {
        let on = self.enable_rehearsal;
        let edit = move |key: &mut Key| key.rehearse(on);
        let key = app.keys.change(call, &call.key()?, edit).await?.ok_or(Error::KeyNotFound)?;
        Ok(RehearsedKey { cmk_uuid: key.id, rehearsal: key.rehearsal })
    }
}

/// Attempts of one caller on one key.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyAttempts {
    /// As in audit records; `OTHERS`: all together who came when a hundred callers had been told apart.
    pub principal_type: String,
    /// The caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// The credential that signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<AccessKeyId>,
    /// `refused`: the key was disabled or pending deletion; `rehearsed`: it was used during a rehearsal.
    pub outcome: Outcome,
    /// How many calls.
    pub count: u64,
    /// The earliest of them.
    #[schemars(with = "Moment")]
    pub first_time: String,
    /// The latest of them.
    #[schemars(with = "Moment")]
    pub last_time: String,
}

impl From<Attempts> for KeyAttempts {
    fn from(attempts: Attempts) -> Self {
        let (principal_type, user_name, access_key) = match attempts.caller {
            Some(caller) => (caller.kind, Some(caller.name), caller.access_key),
            None => ("OTHERS".into(), None, None),
        };
        Self {
            principal_type,
            user_name,
            access_key,
            outcome: attempts.outcome,
            count: attempts.count,
            first_time: attempts.first.to_string(),
            last_time: attempts.last.to_string(),
        }
    }
}

impl KeyAttempts {
    /// The attempts on a key, the latest first. Applications are not shown who else calls.
    pub fn on(key: KeyId, call: &Call, app: &App) -> Result<Vec<Self>> {
        match call.principal {
            Principal::User { .. } | Principal::System => {
                let attempts = app.store.attempts(key)?;
                Ok(attempts.into_iter().take(ATTEMPTS_SHOWN).map(Self::from).collect())
            }
            Principal::AccessPoint { .. } | Principal::Product { .. } => Ok(Vec::new()),
        }
    }
}
