//! `postroom plugin add`: a step that runs exactly this file. The configuration is changed only if the changed one is found
//! right to the end, plugins and all; comments stay.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use postroom_mail::{Name, RuleError};
use postroom_sandbox::{Inspection, Sandbox};
use serde_json::Value;
use toml_edit::DocumentMut;

use super::super::output;
use super::super::setup::{self, Context};
use super::super::{Exit, Failure, Outcome, compiled};
use super::step::{self, NewStep};
use crate::config::{Config, PipelineConfig};
use crate::live::Live;

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
    let path = fs::canonicalize(&given)?;
    let old = fs::read_to_string(&path)?;
    let mut document: DocumentMut =
        old.parse().map_err(|error| Failure::new(Exit::Config, anyhow::anyhow!("{error}")))?;
    let change = change(args, &config, &path, &inspection, &mut document)?;
    let text = document.to_string();
    if !context.json {
        println!("{}", given.display());
        print_difference(&old, &text);
    }
    if !change.lacking.is_empty() {
        return Err(lacking(&change));
    }
    let candidate = Candidate::write(&path, &text)?;
    candidate.check(&sandbox).map_err(|failure| would_break(failure, &candidate.path, &given))?;
    if !args.dry_run {
        candidate.put_in_place(&old)?;
    }
    if context.json {
        output::json(&serde_json::json!({
            "config": given, "pipeline": change.pipeline, "step": change.step, "sha256": inspection.digest,
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
    path: &Path,
    inspection: &Inspection,
    document: &mut DocumentMut,
) -> Result<Change, Failure> {
    let (pipeline, configured) = choose(config, args.pipeline.as_ref())?;
    let step = match &args.step {
        Some(step) => step.clone(),
        None => own_name(inspection)?,
    };
    let plugin = written_path(&args.file, path)?;
    let index = configured.steps.iter().position(|there| there.name == step);
    let lacking = match (index, args.replace) {
        (Some(index), true) => {
            let digest = inspection.digest.to_string();
            step::replace(document, pipeline.as_str(), index, &plugin, &digest).map(|()| Vec::new())?
        }
        (None, false) => {
            let new = NewStep {
                name: step.as_str(),
                plugin: &plugin,
                inspection,
                sinks: &args.grant_sink,
                targets: &args.grant_fetch,
                discard: args.grant_discard,
                given: &args.set,
            };
            step::append(document, pipeline.as_str(), &new)?
        }
        (Some(_), false) => {
            let text = format!("the pipeline {pipeline} has a step {step} already");
            return Err(Failure::usage(anyhow::anyhow!(text))
                .hint("--replace puts this file in its place; --step gives the new step another name"));
        }
        (None, true) => {
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

/// Relative to the configuration when it lies below it, so that both can be moved together.
fn written_path(file: &Path, config: &Path) -> Result<String, Failure> {
    let file = fs::canonicalize(file)?;
    let base = config.parent().unwrap_or(Path::new("/"));
    let text = match file.strip_prefix(base) {
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

fn would_break(failure: Failure, candidate: &Path, config: &Path) -> Failure {
    let text = format!("{:#}", failure.error)
        .replace(&candidate.display().to_string(), &config.display().to_string());
    let error = anyhow::anyhow!("nothing was written, since the configuration would be wrong:\n{text}");
    Failure { exit: failure.exit, error, hint: failure.hint }
}

/// The changed configuration beside the present one, under another name; gone when dropped.
struct Candidate {
    path: PathBuf,
    place: PathBuf,
}

impl Candidate {
    fn write(place: &Path, text: &str) -> Result<Self, Failure> {
        let mut name = std::ffi::OsString::from(".");
        name.push(place.file_name().unwrap_or_default());
        name.push(format!(".{}", std::process::id()));
        let path = place.with_file_name(name);
        let wrong = |error| {
            Failure::new(Exit::CannotCreate, anyhow::anyhow!("cannot write {}: {error}", path.display()))
        };
        let present = fs::metadata(place)?;
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path).map_err(wrong)?;
        let candidate = Self { path: path.clone(), place: place.to_owned() };
        // Whoever could read the file, a service under a user of its own perhaps, can read it afterwards too.
        fchown(&file, Some(present.uid()), Some(present.gid())).map_err(wrong)?;
        file.set_permissions(present.permissions()).map_err(wrong)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(wrong)?;
        Ok(candidate)
    }

    /// As `postroom check` does.
    fn check(&self, sandbox: &Sandbox) -> Result<(), Failure> {
        let config = Config::load(&self.path)?;
        Live::build(config, sandbox)?;
        Ok(())
    }

    fn put_in_place(self, old: &str) -> Result<(), Failure> {
        if fs::read_to_string(&self.place)? != old {
            let text = format!(
                "nothing was written: {} was changed by somebody else meanwhile",
                self.place.display()
            );
            return Err(Failure::new(Exit::TemporaryFailure, anyhow::anyhow!(text))
                .hint("look at it, and run this again"));
        }
        fs::rename(&self.path, &self.place)?;
        File::open(self.place.parent().unwrap_or(Path::new("/")))?.sync_all()?;
        Ok(())
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // Gone already when it was put in place.
        let _ = fs::remove_file(&self.path);
    }
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
