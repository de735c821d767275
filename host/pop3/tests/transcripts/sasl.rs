//! Every SASL mechanism and APOP: the conversations of the RFCs, and servers that cheat in them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postroom_pop3::command::Verb;
use postroom_pop3::session::LoginAnswer;
use postroom_pop3::{
    Channel, Class, Credentials, Error, Mechanism, Rejection, SaslFault, ServerMisbehaved, Unsupported,
};

use crate::bench::{Cut, Script, Wire, everywhere, hello, nonce};

type Outcome = Result<Option<Rejection>, Error>;

/// Logs in; `None` is success. The greeting comes first in `script`.
fn login(mechanism: Mechanism, credentials: &Credentials, script: Script<'_>) -> Outcome {
    everywhere(script, |wire| attempt(mechanism, credentials, wire))
}

fn attempt(mechanism: Mechanism, credentials: &Credentials, wire: &mut Wire<'_>) -> Outcome {
    let session = hello(wire, Channel::Tls);
    let exchange = session.login_by(mechanism, credentials, nonce())?;
    wire.drive(exchange).map(|answer| match answer {
        LoginAnswer::Accepted(_) => None,
        LoginAnswer::Refused(_, rejection) => Some(rejection),
    })
}

fn password(user: &str, password: &str) -> Credentials {
    Credentials::new(user, password).unwrap()
}

fn line(message: &[u8]) -> Vec<u8> {
    [STANDARD.encode(message).as_bytes(), b"\r\n"].concat()
}

fn challenge(message: &[u8]) -> Vec<u8> {
    [&b"+ "[..], &line(message)].concat()
}

#[test]
fn apop_sends_the_digest_of_the_rfc() {
    let outcome = login(
        Mechanism::Apop,
        &password("mrose", "tanstaaf"),
        &[
            (b"", b"+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>\r\n"),
            (b"APOP mrose c4c9334bac560ecc979e58001b3e22fb\r\n", b"+OK maildrop\r\n"),
        ],
    );
    assert_eq!(outcome, Ok(None));
}

#[test]
fn apop_is_refused_without_a_valid_timestamp_and_with_a_blank_in_the_name() {
    for greeting in [&b"+OK ready\r\n"[..], b"+OK <\xff\x01chosen@to.collide>\r\n", b"+OK <a@b@c>\r\n"] {
        let outcome = login(Mechanism::Apop, &password("a", "p"), &[(b"", greeting)]);
        assert_eq!(outcome, Err(Unsupported::Apop.into()));
    }
    let outcome = login(Mechanism::Apop, &password("a b", "p"), &[(b"", b"+OK <1@a.example>\r\n")]);
    assert!(matches!(outcome, Err(Error::Unencodable(_))));
}

#[test]
fn login_gives_the_name_and_then_the_password_however_it_is_asked() {
    for (first, second) in [
        (&b"+ VXNlcm5hbWU6\r\n"[..], &b"+ UGFzc3dvcmQ6\r\n"[..]),
        (b"+\r\n", b"+ password?\r\n"),
        (b"+OK\r\n", b"+OK go on\r\n"),
    ] {
        let script: Script<'_> = &[
            (b"", b"+OK\r\n"),
            (b"AUTH LOGIN\r\n", first),
            (b"YWxpY2U=\r\n", second),
            (b"c2VjcmV0\r\n", b"+OK\r\n"),
        ];
        assert_eq!(login(Mechanism::Login, &password("alice", "secret"), script), Ok(None));
    }
}

#[test]
fn cram_md5_answers_the_challenge_of_the_rfc_and_a_second_one_is_one_too_many() {
    let asked = b"+ PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+\r\n";
    let answer = b"dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\r\n";
    let with = |last: &[u8]| {
        let script: Script<'_> = &[(b"", b"+OK\r\n"), (b"AUTH CRAM-MD5\r\n", asked), (answer, last)];
        login(Mechanism::CramMd5, &password("tim", "tanstaaftanstaaf"), script)
    };
    assert_eq!(with(b"+OK\r\n"), Ok(None));
    assert_eq!(with(asked), Err(ServerMisbehaved::UnexpectedChallenge { verb: Verb::Auth }.into()));
    // A server that repeats what was said does not get the answer into the logs.
    let echoed = with(b"-ERR bad tanstaaftanstaaf\r\n").unwrap().unwrap();
    assert_eq!(echoed.text, "bad (redacted)");
}

#[test]
fn a_challenge_that_is_no_base64_is_cancelled_and_never_a_success() {
    for verdict in [&b"-ERR cancelled\r\n"[..], b"+OK\r\n", b"+ \r\n", b""] {
        let script: Script<'_> =
            &[(b"", b"+OK\r\n"), (b"AUTH CRAM-MD5\r\n", b"+ !!!\r\n"), (b"*\r\n", verdict)];
        let outcome = login(Mechanism::CramMd5, &password("tim", "p"), script);
        assert_eq!(outcome, Err(Error::Sasl { mechanism: "cram-md5", fault: SaslFault::NotBase64 }));
    }
}

#[test]
fn a_challenge_of_a_mebibyte_is_cut_off() {
    let huge = challenge(&vec![b'x'; 1 << 20]);
    let script: Script<'_> = &[(b"", b"+OK\r\n"), (b"AUTH CRAM-MD5\r\n", &huge)];
    for cut in [Cut::Whole, Cut::Every(1000)] {
        let outcome = attempt(Mechanism::CramMd5, &password("tim", "p"), &mut Wire::new(script, cut));
        assert_eq!(outcome, Err(ServerMisbehaved::LineTooLong { limit: 8192 }.into()));
    }
}

const FIRST: &[u8] = b"AUTH SCRAM-SHA-1 biwsbj11c2VyLHI9ZnlrbytkMmxiYkZnT05Sdjlxa3hkYXdM\r\n";
const SERVER_FIRST: &[u8] = b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
const PROOF: &[u8] = b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
const SIGNATURE: &[u8] = b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=";

/// Fewer cuts than everywhere: each login counts 4096 iterations.
fn scram(tail: &[(&[u8], &[u8])]) -> Outcome {
    let first = challenge(SERVER_FIRST);
    let mut script: Vec<(&[u8], &[u8])> = vec![(b"", b"+OK\r\n"), (FIRST, &first)];
    script.extend(tail);
    let run = |cut| {
        let mut wire = Wire::new(&script, cut);
        let outcome = attempt(Mechanism::ScramSha1, &password("user", "pencil"), &mut wire);
        wire.assert_finished();
        outcome
    };
    let whole = run(Cut::Whole);
    for cut in (1..first.len()).map(Cut::At).chain([Cut::Every(1), Cut::Every(3)]) {
        assert_eq!(run(cut), whole, "{cut:?}");
    }
    whole
}

#[test]
fn scram_runs_the_conversation_of_rfc_5802() {
    let (proof, signature) = (line(PROOF), challenge(SIGNATURE));
    assert_eq!(scram(&[(&proof, &signature), (b"\r\n", b"+OK\r\n")]), Ok(None));
    let refused = scram(&[(&proof, b"-ERR [AUTH] no\r\n")]).unwrap().unwrap();
    assert_eq!(refused.class(), Class::Credentials);
    let late = scram(&[(&proof, &signature), (b"\r\n", b"-ERR [IN-USE] locked\r\n")]).unwrap().unwrap();
    assert_eq!(late.class(), Class::InUse);
    let more = scram(&[(&proof, &signature), (b"\r\n", &signature)]);
    assert_eq!(more, Err(ServerMisbehaved::UnexpectedChallenge { verb: Verb::Auth }.into()));
}

#[test]
fn a_scram_success_without_the_right_signature_does_not_count() {
    let proof = line(PROOF);
    let fault = |fault| Err(Error::Sasl { mechanism: "scram-sha-1", fault });
    assert_eq!(scram(&[(&proof, b"+OK welcome\r\n")]), fault(SaslFault::Unproven));
    assert_eq!(scram(&[(&proof, b"+OK\r\n")]), fault(SaslFault::Unproven));
    let wrong = challenge(b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    assert_eq!(scram(&[(&proof, &wrong)]), fault(SaslFault::WrongSignature));
    let own = challenge(b"e=invalid-proof");
    let told = fault(SaslFault::ServerError { text: "invalid-proof".into() });
    assert_eq!(scram(&[(&proof, &own), (b"*\r\n", b"-ERR\r\n")]), told);
    let script: Script<'_> = &[(b"", b"+OK\r\n"), (FIRST, b"+OK\r\n")];
    assert_eq!(login(Mechanism::ScramSha1, &password("user", "pencil"), script), fault(SaslFault::Unproven));
}

const TOKEN: &str = "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg";

fn token() -> Credentials {
    Credentials::bearer("someuser@example.com", TOKEN).unwrap()
}

#[test]
fn a_refused_token_says_why_after_the_answer_the_mechanism_demands() {
    let xoauth2 = format!("user=someuser@example.com\x01auth=Bearer {TOKEN}\x01\x01");
    let standard = format!("n,a=someuser@example.com,\x01auth=Bearer {TOKEN}\x01\x01");
    for (mechanism, message, answer) in
        [(Mechanism::XOAuth2, xoauth2, &b"\r\n"[..]), (Mechanism::OAuthBearer, standard, b"AQ==\r\n")]
    {
        let command = [b"AUTH ", mechanism.wire_name().as_bytes(), b" ", &line(message.as_bytes())].concat();
        let failure = challenge(br#"{"status":"invalid_token","scope":"mail"}"#);
        let with = |verdict: &[u8]| {
            login(mechanism, &token(), &[(b"", b"+OK\r\n"), (&command, &failure), (answer, verdict)])
        };
        let rejection = with(b"-ERR no\r\n").unwrap().unwrap();
        let told = rejection.token.clone().unwrap();
        assert_eq!((told.status.as_str(), told.scope.as_deref()), ("invalid_token", Some("mail")));
        assert_eq!(rejection.class(), Class::TokenExpired);
        assert_eq!(with(b"+OK\r\n"), Err(ServerMisbehaved::AcceptedAfterRefusal.into()));
        let again = with(&failure);
        assert_eq!(again, Err(ServerMisbehaved::UnexpectedChallenge { verb: Verb::Auth }.into()));
        let accepted = login(mechanism, &token(), &[(b"", b"+OK\r\n"), (&command, b"+OK\r\n")]);
        assert_eq!(accepted, Ok(None));
    }
}

#[test]
fn a_long_token_waits_for_the_challenge() {
    let long = "t".repeat(3000);
    let credentials = Credentials::bearer("a", &long).unwrap();
    let message = line(format!("user=a\x01auth=Bearer {long}\x01\x01").as_bytes());
    for go in [&b"+ \r\n"[..], b"+OK\r\n", b"+ go ahead\r\n"] {
        let script: Script<'_> = &[(b"", b"+OK\r\n"), (b"AUTH XOAUTH2\r\n", go), (&message, b"+OK\r\n")];
        assert_eq!(login(Mechanism::XOAuth2, &credentials, script), Ok(None));
    }
}

#[test]
fn a_token_is_not_sent_in_clear_nor_to_a_mechanism_for_passwords() {
    let mut wire = Wire::new(&[(b"", b"+OK\r\n")], Cut::Whole);
    let session = hello(&mut wire, Channel::PlaintextAccepted);
    let error = session.login_by(Mechanism::XOAuth2, &token(), nonce()).map(drop).unwrap_err();
    assert_eq!(error, Unsupported::CleartextToken.into());
    for (mechanism, credentials) in
        [(Mechanism::Plain, token()), (Mechanism::Apop, token()), (Mechanism::XOAuth2, password("a", "p"))]
    {
        let outcome = login(mechanism, &credentials, &[(b"", b"+OK <1@a.example>\r\n")]);
        assert_eq!(outcome, Err(Unsupported::WrongCredentials { mechanism: mechanism.word() }.into()));
    }
}

#[test]
fn an_endless_server_is_stopped_by_the_first_challenge_too_many() {
    for (mechanism, credentials) in [
        (Mechanism::Plain, password("a", "p")),
        (Mechanism::Login, password("a", "p")),
        (Mechanism::CramMd5, password("a", "p")),
        (Mechanism::ScramSha256, password("a", "p")),
        (Mechanism::XOAuth2, token()),
        (Mechanism::OAuthBearer, token()),
    ] {
        let mut wire = Wire::new(&[(b"", b"+OK\r\n")], Cut::Whole);
        let session = hello(&mut wire, Channel::Tls);
        let mut exchange = session.login_by(mechanism, &credentials, nonce()).unwrap();
        let mut sent = 0;
        let ended = loop {
            let mut input: &[u8] = if sent == 0 { b"" } else { b"+ e30=\r\n" };
            match exchange.step(&mut input) {
                Ok(postroom_pop3::Step::Send(next, _)) => {
                    sent += 1;
                    exchange = next;
                }
                Ok(_) => panic!("{mechanism} ended otherwise"),
                Err(error) => break error,
            }
        };
        assert!(sent <= 3, "{mechanism}: {sent}");
        assert!(matches!(ended, Error::ServerMisbehaved(_) | Error::Sasl { .. }), "{ended}");
    }
}
