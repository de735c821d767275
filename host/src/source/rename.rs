//! Known mail under new names: after a server renumbered its maildrop, or lists a known unique-id with another size. The
//! header decides where it can, the content where it must; nothing is retrieved twice that need not be.

use std::collections::HashSet;

use postroom_mail::Uid;
use postroom_pop3::{Listing, Session, Transaction};
use postroom_spool::{Adoption, SeenRow};

use super::contact::header;
use super::error::Error;
use super::print::Print;
use super::retrieve::{Because, Wanted, key};
use super::visit::{Visit, as_listed};

/// Rows of the ledger that are read at once.
const PAGE: usize = 10_000;
/// So many are written down at once, so that a broken session does not cost all of them.
const TOGETHER: usize = 100;

/// Matches entries with unknown unique-ids with known messages that the listing lacks. What matches none is to be retrieved,
/// and compared by its content then.
pub(super) async fn matched<'a>(
    visit: &mut Visit<'_>,
    mut session: Session<Transaction>,
    listing: &'a Listing,
    new: &[usize],
    here: &HashSet<(Uid, u32)>,
) -> Result<(Session<Transaction>, Vec<Wanted<'a>>), Error> {
    let mut unknown = Vec::new();
    let mut adoptions: Vec<Adoption> = Vec::new();
    let mut taken: HashSet<(Uid, u32)> = HashSet::new();
    for entry in new.iter().filter_map(|&index| listing.entries.get(index)) {
        let (back, print) = header(visit, session, entry).await?;
        session = back;
        let mut known = None;
        if let Some(digest) = print.as_ref().and_then(Print::digest) {
            let rows = visit.host.spool.resembling(visit.id, digest).await?;
            known = rows.into_iter().find(|row| {
                let of = (row.uid.clone(), row.ordinal);
                let same_size = row.size.is_some() && row.size == entry.size;
                row.removed.is_none() && same_size && !here.contains(&of) && !taken.contains(&of)
            });
        }
        match known {
            Some(row) => {
                taken.insert((row.uid.clone(), row.ordinal));
                adoptions.push(Adoption { from: (row.uid, row.ordinal), to: as_listed(entry) });
            }
            None => unknown.push(Wanted { entry, because: Because::Renumbered }),
        }
        if adoptions.len() >= TOGETHER {
            adopt(visit, std::mem::take(&mut adoptions)).await?;
        }
    }
    adopt(visit, adoptions).await?;
    visit.note(format!(
        "the server renumbered its mail: {} of its messages were recognised, {} are looked at",
        visit.report.remapped,
        unknown.len()
    ));
    Ok((session, unknown))
}

/// Whether most of what the listing lacks can never be recognised: it was marked as seen, not retrieved, so that neither its
/// header nor its content is known here.
pub(super) async fn unknowable(visit: &mut Visit<'_>, here: &HashSet<(Uid, u32)>) -> Result<bool, Error> {
    let (mut known, mut unknown) = (0_u64, 0_u64);
    let mut after = None;
    loop {
        let rows = visit.host.spool.seen(visit.id, after, PAGE).await?;
        let Some(last) = rows.last() else { return Ok(unknown > known) };
        after = Some((last.uid.clone(), last.ordinal));
        let gone = |row: &&SeenRow| {
            row.absent == 0 && row.removed.is_none() && !here.contains(&(row.uid.clone(), row.ordinal))
        };
        for row in rows.iter().filter(gone) {
            match row.header.is_some() || row.message.is_some() {
                true => known += 1,
                false => unknown += 1,
            }
        }
    }
}

async fn adopt(visit: &mut Visit<'_>, adoptions: Vec<Adoption>) -> Result<(), Error> {
    if !adoptions.is_empty() {
        let now = visit.host.clock.now();
        visit.report.remapped += visit.host.spool.adopt(visit.id, adoptions, now).await?;
    }
    Ok(())
}

/// Looks at entries whose removal the server had confirmed. What its header shows to be the same message is not retrieved
/// again; answers which entries those are.
pub(super) async fn returned(
    visit: &mut Visit<'_>,
    mut session: Session<Transaction>,
    listing: &Listing,
    returned: &[usize],
) -> Result<(Session<Transaction>, HashSet<usize>), Error> {
    let mut same = HashSet::new();
    for (&index, entry) in returned.iter().filter_map(|index| Some((index, listing.entries.get(*index)?))) {
        let (back, print) = header(visit, session, entry).await?;
        session = back;
        let Some(digest) = print.as_ref().and_then(Print::digest) else { continue };
        let listed = as_listed(entry);
        let rows = visit.host.spool.resembling(visit.id, digest).await?;
        if rows.iter().any(|row| (row.uid.clone(), row.ordinal) == key(&listed)) {
            visit.host.spool.returned(visit.id, &listed, visit.host.clock.now()).await?;
            visit.returned = true;
            same.insert(index);
        }
    }
    Ok((session, same))
}

/// Looks at entries whose listed size changed. What its header does not show to be the known message is to be retrieved.
pub(super) async fn verified<'a>(
    visit: &mut Visit<'_>,
    mut session: Session<Transaction>,
    listing: &'a Listing,
    doubtful: &[usize],
) -> Result<(Session<Transaction>, Vec<Wanted<'a>>), Error> {
    let mut unknown = Vec::new();
    for entry in doubtful.iter().filter_map(|&index| listing.entries.get(index)) {
        let (back, print) = header(visit, session, entry).await?;
        session = back;
        let listed = as_listed(entry);
        let rows = match print.as_ref().and_then(Print::digest) {
            Some(digest) => visit.host.spool.resembling(visit.id, digest).await?,
            None => Vec::new(),
        };
        if rows.iter().any(|row| (row.uid.clone(), row.ordinal) == key(&listed)) {
            visit.host.spool.resized(visit.id, &listed).await?;
        } else {
            unknown.push(Wanted { entry, because: Because::Doubtful });
        }
    }
    Ok((session, unknown))
}
