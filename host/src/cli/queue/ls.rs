//! `postroom queue ls`: what waits and what was set aside, and why.

use std::collections::BTreeSet;

use postroom_spool::{EffectState, MessageState, QueueFilter, QueueRow};

use super::super::output::{self, Table, moment};
use super::super::setup::{self, Context};
use super::super::{Exit, Outcome};
use super::name;
use crate::config::Config;

/// Arguments of `queue ls`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this account.
    #[arg(long)]
    account: Option<String>,
    /// Only effects of this sink.
    #[arg(long)]
    sink: Option<String>,
    /// At most so many; 0 shows all.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

pub(super) fn ls(context: &Context, args: &Args) -> Outcome {
    let Args { account, sink, limit } = args;
    let more = if *limit == 0 { 0 } else { limit.saturating_add(1) };
    let filter = QueueFilter { account: name(account)?, sink: name(sink)?, limit: more };
    let (_, config) = context.load()?;
    let spool = context.read_spool()?;
    let mut rows = setup::runtime()?.block_on(spool.queue(filter))?;
    let cut = *limit > 0 && rows.len() > *limit;
    if cut {
        rows.truncate(*limit);
    }
    if context.json {
        output::json(&rows)?;
    } else {
        print(&rows, cut);
        homeless(&rows, &config);
    }
    Ok(Exit::Ok)
}

fn print(rows: &[QueueRow], cut: bool) {
    if rows.is_empty() {
        println!("nothing waits, nothing was set aside");
        return;
    }
    let mut table = Table::new(["MESSAGE", "ACCOUNT", "STATE", "WHAT", "TRIES", "DUE", "REASON"]);
    for row in rows {
        table.row([
            row.message.0.short(12),
            row.account.to_string(),
            state(row).to_owned(),
            row.summary.clone().unwrap_or_else(|| "the message".to_owned()),
            row.attempts.to_string(),
            row.due.map(moment).unwrap_or_default(),
            row.reason.clone().unwrap_or_default(),
        ]);
    }
    table.print();
    if cut {
        println!("and more: --limit 0 shows all");
    }
    println!("\n`postroom queue show MESSAGE` shows everything known of one;");
    println!("`queue retry`, `release`, `drop` and `export` act on it.");
}

/// What waits for something that is not configured any more waits for ever, unless somebody is told.
fn homeless(rows: &[QueueRow], config: &Config) {
    let sinks: BTreeSet<_> = rows.iter().filter_map(|row| row.sink.as_ref()).collect();
    for sink in sinks.into_iter().filter(|sink| !config.sinks.contains_key(*sink)) {
        println!(
            "\nsink {sink} is not in the configuration: nothing for it is lost, it waits. Add it back, or let go of what waits \
             with `postroom queue release --sink {sink} --yes`"
        );
    }
    let accounts: BTreeSet<_> = rows.iter().map(|row| &row.account).collect();
    for account in accounts.into_iter().filter(|account| !config.accounts.contains_key(*account)) {
        println!(
            "\naccount {account} is not in the configuration: its mail here is kept. Add it back under this name, or see \
             `postroom queue export` and `drop` with --account {account}"
        );
    }
}

fn state(row: &QueueRow) -> &'static str {
    match row.effect_state {
        Some(EffectState::Pending) => "waiting",
        Some(EffectState::Inflight) => "under way",
        Some(EffectState::Parked) => "parked",
        Some(EffectState::Done) => "done",
        None => match row.state {
            MessageState::Spooled => "waiting",
            MessageState::Running => "running",
            MessageState::Planned => "planned",
            MessageState::Done => "done",
            MessageState::Discarded => "discarded",
            MessageState::Quarantined => "quarantined",
        },
    }
}
