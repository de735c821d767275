//! Whether a listing can be believed: servers show empty, short or wholly renumbered maildrops for a while, from a stale
//! replica, a broken index or after a migration. Pure; must not touch the spool or the session.

use postroom_spool::Reconciled;

use super::habits::Maildrop;
use crate::config::Renumbered;

/// So often in a row an odd listing is put down to the server; then it is believed.
const PATIENCE: u32 = 3;
/// A maildrop with fewer messages may well lose all of them at once.
const FEW: u64 = 10;

/// What may be done with a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// What is not in it may be gone.
    Believed,
    /// New mail is taken from it, but nothing absent counts as gone.
    Doubted(String),
    /// What is new in it may be known mail under new names: it has to be matched first.
    Renumbered(Renumbered),
    /// Nothing is done about it.
    Held(String),
}

/// Judges, and counts how often in a row a listing was odd.
pub(super) fn judge(
    listed: u64,
    found: &Reconciled,
    complete: bool,
    on_renumbering: Renumbered,
    habits: &mut Maildrop,
) -> Verdict {
    if habits.hides {
        // What was retrieved is gone from its listings as a matter of course.
        return believed(complete);
    }
    let (new, known) = (found.new.len() as u64, found.known + found.doubtful.len() as u64);
    let before = known + found.vanished;
    let empty = listed == 0 && found.vanished > 0;
    let strange = new > 0 && found.vanished >= 1 && known * 2 <= found.vanished && new * 2 >= found.vanished;
    let short = !empty && !strange && before >= FEW && known * 2 < before;
    count(&mut habits.empty, empty);
    count(&mut habits.strange, strange);
    count(&mut habits.short, short);
    if empty && habits.empty < PATIENCE {
        return Verdict::Held(format!(
            "the server lists nothing, though {before} messages were there last time: nothing counts as deleted yet"
        ));
    }
    if strange {
        if on_renumbering == Renumbered::Hold && before >= FEW {
            return Verdict::Held(format!(
                "all {new} unique-ids are unknown and {} known ones are gone: the server seems to have renumbered its mail. Set \
                 `renumbered` to \"match\", \"take-as-new\" or \"take-as-seen\"",
                found.vanished
            ));
        }
        // A stale or wrong view of the maildrop passes by itself; asking for everything at once would not.
        if before >= FEW && habits.strange < 2 {
            return Verdict::Held(format!(
                "all {new} unique-ids are unknown and {} known ones are gone: if the next listing is the same, the server has \
                 renumbered its mail and each message is matched with what is known",
                found.vanished
            ));
        }
        return Verdict::Renumbered(on_renumbering);
    }
    if short && habits.short < PATIENCE {
        return Verdict::Doubted(format!(
            "{} of {before} known messages are missing from the listing: nothing of it is taken as deleted yet",
            found.vanished
        ));
    }
    believed(complete)
}

fn believed(complete: bool) -> Verdict {
    if complete {
        Verdict::Believed
    } else {
        Verdict::Doubted(
            "the listing contradicts itself: nothing absent from it counts as deleted".to_owned(),
        )
    }
}

fn count(times: &mut u32, odd: bool) {
    *times = if odd { times.saturating_add(1) } else { 0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(new: usize, known: u64, vanished: u64) -> Reconciled {
        Reconciled { new: (0..new).collect(), known, vanished, ..Reconciled::default() }
    }

    fn judged(habits: &mut Maildrop, new: usize, known: u64, vanished: u64) -> Verdict {
        let listed = new as u64 + known;
        judge(listed, &found(new, known, vanished), true, Renumbered::Match, habits)
    }

    #[test]
    fn ordinary_listings_are_believed() {
        let mut habits = Maildrop::default();
        for (new, known, vanished) in [(0, 0, 0), (5, 0, 0), (3, 100, 2), (0, 7, 2), (0, 6, 6), (1, 90, 40)] {
            assert_eq!(
                judged(&mut habits, new, known, vanished),
                Verdict::Believed,
                "{new} {known} {vanished}"
            );
        }
    }

    #[test]
    fn an_empty_listing_is_believed_the_third_time() {
        let mut habits = Maildrop::default();
        assert!(matches!(judged(&mut habits, 0, 0, 20), Verdict::Held(_)));
        assert!(matches!(judged(&mut habits, 0, 0, 20), Verdict::Held(_)));
        assert_eq!(judged(&mut habits, 0, 0, 20), Verdict::Believed);
        assert_eq!(judged(&mut habits, 0, 20, 0), Verdict::Believed);
        assert!(matches!(judged(&mut habits, 0, 0, 20), Verdict::Held(_)), "counted anew");
    }

    #[test]
    fn a_short_listing_is_doubted_but_new_mail_in_it_is_no_renumbering() {
        let mut habits = Maildrop::default();
        assert!(matches!(judged(&mut habits, 1, 20, 80), Verdict::Doubted(_)));
        assert!(matches!(judged(&mut habits, 0, 0, 0), Verdict::Believed));
    }

    #[test]
    fn a_wholly_new_listing_is_held_once_and_then_matched() {
        let mut habits = Maildrop::default();
        assert!(matches!(judged(&mut habits, 100, 0, 100), Verdict::Held(_)));
        assert_eq!(judged(&mut habits, 100, 0, 100), Verdict::Renumbered(Renumbered::Match));
        let mut small = Maildrop::default();
        assert_eq!(
            judged(&mut small, 2, 0, 2),
            Verdict::Renumbered(Renumbered::Match),
            "cheap to match at once"
        );
    }

    #[test]
    fn a_server_that_hides_what_was_retrieved_is_believed_at_once() {
        let mut habits = Maildrop { hides: true, ..Maildrop::default() };
        for (new, known, vanished) in [(0, 0, 20), (20, 0, 20), (1, 5, 40)] {
            assert_eq!(judged(&mut habits, new, known, vanished), Verdict::Believed);
        }
    }

    #[test]
    fn the_operator_can_have_a_renumbered_maildrop_held_for_ever() {
        let mut habits = Maildrop::default();
        for _ in 0..5 {
            let verdict = judge(50, &found(50, 0, 50), true, Renumbered::Hold, &mut habits);
            assert!(matches!(verdict, Verdict::Held(text) if text.contains("take-as-seen")));
        }
    }
}
