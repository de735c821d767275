//! The client side of POP3 without input or output: octets in, steps out.
//!
//! This crate owns the protocol: what may be sent in which state, where a reply ends, which octets of
//! it are the message. It must not know sockets, TLS, files, clocks or randomness; whoever drives it
//! owns those, and the timeouts.
//!
//! | RFC | what of it | where |
//! |---|---|---|
//! | 1939 | commands, replies, states, dot-stuffing, LIST and UIDL, APOP | [`command`], [`session`], [`listing`], [`sasl`] |
//! | 2195 | CRAM-MD5 | [`sasl`] |
//! | 2449 | CAPA, response codes, 255 octets a command line, PIPELINING | [`capability`], [`ResponseCode`], [`session::Batch`] |
//! | 2595 | STLS, and what must be forgotten after it | [`session`] |
//! | 3206 | `SYS/TEMP`, `SYS/PERM`, `AUTH` | [`ResponseCode`], [`Class`] |
//! | 4616, 5034 | SASL PLAIN; SASL in POP3, with or without an initial response | [`sasl`] |
//! | 5802, 7677, 4013 | SCRAM-SHA-1 and SCRAM-SHA-256, SASLprep | [`sasl`] |
//! | 6856 | `UTF8` | [`session`] |
//! | 7628 | OAUTHBEARER, and how XOAUTH2 and it are refused | [`sasl`] |
//!
//! # Which octets are the message
//!
//! Everything between the status line of `RETR` and the terminating line `.` CRLF, after undoing
//! dot-stuffing: the CRLF that ends the last line belongs to the message, the `.` CRLF does not.
//! Bare CR, bare LF, NUL and 8-bit octets pass unchanged and no line is too long.
//!
//! # Driving it
//!
//! Every command consumes the [`Session`] and gives an [`Exchange`]; one loop serves them all. The
//! same loop in async code differs by three `.await`s. Commands sent ahead of their replies need one
//! thing more: `input` must outlive the exchange, see [`session::Batch`].
//!
//! ```
//! use std::io::{Read, Write};
//! use postroom_pop3::{Channel, Error, Exchange, Reply, Session, Step};
//!
//! fn drive<R: Reply>(
//!     mut exchange: Exchange<R>,
//!     wire: &mut (impl Read + Write),
//!     body: &mut impl Write,
//! ) -> Result<R::Output, Box<dyn std::error::Error>> {
//!     let mut buffer = [0; 4096];
//!     let mut input: &[u8] = &[];
//!     loop {
//!         exchange = match exchange.step(&mut input)? {
//!             Step::Send(next, octets) => {
//!                 wire.write_all(&octets)?;
//!                 next
//!             }
//!             Step::Receive(next) => {
//!                 let count = wire.read(&mut buffer)?;
//!                 if count == 0 {
//!                     return Err(next.closed().into());
//!                 }
//!                 input = &buffer[..count];
//!                 next
//!             }
//!             Step::Body(next, octets) => {
//!                 body.write_all(octets)?;
//!                 next
//!             }
//!             Step::Done(output) => return Ok(output),
//!         };
//!     }
//! }
//! # struct Wire(&'static [u8]);
//! # impl Read for Wire {
//! #     fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> { self.0.read(buf) }
//! # }
//! # impl Write for Wire {
//! #     fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> { Ok(buf.len()) }
//! #     fn flush(&mut self) -> std::io::Result<()> { Ok(()) }
//! # }
//! let mut wire = Wire(b"+OK ready\r\n");
//! let greeting = Session::new(Channel::Tls).greeting();
//! let session = drive(greeting, &mut wire, &mut Vec::new())??;
//! assert_eq!(session.banner(), "ready");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod capability;
mod class;
pub mod command;
mod error;
pub mod listing;
pub mod sasl;
pub mod session;
mod wire;

pub use capability::Capabilities;
pub use class::Class;
pub use error::{Disposition, Error, Rejection, ServerMisbehaved, Unencodable, Unsupported};
pub use listing::{Entry, Listing, MessageNumber, UniqueId};
pub use sasl::{Credentials, Mechanism, Nonce, SaslFault, TokenRefusal, UnknownMechanism};
pub use session::{
    Answer, Answered, Authorization, Batch, Channel, Exchange, Greeting, Outstanding, Reply, Rest, Session,
    Step, Transaction, window,
};
pub use wire::{Eol, ResponseCode, Tally};
