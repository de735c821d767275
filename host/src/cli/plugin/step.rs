//! A step as text in a configuration that somebody wrote by hand: everything that is there stays as it is.

use postroom_sandbox::{Capability, Inspection};
use serde_json::Value as Json;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::super::{Exit, Failure};
use super::schema::{self, Setting};

/// What is to be written.
pub(super) struct NewStep<'a> {
    pub(super) name: &'a str,
    /// As it is to stand in the file.
    pub(super) plugin: &'a str,
    pub(super) inspection: &'a Inspection,
    pub(super) sinks: &'a [String],
    /// Targets of `fetch` it is granted.
    pub(super) targets: &'a [String],
    pub(super) discard: bool,
    /// Settings given on the command line, which go before what the schema suggests.
    pub(super) given: &'a [(String, Value)],
}

/// Puts a step at the end of a pipeline. Answers with the needed settings that nobody gave.
pub(super) fn append(
    document: &mut DocumentMut,
    pipeline: &str,
    step: &NewStep<'_>,
) -> Result<Vec<String>, Failure> {
    let steps = steps(document, pipeline)?;
    let mut table = Table::new();
    table.decor_mut().set_prefix("\n");
    table.insert("name", toml_edit::value(step.name));
    table.insert("plugin", toml_edit::value(step.plugin));
    table.insert("sha256", toml_edit::value(step.inspection.digest.to_string()));
    let grants = grants(step);
    if !grants.is_empty() {
        table.insert("grants", toml_edit::value(grants));
    }
    let (settings, lacking) = settings(step);
    if let Some(settings) = settings {
        table.insert("settings", Item::Table(settings));
    }
    steps.push(table);
    Ok(lacking)
}

/// Names another file, and its pin, in a step that is there; all else of it stays.
pub(super) fn replace(step: &mut dyn TableLike, plugin: &str, digest: &str) {
    put(step, "plugin", plugin);
    put(step, "sha256", digest);
}

/// Changes a value and leaves what stands around it.
fn put(table: &mut dyn TableLike, key: &str, text: &str) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(value) => {
            let decor = value.decor().clone();
            *value = Value::from(text);
            *value.decor_mut() = decor;
        }
        None => {
            table.insert(key, toml_edit::value(text));
        }
    }
}

fn steps<'a>(
    document: &'a mut DocumentMut,
    pipeline: &str,
) -> Result<&'a mut toml_edit::ArrayOfTables, Failure> {
    let pipeline_item = document.get_mut("pipelines").and_then(|pipelines| pipelines.get_mut(pipeline));
    let steps = pipeline_item.and_then(|item| item.get_mut("steps"));
    steps.and_then(Item::as_array_of_tables_mut).ok_or_else(|| elsewhere(pipeline))
}

fn elsewhere(pipeline: &str) -> Failure {
    let text = format!(
        "the steps of the pipeline {pipeline} are not written as [[pipelines.{pipeline}.steps]] in this file"
    );
    Failure::new(Exit::Config, anyhow::anyhow!(text))
        .hint("write the step by hand where they are; `postroom plugin inspect` prints its pin")
}

/// What it imports decides over state; sinks and discarding only the operator can know.
fn grants(step: &NewStep<'_>) -> InlineTable {
    let mut grants = InlineTable::new();
    if !step.sinks.is_empty() {
        grants.insert("sinks", step.sinks.iter().collect::<Array>().into());
    }
    if !step.targets.is_empty() {
        grants.insert("fetch", step.targets.iter().collect::<Array>().into());
    }
    if step.discard {
        grants.insert("discard", true.into());
    }
    if step.inspection.imports.iter().any(|import| import.capability == Some(Capability::Kv)) {
        grants.insert("kv", true.into());
    }
    grants
}

/// The needed settings as far as they can be known, and the others as comments.
fn settings(step: &NewStep<'_>) -> (Option<Table>, Vec<String>) {
    let description = step.inspection.description.as_ref();
    let known = description
        .and_then(|description| description.get("settings"))
        .map(schema::settings)
        .unwrap_or_default();
    let mut table = Table::new();
    let mut remarks = String::new();
    let mut lacking = Vec::new();
    for setting in &known {
        let given = step.given.iter().find(|(name, _)| *name == setting.name).map(|(_, value)| value.clone());
        match given.or_else(|| if setting.required { suggested(setting, step.sinks) } else { None }) {
            Some(value) => {
                table.insert(&setting.name, Item::Value(value));
                remark(&mut table, setting);
            }
            None => {
                remarks.push_str(&commented(setting));
                if setting.required {
                    lacking.push(setting.name.clone());
                }
            }
        }
    }
    // What the schema does not know the plugin may: it is asked in the end.
    for (name, value) in
        step.given.iter().filter(|(name, _)| !known.iter().any(|setting| setting.name == *name))
    {
        table.insert(name, Item::Value(value.clone()));
    }
    let first = table.iter().next().map(|(name, _)| name.to_owned());
    if let Some(mut key) = first.and_then(|first| table.key_mut(&first)) {
        key.leaf_decor_mut().set_prefix(remarks);
    }
    (if table.is_empty() { None } else { Some(table) }, lacking)
}

fn remark(table: &mut Table, setting: &Setting) {
    if let Some(value) =
        table.get_mut(&setting.name).and_then(Item::as_value_mut).filter(|_| !setting.description.is_empty())
    {
        value.decor_mut().set_suffix(format!("  # {}", one_line(&setting.description)));
    }
}

/// `# key = "…"  # text: what it is for`.
fn commented(setting: &Setting) -> String {
    let value = setting
        .usual
        .as_ref()
        .and_then(toml)
        .map_or_else(|| "…".to_owned(), |value| value.to_string().trim().to_owned());
    let needed = if setting.required { ", needed" } else { "" };
    let meaning = if setting.description.is_empty() {
        String::new()
    } else {
        format!(": {}", one_line(&setting.description))
    };
    format!("# {} = {value}  # {}{needed}{meaning}\n", setting.name, one_line(&setting.kind))
}

fn one_line(text: &str) -> String {
    postroom_mail::rules::neutral(text, 200).replace('\n', " ")
}

/// A setting called `sink` is the one sink that was granted; else what the plugin suggests.
fn suggested(setting: &Setting, sinks: &[String]) -> Option<Value> {
    match (setting.name.as_str(), sinks) {
        ("sink", [sink]) => Some(Value::from(sink)),
        _ => setting.usual.as_ref().and_then(toml),
    }
}

/// A JSON value in TOML; `null` has none.
fn toml(value: &Json) -> Option<Value> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(truth) => (*truth).into(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64()?.into(),
        },
        Json::String(text) => text.into(),
        Json::Array(list) => Value::Array(list.iter().filter_map(toml).collect()),
        Json::Object(map) => {
            Value::InlineTable(map.iter().filter_map(|(key, value)| Some((key, toml(value)?))).collect())
        }
    })
}

/// `KEY=VALUE` of the command line: a TOML value, or else a text.
pub(super) fn given(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let key = key.trim();
    if key.is_empty() {
        return Err("write it as KEY=VALUE".to_owned());
    }
    Ok((key.to_owned(), value.trim().parse().unwrap_or_else(|_| Value::from(value.trim()))))
}
