//! Owns the configuration: read as written ([`raw`]), then as meant ([`Config`]), with every mistake shown where it is.
//! Must not start anything, open a connection or read a secret: secrets are references.

mod account;
mod checks;
mod diagnose;
mod mask;
mod raw;
mod read;
mod resolve;
mod secret;
mod sources;
pub mod template;
#[cfg(test)]
mod tests;
pub mod units;
mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use postroom_mail::{AccountId, Digest, Label, Name};
use postroom_oci::{Reference, ReferenceError};
use serde::{Deserialize, Serialize};

pub use account::{
    AccountConfig, Auth, First, Flow, Login, OAuth, OwnOAuth, Poll, Proxy, Renumbered, Silence, TlsMode,
};
pub use diagnose::{ConfigError, ConfigErrors, Origin, Place};
pub use raw::RawOAuth;
pub use secret::{Secret, SecretRef};
pub use sources::Environment;

use crate::fetch::FetchConfig;
use crate::origin::RegistryConfig;
use crate::sinks::SinkConfig;

/// What has to be written to send a password and mail in the clear.
pub const PLAINTEXT_CONSENT: &str = "I accept that anyone on the network can read my password and mail";

/// The whole configuration, as meant: names resolved, defaults filled in, paths absolute (but those of sinks and secrets,
/// which are relative to `base`).
#[derive(Clone, Debug)]
pub struct Config {
    /// Directory of the durable state.
    pub state: PathBuf,
    /// Nothing is deleted at any server, whatever the accounts say.
    pub never_delete: bool,
    /// Limits of the host.
    pub limits: Limits,
    /// Maildrops by name.
    pub accounts: BTreeMap<AccountId, AccountConfig>,
    /// Sinks by name.
    pub sinks: BTreeMap<Name, SinkConfig>,
    /// Targets that plugins may fetch from, by name.
    pub fetch: BTreeMap<Name, FetchConfig>,
    /// Registries that plugins come from, as far as something is to be known of them.
    pub registries: BTreeMap<Name, RegistryConfig>,
    /// Public keys of minisign, by name: whose plugins may be trusted.
    pub keys: BTreeMap<Name, String>,
    /// Pipelines by name.
    pub pipelines: BTreeMap<Name, PipelineConfig>,
    /// Logging.
    pub log: LogConfig,
    /// Directory of the configuration file, absolute.
    pub base: PathBuf,
    /// All files that were read, the main one first.
    pub sources: Vec<PathBuf>,
    /// What is allowed but probably not meant, one text each.
    pub warnings: Vec<String>,
}

/// Limits of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message that is retrieved, in octets.
    pub message: u64,
    /// How often a message is tried before it is quarantined, at least 1.
    pub attempts: u32,
    /// How long the body of a message is kept after its end.
    pub keep_bodies: Duration,
    /// Messages that plugins work on at the same time, at least 1.
    pub workers: usize,
    /// Sessions open at the same time, at least 1.
    pub sessions: usize,
    /// Of these to one server, at least 1.
    pub sessions_per_host: usize,
    /// Octets of the disk under the state directory that retrieval leaves free.
    pub free_space: u64,
    /// Octets of mail on its way, at most: from then on mail stays on the servers.
    pub spool: u64,
    /// Messages on their way, at most, at least 1.
    pub waiting: u64,
    /// Octets that all sessions together retrieve before they are durable, at least 1 MiB.
    pub in_flight: u64,
    /// What compiling one plugin may take.
    pub compile: postroom_sandbox::CompileLimits,
}

/// The steps that mail goes through.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineConfig {
    /// In order, at least one.
    pub steps: Vec<StepConfig>,
}

/// One step of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct StepConfig {
    /// Its name, unique in the pipeline.
    pub name: Name,
    /// The plugin.
    pub plugin: PluginRef,
    /// The only content the plugin may have.
    pub sha256: Option<Digest>,
    /// Whose signature it must have, also a candidate: a name among the keys.
    pub signed_by: Option<Name>,
    /// What it may do.
    pub grants: Grants,
    /// Handed to the plugin as JSON; always an object. The texts of `files` are in it.
    pub settings: serde_json::Value,
    /// Files whose contents are in the settings, absolute.
    pub files: Vec<PathBuf>,
    /// Whether deletion at the server waits for its effects.
    pub required: bool,
    /// For which messages.
    pub when: When,
    /// What happens when it fails.
    pub on_error: OnError,
    /// What one call may use.
    pub limits: postroom_sandbox::Limits,
    /// When one version of the plugin has failed too often.
    pub breaker: BreakerConfig,
    /// A candidate for the plugin, which runs beside it and decides nothing.
    pub shadow: Option<ShadowConfig>,
}

/// When one version of a plugin has failed too often, and what happens then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// So many failures by its own fault, at least 1.
    pub failures: u32,
    /// Within so long.
    pub within: Duration,
    /// Whether the last good version may take its place; else the pipeline pauses. A step that is pinned by a digest always does.
    pub fall_back: bool,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 20, within: Duration::from_secs(5 * 60), fall_back: true }
    }
}

/// A candidate for the plugin of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct ShadowConfig {
    /// The candidate.
    pub plugin: PluginRef,
    /// The only content it may have.
    pub sha256: Option<Digest>,
    /// Its settings when they are others than those of the step; always an object.
    pub settings: Option<serde_json::Value>,
}

/// Where a plugin comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginRef {
    /// Part of this program, by name.
    Bundled(String),
    /// A file, or a directory with one component in it, absolute.
    File(PathBuf),
    /// In a registry or an OCI layout, by digest.
    Oci(Reference),
}

impl PluginRef {
    /// `oci:…` names an artifact; another text with a `/`, or that ends in `.wasm`, a file relative to `base`; any other a
    /// bundled plugin.
    ///
    /// # Errors
    /// When the text means an artifact and names none.
    pub fn parse(text: &str, base: &Path) -> Result<Self, ReferenceError> {
        if Reference::is_meant(text) {
            return Reference::parse(text, base).map(Self::Oci);
        }
        let is_file = text.contains('/') || text.ends_with(".wasm");
        Ok(if is_file {
            Self::File(plain_join(base, Path::new(text)))
        } else {
            Self::Bundled(text.to_owned())
        })
    }
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bundled(name) => f.write_str(&postroom_mail::rules::neutral(name, 80)),
            Self::File(path) => f.write_str(&postroom_mail::rules::neutral(&path.display().to_string(), 300)),
            Self::Oci(reference) => f.write_str(&postroom_mail::rules::neutral(&reference.to_string(), 500)),
        }
    }
}

/// What a step may do; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Sinks it may use; they exist, each once.
    pub sinks: Vec<Name>,
    /// Whether it may end a message's way without a copy.
    pub discard: bool,
    /// Whether it may keep state.
    pub kv: bool,
    /// Targets it may fetch from; they exist, each once.
    pub fetch: Vec<Name>,
    /// Whether its randomness is the system's.
    pub entropy: bool,
}

/// Which messages a step runs for; an empty list is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Retrieved from one of these accounts; they exist.
    pub account: Vec<AccountId>,
    /// One of these labels is set.
    pub label: Vec<Label>,
    /// None of these is.
    pub not_label: Vec<Label>,
}

/// What happens when a step or its effects fail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnError {
    /// For how long effects are tried; the host's own rule when not given.
    pub retry: Option<Duration>,
    /// And then.
    pub then: Then,
}

/// What happens after the last try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// Set the message aside for the operator.
    #[default]
    Quarantine,
    /// Go on as if the step were not there.
    Skip,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `postroom=debug`.
    pub level: String,
    /// How log lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Reads the file, `conf.d/*.toml` beside it in the order of their names, then the `POSTROOM_` variables of this process,
    /// and checks everything that can be known without a plugin, a secret or a server.
    ///
    /// # Errors
    /// Every mistake that was found. The exit code for it is 78 (`EX_CONFIG` of sysexits.h).
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        Self::load_in(path, &Environment::of_process())
    }

    /// The same with these variables.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_in(path: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        Self::of(sources::Sources::gather(path, environment, None)?, path, environment)
    }

    /// The same as [`Config::load`], if the file `edited` of it had this text.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_edited(path: &Path, edited: &Path, text: &str) -> Result<Self, ConfigErrors> {
        let environment = Environment::of_process();
        let sources = sources::Sources::gather(path, &environment, Some((edited, text)))?;
        Self::of(sources, path, &environment)
    }

    fn of(sources: sources::Sources, path: &Path, environment: &Environment) -> Result<Self, ConfigErrors> {
        let (raw, mistakes) = read::read(&sources);
        if let Some(mistakes) = ConfigErrors::from_all(mistakes) {
            return Err(mistakes);
        }
        resolve::resolve(raw, &sources, path, environment)
    }

    /// The file to read: the one given (by `--config`, or `POSTROOM_CONFIG` as the command line hands it over), else
    /// `$POSTROOM_CONFIG`, else `./postroom.toml`, else `/etc/postroom/postroom.toml`.
    ///
    /// # Errors
    /// When none was named and neither of the usual ones exists.
    pub fn find(given: Option<&Path>) -> Result<PathBuf, ConfigErrors> {
        let named =
            given.map(Path::to_owned).or_else(|| std::env::var_os("POSTROOM_CONFIG").map(PathBuf::from));
        match named {
            Some(path) => Ok(path),
            None => find_among([Path::new("postroom.toml"), Path::new("/etc/postroom/postroom.toml")]),
        }
    }
}

fn find_among<const N: usize>(usual: [&Path; N]) -> Result<PathBuf, ConfigErrors> {
    if let Some(path) = usual.iter().find(|path| path.exists()) {
        return Ok((*path).to_owned());
    }
    let places = usual.map(|path| path.display().to_string()).join(" nor ");
    let error = ConfigError::new(format!("there is no configuration: neither {places} exists"));
    Err(error.hint("name one with --config, or write one to start from with `postroom init`").into())
}

/// Joins without `./` in the middle, so that paths in texts look as written.
fn plain_join(base: &Path, path: &Path) -> PathBuf {
    base.join(path).components().collect()
}
