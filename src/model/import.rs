//! Key material that a customer brings (contract 5.4): the binding of a key to its first material, when the material
//! expires, and the tokens that further material may come with.

use std::time::Duration;

use firmware_sim::WrappedKey;
use serde::{Deserialize, Serialize};

use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::{ImportTokenId, VersionId};
use crate::model::algorithm::ImportAlgorithm;
use crate::model::wrapped;

/// What a key knows of its material from outside; empty for a key whose material the cipher machine made.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Import {
    /// The one material that the key takes; there from the first import on, also while the material is away.
    pub binding: Option<Binding>,
    /// When the material goes; `None` is never.
    pub expires: Option<Timestamp>,
    /// Oldest first.
    pub tokens: Vec<ImportToken>,
}

/// The tie between a key and its first material.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Binding {
    /// The key's only version: ciphertexts name it and open again once the material is back.
    pub version: VersionId,
    /// When the material first came.
    pub created: Timestamp,
    /// Keyed fingerprint of the material, made by the cipher machine.
    pub fingerprint: [u8; 32],
}

/// A key pair that material may come wrapped to.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportToken {
    /// `importToken`.
    pub id: ImportTokenId,
    /// The private half, wrapped by the cipher machine.
    #[serde(with = "wrapped")]
    pub wrapping_key: WrappedKey,
    /// The only padding that it opens.
    pub algorithm: ImportAlgorithm,
    /// From then on it takes no import.
    pub expires: Timestamp,
    /// Imports with it that failed.
    pub failures: u8,
}

impl ImportToken {
    /// How long a token takes imports (manual: 24 hours).
    pub const LIFETIME: Duration = Duration::from_secs(24 * 3600);
    /// How long the key can tell an expired token from one that it never had.
    const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
    /// Failed imports that spend a token (contract 5.4).
    pub const FAILURES_MAX: u8 = 5;
    /// Tokens of one key; one more and the oldest gives way.
    pub const PER_KEY: usize = 10;

    fn forgotten(&self) -> Timestamp {
        self.expires.after(Self::REMEMBERED)
    }
}

const RACED: Error = Error::Unavailable("another import with this token just ended; retry");

impl Import {
    /// Whether the material's time is over.
    pub(super) fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Takes a new token in.
    pub(super) fn add(&mut self, token: ImportToken, now: Timestamp) {
        self.forget(now);
        if self.tokens.len() >= ImportToken::PER_KEY {
            self.tokens.remove(0);
        }
        self.tokens.push(token);
    }

    /// Forgets the tokens that expired long ago; says whether there were any.
    pub(super) fn forget(&mut self, now: Timestamp) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|token| token.forgotten() > now);
        self.tokens.len() < before
    }

    /// When something is over: the material, or the memory of the first token.
    pub(super) fn ends(&self) -> Option<Timestamp> {
        self.tokens.iter().map(ImportToken::forgotten).chain(self.expires).min()
    }

    /// A token that an import may come with now.
    pub(super) fn token(&self, id: ImportTokenId, now: Timestamp) -> Result<&ImportToken> {
        let token = self.tokens.iter().find(|token| token.id == id).ok_or(Error::InvalidImportToken)?;
        if token.expires <= now { Err(Error::ExpiredImportToken) } else { Ok(token) }
    }

    /// Whether nothing failed with the token since the caller read it: parallel attempts share five answers.
    pub(super) fn check_token(&self, id: ImportTokenId, seen: u8, now: Timestamp) -> Result<()> {
        if self.token(id, now)?.failures == seen { Ok(()) } else { Err(RACED) }
    }

    /// Counts a failure; the last one takes the token away.
    pub(super) fn count_failure(&mut self, id: ImportTokenId) {
        for token in self.tokens.iter_mut().filter(|token| token.id == id) {
            token.failures += 1;
        }
        self.tokens.retain(|token| token.failures < ImportToken::FAILURES_MAX);
    }

    /// Whether the key takes this material under this version: any the first time, later the same one only. The cipher machine
    /// has compared it with the binding, if there was one; what does not fit here comes of two first imports at once.
    pub(super) fn check_binding(&self, version: VersionId, fingerprint: &[u8; 32]) -> Result<()> {
        let same = |binding: &Binding| binding.version == version && binding.fingerprint == *fingerprint;
        if self.binding.as_ref().is_none_or(same) { Ok(()) } else { Err(RACED) }
    }
}
