//! Which sinks are left alone for a while, because they are unwell or set up wrongly: a dead server is not asked ten
//! thousand times, and one that comes back is not overrun. Reads no clock. In memory only; a restart or a reload begins
//! with every sink tried.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postroom_mail::{Name, Timestamp};

/// So many failures of a sink in a row, and it is left alone.
const FAILURES: u32 = 5;
/// For so long at first; doubled with every probe that fails.
const FIRST: Duration = Duration::from_secs(30);
/// At most.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// A sink whose configuration is at fault is left alone for so long at first: a person has to act.
const MISTAKE: Duration = Duration::from_secs(5 * 60);

/// What is known of the health of each sink.
#[derive(Default)]
pub struct Breakers(Mutex<BTreeMap<Name, Breaker>>);

/// A sink that is left alone, for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Resting {
    /// When it is tried next, with a single effect.
    pub until: Timestamp,
    /// Why it is left alone.
    pub reason: String,
}

enum Breaker {
    Closed {
        /// In a row.
        failures: u32,
        /// How many effects at once; grows with each success after the sink came back.
        width: usize,
    },
    Open {
        wait: Duration,
        resting: Resting,
    },
}

/// Whose fault a failure of the sink is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The other side's, the disk's, the network's: it passes.
    Unwell,
    /// The configuration's: once is enough.
    Mistake,
}

impl Breakers {
    /// How many effects of a sink may be under way together, when there may be `most` of a sound one. A sink that was left
    /// alone long enough gets one, as a probe.
    pub(super) fn width(&self, sink: &Name, most: usize, now: Timestamp) -> usize {
        match self.sinks().get(sink) {
            None => most,
            Some(Breaker::Closed { width, .. }) => most.min(*width),
            Some(Breaker::Open { resting, .. }) if resting.until > now => 0,
            Some(Breaker::Open { .. }) => 1,
        }
    }

    /// When a sink that is left alone is tried next.
    pub fn until(&self, sink: &Name) -> Option<Timestamp> {
        match self.sinks().get(sink) {
            Some(Breaker::Open { resting, .. }) => Some(resting.until),
            Some(Breaker::Closed { .. }) | None => None,
        }
    }

    /// The sinks that are left alone.
    pub fn resting(&self) -> BTreeMap<Name, Resting> {
        let sinks = self.sinks();
        let open = sinks.iter().filter_map(|(name, breaker)| match breaker {
            Breaker::Open { resting, .. } => Some((name.clone(), resting.clone())),
            Breaker::Closed { .. } => None,
        });
        open.collect()
    }

    /// The sink took an effect. Answers whether it had been left alone.
    pub(super) fn succeeded(&self, sink: &Name) -> bool {
        let mut sinks = self.sinks();
        let Some(breaker) = sinks.get_mut(sink) else { return false };
        let (width, back) = match breaker {
            // One probe, then two at once, and so on: those who wait must not fall upon it all together.
            Breaker::Closed { width, .. } => (width.saturating_mul(2), false),
            Breaker::Open { .. } => (1, true),
        };
        *breaker = Breaker::Closed { failures: 0, width };
        back
    }

    /// The sink failed. Answers until when it is left alone, when that begins (again) with this failure. `spread` is how
    /// a wait is made of its middle.
    pub(super) fn failed(
        &self,
        sink: &Name,
        trouble: Trouble,
        reason: &str,
        now: Timestamp,
        spread: impl Fn(Duration) -> Duration,
    ) -> Option<Timestamp> {
        let mut sinks = self.sinks();
        let breaker = sinks.entry(sink.clone()).or_insert(Breaker::Closed { failures: 0, width: usize::MAX });
        let wait = match breaker {
            // What was under way together with the one that opened it says nothing new.
            Breaker::Open { resting, .. } if resting.until > now => return None,
            Breaker::Open { wait, .. } => wait.saturating_mul(2).min(LONGEST),
            Breaker::Closed { failures, .. } => {
                *failures += 1;
                match trouble {
                    Trouble::Mistake => MISTAKE,
                    Trouble::Unwell if *failures >= FAILURES => FIRST,
                    Trouble::Unwell => return None,
                }
            }
        };
        let until = now.after(spread(wait));
        *breaker = Breaker::Open { wait, resting: Resting { until, reason: reason.to_owned() } };
        Some(until)
    }

    /// Tries every sink again.
    pub fn clear(&self) {
        self.sinks().clear();
    }

    fn sinks(&self) -> MutexGuard<'_, BTreeMap<Name, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink() -> Name {
        Name::new("vault").unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    fn fail(breakers: &Breakers, now: Timestamp) -> Option<Timestamp> {
        breakers.failed(&sink(), Trouble::Unwell, "away", now, |wait| wait)
    }

    #[test]
    fn a_sink_that_fails_five_times_in_a_row_is_left_alone() {
        let breakers = Breakers::default();
        for _ in 0..4 {
            assert_eq!(fail(&breakers, at(0)), None);
        }
        assert!(!breakers.succeeded(&sink()), "a success in between begins the count anew");
        for _ in 0..4 {
            assert_eq!(fail(&breakers, at(0)), None);
        }
        assert_eq!(breakers.width(&sink(), 16, at(0)), 16);
        assert_eq!(fail(&breakers, at(0)), Some(at(30)));
        assert_eq!(breakers.width(&sink(), 16, at(29)), 0);
        assert_eq!(breakers.resting()[&sink()].reason, "away");
        assert_eq!(fail(&breakers, at(1)), None, "what was under way too changes nothing");
        assert_eq!(breakers.until(&sink()), Some(at(30)));
    }

    #[test]
    fn a_flapping_sink_gets_one_probe_an_interval_and_longer_ones_up_to_an_hour() {
        let breakers = Breakers::default();
        let mut opened = (0..5).filter_map(|_| fail(&breakers, at(0))).next().unwrap();
        let mut waits = Vec::new();
        for _ in 0..9 {
            assert_eq!(breakers.width(&sink(), 16, Timestamp(opened.0 - 1)), 0);
            assert_eq!(breakers.width(&sink(), 16, opened), 1, "a probe");
            let next = fail(&breakers, opened).unwrap();
            waits.push(next.since(opened).as_secs());
            opened = next;
        }
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        assert!(breakers.succeeded(&sink()));
        assert_eq!(breakers.until(&sink()), None);
    }

    #[test]
    fn a_sink_that_comes_back_is_not_overrun() {
        let breakers = Breakers::default();
        (0..5).for_each(|_| _ = fail(&breakers, at(0)));
        let mut widths = Vec::new();
        for _ in 0..7 {
            breakers.succeeded(&sink());
            widths.push(breakers.width(&sink(), 16, at(60)));
        }
        assert_eq!(widths, [1, 2, 4, 8, 16, 16, 16]);
    }

    #[test]
    fn a_mistake_in_the_configuration_is_tried_once() {
        let breakers = Breakers::default();
        let until = breakers.failed(&sink(), Trouble::Mistake, "password", at(0), |wait| wait);
        assert_eq!(until, Some(at(300)));
        breakers.clear();
        assert_eq!(breakers.width(&sink(), 16, at(0)), 16);
    }
}
