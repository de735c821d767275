//! `postroom plugin retry`: the operator has mended what a plugin failed on, though neither the plugin nor its settings changed.
//! Owns the question; the breaker is closed by the host that runs, or in its record when none does.

use postroom_mail::Name;
use postroom_mail::rules::neutral;
use postroom_spool::SqliteSpool;

use super::super::output;
use super::super::setup::{self, Context};
use super::super::shadow::{meant, names};
use super::super::{Exit, Failure, Outcome};
use crate::clock::Clock;
use crate::config::{Config, StepConfig};
use crate::pipeline::{self, Reclosed};
use crate::requests::{self, AskError, Reclose};

/// Arguments of `plugin retry`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The step, or PIPELINE/STEP.
    step: String,
}

pub(super) fn retry(context: &Context, args: &Args) -> Outcome {
    let (_, config) = context.load()?;
    let (pipeline, step) = find(&config, &args.step)?;
    let request = Reclose { pipeline, step, at: Clock::system().now() };
    let reclosed = setup::runtime()?.block_on(carry_out(&config, &request))?;
    tell(context, &request, &reclosed)?;
    Ok(Exit::Ok)
}

/// The one step that is meant.
fn find(config: &Config, wanted: &str) -> Result<(Name, Name), Failure> {
    let pipelines = config.pipelines.iter();
    let all: Vec<(&Name, &StepConfig)> =
        pipelines.flat_map(|(name, one)| one.steps.iter().map(move |step| (name, step))).collect();
    match meant(&all, wanted).as_slice() {
        [(pipeline, step)] => Ok(((*pipeline).clone(), step.name.clone())),
        [] => {
            let text = format!("there is no step {:?} (there are {})", neutral(wanted, 80), names(&all));
            Err(Failure::usage(anyhow::anyhow!(text)))
        }
        several => {
            let text = format!("several steps have that name: {}", names(several));
            Err(Failure::usage(anyhow::anyhow!(text)).hint("name the pipeline too: PIPELINE/STEP"))
        }
    }
}

async fn carry_out(config: &Config, request: &Reclose) -> Result<Reclosed, Failure> {
    let spool = match SqliteSpool::open(&config.state) {
        Ok(spool) => spool,
        Err(postroom_spool::Error::InUse { .. }) => {
            let asked = requests::ask(&config.state, request).await;
            return asked.map_err(|error| {
                let hint = match &error {
                    AskError::NotTaken => {
                        "it is `once`, or is just starting or ending: try again when it has ended"
                    }
                    AskError::NoAnswer | AskError::Failed(_) => "see what it logs, then repeat this",
                    AskError::Files { .. } => "run this as the user the host runs as",
                };
                Failure::new(Exit::TemporaryFailure, error).hint(hint)
            });
        }
        Err(error) => return Err(error.into()),
    };
    let accounts = config.accounts.iter().filter(|(_, account)| account.pipeline == request.pipeline);
    let accounts: Vec<_> = accounts.map(|(account, _)| account.clone()).collect();
    let open = pipeline::close(&spool, &request.pipeline, &request.step, &accounts, request.at).await?;
    Ok(Reclosed { version: open.map(|open| open.version) })
}

fn tell(context: &Context, request: &Reclose, reclosed: &Reclosed) -> Result<(), Failure> {
    let Reclose { pipeline, step, .. } = request;
    if context.json {
        return output::json(&serde_json::json!({
            "pipeline": pipeline, "step": step, "closed": reclosed.version.is_some(), "version": reclosed.version,
        }));
    }
    match &reclosed.version {
        Some(version) => {
            println!(
                "step {pipeline}/{step}: the plugin runs again as configured (version {} had failed too often), and what waited is due now",
                version.short(12)
            );
        }
        None => println!("step {pipeline}/{step}: its plugin has not failed too often: nothing was changed"),
    }
    Ok(())
}
