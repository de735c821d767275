//! Owns the judgement: what was put into the maildrops against what lies where it was delivered to. Must not look into the
//! state of a program under test; what that sets aside it says itself.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use postroom_mail::Digest;

use super::arena::files;
use super::post::{Mark, Put};

/// What a place of delivery holds, in copies of mails.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(super) struct Tally {
    /// Its name.
    pub(super) place: String,
    /// That were to come.
    pub(super) expected: u64,
    /// That came, each counted as often as it was to come.
    pub(super) delivered: u64,
    /// Neither there, nor on the server, nor set aside.
    pub(super) lost: u64,
    /// There more often than they were to come.
    pub(super) doubled: u64,
    /// Of these there more than twice as often.
    pub(super) over_two: u64,
    /// Not there, but set aside with a reason.
    pub(super) held: u64,
    /// Not there, but still on the server.
    pub(super) left: u64,
    /// There with octets that nobody put into a maildrop.
    pub(super) strange: u64,
}

/// What the program under test says it has set aside.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    /// Whole messages, by their digest in hexadecimal.
    pub(super) messages: BTreeSet<String>,
    /// Single deliveries, by digest and sink.
    pub(super) deliveries: BTreeSet<(String, String)>,
}

impl Held {
    fn has(&self, digest: &Digest, place: &str) -> bool {
        let digest = digest.to_string();
        self.messages.contains(&digest) || self.deliveries.contains(&(digest, place.to_owned()))
    }
}

/// What lies somewhere: how often each mail, and how much that is none of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) copies: BTreeMap<Mark, u64>,
    pub(super) strange: u64,
}

impl Found {
    /// One more, known by its octets.
    pub(super) fn exact(&mut self, octets: &[u8], known: &BTreeMap<Digest, Mark>) {
        self.count(known.get(&Digest::of(octets)).copied());
    }

    /// One more, known by its mark.
    pub(super) fn marked(&mut self, octets: &[u8]) {
        self.count(Mark::of(octets));
    }

    fn count(&mut self, mark: Option<Mark>) {
        match mark {
            Some(mark) => *self.copies.entry(mark).or_default() += 1,
            None => self.strange += 1,
        }
    }

    /// All files below a directory but those in a Maildir's `tmp`, which are nobody's mail.
    pub(super) fn below(directory: &Path, mut count: impl FnMut(&mut Self, &[u8])) -> Self {
        let mut found = Self::default();
        for path in files(directory) {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let parent = path.parent().and_then(Path::file_name);
            if parent.is_some_and(|parent| parent == "tmp")
                || (name.starts_with('.') && name.ends_with(".tmp"))
            {
                continue;
            }
            match std::fs::read(&path) {
                Ok(octets) => count(&mut found, &octets),
                Err(_) => found.strange += 1,
            }
        }
        found
    }
}

/// Counts one place. `on_server` is what the maildrops still hold.
pub(super) fn judge<'p>(
    place: &str,
    put: impl Iterator<Item = (&'p Mark, &'p Put)>,
    found: &Found,
    on_server: &BTreeSet<Mark>,
    held: &Held,
) -> Tally {
    let mut tally = Tally { place: place.to_owned(), strange: found.strange, ..Tally::default() };
    let mut known = BTreeSet::new();
    for (mark, put) in put {
        known.insert(*mark);
        let copies = found.copies.get(mark).copied().unwrap_or(0);
        tally.expected += put.times;
        tally.delivered += copies.min(put.times);
        tally.doubled += copies.saturating_sub(put.times);
        tally.over_two += copies.saturating_sub(2 * put.times);
        let missing = put.times.saturating_sub(copies);
        if held.has(&put.digest, place) {
            tally.held += missing;
        } else if on_server.contains(mark) {
            tally.left += missing;
        } else {
            tally.lost += missing;
        }
    }
    let foreign = found.copies.iter().filter(|(mark, _)| !known.contains(mark)).map(|(_, copies)| copies);
    tally.strange += foreign.sum::<u64>();
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Marks 1 to 4, the second of them twice, against so many copies each.
    fn judged(copies: [u64; 4], on_server: &[usize], held: &[(usize, &str)]) -> Tally {
        let octets: Vec<Vec<u8>> =
            (1..=4).map(|mark| format!("X-Chaos-Mark: {mark:010}\r\n\r\n").into_bytes()).collect();
        let marks: Vec<Mark> = octets.iter().filter_map(|octets| Mark::of(octets)).collect();
        let put: BTreeMap<Mark, Put> = marks
            .iter()
            .enumerate()
            .map(|(at, mark)| {
                (
                    *mark,
                    Put { account: 0, times: if at == 1 { 2 } else { 1 }, digest: Digest::of(&octets[at]) },
                )
            })
            .collect();
        let mut found = Found::default();
        for (octets, copies) in octets.iter().zip(copies) {
            (0..copies).for_each(|_| found.marked(octets));
        }
        let on_server = on_server.iter().map(|&at| marks[at]).collect();
        let deliveries =
            held.iter().map(|&(at, sink)| (Digest::of(&octets[at]).to_string(), sink.to_owned()));
        let held = Held { deliveries: deliveries.collect(), ..Held::default() };
        judge("box", put.iter(), &found, &on_server, &held)
    }

    fn counts(tally: &Tally) -> [u64; 7] {
        let Tally { expected, delivered, lost, doubled, over_two, held, left, .. } = tally;
        [*expected, *delivered, *lost, *doubled, *over_two, *held, *left]
    }

    #[test]
    fn every_copy_is_delivered_or_accounted_for() {
        assert_eq!(counts(&judged([1, 2, 1, 1], &[], &[])), [5, 5, 0, 0, 0, 0, 0]);
        assert_eq!(counts(&judged([1, 1, 1, 1], &[], &[])), [5, 4, 1, 0, 0, 0, 0], "one of twins");
        assert_eq!(counts(&judged([0, 2, 0, 0], &[2], &[(3, "box")])), [5, 2, 1, 0, 0, 1, 1]);
        assert_eq!(counts(&judged([1, 2, 1, 0], &[], &[(3, "other")])), [5, 4, 1, 0, 0, 0, 0]);
        assert_eq!(counts(&judged([2, 2, 1, 3], &[], &[])), [5, 5, 0, 3, 1, 0, 0]);
        assert_eq!(counts(&judged([1, 4, 1, 1], &[], &[])), [5, 5, 0, 2, 0, 0, 0], "twice each of twins");
    }

    #[test]
    fn what_nobody_put_there_is_strange() {
        let mut found = Found::default();
        found.exact(b"octets", &BTreeMap::new());
        found.marked(b"X-Chaos-Mark: 0000000009\r\n");
        let tally = judge("box", std::iter::empty(), &found, &BTreeSet::new(), &Held::default());
        assert_eq!(tally.strange, 2);
    }
}
