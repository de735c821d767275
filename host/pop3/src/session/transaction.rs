//! What can be asked of an open maildrop, and the end of the session.
//!
//! Owns the count of messages retrieved and not yet durable, which holds back `QUIT`: some servers
//! remove or hide at `QUIT` what was retrieved, so it is a commit point. Must not store messages.

use super::exchange::{ListReply, Machine, Progress, StatusLine};
use super::{Answer, Authorization, Core, Exchange, Session, Transaction};
use crate::command::{Command, Verb};
use crate::error::{Error, Rejection, ServerMisbehaved, shown};
use crate::listing::{self, MessageNumber, ScanListing, UidListing};
use crate::wire::{BodyEvent, BodyReader, Cap, Tally};

const LIST_CAP: Cap = Cap { lines: 1_000_000, octets: 128 << 20, name: "listing in lines or octets" };

impl Session<Transaction> {
    /// Asks for the number of messages.
    pub fn stat(self) -> Exchange<Stat> {
        Exchange::new(self, &Command::Stat, Stat(StatusLine::default()))
    }

    /// Asks for the sizes of all messages.
    pub fn list(self) -> Exchange<List> {
        let reply = List { list: ListReply::new(), found: ScanListing::default() };
        Exchange::new(self, &Command::List, reply)
    }

    /// Asks for the unique-ids of all messages.
    pub fn uidl(self) -> Exchange<Uidl> {
        let reply = Uidl { list: ListReply::new(), found: UidListing::default() };
        Exchange::new(self, &Command::Uidl, reply)
    }

    /// Asks for a message of at most `limit` octets; a larger one ends the session with
    /// [`Error::TooLarge`]. Its octets come as [`Step::Body`](super::Step::Body).
    pub fn retr(self, number: MessageNumber, limit: u64) -> Exchange<Retr> {
        Exchange::new(self, &Command::Retr(number), Retr(BodyReply::new(limit)))
    }

    /// Asks for the header and the first `lines` lines of the body; `limit` as for `retr`. Servers get
    /// `TOP` wrong in many ways: never take it for the message.
    pub fn top(self, number: MessageNumber, lines: u32, limit: u64) -> Exchange<Top> {
        Exchange::new(self, &Command::Top(number, lines), Top(BodyReply::new(limit)))
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
        Exchange::new(self, &command, Acknowledge { line: StatusLine::default(), verb })
    }
}

impl Session<Authorization> {
    /// Ends the session without ever having opened the maildrop.
    pub fn quit(self) -> Exchange<Quit<Authorization>> {
        Exchange::new(self, &Command::Quit, Quit::new())
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

/// The reply to `LIST`.
#[derive(Debug)]
pub struct List {
    list: ListReply,
    found: ScanListing,
}

impl Machine for List {
    type State = Transaction;
    type Output = Answer<Transaction, ScanListing>;
    type Value = Result<ScanListing, Rejection>;

    fn verb(&self) -> Verb {
        Verb::List
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        let Self { list, found } = self;
        let outcome = list.read(Verb::List, LIST_CAP, core, input, |line| found.read_line(line))?;
        Ok(match outcome {
            None => Progress::Receive,
            Some(Ok(())) => Progress::Done(Ok(std::mem::take(found))),
            Some(Err(rejection)) => Progress::Done(Err(rejection)),
        })
    }

    fn finish(session: Session<Transaction>, value: Self::Value) -> Self::Output {
        (session, value)
    }
}

/// The reply to `UIDL`.
#[derive(Debug)]
pub struct Uidl {
    list: ListReply,
    found: UidListing,
}

impl Machine for Uidl {
    type State = Transaction;
    type Output = Answer<Transaction, UidListing>;
    type Value = Result<UidListing, Rejection>;

    fn verb(&self) -> Verb {
        Verb::Uidl
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        let Self { list, found } = self;
        let outcome = list.read(Verb::Uidl, LIST_CAP, core, input, |line| found.read_line(line))?;
        Ok(match outcome {
            None => Progress::Receive,
            Some(Ok(())) => Progress::Done(Ok(std::mem::take(found))),
            Some(Err(rejection)) => Progress::Done(Err(rejection)),
        })
    }

    fn finish(session: Session<Transaction>, value: Self::Value) -> Self::Output {
        (session, value)
    }
}

/// A status line and, after `+OK`, a message.
#[derive(Debug)]
struct BodyReply {
    phase: Phase,
    limit: u64,
}

#[derive(Debug)]
enum Phase {
    Status(StatusLine),
    Body(BodyReader),
}

impl BodyReply {
    fn new(limit: u64) -> Self {
        Self { phase: Phase::Status(StatusLine::default()), limit }
    }

    fn receive<'a>(
        &mut self,
        verb: Verb,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Result<Tally, Rejection>>, Error> {
        loop {
            match &mut self.phase {
                Phase::Status(line) => match line.read_plain(verb, core, input)? {
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
}

/// The reply to `RETR`.
#[derive(Debug)]
pub struct Retr(BodyReply);

/// A message arrived whole. Give it back to [`Session::settle`] once it is durable; as long as one is
/// out, the session cannot be ended by `QUIT`.
#[derive(Debug)]
#[must_use = "QUIT is refused until this is settled"]
pub struct Retrieved(Tally);

impl Retrieved {
    /// What was counted while the message passed.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.0
    }
}

impl Machine for Retr {
    type State = Transaction;
    type Output = Answer<Transaction, Retrieved>;
    type Value = Result<Tally, Rejection>;

    fn verb(&self) -> Verb {
        Verb::Retr
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        self.0.receive(Verb::Retr, core, input)
    }

    fn finish(mut session: Session<Transaction>, value: Self::Value) -> Self::Output {
        if value.is_ok() {
            session.core.unsettled = session.core.unsettled.saturating_add(1);
        }
        (session, value.map(Retrieved))
    }
}

/// The reply to `TOP`.
#[derive(Debug)]
pub struct Top(BodyReply);

impl Machine for Top {
    type State = Transaction;
    type Output = Answer<Transaction, Tally>;
    type Value = Result<Tally, Rejection>;

    fn verb(&self) -> Verb {
        Verb::Top
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        self.0.receive(Verb::Top, core, input)
    }

    fn finish(session: Session<Transaction>, value: Self::Value) -> Self::Output {
        (session, value)
    }
}

/// The reply to `DELE`, `NOOP` and `RSET`.
#[derive(Debug)]
pub struct Acknowledge {
    line: StatusLine,
    verb: Verb,
}

impl Machine for Acknowledge {
    type State = Transaction;
    type Output = Answer<Transaction, ()>;
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

    fn finish(session: Session<Transaction>, value: Self::Value) -> Self::Output {
        (session, value)
    }
}

/// The reply to `QUIT`, which is also the end of the UPDATE state. A refusal means that some of the
/// marked messages may not have been removed (RFC 1939 section 6); a connection that closes instead
/// means that nothing is known. Either way the next listing tells.
#[derive(Debug)]
pub struct Quit<S> {
    line: StatusLine,
    state: std::marker::PhantomData<fn() -> S>,
}

impl<S> Quit<S> {
    fn new() -> Self {
        Self { line: StatusLine::default(), state: std::marker::PhantomData }
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
