//! One poll: list, retrieve what is new, delete what is proved removable, `QUIT`.
//!
//! `QUIT` is a commit point: it is sent only when everything retrieved in the session is durable. On any other end the
//! connection is dropped, and the mail stays where it is.

use std::time::{Duration, Instant};

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use postroom_mail::{AccountId, Provenance, Uid};
use postroom_pop3::listing::NoId;
use postroom_pop3::session::Retrieved;
use postroom_pop3::{Entry, Eol, Listing, Session, Transaction, listing};
use postroom_spool::{Arrival, DeletePolicy, Listed, PollOutcome, Removable};

use super::error::Error;
use super::session::{self, Maildrop};
use super::wire::Wire;
use crate::config::AccountConfig;
use crate::live::Live;
use crate::progress::Progress;
use crate::supervise::Host;

/// Messages of one session whose commit is awaited while the next is retrieved.
const UNCOMMITTED: usize = 16;
/// After so long a session ends in good order; the next poll goes on. Servers and NATs tire of endless sessions.
const SESSION: Duration = Duration::from_secs(20 * 60);
/// A message that broke so many sessions is left alone, so that the ones after it get through.
const STUMBLES: u32 = 3;

/// What one poll did.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Report {
    /// Messages the server listed.
    pub listed: u64,
    /// Of these new here.
    pub new: u64,
    /// Messages retrieved and durable here.
    pub retrieved: u64,
    /// Their octets.
    pub octets: u64,
    /// Messages that stay on the server because it would not give them out or they are too large, with the reason.
    pub refused: Vec<String>,
    /// Deletions the server confirmed.
    pub removed: u64,
    /// Why the poll failed.
    pub error: Option<String>,
    /// What to do about that.
    pub hint: Option<String>,
    /// A person has to act before it can succeed.
    pub needs_a_person: bool,
    /// The session ended before everything new was retrieved.
    pub more: bool,
}

/// Polls one account, records how it ended, and reports.
pub async fn poll(host: &Host, live: &Live, id: &AccountId, account: &AccountConfig) -> Report {
    let mut report = Report::default();
    let ended = visits(host, live, id, account, &mut report).await;
    if let Err(error) = &ended {
        report.error = Some(error.to_string());
        report.hint = Some(error.hint(account));
        report.needs_a_person = error.needs_a_person();
        tracing::warn!(account = %id, %error, "a poll failed");
    } else {
        tracing::info!(account = %id, listed = report.listed, retrieved = report.retrieved, removed = report.removed, "polled");
    }
    let outcome = match &report.error {
        None => PollOutcome::Complete { listed: report.listed },
        Some(reason) => PollOutcome::Failed { reason: reason.clone() },
    };
    if let Err(error) = host.spool.close_poll(id, outcome, host.clock.now()).await {
        tracing::error!(account = %id, %error, "cannot record how the poll ended");
    }
    host.observer.tell(Progress::Polled { account: id.clone(), error: report.error.clone() });
    report
}

/// Connects, logs in, lists, and ends the session: for `check --online`. Retrieves nothing, so `QUIT` is harmless.
///
/// # Errors
/// As a poll.
pub async fn probe(account: &AccountConfig, base: &std::path::Path) -> Result<u64, Error> {
    let Maildrop { mut wire, session } = session::open(account, base).await?;
    let (session, stat) = wire.ask("STAT", session.stat()).await?;
    let stat = stat?;
    wire.ask("QUIT", session.quit()?).await??;
    Ok(stat.count)
}

/// One session; another one at once when a message broke it, since the others can still arrive. Bounded: a message that
/// broke [`STUMBLES`] sessions is not asked for any more.
async fn visits(
    host: &Host,
    live: &Live,
    id: &AccountId,
    account: &AccountConfig,
    report: &mut Report,
) -> Result<(), Error> {
    for _ in 0..STUMBLES {
        let before = host.stumbled.total(id);
        let ended = visit(host, live, id, account, report).await;
        if ended.is_ok() || host.stumbled.total(id) == before || host.stopping() {
            return ended;
        }
    }
    visit(host, live, id, account, report).await
}

async fn visit(
    host: &Host,
    live: &Live,
    id: &AccountId,
    account: &AccountConfig,
    report: &mut Report,
) -> Result<(), Error> {
    let Maildrop { mut wire, session } = session::open(account, &live.config.base).await?;
    let (session, listing) = list(&mut wire, session).await?;
    let listed: Vec<Listed> = listing.entries.iter().map(as_listed).collect();
    report.refused.clear();
    report.listed = (listing.entries.len() + listing.without_id.len()) as u64;
    report.refused.extend(listing.without_id.iter().map(|(number, _, why)| {
        let why = match why {
            NoId::Empty => "none was given",
            NoId::TooLong(_) => "it is too long",
            NoId::Conflicting => "two were given",
        };
        format!("message {number} has no usable unique-id ({why}): it cannot be told apart and stays on the server")
    }));
    let reconciled = host.spool.reconcile(id, &listed).await?;
    report.new = reconciled.new.len() as u64;
    host.observer.tell(Progress::Listed { account: id.clone(), new: report.new, total: report.listed });
    let new: Vec<&Entry> = reconciled.new.iter().filter_map(|&index| listing.entries.get(index)).collect();
    let session = retrieve(host, live, id, &mut wire, session, new, report).await?;
    let (session, removed) = delete(host, id, account, &mut wire, session, &listing, &listed).await?;
    wire.ask("QUIT", session.quit()?).await??;
    report.removed = removed.len() as u64;
    if !removed.is_empty() {
        host.spool.removed(removed, host.clock.now()).await?;
        host.observer.tell(Progress::Removed { account: id.clone(), count: report.removed });
    }
    Ok(())
}

async fn list(
    wire: &mut Wire,
    session: Session<Transaction>,
) -> Result<(Session<Transaction>, Listing), Error> {
    let (session, stat) = wire.ask("STAT", session.stat()).await?;
    let stat = stat?;
    if stat.count == 0 {
        let empty = listing::join(&listing::ScanListing::default(), &listing::UidListing::default());
        return Ok((session, empty));
    }
    let (session, sizes) = wire.ask("LIST", session.list()).await?;
    let sizes = sizes?;
    let (session, ids) = wire.ask("UIDL", session.uidl()).await?;
    Ok((session, listing::join(&sizes, &ids?).against(stat)))
}

/// Retrieves `new` in the server's order, those that broke an earlier session last; returns once all of it is durable.
async fn retrieve(
    host: &Host,
    live: &Live,
    id: &AccountId,
    wire: &mut Wire,
    mut session: Session<Transaction>,
    new: Vec<&Entry>,
    report: &mut Report,
) -> Result<Session<Transaction>, Error> {
    let limit = live.config.limits.message;
    let started = Instant::now();
    let mut commits = FuturesUnordered::new();
    for entry in host.stumbled.last(id, new) {
        if started.elapsed() > SESSION || host.stopping() {
            report.more = true;
            break;
        }
        if let Some(reason) = unwanted(host, id, entry, limit) {
            host.observer.tell(Progress::Refused { account: id.clone(), reason: reason.clone() });
            report.refused.push(reason);
            continue;
        }
        match one(host, wire, session, entry, limit).await {
            Ok((back, One::Whole(body, retrieved))) => {
                session = back;
                commits.push(admit(host, id, entry, body, retrieved));
            }
            Ok((back, One::Refused(rejection))) => {
                session = back;
                let reason = format!("message {} (unique-id {}): {rejection}", entry.number, uid(entry));
                tracing::warn!(account = %id, %reason, "the server would not give a message out");
                host.observer.tell(Progress::Refused { account: id.clone(), reason: reason.clone() });
                report.refused.push(reason);
            }
            Err(error) => {
                // The session is over, but what came whole before is kept.
                host.stumbled.note(id, entry);
                while let Some(committed) = commits.next().await {
                    count(host, id, report, committed?.1);
                }
                return Err(error);
            }
        }
        // Polling is what starts a commit; many are under way while the next message arrives.
        while let Some(Some(committed)) = commits.next().now_or_never() {
            committed_one(host, id, &mut session, report, committed?);
        }
        while commits.len() >= UNCOMMITTED {
            if let Some(committed) = commits.next().await {
                committed_one(host, id, &mut session, report, committed?);
            }
        }
    }
    while let Some(committed) = commits.next().await {
        committed_one(host, id, &mut session, report, committed?);
    }
    Ok(session)
}

/// What became of one `RETR`.
enum One {
    Whole(postroom_spool::Sealed, Retrieved),
    Refused(postroom_pop3::Rejection),
}

async fn one(
    host: &Host,
    wire: &mut Wire,
    session: Session<Transaction>,
    entry: &Entry,
    limit: u64,
) -> Result<(Session<Transaction>, One), Error> {
    let mut incoming = host.spool.incoming(limit)?;
    let body = |octets: &[u8]| incoming.write(octets).map_err(Error::from);
    let (session, answer) = wire.drive("RETR", session.retr(entry.number, limit), body).await?;
    let retrieved = match answer {
        Ok(retrieved) => retrieved,
        Err(rejection) => return Ok((session, One::Refused(rejection))),
    };
    if retrieved.tally().eol != Eol::Lf {
        return Ok((session, One::Whole(incoming.seal()?, retrieved)));
    }
    // A server that ends lines with a bare LF cannot mark a message's end for certain: see that both sides still agree on
    // where they are before the message counts.
    let (session, answer) = wire.ask("NOOP", session.noop()).await?;
    answer?;
    Ok((session, One::Whole(incoming.seal()?, retrieved)))
}

/// Why a message is not asked for at all.
fn unwanted(host: &Host, id: &AccountId, entry: &Entry, limit: u64) -> Option<String> {
    let size = entry.size.unwrap_or(0);
    if size > limit {
        return Some(format!(
            "message {} (unique-id {}) has {size} octets, the limit is {limit}: it stays on the server; raise `limits.message` to take it",
            entry.number,
            uid(entry)
        ));
    }
    let broke = host.stumbled.times(id, entry);
    (broke >= STUMBLES).then(|| {
        format!(
            "message {} (unique-id {}) broke {broke} sessions in a row: it stays on the server and is asked for again after a restart",
            entry.number,
            uid(entry)
        )
    })
}

fn count(host: &Host, id: &AccountId, report: &mut Report, octets: u64) {
    report.retrieved += 1;
    report.octets += octets;
    host.bells.inbox.notify_one();
    host.observer.tell(Progress::Retrieved { account: id.clone(), octets });
}

fn committed_one(
    host: &Host,
    id: &AccountId,
    session: &mut Session<Transaction>,
    report: &mut Report,
    (retrieved, octets): (Retrieved, u64),
) {
    session.settle(retrieved);
    count(host, id, report, octets);
}

/// Commit point 1 for one message.
async fn admit(
    host: &Host,
    id: &AccountId,
    entry: &Entry,
    body: postroom_spool::Sealed,
    retrieved: Retrieved,
) -> Result<(Retrieved, u64), Error> {
    let size = body.size();
    let provenance = Provenance {
        account: id.clone(),
        uid: uid(entry),
        ordinal: entry.ordinal,
        digest: body.digest(),
        size,
        retrieved: host.clock.now(),
    };
    host.spool.admit(vec![Arrival { provenance, body }]).await?;
    Ok((retrieved, size))
}

/// Marks what the spool proves removable. A refusal of one leaves that one for the next session.
async fn delete(
    host: &Host,
    id: &AccountId,
    account: &AccountConfig,
    wire: &mut Wire,
    mut session: Session<Transaction>,
    listing: &Listing,
    listed: &[Listed],
) -> Result<(Session<Transaction>, Vec<Removable>), Error> {
    let mut marked = Vec::new();
    if account.delete == DeletePolicy::Never {
        return Ok((session, marked));
    }
    for removable in host.spool.removable(id, listed, account.delete, host.clock.now()).await? {
        let Some(entry) = listing.entries.get(removable.index()) else { continue };
        let (back, answer) = wire.ask("DELE", session.dele(entry.number)).await?;
        session = back;
        match answer {
            Ok(()) => marked.push(removable),
            Err(rejection) => {
                tracing::warn!(account = %id, %rejection, "the server would not delete a message")
            }
        }
    }
    Ok((session, marked))
}

fn as_listed(entry: &Entry) -> Listed {
    Listed { uid: uid(entry), ordinal: entry.ordinal, size: entry.size.unwrap_or(0) }
}

pub(super) fn uid(entry: &Entry) -> Uid {
    Uid(entry.uid.as_bytes().to_vec())
}
