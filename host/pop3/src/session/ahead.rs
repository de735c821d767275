//! Commands sent ahead of their replies (`PIPELINING`, RFC 2449 section 6.6).
//!
//! Owns which command the next reply answers. One batch holds one kind of command, so nothing is
//! deleted behind a message that is still to come; while replies are outstanding there is no
//! [`Session`], only an [`Outstanding`], so `QUIT` does not compile:
//!
//! ```compile_fail,E0599
//! # use postroom_pop3::session::{Outstanding, Retr};
//! fn quit_before_the_replies(outstanding: Outstanding<Retr>) {
//!     let _ = outstanding.quit();
//! }
//! ```
//!
//! The deadlock of RFC 2449 section 6.6: a client that blocks in writing while the server blocks in
//! writing to it. A batch is written only when no reply is outstanding, and has at most
//! [`Batch::LIMIT`] commands, under 4 KiB: less than any window, so the write cannot block on the
//! server's reading. How many commands are worth sending is the caller's policy, see [`window`].
//!
//! Octets behind one reply belong to the next as long as one is outstanding. They stay in the `input`
//! of the driving loop, which must keep it from one exchange to the next; that they come back is
//! checked ([`Error::InputLost`]).

use std::collections::VecDeque;
use std::fmt;

use super::exchange::{Machine, Progress};
use super::message::{Message, Purpose};
use super::transaction::Acknowledge;
use super::{Core, Exchange, Retr, Session, Top, Transaction};
use crate::command::{Command, Outgoing, Verb};
use crate::error::{Error, Rejection, ServerMisbehaved, Unsupported};
use crate::listing::MessageNumber;
use crate::wire::Eol;

/// Messages to ask about at once: at least one, at most [`Batch::LIMIT`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch(Vec<MessageNumber>);

impl Batch {
    /// The most commands sent ahead.
    pub const LIMIT: usize = 128;

    /// `None` when there is no message or there are too many.
    #[must_use]
    pub fn new(numbers: &[MessageNumber]) -> Option<Self> {
        (1..=Self::LIMIT).contains(&numbers.len()).then(|| Self(numbers.to_vec()))
    }
}

/// How many messages off the front of `sizes` (octets as `LIST` claims them) to ask for at once: as
/// many as fit in `octets`, at most `commands` and [`Batch::LIMIT`], and one at least unless there is
/// none. A size that is not known counts as all of `octets`.
#[must_use]
pub fn window(sizes: impl IntoIterator<Item = Option<u64>>, octets: u64, commands: usize) -> usize {
    let mut left = octets;
    let mut count = 0;
    for size in sizes.into_iter().take(commands.clamp(1, Batch::LIMIT)) {
        match left.checked_sub(size.unwrap_or(octets)) {
            Some(rest) => left = rest,
            None if count == 0 => left = 0,
            None => break,
        }
        count += 1;
    }
    count
}

impl Session<Transaction> {
    /// Whether commands may be sent ahead: the CAPA reply after the login lists `PIPELINING`, and the
    /// server ends its lines in CRLF, without which the end of a message is a guess.
    #[must_use]
    pub fn may_pipeline(&self) -> bool {
        self.core.latch.eol() == Eol::Crlf && self.capabilities().is_some_and(|listed| listed.pipelining)
    }

    /// Asks for several messages at once, each of at most `limit` octets. Refused, with the end of the
    /// session, unless [`may_pipeline`](Self::may_pipeline).
    pub fn retr_ahead(self, batch: Batch, limit: u64) -> Result<Exchange<Ahead<Retr>>, Error> {
        self.ahead(batch, Command::Retr, Message::new(limit))
    }

    /// Asks for several headers at once, as [`top`](Self::top) and [`retr_ahead`](Self::retr_ahead).
    pub fn top_ahead(self, batch: Batch, lines: u32, limit: u64) -> Result<Exchange<Ahead<Top>>, Error> {
        self.ahead(batch, |number| Command::Top(number, lines), Message::new(limit))
    }

    /// Marks several messages deleted at once, as [`retr_ahead`](Self::retr_ahead).
    pub fn dele_ahead(self, batch: Batch) -> Result<Exchange<Ahead<Acknowledge>>, Error> {
        self.ahead(batch, Command::Dele, Acknowledge::new(Verb::Dele))
    }

    fn ahead<R: Each>(
        self,
        Batch(numbers): Batch,
        command: impl Fn(MessageNumber) -> Command,
        current: R,
    ) -> Result<Exchange<Ahead<R>>, Error> {
        if !self.may_pipeline() {
            return Err(Unsupported::Pipelining.into());
        }
        let outgoing = Outgoing::all(numbers.iter().map(|&number| command(number)));
        let pipelined = numbers.len() > 1;
        let reply = Ahead { numbers: numbers.into(), current, pipelined, left: 0 };
        Ok(Exchange::saying(self, outgoing, reply))
    }
}

/// A reply that may be one of several of its kind. Implemented by this crate alone.
pub trait Each: Machine<State = Transaction> + fmt::Debug {
    /// What one reply gives.
    type Item;
    /// A reply of the same kind, from its beginning.
    fn again(&self) -> Self;
    /// Takes down what was said.
    fn item(core: &mut Core, value: Self::Value) -> Result<Self::Item, Rejection>;
}

impl<P: Purpose> Each for Message<P> {
    type Item = P::Got;

    fn again(&self) -> Self {
        Message::again(self)
    }

    fn item(core: &mut Core, value: Self::Value) -> Result<P::Got, Rejection> {
        value.map(|tally| P::got(core, tally))
    }
}

impl Each for Acknowledge {
    type Item = ();

    fn again(&self) -> Self {
        Self::new(self.verb())
    }

    fn item(_: &mut Core, value: Self::Value) -> Result<(), Rejection> {
        value
    }
}

/// The next reply to a batch.
#[derive(Debug)]
pub struct Ahead<R> {
    numbers: VecDeque<MessageNumber>,
    current: R,
    pipelined: bool,
    /// Octets behind the reply before this one, which must come back.
    left: usize,
}

/// One reply to a batch, and what follows it.
#[derive(Debug)]
pub struct Answered<R: Each> {
    /// The message it is about.
    pub number: MessageNumber,
    /// What was said about it; a refusal says nothing about the others.
    pub outcome: Result<R::Item, Rejection>,
    /// What follows.
    pub rest: Rest<R>,
}

/// What follows a reply to a batch.
#[derive(Debug)]
pub enum Rest<R> {
    /// Other replies are still to come.
    More(Outstanding<R>),
    /// All were read.
    Idle(Session<Transaction>),
}

/// A session with replies still to come. Dropping it abandons the connection.
#[derive(Debug)]
#[must_use = "the replies that are outstanding must be read"]
pub struct Outstanding<R> {
    session: Session<Transaction>,
    reply: Ahead<R>,
}

impl<R: Each> Outstanding<R> {
    /// The messages whose replies are still to come, in their order.
    pub fn numbers(&self) -> impl Iterator<Item = MessageNumber> + '_ {
        self.reply.numbers.iter().copied()
    }

    /// Reads the next reply. Drive it with the input that was left over.
    pub fn next_reply(self) -> Exchange<Ahead<R>> {
        Exchange::unprompted(self.session, self.reply)
    }

    /// As [`Session::settle`].
    pub fn settle(&mut self, retrieved: super::Retrieved) -> crate::wire::Tally {
        self.session.settle(retrieved)
    }
}

impl<R: Each> Ahead<R> {
    /// A broken protocol is put down to the batch when there was more than one command in it.
    fn blame(&self, error: Error) -> Error {
        match error {
            Error::ServerMisbehaved(fault) if self.pipelined => {
                Error::OutOfStep { fault, unanswered: self.numbers.len() }
            }
            other => other,
        }
    }
}

impl<R: Each> Machine for Ahead<R> {
    type State = Transaction;
    type Output = Answered<R>;
    type Value = (MessageNumber, R::Value, Option<Ahead<R>>);

    fn verb(&self) -> Verb {
        self.current.verb()
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        let due = std::mem::take(&mut self.left);
        if input.len() < due {
            return Err(Error::InputLost { lost: due - input.len() });
        }
        let value = match self.current.receive(core, input).map_err(|error| self.blame(error))? {
            Progress::Receive => return Ok(Progress::Receive),
            Progress::Body(octets) => return Ok(Progress::Body(octets)),
            Progress::Send(octets) => return Ok(Progress::Send(octets)),
            Progress::Done(value) => value,
        };
        let Some(&number) = self.numbers.front() else {
            let text = String::new();
            return Err(ServerMisbehaved::Unsolicited { verb: self.verb(), text }.into());
        };
        if self.numbers.len() == 1 {
            if let surplus @ [_, ..] = *input {
                return Err(self.blame(self.current.surplus(surplus).into()));
            }
            return Ok(Progress::Done((number, value, None)));
        }
        let numbers = self.numbers.iter().skip(1).copied().collect();
        let rest = Self { numbers, current: self.current.again(), pipelined: true, left: input.len() };
        Ok(Progress::Done((number, value, Some(rest))))
    }

    fn finish(mut session: Session<Transaction>, (number, value, rest): Self::Value) -> Answered<R> {
        let outcome = R::item(&mut session.core, value);
        let rest = match rest {
            Some(reply) => Rest::More(Outstanding { session, reply }),
            None => Rest::Idle(session),
        };
        Answered { number, outcome, rest }
    }

    fn may_be_followed(&self) -> bool {
        self.numbers.len() > 1
    }

    fn closed(&self) -> Error {
        self.blame(ServerMisbehaved::Closed { during: self.verb() }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_takes_what_fits_and_one_at_least() {
        let of =
            |sizes: &[u64], octets, commands| window(sizes.iter().map(|&size| Some(size)), octets, commands);
        assert_eq!(of(&[], 100, 10), 0);
        assert_eq!(of(&[40, 40, 40], 100, 10), 2);
        assert_eq!(of(&[50, 50, 0, 1], 100, 10), 3);
        assert_eq!(of(&[500, 1], 100, 10), 1, "one that is too large goes alone");
        assert_eq!(of(&[1, 1, 1], 100, 2), 2);
        assert_eq!(of(&[1, 1, 1], 100, 0), 1);
        assert_eq!(of(&[u64::MAX, u64::MAX], u64::MAX, 9), 1);
        assert_eq!(of(&[0; 500], 0, 1000), Batch::LIMIT);
        assert_eq!(window([None, Some(1)], 100, 10), 1, "an unknown size goes alone");
        assert_eq!(window([Some(1), None, Some(1)], 100, 10), 1);
    }

    #[test]
    fn a_batch_is_never_empty_and_its_commands_fit_in_four_kibibytes() {
        let most = MessageNumber::new(u32::MAX).unwrap();
        assert_eq!(Batch::new(&[]), None);
        assert_eq!(Batch::new(&[most; Batch::LIMIT + 1]), None);
        let Batch(numbers) = Batch::new(&[most; Batch::LIMIT]).unwrap();
        let octets = Outgoing::all(numbers.iter().map(|&number| Command::Top(number, u32::MAX)));
        assert!(octets.len() <= 4096, "{}", octets.len());
    }
}
