//! A connection cut after every octet, in either direction: what the server may have taken and what is recorded of it
//! agree, and no cut makes a second copy possible unseen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::testing::{class, deliver_marking, send};
use super::tests::plain;

const RAW: &[u8] = b"Message-ID: <m@a.example>\r\n\r\nbody\r\n.dot\r\n";
const TO: &[&str] = &["b@b.example", "c@c.example"];
/// What the server answers, to nothing and to each command; `None` is the end of the mail.
const ANSWERS: [(Option<&[u8]>, &[u8]); 7] = [
    (Some(b"EHLO"), b"250-relay.example\r\n250-SIZE 1000000\r\n250 8BITMIME\r\n"),
    (Some(b"MAIL"), b"250 2.1.0 sender\r\n"),
    (Some(b"RCPT"), b"250 2.1.5 recipient\r\n"),
    (Some(b"DATA"), b"354 go on\r\n"),
    (None, b"250 2.0.0 queued as 1A2B\r\n"),
    (Some(b"QUIT"), b"221 bye\r\n"),
    (Some(b"RSET"), b"250 reset\r\n"),
];
const GREETING: &[u8] = b"220 relay.example ESMTP\r\n";

/// What a server that cuts saw and said.
#[derive(Debug, Default)]
struct Told {
    /// The final dot came whole.
    dot: bool,
    /// Its answer left whole.
    accepted: bool,
    /// Octets said and heard.
    said: usize,
    heard: usize,
}

/// One conversation, over when so many octets were said or heard.
async fn converse(mut stream: TcpStream, say: usize, hear: usize) -> Told {
    let mut told = Told::default();
    let mut pending = Vec::new();
    let mut in_mail = false;
    if !utter(&mut stream, GREETING, say, &mut told).await {
        return told;
    }
    loop {
        let end = if in_mail { &b"\r\n.\r\n"[..] } else { b"\r\n" };
        let Some(at) = pending.windows(end.len()).position(|window| window == end) else {
            let mut octet = [0];
            if told.heard == hear || !matches!(stream.read(&mut octet).await, Ok(1)) {
                return told;
            }
            told.heard += 1;
            pending.push(octet[0]);
            continue;
        };
        let line: Vec<u8> = pending.drain(..at + end.len()).collect();
        let wanted = (!in_mail).then(|| &line[..4]);
        told.dot |= in_mail;
        let (_, answer) = ANSWERS.iter().find(|(command, _)| *command == wanted).expect("a known command");
        let whole = utter(&mut stream, answer, say, &mut told).await;
        told.accepted |= in_mail && whole;
        in_mail = wanted == Some(b"DATA");
        if !whole {
            return told;
        }
    }
}

/// Says it, as far as it is let; `false` when the conversation is over.
async fn utter(stream: &mut TcpStream, answer: &[u8], say: usize, told: &mut Told) -> bool {
    let part = &answer[..answer.len().min(say - told.said)];
    told.said += part.len();
    stream.write_all(part).await.is_ok() && stream.flush().await.is_ok() && part.len() == answer.len()
}

/// One delivery to such a server: how it ended, how often it was marked, and what the server knows.
async fn cut(say: usize, hear: usize) -> (&'static str, u32, Told) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let sink = plain(listener.local_addr().unwrap().port());
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        converse(stream, say, hear).await
    });
    let marks = Arc::new(AtomicU32::new(0));
    let outcome = deliver_marking(&sink, &send(None, TO, RAW), RAW, &marks).await;
    (class(&outcome), marks.load(Ordering::SeqCst), server.await.unwrap())
}

fn check(what: &str, at: usize, outcome: &str, marks: u32, told: &Told) {
    match outcome {
        "done" => assert!(told.accepted, "{what} {at}: counted as done, but {told:?}"),
        "in doubt" => assert!(!told.accepted || told.dot, "{what} {at}: {told:?}"),
        "temporary" => assert!(!told.dot, "{what} {at}: it may be there, and is not in doubt: {told:?}"),
        other => panic!("{what} {at}: {other}"),
    }
    assert_eq!(marks > 0, outcome != "temporary", "{what} {at}: marked exactly when the dot may have left");
    assert!(marks <= 1);
}

#[tokio::test]
async fn a_conversation_cut_after_every_octet_is_never_taken_for_what_it_is_not() {
    let (outcome, _, whole) = cut(usize::MAX, usize::MAX).await;
    assert_eq!(outcome, "done");
    let mut seen = std::collections::BTreeMap::new();
    for say in 0..=whole.said {
        let (outcome, marks, told) = cut(say, usize::MAX).await;
        check("said", say, outcome, marks, &told);
        *seen.entry(outcome).or_insert(0) += 1;
    }
    for hear in 0..=whole.heard {
        let (outcome, marks, told) = cut(usize::MAX, hear).await;
        // The dot may have left and been lost on the way: that is a doubt too.
        check("heard", hear, outcome, marks, &told);
        *seen.entry(outcome).or_insert(0) += 1;
    }
    println!("{} octets said, {} heard: {seen:?}", whole.said, whole.heard);
    assert_eq!(seen.len(), 3, "{seen:?}");
}
