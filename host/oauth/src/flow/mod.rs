//! The ways to a first token: device code, authorization code, client credentials, an external command; and the way
//! from one to the next, refresh. Each asks, and gives back a [`crate::Grant`]; none keeps anything.

mod code;
mod command;
mod credentials;
mod device;
mod loopback;
mod refresh;

pub use code::CodeFlow;
pub use command::TokenCommand;
pub use device::DeviceFlow;

pub(crate) use credentials::client_credentials;
pub(crate) use refresh::refresh;
