//! The host functions, one file per interface of the contract. Each converts types and asks the
//! contract: no rule is here.

pub(crate) mod baseline;
mod content;
mod effects;
pub(crate) mod fetch;
mod kv;
mod log;
mod mail;
