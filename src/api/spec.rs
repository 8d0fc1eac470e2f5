//! A row of the catalog, without its code: everything that can be said of an operation before it runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::principal::{Audience, Reach};
use crate::model::rate::RateClass;

/// Whether an operation changes something, by the manual's IAM table. Read operations also accept GET.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Action type "read".
    Read,
    /// Action type "write".
    Write,
}

/// An operation's row in the catalog.
#[derive(Debug)]
pub struct Spec {
    /// Its name: audit event and what `yaoku call` takes.
    pub name: &'static str,
    /// Path tails, without `/v1`. The first is the one that clients should use.
    pub paths: &'static [&'static str],
    /// IAM action.
    pub action: &'static str,
    /// Read or write.
    pub access: Access,
    /// Which rate it draws from.
    pub rate: RateClass,
    /// The planes it can be called on.
    pub reach: Reach,
    /// For whom it is.
    pub audience: Audience,
    /// Chinese title.
    pub title_zh: &'static str,
    /// English title.
    pub title_en: &'static str,
}

impl Spec {
    /// Whether the operation is served while the disk is full: it reads, or it takes something away.
    pub fn served_when_full(&self) -> bool {
        self.access == Access::Read
            || ["delete", "destroy", "disable", "schedule"].iter().any(|verb| self.name.starts_with(verb))
    }
}
