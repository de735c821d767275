//! Whole sessions, listings and the end of a session.

use postroom_pop3::session::LoginAnswer;
use postroom_pop3::{Channel, Disposition, Error, ResponseCode, ServerMisbehaved};

use crate::bench::{Cut, LIMIT, Script, Wire, alice, everywhere, hello, listed, login, nonce, one_message};

#[test]
fn a_whole_session_retrieves_byte_exact_and_deletes() {
    let script: Script<'_> = &[
        (b"", b"+OK POP3 ready <1.2@pop.example>\r\n"),
        (b"CAPA\r\n", b"+OK List follows\r\nsasl PLAIN \r\nUser\r\nauth-resp-code\r\n.\r\n"),
        (b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n", b"+OK Logged in.\r\n"),
        (b"CAPA\r\n", b"+OK\r\nUIDL\r\nTOP\r\nLOGIN-DELAY 300\r\nEXPIRE 0\r\n.\r\n"),
        (b"STAT\r\n", b"+OK 2 320\r\n"),
        (b"LIST\r\n", b"+OK 2 Messages\r\n\r\n1 120\r\n2 200\r\n.\r\n"),
        (b"UIDL\r\n", b"+OK\r\n1   same\r\n2\tsame\r\n.\r\n"),
        (b"RETR 1\r\n", b"+OK 120 octets\r\nSubject: a\r\n\r\n..dot\r\n.x\r\n\0\xff\n\r\r\n.\r\n"),
        (b"TOP 2 0\r\n", b"+OK\r\nSubject: b\r\n\r\n.\r\n"),
        (b"RETR 2\r\n", b"+OK\r\n.\r\n"),
        (b"NOOP\r\n", b"+OK\r\n"),
        (b"DELE 1\r\n", b"+OK marked\r\n"),
        (b"QUIT\r\n", b"+OK bye\r\n"),
    ];
    let body = everywhere(script, |wire| {
        let session = hello(wire, Channel::Tls);
        assert_eq!(session.apop_timestamp(), Some(&b"<1.2@pop.example>"[..]));
        let (session, capabilities) = wire.drive(session.capa()).unwrap();
        assert!(capabilities.unwrap().auth_resp_code);
        let LoginAnswer::Accepted(session) = wire.drive(session.login(&alice(), nonce()).unwrap()).unwrap()
        else {
            panic!("refused");
        };
        assert_eq!(session.capabilities(), None, "forgotten at login");
        let (session, capabilities) = wire.drive(session.capa()).unwrap();
        let capabilities = capabilities.unwrap();
        assert!(capabilities.uidl && capabilities.sasl.is_empty(), "replaced, not merged");
        let (session, stat) = wire.drive(session.stat()).unwrap();
        let (session, listing) = listed(wire, session);
        let listing = listing.against(stat.unwrap());
        assert!(listing.complete);
        let ordinals: Vec<_> = listing.entries.iter().map(|entry| entry.ordinal).collect();
        assert_eq!(ordinals, [0, 1]);

        let (first, second) = (listing.entries[0].number, listing.entries[1].number);
        let (mut session, retrieved) = wire.drive(session.retr(first, LIMIT)).unwrap();
        let tally = session.settle(retrieved.unwrap());
        assert_eq!((tally.octets, tally.stuffed_dots, tally.unstuffed_dots), (30, 1, 1));
        let message = std::mem::take(&mut wire.body);
        let (session, top) = wire.drive(session.top(second, 0, LIMIT)).unwrap();
        assert_eq!(top.unwrap().octets, 14);
        wire.body.clear();
        let (mut session, retrieved) = wire.drive(session.retr(second, LIMIT)).unwrap();
        assert_eq!(session.settle(retrieved.unwrap()).octets, 0, "an empty message ends at once");
        let (session, noop) = wire.drive(session.noop()).unwrap();
        noop.unwrap();
        let (session, deleted) = wire.drive(session.dele(first)).unwrap();
        deleted.unwrap();
        wire.drive(session.quit().unwrap()).unwrap().unwrap();
        message
    });
    assert_eq!(body, b"Subject: a\r\n\r\n.dot\r\n.x\r\n\0\xff\n\r\r\n");
}

#[test]
fn a_server_without_capa_and_without_texts_is_served() {
    let script: Script<'_> = &[
        (b"", b"+OK\r\n"),
        (b"CAPA\r\n", b"-ERR\r\n"),
        (b"USER alice\r\n", b"+OK\r\n"),
        (b"PASS secret\r\n", b"+OK\r\n"),
        (b"LIST\r\n", b"+OK\r\n.\r\n"),
        (b"UIDL\r\n", b"+OK\r\n.\r\n"),
        (b"QUIT\r\n", b"+OK\r\n"),
    ];
    let listing = everywhere(script, |wire| {
        let session = hello(wire, Channel::PlaintextAccepted);
        let (session, capabilities) = wire.drive(session.capa()).unwrap();
        assert_eq!(capabilities.unwrap_err().text, "");
        let LoginAnswer::Accepted(session) = wire.drive(session.login(&alice(), nonce()).unwrap()).unwrap()
        else {
            panic!("refused");
        };
        let (session, listing) = listed(wire, session);
        wire.drive(session.quit().unwrap()).unwrap().unwrap();
        listing
    });
    assert!(listing.entries.is_empty() && listing.complete, "the dot comes right after the status");
}

#[test]
fn an_endless_capa_is_cut_off() {
    let reply = [b"+OK\r\n".to_vec(), b"X\r\n".repeat(257)].concat();
    let script: Script<'_> = &[(b"", b"+OK\r\n"), (b"CAPA\r\n", &reply)];
    for cut in [Cut::Whole, Cut::Every(1)] {
        let mut wire = Wire::new(script, cut);
        let session = hello(&mut wire, Channel::Tls);
        let error = wire.drive(session.capa()).map(drop).unwrap_err();
        assert!(matches!(error, Error::TooLarge { limit: 256, .. }), "{error}");
        assert_eq!(error.disposition(), Disposition::DropConnection);
    }
}

#[test]
fn an_endless_uidl_is_cut_off_after_a_million_lines() {
    let reply = [b"+OK\r\n".to_vec(), b"1 a\r\n".repeat(1_000_001)].concat();
    let script: Vec<(&[u8], &[u8])> = vec![
        (b"", b"+OK\r\n"),
        (b"USER alice\r\n", b"+OK\r\n"),
        (b"PASS secret\r\n", b"+OK\r\n"),
        (b"UIDL\r\n", &reply),
    ];
    let mut wire = Wire::new(&script, Cut::Every(4096));
    let session = login(&mut wire);
    let error = wire.drive(session.uidl()).map(drop).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 1_000_000, .. }), "{error}");
}

#[test]
fn uidl_refused_once_leaves_the_session_usable() {
    let script: Script<'_> = &[
        (b"", b"+OK\r\n"),
        (b"USER alice\r\n", b"+OK\r\n"),
        (b"PASS secret\r\n", b"+OK\r\n"),
        (b"UIDL\r\n", b"-ERR [SYS/TEMP] index busy\r\n"),
        (b"QUIT\r\n", b"+OK\r\n"),
    ];
    everywhere(script, |wire| {
        let session = login(wire);
        let (session, uidl) = wire.drive(session.uidl()).unwrap();
        assert_eq!(uidl.unwrap_err().code, Some(ResponseCode::SysTemp));
        wire.drive(session.quit().unwrap()).unwrap().unwrap();
    });
}

#[test]
fn quit_may_be_refused_or_left_unanswered() {
    for (reply, expected) in [(&b"-ERR [SYS/TEMP] some not removed\r\n"[..], true), (b"+O", false)] {
        let script = one_message(&[(b"DELE 1\r\n", b"+OK\r\n"), (b"QUIT\r\n", reply)]);
        everywhere(&script, |wire| {
            let session = login(wire);
            let (session, listing) = listed(wire, session);
            let (session, _) = wire.drive(session.dele(listing.entries[0].number)).unwrap();
            match wire.drive(session.quit().unwrap()) {
                Ok(outcome) => assert_eq!(outcome.is_err(), expected),
                Err(error) => {
                    assert!(!expected);
                    assert!(matches!(error, Error::ServerMisbehaved(ServerMisbehaved::Closed { .. })));
                }
            }
        });
    }
}

#[test]
fn list_and_uidl_that_disagree_give_what_both_name() {
    let script: Script<'_> = &[
        (b"", b"+OK\r\n"),
        (b"USER alice\r\n", b"+OK\r\n"),
        (b"PASS secret\r\n", b"+OK\r\n"),
        (b"STAT\r\n", b"+OK 3 -77\r\n"),
        (b"LIST\r\n", b"+OK\r\n1 10\r\n2 99999999999999999999\r\n3 x\r\n.\r\n"),
        (b"UIDL\r\n", b"+OK\r\n\r\n2   b \xff\r\n3\r\n4 d\r\n.\r\n"),
    ];
    everywhere(script, |wire| {
        let session = login(wire);
        let (session, stat) = wire.drive(session.stat()).unwrap();
        let stat = stat.unwrap();
        assert_eq!((stat.count, stat.octets), (3, None));
        let (_, listing) = listed(wire, session);
        assert_eq!(listing.entries.len(), 1);
        assert_eq!(listing.entries[0].uid.as_bytes(), b"b \xff");
        assert_eq!(listing.entries[0].size, Some(u64::MAX));
        assert_eq!(listing.without_id.len(), 1);
        assert!(!listing.complete);
    });
}
