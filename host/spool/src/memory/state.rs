//! What a spool in memory holds, and the rules over it. Owns no lock and no time.

use std::collections::{BTreeMap, HashMap};

use postroom_mail::{
    AccountId, Digest, Effect, EffectId, KvSeen, Label, MessageId, Name, Plan, Provenance, StepTrace,
    Timestamp, Uid, Verdict,
};

use crate::judge::{Copies, Mark, Pace};
use crate::records::{
    AccountStatus, Admitted, Arrival, EffectLease, EffectState, Event, MessageLease, MessageState, Receipt,
    Receipted, Settlement,
};
use crate::seen::{SeenBy, Stumble};
use crate::{Body, Result, life};

#[derive(Default)]
pub(super) struct State {
    /// By admission.
    pub(super) messages: Vec<Message>,
    /// By plan.
    pub(super) effects: Vec<Stored>,
    /// Indexes of effects, in the order of their receipts, and when those came.
    pub(super) receipts: Vec<(usize, Timestamp)>,
    pub(super) ledger: BTreeMap<Key, Entry>,
    pub(super) stumbles: BTreeMap<Key, Stumble>,
    pub(super) notes: HashMap<String, String>,
    pub(super) paces: HashMap<AccountId, Pace>,
    pub(super) kv: HashMap<(String, String), Vec<u8>>,
    pub(super) accounts: BTreeMap<AccountId, AccountStatus>,
    /// Entries of the last recorded listing, without those removed since; and with them.
    pub(super) listed: HashMap<AccountId, (u64, u64)>,
}

/// Account, unique-id, ordinal.
pub(super) type Key = (AccountId, Uid, u32);

/// A row of the ledger.
pub(super) struct Entry {
    /// Index of its message.
    pub(super) message: Option<usize>,
    pub(super) by: SeenBy,
    pub(super) at: Timestamp,
    pub(super) header: Option<Digest>,
    pub(super) mark: Mark,
}

impl Entry {
    /// Whether the server has it, as far as is known.
    pub(super) fn there(&self) -> bool {
        self.mark.shown && self.mark.absent == 0 && self.mark.removed.is_none()
    }
}

pub(super) struct Message {
    pub(super) id: MessageId,
    pub(super) provenance: Provenance,
    pub(super) state: MessageState,
    pub(super) attempts: u32,
    pub(super) due: Timestamp,
    pub(super) reason: Option<String>,
    pub(super) verdict: Option<Verdict>,
    pub(super) labels: Vec<Label>,
    pub(super) trace: Vec<StepTrace>,
    pub(super) ended: Option<Timestamp>,
    pub(super) removed: Option<Timestamp>,
    pub(super) dropped: Option<Timestamp>,
    pub(super) events: Vec<Event>,
    pub(super) body: Option<Body>,
}

pub(super) struct Stored {
    /// Index of its message.
    pub(super) message: usize,
    pub(super) effect: Effect,
    pub(super) state: EffectState,
    pub(super) attempts: u32,
    /// Whether this attempt may have happened already.
    pub(super) sending: bool,
    pub(super) doubts: u32,
    pub(super) due: Timestamp,
    pub(super) receipt: Option<Receipt>,
    pub(super) reason: Option<String>,
    pub(super) waived: Option<Timestamp>,
}

impl Stored {
    /// How many attempts may have happened, the one that is under way not among them.
    pub(super) fn doubts(&self) -> u32 {
        self.doubts + u32::from(self.sending && self.state != EffectState::Inflight)
    }

    pub(super) fn open(&self) -> bool {
        matches!(self.state, EffectState::Pending | EffectState::Inflight)
    }
}

impl Stored {
    fn park(&mut self, message: &mut Message, reason: String, now: Timestamp) {
        message.event(now, life::effect_parked(&self.effect, &reason));
        if self.effect.required && message.state == MessageState::Planned {
            message.set_aside(life::parked_reason(&self.effect, &reason), now);
        }
        (self.state, self.reason) = (EffectState::Parked, Some(reason));
    }
}

impl Message {
    pub(super) fn event(&mut self, at: Timestamp, text: String) {
        self.events.push(Event { at, text });
    }

    pub(super) fn repeating_event(&mut self, at: Timestamp, text: String) {
        if self.events.len() < life::EVENTS as usize {
            self.event(at, text);
        }
    }

    /// What the steps of a failed run did.
    pub(super) fn traced(&mut self, trace: Vec<StepTrace>) {
        if !trace.is_empty() {
            self.trace = trace;
        }
    }

    pub(super) fn defer(&mut self, at: Timestamp, reason: String, now: Timestamp) {
        let reason = life::clip(reason);
        self.repeating_event(now, life::deferred(&reason));
        (self.state, self.due, self.reason) = (MessageState::Spooled, at, Some(reason));
    }

    pub(super) fn set_aside(&mut self, reason: String, now: Timestamp) {
        self.event(now, life::quarantined(&reason));
        self.state = MessageState::Quarantined;
        self.reason = Some(reason);
        self.ended = None;
    }
}

impl State {
    /// Whether a step decided by a state that is another one now.
    pub(super) fn is_stale(&self, plan: &Plan) -> bool {
        let found = |seen: &KvSeen| self.kv.get(&(seen.scope.clone(), seen.key.clone()));
        plan.kv_seen.iter().any(|seen| found(seen).map(|value| Digest::of(value)) != seen.digest)
    }

    pub(super) fn next_due(&self, sinks: &[Name]) -> Option<Timestamp> {
        let waiting = self.messages.iter().filter(|message| message.state == MessageState::Spooled);
        let is_open =
            |stored: &&Stored| stored.state == EffectState::Pending && sinks.contains(&stored.effect.sink);
        let pending = self.effects.iter().filter(is_open);
        waiting.map(|message| message.due).chain(pending.map(|stored| stored.due)).min()
    }

    pub(super) fn hasten(&mut self, accounts: &[AccountId], now: Timestamp) -> u64 {
        let held = |message: &&mut Message| {
            message.state == MessageState::Spooled
                && message.due > now
                && accounts.contains(&message.provenance.account)
        };
        self.messages.iter_mut().filter(held).map(|message| message.due = now).count() as u64
    }

    pub(super) fn index(&self, id: MessageId) -> Option<usize> {
        self.messages.iter().position(|message| message.id == id)
    }

    pub(super) fn leased(&mut self, lease: &MessageLease) -> Result<usize> {
        let index = self.index(lease.message).filter(|index| {
            let message = &self.messages[*index];
            message.state == MessageState::Running && message.attempts == lease.attempt
        });
        index.ok_or_else(|| life::not_leased(lease.message, lease.attempt))
    }

    pub(super) fn effect(&self, id: EffectId) -> Option<usize> {
        self.effects.iter().position(|stored| stored.effect.id == id)
    }

    pub(super) fn leased_effect(&self, lease: &EffectLease) -> Result<usize> {
        let at = self.effect(lease.effect.id).filter(|at| {
            let stored = &self.effects[*at];
            stored.state == EffectState::Inflight && stored.attempts == lease.attempt
        });
        at.ok_or_else(|| life::effect_not_leased(lease.effect.id, lease.attempt))
    }

    pub(super) fn effects_of(&self, message: usize) -> impl Iterator<Item = &Stored> {
        self.effects.iter().filter(move |stored| stored.message == message)
    }

    pub(super) fn admit(&mut self, arrival: Arrival, octets: Vec<u8>) -> Admitted {
        let Arrival { provenance, header, listed, .. } = arrival;
        let (id, retrieved) = (provenance.message(), provenance.retrieved);
        let key = (provenance.account.clone(), provenance.uid.clone(), provenance.ordinal);
        let found = self.index(id);
        let index = found.unwrap_or_else(|| {
            let (at, text) = (provenance.retrieved, life::retrieved(&provenance));
            self.messages.push(Message {
                id,
                provenance,
                state: MessageState::Spooled,
                attempts: 0,
                due: at,
                reason: None,
                verdict: None,
                labels: Vec::new(),
                trace: Vec::new(),
                ended: None,
                removed: None,
                dropped: None,
                events: vec![Event { at, text }],
                body: Some(Body::from(octets)),
            });
            self.messages.len() - 1
        });
        if self.messages[index].removed.take().is_some() {
            self.messages[index].repeating_event(retrieved, life::SHOWN_AGAIN.to_owned());
        }
        self.stumbles.remove(&key);
        let by = SeenBy::Retrieved;
        let mark = Mark { size: listed, shown: true, ..Mark::default() };
        let mut entry = Entry { message: Some(index), by, at: retrieved, header, mark };
        if let Some(before) = self.ledger.get(&key) {
            if before.message == Some(index) {
                entry.header = header.or(before.header);
                entry.mark.size = listed.or(before.mark.size);
            }
            if before.message.is_none_or(|before| before == index) {
                entry.at = before.at;
            }
        }
        self.ledger.insert(key, entry);
        Admitted { message: id, new: found.is_none() }
    }

    pub(super) fn plan(&mut self, index: usize, plan: Plan, now: Timestamp) {
        let mut added = self.plan_again(index, &plan, now);
        for effect in plan.effects {
            if self.effect(effect.id).is_none() {
                added += 1;
                let (state, due) = (EffectState::Pending, now);
                self.effects.push(Stored {
                    message: index,
                    effect,
                    state,
                    attempts: 0,
                    sending: false,
                    doubts: 0,
                    due,
                    receipt: None,
                    reason: None,
                    waived: None,
                });
            }
        }
        for write in plan.kv {
            let key = (write.scope, write.key);
            match write.value {
                Some(value) => self.kv.insert(key, value),
                None => self.kv.remove(&key),
            };
        }
        let open = self.effects_of(index).any(Stored::open);
        let message = &mut self.messages[index];
        message.state = life::state_by_plan(&plan.verdict, open);
        message.reason = life::reason(&plan.verdict);
        message.ended = life::ended(message.state).then_some(now);
        message.event(now, life::planned(added, &plan.verdict));
        if message.state == MessageState::Quarantined
            && let Some(reason) = &message.reason
        {
            let text = life::quarantined(reason);
            message.event(now, text);
        }
        (message.verdict, message.labels, message.trace) = (Some(plan.verdict), plan.labels, plan.trace);
    }

    pub(super) fn settle(&mut self, at: usize, settlement: Settlement, now: Timestamp) {
        let stored = &mut self.effects[at];
        let index = stored.message;
        let uncounted = matches!(settlement, Settlement::Hold { .. });
        stored.sending = false;
        let message = &mut self.messages[index];
        match settlement {
            Settlement::Done(receipt) => {
                message.event(now, life::effect_done(&stored.effect, &receipt));
                (stored.state, stored.receipt, stored.reason) = (EffectState::Done, Some(receipt), None);
                self.receipts.push((at, now));
            }
            Settlement::Retry { at, reason } | Settlement::Hold { at, reason } => {
                stored.attempts -= u32::from(uncounted);
                let reason = life::clip(reason);
                message.repeating_event(now, life::effect_retried(&stored.effect, &reason));
                (stored.state, stored.due, stored.reason) = (EffectState::Pending, at, Some(reason));
                return;
            }
            Settlement::Doubt { at, reason } => {
                stored.doubts += 1;
                let reason = life::clip(reason);
                message.event(now, life::effect_doubted(&stored.effect, &reason));
                if let Some(at) = at {
                    (stored.state, stored.due, stored.reason) = (EffectState::Pending, at, Some(reason));
                    return;
                }
                stored.park(message, reason, now);
            }
            Settlement::Park { reason } => stored.park(message, life::clip(reason), now),
        }
        let open = self.effects_of(index).any(Stored::open);
        let message = &mut self.messages[index];
        if let (MessageState::Planned, Some(verdict), false) = (message.state, &message.verdict, open) {
            message.state = life::state_by_plan(verdict, false);
            message.ended = Some(now);
        }
    }

    /// Receipts of a sink, numbered from 1 over all sinks.
    pub(super) fn receipts(&self, sink: &Name, after: u64, limit: usize) -> Vec<Receipted> {
        let numbered = (1..).zip(&self.receipts).filter(|(number, _)| *number > after);
        let all = numbered.filter_map(|(number, &(effect, at))| {
            let stored = &self.effects[effect];
            let message = &self.messages[stored.message];
            let receipt = stored.receipt.clone().filter(|_| stored.effect.sink == *sink)?;
            Some(Receipted {
                number,
                at,
                effect: stored.effect.clone(),
                receipt,
                message: message.id,
                provenance: message.provenance.clone(),
                labels: message.labels.clone(),
                plugin: life::plugin_of(&message.trace, &stored.effect.step),
            })
        });
        all.take(limit).collect()
    }

    /// What the effects of a message say of copies elsewhere.
    pub(super) fn copies(&self, index: usize) -> Copies {
        let size = self.messages[index].provenance.size;
        let mut copies = Copies::default();
        for stored in self.effects_of(index).filter(|stored| stored.effect.required) {
            let done = stored.state == EffectState::Done;
            let whole = stored.effect.carries_whole(size);
            copies.done += u64::from(done && whole);
            copies.missing += u64::from(!done && stored.waived.is_none());
            copies.waived += u64::from(!done && stored.waived.is_some() && whole);
        }
        copies
    }
}
