//! The actors that operations talk to: one keeper per record, and the cipher machine's engines. With `cron.rs` the only
//! code that imports actix. Actors never talk to actors.

mod keeper;
mod machine;

pub use keeper::Keepers;
pub use machine::{CipherMachine, Wrapping};
