//! Opaque S/MIME (RFC 8551, CMS RFC 5652): the content inside of signed data, found without verifying anything, in DER and in
//! the BER that mailers stream, with indefinite lengths and content cut into pieces. A pure function over octets.

use std::ops::Range;

/// What a CMS object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cms {
    /// Signed; the content lies at these places, one after the other. None when the signature is detached.
    Signed(Vec<Range<usize>>),
    /// Encrypted.
    Enveloped,
    /// Compressed: nothing here opens it.
    Compressed,
    /// Anything else.
    Other,
}

const CMS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07];
const SMIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01];
const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const EXPLICIT_0: u8 = 0xa0;
const OCTETS: u8 = 0x04;
const OCTETS_IN_PIECES: u8 = 0x24;
/// Levels of an octet string inside of another.
const DEPTH: u32 = 8;
/// Pieces of the content.
const PIECES: usize = 1 << 16;

/// One element: its tag, where its content lies, and where what follows it starts.
struct Element {
    tag: u8,
    content: Range<usize>,
    after: usize,
}

/// What kind of CMS object the octets are, and where signed content lies. `None`: it is none, or it is damaged.
pub fn read(octets: &[u8]) -> Option<Cms> {
    let outer = element(octets, 0..octets.len())?;
    let kind =
        element(octets, outer.content.clone()).filter(|kind| outer.tag == SEQUENCE && kind.tag == OID)?;
    let id = octets.get(kind.content.clone())?;
    let cms = match (id.strip_prefix(CMS), id.strip_prefix(SMIME)) {
        (Some([2]), _) => {
            let explicit = element(octets, kind.after..outer.content.end)?;
            Cms::Signed(signed(octets, explicit)?)
        }
        (Some([3 | 4 | 6]), _) | (_, Some([23])) => Cms::Enveloped,
        (_, Some([9])) => Cms::Compressed,
        (Some(_), _) => Cms::Other,
        _ => return None,
    };
    Some(cms)
}

/// RFC 5652 section 5.1.
fn signed(octets: &[u8], explicit: Element) -> Option<Vec<Range<usize>>> {
    let data = element(octets, explicit.content)
        .filter(|data| explicit.tag == EXPLICIT_0 && data.tag == SEQUENCE)?;
    let version = element(octets, data.content.clone())?;
    let algorithms = element(octets, version.after..data.content.end)?;
    let inside =
        element(octets, algorithms.after..data.content.end).filter(|inside| inside.tag == SEQUENCE)?;
    let kind = element(octets, inside.content.clone())?;
    let mut pieces = Vec::new();
    if let Some(explicit) = element(octets, kind.after..inside.content.end).filter(|it| it.tag == EXPLICIT_0)
    {
        collect(octets, explicit.content, 0, &mut pieces)?;
    }
    Some(pieces)
}

/// The pieces of the first octet string, or of all inside of one.
fn collect(octets: &[u8], range: Range<usize>, depth: u32, pieces: &mut Vec<Range<usize>>) -> Option<()> {
    let mut at = range.start;
    while at < range.end {
        let found = element(octets, at..range.end)?;
        match found.tag {
            OCTETS if pieces.len() < PIECES => pieces.push(found.content),
            OCTETS_IN_PIECES if depth < DEPTH => collect(octets, found.content, depth + 1, pieces)?,
            _ => return None,
        }
        at = found.after;
    }
    Some(())
}

/// The element that a range begins with (X.690 8.1). The end of one without a length is looked for.
fn element(octets: &[u8], range: Range<usize>) -> Option<Element> {
    let (tag, content, is_indefinite) = header(octets, &range)?;
    if !is_indefinite {
        let after = content.end;
        return (after <= range.end).then_some(Element { tag, content, after });
    }
    // Elements without lengths nest; each ends with two zero octets. Counted, not recursed into.
    let mut open = 1_u32;
    let mut at = content.start;
    loop {
        if octets.get(at..range.end)?.starts_with(&[0, 0]) {
            open -= 1;
            if open == 0 {
                return Some(Element { tag, content: content.start..at, after: at + 2 });
            }
            at += 2;
            continue;
        }
        let (_, inner, is_indefinite) = header(octets, &(at..range.end))?;
        if is_indefinite {
            open += 1;
            at = inner.start;
        } else {
            at = inner.end;
        }
    }
}

/// Tag, content, and whether it has no length: then the content's end means nothing.
fn header(octets: &[u8], range: &Range<usize>) -> Option<(u8, Range<usize>, bool)> {
    let window = octets.get(range.clone())?;
    let (tag, rest) = window.split_first()?;
    // Tags of more than one octet are in no place that is looked at.
    if tag & 0x1f == 0x1f {
        return None;
    }
    let (first, rest) = rest.split_first()?;
    let (len, octets_of_len) = match first {
        0x80 if tag & 0x20 != 0 => {
            let start = range.start + 2;
            return Some((*tag, start..start, true));
        }
        0x80 => return None,
        first if first & 0x80 == 0 => (usize::from(*first), 0),
        first => {
            let count = usize::from(first & 0x7f);
            let digits = rest.get(..count).filter(|_| count <= 4)?;
            (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), count)
        }
    };
    let start = range.start + 2 + octets_of_len;
    let end = start.checked_add(len).filter(|end| *end <= range.end)?;
    Some((*tag, start..end, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::build::{ber_signed, der_enveloped, der_signed};

    fn content(octets: &[u8]) -> Vec<u8> {
        let Some(Cms::Signed(pieces)) = read(octets) else { panic!("{:?}", read(octets)) };
        pieces.into_iter().flat_map(|piece| octets[piece].to_vec()).collect()
    }

    #[test]
    fn der_and_ber_give_the_same_content() {
        let inner = b"Content-Type: text/plain\r\n\r\nhello".repeat(200);
        assert_eq!(content(&der_signed(&inner)), inner);
        assert_eq!(content(&ber_signed(&inner, 1000)), inner);
    }

    #[test]
    fn kinds_are_told_apart() {
        assert_eq!(read(&der_enveloped()), Some(Cms::Enveloped));
        assert_eq!(read(b"%PDF-1.7"), None);
        assert_eq!(read(b""), None);
    }

    #[test]
    fn every_prefix_is_refused_or_read_and_ends() {
        for whole in [der_signed(b"hello"), ber_signed(b"hello there", 3)] {
            for end in 0..whole.len() {
                read(&whole[..end]);
            }
        }
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let mut deep = [0x30, 0x80].repeat(200_000);
        deep.extend(vec![0; 400_000]);
        assert_eq!(read(&deep), None);
        read(&[0x24, 0x80].repeat(100_000));
    }
}
