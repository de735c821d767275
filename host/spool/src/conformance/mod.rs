//! The meaning of [`Spool`](crate::Spool) as checks that every implementation passes. They panic with what is wrong.
//! Time is only ever what they say it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod delivery;
mod doubt;
mod ledger;
mod operator;
mod questions;
mod retrieval;
pub(crate) mod sample;
mod tally;
mod upkeep;

use std::sync::Arc;

use crate::Spool;

/// Makes an empty spool, another one each time.
pub type Factory<'a> = &'a (dyn Fn() -> Arc<dyn Spool> + Sync);

/// Runs every check, each on a spool of its own.
///
/// # Panics
/// When the implementation does not conform.
pub async fn suite(factory: Factory<'_>) {
    retrieval::suite(factory).await;
    ledger::suite(factory).await;
    delivery::suite(factory).await;
    doubt::suite(factory).await;
    questions::suite(factory).await;
    upkeep::suite(factory).await;
    operator::suite(factory).await;
    tally::suite(factory).await;
}
