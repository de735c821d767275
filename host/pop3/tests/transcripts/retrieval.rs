//! RETR: where a message ends, and what happens when it does not.

use postroom_pop3::{Disposition, Eol, Error, ServerMisbehaved};

use crate::bench::{Cut, LIMIT, Script, Wire, everywhere, listed, login, one_message};

#[test]
fn one_refused_retr_leaves_the_session_usable_and_does_not_hold_back_quit() {
    let script = one_message(&[
        (b"RETR 1\r\n", b"-ERR Download exceed\r\n"),
        (b"RETR 1\r\n", b"+OK\r\nx\r\n.\r\n"),
        (b"QUIT\r\n", b"+OK\r\n"),
    ]);
    everywhere(&script, |wire| {
        let session = login(wire);
        let (session, listing) = listed(wire, session);
        let number = listing.entries[0].number;
        let (session, outcome) = wire.drive(session.retr(number, LIMIT)).unwrap();
        let rejection = outcome.unwrap_err();
        assert_eq!(rejection.text, "Download exceed");
        assert_eq!(rejection.disposition(), Disposition::RetryLater);
        let (mut session, outcome) = wire.drive(session.retr(number, LIMIT)).unwrap();
        session.settle(outcome.unwrap());
        wire.drive(session.quit().unwrap()).unwrap().unwrap();
    });
}

#[test]
fn quit_is_refused_while_a_retrieved_message_is_not_durable() {
    let script = one_message(&[(b"RETR 1\r\n", b"+OK\r\nx\r\n.\r\n")]);
    everywhere(&script, |wire| {
        let session = login(wire);
        let (session, listing) = listed(wire, session);
        let number = listing.entries[0].number;
        let (session, retrieved) = wire.drive(session.retr(number, LIMIT)).unwrap();
        assert_eq!(retrieved.unwrap().tally().octets, 3);
        let error = session.quit().map(drop).unwrap_err();
        assert_eq!(error, Error::NotDurable { messages: 1 });
        assert_eq!(error.disposition(), Disposition::DropConnection);
    });
}

/// Everything the client says about one RETR of `reply`.
fn retrieve(reply: &[u8], limit: u64, cut: Cut) -> (Vec<u8>, Result<u64, Error>) {
    let script = one_message(&[]);
    let retr: [(&[u8], &[u8]); 1] = [(b"RETR 1\r\n", reply)];
    let script: Vec<_> = script.into_iter().chain(retr).collect();
    let mut wire = Wire::new(&script, cut);
    let session = login(&mut wire);
    let (session, listing) = listed(&mut wire, session);
    let outcome = wire.drive(session.retr(listing.entries[0].number, limit));
    let octets = outcome.map(|(_, retrieved)| retrieved.unwrap().tally().octets);
    (wire.body, octets)
}

#[test]
fn a_message_cut_off_anywhere_is_never_taken_as_whole() {
    let reply = b"+OK\r\nSubject: x\r\n\r\n..a\r\n.b\r\n.\r\n";
    for end in 0..reply.len() {
        for cut in [Cut::Whole, Cut::Every(1)] {
            let (_, outcome) = retrieve(&reply[..end], LIMIT, cut);
            assert!(
                matches!(outcome, Err(Error::ServerMisbehaved(ServerMisbehaved::Closed { .. }))),
                "{end}: {outcome:?}"
            );
        }
    }
    assert!(retrieve(reply, LIMIT, Cut::Whole).1.is_ok());
}

#[test]
fn terminators_that_are_not_crlf_dot_crlf_do_not_end_a_message_on_a_crlf_server() {
    for tail in [&b"x\n.\n"[..], b"x\r\n.\n", b"x\r\n.\r", b"x.\r\n", b"x\n.\r\n", b"x\r.\r\n"] {
        let reply = [b"+OK\r\n", tail].concat();
        let (_, outcome) = retrieve(&reply, LIMIT, Cut::Whole);
        assert!(matches!(outcome, Err(Error::ServerMisbehaved(ServerMisbehaved::Closed { .. }))), "{tail:?}");
    }
}

#[test]
fn a_reply_smuggled_in_behind_a_bare_lf_dot_stays_message() {
    let content = b"a\n.\n+OK\r\n-ERR [AUTH]\r\n";
    let reply = [b"+OK\r\n", &content[..], b".\r\n"].concat();
    for cut in [Cut::Whole, Cut::Every(1)] {
        let (body, outcome) = retrieve(&reply, LIMIT, cut);
        assert_eq!((body.as_slice(), outcome), (&content[..], Ok(content.len() as u64)));
    }
}

#[test]
fn octets_behind_a_message_end_the_session() {
    for surplus in [&b".\r\n"[..], b"+OK\r\n", b"Subject: rest of the mail\r\n"] {
        let reply = [b"+OK\r\nx\r\n.\r\n", surplus].concat();
        let (_, outcome) = retrieve(&reply, LIMIT, Cut::Whole);
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::ServerMisbehaved(ServerMisbehaved::Unsolicited { .. })));
        assert_eq!(error.disposition(), Disposition::DropConnection);
    }
}

#[test]
fn a_next_reply_that_is_no_status_shows_that_the_session_is_out_of_step() {
    let script =
        one_message(&[(b"RETR 1\r\n", b"+OK\r\nx\r\n.\r\n"), (b"NOOP\r\n", b"rest of the mail\r\n")]);
    everywhere(&script, |wire| {
        let session = login(wire);
        let (session, listing) = listed(wire, session);
        let number = listing.entries[0].number;
        let (session, _) = wire.drive(session.retr(number, LIMIT)).unwrap();
        let error = wire.drive(session.noop()).map(drop).unwrap_err();
        assert!(matches!(error, Error::ServerMisbehaved(ServerMisbehaved::NotAStatus { .. })));
    });
}

#[test]
fn a_message_larger_than_the_limit_ends_the_session_whatever_list_said() {
    let reply = [b"+OK 10 octets\r\n", "x".repeat(100).as_bytes(), b"\r\n.\r\n"].concat();
    for cut in [Cut::Whole, Cut::Every(7)] {
        let (body, outcome) = retrieve(&reply, 50, cut);
        assert!(matches!(outcome, Err(Error::TooLarge { limit: 50, .. })));
        assert!(body.len() <= 50);
        assert_eq!(retrieve(&reply, 102, cut).1, Ok(102));
    }
}

#[test]
fn a_line_of_megabytes_passes() {
    let line = vec![b'x'; 3 << 20];
    let reply = [b"+OK\r\n", line.as_slice(), b"\r\n.\r\n"].concat();
    let (body, outcome) = retrieve(&reply, u64::MAX, Cut::Every(16 * 1024));
    assert_eq!(outcome, Ok((3 << 20) + 2));
    assert_eq!(body.len(), (3 << 20) + 2);
}

#[test]
fn a_server_that_speaks_bare_lf_throughout_is_served() {
    let script: Script<'_> = &[
        (b"", b"+OK\n"),
        (b"USER alice\r\n", b"+OK\n"),
        (b"PASS secret\r\n", b"+OK\n"),
        (b"LIST\r\n", b"+OK\n1 10\n.\n"),
        (b"UIDL\r\n", b"+OK\n1 a\n.\n"),
        (b"RETR 1\r\n", b"+OK\na\n..b\n.\n"),
        (b"QUIT\r\n", b"+OK\n"),
    ];
    let body = everywhere(script, |wire| {
        let session = login(wire);
        let (session, listing) = listed(wire, session);
        let (mut session, retrieved) = wire.drive(session.retr(listing.entries[0].number, LIMIT)).unwrap();
        let tally = session.settle(retrieved.unwrap());
        assert_eq!(tally.eol, Eol::Lf);
        wire.drive(session.quit().unwrap()).unwrap().unwrap();
        std::mem::take(&mut wire.body)
    });
    assert_eq!(body, b"a\n.b\n");
}
