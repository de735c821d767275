//! One poll in the order of the host: list, reconcile, observe, retrieve and admit, prove, mark, `DELE`, `QUIT`, record.

use std::sync::Arc;
use std::time::Duration;

use postroom_mail::{Digest, Uid};
use postroom_pop3::listing::{self, Listing, ScanListing, UidListing};
use postroom_pop3::session::{LoginAnswer, Retrieved};
use postroom_pop3::{Channel, Credentials, Nonce, Session, Transaction};
use postroom_spool::{Arrival, Error, Incoming, Listed, PollOutcome, Removable, Spool};

use crate::host::Host;
use crate::line::Line;
use crate::mails::account;

/// Octets of a message at most.
const LIMIT: u64 = 1 << 20;
const TOMBSTONE: Duration = Duration::from_secs(90 * 86_400);

/// Why a session ended early.
enum Trouble {
    /// At the server.
    Line(postroom_pop3::Error),
    /// Here.
    Spool(Error),
}

impl From<postroom_pop3::Error> for Trouble {
    fn from(error: postroom_pop3::Error) -> Self {
        Self::Line(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Spool(error)
    }
}

impl Host {
    pub(crate) async fn poll(&mut self) -> Result<(), Error> {
        let outcome = match self.visit().await {
            Ok(listed) => PollOutcome::Complete { listed },
            Err(Trouble::Line(error)) => PollOutcome::Failed { reason: error.to_string() },
            Err(Trouble::Spool(error)) => return Err(error),
        };
        self.spool().close_poll(&account(), outcome, self.now).await
    }

    async fn visit(&mut self) -> Result<u64, Trouble> {
        let (spool, now, policy) = (self.spool(), self.now, self.policy);
        // Both are needed at once below.
        let mut maildrop = std::mem::replace(
            &mut self.world.maildrop,
            crate::maildrop::Maildrop::new(crate::maildrop::Cut::Never),
        );
        let mut line = Line::connect(&mut maildrop, Arc::clone(&self.journal));
        let two = self.random.toss();
        let visited = async {
            let (session, listing, listed) = list(&mut line)?;
            let found = spool.reconcile(&account(), &listed).await?;
            spool.observe(&account(), &listed, true, TOMBSTONE, now).await?;
            let wanted = [found.new, found.doubtful].concat();
            let session =
                retrieve(&mut line, session, &*spool, (&listing, &listed), &wanted, now, two).await?;
            let removals = spool.removable(&account(), &listed, policy, now).await?;
            spool.deleting(&removals.removable, now).await?;
            let (session, marked) = mark(&mut line, session, &listing, removals.removable)?;
            let answer = line.ask(session.quit()?);
            if !marked.is_empty() {
                answer?.expect("the server removes what it marked");
                spool.removed(marked, now).await?;
            }
            Ok(listed.len() as u64)
        };
        let ended = visited.await;
        self.world.maildrop = maildrop;
        ended
    }
}

fn list(line: &mut Line<'_>) -> Result<(Session<Transaction>, Listing, Vec<Listed>), Trouble> {
    let session = line.ask(Session::new(Channel::Tls).greeting())?.expect("a greeting");
    let credentials = Credentials::new("keeper", "secret").expect("plain words");
    let session = match line.ask(session.login(&credentials, Nonce::new([7; 18])).expect("USER"))? {
        LoginAnswer::Accepted(session) => session,
        LoginAnswer::Refused(_, rejection) => panic!("{rejection}"),
    };
    let (session, stat) = line.ask(session.stat())?;
    let stat = stat.expect("STAT");
    if stat.count == 0 {
        return Ok((session, listing::join(&ScanListing::default(), &UidListing::default()), Vec::new()));
    }
    let (session, sizes) = line.ask(session.list())?;
    let (session, ids) = line.ask(session.uidl())?;
    let listing = listing::join(&sizes.expect("LIST"), &ids.expect("UIDL")).against(stat);
    let listed = listing.entries.iter().map(|entry| Listed {
        uid: Uid(entry.uid.as_bytes().to_vec()),
        ordinal: entry.ordinal,
        size: entry.size,
    });
    let listed = listed.collect();
    Ok((session, listing, listed))
}

/// What arrived whole, on its way to the commit.
#[derive(Default)]
struct Waiting {
    arrivals: Vec<Arrival>,
    retrieved: Vec<Retrieved>,
}

impl Waiting {
    /// Commit point 1.
    async fn admit(&mut self, spool: &dyn Spool, session: &mut Session<Transaction>) -> Result<(), Error> {
        if !self.arrivals.is_empty() {
            spool.admit(std::mem::take(&mut self.arrivals)).await?;
        }
        for retrieved in self.retrieved.drain(..) {
            session.settle(retrieved);
        }
        Ok(())
    }
}

async fn retrieve(
    line: &mut Line<'_>,
    mut session: Session<Transaction>,
    spool: &dyn Spool,
    (listing, listed): (&Listing, &[Listed]),
    wanted: &[usize],
    now: postroom_mail::Timestamp,
    two: bool,
) -> Result<Session<Transaction>, Trouble> {
    let mut waiting = Waiting::default();
    for &index in wanted {
        let mut incoming = spool.incoming(LIMIT)?;
        let mut written = Ok(());
        let take = |octets: &[u8]| write(&mut incoming, &mut written, octets);
        let driven = line.drive(session.retr(listing.entries[index].number, LIMIT), take);
        let (back, retrieved) = match driven {
            Ok(driven) => driven,
            Err(error) => {
                // The session is over, but what came whole before is kept.
                if !waiting.arrivals.is_empty() {
                    spool.admit(waiting.arrivals).await?;
                }
                return Err(error.into());
            }
        };
        session = back;
        written?;
        let body = incoming.seal()?;
        let entry = &listed[index];
        let (digest, size): (Digest, u64) = (body.digest(), body.size());
        let provenance = postroom_mail::Provenance {
            account: account(),
            uid: entry.uid.clone(),
            ordinal: entry.ordinal,
            digest,
            size,
            retrieved: now,
        };
        waiting.arrivals.push(Arrival { provenance, body, header: None, listed: entry.size });
        waiting.retrieved.push(retrieved.expect("RETR"));
        if !two || waiting.arrivals.len() == 2 {
            waiting.admit(spool, &mut session).await?;
        }
    }
    waiting.admit(spool, &mut session).await?;
    Ok(session)
}

fn write(incoming: &mut Incoming, written: &mut Result<(), Error>, octets: &[u8]) {
    if written.is_ok() {
        *written = incoming.write(octets);
    }
}

fn mark(
    line: &mut Line<'_>,
    mut session: Session<Transaction>,
    listing: &Listing,
    removable: Vec<Removable>,
) -> Result<(Session<Transaction>, Vec<Removable>), Trouble> {
    for one in &removable {
        let (back, answer) = line.ask(session.dele(listing.entries[one.index()].number))?;
        session = back;
        answer.expect("DELE");
    }
    Ok((session, removable))
}
