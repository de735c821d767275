//! `postroom plugin promote`: the candidate of a step becomes its plugin. Owns the edit of the configuration, which keeps every
//! comment and all else as it was written; a host that runs follows the file by itself.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use postroom_mail::{Digest, Name};
use toml_edit::{DocumentMut, Item, TableLike, value};

use super::setup::Context;
use super::{Exit, Failure, Outcome, output, shadow};
use crate::config::{Config, StepConfig};
use crate::pipeline::{Report, Version, candidate_version, step_version};

/// One in so many messages may be left out of a comparison.
const UNKNOWN: u64 = 10;

/// Arguments of `plugin promote`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The step, or PIPELINE/STEP.
    step: String,
    /// Also when it would decide differently, or was not compared.
    #[arg(long)]
    force: bool,
    /// Only show what would be written.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn promote(context: &Context, args: &Args) -> Outcome {
    let (path, config) = context.load()?;
    let (pipeline, step) = shadow::find(&config, &args.step)?;
    let version =
        candidate_version(&config, pipeline, step).map_err(|error| Failure::new(Exit::NoInput, error))?;
    let Some(version) = version else { return Err(Failure::usage(anyhow::anyhow!("there is no candidate"))) };
    let found = Report::read(&config.state, pipeline, &step.name).ok();
    if !args.force {
        let current =
            step_version(&config, pipeline, step).map_err(|error| Failure::new(Exit::NoInput, error))?;
        agree(found.as_ref(), current, version)?;
    }
    let (file, before, after) = edited(&config, pipeline, step, &version.digest)?;
    if !args.dry_run {
        replace(&file, &before, &after, &path)?;
    }
    tell(context, args, step, &file, &version.digest, (&before, &after))?;
    Ok(Exit::Ok)
}

/// Whether what was compared speaks for it.
fn agree(report: Option<&Report>, current: Version, version: Version) -> Result<(), Failure> {
    let refused = |text: String| {
        let hint = "`postroom plugin shadow` shows what was found; --force promotes it all the same";
        Err(Failure::new(Exit::TemporaryFailure, anyhow::anyhow!(text)).hint(hint))
    };
    match report {
        None => refused("the candidate was not compared on any message yet".to_owned()),
        Some(report) if report.candidate != version => {
            refused("the candidate, or its settings, are others than those that were compared".to_owned())
        }
        Some(report) if report.current != current => refused(
            "it was compared with another plugin, or other settings, than the step has now".to_owned(),
        ),
        Some(report) if report.messages() == 0 => {
            refused("the candidate was not compared on any message yet".to_owned())
        }
        Some(report) if report.different > 0 => refused(shadow::summary(report)),
        Some(report) if report.unknown * UNKNOWN > report.messages() => refused(format!(
            "{} messages were compared and {} could not be: too many to speak for it",
            report.messages(),
            report.unknown
        )),
        Some(_) => Ok(()),
    }
}

/// The file that holds the step, and its text before and after.
fn edited(
    config: &Config,
    pipeline: &Name,
    step: &StepConfig,
    digest: &Digest,
) -> Result<(PathBuf, String, String), Failure> {
    let index = config
        .pipelines
        .get(pipeline)
        .and_then(|configured| configured.steps.iter().position(|one| one.name == step.name));
    // A later file replaces what an earlier one says of the same pipeline.
    for file in config.sources.iter().rev() {
        let before = fs::read_to_string(file)?;
        let mut document: DocumentMut = before.parse().map_err(|error| {
            let text = format!("{} is no TOML any more: {error}", file.display());
            Failure::new(Exit::Config, anyhow::anyhow!(text))
        })?;
        let table = index.and_then(|index| table(&mut document, pipeline, index));
        let Some(table) = table.filter(|table| table.contains_key("shadow")) else { continue };
        change(table, step, digest);
        return Ok((file.clone(), before, document.to_string()));
    }
    let text = format!("no file of the configuration holds the `shadow` of step {}", step.name);
    Err(Failure::new(Exit::Config, anyhow::anyhow!(text)).hint("is it in an environment variable?"))
}

fn table<'a>(document: &'a mut DocumentMut, pipeline: &Name, index: usize) -> Option<&'a mut dyn TableLike> {
    let pipelines = document.get_mut("pipelines")?.as_table_like_mut()?;
    let steps = pipelines.get_mut(pipeline.as_str())?.as_table_like_mut()?.get_mut("steps")?;
    match steps {
        Item::ArrayOfTables(tables) => tables.get_mut(index).map(|table| table as &mut dyn TableLike),
        Item::Value(toml_edit::Value::Array(list)) => {
            let table = list.get_mut(index)?.as_inline_table_mut()?;
            Some(table as &mut dyn TableLike)
        }
        _ => None,
    }
}

/// The step keeps its name: it is part of the ids of its effects, and of where its state is kept.
fn change(table: &mut dyn TableLike, step: &StepConfig, digest: &Digest) {
    let pinned = table.contains_key("sha256") || table.contains_key("shadow_sha256");
    if let Some(plugin) = table.remove("shadow") {
        put(table, "plugin", plugin);
    }
    table.remove("shadow_sha256");
    if pinned {
        put(table, "sha256", value(digest.to_string()));
    }
    if let Some(settings) = table.remove("shadow_settings") {
        table.insert("settings", settings);
    }
    if !table.contains_key("name") {
        table.insert("name", value(step.name.as_str()));
    }
}

/// Replaces a value where it stands, with the comment behind it.
fn put(table: &mut dyn TableLike, key: &str, new: Item) {
    match (table.get_mut(key).and_then(Item::as_value_mut), new.into_value()) {
        (Some(old), Ok(mut new)) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        (None, Ok(new)) => drop(table.insert(key, Item::Value(new))),
        (_, Err(_)) => {}
    }
}

/// Writes it whole or not at all; what does not load is taken back.
fn replace(file: &Path, before: &str, after: &str, main: &Path) -> Result<(), Failure> {
    write(file, after)?;
    if let Err(errors) = Config::load(main) {
        write(file, before)?;
        return Err(Failure::from(errors).hint("nothing was changed"));
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    // What a link points at is written; the link stays.
    let file = fs::canonicalize(file)?;
    let directory = file.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(directory)
        .map_err(|error| Failure::new(Exit::CannotCreate, error))?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(fs::metadata(&file)?.permissions())?;
    new.as_file().sync_all()?;
    new.persist(&file).map_err(|error| Failure::new(Exit::CannotCreate, error.error))?;
    fs::File::open(directory)?.sync_all()?;
    Ok(())
}

fn tell(
    context: &Context,
    args: &Args,
    step: &StepConfig,
    file: &Path,
    digest: &Digest,
    (before, after): (&str, &str),
) -> Result<(), Failure> {
    let shadow = step.shadow.as_ref().map(|shadow| shadow.plugin.to_string()).unwrap_or_default();
    if context.json {
        return output::json(&serde_json::json!({
            "step": step.name, "plugin": shadow, "sha256": digest, "file": file.display().to_string(),
            "written": !args.dry_run,
        }));
    }
    println!("{}", file.display());
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    old.iter().filter(|line| !new.contains(line)).for_each(|line| println!("- {line}"));
    new.iter().filter(|line| !old.contains(line)).for_each(|line| println!("+ {line}"));
    match args.dry_run {
        true => println!("\nnothing was written"),
        false => {
            println!("\nstep {} runs {shadow} from now on; a host that runs takes it up by itself", step.name)
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    const MAIN: &str = r#"[accounts.home]
host = "pop.example.net"
user = "me"
password = { file = "p" }
[sinks.vault]
type = "directory"
path = "v"
# what runs
[[pipelines.main.steps]]
plugin = "archive" # the old one
grants = { sinks = ["vault"] }
settings = { sink = "vault" }
sha256 = "00000000000000000000000000000000000000000000000000000000000000ff" # pinned
shadow = "./next.wasm"
shadow_settings = { sink = "vault", key = "{id}" }
"#;

    fn promoted(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("postroom.toml");
        fs::write(&file, text).unwrap();
        let config = Config::load_in(&file, &crate::config::Environment::default()).unwrap();
        let (pipeline, step) = shadow::find(&config, "archive").unwrap();
        edited(&config, pipeline, step, &Digest::of(b"next")).unwrap().2
    }

    #[test]
    fn the_candidate_takes_the_place_of_the_plugin_and_all_else_stays() {
        let after = promoted(MAIN);
        let pin = Digest::of(b"next").to_string();
        assert!(after.contains("plugin = \"./next.wasm\" # the old one\n"), "{after}");
        assert!(after.contains(&format!("sha256 = \"{pin}\" # pinned\n")), "{after}");
        assert!(after.contains("settings = { sink = \"vault\", key = \"{id}\" }\n"), "{after}");
        assert!(after.contains("name = \"archive\"\n"), "its name was that of its plugin: {after}");
        assert!(after.contains("# what runs\n") && !after.contains("shadow"), "{after}");
    }

    #[test]
    fn a_step_that_was_not_pinned_is_not_pinned_and_steps_may_stand_in_one_line() {
        let list = "[pipelines.main]\nsteps = [{ plugin = \"archive\", shadow = \"./n.wasm\", name = \"archive\" }]\n";
        let head = &MAIN[..MAIN.find("# what runs").unwrap()];
        let after = promoted(&format!("{head}{list}"));
        assert!(!after.contains("sha256") && !after.contains("shadow"), "{after}");
        assert!(after.contains("plugin = \"./n.wasm\""), "{after}");
    }
}
