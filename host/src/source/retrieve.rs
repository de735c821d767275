//! Retrieval: what is wanted of a listing, one by one or sent ahead, until all of it is durable.
//!
//! Owns the count of failures of each message, which is durable: one that breaks sessions is asked for after all others
//! and ever more rarely, so that it cannot keep the rest of its account from arriving.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use postroom_failpoint::reach;
use postroom_mail::{AccountId, Provenance, Timestamp, Uid};
use postroom_pop3::session::{Retrieved, window};
use postroom_pop3::{Class, Entry, Rejection, Session, Transaction};
use postroom_spool::{Adoption, Arrival, Listed, Stumble};

use super::batch::{Fetched, fetch};
use super::error::Error;
use super::room::Place;
use super::visit::{Visit, as_listed, uid};
use crate::progress::Progress;

/// Messages of one session whose commit is awaited while the next is retrieved.
const UNCOMMITTED: usize = 16;
/// After so long a session ends in good order; the next poll goes on. Servers and NATs tire of endless sessions.
const SESSION: Duration = Duration::from_secs(20 * 60);
/// So many octets of replies, and so many commands, are sent for ahead.
const AHEAD: (u64, usize) = (1 << 20, 32);
/// So many at first.
const FIRST_AHEAD: usize = 4;
/// After so many refusals in a row a session ends: a server over its quota refuses whatever is asked for.
const REFUSALS: u32 = 5;
/// How long a server is left alone whose quota is used up.
const QUOTA: Duration = Duration::from_secs(60 * 60);
/// What is said when a session ended because of others.
pub(super) const BUSY: &str =
    "too much other mail is arriving (`limits.in_flight`); the rest comes with the next poll";
/// A message that failed so often is left alone for a while.
pub(super) const STUMBLES: u32 = 3;

/// A message to ask for.
pub(super) struct Wanted<'a> {
    pub(super) entry: &'a Entry,
    pub(super) because: Because,
}

/// Why it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Because {
    /// It is new.
    New,
    /// Its unique-id is known, but another message may be behind it.
    Doubtful,
    /// The server renumbered its mail: it may be a known message.
    Renumbered,
}

/// Retrieves what is wanted, in the server's order but those that failed before last; returns once all of it is durable.
pub(super) async fn retrieve(
    visit: &mut Visit<'_>,
    mut session: Session<Transaction>,
    mut wanted: Vec<Wanted<'_>>,
    here: &HashSet<(Uid, u32)>,
) -> Result<Session<Transaction>, Error> {
    let started = Instant::now();
    let stumbles = visit.stumbles.clone();
    let times = |entry: &Entry| stumble_of(&stumbles, entry).map_or(0, |stumble| stumble.times);
    wanted.sort_by_key(|wanted| times(wanted.entry));
    let now = visit.host.clock.now();
    wanted.retain(|wanted| {
        let reason = unwanted(wanted.entry, stumble_of(&stumbles, wanted.entry), visit.limit(), now);
        let take = reason.is_none();
        reason.into_iter().for_each(|reason| visit.refuse(reason));
        take
    });
    let mut commits = FuturesUnordered::new();
    let mut settled: Vec<Retrieved> = Vec::new();
    let mut rest = wanted.as_slice();
    // Begun small, so that a server that refuses everything is not asked for everything.
    let mut ahead = FIRST_AHEAD;
    let mut last = None;
    let (mut in_a_row, mut throttled) = (0, false);
    while !rest.is_empty() {
        if started.elapsed() > SESSION || visit.host.stopping() {
            visit.report.more = true;
            break;
        }
        while visit.looks()
            && let Some(committed) = commits.next().await
        {
            let (retrieved, counted) = committed?;
            visit.count(counted);
            settled.push(retrieved);
        }
        let room = usize::try_from(visit.room(rest[0].entry.size).await?).unwrap_or(usize::MAX);
        if room == 0 {
            break;
        }
        // What broke a session before is asked for alone, so that it is known what breaks the next one.
        let together = match visit.may_pipeline(&session) && times(rest[0].entry) == 0 {
            true => window(rest.iter().map(|wanted| wanted.entry.size), AHEAD.0, ahead.min(room)),
            false => 1,
        };
        ahead = (ahead * 2).min(AHEAD.1);
        let (batch, later) = rest.split_at(together.clamp(1, rest.len()));
        rest = later;
        let limit = visit.limit();
        let octets = batch.iter().map(|wanted| wanted.entry.size.unwrap_or(limit)).sum();
        let place = loop {
            if let Some(place) = visit.host.in_flight.try_take(octets) {
                break Some(place);
            }
            // What this session itself has in flight is free once it is durable.
            match commits.next().await {
                Some(committed) => {
                    let (retrieved, counted) = committed?;
                    visit.count(counted);
                    settled.push(retrieved);
                }
                None => break visit.host.in_flight.take(octets).await,
            }
        };
        let Some(place) = place.map(Arc::new) else {
            visit.note(BUSY);
            // Not `more`: logging in again at once would only wait again.
            visit.report.trouble = Some(super::Trouble::NoRoom);
            break;
        };
        visit.taken(batch.len() as u64, octets);
        let (back, arrived) = match fetch(visit, session, batch, &mut last).await {
            Ok(done) => done,
            Err(error) => {
                // The session is over, but what came whole before is kept.
                while let Some(committed) = commits.next().await {
                    let (_, counted): (Retrieved, Counted) = committed?;
                    visit.count(counted);
                }
                return Err(error);
            }
        };
        session = back;
        for (wanted, fetched) in batch.iter().zip(arrived) {
            match fetched {
                Ok(fetched) if wanted.because == Because::New => {
                    let place = Some(Arc::clone(&place));
                    commits.push(admit(visit.host, visit.id, wanted.entry, fetched, place));
                }
                Ok(fetched) => settled.push(recognise(visit, wanted, fetched, here).await?),
                Err(rejection) => {
                    in_a_row += 1;
                    throttled |= rejection.class() == Class::Throttled;
                    refused(visit, wanted.entry, &rejection).await?;
                    continue;
                }
            }
            in_a_row = 0;
        }
        // Polling is what starts a commit; many are under way while the next message arrives.
        while let Some(Some(committed)) = commits.next().now_or_never() {
            let (retrieved, counted) = committed?;
            visit.count(counted);
            settled.push(retrieved);
        }
        while commits.len() >= UNCOMMITTED {
            if let Some(committed) = commits.next().await {
                let (retrieved, counted) = committed?;
                visit.count(counted);
                settled.push(retrieved);
            }
        }
        if in_a_row >= REFUSALS && !rest.is_empty() {
            visit.note(
                "the server gives out no more mail for now; the rest comes with later polls".to_owned(),
            );
            visit.report.wait = throttled.then_some(QUOTA);
            break;
        }
    }
    while let Some(committed) = commits.next().await {
        let (retrieved, counted) = committed?;
        visit.count(counted);
        settled.push(retrieved);
    }
    for retrieved in settled {
        session.settle(retrieved);
    }
    Ok(session)
}

/// Takes down what broke the session, and gives the error back.
pub(super) async fn broke(
    visit: &mut Visit<'_>,
    entry: &Entry,
    together: bool,
    error: Error,
) -> Result<Error, Error> {
    if !error.is_at_server() {
        return Ok(error);
    }
    reach("body", "broken");
    visit.again = true;
    let now = visit.host.clock.now();
    if error.lost_step() || together {
        // Whether the message or the sending ahead is to blame shows when it is asked for alone.
        visit.habits.server.lost_step(now);
        let text = "the server lost step over commands sent ahead; it gets them one by one for the next week";
        visit.note(text.to_owned());
    } else {
        visit.host.spool.stumble(visit.id, &as_listed(entry), error.to_string(), now).await?;
    }
    Ok(error)
}

async fn refused(visit: &mut Visit<'_>, entry: &Entry, rejection: &Rejection) -> Result<(), Error> {
    let now = visit.host.clock.now();
    reach("body", "refused");
    visit.host.spool.stumble(visit.id, &as_listed(entry), rejection.to_string(), now).await?;
    let reason = format!("message {} (unique-id {}): {rejection}", entry.number, uid(entry));
    tracing::warn!(account = %visit.id, %reason, "the server would not give a message out");
    visit.refuse(reason);
    Ok(())
}

pub(super) fn stumble_of<'s>(stumbles: &'s [Stumble], entry: &Entry) -> Option<&'s Stumble> {
    stumbles.iter().find(|stumble| stumble.uid.0 == entry.uid.as_bytes() && stumble.ordinal == entry.ordinal)
}

/// Why a message is not asked for at all.
pub(super) fn unwanted(
    entry: &Entry,
    stumble: Option<&Stumble>,
    limit: u64,
    now: Timestamp,
) -> Option<String> {
    let (number, name, size) = (entry.number, uid(entry), entry.size.unwrap_or(0));
    if size > limit {
        return Some(format!(
            "message {number} (unique-id {name}) has {size} octets, the limit is {limit}: it stays on the server; raise \
             `limits.message` to take it"
        ));
    }
    let stumble = stumble.filter(|stumble| stumble.times >= STUMBLES)?;
    let wait = patience(stumble.times);
    // A failure in the future was noted by a clock that was ahead.
    let waited = if stumble.last > now { wait } else { now.since(stumble.last) };
    (waited < wait).then(|| {
        format!(
            "message {number} (unique-id {name}) could not be retrieved {} times in a row, the last time because: {}; it stays \
             on the server and is asked for again in {} min",
            stumble.times,
            postroom_mail::rules::neutral(&stumble.reason, 200),
            (wait - waited).as_secs() / 60 + 1
        )
    })
}

/// How long a message that failed so often is left alone: an hour, doubled each time, a day at most.
fn patience(times: u32) -> Duration {
    let hours = 1_u64.checked_shl(times.saturating_sub(STUMBLES)).unwrap_or(24).min(24);
    Duration::from_secs(hours * 3600)
}

/// When an entry whose retrieval failed is asked for again; `None`: at the next poll.
pub fn next_try(stumble: &Stumble) -> Option<Timestamp> {
    (stumble.times >= STUMBLES).then(|| stumble.last.after(patience(stumble.times)))
}

/// Commit point 1 for one message. What it took of the octets in flight is free afterwards.
async fn admit(
    host: &crate::supervise::Host,
    id: &AccountId,
    entry: &Entry,
    Fetched { body, print, retrieved }: Fetched,
    _place: Option<Arc<Place>>,
) -> Result<(Retrieved, Counted), Error> {
    let size = body.size();
    let provenance = Provenance {
        account: id.clone(),
        uid: uid(entry),
        ordinal: entry.ordinal,
        digest: body.digest(),
        size,
        retrieved: host.clock.now(),
    };
    let arrival = Arrival { provenance, body, header: print.digest(), listed: entry.size };
    let admitted = host.spool.admit(vec![arrival]).await?;
    reach("body", "admitted");
    let returned = admitted.first().is_some_and(|admitted| !admitted.new);
    Ok((retrieved, Counted { octets: size, returned, key: (uid(entry), entry.ordinal) }))
}

/// One message that is durable here.
pub(super) struct Counted {
    pub(super) octets: u64,
    /// It was here before.
    pub(super) returned: bool,
    /// As the ledger knows it.
    pub(super) key: (Uid, u32),
}

/// A message that may be known by another name or size: by its content it is, or it is new.
async fn recognise(
    visit: &mut Visit<'_>,
    wanted: &Wanted<'_>,
    fetched: Fetched,
    here: &HashSet<(Uid, u32)>,
) -> Result<Retrieved, Error> {
    let spool = &visit.host.spool;
    let listed = as_listed(wanted.entry);
    let rows = spool.holding(visit.id, fetched.body.digest()).await?;
    match wanted.because {
        Because::New => {}
        Because::Doubtful => {
            if rows
                .iter()
                .any(|row| row.uid == listed.uid && row.ordinal == listed.ordinal && row.removed.is_none())
            {
                spool.resized(visit.id, &listed).await?;
                return Ok(fetched.retrieved);
            }
        }
        Because::Renumbered => {
            let gone = rows
                .iter()
                .find(|row| row.removed.is_none() && !here.contains(&(row.uid.clone(), row.ordinal)));
            if let Some(row) = gone {
                let adoption = Adoption { from: (row.uid.clone(), row.ordinal), to: listed };
                spool.adopt(visit.id, vec![adoption], visit.host.clock.now()).await?;
                visit.report.remapped += 1;
                return Ok(fetched.retrieved);
            }
        }
    }
    let (retrieved, counted) = admit(visit.host, visit.id, wanted.entry, fetched, None).await?;
    visit.count(counted);
    Ok(retrieved)
}

impl Visit<'_> {
    fn count(&mut self, counted: Counted) {
        self.report.retrieved += 1;
        self.report.octets += counted.octets;
        self.returned |= counted.returned && self.gone.contains(&counted.key);
        self.host.bells.inbox.notify_one();
        let (account, octets) = (self.id.clone(), counted.octets);
        self.host.observer.tell(Progress::Retrieved { account, octets });
    }
}

/// An entry as the ledger knows it.
pub(super) fn key(listed: &Listed) -> (Uid, u32) {
    (listed.uid.clone(), listed.ordinal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_fails_is_left_alone_for_an_hour_and_then_longer_up_to_a_day() {
        let hours: Vec<_> = (3..10).map(|times| patience(times).as_secs() / 3600).collect();
        assert_eq!(hours, [1, 2, 4, 8, 16, 24, 24]);
        assert_eq!(patience(u32::MAX).as_secs() / 3600, 24);
    }
}
