//! All mechanisms against arbitrary replies. The secret leaves only where it belongs and never comes
//! back in a text; success needs `+OK`, and for SCRAM the server's signature.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use libfuzzer_sys::fuzz_target;
use postroom_fuzz::{Wire, nonce};
use postroom_pop3::session::LoginAnswer;
use postroom_pop3::{Channel, Credentials, Mechanism, Session};
use sha2::Sha256;

const SECRET: &str = "hunter2hunter2";

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The signature of a server that knows the password, over what was truly said.
fn signature(first: &[u8], server_first: &[u8], last: &[u8]) -> Option<Vec<u8>> {
    let bare = first.strip_prefix(b"n,,")?;
    let text = std::str::from_utf8(server_first).ok()?;
    let mut fields = text.split(',').skip(1);
    let salt = STANDARD.decode(fields.next()?.strip_prefix("s=")?).ok()?;
    let count = fields.next()?.strip_prefix("i=")?.parse().ok()?;
    let at = last.windows(3).rposition(|window| window == b",p=")?;
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(SECRET.as_bytes(), &salt, count, &mut salted);
    let mac = |key: &[u8], text: &[u8]| {
        Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes().to_vec()
    };
    Some(mac(&mac(&salted, b"Server Key"), &[bare, b",", server_first, b",", &last[..at]].concat()))
}

fuzz_target!(|data: (u8, u8, bool, Vec<u8>)| {
    let (which, size, honest, replies) = data;
    let mechanism = Mechanism::ALL[usize::from(which) % Mechanism::ALL.len()];
    let credentials = if mechanism.takes_token() {
        Credentials::bearer("alice", SECRET).unwrap().at("pop.example", 995).unwrap()
    } else {
        Credentials::new("alice", SECRET).unwrap()
    };
    // A count chosen by the fuzzer up to a million would make one run seconds long; the crate's tests
    // cover the bounds.
    let nonce_text = STANDARD.encode([7; 18]);
    let server_first = format!("r={nonce_text}srv,s=c2FsdA==,i=4096");
    let replies = if honest {
        [b"+ ", STANDARD.encode(&server_first).as_bytes(), b"\r\n", &replies].concat()
    } else if holds(&replies, STANDARD.encode("i=").as_bytes()) {
        return;
    } else {
        replies
    };
    let greeted = Wire::new(b"+OK <1.2@pop.example>\r\n", 0).drive(Session::new(Channel::Tls).greeting());
    let session = greeted.unwrap().unwrap();
    let exchange = session.login_by(mechanism, &credentials, nonce()).unwrap();
    // A reply a line at a time, because a server may not speak before its turn.
    let mut exchange = exchange;
    let mut sent: Vec<Vec<u8>> = Vec::new();
    let mut lines = replies.split_inclusive(|&octet| octet == b'\n');
    let mut said: Vec<&[u8]> = Vec::new();
    let mut pieces: Vec<&[u8]> = Vec::new();
    let mut input: &[u8] = &[];
    let outcome = loop {
        exchange = match exchange.step(&mut input) {
            Ok(postroom_pop3::Step::Send(next, octets)) => {
                sent.push(octets.to_vec());
                next
            }
            Ok(postroom_pop3::Step::Receive(next)) => {
                if pieces.is_empty() {
                    let Some(line) = lines.next() else { break Err(next.closed()) };
                    said.push(line);
                    pieces = line.chunks(usize::from(size).max(1)).rev().collect();
                }
                input = pieces.pop().unwrap_or_default();
                next
            }
            Ok(postroom_pop3::Step::Body(..)) => unreachable!(),
            Ok(postroom_pop3::Step::Done(answer)) => break Ok(answer),
            Err(error) => break Err(error),
        };
    };
    assert!(sent.len() <= 4, "{mechanism} answered without end");
    for line in &sent {
        assert!(
            line.ends_with(b"\r\n") && !line[..line.len() - 2].iter().any(|o| matches!(o, b'\r' | b'\n'))
        );
        let plain = holds(line, SECRET.as_bytes());
        assert_eq!(plain, mechanism == Mechanism::UserPass && line.starts_with(b"PASS "));
        let word =
            line.strip_suffix(b"\r\n").and_then(|l| l.rsplit(|&o| o == b' ').next()).unwrap_or_default();
        let inside = STANDARD.decode(word).is_ok_and(|decoded| holds(&decoded, SECRET.as_bytes()));
        let shows = matches!(
            mechanism,
            Mechanism::Plain | Mechanism::Login | Mechanism::XOAuth2 | Mechanism::OAuthBearer
        );
        assert!(!inside || shows, "{mechanism} showed the secret");
    }
    let shown = match &outcome {
        Ok(LoginAnswer::Accepted(session)) => format!("{session:?}"),
        Ok(LoginAnswer::Refused(_, rejection)) => format!("{rejection} {rejection:?}"),
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(SECRET));
    if let Ok(LoginAnswer::Accepted(_)) = outcome {
        let last = said.last().unwrap();
        assert!(last[..3].eq_ignore_ascii_case(b"+OK"));
        match mechanism {
            Mechanism::ScramSha1 => panic!("the fuzzer guessed a signature"),
            Mechanism::ScramSha256 => {
                let decoded = |line: &[u8]| {
                    let text = line.trim_ascii();
                    STANDARD.decode(text.rsplit(|&o| o == b' ').next().unwrap()).unwrap()
                };
                let right = signature(&decoded(&sent[0]), &decoded(said[0]), &decoded(&sent[1])).unwrap();
                assert!(decoded(said[1]).starts_with(format!("v={}", STANDARD.encode(right)).as_bytes()));
            }
            _ => {}
        }
    }
});
