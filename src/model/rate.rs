//! Throttling: token buckets of one second, one for every class, plane and owner (contract 4.4). The figures are
//! configuration; this file knows the classes only.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The classes of operations that share a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateClass {
    /// createKey.
    KeyCreate,
    /// Reading keys and aliases.
    KeyRead,
    /// Changing keys and aliases.
    KeyWrite,
    /// Symmetric work.
    Symmetric,
    /// Work with key pairs.
    Asymmetric,
    /// Symmetric work of cloud products with default keys.
    DefaultKey,
    /// MACs and digests.
    Integrity,
    /// Random numbers.
    Random,
    /// Reading whatever the manual does not name.
    OtherRead,
    /// Changing whatever the manual does not name.
    OtherWrite,
    /// The appliance's own work.
    Unlimited,
}

/// A rate in requests per second, for each plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// OpenAPI, per account.
    pub openapi: u32,
    /// Access points, per base instance of the service.
    pub access_point: u32,
}

/// The rates of all classes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// See [`RateClass::KeyCreate`].
    pub key_create: Rate,
    /// See [`RateClass::KeyRead`].
    pub key_read: Rate,
    /// See [`RateClass::KeyWrite`].
    pub key_write: Rate,
    /// See [`RateClass::Symmetric`].
    pub symmetric: Rate,
    /// See [`RateClass::Asymmetric`].
    pub asymmetric: Rate,
    /// See [`RateClass::DefaultKey`].
    pub default_key: Rate,
    /// See [`RateClass::Integrity`].
    pub integrity: Rate,
    /// See [`RateClass::Random`].
    pub random: Rate,
    /// See [`RateClass::OtherRead`].
    pub other_read: Rate,
    /// See [`RateClass::OtherWrite`].
    pub other_write: Rate,
}

impl Rates {
    /// The rate of one class; `None` is unlimited.
    pub fn of(&self, class: RateClass) -> Option<Rate> {
        match class {
            RateClass::KeyCreate => Some(self.key_create),
            RateClass::KeyRead => Some(self.key_read),
            RateClass::KeyWrite => Some(self.key_write),
            RateClass::Symmetric => Some(self.symmetric),
            RateClass::Asymmetric => Some(self.asymmetric),
            RateClass::DefaultKey => Some(self.default_key),
            RateClass::Integrity => Some(self.integrity),
            RateClass::Random => Some(self.random),
            RateClass::OtherRead => Some(self.other_read),
            RateClass::OtherWrite => Some(self.other_write),
            RateClass::Unlimited => None,
        }
    }
}

/// A token bucket: refills at the rate, holds the tokens of one second.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// The theoretical arrival time of the next request that conforms (GCRA), on the monotonic clock.
    next: Duration,
}

impl Bucket {
    /// A full bucket.
    pub fn full(now: Duration) -> Self {
        Self { next: now }
    }

    /// Takes one token, or says after which time one will be there.
    pub fn take(&mut self, per_second: u32, now: Duration) -> Result<(), Duration> {
        let Some(step) = Duration::from_secs(1).checked_div(per_second) else {
            return Err(Duration::from_secs(1));
        };
        let next = self.next.max(now) + step;
        let ahead = next - now;
        if ahead > Duration::from_secs(1) {
            return Err(ahead - Duration::from_secs(1));
        }
        self.next = next;
        Ok(())
    }

    /// Whether the bucket is full again, so that forgetting it changes nothing.
    pub fn is_full(&self, now: Duration) -> bool {
        self.next <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_one_second_through_and_refills() {
        let mut bucket = Bucket::full(Duration::ZERO);
        for _ in 0..10 {
            assert!(bucket.take(10, Duration::ZERO).is_ok());
        }
        assert_eq!(bucket.take(10, Duration::ZERO), Err(Duration::from_millis(100)));
        assert!(bucket.take(10, Duration::from_millis(100)).is_ok());
        assert!(bucket.take(10, Duration::from_millis(100)).is_err());
        assert!(bucket.is_full(Duration::from_secs(5)));
        assert!(Bucket::full(Duration::ZERO).take(0, Duration::from_secs(9)).is_err());
    }
}
