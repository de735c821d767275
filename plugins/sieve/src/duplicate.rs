//! The test `duplicate`, RFC 7352: what was seen before, remembered in `kv` and committed with the effects.
//!
//! State is a table of a fixed number of buckets, so that it never grows without end and needs no sweeping: a bucket
//! loses what has expired whenever it is written, and its oldest entry when it is full.

use postroom_sdk::{Fault, Message, Writer, kv};

/// Most entries of a bucket: 256 full buckets are 12 MiB, below what a step may keep for an account.
const ENTRIES: usize = 1024;
/// Digest of the id, the message that was first, when it expires.
const ENTRY_OCTETS: usize = 48;
const DIGEST: usize = 24;
const FIRST: usize = 16;

/// Whether another message with this entry was seen within its time; this one is remembered.
pub(crate) fn seen(message: &Message<'_>, entry: &str, seconds: u64, last: bool) -> Result<bool, Fault> {
    let mut writer = Writer::new();
    writer.write(entry.as_bytes())?;
    let digest = writer.finish()?.sha256();
    let (digest, first) = (octets::<DIGEST>(&digest), octets::<FIRST>(&message.id()));
    let now = u64::try_from(message.received().millis() / 1000).unwrap_or(0);
    let expires = now.saturating_add(seconds);
    let key = format!("duplicate/{:02x}", digest[0]);
    let mut entries = read(&kv::get(&key)?.unwrap_or_default());
    entries.retain(|entry| entry.expires > now);
    let known = entries.iter_mut().find(|entry| entry.digest == digest);
    let is_duplicate = match known {
        // A message that is handled anew is no duplicate of itself.
        Some(entry) if entry.first == first => return Ok(false),
        Some(entry) => {
            if !last {
                return Ok(true);
            }
            entry.expires = expires;
            true
        }
        None => {
            if entries.len() >= ENTRIES {
                let oldest = entries.iter().enumerate().min_by_key(|(_, entry)| entry.expires);
                let oldest = oldest.map(|(index, _)| index);
                oldest.map(|index| entries.swap_remove(index));
            }
            entries.push(Entry { digest, first, expires });
            false
        }
    };
    kv::set(&key, &entries.iter().flat_map(Entry::written).collect::<Vec<u8>>())?;
    Ok(is_duplicate)
}

struct Entry {
    digest: [u8; DIGEST],
    first: [u8; FIRST],
    /// Seconds since 1970.
    expires: u64,
}

impl Entry {
    fn written(&self) -> Vec<u8> {
        [&self.digest[..], &self.first, &self.expires.to_be_bytes()].concat()
    }
}

/// What is no whole entry is left out.
fn read(bucket: &[u8]) -> Vec<Entry> {
    let entry = |octets: &[u8]| {
        let (digest, rest) = octets.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (expires, _) = rest.split_first_chunk()?;
        Some(Entry { digest: *digest, first: *first, expires: u64::from_be_bytes(*expires) })
    };
    bucket.chunks_exact(ENTRY_OCTETS).filter_map(entry).collect()
}

/// The first octets of a hexadecimal text.
fn octets<const N: usize>(hex: &str) -> [u8; N] {
    let mut octets = [0; N];
    for (octet, digits) in octets.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or(0) as u8;
        *octet = digit(digits[0]) << 4 | digit(digits[1]);
    }
    octets
}
