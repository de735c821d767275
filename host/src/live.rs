//! What is running now: one configuration with its plugins and sinks, swapped as one whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use postroom_mail::Name;
use postroom_sandbox::{Fetch, NoFetch, Sandbox};

use crate::config::Config;
use crate::fetch::{TargetError, Targets};
use crate::origin;
use crate::pipeline::{PluginProblem, PluginSet};
use crate::sinks::{Sink, SinkError};

/// A configuration that was checked to the end. Work in flight keeps the one it began with.
#[derive(Clone)]
pub struct Live {
    /// As meant.
    pub config: Config,
    /// Compiled.
    pub plugins: PluginSet,
    /// Ready to deliver.
    pub sinks: BTreeMap<Name, Arc<Sink>>,
}

/// Why a configuration cannot run, every reason.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.lines().join("\n"))]
pub struct NotLive {
    /// Plugins that cannot run.
    pub plugins: Vec<PluginProblem>,
    /// Sinks that cannot be made.
    pub sinks: Vec<SinkError>,
    /// Targets that cannot be made.
    pub targets: Vec<TargetError>,
}

impl NotLive {
    /// Whether every reason can go away without a change of the configuration or its files.
    pub fn may_pass(&self) -> bool {
        // Sinks and targets fail over secrets and authorities, which come from elsewhere.
        self.plugins.iter().all(PluginProblem::may_pass)
    }

    /// One text for each problem.
    pub fn lines(&self) -> Vec<String> {
        let plugins = self.plugins.iter().map(ToString::to_string);
        let sinks = self.sinks.iter().map(ToString::to_string);
        plugins.chain(sinks).chain(self.targets.iter().map(ToString::to_string)).collect()
    }
}

impl Live {
    /// Loads every plugin and makes every sink and target.
    ///
    /// # Errors
    /// Every problem there is.
    pub fn build(config: Config, sandbox: &Sandbox) -> Result<Self, NotLive> {
        Self::build_after(None, config, sandbox)
    }

    /// The same; what was compiled for `previous` is not compiled again.
    ///
    /// # Errors
    /// As [`Live::build`].
    pub fn build_after(previous: Option<&Self>, config: Config, sandbox: &Sandbox) -> Result<Self, NotLive> {
        let (targets, wrong) = match Targets::build(&config.fetch, &config.base) {
            Ok(targets) => (Arc::new(targets) as Arc<dyn Fetch>, Vec::new()),
            Err(wrong) => (Arc::new(NoFetch::new("it cannot be made")) as Arc<dyn Fetch>, wrong),
        };
        Self::assemble(previous, config, sandbox, &targets, wrong)
    }

    /// The same, for a run that must not reach anybody: what plugins ask of targets is refused, and they are told why.
    ///
    /// # Errors
    /// As [`Live::build`], but of targets nothing is known.
    pub fn build_without_calls(
        config: Config,
        sandbox: &Sandbox,
        why: &'static str,
    ) -> Result<Self, NotLive> {
        let refused: Arc<dyn Fetch> = Arc::new(NoFetch::new(why));
        Self::assemble(None, config, sandbox, &refused, Vec::new())
    }

    fn assemble(
        previous: Option<&Self>,
        mut config: Config,
        sandbox: &Sandbox,
        fetch: &Arc<dyn Fetch>,
        targets: Vec<TargetError>,
    ) -> Result<Self, NotLive> {
        let mut sinks = BTreeMap::new();
        let mut wrong = Vec::new();
        for (name, sink) in &config.sinks {
            match Sink::build(name, sink, &config.base) {
                Ok(sink) => {
                    sinks.insert(name.clone(), Arc::new(sink));
                }
                Err(error) => wrong.push(error),
            }
        }
        match PluginSet::load(&config, sandbox, previous.map(|live| &live.plugins), fetch) {
            Ok(plugins) if wrong.is_empty() && targets.is_empty() => {
                config.warnings.extend(origin::changeable(&config));
                config.warnings.extend(plugins.warnings());
                Ok(Self { config, plugins, sinks })
            }
            Ok(_) => Err(NotLive { plugins: Vec::new(), sinks: wrong, targets }),
            Err(plugins) => Err(NotLive { plugins, sinks: wrong, targets }),
        }
    }
}
