//! `postroom why MESSAGE`: everything known of one message.

use postroom_mail::rules::neutral;
use postroom_spool::{EffectState, History, MessageState};

use super::output::{self, moment};
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome};
use crate::config::Config;

/// Arguments of `why`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The beginning of the message's id, of its SHA-256, or its unique-id on the server.
    message: String,
}

pub(super) fn why(context: &Context, args: &Args) -> Outcome {
    let spool = context.read_spool()?;
    let (_, config) = context.load()?;
    let runtime = setup::runtime()?;
    let found = runtime.block_on(spool.find(&args.message))?;
    let message = match found.as_slice() {
        [one] => *one,
        [] => {
            let text = format!("no message here begins with {:?}", neutral(&args.message, 80));
            let hint = "an id, a SHA-256 or a unique-id; `postroom queue ls` and the names of archived files show some";
            return Err(Failure::new(Exit::NoInput, anyhow::anyhow!(text)).hint(hint));
        }
        several => {
            let ids: Vec<_> = several.iter().map(|id| id.0.short(16)).collect();
            let text = format!("{} messages begin so: {}", several.len(), ids.join(", "));
            return Err(Failure::usage(anyhow::anyhow!(text)).hint("give more digits"));
        }
    };
    let Some(history) = runtime.block_on(spool.history(message))? else {
        return Err(Failure::new(Exit::NoInput, anyhow::anyhow!("message {message} is not here")));
    };
    if context.json {
        output::json(&history)?;
    } else {
        print(&history, &config);
    }
    Ok(Exit::Ok)
}

fn print(history: &History, config: &Config) {
    let provenance = &history.provenance;
    println!("message   {}", history.message);
    println!("account   {}, unique-id {}", provenance.account, provenance.uid);
    println!("octets    {}, SHA-256 {}", provenance.size, provenance.digest);
    println!("retrieved {}", moment(provenance.retrieved));
    println!("state     {}{}", state(history.state), because(history.reason.as_deref()));
    println!("on server {}", on_server(history, config));
    if !history.labels.is_empty() {
        let labels: Vec<_> = history.labels.iter().map(ToString::to_string).collect();
        println!("labels    {}", labels.join(", "));
    }
    if !history.trace.is_empty() {
        println!("\nsteps");
    }
    for step in &history.trace {
        println!(
            "  {}: {} ({} µs, plugin {} {})",
            step.step,
            neutral(&step.outcome, 200),
            step.cpu_us,
            step.plugin,
            step.plugin_digest.short(12)
        );
        for line in &step.log {
            println!("    {} {}{}", line.level, line.message, fields(&line.fields));
        }
    }
    if !history.effects.is_empty() {
        println!("\neffects");
    }
    for record in &history.effects {
        println!("  {}", neutral(&record.effect.summary(), 300));
        println!("    {}{}", effect_state(record.state, record.attempts), because(record.reason.as_deref()));
        if let Some(receipt) = &record.receipt {
            println!("    receipt {} {}", neutral(&receipt.location, 300), neutral(&receipt.proof, 200));
        }
        if let Some(due) = record.due {
            println!("    due {}", moment(due));
        }
    }
    println!("\nhistory");
    for event in &history.events {
        println!("  {}  {}", moment(event.at), neutral(&event.text, 300));
    }
}

fn fields(fields: &[(String, String)]) -> String {
    fields.iter().map(|(name, value)| format!(" {name}={value}")).collect()
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {}", neutral(reason, 500))).unwrap_or_default()
}

fn state(state: MessageState) -> &'static str {
    match state {
        MessageState::Spooled => "waiting for the pipeline",
        MessageState::Running => "in the pipeline",
        MessageState::Planned => "being delivered",
        MessageState::Done => "done",
        MessageState::Discarded => "discarded",
        MessageState::Quarantined => "quarantined",
    }
}

fn effect_state(state: EffectState, attempts: u32) -> String {
    match state {
        EffectState::Pending if attempts == 0 => "waiting".to_owned(),
        EffectState::Pending => {
            format!("waiting after {}", output::count(attempts.into(), "attempt", "attempts"))
        }
        EffectState::Inflight => "being carried out".to_owned(),
        EffectState::Done => "done".to_owned(),
        EffectState::Parked => {
            format!("parked after {}", output::count(attempts.into(), "attempt", "attempts"))
        }
    }
}

/// Why it is, or is not yet, deleted there.
fn on_server(history: &History, config: &Config) -> String {
    use postroom_spool::DeletePolicy;
    let account = config.accounts.get(&history.provenance.account);
    if let Some(at) = history.removed {
        return format!("deleted, confirmed {}", moment(at));
    }
    if config.never_delete {
        return "kept: `never_delete` is on".to_owned();
    }
    match account.map(|account| account.delete) {
        None => "kept: its account is not configured any more".to_owned(),
        Some(DeletePolicy::Never) => "kept: `delete` is never".to_owned(),
        Some(DeletePolicy::Spooled { after }) => {
            format!("deleted by the first poll after {}", moment(history.provenance.retrieved.after(after)))
        }
        Some(DeletePolicy::Done { after, keep, over }) => match history.state {
            MessageState::Done if history.effects.is_empty() => "kept: no step made a copy of it".to_owned(),
            MessageState::Done | MessageState::Discarded => {
                let at = moment(history.provenance.retrieved.after(after));
                let keep =
                    keep.map(|keep| format!(", unless it is one of the newest {keep}")).unwrap_or_default();
                let over = over.map(|over| format!(", while the maildrop is over {}", output::size(over)));
                format!("deleted by the first poll after {at}{keep}{}", over.unwrap_or_default())
            }
            _ => "kept until every required effect has its receipt".to_owned(),
        },
    }
}
