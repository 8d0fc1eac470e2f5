//! The root key of the software custody and its three files: `root.bin`, encrypted by a public key; `private.bin`, the
//! private key, sealed under a symmetric key; `root.key`, that key. Imports the files and the algorithms.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::alg::aes_gcm_siv::Sealer;
use crate::alg::{hkdf, sm2, sm3};
use crate::directories::Directories;
use crate::fault::Fault;
use crate::material::Material;
use crate::pairwise;
use crate::sealed_file::{self, PREFIX_BYTES, Role, damaged};
use crate::shared::Shared;

const KEY_BYTES: usize = 32;
const CHECK_BYTES: usize = 32;
const ENCRYPTED_BYTES: usize = KEY_BYTES + sm2::OVERHEAD_BYTES;
const LABEL: &[u8] = b"yaoku/software-root";

// root.bin:
//
//   offset  0    6  prefix of the role
//           6  129  SM2 ciphertext of the root key, C1 ‖ C3 ‖ C2
//         135   32  check value: HMAC-SM3( HKDF-SM3(root.key, "yaoku/software-root"), bytes 0 to 134 ‖ root key )
//
// Everybody can encrypt to a public key, so a root.bin of a stranger would open. The check value is keyed by root.key, so
// that whoever lacks it cannot put a root key of his own in place.

/// Makes a root key and its three files, which must not exist.
pub(crate) fn initialise(directories: &Directories, shared: &Shared) -> Result<Material, Fault> {
    let entropy = shared.entropy();
    let key = Material::random(entropy, KEY_BYTES)?;
    let private = pairwise::generate_sm2(shared)?;
    let root = Material::random(entropy, KEY_BYTES)?;
    let sealed =
        sealed_file::seal(Role::SoftwarePrivate, private.material().expose(), &Sealer::new(&key), entropy)?;
    let encrypted = sm2::encrypt(&private.public(), root.expose(), entropy)?;
    let mut file = [Role::SoftwareRoot.prefix().as_slice(), &encrypted].concat();
    file.extend_from_slice(&check(&key, &file, &root));
    sealed_file::write_new(&directories.software_key(), &sealed_file::encode_key(Role::SoftwareKey, &key))?;
    sealed_file::write_new(&directories.software_private_key(), &sealed)?;
    sealed_file::write_new(&directories.software_root(), &file)?;
    Ok(root)
}

/// Opens the three files.
pub(crate) fn open(directories: &Directories) -> Result<Material, Fault> {
    let key = sealed_file::read(&directories.software_key())?;
    let key = sealed_file::decode_key(Role::SoftwareKey, &key)?;
    let private = sealed_file::read(&directories.software_private_key())?;
    let private = sealed_file::open(Role::SoftwarePrivate, &private, &Sealer::new(&key))?;
    let private = sm2::PrivateKey::from_material(Material::copy_of(&private)).map_err(|_| damaged())?;

    let file = sealed_file::read(&directories.software_root())?;
    let (head, expected) = file.split_last_chunk::<CHECK_BYTES>().ok_or_else(damaged)?;
    let encrypted = head.strip_prefix(Role::SoftwareRoot.prefix().as_slice()).ok_or_else(damaged)?;
    if encrypted.len() != ENCRYPTED_BYTES {
        return Err(damaged());
    }
    let root = Material::copy_of(&private.decrypt(encrypted).map_err(|_| damaged())?);
    let genuine: bool = check(&key, head, &root).ct_eq(expected).into();
    genuine.then_some(root).ok_or_else(damaged)
}

fn check(key: &Material, head: &[u8], root: &Material) -> [u8; CHECK_BYTES] {
    assert_eq!(head.len(), PREFIX_BYTES + ENCRYPTED_BYTES, "the check value covers what stands before it");
    let mut check_key = Zeroizing::new([0; KEY_BYTES]);
    hkdf::sm3(key.expose(), None, &[LABEL], check_key.as_mut_slice());
    sm3::mac(check_key.as_slice(), &[head, root.expose()])
}
