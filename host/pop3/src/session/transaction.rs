//! What can be asked of an open maildrop, and the end of the session.
//!
//! Owns the count of messages retrieved and not yet durable, which holds back `QUIT`: some servers
//! remove or hide at `QUIT` what was retrieved, so it is a commit point. Must not store messages.

use std::marker::PhantomData;

use super::exchange::{Machine, Progress, StatusLine};
use super::lists::{List, Listed, Uidl};
use super::message::{Message, Retr, Retrieved, Top};
use super::{Answer, Authorization, Core, Exchange, Session, Transaction};
use crate::command::{Command, Verb};
use crate::error::{Error, Rejection, ServerMisbehaved, Unsupported, shown};
use crate::listing::{self, MessageNumber};
use crate::wire::Tally;

impl Session<Transaction> {
    /// Asks for the number of messages.
    pub fn stat(self) -> Exchange<Stat> {
        Exchange::new(self, &Command::Stat, Stat(StatusLine::default()))
    }

    /// Asks for the sizes of all messages.
    pub fn list(self) -> Exchange<List> {
        Exchange::new(self, &Command::List, Listed::new())
    }

    /// Asks for the unique-ids of all messages.
    pub fn uidl(self) -> Exchange<Uidl> {
        Exchange::new(self, &Command::Uidl, Listed::new())
    }

    /// Asks for a message of at most `limit` octets; a larger one ends the session with
    /// [`Error::TooLarge`]. Its octets come as [`Step::Body`](super::Step::Body).
    pub fn retr(self, number: MessageNumber, limit: u64) -> Exchange<Retr> {
        Exchange::new(self, &Command::Retr(number), Message::new(limit))
    }

    /// Asks for the header and the first `lines` lines of the body; `limit` as for `retr`. Servers get
    /// `TOP` wrong in many ways: never take it for the message.
    pub fn top(self, number: MessageNumber, lines: u32, limit: u64) -> Exchange<Top> {
        Exchange::new(self, &Command::Top(number, lines), Message::new(limit))
    }

    /// Marks a message deleted. It is gone only after a `QUIT` that the server accepts.
    pub fn dele(self, number: MessageNumber) -> Exchange<Acknowledge> {
        self.acknowledged(Command::Dele(number), Verb::Dele)
    }

    /// Does nothing, and so shows that both sides agree on where they are.
    pub fn noop(self) -> Exchange<Acknowledge> {
        self.acknowledged(Command::Noop, Verb::Noop)
    }

    /// Unmarks the messages marked deleted.
    pub fn rset(self) -> Exchange<Acknowledge> {
        self.acknowledged(Command::Rset, Verb::Rset)
    }

    /// Reports a retrieved message safe here: written, synced and committed.
    pub fn settle(&mut self, retrieved: Retrieved) -> Tally {
        self.core.unsettled = self.core.unsettled.saturating_sub(1);
        retrieved.0
    }

    /// Ends the session; the server removes what was marked deleted. Fails, and takes the session with
    /// it, while a retrieved message was not reported by [`settle`](Self::settle): then the
    /// connection is to be dropped.
    pub fn quit(self) -> Result<Exchange<Quit<Transaction>>, Error> {
        match self.core.unsettled {
            0 => Ok(Exchange::new(self, &Command::Quit, Quit::new())),
            messages => Err(Error::NotDurable { messages }),
        }
    }

    fn acknowledged(self, command: Command, verb: Verb) -> Exchange<Acknowledge> {
        Exchange::new(self, &command, Acknowledge::new(verb))
    }
}

impl Session<Authorization> {
    /// Ends the session without ever having opened the maildrop.
    pub fn quit(self) -> Exchange<Quit<Authorization>> {
        Exchange::new(self, &Command::Quit, Quit::new())
    }

    /// Allows UTF-8 in user names, passwords and header fields (RFC 6856 section 2). Refused without
    /// asking, with the end of the session, unless CAPA lists it.
    pub fn utf8(self) -> Result<Exchange<Acknowledge<Authorization>>, Error> {
        if self.capabilities().is_none_or(|capabilities| capabilities.utf8.is_none()) {
            return Err(Unsupported::Utf8.into());
        }
        Ok(Exchange::new(self, &Command::Utf8, Acknowledge::new(Verb::Utf8)))
    }
}

/// The reply to `STAT`.
#[derive(Debug)]
pub struct Stat(StatusLine);

impl Machine for Stat {
    type State = Transaction;
    type Output = Answer<Transaction, listing::Stat>;
    type Value = Result<listing::Stat, Rejection>;

    fn verb(&self) -> Verb {
        Verb::Stat
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        let text = match self.0.read_plain(Verb::Stat, core, input)? {
            None => return Ok(Progress::Receive),
            Some(Err(rejection)) => return Ok(Progress::Done(Err(rejection))),
            Some(Ok(text)) => text,
        };
        match listing::Stat::parse(&text) {
            Some(stat) => Ok(Progress::Done(Ok(stat))),
            None => Err(ServerMisbehaved::Malformed { verb: Verb::Stat, text: shown(&text) }.into()),
        }
    }

    fn finish(session: Session<Transaction>, value: Self::Value) -> Self::Output {
        (session, value)
    }
}

/// The reply to `DELE`, `NOOP`, `RSET` and `UTF8`.
#[derive(Debug)]
pub struct Acknowledge<S = Transaction> {
    line: StatusLine,
    verb: Verb,
    state: PhantomData<fn() -> S>,
}

impl<S> Acknowledge<S> {
    pub(super) fn new(verb: Verb) -> Self {
        Self { line: StatusLine::default(), verb, state: PhantomData }
    }
}

impl<S> Machine for Acknowledge<S> {
    type State = S;
    type Output = Answer<S, ()>;
    type Value = Result<(), Rejection>;

    fn verb(&self) -> Verb {
        self.verb
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        Ok(match self.line.read_plain(self.verb, core, input)? {
            None => Progress::Receive,
            Some(outcome) => Progress::Done(outcome.map(drop)),
        })
    }

    fn finish(session: Session<S>, value: Self::Value) -> Self::Output {
        (session, value)
    }
}

/// The reply to `QUIT`, which is also the end of the UPDATE state. A refusal means that some of the
/// marked messages may not have been removed (RFC 1939 section 6); a connection that closes instead
/// means that nothing is known. Either way the next listing tells.
#[derive(Debug)]
pub struct Quit<S> {
    line: StatusLine,
    state: PhantomData<fn() -> S>,
}

impl<S> Quit<S> {
    fn new() -> Self {
        Self { line: StatusLine::default(), state: PhantomData }
    }
}

impl<S> Machine for Quit<S> {
    type State = S;
    type Output = Result<(), Rejection>;
    type Value = Result<(), Rejection>;

    fn verb(&self) -> Verb {
        Verb::Quit
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        Ok(match self.line.read_plain(Verb::Quit, core, input)? {
            None => Progress::Receive,
            Some(outcome) => Progress::Done(outcome.map(drop)),
        })
    }

    fn finish(_session: Session<S>, value: Self::Value) -> Self::Output {
        value
    }
}
