//! One command and its reply, driven from outside.
//!
//! Owns the rule that a reply is followed by nothing: octets beyond its end mean that the two sides
//! disagree on where they are, and end the session. Must not know single commands.

use super::Session;
use super::core::Core;
use crate::command::{Command, Outgoing, Verb};
use crate::error::{Error, Rejection, ServerMisbehaved, shown, without};
use crate::wire::{Indicator, Item, LineReader, Lines, Status};

/// A command under way. See the crate's example for the loop that drives it.
///
/// Dropping it abandons the session: the connection is to be closed without `QUIT`.
#[derive(Debug)]
#[must_use = "an exchange does nothing until it is driven"]
pub struct Exchange<R: Reply> {
    session: Session<R::State>,
    outgoing: Option<Outgoing>,
    reply: R,
}

/// What to do next.
#[must_use]
pub enum Step<'a, R: Reply> {
    /// Send these octets, all of them, in one write when possible.
    Send(Exchange<R>, Outgoing),
    /// All input was taken: receive more, or call [`Exchange::closed`] when there is no more.
    Receive(Exchange<R>),
    /// Octets of the message, a slice of the input; then step on with the rest of the input.
    Body(Exchange<R>, &'a [u8]),
    /// The reply is complete.
    Done(R::Output),
}

impl<R: Reply> Exchange<R> {
    pub(super) fn new(session: Session<R::State>, command: &Command, reply: R) -> Self {
        Self { session, outgoing: Some(command.encode()), reply }
    }

    /// Several commands at once.
    pub(super) fn saying(session: Session<R::State>, outgoing: Outgoing, reply: R) -> Self {
        Self { session, outgoing: Some(outgoing), reply }
    }

    /// An exchange the server opens.
    pub(super) fn unprompted(session: Session<R::State>, reply: R) -> Self {
        Self { session, outgoing: None, reply }
    }

    /// Goes one step on, taking what it uses off the front of `input`. Start with empty input, or with
    /// what [`Step::Done`] left of it while replies are outstanding; after [`Step::Receive`] the input
    /// is empty and what was received becomes the input.
    pub fn step<'a>(mut self, input: &mut &'a [u8]) -> Result<Step<'a, R>, Error> {
        if let Some(octets) = self.outgoing.take() {
            self.nothing_left(input)?;
            return Ok(Step::Send(self, octets));
        }
        match self.reply.receive(&mut self.session.core, input)? {
            Progress::Receive => Ok(Step::Receive(self)),
            Progress::Body(octets) => Ok(Step::Body(self, octets)),
            Progress::Send(octets) => {
                self.nothing_left(input)?;
                Ok(Step::Send(self, octets))
            }
            Progress::Done(value) => {
                if !self.reply.may_be_followed() {
                    self.nothing_left(input)?;
                }
                Ok(Step::Done(R::finish(self.session, value)))
            }
        }
    }

    /// The connection ended: says what that means here.
    #[must_use]
    pub fn closed(self) -> Error {
        self.reply.closed()
    }

    /// What is being answered.
    #[must_use]
    pub fn verb(&self) -> Verb {
        self.reply.verb()
    }

    fn nothing_left(&self, input: &[u8]) -> Result<(), Error> {
        match input {
            [] => Ok(()),
            surplus => Err(self.reply.surplus(surplus).into()),
        }
    }
}

/// A kind of reply; names what an [`Exchange`] yields. Implemented by this crate alone.
pub trait Reply: Machine {}

impl<R: Machine> Reply for R {}

/// The working half of [`Reply`], out of reach from outside: its module is private.
pub trait Machine: Sized {
    /// The state the command is allowed in.
    type State;
    /// What the exchange yields.
    type Output;
    /// What the reply said, before the session is added.
    type Value;

    /// What is being answered.
    fn verb(&self) -> Verb;

    /// Takes input.
    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error>;

    /// Puts the session and what the reply said together.
    fn finish(session: Session<Self::State>, value: Self::Value) -> Self::Output;

    /// Whether the octets behind this reply belong to another one.
    fn may_be_followed(&self) -> bool {
        false
    }

    /// What the end of the connection means here.
    fn closed(&self) -> Error {
        ServerMisbehaved::Closed { during: self.verb() }.into()
    }

    /// What octets beyond the reply mean.
    fn surplus(&self, octets: &[u8]) -> ServerMisbehaved {
        // A server that echoes would repeat the password here.
        let hidden = self.verb().is_authentication();
        let text = if hidden { HIDDEN.to_owned() } else { shown(octets) };
        ServerMisbehaved::Unsolicited { verb: self.verb(), text }
    }
}

const HIDDEN: &str = "(not shown, it may repeat the credentials)";

/// How far a reply has come.
#[derive(Debug)]
pub enum Progress<'a, V> {
    /// All input was taken.
    Receive,
    /// Octets of a message.
    Body(&'a [u8]),
    /// More is to be said.
    Send(Outgoing),
    /// The reply is complete.
    Done(V),
}

/// A status line being read.
#[derive(Debug, Default)]
pub(super) struct StatusLine(LineReader);

/// What a status line said.
#[derive(Debug)]
pub(super) enum Said {
    /// `+OK`, with the text after a response code.
    Ok(Vec<u8>),
    /// `+`, in reply to AUTH only, with what follows it.
    Challenge(Vec<u8>),
    Err(Rejection),
}

impl StatusLine {
    /// `None` when `input` ran out before the line did. `secrets` are taken out of the server's text.
    pub(super) fn read(
        &mut self,
        verb: Verb,
        core: &mut Core,
        input: &mut &[u8],
        secrets: &[&[u8]],
    ) -> Result<Option<Said>, Error> {
        let Some(line) = self.0.next(input)? else {
            return Ok(None);
        };
        let clean = without(line.octets, secrets);
        let status = Status::parse(&clean)
            .filter(|status| status.indicator != Indicator::Continue || verb == Verb::Auth);
        let Some(status) = status else {
            let hidden = verb.is_authentication();
            let line = if hidden { HIDDEN.to_owned() } else { shown(line.octets) };
            return Err(ServerMisbehaved::NotAStatus { verb, line }.into());
        };
        core.latch.observe(line.eol);
        Ok(Some(match status.indicator {
            Indicator::Ok => Said::Ok(status.text.to_vec()),
            Indicator::Continue => Said::Challenge(status.text.to_vec()),
            Indicator::Err => Said::Err(Rejection {
                verb,
                code: status.code,
                text: shown(status.text),
                codes_promised: core
                    .capabilities
                    .as_ref()
                    .is_some_and(|capabilities| capabilities.auth_resp_code),
                token: None,
            }),
        }))
    }

    /// The same where a challenge cannot come.
    pub(super) fn read_plain(
        &mut self,
        verb: Verb,
        core: &mut Core,
        input: &mut &[u8],
    ) -> Result<Option<Result<Vec<u8>, Rejection>>, Error> {
        Ok(match self.read(verb, core, input, &[])? {
            None => None,
            Some(Said::Ok(text)) => Some(Ok(text)),
            Some(Said::Err(rejection)) => Some(Err(rejection)),
            // `read` lets challenges through for AUTH alone, and AUTH is not read here.
            Some(Said::Challenge(_)) => {
                return Err(ServerMisbehaved::UnexpectedChallenge { verb }.into());
            }
        })
    }
}

/// A status line and, after `+OK`, a list.
#[derive(Debug)]
pub(super) enum ListReply {
    Status(StatusLine),
    Lines(Lines),
}

impl ListReply {
    pub(super) fn new() -> Self {
        Self::Status(StatusLine::default())
    }

    /// `None` when `input` ran out; every line goes to `take` as it arrives.
    pub(super) fn read(
        &mut self,
        verb: Verb,
        cap: crate::wire::Cap,
        core: &mut Core,
        input: &mut &[u8],
        mut take: impl FnMut(&[u8]),
    ) -> Result<Option<Result<(), Rejection>>, Error> {
        loop {
            match self {
                Self::Status(status) => match status.read_plain(verb, core, input)? {
                    None => return Ok(None),
                    Some(Err(rejection)) => return Ok(Some(Err(rejection))),
                    Some(Ok(_)) => *self = Self::Lines(Lines::new(cap)),
                },
                Self::Lines(lines) => match lines.next(input)? {
                    None => return Ok(None),
                    Some(Item::Line(line)) => take(line),
                    Some(Item::End) => return Ok(Some(Ok(()))),
                },
            }
        }
    }
}
