//! The machine's key slots, by internal index, and the one file they lie in. Unattended, `device.key` opens it: whoever
//! has both files has the machine. Attended, a passphrase does, and no other file. Imports the files and algorithms.

use zeroize::Zeroizing;

use crate::alg::aes_gcm_siv::Sealer;
use crate::alg::argon2id::{Cost, SALT_BYTES};
use crate::alg::sm2;
use crate::directories::Directories;
use crate::entropy::Entropy;
use crate::fault::Fault;
use crate::material::Material;
use crate::pairwise;
use crate::sealed_file::{self, PREFIX_BYTES, Role, damaged};
use crate::shared::Shared;

const KEY_BYTES: usize = 32;
const SLOT_BYTES: usize = 1 + KEY_BYTES;
const HSM_ROOT: u8 = 1;
const STORAGE_DOMAIN: u8 = 2;
const SIGNING: u8 = 3;
const COST_BYTES: usize = 12;
const HEADER_BYTES: usize = PREFIX_BYTES + COST_BYTES + SALT_BYTES;

// The content of slots.bin:
//
//   offset       0   1  number of slots, 3
//        1 + 33 * i  1  index: 1 root key of the HSM custody, 2 key of the storage domain, 3 SM2 private key of the device
//                   32  key                               for i in 0..3, by index
//
// Of an unattended machine it is an ordinary sealed file under device.key. Of an attended one:
//
//   offset  0   6  prefix of the role
//           6   4  Argon2id: memory in KiB          10  4  passes          14  4  lanes, all big-endian
//          18  16  salt
//          34  12  nonce
//          46   n  ciphertext and tag
//
// AES-256-GCM-SIV under Argon2id(passphrase, salt); bytes 0 to 33 are the associated data.

/// The keys in the slots.
pub(crate) struct Slots {
    pub(crate) hsm_root: Material,
    pub(crate) storage_domain: Material,
    pub(crate) signing: sm2::PrivateKey,
}

impl Slots {
    pub(crate) fn generate(shared: &Shared) -> Result<Self, Fault> {
        Ok(Self {
            hsm_root: Material::random(shared.entropy(), KEY_BYTES)?,
            storage_domain: Material::random(shared.entropy(), KEY_BYTES)?,
            signing: pairwise::generate_sm2(shared)?,
        })
    }

    /// Opens the file of an unattended machine.
    pub(crate) fn open(file: &[u8], device_key: &Material) -> Result<Self, Fault> {
        decode(&sealed_file::open(Role::Slots, file, &Sealer::new(device_key))?)
    }

    /// The file of an unattended machine.
    pub(crate) fn seal(&self, device_key: &Material, entropy: &dyn Entropy) -> Result<Vec<u8>, Fault> {
        sealed_file::seal(Role::Slots, &self.encode(), &Sealer::new(device_key), entropy)
    }

    /// Opens the file of an attended machine. A damaged ciphertext looks like a wrong passphrase: nothing tells them apart.
    pub(crate) fn open_attended(file: &[u8], passphrase: &[u8]) -> Result<Self, Fault> {
        let (header, rest) = file.split_first_chunk::<HEADER_BYTES>().ok_or_else(damaged)?;
        let number = |at: usize| {
            let bytes = header[at..at + 4].try_into().expect("the header has 34 bytes");
            u32::from_be_bytes(bytes)
        };
        let cost = Cost {
            memory_kib: number(PREFIX_BYTES),
            passes: number(PREFIX_BYTES + 4),
            lanes: number(PREFIX_BYTES + 8),
        };
        let salt = &header[HEADER_BYTES - SALT_BYTES..];
        let key = cost.derive(passphrase, salt).map_err(|_| damaged())?;
        let content = sealed_file::open_bound(header, rest, &Sealer::new(&key));
        decode(&content.map_err(|_| Fault::WrongPassphrase)?)
    }

    /// The file of an attended machine.
    pub(crate) fn seal_attended(&self, passphrase: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, Fault> {
        let mut salt = [0; SALT_BYTES];
        entropy.fill(&mut salt)?;
        let cost = Cost::PASSPHRASE;
        let key = cost.derive(passphrase, &salt).expect("the cost of new passphrases is within the bounds");
        let [memory, passes, lanes] =
            [cost.memory_kib, cost.passes, cost.lanes].map(|number: u32| number.to_be_bytes());
        let header = [&Role::AttendedSlots.prefix(), memory.as_slice(), &passes, &lanes, &salt].concat();
        sealed_file::seal_bound(&header, &self.encode(), &Sealer::new(&key), entropy)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let slots = [
            (HSM_ROOT, &self.hsm_root),
            (STORAGE_DOMAIN, &self.storage_domain),
            (SIGNING, self.signing.material()),
        ];
        // Room for everything at once: a vector that grows would leave clear bytes behind.
        let mut content = Zeroizing::new(Vec::with_capacity(1 + slots.len() * SLOT_BYTES));
        content.push(slots.len() as u8);
        for (index, key) in slots {
            content.push(index);
            content.extend_from_slice(key.expose());
        }
        content
    }
}

/// Whether the machine is attended, by the file of its slots.
pub(crate) fn is_attended(file: &[u8]) -> bool {
    file.starts_with(&Role::AttendedSlots.prefix())
}

/// Reads the file of the slots.
pub(crate) fn read(directories: &Directories) -> Result<Zeroizing<Vec<u8>>, Fault> {
    sealed_file::read(&directories.slots())
}

/// Opens the slots of an unattended machine with the key on its device.
pub(crate) fn open_with_device(directories: &Directories, file: &[u8]) -> Result<Slots, Fault> {
    let device_key = sealed_file::read(&directories.device_key())?;
    Slots::open(file, &sealed_file::decode_key(Role::DeviceKey, &device_key)?)
}

fn decode(content: &[u8]) -> Result<Slots, Fault> {
    let mut slots = [HSM_ROOT, STORAGE_DOMAIN, SIGNING].into_iter();
    let rest = content.strip_prefix(&[slots.len() as u8]).ok_or_else(damaged)?;
    if rest.len() != slots.len() * SLOT_BYTES {
        return Err(damaged());
    }
    let mut keys = rest.chunks_exact(SLOT_BYTES);
    let mut next = || {
        let (index, key) = keys.next().and_then(|slot| slot.split_first()).ok_or_else(damaged)?;
        (slots.next() == Some(*index)).then(|| Material::copy_of(key)).ok_or_else(damaged)
    };
    let (hsm_root, storage_domain) = (next()?, next()?);
    let signing = sm2::PrivateKey::from_material(next()?).map_err(|_| damaged())?;
    Ok(Slots { hsm_root, storage_domain, signing })
}
