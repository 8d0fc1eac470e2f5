//! The pure rules: records, their transitions, names, ranges, signatures, rates and the audit chain. No actix, no
//! redb, no HTTP, no clock, no randomness: given a record and a moment, a function returns the new state or an error.

pub mod access_point;
pub mod account;
pub mod algorithm;
pub mod alias;
pub mod association;
pub mod attempt;
pub mod audit;
pub mod checkpoint;
pub mod confirmed;
pub mod credential;
pub mod erasure;
pub mod event;
pub mod evidence;
pub mod import;
pub mod instance;
pub mod key;
pub mod owner;
pub mod pem;
pub mod principal;
pub mod product;
pub mod rate;
pub mod record;
pub mod rotation;
pub mod signature;
pub mod tag;
pub mod text;
pub mod tombstone;
pub(crate) mod wrapped;
