//! Owns the way back from the browser: one port on 127.0.0.1, one redirect taken, a small page for the user (RFC 8252
//! section 7.3). Must not serve anything else, or show what came.

use std::net::Ipv4Addr;
use std::time::Duration;

use oauth2::url::form_urlencoded;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::error::Error;

/// The longest request head read, in octets.
const LONGEST_HEAD: usize = 16 * 1024;
/// How long one connection has to say what it wants; browsers open some in advance and say nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// The pause after an accept that failed.
const PAUSE: Duration = Duration::from_millis(100);
/// How many connections are served at once.
const CONNECTIONS: usize = 16;

/// The open port.
pub(super) struct Loopback {
    listener: TcpListener,
    port: u16,
}

/// What the browser brought.
pub(super) struct Redirected {
    pub(super) state_matches: bool,
    pub(super) code: Option<Zeroizing<String>>,
    pub(super) error: Option<String>,
    pub(super) error_description: Option<String>,
}

impl Loopback {
    pub(super) async fn open() -> Result<Self, Error> {
        let failed = |error| Error::Settings(format!("cannot listen on 127.0.0.1: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        Ok(Self { listener, port })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The first request that is a redirect of a sign-in; others get 404. The port is closed afterwards.
    pub(super) async fn redirected(self, state: &str) -> Result<Redirected, Error> {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < CONNECTIONS => {
                    if accepted.is_err() {
                        // Out of descriptors, perhaps: not to be asked for at once.
                        tokio::time::sleep(PAUSE).await;
                    }
                    if let Ok((stream, _)) = accepted {
                        let (state, port) = (state.to_owned(), self.port);
                        connections.spawn(async move {
                            tokio::time::timeout(PATIENCE, serve(stream, &state, port)).await.ok().flatten()
                        });
                    }
                }
                Some(served) = connections.join_next() => {
                    if let Ok(Some(back)) = served {
                        return Ok(back);
                    }
                }
            }
        }
    }
}

/// Answers one request; `Some` if it was a redirect.
async fn serve(mut stream: TcpStream, state: &str, port: u16) -> Option<Redirected> {
    let mut head = Zeroizing::new(Vec::with_capacity(LONGEST_HEAD));
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if head.len() >= LONGEST_HEAD || stream.read_buf(&mut *head).await.ok()? == 0 {
            return None;
        }
    }
    let back = read(&head, state, port);
    let (status, text) = match &back {
        Some(back) if !back.state_matches => ("400 Bad Request", "This is the answer to another sign-in."),
        Some(back) if back.error.is_some() => ("200 OK", "The sign-in was refused. You can close this page."),
        Some(_) => ("200 OK", "Postroom has what it needs. You can close this page."),
        None => ("404 Not Found", "There is nothing here."),
    };
    let page = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: \
         no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n<!doctype html><title>Postroom</title>\
         <p>{text}</p>\n",
        text.len() + "<!doctype html><title>Postroom</title><p></p>\n".len()
    );
    // The page is a courtesy: what the browser brought counts even if it does not wait for it.
    let _ = stream.write_all(page.as_bytes()).await;
    let _ = stream.shutdown().await;
    // Any page could have sent the browser here with a made-up answer: the true one may still come.
    back.filter(|back| back.state_matches)
}

/// Reads `GET /?code=...&state=...`; `None` for every other request.
fn read(head: &[u8], state: &str, port: u16) -> Option<Redirected> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (Some("GET"), Some(target), Some(_), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    // A page elsewhere may have made a name of its own point here (DNS rebinding).
    let host = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim().to_owned())
    })?;
    if host != format!("127.0.0.1:{port}") && host != format!("localhost:{port}") {
        return None;
    }
    let query = target.strip_prefix("/?")?;
    let find = |name: &str| {
        form_urlencoded::parse(query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let (code, error) = (find("code").map(Zeroizing::new), find("error"));
    if code.is_none() && error.is_none() {
        return None;
    }
    Some(Redirected {
        state_matches: find("state").is_some_and(|given| same(&given, state)),
        code,
        error,
        error_description: find("error_description"),
    })
}

/// Compares without telling by its duration how much is right.
fn same(given: &str, expected: &str) -> bool {
    given.len() == expected.len()
        && given.bytes().zip(expected.bytes()).fold(0, |differ, (one, two)| differ | (one ^ two)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, host: &str) -> Option<Redirected> {
        read(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), "st", 80)
    }

    #[test]
    fn only_a_redirect_to_our_own_name_is_taken() {
        let back = request("/?code=a%2Fb&state=st", "127.0.0.1:80").unwrap();
        assert!(back.state_matches);
        assert_eq!(back.code.unwrap().as_str(), "a/b");
        assert!(request("/?code=a&state=st", "evil.example:80").is_none());
        assert!(request("/favicon.ico", "127.0.0.1:80").is_none());
        assert!(request("/?state=st", "localhost:80").is_none());
        assert!(read(b"POST /?code=a&state=st HTTP/1.1\r\nHost: localhost:80\r\n\r\n", "st", 80).is_none());
    }

    #[test]
    fn another_state_or_none_does_not_match() {
        for target in ["/?code=a&state=sx", "/?code=a", "/?code=a&state=", "/?code=a&state=st2"] {
            assert!(!request(target, "localhost:80").unwrap().state_matches, "{target}");
        }
    }
}
