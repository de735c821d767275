//! Every way in which a POP3 server is known to misbehave, and what the program has to make of it: for each scenario what
//! is stored, what is deleted, what is reported, and how the sessions ended.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod authentication;
mod bench;
mod codes;
mod coverage;
mod cuts;
mod deletion_sessions;
mod greeting_tls;
mod identity;
mod listing;
mod mail;
mod retrieval_framing;
mod scenario;
mod scheduling_limits;
mod tls_failures;
