//! The breakers of all steps: asked before a message runs, told afterwards. Owns what is known of the versions of plugins,
//! in memory and as a note of the spool for each step; must not load a plugin (that is [`super::fall_back`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use postroom_mail::{AccountId, Digest, MessageId, Name, Timestamp};
use postroom_spool::Spool;

use super::breaker::{Breaker, Fate, Fault, Gate, Open, Record, Rules, Run, Turn};
use super::chain::{Conduct, Did};
use super::set::{PluginSet, Step};
use crate::chance::Chance;
use crate::config::Then;

/// A step of a pipeline.
pub(super) type Place = (Name, Name);

/// Counts are recorded at most so often while mail flows.
const OFTEN: Duration = Duration::from_secs(1);

/// What is known of the versions of every step's plugin.
#[derive(Default)]
pub struct Versions {
    breakers: Mutex<BTreeMap<Place, Breaker>>,
    /// Held while a note is written, so that the last one written is the last one made.
    noting: tokio::sync::Mutex<()>,
    /// When counts were recorded last.
    recorded: Mutex<Option<Timestamp>>,
}

/// What follows from a run.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// What becomes of the message, when the plugin of a step failed on it.
    pub(super) fate: Option<(Name, Fate)>,
    /// Steps at which something has to be done.
    pub(super) turns: Vec<(Name, Turn)>,
}

/// A run of a pipeline over a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage<'a> {
    pub(super) pipeline: &'a Name,
    pub(super) message: MessageId,
    /// The steps that it is a probe of.
    pub(super) probed: &'a [Name],
}

/// What a step could not go on with, and why.
pub(super) type Losses = BTreeMap<Place, String>;

impl Versions {
    /// The earlier versions that steps of a set as configured would go on with. `record` is what is known of a step that was
    /// not there before. Changes nothing.
    pub(super) fn foreseen(
        &self,
        set: &PluginSet,
        records: &BTreeMap<Place, Record>,
    ) -> Vec<(Place, Digest)> {
        let breakers = self.lock();
        let foreseen = steps(set).filter_map(|(place, step)| {
            let running = step.version.digest;
            let breaker = match breakers.get(&place) {
                Some(breaker) => {
                    let mut breaker = breaker.clone();
                    breaker.configure(rules(step), running);
                    breaker
                }
                None => Breaker::new(rules(step), running, records.get(&place).cloned().unwrap_or_default()),
            };
            Some((place, breaker.fall_back()?))
        });
        foreseen.collect()
    }

    /// The breakers of a set: what is the same goes on, what is another starts anew. `store` makes the set the running one, at
    /// the same moment. Answers what turned, and which steps are gone.
    pub(super) fn configure(
        &self,
        set: &PluginSet,
        mut records: BTreeMap<Place, Record>,
        mut losses: Losses,
        now: Timestamp,
        store: impl FnOnce(),
    ) -> (Vec<(Place, Turn)>, Vec<Place>) {
        let mut breakers = self.lock();
        let mut before = std::mem::take(&mut *breakers);
        let mut turns = Vec::new();
        for (place, step) in steps(set) {
            let running = step.plugin.component().digest();
            let mut breaker = match before.remove(&place) {
                Some(mut breaker) => {
                    let turn = breaker.configure(rules(step), running);
                    turns.push((place.clone(), turn));
                    breaker
                }
                None => Breaker::new(rules(step), running, records.remove(&place).unwrap_or_default()),
            };
            if let Some(problem) = losses.remove(&place) {
                breaker.cannot_fall_back(Some(problem), running, now);
                turns.push((place.clone(), Turn::Noted));
            }
            breakers.insert(place, breaker);
        }
        store();
        (turns, before.into_keys().collect())
    }

    /// Whether a message may go through the pipeline now, and which steps it is a probe of; else until when it waits.
    pub(super) fn gate(
        &self,
        pipeline: &Name,
        account: &AccountId,
        message: MessageId,
        now: Timestamp,
    ) -> Result<Vec<Name>, Timestamp> {
        let mut breakers = self.lock();
        let mut probed = Vec::new();
        let passed = breakers.iter().filter(|((of, _), breaker)| of == pipeline && breaker.sees(account));
        for ((_, step), breaker) in passed {
            match breaker.gate(message, now) {
                Gate::Open => {}
                Gate::Probe => probed.push(step.clone()),
                Gate::Hold(until) => return Err(until),
            }
        }
        for step in &probed {
            if let Some(breaker) = breakers.get_mut(&(pipeline.clone(), step.clone())) {
                breaker.probe_begins();
            }
        }
        Ok(probed)
    }

    /// Whether nothing holds mail of the account back in the pipeline.
    pub(super) fn goes_on(&self, pipeline: &Name, account: &AccountId) -> bool {
        let holds =
            |((of, _), one): (&Place, &Breaker)| of == pipeline && one.is_paused() && one.sees(account);
        !self.lock().iter().any(holds)
    }

    /// Steps for which mail waits.
    pub fn paused(&self) -> Vec<(Place, Open)> {
        let breakers = self.lock();
        let paused = breakers.iter().filter(|(_, breaker)| breaker.is_paused());
        paused.filter_map(|(place, breaker)| Some((place.clone(), breaker.open()?.clone()))).collect()
    }

    /// How the plugins of a pipeline did with a message.
    pub(super) fn told(
        &self,
        passage: Passage<'_>,
        conduct: &[Conduct],
        now: Timestamp,
        chance: &Chance,
    ) -> Verdicts {
        let mut breakers = self.lock();
        let mut verdicts = Verdicts::default();
        for Conduct { step, digest, did } in conduct {
            let place = (passage.pipeline.clone(), step.clone());
            let Some(breaker) = breakers.get_mut(&place) else { continue };
            let probe = passage.probed.contains(step);
            let run = Run { version: *digest, message: passage.message, probe };
            let mut failed = |fault, reason: &str| {
                let (fate, turn) = breaker.failed(run, fault, reason, now, |wait| chance.around(wait));
                verdicts.fate = Some((step.clone(), fate));
                turn
            };
            let turn = match did {
                Did::Handled => breaker.handled(run, now),
                Did::Broke(reason) => failed(Fault::Broke, reason),
                Did::Refused(reason) => failed(Fault::Refused, reason),
            };
            if turn != Turn::None {
                verdicts.turns.push((step.clone(), turn));
            }
        }
        for step in passage.probed {
            if let Some(breaker) = breakers.get_mut(&(passage.pipeline.clone(), step.clone())) {
                breaker.probe_ended();
            }
        }
        verdicts
    }

    /// Pipelines that are paused try a message at once.
    pub fn hasten(&self, now: Timestamp) {
        self.lock().values_mut().for_each(|breaker| breaker.hasten(now));
    }

    /// Steps that are open and could run an earlier version, but do not.
    pub(super) fn could_fall_back(&self) -> Vec<Place> {
        let breakers = self.lock();
        let could =
            breakers.iter().filter(|(_, one)| one.fall_back().is_none() && !one.candidates().is_empty());
        could.map(|(place, _)| place.clone()).collect()
    }

    /// Digests of everything a step runs or may fall back to.
    pub(super) fn wanted(&self) -> BTreeSet<Digest> {
        self.lock().values().flat_map(Breaker::wanted).collect()
    }

    /// What a breaker has to say, or is told, once.
    pub(super) fn with<T>(&self, place: &Place, ask: impl FnOnce(&mut Breaker) -> T) -> Option<T> {
        self.lock().get_mut(place).map(ask)
    }

    /// Records what is known of a step.
    pub(super) async fn note(&self, spool: &dyn Spool, place: &Place, now: Timestamp) {
        let _order = self.noting.lock().await;
        let record = self.with(place, |breaker| {
            breaker.take_unrecorded();
            breaker.record()
        });
        let Some(record) = record else { return };
        let noted = match serde_json::to_string(&record) {
            Ok(text) => spool.learn(&scope(place), Some(text), now).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = noted {
            tracing::error!(pipeline = %place.0, step = %place.1, %error, "what is known of the plugin's versions cannot be recorded");
        }
    }

    /// Forgets what was recorded of steps that are gone.
    pub(super) async fn forget(&self, spool: &dyn Spool, gone: &[Place], now: Timestamp) {
        for place in gone {
            if let Err(error) = spool.learn(&scope(place), None, now).await {
                tracing::error!(pipeline = %place.0, step = %place.1, %error, "what is known of a step that is gone cannot be forgotten");
            }
        }
    }

    /// Records the counts that changed, but not for each message.
    pub(super) async fn flush(&self, spool: &dyn Spool, now: Timestamp, end: bool) {
        let changed: Vec<Place> = {
            let mut recorded = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
            if !end && recorded.is_some_and(|at| now.since(at) < OFTEN) {
                return;
            }
            let mut breakers = self.lock();
            let changed =
                breakers.iter_mut().filter_map(|(place, one)| one.take_unrecorded().then_some(place));
            let changed: Vec<_> = changed.cloned().collect();
            if !changed.is_empty() {
                *recorded = Some(now);
            }
            changed
        };
        for place in &changed {
            self.note(spool, place, now).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Breaker>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rules(step: &Step) -> Rules {
    Rules {
        tolerance: step.breaker.clone(),
        skips: step.on_error.then == Then::Skip,
        configured: step.version,
        standing: step.standing.clone(),
        accounts: step.when.account.clone(),
    }
}

/// Every step of a set, with where it is.
pub(super) fn steps(set: &PluginSet) -> impl Iterator<Item = (Place, &Step)> {
    set.chains()
        .flat_map(|chain| chain.steps.iter().map(|step| ((chain.name.clone(), step.name.clone()), step)))
}

/// What was recorded of a step; nothing when nothing can be read.
pub async fn recorded(spool: &dyn Spool, pipeline: &Name, step: &Name) -> Record {
    let text = spool.learnt(&scope(&(pipeline.clone(), step.clone()))).await;
    match text {
        Ok(Some(text)) => serde_json::from_str(&text).unwrap_or_default(),
        Ok(None) => Record::default(),
        Err(error) => {
            tracing::error!(%pipeline, %step, %error, "what is known of the plugin's versions cannot be read");
            Record::default()
        }
    }
}

/// Closes the breaker of a step while no host runs, and makes due what waits of the pipeline's `accounts`. Answers what was open.
///
/// # Errors
/// When the state cannot be read or written.
pub async fn close(
    spool: &dyn Spool,
    pipeline: &Name,
    step: &Name,
    accounts: &[AccountId],
    now: Timestamp,
) -> Result<Option<Open>, postroom_spool::Error> {
    let scope = scope(&(pipeline.clone(), step.clone()));
    let record: Record =
        spool.learnt(&scope).await?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let Some(open) = record.open else { return Ok(None) };
    let closed = Record { proved: record.proved, ..Record::default() };
    spool.learn(&scope, serde_json::to_string(&closed).ok(), now).await?;
    spool.hasten(accounts, now).await?;
    Ok(Some(open))
}

fn scope((pipeline, step): &Place) -> String {
    format!("plugin/{pipeline}/{step}")
}
