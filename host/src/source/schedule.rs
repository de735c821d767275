//! When each account is due: all side by side, so many sessions in all and to one server, the longest waiting first. A server
//! that cannot be reached is left alone as a whole, and tried with one account again by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use postroom_mail::AccountId;
use tokio::time::Instant;

use super::pace::{Ended, LONGEST, Pace};
use super::report::Report;
use super::{Server, Trouble, server};
use crate::chance::Chance;
use crate::config::{AccountConfig, Limits};
use crate::live::Live;

/// At start many accounts are spread over so long.
const SPREAD: Duration = Duration::from_secs(10);
/// So many polls in a row that could not reach a server show that it is away.
const AWAY: u32 = 3;
/// How long a server is left alone at first, and at most.
const BREAK: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(15 * 60));

/// When each account is due.
#[derive(Default)]
pub(super) struct Schedule {
    due: BTreeMap<AccountId, Instant>,
    polling: BTreeMap<AccountId, Server>,
    paces: BTreeMap<AccountId, Pace>,
    servers: BTreeMap<Server, Breaker>,
    /// The configuration the times were made for.
    seen: Option<Arc<Live>>,
}

/// Whether a server can be reached.
#[derive(Clone, Copy, Debug, Default)]
struct Breaker {
    failures: u32,
    closed_until: Option<Instant>,
}

impl Schedule {
    /// Takes up new accounts, drops those that are gone.
    pub(super) fn follow(&mut self, live: &Arc<Live>, chance: &Chance, now: Instant) {
        let changed = self.seen.as_ref().is_some_and(|seen| !Arc::ptr_eq(seen, live));
        self.seen = Some(Arc::clone(live));
        if changed {
            // Perhaps what made an account fail was just mended.
            self.servers.clear();
            for (id, pace) in &mut self.paces {
                if pace.forgive() {
                    self.due.entry(id.clone()).and_modify(|at| *at = now);
                }
            }
        }
        let accounts = &live.config.accounts;
        let wanted = |id: &AccountId| accounts.get(id).is_some_and(|account| account.enabled);
        self.due.retain(|id, _| wanted(id));
        let crowd = accounts.len() > 8;
        for id in accounts.keys().filter(|id| wanted(id)) {
            if !self.due.contains_key(id) && !self.polling.contains_key(id) {
                let first = if crowd { chance.within(SPREAD) } else { Duration::ZERO };
                self.due.insert(id.clone(), now + first);
            }
        }
    }

    /// Takes the accounts to poll now, the longest waiting first.
    pub(super) fn due(
        &mut self,
        accounts: &BTreeMap<AccountId, AccountConfig>,
        limits: &Limits,
        now: Instant,
    ) -> Vec<AccountId> {
        let mut waiting: Vec<_> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(id, at)| (*at, id.clone())).collect();
        waiting.sort();
        let mut taken = Vec::new();
        for (_, id) in waiting {
            if self.polling.len() >= limits.sessions {
                break;
            }
            let Some(account) = accounts.get(&id) else { continue };
            let server = server(account);
            let open = self.polling.values().filter(|polled| **polled == server).count();
            let breaker = self.servers.entry(server.clone()).or_default();
            let trial = breaker.failures >= AWAY;
            if breaker.closed_until.is_some_and(|until| until > now)
                || open >= if trial { 1 } else { limits.sessions_per_host }
            {
                continue;
            }
            self.due.remove(&id);
            self.polling.insert(id.clone(), server);
            taken.push(id);
        }
        taken
    }

    /// When to look again; what waits for a free session is looked at when one ends.
    pub(super) fn next(&self, accounts: &BTreeMap<AccountId, AccountConfig>, now: Instant) -> Instant {
        let at = |(id, at): (&AccountId, &Instant)| {
            let breaker = accounts.get(id).and_then(|account| self.servers.get(&server(account)));
            let closed = breaker.and_then(|breaker| breaker.closed_until);
            let at = closed.map_or(*at, |until| until.max(*at));
            // What is due and was not taken waits for a session to end.
            (at > now).then_some(at)
        };
        self.due.iter().filter_map(at).min().unwrap_or(now + LONGEST)
    }

    /// A poll ended.
    pub(super) fn ended(
        &mut self,
        id: AccountId,
        account: Option<&AccountConfig>,
        report: &Report,
        chance: &Chance,
        now: Instant,
    ) {
        let polled = self.polling.remove(&id);
        let Some(account) = account else { return };
        let ended = match report.trouble {
            Some(trouble) => Ended::Failed(trouble, report.wait),
            None if report.held.is_some() => Ended::Held,
            None if report.more => Ended::More,
            None => Ended::Well(report.retrieved),
        };
        if let Some(server) = polled {
            self.reached(server, report.trouble != Some(Trouble::Network), now);
        }
        let pause = self.paces.entry(id.clone()).or_default().after(ended, account.poll, report.floor);
        // Jitter must not shorten what the server demands.
        let pause = chance.around(pause).max(report.floor).max(report.wait.unwrap_or_default());
        self.due.insert(id, now + pause);
    }

    fn reached(&mut self, server: Server, reached: bool, now: Instant) {
        let breaker = self.servers.entry(server).or_default();
        if reached {
            *breaker = Breaker::default();
            return;
        }
        breaker.failures = breaker.failures.saturating_add(1);
        if breaker.failures >= AWAY {
            let doubled = 1_u32.checked_shl(breaker.failures - AWAY).unwrap_or(u32::MAX);
            breaker.closed_until = Some(now + BREAK.0.saturating_mul(doubled).min(BREAK.1));
        }
    }

    /// After a task was lost: nobody knows whose it was, so every account that seems to be polled is due again. The
    /// server's own lock keeps a second session out.
    pub(super) fn forget_running(&mut self, now: Instant) {
        for id in std::mem::take(&mut self.polling).into_keys() {
            self.due.insert(id, now + LONGEST / 12);
        }
    }

    /// The accounts that are being polled.
    pub(super) fn busy(&self) -> BTreeSet<&AccountId> {
        self.polling.keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::account;

    fn accounts(hosts: &[&str]) -> BTreeMap<AccountId, AccountConfig> {
        let one = |(index, host): (usize, &&str)| {
            let id = AccountId::new(format!("a{index:03}")).unwrap();
            (id, AccountConfig { host: (*host).to_owned(), ..account() })
        };
        hosts.iter().enumerate().map(one).collect()
    }

    fn limits(sessions: usize, sessions_per_host: usize) -> Limits {
        Limits {
            message: 1,
            attempts: 1,
            keep_bodies: Duration::ZERO,
            workers: 1,
            sessions,
            sessions_per_host,
            free_space: 0,
            spool: u64::MAX,
            waiting: u64::MAX,
            in_flight: u64::MAX,
            compile: postroom_sandbox::CompileLimits::default(),
        }
    }

    fn all_due(accounts: &BTreeMap<AccountId, AccountConfig>, now: Instant) -> Schedule {
        let due =
            accounts.keys().enumerate().map(|(n, id)| (id.clone(), now - Duration::from_secs(n as u64)));
        Schedule { due: due.collect(), ..Schedule::default() }
    }

    fn report(trouble: Option<Trouble>) -> Report {
        Report { trouble, ..Report::default() }
    }

    #[test]
    fn sessions_are_limited_for_each_server_and_in_all_and_the_longest_waiting_comes_first() {
        let now = Instant::now();
        let accounts = accounts(&["one", "one", "one", "two", "two", "three"]);
        let mut schedule = all_due(&accounts, now);
        let taken = schedule.due(&accounts, &limits(4, 2), now);
        let names: Vec<_> = taken.iter().map(AccountId::as_str).collect();
        // The later in the alphabet, the longer it has waited here.
        assert_eq!(names, ["a005", "a004", "a003", "a002"]);
        assert!(schedule.due(&accounts, &limits(4, 2), now).is_empty());
        let chance = Chance::seeded(1);
        schedule.ended(taken[3].clone(), accounts.get(&taken[3]), &report(None), &chance, now);
        let next = schedule.due(&accounts, &limits(4, 2), now);
        assert_eq!(next.iter().map(AccountId::as_str).collect::<Vec<_>>(), ["a001"]);
    }

    #[test]
    fn a_server_that_is_away_is_left_alone_and_then_tried_with_one_account() {
        let now = Instant::now();
        let accounts = accounts(&["away", "away", "away", "away", "there"]);
        let chance = Chance::seeded(1);
        let mut schedule = all_due(&accounts, now);
        let taken = schedule.due(&accounts, &limits(64, 3), now);
        assert_eq!(taken.len(), 4, "three of the one server, one of the other");
        for id in &taken {
            let trouble = accounts[id].host.starts_with("away").then_some(Trouble::Network);
            schedule.ended(id.clone(), accounts.get(id), &report(trouble), &chance, now);
        }
        assert!(schedule.due(&accounts, &limits(64, 3), now).is_empty(), "the fourth account is spared");
        let later = now + BREAK.0;
        assert_eq!(schedule.next(&accounts, now), later, "it is tried again by itself");
        for at in schedule.due.values_mut() {
            *at = now;
        }
        let trial = schedule.due(&accounts, &limits(64, 3), later);
        assert_eq!(trial.iter().filter(|id| accounts[*id].host == "away").count(), 1);
        let id = trial.iter().find(|id| accounts[*id].host == "away").unwrap();
        schedule.ended(id.clone(), accounts.get(id), &report(None), &chance, later);
        assert_eq!(schedule.due(&accounts, &limits(64, 3), later).len(), 3, "all is well again");
    }

    #[test]
    fn jitter_never_goes_below_what_the_server_demands() {
        let now = Instant::now();
        let accounts = accounts(&["one"]);
        let id = accounts.keys().next().unwrap();
        let floor = Duration::from_secs(720);
        for seed in 0..50 {
            let mut schedule = all_due(&accounts, now);
            schedule.due(&accounts, &limits(1, 1), now);
            let report = Report { floor, ..Report::default() };
            schedule.ended(id.clone(), accounts.get(id), &report, &Chance::seeded(seed), now);
            assert!(schedule.due[id] >= now + floor);
        }
    }
}
