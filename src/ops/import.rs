//! Bringing key material in (contract 5.4): the parameters under which it comes, and its import. What goes away again is in
//! `key_material`.

use firmware_sim::{ImportKey, KeyName, TakeSpareKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Operation;
use super::key_material::wipe;
use crate::api::{Base64Bytes, Call, Moment, Target};
use crate::app::App;
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{ImportTokenId, KeyId, VersionId};
use crate::model::algorithm::{ImportAlgorithm, WrappingKeySpec};
use crate::model::alias::KeyRef;
use crate::model::import::ImportToken;
use crate::model::key::{Key, KeyVersion};
use crate::model::text::Number;
use crate::store::Changes;

/// Hands out a public key to wrap key material to, and the token that names it. The token serves for 24 hours and any number
/// of imports into this key, but five that fail spend it; of ten tokens the oldest gives way.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GetParametersForImport {
    /// The key whose origin is External: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// What kind of public key; RSA_2048.
    pub wrapping_key_spec: WrappingKeySpec,
    /// How the material will be wrapped; the token takes nothing else. RSAES_OAEP_SHA_256 is the best of them.
    pub wrapping_algorithm: ImportAlgorithm,
}

/// What an import needs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.4, getParametersForImport")]
pub struct ImportParameters {
    pub cmk_uuid: KeyId,
    pub import_token: ImportTokenId,
    /// SubjectPublicKeyInfo in DER, as standard Base64.
    pub public_key: Base64Bytes,
    pub token_expire_time: Moment,
}

impl Operation for GetParametersForImport {
    type Output = ImportParameters;
    const REFUSALS: &'static [Error] =
        &[Error::DefaultKey, Error::ServiceFrozen, Error::UnsupportedOrigin("")];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    async fn run(self, call: &Call, app: &App) -> Result<ImportParameters> {
        let WrappingKeySpec::Rsa2048 = self.wrapping_key_spec;
        // A day from the confirmed time: by a wall clock that is ahead the token would be good for years.
        let (cmk_uuid, now) = (call.key()?, call.time().steady());
        let before = app.keys.get(&cmk_uuid)?.ok_or(Error::KeyNotFound)?;
        before.check_external()?;
        let id = ImportTokenId::from_random(app.random()?);
        let command = TakeSpareKey {
            name: KeyName { key: *cmk_uuid.as_bytes(), version: *id.as_bytes() },
            custody: before.level.custody(),
        };
        let held = app.machine.wrapping().await;
        let taken = app.make_for(&before, command, &held).await;
        app.machine.refill();
        let (wrapping_key, public_key) = taken?;
        let expires = now.after(ImportToken::LIFETIME);
        let token =
            ImportToken { id, wrapping_key, algorithm: self.wrapping_algorithm, expires, failures: 0 };
        let output = ImportParameters {
            cmk_uuid,
            import_token: id,
            public_key: Base64Bytes(public_key),
            token_expire_time: Moment(expires),
        };
        let mut beside = Changes::default();
        call.remember(&mut beside, &output)?;
        let add = move |key: &mut Key| key.add_token(token, now);
        let after = app.keys.change_with(call, &cmk_uuid, beside, add).await?.ok_or(Error::KeyNotFound)?;
        wipe(&before, &after, app);
        Ok(output)
    }
}

/// Brings key material in. The first material binds the key for good: a later import, also after a deletion or an expiry, must
/// bring the same bytes. A key that waited for its material becomes Enabled.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImportKeyMaterial {
    /// The key whose origin is External: its UUID in lower case, or one of its aliases.
    pub cmk_uuid: KeyRef,
    /// The token of getParametersForImport.
    #[serde(alias = "token")]
    #[schemars(extend("x-also-named" = ["token"]))]
    pub import_token: ImportTokenId,
    /// 32 bytes for AES_256, 16 for Ctyun_SM4, wrapped to the token's public key by the token's algorithm; as standard Base64.
    pub encrypted_key_material: Base64Bytes,
    /// When the material expires, in seconds since 1970-01-01T00:00:00Z; 0 or absent is never.
    pub key_material_expire_unix: Option<Number<0, 253_402_300_799>>,
}

/// A key with material.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of contract 5.4, importKeyMaterial")]
pub struct ImportedMaterial {
    pub cmk_uuid: KeyId,
    #[schemars(extend("enum" = ["Enabled", "Disabled"]))]
    pub key_state: String,
    /// Empty for material that never expires.
    #[schemars(extend("examples" = ["2027-01-01T00:00:00Z"]))]
    pub material_expire_time: String,
}

impl ImportKeyMaterial {
    fn expires(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        const NEVER: u64 = 0;
        let seconds = self.key_material_expire_unix.map_or(NEVER, Number::get);
        if seconds == NEVER {
            return Ok(None);
        }
        let at = Timestamp::from_seconds(i64::try_from(seconds).map_err(Error::internal)?);
        match at > now {
            true => Ok(Some(at)),
            false => Err(Error::invalid("keyMaterialExpireUnix", "must be in the future")),
        }
    }
}

impl Operation for ImportKeyMaterial {
    type Output = ImportedMaterial;
    const REFUSALS: &'static [Error] = &[
        Error::DefaultKey,
        Error::ExpiredImportToken,
        Error::InvalidImportToken,
        Error::InvalidKeyMaterial,
        Error::ServiceFrozen,
        Error::TransitionNotAllowed,
        Error::UnsupportedOrigin(""),
    ];

    fn targets(&self) -> Result<Vec<Target>> {
        Ok(vec![Target::Key(self.cmk_uuid.clone())])
    }

    /// Whatever is wrong with the material is one refusal, and counted against the token before it is answered. An attempt
    /// beside which another one failed gets no answer but to retry, so a token never gives more than five.
    async fn run(self, call: &Call, app: &App) -> Result<ImportedMaterial> {
        let (id, now) = (call.key()?, call.horizon());
        let before = app.keys.get(&id)?.ok_or(Error::KeyNotFound)?;
        before.check_import()?;
        let expires = self.expires(now)?;
        let ImportToken { id: token, wrapping_key, algorithm, failures, .. } =
            before.token(self.import_token, now)?.clone();
        let binding = before.import.binding.as_ref();
        let version = match binding {
            Some(binding) => binding.version,
            None => VersionId::from_random(app.random()?),
        };
        let command = ImportKey {
            name: KeyName { key: *id.as_bytes(), version: *version.as_bytes() },
            algorithm: before.spec.algorithm(),
            custody: before.level.custody(),
            wrapping_key,
            scheme: algorithm.scheme(),
            material: self.encrypted_key_material.0,
            binding: binding.map(|binding| binding.fingerprint),
        };
        let held = app.machine.wrapping().await;
        let imported = match app.make_for(&before, command, &held).await {
            Ok(imported) => imported,
            Err(failure @ Error::InvalidKeyMaterial) => {
                let count = move |key: &mut Key| key.count_failed_import(token, failures, now);
                let after = app.keys.change_refused(call, &id, failure.clone(), count).await?;
                after.inspect(|after| wipe(&before, after, app));
                return Err(failure);
            }
            Err(other) => return Err(other),
        };
        let version = KeyVersion { id: version, wrapped: imported.wrapped, created: call.now };
        let import =
            move |key: &mut Key| key.import(failures, token, version, imported.binding, expires, now);
        let after = app.keys.change(call, &id, import).await?.ok_or(Error::KeyNotFound)?;
        wipe(&before, &after, app);
        Ok(ImportedMaterial {
            cmk_uuid: id,
            key_state: after.state_at(now).wire_name().into(),
            material_expire_time: expires.map_or_else(String::new, |at| at.to_string()),
        })
    }
}
