//! A plugin admitted to a step: a component, what it may do, and its settings.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use postroom_contract::{
    Failure, Fetch, InvokeError, KvRead, Log, Message, NoFetch, Outcome, Problems, StepConfig,
    neutral_problems,
};
use postroom_mail::{Label, LogLine, Name};
use wasmtime::Store;
use wasmtime::component::Resource;

use crate::bindings::plugin::Plugin as Guest;
use crate::bindings::plugin::exports::postroom::plugin::handler;
use crate::call::{self, Returned};
use crate::error::LoadError;
use crate::handles::MessageEntry;
use crate::invocation::Invocation;
use crate::log_rate::LogRate;
use crate::sandbox::Component;

/// A plugin, ready to be called. Cheap to clone.
#[derive(Clone)]
pub struct Plugin {
    component: Component,
    config: Arc<StepConfig>,
    log_rate: Arc<LogRate>,
    fetch: Arc<dyn Fetch>,
    warnings: Arc<[String]>,
}

impl Plugin {
    pub(crate) fn new(component: Component, config: StepConfig) -> Self {
        let log_rate = Arc::new(LogRate::new(config.limits.log_rate));
        let fetch = Arc::new(NoFetch::new("nobody makes calls here"));
        Self { component, config: Arc::new(config), log_rate, fetch, warnings: Arc::new([]) }
    }

    /// Who makes its calls of `fetch`. Without this nobody does, and they are refused.
    #[must_use]
    pub fn with_fetch(self, fetch: Arc<dyn Fetch>) -> Self {
        Self { fetch, ..self }
    }

    /// Who makes its calls.
    pub fn fetch(&self) -> &Arc<dyn Fetch> {
        &self.fetch
    }

    /// The component it runs.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// The step it stands in.
    pub fn step(&self) -> &Name {
        &self.config.step
    }

    /// What it said of its settings, at level `warn` or above, when it took them.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Lets it check its settings, in an instance that is thrown away, and keeps what it warns of.
    pub(crate) fn try_settings(self) -> Result<Self, LoadError> {
        let Returned { result, call, fuel: _ } =
            self.run(Invocation::idle(&self.config.limits), |store, guest| self.configure(store, guest));
        match result {
            Ok(Ok(())) => {
                Ok(Self { warnings: call.log.finish().iter().filter_map(warning).collect(), ..self })
            }
            Ok(Err(problems)) => Err(LoadError::Settings { problems }),
            Err(cause) => {
                Err(LoadError::Failed { function: "configure", error: Box::new(call.failed(cause)) })
            }
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
        let Returned { result, call, fuel: _ } = self.call(message, labels, kv);
        let admit = |log| self.log_rate.admit(log, Instant::now());
        match call.end(result) {
            Ok(outcome) => Ok(Outcome { log: admit(outcome.log), ..outcome }),
            Err(error) => Err(InvokeError { log: admit(error.log.into()).into(), ..error }),
        }
    }

    /// Instructions that handling a message takes, whatever becomes of it: the same at every run. `None` unless the sandbox
    /// counts them ([`SandboxConfig::fuel`](crate::SandboxConfig)).
    pub fn fuel(&self, message: &Arc<Message>, labels: &[Label], kv: &Arc<dyn KvRead>) -> Option<u64> {
        self.call(message, labels, kv).fuel
    }

    fn call(
        &self,
        message: &Arc<Message>,
        labels: &[Label],
        kv: &Arc<dyn KvRead>,
    ) -> Returned<Result<(), Failure>> {
        let step = Arc::clone(&self.config);
        let (message_of, kv, fetch) = (Arc::clone(message), Arc::clone(kv), Arc::clone(&self.fetch));
        let invocation = Invocation::working(step, message_of, labels.to_vec(), kv, fetch);
        self.run(invocation, |store, guest| {
            if let Err(problems) = self.configure(store, guest)? {
                return Ok(Err(Failure::settings(&problems)));
            }
            // It said so when it was admitted: once, not with every message.
            let call = &mut store.data_mut().call;
            call.log = Log::new(&call.limits);
            let handle = store.data_mut().push(MessageEntry(Arc::clone(message)))?;
            let answer =
                guest.postroom_plugin_handler().call_handle(store, Resource::new_borrow(handle.rep()))?;
            Ok(answer.map_err(failure))
        })
    }

    fn run<T>(
        &self,
        invocation: Invocation,
        body: impl FnOnce(&mut Store<Invocation>, &Guest) -> wasmtime::Result<T>,
    ) -> Returned<T> {
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
        Ok(answer.map_err(|problems| neutral_problems(&problems)))
    }
}

/// A line of `configure` as one text, when it is one for the operator. The SDK names the setting in a field.
fn warning(line: &LogLine) -> Option<String> {
    if !matches!(line.level.as_str(), "warn" | "error") {
        return None;
    }
    let fields = line.fields.iter().map(|(name, value)| match name.as_str() {
        "setting" => (format!("{value}: "), String::new()),
        _ => (String::new(), format!(" {name}={value}")),
    });
    let (place, rest): (String, String) = fields.unzip();
    Some(format!("{place}{}{rest}", line.message))
}

fn failure(failure: handler::Failure) -> Failure {
    match failure {
        handler::Failure::Transient(text) => Failure::Transient(text),
        handler::Failure::Permanent(text) => Failure::Permanent(text),
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
