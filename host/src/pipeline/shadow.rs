//! Candidates: a plugin that runs beside the one of its step on live mail and decides nothing. Owns the comparison, and a
//! report of it for each step in a private directory of the state; must not change anything of what the step decided.
//!
//! A candidate runs after its step with what the step was given: the same labels, the same plugin state, a message of its own,
//! so that it uses up nothing that later steps have. What it asks for is compared and dropped. Its look-ups are answered with
//! what the step was answered.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postroom_mail::rules::neutral;
use postroom_mail::{Digest, Label, MessageId, Name, Timestamp, Verdict};
use postroom_sandbox::{Cause, Fetch, InvokeError, KvRead, Message, Outcome, Parser, Plugin};
use postroom_spool::MessageLease;
use serde::{Deserialize, Serialize};

use super::breaker::Version;
use super::chain::is_own_fault;
use super::heard::Heard;
use super::kept::{self, read_private, write_private};
use super::set::Step;
use crate::config::{Config, StepConfig};
use crate::live::Live;

/// A candidate may use so much at most, so that it cannot hold mail up.
const CPU: Duration = Duration::from_secs(1);
const WALL: Duration = Duration::from_secs(2);
/// A message that waited longer shows that the workers are behind: they do not run candidates then.
const BEHIND: Duration = Duration::from_secs(60);
/// Messages that are shown, of those that would be decided differently.
const SHOWN: usize = 100;
/// Lines of one message on each side, and characters of one line.
const LINES: usize = 12;
const LINE: usize = 200;
/// Reports are written at most so often while mail flows.
const OFTEN: Duration = Duration::from_secs(1);
/// The largest report that is read, in octets.
const LARGEST: u64 = 4 << 20;

/// What a candidate did with one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The step.
    pub step: Name,
    /// What decided.
    pub current: Version,
    /// What did not.
    pub candidate: Version,
    /// How they compare.
    pub how: How,
}

/// How a candidate compares with what decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// It would decide the same.
    Same,
    /// It would not.
    Different {
        /// Whether it failed.
        failed: bool,
        /// What only the one that decided asks for.
        minus: Vec<String>,
        /// What only the candidate asks for.
        plus: Vec<String>,
    },
    /// It could not be told: by no fault of its own, or it made look-ups that the step did not make.
    Unknown,
}

/// What a candidate would have decided otherwise, so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The pipeline.
    pub pipeline: Name,
    /// The step.
    pub step: Name,
    /// What decides.
    pub current: Version,
    /// What does not.
    pub candidate: Version,
    /// Since when these two are compared.
    pub since: Timestamp,
    /// Messages that both would decide the same.
    pub same: u64,
    /// Messages that the candidate would decide differently.
    pub different: u64,
    /// Those of them on which it failed.
    pub failed: u64,
    /// Messages that were not compared: the host was short of something, or the candidate asked a target what the step did not.
    pub unknown: u64,
    /// The first that differ.
    pub first: Vec<Difference>,
}

/// A message that the candidate would decide differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The message.
    pub message: MessageId,
    /// When.
    pub at: Timestamp,
    /// What only the one that decided asks for.
    pub minus: Vec<String>,
    /// What only the candidate asks for.
    pub plus: Vec<String>,
}

impl Report {
    /// The report on a step.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn read(state: &Path, pipeline: &Name, step: &Name) -> std::io::Result<Self> {
        let octets = read_private(&file(state, pipeline, step), LARGEST)?;
        Ok(serde_json::from_slice(&octets)?)
    }

    /// Messages that were compared.
    pub fn messages(&self) -> u64 {
        self.same + self.different
    }

    fn new(pipeline: &Name, compared: &Compared, now: Timestamp) -> Self {
        Self {
            pipeline: pipeline.clone(),
            step: compared.step.clone(),
            current: compared.current,
            candidate: compared.candidate,
            since: now,
            same: 0,
            different: 0,
            failed: 0,
            unknown: 0,
            first: Vec::new(),
        }
    }

    fn is_about(&self, compared: &Compared) -> bool {
        (self.current, self.candidate) == (compared.current, compared.candidate)
    }

    fn add(&mut self, message: MessageId, how: How, now: Timestamp) {
        match how {
            How::Same => self.same += 1,
            How::Unknown => self.unknown += 1,
            How::Different { failed, minus, plus } => {
                self.different += 1;
                self.failed += u64::from(failed);
                if self.first.len() < SHOWN {
                    self.first.push(Difference { message, at: now, minus, plus });
                }
            }
        }
    }
}

/// The reports of this process; files are written now and then.
#[derive(Default)]
pub struct Shadows(Mutex<Reports>);

#[derive(Default)]
struct Reports {
    of: BTreeMap<(Name, Name), (Report, bool)>,
    written: Option<Timestamp>,
}

impl Shadows {
    /// Adds what candidates did with a message whose fate is settled.
    pub(super) fn compared(
        &self,
        pipeline: &Name,
        message: MessageId,
        live: &Live,
        compared: Vec<Compared>,
        now: Timestamp,
    ) {
        let mut reports = self.lock();
        for one in compared {
            let place = (pipeline.clone(), one.step.clone());
            let (report, changed) = reports.of.entry(place).or_insert_with(|| {
                let earlier = Report::read(&live.config.state, pipeline, &one.step).ok();
                (earlier.unwrap_or_else(|| Report::new(pipeline, &one, now)), false)
            });
            if !report.is_about(&one) {
                *report = Report::new(pipeline, &one, now);
            }
            report.add(message, one.how, now);
            *changed = true;
        }
    }

    /// Writes the reports that changed, unless that was done a moment ago and it is not the end.
    pub(super) async fn flush(&self, state: &Path, now: Timestamp, end: bool) {
        let files: Vec<(PathBuf, Report)> = {
            let mut reports = self.lock();
            let recent = reports.written.is_some_and(|at| now.since(at) < OFTEN);
            if recent && !end || reports.of.values().all(|(_, changed)| !changed) {
                return;
            }
            reports.written = Some(now);
            let changed = reports.of.values_mut().filter(|(_, changed)| *changed);
            let file = |report: &Report| file(state, &report.pipeline, &report.step);
            changed
                .map(|(report, changed)| {
                    *changed = false;
                    (file(report), report.clone())
                })
                .collect()
        };
        let write = move || -> std::io::Result<()> {
            files.iter().try_for_each(|(path, report)| write_private(path, &serde_json::to_vec(report)?))
        };
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "what candidates would decide cannot be recorded"),
            Err(error) => tracing::error!(%error, "what candidates would decide cannot be recorded"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Reports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file(state: &Path, pipeline: &Name, step: &Name) -> PathBuf {
    state.join("shadow").join(format!("{pipeline}.{step}.json"))
}

/// Removes the reports on steps that are gone.
pub(super) fn prune(config: &Config) -> std::io::Result<()> {
    let steps = config.pipelines.iter();
    let steps = steps.flat_map(|(pipeline, one)| one.steps.iter().map(move |step| (pipeline, &step.name)));
    let wanted = steps.map(|(pipeline, step)| file(&config.state, pipeline, step)).collect();
    kept::prune(&config.state.join("shadow"), &wanted)
}

/// The candidate of a step, as a step of its own: the same name, so that its effects have the same ids.
pub(super) fn candidate(step: &StepConfig) -> Option<StepConfig> {
    let shadow = step.shadow.as_ref()?;
    let mut candidate =
        StepConfig { plugin: shadow.plugin.clone(), sha256: shadow.sha256, shadow: None, ..step.clone() };
    if let Some(settings) = &shadow.settings {
        candidate.settings = settings.clone();
    }
    candidate.limits.cpu = candidate.limits.cpu.min(CPU);
    candidate.limits.wall = candidate.limits.wall.min(WALL);
    Some(candidate)
}

/// Whether there is time for candidates: a message that has waited long has others behind it.
pub(super) fn has_time(lease: &MessageLease, now: Timestamp) -> bool {
    now.since(lease.provenance.retrieved) < BEHIND
}

/// The candidate of a step, beside one message.
pub(super) struct Candidate<'a> {
    step: &'a Step,
    shadow: &'a Step,
    mime: &'a Arc<dyn Parser>,
    heard: Arc<Heard>,
}

impl<'a> Candidate<'a> {
    /// Of a step that has one; `mime` is what it looks into the message with.
    pub(super) fn of(step: &'a Step, mime: &'a Arc<dyn Parser>) -> Option<Self> {
        let shadow = step.shadow.as_ref()?.as_ref().ok()?;
        let heard = Heard::new(Arc::clone(step.plugin.fetch()));
        Some(Self { step, shadow, mime, heard })
    }

    /// The plugin that decides, whose look-ups are kept for the candidate.
    pub(super) fn listening(&self) -> Plugin {
        self.step.plugin.clone().with_fetch(Arc::clone(&self.heard) as Arc<dyn Fetch>)
    }

    /// Runs the candidate, when what the step did is its own doing.
    pub(super) fn compare(
        &self,
        message: &Message,
        labels: &[Label],
        kv: &Arc<dyn KvRead>,
        handled: &Result<Outcome, InvokeError>,
    ) -> Option<Compared> {
        let before = decided(handled)?;
        let octets = Arc::clone(message.octets());
        let own = Arc::new(Message::new(message.provenance().clone(), octets, Some(Arc::clone(self.mime))));
        let again = self.heard.again();
        let plugin = self.shadow.plugin.clone().with_fetch(Arc::clone(&again) as Arc<dyn Fetch>);
        let tried = plugin.handle(&own, labels, kv);
        let how = match decided(&tried) {
            // The step got to an end: what the candidate waits for is its own choice.
            None if is_unwilling(&tried) => How::Different {
                failed: true,
                minus: only(&before, &[]),
                plus: vec![neutral(&failed(&tried), LINE)],
            },
            None => How::Unknown,
            // Its step has more time.
            Some(_) if was_hurried(&tried) => How::Unknown,
            Some(_) if again.missed() => How::Unknown,
            Some(after) if before == after => How::Same,
            Some(after) => How::Different {
                failed: tried.is_err(),
                minus: only(&before, &after),
                plus: only(&after, &before),
            },
        };
        let current =
            Version { digest: self.step.plugin.component().digest(), terms: self.step.version.terms };
        Some(Compared { step: self.step.name.clone(), current, candidate: self.shadow.version, how })
    }
}

/// Whether it asked for another try, which no outage explains.
fn is_unwilling(tried: &Result<Outcome, InvokeError>) -> bool {
    matches!(tried, Err(error) if matches!(error.cause, Cause::Failed { transient: true, .. }))
}

/// Whether it passed a limit that is lower than its step's only because it is a candidate.
fn was_hurried(tried: &Result<Outcome, InvokeError>) -> bool {
    let Err(error) = tried else { return false };
    matches!(error.cause, Cause::CpuTime { limit: CPU } | Cause::WallTime { limit: WALL })
}

fn failed(tried: &Result<Outcome, InvokeError>) -> String {
    tried.as_ref().err().map_or_else(String::new, |error| format!("failed: {error}"))
}

/// What was decided, a line each, in an order of its own; `None` when that was no doing of the plugin's.
fn decided(handled: &Result<Outcome, InvokeError>) -> Option<Vec<String>> {
    let outcome = match handled {
        Ok(outcome) => outcome,
        Err(error) if is_own_fault(&error.cause) || matches!(error.cause, Cause::WallTime { .. }) => {
            return Some(vec![format!("failed: {error}")]);
        }
        Err(_) => return None,
    };
    let mut lines = Vec::new();
    for effect in &outcome.effects {
        let (summary, digest, id) = (effect.summary(), effect.digest.short(12), effect.id.0.short(12));
        // Options are no part of the id.
        let whole = Digest::of(format!("{effect:?}").as_bytes()).short(6);
        lines.push(format!("{summary} sha256 {digest} effect {id}/{whole}"));
    }
    lines.extend(outcome.labels.iter().map(|label| format!("label {label}")));
    match &outcome.verdict {
        Some(Verdict::Quarantine { reason, .. }) => lines.push(format!("quarantine: {reason}")),
        Some(Verdict::Discard { reason, .. }) => lines.push(format!("discard: {reason}")),
        Some(Verdict::Keep) | None => {}
    }
    if outcome.stop {
        lines.push("stop the chain".to_owned());
    }
    for write in &outcome.kv {
        lines.push(match &write.value {
            Some(value) => {
                let digest = Digest::of(value).short(12);
                format!("remember {} ({} octets, sha256 {digest})", write.key, value.len())
            }
            None => format!("forget {}", write.key),
        });
    }
    lines.sort();
    Some(lines)
}

/// Lines of `these` that are not among `those`, as many times as they are not; what is shown of them.
fn only(these: &[String], those: &[String]) -> Vec<String> {
    let mut rest = those.to_vec();
    let mut left = Vec::new();
    for line in these {
        match rest.iter().position(|other| other == line) {
            Some(at) => drop(rest.swap_remove(at)),
            None => left.push(neutral(line, LINE)),
        }
    }
    let more = left.len().saturating_sub(LINES);
    left.truncate(LINES);
    if more > 0 {
        left.push(format!("and {more} more"));
    }
    left
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn version(tag: &str) -> Version {
        Version { digest: Digest::of(tag.as_bytes()), terms: Digest::of(b"terms") }
    }

    fn compared(candidate: &str, how: How) -> Compared {
        Compared { step: name("filter"), current: version("now"), candidate: version(candidate), how }
    }

    fn different(failed: bool) -> How {
        How::Different { failed, minus: vec!["label a".into()], plus: vec!["label b".into()] }
    }

    fn message() -> MessageId {
        MessageId(Digest::of(b"message"))
    }

    #[test]
    fn a_report_counts_all_and_shows_the_first_hundred() {
        let mut report = Report::new(&name("main"), &compared("next", How::Same), Timestamp(5));
        report.add(message(), How::Same, Timestamp(6));
        report.add(message(), How::Unknown, Timestamp(6));
        for number in 0..300 {
            report.add(message(), different(number % 3 == 0), Timestamp(7));
        }
        assert_eq!((report.messages(), report.different, report.failed, report.unknown), (301, 300, 100, 1));
        assert_eq!(report.first.len(), SHOWN);
    }

    #[test]
    fn the_lines_of_one_message_are_bounded_and_only_those_that_differ() {
        let lines = |from: u32, to: u32| (from..to).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(only(&lines(0, 3), &lines(1, 4)), ["0"]);
        assert!(only(&lines(0, 3), &lines(0, 3)).is_empty());
        let many = only(&lines(0, 100), &[]);
        assert_eq!((many.len(), many.last().unwrap().as_str()), (LINES + 1, "and 88 more"));
        let twice = ["a".to_owned(), "a".to_owned()];
        assert_eq!(only(&twice, &twice[..1]), ["a"], "how often counts");
    }
}
