//! What was learnt of servers and accounts, kept across restarts: how long to wait between logins, what a server only
//! pretends to offer. Advice, never identity: losing it costs a few refused commands, no mail.

use std::time::Duration;

use postroom_mail::{AccountId, Timestamp};
use postroom_spool::Spool;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::AccountConfig;

/// What was learnt of a server: every account there profits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Server {
    /// Least seconds between two logins of one account, as CAPA says.
    pub advertised_delay: u64,
    /// The same as learnt from refused logins; forgotten as logins succeed.
    pub learnt_delay: u64,
    /// Until when commands are sent one by one: the server lost step when they came together.
    pub one_by_one_until: Option<Timestamp>,
    /// It answered CAPA once, so that a connection that breaks there is just that.
    pub capa: bool,
    /// Until when CAPA is not asked for: the server hung up at it, and a login without it succeeded.
    pub no_capa_until: Option<Timestamp>,
    /// Until when TOP is not asked for: it was refused whenever it was.
    pub no_top_until: Option<Timestamp>,
}

/// What was learnt of one account's maildrop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Maildrop {
    /// It gave unique-ids before, so a refusal of UIDL is passing trouble.
    pub uidl: bool,
    /// The server hides what was retrieved (`EXPIRE 0`, or known of the provider).
    pub hides: bool,
    /// Listings in a row that were empty though mail was there before.
    pub empty: u32,
    /// Listings in a row in which most of the known mail was missing.
    pub short: u32,
    /// Listings in a row in which every unique-id was unknown.
    pub strange: u32,
    /// Polls in a row after which mail came back whose deletion had been confirmed.
    pub returned: u32,
    /// The server confirmed deletions in the last session.
    pub deleted: bool,
    /// When the last login ended; only kept where the server has a login delay.
    pub last_login: Option<Timestamp>,
    /// Since when the maildrop has been locked by somebody else.
    pub in_use_since: Option<Timestamp>,
}

/// So many confirmed deletions that did not last show that the server does not delete.
const RETURNED: u32 = 3;
/// How long what a server cannot do is not asked of it.
const SPARED: Duration = Duration::from_secs(7 * 86_400);

/// Whether something is still to be spared. One that ends later than any could comes from a clock that was ahead.
fn spared(until: Option<Timestamp>, now: Timestamp) -> bool {
    until.is_some_and(|until| until > now && until <= now.after(SPARED))
}

impl Server {
    /// Whether commands may be sent ahead.
    pub(super) fn may_pipeline(&self, now: Timestamp) -> bool {
        !spared(self.one_by_one_until, now)
    }

    /// It lost step.
    pub(super) fn lost_step(&mut self, now: Timestamp) {
        self.one_by_one_until = Some(now.after(SPARED));
    }

    /// It refused a login as too soon: the delay is longer than was known. At most an hour.
    pub(super) fn too_soon(&mut self) {
        self.learnt_delay = (self.learnt_delay * 2).clamp(60, 3600);
    }

    /// A login succeeded: what was learnt may have been a bad hour of the server's.
    pub(super) fn let_in(&mut self) {
        self.learnt_delay = if self.learnt_delay <= 60 { 0 } else { self.learnt_delay / 2 };
    }

    /// Least seconds between two logins.
    pub(super) fn login_delay(&self) -> u64 {
        self.advertised_delay.max(self.learnt_delay)
    }

    /// Whether CAPA is to be asked for.
    pub(super) fn asks_capa(&self, now: Timestamp) -> bool {
        !spared(self.no_capa_until, now)
    }

    /// Whether TOP is to be asked for.
    pub(super) fn shows_headers(&self, now: Timestamp) -> bool {
        !spared(self.no_top_until, now)
    }

    /// It refused TOP whenever it was asked.
    pub(super) fn refused_headers(&mut self, now: Timestamp) {
        self.no_top_until = Some(now.after(SPARED));
    }

    /// It hung up at CAPA, and let us in without.
    pub(super) fn hung_up_at_capa(&mut self, now: Timestamp) {
        self.no_capa_until = Some(now.after(SPARED));
    }
}

impl Maildrop {
    /// Whether deletions are of no use here.
    pub(super) fn ignores_deletion(&self) -> bool {
        self.returned >= RETURNED
    }

    /// When the next login is allowed.
    pub(super) fn next_login(&self, server: &Server, now: Timestamp) -> Option<Timestamp> {
        // A login in the future was noted by a clock that was ahead.
        let last = self.last_login.filter(|last| server.advertised_delay > 0 && *last <= now)?;
        Some(last.after(Duration::from_secs(server.advertised_delay)))
    }
}

/// Both, as they were and as they are now.
pub(super) struct Habits {
    pub(super) server: Server,
    pub(super) maildrop: Maildrop,
    scopes: (String, String),
    before: (Server, Maildrop),
}

impl Habits {
    /// What is known.
    pub(super) async fn recall(
        spool: &dyn Spool,
        id: &AccountId,
        account: &AccountConfig,
    ) -> Result<Self, postroom_spool::Error> {
        let host = account.host.to_ascii_lowercase();
        let scopes = (format!("server/{host}:{}", account.port), format!("account/{id}"));
        let server: Server = read(spool.learnt(&scopes.0).await?);
        let maildrop: Maildrop = read(spool.learnt(&scopes.1).await?);
        Ok(Self { before: (server.clone(), maildrop.clone()), server, maildrop, scopes })
    }

    /// Writes down what changed.
    pub(super) async fn keep(
        &mut self,
        spool: &dyn Spool,
        now: Timestamp,
    ) -> Result<(), postroom_spool::Error> {
        if self.server != self.before.0 {
            spool.learn(&self.scopes.0, written(&self.server), now).await?;
        }
        if self.maildrop != self.before.1 {
            spool.learn(&self.scopes.1, written(&self.maildrop), now).await?;
        }
        self.before = (self.server.clone(), self.maildrop.clone());
        Ok(())
    }
}

/// What cannot be read is as good as nothing: it is advice.
fn read<T: Default + DeserializeOwned>(note: Option<String>) -> T {
    note.and_then(|note| serde_json::from_str(&note).ok()).unwrap_or_default()
}

fn written<T: Default + PartialEq + Serialize>(habits: &T) -> Option<String> {
    if *habits == T::default() { None } else { serde_json::to_string(habits).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_refused_as_too_soon_doubles_the_delay_up_to_an_hour() {
        let mut server = Server::default();
        let delays: Vec<_> = (0..8)
            .map(|_| {
                server.too_soon();
                server.login_delay()
            })
            .collect();
        assert_eq!(delays, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        let delays: Vec<_> = (0..8)
            .map(|_| {
                server.let_in();
                server.login_delay()
            })
            .collect();
        assert_eq!(delays, [1800, 900, 450, 225, 112, 56, 0, 0], "forgotten as logins succeed");
    }

    #[test]
    fn a_server_that_lost_step_gets_single_commands_for_a_week() {
        let mut server = Server::default();
        let now = Timestamp(1_000);
        assert!(server.may_pipeline(now));
        server.lost_step(now);
        assert!(!server.may_pipeline(now.after(SPARED - Duration::from_secs(1))));
        assert!(server.may_pipeline(now.after(SPARED)));
    }

    #[test]
    fn what_a_clock_noted_that_was_years_ahead_binds_nobody() {
        let now = Timestamp(1_000_000);
        let server = Server {
            advertised_delay: 300,
            one_by_one_until: Some(now.after(SPARED * 100)),
            ..Server::default()
        };
        assert!(server.may_pipeline(now));
        let maildrop = Maildrop { last_login: Some(now.after(SPARED)), ..Maildrop::default() };
        assert_eq!(maildrop.next_login(&server, now), None);
        let maildrop = Maildrop { last_login: Some(now), ..Maildrop::default() };
        assert_eq!(maildrop.next_login(&server, now), Some(now.after(Duration::from_secs(300))));
    }

    #[test]
    fn notes_that_cannot_be_read_count_as_none_and_unknown_fields_are_left_out() {
        assert_eq!(read::<Server>(Some("not json".to_owned())), Server::default());
        let newer = r#"{"advertised_delay":300,"of_a_newer_version":1}"#.to_owned();
        assert_eq!(read::<Server>(Some(newer)).advertised_delay, 300);
        assert_eq!(written(&Server::default()), None);
    }
}
