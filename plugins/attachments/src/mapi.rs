//! MAPI properties as TNEF lists them ([MS-OXTNEF] 2.1.3.4): those of use here, the others passed over. Every length is checked
//! against what is there.

use std::ops::Range;

use postroom_mime::words;

/// Properties of one list.
const PROPERTIES: u32 = 4096;
/// 1601 to 1970, milliseconds.
const EPOCH_MS: i64 = 11_644_473_600_000;

/// One property.
pub(crate) struct Property {
    /// Number; a named one has the number of its name, where that is a number.
    pub(crate) id: u32,
    pub(crate) value: Value,
}

/// A value; places count octets of the whole stream.
pub(crate) enum Value {
    Text(String),
    Octets(Range<usize>),
    Object(Range<usize>),
    /// Milliseconds since 1970 UTC.
    Time(i64),
    Other,
}

/// The properties at a place, and whether something made no sense: then what came before it is there.
pub(crate) fn properties(octets: &[u8], range: Range<usize>, codepage: u32) -> (Vec<Property>, bool) {
    let mut cursor =
        Cursor { octets: octets.get(..range.end).unwrap_or_default(), at: range.start, codepage };
    let mut found = Vec::new();
    let Some(count) = cursor.long() else { return (found, true) };
    for _ in 0..count.min(PROPERTIES) {
        match cursor.property() {
            Some(property) => found.push(property),
            None => return (found, true),
        }
    }
    (found, count > PROPERTIES)
}

/// Text in a code page of Windows, up to its zero octet.
pub(crate) fn text8(octets: &[u8], codepage: u32) -> String {
    let octets = octets.split(|octet| *octet == 0).next().unwrap_or_default();
    let label = match codepage {
        932 => "shift_jis".to_owned(),
        936 => "gbk".to_owned(),
        949 => "euc-kr".to_owned(),
        950 => "big5".to_owned(),
        20866 => "koi8-r".to_owned(),
        65001 => "utf-8".to_owned(),
        28591..=28606 => format!("iso-8859-{}", codepage - 28590),
        other => format!("windows-{other}"),
    };
    words::nfc(words::text(octets, Some(label.as_bytes())))
}

fn text16(octets: &[u8]) -> String {
    let text = words::text(octets, Some(b"utf-16le"));
    words::nfc(text.split('\0').next().unwrap_or_default().to_owned())
}

struct Cursor<'a> {
    octets: &'a [u8],
    at: usize,
    codepage: u32,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let taken = self.octets.get(self.at..self.at.checked_add(len)?)?;
        self.at += len;
        Some(taken)
    }

    fn long(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    /// Values fill whole groups of four octets.
    fn padded(&mut self, len: usize) -> Option<Range<usize>> {
        let start = self.at;
        self.take(len)?;
        // The last one may lack its padding.
        self.at = (self.at + (4 - len % 4) % 4).min(self.octets.len());
        Some(start..start + len)
    }

    fn property(&mut self) -> Option<Property> {
        let tag = self.long()?;
        let (kind, mut id) = (tag & 0xffff, tag >> 16);
        if id >= 0x8000 {
            self.take(16)?;
            id = match self.long()? {
                0 => self.long()?,
                _ => {
                    let len = self.long()? as usize;
                    self.padded(len)?;
                    u32::MAX
                }
            };
        }
        let is_many = kind & 0x1000 != 0;
        let value = match kind & 0xfff {
            kind @ (0x0d | 0x1e | 0x1f | 0x102) => {
                let mut first = None;
                for _ in 0..self.long()? {
                    let len = self.long()? as usize;
                    let range = self.padded(len)?;
                    first.get_or_insert(range);
                }
                self.value(kind, first)
            }
            kind => {
                let width = width(kind)?;
                let many = if is_many { self.long()? } else { 1 };
                let mut first = None;
                for _ in 0..many {
                    let range = self.padded(width)?;
                    first.get_or_insert(range);
                }
                self.value(kind, first)
            }
        };
        Some(Property { id, value })
    }

    fn value(&self, kind: u32, range: Option<Range<usize>>) -> Value {
        let Some(range) = range else { return Value::Other };
        let octets = self.octets.get(range.clone()).unwrap_or_default();
        match kind {
            0x1e => Value::Text(text8(octets, self.codepage)),
            0x1f => Value::Text(text16(octets)),
            0x102 => Value::Octets(range),
            0x0d => Value::Object(range),
            // 100 nanoseconds since 1601.
            0x40 => match octets.try_into().map(i64::from_le_bytes) {
                Ok(ticks) => Value::Time(ticks / 10_000 - EPOCH_MS),
                Err(_) => Value::Other,
            },
            _ => Value::Other,
        }
    }
}

/// Octets of a value whose type has a fixed width.
fn width(kind: u32) -> Option<usize> {
    match kind {
        0x01 | 0x02 | 0x03 | 0x04 | 0x0a | 0x0b => Some(4),
        0x05 | 0x06 | 0x07 | 0x14 | 0x40 => Some(8),
        0x48 => Some(16),
        _ => None,
    }
}
