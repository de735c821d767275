//! `postroom run`: until SIGTERM, SIGINT or SIGQUIT.

use tokio::signal::unix::SignalKind;

use super::setup::{self, Context};
use super::{Exit, Outcome, precautions, signals};
use crate::origin;
use crate::progress::Observer;
use crate::supervise;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Delete nothing at any server while this runs, whatever the configuration says.
    #[arg(long)]
    never_delete: bool,
    /// Running as root is meant: do not warn of it.
    #[arg(long)]
    as_root: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Outcome {
    let (path, mut config) = context.load()?;
    config.never_delete |= args.never_delete;
    context.start_log(&config.log.level, config.log.format)?;
    for warning in config.warnings.iter().chain(&origin::changeable(&config)) {
        tracing::warn!("{warning}");
    }
    precautions::warn_of_root(args.as_root);
    let runtime = setup::runtime()?;
    let host = setup::host(config, Observer::none())?;
    if args.never_delete {
        // Also after the configuration was changed.
        host.forbid_deletion();
    }
    let ended = runtime.block_on(async {
        let stop = signals::stop(&[SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()])?;
        supervise::run(host, &path, stop).await?;
        Ok(Exit::Ok)
    });
    runtime.shutdown_timeout(setup::HANGING);
    ended
}
