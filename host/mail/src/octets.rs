//! Octets that can be read by range, wherever they lie: in memory, or in a segment of the spool.

use std::io;

/// Immutable octets of known length.
pub trait Octets: Send + Sync {
    /// Length in octets.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads into `buffer` from `offset`; returns how many octets were read, 0 only at or past the end
    /// (or for an empty buffer).
    ///
    /// # Errors
    /// When the storage fails or the octets are damaged.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl Octets for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..)).unwrap_or(&[]);
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

/// Reads `len` octets from `offset`; fewer only at the end.
///
/// # Errors
/// As [`Octets::read_at`].
pub fn read_range(octets: &dyn Octets, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let available = usize::try_from(octets.len().saturating_sub(offset)).unwrap_or(usize::MAX);
    let mut buffer = vec![0; len.min(available)];
    let mut filled = 0;
    while filled < buffer.len() {
        match octets.read_at(offset + filled as u64, &mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

/// A [`io::Read`] over a range of octets.
pub struct RangeReader<'a> {
    octets: &'a dyn Octets,
    offset: u64,
    left: u64,
}

impl<'a> RangeReader<'a> {
    /// Reads `len` octets from `offset`.
    pub fn new(octets: &'a dyn Octets, offset: u64, len: u64) -> Self {
        Self { octets, offset, left: len }
    }
}

impl io::Read for RangeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let count = self.octets.read_at(self.offset, &mut buffer[..want])?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn ranges_are_cut_at_the_end_and_never_wrap() {
        let octets = b"0123456789".to_vec();
        for (offset, len, expected) in [
            (0, 10, &b"0123456789"[..]),
            (0, 0, b""),
            (3, 4, b"3456"),
            (8, 100, b"89"),
            (10, 1, b""),
            (11, 1, b""),
            (u64::MAX, usize::MAX, b""),
            (5, usize::MAX, b"56789"),
        ] {
            assert_eq!(read_range(&octets, offset, len).unwrap(), expected);
            let mut read = Vec::new();
            RangeReader::new(&octets, offset, len as u64).read_to_end(&mut read).unwrap();
            assert_eq!(read, expected);
        }
        assert!(Octets::is_empty(&Vec::new()) && !Octets::is_empty(&octets));
    }

    #[test]
    fn a_storage_failure_is_not_an_end() {
        struct Broken;
        impl Octets for Broken {
            fn len(&self) -> u64 {
                10
            }
            fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
                if offset >= 5 {
                    return Err(io::Error::other("damaged"));
                }
                let count = buffer.len().min(5);
                buffer[..count].fill(b'x');
                Ok(count)
            }
        }
        assert!(read_range(&Broken, 0, 10).is_err());
        assert_eq!(read_range(&Broken, 0, 5).unwrap(), b"xxxxx");
        assert!(RangeReader::new(&Broken, 0, 10).read_to_end(&mut Vec::new()).is_err());
        assert!(crate::skeleton::Skeleton::build(&Broken, 100).is_err());
        assert!(crate::header::HeaderBlock::read(&Broken).is_err());
    }
}
