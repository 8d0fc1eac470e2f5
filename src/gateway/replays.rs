//! What the EOP plane remembers: request ids that were accepted within the window, and the zone of each access key's
//! dates. Ids are kept as keyed fingerprints in buckets of a minute; those of operations that change something are
//! stored with their audit record and survive a restart.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::env::Timestamp;
use crate::error::{Error, Result};
use crate::ids::AccessKeyId;
use crate::model::confirmed::Reading;
use crate::model::signature::{EopZone, WINDOW_SECONDS, oldest_minute};
use crate::store::EopMemory;

/// Fingerprints kept at most: three quarters of an hour at 350 calls a second.
const FINGERPRINTS_MAX: usize = 1_000_000;

/// Minutes between two dates that are accepted at the same time, at most.
const NEAR_MINUTES: i64 = 2 * WINDOW_SECONDS / 60 + 1;

/// The replay set and the pinned zones.
pub struct Replays {
    key: [u8; 32],
    seen: Mutex<Seen>,
    zones: Mutex<HashMap<AccessKeyId, Pin>>,
}

/// The zone of an access key, and whether the store knows it.
#[derive(Debug, Clone, Copy)]
struct Pin {
    zone: EopZone,
    stored: bool,
}

#[derive(Default)]
struct Seen {
    minutes: BTreeMap<i64, HashSet<[u8; 16]>>,
    count: usize,
}

impl Replays {
    /// Starts from what the store remembers.
    pub fn new(key: [u8; 32], memory: EopMemory) -> Self {
        let mut seen = Seen::default();
        for (minute, fingerprint) in memory.replays {
            seen.count += usize::from(seen.minutes.entry(minute).or_default().insert(fingerprint));
        }
        let pin = |(access_key, zone)| {
            let zone = if zone == EopZone::Beijing as u8 { EopZone::Beijing } else { EopZone::Utc };
            (access_key, Pin { zone, stored: true })
        };
        let zones = memory.zones.into_iter().map(pin).collect();
        Self { key, seen: Mutex::new(seen), zones: Mutex::new(zones) }
    }

    /// Accepts a request id that is new within the window. `at` is the signed date: it decides how long the id must be
    /// remembered, by the confirmed clock.
    pub fn accept(
        &self,
        access_key: AccessKeyId,
        id: &str,
        at: Timestamp,
        time: &Reading,
    ) -> Result<(i64, [u8; 16])> {
        if id.is_empty() || id.len() > 128 {
            return Err(Error::invalid("ctyun-eop-request-id", "must have 1 to 128 characters"));
        }
        let minute = at.minute();
        let fingerprint = self.fingerprint(access_key, id);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        // Dates that are accepted at the same time are no further apart.
        let mut near = seen.minutes.range(minute - NEAR_MINUTES..=minute + NEAR_MINUTES);
        if near.any(|(_, minute)| minute.contains(&fingerprint)) {
            return Err(Error::Replayed);
        }
        if seen.count >= FINGERPRINTS_MAX {
            seen.forget(time.confirmed);
        }
        if seen.count >= FINGERPRINTS_MAX {
            seen.forget_between(time);
        }
        if seen.count >= FINGERPRINTS_MAX {
            return Err(Error::Unavailable(
                "too many requests within three quarters of an hour; retry later",
            ));
        }
        seen.minutes.entry(minute).or_default().insert(fingerprint);
        seen.count += 1;
        Ok((minute, fingerprint))
    }

    fn fingerprint(&self, access_key: AccessKeyId, id: &str) -> [u8; 16] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of every length");
        mac.update(access_key.as_bytes());
        mac.update(id.as_bytes());
        let mut fingerprint = [0; 16];
        for (to, from) in fingerprint.iter_mut().zip(mac.finalize().into_bytes()) {
            *to = from;
        }
        fingerprint
    }

    /// How many request ids it remembers.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).count
    }

    /// Forgets ids whose date is so old that it is refused, although the wall clock may be turned back.
    pub fn forget(&self, confirmed: Timestamp) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).forget(confirmed);
    }

    /// The zone that an access key is pinned to.
    pub fn zone(&self, access_key: AccessKeyId) -> Option<EopZone> {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner).get(&access_key).map(|pin| pin.zone)
    }

    /// Pins an access key to a zone, unless it is pinned; true until the pin is known to be stored.
    pub fn pin(&self, access_key: AccessKeyId, zone: EopZone) -> bool {
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        !zones.entry(access_key).or_insert(Pin { zone, stored: false }).stored
    }

    /// Notes that the pin of an access key is stored.
    pub fn confirm(&self, access_key: AccessKeyId) {
        let mut zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pin) = zones.get_mut(&access_key) {
            pin.stored = true;
        }
    }
}

impl Seen {
    fn forget(&mut self, confirmed: Timestamp) {
        self.minutes = self.minutes.split_off(&oldest_minute(confirmed));
        self.recount();
    }

    /// Forgets ids of dates through which the wall clock ran when it was ahead of the confirmed one: they come back only if
    /// somebody sets it to just that time once more.
    fn forget_between(&mut self, time: &Reading) {
        let (near, far) = (time.confirmed.minute() + NEAR_MINUTES, oldest_minute(time.wall));
        self.minutes.retain(|minute, _| *minute <= near || *minute >= far);
        self.recount();
    }

    fn recount(&mut self) {
        self.count = self.minutes.values().map(HashSet::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_id_is_accepted_once_per_access_key_and_window() {
        let replays = Replays::new([7; 32], EopMemory::default());
        let (one, other) = (AccessKeyId::from_bytes([1; 16]), AccessKeyId::from_bytes([2; 16]));
        let now = Timestamp::from_seconds(100_000);
        let of = |wall| Reading { wall, confirmed: wall, offset: Duration::ZERO };
        let first = replays.accept(one, "a", now, &of(now)).unwrap();
        assert!(matches!(replays.accept(one, "a", now, &of(now)), Err(Error::Replayed)));
        assert!(replays.accept(other, "a", now, &of(now)).is_ok());
        assert!(replays.accept(one, "b", now, &of(now)).is_ok());
        let later = Timestamp::from_seconds(100_000 + 16 * 60);
        replays.forget(later);
        assert!(
            matches!(replays.accept(one, "a", now, &of(later)), Err(Error::Replayed)),
            "still within two windows"
        );
        let restarted = Replays::new([7; 32], EopMemory { replays: vec![first], zones: vec![(one, 8)] });
        assert!(matches!(restarted.accept(one, "a", now, &of(now)), Err(Error::Replayed)));
        assert_eq!(restarted.zone(one), Some(EopZone::Beijing));
    }

    /// Whatever the wall clock does, ids are known as long as their dates are accepted.
    #[test]
    fn a_wall_clock_that_is_set_forgets_no_id() {
        let replays = Replays::new([7; 32], EopMemory::default());
        let id = AccessKeyId::from_bytes([1; 16]);
        let at = |minute: i64| Timestamp::from_seconds(minute * 60);
        let reading = |wall: i64| Reading { wall: at(wall), confirmed: at(1000), offset: Duration::ZERO };
        replays.accept(id, "a", at(1000), &reading(1000)).unwrap();
        // A day ahead.
        replays.accept(id, "b", at(2440), &reading(2440)).unwrap();
        replays.accept(id, "c", at(2500), &reading(2500)).unwrap();
        replays.forget(at(1000));
        assert_eq!(replays.count(), 3);
        for (wall, name) in [(1000, "a"), (2440, "b"), (2500, "c")] {
            let again = replays.accept(id, name, at(wall), &reading(wall));
            assert!(matches!(again, Err(Error::Replayed)), "{name}");
        }
        // Where there is no room, what the wall clock ran through goes first.
        replays.seen.lock().unwrap().forget_between(&reading(2500));
        assert_eq!(replays.count(), 2);
        assert!(matches!(replays.accept(id, "a", at(1000), &reading(1000)), Err(Error::Replayed)));
        replays.forget(at(1032));
        assert_eq!(replays.count(), 1);
    }

    #[test]
    fn the_first_zone_stays() {
        let replays = Replays::new([7; 32], EopMemory::default());
        let id = AccessKeyId::from_bytes([1; 16]);
        assert!(replays.pin(id, EopZone::Beijing));
        assert!(replays.pin(id, EopZone::Utc), "not stored yet");
        replays.confirm(id);
        assert!(!replays.pin(id, EopZone::Utc));
        assert_eq!(replays.zone(id), Some(EopZone::Beijing));
    }
}
