//! One run of a chain over one message. `run` and `try` share it, so a dry run is exact.

use std::sync::Arc;
use std::time::Duration;

use postroom_failpoint::reach;
use postroom_mail::{
    Digest, Disposition, Effect, KvSeen, KvWrite, Label, LogLine, Name, Plan, StepTrace, Verdict,
};
use postroom_sandbox::{Cause, InvokeError, KvRead, Message, Outcome, Parser, Usage};

use super::set::{Chain, Step};
use super::shadow::{Candidate, Compared};
use super::when;
use crate::config::Then;

/// A run that decided nothing: no effect of it remains.
#[derive(Debug, thiserror::Error)]
#[error("step {step}: {reason}")]
pub struct RunFailure {
    /// The step that failed.
    pub step: Name,
    /// In words.
    pub reason: String,
    /// What becomes of the message.
    pub disposition: Disposition,
    /// Set when neither the message nor the plugin is to blame.
    pub nobodys: Option<Nobodys>,
    /// What the steps did up to there, the failed one last.
    pub trace: Vec<StepTrace>,
}

/// A failure that says nothing about the message: it waits, and no attempt is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nobodys {
    /// A target that the plugin asked gave no answer.
    Outage,
    /// All instances were in use.
    Crowd,
}

/// An outage is waited for so long; then attempts count, as with a relay that is gone (RFC 5321 section 4.5.4.1).
const OUTAGE: Duration = Duration::from_secs(5 * 24 * 60 * 60);

impl Nobodys {
    fn of(cause: &Cause) -> Option<Self> {
        match cause {
            Cause::OutOfReach { .. } => Some(Self::Outage),
            Cause::Busy(_) => Some(Self::Crowd),
            Cause::CpuTime { .. }
            | Cause::WallTime { .. }
            | Cause::Memory { .. }
            | Cause::Limit { .. }
            | Cause::Trap { .. }
            | Cause::Exit(_)
            | Cause::Failed { .. }
            | Cause::Host(_) => None,
        }
    }

    /// How long a message of that age waits; `None` when it has waited long enough. Longer as it grows older: no count of its
    /// own is kept.
    pub(super) fn waits(self, age: Duration) -> Option<Duration> {
        match self {
            Self::Crowd => Some(Duration::from_secs(5)),
            Self::Outage if age >= OUTAGE => None,
            Self::Outage => Some((age / 4).clamp(Duration::from_secs(60), Duration::from_secs(15 * 60))),
        }
    }
}

/// What is learnt from a run beside what it decided.
#[derive(Debug, Default)]
pub struct Notes {
    /// How the plugins did, in the order of the steps.
    pub conduct: Vec<Conduct>,
    /// Where candidates ran.
    pub compared: Vec<Compared>,
}

/// How a plugin did with a message. What is nobody's or the host's fault is not noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conduct {
    /// The step.
    pub step: Name,
    /// The version that ran.
    pub digest: Digest,
    /// How it did.
    pub did: Did,
}

/// How a plugin did with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Did {
    /// It returned.
    Handled,
    /// It trapped, ended, or used up what it may: for this reason.
    Broke(String),
    /// It said that it can never handle the message: for this reason. Often that is the message's fault.
    Refused(String),
}

/// What a chain decided so far.
struct Run {
    effects: Vec<Effect>,
    labels: Vec<Label>,
    verdict: Verdict,
    kv: Vec<KvWrite>,
    kv_seen: Vec<KvSeen>,
    trace: Vec<StepTrace>,
    notes: Notes,
    /// Set when candidates run: what they look into the message with.
    shadows: Option<Arc<dyn Parser>>,
}

/// Whether the next step sees the message.
#[derive(PartialEq, Eq)]
enum Next {
    Go,
    Stop,
}

impl Chain {
    /// Runs every step over the message; `last` says that no other attempt will follow.
    ///
    /// Quarantine ends the chain, as in milter; discard does not, so that a later archive still gets its copy.
    ///
    /// # Errors
    /// When a step fails and its `on_error` does not say `skip`.
    pub fn run(&self, message: &Arc<Message>, kv: &Arc<dyn KvRead>, last: bool) -> Result<Plan, RunFailure> {
        self.run_noting(message, kv, last, None).0
    }

    /// The same, and what else is learnt; candidates run beside their steps when `shadows` is there.
    pub fn run_noting(
        &self,
        message: &Arc<Message>,
        kv: &Arc<dyn KvRead>,
        last: bool,
        shadows: Option<Arc<dyn Parser>>,
    ) -> (Result<Plan, RunFailure>, Notes) {
        let mut run = Run {
            effects: Vec::new(),
            labels: Vec::new(),
            verdict: Verdict::Keep,
            kv: Vec::new(),
            kv_seen: Vec::new(),
            trace: Vec::new(),
            notes: Notes::default(),
            shadows,
        };
        for step in &self.steps {
            match run.step(step, message, kv, last) {
                Ok(Next::Go) => {}
                Ok(Next::Stop) => break,
                Err(failure) => return (Err(failure), run.notes),
            }
        }
        let plan = Plan {
            effects: run.effects,
            labels: run.labels,
            verdict: run.verdict,
            kv: run.kv,
            kv_seen: run.kv_seen,
            trace: run.trace,
        };
        (Ok(plan), run.notes)
    }
}

impl Run {
    fn step(
        &mut self,
        step: &Step,
        message: &Arc<Message>,
        kv: &Arc<dyn KvRead>,
        last: bool,
    ) -> Result<Next, RunFailure> {
        if let Some(why) = when::skipped(&step.when, &message.provenance().account, &self.labels) {
            self.trace.push(trace(
                step,
                format!("skipped: {why}"),
                Vec::new(),
                Vec::new(),
                &Usage::default(),
            ));
            return Ok(Next::Go);
        }
        let candidate = self.shadows.as_ref().and_then(|mime| Candidate::of(step, mime));
        reach("pipeline.step", "begun");
        let handled = match &candidate {
            Some(candidate) => candidate.listening().handle(message, &self.labels, kv),
            None => step.plugin.handle(message, &self.labels, kv),
        };
        reach("pipeline.step", "ended");
        self.notes.conduct.extend(conduct(step, &handled));
        if let Some(candidate) = candidate {
            self.notes.compared.extend(candidate.compare(message, &self.labels, kv, &handled));
        }
        match handled {
            Ok(outcome) => Ok(self.take(step, outcome)),
            Err(error) => self.failed(step, &error, last),
        }
    }

    fn take(&mut self, step: &Step, outcome: Outcome) -> Next {
        let said = phrase(&outcome);
        for effect in outcome.effects {
            if !self.effects.iter().any(|queued| queued.id == effect.id) {
                self.effects.push(effect);
            }
        }
        let new: Vec<_> = outcome.labels.into_iter().filter(|label| !self.labels.contains(label)).collect();
        self.labels.extend(new.iter().cloned());
        self.kv.extend(outcome.kv);
        self.kv_seen.extend(outcome.kv_seen);
        self.trace.push(trace(step, said, new, outcome.log, &outcome.usage));
        match outcome.verdict {
            Some(verdict @ Verdict::Quarantine { .. }) => {
                self.verdict = verdict;
                return Next::Stop;
            }
            Some(verdict) => self.verdict = verdict,
            None => {}
        }
        if outcome.stop { Next::Stop } else { Next::Go }
    }

    fn failed(&mut self, step: &Step, error: &InvokeError, last: bool) -> Result<Next, RunFailure> {
        let reason = error.to_string();
        let said = format!("failed: {reason}");
        self.trace.push(trace(step, said, Vec::new(), error.log.to_vec(), &error.usage));
        let disposition = error.disposition();
        let may_skip = step.on_error.then == Then::Skip;
        // A step that may be skipped holds no mail up for as long as an outage lasts.
        let nobodys = Nobodys::of(&error.cause).filter(|nobodys| *nobodys == Nobodys::Crowd || !may_skip);
        let gave_up = last && nobodys.is_none() || !matches!(disposition, Disposition::Retry { .. });
        if gave_up && may_skip {
            return Ok(Next::Go);
        }
        let trace = std::mem::take(&mut self.trace);
        Err(RunFailure { step: step.name.clone(), reason, disposition, nobodys, trace })
    }
}

fn conduct(step: &Step, handled: &Result<Outcome, InvokeError>) -> Option<Conduct> {
    let did = match handled {
        Ok(_) => Did::Handled,
        Err(error) if is_refusal(&error.cause) => Did::Refused(error.to_string()),
        Err(error) if is_own_fault(&error.cause) => Did::Broke(error.to_string()),
        Err(_) => return None,
    };
    Some(Conduct { step: step.name.clone(), digest: step.plugin.component().digest(), did })
}

fn is_refusal(cause: &Cause) -> bool {
    matches!(cause, Cause::Failed { transient: false, .. })
}

/// Whether the plugin itself is to blame. Time that passed may be the machine's or a server's doing.
pub(super) fn is_own_fault(cause: &Cause) -> bool {
    match cause {
        Cause::CpuTime { .. }
        | Cause::Memory { .. }
        | Cause::Limit { .. }
        | Cause::Trap { .. }
        | Cause::Exit(_)
        | Cause::Failed { transient: false, .. } => true,
        Cause::WallTime { .. }
        | Cause::Failed { transient: true, .. }
        | Cause::OutOfReach { .. }
        | Cause::Busy(_)
        | Cause::Host(_) => false,
    }
}

fn trace(step: &Step, outcome: String, labels: Vec<Label>, log: Vec<LogLine>, usage: &Usage) -> StepTrace {
    StepTrace {
        step: step.name.clone(),
        plugin: step.plugin_name.clone(),
        plugin_digest: step.plugin.component().digest(),
        outcome,
        labels,
        log,
        cpu_us: u64::try_from(usage.cpu.as_micros()).unwrap_or(u64::MAX),
        peak_memory: usage.peak_memory,
    }
}

fn phrase(outcome: &Outcome) -> String {
    let mut said = Vec::new();
    match outcome.effects.len() {
        0 => {}
        1 => said.push("1 effect".to_owned()),
        count => said.push(format!("{count} effects")),
    }
    if !outcome.labels.is_empty() {
        let labels: Vec<_> = outcome.labels.iter().map(Label::as_str).collect();
        said.push(format!("labelled {}", labels.join(", ")));
    }
    match &outcome.verdict {
        Some(Verdict::Quarantine { reason, .. }) => said.push(format!("quarantined: {reason}")),
        Some(Verdict::Discard { reason, .. }) => said.push(format!("discarded: {reason}")),
        Some(Verdict::Keep) | None => {}
    }
    if outcome.stop {
        said.push("stopped the chain".to_owned());
    }
    if said.is_empty() { "nothing to do".to_owned() } else { said.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_waited_for_longer_and_longer_and_not_for_ever() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        let waits = |age| Nobodys::Outage.waits(age);
        assert_eq!(waits(Duration::ZERO), Some(minutes(1)));
        assert_eq!(waits(minutes(20)), Some(minutes(5)));
        assert_eq!(waits(minutes(24 * 60)), Some(minutes(15)));
        assert_eq!(waits(OUTAGE), None, "then attempts count");
        assert!(Nobodys::Crowd.waits(2 * OUTAGE).is_some());
    }
}
