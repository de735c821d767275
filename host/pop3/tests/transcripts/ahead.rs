//! Commands sent ahead: replies in order, late, early, twice and missing.

use postroom_pop3::session::{Ahead, Retr};
use postroom_pop3::{
    Answered, Batch, Channel, Error, Exchange, MessageNumber, Rest, ServerMisbehaved, Session, Step,
    Transaction, Unsupported,
};

use crate::bench::{Cut, LIMIT, Wire, alice, everywhere, hello, login, nonce};

const RETR: &[u8] = b"RETR 1\r\nRETR 2\r\nRETR 3\r\n";

fn script<'s>(tail: &[(&'s [u8], &'s [u8])]) -> Vec<(&'s [u8], &'s [u8])> {
    let mut script: Vec<(&[u8], &[u8])> = vec![
        (b"", b"+OK\r\n"),
        (b"USER alice\r\n", b"+OK\r\n"),
        (b"PASS secret\r\n", b"+OK\r\n"),
        (b"CAPA\r\n", b"+OK\r\nPIPELINING\r\n.\r\n"),
        (b"LIST\r\n", b"+OK\r\n1 3\r\n2 3\r\n3 3\r\n.\r\n"),
    ];
    script.extend(tail);
    script
}

fn ready(wire: &mut Wire<'_>) -> (Session<Transaction>, Vec<MessageNumber>) {
    let session = login(wire);
    assert!(!session.may_pipeline(), "what CAPA said before the login does not count");
    let (session, _) = wire.drive(session.capa()).unwrap();
    assert!(session.may_pipeline());
    let (session, list) = wire.drive(session.list()).unwrap();
    (session, list.unwrap().sizes().map(|(number, _)| number).collect())
}

/// Number, then message or refusal.
type Told = Vec<(u32, Result<Vec<u8>, String>)>;

fn retrieve(wire: &mut Wire<'_>) -> (Told, Result<Session<Transaction>, Error>) {
    let (session, numbers) = ready(wire);
    let mut exchange = session.retr_ahead(Batch::new(&numbers).unwrap(), LIMIT).unwrap();
    let mut told = Vec::new();
    let mut kept = Vec::new();
    loop {
        wire.body.clear();
        let answered: Answered<Retr> = match wire.drive(exchange) {
            Ok(answered) => answered,
            Err(error) => return (told, Err(error)),
        };
        let outcome = match answered.outcome {
            Ok(retrieved) => {
                kept.push(retrieved);
                Ok(std::mem::take(&mut wire.body))
            }
            Err(rejection) => Err(rejection.text),
        };
        told.push((answered.number.value(), outcome));
        match answered.rest {
            Rest::More(outstanding) => exchange = outstanding.next_reply(),
            Rest::Idle(mut session) => {
                for retrieved in kept {
                    session.settle(retrieved);
                }
                return (told, Ok(session));
            }
        }
    }
}

#[test]
fn messages_come_in_order_and_a_refusal_of_one_does_not_disturb_the_others() {
    let replies = b"+OK\r\na\r\n.\r\n-ERR gone\r\n+OK\r\n..c\r\n.\r\n";
    let script = script(&[(RETR, replies), (b"QUIT\r\n", b"+OK\r\n")]);
    let told = everywhere(&script, |wire| {
        let (told, session) = retrieve(wire);
        wire.drive(session.unwrap().quit().unwrap()).unwrap().unwrap();
        told
    });
    let expected: Told =
        vec![(1, Ok(b"a\r\n".to_vec())), (2, Err("gone".into())), (3, Ok(b".c\r\n".to_vec()))];
    assert_eq!(told, expected);
}

#[test]
fn every_message_of_a_batch_holds_back_quit_until_it_is_durable() {
    let replies = b"+OK\r\na\r\n.\r\n+OK\r\nb\r\n.\r\n+OK\r\nc\r\n.\r\n";
    everywhere(&script(&[(RETR, replies)]), |wire| {
        let (session, numbers) = ready(wire);
        let mut exchange = session.retr_ahead(Batch::new(&numbers).unwrap(), LIMIT).unwrap();
        let session = loop {
            let answered = wire.drive(exchange).unwrap();
            match (answered.number.value(), answered.rest) {
                (1, Rest::More(mut outstanding)) => {
                    outstanding.settle(answered.outcome.unwrap());
                    let left: Vec<_> = outstanding.numbers().map(MessageNumber::value).collect();
                    assert_eq!(left, [2, 3]);
                    exchange = outstanding.next_reply();
                }
                (_, Rest::More(outstanding)) => exchange = outstanding.next_reply(),
                (_, Rest::Idle(session)) => break session,
            }
        };
        assert_eq!(session.quit().map(drop).unwrap_err(), Error::NotDurable { messages: 2 });
    });
}

#[test]
fn replies_that_do_not_match_the_batch_are_told_apart_from_other_misbehaviour() {
    type Check = fn(&ServerMisbehaved) -> bool;
    let surplus: Check = |fault| matches!(fault, ServerMisbehaved::Unsolicited { .. });
    let no_status: Check = |fault| matches!(fault, ServerMisbehaved::NotAStatus { .. });
    let closed: Check = |fault| matches!(fault, ServerMisbehaved::Closed { .. });
    for (replies, whole, check) in [
        // One reply twice, so that a fourth comes.
        (&b"+OK\r\na\r\n.\r\n+OK\r\na\r\n.\r\n+OK\r\nb\r\n.\r\n+OK\r\nc\r\n.\r\n"[..], 2, surplus),
        // Two replies woven into each other.
        (b"+OK\r\na\r\n.\r\nrest\r\n.\r\n+OK\r\n", 1, no_status),
        (b"+OK\r\na\r\n.\r\n", 1, closed),
        (b"+OK\r\na\r\n.\r\n+OK\r\nb\r\n", 1, closed),
        (b"", 0, closed),
    ] {
        let script = script(&[(RETR, replies)]);
        let mut wire = Wire::new(&script, Cut::Whole);
        let (told, outcome) = retrieve(&mut wire);
        let Err(Error::OutOfStep { fault, unanswered }) = outcome.map(drop) else { panic!("{replies:?}") };
        assert!(check(&fault), "{fault}");
        assert_eq!((told.len(), unanswered), (whole, 3 - whole));
    }
}

#[test]
fn a_batch_of_one_is_not_to_blame() {
    let script = script(&[(b"RETR 1\r\n", b"nonsense\r\n")]);
    let mut wire = Wire::new(&script, Cut::Whole);
    let (session, numbers) = ready(&mut wire);
    let exchange = session.retr_ahead(Batch::new(&numbers[..1]).unwrap(), LIMIT).unwrap();
    let error = wire.drive(exchange).map(drop).unwrap_err();
    assert!(matches!(error, Error::ServerMisbehaved(ServerMisbehaved::NotAStatus { .. })));
}

#[test]
fn a_loop_that_drops_its_input_between_replies_is_found_out() {
    let script = script(&[(RETR, b"+OK\r\na\r\n.\r\n+OK\r\nb\r\n.\r\n+OK\r\nc\r\n.\r\n")]);
    let mut wire = Wire::new(&script, Cut::Whole);
    let (session, numbers) = ready(&mut wire);
    let exchange = session.retr_ahead(Batch::new(&numbers).unwrap(), LIMIT).unwrap();
    let Rest::More(outstanding) = wire.drive(exchange).unwrap().rest else { panic!("more are due") };
    let exchange: Exchange<Ahead<Retr>> = outstanding.next_reply();
    assert_eq!(exchange.step(&mut &b""[..]).map(drop).unwrap_err(), Error::InputLost { lost: 22 });
}

#[test]
fn headers_and_deletions_go_ahead_too() {
    let script = script(&[
        (b"TOP 1 0\r\nTOP 2 0\r\nTOP 3 0\r\n", b"+OK\r\na\r\n.\r\n-ERR\r\n+OK\r\n.\r\n"),
        (b"DELE 1\r\nDELE 2\r\nDELE 3\r\n", b"+OK\r\n-ERR no\r\n+OK\r\n"),
        (b"QUIT\r\n", b"+OK\r\n"),
    ]);
    everywhere(&script, |wire| {
        let (session, numbers) = ready(wire);
        let batch = Batch::new(&numbers).unwrap();
        let mut exchange = session.top_ahead(batch.clone(), 0, LIMIT).unwrap();
        let session = loop {
            match wire.drive(exchange).unwrap().rest {
                Rest::More(outstanding) => exchange = outstanding.next_reply(),
                Rest::Idle(session) => break session,
            }
        };
        let mut exchange = session.dele_ahead(batch).unwrap();
        let mut deleted = Vec::new();
        let session = loop {
            let answered = wire.drive(exchange).unwrap();
            deleted.push(answered.outcome.is_ok());
            match answered.rest {
                Rest::More(outstanding) => exchange = outstanding.next_reply(),
                Rest::Idle(session) => break session,
            }
        };
        assert_eq!(deleted, [true, false, true]);
        wire.drive(session.quit().unwrap()).unwrap().unwrap();
    });
}

#[test]
fn a_server_that_does_not_list_pipelining_gets_nothing_ahead() {
    let script = crate::bench::one_message(&[]);
    let mut wire = Wire::new(&script, Cut::Whole);
    let session = login(&mut wire);
    let (session, list) = wire.drive(session.list()).unwrap();
    let numbers: Vec<_> = list.unwrap().sizes().map(|(number, _)| number).collect();
    let error = session.dele_ahead(Batch::new(&numbers).unwrap()).map(drop).unwrap_err();
    assert_eq!(error, Unsupported::Pipelining.into());
}

#[test]
fn all_commands_of_a_batch_are_one_write() {
    let script = script(&[]);
    let mut wire = Wire::new(&script, Cut::Whole);
    let (session, numbers) = ready(&mut wire);
    let exchange = session.retr_ahead(Batch::new(&numbers).unwrap(), LIMIT).unwrap();
    let Step::Send(_, octets) = exchange.step(&mut &b""[..]).unwrap() else { panic!("nothing sent") };
    assert_eq!(&*octets, RETR);
}

#[test]
fn utf8_is_asked_for_only_when_listed() {
    let script: Vec<(&[u8], &[u8])> = vec![
        (b"", b"+OK\r\n"),
        (b"CAPA\r\n", b"+OK\r\nUTF8 USER\r\n.\r\n"),
        (b"UTF8\r\n", b"+OK\r\n"),
        (b"USER alice\r\n", b"+OK\r\n"),
        (b"PASS secret\r\n", b"+OK\r\n"),
    ];
    everywhere(&script, |wire| {
        let session = hello(wire, Channel::Tls);
        let (session, _) = wire.drive(session.capa()).unwrap();
        let (session, outcome) = wire.drive(session.utf8().unwrap()).unwrap();
        outcome.unwrap();
        wire.drive(session.login(&alice(), nonce()).unwrap()).map(drop).unwrap();
    });
    let mut wire = Wire::new(&[(b"", b"+OK\r\n")], Cut::Whole);
    let error = hello(&mut wire, Channel::Tls).utf8().map(drop).unwrap_err();
    assert_eq!(error, Unsupported::Utf8.into());
}
