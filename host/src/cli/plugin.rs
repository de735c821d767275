//! `postroom plugin inspect`: what a plugin is and what it can ask for, without running it on mail.

use postroom_mail::rules::neutral;
use postroom_sandbox::{Capability, Import, Inspection};

use super::output;
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome};
use crate::config::PluginRef;
use crate::pipeline;

/// The verbs of `plugin`.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// Show a plugin's imports, digest, size, description and settings.
    Inspect {
        /// A bundled plugin's name, or the path of a .wasm file.
        plugin: String,
    },
}

pub(super) fn plugin(context: &Context, verb: &Verb) -> Outcome {
    let Verb::Inspect { plugin } = verb;
    let reference = PluginRef::parse(plugin, &std::env::current_dir()?);
    let octets = read(&reference)?;
    let inspection =
        setup::sandbox(None, 1)?.inspect(&octets).map_err(|error| Failure::new(Exit::Data, error))?;
    if context.json {
        output::json(&document(&reference, &inspection))?;
    } else {
        print(&reference, &inspection);
    }
    Ok(if inspection.problem.is_none() { Exit::Ok } else { Exit::Data })
}

fn read(reference: &PluginRef) -> Result<Vec<u8>, Failure> {
    match reference {
        PluginRef::Bundled(name) => postroom_bundle::bundled(name).map(<[u8]>::to_vec).ok_or_else(|| {
            let text =
                format!("there is no bundled plugin {name:?} (there are {})", pipeline::bundled_names());
            Failure::new(Exit::Data, anyhow::anyhow!(text))
                .hint("a file of yours is named by its path, for example \"./mine.wasm\"")
        }),
        PluginRef::File(path) => std::fs::read(path).map_err(|error| {
            Failure::new(Exit::NoInput, anyhow::anyhow!("cannot read the plugin {}: {error}", path.display()))
        }),
    }
}

fn document(reference: &PluginRef, inspection: &Inspection) -> serde_json::Value {
    let import = |import: &Import| {
        serde_json::json!({
            "name": import.name, "grant": import.capability.map(grant), "inert": import.wasi, "known": import.known,
        })
    };
    serde_json::json!({
        "plugin": reference.to_string(),
        "sha256": inspection.digest,
        "octets": inspection.size,
        "imports": inspection.imports.iter().map(import).collect::<Vec<_>>(),
        "exports": inspection.exports,
        "description": inspection.description,
        "problem": inspection.problem.as_ref().map(ToString::to_string),
    })
}

fn print(reference: &PluginRef, inspection: &Inspection) {
    println!("plugin      {reference}");
    println!("sha256      {}", inspection.digest);
    println!("octets      {}", inspection.size);
    let described = |key: &str| inspection.description.as_ref().and_then(|description| description.get(key));
    for key in ["name", "version", "description"] {
        if let Some(text) = described(key).and_then(|value| value.as_str()) {
            println!("{key:11} {}", neutral(text, 200));
        }
    }
    println!("\nit can ask for");
    for import in inspection.imports.iter().filter(|import| !import.wasi) {
        let note = match (import.known, import.capability) {
            (false, _) => "  (there is no such thing here)".to_owned(),
            (true, Some(capability)) => format!("  (needs `grants = {{ {} }}`)", grant(capability)),
            (true, None) => String::new(),
        };
        println!("  {}{note}", import.name);
    }
    println!("\nlinked to nothing (what Rust's standard library always imports)");
    for import in inspection.imports.iter().filter(|import| import.wasi) {
        println!("  {}", import.name);
    }
    if let Some(settings) = described("settings") {
        println!("\nsettings (JSON Schema)\n{settings:#}");
    }
    if let Some(problem) = &inspection.problem {
        println!("\nit cannot be loaded: {problem}");
    }
}

fn grant(capability: Capability) -> &'static str {
    match capability {
        Capability::Kv => "kv = true",
        Capability::Fetch => "fetch = [\"TARGET\"]",
    }
}
