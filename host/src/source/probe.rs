//! What a server is like, without retrieving or deleting anything.

use std::path::Path;

use super::error::Error;
use super::habits;
use super::session;
use super::token::Purse;
use crate::config::AccountConfig;

/// One thing found out about a server.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Finding {
    /// What it is about.
    pub what: &'static str,
    /// What was found.
    pub found: String,
}

/// Connects, logs in, counts, and ends the session: for `check --online`. Retrieves nothing, so `QUIT` is harmless.
///
/// # Errors
/// As a poll.
pub async fn probe(
    id: &postroom_mail::AccountId,
    account: &AccountConfig,
    base: &Path,
) -> Result<u64, Error> {
    let purses = super::Purses::default();
    let purse: Purse = purses.of(id, account, base).await?;
    let mut server = habits::Server::default();
    let session::Maildrop { mut wire, session, .. } =
        session::open(account, base, &purse, &mut server).await?;
    let (session, stat) = wire.ask("STAT", session.stat()).await?;
    let stat = stat?;
    wire.quit(session.quit()?).await??;
    Ok(stat.count)
}
