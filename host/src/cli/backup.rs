//! `postroom backup DIR`: a copy of the state that a host can be started on.

use std::path::PathBuf;

use postroom_spool::{Severity, SqliteSpool};

use super::doctor::{bar, print_findings, show};
use super::output::{self, count};
use super::setup::Context;
use super::{Exit, Failure, Outcome};
use crate::clock::Clock;
use crate::manifest::Aside;

/// Arguments of `backup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to: a directory that does not exist yet, or is empty.
    directory: PathBuf,
    /// The state directory, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

pub(super) fn backup(context: &Context, args: &Args) -> Outcome {
    let state = match &args.state {
        Some(state) => state.clone(),
        None => context.load()?.1.state,
    };
    let manifests = Aside::take(&state, &args.directory).map_err(|error| {
        Failure::new(Exit::CannotCreate, anyhow::anyhow!("manifests cannot be copied: {error}"))
    })?;
    let bar = bar("copying");
    let now = Clock::system().now();
    let copied =
        SqliteSpool::backup(&state, &args.directory, now, &mut |done, total| show(&bar, done, total));
    bar.finish_and_clear();
    let copied = copied.map_err(|error| match error {
        postroom_spool::Error::Conflict(what) => {
            Failure::new(Exit::CannotCreate, anyhow::anyhow!("the backup cannot be made: {what}"))
        }
        error => error.into(),
    })?;
    manifests.put(&copied.directory).map_err(|error| {
        Failure::new(Exit::CannotCreate, anyhow::anyhow!("manifests cannot be copied: {error}"))
    })?;
    if context.json {
        output::json(&copied)?;
    } else {
        print_findings(&copied.findings);
        println!(
            "copied the database and {} ({}) to {}",
            count(copied.segments, "segment", "segments"),
            output::size(copied.octets),
            copied.directory.display()
        );
        println!(
            "to restore it: stop postroom, move the state away, put this directory in its place, start postroom"
        );
    }
    Ok(match copied.findings.worst() {
        Some(Severity::Damage) => Exit::Data,
        Some(Severity::Warning | Severity::Note) | None => Exit::Ok,
    })
}
