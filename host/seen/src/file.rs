//! Owns reading a state file from disk within a limit. Must not write one.

use std::io::Read;
use std::path::Path;

use crate::Error;

/// More than millions of unique-ids need, in octets.
pub const MAX_FILE: u64 = 256 * 1024 * 1024;

/// Reads a whole state file.
///
/// # Errors
/// [`Error::Io`], and [`Error::TooLarge`] above [`MAX_FILE`] octets.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    bounded(std::fs::File::open(path)?, MAX_FILE)
}

fn bounded(from: impl Read, limit: u64) -> Result<Vec<u8>, Error> {
    let mut octets = Vec::new();
    from.take(limit + 1).read_to_end(&mut octets)?;
    if u64::try_from(octets.len()).is_ok_and(|length| length <= limit) {
        Ok(octets)
    } else {
        Err(Error::TooLarge { limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_above_the_limit_is_refused_and_one_at_it_is_read() {
        assert_eq!(bounded(b"four".as_slice(), 4).unwrap(), b"four");
        assert!(matches!(bounded(b"five!".as_slice(), 4), Err(Error::TooLarge { limit: 4 })));
    }
}
