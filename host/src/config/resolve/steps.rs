//! The steps of a pipeline as meant: names made unique, grants and conditions checked against what there is.

use std::collections::BTreeSet;
use std::path::Path;

use postroom_mail::{Digest, Name};

use super::{Findings, Known};
use crate::config::diagnose::suggest;
use crate::config::raw::{RawGrants, RawStep, RawStepLimits, RawWhen};
use crate::config::read::{called, path};
use crate::config::sources::KeyPath;
use crate::config::units::{Size, Time};
use crate::config::written::Part;
use crate::config::{Grants, OnError, PluginRef, StepConfig, When};

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
            findings.error(
                &key("sha256"),
                Part::Value,
                format!("{}: it {}", called(&key("sha256")), error.problem()),
                Some(hint.to_owned()),
            );
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
        on_error: OnError {
            retry: raw.on_error.retry.map(|Time(time)| time),
            then: raw.on_error.then.unwrap_or_default(),
        },
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
        memory: size(raw.memory, usual.memory),
        cpu: time(raw.cpu, usual.cpu),
        wall: time(raw.wall, usual.wall),
        effects: raw.effects.unwrap_or(usual.effects),
        effect_octets: size(raw.effect_octets, usual.effect_octets),
        made_octets: size(raw.made_octets, usual.made_octets),
        recipients: raw.recipients.unwrap_or(usual.recipients),
        labels: raw.labels.unwrap_or(usual.labels),
        log_octets: size(raw.log, usual.log_octets),
        fetch_calls: raw.fetch_calls.unwrap_or(usual.fetch_calls),
        fetch_octets: size(raw.fetch_octets, usual.fetch_octets),
        fetch_time: time(raw.fetch_time, usual.fetch_time),
        ..usual
    };
    if let Err(text) = limits.check() {
        findings.error(at, Part::Value, format!("{}: {text}", called(at)), None);
    }
    limits
}
