//! From a configured account to an open maildrop: name, connection, TLS, login. Retrieves nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use postroom_pop3::session::{LoginAnswer, StlsAnswer};
use postroom_pop3::{Authorization, Channel, Credentials, Mechanism, Session, Transaction};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::Error;
use super::wire::Wire;
use crate::config::{AccountConfig, Auth, TlsMode};
use crate::tls;

/// How long connecting and the handshake may each take.
const CONNECT: Duration = Duration::from_secs(20);

/// An open maildrop: RFC 1939's TRANSACTION state and the connection it lives on.
pub(super) struct Maildrop {
    pub(super) wire: Wire,
    pub(super) session: Session<Transaction>,
}

/// Connects and logs in.
pub(super) async fn open(account: &AccountConfig, base: &std::path::Path) -> Result<Maildrop, Error> {
    let password = read_password(account, base).await?;
    let credentials =
        Credentials::new(&account.user, password.expose()).map_err(postroom_pop3::Error::from)?;
    let (mut wire, session) = greet(account).await?;
    // CAPA is optional (RFC 2449); what a server answers before STLS or login says little, but SASL is listed there.
    let (session, _) = wire.ask("CAPA", session.capa()).await?;
    let login = match account.auth {
        Auth::Auto => session.login(&credentials)?,
        Auth::UserPass => session.login_by(Mechanism::UserPass, &credentials)?,
        Auth::Plain => session.login_by(Mechanism::Plain, &credentials)?,
    };
    match wire.ask("the login", login).await? {
        LoginAnswer::Accepted(session) => Ok(Maildrop { wire, session }),
        LoginAnswer::Refused(_, rejection) => Err(rejection.into()),
    }
}

async fn greet(account: &AccountConfig) -> Result<(Wire, Session<Authorization>), Error> {
    let tcp = connect(&account.host, account.port).await?;
    match account.tls {
        TlsMode::Implicit => {
            let tls = handshake(account, tcp).await?;
            let mut wire = Wire::new(Box::new(tls), account.timeout);
            let session = wire.ask("the greeting", Session::new(Channel::Tls).greeting()).await??;
            Ok((wire, session))
        }
        TlsMode::Starttls => {
            let mut wire = Wire::new(Box::new(tcp), account.timeout);
            let session = wire.ask("the greeting", Session::new(Channel::Plaintext).greeting()).await??;
            match wire.ask("STLS", session.stls()?).await? {
                StlsAnswer::Proceed(ready) => {
                    let tls = handshake(account, wire.into_stream()).await?;
                    Ok((Wire::new(Box::new(tls), account.timeout), ready.secured()))
                }
                StlsAnswer::Refused(_, rejection) => Err(rejection.into()),
            }
        }
        // The configuration was only accepted with the sentence that names the danger.
        TlsMode::None => {
            let mut wire = Wire::new(Box::new(tcp), account.timeout);
            let session =
                wire.ask("the greeting", Session::new(Channel::PlaintextAccepted).greeting()).await??;
            Ok((wire, session))
        }
    }
}

async fn connect(host: &str, port: u16) -> Result<TcpStream, Error> {
    let address = format!("{host}:{port}");
    let resolved = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<_> =
        resolved.map_err(|source| Error::Resolve { host: host.to_owned(), source })?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for candidate in addresses {
        match timeout(CONNECT, TcpStream::connect(candidate)).await {
            Ok(Ok(stream)) => {
                // Commands are small and each waits for its answer.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => {
                last =
                    io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {} s", CONNECT.as_secs()))
            }
        }
    }
    Err(Error::Connect { address, source: last })
}

async fn handshake<S>(account: &AccountConfig, stream: S) -> Result<tokio_rustls::client::TlsStream<S>, Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let failed = |source| Error::Tls { host: account.host.clone(), source };
    let config = tls::client(account.ca_file.as_deref())?;
    let name = ServerName::try_from(account.host.clone()).map_err(|_| {
        failed(io::Error::new(io::ErrorKind::InvalidInput, "the host name cannot be in a certificate"))
    })?;
    let connector = TlsConnector::from(Arc::clone(&config));
    match timeout(CONNECT, connector.connect(name, stream)).await {
        Ok(done) => done.map_err(failed),
        Err(_) => Err(Error::Silent { doing: "the TLS handshake", after: CONNECT }),
    }
}

async fn read_password(
    account: &AccountConfig,
    base: &std::path::Path,
) -> Result<crate::config::Secret, Error> {
    let (reference, base) = (account.password.clone(), base.to_owned());
    let read = tokio::task::spawn_blocking(move || reference.read(&base)).await;
    match read {
        Ok(secret) => secret.map_err(Error::Secret),
        Err(panic) => Err(Error::Broken { doing: "reading the password", source: io::Error::other(panic) }),
    }
}
