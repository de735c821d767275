//! The host functions, one file per interface of the contract. Each checks what it is asked at once, answers a refusal
//! by policy as a fault, and only queues: nothing here reaches a sink, a database or a network (`fetch` asks who was given for it).

pub(crate) mod baseline;
mod content;
mod effects;
pub(crate) mod fetch;
mod kv;
mod log;
mod mail;

#[cfg(test)]
mod tests;
