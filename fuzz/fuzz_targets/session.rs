//! A whole session, commands chosen by the input, replies arbitrary and cut anywhere: no panic, and
//! what is kept stays in proportion to what was received.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_fuzz::{Wire, nonce, open};
use postroom_pop3::listing::join;
use postroom_pop3::session::{LoginAnswer, StlsAnswer};
use postroom_pop3::{Batch, Channel, Credentials, Error, MessageNumber, Rest, Session, Transaction};

fn before_login(wire: &mut Wire<'_>, stls: bool) -> Result<Option<Session<Transaction>>, Error> {
    let channel = if stls { Channel::Plaintext } else { Channel::PlaintextAccepted };
    let Ok(session) = wire.drive(Session::new(channel).greeting())? else { return Ok(None) };
    let (session, _) = wire.drive(session.capa())?;
    let session = if stls {
        match wire.drive(session.stls()?)? {
            StlsAnswer::Proceed(ready) => {
                let session = ready.secured();
                assert!(session.capabilities().is_none() && session.banner().is_empty());
                session
            }
            StlsAnswer::Refused(session, _) => {
                let credentials = Credentials::new("a", "secret").unwrap();
                assert!(session.login(&credentials, nonce()).is_err(), "a password in clear");
                return Ok(None);
            }
        }
    } else {
        session
    };
    let credentials = Credentials::new("alice", "secret").unwrap();
    Ok(match wire.drive(session.login(&credentials, nonce())?)? {
        LoginAnswer::Accepted(session) => Some(session),
        LoginAnswer::Refused(..) => None,
    })
}

fn after_login(wire: &mut Wire<'_>, session: Session<Transaction>, script: &[u8]) -> Result<(), Error> {
    let (session, _) = wire.drive(session.stat())?;
    let (session, list) = wire.drive(session.list())?;
    let (mut session, uidl) = wire.drive(session.uidl())?;
    let (Ok(list), Ok(uidl)) = (list, uidl) else { return Ok(()) };
    let entries = join(&list, &uidl).entries;
    let numbers: Vec<MessageNumber> = entries.iter().map(|entry| entry.number).collect();
    let mut kept = Vec::new();
    for step in script.iter().take(32) {
        let Some(&number) = numbers.get(usize::from(step >> 3) % numbers.len().max(1)) else { break };
        session = match step & 7 {
            0 => wire.drive(session.capa())?.0,
            1 => wire.drive(session.top(number, 0, 4096))?.0,
            2 => wire.drive(session.dele(number))?.0,
            3 => wire.drive(session.noop())?.0,
            4 if session.may_pipeline() => {
                let Some(batch) = Batch::new(&numbers[..numbers.len().min(5)]) else { break };
                let mut exchange = session.retr_ahead(batch, 4096)?;
                loop {
                    let answered = wire.drive(exchange)?;
                    kept.extend(answered.outcome);
                    match answered.rest {
                        Rest::More(outstanding) => exchange = outstanding.next_reply(),
                        Rest::Idle(session) => break session,
                    }
                }
            }
            _ => {
                let (session, outcome) = wire.drive(session.retr(number, 4096))?;
                kept.extend(outcome);
                session
            }
        };
    }
    for retrieved in kept {
        session.settle(retrieved);
    }
    wire.drive(session.quit()?)?.ok();
    Ok(())
}

fuzz_target!(|data: (bool, bool, u8, Vec<u8>, Vec<u8>)| {
    let (skip, stls, size, script, octets) = data;
    let mut wire = Wire::new(&octets, usize::from(size));
    let session = if skip { Ok(Some(open())) } else { before_login(&mut wire, stls) };
    let ended = match session {
        Ok(Some(session)) => after_login(&mut wire, session, &script),
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    assert!(wire.body.len() <= octets.len());
    assert!(wire.sent.iter().all(|sent| sent.len() <= 4096));
    if let Err(error) = ended {
        assert!(!error.to_string().chars().any(char::is_control));
        assert!(!format!("{error:?}").contains("secret"));
    }
});
