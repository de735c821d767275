//! What a Dovecot logged of one user: how he logged in, and what each session did. Must not judge it.

use std::time::{Duration, Instant};

use super::Dovecot;
use crate::HarnessError;
use crate::process::LOOK_AGAIN;

/// The log is written by another process than the one that answers: so long it may lag behind.
const LAG: Duration = Duration::from_secs(10);

/// One login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The mechanism, as Dovecot calls it.
    pub method: String,
    /// Whether it was under TLS.
    pub tls: bool,
}

/// One session that has ended, in counts of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// `TOP` commands.
    pub top: u64,
    /// `RETR` commands.
    pub retr: u64,
    /// Deletions that were carried out.
    pub deleted: u64,
    /// Messages in the maildrop when it began.
    pub messages: u64,
}

impl Dovecot {
    /// The logins of a user so far, in order.
    #[must_use]
    pub fn logins(&self, user: &str) -> Vec<Login> {
        let log = self.log();
        let of = format!("Login: user=<{user}>, ");
        let lines = log.lines().filter(|line| line.contains(&of));
        lines
            .filter_map(|line| {
                let method = line.split_once("method=")?.1.split(',').next()?.to_owned();
                Some(Login { method, tls: line.contains(", TLS") })
            })
            .collect()
    }

    /// The sessions of a user that have ended, in order; waits until there are `count`.
    ///
    /// # Errors
    /// [`HarnessError::TooLate`] with the log when there are fewer after 10 s.
    pub async fn visits(&self, user: &str, count: usize) -> Result<Vec<Visit>, HarnessError> {
        let started = Instant::now();
        loop {
            let log = self.log();
            let of = format!("pop3({user})<");
            let visits: Vec<_> = log.lines().filter(|line| line.contains(&of)).filter_map(visit).collect();
            if visits.len() >= count {
                return Ok(visits);
            }
            if started.elapsed() > LAG {
                let what = format!("the end of session {count} of {user}");
                return Err(HarnessError::TooLate { what, seconds: LAG.as_secs(), log });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Reads `top=0/0, retr=4/123, del=0/4`: times and octets, or deleted and all.
fn visit(line: &str) -> Option<Visit> {
    let pair = |name: &str| -> Option<(u64, u64)> {
        let (one, other) = line.split_once(name)?.1.split([',', ' ']).next()?.split_once('/')?;
        Some((one.parse().ok()?, other.parse().ok()?))
    };
    let ((top, _), (retr, _), (deleted, messages)) = (pair(" top=")?, pair(" retr=")?, pair(" del=")?);
    Some(Visit { top, retr, deleted, messages })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_a_session_are_read() {
        let line = "pop3(ann)<7><x>: Info: Disconnected: Logged out top=1/20, retr=4/123, del=2/9, size=44";
        assert_eq!(visit(line), Some(Visit { top: 1, retr: 4, deleted: 2, messages: 9 }));
        assert_eq!(visit("pop3-login: Info: Login: user=<ann>, method=PLAIN"), None);
    }
}
