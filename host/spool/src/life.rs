//! The pure rules of a message's life that every spool shares, and the words of its history. Does no IO.

use postroom_mail::{Digest, Effect, EffectId, MessageId, Name, Provenance, StepTrace, Uid, Verdict};

use crate::records::{Arrival, MessageState, Receipt};
use crate::seen::{NOTE, SeenBy};
use crate::{Error, Result};

/// Repeating lines (attempts, retries) are left out of a history that has so many lines already.
pub(crate) const EVENTS: u32 = 200;
/// Reasons are cut to so many octets.
const REASON: usize = 2000;
/// Answers of `find`.
pub(crate) const FOUND: usize = 20;

/// Why a message waits whose plan was dropped.
pub(crate) const STALE: &str = "another message changed the state of a step meanwhile: it is tried again";

/// A deletion was proved by what changed meanwhile.
pub(crate) fn out_of_date(uid: &Uid, message: MessageId) -> Error {
    Error::Conflict(format!(
        "the proof that {uid} (message {message}) may be deleted is out of date: nothing of this listing is deleted, \
         the next poll decides"
    ))
}

/// What becomes of a message when its plan is committed, or the last of its effects is settled, while `open` of its
/// effects are still to be done.
pub(crate) fn state_by_plan(verdict: &Verdict, open: bool) -> MessageState {
    match (verdict, open) {
        (Verdict::Quarantine { .. }, _) => MessageState::Quarantined,
        (_, true) => MessageState::Planned,
        (Verdict::Keep, false) => MessageState::Done,
        (Verdict::Discard { .. }, false) => MessageState::Discarded,
    }
}

/// The verdict's reason, as the message's.
pub(crate) fn reason(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Keep => None,
        Verdict::Discard { step, reason } | Verdict::Quarantine { step, reason } => {
            Some(clip(format!("{step}: {reason}")))
        }
    }
}

/// Whether the message ended, so that its body may be freed some time later.
pub(crate) fn ended(state: MessageState) -> bool {
    match state {
        MessageState::Done | MessageState::Discarded => true,
        MessageState::Spooled | MessageState::Running | MessageState::Planned | MessageState::Quarantined => {
            false
        }
    }
}

/// Whether a listed size may be that of the stored message. Servers round, and count line ends as one octet.
pub(crate) fn sizes_agree(listed: u64, stored: u64) -> bool {
    listed.abs_diff(stored) <= stored / 10 + 1024
}

/// The provenance must be that of the octets.
pub(crate) fn check_arrival(arrival: &Arrival) -> Result<()> {
    let (provenance, body) = (&arrival.provenance, &arrival.body);
    if provenance.digest == body.digest() && provenance.size == body.size() {
        return Ok(());
    }
    let uid = &provenance.uid;
    Err(Error::Conflict(format!("digest or size of message {uid} are not those of its octets")))
}

/// Version and digest of the plugin that a step ran with last.
pub(crate) fn plugin_of(trace: &[StepTrace], step: &Name) -> Option<(String, Digest)> {
    let last = trace.iter().rev().find(|traced| traced.step == *step)?;
    Some((last.plugin.clone(), last.plugin_digest))
}

/// Cuts a reason to a bounded length.
pub(crate) fn clip(mut text: String) -> String {
    if text.len() > REASON {
        let end = (0..=REASON).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

/// The first line of every history.
pub(crate) fn retrieved(provenance: &Provenance) -> String {
    format!("retrieved from {} as {} ({} octets)", provenance.account, provenance.uid, provenance.size)
}

/// A run begins.
pub(crate) fn started(attempt: u32) -> String {
    format!("attempt {attempt} started")
}

/// A run failed for now.
pub(crate) fn deferred(reason: &str) -> String {
    format!("to be tried again: {reason}")
}

/// A run succeeded.
pub(crate) fn planned(effects: usize, verdict: &Verdict) -> String {
    let verdict = match verdict {
        Verdict::Keep => "keep",
        Verdict::Discard { .. } => "discard",
        Verdict::Quarantine { .. } => "quarantine",
    };
    let word = if effects == 1 { "effect" } else { "effects" };
    format!("planned: {effects} {word}, verdict {verdict}")
}

/// The message was set aside.
pub(crate) fn quarantined(reason: &str) -> String {
    format!("quarantined: {reason}")
}

/// An effect has its receipt.
pub(crate) fn effect_done(effect: &Effect, receipt: &Receipt) -> String {
    let already = if receipt.already { ", was there already" } else { "" };
    format!("{} done: {}{already}", effect.summary(), receipt.location)
}

/// An effect failed for now.
pub(crate) fn effect_retried(effect: &Effect, reason: &str) -> String {
    format!("{} to be tried again: {reason}", effect.summary())
}

/// An effect failed for good.
pub(crate) fn effect_parked(effect: &Effect, reason: &str) -> String {
    format!("{} set aside: {reason}", effect.summary())
}

/// The other side was given the whole effect, and never said what it did with it.
pub(crate) fn effect_doubted(effect: &Effect, reason: &str) -> String {
    format!("{} may or may not have happened: {reason}", effect.summary())
}

/// Why a message is quarantined when one of its required effects is.
pub(crate) fn parked_reason(effect: &Effect, reason: &str) -> String {
    clip(format!("{}: {reason}", effect.summary()))
}

/// The server confirmed the deletion.
pub(crate) const REMOVED: &str = "removed at the server";

/// The end of the session in which it was to be deleted is unknown; a later listing does not have it.
pub(crate) const FOUND_REMOVED: &str = "removed at the server, as a later listing shows";

/// The operator had the ledger forget it.
pub(crate) const FORGOTTEN: &str = "forgotten by the ledger: listed again, it is new";

/// The operator had its steps run again.
pub(crate) const RUN_AGAIN: &str = "the operator had its steps run again";

/// The operator did not want to wait for the next try.
pub(crate) const HASTENED: &str = "the operator had it tried at once";

/// The operator gave it up.
pub(crate) const DROPPED: &str = "dropped by the operator";

/// The operator changed his mind.
pub(crate) const TAKEN_BACK: &str = "taken back by the operator after it was dropped";

/// The operator had an effect tried again.
pub(crate) fn effect_again(summary: &str) -> String {
    format!("the operator had {summary} tried again")
}

/// The operator lets go of an effect.
pub(crate) fn effect_waived(summary: &str) -> String {
    format!("the operator let go of {summary}")
}

/// Why a later plan let go of an effect.
pub(crate) const UNASKED: &str = "no step asks for it any more";

/// All that its plan wanted is settled, so nothing keeps it in quarantine.
pub(crate) const NOTHING_LEFT: &str = "the operator let it end: all that its plan asked for is settled";

/// The operator lets its effects go on though its octets were in doubt.
pub(crate) const GOES_ON: &str = "the operator let it go on with what its plan still asks for";

/// A later plan does not have an effect that was set aside.
pub(crate) fn effect_unasked(summary: &str) -> String {
    format!("no step asks for {summary} any more")
}

/// The operator lets a message go on that a step set aside.
pub(crate) fn verdict_overruled(step: &Name, reason: &str) -> String {
    clip(format!("released by the operator, against step {step}: {reason}"))
}

/// The server has another unique-id for it.
pub(crate) fn adopted(from: &Uid, to: &Uid) -> String {
    format!("the server lists it as {to} now, no more as {from}")
}

/// Whether entries may be marked as seen in this way.
pub(crate) fn check_seed(by: SeenBy) -> Result<()> {
    match by {
        SeenBy::Seeded | SeenBy::Imported => Ok(()),
        SeenBy::Retrieved | SeenBy::Adopted => {
            Err(Error::Conflict("only a message that was admitted counts as retrieved or adopted".to_owned()))
        }
    }
}

/// Notes are bounded.
pub(crate) fn check_note(scope: &str, text: Option<&String>) -> Result<()> {
    match text.map_or(0, String::len) {
        ..=NOTE => Ok(()),
        len => Err(Error::Conflict(format!("the note on {scope} has {len} octets, the limit is {NOTE}"))),
    }
}

/// The server has it again, or still, after it confirmed the deletion.
pub(crate) const STILL_THERE: &str = "listed again after its removal";

/// The server gave it out once more after it confirmed the deletion.
pub(crate) const SHOWN_AGAIN: &str = "retrieved again after its removal";

/// The body of a message cannot be read as it was written.
pub(crate) fn damaged(what: &str) -> String {
    clip(format!("its body is damaged: {what}"))
}

/// Why a message whose body is damaged is set aside.
pub(crate) fn lost(what: &str) -> String {
    clip(format!("its body is damaged, and the server has it no more: {what}"))
}

/// The octets are back.
pub(crate) const RESTORED: &str = "its body was damaged and has been retrieved again";

/// The first line after a rebuilding.
pub(crate) const REBUILT_EVENT: &str = "rebuilt from its segment";

/// Why a rebuilt message does not run by itself.
pub(crate) const REBUILT: &str =
    "rebuilt: what was already done with it is not known any more; `postroom queue retry` runs it again";

/// A run that is not, or no longer, leased.
pub(crate) fn not_leased(message: MessageId, attempt: u32) -> Error {
    Error::Conflict(format!("attempt {attempt} at message {message} is over already"))
}

/// An effect that is not, or no longer, leased.
pub(crate) fn effect_not_leased(effect: EffectId, attempt: u32) -> Error {
    Error::Conflict(format!("attempt {attempt} at effect {effect} is over already"))
}
