//! Between the state files of other retrievers and our ledger: which messages of a server's listing such a file says are
//! seen, and our ledger in the form of such a file. Pure; must not open a connection, a file or the spool.

use std::collections::HashMap;

use postroom_mail::Timestamp;
use postroom_seen::{Foreign, Format, How, Mailbox, match_listing};
use postroom_spool::{Listed, Seen, SeenBy, SeenRow};

/// A state file held against a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Import {
    /// For each message of the listing, in its order: whether the file says that it is seen.
    pub seen: Vec<bool>,
    /// What is to be marked, under the server's own unique-ids.
    pub entries: Vec<Seen>,
    /// Messages that entries could mean, or others: they count as not seen.
    pub doubtful: u64,
    /// Entries of mail that is not on the server any more.
    pub unlisted: u64,
    /// Entries of which the other program had the header only: they do not count as seen.
    pub header_only: u64,
}

impl Import {
    /// Matches the entries of one mailbox with a listing.
    #[must_use]
    pub fn of(format: Format, entries: &[Foreign], listing: &[Listed], now: Timestamp) -> Self {
        let (matched, doubtful) = match format {
            Format::Postroom => by_ordinal(entries, listing),
            Format::Getmail | Format::Fetchmail | Format::Mpop | Format::Thunderbird => {
                let uids: Vec<&[u8]> = listing.iter().map(|listed| listed.uid.0.as_slice()).collect();
                let matched = match_listing(format, entries, &uids);
                (matched.entries, matched.doubtful as u64)
            }
        };
        let mut import = Self { seen: vec![false; listing.len()], doubtful, ..Self::default() };
        for ((listed, entry), seen) in listing.iter().zip(&matched).zip(&mut import.seen) {
            let Some(entry) = entry.and_then(|index| entries.get(index)) else { continue };
            *seen = true;
            let at = entry.seen.and_then(|seconds| seconds.checked_mul(1000)).map(Timestamp);
            import.entries.push(Seen {
                uid: listed.uid.clone(),
                ordinal: listed.ordinal,
                size: listed.size,
                // A time to come would keep the entry from ever growing old.
                at: at.filter(|at| at.0 > 0 && *at <= now),
            });
        }
        let counted = entries.iter().filter(|entry| entry.how.is_seen()).count() as u64;
        import.header_only = entries.len() as u64 - counted;
        import.unlisted = counted.saturating_sub(import.entries.len() as u64);
        import
    }
}

/// Our own export tells messages with one unique-id apart, and knows their sizes: another size may be another message.
fn by_ordinal(entries: &[Foreign], listing: &[Listed]) -> (Vec<Option<usize>>, u64) {
    let mut known: HashMap<(&[u8], u32), usize> = HashMap::new();
    let mut without: Vec<usize> = Vec::new();
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.how.is_seen()) {
        match entry.ordinal.and_then(|ordinal| ordinal.checked_sub(1)) {
            Some(ordinal) => {
                known.insert((&entry.uid, ordinal), index);
            }
            None => without.push(index),
        }
    }
    let mut doubtful = 0;
    let mut matched: Vec<Option<usize>> = listing
        .iter()
        .map(|listed| {
            let index = *known.get(&(listed.uid.0.as_slice(), listed.ordinal))?;
            let same = entries[index].size.zip(listed.size).is_none_or(|(one, other)| one == other);
            doubtful += u64::from(!same);
            same.then_some(index)
        })
        .collect();
    let rest: Vec<usize> = (0..listing.len()).filter(|&mail| matched[mail].is_none()).collect();
    let uids: Vec<&[u8]> = rest.iter().map(|&mail| listing[mail].uid.0.as_slice()).collect();
    let others: Vec<Foreign> = without.iter().map(|&index| entries[index].clone()).collect();
    let found = match_listing(Format::Postroom, &others, &uids);
    for (mail, entry) in rest.into_iter().zip(found.entries) {
        matched[mail] = entry.map(|entry| without[entry]);
    }
    (matched, doubtful + found.doubtful as u64)
}

/// The ledger's rows as entries of an export; `None` for one whose deletion the server confirmed: what it shows under that
/// unique-id later is another message.
#[must_use]
pub fn exported(row: &SeenRow, mailbox: &Mailbox) -> Option<Foreign> {
    let how = match (row.by, row.message) {
        (SeenBy::Retrieved | SeenBy::Imported, _) | (_, Some(_)) => How::Retrieved,
        (SeenBy::Seeded | SeenBy::Adopted, None) => How::Marked,
    };
    row.removed.is_none().then(|| Foreign {
        mailbox: Some(mailbox.clone()),
        uid: row.uid.0.clone(),
        ordinal: Some(row.ordinal.saturating_add(1)),
        size: row.size,
        seen: Some(row.at.0 / 1000),
        how,
    })
}

/// What somebody may mean who gives a unique-id on a command line: its octets, or the escaped form in which it is shown.
#[must_use]
pub fn meant(text: &[u8]) -> Vec<postroom_mail::Uid> {
    let mut meant = vec![postroom_mail::Uid(text.to_vec())];
    meant.extend(unescaped(text).filter(|octets| octets != text).map(postroom_mail::Uid));
    meant
}

fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            octets.push(*first);
            continue;
        }
        let [escape, after @ ..] = after else { return None };
        rest = after;
        octets.push(match escape {
            b't' => b'\t',
            b'r' => b'\r',
            b'n' => b'\n',
            b'\'' | b'"' | b'\\' => *escape,
            b'x' => {
                let [high, low, after @ ..] = after else { return None };
                rest = after;
                let digit = |octet: u8| char::from(octet).to_digit(16);
                u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?
            }
            _ => return None,
        });
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use postroom_mail::Uid;

    use super::*;

    const NOW: Timestamp = Timestamp(2_000_000);

    fn listed(uid: &str, ordinal: u32, size: u64) -> Listed {
        Listed { uid: Uid(uid.into()), ordinal, size: Some(size) }
    }

    fn entry(uid: &str, ordinal: Option<u32>, size: Option<u64>, how: How) -> Foreign {
        Foreign { mailbox: None, uid: uid.into(), ordinal, size, seen: Some(1000), how }
    }

    #[test]
    fn the_server_s_own_unique_ids_are_marked_and_everything_is_counted() {
        let listing = [listed("a/1", 0, 10), listed("b", 0, 20), listed("c", 0, 30)];
        // getmail writes a hyphen for a slash.
        let entries = [
            entry("a-1", None, None, How::Retrieved),
            entry("gone", None, None, How::Retrieved),
            entry("c", None, None, How::HeaderOnly),
        ];
        let import = Import::of(Format::Getmail, &entries, &listing, NOW);
        assert_eq!(import.seen, [true, false, false]);
        let marked =
            Seen { uid: Uid(b"a/1".into()), ordinal: 0, size: Some(10), at: Some(Timestamp(1_000_000)) };
        assert_eq!(import.entries, [marked]);
        assert_eq!((import.unlisted, import.header_only, import.doubtful), (1, 1, 0));
    }

    #[test]
    fn a_time_to_come_is_not_taken_over() {
        let entries = [Foreign { seen: Some(9_999_999_999), ..entry("a", None, None, How::Retrieved) }];
        let import = Import::of(Format::Mpop, &entries, &[listed("a", 0, 1)], NOW);
        assert_eq!(import.entries[0].at, None);
    }

    #[test]
    fn our_own_export_tells_copies_apart_and_doubts_another_size() {
        let listing = [listed("x", 0, 10), listed("x", 1, 11), listed("y", 0, 5), listed("z", 0, 7)];
        let entries = [
            entry("x", Some(2), Some(11), How::Retrieved),
            entry("y", Some(1), Some(6), How::Marked),
            entry("z", None, None, How::Retrieved),
        ];
        let import = Import::of(Format::Postroom, &entries, &listing, NOW);
        assert_eq!(import.seen, [false, true, false, true]);
        assert_eq!(import.doubtful, 1, "y has another size than it had");
        assert_eq!(import.entries[0].ordinal, 1);
    }

    #[test]
    fn what_is_exported_is_imported_again_but_for_what_was_removed() {
        let mailbox = Mailbox { user: "me".into(), host: "pop.example.net".into(), port: Some(995) };
        let row = |uid: &str, ordinal, by, removed| SeenRow {
            uid: Uid(uid.into()),
            ordinal,
            size: Some(9),
            at: Timestamp(5000),
            by,
            message: None,
            header: None,
            removed,
            absent: 0,
        };
        let rows = [
            row("a b", 0, SeenBy::Retrieved, None),
            row("a b", 1, SeenBy::Seeded, None),
            row("gone", 0, SeenBy::Retrieved, Some(NOW)),
        ];
        let entries: Vec<_> = rows.iter().filter_map(|row| exported(row, &mailbox)).collect();
        let read = postroom_seen::read(Format::Postroom, &postroom_seen::write(&entries)).unwrap();
        assert_eq!(read.entries, entries);
        let listing = [listed("a b", 0, 9), listed("a b", 1, 9), listed("gone", 0, 9)];
        let import = Import::of(Format::Postroom, &read.entries, &listing, NOW);
        assert_eq!(import.seen, [true, true, false]);
    }

    #[test]
    fn a_unique_id_is_found_by_its_octets_and_as_it_is_shown() {
        let odd = Uid(b"a\x1b'\\b\xff".into());
        assert!(meant(odd.to_string().as_bytes()).contains(&odd));
        assert!(meant(&odd.0).contains(&odd));
        assert_eq!(meant(b"plain"), [Uid(b"plain".into())]);
        assert_eq!(meant(b"bad\\").len(), 1);
        assert_eq!(meant(b"bad\\x1").len(), 1);
    }
}
