//! `postroom queue retry`, `release` and `drop`: by name or by filter, said before it is done, alone on the state or by
//! asking the host that runs on it.

use std::sync::Arc;

use postroom_mail::MessageId;
use postroom_spool::{Decided, Refusal, Selected, Spool, SqliteSpool};

use super::super::account::spinner;
use super::super::output::{self, count};
use super::super::setup::{self, Context};
use super::super::{Exit, Failure, Outcome};
use super::chosen::{self, Choice};
use super::name;
use crate::clock::Clock;
use crate::config::Config;
use crate::requests::{self, AskError, Deed, Request};

/// Arguments of the verbs that change something.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    choice: Choice,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    /// Do it, also when it is about more than one named message.
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

pub(super) fn act(context: &Context, deed: Deed, args: &Args) -> Outcome {
    if args.choice.is_empty() {
        let hint = "name a message, or say which with --account, --sink, --state, --reason or --older";
        return Err(Failure::usage(anyhow::anyhow!("{} of what?", word(deed))).hint(hint));
    }
    let sink = name(&args.choice.sink)?;
    if deed == Deed::Drop && sink.is_some() {
        let hint = "`queue release MESSAGE --sink SINK` lets go of one effect";
        return Err(Failure::usage(anyhow::anyhow!("a message is dropped as a whole")).hint(hint));
    }
    let (_, config) = context.load()?;
    let looked_at = context.read_spool()?;
    let runtime = setup::runtime()?;
    let selected = runtime.block_on(args.choice.select(looked_at.as_ref()))?;
    drop(looked_at);
    if args.dry_run || !(args.yes || args.choice.is_one()) {
        return rehearse(context, deed, args, &selected);
    }
    if selected.is_empty() {
        let text = "no message fits: nothing was changed";
        return Err(Failure::new(Exit::NoInput, anyhow::anyhow!(text))
            .hint("`postroom queue ls` shows what there is"));
    }
    let messages: Vec<_> = selected.iter().map(|one| one.message).collect();
    let decided = runtime.block_on(async {
        let way = Way::open(&config)?;
        let bar = spinner(word(deed));
        bar.set_length(messages.len() as u64);
        let mut decided = Vec::with_capacity(messages.len());
        for slice in messages.chunks(requests::MOST) {
            let at = Clock::system().now();
            let request = Request { deed, messages: slice.to_vec(), sink: sink.clone(), at };
            match way.carry_out(request).await {
                Ok(more) => decided.extend(more),
                Err(failure) if decided.is_empty() => return Err(failure),
                Err(failure) => {
                    bar.finish_and_clear();
                    let (done, all) = (decided.len(), messages.len());
                    return Err(Failure {
                        error: failure.error.context(format!("{done} of {all} messages were done before")),
                        ..failure
                    });
                }
            }
            bar.set_message(format!("{} of {}", decided.len(), messages.len()));
        }
        bar.finish_and_clear();
        Ok::<_, Failure>(decided)
    })?;
    tell(context, deed, &selected, &decided)
}

/// How the state is reached.
enum Way {
    /// Nobody else has it.
    Alone(Arc<dyn Spool>),
    /// Through the host that runs on it.
    Ask(std::path::PathBuf),
}

impl Way {
    fn open(config: &Config) -> Result<Self, Failure> {
        match SqliteSpool::open(&config.state) {
            Ok(spool) => Ok(Self::Alone(Arc::new(spool))),
            Err(postroom_spool::Error::InUse { .. }) => Ok(Self::Ask(config.state.clone())),
            Err(error) => Err(error.into()),
        }
    }

    async fn carry_out(&self, request: Request) -> Result<Vec<Decided>, Failure> {
        match self {
            Self::Alone(spool) => {
                let now = request.at;
                Ok(requests::perform(spool.as_ref(), request, now).await?)
            }
            Self::Ask(state) => requests::ask(state, &request).await.map_err(|error| {
                let hint = match &error {
                    AskError::NotTaken => {
                        "it is `once`, or is just starting or ending: try again when it has ended"
                    }
                    AskError::NoAnswer => "see what it logs, then repeat this",
                    AskError::Failed(_) => "see what it logs",
                    AskError::Files { .. } => "run this as the user the host runs as",
                };
                Failure::new(Exit::TemporaryFailure, error).hint(hint)
            }),
        }
    }
}

fn rehearse(context: &Context, deed: Deed, args: &Args, selected: &[Selected]) -> Outcome {
    if context.json {
        output::json(&serde_json::json!({ "verb": deed, "done": false, "selected": selected }))?;
        return Ok(Exit::Ok);
    }
    if selected.is_empty() {
        println!("no message fits");
        return Ok(Exit::Ok);
    }
    println!("would {} {}:\n", word(deed), messages(selected.len()));
    chosen::print(selected);
    println!("\nnothing was changed");
    if !args.dry_run {
        println!("to do it, add --yes");
    }
    Ok(Exit::Ok)
}

fn tell(context: &Context, deed: Deed, selected: &[Selected], decided: &[Decided]) -> Outcome {
    let refused: Vec<(MessageId, Refusal)> = decided
        .iter()
        .filter_map(|decided| decided.outcome.as_ref().err().map(|refusal| (decided.message, *refusal)))
        .collect();
    let done = decided.len() - refused.len();
    if context.json {
        let rows: Vec<_> = decided
            .iter()
            .map(|decided| match &decided.outcome {
                Ok(what) => serde_json::json!({ "message": decided.message, "what": what }),
                Err(why) => {
                    serde_json::json!({ "message": decided.message, "refused": why, "why": why.to_string() })
                }
            })
            .collect();
        output::json(&serde_json::json!({
            "verb": deed, "done": true, "selected": selected, "decided": rows, "changed": done, "refused": refused.len(),
        }))?;
    } else {
        print(deed, decided, done);
    }
    Ok(match refused.as_slice() {
        [] => Exit::Ok,
        some if some.iter().any(|(_, why)| *why == Refusal::Busy) => Exit::TemporaryFailure,
        _ => Exit::Data,
    })
}

fn print(deed: Deed, decided: &[Decided], done: usize) {
    for one in decided {
        let message = one.message.0.short(12);
        match &one.outcome {
            Ok(what) => println!("{message}: {}", postroom_mail::rules::neutral(what, 200)),
            Err(why) => println!("{message}: not changed: {why}"),
        }
    }
    println!("{}{} of {}", if decided.is_empty() { "" } else { "\n" }, done_word(deed), messages(done));
    if deed == Deed::Drop && done > 0 {
        println!("`postroom queue retry` takes them back until their octets are freed, see `keep_bodies`");
    }
}

fn messages(number: usize) -> String {
    count(number as u64, "message", "messages")
}

fn word(deed: Deed) -> &'static str {
    match deed {
        Deed::Retry => "retry",
        Deed::Release => "release",
        Deed::Drop => "drop",
    }
}

fn done_word(deed: Deed) -> &'static str {
    match deed {
        Deed::Retry => "another try",
        Deed::Release => "release",
        Deed::Drop => "drop",
    }
}
