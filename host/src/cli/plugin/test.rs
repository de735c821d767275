//! `postroom plugin test`: a plugin's own tests, then its fixtures through the component under real limits.

use std::path::PathBuf;

use postroom_fixture::Fixtures;
use postroom_sandbox::Usage;

use super::super::Outcome;
use super::super::judged::{self, Judged};
use super::super::output;
use super::super::setup::Context;
use super::project::Project;
use super::trial::Trial;

/// Arguments of `plugin test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The project's directory.
    #[arg(default_value_os_t = super::here(), hide_default_value = true)]
    directory: PathBuf,
    /// Write down what was decided as what is expected.
    #[arg(long)]
    bless: bool,
}

pub(super) fn test(context: &Context, args: &Args) -> Outcome {
    let project = Project::open(&args.directory)?;
    // First, so that a slip in them is told before minutes of compiling.
    let fixtures = Fixtures::read(&project.fixtures())?;
    // Among them may be one that runs the fixtures: it would stand in the way of blessing what is new.
    let before = if args.bless { None } else { Some(project.test()?) };
    let octets = project.build()?;
    let sandbox = super::sandbox()?;
    let trial = Trial::new(&sandbox, &octets, &fixtures.conditions)?;
    let account = Trial::account()?;
    let mut judged = Vec::new();
    for case in &fixtures.cases {
        let tried = trial.run(&case.provenance(&account), &case.mail);
        judged.push(Judged::of(&fixtures, case, tried.lines, spent(&tried.usage), args.bless)?);
    }
    // What was blessed is what came out of the component: run natively, it must come out the same.
    let native = before.map_or_else(|| project.test(), Ok)?;
    if context.json {
        output::json(&serde_json::json!({
            "native": native, "cases": judged::documents(&judged), "ok": judged::exit(&judged) == super::Exit::Ok,
        }))?;
    } else {
        if native {
            println!("its own tests pass\n");
        }
        judged::print(&fixtures, &judged);
    }
    Ok(judged::exit(&judged))
}

/// CPU time in microseconds, and the peak of memory in octets.
fn spent(usage: &Usage) -> (u64, u64) {
    (u64::try_from(usage.cpu.as_micros()).unwrap_or(u64::MAX), usage.peak_memory)
}
