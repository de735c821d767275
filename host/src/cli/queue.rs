//! `postroom queue ls`: what waits and what was set aside, and why.

use postroom_mail::Name;
use postroom_spool::{EffectState, MessageState, QueueFilter, QueueRow};

use super::output::{self, Table, moment};
use super::setup::{self, Context};
use super::{Exit, Outcome};

/// The verbs of `queue`.
#[derive(Debug, clap::Subcommand)]
pub enum Verb {
    /// List messages and effects that wait, are being tried again, or were set aside.
    Ls {
        /// Only this account.
        #[arg(long)]
        account: Option<String>,
        /// Only effects of this sink.
        #[arg(long)]
        sink: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
}

pub(super) fn queue(context: &Context, verb: &Verb) -> Outcome {
    let Verb::Ls { account, sink, limit } = verb;
    let name = |text: &Option<String>| text.clone().map(Name::new).transpose().map_err(super::Failure::usage);
    let filter = QueueFilter { account: name(account)?, sink: name(sink)?, limit: *limit };
    let spool = context.read_spool()?;
    let rows = setup::runtime()?.block_on(spool.queue(filter))?;
    if context.json {
        output::json(&rows)?;
    } else {
        print(&rows);
    }
    Ok(Exit::Ok)
}

fn print(rows: &[QueueRow]) {
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
    println!("\n`postroom why MESSAGE` shows everything known of one.");
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
