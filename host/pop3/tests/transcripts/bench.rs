//! A scripted server that hands its replies out in chosen pieces, and the loop that drives an
//! exchange against it.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postroom_pop3::listing::join;
use postroom_pop3::session::LoginAnswer;
use postroom_pop3::{
    Authorization, Channel, Credentials, Error, Exchange, Listing, Nonce, Rejection, Reply, Session, Step,
    Transaction,
};

/// How the replies are cut up on their way.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// Each reply in one piece.
    Whole,
    /// Each reply in two pieces, cut after so many octets.
    At(usize),
    /// Each reply in pieces of this size.
    Every(usize),
}

/// What the client must send, and what the server then says. The first line expects nothing: it is
/// the greeting.
pub(crate) type Script<'s> = &'s [(&'s [u8], &'s [u8])];

pub(crate) struct Wire<'s> {
    script: VecDeque<&'s (&'s [u8], &'s [u8])>,
    pieces: VecDeque<&'s [u8]>,
    /// Input behind a reply, for the next exchange.
    left: &'s [u8],
    cut: Cut,
    /// Message octets received.
    pub(crate) body: Vec<u8>,
}

impl<'s> Wire<'s> {
    pub(crate) fn new(script: Script<'s>, cut: Cut) -> Self {
        let mut wire = Self {
            script: script.iter().collect(),
            pieces: VecDeque::new(),
            left: b"",
            cut,
            body: Vec::new(),
        };
        wire.send(b"");
        wire
    }

    pub(crate) fn send(&mut self, octets: &[u8]) {
        assert!(self.pieces.is_empty(), "sent before the last reply was read");
        let (expected, reply) = self.script.pop_front().expect("nothing was to be sent any more");
        assert_eq!(octets, *expected, "{:?}", String::from_utf8_lossy(octets));
        match self.cut {
            Cut::Whole => self.pieces.push_back(reply),
            Cut::At(at) => {
                let (a, b) = reply.split_at(at.min(reply.len()));
                self.pieces.extend([a, b]);
            }
            Cut::Every(size) => self.pieces.extend(reply.chunks(size)),
        }
        self.pieces.retain(|piece| !piece.is_empty());
    }

    /// The next piece; empty at the end of the connection.
    pub(crate) fn receive(&mut self) -> &'s [u8] {
        self.pieces.pop_front().unwrap_or_default()
    }

    /// Every line of the script was used.
    pub(crate) fn assert_finished(&self) {
        assert!(
            self.script.is_empty() && self.pieces.is_empty() && self.left.is_empty(),
            "the script was not used up"
        );
    }

    pub(crate) fn drive<R: Reply>(&mut self, mut exchange: Exchange<R>) -> Result<R::Output, Error> {
        let mut input = std::mem::take(&mut self.left);
        loop {
            exchange = match exchange.step(&mut input)? {
                Step::Send(next, octets) => {
                    self.send(&octets);
                    next
                }
                Step::Receive(next) => {
                    assert!(input.is_empty(), "input was left behind");
                    input = self.receive();
                    if input.is_empty() {
                        return Err(next.closed());
                    }
                    next
                }
                Step::Body(next, octets) => {
                    self.body.extend_from_slice(octets);
                    next
                }
                Step::Done(output) => {
                    self.left = input;
                    return Ok(output);
                }
            };
        }
    }
}

/// Runs `client` against the script whole, in small pieces and with every reply cut at every octet;
/// all must end alike. Gives what the client gave.
pub(crate) fn everywhere<T: PartialEq + std::fmt::Debug>(
    script: Script<'_>,
    client: impl Fn(&mut Wire<'_>) -> T,
) -> T {
    let run = |cut| {
        let mut wire = Wire::new(script, cut);
        let outcome = client(&mut wire);
        wire.assert_finished();
        outcome
    };
    let whole = run(Cut::Whole);
    let longest = script.iter().map(|(_, reply)| reply.len()).max().unwrap_or_default();
    let cuts = (1..longest).map(Cut::At).chain((1..8).map(Cut::Every));
    for cut in cuts {
        assert_eq!(run(cut), whole, "{cut:?}");
    }
    whole
}

pub(crate) const LIMIT: u64 = 1 << 20;

pub(crate) fn alice() -> Credentials {
    Credentials::new("alice", "secret").unwrap()
}

/// The nonce of RFC 5802 section 5.
pub(crate) fn nonce() -> Nonce {
    let random = STANDARD.decode("fyko+d2lbbFgONRv9qkxdawL").unwrap();
    Nonce::new(random.try_into().unwrap())
}

pub(crate) fn hello(wire: &mut Wire<'_>, channel: Channel) -> Session<Authorization> {
    wire.drive(Session::new(channel).greeting()).unwrap().unwrap()
}

pub(crate) fn login(wire: &mut Wire<'_>) -> Session<Transaction> {
    let session = hello(wire, Channel::Tls);
    match wire.drive(session.login(&alice(), nonce()).unwrap()).unwrap() {
        LoginAnswer::Accepted(session) => session,
        LoginAnswer::Refused(_, rejection) => panic!("{rejection}"),
    }
}

pub(crate) fn refused(answer: LoginAnswer) -> (Session<Authorization>, Rejection) {
    match answer {
        LoginAnswer::Refused(session, rejection) => (session, rejection),
        LoginAnswer::Accepted(_) => panic!("accepted"),
    }
}

pub(crate) fn listed(wire: &mut Wire<'_>, session: Session<Transaction>) -> (Session<Transaction>, Listing) {
    let (session, list) = wire.drive(session.list()).unwrap();
    let (session, uidl) = wire.drive(session.uidl()).unwrap();
    (session, join(&list.unwrap(), &uidl.unwrap()))
}

/// A logged-in session with one message, then `rest`.
pub(crate) fn one_message<'s>(rest: &[(&'s [u8], &'s [u8])]) -> Vec<(&'s [u8], &'s [u8])> {
    let mut script: Vec<(&[u8], &[u8])> = vec![
        (b"", b"+OK\r\n"),
        (b"USER alice\r\n", b"+OK\r\n"),
        (b"PASS secret\r\n", b"+OK\r\n"),
        (b"LIST\r\n", b"+OK\r\n1 10\r\n.\r\n"),
        (b"UIDL\r\n", b"+OK\r\n1 a\r\n.\r\n"),
    ];
    script.extend(rest);
    script
}

/// Small numbers that look random and are the same in every run (xorshift64).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}
