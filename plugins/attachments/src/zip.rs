//! The files in a ZIP archive (APPNOTE 6.3), behind limits: nothing a header says is believed, sizes are counted while
//! inflating, and an archive whose files share octets is refused whole. A name is only a name here, never a place. Pure
//! functions over octets.

use std::ops::Range;

/// Largest central directory, octets.
const DIRECTORY: usize = 4 << 20;
/// One octet may become so many, once more than [`FREE`] came out.
const RATIO: usize = 200;
pub(crate) const FREE: usize = 1 << 20;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, or another thing that is no file.
    Special,
}

/// One entry of the central directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As it was written.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Needs a password.
    pub encrypted: bool,
    /// APPNOTE 4.4.5: 0 stored, 8 deflated.
    method: u16,
    crc: u32,
    /// Where its compressed octets lie.
    data: Range<usize>,
}

/// Why there is nothing to take out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// It is no archive, or is damaged.
    Damaged,
    /// Files share octets: a bomb.
    Overlap,
    /// Larger than 4 GiB, or with more entries than two octets can count.
    Zip64,
}

/// Why a file cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The octets make no sense, or the checksum is wrong.
    Damaged,
    /// More comes out than is allowed.
    TooLarge,
    /// More comes out of an octet than any file gives: a bomb.
    Ratio,
    /// A method other than stored and deflated.
    Method(u16),
}

/// The entries, at most `most` of them, and whether there are more.
///
/// # Errors
/// Why there are none.
pub fn entries(octets: &[u8], most: usize) -> Result<(Vec<Entry>, bool), Refused> {
    let end = end_record(octets).ok_or(Refused::Damaged)?;
    let count = usize::from(u16_at(octets, end + 10).ok_or(Refused::Damaged)?);
    let size = u32_at(octets, end + 12).ok_or(Refused::Damaged)?;
    let start = u32_at(octets, end + 16).ok_or(Refused::Damaged)?;
    if count == 0xffff || size == u32::MAX || start == u32::MAX {
        return Err(Refused::Zip64);
    }
    // What stands before an archive, such as a program that opens it, moves all offsets.
    let shift = end.checked_sub(size as usize + start as usize).ok_or(Refused::Damaged)?;
    let directory = octets.get(start as usize + shift..end).ok_or(Refused::Damaged)?;
    if directory.len() > DIRECTORY {
        return Err(Refused::Damaged);
    }
    let mut found = Vec::new();
    let mut at = 0;
    while at < directory.len() && found.len() < most {
        let (entry, len) = entry(octets, directory.get(at..).unwrap_or_default(), shift)?;
        found.push(entry);
        at += len;
    }
    refuse_overlap(&found)?;
    Ok((found, at < directory.len()))
}

/// Where the end record starts: it is the last thing but a comment.
fn end_record(octets: &[u8]) -> Option<usize> {
    let from = octets.len().saturating_sub(22 + 0xffff);
    let window = octets.get(from..)?;
    let last = window.len().checked_sub(22)?;
    (0..=last).rev().find(|at| window[*at..].starts_with(b"PK\x05\x06")).map(|at| from + at)
}

fn entry(octets: &[u8], record: &[u8], shift: usize) -> Result<(Entry, usize), Refused> {
    let damaged = Refused::Damaged;
    if !record.starts_with(b"PK\x01\x02") {
        return Err(damaged);
    }
    let short = |at| u16_at(record, at).ok_or(damaged);
    let long = |at| u32_at(record, at).ok_or(damaged);
    let (flags, method, crc, packed) = (short(8)?, short(10)?, long(16)?, long(20)?);
    let (name_len, extra_len, comment_len) = (short(28)?, short(30)?, short(32)?);
    let (attributes, offset) = (long(38)?, long(42)?);
    if packed == u32::MAX || offset == u32::MAX {
        return Err(Refused::Zip64);
    }
    let name = record.get(46..46 + usize::from(name_len)).ok_or(damaged)?.to_vec();
    // The local header has lengths of its own.
    let local = octets
        .get(offset as usize + shift..)
        .filter(|local| local.starts_with(b"PK\x03\x04"))
        .ok_or(damaged)?;
    let skip =
        30 + usize::from(u16_at(local, 26).ok_or(damaged)?) + usize::from(u16_at(local, 28).ok_or(damaged)?);
    let start = offset as usize + shift + skip;
    let data = start..start + packed as usize;
    if data.end > octets.len() {
        return Err(damaged);
    }
    // The upper half is the mode, where the archive was made on a system that has modes.
    let kind = match (attributes >> 16) & 0xf000 {
        _ if name.ends_with(b"/") || name.ends_with(b"\\") => Kind::Directory,
        0x4000 => Kind::Directory,
        0 | 0x8000 => Kind::File,
        _ => Kind::Special,
    };
    let len = 46 + usize::from(name_len) + usize::from(extra_len) + usize::from(comment_len);
    Ok((Entry { name, kind, encrypted: flags & 1 != 0, method, crc, data }, len))
}

fn refuse_overlap(entries: &[Entry]) -> Result<(), Refused> {
    let mut ranges: Vec<&Range<usize>> =
        entries.iter().map(|entry| &entry.data).filter(|range| !range.is_empty()).collect();
    ranges.sort_by_key(|range| range.start);
    let overlaps = ranges.windows(2).any(|pair| pair[0].end > pair[1].start);
    if overlaps { Err(Refused::Overlap) } else { Ok(()) }
}

impl Entry {
    /// The file, of at most `most` octets: counted while they come out, whatever the headers say.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub fn open(&self, octets: &[u8], most: usize) -> Result<Vec<u8>, Failed> {
        let data = octets.get(self.data.clone()).ok_or(Failed::Damaged)?;
        let file = match self.method {
            0 if data.len() > most => return Err(Failed::TooLarge),
            0 => data.to_vec(),
            8 => inflate(data, most)?,
            method => return Err(Failed::Method(method)),
        };
        if crc32(&file) == self.crc { Ok(file) } else { Err(Failed::Damaged) }
    }
}

fn inflate(data: &[u8], most: usize) -> Result<Vec<u8>, Failed> {
    use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit};
    let by_ratio = data.len().saturating_mul(RATIO).max(FREE);
    decompress_to_vec_with_limit(data, most.min(by_ratio)).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput if by_ratio < most => Failed::Ratio,
        TINFLStatus::HasMoreOutput => Failed::TooLarge,
        _ => Failed::Damaged,
    })
}

fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// CRC-32 as ZIP has it (APPNOTE 4.4.7).
pub fn crc32(octets: &[u8]) -> u32 {
    !octets.iter().fold(!0, |crc, octet| CRC[usize::from(crc as u8 ^ octet)] ^ (crc >> 8))
}

const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = at as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xedb8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::build::{Zip, deflated};

    fn names(octets: &[u8]) -> Vec<String> {
        let (entries, _) = entries(octets, 100).unwrap();
        entries.iter().map(|entry| String::from_utf8_lossy(&entry.name).into_owned()).collect()
    }

    #[test]
    fn stored_and_deflated_files_come_out() {
        let octets = Zip::new().stored("a.txt", b"one").deflated("d/b.txt", b"two two two two").build();
        let (found, more) = entries(&octets, 100).unwrap();
        assert_eq!(names(&octets), ["a.txt", "d/b.txt"]);
        assert_eq!(found[0].open(&octets, 100).unwrap(), b"one");
        assert_eq!(found[1].open(&octets, 100).unwrap(), b"two two two two");
        assert!(!more);
        assert_eq!(entries(&octets, 1).map(|(found, more)| (found.len(), more)), Ok((1, true)));
    }

    #[test]
    fn what_comes_out_is_counted_whatever_the_headers_claim() {
        let octets = Zip::new().claims(20).deflated("bomb", &vec![0; 500_000]).build();
        let (found, _) = entries(&octets, 10).unwrap();
        assert_eq!(found[0].open(&octets, 1000), Err(Failed::TooLarge));
        let octets = Zip::new().deflated("bomb", &vec![0; 30_000_000]).build();
        let (found, _) = entries(&octets, 10).unwrap();
        assert_eq!(found[0].open(&octets, 20_000_000), Err(Failed::Ratio));
    }

    #[test]
    fn files_that_share_octets_are_refused() {
        let octets = Zip::new().stored("a", &[7; 100]).again("b").build();
        assert_eq!(entries(&octets, 10), Err(Refused::Overlap));
    }

    #[test]
    fn links_directories_and_passwords_are_told() {
        let octets = Zip::new()
            .mode(0o120_777)
            .stored("link", b"/etc/passwd")
            .encrypted()
            .stored("s", b"x")
            .stored("d/", b"")
            .build();
        let (found, _) = entries(&octets, 10).unwrap();
        let kinds: Vec<_> = found.iter().map(|entry| (entry.kind, entry.encrypted)).collect();
        assert_eq!(kinds, [(Kind::Special, false), (Kind::File, true), (Kind::Directory, false)]);
    }

    #[test]
    fn a_wrong_checksum_is_damage() {
        let mut octets = Zip::new().stored("a", b"hello").build();
        octets[31] ^= 1;
        let (found, _) = entries(&octets, 10).unwrap();
        assert_eq!(found[0].open(&octets, 100), Err(Failed::Damaged));
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(inflate(&deflated(b"abc"), 2), Err(Failed::TooLarge));
    }

    #[test]
    fn every_prefix_ends() {
        let octets = Zip::new().stored("a.txt", b"one").deflated("b", b"two").build();
        for end in 0..octets.len() {
            assert!(entries(&octets[..end], 10).is_err());
        }
    }
}
