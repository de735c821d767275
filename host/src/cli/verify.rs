//! `postroom verify [SINK]`: manifests and objects held against each other, with progress; damage by name.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use postroom_mail::Name;
use postroom_mail::rules::neutral;
use postroom_spool::Spool;

use super::output::{self, count};
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::manifest::{self, Damage, Day, Progress, Range, Report, Verification};
use crate::sinks::{ManifestPlace, Sink};

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The sink; every one that has a manifest when not given.
    #[arg(value_parser = name_of)]
    sink: Option<Name>,
    /// The first day to look at, as 2026-11-24.
    #[arg(long, value_name = "DAY")]
    from: Option<Day>,
    /// The last day to look at.
    #[arg(long, value_name = "DAY")]
    to: Option<Day>,
    /// Read back only so many objects in a hundred, others each time; the chain is always followed whole.
    #[arg(long, value_name = "PERCENT")]
    sample: Option<f64>,
    /// A public key whose signatures count too, beside the state's own; as `postroom archive key` printed it.
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// First sign where the manifest stands now.
    #[arg(long)]
    sign: bool,
}

pub(super) fn verify(context: &Context, args: &Args) -> Outcome {
    let (_, config) = context.load()?;
    if args.sample.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
        return Err(Failure::usage(anyhow::anyhow!("--sample is a number from 0 to 100")));
    }
    let sinks = sinks(&config, args.sink.as_ref())?;
    let spool = setup::look_at_spool(&config)?;
    let reports = setup::runtime()?.block_on(all(&config, &*spool, args, &sinks))?;
    let damaged = reports.iter().any(|report| !report.damage.is_empty());
    if context.json {
        output::json(&serde_json::json!({ "sound": !damaged, "sinks": reports }))?;
    } else {
        reports.iter().for_each(print);
    }
    Ok(if damaged { Exit::Data } else { Exit::Ok })
}

/// A name on the command line.
pub(super) fn name_of(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

/// The sinks that have a manifest.
///
/// # Errors
/// When one cannot be made, or there is none.
pub(super) fn sinks(
    config: &Config,
    only: Option<&Name>,
) -> Result<BTreeMap<Name, (Arc<Sink>, ManifestPlace)>, Failure> {
    if let Some(name) = only.filter(|name| !config.sinks.contains_key(name)) {
        return Err(Failure::usage(anyhow::anyhow!("there is no sink {name}")));
    }
    let mut sinks = BTreeMap::new();
    for (name, written) in config.sinks.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)) {
        let sink =
            Sink::build(name, written, &config.base).map_err(|error| Failure::new(Exit::Config, error))?;
        if let Some(place) = sink.manifest(&config.state) {
            sinks.insert(name.clone(), (Arc::new(sink), place));
        }
    }
    if sinks.is_empty() {
        let text = match only {
            Some(name) => format!("sink {name} has no manifest"),
            None => "no sink has a manifest".to_owned(),
        };
        let hint =
            "`manifest = true` in a directory or s3 sink; what is stored there already gets its lines too";
        return Err(Failure::usage(anyhow::anyhow!(text)).hint(hint));
    }
    Ok(sinks)
}

async fn all(
    config: &Config,
    spool: &dyn Spool,
    args: &Args,
    sinks: &BTreeMap<Name, (Arc<Sink>, ManifestPlace)>,
) -> Result<Vec<Report>, Failure> {
    let now = Clock::system().now();
    let seed = u64::try_from(now.0).unwrap_or(0);
    let range = Range { from: args.from, to: args.to, sample: args.sample, seed };
    let mut reports = Vec::new();
    for (name, (sink, place)) in sinks {
        if args.sign {
            manifest::sign_now(place, name, &config.state, now)?;
        }
        let keys = manifest::keys_of(&config.state, &args.key);
        let keys = keys.map_err(|problem| Failure::usage(anyhow::anyhow!("--key {problem}")))?;
        // Before the lines are read, so that those written meanwhile are not missed in it.
        let standing = manifest::standing(spool, name).await?;
        let bar = bar(name);
        let verification = Verification { sink, place, keys: &keys, standing: standing.as_ref(), range };
        let report = verification
            .make(&|progress| match progress {
                Progress::Lines(lines) => bar.set_length(lines),
                Progress::Object => bar.inc(1),
            })
            .await;
        bar.finish_and_clear();
        reports.push(report.map_err(|error| {
            Failure::new(Exit::Io, anyhow::Error::new(error).context(format!("sink {name}")))
        })?);
    }
    Ok(reports)
}

fn bar(sink: &Name) -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    if let Ok(style) = ProgressStyle::with_template("{msg:20} [{bar:30}] {pos}/{len} objects, {eta} left") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(sink.to_string());
    bar
}

fn print(report: &Report) {
    let signed = report.signed.map_or("nothing is signed yet".to_owned(), |day| format!("signed to {day}"));
    let unsigned = match report.unsigned {
        0 => String::new(),
        more => format!(" and {} after it", count(more, "line", "lines")),
    };
    println!(
        "sink {}: {} in {}, {signed}{unsigned}; {} read back ({})",
        report.sink,
        count(report.lines, "line", "lines"),
        count(report.days, "day", "days"),
        count(report.objects, "object", "objects"),
        output::size(report.octets)
    );
    for damage in &report.damage {
        println!("  DAMAGE {}: {}", name(damage), neutral(&damage.text, 500));
        if let (Some(expected), Some(actual)) = (&damage.expected, &damage.actual) {
            println!("    expected {}\n    found    {}", neutral(expected, 200), neutral(actual, 200));
        }
    }
    for warning in &report.warnings {
        println!("  {}: {}", name(warning), neutral(&warning.text, 500));
    }
    match report.damage.len() {
        0 => println!("  sound"),
        some => println!("  {} damaged", count(some as u64, "thing is", "things are")),
    }
}

fn name(damage: &Damage) -> String {
    let name = serde_json::to_value(damage.kind).ok();
    name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}
