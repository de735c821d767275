//! Practice servers on loopback, over real TLS: a POP3 maildrop, an SMTP receiver, and for the tests an authorization server, a
//! proxy and a registry of plugins.
//!
//! Owns the servers that `postroom demo` shows and that tests provoke: they serve from memory, count what was asked of
//! them, and misbehave only as told, with each fault given as data. Must not be reachable from another machine (they
//! bind to loopback only), keep mail that matters, or be used as a server by anybody.

mod authority;
mod faults;
mod http;
mod listener;
pub mod maildrop;
pub mod proxy;
pub mod receiver;
pub mod registry;
#[cfg(test)]
mod testing;
pub mod token;
mod wire;

pub use authority::{Authority, CertificateKind, Identity};
pub use faults::Times;
pub use maildrop::{Maildrop, MaildropConfig};
pub use proxy::{Proxy, ProxyConfig};
pub use receiver::{Receiver, ReceiverConfig};
pub use registry::{Registry, RegistryConfig};

use std::path::PathBuf;

/// How a practice server speaks TLS.
#[derive(Clone, Debug)]
pub enum Security {
    /// No TLS at all; credentials are accepted in the clear.
    Plain,
    /// Plain until the client asks: `STLS` (RFC 2595) or `STARTTLS` (RFC 3207). No login before that.
    Upgrade(Identity),
    /// TLS from the first octet (RFC 8314).
    Implicit(Identity),
}

/// Why a practice server could not be set up. Always the fault of this machine or of the caller, never of a client.
#[derive(Debug, thiserror::Error)]
pub enum PracticeError {
    /// A throw-away certificate could not be made.
    #[error("cannot make a practice certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A certificate was made but the TLS library does not take it.
    #[error("the TLS library refused a practice certificate: {0}")]
    Tls(#[from] rustls::Error),
    /// No port could be opened on loopback.
    #[error("cannot listen on 127.0.0.1: {0}; is loopback up and are ports left?")]
    Listen(#[source] std::io::Error),
    /// A file or directory could not be read or written.
    #[error("cannot use {path}: {source}; check that it exists and who owns it")]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}
