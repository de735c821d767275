//! `postroom doctor`: is the state as it was written, and what to do where it is not. Examines by default; changes
//! something only with `--repair` or `--rebuild`, and deletes nothing even then.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use postroom_mail::rules::neutral;
use postroom_spool::{Findings, Rebuilt, Repaired, Severity, SqliteSpool};

use super::output::{self, count};
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome};
use crate::clock::Clock;

/// Arguments of `doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The state directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Move damaged files aside, bring in mail that was kept aside, mark damaged mail so that it is retrieved again.
    #[arg(long)]
    repair: bool,
    /// Make a new database from the mail in the segments, when there is none or it is damaged. What it brings back is set
    /// aside: `postroom queue retry` runs it again.
    #[arg(long, conflicts_with = "repair")]
    rebuild: bool,
    /// Run what a rebuilding brings back again at once. Sinks recognise what they stored; mail is sent a second time.
    #[arg(long, requires = "rebuild")]
    rerun: bool,
}

/// What `doctor --json` prints.
#[derive(serde::Serialize)]
struct Report {
    #[serde(flatten)]
    findings: Findings,
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<Repaired>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuilt: Option<Rebuilt>,
}

pub(super) fn doctor(context: &Context, args: &Args) -> Outcome {
    let state = match &args.state {
        Some(state) => state.clone(),
        None => context.load()?.1.state,
    };
    if !state.is_dir() {
        let text = format!("there is no state at {} yet: nothing was retrieved so far", state.display());
        return Err(Failure::new(Exit::NoInput, anyhow::anyhow!(text)).hint("run `postroom once` first"));
    }
    let now = Clock::system().now();
    let mut report = Report { findings: Findings::default(), repaired: None, rebuilt: None };
    if args.rebuild {
        let bar = bar("reading");
        let rebuilt =
            SqliteSpool::rebuild(&state, args.rerun, now, &mut |done, total| show(&bar, done, total));
        bar.finish_and_clear();
        report.rebuilt = Some(rebuilt.map_err(refused)?);
    } else if args.repair {
        let before = examine(&state)?;
        let repair = SqliteSpool::repair(&state, &before, now);
        report.repaired = Some(setup::runtime()?.block_on(repair).map_err(refused)?);
    }
    report.findings = examine(&state)?;
    let exit = match report.findings.worst() {
        Some(Severity::Damage) => Exit::Data,
        Some(Severity::Warning | Severity::Note) | None => Exit::Ok,
    };
    if context.json {
        output::json(&report)?;
    } else {
        print(&report);
    }
    Ok(exit)
}

fn refused(error: postroom_spool::Error) -> Failure {
    let hint = match &error {
        postroom_spool::Error::InUse { .. } => "a repair needs the state for itself; an examination does not",
        postroom_spool::Error::Conflict(what) => return Failure::usage(anyhow::anyhow!(what.clone())),
        postroom_spool::Error::Corrupt { .. } => "`postroom doctor --rebuild` makes a new database",
        _ => return Failure::from(error),
    };
    Failure::from(error).hint(hint)
}

fn examine(state: &Path) -> Result<Findings, Failure> {
    let bar = bar("examining");
    let findings = SqliteSpool::examine(state, &mut |done, total| show(&bar, done, total));
    bar.finish_and_clear();
    Ok(findings?)
}

/// A bar over octets, on a terminal only.
pub(super) fn bar(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{msg:12} [{bar:40}] {bytes}/{total_bytes} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(what);
    bar
}

/// Moves a bar.
pub(super) fn show(bar: &ProgressBar, done: u64, total: u64) {
    bar.set_length(total);
    bar.set_position(done);
}

fn print(report: &Report) {
    if let Some(rebuilt) = &report.rebuilt {
        print_rebuilt(rebuilt);
    }
    if let Some(repaired) = &report.repaired {
        print_repaired(repaired);
    }
    print_findings(&report.findings);
}

/// The findings, worst first, then the sum of it.
pub(super) fn print_findings(found: &Findings) {
    for finding in &found.findings {
        println!("{}: {}", word(finding.severity), neutral(&finding.what, 600));
        if let Some(remedy) = &finding.remedy {
            println!("  {remedy}");
        }
    }
    if !found.findings.is_empty() {
        println!();
    }
    let held = match (found.running, found.process) {
        (true, Some(process)) => format!("process {process} is working on it"),
        (true, None) => "a process is working on it".to_owned(),
        (false, _) => "no process is working on it".to_owned(),
    };
    let schema = found.schema.map_or("no readable database".to_owned(), |schema| format!("schema {schema}"));
    println!(
        "{}: {schema}, {}, {} read whole, {} of segments; {held}",
        found.state.display(),
        count(found.messages, "message", "messages"),
        count(found.sound, "body", "bodies"),
        output::size(found.octets),
    );
    println!(
        "{}",
        match found.worst() {
            Some(Severity::Damage) => "damaged",
            Some(Severity::Warning) => "sound, with warnings",
            Some(Severity::Note) | None => "sound",
        }
    );
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Damage => "damage",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn print_rebuilt(rebuilt: &Rebuilt) {
    println!(
        "made a new database: {}, {} known again",
        count(rebuilt.messages, "message", "messages"),
        count(rebuilt.known, "unique-id", "unique-ids")
    );
    if rebuilt.without_origin > 0 {
        println!(
            "{} of them do not say whose they are: they are under the account `recovered` until the server shows them again",
            rebuilt.without_origin
        );
    }
    if rebuilt.damaged > 0 {
        println!("{} in the segments could not be read", count(rebuilt.damaged, "place", "places"));
    }
    print_unread(&rebuilt.unread);
    if let Some(aside) = &rebuilt.aside {
        println!("the files of the old database are in {}", aside.display());
    }
    println!();
}

fn print_unread(unread: &[PathBuf]) {
    for path in unread {
        println!(
            "something in {} could not be read: a sweep may free its segment, this file stays until you delete it",
            path.display()
        );
    }
}

fn print_repaired(repaired: &Repaired) {
    for path in &repaired.moved {
        println!("moved aside: {}", path.display());
    }
    if let Some(aside) = &repaired.aside {
        println!("what was moved is in {}", aside.display());
    }
    print_unread(&repaired.unread);
    println!(
        "{} marked as damaged, {} brought in that the database did not know\n",
        count(repaired.marked, "message", "messages"),
        count(repaired.adopted, "message", "messages")
    );
}
