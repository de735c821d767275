//! What becomes of an effect that may have happened without anybody knowing (RFC 1047), and the words for the operator.

use std::time::Duration;

use postroom_mail::Timestamp;
use postroom_spool::{EffectLease, Settlement};

use crate::sinks::Sink;

/// The wait before the one attempt more.
pub(super) const WAIT: Duration = Duration::from_secs(60);

/// Sets the effect aside when it is in doubt as often as the sink bears: nothing is sent then.
pub(super) fn parked(sink: &Sink, lease: &EffectLease) -> Option<Settlement> {
    let exhausted = lease.doubts > 0 && lease.doubts >= sink.most_doubts();
    exhausted.then(|| Settlement::Park { reason: words(lease.doubts, None) })
}

/// The answer to the whole message was lost: one attempt more `again` has come, unless the sink bears no more doubts.
pub(super) fn lost_answer(sink: &Sink, lease: &EffectLease, again: Timestamp, reason: String) -> Settlement {
    let doubts = lease.doubts.saturating_add(1);
    if doubts < sink.most_doubts() {
        return Settlement::Doubt { at: Some(again), reason };
    }
    Settlement::Doubt { at: None, reason: words(doubts, Some(&reason)) }
}

fn words(doubts: u32, last: Option<&str>) -> String {
    let times = if doubts == 1 { "once".to_owned() } else { format!("{doubts} times") };
    let last = last.map(|last| format!(" (at last: {last})")).unwrap_or_default();
    format!(
        "in doubt: the whole message was handed over {times} and no answer was recorded, because the server or this host went away; \
         it may have been delivered{last}. It is not sent again by itself: look at the receiving side for it, then \
         `postroom queue retry` sends it once more, or `postroom queue release` lets go of it"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_say_what_happened_where_to_look_and_how_to_go_on() {
        for (doubts, last, expected) in [(1, None, "once"), (2, Some("no answer for 600 s"), "2 times")] {
            let words = words(doubts, last);
            assert!(words.contains(expected) && words.contains(last.unwrap_or("")), "{words}");
            for word in ["may have been delivered", "receiving side", "queue retry", "queue release"] {
                assert!(words.contains(word), "{word:?} is not in {words}");
            }
        }
    }
}
