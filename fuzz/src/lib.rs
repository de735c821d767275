//! What the targets share: a wire that hands out given octets in pieces, and the loop over it.
//!
//! Drives the public API only. Must not judge; the targets do.

use postroom_pop3::session::LoginAnswer;
use postroom_pop3::{
    Channel, Credentials, Error, Exchange, Mechanism, Nonce, Reply, Session, Step, Transaction,
};

/// Octets of a server in pieces of `size`, and what was sent to it.
pub struct Wire<'d> {
    rest: &'d [u8],
    input: &'d [u8],
    size: usize,
    /// What each `Step::Send` held.
    pub sent: Vec<Vec<u8>>,
    /// Message octets, up to `KEPT` of them.
    pub body: Vec<u8>,
}

/// More than any input of the fuzzer, so nothing is lost.
const KEPT: usize = 1 << 24;

impl<'d> Wire<'d> {
    /// `size` 0 hands out everything at once.
    pub fn new(octets: &'d [u8], size: usize) -> Self {
        let size = if size == 0 { usize::MAX } else { size };
        Self { rest: octets, input: &[], size, sent: Vec::new(), body: Vec::new() }
    }

    /// The octets nobody took.
    pub fn left(&self) -> usize {
        self.input.len() + self.rest.len()
    }

    /// Runs one exchange. What is left of the input stays for the next, as in the host.
    pub fn drive<R: Reply>(&mut self, mut exchange: Exchange<R>) -> Result<R::Output, Error> {
        loop {
            exchange = match exchange.step(&mut self.input)? {
                Step::Send(next, octets) => {
                    self.sent.push(octets.to_vec());
                    next
                }
                Step::Receive(next) => {
                    assert!(self.input.is_empty());
                    if self.rest.is_empty() {
                        return Err(next.closed());
                    }
                    (self.input, self.rest) = self.rest.split_at(self.size.min(self.rest.len()));
                    next
                }
                Step::Body(next, octets) => {
                    assert!(!octets.is_empty());
                    self.body.extend_from_slice(octets);
                    assert!(self.body.len() < KEPT);
                    next
                }
                Step::Done(output) => return Ok(output),
            };
        }
    }
}

/// The nonce of every login here.
pub fn nonce() -> Nonce {
    Nonce::new([7; 18])
}

/// A session logged in by an honest server that lists `PIPELINING`.
pub fn open() -> Session<Transaction> {
    let say = |octets: &'static [u8]| Wire::new(octets, 0);
    let session = say(b"+OK\r\n").drive(Session::new(Channel::Tls).greeting()).unwrap().unwrap();
    let credentials = Credentials::new("alice", "secret").unwrap();
    let exchange = session.login_by(Mechanism::Plain, &credentials, nonce()).unwrap();
    let Ok(LoginAnswer::Accepted(session)) = say(b"+OK\r\n").drive(exchange) else { unreachable!() };
    say(b"+OK\r\nPIPELINING\r\n.\r\n").drive(session.capa()).unwrap().0
}
