//! What happens to a key whose material comes from outside (contract 4.3, 5.4).

use super::{Key, KeyState, KeyVersion};
use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::ImportTokenId;
use crate::model::algorithm::Origin;
use crate::model::import::{Binding, ImportToken};

impl Key {
    /// Whether the key's material comes from outside (contract 4.2).
    pub fn check_external(&self) -> Result<()> {
        self.check_own()?;
        match self.origin {
            Origin::External => Ok(()),
            Origin::CtyunKms => Err(Error::UnsupportedOrigin("this call needs a key of the origin External")),
        }
    }

    /// Whether the key takes material now (contract 4.3, importKeyMaterial).
    pub fn check_import(&self) -> Result<()> {
        self.check_external()?;
        match self.state {
            KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => Ok(()),
            KeyState::PendingDeletion { .. } => Err(Error::TransitionNotAllowed),
        }
    }

    /// Takes a token for a later import, whatever the state.
    pub fn add_token(&mut self, token: ImportToken, now: Timestamp) -> Result<()> {
        self.check_external()?;
        self.import.add(token, now);
        Ok(())
    }

    /// A token of the key that an import may come with now.
    pub fn token(&self, id: ImportTokenId, now: Timestamp) -> Result<&ImportToken> {
        self.check_external()?;
        self.import.token(id, now)
    }

    /// Takes material in: `version` holds it, wrapped, under the id of the binding if there is one. `seen_failures` is what
    /// the token had counted when the caller read it. The first material binds the key for good.
    pub fn import(
        &mut self,
        seen_failures: u8,
        token: ImportTokenId,
        mut version: KeyVersion,
        fingerprint: [u8; 32],
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<()> {
        self.check_import()?;
        self.import.check_token(token, seen_failures, now)?;
        self.import.check_binding(version.id, &fingerprint)?;
        if expires.is_some_and(|at| at <= now) {
            return Err(Error::invalid("keyMaterialExpireUnix", "must be in the future"));
        }
        self.state = match self.state_at(now) {
            KeyState::PendingImport => KeyState::Enabled,
            other => other,
        };
        let first = Binding { version: version.id, created: version.created, fingerprint };
        version.created = self.import.binding.get_or_insert(first).created;
        self.versions = vec![version];
        self.import.expires = expires;
        Ok(())
    }

    /// Counts an import that failed with a token; the fifth takes the token away.
    pub fn count_failed_import(
        &mut self,
        token: ImportTokenId,
        seen_failures: u8,
        now: Timestamp,
    ) -> Result<()> {
        self.check_external()?;
        self.import.check_token(token, seen_failures, now)?;
        self.import.count_failure(token);
        Ok(())
    }

    /// Destroys the material from outside; the key, its binding and its tokens stay. A key without material stays so.
    pub fn delete_material(&mut self) -> Result<()> {
        self.check_external()?;
        self.state = match self.state {
            KeyState::Enabled | KeyState::Disabled | KeyState::PendingImport => KeyState::PendingImport,
            KeyState::PendingDeletion { at } => KeyState::PendingDeletion { at },
        };
        self.versions.clear();
        self.import.expires = None;
        Ok(())
    }

    /// Lets go of what is over: material past its expiry, and tokens that expired long ago. Says whether there was anything.
    pub fn expire(&mut self, now: Timestamp) -> Result<bool> {
        let expired = self.import.is_expired(now);
        if expired {
            self.delete_material()?;
        }
        Ok(self.import.forget(now) || expired)
    }
}
