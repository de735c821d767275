//! The plugins of a configuration: read, checked, compiled, and swapped as one whole.
//!
//! Bundled plugins come through the same call as a user's file. A plugin's bytes are read once; their path is never
//! looked at again.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use postroom_mail::{AccountId, Digest, Name};
use postroom_sandbox::{
    Component, Fetch, Grants as Granted, LoadError, Parser, Plugin, Sandbox, SinkKind,
    StepConfig as Admission,
};

use super::breaker::{Standing, Version};
use super::shadow;
use crate::config::{BreakerConfig, Config, Grants, OnError, PluginRef, StepConfig, When};
use crate::origin::{self, OriginError};
use crate::sinks::Kind;

/// Every pipeline with its plugins, ready to run. Immutable: a change makes a new set.
#[derive(Clone)]
pub struct PluginSet {
    pub(super) chains: BTreeMap<Name, Arc<Chain>>,
    by_account: BTreeMap<AccountId, Name>,
    mime: Arc<dyn Parser>,
    compiled: usize,
}

/// The ordered steps of one pipeline.
#[derive(Clone)]
pub struct Chain {
    /// The pipeline.
    pub name: Name,
    /// In order.
    pub steps: Vec<Step>,
}

/// One step, ready to run.
#[derive(Clone)]
pub struct Step {
    /// Its name in the pipeline.
    pub name: Name,
    /// The plugin as configured.
    pub plugin_name: String,
    /// The plugin.
    pub plugin: Plugin,
    /// For which messages.
    pub when: When,
    /// What happens when it fails.
    pub on_error: OnError,
    /// When its plugin has failed too often.
    pub breaker: BreakerConfig,
    /// What runs, exactly.
    pub version: Version,
    /// As what.
    pub standing: Standing,
    /// A candidate that runs beside it, or why there is none although one is configured: that stops no mail.
    pub shadow: Option<Result<Arc<Step>, String>>,
}

/// A plugin that cannot run as configured.
#[derive(Debug, thiserror::Error)]
pub enum PluginProblem {
    /// Its octets are not to be had, or not signed as they must be.
    #[error("pipeline {pipeline}, step {step}: {source}")]
    Origin {
        /// The pipeline.
        pipeline: Name,
        /// The step.
        step: Name,
        /// Why.
        source: Box<OriginError>,
    },
    /// The file is not the one that was pinned.
    #[error(
        "pipeline {pipeline}, step {step}: {plugin} has the SHA-256 {found}, but the configuration pins {pinned}: if you changed the plugin on purpose, change `sha256`"
    )]
    Pinned {
        /// The pipeline.
        pipeline: Name,
        /// The step.
        step: Name,
        /// As configured.
        plugin: String,
        /// Of the file.
        found: Box<Digest>,
        /// In the configuration.
        pinned: Box<Digest>,
    },
    /// The sandbox refuses it.
    #[error("pipeline {pipeline}, step {step}, plugin {plugin}: {source}")]
    Refused {
        /// The pipeline.
        pipeline: Name,
        /// The step.
        step: Name,
        /// As configured.
        plugin: String,
        /// Why.
        source: Box<LoadError>,
    },
}

impl PluginProblem {
    /// Whether it can go away while octets and configuration stay what they are.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Origin { .. } => true,
            Self::Pinned { .. } => false,
            Self::Refused { source, .. } => source.may_pass(),
        }
    }
}

impl PluginSet {
    /// Loads every plugin of `config`; what `previous` has compiled already is taken from there. `fetch` makes the calls they
    /// ask for.
    ///
    /// # Errors
    /// All problems there are, not just the first.
    pub fn load(
        config: &Config,
        sandbox: &Sandbox,
        previous: Option<&Self>,
        fetch: &Arc<dyn Fetch>,
    ) -> Result<Self, Vec<PluginProblem>> {
        let mut problems = Vec::new();
        let mut components: HashMap<Digest, Component> =
            previous.into_iter().flat_map(Self::components).collect();
        let known = components.len();
        let mut chains = BTreeMap::new();
        for (name, pipeline) in &config.pipelines {
            let mut steps = Vec::new();
            for step in &pipeline.steps {
                match load_step(config, sandbox, &mut components, name, step) {
                    Ok(step) => {
                        let plugin = step.plugin.with_fetch(Arc::clone(fetch));
                        steps.push(Step { plugin, ..step });
                    }
                    Err(problem) => problems.push(problem),
                }
            }
            chains.insert(name.clone(), Arc::new(Chain { name: name.clone(), steps }));
        }
        let by_account =
            config.accounts.iter().map(|(id, account)| (id.clone(), account.pipeline.clone())).collect();
        let compiled = components.len() - known;
        let mime = previous.map_or_else(|| load_mime(sandbox), |set| Ok(Arc::clone(&set.mime)));
        match (mime, problems.is_empty()) {
            (Ok(mime), true) => Ok(Self { chains, by_account, mime, compiled }),
            (Err(problem), _) => Err(vec![problem].into_iter().chain(problems).collect()),
            (Ok(_), false) => Err(problems),
        }
    }

    /// The chain that handles an account's mail.
    pub fn chain(&self, account: &AccountId) -> Option<&Arc<Chain>> {
        self.chains.get(self.by_account.get(account)?)
    }

    /// All chains.
    pub fn chains(&self) -> impl Iterator<Item = &Arc<Chain>> {
        self.chains.values()
    }

    /// The MIME parser.
    pub fn mime(&self) -> &Arc<dyn Parser> {
        &self.mime
    }

    /// How many components were compiled for it, not taken from the set before.
    pub fn compiled(&self) -> usize {
        self.compiled
    }

    /// What stops no mail, and the operator should look at: what plugins say of their settings, and why candidates that are
    /// configured do not run.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.broken_shadows();
        for chain in self.chains.values() {
            for step in &chain.steps {
                let place = format!("pipeline {}, step {}", chain.name, step.name);
                warnings.extend(step.plugin.warnings().iter().map(|warning| format!("{place}: {warning}")));
            }
        }
        warnings
    }

    /// Why candidates that are configured do not run.
    fn broken_shadows(&self) -> Vec<String> {
        let steps = self.chains.values().flat_map(|chain| &chain.steps);
        let broken = steps.filter_map(|step| step.shadow.as_ref()?.as_ref().err());
        broken.map(|problem| format!("a candidate cannot run, so it is not compared: {problem}")).collect()
    }

    /// The accounts whose mail goes through a pipeline.
    pub(super) fn accounts(&self, pipeline: &Name) -> Vec<AccountId> {
        let through = self.by_account.iter().filter(|(_, name)| *name == pipeline);
        through.map(|(account, _)| account.clone()).collect()
    }

    fn components(&self) -> impl Iterator<Item = (Digest, Component)> {
        let steps = self.chains.values().flat_map(|chain| &chain.steps);
        let with_shadows = steps.flat_map(|step| {
            let shadow = step.shadow.iter().flatten().map(|shadow| &shadow.plugin);
            std::iter::once(&step.plugin).chain(shadow)
        });
        with_shadows.map(|plugin| (plugin.component().digest(), plugin.component().clone()))
    }
}

fn load_step(
    config: &Config,
    sandbox: &Sandbox,
    components: &mut HashMap<Digest, Component>,
    pipeline: &Name,
    step: &StepConfig,
) -> Result<Step, PluginProblem> {
    let bytes = read_plugin(config, pipeline, step)?;
    let digest = Digest::of(&bytes);
    if let Some(pinned) = step.sha256.filter(|pinned| *pinned != digest) {
        let plugin = step.plugin.to_string();
        return Err(PluginProblem::Pinned {
            pipeline: pipeline.clone(),
            step: step.name.clone(),
            plugin,
            found: Box::new(digest),
            pinned: Box::new(pinned),
        });
    }
    let refused = |source: LoadError| PluginProblem::Refused {
        pipeline: pipeline.clone(),
        step: step.name.clone(),
        plugin: step.plugin.to_string(),
        source: Box::new(source),
    };
    let component = match components.get(&digest) {
        Some(component) => component.clone(),
        None => {
            let component = sandbox.load(&bytes).map_err(refused)?;
            components.insert(digest, component.clone());
            component
        }
    };
    let standing = standing(config, step, &component);
    let plugin = component.admit(admission(config, pipeline, step)).map_err(refused)?;
    let candidate = shadow::candidate(step);
    let shadow = candidate.map(|candidate| {
        let loaded = load_step(config, sandbox, components, pipeline, &candidate);
        loaded.map(Arc::new).map_err(|problem| problem.to_string())
    });
    Ok(Step {
        name: step.name.clone(),
        plugin_name: step.plugin.to_string(),
        plugin,
        when: step.when.clone(),
        on_error: step.on_error.clone(),
        breaker: BreakerConfig {
            fall_back: step.breaker.fall_back && !is_pinned(step),
            ..step.breaker.clone()
        },
        version: Version { digest, terms: terms(step) },
        standing,
        shadow,
    })
}

/// What of a step decides whether an earlier version may stand in for its plugin.
fn standing(config: &Config, step: &StepConfig, component: &Component) -> Standing {
    let Grants { sinks, discard, kv, fetch, entropy } = &step.grants;
    // What a sink takes is part of the grant: its name alone may have come to mean something else.
    let kind = |sink: &Name| config.sinks.get(sink).map(crate::sinks::SinkConfig::kind);
    let sinks = sinks.iter().map(|sink| format!("sink {sink} {:?}", kind(sink)));
    let fetch = fetch.iter().map(|target| format!("fetch {target}"));
    let flags = [(*discard, "discard"), (*kv, "kv"), (*entropy, "entropy")];
    let flags = flags.into_iter().filter(|(granted, _)| *granted).map(|(_, name)| name.to_owned());
    Standing {
        plugin: component.description()["name"].as_str().unwrap_or_default().to_owned(),
        bundled: matches!(step.plugin, PluginRef::Bundled(_)),
        grants: sinks.chain(fetch).chain(flags).collect(),
    }
}

/// Whether the operator named the very octets: then no others run, whatever they did before.
fn is_pinned(step: &StepConfig) -> bool {
    step.sha256.is_some() || matches!(step.plugin, PluginRef::Oci(_))
}

/// The version of a step's candidate as it is now; `None` when the step has none.
///
/// # Errors
/// When it cannot be read.
pub fn candidate_version(
    config: &Config,
    pipeline: &Name,
    step: &StepConfig,
) -> Result<Option<Version>, PluginProblem> {
    let Some(candidate) = shadow::candidate(step) else { return Ok(None) };
    let digest = Digest::of(&read_plugin(config, pipeline, &candidate)?);
    Ok(Some(Version { digest, terms: terms(&candidate) }))
}

/// The version of a step's plugin as it is configured now.
///
/// # Errors
/// When it cannot be read.
pub fn step_version(config: &Config, pipeline: &Name, step: &StepConfig) -> Result<Version, PluginProblem> {
    let digest = Digest::of(&read_plugin(config, pipeline, step)?);
    Ok(Version { digest, terms: terms(step) })
}

/// Everything but its octets that decides how a plugin works.
fn terms(step: &StepConfig) -> Digest {
    let (settings, rest) = (step.settings.to_string(), format!("{:?} {:?}", step.grants, step.limits));
    Digest::of_parts("terms/1", &[settings.as_bytes(), rest.as_bytes()])
}

pub(super) fn read_plugin(
    config: &Config,
    pipeline: &Name,
    step: &StepConfig,
) -> Result<Vec<u8>, PluginProblem> {
    origin::read(&step.plugin, step.signed_by.as_ref(), config).map_err(|source| PluginProblem::Origin {
        pipeline: pipeline.clone(),
        step: step.name.clone(),
        source: Box::new(source),
    })
}

/// The bundled plugins a step may name.
pub fn bundled_names() -> String {
    postroom_bundle::BUNDLED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

pub(super) fn admission(config: &Config, pipeline: &Name, step: &StepConfig) -> Admission {
    let kind = |name: &Name| {
        config.sinks.get(name).map(|sink| match sink.kind() {
            Kind::Object => SinkKind::Object,
            Kind::Mailbox => SinkKind::Mailbox,
            Kind::Transport => SinkKind::Transport,
        })
    };
    let sinks = step.grants.sinks.iter().filter_map(|name| Some((name.clone(), kind(name)?))).collect();
    Admission {
        pipeline: pipeline.clone(),
        step: step.name.clone(),
        grants: Granted {
            sinks,
            discard: step.grants.discard,
            kv: step.grants.kv,
            fetch: step.grants.fetch.iter().cloned().collect(),
            entropy: step.grants.entropy,
        },
        limits: step.limits.clone(),
        required: step.required,
        settings: step.settings.to_string(),
    }
}

fn load_mime(sandbox: &Sandbox) -> Result<Arc<dyn Parser>, PluginProblem> {
    let loaded = sandbox.load_mime(postroom_bundle::MIME).map(|mime| Arc::new(mime) as Arc<dyn Parser>);
    loaded.map_err(|source| PluginProblem::Refused {
        pipeline: own_name("postroom"),
        step: own_name("mime"),
        plugin: "mime".to_owned(),
        source: Box::new(source),
    })
}

/// A name of ours, known to be one.
fn own_name(name: &'static str) -> Name {
    match Name::new(name) {
        Ok(name) => name,
        Err(error) => unreachable!("{error}"),
    }
}

/// The plugin files a configuration names, for the watcher.
pub fn plugin_files(config: &Config) -> Vec<&Path> {
    let steps = config.pipelines.values().flat_map(|pipeline| &pipeline.steps);
    let plugins = steps.flat_map(|step| {
        std::iter::once(&step.plugin).chain(step.shadow.as_ref().map(|shadow| &shadow.plugin))
    });
    plugins
        .filter_map(|plugin| match plugin {
            PluginRef::File(path) => Some(path.as_path()),
            PluginRef::Bundled(_) | PluginRef::Oci(_) => None,
        })
        .collect()
}
