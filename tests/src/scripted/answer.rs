//! Overrides as data: which command they are for, what is said instead, and what comes after.

use std::time::Duration;

/// When a rule applies.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(crate) verb: &'static str,
    pub(crate) session: Option<u32>,
    pub(crate) number: Option<u32>,
    pub(crate) skip: u32,
    pub(crate) times: u32,
    pub(crate) answer: Answer,
}

/// A rule for a command, or for `GREETING`, `TLS` (the handshake) and `SASL` (a line within an authentication).
#[must_use]
pub fn on(verb: &'static str) -> Rule {
    Rule { verb, session: None, number: None, skip: 0, times: u32::MAX, answer: Answer::honest() }
}

impl Rule {
    /// Only in the session with this number, from 1.
    #[must_use]
    pub fn session(mut self, number: u32) -> Self {
        self.session = Some(number);
        self
    }

    /// Only for the message with this number.
    #[must_use]
    pub fn number(mut self, number: u32) -> Self {
        self.number = Some(number);
        self
    }

    /// Not for the first `count` that fit, over all sessions.
    #[must_use]
    pub fn after(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Only for so many that fit, over all sessions.
    #[must_use]
    pub fn times(mut self, count: u32) -> Self {
        self.times = count;
        self
    }

    /// Only for the first that fits.
    #[must_use]
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Says these octets instead. An answer that begins with `+` has the command's effect, any other has none.
    #[must_use]
    pub fn say(mut self, octets: impl Into<Vec<u8>>) -> Self {
        self.answer.source = Source::Raw(octets.into());
        self
    }

    /// Says what this makes of the honest answer.
    #[must_use]
    pub fn bend(mut self, bend: fn(Vec<u8>) -> Vec<u8>) -> Self {
        self.answer.source = Source::Bent(bend);
        self
    }

    /// Says what this makes of the client's line.
    #[must_use]
    pub fn reply(mut self, reply: fn(&[u8]) -> Vec<u8>) -> Self {
        self.answer.source = Source::Reply(reply);
        self
    }

    /// Says at most the first `octets` of the answer; less than nothing is counted from its end.
    #[must_use]
    pub fn only(mut self, octets: isize) -> Self {
        self.answer.only = Some(octets);
        self
    }

    /// In pieces of `octets`, each a write of its own.
    #[must_use]
    pub fn pieces(mut self, octets: usize) -> Self {
        self.answer.piece = Some(octets);
        self
    }

    /// With so long between pieces.
    #[must_use]
    pub fn every(mut self, pace: Duration) -> Self {
        self.answer.pace = Some(pace);
        self
    }

    /// And then these octets again and again, until the client leaves or `most` were sent.
    #[must_use]
    pub fn endless(mut self, octets: impl Into<Vec<u8>>, most: u64) -> Self {
        self.answer.endless = Some((octets.into(), most));
        self
    }

    /// And then.
    #[must_use]
    pub fn then(mut self, then: Then) -> Self {
        self.answer.then = then;
        self
    }

    /// The command has its effect, or has none, whatever is said.
    #[must_use]
    pub fn effect(mut self, has: bool) -> Self {
        self.answer.effect = Some(has);
        self
    }

    /// `QUIT` removes only so many of what was marked.
    #[must_use]
    pub fn removes(mut self, most: usize) -> Self {
        self.answer.removes = most;
        self
    }
}

/// What is said.
#[derive(Clone, Debug)]
pub struct Answer {
    pub(crate) source: Source,
    pub(crate) only: Option<isize>,
    pub(crate) piece: Option<usize>,
    pub(crate) pace: Option<Duration>,
    pub(crate) endless: Option<(Vec<u8>, u64)>,
    pub(crate) effect: Option<bool>,
    pub(crate) removes: usize,
    pub(crate) then: Then,
}

#[derive(Clone, Debug)]
pub(crate) enum Source {
    Honest,
    Raw(Vec<u8>),
    Bent(fn(Vec<u8>) -> Vec<u8>),
    Reply(fn(&[u8]) -> Vec<u8>),
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The session goes on.
    Continue,
    /// The connection ends in order.
    Close,
    /// It ends without TLS saying so.
    Truncate,
    /// It ends with a reset.
    Reset,
    /// Nothing more is said, whatever comes.
    Silent,
    /// The answer is kept back and sent in front of the next one.
    Hold,
}

impl Answer {
    /// What RFC 1939 asks for.
    #[must_use]
    pub fn honest() -> Self {
        Self {
            source: Source::Honest,
            only: None,
            piece: None,
            pace: None,
            endless: None,
            effect: None,
            removes: usize::MAX,
            then: Then::Continue,
        }
    }

    /// The octets to send for an honest answer and the client's line, and whether the command has its effect.
    pub(crate) fn octets(&self, honest: Vec<u8>, line: &[u8]) -> (Vec<u8>, bool) {
        let accepted = honest.starts_with(b"+");
        let (mut octets, said) = match &self.source {
            Source::Honest => (honest, None),
            Source::Raw(raw) => (raw.clone(), Some(raw.starts_with(b"+"))),
            Source::Bent(bend) => (bend(honest), None),
            Source::Reply(reply) => {
                let octets = reply(line);
                let said = octets.starts_with(b"+");
                (octets, Some(said))
            }
        };
        if let Some(only) = self.only {
            let length = octets.len();
            let keep =
                if only < 0 { length.saturating_sub(only.unsigned_abs()) } else { only.unsigned_abs() };
            octets.truncate(keep);
        }
        (octets, self.effect.unwrap_or(said.unwrap_or(accepted)))
    }
}
