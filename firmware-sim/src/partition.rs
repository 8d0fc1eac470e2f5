//! One partition: the virtual machine of one tenant, with a wrapping key for each custody. It wraps keys on
//! their way out and unwraps them on their way in, and refuses whatever another partition wrapped. It imports
//! the forms and the algorithms; it does no I/O and knows no command.

use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::alg::aes_gcm_siv::Sealer;
use crate::alg::sha256::MacKey;
use crate::alg::{NONCE_BYTES, sm2};
use crate::cache::{OpenKey, Parsed};
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::identity::{Algorithm, Custody, KeyName, PartitionId};
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

/// The virtual machine of one tenant. Only commands see it, and it shows them nothing outside this crate.
pub struct Partition {
    id: PartitionId,
    software: Arc<WrappingKey>,
    hsm: Arc<WrappingKey>,
    device: Option<Arc<DeviceKeys>>,
    shared: Arc<Shared>,
}

impl Partition {
    pub(crate) fn new(
        id: PartitionId,
        software: Arc<WrappingKey>,
        hsm: Arc<WrappingKey>,
        device: Option<Arc<DeviceKeys>>,
        shared: Arc<Shared>,
    ) -> Self {
        Self { id, software, hsm, device, shared }
    }

    pub(crate) fn entropy(&self) -> &dyn Entropy {
        self.shared.entropy()
    }

    /// The cipher of the storage domain; the device's partition alone has one.
    pub(crate) fn storage_domain(&self) -> Result<&Sealer, Fault> {
        self.device.as_ref().map(|device| &device.storage_domain).ok_or(Fault::WrongPurpose)
    }

    /// The key that signs for the device; the device's partition alone has it.
    pub(crate) fn signing_key(&self) -> Result<&sm2::PrivateKey, Fault> {
        self.device.as_ref().map(|device| &device.signing).ok_or(Fault::WrongPurpose)
    }

    /// Wraps a new key and proves that it opens again before anybody relies on it.
    pub(crate) fn wrap(
        &self,
        name: KeyName,
        algorithm: Algorithm,
        custody: Custody,
        material: &Material,
    ) -> Result<WrappedKey, Fault> {
        let wrapping = self.wrapping(custody);
        let header = WrappedHeader {
            partition: self.id,
            custody,
            generation: wrapping.generation,
            name,
            algorithm,
            purpose: algorithm.purpose(),
            exportable: false,
        };
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
        if header.partition != self.id {
            return Err(Fault::InvalidWrappedKey);
        }
        if let Some(key) = self.shared.cache.get(wrapped, &header) {
            return Ok(key);
        }
        let material = self.unwrap(wrapped, &header)?;
        let parsed = match header.algorithm {
            Algorithm::Aes256 => Parsed::Aes256(material),
            Algorithm::Sm4 => Parsed::Sm4(material),
            Algorithm::CredentialHmac => Parsed::Credential(MacKey::new(material.expose())),
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
        let wrapping = self.wrapping(header.custody);
        if header.generation != wrapping.generation || header.partition != self.id {
            return Err(Fault::InvalidWrappedKey);
        }
        let mut material = Material::copy_of(wrapped.encrypted_key());
        wrapping
            .sealer
            .open(wrapped.nonce(), wrapped.header_bytes(), material.expose_mut(), wrapped.tag())
            .map_err(|_| Fault::InvalidWrappedKey)?;
        Ok(material)
    }

    fn wrapping(&self, custody: Custody) -> &WrappingKey {
        match custody {
            Custody::Software => &self.software,
            Custody::Hsm => &self.hsm,
        }
    }
}
