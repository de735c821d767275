//! The calls of the trait over the state in memory.

use std::time::Duration;

use async_trait::async_trait;
use postroom_mail::{AccountId, Digest, KvWrite, MessageId, Name, Plan, StepTrace, Timestamp, Uid};

use super::MemorySpool;
use super::state::{Entry, Message, State, Stored};
use crate::health::{Remedy, Scrubbed};
use crate::ledger::{DeletePolicy, Listed, Outlook, PollOutcome, Reconciled, Removable, Removals};
use crate::operator::{self as rules, Decided, Selected, Selection};
use crate::records::{
    AccountStatus, Admitted, Arrival, Backlog, Counts, EffectLease, EffectRecord, EffectState, Free, History,
    Leases, MessageLease, MessageState, Planned, QueueFilter, QueueRow, Receipted, Settlement, Swept,
};
use crate::seen::{Adoption, Forget, Observed, Seen, SeenBy, SeenRow, Stumble};
use crate::tally::{Tally, Usage};
use crate::{Body, Error, Incoming, Result, Spool, life};

#[async_trait]
impl Spool for MemorySpool {
    fn incoming(&self, limit: u64) -> Result<Incoming> {
        Ok(Incoming::new(limit, None))
    }

    async fn open(&self, message: MessageId) -> Result<Body> {
        let state = self.state();
        let body = state.index(message).and_then(|index| state.messages[index].body.clone());
        body.ok_or(Error::Gone(message))
    }

    async fn reconcile(&self, account: &AccountId, listing: &[Listed]) -> Result<Reconciled> {
        Ok(self.state().reconcile(account, listing))
    }

    async fn observe(
        &self,
        account: &AccountId,
        listing: &[Listed],
        complete: bool,
        keep: Duration,
        now: Timestamp,
    ) -> Result<Observed> {
        Ok(self.state().observe(account, listing, complete, keep, now))
    }

    async fn adopt(&self, account: &AccountId, adoptions: Vec<Adoption>, now: Timestamp) -> Result<u64> {
        Ok(self.state().adopt(account, &adoptions, now))
    }

    async fn resized(&self, account: &AccountId, listed: &Listed) -> Result<()> {
        self.state().resized(account, listed);
        Ok(())
    }

    async fn returned(&self, account: &AccountId, listed: &Listed, now: Timestamp) -> Result<()> {
        self.state().returned(account, listed, now);
        Ok(())
    }

    async fn resembling(&self, account: &AccountId, header: Digest) -> Result<Vec<SeenRow>> {
        let alike = |entry: &Entry| entry.header == Some(header);
        Ok(self.state().seen(account, |_, entry| alike(entry)))
    }

    async fn holding(&self, account: &AccountId, digest: Digest) -> Result<Vec<SeenRow>> {
        let state = self.state();
        let holds = |entry: &Entry| {
            entry.message.is_some_and(|index| state.messages[index].provenance.digest == digest)
        };
        Ok(state.seen(account, |_, entry| holds(entry)))
    }

    async fn seed(&self, account: &AccountId, entries: Vec<Seen>, by: SeenBy, now: Timestamp) -> Result<u64> {
        life::check_seed(by)?;
        Ok(self.state().seed(account, entries, by, now))
    }

    async fn seen(
        &self,
        account: &AccountId,
        after: Option<(Uid, u32)>,
        limit: usize,
    ) -> Result<Vec<SeenRow>> {
        let later = |(_, uid, ordinal): &super::state::Key| {
            after.as_ref().is_none_or(|after| (uid, *ordinal) > (&after.0, after.1))
        };
        let mut rows = self.state().seen(account, |key, _| later(key));
        rows.truncate(limit);
        Ok(rows)
    }

    async fn forget(&self, account: &AccountId, which: Forget, now: Timestamp) -> Result<u64> {
        Ok(self.state().forget(account, &which, now))
    }

    async fn admit(&self, arrivals: Vec<Arrival>) -> Result<Vec<Admitted>> {
        let mut read = Vec::new();
        for arrival in arrivals {
            life::check_arrival(&arrival)?;
            let mut octets = Vec::new();
            let copied = arrival.body.each(|more| {
                octets.extend_from_slice(more);
                Ok(())
            });
            copied.map_err(|source| Error::Io { doing: "read an arriving message", source })?;
            read.push((arrival, octets));
        }
        let mut state = self.state();
        Ok(read.into_iter().map(|(arrival, octets)| state.admit(arrival, octets)).collect())
    }

    async fn removable(
        &self,
        account: &AccountId,
        listing: &[Listed],
        policy: DeletePolicy,
        now: Timestamp,
    ) -> Result<Removals> {
        Ok(self.state().removable(account, listing, policy, now))
    }

    async fn deleting(&self, removables: &[Removable], now: Timestamp) -> Result<()> {
        self.state().deleting(removables, now)
    }

    async fn removed(&self, removed: Vec<Removable>, now: Timestamp) -> Result<()> {
        self.state().removed(removed, now);
        Ok(())
    }

    async fn stumble(
        &self,
        account: &AccountId,
        listed: &Listed,
        reason: String,
        now: Timestamp,
    ) -> Result<Stumble> {
        Ok(self.state().stumble(account, listed, life::clip(reason), now))
    }

    async fn stumbles(&self, account: &AccountId) -> Result<Vec<Stumble>> {
        let state = self.state();
        let own = state.stumbles.iter().filter(|((owner, ..), _)| owner == account);
        Ok(own.map(|(_, stumble)| stumble.clone()).collect())
    }

    async fn unstumble(&self, account: &AccountId, uid: Option<Uid>) -> Result<u64> {
        Ok(self.state().unstumble(account, uid.as_ref()))
    }

    async fn learnt(&self, scope: &str) -> Result<Option<String>> {
        Ok(self.state().notes.get(scope).cloned())
    }

    async fn learn(&self, scope: &str, text: Option<String>, _now: Timestamp) -> Result<()> {
        life::check_note(scope, text.as_ref())?;
        let mut state = self.state();
        match text {
            Some(text) => state.notes.insert(scope.to_owned(), text),
            None => state.notes.remove(scope),
        };
        Ok(())
    }

    async fn arrivals(&self, account: &AccountId, limit: usize) -> Result<Vec<Timestamp>> {
        let state = self.state();
        let own = state.messages.iter().filter(|message| message.provenance.account == *account);
        let mut times: Vec<_> = own.map(|message| message.provenance.retrieved).collect();
        times.sort_unstable_by(|one, two| two.cmp(one));
        times.truncate(limit);
        Ok(times)
    }

    async fn close_poll(&self, account: &AccountId, outcome: PollOutcome, now: Timestamp) -> Result<()> {
        let mut state = self.state();
        let status = state.accounts.entry(account.clone()).or_insert_with(|| AccountStatus {
            account: account.clone(),
            last_success: None,
            last_error: None,
            failures: 0,
            listed: None,
            held: None,
        });
        match outcome {
            PollOutcome::Complete { listed } => {
                (status.last_success, status.listed) = (Some(now), Some(listed));
                (status.last_error, status.failures, status.held) = (None, 0, None);
            }
            PollOutcome::Failed { reason } => {
                status.last_error = Some((now, life::clip(reason)));
                status.failures += 1;
            }
            PollOutcome::Held { reason } => {
                let reason = life::clip(reason);
                if status.held.as_ref().is_none_or(|(_, held)| *held != reason) {
                    status.held = Some((now, reason));
                }
            }
        }
        let pace = state.paces.entry(account.clone()).or_default();
        *pace = pace.closed(now);
        Ok(())
    }

    async fn lease_messages(&self, limit: usize, now: Timestamp) -> Result<Vec<MessageLease>> {
        let mut state = self.state();
        let due = |message: &&mut Message| message.state == MessageState::Spooled && message.due <= now;
        let leases = state.messages.iter_mut().filter(due).take(limit).map(|message| {
            message.state = MessageState::Running;
            message.attempts += 1;
            message.repeating_event(now, life::started(message.attempts));
            MessageLease {
                provenance: message.provenance.clone(),
                message: message.id,
                attempt: message.attempts,
            }
        });
        Ok(leases.collect())
    }

    async fn plan(&self, lease: MessageLease, plan: Plan, now: Timestamp) -> Result<Planned> {
        let mut state = self.state();
        let index = state.leased(&lease)?;
        if state.is_stale(&plan) {
            state.messages[index].defer(now, life::STALE.to_owned(), now);
            state.messages[index].attempts -= 1;
            return Ok(Planned::Stale);
        }
        state.plan(index, plan, now);
        Ok(Planned::Committed)
    }

    async fn defer(
        &self,
        lease: MessageLease,
        at: Timestamp,
        reason: String,
        trace: Vec<StepTrace>,
        now: Timestamp,
    ) -> Result<()> {
        let mut state = self.state();
        let index = state.leased(&lease)?;
        state.messages[index].traced(trace);
        state.messages[index].defer(at, reason, now);
        Ok(())
    }

    async fn put_back(
        &self,
        lease: MessageLease,
        at: Timestamp,
        reason: String,
        now: Timestamp,
    ) -> Result<()> {
        let mut state = self.state();
        let index = state.leased(&lease)?;
        state.messages[index].defer(at, reason, now);
        state.messages[index].attempts -= 1;
        Ok(())
    }

    async fn quarantine(
        &self,
        lease: MessageLease,
        reason: String,
        trace: Vec<StepTrace>,
        now: Timestamp,
    ) -> Result<()> {
        let mut state = self.state();
        let index = state.leased(&lease)?;
        state.messages[index].traced(trace);
        state.messages[index].set_aside(life::clip(reason), now);
        Ok(())
    }

    async fn lease_effects(&self, sink: &Name, limit: usize, now: Timestamp) -> Result<Vec<EffectLease>> {
        let State { effects, messages, .. } = &mut *self.state();
        let due = |stored: &&mut Stored| {
            stored.state == EffectState::Pending && stored.effect.sink == *sink && stored.due <= now
        };
        let mut waiting: Vec<_> = effects.iter_mut().filter(due).collect();
        waiting.sort_by_key(|stored| stored.due);
        let leases = waiting.into_iter().take(limit).map(|stored| {
            stored.doubts = stored.doubts();
            (stored.state, stored.sending) = (EffectState::Inflight, false);
            stored.attempts += 1;
            let message = &messages[stored.message];
            EffectLease {
                effect: stored.effect.clone(),
                message: message.id,
                provenance: message.provenance.clone(),
                attempt: stored.attempts,
                doubts: stored.doubts,
            }
        });
        Ok(leases.collect())
    }

    async fn sending(&self, lease: &EffectLease, _now: Timestamp) -> Result<()> {
        let mut state = self.state();
        let at = state.leased_effect(lease)?;
        state.effects[at].sending = true;
        Ok(())
    }

    async fn settle(&self, lease: EffectLease, settlement: Settlement, now: Timestamp) -> Result<()> {
        let mut state = self.state();
        let at = state.leased_effect(&lease)?;
        state.settle(at, settlement, now);
        Ok(())
    }

    async fn release(&self, leases: Leases, now: Timestamp) -> Result<u64> {
        let State { messages, effects, .. } = &mut *self.state();
        let mut released = 0;
        match leases {
            Leases::Messages | Leases::Unrecorded => {
                let running = messages.iter_mut().filter(|message| message.state == MessageState::Running);
                for message in running {
                    (message.state, message.due) = (MessageState::Spooled, now);
                    message.attempts -= u32::from(leases == Leases::Unrecorded);
                    released += 1;
                }
            }
            Leases::Effects => {
                let inflight = effects.iter_mut().filter(|stored| stored.state == EffectState::Inflight);
                for stored in inflight {
                    (stored.state, stored.due) = (EffectState::Pending, now);
                    released += 1;
                }
            }
        }
        Ok(released)
    }

    async fn receipts(&self, sink: &Name, after: u64, limit: usize) -> Result<Vec<Receipted>> {
        Ok(self.state().receipts(sink, after, limit))
    }

    async fn next_due(&self, sinks: &[Name]) -> Result<Option<Timestamp>> {
        Ok(self.state().next_due(sinks))
    }

    async fn hasten(&self, accounts: &[AccountId], now: Timestamp) -> Result<u64> {
        Ok(self.state().hasten(accounts, now))
    }

    async fn expedite(&self, now: Timestamp) -> Result<u64> {
        let mut state = self.state();
        let mut hastened = 0;
        let messages = state.messages.iter_mut().filter(|message| message.state == MessageState::Spooled);
        for message in messages.filter(|message| message.due > now) {
            message.due = now;
            hastened += 1;
        }
        let effects = state.effects.iter_mut().filter(|stored| stored.state == EffectState::Pending);
        for stored in effects.filter(|stored| stored.due > now) {
            stored.due = now;
            hastened += 1;
        }
        Ok(hastened)
    }

    fn kv_get(&self, scope: &str, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.state().kv.get(&(scope.to_owned(), key.to_owned())).cloned())
    }

    fn kv_total(&self, scope: &str) -> Result<u64> {
        let state = self.state();
        let own = state.kv.iter().filter(|((of, _), _)| of == scope);
        Ok(own.map(|((_, key), value)| KvWrite::counted(key, value)).sum())
    }

    async fn find(&self, prefix: &str) -> Result<Vec<MessageId>> {
        let state = self.state();
        let digits = prefix.to_ascii_lowercase();
        let matches = |message: &Message| {
            message.id.to_string().starts_with(&digits)
                || message.provenance.digest.to_string().starts_with(&digits)
                || message.provenance.uid.0.starts_with(prefix.as_bytes())
        };
        let listed = |index: usize| {
            let names = |((_, uid, _), entry): (&super::state::Key, &Entry)| {
                entry.message == Some(index) && uid.0.starts_with(prefix.as_bytes())
            };
            state.ledger.iter().any(names)
        };
        let found = state.messages.iter().enumerate().rev();
        let found = found.filter(|(index, message)| matches(message) || listed(*index)).take(life::FOUND);
        Ok(found.map(|(_, message)| message.id).collect())
    }

    async fn history(&self, message: MessageId) -> Result<Option<History>> {
        let state = self.state();
        let Some(index) = state.index(message) else { return Ok(None) };
        let found = &state.messages[index];
        let effects = state.effects_of(index).map(|stored| EffectRecord {
            effect: stored.effect.clone(),
            state: stored.state,
            attempts: stored.attempts,
            doubts: stored.doubts(),
            due: (stored.state == EffectState::Pending).then_some(stored.due),
            receipt: stored.receipt.clone(),
            reason: stored.reason.clone(),
            waived: stored.waived,
        });
        Ok(Some(History {
            message,
            provenance: found.provenance.clone(),
            state: found.state,
            attempts: found.attempts,
            reason: found.reason.clone(),
            labels: found.labels.clone(),
            verdict: found.verdict.clone(),
            trace: found.trace.clone(),
            effects: effects.collect(),
            removed: found.removed,
            dropped: found.dropped,
            events: found.events.clone(),
        }))
    }

    async fn queue(&self, filter: QueueFilter) -> Result<Vec<QueueRow>> {
        let state = self.state();
        let mut rows = Vec::new();
        for (index, message) in state.messages.iter().enumerate() {
            if filter.account.as_ref().is_some_and(|account| *account != message.provenance.account) {
                continue;
            }
            let row = QueueRow {
                message: message.id,
                account: message.provenance.account.clone(),
                state: message.state,
                effect: None,
                effect_state: None,
                summary: None,
                sink: None,
                attempts: message.attempts,
                due: (message.state == MessageState::Spooled).then_some(message.due),
                reason: message.reason.clone(),
            };
            let waits = matches!(
                message.state,
                MessageState::Spooled | MessageState::Running | MessageState::Quarantined
            );
            if waits && filter.sink.is_none() {
                rows.push(row.clone());
            }
            let shown = state.effects_of(index).filter(|stored| {
                stored.state != EffectState::Done
                    && stored.waived.is_none()
                    && filter.sink.as_ref().is_none_or(|sink| *sink == stored.effect.sink)
            });
            rows.extend(shown.map(|stored| QueueRow {
                effect: Some(stored.effect.id),
                effect_state: Some(stored.state),
                summary: Some(stored.effect.summary()),
                sink: Some(stored.effect.sink.clone()),
                attempts: stored.attempts,
                due: (stored.state == EffectState::Pending).then_some(stored.due),
                reason: stored.reason.clone(),
                ..row.clone()
            }));
        }
        if filter.limit > 0 {
            rows.truncate(filter.limit);
        }
        Ok(rows)
    }

    async fn counts(&self, account: Option<&AccountId>) -> Result<Counts> {
        let state = self.state();
        let mut counts = Counts::default();
        for (index, message) in state.messages.iter().enumerate() {
            if account.is_some_and(|account| *account != message.provenance.account) {
                continue;
            }
            counts.admitted += 1;
            counts.removed += u64::from(message.removed.is_some());
            match message.state {
                MessageState::Spooled | MessageState::Running => counts.waiting += 1,
                MessageState::Planned => counts.planned += 1,
                MessageState::Done => counts.done += 1,
                MessageState::Discarded => counts.discarded += 1,
                MessageState::Quarantined => counts.quarantined += 1,
            }
            for stored in state.effects_of(index) {
                match stored.state {
                    EffectState::Pending | EffectState::Inflight => counts.effects_open += 1,
                    EffectState::Done => counts.effects_done += 1,
                    EffectState::Parked if stored.waived.is_some() => counts.effects_waived += 1,
                    EffectState::Parked => counts.effects_parked += 1,
                }
            }
        }
        Ok(counts)
    }

    async fn accounts(&self) -> Result<Vec<AccountStatus>> {
        Ok(self.state().accounts.values().cloned().collect())
    }

    async fn select(&self, selection: Selection, now: Timestamp) -> Result<Vec<Selected>> {
        let state = self.state();
        let all = 0..state.messages.len();
        Ok(all.filter_map(|index| selection.takes(&state.case(index), now)).collect())
    }

    async fn retry(
        &self,
        messages: Vec<MessageId>,
        sink: Option<Name>,
        now: Timestamp,
    ) -> Result<Vec<Decided>> {
        Ok(self.state().decide(&messages, now, |case| rules::retry(case, sink.as_ref(), now)))
    }

    async fn let_go(
        &self,
        messages: Vec<MessageId>,
        sink: Option<Name>,
        now: Timestamp,
    ) -> Result<Vec<Decided>> {
        Ok(self.state().decide(&messages, now, |case| rules::let_go(case, sink.as_ref(), now)))
    }

    async fn discard(&self, messages: Vec<MessageId>, now: Timestamp) -> Result<Vec<Decided>> {
        Ok(self.state().decide(&messages, now, |case| rules::discard(case, now)))
    }

    async fn outlook(
        &self,
        message: MessageId,
        policy: DeletePolicy,
        now: Timestamp,
    ) -> Result<Vec<Outlook>> {
        let state = self.state();
        Ok(state.index(message).map(|index| state.outlook(index, policy, now)).unwrap_or_default())
    }

    async fn tally(&self, account: &AccountId) -> Result<Tally> {
        Ok(self.state().tally(account))
    }

    async fn usage(&self) -> Result<Usage> {
        let state = self.state();
        let here = state.messages.iter().filter(|message| message.body.is_some());
        Ok(here.fold(Usage::default(), |usage, message| Usage {
            bodies: usage.bodies + 1,
            octets: usage.octets + message.provenance.size,
        }))
    }

    fn free(&self) -> Result<Option<Free>> {
        Ok(None)
    }

    async fn backlog(&self) -> Result<Backlog> {
        let mut backlog = Backlog::default();
        for message in &self.state().messages {
            match message.state {
                MessageState::Spooled | MessageState::Running | MessageState::Planned => {
                    backlog.messages += 1;
                    backlog.octets += message.provenance.size;
                }
                MessageState::Done | MessageState::Discarded | MessageState::Quarantined => {}
            }
        }
        Ok(backlog)
    }

    async fn sweep(&self, keep: Duration, now: Timestamp) -> Result<Swept> {
        let mut state = self.state();
        let mut swept = Swept::default();
        let only: Vec<bool> = (0..state.messages.len()).map(|index| state.is_only_copy(index)).collect();
        for (message, only) in state.messages.iter_mut().zip(only) {
            let over = message.ended.is_some_and(|ended| ended.after(keep) <= now) && !only;
            if over && life::ended(message.state) && message.body.take().is_some() {
                swept.bodies += 1;
                swept.octets += message.provenance.size;
            }
        }
        Ok(swept)
    }

    /// Nothing here outlives the process, so nothing can be damaged.
    async fn scrub(&self, _limit: u64, _now: Timestamp) -> Result<Scrubbed> {
        Ok(Scrubbed::default())
    }

    async fn damaged(&self, _message: MessageId, _what: String, _now: Timestamp) -> Result<Remedy> {
        Ok(Remedy::Sound)
    }
}
