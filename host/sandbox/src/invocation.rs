//! What one call owns on the host's side: its handles, its meter, its log, and, while a message is handled, the queue
//! of what it asked for. Made fresh for each call and dropped with it: nothing is carried from one mail to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use postroom_mail::{Action, Digest, Effect, EffectId, KvWrite, Label, Name, Timestamp, Verdict};
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable, ResourceTableError};

use crate::bindings::{baseline, mime, plugin};
use crate::blob::Cursors;
use crate::fetch::{Fetch, NoFetch, Spent};
use crate::grants::StepConfig;
use crate::host::baseline::Ambience;
use crate::kv::KvRead;
use crate::limits::Limits;
use crate::log::Log;
use crate::message::Message;
use crate::meter::Meter;
use crate::refusal::{Breach, Refusal};

/// The data of a store.
pub(crate) struct Invocation {
    pub(crate) limits: Limits,
    pub(crate) meter: Meter,
    pub(crate) log: Log,
    pub(crate) ambience: Ambience,
    pub(crate) cursors: Cursors,
    /// Octets made so far, finished or not: bounds what the host keeps for a plugin.
    pub(crate) made: u64,
    /// The plugin's log says already what is wrong with the structure.
    pub(crate) told_flaws: bool,
    work: Option<Work>,
    table: ResourceTable,
}

/// A message being handled by a step.
pub(crate) struct Work {
    pub(crate) step: Arc<StepConfig>,
    pub(crate) message: Arc<Message>,
    /// Labels of earlier steps.
    pub(crate) earlier: Vec<Label>,
    pub(crate) kv: Arc<dyn KvRead>,
    pub(crate) fetch: Arc<dyn Fetch>,
    pub(crate) spent: Spent,
    pub(crate) queue: Queue,
}

/// What was asked for so far. Dropped unless `handle` returns ok.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) effects: Vec<Effect>,
    pub(crate) octets: u64,
    pub(crate) made: u64,
    pub(crate) labels: Vec<Label>,
    pub(crate) verdict: Option<Verdict>,
    pub(crate) stop: bool,
    pub(crate) retry_after: Option<u32>,
    pub(crate) kv: BTreeMap<String, KvWrite>,
    pub(crate) kv_ops: u32,
}

impl Queue {
    pub(crate) fn holds(&self, id: &EffectId) -> bool {
        self.effects.iter().any(|effect| effect.id == *id)
    }
}

impl Work {
    pub(crate) fn new(
        step: Arc<StepConfig>,
        message: Arc<Message>,
        earlier: Vec<Label>,
        kv: Arc<dyn KvRead>,
    ) -> Self {
        let fetch = Arc::new(NoFetch::new("nobody makes calls here"));
        Self { step, message, earlier, kv, fetch, spent: Spent::default(), queue: Queue::default() }
    }

    pub(crate) fn with_fetch(self, fetch: &Arc<dyn Fetch>) -> Self {
        Self { fetch: Arc::clone(fetch), ..self }
    }

    pub(crate) fn id_of(&self, sink: &Name, action: &Action, digest: &Digest) -> EffectId {
        let step = &self.step;
        Effect::derive_id(&self.message.id(), &step.pipeline, &step.step, sink, action, digest)
    }
}

impl Invocation {
    /// A call without a message: `describe`, `configure`, or the MIME parser.
    pub(crate) fn idle(limits: &Limits) -> Self {
        Self::new(limits, None, Ambience::new(Digest::of(b"idle"), Timestamp(0)))
    }

    /// A call that handles a message. Randomness follows from the message and the step, time from its retrieval.
    pub(crate) fn working(work: Work) -> Self {
        let step = &work.step;
        let parts =
            [step.pipeline.as_str().as_bytes(), step.step.as_str().as_bytes(), &work.message.id().0.0];
        let ambience = Ambience::new(Digest::of_parts("seed/1", &parts), work.message.provenance().retrieved)
            .with_entropy(step.grants.entropy);
        let limits = work.step.limits.clone();
        Self::new(&limits, Some(work), ambience)
    }

    fn new(limits: &Limits, work: Option<Work>, ambience: Ambience) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles as usize);
        Self {
            meter: Meter::start(limits),
            log: Log::new(limits),
            limits: limits.clone(),
            ambience,
            cursors: Cursors::default(),
            made: 0,
            told_flaws: false,
            work,
            table,
        }
    }

    /// The message being handled.
    ///
    /// # Errors
    /// `invalid`, outside of `handle`.
    pub(crate) fn work(&mut self) -> Result<&mut Work, Refusal> {
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

    /// Takes out what was asked for.
    pub(crate) fn take_queue(&mut self) -> Queue {
        self.work.as_mut().map(|work| std::mem::take(&mut work.queue)).unwrap_or_default()
    }

    pub(crate) fn push<T: Send + 'static>(&mut self, entry: T) -> wasmtime::Result<Resource<T>> {
        self.table.push(entry).map_err(|error| match error {
            ResourceTableError::Full => Breach::Handles { limit: self.limits.handles.into() }.into(),
            error => error.into(),
        })
    }

    pub(crate) fn get<T: 'static>(&self, handle: &Resource<T>) -> wasmtime::Result<&T> {
        Ok(self.table.get(handle)?)
    }

    pub(crate) fn get_mut<T: 'static>(&mut self, handle: &Resource<T>) -> wasmtime::Result<&mut T> {
        Ok(self.table.get_mut(handle)?)
    }

    pub(crate) fn take<T: 'static>(&mut self, handle: Resource<T>) -> wasmtime::Result<T> {
        Ok(self.table.delete(handle)?)
    }

    pub(crate) fn delete<T: 'static>(&mut self, handle: Resource<T>) -> wasmtime::Result<()> {
        self.take(handle).map(drop)
    }
}

/// Every host function of the world `plugin`, and the baseline.
pub(crate) fn link_plugin(linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
    plugin::Plugin::add_to_linker::<_, HasSelf<Invocation>>(linker, counted)?;
    link_baseline(linker)
}

/// Every host function of the world `mime`, and the baseline.
pub(crate) fn link_mime(linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
    plugin::postroom::plugin::types::add_to_linker::<_, HasSelf<Invocation>>(linker, counted)?;
    mime::Mime::add_to_linker::<_, HasSelf<Invocation>>(linker, counted)?;
    link_baseline(linker)
}

fn link_baseline(linker: &mut Linker<Invocation>) -> wasmtime::Result<()> {
    baseline::Baseline::add_to_linker::<_, HasSelf<Invocation>>(linker, counted)
}

/// Each host call passes here.
fn counted(invocation: &mut Invocation) -> &mut Invocation {
    invocation.meter.host_calls += 1;
    invocation
}
