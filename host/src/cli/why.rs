//! `postroom why MESSAGE`: everything known of one message.

use postroom_mail::rules::neutral;
use postroom_mail::{MessageId, Timestamp};
use postroom_spool::{DeletePolicy, EffectRecord, EffectState, History, MessageState, Outlook, Spool, Why};

use super::output::{self, moment};
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome};
use crate::clock::Clock;
use crate::config::Config;
use crate::source::policy_of;

/// Arguments of `why`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The beginning of the message's id, of its SHA-256, or its unique-id on the server.
    message: String,
}

/// Everything known of a message, for people and programs.
#[derive(serde::Serialize)]
pub(super) struct Known {
    #[serde(flatten)]
    history: History,
    /// What becomes of it at the server, by the rule of deletion.
    on_server: Vec<String>,
}

pub(super) fn why(context: &Context, args: &Args) -> Outcome {
    let spool = context.read_spool()?;
    let (_, config) = context.load()?;
    let known = setup::runtime()?.block_on(async {
        let message = find(spool.as_ref(), &args.message).await?;
        know(spool.as_ref(), &config, message).await
    })?;
    if context.json {
        output::json(&known)?;
    } else {
        print(&known);
    }
    Ok(Exit::Ok)
}

/// The one message that is meant.
///
/// # Errors
/// When it is none, or not one alone.
pub(super) async fn find(spool: &dyn Spool, text: &str) -> Result<MessageId, Failure> {
    match spool.find(text).await?.as_slice() {
        [one] => Ok(*one),
        [] => {
            let text = format!("no message here begins with {:?}", neutral(text, 80));
            let hint = "an id, a SHA-256 or a unique-id; `postroom queue ls` and the names of archived files show some";
            Err(Failure::new(Exit::NoInput, anyhow::anyhow!(text)).hint(hint))
        }
        several => {
            let ids: Vec<_> = several.iter().map(|id| id.0.short(16)).collect();
            let text = format!("{} messages begin so: {}", several.len(), ids.join(", "));
            Err(Failure::usage(anyhow::anyhow!(text)).hint("give more digits"))
        }
    }
}

/// Gathers it.
///
/// # Errors
/// When it is not here.
pub(super) async fn know(spool: &dyn Spool, config: &Config, message: MessageId) -> Result<Known, Failure> {
    let Some(history) = spool.history(message).await? else {
        return Err(Failure::new(Exit::NoInput, anyhow::anyhow!("message {message} is not here")));
    };
    let on_server = on_server(spool, config, &history).await?;
    Ok(Known { history, on_server })
}

pub(super) fn print(known: &Known) {
    let history = &known.history;
    let provenance = &history.provenance;
    println!("message   {}", history.message);
    println!("account   {}, unique-id {}", provenance.account, provenance.uid);
    println!("octets    {}, SHA-256 {}", provenance.size, provenance.digest);
    println!("retrieved {}", moment(provenance.retrieved));
    println!("state     {}{}", state(history.state), because(history.reason.as_deref()));
    for (index, line) in known.on_server.iter().enumerate() {
        println!("{} {}", if index == 0 { "on server" } else { "         " }, neutral(line, 500));
    }
    if let Some(at) = history.dropped {
        println!("dropped   {}; `queue retry` takes it back while its octets are here", moment(at));
    }
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
        println!("    {}{}", effect_state(record), because(record.reason.as_deref()));
        if let Some(receipt) = &record.receipt {
            println!("    receipt {} {}", neutral(&receipt.location, 300), neutral(&receipt.proof, 200));
        }
        if record.doubts > 0 {
            let doubts = output::count(record.doubts.into(), "attempt", "attempts");
            println!("    in doubt: {doubts} may have arrived without an answer");
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

pub(super) fn state(state: MessageState) -> &'static str {
    match state {
        MessageState::Spooled => "waiting for the pipeline",
        MessageState::Running => "in the pipeline",
        MessageState::Planned => "being delivered",
        MessageState::Done => "done",
        MessageState::Discarded => "discarded",
        MessageState::Quarantined => "quarantined",
    }
}

fn effect_state(record: &EffectRecord) -> String {
    let attempts = record.attempts;
    match record.state {
        EffectState::Parked if record.waived.is_some() => "let go by the operator".to_owned(),
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

/// Why it is, or is not yet, deleted there: what the rule of deletion itself says.
async fn on_server(spool: &dyn Spool, config: &Config, history: &History) -> Result<Vec<String>, Failure> {
    let account = config.accounts.get(&history.provenance.account);
    let Some(account) = account else {
        let gone = "kept: its account is not configured any more; the name of an account is part of what it retrieved".to_owned();
        return Ok(vec![history.removed.map_or(gone, confirmed)]);
    };
    let policy = policy_of(config, account);
    let outlooks = spool.outlook(history.message, policy, Clock::system().now()).await?;
    if outlooks.is_empty() {
        let unknown = "not known to be there: the ledger has no entry for it".to_owned();
        return Ok(vec![history.removed.map_or(unknown, confirmed)]);
    }
    let own = &history.provenance.uid;
    Ok(outlooks.iter().map(|outlook| place(outlook, policy, outlook.uid != *own)).collect())
}

fn confirmed(at: Timestamp) -> String {
    format!("deleted, confirmed {}", moment(at))
}

fn place(outlook: &Outlook, policy: DeletePolicy, renamed: bool) -> String {
    let name = if renamed { format!("as {}: ", outlook.uid) } else { String::new() };
    if let Some(at) = outlook.removed {
        return format!("{name}{}", confirmed(at));
    }
    let absent = match outlook.absent {
        0 => String::new(),
        times => format!("not in the last {}; ", output::count(times.into(), "listing", "listings")),
    };
    let fate = match outlook.kept {
        Some(why @ Why::TooYoung { until }) => format!("kept until {}: {why}", moment(until)),
        Some(why) => format!("kept: {why}"),
        None => format!("to be deleted by the next poll{}", unless(policy)),
    };
    format!("{name}{absent}{fate}")
}

/// What only a listing can tell.
fn unless(policy: DeletePolicy) -> String {
    let DeletePolicy::Done { keep, over, .. } = policy else { return String::new() };
    let keep = keep.map(|keep| format!(", unless it is one of the newest {keep}"));
    let over = over.map(|over| format!(", while the maildrop is over {}", output::size(over)));
    keep.into_iter().chain(over).collect()
}
