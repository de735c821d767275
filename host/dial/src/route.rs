//! The way to a server as configured, and walking it: directly or through a SOCKS5 proxy. Must not speak TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use crate::error::{Error, ProxyFailure};
use crate::race;
use crate::resolve::Resolver;
use crate::socks;
use crate::text::shown;

/// The way to one server.
#[derive(Clone, Debug)]
pub struct Route {
    /// A name or an IP literal; brackets around an IPv6 literal are allowed.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Directly or through a proxy.
    pub via: Via,
    /// How fast and how long.
    pub pace: Pace,
    /// Who knows the addresses: of the server, or of the proxy if there is one.
    pub resolver: Resolver,
}

/// Who makes the connection.
#[derive(Clone, Debug, Default)]
pub enum Via {
    /// This machine.
    #[default]
    Direct,
    /// A SOCKS5 proxy. The server's name is sent to it as it is and never looked up here.
    Socks5(Socks5),
}

/// A SOCKS5 proxy (RFC 1928).
#[derive(Clone, Debug)]
pub struct Socks5 {
    /// The proxy's name or IP literal.
    pub host: String,
    /// Its port; 1080 is registered.
    pub port: u16,
    /// User and password (RFC 1929), which cross the network in the clear.
    pub login: Option<ProxyLogin>,
}

/// User and password for a proxy, 1 to 255 octets each (RFC 1929 section 2).
#[derive(Clone)]
pub struct ProxyLogin {
    /// The user.
    pub user: String,
    /// The password; wiped when dropped, never shown.
    pub password: Zeroizing<String>,
}

/// How fast addresses are tried and when it is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The pause before another address is tried beside a silent one (RFC 8305 section 5).
    pub attempt_delay: Duration,
    /// How long looking up a name may take.
    pub resolve: Duration,
    /// How long all of it may take, the proxy's answers included.
    pub total: Duration,
    /// How many addresses are tried at most.
    pub addresses: usize,
}

impl Default for Pace {
    /// 250 ms, 10 s, 20 s, 16 addresses.
    fn default() -> Self {
        Self {
            attempt_delay: Duration::from_millis(250),
            resolve: Duration::from_secs(10),
            total: Duration::from_secs(20),
            addresses: 16,
        }
    }
}

impl Route {
    /// A direct way at the usual pace, with the system's resolver.
    #[must_use]
    pub fn direct(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            via: Via::Direct,
            pace: Pace::default(),
            resolver: Resolver::System,
        }
    }

    /// The same through a proxy.
    #[must_use]
    pub fn through(self, proxy: Socks5) -> Self {
        Self { via: Via::Socks5(proxy), ..self }
    }
}

impl fmt::Debug for ProxyLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Opens a connection to the server, without TLS. Small writes are sent at once (`TCP_NODELAY`).
///
/// Dropping the future drops every attempt.
///
/// # Errors
/// [`Error::Resolve`], [`Error::Connect`]; with a proxy also [`Error::ProxyUnreachable`] and [`Error::Proxy`].
pub async fn connect(route: &Route) -> Result<TcpStream, Error> {
    let deadline = Instant::now() + route.pace.total;
    match &route.via {
        Via::Direct => reach(route, bare(&route.host), route.port, deadline).await,
        Via::Socks5(proxy) => through(route, proxy, deadline).await,
    }
}

async fn through(route: &Route, proxy: &Socks5, deadline: Instant) -> Result<TcpStream, Error> {
    let shown_proxy = format!("{}:{}", shown(&proxy.host), proxy.port);
    let mut stream = reach(route, bare(&proxy.host), proxy.port, deadline)
        .await
        .map_err(|error| Error::ProxyUnreachable { proxy: shown_proxy.clone(), reason: Box::new(error) })?;
    let asked = socks::ask(&mut stream, bare(&route.host), route.port, proxy.login.as_ref());
    let outcome = match timeout_at(deadline, asked).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ProxyFailure::Silent { after: route.pace.total }),
    };
    match outcome {
        Ok(()) => Ok(stream),
        Err(reason) => Err(Error::Proxy {
            proxy: shown_proxy,
            server: format!("{}:{}", shown(&route.host), route.port),
            reason,
        }),
    }
}

async fn reach(route: &Route, host: &str, port: u16, deadline: Instant) -> Result<TcpStream, Error> {
    let Pace { attempt_delay, resolve, addresses: most, .. } = route.pace;
    let within = resolve.min(deadline.saturating_duration_since(Instant::now()));
    let known = route.resolver.addresses(host, port, within).await?;
    let turns = race::in_turn(&known, most);
    race::first(turns, attempt_delay, deadline, attempt).await.map_err(|lost| Error::Connect {
        host: shown(host),
        port,
        tried: lost.tried,
        known: known.len(),
        reason: lost.reason,
    })
}

async fn attempt(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // Commands are small and each waits for its answer. A system that cannot do it is only slower.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// An IPv6 literal without its brackets.
pub(crate) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}
