//! The daemon and the command line. Start at [`supervise`]: what runs, and in which order.
//!
//! [`source`], [`pipeline`] and [`deliver`] talk only through the spool, so each fails and restarts alone. Nothing here
//! parses MIME natively, and nothing here but [`sinks`], [`source`] and [`fetch`] touches the network.

pub mod bells;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod deliver;
pub mod fetch;
pub mod live;
pub mod manifest;
pub mod origin;
pub mod pipeline;
pub mod progress;
pub mod regular;
pub mod reload;
pub mod requests;
pub mod seen;
pub mod sinks;
pub mod source;
pub mod supervise;
pub mod telemetry;
