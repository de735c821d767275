//! What a server is like, found out in one session: nothing is retrieved by `RETR`, nothing deleted, nothing recorded. Owns
//! the findings and their order; a server that fails half-way leaves the findings so far. Must not show a secret.

mod certificates;
mod connection;
mod maildrop;
mod mechanisms;
mod shape;
mod suggest;
mod top;

use std::path::Path;

use postroom_mail::{AccountId, Timestamp};

use super::Leases;
use super::error::Error;
use super::habits;
use super::session;
use super::token::Purse;
use crate::config::AccountConfig;
use suggest::Known;

/// One thing found out about a server.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How much it matters.
    pub level: Level,
    /// What it is about.
    pub what: &'static str,
    /// What was found; neutralised.
    pub found: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// It is as it should be.
    Fact,
    /// Worth knowing.
    Note,
    /// It can cost mail, or stops it one day.
    Warning,
}

/// What a probe came to.
#[derive(Debug)]
pub struct Examined {
    /// In the order in which they were made.
    pub findings: Vec<Finding>,
    /// Lines of TOML for the account, from the header of its table on; empty when the login was not reached.
    pub suggestion: Vec<String>,
    /// What ended it early.
    pub ended: Result<(), Error>,
}

/// What is probed, and who is told how far it got.
pub struct Probed<'a> {
    /// The account's name.
    pub id: &'a AccountId,
    /// Its settings.
    pub account: &'a AccountConfig,
    /// The configuration's directory.
    pub base: &'a Path,
    /// The time, for what is about to expire.
    pub now: Timestamp,
    /// Looked at only: a probe does not keep anybody out.
    pub leases: &'a Leases,
    /// Told what is done next.
    pub stage: &'a (dyn Fn(&'static str) + Sync),
}

/// A probe under way.
struct Probe<'a> {
    of: Probed<'a>,
    findings: Vec<Finding>,
    known: Known,
}

/// Connects, looks at everything that can be looked at without consequences, ends the session with `QUIT`.
pub async fn examine(of: Probed<'_>) -> Examined {
    let mut probe = Probe { of, findings: Vec::new(), known: Known::default() };
    let ended = probe.run().await;
    let suggestion = match probe.known.mechanism {
        Some(_) => suggest::lines(probe.of.id, probe.of.account, &probe.known),
        None => Vec::new(),
    };
    Examined { findings: probe.findings, suggestion, ended }
}

impl Probe<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        self.lease();
        self.provider();
        let (wire, session) = connection::open(self).await?;
        maildrop::look(self, wire, session).await
    }

    /// Whether somebody on this machine handles the maildrop just now.
    fn lease(&mut self) {
        // Let go of at once: a host that starts meanwhile must not be kept out.
        if let Err(taken @ super::NotOurs::Taken { .. }) = self.of.leases.take(self.of.id, self.of.account) {
            self.note(
                "lease",
                format!("{taken}: while it polls, the server may refuse this login as in use"),
            );
        }
        self.of.leases.retain(|_| false);
    }

    fn fact(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(Level::Fact, what, found);
    }

    fn note(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(Level::Note, what, found);
    }

    fn warn(&mut self, what: &'static str, found: impl Into<String>) {
        self.add(Level::Warning, what, found);
    }

    fn add(&mut self, level: Level, what: &'static str, found: impl Into<String>) {
        self.findings.push(Finding { level, what, found: found.into() });
    }

    fn stage(&self, doing: &'static str) {
        (self.of.stage)(doing);
    }
}

/// Connects, logs in, counts, and ends the session: for `check --online`. Retrieves nothing, so `QUIT` is harmless.
///
/// # Errors
/// As a poll.
pub async fn probe(
    id: &AccountId,
    account: &AccountConfig,
    base: &Path,
    now: Timestamp,
) -> Result<u64, Error> {
    let purses = super::Purses::default();
    let purse: Purse = purses.of(id, account, base).await?;
    let mut server = habits::Server::default();
    let session::Maildrop { mut wire, session, .. } =
        session::open(account, base, &purse, &mut server, now).await?;
    let (session, stat) = wire.ask("STAT", session.stat()).await?;
    let stat = stat?;
    wire.quit(session.quit()?).await??;
    Ok(stat.count)
}
