//! The real binary, killed at every named failpoint, signalled and made to fail, against servers that outlive it. What is at
//! the server, in the spool and at the sinks afterwards is compared with what was sent: nothing lost, nothing doubled.
//!
//! Two environment variables: `POSTROOM_FULL=1` kills at all names instead of one of each place, and
//! `POSTROOM_FAILPOINT_LIST=1` writes `failpoints.txt` anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod calls;
mod chance;
mod guests;
mod kills;
mod oracle;
mod scenario;
mod signals;
mod strikes;
mod survey;
mod world;
