//! Yaoku (钥库): a key management service and the cipher machine under it.
//!
//! A call comes in over `http` (or from `cron` or the command line), passes `gateway`, is looked up in `catalog`, and
//! runs as one struct of `ops`. Operations talk to `actors` through `app`; actors commit to `store`; rules live in
//! `model`. Clear keys exist only in the crate `firmware-sim`. ARCHITECTURE.md tells the whole story.

mod actors;
pub mod api;
pub mod app;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod cron;
pub mod document;
pub mod env;
pub mod error;
pub mod gateway;
pub mod histogram;
mod http;
pub mod ids;
pub mod model;
pub mod ops;
pub mod server;
pub mod store;
