//! `postroom run`: until SIGTERM or SIGINT.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::setup::{self, Context};
use super::{Exit, Outcome};
use crate::progress::Observer;
use crate::supervise;

pub(super) fn run(context: &Context) -> Outcome {
    let (path, config) = context.load()?;
    context.start_log(&config.log.level, config.log.format)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = setup::runtime()?;
    let host = setup::host(config, Observer::none())?;
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
