//! `postroom plugin inspect`: what a plugin is and what it can ask for, without running it on mail.

use postroom_mail::Digest;
use postroom_mail::rules::neutral;
use postroom_sandbox::{Capability, Import, Inspection};
use serde_json::Value;

use super::super::output::{self, Table};
use super::super::setup::Context;
use super::super::{Exit, Failure, Outcome};
use super::schema;
use crate::config::{Config, PluginRef};

/// Arguments of `plugin inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A bundled plugin's name, or the path of a .wasm file.
    plugin: String,
}

pub(super) fn inspect(context: &Context, args: &Args) -> Outcome {
    let reference = super::named(&args.plugin)?;
    let octets = super::read(&reference)?;
    let inspection = super::sandbox()?.inspect(&octets).map_err(|error| Failure::new(Exit::Data, error))?;
    let uses = uses(context, &inspection.digest);
    if context.json {
        output::json(&document(&reference, &inspection, &uses))?;
    } else {
        print(&reference, &inspection, &uses);
    }
    Ok(if inspection.problem.is_none() { Exit::Ok } else { Exit::Data })
}

/// Where the configuration stands to a plugin.
enum Uses {
    /// There is no configuration here.
    NoConfiguration,
    /// It cannot be read.
    Unreadable,
    /// The steps that run exactly these octets: pipeline, step, whether pinned.
    Steps(Vec<(String, String, bool)>),
}

fn uses(context: &Context, digest: &Digest) -> Uses {
    let Ok(path) = context.config_path() else { return Uses::NoConfiguration };
    let Ok(config) = Config::load(&path) else { return Uses::Unreadable };
    let mut steps = Vec::new();
    for (pipeline, configured) in &config.pipelines {
        for step in &configured.steps {
            if super::read(&step.plugin).is_ok_and(|octets| Digest::of(&octets) == *digest) {
                steps.push((pipeline.to_string(), step.name.to_string(), step.sha256.is_some()));
            }
        }
    }
    Uses::Steps(steps)
}

fn document(reference: &PluginRef, inspection: &Inspection, uses: &Uses) -> Value {
    let import = |import: &Import| {
        serde_json::json!({
            "name": import.name, "grant": import.capability.map(grant), "inert": import.wasi, "known": import.known,
            "meaning": meaning(import),
        })
    };
    let used_by = match uses {
        Uses::NoConfiguration | Uses::Unreadable => Value::Null,
        Uses::Steps(steps) => steps
            .iter()
            .map(|(pipeline, step, pinned)| {
                serde_json::json!({ "pipeline": pipeline, "step": step, "pinned": pinned })
            })
            .collect(),
    };
    serde_json::json!({
        "plugin": reference.to_string(),
        "sha256": inspection.digest,
        "pin": pin(inspection),
        "octets": inspection.size,
        "imports": inspection.imports.iter().map(import).collect::<Vec<_>>(),
        "exports": inspection.exports,
        "description": inspection.description,
        "used_by": used_by,
        "problem": inspection.problem.as_ref().map(ToString::to_string),
    })
}

fn print(reference: &PluginRef, inspection: &Inspection, uses: &Uses) {
    println!("plugin      {reference}");
    println!("sha256      {}", inspection.digest);
    println!("octets      {}", inspection.size);
    let described = |key: &str| inspection.description.as_ref().and_then(|description| description.get(key));
    for key in ["name", "version", "description"] {
        if let Some(text) = described(key).and_then(Value::as_str) {
            println!("{key:11} {}", neutral(text, 200));
        }
    }
    println!("\nit can ask for");
    let mut table = Table::new(["INTERFACE", "TO"]);
    for import in inspection.imports.iter().filter(|import| !import.wasi) {
        table.row([import.name.clone(), meaning(import)]);
    }
    table.print();
    let inert: Vec<&Import> = inspection.imports.iter().filter(|import| import.wasi).collect();
    if !inert.is_empty() {
        println!("\nlinked to nothing (what Rust's standard library always imports)");
        inert.iter().for_each(|import| println!("  {}", import.name));
    }
    if let Some(schema) = described("settings") {
        print_settings(schema);
    }
    if let Some(problem) = &inspection.problem {
        println!("\nit cannot be loaded: {problem}");
        return;
    }
    println!("\nto pin it, write into its step\n  {}", pin(inspection));
    match uses {
        Uses::NoConfiguration => {}
        Uses::Unreadable => println!("\nthe configuration cannot be read; `postroom check` says why"),
        Uses::Steps(steps) if steps.is_empty() => println!("\nno step of the configuration runs it"),
        Uses::Steps(steps) => {
            println!("\nthe configuration runs it in");
            for (pipeline, step, pinned) in steps {
                let pinned = if *pinned { "pinned" } else { "not pinned" };
                println!("  pipeline {pipeline}, step {step} ({pinned})");
            }
        }
    }
}

fn print_settings(schema: &Value) {
    let mut table = Table::new(["SETTING", "IS", "NEEDED", "DEFAULT", "MEANING"]);
    for setting in schema::settings(schema) {
        let default =
            setting.usual.filter(|_| setting.has_default).map_or_else(String::new, |value| value.to_string());
        let needed = if setting.required { "yes" } else { "no" }.to_owned();
        table.row([setting.name, setting.kind, needed, default, setting.description]);
    }
    if table.is_empty() {
        println!("\nit has no settings");
    } else {
        println!("\nsettings");
        table.print();
    }
}

/// The line of a step that lets only this component in.
fn pin(inspection: &Inspection) -> String {
    format!("sha256 = \"{}\"", inspection.digest)
}

/// What an interface lets a plugin do, in words.
fn meaning(import: &Import) -> String {
    let interface = import.name.split_once('@').map_or(import.name.as_str(), |(name, _)| name);
    let words = match interface.rsplit('/').next().unwrap_or(interface) {
        _ if import.wasi => "nothing",
        _ if !import.known => "there is no such thing here",
        "types" => "name what the others give and take",
        "content" => "read octets of the message, and make new ones",
        "mail" => "look into the message being handled, and no other",
        "effects" => {
            "store, file, forward or send into the sinks its step is granted; label, set aside, or, if granted, discard"
        }
        "kv" => "keep state of its own from one message to the next",
        "fetch" => "ask targets that the operator names, and send them what it likes of the message",
        "log" => "write lines to its log",
        _ => "use a part of the contract",
    };
    match import.capability {
        Some(capability) => format!("{words} (needs `grants = {{ {} }}`)", granted(capability)),
        None => words.to_owned(),
    }
}

fn grant(capability: Capability) -> &'static str {
    match capability {
        Capability::Kv => "kv",
        Capability::Fetch => "fetch",
    }
}

/// As in the configuration. Which target is meant only the operator knows.
fn granted(capability: Capability) -> &'static str {
    match capability {
        Capability::Kv => "kv = true",
        Capability::Fetch => "fetch = [\"TARGET\"]",
    }
}
