//! A plugin admitted to a step: a component, what it may do, and its settings.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use postroom_mail::rules::neutral;
use postroom_mail::{Effect, KvWrite, Label, LogLine, Name, Verdict};
use wasmtime::Store;
use wasmtime::component::Resource;

use crate::bindings::plugin::Plugin as Guest;
use crate::bindings::plugin::exports::postroom::plugin::handler::Failure;
use crate::call::{self, Call};
use crate::error::{Cause, InvokeError, LoadError};
use crate::fetch::{Fetch, NoFetch};
use crate::grants::StepConfig;
use crate::invocation::{Invocation, Work};
use crate::kv::KvRead;
use crate::message::{Message, MessageEntry};
use crate::meter::Usage;
use crate::sandbox::Component;

/// Characters of a plugin's own text.
const TEXT: usize = 1000;
const PROBLEMS: usize = 50;

/// A plugin, ready to be called. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    component: Component,
    config: Arc<StepConfig>,
    fetch: Arc<dyn Fetch>,
}

/// What a call asked for. Nothing of it has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// In the order they were asked for.
    pub effects: Vec<Effect>,
    /// Labels it added.
    pub labels: Vec<Label>,
    /// What it wants to become of the message.
    pub verdict: Option<Verdict>,
    /// No later step is to see the message.
    pub stop: bool,
    /// Changes to its state, one a key, ordered by key.
    pub kv: Vec<KvWrite>,
    /// What it logged.
    pub log: Vec<LogLine>,
    /// What it used.
    pub usage: Usage,
}

type Problems = Vec<(String, String)>;

impl Plugin {
    pub(crate) fn new(component: Component, config: StepConfig) -> Self {
        let fetch = Arc::new(NoFetch::new("nobody makes calls here"));
        Self { component, config: Arc::new(config), fetch }
    }

    /// Who makes its calls of `fetch`. Without this nobody does, and they are refused.
    #[must_use]
    pub fn with_fetch(self, fetch: Arc<dyn Fetch>) -> Self {
        Self { fetch, ..self }
    }

    /// The component it runs.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// The step it stands in.
    pub fn step(&self) -> &Name {
        &self.config.step
    }

    /// Lets it check its settings, in an instance that is thrown away.
    pub(crate) fn try_settings(&self) -> Result<(), LoadError> {
        let call =
            self.run(Invocation::idle(&self.config.limits), |store, guest| self.configure(store, guest));
        match call.result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(problems)) => Err(LoadError::Settings { problems }),
            Err(cause) => Err(LoadError::Failed {
                function: "configure",
                error: Box::new(InvokeError { cause, log: call.log.into(), usage: call.usage }),
            }),
        }
    }

    /// Handles one message, in an instance of its own. Blocks: call it on a thread that may be blocked, with a stack of
    /// some megabytes. `labels` are those of earlier steps.
    ///
    /// # Errors
    /// When the plugin fails, passes a limit or traps, or the host cannot serve it. Then nothing it asked for counts.
    pub fn handle(
        &self,
        message: &Arc<Message>,
        labels: &[Label],
        kv: &Arc<dyn KvRead>,
    ) -> Result<Outcome, InvokeError> {
        let work = Work::new(Arc::clone(&self.config), Arc::clone(message), labels.to_vec(), Arc::clone(kv));
        let work = work.with_fetch(&self.fetch);
        let call = self.run(Invocation::working(work), |store, guest| {
            if let Err(problems) = self.configure(store, guest)? {
                let refused = LoadError::Settings { problems };
                return Ok(Err(Failure::Permanent(refused.to_string())));
            }
            let handle = store.data_mut().push(MessageEntry(Arc::clone(message)))?;
            guest.postroom_plugin_handler().call_handle(store, Resource::new_borrow(handle.rep()))
        });
        let Call { result, queue, log, usage } = call;
        let cause = match result {
            Ok(Ok(())) => {
                return Ok(Outcome {
                    effects: queue.effects,
                    labels: queue.labels,
                    verdict: queue.verdict,
                    stop: queue.stop,
                    kv: queue.kv.into_values().collect(),
                    log,
                    usage,
                });
            }
            Ok(Err(failure)) => failed(&failure, queue.retry_after),
            Err(cause) => cause,
        };
        Err(InvokeError { cause, log: log.into(), usage })
    }

    fn run<T>(
        &self,
        invocation: Invocation,
        body: impl FnOnce(&mut Store<Invocation>, &Guest) -> wasmtime::Result<T>,
    ) -> Call<T> {
        let pre = &self.component.pre;
        call::run(pre.engine(), invocation, |store| {
            let guest = pre.instantiate(&mut *store)?;
            body(store, &guest)
        })
    }

    fn configure(
        &self,
        store: &mut Store<Invocation>,
        guest: &Guest,
    ) -> wasmtime::Result<Result<(), Problems>> {
        let answer = guest.postroom_plugin_handler().call_configure(store, &self.config.settings)?;
        Ok(answer.map_err(|problems| {
            let shown = problems.iter().take(PROBLEMS);
            shown.map(|(path, problem)| (neutral(path, TEXT), neutral(problem, TEXT))).collect()
        }))
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("component", &self.component)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

fn failed(failure: &Failure, retry_after: Option<u32>) -> Cause {
    let (transient, text) = match failure {
        Failure::Transient(text) => (true, text),
        Failure::Permanent(text) => (false, text),
    };
    let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds.into()));
    Cause::Failed { transient, message: neutral(text, TEXT), retry_after: retry_after.filter(|_| transient) }
}
