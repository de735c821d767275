//! From the configuration as written to the one that is meant: defaults, names, absolute paths.

mod accounts;
mod files;
pub(super) mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use postroom_mail::{AccountId, Name};
use postroom_sandbox::CompileLimits;

use super::diagnose::{ConfigError, ConfigErrors, suggest};
use super::raw::{RawConfig, RawLimits, RawLog};
use super::read::path;
use super::sources::{Environment, KeyPath, Sources};
use super::units::{Size, Time};
use super::written::Part;
use super::{Config, Limits, LogConfig, PipelineConfig, checks, plain_join};
use crate::sinks::SinkConfig;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// Resolves everything and checks it against itself.
pub(super) fn resolve(
    raw: RawConfig,
    sources: &Sources,
    file: &Path,
    environment: &Environment,
) -> Result<Config, ConfigErrors> {
    let base = base(file)?;
    let mut findings = Findings { sources, errors: Vec::new(), warnings: sources.warnings.clone() };
    let assigned = pipelines_of_accounts(&raw, &mut findings);
    let state = state(raw.state.as_deref(), &base, environment);
    let limits = limits(&raw.limits, &mut findings);
    let log = log(raw.log, &mut findings);
    let known = Known {
        accounts: raw.accounts.keys().cloned().collect(),
        sinks: raw.sinks.keys().cloned().collect(),
        targets: raw.fetch.keys().cloned().collect(),
        keys: raw.keys.keys().cloned().collect(),
    };
    let mut pipelines = BTreeMap::new();
    for (name, pipeline) in raw.pipelines {
        let at = path(["pipelines", name.as_str(), "steps"]);
        let steps = steps::steps(pipeline.steps, &at, &known, &base, &mut findings);
        pipelines.insert(name, PipelineConfig { steps });
    }
    let mut accounts = BTreeMap::new();
    for (id, account) in raw.accounts {
        let at = path(["accounts", id.as_str()]);
        let account = accounts::account(account, assigned.get(&id), &at, &base, &mut findings);
        accounts.extend(account.map(|account| (id, account)));
    }
    let mut sinks = raw.sinks;
    for (name, sink) in &mut sinks {
        if let SinkConfig::Imap(imap) = sink
            && let Some(written) = imap.oauth2.clone()
        {
            let at = path(["sinks", name.as_str(), "oauth2"]);
            imap.tokens = accounts::oauth2_of_sink(written, &at, &base, &mut findings);
        }
    }
    let mut config = Config {
        state,
        never_delete: raw.never_delete,
        limits,
        accounts,
        sinks,
        fetch: raw.fetch,
        registries: raw.registries,
        keys: raw.keys,
        pipelines,
        log,
        base,
        sources: sources.files(),
        warnings: Vec::new(),
    };
    if findings.errors.is_empty() {
        checks::check(&config, &mut findings);
    }
    config.warnings = findings.warnings;
    match ConfigErrors::from_all(findings.errors) {
        None => Ok(config),
        Some(errors) => Err(errors),
    }
}

/// The absolute directory of the file. Symbolic links stay: beside the link is where the operator put `conf.d`.
pub(super) fn base(file: &Path) -> Result<PathBuf, ConfigError> {
    // Not of the parent: that of a bare file name is empty, which has no absolute form.
    let absolute = std::path::absolute(file)
        .map_err(|error| ConfigError::new(format!("the current directory cannot be found: {error}")))?;
    Ok(absolute.parent().unwrap_or(&absolute).to_owned())
}

/// What was found wrong, and where.
pub(super) struct Findings<'a> {
    sources: &'a Sources,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
}

impl Findings<'_> {
    pub(super) fn error(&mut self, at: &KeyPath, part: Part, text: impl Into<String>, hint: Option<String>) {
        let (origin, place) = self.sources.locate(at, part);
        self.errors.push(ConfigError::new(text).maybe_hint(hint).at(origin, place));
    }

    pub(super) fn warn(&mut self, at: &KeyPath, text: &str) {
        let (origin, place) = self.sources.locate(at, Part::Key);
        let origin = origin.map(|origin| origin.to_string()).unwrap_or_default();
        let line = place.map(|place| format!(":{}", place.line)).unwrap_or_default();
        self.warnings.push(format!("{origin}{line}: {text}"));
    }
}

struct Known {
    accounts: BTreeSet<AccountId>,
    sinks: BTreeSet<Name>,
    targets: BTreeSet<Name>,
    keys: BTreeSet<Name>,
}

/// Each account has exactly one pipeline: the one it names, the one that names it, or the one left over ([`open_pipelines`]).
fn pipelines_of_accounts(raw: &RawConfig, findings: &mut Findings<'_>) -> BTreeMap<AccountId, Name> {
    let mut assigned: BTreeMap<AccountId, Name> = BTreeMap::new();
    for (id, account) in &raw.accounts {
        let Some(name) = &account.pipeline else { continue };
        if !raw.pipelines.contains_key(name) {
            let at = path(["accounts", id.as_str(), "pipeline"]);
            let hint = suggest(name.as_str(), raw.pipelines.keys().map(Name::as_str));
            findings.error(&at, Part::Value, format!("there is no pipeline `{name}`"), hint);
        }
        assigned.insert(id.clone(), name.clone());
    }
    for (name, pipeline) in &raw.pipelines {
        for (index, id) in pipeline.accounts.iter().flatten().enumerate() {
            let at = path(["pipelines", name.as_str(), "accounts", &index.to_string()]);
            if !raw.accounts.contains_key(id) {
                let hint = suggest(id.as_str(), raw.accounts.keys().map(Name::as_str));
                findings.error(&at, Part::Value, format!("there is no account `{id}`"), hint);
            }
            match assigned.insert(id.clone(), name.clone()) {
                Some(other) if other != *name => {
                    let text = format!("the account `{id}` is in the pipelines `{other}` and `{name}`");
                    findings.error(
                        &at,
                        Part::Value,
                        text,
                        Some("an account's mail goes through one pipeline only".to_owned()),
                    );
                }
                _ => {}
            }
        }
    }
    let open = open_pipelines(raw);
    for id in raw.accounts.keys() {
        if assigned.contains_key(id) {
            continue;
        }
        let at = path(["accounts", id.as_str()]);
        match open.as_slice() {
            [only] => {
                assigned.insert(id.clone(), (*only).clone());
            }
            // That there is no pipeline at all is said once.
            [] if raw.pipelines.is_empty() => {}
            [] => {
                let hint = "name one with `pipeline`, or name the account in the `accounts` of a pipeline";
                findings.error(
                    &at,
                    Part::Key,
                    format!("the account `{id}` has no pipeline"),
                    Some(hint.to_owned()),
                );
            }
            several => {
                let names = several.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                let hint = format!("say which with `pipeline`: it could be {names}");
                findings.error(
                    &at,
                    Part::Key,
                    format!("the account `{id}` could go through several pipelines"),
                    Some(hint),
                );
            }
        }
    }
    assigned
}

/// The pipelines that accounts without one could mean: those that neither name accounts nor are named by one; if there is no
/// such, those that name none.
fn open_pipelines(raw: &RawConfig) -> Vec<&Name> {
    let without_list =
        || raw.pipelines.iter().filter(|(_, pipeline)| pipeline.accounts.is_none()).map(|(name, _)| name);
    let is_named = |name: &Name| raw.accounts.values().any(|account| account.pipeline.as_ref() == Some(name));
    let unnamed: Vec<&Name> = without_list().filter(|name| !is_named(name)).collect();
    if unnamed.is_empty() { without_list().collect() } else { unnamed }
}

/// As configured, else where the service manager says, else the usual place of a service, else beside the file.
pub(super) fn state(written: Option<&Path>, base: &Path, environment: &Environment) -> PathBuf {
    if let Some(written) = written {
        return plain_join(base, written);
    }
    // Several directories are separated by colons; ours is the first.
    let of_service = environment.get("STATE_DIRECTORY").and_then(|value| value.split(':').next());
    match of_service.filter(|directory| Path::new(directory).is_absolute()) {
        Some(directory) => PathBuf::from(directory),
        None if base == Path::new("/etc/postroom") => PathBuf::from("/var/lib/postroom"),
        None => base.join("postroom-state"),
    }
}

fn limits(raw: &RawLimits, findings: &mut Findings<'_>) -> Limits {
    let message = raw.message.map_or(50 << 20, |Size(octets)| octets);
    let attempts = raw.attempts.unwrap_or(3);
    let workers = raw.workers.unwrap_or(2);
    let (sessions, per_host) = (raw.sessions.unwrap_or(64), raw.sessions_per_host.unwrap_or(4));
    let at = |key| path(["limits", key]);
    for (key, value) in [("sessions", sessions), ("sessions_per_host", per_host)] {
        if !(1..=4096).contains(&value) {
            findings.error(&at(key), Part::Value, format!("`limits.{key}` must be from 1 to 4096"), None);
        }
    }
    if !(64 << 10..=2 << 30).contains(&message) {
        findings.error(&at("message"), Part::Value, "`limits.message` must be from 64 KiB to 2 GiB", None);
    }
    if !(1..=100).contains(&attempts) {
        findings.error(&at("attempts"), Part::Value, "`limits.attempts` must be from 1 to 100", None);
    }
    if !(1..=256).contains(&workers) {
        findings.error(&at("workers"), Part::Value, "`limits.workers` must be from 1 to 256", None);
    }
    let (spool, in_flight) = (raw.spool.map_or(10 << 30, octets), raw.in_flight.map_or(256 << 20, octets));
    let waiting = raw.waiting.unwrap_or(100_000);
    for (key, value) in [("spool", spool), ("in_flight", in_flight)] {
        if !(1 << 20..=1 << 50).contains(&value) {
            let text = format!("`limits.{key}` must be from 1 MiB to 1024 TiB");
            findings.error(&at(key), Part::Value, text, None);
        }
    }
    if waiting == 0 {
        findings.error(&at("waiting"), Part::Value, "`limits.waiting` must be at least 1", None);
    }
    Limits {
        message,
        attempts,
        keep_bodies: raw.keep_bodies.map_or(7 * DAY, |Time(time)| time),
        workers: usize::try_from(workers).unwrap_or(1),
        sessions: usize::try_from(sessions).unwrap_or(1),
        sessions_per_host: usize::try_from(per_host).unwrap_or(1),
        free_space: raw.free_space.map_or(256 << 20, octets),
        spool,
        waiting: u64::from(waiting),
        in_flight,
        compile: compile_limits(raw, findings),
    }
}

fn compile_limits(raw: &RawLimits, findings: &mut Findings<'_>) -> CompileLimits {
    let (default, most) = (CompileLimits::default(), CompileLimits::MAX);
    let cpu = raw.compile_cpu.map_or(default.cpu, |Time(time)| time);
    let memory = raw.compile_memory.map_or(default.memory, octets);
    if !(Duration::from_secs(1)..=most.cpu).contains(&cpu) {
        let text = "`limits.compile_cpu` must be from 1 to 120 seconds";
        findings.error(&path(["limits", "compile_cpu"]), Part::Value, text, None);
    }
    if !(128 << 20..=most.memory).contains(&memory) {
        let text = "`limits.compile_memory` must be from 128 MiB to 4 GiB";
        findings.error(&path(["limits", "compile_memory"]), Part::Value, text, None);
    }
    CompileLimits { cpu, memory }
}

fn octets(Size(octets): Size) -> u64 {
    octets
}

fn log(raw: RawLog, findings: &mut Findings<'_>) -> LogConfig {
    const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
    let level = raw.level.unwrap_or_else(|| "info".to_owned());
    if !LEVELS.contains(&level.as_str()) && !level.contains(['=', ',']) {
        let hint = suggest(&level, LEVELS);
        findings.error(&path(["log", "level"]), Part::Value, "that is no log level", hint);
    }
    LogConfig { level, format: raw.format.unwrap_or_default() }
}
