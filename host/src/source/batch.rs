//! Messages asked for together, and the proof that each reply is that to its own command.
//!
//! With commands sent ahead, one reply too many or too few would give every message the octets of its neighbour, under a
//! unique-id that then counts as known. So nothing of a batch is handed out before both sides are known to be in step. Must
//! not commit anything.

use postroom_failpoint::reach;
use postroom_mail::Digest;
use postroom_pop3::command::Verb;
use postroom_pop3::session::{Answered, Batch, Rest, Retrieved};
use postroom_pop3::{Eol, Rejection, Session, Transaction};
use postroom_spool::Sealed;

use super::error::Error;
use super::print::Print;
use super::retrieve::{Wanted, broke};
use super::room::Watch;
use super::visit::Visit;

/// What arrived and is to be committed.
pub(super) struct Fetched {
    pub(super) body: Sealed,
    pub(super) print: Print,
    pub(super) retrieved: Retrieved,
}

/// Asks for a batch, and gives what arrived only when both sides are known to agree on where they are: a reply too many or
/// too few would give every message the octets of its neighbour.
pub(super) async fn fetch(
    visit: &mut Visit<'_>,
    session: Session<Transaction>,
    batch: &[Wanted<'_>],
    last: &mut Option<Digest>,
) -> Result<(Session<Transaction>, Vec<Result<Fetched, Rejection>>), Error> {
    let mut line = Line::Idle(session);
    let mut arrived = Vec::with_capacity(batch.len());
    for (index, wanted) in batch.iter().enumerate() {
        let (next, fetched) = match line.fetch(visit, &batch[index..]).await {
            Ok(done) => done,
            Err(error) => return Err(broke(visit, wanted.entry, batch.len() > 1, error).await?),
        };
        line = next;
        arrived.push(fetched);
    }
    let session = line.idle()?;
    let digest = arrived.iter().flatten().last().map(|fetched| fetched.body.digest());
    let twin = digest.is_some() && std::mem::replace(last, digest) == digest;
    // The same octets twice in a row may be the last reply once more.
    if batch.len() == 1 && !twin {
        return Ok((session, arrived));
    }
    // The answer to STAT is the same in all of a session, and no message's status line looks like it.
    let (session, stat) = match visit.wire.ask("STAT", session.stat()).await {
        Ok(done) => done,
        Err(error) => return Err(broke(visit, batch[0].entry, true, error).await?),
    };
    if visit.stat != Some(stat?) || crossed(batch, &arrived) {
        let fault = postroom_pop3::ServerMisbehaved::Unsolicited {
            verb: Verb::Retr,
            text: "a message of another one's size".to_owned(),
        };
        let error = postroom_pop3::Error::OutOfStep { fault, unanswered: 0 };
        return Err(broke(visit, batch[0].entry, true, error.into()).await?);
    }
    Ok((session, arrived))
}

/// Whether the replies seem to be those to other commands: two messages that each have the size listed for the other, one that
/// has its neighbour's size, or two neighbours with the same octets and different sizes.
fn crossed(batch: &[Wanted<'_>], arrived: &[Result<Fetched, Rejection>]) -> bool {
    let sizes: Vec<_> = batch
        .iter()
        .zip(arrived)
        .filter_map(|(wanted, fetched)| Some((wanted.entry.size?, fetched.as_ref().ok()?.body.size())))
        .collect();
    let swapped = sizes.iter().any(|(listed, came)| {
        listed != came && sizes.iter().any(|(other, theirs)| other == came && theirs == listed)
    });
    let shifted = sizes.windows(2).any(|two| two[1].0 != two[1].1 && two[1].1 == two[0].0);
    let digest =
        |fetched: &Result<Fetched, Rejection>| fetched.as_ref().ok().map(|fetched| fetched.body.digest());
    let doubled = batch.windows(2).zip(arrived.windows(2)).any(|(wanted, fetched)| {
        wanted[0].entry.size != wanted[1].entry.size
            && digest(&fetched[0]).is_some()
            && digest(&fetched[0]) == digest(&fetched[1])
    });
    swapped || shifted || doubled
}

/// A session between commands, or with replies to come.
enum Line {
    Idle(Session<Transaction>),
    Ahead(postroom_pop3::session::Outstanding<postroom_pop3::session::Retr>),
}

impl Line {
    /// The next message of a batch, of which the first is `batch[0]`.
    async fn fetch(
        self,
        visit: &mut Visit<'_>,
        batch: &[Wanted<'_>],
    ) -> Result<(Self, Result<Fetched, Rejection>), Error> {
        let (limit, spool) = (visit.limit(), visit.host.spool.as_ref());
        let mut incoming = spool.incoming(limit)?;
        let mut watch = Watch::new(spool, &visit.live.config.limits);
        reach("body", "begun");
        let mut print = Print::default();
        let take = |octets: &[u8]| {
            watch.arrived(octets)?;
            print.take(octets);
            incoming.write(octets).map_err(Error::from)
        };
        let (line, outcome) = match (self, batch) {
            (Self::Idle(session), [only]) => {
                let exchange = session.retr(only.entry.number, limit);
                let (session, outcome) = visit.wire.drive("RETR", exchange, take).await?;
                (Self::Idle(session), outcome)
            }
            (Self::Idle(session), batch) => {
                let numbers: Vec<_> = batch.iter().map(|wanted| wanted.entry.number).collect();
                let Some(batch) = Batch::new(&numbers) else {
                    let source = std::io::Error::other("that many commands are never sent at once");
                    return Err(Error::Broken { doing: "RETR", source });
                };
                let exchange = session.retr_ahead(batch, limit)?;
                answered(visit.wire.drive("RETR", exchange, take).await?)
            }
            (Self::Ahead(outstanding), _) => {
                answered(visit.wire.drive("RETR", outstanding.next_reply(), take).await?)
            }
        };
        let retrieved = match outcome {
            Ok(retrieved) => retrieved,
            Err(rejection) => return Ok((line, Err(rejection))),
        };
        let line = match (line, retrieved.tally().eol) {
            // A server that ends lines with a bare LF cannot mark a message's end for certain: see that both sides still
            // agree on where they are before the message counts.
            (Self::Idle(session), Eol::Lf) => {
                let (session, answer) = visit.wire.ask("NOOP", session.noop()).await?;
                answer?;
                Self::Idle(session)
            }
            (line, _) => line,
        };
        let body = incoming.seal()?;
        reach("body", "sealed");
        Ok((line, Ok(Fetched { body, print, retrieved })))
    }

    fn idle(self) -> Result<Session<Transaction>, Error> {
        match self {
            Self::Idle(session) => Ok(session),
            Self::Ahead(outstanding) => {
                let unanswered = outstanding.numbers().count();
                let fault = postroom_pop3::ServerMisbehaved::Closed { during: Verb::Retr };
                Err(postroom_pop3::Error::OutOfStep { fault, unanswered }.into())
            }
        }
    }
}

fn answered(answered: Answered<postroom_pop3::session::Retr>) -> (Line, Result<Retrieved, Rejection>) {
    let line = match answered.rest {
        Rest::More(outstanding) => Line::Ahead(outstanding),
        Rest::Idle(session) => Line::Idle(session),
    };
    (line, answered.outcome)
}
