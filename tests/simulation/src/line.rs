//! The real POP3 engine against the model of a server, in memory.

use std::sync::Arc;

use postroom_pop3::{Error, Exchange, Reply, Step};

use crate::journal::Journal;
use crate::maildrop::Maildrop;

/// One connection. What the server removes is written to the journal at once: it cannot be taken back.
pub struct Line<'w> {
    maildrop: &'w mut Maildrop,
    journal: Arc<Journal>,
}

impl<'w> Line<'w> {
    /// Connects.
    pub fn connect(maildrop: &'w mut Maildrop, journal: Arc<Journal>) -> Self {
        maildrop.connect();
        Self { maildrop, journal }
    }

    /// One command and its reply; octets of a message go to `body`.
    pub fn drive<R: Reply>(
        &mut self,
        mut exchange: Exchange<R>,
        mut body: impl FnMut(&[u8]),
    ) -> Result<R::Output, Error> {
        let mut buffer;
        let mut input: &[u8] = &[];
        loop {
            exchange = match exchange.step(&mut input)? {
                Step::Send(next, octets) => {
                    let events = self.maildrop.command(&octets);
                    events.into_iter().for_each(|event| self.journal.event(event));
                    next
                }
                Step::Receive(next) => {
                    buffer = self.maildrop.receive();
                    if buffer.is_empty() {
                        return Err(next.closed());
                    }
                    input = &buffer;
                    next
                }
                Step::Body(next, octets) => {
                    body(octets);
                    next
                }
                Step::Done(output) => return Ok(output),
            };
        }
    }

    /// The same, for what is no message.
    pub fn ask<R: Reply>(&mut self, exchange: Exchange<R>) -> Result<R::Output, Error> {
        self.drive(exchange, |_| {})
    }
}
