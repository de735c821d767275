//! From the configuration as written to the one that is meant: defaults, names, absolute paths.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use postroom_mail::{AccountId, Digest, Name};
use postroom_spool::DeletePolicy;

use super::diagnose::{ConfigError, ConfigErrors, suggest};
use super::raw::{RawAccount, RawConfig, RawDelete, RawGrants, RawLimits, RawLog, RawStep, RawStepLimits, RawWhen};
use super::read::{called, path};
use super::sources::{Environment, KeyPath, Part, Sources};
use super::units::{Size, Time};
use super::{AccountConfig, Config, Grants, Limits, LogConfig, OnError, PipelineConfig, PluginRef, StepConfig, TlsMode, When};
use super::{PLAINTEXT_CONSENT, checks, plain_join};

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
    let base = std::path::absolute(file.parent().unwrap_or(Path::new("")))
        .map_err(|error| ConfigError::new(format!("the current directory cannot be found: {error}")))?;
    let mut findings = Findings { sources, errors: Vec::new(), warnings: sources.warnings.clone() };
    let assigned = pipelines_of_accounts(&raw, &mut findings);
    let state = state(raw.state.as_deref(), &base, environment);
    let limits = limits(&raw.limits, &mut findings);
    let log = log(raw.log, &mut findings);
    let known = Known { accounts: raw.accounts.keys().cloned().collect(), sinks: raw.sinks.keys().cloned().collect() };
    let mut pipelines = BTreeMap::new();
    for (name, pipeline) in raw.pipelines {
        let at = path(["pipelines", name.as_str(), "steps"]);
        let steps = steps(pipeline.steps, &at, &known, &base, &mut findings);
        pipelines.insert(name, PipelineConfig { steps });
    }
    let mut accounts = BTreeMap::new();
    for (id, account) in raw.accounts {
        let at = path(["accounts", id.as_str()]);
        let account = account_config(account, assigned.get(&id), &at, &base, &mut findings);
        accounts.extend(account.map(|account| (id, account)));
    }
    let mut config = Config {
        state,
        limits,
        accounts,
        sinks: raw.sinks,
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
}

/// Each account has exactly one pipeline: the one it names, the one that names it, or the one that names nobody.
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
                    findings.error(&at, Part::Value, text, Some("an account's mail goes through one pipeline only".to_owned()));
                }
                _ => {}
            }
        }
    }
    let open: Vec<&Name> = raw.pipelines.iter().filter(|(_, raw)| raw.accounts.is_none()).map(|(name, _)| name).collect();
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
                findings.error(&at, Part::Key, format!("the account `{id}` has no pipeline"), Some(hint.to_owned()));
            }
            several => {
                let names = several.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                let hint = format!("say which with `pipeline`: it could be {names}");
                findings.error(&at, Part::Key, format!("the account `{id}` could go through several pipelines"), Some(hint));
            }
        }
    }
    assigned
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
    let at = |key| path(["limits", key]);
    if !(64 << 10..=2 << 30).contains(&message) {
        findings.error(&at("message"), Part::Value, "`limits.message` must be from 64 KiB to 2 GiB", None);
    }
    if !(1..=100).contains(&attempts) {
        findings.error(&at("attempts"), Part::Value, "`limits.attempts` must be from 1 to 100", None);
    }
    if !(1..=256).contains(&workers) {
        findings.error(&at("workers"), Part::Value, "`limits.workers` must be from 1 to 256", None);
    }
    Limits {
        message,
        attempts,
        keep_bodies: raw.keep_bodies.map_or(7 * DAY, |Time(time)| time),
        workers: usize::try_from(workers).unwrap_or(1),
    }
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

fn account_config(
    raw: RawAccount,
    pipeline: Option<&Name>,
    at: &KeyPath,
    base: &Path,
    findings: &mut Findings<'_>,
) -> Option<AccountConfig> {
    let key = |key: &str| [at, &path([key])].concat();
    let tls = raw.tls.unwrap_or_default();
    let port = raw.port.unwrap_or(tls.port());
    let poll = raw.poll.map_or(5 * MINUTE, |Time(time)| time);
    let timeout = raw.timeout.map_or(60 * SECOND, |Time(time)| time);
    host_name(&raw.host, &key("host"), findings);
    if raw.user.is_empty() || raw.user.contains(char::is_control) {
        findings.error(&key("user"), Part::Value, format!("{} must be one line with a name", called(&key("user"))), None);
    }
    if port == 0 {
        findings.error(&key("port"), Part::Value, format!("{} must be from 1 to 65535", called(&key("port"))), None);
    }
    for (name, time) in [("poll", poll), ("timeout", timeout)] {
        if time < SECOND {
            findings.error(&key(name), Part::Value, format!("{} must be at least 1s", called(&key(name))), None);
        }
    }
    consent(tls, raw.insecure_plaintext.as_deref(), at, findings);
    Some(AccountConfig {
        host: raw.host,
        port,
        tls,
        user: raw.user,
        password: raw.password,
        auth: raw.auth.unwrap_or_default(),
        ca_file: raw.ca_file.map(|file| plain_join(base, &file)),
        poll,
        timeout,
        pipeline: pipeline?.clone(),
        enabled: raw.enabled.unwrap_or(true),
        delete: match raw.delete {
            None | Some(RawDelete::Never) => DeletePolicy::Never,
            Some(RawDelete::Done { after }) => DeletePolicy::Done { after },
        },
    })
}

fn host_name(host: &str, at: &KeyPath, findings: &mut Findings<'_>) {
    let odd = |ch: char| ch.is_whitespace() || ch.is_control() || ch == '/';
    let (part, hint) = if host.contains('@') {
        // What stands before it may be a password: the value is not shown.
        (Part::Key, "the user has a key of its own: `user`")
    } else if host.is_empty() || host.contains(odd) {
        (Part::Value, "only the name, without a path or \"pop3://\": for example \"pop.example.net\"")
    } else if host.matches(':').count() == 1 {
        (Part::Value, "the port has a key of its own: `port`")
    } else {
        return;
    };
    findings.error(at, part, format!("{} is no host name", called(at)), Some(hint.to_owned()));
}

/// Without TLS only in so many words.
fn consent(tls: TlsMode, written: Option<&str>, at: &KeyPath, findings: &mut Findings<'_>) {
    let key = |key: &str| [at, &path([key])].concat();
    match (tls, written) {
        (TlsMode::None, Some(PLAINTEXT_CONSENT)) | (TlsMode::Implicit | TlsMode::Starttls, None) => {}
        (TlsMode::None, _) => {
            let text = "without TLS anyone on the network can read the password and all mail, and change it";
            let hint = format!("use tls = \"implicit\"; if it has to be: insecure_plaintext = \"{PLAINTEXT_CONSENT}\"");
            findings.error(&key("tls"), Part::Value, text, Some(hint));
        }
        (TlsMode::Implicit | TlsMode::Starttls, Some(_)) => {
            findings.warn(&key("insecure_plaintext"), "`insecure_plaintext` has no effect with TLS: remove it");
        }
    }
}

fn steps(raw: Vec<RawStep>, at: &KeyPath, known: &Known, base: &Path, findings: &mut Findings<'_>) -> Vec<StepConfig> {
    let mut taken: BTreeSet<Name> = BTreeSet::new();
    for (index, step) in raw.iter().enumerate() {
        if let Some(name) = &step.name
            && !taken.insert(name.clone())
        {
            let at = [at, &[index.to_string(), "name".to_owned()]].concat();
            findings.error(&at, Part::Value, format!("two steps have the name `{name}`"), Some("names of steps are unique".to_owned()));
        }
    }
    let mut steps = Vec::new();
    for (index, step) in raw.into_iter().enumerate() {
        let at = [at, &[index.to_string()]].concat();
        let name = step.name.clone().unwrap_or_else(|| default_name(&step.plugin, &mut taken));
        steps.push(step_config(step, name, &at, known, base, findings));
    }
    steps
}

/// The plugin's name, with a number when it is taken.
pub(super) fn default_name(plugin: &str, taken: &mut BTreeSet<Name>) -> Name {
    let stem = Path::new(plugin).file_stem().map_or(plugin.into(), |stem| stem.to_string_lossy());
    let allowed = |ch: char| if ch.is_ascii_alphanumeric() || ch == '_' { ch } else { '-' };
    let stem: String = stem.chars().take(50).map(allowed).collect();
    let stem = if stem.is_empty() { "step".to_owned() } else { stem };
    let numbered = (2_u32..).map(|number| format!("{stem}-{number}"));
    let mut names = std::iter::once(stem.clone()).chain(numbered).filter_map(|name| Name::new(name).ok());
    let free = names.find(|name| !taken.contains(name));
    let name = free.unwrap_or_else(|| unreachable!("there are more numbers than steps"));
    taken.insert(name.clone());
    name
}

fn step_config(
    raw: RawStep,
    name: Name,
    at: &KeyPath,
    known: &Known,
    base: &Path,
    findings: &mut Findings<'_>,
) -> StepConfig {
    let key = |key: &str| [at, &path([key])].concat();
    if raw.plugin.trim().is_empty() {
        findings.error(&key("plugin"), Part::Value, format!("{} is empty", called(&key("plugin"))), None);
    }
    let sha256 = raw.sha256.as_ref().and_then(|text| match text.parse::<Digest>() {
        Ok(digest) => Some(digest),
        Err(error) => {
            let hint = "`postroom plugin inspect` shows it";
            findings.error(&key("sha256"), Part::Value, format!("{}: it {}", called(&key("sha256")), error.problem()), Some(hint.to_owned()));
            None
        }
    });
    StepConfig {
        name,
        plugin: PluginRef::parse(&raw.plugin, base),
        sha256,
        grants: grants(raw.grants, &key("grants"), known, findings),
        settings: serde_json::Value::Object(raw.settings),
        required: raw.required.unwrap_or(true),
        when: when(raw.when, &key("when"), known, findings),
        on_error: OnError { retry: raw.on_error.retry.map(|Time(time)| time), then: raw.on_error.then.unwrap_or_default() },
        limits: step_limits(&raw.limits, &key("limits"), findings),
    }
}

fn grants(raw: RawGrants, at: &KeyPath, known: &Known, findings: &mut Findings<'_>) -> Grants {
    let mut sinks = Vec::new();
    for (index, name) in raw.sinks.into_iter().enumerate() {
        if !known.sinks.contains(&name) {
            let at = [at, &["sinks".to_owned(), index.to_string()]].concat();
            let hint = suggest(name.as_str(), known.sinks.iter().map(Name::as_str));
            let hint = hint.or_else(|| Some(format!("define it: [sinks.{name}]")));
            findings.error(&at, Part::Value, format!("there is no sink `{name}`"), hint);
        }
        if !sinks.contains(&name) {
            sinks.push(name);
        }
    }
    Grants { sinks, discard: raw.discard, kv: raw.kv }
}

fn when(raw: RawWhen, at: &KeyPath, known: &Known, findings: &mut Findings<'_>) -> When {
    for id in &raw.account.0 {
        if !known.accounts.contains(id) {
            let at = [at, &path(["account"])].concat();
            let hint = suggest(id.as_str(), known.accounts.iter().map(Name::as_str));
            findings.error(&at, Part::Value, format!("there is no account `{id}`"), hint);
        }
    }
    When { account: raw.account.0, label: raw.label.0, not_label: raw.not_label.0 }
}

fn step_limits(raw: &RawStepLimits, at: &KeyPath, findings: &mut Findings<'_>) -> postroom_sandbox::Limits {
    let usual = postroom_sandbox::Limits::default();
    let size = |written: Option<Size>, usual| written.map_or(usual, |Size(octets)| octets);
    let time = |written: Option<Time>, usual| written.map_or(usual, |Time(time)| time);
    let limits = postroom_sandbox::Limits {
        memory: size(raw.memory, usual.memory),
        cpu: time(raw.cpu, usual.cpu),
        wall: time(raw.wall, usual.wall),
        effects: raw.effects.unwrap_or(usual.effects),
        effect_octets: size(raw.effect_octets, usual.effect_octets),
        made_octets: size(raw.made_octets, usual.made_octets),
        recipients: raw.recipients.unwrap_or(usual.recipients),
        labels: raw.labels.unwrap_or(usual.labels),
        log_octets: size(raw.log, usual.log_octets),
        ..usual
    };
    if let Err(text) = limits.check() {
        findings.error(at, Part::Value, format!("{}: {text}", called(at)), None);
    }
    limits
}
