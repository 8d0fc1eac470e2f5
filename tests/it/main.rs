//! The integration tests: one binary that drives the real service over TLS, in this process with a clock that tests
//! move, or as the real program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say so at once")]

mod aliases;
mod api_document;
mod asymmetric;
mod attempts;
mod audit;
mod audit_manipulation;
mod audit_proof;
mod bad_input;
mod bit_rot;
mod broken_settings;
mod call_command;
mod canaries;
mod clock;
mod command_line;
mod container;
mod credentials;
mod deletion;
mod demo;
mod digest_command;
mod disk;
mod eop;
mod events;
mod examples;
mod export;
mod exposition;
mod faults;
mod full_disk;
mod hardening;

mod hygiene;
mod import;
mod key_life;
mod kill;
mod kit;
mod layout;
mod ledger;
mod life;
mod material;
mod metrics;
mod model;
mod nonces;
mod operations;
mod planted;
mod power_cut;
mod products;
mod program;
mod re_encrypt;
mod readme;
mod recovery;
mod refusals;
mod rotation;
mod self_test;
mod states;
mod tags;
mod tenants;
mod uses;
mod witness;
mod wrapping_key;
