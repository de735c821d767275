//! Signals that ask for an end: the first for one in good order, the next for one at once. Must not end anything itself at the
//! first.

use std::future::Future;
use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::Exit;

/// Completes at the first of these signals. At the next one the process ends without more ado, which loses as little as a
/// crash does: what is not durable is still on its server.
///
/// # Errors
/// When the system does not let us listen.
pub(super) fn stop(kinds: &[SignalKind]) -> io::Result<impl Future<Output = ()> + use<>> {
    let (told, mut heard) = mpsc::channel(1);
    for kind in kinds {
        let (mut signals, told) = (signal(*kind)?, told.clone());
        tokio::spawn(async move { while signals.recv().await.is_some() && told.send(()).await.is_ok() {} });
    }
    Ok(async move {
        heard.recv().await;
        tokio::spawn(async move {
            heard.recv().await;
            tracing::warn!("told again to stop: ending at once, the rest is finished after the next start");
            std::process::exit(Exit::TemporaryFailure.code().into());
        });
    })
}
