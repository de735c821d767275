//! A world in one thread: a maildrop, four sinks and a host around the real spool and the real POP3 engine, under injected
//! time, randomness and disk. What happens is recorded; from the record the disk after a crash at any operation is built.
//!
//! Owns the model of everything that is not Postroom, the order in which the host does things, and the oracle. Must not
//! read a clock, take randomness from elsewhere, or depend on the host's own crate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod campaign;
pub mod host;
pub mod image;
pub mod journal;
pub mod line;
pub mod maildrop;
pub mod mails;
pub mod oracle;
mod poll;
pub mod random;
pub mod sinks;
mod stages;
