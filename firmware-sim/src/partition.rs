//! One partition: the virtual machine of one tenant, with a wrapping key for each custody; while that rolls, with two
//! generations of it. It wraps keys on their way out and unwraps them on their way in, and refuses whatever another
//! partition wrapped. It imports the forms and the algorithms; it does no I/O and knows no command.

use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::alg::aes_gcm_siv::Sealer;
use crate::alg::sha256::MacKey;
use crate::alg::{NONCE_BYTES, sm2};
use crate::cache::{OpenKey, Parsed};
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::identity::{Algorithm, Custody, KeyName, PartitionId, Purpose};
use crate::key_pair::KeyPair;
use crate::material::Material;
use crate::shared::{Shared, State};
use crate::slots::Slots;
use crate::wrapped::{WrappedHeader, WrappedKey};

/// Name of the test that a wrapped key opens again.
pub(crate) const REOPENING: &str = "wrapped key re-opening";

/// What the device's own partition holds beside wrapping keys.
pub(crate) struct DeviceKeys {
    storage_domain: Sealer,
    signing: sm2::PrivateKey,
}

impl DeviceKeys {
    pub(crate) fn new(slots: Slots) -> Self {
        Self { storage_domain: Sealer::new(&slots.storage_domain), signing: slots.signing }
    }
}

/// One generation of the key that wraps a partition's keys.
pub(crate) struct WrappingKey {
    pub(crate) generation: u32,
    pub(crate) material: Material,
    sealer: Sealer,
}

impl WrappingKey {
    pub(crate) fn new(generation: u32, material: Material) -> Self {
        let sealer = Sealer::new(&material);
        Self { generation, material, sealer }
    }
}

/// A partition's wrapping key in one custody. What is wrapped anew is wrapped under the newest generation; the one before
/// it, there only while a roll is under way, still opens.
#[derive(Clone)]
pub(crate) struct Generations {
    pub(crate) newest: Arc<WrappingKey>,
    pub(crate) retiring: Option<Arc<WrappingKey>>,
}

impl Generations {
    /// Of a partition that has rolled to the end, or never.
    pub(crate) fn single(key: WrappingKey) -> Self {
        Self { newest: Arc::new(key), retiring: None }
    }

    /// As if the roll had not begun: the generation that the other custody has, too.
    pub(crate) fn before_roll(&self) -> Self {
        Self { newest: self.retiring.clone().unwrap_or_else(|| self.newest.clone()), retiring: None }
    }

    /// The newest generation first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Arc<WrappingKey>> {
        [&self.newest].into_iter().chain(&self.retiring)
    }
}

/// The virtual machine of one tenant. Only commands see it, and it shows them nothing outside this crate.
pub struct Partition {
    id: PartitionId,
    software: Generations,
    hsm: Generations,
    device: Option<Arc<DeviceKeys>>,
    shared: Arc<Shared>,
}

impl Partition {
    pub(crate) fn new(
        id: PartitionId,
        software: Generations,
        hsm: Generations,
        device: Option<Arc<DeviceKeys>>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { id, software, hsm, device, shared }
    }

    /// The same partition with other generations of its wrapping key.
    pub(crate) fn with(&self, software: Generations, hsm: Generations) -> Self {
        Self { id: self.id, software, hsm, device: self.device.clone(), shared: self.shared.clone() }
    }

    /// The generation that wraps; the same in both custodies.
    pub(crate) fn generation(&self) -> u32 {
        self.hsm.newest.generation
    }

    /// Whether an older generation still opens.
    pub(crate) fn is_rolling(&self) -> bool {
        self.software.retiring.is_some() || self.hsm.retiring.is_some()
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.shared.entropy()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The cipher of the storage domain; the device's partition alone has one.
    pub(crate) fn storage_domain(&self) -> Result<&Sealer, Fault> {
        self.device.as_ref().map(|device| &device.storage_domain).ok_or(Fault::WrongPurpose)
    }

    /// The key that signs for the device; the device's partition alone has it.
    pub(crate) fn signing_key(&self) -> Result<&sm2::PrivateKey, Fault> {
        self.device.as_ref().map(|device| &device.signing).ok_or(Fault::WrongPurpose)
    }

    /// Wraps a new key.
    pub(crate) fn wrap(
        &self,
        name: KeyName,
        algorithm: Algorithm,
        purpose: Purpose,
        custody: Custody,
        material: &Material,
    ) -> Result<WrappedKey, Fault> {
        assert!(algorithm.serves(purpose), "commands check what a key is for");
        let generation = self.generations(custody).newest.generation;
        let header = WrappedHeader {
            partition: self.id,
            custody,
            generation,
            name,
            algorithm,
            purpose,
            exportable: false,
        };
        self.seal(header, material)
    }

    /// Wraps a wrapped key under the newest generation; everything else about it stays. One that is there already comes
    /// back as it is.
    pub(crate) fn rewrap(&self, wrapped: &WrappedKey) -> Result<WrappedKey, Fault> {
        let header = wrapped.header();
        let material = self.unwrap(wrapped, &header)?;
        let generation = self.generations(header.custody).newest.generation;
        if header.generation == generation {
            return Ok(wrapped.clone());
        }
        self.seal(WrappedHeader { generation, ..header }, &material)
    }

    /// Encrypts key material to its header and proves that it opens again before anybody relies on it.
    fn seal(&self, header: WrappedHeader, material: &Material) -> Result<WrappedKey, Fault> {
        let wrapping = self.wrapping(&header)?;
        let mut nonce = [0; NONCE_BYTES];
        self.entropy().fill(&mut nonce)?;
        let mut key = Material::copy_of(material.expose());
        let tag = wrapping.sealer.seal(&nonce, &header.encode(), key.expose_mut());
        let wrapped = WrappedKey::join(&header, &nonce, key.expose(), &tag);

        let reopened = self.unwrap(&wrapped, &header);
        let equal = reopened.is_ok_and(|mut reopened| {
            if self.shared.corrupts(REOPENING) {
                reopened.expose_mut()[0] ^= 1;
            }
            reopened.expose().ct_eq(material.expose()).into()
        });
        if equal { Ok(wrapped) } else { Err(self.shared.fail(REOPENING)) }
    }

    /// Opens a wrapped key, or finds it held ready.
    pub(crate) fn key(&self, wrapped: &WrappedKey) -> Result<Arc<OpenKey>, Fault> {
        let header = wrapped.header();
        // Before the cache is asked: what an erased generation wrapped opens no more, held ready or not.
        self.wrapping(&header)?;
        if let Some(key) = self.shared.cache.get(wrapped, &header) {
            return Ok(key);
        }
        let material = self.unwrap(wrapped, &header)?;
        let parsed = match header.algorithm {
            Algorithm::Aes256 => Parsed::Aes256(material),
            Algorithm::Sm4 => Parsed::Sm4(material),
            Algorithm::CredentialHmac => Parsed::Credential(MacKey::new(material.expose())),
            Algorithm::Rsa2048 | Algorithm::Sm2 => {
                let pair = KeyPair::open(header.algorithm, header.purpose, material);
                Parsed::Pair(Box::new(pair.map_err(|_| Fault::InvalidWrappedKey)?))
            }
        };
        let key = Arc::new(OpenKey::new(wrapped.clone(), header, parsed));
        self.shared.cache.insert(key.clone());
        // Whoever stopped the machine between the look and the insertion has cleared the cache already.
        if self.shared.state() == State::Error {
            self.shared.cache.clear();
        }
        Ok(key)
    }

    /// Opens a wrapped key without looking at the cache. The header it returns for counts once this succeeds.
    fn unwrap(&self, wrapped: &WrappedKey, header: &WrappedHeader) -> Result<Material, Fault> {
        let wrapping = self.wrapping(header)?;
        let mut material = Material::copy_of(wrapped.encrypted_key());
        wrapping
            .sealer
            .open(wrapped.nonce(), wrapped.header_bytes(), material.expose_mut(), wrapped.tag())
            .map_err(|_| Fault::InvalidWrappedKey)?;
        Ok(material)
    }

    /// The wrapping key that a header names.
    fn wrapping(&self, header: &WrappedHeader) -> Result<&WrappingKey, Fault> {
        if header.partition != self.id {
            return Err(Fault::InvalidWrappedKey);
        }
        let generations = self.generations(header.custody);
        match generations.keys().find(|key| key.generation == header.generation) {
            Some(key) => Ok(key),
            None if header.generation < generations.newest.generation => Err(Fault::RetiredGeneration),
            None => Err(Fault::InvalidWrappedKey),
        }
    }

    fn generations(&self, custody: Custody) -> &Generations {
        match custody {
            Custody::Software => &self.software,
            Custody::Hsm => &self.hsm,
        }
    }
}
