//! What one call owns on the host's side: what the contract gives it, its handles, its memory, and its surroundings.
//! Made fresh for each call and dropped with it: nothing is carried from one mail to the next.

use std::sync::Arc;

use postroom_contract::{Breach, Call, Fetch, KvRead, Limits, Message, StepConfig};
use postroom_mail::{Digest, Label, Timestamp};
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable, ResourceTableError};

use crate::bindings::{baseline, mime, plugin};
use crate::host::baseline::Ambience;
use crate::memory::Memory;

/// The data of a store.
pub(crate) struct Invocation {
    pub(crate) call: Call,
    pub(crate) memory: Memory,
    pub(crate) ambience: Ambience,
    table: ResourceTable,
}

impl Invocation {
    /// A call without a message: `describe`, `configure`, or the MIME parser.
    pub(crate) fn idle(limits: &Limits) -> Self {
        Self::new(Call::idle(limits), Ambience::new(Digest::of(b"idle"), Timestamp(0)))
    }

    /// A call that handles a message. Randomness follows from the message and the step, time from its retrieval.
    pub(crate) fn working(
        step: Arc<StepConfig>,
        message: Arc<Message>,
        earlier: Vec<Label>,
        kv: Arc<dyn KvRead>,
        fetch: Arc<dyn Fetch>,
    ) -> Self {
        let parts = [step.pipeline.as_str().as_bytes(), step.step.as_str().as_bytes(), &message.id().0.0];
        let ambience = Ambience::new(Digest::of_parts("seed/1", &parts), message.provenance().retrieved)
            .with_entropy(step.grants.entropy);
        Self::new(Call::working(step, message, earlier, kv).with_fetch(fetch), ambience)
    }

    fn new(call: Call, ambience: Ambience) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(call.limits.handles as usize);
        Self { memory: Memory::new(&call.limits), call, ambience, table }
    }

    /// What is left of it when the guest is gone.
    pub(crate) fn into_call(mut self) -> Call {
        self.call.meter.saw_memory(self.memory.peak());
        self.call
    }

    pub(crate) fn push<T: Send + 'static>(&mut self, entry: T) -> wasmtime::Result<Resource<T>> {
        self.table.push(entry).map_err(|error| match error {
            ResourceTableError::Full => Breach::Handles { limit: self.call.limits.handles.into() }.into(),
            error => error.into(),
        })
    }

    pub(crate) fn get<T: 'static>(&self, handle: &Resource<T>) -> wasmtime::Result<&T> {
        Ok(self.table.get(handle)?)
    }

    /// An entry to change, beside the call that may refuse it.
    pub(crate) fn get_mut<T: 'static>(
        &mut self,
        handle: &Resource<T>,
    ) -> wasmtime::Result<(&mut T, &mut Call)> {
        Ok((self.table.get_mut(handle)?, &mut self.call))
    }

    pub(crate) fn delete<T: 'static>(&mut self, handle: Resource<T>) -> wasmtime::Result<()> {
        self.table.delete(handle)?;
        Ok(())
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
    invocation.call.meter.count_call();
    invocation
}
