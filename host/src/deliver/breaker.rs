//! Sinks that are left alone for a while because they fail as a whole: a wrong password, or a server that is down, must not
//! be tried once for each of ten thousand effects. In memory only; a restart or a reload tries again.
//!
//! A breaker opens at once by a fault of the configuration, and by [`TOLERATED`] failures of the sink in a row. While it is
//! open one effect is tried at each interval, and the intervals grow. A success closes it; then a few effects go out at
//! once, and more with each round that succeeds, so that a queue does not fall upon a sink that has just come back.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postroom_mail::{Name, Timestamp};
use serde::Serialize;

use crate::chance::Chance;

/// So many failures in a row are taken for the sink's own.
const TOLERATED: u32 = 5;
/// The first interval between two probes.
const FIRST: Duration = Duration::from_secs(30);
/// The first one after a fault of the configuration, which does not mend itself.
const HOLD: Duration = Duration::from_secs(5 * 60);
/// The longest interval.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// A recovery is complete when so many effects may be under way at once.
const WIDEST: usize = 16;

/// A breaker for each sink that failed lately.
#[derive(Default)]
pub struct Breakers(Mutex<BTreeMap<Name, Breaker>>);

/// A sink that is left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LeftAlone {
    /// Until when nothing is tried there.
    pub until: Timestamp,
    /// What went wrong last.
    pub reason: String,
    /// Its configuration is at fault: a person has to act.
    pub needs_a_person: bool,
}

#[derive(Default)]
struct Breaker {
    /// Failures of the sink in a row.
    failures: u32,
    open: Option<Open>,
    recovery: Option<Recovery>,
}

struct Open {
    /// Before jitter.
    interval: Duration,
    left_alone: LeftAlone,
}

/// How many effects may be under way at once, and how many of this round succeeded.
#[derive(Clone, Copy)]
struct Recovery {
    width: usize,
    succeeded: usize,
}

impl Breakers {
    /// How many more effects of the sink may be tried now, when it takes `most` at once and `busy` are under way.
    pub(super) fn room(&self, sink: &Name, most: usize, busy: usize, now: Timestamp) -> usize {
        let breakers = self.lock();
        let Some(breaker) = breakers.get(sink) else { return most.saturating_sub(busy) };
        match &breaker.open {
            Some(open) => usize::from(busy == 0 && open.left_alone.until <= now),
            None => {
                let width = breaker.recovery.map_or(most, |recovery| recovery.width.min(most));
                width.saturating_sub(busy)
            }
        }
    }

    /// An effect was carried out.
    pub(super) fn succeeded(&self, sink: &Name) {
        let mut breakers = self.lock();
        let Some(breaker) = breakers.get_mut(sink) else { return };
        breaker.failures = 0;
        if breaker.open.take().is_some() {
            tracing::info!(%sink, "the sink works again");
            breaker.recovery = Some(Recovery { width: 1, succeeded: 0 });
        }
        breaker.recovery = breaker.recovery.and_then(Recovery::succeeded);
        if breaker.recovery.is_none() {
            breakers.remove(sink);
        }
    }

    /// The sink refused an effect, so it answers: a probe that gets so far ends the time of being left alone.
    pub(super) fn answered(&self, sink: &Name, now: Timestamp) {
        let mut breakers = self.lock();
        let Some(breaker) = breakers.get_mut(sink) else { return };
        breaker.failures = 0;
        if breaker.open.take_if(|open| open.left_alone.until <= now).is_some() {
            tracing::info!(%sink, "the sink answers again");
            breaker.recovery = Some(Recovery { width: 1, succeeded: 0 });
        }
    }

    /// The sink failed, whatever the effect.
    pub(super) fn failed(&self, sink: &Name, reason: &str, now: Timestamp, chance: &Chance) {
        let mut breakers = self.lock();
        let breaker = breakers.entry(sink.clone()).or_default();
        breaker.failures = breaker.failures.saturating_add(1);
        let interval = match &breaker.open {
            // It was under way when the breaker opened.
            Some(open) if open.left_alone.until > now => return,
            Some(open) => open.interval.saturating_mul(2).min(LONGEST),
            None if breaker.failures >= TOLERATED || breaker.recovery.is_some() => FIRST,
            None => return,
        };
        breaker.open(sink, interval, (reason, false), now, chance);
    }

    /// The configuration of the sink is at fault. Answers until when it is left alone.
    pub(super) fn misconfigured(
        &self,
        sink: &Name,
        reason: &str,
        now: Timestamp,
        chance: &Chance,
    ) -> Timestamp {
        let mut breakers = self.lock();
        let breaker = breakers.entry(sink.clone()).or_default();
        let interval = match &breaker.open {
            Some(open) if open.left_alone.until > now => return open.left_alone.until,
            Some(open) => open.interval.saturating_mul(2).clamp(HOLD, LONGEST),
            None => HOLD,
        };
        breaker.open(sink, interval, (reason, true), now, chance)
    }

    /// The sinks that are left alone.
    pub fn left_alone(&self) -> BTreeMap<Name, LeftAlone> {
        let breakers = self.lock();
        let open = breakers.iter().filter_map(|(sink, breaker)| Some((sink, breaker.open.as_ref()?)));
        open.map(|(sink, open)| (sink.clone(), open.left_alone.clone())).collect()
    }

    /// Tries every sink again.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Breaker>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Breaker {
    fn open(
        &mut self,
        sink: &Name,
        interval: Duration,
        (reason, needs_a_person): (&str, bool),
        now: Timestamp,
        chance: &Chance,
    ) -> Timestamp {
        let until = now.after(chance.around(interval));
        if self.open.is_none() {
            tracing::warn!(%sink, failures = self.failures, %reason, "the sink is left alone, its effects wait");
        }
        self.recovery = None;
        self.open = Some(Open {
            interval,
            left_alone: LeftAlone { until, reason: reason.to_owned(), needs_a_person },
        });
        until
    }
}

impl Recovery {
    /// `None` when the recovery is complete.
    fn succeeded(self) -> Option<Self> {
        let succeeded = self.succeeded + 1;
        if succeeded < self.width {
            return Some(Self { succeeded, ..self });
        }
        let width = self.width * 2;
        (width < WIDEST).then_some(Self { width, succeeded: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink() -> Name {
        Name::new("vault").unwrap()
    }

    /// Seconds since the start.
    fn at(seconds: u64) -> Timestamp {
        Timestamp(0).after(Duration::from_secs(seconds))
    }

    fn opened(now: Timestamp, chance: &Chance) -> Breakers {
        let breakers = Breakers::default();
        for _ in 0..TOLERATED {
            assert_eq!(breakers.room(&sink(), 16, 0, now), 16, "not yet");
            breakers.failed(&sink(), "no route", now, chance);
        }
        breakers
    }

    #[test]
    fn a_probe_that_is_refused_by_its_answer_ends_the_wait_and_is_no_failure() {
        let chance = Chance::seeded(5);
        let breakers = opened(at(0), &chance);
        breakers.answered(&sink(), at(1));
        assert_eq!(breakers.room(&sink(), 16, 0, at(1)), 0, "it was under way when the breaker opened");
        breakers.answered(&sink(), at(60));
        assert_eq!(breakers.room(&sink(), 16, 0, at(60)), 1);
        assert!(breakers.left_alone().is_empty());
    }

    #[test]
    fn five_failures_in_a_row_open_the_breaker_and_a_success_between_them_does_not() {
        let chance = Chance::seeded(1);
        let breakers = opened(at(0), &chance);
        assert_eq!(breakers.room(&sink(), 16, 0, at(0)), 0);
        assert_eq!(breakers.left_alone()[&sink()].reason, "no route");
        let breakers = Breakers::default();
        for _ in 0..100 {
            for _ in 1..TOLERATED {
                breakers.failed(&sink(), "no route", at(0), &chance);
            }
            breakers.succeeded(&sink());
        }
        assert_eq!(breakers.room(&sink(), 16, 3, at(0)), 13);
    }

    #[test]
    fn a_fault_of_the_configuration_opens_it_at_once_and_a_reload_closes_it() {
        let breakers = Breakers::default();
        let until = breakers.misconfigured(&sink(), "535", at(0), &Chance::seeded(1));
        assert!((at(240)..=at(360)).contains(&until), "{until:?}");
        assert_eq!(breakers.room(&sink(), 16, 0, at(239)), 0);
        assert_eq!(breakers.room(&Name::new("other").unwrap(), 16, 0, at(0)), 16, "others go on");
        breakers.clear();
        assert_eq!(breakers.room(&sink(), 16, 0, at(0)), 16);
    }

    #[test]
    fn the_attempts_that_were_under_way_when_it_opened_do_not_lengthen_the_interval() {
        let chance = Chance::seeded(1);
        let breakers = opened(at(0), &chance);
        let until = breakers.left_alone()[&sink()].until;
        for _ in 0..11 {
            breakers.failed(&sink(), "no route", at(1), &chance);
        }
        assert_eq!(breakers.left_alone()[&sink()].until, until);
    }

    /// A sink that is down for a day, looked at each second: what would be leased.
    #[test]
    fn a_sink_that_is_down_for_a_day_is_probed_at_intervals_that_grow_to_an_hour() {
        let chance = Chance::seeded(7);
        let breakers = opened(at(0), &chance);
        let mut probes = vec![0];
        for now in 1..86_400 {
            match breakers.room(&sink(), 16, 0, at(now)) {
                0 => {}
                room => {
                    assert_eq!(room, 1, "one at a time");
                    assert_eq!(breakers.room(&sink(), 16, 1, at(now)), 0, "and no second one beside it");
                    probes.push(now);
                    breakers.failed(&sink(), "no route", at(now), &chance);
                }
            }
        }
        let waits: Vec<u64> = probes.windows(2).map(|two| two[1] - two[0]).collect();
        assert!((24..=37).contains(&waits[0]), "{waits:?}");
        assert!(waits.iter().skip(8).all(|wait| (2880..=4321).contains(wait)), "{waits:?}");
        assert!((25..45).contains(&waits.len()), "{} probes", waits.len());
    }

    #[test]
    fn a_sink_that_flaps_gets_one_probe_for_each_interval() {
        let chance = Chance::seeded(3);
        let breakers = opened(at(0), &chance);
        let mut answers = [true, false].iter().cycle();
        let (mut tried, mut last_opened) = (0, 0);
        for now in 1..7200 {
            let room = breakers.room(&sink(), 16, 0, at(now));
            assert!(room <= 2, "one probe, then two: {room}");
            if room == 0 {
                continue;
            }
            tried += 1;
            if *answers.next().unwrap() {
                assert!(now - last_opened >= 24, "a probe {} s after it opened", now - last_opened);
                breakers.succeeded(&sink());
            } else {
                breakers.failed(&sink(), "no route", at(now), &chance);
                last_opened = now;
            }
        }
        assert!(tried <= 2 * 7200 / 24, "{tried}");
    }

    /// A hundred thousand effects wait for a sink that comes back: one, then two, four, eight, then all it takes.
    #[test]
    fn a_queue_does_not_fall_upon_a_sink_that_has_just_come_back() {
        let chance = Chance::seeded(5);
        let breakers = opened(at(0), &chance);
        let mut waiting = 100_000;
        let mut rounds = Vec::new();
        while waiting > 0 {
            let room = breakers.room(&sink(), 16, 0, at(100)).min(waiting);
            rounds.push(room);
            for _ in 0..room {
                breakers.succeeded(&sink());
            }
            waiting -= room;
        }
        assert_eq!(rounds[..6], [1, 2, 4, 8, 16, 16]);
        assert!(rounds.iter().all(|round| *round <= 16));
    }

    #[test]
    fn a_failure_while_it_recovers_opens_it_again_at_once() {
        let chance = Chance::seeded(5);
        let breakers = opened(at(0), &chance);
        breakers.succeeded(&sink());
        assert_eq!(breakers.room(&sink(), 16, 0, at(1)), 2);
        breakers.failed(&sink(), "no route", at(1), &chance);
        assert_eq!(breakers.room(&sink(), 16, 0, at(1)), 0);
    }
}
