//! One step's breaker: when one version of its plugin has failed too often, and what follows. Pure: it is told the time and
//! what happened, and answers what becomes of the message; files, notes and swaps are for [`super::versions`].
//!
//! Only the plugin's own faults count, never those of the host, the storage, or a moment. That a plugin says it cannot handle a
//! message is taken as its judgement of the message, unless the version has not handled a single one: whoever sends mail must
//! not be able to talk a good version out of its step. For the same reason a share counts, not a number alone.
//!
//! Counts outlive the process, for runs that are short; so do a breaker that is open, and the versions that proved themselves.
//! Were it closed by a restart, each restart of a host with a broken plugin would set another twenty messages aside.

mod record;

use std::collections::VecDeque;
use std::time::Duration;

use postroom_mail::{AccountId, Digest, MessageId, Timestamp};

use crate::config::BreakerConfig;

pub use record::{Course, Open, Record, Version};
pub(super) use record::{Proved, Standing, Tally, Tried};

/// A version that handled so many messages without opening its breaker is good.
pub(super) const PROVEN: u32 = 20;
/// So many good versions are remembered: the last one, and the one before it for when the last one goes bad.
const GOOD: usize = 2;
/// The first interval between two probes.
const FIRST: Duration = Duration::from_secs(60);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// How long a message waits at least that is put back, so that none goes round in circles.
const SOON: Duration = Duration::from_secs(5);
/// How long a message is no probe again after a probe failed on it; four times as long after each other one.
const BEHIND: Duration = Duration::from_secs(6 * 60 * 60);
/// At most.
const FARTHEST: Duration = Duration::from_secs(24 * 60 * 60);
/// A message on which so many probes failed, within days, meets its own fate: it is as likely to blame as the plugin.
const PROBES: u32 = 5;
/// So many of them are remembered; the others are far behind all the same, until somebody makes all mail due.
const TRIED: usize = 64;

const UNPROVED: &str = "no earlier version has proved itself in this step";
const UNFIT: &str = "the earlier versions that proved themselves here are another plugin, were trusted less, or were granted less";
const BOUND: &str =
    "no other version may run in this step (it is pinned by a digest, or has `fall_back = false`)";

/// What is configured for the step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) tolerance: BreakerConfig,
    /// A failure of the step lets mail go on without it.
    pub(super) skips: bool,
    pub(super) configured: Version,
    pub(super) standing: Standing,
    /// Whose mail it sees; everybody's when there are none.
    pub(super) accounts: Vec<AccountId>,
}

/// Whether a message may go through the step now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    Open,
    /// It may, and what it meets decides whether others may.
    Probe,
    /// Not before then.
    Hold(Timestamp),
}

/// One run of the step's plugin over a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// What ran.
    pub(super) version: Digest,
    pub(super) message: MessageId,
    /// Whether the gate said [`Gate::Probe`] to it.
    pub(super) probe: bool,
}

/// In which way a plugin failed by its own fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It trapped, or used up what it may.
    Broke,
    /// It said that it cannot handle the message, now or ever.
    Refused,
}

/// What becomes of a message that the plugin failed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// What always becomes of it.
    Own,
    /// It is put back, and no attempt is counted: the version is to blame, and it is known.
    Back(Timestamp),
    /// The same, for the version that runs now: another than the one that failed.
    Swapped(Timestamp),
}

/// What has to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    None,
    /// The record changed.
    Noted,
    /// A message was tried, and the plugin failed on it again.
    ProbeFailed,
    /// It has just opened: an earlier version may take over.
    Opened,
    /// It has just closed: what was held back may go on.
    Closed,
}

/// The breaker of one step.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    rules: Rules,
    /// What runs: the configured version, or an earlier one.
    running: Digest,
    /// The last runs of it, and whether it failed: at most twice as many as failures are tolerated, so that as many failures
    /// are half of them or more.
    recent: VecDeque<(Timestamp, bool)>,
    handled: u32,
    probing: bool,
    /// Whether counts changed that no record has.
    unrecorded: bool,
    record: Record,
}

impl Breaker {
    /// A breaker for what is configured and for what runs, with what is known from before.
    pub(super) fn new(rules: Rules, running: Digest, record: Record) -> Self {
        let mut breaker = Self {
            running,
            recent: VecDeque::new(),
            handled: 0,
            probing: false,
            unrecorded: false,
            record,
            rules,
        };
        let configured = breaker.rules.configured;
        breaker.record.open = breaker.record.open.take().filter(|open| open.configured == configured);
        if breaker.record.open.is_none() {
            breaker.record.tried.clear();
        }
        breaker.keep_to_the_rules();
        breaker.resume();
        breaker
    }

    /// A record from when an earlier version was allowed: none runs, and a message is tried at once.
    fn keep_to_the_rules(&mut self) {
        let because = if self.rules.tolerance.fall_back { UNFIT } else { BOUND };
        if self.fall_back().is_none_or(|to| self.may_run(&to)) {
            return;
        }
        let Some(open) = self.record.open.as_mut() else { return };
        open.course = match self.rules.skips {
            true => Course::Skips,
            false => {
                Course::Paused { next: open.since, interval_ms: millis(FIRST), because: because.to_owned() }
            }
        };
    }

    /// Takes up what was counted of the version that runs.
    fn resume(&mut self) {
        let Some(tally) = self.record.tally.take() else { return };
        let of = Version { digest: self.running, terms: self.rules.configured.terms };
        if tally.of != of {
            return;
        }
        self.handled = tally.handled;
        let did = tally.did.into_iter().map(|at| (at, false));
        let mut recent: Vec<_> = did.chain(tally.failed.into_iter().map(|at| (at, true))).collect();
        recent.sort();
        self.recent = recent.into();
    }

    /// The configuration was read again. Another version starts anew, and so does one whose step is ruled otherwise. `running`
    /// is what the set runs from now on.
    pub(super) fn configure(&mut self, rules: Rules, running: Digest) -> Turn {
        let before = &self.rules;
        let same = before.configured == rules.configured
            && before.skips == rules.skips
            && before.tolerance == rules.tolerance;
        if same {
            self.rules = rules;
            self.keep_to_the_rules();
            self.runs(running);
            return Turn::None;
        }
        let was_open = self.record.open.take().is_some();
        let record = self.record();
        *self = Self::new(rules, running, record);
        if was_open { Turn::Closed } else { Turn::None }
    }

    /// What the step runs; what was counted of another is void.
    fn runs(&mut self, version: Digest) {
        if self.running != version {
            self.running = version;
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.recent.clear();
        self.handled = 0;
    }

    /// What outlives the process, as it is now.
    pub(super) fn record(&self) -> Record {
        let of = Version { digest: self.running, terms: self.rules.configured.terms };
        let times = |failed: bool| {
            self.recent.iter().filter(|(_, did)| *did == failed).map(|(at, _)| *at).collect::<Vec<_>>()
        };
        let (did, failed) = (times(false), times(true));
        let counted = self.handled > 0 || !failed.is_empty();
        let tally = counted.then(|| Tally { of, handled: self.handled.min(PROVEN), did, failed });
        Record { tally, ..self.record.clone() }
    }

    /// Whether counts changed since this was asked last.
    pub(super) fn take_unrecorded(&mut self) -> bool {
        std::mem::take(&mut self.unrecorded)
    }

    pub(super) fn open(&self) -> Option<&Open> {
        self.record.open.as_ref()
    }

    /// Whether mail of that account goes through the step.
    pub(super) fn sees(&self, account: &AccountId) -> bool {
        self.rules.accounts.is_empty() || self.rules.accounts.contains(account)
    }

    /// The earlier version that is to run.
    pub(super) fn fall_back(&self) -> Option<Digest> {
        match self.record.open.as_ref()?.course {
            Course::FallsBack { to } => Some(to),
            Course::Paused { .. } | Course::Skips => None,
        }
    }

    /// Versions that could take over, the best first.
    pub(super) fn candidates(&self) -> Vec<Digest> {
        let Some(open) = self.record.open.as_ref() else { return Vec::new() };
        let fit = |proved: &Digest| *proved != open.version && self.may_run(proved);
        self.record.proved.iter().map(|proved| proved.digest).filter(fit).collect()
    }

    /// Whether that version may stand in for the configured one.
    fn may_run(&self, version: &Digest) -> bool {
        let proved = self.record.proved.iter().find(|proved| proved.digest == *version);
        self.rules.tolerance.fall_back
            && *version != self.rules.configured.digest
            && proved.is_some_and(|proved| proved.standing.covers(&self.rules.standing))
    }

    /// The versions whose octets have to be kept.
    pub(super) fn wanted(&self) -> impl Iterator<Item = Digest> {
        let own = [self.rules.configured.digest, self.running];
        let proved: Vec<_> = self.record.proved.iter().map(|proved| proved.digest).collect();
        own.into_iter().chain(proved).chain(self.fall_back())
    }

    pub(super) fn configured(&self) -> Digest {
        self.rules.configured.digest
    }

    pub(super) fn running(&self) -> Digest {
        self.running
    }

    /// Whether mail waits for it.
    pub(super) fn is_paused(&self) -> bool {
        matches!(self.record.open, Some(Open { course: Course::Paused { .. }, .. }))
    }

    /// Asked before a message goes through.
    pub(super) fn gate(&self, message: MessageId, now: Timestamp) -> Gate {
        let Some(Open { course: Course::Paused { next, .. }, .. }) = &self.record.open else {
            return Gate::Open;
        };
        let tried = self.record.tried.iter().find(|tried| tried.message == message);
        let behind = tried.map_or(*next, |tried| tried.until.max(*next));
        match behind > now {
            true => Gate::Hold(behind),
            false if self.probing => Gate::Hold(now.after(SOON)),
            false => Gate::Probe,
        }
    }

    pub(super) fn probe_begins(&mut self) {
        self.probing = true;
    }

    /// A probe ended, whatever it met; when that was nothing of this step, the next message is one.
    pub(super) fn probe_ended(&mut self) {
        self.probing = false;
    }

    /// The operator says that something was mended: a message is tried at once, but none on which a probe has just failed.
    pub(super) fn hasten(&mut self, now: Timestamp) {
        if let Some(Open { course: Course::Paused { next, .. }, .. }) = &mut self.record.open {
            *next = now.min(*next);
        }
    }

    /// The operator wants the configured version to run as if it had never failed. The set runs it already.
    pub(super) fn close(&mut self) {
        self.running = self.rules.configured.digest;
        self.closed();
    }

    fn closed(&mut self) {
        self.record.open = None;
        self.record.tried.clear();
        self.forget();
    }

    /// A version handled a message.
    pub(super) fn handled(&mut self, run: Run, now: Timestamp) -> Turn {
        if run.version != self.running {
            return Turn::None;
        }
        let closes = match self.record.open.as_ref().map(|open| &open.course) {
            // What began before it opened says no more than what was known then.
            Some(Course::Paused { .. }) if !self.is_probe(run) => return Turn::None,
            Some(Course::Paused { .. }) => true,
            Some(Course::Skips) => self.handled.saturating_add(1) >= PROVEN,
            Some(Course::FallsBack { .. }) | None => false,
        };
        if closes {
            self.closes();
            return Turn::Closed;
        }
        self.unrecorded |= self.handled < PROVEN;
        self.handled = self.handled.saturating_add(1);
        self.count(now, false);
        if self.handled == PROVEN { self.proves() } else { Turn::None }
    }

    /// The version that runs works. That is an earlier one when the configured one could not be put back.
    fn closes(&mut self) {
        let to = self.running;
        match &mut self.record.open {
            Some(open) if to != self.rules.configured.digest => {
                open.course = Course::FallsBack { to };
                self.record.tried.clear();
                self.forget();
            }
            Some(_) | None => self.closed(),
        }
        self.handled = 1;
    }

    fn proves(&mut self) -> Turn {
        let version = self.running;
        let standing = match version == self.rules.configured.digest {
            true => Some(self.rules.standing.clone()),
            // What it is was recorded when it proved itself as the configured one.
            false => {
                self.record.proved.iter().find(|one| one.digest == version).map(|one| one.standing.clone())
            }
        };
        let Some(standing) = standing else { return Turn::None };
        let proved = Proved { digest: version, standing };
        let failed = self.record.open.as_ref().is_some_and(|open| open.version == version);
        if failed || self.record.proved.first() == Some(&proved) {
            return Turn::None;
        }
        self.record.proved.retain(|one| one.digest != version);
        self.record.proved.insert(0, proved);
        self.record.proved.truncate(GOOD);
        Turn::Noted
    }

    /// A version failed by its own fault. `around` spreads intervals.
    pub(super) fn failed(
        &mut self,
        run: Run,
        fault: Fault,
        reason: &str,
        now: Timestamp,
        around: impl Fn(Duration) -> Duration,
    ) -> (Fate, Turn) {
        if run.version != self.running {
            return (Fate::Swapped(now.after(SOON)), Turn::None);
        }
        if fault == Fault::Refused && self.is_believed() {
            return (Fate::Own, Turn::None);
        }
        match self.record.open.as_ref().map(|open| &open.course) {
            Some(Course::Paused { next, .. }) if !self.is_probe(run) => {
                return (Fate::Back(now.after(SOON).max(*next)), Turn::None);
            }
            Some(Course::Paused { .. }) => {
                return (self.probe_failed(run.message, now, around), Turn::ProbeFailed);
            }
            Some(Course::Skips) => {
                self.handled = 0;
                return (Fate::Own, Turn::None);
            }
            Some(Course::FallsBack { .. }) | None => {}
        }
        self.unrecorded = true;
        self.count(now, true);
        let failures = self.recent.iter().filter(|(_, failed)| *failed).count();
        if (failures as u64) < u64::from(self.rules.tolerance.failures) {
            return (Fate::Own, Turn::None);
        }
        self.opens(failures, reason, now, around(FIRST));
        (Fate::Own, Turn::Opened)
    }

    fn is_probe(&self, run: Run) -> bool {
        self.probing && run.probe
    }

    /// Whether the version that runs has shown that it can tell mail it cannot handle from mail it can.
    fn is_believed(&self) -> bool {
        self.handled > 0 || self.record.proved.iter().any(|proved| proved.digest == self.running)
    }

    /// The message goes far behind the others, so that the next probe is another one: this one alone may be what is wrong.
    fn probe_failed(
        &mut self,
        message: MessageId,
        now: Timestamp,
        around: impl Fn(Duration) -> Duration,
    ) -> Fate {
        let Some(Open { course: Course::Paused { next, interval_ms, .. }, .. }) = &mut self.record.open
        else {
            return Fate::Own;
        };
        let interval = Duration::from_millis(*interval_ms).saturating_mul(2).min(LONGEST);
        *interval_ms = millis(interval);
        *next = now.after(around(interval));
        let tried = &mut self.record.tried;
        let before = tried.iter().position(|one| one.message == message).map(|index| tried.remove(index));
        let times = before.map_or(0, |one| one.times);
        let wait = BEHIND.saturating_mul(4_u32.saturating_pow(times)).min(FARTHEST);
        let (times, until) = (times + 1, now.after(wait));
        if times >= PROBES {
            return Fate::Own;
        }
        tried.push(Tried { message, times, until });
        if tried.len() > TRIED {
            tried.sort_by_key(|one| std::cmp::Reverse(one.until));
            tried.truncate(TRIED);
        }
        Fate::Back(until)
    }

    fn count(&mut self, now: Timestamp, failed: bool) {
        self.recent.push_back((now, failed));
        let within = self.rules.tolerance.within;
        self.recent.retain(|(at, _)| now.since(*at) <= within);
        let most = usize::try_from(self.rules.tolerance.failures).unwrap_or(usize::MAX).saturating_mul(2);
        while self.recent.len() > most {
            self.recent.pop_front();
        }
    }

    fn opens(&mut self, failures: usize, reason: &str, now: Timestamp, wait: Duration) {
        let version = self.running;
        self.forget();
        self.record.tried.clear();
        self.record.proved.retain(|proved| proved.digest != version);
        let others = self.record.proved.iter().any(|proved| proved.digest != self.rules.configured.digest);
        let because = match self.rules.tolerance.fall_back {
            false => BOUND,
            true if others => UNFIT,
            true => UNPROVED,
        };
        let course = match self.rules.skips {
            true => Course::Skips,
            false => Course::Paused {
                next: now.after(wait),
                interval_ms: millis(FIRST),
                because: because.to_owned(),
            },
        };
        self.record.open = Some(Open {
            configured: self.rules.configured,
            version,
            failures: u32::try_from(failures).unwrap_or(u32::MAX),
            since: now,
            reason: reason.to_owned(),
            course,
        });
    }

    /// An earlier version took over.
    pub(super) fn fell_back(&mut self, to: Digest) {
        self.runs(to);
        if let Some(open) = &mut self.record.open {
            open.course = Course::FallsBack { to };
        }
    }

    /// None could: `because` says why. The set runs `version` now, which is the configured one if that can be had.
    pub(super) fn cannot_fall_back(&mut self, because: Option<String>, version: Digest, now: Timestamp) {
        self.running = version;
        self.forget();
        let skips = self.rules.skips;
        let Some(open) = &mut self.record.open else { return };
        match &mut open.course {
            Course::Paused { because: known, .. } => {
                if let Some(because) = because {
                    *known = because;
                }
            }
            Course::FallsBack { .. } if skips => open.course = Course::Skips,
            Course::FallsBack { .. } => {
                open.course = Course::Paused {
                    next: now.after(SOON),
                    interval_ms: millis(FIRST),
                    because: because.unwrap_or_else(|| UNPROVED.to_owned()),
                };
            }
            Course::Skips => {}
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[path = "breaker/tests.rs"]
mod tests;
