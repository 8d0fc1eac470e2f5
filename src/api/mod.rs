//! The vocabulary of the catalog: what a row says, what a call in flight is, and how request fields are read.

mod call;
mod fields;
mod nested;
mod several;
mod shape;
mod spec;
mod wire;

pub use call::{Arrival, Call, Common, Page, Target};
pub use fields::{DecodeError, FIELDS_MAX, Fields};
pub use several::Several;
pub use shape::{Field, common_fields, description, fields, simplify, simplify_result};
pub use spec::{Access, Spec};
pub use wire::{
    Base64Bytes, Digest, EncryptionContext, InputText, Moment, Plaintext, PublicKeyBlob, SecretText,
};
