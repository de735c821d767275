//! The host functions, one file per interface of the contract. Each checks what it is asked at once, answers a refusal
//! by policy as a fault, and only queues: nothing here reaches a sink, a database or a network.

pub(crate) mod baseline;
mod content;
mod effects;
mod kv;
mod log;
mod mail;

#[cfg(test)]
mod tests;
