//! Octets a plugin holds by handle: ranges of the raw message, decoded parts, and what plugins made.
//!
//! A blob is a recipe; slicing and appending copy no mail. Decoded parts up to [`KEEP`] octets are decoded once and
//! kept with the message, so that reading them by range is cheap. Larger ones are decoded as they are read, each with
//! a cursor of the running call: reading forwards is linear, only jumping back starts over.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use postroom_mail::ids::Digester;
use postroom_mail::octets::read_range;
use postroom_mail::structure::Encoding;
use postroom_mail::{Coding, Content, Digest, Octets, Piece, transfer};

/// Decoded parts up to this size are kept decoded.
const KEEP: usize = 8 << 20;
/// All kept parts of one message together.
const KEEP_ALL: u64 = 32 << 20;
/// Pieces of one blob.
pub(crate) const SEGMENTS: usize = 64;
/// Decoders of one call that are open at the same time.
const CURSORS: usize = 4;
const CHUNK: u64 = 64 << 10;

/// Asked before every chunk of a long read: an error ends it.
pub(crate) type Watch<'a> = &'a dyn Fn() -> io::Result<()>;

/// Immutable octets of known length.
pub struct Blob {
    segments: Vec<Segment>,
    size: u64,
    digest: OnceLock<Digest>,
    /// Kept with the message, for all steps.
    shared: bool,
}

#[derive(Clone)]
enum Segment {
    Raw { octets: Arc<dyn Octets>, offset: u64, len: u64 },
    Decoded { part: Arc<Decoded>, skip: u64, take: u64 },
    Made { octets: Arc<Vec<u8>>, from: usize, len: usize },
}

impl Blob {
    /// A range of the raw message. The digest may be known already.
    pub(crate) fn raw(octets: Arc<dyn Octets>, offset: u64, len: u64, digest: Option<Digest>) -> Self {
        let known = OnceLock::new();
        if let Some(digest) = digest {
            let _ = known.set(digest);
        }
        Self { segments: vec![Segment::Raw { octets, offset, len }], size: len, digest: known, shared: false }
    }

    /// Octets that no message holds.
    pub fn made(octets: Vec<u8>) -> Self {
        let len = octets.len();
        Self::of(vec![Segment::Made { octets: Arc::new(octets), from: 0, len }])
    }

    /// What an encoded range decodes to.
    ///
    /// # Errors
    /// When reading the message fails: the size is known only after decoding once.
    pub(crate) fn decoded(part: Decoded) -> io::Result<Self> {
        let take = part.measure()?;
        Ok(Self::of(vec![Segment::Decoded { part: Arc::new(part), skip: 0, take }]))
    }

    fn of(segments: Vec<Segment>) -> Self {
        let size = segments.iter().map(Segment::len).sum();
        Self { segments, size, digest: OnceLock::new(), shared: false }
    }

    /// Length in octets.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Marks it as kept with the message.
    pub(crate) fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// At most `len` octets from `offset`; fewer only at the end.
    pub(crate) fn read(
        &self,
        offset: u64,
        len: u64,
        cursors: &mut Cursors,
        watch: Watch<'_>,
    ) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        for (segment, from, take) in self.overlap(offset, len) {
            watch()?;
            segment.read(from, take, cursors, watch, &mut octets)?;
        }
        Ok(octets)
    }

    /// A view without a copy; `None` when the range is not inside.
    pub(crate) fn slice(&self, offset: u64, len: u64) -> Option<Self> {
        offset.checked_add(len).filter(|end| *end <= self.size)?;
        Some(Self::of(
            self.overlap(offset, len).map(|(segment, from, take)| segment.narrow(from, take)).collect(),
        ))
    }

    /// The segments that hold the range, each with the part of it that does.
    fn overlap(&self, offset: u64, len: u64) -> impl Iterator<Item = (&Segment, u64, u64)> {
        let end = offset.saturating_add(len).min(self.size);
        let mut at = 0_u64;
        self.segments.iter().filter_map(move |segment| {
            let start = at;
            at += segment.len();
            let (from, to) = (offset.max(start), end.min(at));
            (from < to).then(|| (segment, from - start, to - from))
        })
    }

    /// SHA-256, when it was computed already.
    pub(crate) fn known_digest(&self) -> Option<Digest> {
        self.digest.get().copied()
    }

    /// SHA-256, computed once.
    pub(crate) fn digest(&self, cursors: &mut Cursors, watch: Watch<'_>) -> io::Result<Digest> {
        if let Some(digest) = self.digest.get() {
            return Ok(*digest);
        }
        let mut digester = Digester::default();
        let mut at = 0;
        while at < self.size {
            let octets = self.read(at, CHUNK, cursors, watch)?;
            digester.update(&octets);
            at += octets.len() as u64;
        }
        Ok(*self.digest.get_or_init(|| digester.finish()))
    }

    /// As data for the journal.
    pub(crate) fn content(&self, coding: Coding) -> Content {
        Content { pieces: self.segments.iter().map(Segment::piece).collect(), coding }
    }

    /// Octets the journal would have to keep.
    pub(crate) fn made_octets(&self) -> u64 {
        self.segments.iter().filter(|segment| matches!(segment, Segment::Made { .. })).map(Segment::len).sum()
    }
}

impl Segment {
    fn len(&self) -> u64 {
        match self {
            Self::Raw { len, .. } => *len,
            Self::Decoded { take, .. } => *take,
            Self::Made { len, .. } => *len as u64,
        }
    }

    fn narrow(&self, from: u64, take: u64) -> Self {
        match self {
            Self::Raw { octets, offset, .. } => {
                Self::Raw { octets: Arc::clone(octets), offset: offset + from, len: take }
            }
            Self::Decoded { part, skip, .. } => {
                Self::Decoded { part: Arc::clone(part), skip: skip + from, take }
            }
            Self::Made { octets, from: start, .. } => {
                Self::Made { octets: Arc::clone(octets), from: start + from as usize, len: take as usize }
            }
        }
    }

    fn read(
        &self,
        from: u64,
        take: u64,
        cursors: &mut Cursors,
        watch: Watch<'_>,
        into: &mut Vec<u8>,
    ) -> io::Result<()> {
        match self {
            Self::Raw { octets, offset, .. } => {
                let found = read_range(&**octets, offset + from, take as usize)?;
                if (found.len() as u64) < take {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                into.extend(found);
            }
            Self::Decoded { part, skip, .. } => match part.kept() {
                Some(octets) => {
                    let start = usize::try_from(skip + from).unwrap_or(usize::MAX);
                    let found = octets.get(start..).and_then(|rest| rest.get(..take as usize));
                    into.extend_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
                }
                None => cursors.read(part, skip + from, take, watch, into)?,
            },
            Self::Made { octets, from: start, .. } => {
                let start = start + from as usize;
                into.extend_from_slice(&octets[start..start + take as usize]);
            }
        }
        Ok(())
    }

    fn piece(&self) -> Piece {
        match self {
            Self::Raw { offset, len, .. } => Piece::Raw { offset: *offset, len: *len },
            Self::Decoded { part, skip, take } => Piece::Decoded {
                offset: part.offset,
                len: part.len,
                encoding: part.encoding,
                skip: *skip,
                take: *take,
            },
            Self::Made { octets, from, len } => Piece::Made(octets[*from..from + len].to_vec()),
        }
    }
}

/// An encoded range of the raw message.
pub(crate) struct Decoded {
    octets: Arc<dyn Octets>,
    offset: u64,
    len: u64,
    encoding: Encoding,
    kept: OnceLock<Vec<u8>>,
    keeping: Arc<AtomicU64>,
}

impl Decoded {
    /// `keeping` counts what the message keeps decoded.
    pub(crate) fn new(
        octets: Arc<dyn Octets>,
        offset: u64,
        len: u64,
        encoding: Encoding,
        keeping: Arc<AtomicU64>,
    ) -> Self {
        Self { octets, offset, len, encoding, kept: OnceLock::new(), keeping }
    }

    fn open(&self) -> Box<dyn Read> {
        let range = OwnedRange { octets: Arc::clone(&self.octets), offset: self.offset, left: self.len };
        transfer::decode(range, self.encoding)
    }

    /// Decodes once; keeps the octets when they are few enough.
    fn measure(&self) -> io::Result<u64> {
        let mut reader = self.open();
        let mut octets = Vec::new();
        let start = (&mut reader).take(KEEP as u64 + 1).read_to_end(&mut octets)? as u64;
        if octets.len() > KEEP {
            return Ok(start + io::copy(&mut reader, &mut io::sink())?);
        }
        if self.keeping.fetch_add(start, Ordering::Relaxed) + start <= KEEP_ALL {
            let _ = self.kept.set(octets);
        } else {
            self.keeping.fetch_sub(start, Ordering::Relaxed);
        }
        Ok(start)
    }

    fn kept(&self) -> Option<&[u8]> {
        self.kept.get().map(Vec::as_slice)
    }
}

struct OwnedRange {
    octets: Arc<dyn Octets>,
    offset: u64,
    left: u64,
}

impl Read for OwnedRange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.octets.read_at(self.offset, &mut buffer[..want])?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Open decoders of one call, the one used last at the end.
#[derive(Default)]
pub(crate) struct Cursors(Vec<Cursor>);

struct Cursor {
    part: Arc<Decoded>,
    at: u64,
    reader: Box<dyn Read>,
}

impl Cursors {
    fn read(
        &mut self,
        part: &Arc<Decoded>,
        from: u64,
        take: u64,
        watch: Watch<'_>,
        into: &mut Vec<u8>,
    ) -> io::Result<()> {
        let usable = |cursor: &Cursor| Arc::ptr_eq(&cursor.part, part) && cursor.at <= from;
        let mut cursor = match self.0.iter().position(usable) {
            Some(index) => self.0.remove(index),
            None => Cursor { part: Arc::clone(part), at: 0, reader: part.open() },
        };
        while cursor.at < from {
            watch()?;
            let step = (from - cursor.at).min(CHUNK);
            if io::copy(&mut (&mut cursor.reader).take(step), &mut io::sink())? < step {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            cursor.at += step;
        }
        let end = from + take;
        while cursor.at < end {
            watch()?;
            let step = (end - cursor.at).min(CHUNK);
            if ((&mut cursor.reader).take(step).read_to_end(into)? as u64) < step {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            cursor.at += step;
        }
        if self.0.len() >= CURSORS {
            self.0.remove(0);
        }
        self.0.push(cursor);
        Ok(())
    }
}

/// New content under way.
#[derive(Default)]
pub struct Writer {
    segments: Vec<Segment>,
    size: u64,
    pending: Vec<u8>,
}

impl Writer {
    pub(crate) fn write(&mut self, octets: &[u8]) {
        self.size += octets.len() as u64;
        self.pending.extend_from_slice(octets);
    }

    /// Octets so far.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// `false` when the content would have too many pieces.
    pub(crate) fn append(&mut self, blob: &Blob) -> bool {
        self.settle();
        let fresh = blob.segments.iter().filter(|segment| segment.len() > 0);
        if self.segments.len() + fresh.clone().count() >= SEGMENTS {
            return false;
        }
        self.size = self.size.saturating_add(blob.size());
        self.segments.extend(fresh.cloned());
        true
    }

    pub(crate) fn finish(mut self) -> Blob {
        self.settle();
        Blob::of(self.segments)
    }

    fn settle(&mut self) {
        if !self.pending.is_empty() {
            let octets = std::mem::take(&mut self.pending);
            let len = octets.len();
            self.segments.push(Segment::Made { octets: Arc::new(octets), from: 0, len });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(octets: &Arc<dyn Octets>, offset: u64, len: u64, keeping: u64) -> Blob {
        let keeping = Arc::new(AtomicU64::new(keeping));
        Blob::decoded(Decoded::new(Arc::clone(octets), offset, len, Encoding::Identity, keeping)).unwrap()
    }

    /// `raw` bytes 2..6, a made text, and a part that is kept or streamed.
    fn composed(keeping: u64) -> (Arc<dyn Octets>, Blob, Vec<u8>) {
        let octets: Arc<dyn Octets> = Arc::new((0..=99_u8).collect::<Vec<_>>());
        let mut writer = Writer::default();
        assert!(writer.append(&Blob::raw(Arc::clone(&octets), 2, 4, None)));
        writer.write(b"ma");
        writer.write(b"de");
        assert!(writer.append(&decoded(&octets, 50, 10, keeping)));
        let expected = [&[2, 3, 4, 5][..], b"made", &(50..60).collect::<Vec<u8>>()].concat();
        (octets, writer.finish(), expected)
    }

    #[test]
    fn every_range_of_a_composed_blob_reads_and_slices_alike() {
        for keeping in [0, KEEP_ALL] {
            let (octets, blob, expected) = composed(keeping);
            assert_eq!(blob.size(), expected.len() as u64);
            for from in 0..=expected.len() {
                for to in from..=expected.len() {
                    let mut cursors = Cursors::default();
                    let (offset, len) = (from as u64, (to - from) as u64);
                    let slice = blob.slice(offset, len).unwrap();
                    let mut read = Vec::new();
                    let content = slice.content(Coding::Identity);
                    content.open(&*octets).read_to_end(&mut read).unwrap();
                    assert_eq!(blob.read(offset, len, &mut cursors, &|| Ok(())).unwrap(), expected[from..to]);
                    assert_eq!(
                        slice.read(0, u64::MAX, &mut cursors, &|| Ok(())).unwrap(),
                        expected[from..to]
                    );
                    assert_eq!(read, expected[from..to], "the journal's recipe");
                    assert_eq!(
                        slice.digest(&mut cursors, &|| Ok(())).unwrap(),
                        Digest::of(&expected[from..to])
                    );
                }
            }
        }
    }

    #[test]
    fn ranges_outside_are_short_or_refused() {
        let (_, blob, expected) = composed(0);
        let size = expected.len() as u64;
        assert_eq!(
            blob.read(size - 1, 100, &mut Cursors::default(), &|| Ok(())).unwrap(),
            expected[expected.len() - 1..]
        );
        assert_eq!(
            blob.read(u64::MAX, u64::MAX, &mut Cursors::default(), &|| Ok(())).unwrap(),
            Vec::<u8>::new()
        );
        assert!(blob.slice(size, 1).is_none());
        assert!(blob.slice(u64::MAX, 2).is_none());
    }

    /// Counts how often octets are read.
    struct Counted(Vec<u8>, AtomicU64);

    impl Octets for Counted {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read_at(offset, buffer)?;
            self.1.fetch_add(count as u64, Ordering::Relaxed);
            Ok(count)
        }
    }

    #[test]
    fn reading_a_part_too_large_to_keep_forwards_is_linear() {
        let size = KEEP as u64 + (1 << 20);
        let counted = Arc::new(Counted(vec![7; size as usize], AtomicU64::new(0)));
        let octets: Arc<dyn Octets> = Arc::clone(&counted) as Arc<dyn Octets>;
        let blob = decoded(&octets, 0, size, 0);
        let mut cursors = Cursors::default();
        for at in (0..size).step_by(64 << 10) {
            assert_eq!(
                blob.read(at, 64 << 10, &mut cursors, &|| Ok(())).unwrap().len() as u64,
                (size - at).min(64 << 10)
            );
        }
        let read = counted.1.load(Ordering::Relaxed);
        assert!(read <= 2 * size + (1 << 20), "{read} octets read for a part of {size}");
    }

    #[test]
    fn a_long_read_or_digest_stops_at_the_chunk_where_the_watch_fails() {
        let size = KEEP as u64 + (1 << 20);
        let counted = Arc::new(Counted(vec![7; size as usize], AtomicU64::new(0)));
        let octets: Arc<dyn Octets> = Arc::clone(&counted) as Arc<dyn Octets>;
        let blob = decoded(&octets, 0, size, 0);
        let calls = AtomicU64::new(0);
        let watch = || match calls.fetch_add(1, Ordering::Relaxed) {
            0..8 => Ok(()),
            _ => Err(io::Error::other("no time is left")),
        };
        let before = counted.1.load(Ordering::Relaxed);
        for fails in [
            blob.digest(&mut Cursors::default(), &watch).map(drop),
            blob.read(size - 1, 1, &mut Cursors::default(), &watch).map(drop),
        ] {
            assert_eq!(fails.unwrap_err().to_string(), "no time is left");
        }
        let read = counted.1.load(Ordering::Relaxed) - before;
        assert!(read <= 10 * CHUNK, "{read} octets read");
    }

    #[test]
    fn a_writer_takes_a_bounded_number_of_pieces() {
        let octets: Arc<dyn Octets> = Arc::new(vec![1, 2, 3]);
        let piece = Blob::raw(octets, 0, 1, None);
        let mut writer = Writer::default();
        let taken = (0..2 * SEGMENTS).filter(|_| writer.append(&piece)).count();
        assert!(taken < SEGMENTS, "{taken}");
        assert_eq!(writer.finish().size(), taken as u64);
    }
}
