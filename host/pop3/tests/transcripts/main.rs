//! The engine against scripted servers: every session is replayed whole and cut at every octet.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that meets the unexpected is to stop there"
)]

mod ahead;
mod bench;
mod login;
mod octets;
mod retrieval;
mod sasl;
mod sessions;
