//! The states of RFC 1939 as types: [`Greeting`], [`Authorization`], [`Transaction`].
//!
//! Owns what may be said when. A command consumes the session and gives an [`Exchange`]; the session
//! comes back with the reply, so nothing can be sent before the last reply was read, and nothing
//! after `QUIT` or after an error. Must not decide what to retrieve or delete.
//!
//! A command of another state does not compile:
//!
//! ```compile_fail,E0599
//! # use postroom_pop3::{Authorization, Session};
//! fn stat_before_login(session: Session<Authorization>) {
//!     let _ = session.stat();
//! }
//! ```
//!
//! Nor does a second command before the reply to the first, or any command after `QUIT`:
//!
//! ```compile_fail,E0382
//! # use postroom_pop3::{Session, Transaction};
//! fn noop_after_quit(session: Session<Transaction>) {
//!     let _ = session.quit();
//!     let _ = session.noop();
//! }
//! ```

mod ahead;
mod authorization;
mod core;
mod exchange;
mod lists;
mod login;
mod message;
mod transaction;

use std::marker::PhantomData;

pub use ahead::{Ahead, Answered, Batch, Each, Outstanding, Rest, window};
pub use authorization::{Capa, Greet, Hello, Stls, StlsAnswer, TlsReady};
pub use exchange::{Exchange, Reply, Step};
pub use lists::{List, Listed, Uidl};
pub use login::{Login, LoginAnswer};
pub use message::{Message, Preview, Retr, Retrieved, Top, Whole};
pub use transaction::{Acknowledge, Quit, Stat};

use self::core::Core;
use crate::capability::Capabilities;
use crate::error::Rejection;

/// What an eavesdropper on the channel could read. Said by whoever made the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Not encrypted: credentials are never sent, only `STLS` leads on.
    Plaintext,
    /// Not encrypted, and the account's configuration accepts that by name.
    PlaintextAccepted,
    /// Encrypted and the server's certificate verified.
    Tls,
}

impl Channel {
    fn may_carry_credentials(self) -> bool {
        matches!(self, Self::PlaintextAccepted | Self::Tls)
    }
}

/// Before the server's greeting.
#[derive(Debug)]
pub enum Greeting {}

/// Greeted, not logged in.
#[derive(Debug)]
pub enum Authorization {}

/// Logged in; the maildrop is locked for this session.
#[derive(Debug)]
pub enum Transaction {}

/// A session in the state `S`. Dropping it means: close the connection without `QUIT`.
#[derive(Debug)]
#[must_use = "dropping a session abandons the connection"]
pub struct Session<S> {
    core: Box<Core>,
    state: PhantomData<fn() -> S>,
}

/// A reply that leaves the session usable, whether or not the server did what was asked.
pub type Answer<S, T> = (Session<S>, Result<T, Rejection>);

impl Session<Greeting> {
    /// A session on a fresh connection.
    pub fn new(channel: Channel) -> Self {
        Self::with(Box::new(Core::new(channel)))
    }
}

impl<S> Session<S> {
    fn with(core: Box<Core>) -> Self {
        Self { core, state: PhantomData }
    }

    /// The same session in another state.
    fn into_state<T>(self) -> Session<T> {
        Session::with(self.core)
    }

    /// What the channel is declared to be.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.core.channel
    }

    /// The last CAPA reply that still holds; `None` before the first, after `STLS`, after the login
    /// and when the server refused CAPA.
    #[must_use]
    pub fn capabilities(&self) -> Option<&Capabilities> {
        self.core.capabilities.as_ref()
    }

    /// The greeting's text, neutralised.
    #[must_use]
    pub fn banner(&self) -> &str {
        &self.core.banner
    }

    /// The greeting's APOP timestamp with its angle brackets, when there is a valid one (RFC 1939
    /// section 7). Gone after `STLS`: it came unprotected.
    #[must_use]
    pub fn apop_timestamp(&self) -> Option<&[u8]> {
        self.core.timestamp.as_deref()
    }
}
