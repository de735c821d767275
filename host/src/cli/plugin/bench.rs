//! `postroom plugin bench`: what one call costs, each in a fresh instance as in the host.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};
use postroom_fixture::Conditions;
use serde::Serialize;

use super::super::output::{self, Table};
use super::super::setup::Context;
use super::super::{Exit, Failure, Outcome};
use super::mails::{self, Mail};
use super::project::Project;
use super::trial::Trial;

/// Arguments of `plugin bench`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A project's directory (its component as it was built last), the path of a .wasm file, or a bundled plugin's name.
    plugin: String,
    /// The mail to handle: a file, or a directory of .eml files.
    #[arg(long, value_name = "FILE|DIRECTORY")]
    mail: PathBuf,
    /// Calls for each mail.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// Settings, grants and limits, as in a project's fixtures/fixture.toml [default: that of the project].
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
}

/// What one mail costs.
#[derive(Serialize)]
struct Cost {
    mail: String,
    octets: u64,
    calls: u64,
    cpu_median_ns: u64,
    cpu_p99_ns: u64,
    fuel: Option<u64>,
    peak_memory: u64,
    host_calls: u64,
    decided: Vec<String>,
    failed: bool,
}

pub(super) fn bench(context: &Context, args: &Args) -> Outcome {
    let (octets, conditions) = subject(args)?;
    let mails = mails::read(&args.mail)?;
    let timed = Trial::new(&super::sandbox()?, &octets, &conditions)?;
    // An engine of its own: counting makes guests slower.
    let counted = Trial::new(&super::counting_sandbox()?, &octets, &conditions)?;
    let bar = bar(mails.len() as u64 * u64::from(args.count));
    let costs = mails.iter().map(|mail| measure(&timed, &counted, mail, args.count, &bar));
    let costs = costs.collect::<Result<Vec<_>, _>>()?;
    bar.finish_and_clear();
    if context.json {
        output::json(&serde_json::json!({ "plugin": args.plugin, "octets": octets.len(), "costs": costs }))?;
    } else {
        print(&costs, args.count);
    }
    Ok(if costs.iter().any(|cost| cost.failed) { Exit::Data } else { Exit::Ok })
}

/// The component and the conditions it is run under.
fn subject(args: &Args) -> Result<(Vec<u8>, Conditions), Failure> {
    let path = Path::new(&args.plugin);
    let given = args.with.as_deref().map(Conditions::read).transpose()?;
    if path.is_dir() {
        let project = Project::open(path)?;
        let octets = super::read_file(&project.component())
            .map_err(|failure| failure.hint("build it first: `postroom plugin build`"))?;
        return Ok((octets, given.map_or_else(|| project.conditions(), Ok)?));
    }
    let octets = super::read(&super::named(&args.plugin)?)?;
    Ok((octets, given.unwrap_or_default()))
}

fn measure(
    timed: &Trial,
    counted: &Trial,
    mail: &Mail,
    count: u32,
    bar: &ProgressBar,
) -> Result<Cost, Failure> {
    bar.set_message(mail.name.clone());
    let provenance = timed.provenance(&mail.octets)?;
    let fuel = counted.fuel(&provenance, &mail.octets);
    // The first call pays for what all later ones find warm.
    let first = timed.run(&provenance, &mail.octets);
    let mut cpu: Vec<Duration> = Vec::new();
    for _ in 0..count {
        cpu.push(timed.run(&provenance, &mail.octets).usage.cpu);
        bar.inc(1);
    }
    cpu.sort();
    let at = |part: usize| {
        let cpu = cpu.get((cpu.len() * part / 100).min(cpu.len() - 1)).copied().unwrap_or_default();
        u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX)
    };
    Ok(Cost {
        mail: mail.name.clone(),
        octets: provenance.size,
        calls: count.into(),
        cpu_median_ns: at(50),
        cpu_p99_ns: at(99),
        fuel,
        peak_memory: first.usage.peak_memory,
        host_calls: first.usage.host_calls,
        decided: first.lines,
        failed: first.failed,
    })
}

fn bar(calls: u64) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    ProgressBar::with_draw_target(Some(calls), target)
}

fn print(costs: &[Cost], count: u32) {
    println!("{count} calls for each mail, each in a fresh instance\n");
    let mut table =
        Table::new(["MAIL", "OCTETS", "CPU MEDIAN", "CPU P99", "FUEL", "MEMORY", "HOST CALLS", "DECIDED"]);
    for cost in costs {
        table.row([
            cost.mail.clone(),
            cost.octets.to_string(),
            micros(cost.cpu_median_ns),
            micros(cost.cpu_p99_ns),
            cost.fuel.map_or_else(|| "-".to_owned(), |fuel| fuel.to_string()),
            output::size(cost.peak_memory),
            cost.host_calls.to_string(),
            cost.decided.join("; "),
        ]);
    }
    table.print();
    println!("\nfuel counts instructions: it is the same on every machine and at every run");
    println!("parsing the MIME structure is the host's, done once for all steps, and not counted");
}

fn micros(nanoseconds: u64) -> String {
    format!("{}.{} µs", nanoseconds / 1000, nanoseconds % 1000 / 100)
}
