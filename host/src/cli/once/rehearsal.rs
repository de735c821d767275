//! `postroom once --dry-run`: what a poll of every account would do to each message, and why.

use postroom_mail::rules::neutral;

use super::super::output::{self, Table};
use super::super::setup::{self, Context};
use super::super::{Exit, Outcome};
use super::{bar, messages, watch};
use crate::config::Config;
use crate::source::{Fate, Report};
use crate::supervise::{self, Summary};

pub(super) fn rehearse(context: &Context, config: Config) -> Outcome {
    let runtime = setup::runtime()?;
    let bar = bar();
    let host = setup::rehearsal(config, watch(bar.clone()))?;
    bar.set_message("listing");
    let summary = runtime.block_on(supervise::once(&host));
    bar.finish_and_clear();
    let summary = summary?;
    if context.json {
        output::json(&summary)?;
    } else {
        print(&summary);
    }
    Ok(exit(&summary))
}

fn print(summary: &Summary) {
    for (id, report) in &summary.accounts {
        println!("account {id}: {}", totals(report));
        if !report.rehearsed.is_empty() {
            println!();
            let mut table = Table::new(["UNIQUE-ID", "WOULD", "WHY"]);
            for line in &report.rehearsed {
                table.row([line.uid.clone(), fate(line.fate).to_owned(), line.why.clone()]);
            }
            table.print();
        }
        if let Some(held) = &report.held {
            println!("\n{id}: held, nothing would be done: {}", neutral(held, 500));
        }
        for remark in report.notes.iter().chain(&report.refused) {
            println!("\n{id}: {}", neutral(remark, 500));
        }
        if let (Some(error), Some(hint)) = (&report.error, &report.hint) {
            println!("\n{id}: {}\n  hint: {hint}", neutral(error, 300));
        }
        println!();
    }
    println!("nothing was retrieved, deleted, delivered or recorded");
}

fn totals(report: &Report) -> String {
    if report.error.is_some() {
        return "could not be looked at".to_owned();
    }
    let of = |fate| report.rehearsed.iter().filter(|line| line.fate == fate).count();
    format!(
        "{} on the server, would retrieve {}, delete {}, leave {}",
        messages(report.listed),
        of(Fate::Retrieve),
        of(Fate::Delete),
        of(Fate::Leave)
    )
}

fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Retrieve => "retrieve",
        Fate::Delete => "delete",
        Fate::Leave => "leave",
    }
}

/// As of a poll, but for what waits in the spool: a rehearsal does not touch that.
fn exit(summary: &Summary) -> Exit {
    let reports = || summary.accounts.values();
    if reports().any(|report| report.error.is_some() && report.needs_a_person) {
        Exit::Unavailable
    } else if reports().any(|report| report.error.is_some() || report.held.is_some()) {
        Exit::TemporaryFailure
    } else {
        Exit::Ok
    }
}
