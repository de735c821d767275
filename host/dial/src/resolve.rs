//! From a host name to addresses: the system's resolver or a table, within a time limit. Must not connect.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;

use crate::Error;
use crate::error::ResolveFailure;
use crate::text::shown;

/// Who is asked for the addresses of a name.
#[derive(Clone, Debug, Default)]
pub enum Resolver {
    /// The system, with its hosts file and its order of addresses (RFC 6724).
    #[default]
    System,
    /// A table; a name that is not in it does not exist. Nobody else is asked.
    Table(BTreeMap<String, Answer>),
}

/// What a table says about a name.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These, with their own ports, in the order of preference.
    Addresses(Vec<SocketAddr>),
    /// The name does not exist.
    NoSuchName,
    /// Nobody knows just now.
    Temporary,
    /// No answer ever comes.
    Silent,
}

impl Resolver {
    /// All addresses of `host`, most preferred first, at least one. An IP literal is its own address.
    ///
    /// The system's resolver cannot be interrupted: after `within` it is no longer waited for, but its thread lives
    /// until it gives up by itself.
    pub(crate) async fn addresses(
        &self,
        host: &str,
        port: u16,
        within: Duration,
    ) -> Result<Vec<SocketAddr>, Error> {
        let failed = |reason| Error::Resolve { host: shown(host), reason };
        if let Ok(literal) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(literal, port)]);
        }
        let answer = timeout(within, self.ask(host, port))
            .await
            .map_err(|_| failed(ResolveFailure::Silent { after: within }))?;
        match answer {
            Ok(addresses) if addresses.is_empty() => Err(failed(ResolveFailure::NoSuchName)),
            Ok(addresses) => Ok(addresses),
            Err(reason) => Err(failed(reason)),
        }
    }

    async fn ask(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ResolveFailure> {
        match self {
            Self::System => match tokio::net::lookup_host((host, port)).await {
                Ok(addresses) => Ok(addresses.collect()),
                Err(error) => Err(classify(&error)),
            },
            Self::Table(table) => match table.get(host) {
                Some(Answer::Addresses(addresses)) => Ok(addresses.clone()),
                Some(Answer::NoSuchName) | None => Err(ResolveFailure::NoSuchName),
                Some(Answer::Temporary) => Err(ResolveFailure::Temporary("try again".to_owned())),
                Some(Answer::Silent) => std::future::pending().await,
            },
        }
    }
}

/// The standard library hands over `getaddrinfo`'s answer as text only (as a number on Windows), so the texts of the
/// known C libraries are looked for. What is not recognised counts as temporary: that is only ever tried again.
fn classify(error: &io::Error) -> ResolveFailure {
    /// Winsock's `WSAHOST_NOT_FOUND` and `WSANO_DATA`.
    const WINDOWS: [i32; 2] = [11001, 11004];
    const TEXTS: [&str; 5] = [
        "Name or service not known",           // glibc EAI_NONAME
        "No address associated with hostname", // glibc EAI_NODATA
        "Name does not resolve",               // musl EAI_NONAME
        "Name has no usable address",          // musl EAI_NODATA
        "nodename nor servname provided",      // macOS and the BSDs
    ];
    let text = error.to_string();
    let absent = TEXTS.iter().any(|known| text.contains(known))
        || error.raw_os_error().is_some_and(|code| cfg!(windows) && WINDOWS.contains(&code));
    if absent { ResolveFailure::NoSuchName } else { ResolveFailure::Temporary(shown(&text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_getaddrinfo_tell_a_missing_name_from_a_resolver_in_trouble() {
        let of =
            |text: &str| classify(&io::Error::other(format!("failed to lookup address information: {text}")));
        for text in
            ["Name or service not known", "No address associated with hostname", "Name does not resolve"]
        {
            assert_eq!(of(text), ResolveFailure::NoSuchName, "{text}");
        }
        for text in ["Temporary failure in name resolution", "Try again", "Non-recoverable failure"] {
            assert!(matches!(of(text), ResolveFailure::Temporary(shown) if shown.contains(text)));
        }
    }

    #[tokio::test]
    async fn an_ip_literal_is_never_looked_up() {
        let nobody = Resolver::Table(BTreeMap::new());
        for literal in ["192.0.2.1", "2001:db8::1"] {
            let found = nobody.addresses(literal, 995, Duration::from_secs(5)).await.unwrap();
            assert_eq!(found, [SocketAddr::new(literal.parse().unwrap(), 995)]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn missing_temporary_and_silent_answers_are_told_apart() {
        let table = Resolver::Table(BTreeMap::from([
            ("gone.example".to_owned(), Answer::NoSuchName),
            ("bare.example".to_owned(), Answer::Addresses(vec![])),
            ("ill.example".to_owned(), Answer::Temporary),
            ("mute.example".to_owned(), Answer::Silent),
        ]));
        let reason = async |name: &str| match table.addresses(name, 1, Duration::from_secs(5)).await {
            Err(Error::Resolve { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(reason("gone.example").await, ResolveFailure::NoSuchName);
        assert_eq!(reason("bare.example").await, ResolveFailure::NoSuchName);
        assert_eq!(reason("unlisted.example").await, ResolveFailure::NoSuchName);
        assert!(matches!(reason("ill.example").await, ResolveFailure::Temporary(_)));
        assert_eq!(reason("mute.example").await, ResolveFailure::Silent { after: Duration::from_secs(5) });
    }
}
