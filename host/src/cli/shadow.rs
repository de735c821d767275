//! `postroom plugin shadow`: what candidates would have decided differently, as the running host compared it. Reads only.

use postroom_mail::Name;
use postroom_mail::rules::neutral;
use serde::Serialize;

use super::output::{self, count, moment};
use super::setup::Context;
use super::{Exit, Failure, Outcome};
use crate::config::{Config, StepConfig};
use crate::pipeline::Report;

/// Arguments of `plugin shadow`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The step, or PIPELINE/STEP [default: every step with a candidate].
    step: Option<String>,
}

/// The answer for programs.
#[derive(Serialize)]
struct Shown {
    pipeline: Name,
    step: Name,
    /// What decides.
    plugin: String,
    /// What does not.
    shadow: String,
    /// Messages that were compared.
    messages: u64,
    /// What was found; nothing when no message was compared yet.
    report: Option<Report>,
}

pub(super) fn shadow(context: &Context, args: &Args) -> Outcome {
    let (_, config) = context.load()?;
    let steps = match &args.step {
        Some(wanted) => vec![find(&config, wanted)?],
        None => with_candidates(&config),
    };
    let shown: Vec<Shown> = steps.into_iter().map(|(pipeline, step)| show(&config, pipeline, step)).collect();
    if context.json {
        output::json(&shown)?;
    } else {
        print(&shown);
    }
    Ok(Exit::Ok)
}

fn with_candidates(config: &Config) -> Vec<(&Name, &StepConfig)> {
    let pipelines = config.pipelines.iter();
    let steps = pipelines.flat_map(|(name, pipeline)| pipeline.steps.iter().map(move |step| (name, step)));
    steps.filter(|(_, step)| step.shadow.is_some()).collect()
}

/// The one step with a candidate that is meant.
///
/// # Errors
/// When it is none, or not one alone.
pub(super) fn find<'a>(config: &'a Config, wanted: &str) -> Result<(&'a Name, &'a StepConfig), Failure> {
    let all = with_candidates(config);
    match meant(&all, wanted).as_slice() {
        [one] => Ok(*one),
        [] if all.is_empty() => {
            let failure = Failure::usage(anyhow::anyhow!("no step has a candidate"));
            Err(failure.hint("name one in the configuration: shadow = \"./next.wasm\""))
        }
        [] => {
            let text =
                format!("no step {:?} has a candidate (there are {})", neutral(wanted, 80), names(&all));
            Err(Failure::usage(anyhow::anyhow!(text)))
        }
        several => {
            let text = format!("several steps have that name: {}", names(several));
            Err(Failure::usage(anyhow::anyhow!(text)).hint("name the pipeline too: PIPELINE/STEP"))
        }
    }
}

/// The steps among `all` that a name means: STEP, or PIPELINE/STEP.
pub(super) fn meant<'a>(all: &[(&'a Name, &'a StepConfig)], wanted: &str) -> Vec<(&'a Name, &'a StepConfig)> {
    let is_meant = |(pipeline, step): &&(&Name, &StepConfig)| {
        step.name.as_str() == wanted || format!("{pipeline}/{}", step.name) == wanted
    };
    all.iter().filter(is_meant).copied().collect()
}

/// The names of steps, in one line.
pub(super) fn names(steps: &[(&Name, &StepConfig)]) -> String {
    let names = steps.iter().map(|(pipeline, step)| format!("{pipeline}/{}", step.name));
    names.collect::<Vec<_>>().join(", ")
}

fn show(config: &Config, pipeline: &Name, step: &StepConfig) -> Shown {
    let report = Report::read(&config.state, pipeline, &step.name).ok();
    Shown {
        pipeline: pipeline.clone(),
        step: step.name.clone(),
        plugin: step.plugin.to_string(),
        shadow: step.shadow.as_ref().map(|shadow| shadow.plugin.to_string()).unwrap_or_default(),
        messages: report.as_ref().map_or(0, Report::messages),
        report,
    }
}

fn print(all: &[Shown]) {
    if all.is_empty() {
        println!("no step has a candidate; name one in the configuration: shadow = \"./next.wasm\"");
    }
    for (index, shown) in all.iter().enumerate() {
        if index > 0 {
            println!();
        }
        println!(
            "step {}/{}: {} decides, {} runs beside it",
            shown.pipeline, shown.step, shown.plugin, shown.shadow
        );
        match &shown.report {
            None => println!("  no message was compared yet"),
            Some(report) => print_report(report),
        }
    }
}

fn print_report(report: &Report) {
    let (current, candidate) = (report.current.digest.short(12), report.candidate.digest.short(12));
    println!("  {current} against {candidate}, since {}", moment(report.since));
    println!("  {}", summary(report));
    if report.unknown > 0 {
        let messages = count(report.unknown, "message", "messages");
        println!("  {messages} could not be compared, because the host was short of something");
    }
    for one in &report.first {
        println!("\n  {}  {}", one.message.0.short(16), moment(one.at));
        one.minus.iter().for_each(|line| println!("    - {}", neutral(line, 300)));
        one.plus.iter().for_each(|line| println!("    + {}", neutral(line, 300)));
    }
    let more = report.different.saturating_sub(report.first.len() as u64);
    if more > 0 {
        println!("\n  and {} more", grouped(more));
    }
}

/// `of 1,234 messages 3 would be decided differently`.
pub(super) fn summary(report: &Report) -> String {
    let (messages, different) = (report.messages(), report.different);
    let failed = match report.failed {
        0 => String::new(),
        failed => format!(" (on {} of them the candidate fails)", grouped(failed)),
    };
    let noun = if messages == 1 { "message" } else { "messages" };
    let different = if different == 0 { "none".to_owned() } else { grouped(different) };
    format!("of {} {noun} {different} would be decided differently{failed}", grouped(messages))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, shown) in [(0, "0"), (999, "999"), (1234, "1,234"), (1_000_000, "1,000,000")] {
            assert_eq!(grouped(number), shown);
        }
    }
}
