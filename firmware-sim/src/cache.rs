//! Keys that were unwrapped lately. Bounded; an entry counts only for the very bytes it was unwrapped from, so
//! a tampered wrapped key never profits from a good one. Imports `quick_cache`. Entries wipe when evicted,
//! replaced, cleared or dropped, as soon as the last command that uses them ends.

use std::sync::Arc;

use foldhash::fast::RandomState;
use quick_cache::UnitWeighter;
use quick_cache::sync::{Cache, DefaultLifecycle};

use crate::alg::sha256::MacKey;
use crate::fault::Fault;
use crate::frame::FrameKey;
use crate::identity::{Custody, KeyName, PartitionId, Purpose};
use crate::key_pair::KeyPair;
use crate::material::Material;
use crate::wrapped::{WrappedHeader, WrappedKey};

/// Most keys held ready at a time, all partitions together.
const PARSED_KEYS_MAX: usize = 4096;

/// A key in the form its commands want it.
pub(crate) enum Parsed {
    Aes256(Material),
    Sm4(Material),
    Credential(MacKey),
    Pair(Box<KeyPair>),
}

/// An unwrapped key with the header that was authenticated with it.
pub(crate) struct OpenKey {
    wrapped: WrappedKey,
    header: WrappedHeader,
    parsed: Parsed,
}

impl OpenKey {
    pub(crate) fn new(wrapped: WrappedKey, header: WrappedHeader, parsed: Parsed) -> Self {
        Self { wrapped, header, parsed }
    }

    /// Which key and version this is, authenticated.
    pub(crate) fn name(&self) -> KeyName {
        self.header.name
    }

    /// The key as a cipher key, if its authenticated purpose says so.
    pub(crate) fn cipher(&self) -> Result<FrameKey<'_>, Fault> {
        match (self.header.purpose, &self.parsed) {
            (Purpose::Cipher, Parsed::Aes256(material)) => Ok(FrameKey::Aes256(material)),
            (Purpose::Cipher, Parsed::Sm4(material)) => Ok(FrameKey::Sm4(material)),
            (_, Parsed::Aes256(_) | Parsed::Sm4(_) | Parsed::Credential(_) | Parsed::Pair(_)) => {
                Err(Fault::WrongPurpose)
            }
        }
    }

    /// The key as the secret of a credential, if its authenticated purpose says so.
    pub(crate) fn credential(&self) -> Result<&MacKey, Fault> {
        match (self.header.purpose, &self.parsed) {
            (Purpose::Authenticate, Parsed::Credential(key)) => Ok(key),
            (_, Parsed::Aes256(_) | Parsed::Sm4(_) | Parsed::Credential(_) | Parsed::Pair(_)) => {
                Err(Fault::WrongPurpose)
            }
        }
    }

    /// The key as a wrapping key for imports, if its authenticated purpose says so.
    pub(crate) fn unwrapping(&self) -> Result<&KeyPair, Fault> {
        if self.header.purpose == Purpose::Unwrap { self.pair() } else { Err(Fault::WrongPurpose) }
    }

    /// The key as a key pair; it knows its authenticated purpose itself.
    pub(crate) fn pair(&self) -> Result<&KeyPair, Fault> {
        match &self.parsed {
            Parsed::Pair(pair) => Ok(pair),
            Parsed::Aes256(_) | Parsed::Sm4(_) | Parsed::Credential(_) => Err(Fault::WrongPurpose),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Identity {
    partition: PartitionId,
    custody: Custody,
    generation: u32,
    name: KeyName,
}

impl Identity {
    fn of(header: &WrappedHeader) -> Self {
        let WrappedHeader { partition, custody, generation, name, .. } = *header;
        Self { partition, custody, generation, name }
    }
}

/// The keys held ready.
pub(crate) struct KeyCache(Cache<Identity, Arc<OpenKey>, UnitWeighter, RandomState>);

impl KeyCache {
    pub(crate) fn new() -> Self {
        let most = PARSED_KEYS_MAX as u64;
        let lifecycle = DefaultLifecycle::default();
        Self(Cache::with(PARSED_KEYS_MAX, most, UnitWeighter, RandomState::default(), lifecycle))
    }

    /// Finds the key that was unwrapped from exactly these bytes.
    pub(crate) fn get(&self, wrapped: &WrappedKey, header: &WrappedHeader) -> Option<Arc<OpenKey>> {
        self.0.get(&Identity::of(header)).filter(|key| key.wrapped.same(wrapped))
    }

    /// Keeps a key ready, in place of any other of the same identity.
    pub(crate) fn insert(&self, key: Arc<OpenKey>) {
        self.0.insert(Identity::of(&key.header), key);
    }

    /// How many keys it holds.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets one key.
    pub(crate) fn forget(&self, wrapped: &WrappedKey) {
        self.0.remove(&Identity::of(&wrapped.header()));
    }

    /// Forgets a partition's keys of generations before this one.
    pub(crate) fn forget_before(&self, partition: PartitionId, generation: u32) {
        self.0.retain(|key, _| key.partition != partition || key.generation >= generation);
    }

    /// Forgets every key.
    pub(crate) fn clear(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Algorithm;

    fn key(number: u32, fill: u8) -> Arc<OpenKey> {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let header = WrappedHeader {
            partition: PartitionId::DEVICE,
            custody: Custody::Hsm,
            generation: 1,
            name: KeyName { key: id, version: id },
            algorithm: Algorithm::Aes256,
            purpose: Purpose::Cipher,
            exportable: false,
        };
        let wrapped = WrappedKey::join(&header, &[fill; 12], &[fill; 32], &[fill; 16]);
        Arc::new(OpenKey::new(wrapped, header, Parsed::Aes256(Material::copy_of(&[fill; 32]))))
    }

    #[test]
    fn only_the_same_bytes_hit() {
        let cache = KeyCache::new();
        let held = key(1, 7);
        cache.insert(held.clone());
        let again =
            WrappedKey::from_bytes(held.wrapped.as_bytes().to_vec()).expect("the bytes of a wrapped key");
        assert!(cache.get(&held.wrapped, &held.header).is_some());
        assert!(cache.get(&again, &held.header).is_some());
        assert!(cache.get(&key(1, 8).wrapped, &held.header).is_none());
        assert!(cache.get(&key(2, 7).wrapped, &key(2, 7).header).is_none());
    }

    #[test]
    fn evicted_and_cleared_keys_are_dropped() {
        let cache = KeyCache::new();
        let first = key(0, 7);
        cache.insert(first.clone());
        cache.insert(key(0, 8));
        assert_eq!(Arc::strong_count(&first), 1, "a replaced key is not held");

        let all: Vec<_> = (0..3 * PARSED_KEYS_MAX as u32).map(|number| key(number, 7)).collect();
        all.iter().for_each(|key| cache.insert(key.clone()));
        let held = all.iter().filter(|key| Arc::strong_count(key) > 1).count();
        assert!(held <= PARSED_KEYS_MAX, "{held} keys held");
        cache.clear();
        assert!(all.iter().all(|key| Arc::strong_count(key) == 1), "a cleared cache holds no key");
    }
}
