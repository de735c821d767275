//! Servers without unique-ids: nothing tells known mail from new, so it may not stay there. Small batches are retrieved, made
//! durable and deleted in one session; what an uncertain `QUIT` left there is recognised by its content.

use std::collections::HashMap;
use std::time::Duration;

use postroom_mail::{Digest, Provenance, Uid};
use postroom_pop3::listing::ScanListing;
use postroom_pop3::{MessageNumber, Session, Transaction};
use postroom_spool::{Arrival, DeletePolicy, Listed};

use super::error::Error;
use super::print::Print;
use super::remove;
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
    let policy = visit.account.delete;
    if !matches!(policy, DeletePolicy::Spooled { .. }) || visit.live.config.never_delete {
        return Err(Error::NoUniqueIds);
    }
    let total = sizes.sizes().count();
    visit.report.listed = total as u64;
    visit.report.new = total as u64;
    visit.report.more = total > BATCH;
    let mut settled = Vec::new();
    let mut listed: Vec<(MessageNumber, Listed)> = Vec::new();
    let mut copies: HashMap<Digest, u32> = HashMap::new();
    for (number, size) in sizes.sizes().take(BATCH) {
        let limit = visit.limit();
        if size.unwrap_or(0) > limit {
            visit.refuse(format!(
                "message {number} has {} octets, the limit is {limit}: it stays on the server",
                size.unwrap_or(0)
            ));
            continue;
        }
        let mut incoming = visit.host.spool.incoming(limit)?;
        let mut print = Print::default();
        let body = |octets: &[u8]| {
            print.take(octets);
            incoming.write(octets).map_err(Error::from)
        };
        let (back, answer) = visit.wire.drive("RETR", session.retr(number, limit), body).await?;
        session = back;
        let retrieved = match answer {
            Ok(retrieved) => retrieved,
            Err(rejection) => {
                visit.refuse(format!("message {number}: {rejection}"));
                continue;
            }
        };
        let body = incoming.seal()?;
        let (digest, octets, now) = (body.digest(), body.size(), visit.host.clock.now());
        let copy = copies.entry(digest).or_default();
        let (uid, ordinal) = (made_up(digest), *copy);
        *copy += 1;
        let known = visit.host.spool.holding(visit.id, digest).await?;
        let again = known.iter().any(|row| {
            row.uid == uid && row.ordinal == ordinal && row.removed.is_none() && now.since(row.at) <= MEMORY
        });
        if !again {
            let account = visit.id.clone();
            let provenance =
                Provenance { account, uid: uid.clone(), ordinal, digest, size: octets, retrieved: now };
            let arrival = Arrival { provenance, body, header: print.digest(), listed: size };
            visit.host.spool.admit(vec![arrival]).await?;
            visit.report.retrieved += 1;
            visit.report.octets += octets;
            visit.host.bells.inbox.notify_one();
        }
        settled.push(retrieved);
        listed.push((number, Listed { uid, ordinal, size }));
    }
    for retrieved in settled {
        session.settle(retrieved);
    }
    let entries: Vec<_> = listed.iter().map(|(_, listed)| listed.clone()).collect();
    let now = visit.host.clock.now();
    let removals = visit
        .host
        .spool
        .removable(visit.id, &entries, DeletePolicy::Spooled { after: Duration::ZERO }, now)
        .await?;
    visit.host.spool.deleting(&removals.removable, now).await?;
    let mut marked = Vec::new();
    for removable in removals.removable {
        let Some((number, _)) = listed.get(removable.index()) else { continue };
        let (back, answer) = visit.wire.ask("DELE", session.dele(*number)).await?;
        session = back;
        if answer.is_ok() {
            marked.push(removable);
        }
    }
    remove::quit(visit, session, marked).await
}

/// A name that only the content decides.
fn made_up(digest: Digest) -> Uid {
    Uid(format!("sha256:{digest}").into_bytes())
}
