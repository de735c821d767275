//! What a maildrop holds, asked once: the counts and the lists. Retrieves and deletes nothing, so `QUIT` changes nothing.

use std::path::Path;

use postroom_mail::{AccountId, Timestamp};
use postroom_pop3::listing::{ScanListing, Stat, UidListing};
use postroom_pop3::{Rejection, Session, Transaction, listing};
use postroom_spool::{Listed, Spool};

use super::error::Error;
use super::habits::{self, Habits};
use super::session::{self, Maildrop};
use super::visit::as_listed;
use super::wire::Wire;
use super::{Leases, Purses};
use crate::config::AccountConfig;

/// The answers to `STAT`, `LIST` and `UIDL`, as far as they came. A refusal of `LIST` or `UIDL` is an answer: servers
/// without unique-ids exist.
#[derive(Default)]
pub(super) struct Inventory {
    pub(super) stat: Option<Stat>,
    pub(super) sizes: Option<Result<ScanListing, Rejection>>,
    pub(super) ids: Option<Result<UidListing, Rejection>>,
}

impl Inventory {
    /// The answers joined, as a poll does it.
    fn holdings(self) -> Result<Holdings, Error> {
        let (Some(stat), Some(sizes), Some(ids)) = (self.stat, self.sizes, self.ids) else {
            return Ok(Holdings::default());
        };
        if stat.count == 0 {
            return Ok(Holdings { complete: true, ..Holdings::default() });
        }
        let joined = listing::join(&sizes?, &ids?).against(stat);
        Ok(Holdings {
            listed: joined.entries.iter().map(as_listed).collect(),
            without_id: joined.without_id.len() as u64,
            complete: joined.complete,
        })
    }
}

/// Asks all three. When the session breaks, `inventory` holds what was answered before.
pub(super) async fn take(
    wire: &mut Wire,
    session: Session<Transaction>,
    inventory: &mut Inventory,
) -> Result<Session<Transaction>, Error> {
    let (session, stat) = wire.ask("STAT", session.stat()).await?;
    inventory.stat = Some(stat?);
    let (session, sizes) = wire.ask("LIST", session.list()).await?;
    inventory.sizes = Some(sizes);
    let (session, ids) = wire.ask("UIDL", session.uidl()).await?;
    inventory.ids = Some(ids);
    Ok(session)
}

/// What a maildrop holds, in the ledger's terms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Messages with a unique-id, in the server's order.
    pub listed: Vec<Listed>,
    /// How many have none that is usable.
    pub without_id: u64,
    /// Whether the answers agree with each other.
    pub complete: bool,
}

/// Where it is kept that a login took place: what a server demands between two logins holds for this one too.
pub struct Keeping<'a> {
    /// Held by the caller alone.
    pub spool: &'a dyn Spool,
    /// The maildrops that are ours; this one becomes so.
    pub leases: &'a Leases,
}

/// Logs in, lists, ends the session. Without `keeping` nothing is recorded and no lease is taken, so that it can be done
/// beside a running host.
///
/// # Errors
/// As a poll.
pub async fn list(
    id: &AccountId,
    account: &AccountConfig,
    base: &Path,
    keeping: Option<Keeping<'_>>,
    now: Timestamp,
) -> Result<Holdings, Error> {
    let purse = Purses::default().of(id, account, base).await?;
    let Some(Keeping { spool, leases }) = keeping else {
        let Maildrop { wire, session, .. } =
            session::open(account, base, &purse, &mut habits::Server::default(), now).await?;
        return listed(wire, session).await;
    };
    leases.take(id, account)?;
    let mut habits = Habits::recall(spool, id, account).await?;
    if let Some(next) = habits.maildrop.next_login(&habits.server, now).filter(|next| *next > now) {
        return Err(Error::TooSoon { delay: habits.server.advertised_delay, wait: next.since(now) });
    }
    let opened = session::open(account, base, &purse, &mut habits.server, now).await;
    if opened.is_ok() {
        habits.maildrop.last_login = (habits.server.advertised_delay > 0).then_some(now);
    }
    habits.keep(spool, now).await?;
    let Maildrop { wire, session, .. } = opened?;
    listed(wire, session).await
}

async fn listed(mut wire: Wire, session: Session<Transaction>) -> Result<Holdings, Error> {
    let mut inventory = Inventory::default();
    let session = take(&mut wire, session, &mut inventory).await?;
    wire.quit(session.quit()?).await??;
    inventory.holdings()
}
