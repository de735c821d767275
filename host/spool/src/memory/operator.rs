//! The operator's verbs over a spool in memory, and the count of a maildrop. Leaves what they mean to the shared rules.

use std::convert::Infallible;

use postroom_mail::{AccountId, EffectId, MessageId, Plan, Timestamp};

use super::state::{State, Stored};
use crate::life;
use crate::operator::{self as rules, Case, Change, Decided, Decision, Fate, Part, Refusal, Turn};
use crate::records::EffectState;
use crate::tally::{Said, Tally};

impl State {
    pub(super) fn case(&self, index: usize) -> Case {
        let message = &self.messages[index];
        let part = |stored: &Stored| Part {
            id: stored.effect.id,
            sink: stored.effect.sink.clone(),
            state: stored.state,
            required: stored.effect.required,
            waived: stored.waived,
            reason: stored.reason.clone(),
            summary: stored.effect.summary(),
        };
        Case {
            message: message.id,
            account: message.provenance.account.clone(),
            retrieved: message.provenance.retrieved,
            here: message.body.is_some(),
            fate: Fate {
                state: message.state,
                reason: message.reason.clone(),
                verdict: message.verdict.clone(),
                attempts: message.attempts,
                due: message.due,
                ended: message.ended,
                dropped: message.dropped,
            },
            parts: self.effects_of(index).map(part).collect(),
        }
    }

    pub(super) fn decide(
        &mut self,
        messages: &[MessageId],
        now: Timestamp,
        rule: impl Fn(&Case) -> Decision,
    ) -> Vec<Decided> {
        let decided = messages.iter().map(|message| {
            let outcome = match self.index(*message) {
                None => Err(Refusal::Unknown),
                Some(index) => rule(&self.case(index)).map(|change| self.change(index, change, now)),
            };
            Decided { message: *message, outcome }
        });
        decided.collect()
    }

    fn change(&mut self, index: usize, change: Change, now: Timestamp) -> String {
        self.turn(index, &change.turns, now);
        let told = change.events.first().cloned().unwrap_or_default();
        let message = &mut self.messages[index];
        for text in change.events {
            message.event(now, text);
        }
        let Fate { state, reason, verdict, attempts, due, ended, dropped } = change.fate;
        (message.state, message.reason, message.verdict) = (state, reason, verdict);
        (message.attempts, message.due) = (attempts, due);
        (message.ended, message.dropped) = (ended, dropped);
        told
    }

    fn turn(&mut self, index: usize, turns: &[(usize, Turn)], now: Timestamp) {
        let mut parts: Vec<_> = self.effects.iter_mut().filter(|stored| stored.message == index).collect();
        for (at, turn) in turns {
            let stored = &mut parts[*at];
            match turn {
                Turn::Again => {
                    // One stays counted where there was one, so that sinks look for what it may have left. One doubt
                    // is taken back, not all: whoever tries again allows one more copy.
                    let attempts = stored.attempts.min(1);
                    (stored.doubts, stored.sending) = (stored.doubts().saturating_sub(1), false);
                    (stored.state, stored.attempts, stored.due) = (EffectState::Pending, attempts, now);
                    (stored.reason, stored.waived) = (None, None);
                }
                Turn::Hasten => stored.due = now,
                Turn::Waive => (stored.state, stored.waived) = (EffectState::Parked, Some(now)),
                Turn::Unasked => {
                    (stored.state, stored.waived) = (EffectState::Parked, Some(now));
                    stored.reason = Some(life::UNASKED.to_owned());
                }
                Turn::Reclaim => stored.waived = None,
            }
        }
    }

    /// What a later plan does to the effects of an earlier one; answers how many are tried again.
    pub(super) fn plan_again(&mut self, index: usize, plan: &Plan, now: Timestamp) -> usize {
        let parts = self.case(index).parts;
        let ids: Vec<EffectId> = plan.effects.iter().map(|effect| effect.id).collect();
        let turns = rules::planned_again(&parts, &ids);
        self.turn(index, &turns, now);
        for (at, _) in turns.iter().filter(|(_, turn)| *turn == Turn::Unasked) {
            self.messages[index].event(now, life::effect_unasked(&parts[*at].summary));
        }
        for effect in &plan.effects {
            let parked = turns.iter().any(|(at, turn)| *turn == Turn::Again && parts[*at].id == effect.id);
            if let (true, Some(at)) = (parked, self.effect(effect.id)) {
                self.effects[at].effect = effect.clone();
            }
        }
        turns.iter().filter(|(_, turn)| *turn == Turn::Again).count()
    }

    pub(super) fn tally(&self, account: &AccountId) -> Tally {
        let mut tally = Tally::default();
        let own = self.ledger.iter().filter(|((owner, ..), _)| owner == account);
        for (_, entry) in own.clone().filter(|(_, entry)| entry.there()) {
            let message = entry.message.map(|index| &self.messages[index]);
            let copied = || Ok(entry.message.is_some_and(|index| self.copied(index)));
            let again = || Ok(entry.message.is_some_and(|index| self.doubles(index)));
            match tally.count::<Infallible>(message.map(|message| message.state), copied, again) {
                Ok(()) => {}
                Err(never) => match never {},
            }
        }
        let stumbled = self
            .stumbles
            .keys()
            .filter(|key| key.0 == *account && !self.ledger.get(*key).is_some_and(|entry| entry.there()));
        let status = self.accounts.get(account).filter(|status| status.failures == 0);
        let (there, listed) = self.listed.get(account).copied().unzip();
        tally.complete(Said {
            listed: there,
            nameless: Said::nameless(status.and_then(|status| status.listed), listed),
            stumbled: stumbled.count() as u64,
        })
    }

    /// Whether a sink has the whole message.
    pub(super) fn copied(&self, index: usize) -> bool {
        let size = self.messages[index].provenance.size;
        self.effects_of(index)
            .any(|stored| stored.state == EffectState::Done && stored.effect.carries_whole(size))
    }

    /// Whether an earlier message of the account has the same octets.
    fn doubles(&self, index: usize) -> bool {
        let own = &self.messages[index].provenance;
        self.messages[..index]
            .iter()
            .any(|other| other.provenance.account == own.account && other.provenance.digest == own.digest)
    }
}
