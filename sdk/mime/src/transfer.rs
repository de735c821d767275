//! Transfer encodings (RFC 2045 section 6) decoded with patience: whatever can be decoded is, and damage is told.

use std::borrow::Cow;

use postroom_sdk::structure::Encoding;

/// The decoded octets, and whether something in the encoded ones made no sense.
pub fn decode(octets: &[u8], encoding: Encoding) -> (Cow<'_, [u8]>, bool) {
    match encoding {
        Encoding::Identity => (Cow::Borrowed(octets), false),
        Encoding::Base64 => {
            let (decoded, damaged) = base64(octets);
            (Cow::Owned(decoded), damaged)
        }
        Encoding::QuotedPrintable => {
            let (decoded, damaged) = quoted_printable(octets);
            (Cow::Owned(decoded), damaged)
        }
    }
}

/// RFC 2045 section 6.8. Octets that are not of the alphabet are left out; padding ends a run, not the text, as where two
/// encoded texts were put together. The flag tells other octets than blanks, and an end within a group.
pub fn base64(octets: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(octets.len() / 4 * 3 + 3);
    let (mut bits, mut count, mut damaged) = (0_u32, 0_u32, false);
    let finish = |out: &mut Vec<u8>, bits: u32, count: u32| match count {
        2 => out.push((bits >> 4) as u8),
        3 => out.extend([(bits >> 10) as u8, (bits >> 2) as u8]),
        _ => {}
    };
    for octet in octets {
        let value = match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                finish(&mut out, bits, count);
                damaged |= count == 1;
                (bits, count) = (0, 0);
                continue;
            }
            other => {
                damaged |= !other.is_ascii_whitespace();
                continue;
            }
        };
        bits = bits << 6 | u32::from(value);
        count += 1;
        if count == 4 {
            out.extend([(bits >> 16) as u8, (bits >> 8) as u8, bits as u8]);
            (bits, count) = (0, 0);
        }
    }
    finish(&mut out, bits, count);
    (out, damaged || count != 0)
}

/// RFC 2045 section 6.7.
fn quoted_printable(octets: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::with_capacity(octets.len());
    let mut damaged = false;
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let text = line.trim_ascii_end();
        // Blanks at the end of a line were added on the way.
        let end = &line
            [line.len() - line.iter().rev().take_while(|octet| matches!(octet, b'\r' | b'\n')).count()..];
        let (text, end) = match text.strip_suffix(b"=") {
            Some(text) => (text, &b""[..]),
            None => (text, end),
        };
        let decoded = hex_escapes(text, b'=');
        damaged |= text.iter().filter(|octet| **octet == b'=').count() * 2 != text.len() - decoded.len();
        out.extend_from_slice(&decoded);
        out.extend_from_slice(end);
    }
    (out, damaged)
}

/// With each escape, a mark and two hexadecimal digits, as its octet; a mark without them stays.
pub(crate) fn hex_escapes(octets: &[u8], mark: u8) -> Vec<u8> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == mark
            && let [high, low, behind @ ..] = after
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push((high << 4 | low) as u8);
            rest = behind;
            continue;
        }
        out.push(*first);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_whatever_stands_between() {
        assert_eq!(base64(b"aGVsbG8="), (b"hello".to_vec(), false));
        assert_eq!(base64(b"aGVs\r\nbG8"), (b"hello".to_vec(), true), "the padding is missing");
        assert_eq!(base64(b"aG!Vs"), (b"hel".to_vec(), true));
        assert_eq!(base64(b"YQ==YQ=="), (b"aa".to_vec(), false));
        assert_eq!(base64(b"a"), (Vec::new(), true));
        assert_eq!(base64(b""), (Vec::new(), false));
    }

    #[test]
    fn quoted_printable_joins_soft_line_ends_and_tells_damage() {
        let decode = |octets: &[u8]| quoted_printable(octets);
        assert_eq!(decode(b"a=\r\nb=3D\r\nc  \r\n"), (b"ab=\r\nc\r\n".to_vec(), false));
        assert_eq!(decode(b"=ZZ"), (b"=ZZ".to_vec(), true));
        assert_eq!(decode(b"=e4=B8=96"), ("世".as_bytes().to_vec(), false));
    }
}
