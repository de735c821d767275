//! The steps of a pipeline as meant: names made unique, grants and conditions checked against what there is.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use postroom_mail::{Digest, Name};

use super::{Findings, Known, files};
use crate::config::diagnose::suggest;
use crate::config::raw::{RawBreaker, RawGrants, RawStep, RawStepLimits, RawWhen};
use crate::config::read::{called, path};
use crate::config::sources::KeyPath;
use crate::config::units::{Size, Time};
use crate::config::written::Part;
use crate::config::{BreakerConfig, Grants, OnError, PluginRef, ShadowConfig, StepConfig, When};

/// The steps of the pipeline whose list of steps is at `at`.
pub(super) fn steps(
    raw: Vec<RawStep>,
    at: &KeyPath,
    known: &Known,
    base: &Path,
    findings: &mut Findings<'_>,
) -> Vec<StepConfig> {
    let mut taken: BTreeSet<Name> = BTreeSet::new();
    for (index, step) in raw.iter().enumerate() {
        if let Some(name) = &step.name
            && !taken.insert(name.clone())
        {
            let at = [at, &[index.to_string(), "name".to_owned()]].concat();
            findings.error(
                &at,
                Part::Value,
                format!("two steps have the name `{name}`"),
                Some("names of steps are unique".to_owned()),
            );
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
pub(in crate::config) fn default_name(plugin: &str, taken: &mut BTreeSet<Name>) -> Name {
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
    mut raw: RawStep,
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
    let files_at = key("files");
    let (texts, files) = files::read(&raw.files, &files_at, base, findings);
    texts.put_into(&mut raw.settings, "settings", &files_at, findings);
    // A candidate's settings take the place of the step's, and get the same files.
    if let Some(settings) = &mut raw.shadow_settings {
        texts.put_into(settings, "shadow_settings", &files_at, findings);
    }
    let sha256 = pin(raw.sha256.as_deref(), &key("sha256"), findings);
    let shadow = shadow(&raw, at, base, findings);
    StepConfig {
        name,
        plugin: plugin(&raw.plugin, &key("plugin"), base, findings),
        sha256,
        signed_by: signer(raw.signed_by, &key("signed_by"), known, findings),
        grants: grants(raw.grants, &key("grants"), known, findings),
        settings: serde_json::Value::Object(raw.settings),
        files,
        required: raw.required.unwrap_or(true),
        when: when(raw.when, &key("when"), known, findings),
        on_error: OnError {
            retry: raw.on_error.retry.map(|Time(time)| time),
            then: raw.on_error.then.unwrap_or_default(),
        },
        limits: step_limits(&raw.limits, &key("limits"), findings),
        breaker: breaker(&raw.breaker, &key("breaker"), findings),
        shadow,
    }
}

fn plugin(written: &str, at: &KeyPath, base: &Path, findings: &mut Findings<'_>) -> PluginRef {
    PluginRef::parse(written, base).unwrap_or_else(|error| {
        findings.error(at, Part::Value, format!("{}: {error}", called(at)), None);
        PluginRef::Bundled(written.to_owned())
    })
}

fn signer(name: Option<Name>, at: &KeyPath, known: &Known, findings: &mut Findings<'_>) -> Option<Name> {
    let name = name?;
    if !known.keys.contains(&name) {
        let hint = format!("name it: [keys] {name} = \"RWQ…\", the second line of a minisign .pub file");
        findings.error(at, Part::Value, format!("there is no key `{name}`"), Some(hint));
    }
    Some(name)
}

fn pin(written: Option<&str>, at: &KeyPath, findings: &mut Findings<'_>) -> Option<Digest> {
    match written?.parse::<Digest>() {
        Ok(digest) => Some(digest),
        Err(error) => {
            let hint = "`postroom plugin inspect` shows it";
            let text = format!("{}: it {}", called(at), error.problem());
            findings.error(at, Part::Value, text, Some(hint.to_owned()));
            None
        }
    }
}

fn shadow(raw: &RawStep, at: &KeyPath, base: &Path, findings: &mut Findings<'_>) -> Option<ShadowConfig> {
    let key = |key: &str| [at, &path([key])].concat();
    let Some(plugin) = &raw.shadow else {
        let alone = [
            ("shadow_sha256", raw.shadow_sha256.is_some()),
            ("shadow_settings", raw.shadow_settings.is_some()),
        ];
        for (name, _) in alone.iter().filter(|(_, written)| *written) {
            let text = format!("{} means nothing without `shadow`", called(&key(name)));
            findings.error(
                &key(name),
                Part::Key,
                text,
                Some("name the candidate: shadow = \"./next.wasm\"".to_owned()),
            );
        }
        return None;
    };
    if plugin.trim().is_empty() {
        findings.error(&key("shadow"), Part::Value, format!("{} is empty", called(&key("shadow"))), None);
    }
    Some(ShadowConfig {
        plugin: self::plugin(plugin, &key("shadow"), base, findings),
        sha256: pin(raw.shadow_sha256.as_deref(), &key("shadow_sha256"), findings),
        settings: raw.shadow_settings.clone().map(serde_json::Value::Object),
    })
}

fn breaker(raw: &RawBreaker, at: &KeyPath, findings: &mut Findings<'_>) -> BreakerConfig {
    const DAY: Duration = Duration::from_secs(86_400);
    let usual = BreakerConfig::default();
    let failures = raw.failures.unwrap_or(usual.failures);
    let within = raw.within.map_or(usual.within, |Time(time)| time);
    if !(1..=1000).contains(&failures) {
        let at = [at, &path(["failures"])].concat();
        findings.error(&at, Part::Value, format!("{} must be from 1 to 1000", called(&at)), None);
    }
    if !(Duration::from_secs(1)..=DAY).contains(&within) {
        let at = [at, &path(["within"])].concat();
        findings.error(&at, Part::Value, format!("{} must be from 1s to 1d", called(&at)), None);
    }
    BreakerConfig { failures, within, fall_back: raw.fall_back.unwrap_or(usual.fall_back) }
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
    let fetch = targets(raw.fetch, at, known, findings);
    Grants { sinks, discard: raw.discard, kv: raw.kv, fetch, entropy: raw.entropy }
}

fn targets(written: Vec<Name>, at: &KeyPath, known: &Known, findings: &mut Findings<'_>) -> Vec<Name> {
    let mut targets = Vec::new();
    for (index, name) in written.into_iter().enumerate() {
        if !known.targets.contains(&name) {
            let at = [at, &["fetch".to_owned(), index.to_string()]].concat();
            let hint = suggest(name.as_str(), known.targets.iter().map(Name::as_str));
            let hint = hint.or_else(|| Some(format!("define it: [fetch.{name}]")));
            findings.error(&at, Part::Value, format!("there is no target `{name}` to fetch from"), hint);
        }
        if !targets.contains(&name) {
            targets.push(name);
        }
    }
    targets
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
        component: size(raw.component, usual.component),
        memory: size(raw.memory, usual.memory),
        cpu: time(raw.cpu, usual.cpu),
        wall: time(raw.wall, usual.wall),
        effects: raw.effects.unwrap_or(usual.effects),
        effect_octets: size(raw.effect_octets, usual.effect_octets),
        made_octets: size(raw.made_octets, usual.made_octets),
        recipients: raw.recipients.unwrap_or(usual.recipients),
        labels: raw.labels.unwrap_or(usual.labels),
        log_octets: size(raw.log, usual.log_octets),
        log_lines: raw.log_lines.unwrap_or(usual.log_lines),
        log_line: raw.log_line.unwrap_or(usual.log_line),
        log_rate: size(raw.log_rate, usual.log_rate),
        handles: raw.handles.unwrap_or(usual.handles),
        table_elements: raw.table_elements.unwrap_or(usual.table_elements),
        random_octets: size(raw.random_octets, usual.random_octets),
        hostcall_octets: size(raw.hostcall_octets, usual.hostcall_octets),
        kv_ops: raw.kv_ops.unwrap_or(usual.kv_ops),
        kv_key: raw.kv_key.unwrap_or(usual.kv_key),
        kv_value: size(raw.kv_value, usual.kv_value),
        kv_total: size(raw.kv_total, usual.kv_total),
        fetch_calls: raw.fetch_calls.unwrap_or(usual.fetch_calls),
        fetch_octets: size(raw.fetch_octets, usual.fetch_octets),
        fetch_time: time(raw.fetch_time, usual.fetch_time),
    };
    if let Err(text) = limits.check() {
        findings.error(at, Part::Value, format!("{}: {text}", called(at)), None);
    }
    limits
}
