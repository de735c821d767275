//! What stands before a record: whose mail it is, so that a lost database can be made again from its segments. Owns the
//! octets of that block and nothing else.
//!
//! It is: magic (4 octets), length (u32) and CRC32C (u32) of the rest; then ordinal (u32), time of retrieval in
//! milliseconds (i64), length of the account's name (u8), the name, the unique-id. Numbers are big-endian.

use postroom_mail::{AccountId, Digest, MessageId, Name, Provenance, Timestamp, Uid};

/// What an origin begins with.
pub(super) const MAGIC: [u8; 4] = *b"PMR2";
/// Length of what precedes the block.
pub(super) const PREFIX: usize = 4 + 4 + 4;
/// What an origin has besides the account's name and the unique-id.
pub(super) const FIXED: u64 = PREFIX as u64 + 4 + 8 + 1;
/// A block that says it is longer is none: unique-ids have 70 octets, or are a line of a server at most.
pub(super) const LONGEST: usize = 64 << 10;

/// What identifies a message besides its octets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) account: AccountId,
    pub(super) uid: Uid,
    pub(super) ordinal: u32,
    pub(super) retrieved: Timestamp,
}

impl Origin {
    /// That of a message.
    pub(super) fn of(provenance: &Provenance) -> Self {
        let (account, uid) = (provenance.account.clone(), provenance.uid.clone());
        Self { account, uid, ordinal: provenance.ordinal, retrieved: provenance.retrieved }
    }

    /// The id of the message with these octets.
    pub(super) fn message(&self, octets: &Digest) -> MessageId {
        MessageId::derive(&self.account, &self.uid, self.ordinal, octets)
    }

    /// As it stands before the record.
    pub(super) fn encode(&self) -> Vec<u8> {
        let account = self.account.as_str().as_bytes();
        let mut block = Vec::with_capacity(13 + account.len() + self.uid.0.len());
        block.extend(self.ordinal.to_be_bytes());
        block.extend(self.retrieved.0.to_be_bytes());
        // Names have 64 octets at most.
        block.push(u8::try_from(account.len()).unwrap_or(u8::MAX));
        block.extend(account);
        block.extend(&self.uid.0);
        let len = u32::try_from(block.len()).unwrap_or(u32::MAX);
        let mut whole = Vec::with_capacity(PREFIX + block.len());
        whole.extend(MAGIC);
        whole.extend(len.to_be_bytes());
        whole.extend(crc32c::crc32c(&block).to_be_bytes());
        whole.extend(block);
        whole
    }

    /// The length of the block and its checksum, by what precedes it.
    pub(super) fn prefix(found: &[u8; PREFIX]) -> Option<(usize, u32)> {
        let (magic, rest) = found.split_first_chunk::<4>()?;
        let (len, crc) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let crc = u32::from_be_bytes(*crc.first_chunk()?);
        (*magic == MAGIC && len <= LONGEST).then_some((len, crc))
    }

    /// Reads a block; `None` when it is damaged.
    pub(super) fn decode(block: &[u8], crc: u32) -> Option<Self> {
        if crc32c::crc32c(block) != crc {
            return None;
        }
        let (ordinal, rest) = block.split_first_chunk()?;
        let (retrieved, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first()?;
        let (account, uid) = rest.split_at_checked(usize::from(*len))?;
        Some(Self {
            account: Name::new(std::str::from_utf8(account).ok()?).ok()?,
            uid: Uid(uid.to_vec()),
            ordinal: u32::from_be_bytes(*ordinal),
            retrieved: Timestamp(i64::from_be_bytes(*retrieved)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn an_origin_reads_back_what_was_written_and_no_flipped_bit_is_missed() {
        let origin = Origin {
            account: Name::new("shop").unwrap(),
            uid: Uid(b"\x01odd \xff id".to_vec()),
            ordinal: 7,
            retrieved: Timestamp(-5),
        };
        let whole = origin.encode();
        let read = |octets: &[u8]| {
            let (prefix, block) = octets.split_first_chunk().unwrap();
            let (len, crc) = Origin::prefix(prefix)?;
            Origin::decode(block.get(..len)?, crc)
        };
        assert_eq!(read(&whole), Some(origin));
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped), None, "bit {bit}");
        }
    }
}
