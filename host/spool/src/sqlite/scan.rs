//! Reads a segment record by record without a database: what is whole, and what is not. Owns how the next record is found
//! after a damaged one; changes nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use postroom_mail::ids::Digester;
use postroom_mail::{Digest, MessageId};

use super::origin::{self, Origin};
use super::segments::{self, HEADER};
use crate::body::each_chunk;

/// So many times the length of the file is read at most in search of records: a mail may be made of false beginnings.
const SEARCH: u64 = 16;
/// How much is searched at once.
const WINDOW: usize = 64 << 10;

/// A record whose checksum holds.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    /// Where the record begins, after its origin.
    pub(super) offset: u64,
    pub(super) end: u64,
    pub(super) message: MessageId,
    pub(super) digest: Digest,
    pub(super) size: u64,
    pub(super) crc: u32,
    /// Whose it is: what stands before it, when that agrees with the message id and the octets.
    pub(super) origin: Option<Origin>,
    /// Every octet before it belongs to a record. Else it was searched for, and may be a part of a mail that only looks
    /// like one.
    pub(super) certain: bool,
}

/// A piece of a segment.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Whole(Whole),
    Damaged { from: u64, to: u64 },
}

/// Walks over `from..to`.
///
/// # Errors
/// When the file cannot be read; damage is no error.
pub(super) fn scan(
    file: &File,
    from: u64,
    to: u64,
    each: &mut dyn FnMut(Piece) -> io::Result<()>,
) -> io::Result<()> {
    let mut walk = Walk { file, to, budget: (to - from).saturating_mul(SEARCH), certain: true };
    let mut at = from;
    while at < to {
        if let Some(whole) = walk.record(at)? {
            at = whole.end;
            each(Piece::Whole(whole))?;
            continue;
        }
        let next = walk.after_damage(at)?;
        each(Piece::Damaged { from: at, to: next })?;
        at = next;
    }
    Ok(())
}

struct Walk<'a> {
    file: &'a File,
    to: u64,
    budget: u64,
    certain: bool,
}

/// What a record says of itself.
struct Header {
    offset: u64,
    end: u64,
    message: MessageId,
    size: u64,
    crc: u32,
}

impl Walk<'_> {
    fn read<const N: usize>(&self, at: u64) -> io::Result<Option<[u8; N]>> {
        let mut found = [0; N];
        if at.saturating_add(N as u64) > self.to {
            return Ok(None);
        }
        match self.file.read_exact_at(&mut found, at) {
            Ok(()) => Ok(Some(found)),
            Err(error) if lost(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The record at `at`, perhaps with its origin before it, when it is whole.
    fn record(&self, at: u64) -> io::Result<Option<Whole>> {
        let Some((origin, header)) = self.beginning(at)? else { return Ok(None) };
        let Some(digest) = self.checked(&header)? else { return Ok(None) };
        let Header { offset, end, message, size, crc } = header;
        let origin = origin.filter(|origin| origin.message(&digest) == message);
        Ok(Some(Whole { offset, end, message, digest, size, crc, origin, certain: self.certain }))
    }

    fn beginning(&self, at: u64) -> io::Result<Option<(Option<Origin>, Header)>> {
        let (mut origin, mut offset) = (None, at);
        if let Some((len, crc)) = self.read(at)?.as_ref().and_then(Origin::prefix) {
            let start = at + origin::PREFIX as u64;
            offset = start + len as u64;
            let mut block = vec![0; len];
            if offset <= self.to && self.file.read_exact_at(&mut block, start).is_ok() {
                origin = Origin::decode(&block, crc);
            }
        }
        Ok(self.header(offset)?.map(|header| (origin, header)))
    }

    fn header(&self, offset: u64) -> io::Result<Option<Header>> {
        let Some(found) = self.read::<{ HEADER as usize }>(offset)? else { return Ok(None) };
        let Some((magic, rest)) = found.split_first_chunk() else { return Ok(None) };
        let Some((size, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let Some((id, crc)) = rest.split_first_chunk() else { return Ok(None) };
        let Some(crc) = crc.first_chunk() else { return Ok(None) };
        let size = u64::from_be_bytes(*size);
        let end = offset.saturating_add(HEADER).saturating_add(size);
        let plausible = *magic == segments::MAGIC && end <= self.to;
        let message = MessageId(Digest(*id));
        Ok(plausible.then_some(Header { offset, end, message, size, crc: u32::from_be_bytes(*crc) }))
    }

    /// The digest of the octets, when their checksum holds.
    fn checked(&self, header: &Header) -> io::Result<Option<Digest>> {
        let (mut crc, mut digester) = (0, Digester::default());
        let sum = |octets: &[u8]| {
            crc = crc32c::crc32c_append(crc, octets);
            digester.update(octets);
            Ok(())
        };
        match each_chunk(self.file, header.offset + HEADER, header.size, sum) {
            Ok(()) => Ok((crc == header.crc).then(|| digester.finish())),
            Err(error) if lost(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where to go on. The length of the damaged record is believed when another record, or the end, follows it.
    fn after_damage(&mut self, at: u64) -> io::Result<u64> {
        if let Some((_, header)) = self.beginning(at)?
            && (header.end == self.to || self.record(header.end)?.is_some())
        {
            return Ok(header.end);
        }
        self.certain = false;
        self.search(at + 1)
    }

    /// The next place at which a whole record begins.
    fn search(&mut self, from: u64) -> io::Result<u64> {
        let mut at = from;
        let mut window = vec![0; WINDOW];
        while at < self.to && self.budget > 0 {
            let want = window.len().min(usize::try_from(self.to - at).unwrap_or(usize::MAX));
            let Some(view) = window.get_mut(..want) else { break };
            match self.file.read_exact_at(view, at) {
                Ok(()) => {}
                Err(error) if lost(&error) => {
                    // A block the disk cannot read.
                    at += want as u64;
                    continue;
                }
                Err(error) => return Err(error),
            }
            self.budget = self.budget.saturating_sub(want as u64);
            let begins = |four: &[u8]| *four == segments::MAGIC || *four == origin::MAGIC;
            for (index, _) in view.windows(4).enumerate().filter(|(_, four)| begins(four)) {
                let place = at + index as u64;
                let spent = self.beginning(place)?.map_or(0, |(_, header)| header.size);
                self.budget = self.budget.saturating_sub(spent + HEADER);
                if self.budget == 0 {
                    break;
                }
                if self.record(place)?.is_some() {
                    return Ok(place);
                }
            }
            // A beginning may lie across two windows.
            at += if want > 3 && at + (want as u64) < self.to { want as u64 - 3 } else { want as u64 };
        }
        Ok(self.to)
    }
}

/// Octets that are not there, or that the disk cannot read.
fn lost(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::UnexpectedEof
        || error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}
