//! The sandbox from outside: real components, built for `wasm32-wasip2`, hostile and well-behaved.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod behaved;
mod fetching;
mod guests;
mod hostile;
mod loading;
mod parser;
