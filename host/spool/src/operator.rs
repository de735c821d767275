//! What the operator can decide over a message that waits or was set aside: which ones a verb touches, what each verb
//! changes, and when it is refused. Pure rules that every spool shares; does no IO.

use std::fmt;
use std::time::Duration;

use postroom_mail::{AccountId, EffectId, MessageId, Name, Timestamp, Verdict};
use serde::{Deserialize, Serialize};

use crate::life;
use crate::records::{EffectState, MessageState};

/// In which way something is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aside {
    /// The message is in quarantine.
    Quarantined,
    /// An effect of it is parked.
    Parked,
    /// It waits for the pipeline, or an effect of it waits for its sink.
    Waiting,
    /// The operator dropped it, and its octets are still here or were.
    Dropped,
}

/// Which messages. All given conditions must hold; with none, all that wait or were set aside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these, in any state unless one is given.
    pub messages: Vec<MessageId>,
    /// Only this account's.
    pub account: Option<AccountId>,
    /// Only those with an effect of this sink that waits or is parked.
    pub sink: Option<Name>,
    /// Only those that are so.
    pub state: Option<Aside>,
    /// Only those whose reason, or that of an effect that waits or is parked, contains this; in any case of letters.
    pub reason: Option<String>,
    /// Only those retrieved at least so long ago.
    pub older: Option<Duration>,
}

/// A message that was selected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selected {
    /// Which.
    pub message: MessageId,
    /// Whose.
    pub account: AccountId,
    /// Where it is.
    pub state: MessageState,
    /// When it was retrieved.
    pub retrieved: Timestamp,
    /// Why it waits or was set aside; of its first parked effect when the message has none.
    pub reason: Option<String>,
    /// Effects of it that are parked.
    pub parked: u64,
    /// Effects of it that wait or are being carried out.
    pub open: u64,
}

/// What a verb did to one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// Which.
    pub message: MessageId,
    /// In words, or why nothing was changed.
    pub outcome: Result<String, Refusal>,
}

/// Why a verb changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// It is not here.
    Unknown,
    /// It is being worked on at this moment.
    Busy,
    /// Its octets were freed.
    Gone,
    /// No run of the pipeline came to a plan, so there is nothing to go on with.
    NoPlan,
    /// Nothing of it waits or was set aside.
    NothingAside,
    /// It ended already.
    Ended,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "it is not here",
            Self::Busy => "it is being worked on at this moment: try again shortly",
            Self::Gone => "its octets are not here any more",
            Self::NoPlan => {
                "its steps failed before they decided anything, so there is nothing to let go out: `retry` runs them again, \
                 `export` writes the message to a file, `drop` gives it up"
            }
            Self::NothingAside => "nothing of it waits or was set aside",
            Self::Ended => "it has ended already",
        })
    }
}

/// The part of a message that a verb can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) state: MessageState,
    pub(crate) reason: Option<String>,
    /// Of its plan, while that stands.
    pub(crate) verdict: Option<Verdict>,
    pub(crate) attempts: u32,
    pub(crate) due: Timestamp,
    pub(crate) ended: Option<Timestamp>,
    pub(crate) dropped: Option<Timestamp>,
}

/// An effect of it.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) id: EffectId,
    pub(crate) sink: Name,
    pub(crate) state: EffectState,
    pub(crate) required: bool,
    /// When it was let go of.
    pub(crate) waived: Option<Timestamp>,
    pub(crate) reason: Option<String>,
    pub(crate) summary: String,
}

impl Part {
    fn open(&self) -> bool {
        matches!(self.state, EffectState::Pending | EffectState::Inflight)
    }

    fn parked(&self) -> bool {
        self.state == EffectState::Parked && self.waived.is_none()
    }

    /// Whether it was let go of because a later plan did not ask for it, not because the operator said so.
    fn unasked(&self) -> bool {
        self.waived.is_some() && self.reason.as_deref() == Some(life::UNASKED)
    }
}

/// A message as the verbs see it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) message: MessageId,
    pub(crate) account: AccountId,
    pub(crate) retrieved: Timestamp,
    /// Its octets are still here.
    pub(crate) here: bool,
    pub(crate) fate: Fate,
    pub(crate) parts: Vec<Part>,
}

/// What becomes of an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It waits anew, due now; of attempts and doubts only what sinks must know is left.
    Again,
    /// It is due now.
    Hasten,
    /// The operator lets go of it: it blocks nothing any more, and is no receipt.
    Waive,
    /// A later plan does not ask for it: as [`Turn::Waive`], until a plan asks for it once more.
    Unasked,
    /// It is parked, as if nobody had let go of it: the next plan decides.
    Reclaim,
}

/// What a verb changes.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) fate: Fate,
    /// Indexes of parts.
    pub(crate) turns: Vec<(usize, Turn)>,
    /// New lines of its history; the first is also what the operator is told.
    pub(crate) events: Vec<String>,
}

/// What a verb decides over one message.
pub(crate) type Decision = Result<Change, Refusal>;

impl Selection {
    /// Whether it takes this message.
    pub(crate) fn takes(&self, case: &Case, now: Timestamp) -> Option<Selected> {
        let state = case.fate.state;
        let of_sink = |part: &&Part| self.sink.as_ref().is_none_or(|sink| *sink == part.sink);
        let parked = || case.parts.iter().filter(|part| part.parked()).filter(of_sink);
        let open = || case.parts.iter().filter(|part| part.open()).filter(of_sink);
        let at_sink = self.sink.is_none() || parked().chain(open()).next().is_some();
        let is = |aside: Aside| match aside {
            Aside::Quarantined => state == MessageState::Quarantined,
            Aside::Parked => parked().next().is_some(),
            Aside::Waiting => {
                matches!(state, MessageState::Spooled | MessageState::Running) || open().next().is_some()
            }
            Aside::Dropped => state == MessageState::Discarded && case.fate.dropped.is_some(),
        };
        let asked = match self.state {
            Some(aside) => is(aside),
            None if self.messages.is_empty() => {
                is(Aside::Quarantined) || is(Aside::Parked) || is(Aside::Waiting)
            }
            None => true,
        };
        let reasons = || {
            let parts = parked().chain(open()).filter_map(|part| part.reason.as_deref());
            case.fate.reason.as_deref().into_iter().chain(parts)
        };
        let said = |wanted: &String| {
            let wanted = wanted.to_lowercase();
            reasons().any(|reason| reason.to_lowercase().contains(&wanted))
        };
        let fits = asked
            && at_sink
            && (self.messages.is_empty() || self.messages.contains(&case.message))
            && self.account.as_ref().is_none_or(|account| *account == case.account)
            && self.reason.as_ref().is_none_or(said)
            && self.older.is_none_or(|older| case.retrieved.after(older) <= now);
        fits.then(|| Selected {
            message: case.message,
            account: case.account.clone(),
            state,
            retrieved: case.retrieved,
            reason: reasons().next().map(str::to_owned),
            parked: parked().count() as u64,
            open: open().count() as u64,
        })
    }
}

impl Case {
    fn chosen(&self, sink: Option<&Name>, wanted: impl Fn(&Part) -> bool) -> Vec<usize> {
        let parts = self.parts.iter().enumerate();
        let chosen = parts.filter(|(_, part)| sink.is_none_or(|sink| *sink == part.sink) && wanted(part));
        chosen.map(|(index, _)| index).collect()
    }

    /// What the operator let go of by dropping the message, and not before.
    fn dropped_parts(&self) -> Vec<usize> {
        self.chosen(None, |part| part.state == EffectState::Parked && part.waived == self.fate.dropped)
    }

    /// Nothing of it is set aside, and yet it is: its octets were damaged while effects were under way, or wait. It is
    /// where its plan leaves it.
    fn resettle(&self, sink: Option<&Name>, now: Timestamp) -> Decision {
        let verdict = self.fate.verdict.clone();
        if self.fate.state != MessageState::Quarantined || sink.is_some() || verdict.is_none() {
            return Err(Refusal::NothingAside);
        }
        let fate = self.fate_after(verdict, &[], now);
        let text = match fate.state {
            MessageState::Done | MessageState::Discarded => life::NOTHING_LEFT,
            MessageState::Planned => life::GOES_ON,
            MessageState::Spooled | MessageState::Running | MessageState::Quarantined => {
                return Err(Refusal::NothingAside);
            }
        };
        Ok(Change { fate, turns: Vec::new(), events: vec![text.to_owned()] })
    }

    fn named(&self, index: usize) -> &str {
        self.parts.get(index).map_or("an effect", |part| &part.summary)
    }

    /// Where the message is once these turns are taken.
    fn fate_after(&self, verdict: Option<Verdict>, turns: &[(usize, Turn)], now: Timestamp) -> Fate {
        let turn = |index| turns.iter().find(|(at, _)| *at == index).map(|(_, turn)| *turn);
        let (mut open, mut blocked) = (false, false);
        for (index, part) in self.parts.iter().enumerate() {
            match turn(index) {
                Some(Turn::Again | Turn::Hasten) => open = true,
                Some(Turn::Waive | Turn::Unasked) => {}
                Some(Turn::Reclaim) => blocked |= part.required,
                None => {
                    open |= part.open();
                    blocked |= part.required && part.parked();
                }
            }
        }
        let state = match &verdict {
            None => self.fate.state,
            Some(_) if blocked => MessageState::Quarantined,
            Some(verdict) => life::state_by_plan(verdict, open),
        };
        let reason = match (&verdict, state) {
            (_, MessageState::Quarantined) | (None, _) => self.fate.reason.clone(),
            (Some(verdict), _) => life::reason(verdict),
        };
        let ended = life::ended(state).then(|| self.fate.ended.unwrap_or(now));
        Fate { state, reason, verdict, ended, dropped: None, ..self.fate.clone() }
    }

    /// Another run of the pipeline, as if there had been none; what was delivered stays delivered.
    fn run_again(&self, text: &str, now: Timestamp) -> Change {
        let fate = Fate {
            state: MessageState::Spooled,
            reason: None,
            verdict: None,
            attempts: 0,
            due: now,
            ended: None,
            dropped: None,
        };
        Change { fate, turns: Vec::new(), events: vec![text.to_owned()] }
    }
}

/// Has it tried again: from the pipeline on where no plan stands, else its effects (of one sink).
pub(crate) fn retry(case: &Case, sink: Option<&Name>, now: Timestamp) -> Decision {
    if !case.here {
        return Err(Refusal::Gone);
    }
    let planned = matches!(case.fate.verdict, Some(Verdict::Keep | Verdict::Discard { .. }));
    match case.fate.state {
        MessageState::Running => Err(Refusal::Busy),
        MessageState::Spooled if sink.is_none() => {
            let fate = Fate { due: now, ..case.fate.clone() };
            Ok(Change { fate, turns: Vec::new(), events: vec![life::HASTENED.to_owned()] })
        }
        MessageState::Quarantined if sink.is_none() && !planned => Ok(case.run_again(life::RUN_AGAIN, now)),
        MessageState::Discarded if case.fate.dropped.is_some() && !planned => {
            let turns = case.dropped_parts().into_iter().map(|index| (index, Turn::Reclaim)).collect();
            Ok(Change { turns, ..case.run_again(life::TAKEN_BACK, now) })
        }
        MessageState::Discarded if case.fate.dropped.is_some() => {
            let turns = again(case.dropped_parts());
            let fate = case.fate_after(case.fate.verdict.clone(), &turns, now);
            Ok(Change { fate, turns, events: vec![life::TAKEN_BACK.to_owned()] })
        }
        MessageState::Spooled
        | MessageState::Planned
        | MessageState::Done
        | MessageState::Discarded
        | MessageState::Quarantined => effects_again(case, sink, now),
    }
}

fn again(parts: Vec<usize>) -> Vec<(usize, Turn)> {
    parts.into_iter().map(|index| (index, Turn::Again)).collect()
}

fn effects_again(case: &Case, sink: Option<&Name>, now: Timestamp) -> Decision {
    let waiting = case.chosen(sink, |part| part.state == EffectState::Pending);
    let mut parked = case.chosen(sink, Part::parked);
    if parked.is_empty() && waiting.is_empty() {
        // Nothing else is meant then: the operator changed his mind.
        parked = case.chosen(sink, |part| part.waived.is_some());
    }
    let mut turns = again(parked);
    turns.extend(waiting.into_iter().map(|index| (index, Turn::Hasten)));
    if turns.is_empty() {
        let under_way = case.chosen(sink, |part| part.state == EffectState::Inflight);
        return if under_way.is_empty() { case.resettle(sink, now) } else { Err(Refusal::Busy) };
    }
    let fate = case.fate_after(case.fate.verdict.clone(), &turns, now);
    let events = turns.iter().map(|(index, _)| life::effect_again(case.named(*index))).collect();
    Ok(Change { fate, turns, events })
}

/// Lets it go on without what set it aside: a verdict, parked effects; with a sink also without what waits for that.
pub(crate) fn let_go(case: &Case, sink: Option<&Name>, now: Timestamp) -> Decision {
    if case.fate.state == MessageState::Running {
        return Err(Refusal::Busy);
    }
    if sink.is_some() && !case.chosen(sink, |part| part.state == EffectState::Inflight).is_empty() {
        return Err(Refusal::Busy);
    }
    let aside = case.fate.state == MessageState::Quarantined;
    let waits = |part: &Part| sink.is_some() && part.state == EffectState::Pending;
    let waived = case.chosen(sink, |part| part.parked() || waits(part));
    let mut events = Vec::new();
    let verdict = match &case.fate.verdict {
        None if aside && sink.is_none() => return Err(Refusal::NoPlan),
        Some(Verdict::Quarantine { step, reason }) if aside && sink.is_none() => {
            events.push(life::verdict_overruled(step, reason));
            Some(Verdict::Keep)
        }
        verdict => verdict.clone(),
    };
    events.extend(waived.iter().map(|index| life::effect_waived(case.named(*index))));
    if events.is_empty() {
        return case.resettle(sink, now);
    }
    let turns: Vec<_> = waived.into_iter().map(|index| (index, Turn::Waive)).collect();
    Ok(Change { fate: case.fate_after(verdict, &turns, now), turns, events })
}

/// Gives it up. Its octets stay for the grace period, and [`retry`] takes it back until they are freed.
pub(crate) fn discard(case: &Case, now: Timestamp) -> Decision {
    match case.fate.state {
        MessageState::Running => return Err(Refusal::Busy),
        MessageState::Done | MessageState::Discarded => return Err(Refusal::Ended),
        MessageState::Spooled | MessageState::Planned | MessageState::Quarantined => {}
    }
    if case.parts.iter().any(|part| part.state == EffectState::Inflight) {
        return Err(Refusal::Busy);
    }
    let waived = case.chosen(None, |part| part.parked() || part.open());
    let fate = Fate {
        state: MessageState::Discarded,
        reason: Some(life::DROPPED.to_owned()),
        ended: Some(now),
        dropped: Some(now),
        ..case.fate.clone()
    };
    let turns = waived.into_iter().map(|index| (index, Turn::Waive)).collect();
    Ok(Change { fate, turns, events: vec![life::DROPPED.to_owned()] })
}

/// A later plan of the same message meets the effects of an earlier one: what is parked is tried again where the plan
/// asks for it once more, and blocks nothing any more where it does not. What the operator let go of stays let go of.
pub(crate) fn planned_again(parts: &[Part], plan: &[EffectId]) -> Vec<(usize, Turn)> {
    let turn = |(index, part): (usize, &Part)| match (part.state, plan.contains(&part.id)) {
        (EffectState::Parked, true) if part.parked() || part.unasked() => Some((index, Turn::Again)),
        (EffectState::Parked, false) if part.parked() => Some((index, Turn::Unasked)),
        (EffectState::Parked | EffectState::Pending | EffectState::Inflight | EffectState::Done, _) => None,
    };
    parts.iter().enumerate().filter_map(turn).collect()
}
