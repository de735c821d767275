//! The sandbox from outside: real components, built for `wasm32-wasip2`, hostile and well-behaved.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod abi;
mod behaved;
mod bombs;
#[path = "../../../../tests/guests/busy.rs"]
mod busy;
mod compiling;
mod fetching;
mod gallery;
mod guests;
mod hostile;
mod loading;
mod parser;
mod replay;
mod soak;
mod wat;
