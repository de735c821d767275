//! `postroom plugin promote`: the candidate of a step becomes its plugin, in the configuration; a host that runs follows the
//! file by itself.

use postroom_mail::{Digest, Name};
use toml_edit::{Item, TableLike, value};

use super::edit::Edit;
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome, compiled, output, shadow};
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
    let mut edit = Edit::of(&config, pipeline)?;
    edited(&mut edit, &config, pipeline, step, &version.digest)?;
    let sandbox = setup::sandbox(compiled::beside(&config.state).as_deref(), 1, config.limits.compile)?;
    let changed = edit.check(&path, &sandbox)?;
    took_over(&changed, pipeline, step, &edit)?;
    if !args.dry_run {
        edit.put_in_place()?;
    }
    tell(context, args, step, &edit, &version.digest)?;
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

/// Changes the step in the file that decides over it.
fn edited(
    edit: &mut Edit,
    config: &Config,
    pipeline: &Name,
    step: &StepConfig,
    digest: &Digest,
) -> Result<(), Failure> {
    let file = edit.file.display().to_string();
    let table = edit.step(config, pipeline, &step.name)?;
    if !table.contains_key("shadow") {
        let text = format!("{file} decides over step {}, and does not hold its `shadow`", step.name);
        return Err(
            Failure::new(Exit::Config, anyhow::anyhow!(text)).hint("is it in an environment variable?")
        );
    }
    change(table, step, digest);
    Ok(())
}

/// What stands in a later place than a file, an environment variable, would make the edit one without effect.
fn took_over(changed: &Config, pipeline: &Name, step: &StepConfig, edit: &Edit) -> Result<(), Failure> {
    let steps = changed.pipelines.get(pipeline).map(|pipeline| pipeline.steps.as_slice());
    let after = steps.unwrap_or_default().iter().find(|after| after.name == step.name);
    let candidate = step.shadow.as_ref().map(|shadow| &shadow.plugin);
    if after.is_some_and(|after| Some(&after.plugin) == candidate && after.shadow.is_none()) {
        return Ok(());
    }
    let text =
        format!("nothing was written: {} does not decide alone over step {}", edit.file.display(), step.name);
    Err(Failure::new(Exit::Config, anyhow::anyhow!(text)).hint("is a part of it in an environment variable?"))
}

/// The step keeps its name: it is part of the ids of its effects, and of where its state is kept.
fn change(table: &mut dyn TableLike, step: &StepConfig, digest: &Digest) {
    let pinned = table.contains_key("sha256") || table.contains_key("shadow_sha256");
    let above = ["shadow", "shadow_sha256", "shadow_settings"].map(|key| comment_above(table, key));
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
    for (key, comment) in ["plugin", "sha256", "settings"].into_iter().zip(above) {
        add_above(table, key, &comment);
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

/// The lines of comment that stand above a key.
fn comment_above(table: &mut dyn TableLike, key: &str) -> String {
    let key = table.key_mut(key);
    let above = key.and_then(|key| Some(key.leaf_decor().prefix()?.as_str()?.to_owned()));
    above.filter(|above| above.contains('#')).unwrap_or_default()
}

/// What was said of a key that goes is said of the one that takes its value.
fn add_above(table: &mut dyn TableLike, key: &str, comment: &str) {
    let Some(mut key) = table.key_mut(key).filter(|_| !comment.is_empty()) else { return };
    let present = key.leaf_decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default();
    let both = format!("{present}{comment}");
    key.leaf_decor_mut().set_prefix(both);
}

fn tell(
    context: &Context,
    args: &Args,
    step: &StepConfig,
    edit: &Edit,
    digest: &Digest,
) -> Result<(), Failure> {
    let (file, before, after) = (&edit.file, &edit.before, edit.text());
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

    use std::fs;

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
        let mut edit = Edit::of(&config, pipeline).unwrap();
        edited(&mut edit, &config, pipeline, step, &Digest::of(b"next")).unwrap();
        edit.text()
    }

    #[test]
    fn a_comment_above_what_goes_stands_above_what_takes_its_place() {
        let text = MAIN.replace("shadow = ", "# since May\nshadow = ");
        let after = promoted(&text.replace("shadow_settings", "# with a key\nshadow_settings"));
        assert!(after.contains("# since May\nplugin = \"./next.wasm\""), "{after}");
        assert!(after.contains("# with a key\nsettings = "), "{after}");
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
