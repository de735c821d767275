//! What an account had, within what a step may keep.
//!
//! Digests are spread over 256 shards by their first octet, and a message touches one: one read, at most one write. A shard
//! holds 1,024 messages, so that all of them stay below the 16 MiB and each below the 64 KiB that the host allows; then the
//! oldest is forgotten early. Nothing removes what is too old but the next message of its shard.

use postroom_sdk::{Date, Fault, kv, log};

/// Octets of a digest that are kept: twenty, so that nobody makes two messages with the same.
const DIGEST: usize = 20;
/// Octets of the id of the message that was first.
const ID: usize = 12;
/// Digest, id, and the day of retrieval.
const ENTRY: usize = DIGEST + ID + 4;
/// Messages in a shard.
const ENTRIES: usize = 1024;
const DAY_MS: i64 = 86_400_000;

/// The shard of one digest.
#[derive(Debug)]
pub(crate) struct Memory {
    key: String,
    digest: [u8; DIGEST],
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    digest: [u8; DIGEST],
    id: [u8; ID],
    day: u32,
}

/// What is known of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// Nothing; now it is.
    New,
    /// It was here, and it was this very message.
    Itself,
    /// Another one had the same content: the beginning of its id.
    Duplicate { of: String },
}

impl Memory {
    /// The shard of a hexadecimal digest.
    pub(crate) fn of(digest: &str) -> Result<Self, Fault> {
        let key = digest.get(..2).unwrap_or("00").to_owned();
        let entries = entries(&kv::get(&key)?.unwrap_or_default()).unwrap_or_else(|| {
            log::warn("the state of a shard is damaged and begun anew", &[("shard", &key)]);
            Vec::new()
        });
        Ok(Self { key, digest: octets_of(digest), entries })
    }

    /// What is known of a message; one that is new is added, and what is older than so many days is forgotten.
    pub(crate) fn see(&mut self, id: &str, received: Date, days: u32) -> Seen {
        let (id, today) = (octets_of::<ID>(id), day(received));
        self.entries.retain(|entry| today.saturating_sub(entry.day) < days);
        match self.entries.iter().find(|entry| entry.digest == self.digest) {
            Some(first) if first.id == id => Seen::Itself,
            Some(first) => Seen::Duplicate { of: hexadecimal(&first.id) },
            None => {
                self.entries.push(Entry { digest: self.digest, id, day: today });
                Seen::New
            }
        }
    }

    /// Writes it back. The write is part of what the message commits.
    pub(crate) fn keep(mut self) -> Result<(), Fault> {
        let excess = bound(&mut self.entries);
        if excess > 0 {
            log::warn(
                "forgotten early: there is no more room",
                &[("shard", &self.key), ("messages", &excess)],
            );
        }
        let octets: Vec<u8> = self.entries.iter().flat_map(Entry::octets).collect();
        kv::set(&self.key, &octets)
    }
}

/// `None` when they are not what was written.
fn entries(octets: &[u8]) -> Option<Vec<Entry>> {
    octets.len().is_multiple_of(ENTRY).then(|| octets.chunks_exact(ENTRY).map(Entry::read).collect())
}

/// Removes the oldest that have no room, and says how many.
fn bound(entries: &mut Vec<Entry>) -> usize {
    let excess = entries.len().saturating_sub(ENTRIES);
    if excess > 0 {
        entries.sort_by_key(|entry| entry.day);
        entries.drain(..excess);
    }
    excess
}

impl Entry {
    fn read(octets: &[u8]) -> Self {
        let mut entry = Self { digest: [0; DIGEST], id: [0; ID], day: 0 };
        let (digest, rest) = octets.split_at(DIGEST);
        let (id, day) = rest.split_at(ID);
        entry.digest.copy_from_slice(digest);
        entry.id.copy_from_slice(id);
        entry.day = day.iter().fold(0, |number, octet| number << 8 | u32::from(*octet));
        entry
    }

    fn octets(&self) -> Vec<u8> {
        [&self.digest[..], &self.id[..], &self.day.to_be_bytes()[..]].concat()
    }
}

fn day(date: Date) -> u32 {
    u32::try_from(date.millis().div_euclid(DAY_MS)).unwrap_or(0)
}

/// The first octets of a hexadecimal text.
fn octets_of<const N: usize>(text: &str) -> [u8; N] {
    let mut octets = [0; N];
    for (octet, digits) in octets.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digits = std::str::from_utf8(digits).ok();
        *octet = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).unwrap_or(0);
    }
    octets
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(count: u32) -> Vec<Entry> {
        (0..count).map(|day| Entry { digest: [7; DIGEST], id: [9; ID], day }).collect()
    }

    #[test]
    fn a_full_shard_forgets_its_oldest_and_stays_within_the_limits() {
        let mut shard = sample(1500);
        shard.reverse();
        assert_eq!(bound(&mut shard), 476);
        assert_eq!((shard.len(), shard[0].day, bound(&mut shard)), (1024, 476, 0));
        // The host allows 64 KiB a value and 16 MiB in all, with the keys.
        let octets = shard.iter().flat_map(Entry::octets).count();
        assert!(octets <= 64 << 10 && 256 * (octets + 2) <= 16 << 20);
    }

    #[test]
    fn entries_are_read_as_they_were_written_and_nothing_else_is() {
        let shard = sample(3);
        let octets: Vec<u8> = shard.iter().flat_map(Entry::octets).collect();
        assert_eq!(entries(&octets), Some(shard));
        assert_eq!(entries(&octets[1..]), None);
        assert_eq!(hexadecimal(&octets_of::<3>("0aff7e99")), "0aff7e");
    }
}
