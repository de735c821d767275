//! The replies that hold a message: `RETR` whole, `TOP` in part.
//!
//! Owns the count of messages retrieved and not yet durable. Must not store messages.

use std::fmt;
use std::marker::PhantomData;

use super::exchange::{Machine, Progress, StatusLine};
use super::{Answer, Core, Session, Transaction};
use crate::command::Verb;
use crate::error::{Error, Rejection};
use crate::wire::{BodyEvent, BodyReader, Tally};

/// A status line and, after `+OK`, a message.
#[derive(Debug)]
pub struct Message<P> {
    phase: Phase,
    limit: u64,
    purpose: PhantomData<fn() -> P>,
}

/// The reply to `RETR`.
pub type Retr = Message<Whole>;
/// The reply to `TOP`.
pub type Top = Message<Preview>;

/// What octets of a message are received for.
pub trait Purpose: fmt::Debug {
    /// The command.
    const VERB: Verb;
    /// What its end gives.
    type Got;
    /// Takes the end of the message down.
    fn got(core: &mut Core, tally: Tally) -> Self::Got;
}

/// To be kept.
#[derive(Debug)]
pub enum Whole {}

/// To be looked at.
#[derive(Debug)]
pub enum Preview {}

/// A message arrived whole. Give it back to [`Session::settle`] once it is durable; as long as one is
/// out, the session cannot be ended by `QUIT`.
#[derive(Debug)]
#[must_use = "QUIT is refused until this is settled"]
pub struct Retrieved(pub(super) Tally);

impl Retrieved {
    /// What was counted while the message passed.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.0
    }
}

impl Purpose for Whole {
    const VERB: Verb = Verb::Retr;
    type Got = Retrieved;

    fn got(core: &mut Core, tally: Tally) -> Retrieved {
        core.unsettled = core.unsettled.saturating_add(1);
        Retrieved(tally)
    }
}

impl Purpose for Preview {
    const VERB: Verb = Verb::Top;
    type Got = Tally;

    fn got(_: &mut Core, tally: Tally) -> Tally {
        tally
    }
}

#[derive(Debug)]
enum Phase {
    Status(StatusLine),
    Body(BodyReader),
}

impl<P> Message<P> {
    pub(super) fn new(limit: u64) -> Self {
        Self { phase: Phase::Status(StatusLine::default()), limit, purpose: PhantomData }
    }

    /// The same for another message.
    pub(super) fn again(&self) -> Self {
        Self::new(self.limit)
    }
}

impl<P: Purpose> Machine for Message<P> {
    type State = Transaction;
    type Output = Answer<Transaction, P::Got>;
    type Value = Result<Tally, Rejection>;

    fn verb(&self) -> Verb {
        P::VERB
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        loop {
            match &mut self.phase {
                Phase::Status(line) => match line.read_plain(P::VERB, core, input)? {
                    None => return Ok(Progress::Receive),
                    Some(Err(rejection)) => return Ok(Progress::Done(Err(rejection))),
                    Some(Ok(_)) => {
                        self.phase = Phase::Body(BodyReader::new(core.latch.eol(), self.limit));
                    }
                },
                Phase::Body(body) => {
                    return Ok(match body.next(input)? {
                        BodyEvent::Octets(octets) => Progress::Body(octets),
                        BodyEvent::More => Progress::Receive,
                        BodyEvent::End => Progress::Done(Ok(body.tally())),
                    });
                }
            }
        }
    }

    fn finish(mut session: Session<Transaction>, value: Self::Value) -> Self::Output {
        let got = value.map(|tally| P::got(&mut session.core, tally));
        (session, got)
    }
}
