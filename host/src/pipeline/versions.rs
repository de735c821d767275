//! The breakers of all steps: asked before a message runs, told afterwards. Owns what is known of the versions of plugins,
//! in memory and as a note of the spool for each step; must not load a plugin (that is [`super::fall_back`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use postroom_mail::{Digest, Name, Timestamp};
use postroom_spool::Spool;

use super::breaker::{Breaker, Fate, Gate, Record, Turn};
use super::chain::Conduct;
use super::set::{PluginSet, Step};
use crate::chance::Chance;
use crate::config::Then;

/// A step of a pipeline.
pub(super) type Place = (Name, Name);

/// What is known of the versions of every step's plugin.
#[derive(Default)]
pub struct Versions {
    breakers: Mutex<BTreeMap<Place, Breaker>>,
    /// Held while a note is written, so that the last one written is the last one made.
    noting: tokio::sync::Mutex<()>,
}

/// What follows from a run.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    /// What becomes of the message, when the plugin of a step failed on it.
    pub(super) fate: Option<(Name, Fate)>,
    /// Steps at which something has to be done.
    pub(super) turns: Vec<(Name, Turn)>,
}

impl Versions {
    /// The breakers of a set as configured: what is the same goes on, what is another starts anew. Answers what turned.
    /// `record` is what is known of a step that was not there before.
    pub(super) fn configure(
        &self,
        set: &PluginSet,
        mut record: impl FnMut(&Place) -> Record,
    ) -> Vec<(Place, Turn)> {
        let mut breakers = self.lock();
        let mut before = std::mem::take(&mut *breakers);
        let mut turns = Vec::new();
        for (place, step) in steps(set) {
            let skips = step.on_error.then == Then::Skip;
            let breaker = match before.remove(&place) {
                Some(mut breaker) => {
                    let turn = breaker.configure(step.breaker.clone(), skips, step.version);
                    turns.push((place.clone(), turn));
                    breaker
                }
                None => Breaker::new(step.breaker.clone(), skips, step.version, record(&place)),
            };
            breakers.insert(place, breaker);
        }
        turns
    }

    /// Whether a message may go through the pipeline now.
    pub(super) fn gate(&self, pipeline: &Name, now: Timestamp) -> Gate {
        let mut breakers = self.lock();
        let mut probed = Vec::new();
        for (place, breaker) in breakers.iter_mut().filter(|((of, _), _)| of == pipeline) {
            match breaker.gate(now) {
                Gate::Open => {}
                Gate::Probe => probed.push(place.clone()),
                Gate::Hold(until) => return Gate::Hold(until),
            }
        }
        for place in &probed {
            if let Some(breaker) = breakers.get_mut(place) {
                breaker.probe_begins();
            }
        }
        if probed.is_empty() { Gate::Open } else { Gate::Probe }
    }

    /// Whether nothing holds mail back in the pipeline.
    pub(super) fn goes_on(&self, pipeline: &Name) -> bool {
        !self.lock().iter().any(|((of, _), one)| of == pipeline && one.is_paused())
    }

    /// How the plugins of a pipeline did with a message.
    pub(super) fn told(
        &self,
        pipeline: &Name,
        conduct: &[Conduct],
        now: Timestamp,
        chance: &Chance,
    ) -> Verdicts {
        let mut breakers = self.lock();
        let mut verdicts = Verdicts::default();
        for Conduct { step, digest, fault } in conduct {
            let Some(breaker) = breakers.get_mut(&(pipeline.clone(), step.clone())) else { continue };
            let turn = match fault {
                None => breaker.handled(*digest),
                Some(reason) => {
                    let (fate, turn) = breaker.failed(*digest, reason, now, |wait| chance.around(wait));
                    verdicts.fate = Some((step.clone(), fate));
                    turn
                }
            };
            if turn != Turn::None {
                verdicts.turns.push((step.clone(), turn));
            }
        }
        verdicts
    }

    /// The probe of a pipeline ended.
    pub(super) fn probe_ended(&self, pipeline: &Name) {
        let mut breakers = self.lock();
        breakers.iter_mut().filter(|((of, _), _)| of == pipeline).for_each(|(_, one)| one.probe_ended());
    }

    /// Pipelines that are paused try a message at once.
    pub fn hasten(&self, now: Timestamp) {
        self.lock().values_mut().for_each(|breaker| breaker.hasten(now));
    }

    /// Steps that are to run an earlier version, and which.
    pub(super) fn fall_backs(&self) -> Vec<(Place, Digest)> {
        let breakers = self.lock();
        breakers.iter().filter_map(|(place, one)| Some((place.clone(), one.fall_back()?))).collect()
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
        let Some(record) = self.with(place, |breaker| breaker.record().clone()) else { return };
        let noted = match serde_json::to_string(&record) {
            Ok(text) => spool.learn(&scope(place), Some(text), now).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = noted {
            tracing::error!(pipeline = %place.0, step = %place.1, %error, "what is known of the plugin's versions cannot be recorded");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Breaker>> {
        self.breakers.lock().unwrap_or_else(PoisonError::into_inner)
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

fn scope((pipeline, step): &Place) -> String {
    format!("plugin/{pipeline}/{step}")
}
