//! The integration tests: one binary that drives the real service over TLS, in this process with a clock that tests
//! move, or as the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod api_document;
mod audit;
mod audit_manipulation;
mod audit_proof;
mod bad_input;
mod bit_rot;
mod broken_settings;
mod canaries;
mod command_line;
mod disk;
mod eop;
mod examples;
mod faults;
mod full_disk;
mod hygiene;
mod kill;
mod kit;
mod layout;
mod ledger;
mod life;
mod operations;
mod power_cut;
mod program;
mod recovery;
mod self_test;
mod tenants;
mod witness;
mod wrapping_key;
