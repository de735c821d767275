//! From a configured account to an open maildrop: connection, TLS, login. Retrieves nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use postroom_dial::{Client, Peer, ProxyLogin, Route, Socks5, Trust};
use postroom_failpoint::reach;
use postroom_mail::Timestamp;
use postroom_pop3::session::{LoginAnswer, StlsAnswer};
use postroom_pop3::{Authorization, Channel, Class, Credentials, Mechanism, Nonce, Session, Transaction};
use zeroize::Zeroizing;

use super::error::Error;
use super::habits;
use super::token::Purse;
use super::wire::Wire;
use crate::config::{AccountConfig, Auth, Login, Secret, SecretRef, TlsMode};

/// How long the handshake may take.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(20);
/// What the first answer of a server is called.
pub(super) const GREETING: &str = "the greeting";

/// An open maildrop: RFC 1939's TRANSACTION state and the connection it lives on.
pub(super) struct Maildrop {
    pub(super) wire: Wire,
    pub(super) session: Session<Transaction>,
    /// Who answered, when there is TLS.
    pub(super) peer: Option<Peer>,
}

/// A server that greeted.
pub(super) struct Greeted {
    pub(super) wire: Wire,
    pub(super) session: Session<Authorization>,
    pub(super) peer: Option<Peer>,
}

/// Connects and logs in. With an access token, a second time with a fresh one when the first was refused as invalid.
pub(super) async fn open(
    account: &AccountConfig,
    base: &Path,
    purse: &Purse,
    server: &mut habits::Server,
    now: Timestamp,
) -> Result<Maildrop, Error> {
    let mut fresh = false;
    let mut without = !server.asks_capa(now);
    loop {
        let credentials = credentials(account, base, purse, now, fresh).await?;
        let Greeted { mut wire, mut session, peer } = greet(account, base).await?;
        if !without {
            (wire, session) = match capabilities(wire, session).await {
                Ok(ready) => ready,
                // Some servers hang up instead of refusing CAPA: the next connection does without. Not one that answered it
                // before: whoever can break a connection could choose the mechanism. And a token needs CAPA.
                Err(error) if hung_up(&error) && !server.capa && !credentials.is_bearer() => {
                    without = true;
                    continue;
                }
                Err(error) => return Err(error),
            };
            server.capa |= session.capabilities().is_some();
        }
        if account.utf8 && session.capabilities().is_some_and(|listed| listed.utf8.is_some()) {
            let (back, answer) = wire.ask("UTF8", session.utf8()?).await?;
            answer?;
            session = back;
        }
        let mechanism = mechanism(account, &session, &credentials)?;
        let login = session.login_by(mechanism, &credentials, nonce()?)?;
        match wire.ask("the login", login).await? {
            LoginAnswer::Accepted(session) => {
                if without && server.asks_capa(now) {
                    server.hung_up_at_capa(now);
                }
                server.let_in();
                return Ok(Maildrop { wire, session, peer });
            }
            LoginAnswer::Refused(_, refused) if refused.class() == Class::TokenExpired && !fresh => {
                fresh = true
            }
            LoginAnswer::Refused(_, refused) => return Err(purse.explain(refused, now)),
        }
    }
}

/// Asks what the server can do. CAPA is optional (RFC 2449).
async fn capabilities(
    mut wire: Wire,
    session: Session<Authorization>,
) -> Result<(Wire, Session<Authorization>), Error> {
    let (session, _) = wire.ask("CAPA", session.capa()).await?;
    Ok((wire, session))
}

fn hung_up(error: &Error) -> bool {
    use postroom_pop3::{Error as Pop3, ServerMisbehaved};
    matches!(
        error,
        Error::Pop3(Pop3::ServerMisbehaved(ServerMisbehaved::Closed { .. }))
            | Error::Broken { .. }
            | Error::Silent { .. }
    )
}

/// The one that is configured, never a weaker one; else the best that is offered.
pub(super) fn mechanism(
    account: &AccountConfig,
    session: &Session<Authorization>,
    credentials: &Credentials,
) -> Result<Mechanism, Error> {
    match account.auth {
        Auth::Only(mechanism) => Ok(mechanism),
        Auth::Auto => Ok(Mechanism::choose(session.capabilities(), session.channel(), credentials)
            .map_err(postroom_pop3::Error::from)?),
    }
}

/// From the system's source of randomness.
pub(crate) fn nonce() -> Result<Nonce, Error> {
    let mut random = [0; 18];
    let filled = rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty());
    match filled {
        Ok(18) => Ok(Nonce::new(random)),
        Ok(_) => Err(broken("drawing a nonce", "too few random octets")),
        Err(errno) => Err(Error::Broken { doing: "drawing a nonce", source: errno.into() }),
    }
}

/// Connects, protects the connection as configured, and reads the greeting.
pub(super) async fn greet(account: &AccountConfig, base: &Path) -> Result<Greeted, Error> {
    let client = prepare(&account.trust).await?;
    reach("pop3.dial", "begun");
    let tcp = postroom_dial::connect(&route(account, base).await?).await?;
    reach("pop3.dial", "connected");
    let plain = |channel| async move { Session::new(channel).greeting() };
    match account.tls {
        TlsMode::Implicit => {
            let tls = postroom_dial::handshake(&client, &account.host, tcp, HANDSHAKE).await?;
            reach("pop3.dial", "protected");
            let peer = Peer::of(&tls);
            let mut wire = Wire::new(Box::new(tls), account.timeout).of(&account.host);
            let session = wire.ask(GREETING, plain(Channel::Tls).await).await??;
            Ok(Greeted { wire, session, peer: Some(peer) })
        }
        TlsMode::Starttls => {
            let mut wire = Wire::new(Box::new(tcp), account.timeout);
            let session = wire.ask(GREETING, plain(Channel::Plaintext).await).await??;
            match wire.ask("STLS", session.stls()?).await? {
                StlsAnswer::Proceed(ready) => {
                    let stream = wire.into_stream();
                    let tls = postroom_dial::handshake(&client, &account.host, stream, HANDSHAKE).await?;
                    reach("pop3.dial", "protected");
                    let peer = Peer::of(&tls);
                    let wire = Wire::new(Box::new(tls), account.timeout).of(&account.host);
                    Ok(Greeted { wire, session: ready.secured(), peer: Some(peer) })
                }
                StlsAnswer::Refused(_, rejection) => Err(rejection.into()),
            }
        }
        // The configuration was only accepted with the sentence that names the danger.
        TlsMode::None => {
            let mut wire = Wire::new(Box::new(tcp), account.timeout);
            let session = wire.ask(GREETING, plain(Channel::PlaintextAccepted).await).await??;
            Ok(Greeted { wire, session, peer: None })
        }
    }
}

pub(super) async fn route(account: &AccountConfig, base: &Path) -> Result<Route, Error> {
    let route = Route::direct(&account.host, account.port);
    let Some(proxy) = &account.proxy else { return Ok(route) };
    let login = match &proxy.login {
        None => None,
        Some((user, password)) => {
            let password = Zeroizing::new(read(password, base).await?.expose().to_owned());
            Some(ProxyLogin { user: user.clone(), password })
        }
    };
    Ok(route.through(Socks5 { host: proxy.host.clone(), port: proxy.port, login }))
}

/// Reads the files of authorities and keys.
pub(super) async fn prepare(trust: &Trust) -> Result<Arc<Client>, Error> {
    let trust = trust.clone();
    let prepared = tokio::task::spawn_blocking(move || trust.prepare()).await;
    Ok(Arc::new(prepared.map_err(|panic| broken("reading the authorities", panic))??))
}

pub(super) async fn credentials(
    account: &AccountConfig,
    base: &Path,
    purse: &Purse,
    now: Timestamp,
    fresh: bool,
) -> Result<Credentials, Error> {
    let made = match &account.login {
        Login::Password(password) => Credentials::new(&account.user, read(password, base).await?.expose()),
        Login::OAuth(_) => {
            let bearer = purse.bearer(now, fresh).await?;
            Credentials::bearer(&account.user, bearer.expose())
                .and_then(|credentials| credentials.at(&account.host, account.port))
        }
    };
    Ok(made.map_err(postroom_pop3::Error::from)?)
}

pub(super) async fn read(reference: &SecretRef, base: &Path) -> Result<Secret, Error> {
    let (reference, base) = (reference.clone(), base.to_owned());
    let read = tokio::task::spawn_blocking(move || reference.read(&base)).await;
    read.map_err(|panic| broken("reading the password", panic))?.map_err(Error::Secret)
}

fn broken(doing: &'static str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Broken { doing, source: std::io::Error::other(cause) }
}
