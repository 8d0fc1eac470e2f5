//! Key material from outside (contract 5.4): the operation that cron submits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use crate::api::{Call, Target};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::KeyId;
use crate::model::alias::KeyRef;
use crate::model::key::Key;

/// Takes away what is over: material past its expiry, and what the key remembers of old tokens. A key that has nothing of
/// the kind any more refuses, and nothing changes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpireKeyMaterial {
    /// The key.
    pub cmk_uuid: KeyRef,
}

/// The key afterwards.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.4, deleteKeyMaterial")]
pub struct ExpiredMaterial {
    pub cmk_uuid: KeyId,
    pub key_state: String,
}

impl Operation for ExpireKeyMaterial {
    type Output = ExpiredMaterial;

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<ExpiredMaterial> {
        let now = call.horizon();
        let expire = move |key: &mut Key| match key.expire(now)? {
            true => Ok(()),
            false => Err(Error::TransitionNotAllowed),
        };
        let key = app.keys.change(call, &call.key()?, expire).await?.ok_or(Error::KeyNotFound)?;
        Ok(ExpiredMaterial { cmk_uuid: key.id, key_state: key.state_at(now).wire_name().into() })
    }
}
