//! The simulated cipher machine: the one place where clear keys exist. It imports cipher libraries and the
//! standard file API; it has no async, no actor, no database, no JSON and no clock, and asks nobody for
//! randomness but the [`Entropy`] it is handed; only the salts of PSS and the blinding of RSA are drawn by the library that
//! needs them. A caller hands [`Machine::run`] a [`Command`] and gets that command's reply; a key leaves only as a
//! [`WrappedKey`]. Nothing here knows accounts, permissions or records.
//!
//! Map: `command` (what an instruction is) → `commands/` (the instructions) → `partition` (the keys of one
//! tenant) → `wrapped`, `frame`, `material`, `key_pair` (the forms data and keys take) → `alg/` (libraries, adapted); `scheme`
//! names how key pairs compute, `spare` holds pairs made ahead. `machine` starts, runs and rolls it all; `slots`,
//! `software_root`, `root_key` and `sealed_file` keep it on disk, `custody` changes how;
//! `selftest`, `known_answers`, `health` and `pairwise` prove that it works, before and while it does.
//!
//! # What the compiler refuses
//!
//! Clear key material cannot be named outside this crate:
//! ```compile_fail,E0603
//! use firmware_sim::material::Material;
//! ```
//! ```compile_fail,E0432
//! use firmware_sim::Material;
//! ```
//! A released secret can be read, but neither printed, nor cloned, nor compared:
//! ```
//! fn read(secret: &firmware_sim::Released) -> &[u8] { secret.as_bytes() }
//! ```
//! ```compile_fail,E0277
//! fn print(secret: &firmware_sim::Released) -> String { format!("{secret:?}") }
//! ```
//! ```compile_fail,E0277
//! fn show(secret: &firmware_sim::Released) -> String { format!("{secret}") }
//! ```
//! ```compile_fail,E0599
//! fn copy(secret: firmware_sim::Released) -> firmware_sim::Released { secret.clone() }
//! ```
//! ```compile_fail,E0369
//! fn same(one: &firmware_sim::Released, other: &firmware_sim::Released) -> bool { one == other }
//! ```
//! Key pairs cannot be named, and nothing that holds a plaintext, a wrapped private key or somebody's public key prints:
//! ```compile_fail,E0603
//! use firmware_sim::key_pair::KeyPair;
//! ```
//! ```compile_fail,E0277
//! fn print(command: &firmware_sim::AsymmetricEncrypt) -> String { format!("{command:?}") }
//! ```
//! ```compile_fail,E0277
//! fn print(command: &firmware_sim::AsymmetricDecrypt) -> String { format!("{command:?}") }
//! ```
//! ```compile_fail,E0277
//! fn print(command: &firmware_sim::ExportDataKey) -> String { format!("{command:?}") }
//! ```
//! ```compile_fail,E0277
//! fn print(recipient: &firmware_sim::RecipientKey) -> String { format!("{recipient:?}") }
//! ```
//! A wrapped key shows its bytes, yet nobody but the crate can make one without the format check:
//! ```
//! fn bytes(key: &firmware_sim::WrappedKey) -> &[u8] { key.as_bytes() }
//! ```
//! ```compile_fail,E0423
//! let key = firmware_sim::WrappedKey(std::sync::Arc::from([0u8; 121]));
//! ```
//! ```compile_fail,E0616
//! fn inner(key: &firmware_sim::WrappedKey) -> &[u8] { &key.0 }
//! ```
//! The machine answers commands and hands out neither partitions nor keys:
//! ```
//! fn state(machine: &firmware_sim::Machine) -> firmware_sim::State { machine.state() }
//! ```
//! ```compile_fail,E0624
//! fn partition(machine: &firmware_sim::Machine, id: firmware_sim::PartitionId) { let _ = machine.partition(id); }
//! ```
//! ```compile_fail,E0616
//! fn partitions(machine: &firmware_sim::Machine) { let _ = &machine.partitions; }
//! ```
//! ```compile_fail,E0624
//! fn open(partition: &firmware_sim::Partition, key: &firmware_sim::WrappedKey) { let _ = partition.key(key); }
//! ```
//! Nobody outside can write a command of their own and read keys in it:
//! ```compile_fail,E0277
//! struct Steal;
//! impl firmware_sim::Command for Steal {
//!     type Reply = ();
//!     const LANE: firmware_sim::Lane = firmware_sim::Lane::Inline;
//!     fn execute(self, _: &firmware_sim::Partition) -> Result<(), firmware_sim::Fault> { Ok(()) }
//! }
//! ```
#![forbid(unsafe_code)]

mod alg;
mod cache;
mod command;
mod commands;
pub mod custody;
mod directories;
mod entropy;
mod fault;
mod frame;
mod health;
mod identity;
mod key_pair;
mod known_answers;
mod machine;
mod material;
mod pairwise;
mod partition;
mod root_key;
mod scheme;
mod sealed_file;
mod selftest;
mod shared;
mod slots;
mod software_root;
mod spare;
mod wrapped;

pub use crate::command::{Command, Lane};
pub use crate::commands::asymmetric::{
    AsymmetricDecrypt, AsymmetricEncrypt, AsymmetricSign, AsymmetricVerify, GetPublicKey,
};
pub use crate::commands::credential::{CredentialMac, GenerateCredential, MAC_MESSAGES_MAX};
pub use crate::commands::data_key::{DATA_KEY_BYTES_MAX, GenerateDataKey, GenerateDataKeyWithoutPlaintext};
pub use crate::commands::device::{
    DevicePublicKey, DeviceSign, SIGNED_MESSAGE_BYTES_MAX, is_device_signature,
};
pub use crate::commands::digest::DigestSm3;
pub use crate::commands::export::{ExportDataKey, GenerateAndExportDataKey};
pub use crate::commands::import::{ImportKey, Imported, MakeSpareKey, TakeSpareKey};
pub use crate::commands::keys::{GenerateKey, Rewrap};
pub use crate::commands::mac::HmacSm3;
pub use crate::commands::random::{RANDOM_BYTES_MAX, Random};
pub use crate::commands::re_encrypt::{ReEncrypt, Source};
pub use crate::commands::storage::{Open, PLACE_BYTES_MAX, SEALED_PLAINTEXT_BYTES_MAX, Seal};
pub use crate::commands::symmetric::{Decrypt, Encrypt, MeasureFrame};
pub use crate::directories::Directories;
pub use crate::entropy::{Entropy, EntropyFailed};
pub use crate::fault::Fault;
pub use crate::frame::{ACCOUNT_BYTES_MAX, CONTEXT_BYTES_MAX, Frame, PLAINTEXT_BYTES_MAX};
pub use crate::identity::{Algorithm, Binding, Custody, KeyName, PartitionId, Purpose};
pub use crate::key_pair::RecipientKey;
pub use crate::machine::{Machine, Options};
pub use crate::material::Released;
pub use crate::partition::Partition;
pub use crate::root_key::PARTITIONS_MAX;
pub use crate::scheme::{DIGEST_BYTES, EncryptionScheme, ImportScheme, SignatureScheme};
pub use crate::selftest::self_tests;
pub use crate::shared::State;
pub use crate::wrapped::{WrappedHeader, WrappedKey};
