//! One call of a plugin as the host sees it: its meter, its log, and, while a message is handled, the queue of what it
//! asked for. Made fresh for each call and dropped with it: nothing is carried from one mail to the next.
//!
//! What a plugin can ask for is in `content`, `mail`, `effects` and `kv`, one file an interface of the contract.

use std::collections::BTreeMap;
use std::sync::Arc;

use postroom_mail::{Action, Digest, Effect, EffectId, KvWrite, Label, Name, Verdict};

use crate::blob::Cursors;
use crate::error::{Cause, InvokeError};
use crate::fetch::{Fetch, NoFetch, Spent};
use crate::grants::StepConfig;
use crate::kv::{KvRead, Stored};
use crate::limits::Limits;
use crate::log::Log;
use crate::message::Message;
use crate::meter::Meter;
use crate::outcome::{Failure, Outcome};
use crate::refusal::Refusal;

/// Named options or header fields, in order.
pub type Fields = Vec<(String, String)>;

/// One call.
pub struct Call {
    /// What it may use.
    pub limits: Limits,
    /// What it uses.
    pub meter: Meter,
    /// What it says.
    pub log: Log,
    pub(crate) cursors: Cursors,
    /// Octets made so far, finished or not: bounds what the host keeps for a plugin.
    pub(crate) made: u64,
    /// The plugin's log says already what is wrong with the structure.
    pub(crate) told_flaws: bool,
    work: Option<Work>,
}

/// A message being handled by a step.
pub struct Work {
    /// The step, with its grants.
    pub step: Arc<StepConfig>,
    /// The message.
    pub message: Arc<Message>,
    /// Labels of earlier steps.
    pub earlier: Vec<Label>,
    /// Durable state.
    pub kv: Arc<dyn KvRead>,
    /// Who makes calls of `fetch`.
    pub(crate) fetch: Arc<dyn Fetch>,
    pub(crate) spent: Spent,
    /// A target that gave no answer, in the words of who asked it.
    pub(crate) out_of_reach: Option<String>,
    /// What was asked for.
    pub queue: Queue,
}

/// What was asked for so far. Dropped unless `handle` returns ok.
#[derive(Default)]
pub struct Queue {
    pub(crate) effects: Vec<Effect>,
    pub(crate) octets: u64,
    pub(crate) made: u64,
    pub(crate) labels: Vec<Label>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) stop: bool,
    pub(crate) retry_after: Option<u32>,
    pub(crate) kv: BTreeMap<String, KvWrite>,
    pub(crate) kv_seen: BTreeMap<String, Option<Digest>>,
    pub(crate) kv_ops: u32,
    pub(crate) kv_stored: Stored,
}

impl Queue {
    pub(crate) fn holds(&self, id: &EffectId) -> bool {
        self.effects.iter().any(|effect| effect.id == *id)
    }
}

impl Work {
    pub(crate) fn id_of(&self, sink: &Name, action: &Action, digest: &Digest) -> EffectId {
        let step = &self.step;
        Effect::derive_id(&self.message.id(), &step.pipeline, &step.step, sink, action, digest)
    }
}

impl Call {
    /// A call without a message: `describe`, `configure`, or the MIME parser. Starts its meter.
    pub fn idle(limits: &Limits) -> Self {
        Self::new(limits.clone(), None)
    }

    /// A call that handles a message. `earlier` are the labels of earlier steps. Starts its meter.
    pub fn working(
        step: Arc<StepConfig>,
        message: Arc<Message>,
        earlier: Vec<Label>,
        kv: Arc<dyn KvRead>,
    ) -> Self {
        let limits = step.limits.clone();
        let fetch: Arc<dyn Fetch> = Arc::new(NoFetch::new("nobody makes calls here"));
        Self::new(
            limits,
            Some(Work {
                step,
                message,
                earlier,
                kv,
                fetch,
                spent: Spent::default(),
                out_of_reach: None,
                queue: Queue::default(),
            }),
        )
    }

    /// Who makes calls of `fetch`; without this nobody does.
    #[must_use]
    pub fn with_fetch(mut self, fetch: Arc<dyn Fetch>) -> Self {
        if let Some(work) = &mut self.work {
            work.fetch = fetch;
        }
        self
    }

    fn new(limits: Limits, work: Option<Work>) -> Self {
        Self {
            meter: Meter::start(&limits),
            log: Log::new(&limits),
            limits,
            cursors: Cursors::default(),
            made: 0,
            told_flaws: false,
            work,
        }
    }

    /// The message being handled.
    ///
    /// # Errors
    /// `invalid`, outside of `handle`.
    pub fn work(&mut self) -> Result<&mut Work, Refusal> {
        self.work.as_mut().ok_or_else(|| Refusal::invalid("only `handle` can ask for this"))
    }

    /// Octets that all effects of the call may have together, and so one content.
    pub(crate) fn effect_octets(&self) -> u64 {
        let message = self.work.as_ref().map_or(0, |work| work.message.octets().len());
        self.limits.effect_octets.max(message.saturating_mul(2))
    }

    /// Whether work on that many octets of the message is on the house: what is kept for all steps is, within reason.
    pub(crate) fn is_free(&self, octets: u64) -> bool {
        self.work.as_ref().is_some_and(|work| work.message.is_free(octets))
    }

    /// The end of `handle`: what counts of what was asked for. `answer` is what the plugin answered, or why it could not.
    ///
    /// # Errors
    /// When it did not answer ok; then nothing it asked for counts.
    pub fn end(mut self, answer: Result<Result<(), Failure>, Cause>) -> Result<Outcome, InvokeError> {
        let usage = self.meter.usage();
        let (mut queue, out_of_reach, scope) = match self.work.take() {
            Some(work) => {
                let scope = work.scope();
                (work.queue, work.out_of_reach, scope)
            }
            None => (Queue::default(), None, String::new()),
        };
        let log = self.log.finish();
        let cause = match answer {
            Ok(Ok(())) => {
                return Ok(Outcome {
                    kv_seen: queue.seen(&scope),
                    effects: queue.effects,
                    labels: queue.labels,
                    verdict: queue.verdict,
                    stop: queue.stop,
                    kv: queue.kv.into_values().collect(),
                    log,
                    usage,
                });
            }
            Ok(Err(failure)) => failure.cause(queue.retry_after, out_of_reach),
            Err(cause) => cause,
        };
        Err(InvokeError { cause, log: log.into(), usage })
    }

    /// The end of any other call that failed.
    pub fn failed(self, cause: Cause) -> InvokeError {
        let usage = self.meter.usage();
        InvokeError { cause, log: self.log.finish().into(), usage }
    }
}
