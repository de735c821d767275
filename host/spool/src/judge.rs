//! The pure rules over a listing and the rows of the ledger, which every spool shares: what is new, what a listing
//! tells of the rows, what may be deleted. Rows come sorted by unique-id and ordinal. Does no IO, reads no clock.

use std::collections::HashSet;
use std::time::Duration;

use postroom_mail::{AccountId, MessageId, Timestamp, Uid};

use crate::ledger::{DeletePolicy, Kept, Listed, Outlook, Reconciled, Removable, Removals, Why};
use crate::life;
use crate::records::MessageState;
use crate::seen::{ABSENCES, Adoption, Observed};

/// A clock so far ahead of the last poll is not believed at once.
const JUMP: Duration = Duration::from_secs(7 * 24 * 3600);

/// When the account was last polled, and how long that was after the poll before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    pub(crate) last: Option<Timestamp>,
    /// Milliseconds.
    pub(crate) gap: i64,
}

impl Pace {
    /// A poll was closed.
    pub(crate) fn closed(self, now: Timestamp) -> Self {
        let gap = self.last.map_or(0, |last| now.0.saturating_sub(last.0).max(0));
        Self { last: Some(now), gap }
    }

    /// Whether the clock went ahead by more than this account's polls ever lie apart.
    pub(crate) fn jumped(self, now: Timestamp) -> bool {
        let Some(last) = self.last else { return false };
        let usual = Duration::from_millis(u64::try_from(self.gap).unwrap_or(0)).saturating_mul(2);
        now.since(last) > JUMP.max(usual)
    }
}

/// What of a row a listing can change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// As last listed.
    pub(crate) size: Option<u64>,
    /// When a `DELE` for it was about to be sent, while its outcome is uncertain.
    pub(crate) deleting: Option<Timestamp>,
    pub(crate) removed: Option<Timestamp>,
    /// Complete listings in a row without it, up to [`ABSENCES`].
    pub(crate) absent: u32,
    /// When the first of them was recorded.
    pub(crate) since: Option<Timestamp>,
    /// It was in a listing once; an imported row need not have been.
    pub(crate) shown: bool,
}

/// A row of one account's ledger.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) uid: Uid,
    pub(crate) ordinal: u32,
    pub(crate) mark: Mark,
    /// Size of the message stored here; needed only while no listed size is recorded.
    pub(crate) stored: Option<u64>,
    /// Its octets here are damaged: they have to be retrieved again.
    pub(crate) damaged: bool,
}

impl Mark {
    /// Whether the last recorded listing had it, and nobody asked for its deletion.
    pub(crate) fn there(&self) -> bool {
        self.shown && self.absent == 0 && self.removed.is_none() && self.deleting.is_none()
    }
}

impl Row {
    /// Whether the server has it, as far as is known.
    fn counts(&self) -> bool {
        self.mark.shown && self.mark.absent == 0 && self.mark.removed.is_none()
    }

    /// Whether a listed size says that another message may be behind the unique-id.
    fn doubts(&self, listed: Option<u64>) -> bool {
        match (listed, self.mark.size, self.stored) {
            (Some(listed), Some(recorded), _) => listed != recorded,
            (Some(listed), None, Some(stored)) => !life::sizes_agree(listed, stored),
            (None, ..) | (Some(_), None, None) => false,
        }
    }
}

/// Indexes of a listing by unique-id and ordinal.
fn by_key(listing: &[Listed]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..listing.len()).collect();
    order.sort_by_key(|index| listing.get(*index).map(|entry| (&entry.uid, entry.ordinal)));
    order
}

/// Walks rows and listing together, once: for every key that either has, its row and the indexes of its entries.
fn meet<'a>(rows: &'a [Row], listing: &'a [Listed], mut each: impl FnMut(Option<(usize, &Row)>, &[usize])) {
    let order = by_key(listing);
    let (mut at, mut row_at) = (0, 0);
    loop {
        let entry =
            order.get(at).and_then(|index| listing.get(*index)).map(|entry| (&entry.uid, entry.ordinal));
        let row = rows.get(row_at);
        let key = match (row.map(|row| (&row.uid, row.ordinal)), entry) {
            (Some(row), Some(entry)) => row.min(entry),
            (Some(key), None) | (None, Some(key)) => key,
            (None, None) => return,
        };
        let same = order.get(at..).unwrap_or_default().iter();
        let same = same
            .take_while(|index| listing.get(**index).is_some_and(|entry| (&entry.uid, entry.ordinal) == key));
        let end = at + same.count();
        let met = row.filter(|row| (&row.uid, row.ordinal) == key).map(|row| (row_at, row));
        each(met, order.get(at..end).unwrap_or_default());
        row_at += usize::from(met.is_some());
        at = end;
    }
}

fn size_of(listing: &[Listed], index: usize) -> Option<u64> {
    listing.get(index).and_then(|entry| entry.size)
}

/// Holds a listing against the rows of its account; `polled` is whether a poll of it ever succeeded.
pub(crate) fn reconcile(rows: &[Row], listing: &[Listed], polled: bool) -> Reconciled {
    let mut found = Reconciled { first: rows.is_empty() && !polled, ..Reconciled::default() };
    meet(rows, listing, |row, entries| match row {
        Some((_, row)) if row.mark.removed.is_none() && row.damaged && !entries.is_empty() => {
            found.new.extend(entries);
        }
        Some((_, row)) if row.mark.removed.is_none() => {
            found.vanished += u64::from(entries.is_empty() && row.mark.there());
            for index in entries {
                match row.doubts(size_of(listing, *index)) {
                    true => found.doubtful.push(*index),
                    false => found.known += 1,
                }
            }
        }
        removed => {
            found.new.extend(entries);
            if let Some((_, row)) = removed {
                found.returned.extend(entries.iter().filter(|index| !row.doubts(size_of(listing, **index))));
            }
        }
    });
    found.new.sort_unstable();
    found.returned.sort_unstable();
    found.doubtful.sort_unstable();
    found
}

/// What a listing changes.
#[derive(Debug, Default)]
pub(crate) struct Observation {
    /// Indexes of rows that change, with what they become; `None` is forgotten.
    pub(crate) changes: Vec<(usize, Option<Mark>)>,
    pub(crate) observed: Observed,
    /// What the listing does not have counts as absent.
    pub(crate) believed: bool,
    /// How many entries the server has by this listing; what one lacks that is not believed still counts.
    pub(crate) there: u64,
}

/// What a trusted listing changes. `keep` is `None` when nothing may be forgotten for its age.
pub(crate) fn observe(
    rows: &[Row],
    listing: &[Listed],
    complete: bool,
    keep: Option<Duration>,
    now: Timestamp,
) -> Observation {
    let believed = complete;
    let mut told = Observation { believed, ..Observation::default() };
    meet(rows, listing, |row, entries| {
        let missed = row.is_some_and(|(_, row)| entries.is_empty() && !believed && row.counts());
        told.there += entries.len() as u64 + u64::from(missed);
        let Some((at, row)) = row else { return };
        let mut mark = row.mark;
        if let Some(index) = entries.first() {
            listed(&mut mark, row, size_of(listing, *index));
            if believed && mark.deleting.take().is_some() {
                told.observed.still_listed += 1;
            }
        } else if believed {
            mark.absent = mark.absent.saturating_add(1).min(ABSENCES);
            mark.since = mark.since.or(Some(now));
            if mark.deleting.take().is_some() {
                mark.removed = Some(now);
                told.observed.removed += 1;
            } else if keep.is_some_and(|keep| forgettable(&mark, keep, now)) {
                told.observed.forgotten += 1;
                return told.changes.push((at, None));
            }
        }
        if mark != row.mark {
            told.changes.push((at, Some(mark)));
        }
    });
    told
}

fn listed(mark: &mut Mark, row: &Row, size: Option<u64>) {
    (mark.absent, mark.since, mark.shown) = (0, None, true);
    // A doubtful size is no size: recording it would settle the doubt.
    if mark.removed.is_none() && mark.size.is_none() && !row.doubts(size) {
        mark.size = size;
    }
}

fn forgettable(mark: &Mark, keep: Duration, now: Timestamp) -> bool {
    mark.absent >= ABSENCES && mark.since.is_some_and(|since| since.after(keep) <= now)
}

/// Which of these keys a listing does not have.
pub(crate) fn missing(keys: &[(Uid, u32)], listing: &[Listed]) -> Vec<(Uid, u32)> {
    if keys.is_empty() {
        return Vec::new();
    }
    let listed: HashSet<(&Uid, u32)> = listing.iter().map(|entry| (&entry.uid, entry.ordinal)).collect();
    keys.iter().filter(|(uid, ordinal)| !listed.contains(&(uid, *ordinal))).cloned().collect()
}

/// A message the ledger has under some unique-id. `P` is how the spool finds its effects.
#[derive(Clone, Debug)]
pub(crate) struct Held<P> {
    pub(crate) place: P,
    pub(crate) message: MessageId,
    pub(crate) size: u64,
    pub(crate) retrieved: Timestamp,
    pub(crate) state: MessageState,
    /// Its octets are still here, and sound as far as is known.
    pub(crate) here: bool,
    /// Its octets were not freed, whatever their health.
    pub(crate) stored: bool,
    /// By the operator.
    pub(crate) dropped: bool,
}

/// What the effects of a message say of copies elsewhere; only the required ones count.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Copies {
    /// Carry the whole of it, and have a receipt.
    pub(crate) done: u64,
    /// Have no receipt, and nobody let go of them.
    pub(crate) missing: u64,
    /// Carry the whole of it, have no receipt, and were let go of.
    pub(crate) waived: u64,
}

impl<P> Held<P> {
    /// Whether somebody must have a whole copy before the last one here or at the server goes: it was to be kept, by
    /// its verdict or by an effect that was let go of. Whoever drops a message wants none.
    pub(crate) fn owes_a_copy(&self, copies: Copies) -> bool {
        match self.state {
            MessageState::Discarded => copies.waived > 0 && !self.dropped,
            MessageState::Spooled
            | MessageState::Running
            | MessageState::Planned
            | MessageState::Done
            | MessageState::Quarantined => true,
        }
    }

    /// The operator can still take it back.
    fn in_grace(&self) -> bool {
        self.dropped && self.stored
    }
}

/// Whether the proof that `message` may go holds still, by what the ledger has under its key now.
pub(crate) fn stands<P, E>(
    row: Option<&Candidate<P>>,
    message: MessageId,
    effects: impl FnOnce(&P) -> Result<Copies, E>,
) -> Result<bool, E> {
    let Some(row) = row.filter(|row| !row.removed) else { return Ok(false) };
    let Some(held) = row.held.as_ref().filter(|held| held.message == message) else { return Ok(false) };
    if held.in_grace() {
        return Ok(false);
    }
    if held.here {
        return Ok(true);
    }
    let copies = effects(&held.place)?;
    Ok(!lacks_a_copy(held, copies))
}

/// A row of the ledger, for the question what may be deleted.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<P> {
    pub(crate) uid: Uid,
    pub(crate) ordinal: u32,
    pub(crate) size: Option<u64>,
    pub(crate) removed: bool,
    /// `None` when it was seeded or imported.
    pub(crate) held: Option<Held<P>>,
}

/// Its place in the listings, for the question what would become of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) absent: u32,
    pub(crate) removed: Option<Timestamp>,
}

/// What deletions are judged by.
#[derive(Clone, Copy)]
pub(crate) struct Judge {
    pub(crate) policy: DeletePolicy,
    pub(crate) now: Timestamp,
    /// The clock is not believed.
    pub(crate) jumped: bool,
}

impl Judge {
    /// Judges every entry of a listing. `effects` answers what the effects of a message say.
    pub(crate) fn removals<P, E>(
        &self,
        account: &AccountId,
        rows: &[Candidate<P>],
        listing: &[Listed],
        mut effects: impl FnMut(&P) -> Result<Copies, E>,
    ) -> Result<Removals, E> {
        let mut verdicts: Vec<Result<MessageId, Why>> = vec![Err(Why::PolicyNever); listing.len()];
        let mut sizes: Vec<u64> = listing.iter().map(|entry| entry.size.unwrap_or(0)).collect();
        if self.policy != DeletePolicy::Never {
            let order = by_key(listing);
            let same_uid = |one: &usize, two: &usize| {
                listing.get(*one).map(|entry| &entry.uid) == listing.get(*two).map(|entry| &entry.uid)
            };
            let mut rest = rows;
            for entries in order.chunk_by(same_uid) {
                let Some(first) = entries.first().and_then(|index| listing.get(*index)) else { continue };
                let (_, from) = rest.split_at(rest.partition_point(|row| row.uid < first.uid));
                let (group, after) = from.split_at(from.partition_point(|row| row.uid == first.uid));
                rest = after;
                self.group(group, entries, listing, (&mut verdicts, &mut sizes), &mut effects)?;
            }
        }
        self.limits(&mut verdicts, &sizes);
        Ok(sorted_out(account, listing, verdicts))
    }

    /// What would become of each place that `message` has among all rows of one unique-id, were they listed as last time.
    pub(crate) fn outlook<P: Clone, E>(
        self,
        account: &AccountId,
        rows: &[(Candidate<P>, Place)],
        message: MessageId,
        effects: impl FnMut(&P) -> Result<Copies, E>,
    ) -> Result<Vec<Outlook>, E> {
        let policy = match self.policy {
            DeletePolicy::Done { after, .. } => DeletePolicy::Done { after, keep: None, over: None },
            other => other,
        };
        let is_of = |row: &Candidate<P>| row.held.as_ref().is_some_and(|held| held.message == message);
        let there: Vec<_> = rows.iter().filter(|(row, place)| place.absent == 0 || is_of(row)).collect();
        let listing: Vec<_> = there
            .iter()
            .map(|(row, _)| Listed { uid: row.uid.clone(), ordinal: row.ordinal, size: row.size })
            .collect();
        let candidates: Vec<_> = rows.iter().map(|(row, _)| row.clone()).collect();
        let judged = Self { policy, ..self }.removals(account, &candidates, &listing, effects)?;
        let kept = |index| judged.kept.iter().find(|kept| kept.index == index).map(|kept| kept.why);
        let own = there.iter().enumerate().filter(|(_, (row, _))| is_of(row));
        let outlook = own.map(|(index, (row, place))| Outlook {
            uid: row.uid.clone(),
            ordinal: row.ordinal,
            absent: place.absent,
            removed: place.removed,
            kept: kept(index),
        });
        Ok(outlook.collect())
    }

    /// All entries with one unique-id. With one that is not unique, nobody knows which entry is which message: all of
    /// them must be expendable, and none unknown.
    fn group<P, E>(
        &self,
        rows: &[Candidate<P>],
        entries: &[usize],
        listing: &[Listed],
        (verdicts, sizes): (&mut [Result<MessageId, Why>], &mut [u64]),
        effects: &mut impl FnMut(&P) -> Result<Copies, E>,
    ) -> Result<(), E> {
        let present: Vec<&Candidate<P>> = rows.iter().filter(|row| !row.removed).collect();
        let mut kept = Vec::with_capacity(present.len());
        for row in &present {
            kept.push(self.keeps(row, effects)?);
        }
        let shared = entries.len() > present.len() || kept.iter().any(Option::is_some);
        let mut taken = HashSet::new();
        for index in entries {
            let Some(entry) = listing.get(*index) else { continue };
            let own = present.iter().zip(&kept).find(|(row, _)| row.ordinal == entry.ordinal);
            let held = own.and_then(|(row, _)| row.held.as_ref());
            if let (Some(size), None, Some(held)) = (sizes.get_mut(*index), entry.size, held) {
                *size = held.size;
            }
            let verdict = match (own, held) {
                (None, _) if rows.iter().any(|row| row.ordinal == entry.ordinal) => Err(Why::Removed),
                (None, _) => Err(Why::NotRetrieved),
                (Some(_), None) => Err(Why::NoCopyHere),
                (Some((row, _)), Some(held)) if !fits(row.size, held.size, entry.size) => {
                    Err(Why::SizeDiffers)
                }
                (Some((_, Some(why))), Some(_)) => Err(*why),
                (Some(_), Some(_)) if shared || !taken.insert(entry.ordinal) => Err(Why::SharedId),
                (Some(_), Some(held)) => Ok(held.message),
            };
            if let Some(place) = verdicts.get_mut(*index) {
                *place = verdict;
            }
        }
        Ok(())
    }

    /// Why a message may not go, whatever the listing says.
    fn keeps<P, E>(
        &self,
        row: &Candidate<P>,
        effects: &mut impl FnMut(&P) -> Result<Copies, E>,
    ) -> Result<Option<Why>, E> {
        let Some(held) = &row.held else { return Ok(Some(Why::NoCopyHere)) };
        let after = match self.policy {
            DeletePolicy::Never => return Ok(Some(Why::PolicyNever)),
            // It goes with its octets, at the end of the grace period.
            DeletePolicy::Spooled { .. } | DeletePolicy::Done { .. } if held.in_grace() => {
                return Ok(Some(Why::Dropped));
            }
            // The octets here are the copy; once they were freed, somebody else must have one.
            DeletePolicy::Spooled { .. } if !held.here && held.state == MessageState::Done => {
                return Ok(lacks_a_copy(held, effects(&held.place)?).then_some(Why::NoCopy));
            }
            // They are damaged, and still needed: the server's are the only ones.
            DeletePolicy::Spooled { .. } if !held.here && held.state != MessageState::Discarded => {
                return Ok(Some(Why::NoCopy));
            }
            DeletePolicy::Spooled { after } => {
                if !held.here && lacks_a_copy(held, effects(&held.place)?) {
                    return Ok(Some(Why::NoCopy));
                }
                return Ok(self.too_young(held.retrieved, after));
            }
            DeletePolicy::Done { after, .. } => after,
        };
        match held.state {
            MessageState::Spooled | MessageState::Running | MessageState::Planned => {
                return Ok(Some(Why::Waiting));
            }
            MessageState::Quarantined => return Ok(Some(Why::Quarantined)),
            MessageState::Done | MessageState::Discarded => {}
        }
        // Cheap reasons first: the effects of a large maildrop are not looked up for nothing.
        if let Some(why) = self.too_young(held.retrieved, after) {
            return Ok(Some(why));
        }
        let copies = effects(&held.place)?;
        Ok(match copies.missing {
            // Extracted attachments alone are no copy.
            0 => lacks_a_copy(held, copies).then_some(Why::NoCopy),
            _ => Some(Why::Waiting),
        })
    }

    fn too_young(&self, retrieved: Timestamp, after: Duration) -> Option<Why> {
        let until = retrieved.after(after);
        if until > self.now {
            return Some(Why::TooYoung { until });
        }
        (self.jumped && !after.is_zero()).then_some(Why::ClockJumped)
    }

    /// What the policy says about the maildrop as a whole, over what may go otherwise; oldest first.
    fn limits(&self, verdicts: &mut [Result<MessageId, Why>], sizes: &[u64]) {
        let DeletePolicy::Done { keep, over, .. } = self.policy else { return };
        let older =
            verdicts.len().saturating_sub(keep.map_or(0, |keep| usize::try_from(keep).unwrap_or(usize::MAX)));
        let mut total = sizes.iter().fold(0u64, |sum, size| sum.saturating_add(*size));
        for (index, (verdict, size)) in verdicts.iter_mut().zip(sizes).enumerate() {
            if verdict.is_err() {
                continue;
            }
            if index >= older {
                *verdict = Err(Why::AmongNewest);
            } else if over.is_some_and(|over| total <= over) {
                *verdict = Err(Why::NotOver);
            } else {
                total = total.saturating_sub(*size);
            }
        }
    }
}

fn lacks_a_copy<P>(held: &Held<P>, copies: Copies) -> bool {
    copies.done == 0 && held.owes_a_copy(copies)
}

/// Whether a listed size is that of the message: the one recorded, or, when none is, one near the stored size. Without
/// any size there is nothing that could contradict.
fn fits(recorded: Option<u64>, stored: u64, listed: Option<u64>) -> bool {
    match (recorded, listed) {
        (None, Some(listed)) => life::sizes_agree(listed, stored),
        (recorded, listed) => recorded == listed,
    }
}

fn sorted_out(account: &AccountId, listing: &[Listed], verdicts: Vec<Result<MessageId, Why>>) -> Removals {
    let mut removals = Removals::default();
    for (index, (entry, verdict)) in listing.iter().zip(verdicts).enumerate() {
        match verdict {
            Ok(message) => removals.removable.push(Removable {
                account: account.clone(),
                uid: entry.uid.clone(),
                ordinal: entry.ordinal,
                size: entry.size,
                message,
                index,
            }),
            Err(why) => removals.kept.push(Kept { index, why }),
        }
    }
    removals
}

/// What the ledger has under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Free,
    /// What was there is removed.
    Removed,
    Taken,
}

/// Which adoptions can be carried out together: each moves a row that is there, to a key that nothing keeps. Two may
/// swap.
pub(crate) fn adoptable(adoptions: &[Adoption], slots: &[(Slot, Slot)]) -> Vec<usize> {
    let mut seen = (HashSet::new(), HashSet::new());
    let mut able: Vec<usize> = Vec::new();
    for (index, (adoption, (from, _))) in adoptions.iter().zip(slots).enumerate() {
        let to = (&adoption.to.uid, adoption.to.ordinal);
        let moves = *from == Slot::Taken && (&adoption.from.0, adoption.from.1) != to;
        if moves && !seen.0.contains(&adoption.from) && !seen.1.contains(&to) {
            seen.0.insert(adoption.from.clone());
            seen.1.insert(to);
            able.push(index);
        }
    }
    loop {
        let leaving: HashSet<(&Uid, u32)> = able
            .iter()
            .filter_map(|index| adoptions.get(*index))
            .map(|adoption| (&adoption.from.0, adoption.from.1))
            .collect();
        let before = able.len();
        able.retain(|index| match (adoptions.get(*index), slots.get(*index)) {
            (Some(adoption), Some((_, to))) => {
                *to != Slot::Taken || leaving.contains(&(&adoption.to.uid, adoption.to.ordinal))
            }
            _ => false,
        });
        if able.len() == before {
            return able;
        }
    }
}
