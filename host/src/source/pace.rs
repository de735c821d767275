//! How long an account waits for its next poll. Pure: from how the last polls ended to a pause.

use std::time::Duration;

use super::Trouble;
use crate::config::Poll;

/// The longest pause after passing trouble.
pub(super) const LONGEST: Duration = Duration::from_secs(60 * 60);
/// The longest pause after refused credentials: an account must not be locked out, and must not be forgotten either.
const CAUTIOUS: Duration = Duration::from_secs(24 * 60 * 60);
/// The first and the longest pause while another session has the maildrop; a server may take ten minutes to notice that a
/// connection broke.
const IN_USE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10 * 60));
/// A listing that was not believed is looked at again after so long.
const AGAIN: Duration = Duration::from_secs(60);

/// What is remembered of an account's polls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pace {
    /// Polls in a row that failed for the same reason.
    failures: u32,
    trouble: Option<Trouble>,
    /// The pause between successful polls, as it has adapted.
    pause: Option<Duration>,
}

/// How a poll ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The session ended before everything new was retrieved.
    More,
    /// The listing was not believed.
    Held,
    /// In good order, with so many new messages.
    Well(u64),
    /// It failed; the server allows the next login after so long, when it said so.
    Failed(Trouble, Option<Duration>),
}

impl Pace {
    /// The pause until the next poll, before jitter; also takes down how this one ended. `floor` is the server's least time
    /// between two logins.
    pub(super) fn after(&mut self, ended: Ended, poll: Poll, floor: Duration) -> Duration {
        let pause = match ended {
            // What waits at the server waits for nothing but us.
            Ended::More => {
                self.clear();
                Duration::from_secs(1)
            }
            Ended::Held => AGAIN.min(poll.least),
            Ended::Well(new) => {
                self.clear();
                self.adapted(poll, new)
            }
            Ended::Failed(trouble, wait) => self.failed(trouble, poll).max(wait.unwrap_or_default()),
        };
        pause.max(floor)
    }

    /// A person changed something: perhaps what was wrong.
    pub(super) fn forgive(&mut self) -> bool {
        let failing = self.trouble.is_some();
        self.clear();
        failing
    }

    fn clear(&mut self) {
        (self.failures, self.trouble) = (0, None);
    }

    /// Halved by new mail, half as long again without, within what is configured.
    fn adapted(&mut self, poll: Poll, new: u64) -> Duration {
        let before = self.pause.unwrap_or(poll.least);
        let pause = if new > 0 { before / 2 } else { before + before / 2 };
        let pause = pause.clamp(poll.least, poll.most.max(poll.least));
        self.pause = Some(pause);
        pause
    }

    fn failed(&mut self, trouble: Trouble, poll: Poll) -> Duration {
        self.failures = if self.trouble == Some(trouble) { self.failures.saturating_add(1) } else { 1 };
        self.trouble = Some(trouble);
        let doubled =
            |from: Duration, times: u32| from.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX));
        match trouble {
            Trouble::InUse => doubled(IN_USE.0, self.failures - 1).min(IN_USE.1),
            Trouble::Network | Trouble::Passing | Trouble::TooOften => {
                doubled(poll.least, self.failures).min(LONGEST.max(poll.least))
            }
            // The first may be the server's own trouble; many servers lock an account after a few.
            Trouble::Credentials => doubled(LONGEST / 4, self.failures - 1).min(CAUTIOUS).max(poll.least),
            // The servers are not at fault: they are asked again soon.
            Trouble::NoRoom => AGAIN.min(poll.least),
            Trouble::Person => LONGEST.max(poll.least),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn minutes(pauses: impl IntoIterator<Item = Duration>) -> Vec<u64> {
        pauses.into_iter().map(|pause| pause.as_secs() / 60).collect()
    }

    fn failing(trouble: Trouble, poll: Poll, times: usize) -> Vec<Duration> {
        let mut pace = Pace::default();
        (0..times).map(|_| pace.after(Ended::Failed(trouble, None), poll, Duration::ZERO)).collect()
    }

    #[test]
    fn passing_trouble_doubles_the_pause_up_to_an_hour_and_never_below_what_is_asked_for() {
        let poll = Poll::every(5 * MINUTE);
        assert_eq!(minutes(failing(Trouble::Passing, poll, 6)), [10, 20, 40, 60, 60, 60]);
        let daily = Poll::every(1440 * MINUTE);
        assert_eq!(minutes(failing(Trouble::Network, daily, 40)).last(), Some(&1440));
    }

    #[test]
    fn a_locked_maildrop_is_tried_soon_and_up_to_every_ten_minutes() {
        let pauses = failing(Trouble::InUse, Poll::every(60 * MINUTE), 7);
        assert_eq!(
            pauses.iter().map(Duration::as_secs).collect::<Vec<_>>(),
            [30, 60, 120, 240, 480, 600, 600]
        );
    }

    #[test]
    fn refused_credentials_are_tried_again_ever_more_rarely_but_for_ever() {
        let pauses = failing(Trouble::Credentials, Poll::every(MINUTE), 40);
        assert_eq!(minutes(pauses[..9].to_vec()), [15, 30, 60, 120, 240, 480, 960, 1440, 1440]);
        assert_eq!(pauses.last(), Some(&CAUTIOUS));
    }

    #[test]
    fn another_kind_of_failure_counts_from_one_and_success_forgets() {
        let (mut pace, poll) = (Pace::default(), Poll::every(5 * MINUTE));
        let mut after = |ended| pace.after(ended, poll, Duration::ZERO).as_secs() / 60;
        assert_eq!(after(Ended::Failed(Trouble::Passing, None)), 10);
        assert_eq!(after(Ended::Failed(Trouble::Passing, None)), 20);
        assert_eq!(after(Ended::Failed(Trouble::Network, None)), 10);
        assert_eq!(after(Ended::Well(0)), 5);
        assert_eq!(after(Ended::Failed(Trouble::Network, None)), 10);
    }

    #[test]
    fn the_pause_follows_the_mail_within_what_is_configured() {
        let (mut pace, poll) = (Pace::default(), Poll { least: MINUTE, most: 16 * MINUTE });
        let mut after = |new| pace.after(Ended::Well(new), poll, Duration::ZERO).as_secs();
        assert_eq!((0..9).map(|_| after(0)).last(), Some(960));
        assert_eq!((0..9).map(|_| after(1)).take(3).collect::<Vec<_>>(), [480, 240, 120]);
        let fixed = Poll::every(5 * MINUTE);
        let mut pace = Pace::default();
        assert!((0..9).all(|n| pace.after(Ended::Well(n % 2), fixed, Duration::ZERO) == 5 * MINUTE));
    }

    #[test]
    fn more_mail_waits_for_nothing_but_the_servers_own_delay() {
        let (mut pace, poll) = (Pace::default(), Poll::every(5 * MINUTE));
        assert_eq!(pace.after(Ended::More, poll, Duration::ZERO), Duration::from_secs(1));
        assert_eq!(pace.after(Ended::More, poll, 10 * MINUTE), 10 * MINUTE);
        assert_eq!(
            pace.after(Ended::Failed(Trouble::TooOften, Some(30 * MINUTE)), poll, MINUTE),
            30 * MINUTE
        );
    }

    #[test]
    fn a_listing_that_was_not_believed_is_looked_at_again_within_a_minute() {
        let mut pace = Pace::default();
        assert_eq!(pace.after(Ended::Held, Poll::every(60 * MINUTE), Duration::ZERO), MINUTE);
    }
}
