//! One step's breaker: when one version of its plugin has failed too often, and what follows. Pure: it is told the time and
//! what happened, and answers what becomes of the message; files, notes and swaps are for [`super::versions`].
//!
//! Only the plugin's own faults count, never those of the host, the storage, or a moment. Counts are kept in memory alone:
//! after a restart they begin at nothing. A breaker that is open is durable, and so are the good versions: were it closed by a
//! restart, each restart of a host with a broken plugin would set another twenty messages aside.

use std::collections::VecDeque;
use std::time::Duration;

use postroom_mail::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::BreakerConfig;

/// A version that handled so many messages without opening its breaker is good.
pub(super) const PROVEN: u32 = 20;
/// So many good versions are remembered: the last one, and the one before it for when the last one goes bad.
const GOOD: usize = 2;
/// The first interval between two probes.
const FIRST: Duration = Duration::from_secs(60);
/// The longest.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// How long the others wait while a probe is under way.
const PROBING: Duration = Duration::from_secs(5);

const UNPROVED: &str = "no earlier version has proved itself in this step";
const BOUND: &str =
    "no other version may run in this step (it is pinned by a digest, or has `fall_back = false`)";

/// What a step runs, exactly: another file or other settings are another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// SHA-256 of the component.
    pub digest: Digest,
    /// Of its settings, grants and limits.
    pub terms: Digest,
}

/// What of a breaker outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Versions that proved themselves in this step, the last one first.
    pub good: Vec<Digest>,
    /// Set while it is open.
    pub open: Option<Open>,
}

/// An open breaker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// What the configuration named when it opened.
    pub configured: Version,
    /// The version that failed.
    pub version: Digest,
    /// How often.
    pub failures: u32,
    /// Since when it is open.
    pub since: Timestamp,
    /// What the plugin failed with last.
    pub reason: String,
    /// What happens meanwhile.
    pub course: Course,
}

/// What happens while a breaker is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Course {
    /// The step runs an earlier version.
    FallsBack {
        /// Which.
        to: Digest,
    },
    /// The pipeline takes no mail, but for probes.
    Paused {
        /// When one message is tried.
        next: Timestamp,
        /// Before jitter, in milliseconds.
        interval_ms: u64,
        /// Why there is nothing to fall back to.
        because: String,
    },
    /// The step is one that may be skipped: mail goes on without it.
    Skips,
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

/// What becomes of a message that the plugin failed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// What always becomes of it.
    Own,
    /// It is put back, and no attempt is counted: the version is to blame, and it is known.
    Back(Timestamp),
}

/// What has to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    None,
    /// The record changed.
    Noted,
    /// It has just opened: an earlier version may take over.
    Opened,
    /// It has just closed: what was held back may go on.
    Closed,
}

/// The breaker of one step.
#[derive(Debug)]
pub(super) struct Breaker {
    tolerance: BreakerConfig,
    skips: bool,
    configured: Version,
    /// What runs: the configured version, or an earlier one.
    running: Digest,
    /// When the running version failed, at most as many as are tolerated.
    failures: VecDeque<Timestamp>,
    handled: u32,
    probing: bool,
    record: Record,
}

impl Breaker {
    /// A breaker for what is configured, with what is known from before. `skips` says that a failure of the step lets mail go
    /// on without it.
    pub(super) fn new(tolerance: BreakerConfig, skips: bool, configured: Version, record: Record) -> Self {
        let mut breaker = Self {
            tolerance,
            skips,
            configured,
            running: configured.digest,
            failures: VecDeque::new(),
            handled: 0,
            probing: false,
            record,
        };
        breaker.record.open = breaker.record.open.take().filter(|open| open.configured == configured);
        breaker.keep_to_the_pin();
        breaker
    }

    /// A record from when an earlier version was allowed: none runs, and a message is tried at once.
    fn keep_to_the_pin(&mut self) {
        let Some(open) = self.record.open.as_mut().filter(|_| !self.tolerance.fall_back) else { return };
        if let Course::FallsBack { .. } = open.course {
            let (next, because) = (open.since, BOUND.to_owned());
            open.course = match self.skips {
                true => Course::Skips,
                false => Course::Paused { next, interval_ms: millis(FIRST), because },
            };
        }
    }

    /// The configuration was read again. Another version starts anew, and so does one whose step is ruled otherwise.
    pub(super) fn configure(&mut self, tolerance: BreakerConfig, skips: bool, configured: Version) -> Turn {
        let same = self.configured == configured && self.skips == skips && self.tolerance == tolerance;
        if same {
            return Turn::None;
        }
        let was_open = self.record.open.take().is_some();
        let record = std::mem::take(&mut self.record);
        *self = Self::new(tolerance, skips, configured, record);
        if was_open { Turn::Closed } else { Turn::None }
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
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
        let Some(open) = self.record.open.as_ref().filter(|_| self.tolerance.fall_back) else {
            return Vec::new();
        };
        let fit = |good: &&Digest| **good != open.version && **good != self.configured.digest;
        self.record.good.iter().filter(fit).copied().collect()
    }

    /// The versions whose octets have to be kept.
    pub(super) fn wanted(&self) -> impl Iterator<Item = Digest> {
        let own = [self.configured.digest, self.running];
        own.into_iter().chain(self.record.good.clone()).chain(self.fall_back())
    }

    /// Whether mail waits for it.
    pub(super) fn is_paused(&self) -> bool {
        matches!(self.record.open, Some(Open { course: Course::Paused { .. }, .. }))
    }

    /// Asked before a message goes through.
    pub(super) fn gate(&self, now: Timestamp) -> Gate {
        match self.record.open.as_ref().map(|open| &open.course) {
            Some(Course::Paused { .. }) if self.probing => Gate::Hold(now.after(PROBING)),
            Some(Course::Paused { next, .. }) if *next > now => Gate::Hold(*next),
            Some(Course::Paused { .. }) => Gate::Probe,
            Some(Course::FallsBack { .. } | Course::Skips) | None => Gate::Open,
        }
    }

    pub(super) fn probe_begins(&mut self) {
        self.probing = true;
    }

    /// A probe ended, whatever it met; when that was nothing of this step, the next message is one.
    pub(super) fn probe_ended(&mut self) {
        self.probing = false;
    }

    /// The operator says that something was mended.
    pub(super) fn hasten(&mut self, now: Timestamp) {
        if let Some(Open { course: Course::Paused { next, .. }, .. }) = &mut self.record.open {
            *next = now.min(*next);
        }
    }

    /// A version handled a message.
    pub(super) fn handled(&mut self, version: Digest) -> Turn {
        if version != self.running {
            return Turn::None;
        }
        self.handled = self.handled.saturating_add(1);
        let closes = match self.record.open.as_ref().map(|open| &open.course) {
            Some(Course::Paused { .. }) => true,
            Some(Course::Skips) => self.handled >= PROVEN,
            Some(Course::FallsBack { .. }) | None => false,
        };
        if closes {
            self.record.open = None;
            self.failures.clear();
            self.handled = 1;
            return Turn::Closed;
        }
        let proven = self.handled == PROVEN && self.record.good.first() != Some(&version);
        if proven && self.record.open.as_ref().is_none_or(|open| open.version != version) {
            self.record.good.retain(|good| *good != version);
            self.record.good.insert(0, version);
            self.record.good.truncate(GOOD);
            return Turn::Noted;
        }
        Turn::None
    }

    /// A version failed by its own fault. `around` spreads intervals.
    pub(super) fn failed(
        &mut self,
        version: Digest,
        reason: &str,
        now: Timestamp,
        around: impl Fn(Duration) -> Duration,
    ) -> (Fate, Turn) {
        // What runs now is another: that one gets the message.
        if version != self.running {
            return (Fate::Back(now), Turn::None);
        }
        match self.record.open.as_mut().map(|open| &mut open.course) {
            Some(Course::Paused { next, .. }) if *next > now && !self.probing => {
                return (Fate::Back(*next), Turn::None);
            }
            Some(Course::Paused { next, interval_ms, .. }) => {
                let interval = Duration::from_millis(*interval_ms).saturating_mul(2).min(LONGEST);
                *interval_ms = millis(interval);
                *next = now.after(around(interval));
                // Behind the others, so that the next probe is another message: this one alone may be what is wrong.
                return (Fate::Back(next.after(PROBING)), Turn::Noted);
            }
            Some(Course::Skips) => {
                self.handled = 0;
                return (Fate::Own, Turn::None);
            }
            Some(Course::FallsBack { .. }) | None => {}
        }
        self.count(now);
        if (self.failures.len() as u64) < u64::from(self.tolerance.failures) {
            return (Fate::Own, Turn::None);
        }
        self.open(version, reason, now, around(FIRST));
        (Fate::Own, Turn::Opened)
    }

    fn count(&mut self, now: Timestamp) {
        self.failures.push_back(now);
        let recent = |at: &Timestamp| now.since(*at) <= self.tolerance.within;
        self.failures.retain(recent);
    }

    fn open(&mut self, version: Digest, reason: &str, now: Timestamp, wait: Duration) {
        let failures = u32::try_from(self.failures.len()).unwrap_or(u32::MAX);
        self.failures.clear();
        self.handled = 0;
        self.record.good.retain(|good| *good != version);
        let course = match self.skips {
            true => Course::Skips,
            false => Course::Paused {
                next: now.after(wait),
                interval_ms: millis(FIRST),
                because: if self.tolerance.fall_back { UNPROVED } else { BOUND }.to_owned(),
            },
        };
        let (configured, reason) = (self.configured, reason.to_owned());
        self.record.open = Some(Open { configured, version, failures, since: now, reason, course });
    }

    /// An earlier version took over.
    pub(super) fn fell_back(&mut self, to: Digest) {
        self.running = to;
        self.failures.clear();
        self.handled = 0;
        if let Some(open) = &mut self.record.open {
            open.course = Course::FallsBack { to };
        }
    }

    /// None could: `because` says why.
    pub(super) fn cannot_fall_back(&mut self, because: String, now: Timestamp) {
        let skips = self.skips;
        let Some(open) = &mut self.record.open else { return };
        match &mut open.course {
            Course::Paused { because: known, .. } => *known = because,
            Course::FallsBack { .. } if skips => open.course = Course::Skips,
            Course::FallsBack { .. } => {
                open.course = Course::Paused { next: now, interval_ms: millis(FIRST), because };
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
