//! The campaigns. A short run takes a sample that the seed chooses; `POSTROOM_FULL=1` takes every point,
//! `POSTROOM_POINT=n` the one that a failure named.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod crashes;
mod cuts;
mod faults;
mod recoveries;
