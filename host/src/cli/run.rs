//! `postroom run`: until SIGTERM or SIGINT.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::setup::{self, Context};
use super::{Exit, Outcome};
use crate::progress::Observer;
use crate::supervise;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Delete nothing at any server while this runs, whatever the configuration says.
    #[arg(long)]
    never_delete: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let (path, mut config) = context.load()?;
    config.never_delete |= args.never_delete;
    context.start_log(&config.log.level, config.log.format)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = setup::runtime()?;
    let host = setup::host(config, Observer::none())?;
    if args.never_delete {
        // Also after the configuration was changed.
        host.forbid_deletion();
    }
    tracing::info!(config = %path.display(), accounts = host.live.load().config.accounts.len(), "running");
    let ended = runtime.block_on(async {
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        supervise::run(host, &path, stop).await?;
        Ok(Exit::Ok)
    });
    // A plugin or a disk that hangs on a blocking thread must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(2));
    ended
}
