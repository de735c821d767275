//! What an open maildrop shows of itself: counts, unique-ids, delays, whether `TOP` and `PIPELINING` are what they claim.
//! The riskiest question comes last, so that a server that fails at it costs no other finding.

use postroom_mail::Digest;
use postroom_pop3::session::{Batch, Rest};
use postroom_pop3::{MessageNumber, Session, Transaction};

use super::super::error::Error;
use super::super::inventory::{self, Inventory};
use super::super::wire::Wire;
use super::shape::Shape;
use super::top::{Shown, suitable};
use super::{Probe, mechanisms};

/// An answer to `TOP n 0` of more octets is not waited for.
const LIMIT: u64 = 64 << 20;

pub(super) async fn look(
    probe: &mut Probe<'_>,
    mut wire: Wire,
    session: Session<Transaction>,
) -> Result<(), Error> {
    let session = capabilities(probe, &mut wire, session).await?;
    probe.stage("counting");
    let mut inventory = Inventory::default();
    let taken = inventory::take(&mut wire, session, &mut inventory).await;
    let count = counts(probe, &inventory);
    let session = taken?;
    let session = match chosen(&inventory) {
        None => {
            probe.note("TOP", "not tried: there is no message to try it on");
            Some(session)
        }
        Some(numbers) => {
            probe.stage("trying TOP");
            let (session, shown) = top(probe, &mut wire, session, numbers.0, count).await?;
            probe.stage("trying PIPELINING");
            pipelining(probe, &mut wire, session, numbers, shown).await?
        }
    };
    if let Some(session) = session {
        probe.stage("ending the session");
        match wire.quit(session.quit()?).await? {
            Ok(()) => probe.fact("QUIT", "confirmed; nothing was retrieved or deleted"),
            Err(rejection) => probe.note("QUIT", format!("{rejection}; nothing was to be deleted")),
        }
    }
    Ok(())
}

/// After the login the answer may be another (RFC 2449 section 5).
async fn capabilities(
    probe: &mut Probe<'_>,
    wire: &mut Wire,
    session: Session<Transaction>,
) -> Result<Session<Transaction>, Error> {
    if probe.known.no_capa {
        return Ok(session);
    }
    let (session, answer) = wire.ask("CAPA", session.capa()).await?;
    let found = match answer {
        Ok(found) => found,
        Err(rejection) => {
            probe.note("after login", format!("CAPA is not known: {rejection}"));
            return Ok(session);
        }
    };
    probe.fact("after login", mechanisms::listed(&found));
    if let Some(delay) = found.login_delay {
        probe.known.login_delay = delay.seconds;
        let text = format!("the server wants {} s between two logins; a poll waits for that", delay.seconds);
        probe.note("LOGIN-DELAY", text);
    }
    match found.expire.map(|expire| expire.days) {
        None => {}
        Some(None) => probe.fact("EXPIRE", "never: mail stays until it is deleted"),
        Some(Some(0)) => probe.warn(
            "EXPIRE",
            "0: mail may vanish, or be hidden from later sessions, once it was retrieved. Leaving it on the server is not \
             guaranteed: the copy here may be the only one",
        ),
        Some(Some(days)) => {
            probe.note("EXPIRE", format!("the server deletes mail by itself after {days} days"));
        }
    }
    Ok(session)
}

/// Tells what was answered; gives back how many messages there are.
fn counts(probe: &mut Probe<'_>, Inventory { stat, sizes, ids }: &Inventory) -> u64 {
    let Some(stat) = stat else { return 0 };
    let octets = stat.octets.map(|octets| format!(", {octets} octets")).unwrap_or_default();
    probe.fact("STAT", format!("{} messages{octets}", stat.count));
    match sizes {
        None => {}
        Some(Ok(sizes)) => {
            let (listed, odd) = (sizes.sizes().count() as u64, sizes.oddities());
            let text = format!("{listed} messages");
            if listed == stat.count {
                probe.fact("LIST", text);
            } else {
                probe.warn(
                    "LIST",
                    format!("{text}, but STAT counts {}: nothing absent counts as gone", stat.count),
                );
            }
            oddities(probe, "LIST", odd.unreadable, odd.repeated);
            let unknown = sizes.sizes().filter(|(_, size)| size.is_none()).count();
            if unknown > 0 {
                probe.note("LIST", format!("{unknown} messages without a size"));
            }
        }
        Some(Err(rejection)) => probe.warn("LIST", rejection.to_string()),
    }
    match ids {
        None => {}
        Some(Ok(ids)) => {
            let shape = Shape::of(ids.ids().map(|(_, id)| id.map(postroom_pop3::UniqueId::as_bytes)));
            if shape.count as u64 != stat.count {
                let text = format!(
                    "{} listed, but STAT counts {}: nothing absent counts as gone",
                    shape.count, stat.count
                );
                probe.warn("UIDL", text);
            }
            shape.told().into_iter().for_each(|(level, text)| probe.add(level, "UIDL", text));
            let odd = ids.oddities();
            oddities(probe, "UIDL", odd.unreadable, odd.repeated);
        }
        Some(Err(rejection)) if stat.count == 0 => {
            probe.note("UIDL", format!("{rejection}; the maildrop is empty, which may be why"));
        }
        Some(Err(rejection)) => {
            let text = format!(
                "{rejection}: without unique-ids mail can only be taken off the server, delete = {{ when = \"spooled\", after = \
                 \"0s\" }}"
            );
            probe.warn("UIDL", text);
        }
    }
    stat.count
}

fn oddities(probe: &mut Probe<'_>, what: &'static str, unreadable: u64, repeated: u64) {
    if unreadable + repeated > 0 {
        probe.warn(what, format!("{unreadable} lines cannot be read, {repeated} repeat a message's number"));
    }
}

/// Two messages, or one twice.
fn chosen(inventory: &Inventory) -> Option<(MessageNumber, MessageNumber)> {
    let sizes = inventory.sizes.as_ref()?.as_ref().ok()?;
    let first = suitable(sizes.sizes())?;
    let second = suitable(sizes.sizes().filter(|(number, _)| *number != first)).unwrap_or(first);
    Some((first, second))
}

/// Asks for one header. `STAT` after it shows whether the server answered once.
async fn top(
    probe: &mut Probe<'_>,
    wire: &mut Wire,
    session: Session<Transaction>,
    number: MessageNumber,
    count: u64,
) -> Result<(Session<Transaction>, Option<Digest>), Error> {
    let mut shown = Shown::default();
    let take = |octets: &[u8]| {
        shown.take(octets);
        Ok(())
    };
    let (session, answer) = wire.drive("TOP", session.top(number, 0, LIMIT), take).await?;
    if let Err(rejection) = answer {
        let text = "headers cannot be looked at, so renumbered mail has to be retrieved to be recognised, and first = { days } \
                    takes everything";
        probe.warn("TOP", format!("{rejection}; {text}"));
        return Ok((session, None));
    }
    match (shown.ended(), shown.beyond()) {
        (true, 0) => probe.fact("TOP", format!("TOP {number} 0 gives the header, {} octets", shown.octets())),
        (false, _) => {
            probe.note("TOP", format!("TOP {number} 0 ends without the blank line after the header"))
        }
        (true, beyond) => {
            let text = format!(
                "TOP {number} 0 gives {beyond} octets beyond the header: looking at headers costs as much as retrieving"
            );
            probe.warn("TOP", text);
        }
    }
    let step = wire.ask("STAT", session.stat()).await;
    match step {
        Ok((session, Ok(stat))) if stat.count == count => {
            probe.fact("TOP", "answered once: the next command was answered rightly");
            Ok((session, Some(shown.digest())))
        }
        Ok((_, Ok(stat))) => {
            probe.warn("TOP", format!("STAT counts {} after it, {count} before", stat.count));
            Err(postroom_pop3::Error::from(postroom_pop3::ServerMisbehaved::Malformed {
                verb: postroom_pop3::command::Verb::Stat,
                text: format!("{} after TOP", stat.count),
            })
            .into())
        }
        Ok((_, Err(rejection))) => Err(rejection.into()),
        Err(error) => {
            probe.warn(
                "TOP",
                "answered more than once, or not to its end: the next command got what was left of it",
            );
            Err(error)
        }
    }
}

/// Sends two commands ahead and compares the answers with single ones; `None` when the session broke over it.
async fn pipelining(
    probe: &mut Probe<'_>,
    wire: &mut Wire,
    session: Session<Transaction>,
    (first, second): (MessageNumber, MessageNumber),
    shown: Option<Digest>,
) -> Result<Option<Session<Transaction>>, Error> {
    if !session.may_pipeline() {
        probe.fact("PIPELINING", "not offered: commands are sent one by one");
        return Ok(Some(session));
    }
    let Some(single) = shown else {
        probe.note("PIPELINING", "offered, but not tried: it is tried with TOP");
        return Ok(Some(session));
    };
    let mut other = Shown::default();
    let take = |octets: &[u8]| {
        other.take(octets);
        Ok(())
    };
    let (session, answer) = wire.drive("TOP", session.top(second, 0, LIMIT), take).await?;
    if answer.is_err() {
        probe.note("PIPELINING", "offered, but not tried: TOP of another message was refused");
        return Ok(Some(session));
    }
    let expected = [single, other.digest()];
    match ahead(wire, session, &[first, second]).await {
        Ok((session, got)) if got == expected.map(Some) => {
            probe.fact("PIPELINING", "two commands sent ahead were answered as they are one by one");
            Ok(Some(session))
        }
        Ok((session, _)) => {
            probe.known.broken_pipelining = true;
            probe.warn(
                "PIPELINING",
                "offered, but commands sent ahead are answered otherwise than one by one",
            );
            Ok(Some(session))
        }
        Err(error) if breaks(&error) => {
            probe.known.broken_pipelining = true;
            probe.warn("PIPELINING", format!("offered, but commands sent ahead break the session: {error}"));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn ahead(
    wire: &mut Wire,
    session: Session<Transaction>,
    numbers: &[MessageNumber],
) -> Result<(Session<Transaction>, Vec<Option<Digest>>), Error> {
    let Some(batch) = Batch::new(numbers) else { return Ok((session, Vec::new())) };
    let mut exchange = session.top_ahead(batch, 0, LIMIT)?;
    let mut digests = Vec::new();
    loop {
        let mut shown = Shown::default();
        let take = |octets: &[u8]| {
            shown.take(octets);
            Ok(())
        };
        let answered = wire.drive("TOP", exchange, take).await?;
        digests.push(answered.outcome.ok().map(|_| shown.digest()));
        match answered.rest {
            Rest::More(outstanding) => exchange = outstanding.next_reply(),
            Rest::Idle(session) => return Ok((session, digests)),
        }
    }
}

/// Whether sending ahead is to blame.
fn breaks(error: &Error) -> bool {
    error.lost_step() || matches!(error, Error::Silent { .. } | Error::Broken { .. })
}
