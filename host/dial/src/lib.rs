//! From a host name to a trusted connection: addresses, SOCKS5, TLS with pins.
//!
//! Owns the way to a server: looking up its name, trying its addresses (RFC 8305), going through a SOCKS5 proxy
//! (RFC 1928), and deciding whether its certificate is trusted. Must not know what is spoken on the connection, start
//! tasks, try again, or offer a way around the checks: whoever cannot be verified is not talked to.
//!
//! [`connect`] gives a TCP stream, [`handshake`] puts TLS over it or over any other stream, [`Peer`] tells who answered.

mod cause;
mod error;
mod handshake;
mod peer;
mod pin;
mod race;
mod resolve;
mod route;
mod socks;
mod text;
mod trust;
mod verify;

#[cfg(test)]
mod tests;

pub use cause::TlsCause;
pub use error::{Error, ProxyFailure, ResolveFailure, TrustFile};
pub use handshake::handshake;
pub use peer::{Certificate, Peer};
pub use pin::{Pin, PinError};
pub use resolve::{Answer, Resolver};
pub use route::{Pace, ProxyLogin, Route, Socks5, Via, connect};
pub use trust::{Client, ClientIdentity, Trust, Version, Warning, client};
