//! What one call leaves behind in the store: its audit record, and everything that is written with it in one transaction.

use super::changes::Changes;
use super::uses::UsedVersions;
use crate::error::Error;
use crate::ids::AccessKeyId;
use crate::model::association::ProductUse;
use crate::model::attempt::Attempt;
use crate::model::audit::Draft;

/// What one call leaves behind.
pub struct Entry {
    /// Its audit record.
    pub draft: Draft,
    /// How it failed; `None` is success. What it changes stands all the same.
    pub failure: Option<Error>,
    /// What it changes.
    pub changes: Changes,
    /// The key versions that it works with; they count if it succeeds.
    pub uses: UsedVersions,
    /// What a cloud product works for with them; counts if it succeeds.
    pub product: Option<Box<ProductUse>>,
    /// Keys that it finds disabled, pending deletion or in rehearsal; each counts if the call ends that way.
    pub attempts: Vec<Attempt>,
    /// What the EOP plane must remember of it.
    pub eop: EopTrace,
}

impl Entry {
    /// What a call leaves that did nothing but be recorded.
    pub fn of_record(draft: Draft, failure: Option<Error>) -> Self {
        let (changes, uses, product, attempts, eop) = Default::default();
        Self { draft, failure, changes, uses, product, attempts, eop }
    }
}

/// Traces of an accepted EOP signature.
#[derive(Debug, Clone, Default)]
pub struct EopTrace {
    /// Minute and fingerprint of the request id, for operations that change something.
    pub replay: Option<(i64, [u8; 16])>,
    /// The zone that this call pinned.
    pub zone: Option<(AccessKeyId, u8)>,
}
