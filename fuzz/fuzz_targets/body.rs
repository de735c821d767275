//! RETR: the message equals that of a plain reference over the whole reply, at every split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_fuzz::{Wire, open};
use postroom_pop3::Error;

/// Lines end at CRLF only; `.` alone ends, `..` loses a dot, a single dot stays. `None` without an end;
/// else the message and how many octets of `raw` it took.
fn reference(raw: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut message = Vec::new();
    let mut at = 0;
    loop {
        let end = at + raw[at..].windows(2).position(|pair| pair == b"\r\n")? + 2;
        let line = &raw[at..end];
        at = end;
        match line {
            b".\r\n" => return Some((message, at)),
            [b'.', b'.', ..] => message.extend_from_slice(&line[1..]),
            _ => message.extend_from_slice(line),
        }
    }
}

fn number() -> (postroom_pop3::Session<postroom_pop3::Transaction>, postroom_pop3::MessageNumber) {
    let (session, list) = Wire::new(b"+OK\r\n1 1\r\n.\r\n", 0).drive(open().list()).unwrap();
    let number = list.unwrap().sizes().next().unwrap().0;
    (session, number)
}

fuzz_target!(|raw: &[u8]| {
    let expected = reference(raw);
    let reply = match &expected {
        Some((_, taken)) => [b"+OK\r\n", &raw[..*taken]].concat(),
        None => [b"+OK\r\n", raw].concat(),
    };
    let check = |size: usize, split: Option<usize>| {
        let (session, number) = number();
        let mut wire = Wire::new(&reply, split.unwrap_or(size));
        let outcome = wire.drive(session.retr(number, u64::MAX));
        match (&expected, outcome) {
            (Some((message, _)), Ok((_, Ok(retrieved)))) => {
                assert_eq!(&wire.body, message);
                assert_eq!(retrieved.tally().octets, message.len() as u64);
            }
            (None, Err(Error::ServerMisbehaved(_))) => {}
            (expected, outcome) => panic!("{expected:?} {outcome:?}"),
        }
    };
    check(0, None);
    for size in 1..reply.len().min(48) {
        check(size, None);
    }
    // A message cut off anywhere is never whole.
    if expected.is_some() {
        let (session, number) = number();
        assert!(Wire::new(&reply[..reply.len() - 1], 0).drive(session.retr(number, u64::MAX)).is_err());
    }
    // Surplus behind the end is never silent when it has arrived.
    if let Some((_, taken)) = expected
        && taken < raw.len()
    {
        let (session, number) = number();
        let whole = [b"+OK\r\n", raw].concat();
        assert!(Wire::new(&whole, 0).drive(session.retr(number, u64::MAX)).is_err());
    }
});
