//! One poll of one account: who may, when it may, as many sessions as it takes, and how it ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use postroom_failpoint::reach;
use postroom_mail::AccountId;
use postroom_spool::PollOutcome;

use super::error::{Error, Trouble};
use super::habits::Habits;
use super::report::Report;
use super::retrieve::STUMBLES;
use super::silence;
use super::visit::visit;
use crate::config::AccountConfig;
use crate::live::Live;
use crate::progress::Progress;
use crate::supervise::Host;

/// So many arrivals show an account's rhythm.
const ARRIVALS: usize = 50;
/// A maildrop that has been locked for longer by somebody else is a failure; before that it is a matter of course.
const LOCKED: Duration = Duration::from_secs(30 * 60);

/// Polls one account, records how it ended, and reports.
pub async fn poll(host: &Host, live: &Live, id: &AccountId, account: &AccountConfig) -> Report {
    let mut report = Report::default();
    reach("poll", "begun");
    let ended = within_limits(host, live, id, account, &mut report).await;
    match &ended {
        Err(error) => {
            report.error = Some(error.to_string());
            report.trouble = Some(error.trouble());
            report.hint = Some(error.hint(account).replace("ACCOUNT", id.as_str()));
            report.needs_a_person = error.needs_a_person();
            tracing::warn!(account = %id, %error, "a poll failed");
        }
        Ok(()) => {
            tracing::info!(account = %id, listed = report.listed, retrieved = report.retrieved, removed = report.removed, "polled");
        }
    }
    let odd: Vec<String> = report.notes.iter().chain(&report.held).cloned().collect();
    host.said.say(id, &odd);
    if host.rehearsing() {
        return report;
    }
    reach("poll", "ended");
    let outcome = match (&report.error, &report.held) {
        (Some(reason), _) => PollOutcome::Failed { reason: reason.clone() },
        (None, Some(reason)) => PollOutcome::Held { reason: reason.clone() },
        (None, None) => PollOutcome::Complete { listed: report.listed },
    };
    if let Err(error) = host.spool.close_poll(id, outcome, host.clock.now()).await {
        tracing::error!(account = %id, %error, "cannot record how the poll ended");
    }
    reach("poll", "recorded");
    host.observer.tell(Progress::Polled { account: id.clone(), error: report.error.clone() });
    report
}

async fn within_limits(
    host: &Host,
    live: &Live,
    id: &AccountId,
    account: &AccountConfig,
    report: &mut Report,
) -> Result<(), Error> {
    // A rehearsal looks on while another process handles the maildrop.
    if !host.rehearsing() {
        host.leases.take(id, account)?;
        reach("poll", "leased");
    }
    let mut habits = Habits::recall(host.spool.as_ref(), id, account).await?;
    let now = host.clock.now();
    if let Some(next) = habits.maildrop.next_login(&habits.server, now).filter(|next| *next > now) {
        let wait = next.since(now);
        report.wait = Some(wait);
        return Err(Error::TooSoon { delay: habits.server.advertised_delay, wait });
    }
    let ended = visits(host, live, id, account, &mut habits, report).await;
    let now = host.clock.now();
    if let Err(error) = &ended {
        match error.trouble() {
            Trouble::InUse => {
                let since = *habits.maildrop.in_use_since.get_or_insert(now);
                if now.since(since) > LOCKED {
                    report.notes.push("the maildrop has been locked for more than half an hour".to_owned());
                }
            }
            Trouble::TooOften => {
                // Only what was said inside the protection the account asks for is remembered.
                if error.refused_login() {
                    habits.server.too_soon();
                }
                report.wait = report.wait.or(Some(Duration::from_secs(habits.server.login_delay().max(60))));
            }
            Trouble::Network
            | Trouble::Credentials
            | Trouble::Person
            | Trouble::NoRoom
            | Trouble::Passing => {}
        }
    }
    report.floor = Duration::from_secs(habits.server.login_delay());
    if !host.rehearsing() {
        habits.keep(host.spool.as_ref(), now).await?;
        let arrivals = host.spool.arrivals(id, ARRIVALS).await?;
        report.notes.extend(silence::alarm(account.silence, &arrivals, now));
    }
    ended
}

/// What was logged of each account's last poll. What stays odd for days is said once, not at every poll.
#[derive(Default)]
pub struct Said(Mutex<BTreeMap<AccountId, BTreeSet<String>>>);

impl Said {
    /// Logs the notes that the poll before did not have, whatever numbers are in them.
    fn say(&self, id: &AccountId, notes: &[String]) {
        for note in self.fresh(id, notes) {
            tracing::warn!(account = %id, "{note}");
        }
    }

    fn fresh<'a>(&self, id: &AccountId, notes: &'a [String]) -> Vec<&'a String> {
        let words = |note: &String| note.chars().filter(|ch| !ch.is_ascii_digit()).collect::<String>();
        let now = notes.iter().map(words).collect();
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = said.insert(id.clone(), now).unwrap_or_default();
        notes.iter().filter(|note| !before.contains(&words(note))).collect()
    }
}

/// One session; another one at once when a message broke it, since the others can still arrive. Bounded: a message that
/// broke [`STUMBLES`] sessions is not asked for any more.
async fn visits(
    host: &Host,
    live: &Live,
    id: &AccountId,
    account: &AccountConfig,
    habits: &mut Habits,
    report: &mut Report,
) -> Result<(), Error> {
    for _ in 0..=STUMBLES {
        let (ended, again) = visit(host, live, id, account, habits, report).await;
        if ended.is_ok() || !again || host.stopping() {
            return ended;
        }
    }
    visit(host, live, id, account, habits, report).await.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_odd_is_said_once_and_again_after_it_was_well() {
        let (said, id) = (Said::default(), AccountId::new("home").unwrap());
        let notes = |hours: u32| vec![format!("no new mail for {hours} hours"), "EXPIRE".to_owned()];
        assert_eq!(said.fresh(&id, &notes(60)).len(), 2);
        assert_eq!(said.fresh(&id, &notes(61)).len(), 0);
        assert_eq!(said.fresh(&id, &[]).len(), 0);
        assert_eq!(said.fresh(&id, &notes(62)).len(), 2);
        assert_eq!(said.fresh(&AccountId::new("other").unwrap(), &notes(1)).len(), 2);
    }
}
