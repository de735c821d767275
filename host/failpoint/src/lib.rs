//! Named places that a message passes on its way, at which tests kill the process or make a call fail.
//!
//! Owns the names and what happens there. Without the feature `armed`, which only the tests ask for, every call is
//! compiled to nothing; a build for users has no way to be told to fail.
//!
//! A failpoint is called `PLACE/STAGE`, with a dash for each space: the operation, and how far it got. With the feature, the environment variable
//! [`VARIABLE`] says what to do, in words separated by spaces:
//! - `log=FILE` appends the name of each failpoint to the file whenever it is reached;
//! - `kill=NAME#K` kills the process (SIGKILL) when the name is reached for the K-th time, counted from 1;
//! - `fail=NAME#K:ERRNO` makes [`fail`] there return that error of the system (a number), from the K-th time on once;
//!   `fail=NAME#K+:ERRNO` from then on always.

use std::fmt::Display;

#[cfg(feature = "armed")]
mod armed;

/// The environment variable that arms failpoints.
pub const VARIABLE: &str = "POSTROOM_FAILPOINTS";

/// The process is at this failpoint.
#[inline]
pub fn reach(place: impl Display, stage: &str) {
    #[cfg(feature = "armed")]
    armed::reach(&place, stage);
    let _ = (place, stage);
}

/// The same, where a test may want the next call to the system to fail.
///
/// # Errors
/// Only when it was told to.
#[inline]
pub fn fail(place: impl Display, stage: &str) -> std::io::Result<()> {
    #[cfg(feature = "armed")]
    armed::reach(&place, stage).map_or(Ok(()), Err)?;
    let _ = (place, stage);
    Ok(())
}
