//! `postroom plugin add`: a step that runs exactly this file. The configuration is changed only if the changed one is found
//! right to the end, plugins and all; comments stay.

use std::fs;
use std::path::{Path, PathBuf};

use postroom_mail::{Name, RuleError};
use postroom_sandbox::{Inspection, Sandbox};
use serde_json::Value;

use super::super::edit::Edit;
use super::super::output;
use super::super::setup::{self, Context};
use super::super::{Exit, Failure, Outcome, compiled};
use super::step::{self, NewStep};
use crate::config::{Config, PipelineConfig};

/// Arguments of `plugin add`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The component: a .wasm file.
    file: PathBuf,
    /// The pipeline [default: the only one].
    #[arg(long, value_parser = name)]
    pipeline: Option<Name>,
    /// The step's name [default: the plugin's].
    #[arg(long, value_parser = name)]
    step: Option<Name>,
    /// A sink it may use; may be given several times.
    #[arg(long, value_name = "SINK")]
    grant_sink: Vec<String>,
    /// A target of `[fetch]` it may look things up at; may be repeated.
    #[arg(long, value_name = "TARGET")]
    grant_fetch: Vec<String>,
    /// It may end a message's way without a copy.
    #[arg(long)]
    grant_discard: bool,
    /// A setting, its value written as in the configuration; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = step::given)]
    set: Vec<(String, toml_edit::Value)>,
    /// Put this file in the place of the one that the step runs now; its grants and settings stay.
    #[arg(long, conflicts_with_all = ["grant_sink", "grant_fetch", "grant_discard", "set"])]
    replace: bool,
    /// Only show what would be written, and whether it would be right.
    #[arg(long)]
    dry_run: bool,
}

fn name(text: &str) -> Result<Name, RuleError> {
    Name::new(text)
}

pub(super) fn add(context: &Context, args: &Args) -> Outcome {
    let (given, config) = context.load()?;
    let octets = super::read_file(&args.file)?;
    let cache = compiled::beside(&config.state);
    let sandbox = setup::sandbox(cache.as_deref(), 1, config.limits.compile)?;
    let inspection = inspect(&sandbox, &octets, &args.file)?;
    let (pipeline, configured) = choose(&config, args.pipeline.as_ref())?;
    let mut edit = Edit::of(&config, pipeline)?;
    let change = change(args, &config, (pipeline, configured), &inspection, &mut edit)?;
    let text = edit.text();
    if !context.json {
        println!("{}", edit.file.display());
        print_difference(&edit.before, &text);
    }
    if !change.lacking.is_empty() {
        return Err(lacking(&change));
    }
    let changed = edit.check(&given, &sandbox)?;
    runs_it(&changed, &change, &inspection, &edit)?;
    if !args.dry_run {
        edit.put_in_place()?;
    }
    if context.json {
        output::json(&serde_json::json!({
            "config": edit.file, "pipeline": change.pipeline, "step": change.step, "sha256": inspection.digest,
            "written": !args.dry_run, "text": text,
        }))?;
    } else {
        let done =
            if args.dry_run { "nothing was written; it would be right" } else { "written, and checked" };
        println!(
            "\n{done}: step {} of the pipeline {} runs {} {}",
            change.step,
            change.pipeline,
            args.file.display(),
            inspection.digest.short(12)
        );
    }
    Ok(Exit::Ok)
}

/// What is changed in the document.
struct Change {
    pipeline: Name,
    step: Name,
    lacking: Vec<String>,
}

fn inspect(sandbox: &Sandbox, octets: &[u8], file: &Path) -> Result<Inspection, Failure> {
    let inspection = sandbox.inspect(octets).map_err(|error| Failure::new(Exit::Data, error))?;
    match inspection.problem {
        None => Ok(inspection),
        Some(problem) => {
            let text = format!("{} cannot be loaded", file.display());
            Err(Failure::new(Exit::Data, anyhow::Error::new(problem).context(text))
                .hint("`postroom plugin inspect` shows all that is known of it"))
        }
    }
}

fn change(
    args: &Args,
    config: &Config,
    (pipeline, configured): (&Name, &PipelineConfig),
    inspection: &Inspection,
    edit: &mut Edit,
) -> Result<Change, Failure> {
    let step = match &args.step {
        Some(step) => step.clone(),
        None => own_name(inspection)?,
    };
    let plugin = written_path(&args.file, &config.base)?;
    let is_there = configured.steps.iter().any(|there| there.name == step);
    let lacking = match (is_there, args.replace) {
        (true, true) => {
            let table = edit.step(config, pipeline, &step)?;
            step::replace(table, &plugin, &inspection.digest.to_string());
            Vec::new()
        }
        (false, false) => {
            let new = NewStep {
                name: step.as_str(),
                plugin: &plugin,
                inspection,
                sinks: &args.grant_sink,
                targets: &args.grant_fetch,
                discard: args.grant_discard,
                given: &args.set,
            };
            step::append(&mut edit.document, pipeline.as_str(), &new)?
        }
        (true, false) => {
            let text = format!("the pipeline {pipeline} has a step {step} already");
            return Err(Failure::usage(anyhow::anyhow!(text))
                .hint("--replace puts this file in its place; --step gives the new step another name"));
        }
        (false, true) => {
            let names: Vec<_> = configured.steps.iter().map(|there| there.name.as_str()).collect();
            let text = format!("the pipeline {pipeline} has no step {step} (there are {})", names.join(", "));
            return Err(Failure::usage(anyhow::anyhow!(text)).hint("name the step with --step"));
        }
    };
    Ok(Change { pipeline: pipeline.clone(), step, lacking })
}

fn choose<'a>(
    config: &'a Config,
    wanted: Option<&'a Name>,
) -> Result<(&'a Name, &'a PipelineConfig), Failure> {
    let names = || config.pipelines.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
    let mut all = config.pipelines.iter();
    match (wanted, all.next(), all.next()) {
        (Some(wanted), ..) => config.pipelines.get_key_value(wanted).ok_or_else(|| {
            Failure::usage(anyhow::anyhow!("there is no pipeline {wanted} (there are {})", names()))
        }),
        (None, Some(only), None) => Ok(only),
        (None, ..) => Err(Failure::usage(anyhow::anyhow!("there are several pipelines: {}", names()))
            .hint("say which with --pipeline")),
    }
}

fn own_name(inspection: &Inspection) -> Result<Name, Failure> {
    let name = inspection.description.as_ref().and_then(|description| description.get("name"));
    Name::new(name.and_then(Value::as_str).unwrap_or_default())
        .map_err(|error| Failure::new(Exit::Data, error))
}

/// Relative to the configuration's directory when it lies below it, so that both can be moved together.
fn written_path(file: &Path, base: &Path) -> Result<String, Failure> {
    let file = fs::canonicalize(file)?;
    let text = match file.strip_prefix(fs::canonicalize(base)?) {
        Ok(below) => format!("./{}", below.to_str().unwrap_or_default()),
        Err(_) => file.to_str().unwrap_or_default().to_owned(),
    };
    if file.to_str().is_none() {
        let text = format!("{} cannot be written into a configuration: it is no UTF-8 text", file.display());
        return Err(Failure::new(Exit::Data, anyhow::anyhow!(text)).hint("copy the file to another name"));
    }
    Ok(text)
}

fn lacking(change: &Change) -> Failure {
    let settings = change.lacking.join(", ");
    let text =
        format!("nothing was written: step {} needs settings that were not given: {settings}", change.step);
    let hint = match change.lacking.first().map_or("", String::as_str) {
        "sink" => {
            "grant the sink it is to use, --grant-sink NAME; any other setting is given with --set KEY=VALUE"
                .to_owned()
        }
        first => format!("give each with --set, its value as in the configuration: --set {first}=VALUE"),
    };
    Failure::usage(anyhow::anyhow!(text)).hint(hint)
}

/// Whether the step runs these octets in what the whole configuration becomes: something else may decide over the pipeline.
fn runs_it(changed: &Config, change: &Change, inspection: &Inspection, edit: &Edit) -> Result<(), Failure> {
    let steps = changed.pipelines.get(&change.pipeline).map(|pipeline| pipeline.steps.as_slice());
    let step = steps.unwrap_or_default().iter().find(|step| step.name == change.step);
    if step.is_some_and(|step| step.sha256 == Some(inspection.digest)) {
        return Ok(());
    }
    let text = format!(
        "nothing was written: {} does not decide over the steps of the pipeline {}, so it would have no effect",
        edit.file.display(),
        change.pipeline
    );
    Err(Failure::new(Exit::Config, anyhow::anyhow!(text))
        .hint("is the pipeline in an environment variable? change the step there; `postroom plugin inspect` prints its pin"))
}

/// The changed lines with a few around them.
fn print_difference(old: &str, new: &str) {
    const AROUND: usize = 2;
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let same = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let room = old.len().min(new.len()) - same;
    let after = old.iter().rev().zip(new.iter().rev()).take(room).take_while(|(old, new)| old == new).count();
    let (old_end, new_end) = (old.len() - after, new.len() - after);
    let show = |mark: &str, lines: &[&str]| {
        lines.iter().for_each(|line| println!("{}", format!("{mark} {line}").trim_end()))
    };
    show(" ", &old[same.saturating_sub(AROUND)..same]);
    show("-", &old[same..old_end]);
    show("+", &new[same..new_end]);
    show(" ", &new[new_end..(new_end + AROUND).min(new.len())]);
}
