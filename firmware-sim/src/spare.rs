//! Pairs for imports that are made ahead of need, because making one takes a while. They lie here in the clear form, in memory
//! only, and leave wrapped or not at all. Imports the material.

use std::sync::{Mutex, PoisonError};

use crate::material::Material;

/// The pairs that wait; each serves one import token.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Vec<Material>>);

impl Spare {
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) fn take(&self) -> Option<Material> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    pub(crate) fn put(&self, pair: Material) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(pair);
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
