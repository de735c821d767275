//! From the first octet to the open maildrop, with what shows on the way. Does what a poll does in the same order, and stops
//! to look where a poll does not.

use postroom_dial::Peer;
use postroom_pop3::session::{LoginAnswer, StlsAnswer};
use postroom_pop3::{Authorization, Channel, Class, Session, Transaction};

use super::super::Purses;
use super::super::error::Error;
use super::super::session::{self, GREETING, Greeted, HANDSHAKE};
use super::super::wire::Wire;
use super::{Probe, certificates, mechanisms};
use crate::config::TlsMode;

pub(super) async fn open(probe: &mut Probe<'_>) -> Result<(Wire, Session<Transaction>), Error> {
    let (wire, session) = connect(probe).await?;
    let (mut wire, mut session) = match probe.known.no_capa {
        true => (wire, session),
        false => capabilities(probe, wire, session).await?,
    };
    let (account, base) = (probe.of.account, probe.of.base);
    mechanisms::offered(probe, &session);
    let purse = Purses::default().of(probe.of.id, account, base).await?;
    let mut fresh = false;
    loop {
        let credentials = session::credentials(account, base, &purse, probe.of.now, fresh).await?;
        let mechanism = session::mechanism(account, &session, &credentials)?;
        if !fresh {
            mechanisms::chosen(probe, &session, mechanism);
        }
        probe.stage("logging in");
        let login = session.login_by(mechanism, &credentials, session::nonce()?)?;
        match wire.ask("the login", login).await? {
            LoginAnswer::Accepted(session) => {
                probe.known.mechanism = Some(mechanism);
                probe.fact("login", format!("accepted, by {mechanism}"));
                return Ok((wire, session));
            }
            LoginAnswer::Refused(_, refused) if refused.class() == Class::TokenExpired && !fresh => {
                probe.note("login", "the token at hand was refused, a fresh one is tried");
                fresh = true;
                let again = session::greet(account, base).await?;
                wire = again.wire;
                session = wire.ask("CAPA", again.session.capa()).await?.0;
            }
            LoginAnswer::Refused(_, refused) => return Err(purse.explain(refused, probe.of.now)),
        }
    }
}

/// As [`session::greet`], with what can be seen before TLS.
async fn connect(probe: &mut Probe<'_>) -> Result<(Wire, Session<Authorization>), Error> {
    let (account, base) = (probe.of.account, probe.of.base);
    probe.stage("connecting");
    let client = session::prepare(&account.trust).await?;
    let tcp = postroom_dial::connect(&session::route(account, base).await?).await?;
    if let Ok(address) = tcp.peer_addr() {
        let through = if account.proxy.is_some() { ", the proxy's" } else { "" };
        probe.fact("address", format!("{address}{through}"));
    }
    match account.tls {
        TlsMode::Implicit => {
            let tls = postroom_dial::handshake(&client, &account.host, tcp, HANDSHAKE).await?;
            certificates::look(probe, &Peer::of(&tls));
            let mut wire = Wire::new(Box::new(tls), account.timeout).of(&account.host);
            let session = greeting(probe, &mut wire, Channel::Tls).await?;
            Ok((wire, session))
        }
        TlsMode::Starttls => {
            let mut wire = Wire::new(Box::new(tcp), account.timeout);
            let session = greeting(probe, &mut wire, Channel::Plaintext).await?;
            let (mut wire, session) = match wire.ask("CAPA", session.capa()).await {
                Ok((session, answer)) => {
                    match answer {
                        Ok(found) => probe.fact("before TLS", mechanisms::listed(&found)),
                        Err(rejection) => probe.note("before TLS", format!("CAPA is not known: {rejection}")),
                    }
                    (wire, session)
                }
                Err(error) => return without_capa(probe, &error).await,
            };
            match wire.ask("STLS", session.stls()?).await? {
                StlsAnswer::Proceed(ready) => {
                    let stream = wire.into_stream();
                    let tls = postroom_dial::handshake(&client, &account.host, stream, HANDSHAKE).await?;
                    certificates::look(probe, &Peer::of(&tls));
                    Ok((Wire::new(Box::new(tls), account.timeout).of(&account.host), ready.secured()))
                }
                StlsAnswer::Refused(_, rejection) => Err(rejection.into()),
            }
        }
        TlsMode::None => {
            probe
                .warn("TLS", "none: anyone on the network can read the password and all mail, and change it");
            let mut wire = Wire::new(Box::new(tcp), account.timeout);
            let session = greeting(probe, &mut wire, Channel::PlaintextAccepted).await?;
            Ok((wire, session))
        }
    }
}

async fn greeting(
    probe: &mut Probe<'_>,
    wire: &mut Wire,
    channel: Channel,
) -> Result<Session<Authorization>, Error> {
    probe.stage("waiting for the greeting");
    let session = wire.ask(GREETING, Session::new(channel).greeting()).await??;
    let banner = session.banner();
    let text = if banner.is_empty() { "(without a text)".to_owned() } else { banner.to_owned() };
    probe.fact("greeting", text);
    Ok(session)
}

/// What the server says it can do now, before the login.
async fn capabilities(
    probe: &mut Probe<'_>,
    mut wire: Wire,
    session: Session<Authorization>,
) -> Result<(Wire, Session<Authorization>), Error> {
    probe.stage("asking what it can do");
    match wire.ask("CAPA", session.capa()).await {
        Ok((session, Ok(found))) => {
            if found.stls && probe.of.account.tls == TlsMode::None {
                probe.known.stls = true;
                probe.note("TLS", "the server offers STLS: tls = \"starttls\" protects this connection");
            }
            probe.fact("before login", mechanisms::listed(&found));
            Ok((wire, session))
        }
        Ok((session, Err(rejection))) => {
            probe.note(
                "before login",
                format!("CAPA is not known, a server older than RFC 2449: {rejection}"),
            );
            Ok((wire, session))
        }
        Err(error) => without_capa(probe, &error).await,
    }
}

/// Some servers hang up instead of refusing CAPA: a second connection does without, as a poll does.
async fn without_capa(probe: &mut Probe<'_>, error: &Error) -> Result<(Wire, Session<Authorization>), Error> {
    probe.warn("CAPA", format!("{error}; a new connection goes on without it"));
    probe.known.no_capa = true;
    let Greeted { wire, session, peer } = session::greet(probe.of.account, probe.of.base).await?;
    if let Some(peer) = peer.filter(|_| probe.known.pins.is_empty()) {
        certificates::look(probe, &peer);
    }
    Ok((wire, session))
}
