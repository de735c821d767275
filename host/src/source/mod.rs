//! Polls the accounts, each on its own schedule. One slow or dead server holds up nobody.

mod error;
mod retrieve;
mod session;
mod stumbled;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use postroom_mail::AccountId;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use error::Error;
pub use retrieve::{Report, poll, probe};
pub use stumbled::Stumbled;

use crate::config::AccountConfig;
use crate::live::Live;
use crate::supervise::Host;

/// Sessions open at once.
const SESSIONS: usize = 64;
/// The longest pause after failures.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// At start many accounts are spread over so long.
const SPREAD: Duration = Duration::from_secs(10);

/// Polls every account once, side by side, and reports on each.
pub async fn poll_all(host: &Arc<Host>) -> BTreeMap<AccountId, Report> {
    let live = host.live.load_full();
    let mut waiting: Vec<AccountId> =
        live.config.accounts.iter().filter(|(_, a)| a.enabled).map(|(id, _)| id.clone()).collect();
    let mut polls = JoinSet::new();
    let mut reports = BTreeMap::new();
    loop {
        while polls.len() < SESSIONS {
            let Some(id) = waiting.pop() else { break };
            spawn_poll(&mut polls, host, id);
        }
        match polls.join_next().await {
            Some(Ok((id, report))) => {
                reports.insert(id, report);
            }
            Some(Err(error)) => tracing::error!(%error, "a poll task failed"),
            None => return reports,
        }
    }
}

/// Polls each account whenever it is due, until `stop`. Follows the running configuration as it is swapped.
pub async fn schedule(host: Arc<Host>, mut stop: watch::Receiver<bool>) {
    let mut schedule = Schedule::default();
    let mut polls = JoinSet::new();
    while !*stop.borrow() {
        schedule.follow(&host);
        for id in schedule.due(SESSIONS - polls.len()) {
            spawn_poll(&mut polls, &host, id);
        }
        let wake = schedule.next().unwrap_or_else(|| Instant::now() + LONGEST);
        tokio::select! {
            Some(ended) = polls.join_next() => match ended {
                Ok((id, report)) => schedule.ended(&host, id, &report),
                Err(error) => {
                    tracing::error!(%error, "a poll task failed");
                    schedule.forget_running();
                }
            },
            // With all sessions taken, nothing can be done about what is due.
            () = tokio::time::sleep_until(wake), if polls.len() < SESSIONS => {}
            () = host.bells.reloaded.notified() => {}
            _ = stop.changed() => {}
        }
    }
    // Sessions see `Host::stopping` and end in good order; the supervisor bounds how long this takes.
    while polls.join_next().await.is_some() {}
}

fn spawn_poll(polls: &mut JoinSet<(AccountId, Report)>, host: &Arc<Host>, id: AccountId) {
    let host = Arc::clone(host);
    polls.spawn(async move {
        let live = host.live.load_full();
        let report = match live.config.accounts.get(&id) {
            Some(account) => poll(&host, &live, &id, account).await,
            None => Report::default(),
        };
        (id, report)
    });
}

/// When each account is due.
#[derive(Default)]
struct Schedule {
    due: BTreeMap<AccountId, Instant>,
    polling: BTreeSet<AccountId>,
    failures: BTreeMap<AccountId, u32>,
    /// The configuration the times were made for.
    seen: Option<Arc<Live>>,
}

impl Schedule {
    /// Takes up new accounts, drops those that are gone.
    fn follow(&mut self, host: &Host) {
        let live = host.live.load_full();
        if self.seen.as_ref().is_some_and(|seen| !Arc::ptr_eq(seen, &live)) {
            // Perhaps what made an account fail was just mended.
            for id in std::mem::take(&mut self.failures).into_keys() {
                self.due.entry(id).and_modify(|at| *at = Instant::now());
            }
        }
        self.seen = Some(Arc::clone(&live));
        let accounts = &live.config.accounts;
        let wanted = |id: &AccountId| accounts.get(id).is_some_and(|account| account.enabled);
        self.due.retain(|id, _| wanted(id));
        let crowd = accounts.len() > 8;
        for id in accounts.keys().filter(|id| wanted(id)) {
            if !self.due.contains_key(id) && !self.polling.contains(id) {
                let first = if crowd { host.chance.within(SPREAD) } else { Duration::ZERO };
                self.due.insert(id.clone(), Instant::now() + first);
            }
        }
    }

    /// Takes at most `room` accounts that are due.
    fn due(&mut self, room: usize) -> Vec<AccountId> {
        let now = Instant::now();
        let due: Vec<_> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).take(room).collect();
        for id in &due {
            self.due.remove(id);
            self.polling.insert(id.clone());
        }
        due
    }

    /// After a task was lost: nobody knows whose it was, so every account that seems to be polled is due again. The
    /// server's own lock keeps a second session out.
    fn forget_running(&mut self) {
        for id in std::mem::take(&mut self.polling) {
            self.due.insert(id, Instant::now() + LONGEST / 12);
        }
    }

    fn next(&self) -> Option<Instant> {
        self.due.values().min().copied()
    }

    fn ended(&mut self, host: &Host, id: AccountId, report: &Report) {
        self.polling.remove(&id);
        let live = host.live.load();
        let Some(account) = live.config.accounts.get(&id) else { return };
        let failures = self.failures.entry(id.clone()).or_default();
        *failures = if report.error.is_some() { failures.saturating_add(1) } else { 0 };
        let pause = pause(account, *failures, report);
        self.due.insert(id, Instant::now() + host.chance.around(pause));
    }
}

/// The poll interval; doubled with each failure in a row up to an hour; at once when more mail waits.
fn pause(account: &AccountConfig, failures: u32, report: &Report) -> Duration {
    if report.more {
        return Duration::from_secs(1);
    }
    let doubled = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
    let backed_off = account.poll.saturating_mul(doubled).min(LONGEST.max(account.poll));
    if report.needs_a_person { LONGEST.max(account.poll) } else { backed_off }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Auth, SecretRef, TlsMode};

    fn polled_every(poll: Duration) -> AccountConfig {
        AccountConfig {
            host: "pop.example.net".to_owned(),
            port: 995,
            tls: TlsMode::Implicit,
            user: "me".to_owned(),
            password: SecretRef::File("secret".into()),
            auth: Auth::Auto,
            ca_file: None,
            poll,
            timeout: Duration::from_secs(60),
            pipeline: postroom_mail::Name::new("main").unwrap(),
            enabled: true,
            delete: postroom_spool::DeletePolicy::Never,
        }
    }

    #[test]
    fn pauses_double_with_each_failure_up_to_an_hour() {
        let account = polled_every(Duration::from_secs(300));
        let report = Report::default();
        let minutes: Vec<_> = (0..6).map(|n| pause(&account, n, &report).as_secs() / 60).collect();
        assert_eq!(minutes, [5, 10, 20, 40, 60, 60]);
        let rare = polled_every(Duration::from_secs(86_400));
        assert_eq!(pause(&rare, 40, &report), Duration::from_secs(86_400), "never more often than asked for");
    }

    #[test]
    fn what_needs_a_person_waits_an_hour_and_more_mail_does_not_wait() {
        let account = polled_every(Duration::from_secs(60));
        let person = Report { needs_a_person: true, ..Report::default() };
        assert_eq!(pause(&account, 1, &person), LONGEST);
        let more = Report { more: true, ..Report::default() };
        assert_eq!(pause(&account, 0, &more), Duration::from_secs(1));
    }
}
