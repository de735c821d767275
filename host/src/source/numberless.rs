//! Servers without unique-ids: nothing tells known mail from new, so it may not stay there. Small batches are retrieved, made
//! durable and deleted in one session; what an uncertain `QUIT` left there is recognised by its content.

use std::collections::HashMap;
use std::time::Duration;

use postroom_mail::{Digest, Provenance, Uid};
use postroom_pop3::listing::ScanListing;
use postroom_pop3::{MessageNumber, Session, Transaction};
use postroom_spool::{Arrival, DeletePolicy, Listed, Sealed};

use super::error::Error;
use super::print::Print;
use super::remove;
use super::retrieve::{BUSY, next_try};
use super::room::Watch;
use super::visit::Visit;

/// Messages of one session: so many may have to be retrieved once more if its end is uncertain.
pub(super) const BATCH: usize = 20;
/// What was retrieved longer ago is not taken for the same mail.
const MEMORY: Duration = Duration::from_secs(30 * 86_400);

/// Takes one batch off the server.
pub(super) async fn take(
    visit: &mut Visit<'_>,
    mut session: Session<Transaction>,
    sizes: &ScanListing,
) -> Result<(), Error> {
    allowed(visit)?;
    visit.report.listed = sizes.sizes().count() as u64;
    visit.stumbles = visit.host.spool.stumbles(visit.id).await?;
    let wanted = wanted(visit, sizes);
    visit.report.new = wanted.len() as u64;
    let mut settled = Vec::new();
    let mut taken = Vec::new();
    let mut copies: HashMap<Digest, usize> = HashMap::new();
    for &(number, size) in wanted.iter().take(BATCH) {
        if visit.room(size).await? == 0 {
            break;
        }
        let Some(_place) = visit.host.in_flight.take(size.unwrap_or(visit.limit())).await else {
            visit.note(BUSY);
            break;
        };
        visit.taken(1, size.unwrap_or(0));
        let mut incoming = visit.host.spool.incoming(visit.limit())?;
        let mut watch = Watch::new(visit.host.spool.as_ref(), &visit.live.config.limits);
        let mut print = Print::default();
        let body = |octets: &[u8]| {
            watch.arrived(octets)?;
            print.take(octets);
            incoming.write(octets).map_err(Error::from)
        };
        let exchange = session.retr(number, visit.limit());
        let (back, answer) = match visit.wire.drive("RETR", exchange, body).await {
            Ok(done) => done,
            Err(error) if error.is_at_server() => {
                // The next session takes the others, and this one comes by itself after them.
                visit.again = true;
                stumbled(visit, number, size, error.to_string()).await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        session = back;
        let retrieved = match answer {
            Ok(retrieved) => retrieved,
            Err(rejection) => {
                stumbled(visit, number, size, rejection.to_string()).await?;
                visit.refuse(format!("message {number}: {rejection}"));
                continue;
            }
        };
        let listed = admit(visit, incoming.seal()?, print.digest(), size, &mut copies).await?;
        settled.push(retrieved);
        taken.push((number, listed));
    }
    for retrieved in settled {
        session.settle(retrieved);
    }
    let more = wanted.len() > BATCH;
    let removed = visit.report.removed;
    delete(visit, session, taken).await?;
    // Without progress the next session would be the same as this one.
    visit.report.more = more && visit.report.removed > removed;
    Ok(())
}

/// Mail that cannot be told apart has to leave the server at once: it may not even stay there for a day.
pub(super) fn allowed(visit: &Visit<'_>) -> Result<(), Error> {
    match remove::policy(visit) {
        DeletePolicy::Spooled { after } if after.is_zero() => Ok(()),
        _ => Err(Error::NoUniqueIds),
    }
}

/// What is asked for, in the server's order. What failed before comes by itself once nothing else is left: should it break the
/// session again, nothing else is kept from being deleted.
fn wanted(visit: &mut Visit<'_>, sizes: &ScanListing) -> Vec<(MessageNumber, Option<u64>)> {
    let (limit, now) = (visit.limit(), visit.host.clock.now());
    let stumbles = visit.stumbles.clone();
    let mut wanted = Vec::new();
    for (number, size) in sizes.sizes() {
        let key = placeholder(number, size);
        let stumble = stumbles.iter().find(|stumble| stumble.uid == key);
        if size.unwrap_or(0) > limit {
            let octets = size.unwrap_or(0);
            visit.refuse(format!(
                "message {number} has {octets} octets, the limit is {limit}: it stays on the server"
            ));
        } else if let Some(stumble) = stumble.filter(|stumble| next_try(stumble).is_some_and(|at| at > now)) {
            let times = stumble.times;
            visit.refuse(format!(
                "message {number} could not be retrieved {times} times in a row: it stays on the server"
            ));
        } else {
            wanted.push((stumble.map_or(0, |stumble| stumble.times), number, size));
        }
    }
    wanted.sort();
    match wanted.first() {
        Some((0, ..)) => wanted.retain(|(times, ..)| *times == 0),
        _ => wanted.truncate(1),
    }
    wanted.into_iter().map(|(_, number, size)| (number, size)).collect()
}

async fn stumbled(
    visit: &mut Visit<'_>,
    number: MessageNumber,
    size: Option<u64>,
    reason: String,
) -> Result<(), Error> {
    let listed = Listed { uid: placeholder(number, size), ordinal: 0, size };
    visit.host.spool.stumble(visit.id, &listed, reason, visit.host.clock.now()).await?;
    Ok(())
}

/// Commit point 1. What is known to be here, left there by a session whose end was uncertain, is admitted as what it is: that
/// makes no other message, and its octets take the place of a damaged body.
async fn admit(
    visit: &mut Visit<'_>,
    body: Sealed,
    header: Option<Digest>,
    size: Option<u64>,
    copies: &mut HashMap<Digest, usize>,
) -> Result<Listed, Error> {
    let (digest, octets, now) = (body.digest(), body.size(), visit.host.clock.now());
    let uid = made_up(digest);
    let rows = visit.host.spool.holding(visit.id, digest).await?;
    let rows: Vec<_> = rows.into_iter().filter(|row| row.uid == uid).collect();
    let copy = copies.entry(digest).or_default();
    let mut waiting = rows.iter().filter(|row| row.removed.is_none() && now.since(row.at) <= MEMORY);
    let known = waiting.nth(*copy).map(|row| row.ordinal);
    // The same octets once more are another message: those before were taken off the server for certain.
    let next = rows.iter().map(|row| row.ordinal + 1).max().unwrap_or(0);
    let ordinal = known.unwrap_or(next);
    *copy += 1;
    let account = visit.id.clone();
    let provenance = Provenance { account, uid: uid.clone(), ordinal, digest, size: octets, retrieved: now };
    visit.host.spool.admit(vec![Arrival { provenance, body, header, listed: size }]).await?;
    visit.host.bells.inbox.notify_one();
    if known.is_none() {
        visit.report.retrieved += 1;
        visit.report.octets += octets;
    }
    Ok(Listed { uid, ordinal, size })
}

async fn delete(
    visit: &mut Visit<'_>,
    mut session: Session<Transaction>,
    taken: Vec<(MessageNumber, Listed)>,
) -> Result<(), Error> {
    let entries: Vec<_> = taken.iter().map(|(_, listed)| listed.clone()).collect();
    let (now, policy) = (visit.host.clock.now(), DeletePolicy::Spooled { after: Duration::ZERO });
    let removals = visit.host.spool.removable(visit.id, &entries, policy, now).await?;
    let mut marked = Vec::new();
    for removable in remove::announce(visit, removals.removable).await? {
        let Some((number, _)) = taken.get(removable.index()) else { continue };
        let (back, answer) = visit.wire.ask("DELE", session.dele(*number)).await?;
        session = back;
        if answer.is_ok() {
            marked.push(removable);
        }
    }
    remove::quit(visit, session, marked).await
}

/// What a message is called that cannot be retrieved: its number changes as others go, so this only serves to ask for it late.
fn placeholder(number: MessageNumber, size: Option<u64>) -> Uid {
    Uid(format!("number {number} of {} octets", size.unwrap_or(0)).into_bytes())
}

/// A name that only the content decides.
fn made_up(digest: Digest) -> Uid {
    Uid(format!("sha256:{digest}").into_bytes())
}
