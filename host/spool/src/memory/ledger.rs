//! The ledger of a spool in memory: its rows, and what listings do to them. Leaves the judgement to `judge`.

use std::convert::Infallible;
use std::time::Duration;

use postroom_mail::{AccountId, Timestamp, Uid};

use super::state::{Entry, Key, State};
use crate::judge::{self, Candidate, Held, Judge, Mark, Place, Row, Slot};
use crate::ledger::{DeletePolicy, Listed, Outlook, Reconciled, Removable, Removals};
use crate::life;
use crate::seen::{Adoption, Forget, Observed, Seen, SeenBy, SeenRow, Stumble};
use crate::{Error, Result};

fn key(account: &AccountId, uid: &Uid, ordinal: u32) -> Key {
    (account.clone(), uid.clone(), ordinal)
}

impl State {
    fn rows_of(&self, account: &AccountId) -> impl Iterator<Item = (&Key, &Entry)> {
        self.ledger.iter().filter(move |((owner, ..), _)| owner == account)
    }

    fn rows(&self, account: &AccountId) -> Vec<Row> {
        let row = |((_, uid, ordinal), entry): (&Key, &Entry)| Row {
            uid: uid.clone(),
            ordinal: *ordinal,
            mark: entry.mark,
            stored: entry.message.map(|index| self.messages[index].provenance.size),
            damaged: false,
        };
        self.rows_of(account).map(row).collect()
    }

    pub(super) fn reconcile(&self, account: &AccountId, listing: &[Listed]) -> Reconciled {
        let polled = self.accounts.get(account).is_some_and(|status| status.last_success.is_some());
        judge::reconcile(&self.rows(account), listing, polled)
    }

    fn jumped(&self, account: &AccountId, now: Timestamp) -> bool {
        self.paces.get(account).is_some_and(|pace| pace.jumped(now))
    }

    pub(super) fn observe(
        &mut self,
        account: &AccountId,
        listing: &[Listed],
        complete: bool,
        keep: Duration,
        now: Timestamp,
    ) -> Observed {
        let rows = self.rows(account);
        let keep = (!self.jumped(account, now)).then_some(keep);
        let seen = judge::observe(&rows, listing, complete, keep, now);
        self.listed.insert(account.clone(), (seen.there, seen.there));
        for (index, mark) in seen.changes {
            let key = key(account, &rows[index].uid, rows[index].ordinal);
            let Some(mark) = mark else {
                self.ledger.remove(&key);
                continue;
            };
            let Some(entry) = self.ledger.get_mut(&key) else { continue };
            entry.mark = mark;
            if let (None, Some(at), Some(message)) = (rows[index].mark.removed, mark.removed, entry.message) {
                self.messages[message].removed = Some(at);
                self.messages[message].repeating_event(at, life::FOUND_REMOVED.to_owned());
            }
        }
        if seen.believed {
            let keys = self.stumbles.keys().filter(|(owner, ..)| owner == account);
            let keys: Vec<_> = keys.map(|(_, uid, ordinal)| (uid.clone(), *ordinal)).collect();
            for (uid, ordinal) in judge::missing(&keys, listing) {
                self.stumbles.remove(&key(account, &uid, ordinal));
            }
        }
        seen.observed
    }

    fn held(&self, index: usize) -> Held<usize> {
        let message = &self.messages[index];
        let (size, retrieved) = (message.provenance.size, message.provenance.retrieved);
        let here = message.body.is_some();
        Held {
            place: index,
            message: message.id,
            size,
            retrieved,
            state: message.state,
            here,
            stored: here,
            dropped: message.dropped.is_some(),
        }
    }

    fn candidates(&self, account: &AccountId) -> Vec<(Candidate<usize>, Place)> {
        let rows = self.rows_of(account).map(|((_, uid, ordinal), entry)| {
            let candidate = Candidate {
                uid: uid.clone(),
                ordinal: *ordinal,
                size: entry.mark.size,
                removed: entry.mark.removed.is_some(),
                held: entry.message.map(|index| self.held(index)),
            };
            (candidate, Place { absent: entry.mark.absent, removed: entry.mark.removed })
        });
        rows.collect()
    }

    pub(super) fn outlook(&self, index: usize, policy: DeletePolicy, now: Timestamp) -> Vec<Outlook> {
        let message = &self.messages[index];
        let account = &message.provenance.account;
        let judge = Judge { policy, now, jumped: self.jumped(account, now) };
        let rows = self.candidates(account);
        let mut all = Vec::new();
        for rows in rows.chunk_by(|(one, _), (two, _)| one.uid == two.uid) {
            let judged =
                judge.outlook(account, rows, message.id, |index| Ok::<_, Infallible>(self.copies(*index)));
            match judged {
                Ok(outlook) => all.extend(outlook),
                Err(never) => match never {},
            }
        }
        all
    }

    pub(super) fn removable(
        &self,
        account: &AccountId,
        listing: &[Listed],
        policy: DeletePolicy,
        now: Timestamp,
    ) -> Removals {
        let rows = self.candidates(account).into_iter().map(|(row, _)| row);
        let judge = Judge { policy, now, jumped: self.jumped(account, now) };
        let rows: Vec<_> = rows.collect();
        let judged =
            judge.removals(account, &rows, listing, |index| Ok::<_, Infallible>(self.copies(*index)));
        match judged {
            Ok(removals) => removals,
            Err(never) => match never {},
        }
    }

    /// For none of them when one must not go any more.
    pub(super) fn deleting(&mut self, removables: &[Removable], now: Timestamp) -> Result<()> {
        for proof in removables {
            let rows = self.candidates(&proof.account);
            let mut rows = rows.iter().map(|(row, _)| row);
            let row = rows.find(|row| row.uid == proof.uid && row.ordinal == proof.ordinal);
            let copies = |index: &usize| Ok::<_, Error>(self.copies(*index));
            if !judge::stands(row, proof.message, copies)? {
                return Err(life::out_of_date(&proof.uid, proof.message));
            }
        }
        for proof in removables {
            let message = self.index(proof.message);
            let entry = self.ledger.get_mut(&key(&proof.account, &proof.uid, proof.ordinal));
            let same = entry.filter(|entry| entry.message == message && entry.mark.removed.is_none());
            if let Some(entry) = same {
                entry.mark.deleting = Some(now);
                entry.mark.size = entry.mark.size.or(proof.size);
            }
        }
        Ok(())
    }

    pub(super) fn removed(&mut self, removed: Vec<Removable>, now: Timestamp) {
        for proof in removed {
            let Some(index) = self.index(proof.message) else { continue };
            let listed = self.listed.get_mut(&proof.account);
            let entry = self.ledger.get_mut(&(proof.account, proof.uid, proof.ordinal));
            if let Some(entry) = entry.filter(|entry| entry.message == Some(index)) {
                if let (Some((there, _)), true) = (listed, entry.there()) {
                    *there = there.saturating_sub(1);
                }
                (entry.mark.removed, entry.mark.deleting) = (Some(now), None);
            }
            self.messages[index].removed = Some(now);
            self.messages[index].repeating_event(now, life::REMOVED.to_owned());
        }
    }

    /// Whether nobody else is known to have the octets of a message that was to be kept: nothing carried it away whole, and
    /// the ledger does not say that the server has it.
    pub(super) fn is_only_copy(&self, index: usize) -> bool {
        let at_server = |entry: &Entry| entry.message == Some(index) && entry.mark.there();
        let owes = self.held(index).owes_a_copy(self.copies(index));
        owes && !self.copied(index) && !self.ledger.values().any(at_server)
    }

    pub(super) fn returned(&mut self, account: &AccountId, listed: &Listed, now: Timestamp) {
        let entry = self.ledger.get_mut(&key(account, &listed.uid, listed.ordinal));
        let Some(entry) = entry.filter(|entry| entry.mark.removed.is_some()) else { return };
        entry.mark = Mark { size: entry.mark.size, shown: true, ..Mark::default() };
        if let Some(index) = entry.message {
            self.messages[index].removed = None;
            self.messages[index].repeating_event(now, life::STILL_THERE.to_owned());
        }
    }

    pub(super) fn resized(&mut self, account: &AccountId, listed: &Listed) {
        let entry = self.ledger.get_mut(&key(account, &listed.uid, listed.ordinal));
        if let (Some(entry), Some(size)) = (entry, listed.size) {
            entry.mark.size = Some(size);
        }
    }

    pub(super) fn seen(&self, account: &AccountId, wanted: impl Fn(&Key, &Entry) -> bool) -> Vec<SeenRow> {
        let told = |((_, uid, ordinal), entry): (&Key, &Entry)| SeenRow {
            uid: uid.clone(),
            ordinal: *ordinal,
            size: entry.mark.size,
            at: entry.at,
            by: entry.by,
            message: entry.message.map(|index| self.messages[index].id),
            header: entry.header,
            removed: entry.mark.removed,
            absent: entry.mark.absent,
        };
        self.rows_of(account).filter(|(key, entry)| wanted(key, entry)).map(told).collect()
    }

    pub(super) fn seed(
        &mut self,
        account: &AccountId,
        entries: Vec<Seen>,
        by: SeenBy,
        now: Timestamp,
    ) -> u64 {
        let mut added = 0;
        for Seen { uid, ordinal, size, at } in entries {
            let key = (account.clone(), uid, ordinal);
            self.stumbles.remove(&key);
            if self.ledger.get(&key).is_some_and(|entry| entry.mark.removed.is_none()) {
                continue;
            }
            let mark = Mark { size, shown: by == SeenBy::Seeded, ..Mark::default() };
            let entry = Entry { message: None, by, at: at.unwrap_or(now), header: None, mark };
            self.ledger.insert(key, entry);
            added += 1;
        }
        added
    }

    pub(super) fn adopt(&mut self, account: &AccountId, adoptions: &[Adoption], now: Timestamp) -> u64 {
        let slot = |uid: &Uid, ordinal| match self.ledger.get(&key(account, uid, ordinal)) {
            None => Slot::Free,
            Some(entry) if entry.mark.removed.is_some() => Slot::Removed,
            Some(_) => Slot::Taken,
        };
        let slots: Vec<_> = adoptions
            .iter()
            .map(|Adoption { from, to }| (slot(&from.0, from.1), slot(&to.uid, to.ordinal)))
            .collect();
        let mut moving = Vec::new();
        for index in judge::adoptable(adoptions, &slots) {
            let Adoption { from, to } = &adoptions[index];
            if let Some(entry) = self.ledger.remove(&key(account, &from.0, from.1)) {
                moving.push((from, to, entry));
            }
        }
        let moved = moving.len() as u64;
        for (from, to, entry) in moving {
            let mark = Mark { size: to.size.or(entry.mark.size), shown: true, ..Mark::default() };
            if let Some(message) = entry.message {
                self.messages[message].repeating_event(now, life::adopted(&from.0, &to.uid));
            }
            let entry = Entry { by: SeenBy::Adopted, mark, ..entry };
            self.ledger.insert(key(account, &to.uid, to.ordinal), entry);
        }
        moved
    }

    pub(super) fn forget(&mut self, account: &AccountId, which: &Forget, now: Timestamp) -> u64 {
        let uid = match which {
            Forget::All => None,
            Forget::Uid(uid) => Some(uid),
        };
        let wanted = |(owner, other, _): &Key| owner == account && uid.is_none_or(|uid| uid == other);
        let (before, messages) = (self.ledger.len(), &mut self.messages);
        self.ledger.retain(|key, entry| {
            if let (true, Some(index)) = (wanted(key), entry.message) {
                messages[index].event(now, life::FORGOTTEN.to_owned());
            }
            !wanted(key)
        });
        self.stumbles.retain(|key, _| !wanted(key));
        (before - self.ledger.len()) as u64
    }

    pub(super) fn stumble(
        &mut self,
        account: &AccountId,
        listed: &Listed,
        reason: String,
        now: Timestamp,
    ) -> Stumble {
        let stumble = self.stumbles.entry(key(account, &listed.uid, listed.ordinal));
        let (uid, ordinal) = (listed.uid.clone(), listed.ordinal);
        let stumble = stumble.or_insert(Stumble {
            uid,
            ordinal,
            times: 0,
            first: now,
            last: now,
            reason: String::new(),
        });
        stumble.times = stumble.times.saturating_add(1);
        (stumble.last, stumble.reason) = (now, reason);
        stumble.clone()
    }

    pub(super) fn unstumble(&mut self, account: &AccountId, uid: Option<&Uid>) -> u64 {
        let before = self.stumbles.len();
        self.stumbles.retain(|(owner, other, _), _| owner != account || uid.is_some_and(|uid| uid != other));
        (before - self.stumbles.len()) as u64
    }
}
