//! Greeting, STLS and the login.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postroom_pop3::command::Verb;
use postroom_pop3::session::{LoginAnswer, StlsAnswer};
use postroom_pop3::{
    Channel, Credentials, Disposition, Error, Mechanism, Rejection, ResponseCode, ServerMisbehaved, Session,
    Step, Unencodable, Unsupported,
};

use crate::bench::{Cut, Script, Wire, alice, everywhere, hello, nonce, refused};

#[test]
fn a_refusing_greeting_is_a_rejection_and_anything_else_is_misbehaviour() {
    let greet = |reply: &'static [u8]| {
        everywhere(&[(b"", reply)], |wire| {
            wire.drive(Session::new(Channel::Tls).greeting()).map(|hello| hello.map(drop))
        })
    };
    let rejection = greet(b"-ERR [SYS/TEMP] too many connections\r\n").unwrap().unwrap_err();
    assert_eq!(rejection.code, Some(ResponseCode::SysTemp));
    assert_eq!(rejection.disposition(), Disposition::RetryLater);
    assert!(matches!(
        greet(b"220 smtp.example ESMTP\r\n"),
        Err(Error::ServerMisbehaved(ServerMisbehaved::NotAStatus { .. }))
    ));
    assert!(matches!(
        greet(b"+OK no line end"),
        Err(Error::ServerMisbehaved(ServerMisbehaved::Closed { .. }))
    ));
}

#[test]
fn a_greeting_without_end_is_cut_off() {
    let endless = vec![b'\x16'; 9000];
    for cut in [Cut::Whole, Cut::Every(100)] {
        let script: Script<'_> = &[(b"", &endless)];
        let mut wire = Wire::new(script, cut);
        let error = wire.drive(Session::new(Channel::Tls).greeting()).unwrap_err();
        assert_eq!(error, ServerMisbehaved::LineTooLong { limit: 8192 }.into());
    }
}

#[test]
fn stls_forgets_what_came_before_it() {
    let script: Script<'_> = &[
        (b"", b"+OK <1.2@pop.example>\n"),
        (b"CAPA\r\n", b"+OK\r\nSTLS\r\nSASL PLAIN\r\n.\r\n"),
        (b"STLS\r\n", b"+OK begin\r\n"),
        (b"CAPA\r\n", b"+OK\r\nUIDL\r\n.\r\n"),
        (b"QUIT\r\n", b"+OK\r\n"),
    ];
    everywhere(script, |wire| {
        let session = hello(wire, Channel::Plaintext);
        let (session, _) = wire.drive(session.capa()).unwrap();
        let answer = wire.drive(session.stls().unwrap()).unwrap();
        let StlsAnswer::Proceed(ready) = answer else { panic!("refused") };
        let session = ready.secured();
        assert_eq!(session.channel(), Channel::Tls);
        assert_eq!(session.capabilities(), None);
        assert_eq!(session.apop_timestamp(), None);
        let (session, capabilities) = wire.drive(session.capa()).unwrap();
        assert!(capabilities.unwrap().sasl.is_empty());
        wire.drive(session.quit()).unwrap().unwrap();
    });
}

#[test]
fn plaintext_injected_behind_the_ok_to_stls_ends_the_session() {
    let script: Script<'_> = &[(b"", b"+OK\r\n"), (b"STLS\r\n", b"+OK begin\r\n+OK forged\r\n")];
    let mut wire = Wire::new(script, Cut::Whole);
    let session = hello(&mut wire, Channel::Plaintext);
    let error = wire.drive(session.stls().unwrap()).unwrap_err();
    assert_eq!(error, ServerMisbehaved::PlaintextAfterStls.into());
    assert_eq!(error.disposition(), Disposition::DropConnection);
}

#[test]
fn stls_refused_or_not_offered_never_leads_to_a_password_in_clear() {
    let script: Script<'_> = &[
        (b"", b"+OK\r\n"),
        (b"STLS\r\n", b"-ERR not today\r\n"),
        (b"CAPA\r\n", b"+OK\r\nUSER\r\nSASL PLAIN\r\n.\r\n"),
    ];
    everywhere(script, |wire| {
        let session = hello(wire, Channel::Plaintext);
        let StlsAnswer::Refused(session, rejection) = wire.drive(session.stls().unwrap()).unwrap() else {
            panic!("accepted");
        };
        assert_eq!(rejection.text, "not today");
        let (session, _) = wire.drive(session.capa()).unwrap();
        let error = session.stls().unwrap_err();
        assert_eq!(error, Unsupported::Stls.into());
        assert_eq!(error.disposition(), Disposition::ParkAccount);
    });
    for mechanism in [Mechanism::Plain, Mechanism::UserPass] {
        let mut wire = Wire::new(&[(b"", b"+OK\r\n")], Cut::Whole);
        let session = hello(&mut wire, Channel::Plaintext);
        let error = session.login_by(mechanism, &alice(), nonce()).unwrap_err();
        assert_eq!(error, Unsupported::CleartextCredentials.into());
    }
}

/// `AUTH PLAIN` with a password that makes the line too long, answered by `challenge`.
fn two_line_login(challenge: &[u8], verdict: &[u8]) -> Result<Option<Rejection>, Error> {
    // 7 octets and the password are 182, in base64 244: two more than fit.
    let password = "p".repeat(175);
    let expected = format!("{}\r\n", STANDARD.encode(format!("\0alice\0{password}")));
    let script: Script<'_> =
        &[(b"", b"+OK\r\n"), (b"AUTH PLAIN\r\n", challenge), (expected.as_bytes(), verdict)];
    everywhere(script, |wire| {
        let session = hello(wire, Channel::Tls);
        let credentials = Credentials::new("alice", &password).unwrap();
        let exchange = session.login_by(Mechanism::Plain, &credentials, nonce()).unwrap();
        wire.drive(exchange).map(|answer| match answer {
            LoginAnswer::Accepted(_) => None,
            LoginAnswer::Refused(_, rejection) => Some(rejection),
        })
    })
}

#[test]
fn a_long_response_waits_for_the_challenge_in_any_of_its_forms() {
    for challenge in [&b"+\r\n"[..], b"+ \r\n", b"+ send it\r\n", b"+OK\r\n", b"+OK go\r\n"] {
        assert_eq!(two_line_login(challenge, b"+OK\r\n"), Ok(None));
        let rejection = two_line_login(challenge, b"-ERR [AUTH] no\r\n").unwrap().unwrap();
        assert_eq!(rejection.code, Some(ResponseCode::Auth));
    }
}

#[test]
fn a_challenge_after_everything_was_said_is_no_success() {
    let expected = ServerMisbehaved::UnexpectedChallenge { verb: Verb::Auth };
    assert_eq!(two_line_login(b"+ \r\n", b"+ more\r\n"), Err(expected.clone().into()));
    let script: Script<'_> = &[(b"", b"+OK\r\n"), (b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n", b"+ \r\n")];
    everywhere(script, |wire| {
        let session = hello(wire, Channel::Tls);
        let exchange = session.login_by(Mechanism::Plain, &alice(), nonce()).unwrap();
        assert_eq!(wire.drive(exchange).map(drop), Err(expected.clone().into()));
    });
}

#[test]
fn an_initial_response_is_sent_up_to_255_octets_and_not_beyond() {
    // "AUTH PLAIN " and CRLF leave 242; base64 comes in fours, so 240 octets: 180 of message.
    for (length, one_line) in [(180 - 7, true), (181 - 7, false)] {
        let credentials = Credentials::new("alice", &"p".repeat(length)).unwrap();
        let mut wire = Wire::new(&[(b"", b"+OK\r\n")], Cut::Whole);
        let session = hello(&mut wire, Channel::Tls);
        let exchange = session.login_by(Mechanism::Plain, &credentials, nonce()).unwrap();
        let Step::Send(_, octets) = exchange.step(&mut &[][..]).unwrap() else {
            panic!("nothing sent");
        };
        assert_eq!(octets.len() > b"AUTH PLAIN\r\n".len(), one_line, "{length}");
        assert!(octets.len() <= 255);
    }
}

#[test]
fn a_password_too_long_for_a_command_line_is_refused_before_anything_is_sent() {
    let mut wire = Wire::new(&[(b"", b"+OK\r\n")], Cut::Whole);
    let session = hello(&mut wire, Channel::Tls);
    let credentials = Credentials::new("alice", &"p".repeat(249)).unwrap();
    let error = session.login_by(Mechanism::UserPass, &credentials, nonce()).unwrap_err();
    assert!(matches!(error, Error::Unencodable(Unencodable::TooLong { octets: 249, .. })));
}

#[test]
fn a_refused_login_says_why_and_gives_the_session_back() {
    for (reply, code, park) in [
        (&b"-ERR [IN-USE] locked\r\n"[..], Some(ResponseCode::InUse), false),
        (b"-ERR [LOGIN-DELAY] wait\r\n", Some(ResponseCode::LoginDelay), false),
        (b"-ERR [SYS/TEMP] wait\r\n", Some(ResponseCode::SysTemp), false),
        (b"-ERR [SYS/PERM] gone\r\n", Some(ResponseCode::SysPerm), true),
        (b"-ERR [AUTH] no\r\n", Some(ResponseCode::Auth), true),
        (b"-ERR mailbox is busy, try again\r\n", None, false),
        (b"-ERR\r\n", None, true),
    ] {
        let script: Script<'_> = &[
            (b"", b"+OK\r\n"),
            (b"USER alice\r\n", b"+OK\r\n"),
            (b"PASS secret\r\n", reply),
            (b"QUIT\r\n", b"+OK\r\n"),
        ];
        let rejection = everywhere(script, |wire| {
            let session = hello(wire, Channel::Tls);
            let (session, rejection) =
                refused(wire.drive(session.login(&alice(), nonce()).unwrap()).unwrap());
            wire.drive(session.quit()).unwrap().unwrap();
            rejection
        });
        assert_eq!(rejection.code, code);
        assert_eq!(rejection.disposition() == Disposition::ParkAccount, park, "{rejection}");
    }
}

#[test]
fn a_connection_closed_on_the_password_backs_off() {
    let script: Script<'_> = &[(b"", b"+OK\r\n"), (b"USER alice\r\n", b"+OK\r\n"), (b"PASS secret\r\n", b"")];
    everywhere(script, |wire| {
        let session = hello(wire, Channel::Tls);
        let error = wire.drive(session.login(&alice(), nonce()).unwrap()).map(drop).unwrap_err();
        assert!(matches!(error, Error::ServerMisbehaved(ServerMisbehaved::Closed { .. })));
        assert_eq!(error.disposition(), Disposition::RetryLater);
    });
}

#[test]
fn credentials_that_a_server_repeats_or_a_debugger_prints_are_not_shown() {
    let encoded = "AGFsaWNlAHNlY3JldA==";
    for (mechanism, sent, reply) in [
        (Mechanism::UserPass, &b"PASS secret\r\n"[..], &b"-ERR bad: PASS secret\r\n"[..]),
        (Mechanism::UserPass, b"PASS secret\r\n", b"PASS secret\r\n"),
        (Mechanism::UserPass, b"PASS secret\r\n", b"+OK\r\nPASS secret\r\n"),
        (Mechanism::Plain, b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n", b"-ERR AGFsaWNlAHNlY3JldA== ?\r\n"),
    ] {
        let mut script: Vec<(&[u8], &[u8])> = vec![(b"", b"+OK\r\n")];
        if mechanism == Mechanism::UserPass {
            script.push((b"USER alice\r\n", b"+OK\r\n"));
        }
        script.push((sent, reply));
        let mut wire = Wire::new(&script, Cut::Whole);
        let session = hello(&mut wire, Channel::Tls);
        let exchange = session.login_by(mechanism, &alice(), nonce()).unwrap();
        let mut seen = format!("{exchange:?}");
        seen += &match wire.drive(exchange) {
            Ok(answer) => format!("{answer:?}"),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!seen.contains("secret") && !seen.contains(encoded), "{seen}");
    }
}
