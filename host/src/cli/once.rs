//! `postroom once`: a poll of every account with progress, then a table of what happened.

mod rehearsal;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::signal::unix::SignalKind;

use super::output::{self, Table};
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome, signals};
use crate::config::Config;
use crate::progress::{Observer, Progress};
use crate::source::{Report, Trouble};
use crate::supervise::{self, Host, Summary};

/// Arguments of `once`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only say what would be retrieved and deleted, and why; works beside a running host, and before there is any state.
    #[arg(long)]
    dry_run: bool,
    /// Delete nothing at any server this time, whatever the configuration says.
    #[arg(long)]
    never_delete: bool,
}

pub(super) fn once(context: &Context, args: &Args) -> Outcome {
    let (_, mut config) = context.load()?;
    config.never_delete |= args.never_delete;
    if args.dry_run {
        return rehearsal::rehearse(context, config);
    }
    let (_, summary) = perform(config)?;
    if context.json {
        output::json(&summary)?;
    } else {
        print(&summary);
    }
    Ok(exit(&summary))
}

/// Does it, showing progress; the caller prints.
pub(super) fn perform(config: Config) -> Result<(Arc<Host>, Summary), Failure> {
    let runtime = setup::runtime()?;
    let bar = bar();
    let host = setup::host(config, watch(bar.clone()))?;
    bar.set_message("connecting");
    let summary = runtime.block_on(async {
        // The terminal that goes away asks for an end too: nothing is reloaded here.
        let (terminate, interrupt) = (SignalKind::terminate(), SignalKind::interrupt());
        let stop = signals::stop(&[terminate, interrupt, SignalKind::quit(), SignalKind::hangup()])?;
        Ok::<_, Failure>(supervise::once_until(&host, stop).await?)
    });
    bar.finish_and_clear();
    runtime.shutdown_timeout(setup::HANGING);
    Ok((host, summary?))
}

fn bar() -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg:42} [{bar:30}] {pos}/{len} {elapsed}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar.set_message("compiling plugins");
    bar
}

/// The bar counts three steps a message: retrieved, processed, and one for each effect delivered.
fn watch(bar: ProgressBar) -> Observer {
    Observer::new(move |progress| match progress {
        Progress::Listed { account, new, total } => {
            bar.inc_length(new * 2);
            bar.set_message(format!("{account}: {new} new of {total}"));
        }
        Progress::Retrieved { account, octets } => {
            bar.inc(1);
            bar.set_message(format!("{account}: retrieved {}", output::size(octets)));
        }
        Progress::Planned { effects, .. } => {
            bar.inc_length(effects);
            bar.inc(1);
        }
        Progress::Settled { sink, done } => {
            bar.inc(1);
            bar.set_message(format!("{sink}: {}", if done { "delivered" } else { "waits" }));
        }
        Progress::Quarantined { message, reason } => {
            bar.println(format!(
                "set aside {}: {}",
                message.0.short(12),
                postroom_mail::rules::neutral(&reason, 120)
            ));
        }
        Progress::Refused { account, reason } => {
            bar.inc(2);
            bar.println(format!("{account}: {}", postroom_mail::rules::neutral(&reason, 160)));
        }
        Progress::Removed { account, count } => {
            bar.println(format!("{account}: {count} deleted on the server"))
        }
        Progress::Polled { account, error: Some(error) } => {
            bar.println(format!("{account}: {}", postroom_mail::rules::neutral(&error, 160)));
        }
        Progress::Polled { error: None, .. } => {}
    })
}

/// The table, then the totals, then what went wrong.
pub(super) fn print(summary: &Summary) {
    let mut table =
        Table::new(["ACCOUNT", "ON SERVER", "NEW", "RETRIEVED", "SIZE", "LEFT THERE", "DELETED", "RESULT"]);
    for (id, report) in &summary.accounts {
        table.row([
            id.to_string(),
            report.listed.to_string(),
            report.new.to_string(),
            report.retrieved.to_string(),
            output::size(report.octets),
            (report.refused.len() as u64 + report.refused_more).to_string(),
            report.removed.to_string(),
            result(report),
        ]);
    }
    table.print();
    let counts = &summary.counts;
    println!(
        "\n{} so far: {} done, {} discarded, {} quarantined, {} under way, {} waiting",
        output::count(counts.admitted, "message", "messages"),
        counts.done,
        counts.discarded,
        counts.quarantined,
        counts.planned,
        counts.waiting
    );
    println!(
        "{} delivered, {} waiting, {} parked",
        output::count(counts.effects_done, "effect", "effects"),
        counts.effects_open,
        counts.effects_parked
    );
    println!();
    for (id, tally) in &summary.tallies {
        super::status::tally(id, tally);
    }
    if summary.interrupted {
        println!("\nstopped before its end, as told: what was not done is done by the next run");
    }
    remarks(summary);
    for (id, report) in &summary.accounts {
        for refused in &report.refused {
            println!("\n{id}: {}", postroom_mail::rules::neutral(refused, 300));
        }
        if report.refused_more > 0 {
            println!("\n{id}: and {} more stay there", report.refused_more);
        }
        if let Some(error) = &report.error {
            println!("\n{id}: {}", postroom_mail::rules::neutral(error, 300));
        }
        if let (Some(_), Some(hint)) = (&report.error, &report.hint) {
            println!("  hint: {hint}");
        }
    }
    if counts.quarantined + counts.effects_open + counts.effects_parked > 0 {
        println!("\n`postroom queue ls` shows what waits and what was set aside, and why.");
    }
}

/// In one word; what went wrong is told below the table.
fn result(report: &Report) -> String {
    match (&report.error, &report.held) {
        (Some(_), _) => "failed".to_owned(),
        (None, Some(_)) => "held".to_owned(),
        (None, None) if report.more => "ok, more at the next poll".to_owned(),
        (None, None) => "ok".to_owned(),
    }
}

/// What is to be known beyond the counts.
fn remarks(summary: &Summary) {
    for (id, report) in &summary.accounts {
        if report.seeded > 0 {
            println!("\n{id}: {} marked as seen without being retrieved", messages(report.seeded));
        }
        if report.remapped > 0 {
            println!("\n{id}: {} known under new unique-ids, not retrieved again", messages(report.remapped));
        }
        if let Some(held) = &report.held {
            let done = match report.trouble {
                Some(Trouble::NoRoom) => "held, no more was retrieved",
                _ => "held, nothing was done",
            };
            println!("\n{id}: {done}: {}", postroom_mail::rules::neutral(held, 500));
        }
        for note in &report.notes {
            println!("\n{id}: {}", postroom_mail::rules::neutral(note, 500));
        }
    }
    for (sink, left) in &summary.left_alone {
        let reason = postroom_mail::rules::neutral(&left.reason, 500);
        let until = output::moment(left.until);
        println!("\nsink {sink} fails and is left alone until {until}; what is meant for it waits: {reason}");
    }
    for (step, reason) in &summary.paused {
        let reason = postroom_mail::rules::neutral(reason, 500);
        println!(
            "\nstep {step}: its plugin failed too often, so its pipeline is paused and mail waits: {reason}"
        );
        println!("  when that is mended: postroom plugin retry {step}");
    }
}

fn messages(number: u64) -> String {
    output::count(number, "message", "messages")
}

/// 69 when an account or a sink needs a person, 75 when something has to wait for another try, a listing is not believed, there is no
/// room, or it was told to stop.
pub(super) fn exit(summary: &Summary) -> Exit {
    if summary.interrupted {
        return Exit::TemporaryFailure;
    }
    let mut failed = summary.accounts.values().filter(|report| report.error.is_some()).peekable();
    if failed.peek().is_some() {
        return if failed.any(|report| report.needs_a_person) {
            Exit::Unavailable
        } else {
            Exit::TemporaryFailure
        };
    }
    if summary.left_alone.values().any(|left| left.needs_a_person) {
        return Exit::Unavailable;
    }
    if summary.accounts.values().any(|report| report.held.is_some()) || !summary.left_alone.is_empty() {
        return Exit::TemporaryFailure;
    }
    let counts = &summary.counts;
    if counts.effects_open + counts.waiting + counts.planned > 0 { Exit::TemporaryFailure } else { Exit::Ok }
}
