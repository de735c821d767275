//! What a poll would do and why, without doing it. Owns no rule of its own: it asks those of a poll in their order. Must not
//! retrieve, delete or record anything.

use postroom_pop3::listing::ScanListing;
use postroom_pop3::{Listing, Session, Transaction};
use postroom_spool::{DeletePolicy, Listed, Reconciled, Why};

use super::error::Error;
use super::gate::{self, Verdict};
use super::numberless::{BATCH, allowed};
use super::remove::{borrowed, policy, quit};
use super::report::{Fate, Rehearsed};
use super::retrieve::{stumble_of, unwanted};
use super::visit::Visit;
use crate::config::{First, Renumbered};

/// Of a maildrop whose messages can be told apart.
pub(super) async fn identified(
    visit: &mut Visit<'_>,
    session: Session<Transaction>,
    listing: &Listing,
    listed: &[Listed],
    found: &Reconciled,
) -> Result<(), Error> {
    let now = visit.host.clock.now();
    let removals = visit.host.spool.removable(visit.id, listed, policy(visit), now).await?;
    let stumbles = visit.host.spool.stumbles(visit.id).await?;
    // What is counted here is never written down.
    let habits = &mut visit.habits.maildrop;
    let on_renumbering = visit.account.renumbered;
    let verdict = gate::judge(visit.report.listed, found, listing.complete, on_renumbering, habits);
    let new = of_new(&verdict);
    let name =
        |index: usize| listing.entries.get(index).map(|entry| entry.uid.to_string()).unwrap_or_default();
    let mut lines = Vec::with_capacity(listed.len());
    for kept in &removals.kept {
        let mut line = Rehearsed::left(name(kept.index), *kept);
        if kept.why == Why::PolicyNever {
            line.why = why_never(visit).to_owned();
        }
        if let Some(entry) = listing.entries.get(kept.index) {
            let refused = || unwanted(entry, stumble_of(&stumbles, entry), visit.limit(), now);
            if found.new.contains(&kept.index) {
                let seeded =
                    found.first.then(|| at_first_contact(visit.account.first, kept.index, listed.len()));
                (line.fate, line.why) = match (seeded.flatten(), kept.why) {
                    (Some((Fate::Leave, why)), _) => (Fate::Leave, why),
                    (Some((fate, why)), _) => refused().map_or((fate, why), |why| (Fate::Leave, why)),
                    (None, Why::Removed) => (new.0, kept.why.to_string()),
                    (None, _) => refused().map_or_else(|| new.clone(), |why| (Fate::Leave, why)),
                };
            } else if found.doubtful.contains(&kept.index) {
                line.fate = Fate::Leave;
                line.why = "it is listed with another size than before: its header is looked at, and it is retrieved if that does \
                            not show it to be the known message"
                    .to_owned();
            }
        }
        lines.push((kept.index, line));
    }
    let held = matches!(verdict, Verdict::Held(_));
    lines.extend(removals.removable.iter().map(|removable| {
        let uid = name(removable.index());
        let why = match held {
            true => "the listing is not believed, so nothing is done about it".to_owned(),
            false => format!(
                "message {} is safe here and the policy's time is over",
                removable.message().0.short(12)
            ),
        };
        (removable.index(), Rehearsed { uid, fate: if held { Fate::Leave } else { Fate::Delete }, why })
    }));
    lines.sort_by_key(|(index, _)| *index);
    match verdict {
        Verdict::Held(reason) => visit.report.held = Some(reason),
        Verdict::Doubted(reason) => visit.note(reason),
        Verdict::Believed | Verdict::Renumbered(_) => {}
    }
    visit.report.rehearsed = lines.into_iter().map(|(_, line)| line).collect();
    visit.report.new =
        visit.report.rehearsed.iter().filter(|line| line.fate == Fate::Retrieve).count() as u64;
    quit(visit, session, Vec::new()).await
}

/// Of a server without unique-ids, where retrieval and deletion are one.
pub(super) async fn numbered(
    visit: &mut Visit<'_>,
    session: Session<Transaction>,
    sizes: &ScanListing,
) -> Result<(), Error> {
    allowed(visit)?;
    let line = |(index, (number, size)): (usize, (postroom_pop3::MessageNumber, Option<u64>))| {
        let (fate, why) = if size.unwrap_or(0) > visit.limit() {
            (Fate::Leave, "it is larger than `limits.message`".to_owned())
        } else if index >= BATCH {
            (
                Fate::Leave,
                format!("a session takes {BATCH} messages without unique-ids, this one is for a later one"),
            )
        } else {
            let why = "the server has no unique-ids: it is retrieved, made safe here and deleted there in one session";
            (Fate::Retrieve, why.to_owned())
        };
        Rehearsed { uid: format!("(message {number})"), fate, why }
    };
    let lines: Vec<_> = sizes.sizes().enumerate().map(line).collect();
    visit.report.listed = lines.len() as u64;
    visit.report.new = lines.iter().filter(|line| line.fate == Fate::Retrieve).count() as u64;
    visit.report.rehearsed = lines;
    quit(visit, session, Vec::new()).await
}

/// Whose word it is that nothing is deleted.
fn why_never(visit: &Visit<'_>) -> &'static str {
    if visit.live.config.never_delete {
        "`never_delete` is on: nothing is deleted at any server"
    } else if visit.account.delete == DeletePolicy::Never {
        "the account is set to delete nothing"
    } else if borrowed(visit) {
        "a user name `recent:…` shows mail of other folders and readers too: nothing of it is ours to delete"
    } else {
        "the server keeps mail whose deletion it has confirmed, so nothing is deleted there any more"
    }
}

/// What becomes of a new message by what the whole listing looks like.
fn of_new(verdict: &Verdict) -> (Fate, String) {
    let (fate, why) = match verdict {
        Verdict::Believed | Verdict::Doubted(_) | Verdict::Renumbered(Renumbered::TakeAsNew) => {
            (Fate::Retrieve, "it is new here")
        }
        Verdict::Renumbered(Renumbered::Match | Renumbered::Hold) => (
            Fate::Retrieve,
            "the server renumbered its mail: it is retrieved unless its header shows it to be a known message",
        ),
        Verdict::Renumbered(Renumbered::TakeAsSeen) => {
            (Fate::Leave, "the server renumbered its mail, which then counts as seen (`renumbered`)")
        }
        Verdict::Held(_) => (Fate::Leave, "the listing is not believed, so nothing is done about it"),
    };
    (fate, why.to_owned())
}

/// What becomes of a message at the first contact with its maildrop; `None`: it is new like any other.
fn at_first_contact(first: First, index: usize, total: usize) -> Option<(Fate, String)> {
    match first {
        First::All => None,
        First::New => Some((
            Fate::Leave,
            "what is there at the first contact counts as seen (`first = \"new\"`)".to_owned(),
        )),
        First::Newest(count) if index >= total.saturating_sub(count as usize) => None,
        First::Newest(count) => Some((
            Fate::Leave,
            format!("at the first contact all but the newest {count} count as seen (`first`)"),
        )),
        First::Days(days) => Some((
            Fate::Retrieve,
            format!("it is new here, unless its header says it is older than {days} days (`first`)"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_first_contact_the_rule_of_the_account_decides() {
        let fate = |first, index| at_first_contact(first, index, 5).map(|(fate, _)| fate);
        assert_eq!(fate(First::All, 0), None);
        assert_eq!(fate(First::New, 4), Some(Fate::Leave));
        let newest: Vec<_> = (0..5).map(|index| fate(First::Newest(2), index)).collect();
        assert_eq!(newest, [Some(Fate::Leave), Some(Fate::Leave), Some(Fate::Leave), None, None]);
        assert_eq!(fate(First::Newest(9), 0), None);
        assert_eq!(fate(First::Days(3), 0), Some(Fate::Retrieve));
    }

    #[test]
    fn a_listing_that_is_not_believed_leaves_everything_where_it_is() {
        assert_eq!(of_new(&Verdict::Held("odd".to_owned())).0, Fate::Leave);
        assert_eq!(of_new(&Verdict::Renumbered(Renumbered::TakeAsSeen)).0, Fate::Leave);
        for verdict in
            [Verdict::Believed, Verdict::Doubted("short".to_owned()), Verdict::Renumbered(Renumbered::Match)]
        {
            assert_eq!(of_new(&verdict).0, Fate::Retrieve);
        }
    }
}
