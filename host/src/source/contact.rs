//! The first contact with a maildrop: what of the mail that is there already counts as seen.

use std::time::Duration;

use postroom_pop3::{Entry, Listing, Session, Transaction};
use postroom_spool::{Seen, SeenBy};

use super::error::Error;
use super::print::Print;
use super::retrieve::{broke, stumble_of};
use super::visit::{Visit, uid};
use crate::config::First;

/// After so many older ones in a row, from the newest on, the rest counts as older: servers list by arrival, nearly.
const OLDER: u32 = 20;
/// So many refusals of TOP, and never an answer, show that the server does not have it.
const REFUSALS: u32 = 3;

/// Marks as seen what is not wanted, before anything is retrieved, and takes it out of `new`.
pub(super) async fn seed(
    visit: &mut Visit<'_>,
    session: Session<Transaction>,
    listing: &Listing,
    new: &mut Vec<usize>,
) -> Result<Session<Transaction>, Error> {
    let total = listing.entries.len();
    let (session, keep) = match visit.account.first {
        First::All => return Ok(session),
        First::New => (session, vec![false; total]),
        First::Newest(count) => {
            let from = total.saturating_sub(count as usize);
            (session, (0..total).map(|index| index >= from).collect())
        }
        First::Days(days) => recent(visit, session, listing, days).await?,
    };
    let dropped = listing.entries.iter().zip(&keep).filter(|(_, keep)| !**keep);
    let seen: Vec<_> = dropped.map(|(entry, _)| as_seen(entry)).collect();
    let now = visit.host.clock.now();
    visit.report.seeded = visit.host.spool.seed(visit.id, seen, SeenBy::Seeded, now).await?;
    new.retain(|&index| keep.get(index).copied().unwrap_or(true));
    Ok(session)
}

/// Which entries came in the last `days`, by their headers. One without a date counts as recent: it is better retrieved
/// than lost.
async fn recent(
    visit: &mut Visit<'_>,
    mut session: Session<Transaction>,
    listing: &Listing,
    days: u32,
) -> Result<(Session<Transaction>, Vec<bool>), Error> {
    let age = Duration::from_secs(u64::from(days) * 86_400);
    let since = visit.host.clock.now().0 / 1000 - i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
    let mut keep = vec![false; listing.entries.len()];
    let mut older = 0;
    for (entry, keep) in listing.entries.iter().zip(&mut keep).rev() {
        if older >= OLDER {
            break;
        }
        let (back, print) = header(visit, session, entry).await?;
        session = back;
        let date = print.as_ref().and_then(Print::date);
        *keep = date.is_none_or(|date| date >= since);
        older = if *keep { 0 } else { older + 1 };
    }
    // Taking everything, perhaps years of it, is not what was asked for.
    if visit.headers != Headers::Shown && !keep.is_empty() {
        return Err(Error::NoHeaders);
    }
    Ok((session, keep))
}

/// The header of one message; `None` when the server does not show it, or when asking for it broke a session before.
pub(super) async fn header(
    visit: &mut Visit<'_>,
    session: Session<Transaction>,
    entry: &Entry,
) -> Result<(Session<Transaction>, Option<Print>), Error> {
    let now = visit.host.clock.now();
    if !visit.habits.server.shows_headers(now) || stumble_of(&visit.stumbles, entry).is_some() {
        return Ok((session, None));
    }
    let limit = visit.limit();
    let mut print = Print::default();
    let exchange = session.top(entry.number, 0, limit);
    let take = |octets: &[u8]| {
        print.take(octets);
        Ok(())
    };
    let answered = match visit.wire.drive("TOP", exchange, take).await {
        Ok(answered) => answered,
        Err(error) => return Err(broke(visit, entry, false, error).await?),
    };
    match answered {
        (session, Ok(_)) => {
            visit.headers = Headers::Shown;
            Ok((session, Some(print)))
        }
        (session, Err(_)) => {
            // One refusal is about that message; several and never an answer are about the command.
            visit.headers = match visit.headers {
                Headers::Shown => Headers::Shown,
                Headers::Refused(times) if times + 1 >= REFUSALS => {
                    visit.habits.server.refused_headers(now);
                    Headers::Refused(times + 1)
                }
                Headers::Refused(times) => Headers::Refused(times + 1),
            };
            Ok((session, None))
        }
    }
}

/// What a session showed of TOP so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Headers {
    /// At least one header.
    Shown,
    /// So many refusals and nothing else.
    Refused(u32),
}

/// An entry as seen now.
pub(super) fn as_seen(entry: &Entry) -> Seen {
    Seen { uid: uid(entry), ordinal: entry.ordinal, size: entry.size, at: None }
}
