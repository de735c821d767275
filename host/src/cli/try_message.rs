//! `postroom try FILE.eml`: the same chain as `run`, with the journal replaced by the printer. Sends nothing, keeps nothing, and calls
//! nobody unless told to.

use std::io::Read;
use std::path::PathBuf;

use postroom_mail::rules::neutral;
use postroom_mail::{AccountId, Digest, Plan, Provenance, Uid, Verdict};
use tokio::runtime::Runtime;

use super::output::{self, Table};
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome, compiled};
use crate::clock::Clock;
use crate::live::Live;
use crate::pipeline::{self, RunFailure};

/// Arguments of `try`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The message: a file with its raw octets, or - for standard input.
    file: PathBuf,
    /// As if it came from this account [default: the first].
    #[arg(long)]
    account: Option<String>,
    /// As if the server had given it this unique-id.
    #[arg(long, default_value = "try")]
    uidl: String,
    /// Make the calls that plugins ask of `[fetch]` targets; without this they are refused.
    #[arg(long)]
    fetch: bool,
}

pub(super) fn try_message(context: &Context, args: &Args) -> Outcome {
    let (_, config) = context.load()?;
    let octets = read(&args.file)?;
    let account = choose(&config, args.account.as_deref())?;
    let provenance = Provenance {
        account,
        uid: Uid(args.uidl.clone().into_bytes()),
        ordinal: 0,
        digest: Digest::of(&octets),
        size: octets.len() as u64,
        retrieved: Clock::system().now(),
    };
    let cache = compiled::beside(&config.state);
    let sandbox = setup::sandbox(cache.as_deref(), 1, config.limits.compile)?;
    // Calls wait for a runtime; nothing else here does.
    let runtime = if args.fetch { Some(setup::runtime()?) } else { None };
    let _entered = runtime.as_ref().map(Runtime::enter);
    let live = match args.fetch {
        true => Live::build(config, &sandbox)?,
        false => Live::build_without_calls(
            config,
            &sandbox,
            "this is a dry run, which makes no calls unless `--fetch` is given",
        )?,
    };
    let Some(decided) = pipeline::dry_run(&live.plugins, &provenance, octets) else {
        return Err(Failure::new(
            Exit::Config,
            anyhow::anyhow!("account {} has no pipeline", provenance.account),
        ));
    };
    match decided {
        Ok(plan) => {
            if context.json {
                output::json(
                    &serde_json::json!({ "message": provenance.message(), "provenance": provenance, "plan": plan }),
                )?;
            } else {
                print_plan(&provenance, &plan);
            }
            Ok(Exit::Ok)
        }
        Err(failure) => {
            if context.json {
                output::json(&serde_json::json!({
                    "message": provenance.message(), "provenance": provenance,
                    "failure": failure.to_string(), "disposition": failure.disposition, "trace": failure.trace,
                }))?;
            } else {
                print_failure(&failure);
            }
            Ok(Exit::Data)
        }
    }
}

fn read(file: &PathBuf) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    let read = if file.as_os_str() == "-" {
        std::io::stdin().lock().read_to_end(&mut octets)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut octets))
    };
    read.map_err(|error| {
        Failure::new(Exit::NoInput, anyhow::anyhow!("cannot read the message {}: {error}", file.display()))
    })?;
    Ok(octets)
}

fn choose(config: &crate::config::Config, wanted: Option<&str>) -> Result<AccountId, Failure> {
    let known = || config.accounts.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match wanted {
        None => config
            .accounts
            .keys()
            .next()
            .cloned()
            .ok_or_else(|| Failure::new(Exit::Config, anyhow::anyhow!("no account is configured"))),
        Some(wanted) => {
            let found = config.accounts.keys().find(|id| id.as_str() == wanted).cloned();
            found.ok_or_else(|| {
                Failure::usage(anyhow::anyhow!("there is no account {wanted:?} (there are {})", known()))
            })
        }
    }
}

fn print_plan(provenance: &Provenance, plan: &Plan) {
    println!(
        "message {} as if from account {}, {} octets; nothing is sent\n",
        provenance.message().0.short(16),
        provenance.account,
        provenance.size
    );
    print_steps(&plan.trace);
    let mut table = Table::new(["STEP", "EFFECT", "SINK", "TARGET", "OCTETS", "REQUIRED"]);
    for effect in &plan.effects {
        table.row([
            effect.step.to_string(),
            effect.action.kind().to_owned(),
            effect.sink.to_string(),
            effect.action.target(),
            effect.size.to_string(),
            if effect.required { "yes" } else { "no" }.to_owned(),
        ]);
    }
    println!();
    if table.is_empty() {
        println!("no effects");
    } else {
        table.print();
    }
    println!("\n{}", verdict(plan));
}

fn verdict(plan: &Plan) -> String {
    match &plan.verdict {
        Verdict::Quarantine { step, reason } => {
            format!("verdict: quarantined by {step}: {}", neutral(reason, 300))
        }
        Verdict::Discard { step, reason } => {
            format!("verdict: discarded by {step}: {}", neutral(reason, 300))
        }
        Verdict::Keep if plan.effects.is_empty() => {
            "verdict: kept on the server, since no step made a copy of it".to_owned()
        }
        Verdict::Keep => "verdict: delivered as above".to_owned(),
    }
}

fn print_steps(trace: &[postroom_mail::StepTrace]) {
    for step in trace {
        println!("{}: {} ({} µs)", step.step, neutral(&step.outcome, 300), step.cpu_us);
        for line in &step.log {
            let fields: String = line.fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
            println!("  {} {}{fields}", line.level, line.message);
        }
    }
}

fn print_failure(failure: &RunFailure) {
    print_steps(&failure.trace);
    println!("\nthis run would fail, and nothing would be sent: {}", neutral(&failure.to_string(), 500));
    match failure.disposition {
        postroom_mail::Disposition::Retry { .. } => println!("it would be tried again, then quarantined"),
        _ => println!("the message would be quarantined"),
    }
}
