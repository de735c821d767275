//! OAuth 2.0 tokens for mail: obtaining, keeping, refreshing.
//!
//! Owns provider profiles, the flows to a first token ([`DeviceFlow`], [`CodeFlow`], client credentials,
//! [`TokenCommand`]), the token file, the renewal before expiry ([`Tokens`]) and the diagnosis of a refused token
//! ([`explain`]). Must not know POP3, the host's configuration or the system's clock; trust (the TLS configuration) is
//! handed in. Secrets of ours are wiped when dropped; copies inside the HTTP and OAuth libraries are not.

mod claims;
mod client;
mod error;
mod file;
mod flow;
mod grant;
mod http;
mod providers;
mod tokens;

#[cfg(test)]
mod tests;

pub use claims::{Claims, explain};
pub use client::{Client, ClientAuth};
pub use error::Error;
pub use file::{Status, TokenFile};
pub use flow::{CodeFlow, DeviceFlow, TokenCommand};
pub use grant::Grant;
pub use http::Http;
pub use providers::{Mechanism, Provider, Tls};
pub use tokens::{Bearer, Source, Tokens};
