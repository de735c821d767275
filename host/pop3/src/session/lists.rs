//! The replies that are a list about all messages: `LIST` and `UIDL`.
//!
//! Owns their cap. What a line means is the listing's business.

use super::exchange::{ListReply, Machine, Progress};
use super::{Answer, Core, Session, Transaction};
use crate::command::Verb;
use crate::error::{Error, Rejection};
use crate::listing::{ScanListing, UidListing};
use crate::wire::Cap;

const LIST_CAP: Cap = Cap { lines: 1_000_000, octets: 128 << 20, name: "listing in lines or octets" };

/// A status line and, after `+OK`, a line for each message.
#[derive(Debug)]
pub struct Listed<L> {
    list: ListReply,
    found: L,
}

/// The reply to `LIST`.
pub type List = Listed<ScanListing>;
/// The reply to `UIDL`.
pub type Uidl = Listed<UidListing>;

/// What the lines of a list add up to.
pub trait Rows: Default {
    /// The command.
    const VERB: Verb;
    /// Takes one line.
    fn row(&mut self, line: &[u8]);
}

impl Rows for ScanListing {
    const VERB: Verb = Verb::List;

    fn row(&mut self, line: &[u8]) {
        self.read_line(line);
    }
}

impl Rows for UidListing {
    const VERB: Verb = Verb::Uidl;

    fn row(&mut self, line: &[u8]) {
        self.read_line(line);
    }
}

impl<L: Rows> Listed<L> {
    pub(super) fn new() -> Self {
        Self { list: ListReply::new(), found: L::default() }
    }
}

impl<L: Rows> Machine for Listed<L> {
    type State = Transaction;
    type Output = Answer<Transaction, L>;
    type Value = Result<L, Rejection>;

    fn verb(&self) -> Verb {
        L::VERB
    }

    fn receive<'a>(
        &mut self,
        core: &mut Core,
        input: &mut &'a [u8],
    ) -> Result<Progress<'a, Self::Value>, Error> {
        let Self { list, found } = self;
        let outcome = list.read(L::VERB, LIST_CAP, core, input, |line| found.row(line))?;
        Ok(match outcome {
            None => Progress::Receive,
            Some(outcome) => Progress::Done(outcome.map(|()| std::mem::take(found))),
        })
    }

    fn finish(session: Session<Transaction>, value: Self::Value) -> Self::Output {
        (session, value)
    }
}
