//! Owns one POP3 session: reads commands, commits due faults, answers. Must not store anything but what `QUIT` commits.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::bearer::Mechanism;
use super::fault::{Fault, Verb};
use super::listing::{Entry, Listing, stuffed, top};
use super::{AccountStats, MaildropStats, Shared};
use crate::wire::Wire;
use crate::{Identity, Security};

/// Serves one connection to its end.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    shared.count(|stats| stats.connections += 1);
    // Dropped also when the server stops in the midst of the session.
    let ended = Ended { shared: Arc::clone(&shared) };
    let mut session = Session { wire: Wire::new(stream), shared, name: None, listing: None };
    // A connection that breaks is the client's matter; the counts show it.
    let _ = session.run().await;
    drop(ended);
}

struct Ended {
    shared: Arc<Shared>,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.shared.count(|stats| stats.closed += 1);
    }
}

pub(super) struct Session {
    pub(super) wire: Wire,
    pub(super) shared: Arc<Shared>,
    /// What `USER` gave, until `PASS` comes.
    pub(super) name: Option<String>,
    /// The transaction state, once logged in.
    pub(super) listing: Option<Listing>,
}

/// What happens after a command.
pub(super) enum Step {
    Answer(Vec<u8>),
    Upgrade(Identity),
    Credentials { name: String, password: Vec<u8> },
    Retrieve { ordinal: u64, octets: Arc<[u8]> },
    Challenge,
    Bearer { mechanism: Mechanism, response: Vec<u8> },
    Leave,
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        if self.shared.due(|fault| matches!(fault, Fault::SilentConnection).then_some(())).is_some() {
            self.wire.stay_silent().await;
            return Ok(());
        }
        if let Security::Implicit(identity) = self.shared.security.clone() {
            self.upgrade(&identity).await?;
        }
        let refusal = self.shared.due(|fault| match fault {
            Fault::RefuseConnection(text) => Some(text.clone()),
            _ => None,
        });
        if let Some(text) = refusal {
            self.wire.write(&negative(&text)).await?;
            self.wire.close().await;
            return Ok(());
        }
        self.wire.write(&positive("practice maildrop")).await?;
        self.commands().await
    }

    async fn commands(&mut self) -> io::Result<()> {
        loop {
            let Some(line) = self.wire.line().await? else { break };
            let (keyword, argument) = split(&line);
            let Some(verb) = Verb::parse(keyword) else {
                self.wire.write(&negative("unknown command")).await?;
                continue;
            };
            match self.shared.due(|fault| at(verb, fault)) {
                Some(Fault::Silent(_)) => {
                    self.dropped();
                    self.wire.stay_silent().await;
                    return Ok(());
                }
                Some(Fault::Refuse(_, text)) => self.wire.write(&negative(&text)).await?,
                Some(Fault::Garbage(_, line)) => {
                    self.wire.write(&[line.as_slice(), b"\r\n"].concat()).await?
                }
                // Only `Cut` is left of those `at` lets through.
                Some(_) => break,
                None => match self.step(verb, argument) {
                    Step::Answer(answer) => self.wire.write(&answer).await?,
                    Step::Upgrade(identity) => {
                        self.wire.write(&positive("begin TLS")).await?;
                        self.name = None;
                        self.upgrade(&identity).await?;
                    }
                    Step::Challenge => {
                        self.wire.write(b"+ \r\n").await?;
                        let Some(response) = self.wire.line().await? else { break };
                        let answer = self.plain(&response);
                        self.wire.write(&answer).await?;
                    }
                    Step::Bearer { mechanism, response } => {
                        if !self.bearer(mechanism, &response).await? {
                            break;
                        }
                    }
                    Step::Credentials { name, password } => {
                        let answer = self.login(&name, &password);
                        self.wire.write(&answer).await?;
                    }
                    Step::Retrieve { ordinal, octets } => {
                        if !self.retrieve(ordinal, &octets).await? {
                            break;
                        }
                    }
                    Step::Leave => return self.leave().await,
                },
            }
        }
        self.dropped();
        Ok(())
    }

    fn step(&mut self, verb: Verb, argument: &[u8]) -> Step {
        if verb == Verb::Quit {
            return Step::Leave;
        }
        if verb == Verb::Capa {
            return Step::Answer(self.capabilities());
        }
        let answer = match &mut self.listing {
            None => return self.authorization(verb, argument),
            Some(listing) => match verb {
                Verb::Stat => {
                    let (count, size) = listing
                        .present()
                        .fold((0, 0), |(count, size), (_, entry)| (count + 1, size + entry.shown_size));
                    positive(&format!("{count} {size}"))
                }
                Verb::List => scan(listing, argument, |entry| entry.shown_size.to_string()),
                Verb::Uidl => scan(listing, argument, |entry| entry.shown_uidl.clone()),
                Verb::Retr => match listing.entry(argument) {
                    Some((_, entry)) => {
                        entry.retrieved = true;
                        let (ordinal, octets, uidl) =
                            (entry.ordinal, Arc::clone(&entry.octets), entry.uidl.clone());
                        let account = listing.account().to_owned();
                        self.shared
                            .count_for(&account, |stats| *stats.retrieved.entry(uidl).or_default() += 1);
                        return Step::Retrieve { ordinal, octets };
                    }
                    None => negative("no such message"),
                },
                Verb::Top => {
                    let (number, lines) = split(argument);
                    let lines = std::str::from_utf8(lines).ok().and_then(|lines| lines.parse().ok());
                    match (listing.entry(number), lines) {
                        (Some((_, entry)), Some(lines)) => {
                            let body = stuffed(top(&entry.octets, lines));
                            let uidl = entry.uidl.clone();
                            let account = listing.account().to_owned();
                            self.shared
                                .count_for(&account, |stats| *stats.topped.entry(uidl).or_default() += 1);
                            [b"+OK\r\n", body.as_slice(), b".\r\n"].concat()
                        }
                        (Some(_), None) => negative("TOP needs a number of lines"),
                        (None, _) => negative("no such message"),
                    }
                }
                Verb::Dele => match listing.entry(argument) {
                    Some((_, entry)) => {
                        entry.deleted = true;
                        positive("marked")
                    }
                    None => negative("no such message"),
                },
                Verb::Rset => {
                    listing.reset();
                    positive("")
                }
                Verb::Noop => positive(""),
                Verb::Capa | Verb::Quit | Verb::Stls | Verb::User | Verb::Pass | Verb::Auth => {
                    negative("not after login")
                }
            },
        };
        Step::Answer(answer)
    }

    /// Sends a message; `false` means that the connection is to be cut.
    async fn retrieve(&mut self, ordinal: u64, octets: &[u8]) -> io::Result<bool> {
        let fault = self.shared.due(|fault| match fault {
            Fault::RetrRefused { message }
            | Fault::RetrCut { message, .. }
            | Fault::RetrStall { message, .. }
            | Fault::RetrEndless { message }
                if *message == ordinal =>
            {
                Some(fault.clone())
            }
            _ => None,
        });
        let mut response = positive(&format!("{} octets", octets.len()));
        let head = response.len();
        response.extend(stuffed(octets));
        match fault {
            Some(Fault::RetrRefused { .. }) => {
                self.wire.write(&negative("[SYS/TEMP] cannot read it")).await?;
                Ok(true)
            }
            Some(Fault::RetrCut { after, .. }) => {
                self.wire.write(&response[..response.len().min(head + after)]).await?;
                Ok(false)
            }
            Some(Fault::RetrStall { after, .. }) => {
                self.wire.write(&response[..response.len().min(head + after)]).await?;
                while !self.wire.octets().await?.is_empty() {}
                Ok(false)
            }
            Some(Fault::RetrEndless { .. }) => {
                self.wire.write(&response).await?;
                let lines =
                    b"and so on and on and on and on and on and on and on and on and on\r\n".repeat(256);
                loop {
                    self.wire.write(&lines).await?;
                }
            }
            Some(_) | None => {
                response.extend_from_slice(b".\r\n");
                self.wire.write(&response).await?;
                Ok(true)
            }
        }
    }

    async fn leave(&mut self) -> io::Result<()> {
        if let Some(listing) = self.listing.take() {
            let fault = self
                .shared
                .due(|fault| matches!(fault, Fault::QuitRefused | Fault::QuitCut).then(|| fault.clone()));
            let account = listing.account().to_owned();
            if fault == Some(Fault::QuitRefused) {
                drop(listing);
                self.shared.count_for(&account, |stats| stats.quits += 1);
                self.wire.write(&negative("some messages could not be deleted")).await?;
                self.wire.close().await;
                return Ok(());
            }
            let deleted = listing.commit();
            // The lock goes before the answer, so that a client may come back as soon as it has it.
            drop(listing);
            self.shared.count_for(&account, |stats| {
                stats.deleted.extend(deleted);
                stats.quits += 1;
            });
            if fault == Some(Fault::QuitCut) {
                return Ok(());
            }
        }
        self.wire.write(&positive("bye")).await?;
        self.wire.close().await;
        Ok(())
    }

    fn dropped(&mut self) {
        if let Some(listing) = self.listing.take() {
            let account = listing.account().to_owned();
            drop(listing);
            self.shared.count_for(&account, |stats| stats.dropped += 1);
        }
    }

    async fn upgrade(&mut self, identity: &Identity) -> io::Result<()> {
        let outcome = self.wire.upgrade(identity).await;
        self.shared.count(|stats| match outcome {
            Ok(()) => stats.handshakes += 1,
            Err(_) => stats.failed_handshakes += 1,
        });
        outcome
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.dropped();
    }
}

impl Shared {
    pub(super) fn count(&self, change: impl FnOnce(&mut MaildropStats)) {
        self.stats.send_modify(change);
    }

    pub(super) fn count_for(&self, account: &str, change: impl FnOnce(&mut AccountStats)) {
        self.count(|stats| change(stats.accounts.entry(account.to_owned()).or_default()));
    }

    pub(super) fn due<T>(&self, applies: impl FnMut(&Fault) -> Option<T>) -> Option<T> {
        self.faults.take(applies)
    }
}

/// The faults that meet a command before it is looked at.
fn at(verb: Verb, fault: &Fault) -> Option<Fault> {
    match fault {
        Fault::Silent(of) | Fault::Cut(of) | Fault::Refuse(of, _) | Fault::Garbage(of, _) if *of == verb => {
            Some(fault.clone())
        }
        _ => None,
    }
}

/// LIST and UIDL: all messages, or the one named.
fn scan(listing: &mut Listing, argument: &[u8], column: impl Fn(&Entry) -> String) -> Vec<u8> {
    if !argument.is_empty() {
        return match listing.entry(argument) {
            Some((number, entry)) => positive(&format!("{number} {}", column(entry))),
            None => negative("no such message"),
        };
    }
    let mut lines = "+OK\r\n".to_owned();
    for (number, entry) in listing.present() {
        lines.push_str(&format!("{number} {}\r\n", column(entry)));
    }
    lines.push_str(".\r\n");
    lines.into_bytes()
}

pub(super) fn positive(text: &str) -> Vec<u8> {
    if text.is_empty() { b"+OK\r\n".to_vec() } else { format!("+OK {text}\r\n").into_bytes() }
}

pub(super) fn negative(text: &str) -> Vec<u8> {
    format!("-ERR {text}\r\n").into_bytes()
}

/// What stands before the first space, and what after it.
pub(super) fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|&octet| octet == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, b""),
    }
}
