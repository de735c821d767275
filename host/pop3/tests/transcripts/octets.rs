//! Properties over octets nobody chose: messages survive the wire, noise breaks nothing.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::bench::{Cut, Dice, Wire, nonce};
use postroom_pop3::session::LoginAnswer;
use postroom_pop3::{Channel, Credentials, Error, Exchange, Reply, Session, Step, Transaction};

/// What a server does that follows RFC 1939 section 3 to the letter.
fn stuff(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, &octet) in message.iter().enumerate() {
        if octet == b'.' && (at == 0 || message[..at].ends_with(b"\r\n")) {
            out.push(b'.');
        }
        out.push(octet);
    }
    out.extend_from_slice(b".\r\n");
    out
}

/// Octets that are mostly the ones framing turns on; the last line is ended, as a reply demands.
fn message(dice: &mut Dice) -> Vec<u8> {
    const OCTETS: [u8; 12] = [b'.', b'\r', b'\n', b'.', b'\r', b'\n', b'a', b'b', b' ', 0, 0xff, b'+'];
    let mut message = Vec::new();
    for _ in 0..dice.below(60) {
        match dice.below(4) {
            0 => message.extend_from_slice(b"\r\n"),
            1 => message.extend_from_slice(b"\r\n."),
            _ => message.push(OCTETS[dice.below(OCTETS.len())]),
        }
    }
    if !message.is_empty() && !message.ends_with(b"\r\n") {
        message.extend_from_slice(b"\r\n");
    }
    message
}

fn session() -> Session<Transaction> {
    let mut wire = Wire::new(
        &[
            (b"", b"+OK\r\n"),
            (b"USER alice\r\n", b"+OK\r\n"),
            (b"PASS secret\r\n", b"+OK\r\n"),
            (b"LIST\r\n", b"+OK\r\n1 1\r\n.\r\n"),
        ],
        Cut::Whole,
    );
    let session = wire.drive(Session::new(Channel::Tls).greeting()).unwrap().unwrap();
    let credentials = Credentials::new("alice", "secret").unwrap();
    match wire.drive(session.login(&credentials, nonce()).unwrap()).unwrap() {
        LoginAnswer::Accepted(session) => session,
        LoginAnswer::Refused(_, rejection) => panic!("{rejection}"),
    }
}

fn number() -> postroom_pop3::MessageNumber {
    let mut wire = Wire::new(&[(b"", b""), (b"LIST\r\n", b"+OK\r\n1 1\r\n.\r\n")], Cut::Whole);
    let (_, list) = wire.drive(session().list()).unwrap();
    list.unwrap().sizes().next().unwrap().0
}

/// Feeds `reply` in random pieces; gives the message octets and the outcome.
fn feed<R: Reply>(
    exchange: Exchange<R>,
    reply: &[u8],
    dice: &mut Dice,
) -> (Vec<u8>, Result<R::Output, Error>) {
    let mut body = Vec::new();
    let mut exchange = exchange;
    let mut left = reply;
    let mut input: &[u8] = &[];
    loop {
        exchange = match exchange.step(&mut input) {
            Ok(Step::Send(next, _)) => next,
            Ok(Step::Receive(next)) => {
                if left.is_empty() {
                    return (body, Err(next.closed()));
                }
                let size = 1 + dice.below(left.len());
                (input, left) = left.split_at(size);
                next
            }
            Ok(Step::Body(next, octets)) => {
                body.extend_from_slice(octets);
                next
            }
            Ok(Step::Done(output)) => return (body, Ok(output)),
            Err(error) => return (body, Err(error)),
        };
    }
}

#[test]
fn any_message_comes_out_of_the_wire_as_it_went_in_however_it_is_cut() {
    let number = number();
    for seed in 0..4000 {
        let dice = &mut Dice::new(seed);
        let message = message(dice);
        let reply = [b"+OK\r\n".to_vec(), stuff(&message)].concat();
        for _ in 0..3 {
            let (body, outcome) = feed(session().retr(number, u64::MAX), &reply, dice);
            let (_, retrieved) = outcome.unwrap();
            let tally = retrieved.unwrap().tally();
            assert_eq!(body, message, "seed {seed}");
            assert_eq!(tally.octets, message.len() as u64);
            assert_eq!(tally.unstuffed_dots, 0, "seed {seed}");
        }
    }
}

#[test]
fn noise_never_panics_and_never_passes_for_a_reply_it_is_not() {
    const WORDS: [&[u8]; 14] = [
        b"+OK",
        b"-ERR",
        b" ",
        b"\r\n",
        b"\n",
        b".",
        b"\r\n.\r\n",
        b"[IN-USE]",
        b"1 ",
        b"99999999999",
        b"\0",
        b"\xff\xfe",
        b"+ ",
        b"\t",
    ];
    let number = number();
    let (mut ended, mut broken) = (0, 0);
    for seed in 0..6000 {
        let dice = &mut Dice::new(seed);
        let count = dice.below(20);
        let noise: Vec<u8> = (0..count).flat_map(|_| WORDS[dice.below(WORDS.len())].to_vec()).collect();
        let starts_as_status = noise.len() >= 3 && (noise.starts_with(b"+OK") || noise.starts_with(b"-ERR"));
        let outcomes = [
            feed(Session::new(Channel::Tls).greeting(), &noise, dice).1.map(drop),
            feed(session().capa(), &noise, dice).1.map(drop),
            feed(session().stat(), &noise, dice).1.map(drop),
            feed(session().list(), &noise, dice).1.map(drop),
            feed(session().uidl(), &noise, dice).1.map(drop),
            feed(session().retr(number, 100), &noise, dice).1.map(drop),
            feed(session().quit().unwrap(), &noise, dice).1.map(drop),
        ];
        for outcome in outcomes {
            match outcome {
                Ok(()) => {
                    assert!(starts_as_status, "{noise:?}");
                    ended += 1;
                }
                Err(error) => {
                    assert!(!error.to_string().contains('\0'), "{error:?}");
                    broken += 1;
                }
            }
        }
    }
    assert!(ended > 100 && broken > 100, "the noise must reach both: {ended} {broken}");
}

/// The loop the host runs, over a wire that is ready at once.
async fn drive<R: Reply>(wire: &mut Pipe, mut exchange: Exchange<R>) -> Result<R::Output, Error> {
    let mut buffer = vec![0; 5];
    let mut input: &[u8] = &[];
    loop {
        exchange = match exchange.step(&mut input)? {
            Step::Send(next, octets) => {
                wire.write_all(&octets).await;
                next
            }
            Step::Receive(next) => {
                let count = wire.read(&mut buffer).await;
                if count == 0 {
                    return Err(next.closed());
                }
                input = &buffer[..count];
                next
            }
            Step::Body(next, octets) => {
                wire.body.extend_from_slice(octets);
                next
            }
            Step::Done(output) => return Ok(output),
        };
    }
}

#[derive(Default)]
struct Pipe {
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    body: Vec<u8>,
}

impl Pipe {
    async fn read(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.incoming.len().min(buffer.len());
        for (slot, octet) in buffer.iter_mut().zip(self.incoming.drain(..count)) {
            *slot = octet;
        }
        count
    }

    async fn write_all(&mut self, octets: &[u8]) {
        self.outgoing.extend_from_slice(octets);
    }
}

#[test]
fn an_async_loop_drives_every_exchange_and_can_move_between_threads() {
    fn sendable<F: Future + Send>(future: F) -> F {
        future
    }
    let mut wire = Pipe { incoming: b"+OK\r\na\r\n..b\r\n.\r\n".to_vec(), ..Pipe::default() };
    let number = number();
    {
        let mut future = pin!(sendable(drive(&mut wire, session().retr(number, 100))));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(outcome) = future.as_mut().poll(&mut context) else {
            panic!("nothing to wait for");
        };
        assert_eq!(outcome.unwrap().1.unwrap().tally().octets, 7);
    }
    assert_eq!(wire.outgoing, b"RETR 1\r\n");
    assert_eq!(wire.body, b"a\r\n.b\r\n");
}
