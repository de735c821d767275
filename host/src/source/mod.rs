//! Polls the accounts, each on its own schedule. One slow or dead server holds up nobody.

mod batch;
mod contact;
mod error;
mod gate;
mod habits;
mod inventory;
mod lease;
mod numberless;
mod pace;
mod poll;
mod print;
mod probe;
mod rehearse;
mod remove;
mod rename;
mod report;
mod retrieve;
mod room;
mod schedule;
pub(crate) mod session;
mod silence;
#[cfg(test)]
mod testing;
pub(crate) mod token;
mod visit;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use postroom_mail::AccountId;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use error::{Error, Trouble};
pub use inventory::{Holdings, Keeping, list};
pub use lease::{Leases, NotOurs};
pub use poll::{Said, poll};
pub use probe::{Examined, Finding, Level, Probed, examine, probe};
pub use remove::policy_of;
pub use report::{Fate, Rehearsed, Report};
pub use retrieve::next_try;
pub use room::InFlight;
pub use token::Purses;

use crate::config::AccountConfig;
use crate::supervise::Host;

/// Where a server listens: what its accounts share.
type Server = (String, u16);

fn server(account: &AccountConfig) -> Server {
    (account.host.to_ascii_lowercase(), account.port)
}

/// Polls every account once, side by side within the limits, and reports on each.
pub async fn poll_all(host: &Arc<Host>) -> BTreeMap<AccountId, Report> {
    let live = host.live.load_full();
    let accounts = &live.config.accounts;
    let mut waiting: Vec<_> = accounts.iter().filter(|(_, account)| account.enabled).collect();
    let limits = &live.config.limits;
    let mut open: BTreeMap<Server, usize> = BTreeMap::new();
    let mut polls = JoinSet::new();
    let mut reports = BTreeMap::new();
    loop {
        if host.stopping() {
            waiting.clear();
        }
        waiting.retain(|(id, account)| {
            let sessions = open.entry(server(account)).or_default();
            let room = polls.len() < limits.sessions && *sessions < limits.sessions_per_host;
            if room {
                *sessions += 1;
                spawn_poll(&mut polls, host, (*id).clone());
            }
            !room
        });
        match polls.join_next().await {
            Some(Ok((id, report))) => {
                if let Some(sessions) = accounts.get(&id).and_then(|account| open.get_mut(&server(account))) {
                    *sessions = sessions.saturating_sub(1);
                }
                reports.insert(id, report);
            }
            Some(Err(error)) => {
                tracing::error!(%error, "a poll task failed");
                open.values_mut().for_each(|sessions| *sessions = 0);
            }
            None => return reports,
        }
    }
}

/// Polls each account whenever it is due, until `stop`. Follows the running configuration as it is swapped.
pub async fn schedule(host: Arc<Host>, mut stop: watch::Receiver<bool>) {
    let mut schedule = schedule::Schedule::default();
    let mut polls = JoinSet::new();
    while !*stop.borrow() {
        let live = host.live.load_full();
        let (accounts, limits) = (&live.config.accounts, &live.config.limits);
        schedule.follow(&live, &host.chance, Instant::now());
        let busy = schedule.busy();
        host.leases.retain(|id| accounts.get(id).is_some_and(|account| account.enabled) || busy.contains(id));
        for id in schedule.due(accounts, limits, Instant::now()) {
            spawn_poll(&mut polls, &host, id);
        }
        let wake = schedule.next(accounts, Instant::now());
        tokio::select! {
            Some(ended) = polls.join_next() => match ended {
                Ok((id, report)) => {
                    let live = host.live.load();
                    let account = live.config.accounts.get(&id);
                    schedule.ended(id, account, &report, &host.chance, Instant::now());
                }
                Err(error) => {
                    tracing::error!(%error, "a poll task failed");
                    schedule.forget_running(Instant::now());
                }
            },
            () = tokio::time::sleep_until(wake) => {}
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
