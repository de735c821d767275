//! `postroom test`: mails beside the configuration, each with what is to become of it, through the chain that `try` and
//! `run` use. Sends nothing, keeps nothing.

use std::path::{Path, PathBuf};

use postroom_fixture::{Case, Fixtures, failure_lines, plan_lines};
use postroom_mail::{AccountId, StepTrace};

use super::judged::{self, Judged};
use super::output;
use super::setup::{self, Context};
use super::{Exit, Failure, Outcome, compiled};
use crate::config::Config;
use crate::live::Live;
use crate::pipeline;

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The directory with NAME.eml and NAME.expected [default: `tests` beside the configuration].
    directory: Option<PathBuf>,
    /// Write down what was decided as what is expected.
    #[arg(long)]
    bless: bool,
}

pub(super) fn test(context: &Context, args: &Args) -> Outcome {
    let (path, config) = context.load()?;
    let directory = match &args.directory {
        Some(directory) => directory.clone(),
        None => path.parent().unwrap_or(Path::new("")).join("tests"),
    };
    let fixtures = read(&directory)?;
    let first = first_account(&config)?;
    let cache = compiled::beside(&config.state);
    let sandbox = setup::sandbox(cache.as_deref(), 1, config.limits.compile)?;
    let live = Live::build_without_calls(config, &sandbox, "this is a test, which makes no calls")?;
    let mut judged = Vec::new();
    for case in &fixtures.cases {
        let (lines, trace) = run(&live, case, &first)?;
        judged.push(Judged::of(&fixtures, case, lines, spent(&trace), args.bless)?);
    }
    let exit = judged::exit(&judged);
    if context.json {
        output::json(&serde_json::json!({
            "config": path, "cases": judged::documents(&judged), "ok": exit == Exit::Ok,
        }))?;
    } else {
        judged::print(&fixtures, &judged);
    }
    Ok(exit)
}

fn read(directory: &Path) -> Result<Fixtures, Failure> {
    let fixtures = Fixtures::read(directory).map_err(|error| {
        Failure::from(error)
            .hint("put a mail there as NAME.eml; `postroom test --bless` then writes NAME.expected")
    })?;
    let conditions = &fixtures.conditions;
    let said = !conditions.settings.is_empty()
        || !conditions.limits.is_empty()
        || conditions.grants != Default::default();
    if said {
        let text = format!(
            "{} has settings, grants or limits, but a test of a configuration takes them from there",
            directory.join(postroom_fixture::CONDITIONS).display()
        );
        return Err(Failure::new(Exit::Data, anyhow::anyhow!(text)).hint(
            "leave only account, uidl and received; fixtures of a plugin are run by `postroom plugin test`",
        ));
    }
    Ok(fixtures)
}

fn first_account(config: &Config) -> Result<AccountId, Failure> {
    let none = || Failure::new(Exit::Config, anyhow::anyhow!("no account is configured"));
    config.accounts.keys().next().cloned().ok_or_else(none)
}

fn run(live: &Live, case: &Case, first: &AccountId) -> Result<(Vec<String>, Vec<StepTrace>), Failure> {
    let provenance = case.provenance(first);
    match pipeline::dry_run(&live.plugins, &provenance, case.mail.clone()) {
        Some(Ok(plan)) => Ok((plan_lines(&plan, provenance.size), plan.trace)),
        Some(Err(failure)) => Ok((failure_lines(&failure.to_string()), failure.trace)),
        None => {
            let known: Vec<_> = live.config.accounts.keys().map(ToString::to_string).collect();
            let text = format!(
                "the case {} is said to come from the account {}, which is not configured (there are {})",
                case.name,
                provenance.account,
                known.join(", ")
            );
            Err(Failure::new(Exit::Data, anyhow::anyhow!(text)).hint(format!(
                "correct `account` in {}.toml or {}",
                case.name,
                postroom_fixture::CONDITIONS
            )))
        }
    }
}

/// CPU time of all steps in microseconds, and the highest peak of memory in octets.
fn spent(trace: &[StepTrace]) -> (u64, u64) {
    let cpu = trace.iter().map(|step| step.cpu_us).sum();
    (cpu, trace.iter().map(|step| step.peak_memory).max().unwrap_or(0))
}
