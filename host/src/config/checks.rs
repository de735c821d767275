//! What the parts of a configuration must be to each other, once each is right by itself.

use std::collections::BTreeMap;

use postroom_mail::{AccountId, Name};
use postroom_spool::DeletePolicy;

use super::read::path;
use super::resolve::Findings;
use super::written::Part;
use super::{AccountConfig, Config, PluginRef, StepConfig, TlsMode};
use crate::sinks::SinkConfig;

/// Adds what is wrong, and what is allowed but probably not meant.
pub(super) fn check(config: &Config, findings: &mut Findings<'_>) {
    nothing_is_missing(config, findings);
    for (id, account) in &config.accounts {
        deletion_has_a_copy(config, id, account, findings);
        port_fits_tls(id, account, findings);
    }
    no_maildrop_twice(config, findings);
    for (name, pipeline) in &config.pipelines {
        if !config.accounts.values().any(|account| account.pipeline == *name) {
            findings.warn(
                &path(["pipelines", name.as_str()]),
                &format!("no account's mail goes through the pipeline `{name}`"),
            );
        }
        for (index, step) in pipeline.steps.iter().enumerate() {
            settings_name_granted_sinks(config, name, index, step, findings);
            strangers_send_only_where_they_may(config, name, index, step, findings);
        }
    }
    targets_are_sound(config, findings);
    registries_and_keys_are_sound(config, findings);
    for name in config.sinks.keys() {
        let mut steps = config.pipelines.values().flat_map(|pipeline| &pipeline.steps);
        if !steps.any(|step| step.grants.sinks.contains(name)) {
            findings.warn(&path(["sinks", name.as_str()]), &format!("no step is granted the sink `{name}`"));
        }
    }
}

fn targets_are_sound(config: &Config, findings: &mut Findings<'_>) {
    for (name, target) in &config.fetch {
        for problem in target.problems() {
            let at = path(["fetch", name.as_str(), problem.key]);
            findings.error(&at, Part::Value, format!("target `{name}`: {}", problem.text), problem.hint);
        }
        let mut steps = config.pipelines.values().flat_map(|pipeline| &pipeline.steps);
        if !steps.any(|step| step.grants.fetch.contains(name)) {
            let text = format!("no step is granted the target `{name}`");
            findings.warn(&path(["fetch", name.as_str()]), &text);
        }
    }
}

fn registries_and_keys_are_sound(config: &Config, findings: &mut Findings<'_>) {
    for (name, registry) in &config.registries {
        for (key, text) in registry.problems() {
            let at = path(["registries", name.as_str(), key]);
            findings.error(&at, Part::Value, format!("registry `{name}`: `{key}` {text}"), None);
        }
    }
    for (name, key) in &config.keys {
        if !crate::origin::is_key(key) {
            let hint = "the second line of a minisign .pub file is one";
            let text = format!("key `{name}` is no public key of minisign");
            findings.error(&path(["keys", name.as_str()]), Part::Value, text, Some(hint.to_owned()));
        }
    }
}

fn nothing_is_missing(config: &Config, findings: &mut Findings<'_>) {
    if config.accounts.is_empty() {
        let hint = "add one, [accounts.NAME] with host, user and password; `postroom init` writes a file to start from";
        findings.error(&[], Part::Key, "there is no account", Some(hint.to_owned()));
    }
    if config.pipelines.is_empty() {
        let hint = "add its first step: [[pipelines.main.steps]] with plugin = \"archive\"";
        findings.error(&[], Part::Key, "there is no pipeline", Some(hint.to_owned()));
    }
    for (name, pipeline) in &config.pipelines {
        if pipeline.steps.is_empty() {
            let hint = format!("add one: [[pipelines.{name}.steps]] with plugin = \"archive\"");
            findings.error(
                &path(["pipelines", name.as_str()]),
                Part::Key,
                format!("the pipeline `{name}` has no steps"),
                Some(hint),
            );
        }
    }
}

/// Mail that no step has to make a copy of is never deleted, whatever `delete` says; so the operator meant something else.
fn deletion_has_a_copy(
    config: &Config,
    id: &AccountId,
    account: &AccountConfig,
    findings: &mut Findings<'_>,
) {
    if account.delete == DeletePolicy::Never {
        return;
    }
    let pipeline = config.pipelines.get(&account.pipeline);
    if pipeline.is_some_and(|pipeline| pipeline.steps.iter().any(|step| step.required)) {
        return;
    }
    let text = format!(
        "mail of `{id}` is to be deleted at the server, but no step of the pipeline `{}` is required: nothing would prove that \
         there is a copy",
        account.pipeline
    );
    let hint = "set `required = true` on the step that makes the copy, or `delete = \"never\"` here";
    findings.error(&path(["accounts", id.as_str(), "delete"]), Part::Value, text, Some(hint.to_owned()));
}

fn port_fits_tls(id: &AccountId, account: &AccountConfig, findings: &mut Findings<'_>) {
    let expected = match (account.port, account.tls) {
        (995, TlsMode::Starttls | TlsMode::None) => "implicit",
        (110, TlsMode::Implicit) => "starttls",
        _ => return,
    };
    let text = format!("port {} usually goes with tls = \"{expected}\"", account.port);
    findings.warn(&path(["accounts", id.as_str(), "port"]), &text);
}

fn no_maildrop_twice(config: &Config, findings: &mut Findings<'_>) {
    let mut seen: BTreeMap<(String, &str), (&AccountId, u16)> = BTreeMap::new();
    for (id, account) in config.accounts.iter().filter(|(_, account)| account.enabled) {
        let maildrop = (account.host.to_ascii_lowercase(), account.user.as_str());
        match seen.get(&maildrop) {
            None => {
                seen.insert(maildrop, (id, account.port));
            }
            Some((first, port)) if *port == account.port => {
                let text =
                    format!("`{first}` and `{id}` are the same maildrop: all mail would be handled twice");
                let hint =
                    "an account's mail goes through one pipeline, which may have as many steps as you like";
                findings.error(&path(["accounts", id.as_str()]), Part::Key, text, Some(hint.to_owned()));
            }
            Some((first, _)) => {
                let text = format!(
                    "`{first}` and `{id}` have the same host and user: all mail would be handled twice"
                );
                findings.warn(&path(["accounts", id.as_str()]), &text);
            }
        }
    }
}

/// A bundled plugin takes its recipients from its settings; any other could send every mail to anybody.
fn strangers_send_only_where_they_may(
    config: &Config,
    pipeline: &Name,
    index: usize,
    step: &StepConfig,
    findings: &mut Findings<'_>,
) {
    match step.plugin {
        PluginRef::Bundled(_) => return,
        PluginRef::File(_) | PluginRef::Oci(_) => {}
    }
    for name in &step.grants.sinks {
        let Some(recipients) = config.sinks.get(name).and_then(SinkConfig::recipients) else { continue };
        if !recipients.is_empty() {
            continue;
        }
        let at = path(["pipelines", pipeline.as_str(), "steps", &index.to_string(), "grants"]);
        let text = format!("`{}` could send mail to anybody through the sink `{name}`", step.plugin);
        let hint = format!(
            "say in [sinks.{name}] who may be sent to: recipients = [\"me@example.net\", \"*@example.org\"]"
        );
        findings.error(&at, Part::Value, text, Some(hint));
    }
}

/// The bundled plugins name their sinks in these settings. A plugin of somebody else may mean another thing by them.
fn settings_name_granted_sinks(
    config: &Config,
    pipeline: &Name,
    index: usize,
    step: &StepConfig,
    findings: &mut Findings<'_>,
) {
    const SINKS: [&str; 4] = ["/sink", "/keep/sink", "/mailboxes/sink", "/redirect/sink"];
    let mut named = SINKS.iter().filter_map(|pointer| step.settings.pointer(pointer)?.as_str());
    let is_granted = |sink: &&str| step.grants.sinks.iter().any(|granted| granted.as_str() == *sink);
    let missing = named.find(|sink| !is_granted(sink));
    let Some(sink) = missing.filter(|_| matches!(step.plugin, PluginRef::Bundled(_))) else { return };
    let at = path(["pipelines", pipeline.as_str(), "steps", &index.to_string(), "settings"]);
    let name = postroom_mail::rules::neutral(sink, 64);
    let known = config.sinks.keys().any(|known| known.as_str() == sink);
    let cause = if known {
        format!("it is not granted: grants = {{ sinks = [\"{name}\"] }}")
    } else {
        "there is none".to_owned()
    };
    findings.warn(&at, &format!("the settings of step `{}` name the sink `{name}`, but {cause}", step.name));
}
