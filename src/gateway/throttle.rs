//! Rates: one bucket for every class, plane and owner (contract 4.4).

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use foldhash::HashMap;

use crate::api::Call;
use crate::app::App;
use crate::error::{Error, Result};
use crate::model::principal::{Plane, Principal};
use crate::model::rate::{Bucket, RateClass};

/// Whose bucket it is: a class on a plane, and the id of an account or service.
type Owner = (RateClass, Plane, [u8; 16]);

/// All buckets that are not full.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<Owner, Bucket>>);

impl Throttle {
    /// Charges one call to its bucket: the account's on OpenAPI, the service's on access points.
    pub fn charge(&self, call: &Call, class: RateClass, app: &App) -> Result<()> {
        let Some(rate) = app.config.rates.of(class) else { return Ok(()) };
        let (owner, per_second) = match &call.principal {
            Principal::User { account, .. } | Principal::Product { account, .. } => {
                (*account.as_bytes(), rate.openapi)
            }
            Principal::AccessPoint { instance, .. } => {
                let mut owner = [0; 16];
                for (to, from) in owner.iter_mut().zip(instance.as_bytes()) {
                    *to = *from;
                }
                (owner, rate.access_point.saturating_mul(app.instance(*instance)?.base_instances))
            }
            Principal::System => return Ok(()),
        };
        let now = app.env.clock.monotonic();
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry((class, call.plane, owner)).or_insert(Bucket::full(now));
        bucket.take(per_second, now).map_err(Error::Throttled)
    }

    /// How many buckets are not known to be full.
    pub fn buckets(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Forgets buckets that are full again.
    pub fn forget(&self, now: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, bucket| !bucket.is_full(now));
    }
}
