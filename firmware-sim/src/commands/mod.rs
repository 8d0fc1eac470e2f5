//! The commands, one file per noun. Each reads what it may do from the authenticated header of the key it is
//! given, checks its limits, computes, and answers. They import the partition, the forms and the algorithms.

pub(crate) mod asymmetric;
pub(crate) mod credential;
pub(crate) mod data_key;
pub(crate) mod device;
pub(crate) mod digest;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod keys;
pub(crate) mod mac;
pub(crate) mod random;
pub(crate) mod re_encrypt;
pub(crate) mod storage;
pub(crate) mod symmetric;
