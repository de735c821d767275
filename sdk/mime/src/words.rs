//! Octets of a header field as text: encoded words (RFC 2047), also as programs really write them, and raw 8-bit.
//!
//! Encoded words are decoded to octets first, and those of neighbours with one charset are joined before the charset is
//! applied: many programs cut a character in two. Words are found inside of other text and of quotes, too.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use unicode_normalization::{UnicodeNormalization, is_nfc};

use crate::transfer;

/// Text in Unicode's form NFC.
pub fn nfc(text: String) -> String {
    if is_nfc(&text) { text } else { text.nfc().collect() }
}

/// Octets in a charset. Without one, or with one that nobody knows: UTF-8 where it is valid, else windows-1252.
pub fn text(octets: &[u8], charset: Option<&[u8]>) -> String {
    // Programs that declare ASCII or Latin-1 often mean the encoding they run in.
    match charset.and_then(Encoding::for_label_no_replacement).filter(|found| *found != WINDOWS_1252) {
        None => raw(octets).into_owned(),
        Some(encoding) => encoding.decode_without_bom_handling(octets).0.into_owned(),
    }
}

/// UTF-8 where it is valid, else windows-1252.
fn raw(octets: &[u8]) -> Cow<'_, str> {
    UTF_8.decode_without_bom_handling_and_without_replacement(octets).unwrap_or_else(|| {
        let (text, _) = WINDOWS_1252.decode_without_bom_handling(octets);
        text
    })
}

/// The text of a field's value, unfolded, with encoded words decoded.
pub fn decode(octets: &[u8]) -> String {
    let octets = unfold(octets);
    let mut out = String::new();
    // Octets of words with one charset that wait for the next word.
    let mut open: Option<(Vec<u8>, Vec<u8>)> = None;
    let mut plain = 0;
    let mut at = 0;
    while let Some(found) = octets.get(at..).and_then(|rest| find(rest, b"=?")) {
        let start = at + found;
        let Some(word) = octets.get(start..).and_then(word) else {
            at = start + 2;
            continue;
        };
        let between = octets.get(plain..start).unwrap_or_default();
        let is_joined = open.is_some() && between.iter().all(u8::is_ascii_whitespace);
        match &mut open {
            Some((charset, waiting)) if is_joined && charset.eq_ignore_ascii_case(word.charset) => {
                waiting.extend_from_slice(&word.octets);
            }
            _ => {
                flush(&mut out, open.take());
                if !is_joined {
                    out.push_str(&raw(between));
                }
                open = Some((word.charset.to_vec(), word.octets));
            }
        }
        at = start + word.len;
        plain = at;
    }
    flush(&mut out, open);
    out.push_str(&raw(octets.get(plain..).unwrap_or_default()));
    out
}

fn flush(out: &mut String, open: Option<(Vec<u8>, Vec<u8>)>) {
    if let Some((charset, octets)) = open {
        out.push_str(&text(&octets, Some(&charset)));
    }
}

/// Without the line ends that fold a field (RFC 5322 section 2.2.3); the blanks stay.
pub fn unfold(octets: &[u8]) -> Cow<'_, [u8]> {
    if !octets.contains(&b'\n') && !octets.contains(&b'\r') {
        return Cow::Borrowed(octets);
    }
    Cow::Owned(octets.iter().copied().filter(|octet| !matches!(octet, b'\r' | b'\n')).collect())
}

struct Word<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
    /// All of it, from `=?` to `?=`.
    len: usize,
}

/// The encoded word that `octets` begin with. Longer than RFC 2047 allows is taken, and blanks in it are.
fn word(octets: &[u8]) -> Option<Word<'_>> {
    let rest = octets.strip_prefix(b"=?")?;
    let end = rest.iter().position(|octet| *octet == b'?')?;
    let (declared, rest) = (&rest[..end], &rest[end + 1..]);
    // RFC 2231 section 5: a language may follow the charset.
    let charset = declared.split(|octet| *octet == b'*').next().unwrap_or(declared);
    if charset.len() > 64 || !charset.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let [kind, b'?', rest @ ..] = rest else { return None };
    let close = find(rest, b"?=")?;
    let body = &rest[..close];
    let decoded = match kind {
        b'B' | b'b' => transfer::base64(body).0,
        // A "?=" that is "=?" of the next word's start cannot be: Q never holds a bare "?".
        b'Q' | b'q' => q(body),
        _ => return None,
    };
    Some(Word { charset, octets: decoded, len: 2 + end + 1 + 2 + close + 2 })
}

/// RFC 2047 section 4.2.
fn q(body: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = body.iter().map(|octet| if *octet == b'_' { b' ' } else { *octet }).collect();
    transfer::hex_escapes(&spaced, b'=')
}

/// Where `needle` starts.
pub(crate) fn find(octets: &[u8], needle: &[u8]) -> Option<usize> {
    octets.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(octets: &[u8], expected: &str) {
        assert_eq!(decode(octets), expected, "{}", String::from_utf8_lossy(octets));
    }

    #[test]
    fn words_in_both_encodings_and_any_charset() {
        check(b"=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße");
        check(b"=?iso-8859-1?Q?Gr=FC=DFe_2026?=", "Grüße 2026");
        check(b"=?shift_jis?B?k/qWew==?=", "日本");
        check(b"=?koi8-r?Q?=D4=C5=D3=D4?=", "тест");
        check(b"=?utf-8*de?Q?=C3=BC?=", "ü");
        check(b"a =?utf-8?q?b?= c", "a b c");
        check(b"name=?utf-8?q?b?=.pdf", "nameb.pdf");
    }

    #[test]
    fn a_character_cut_between_words_is_joined_before_it_is_decoded() {
        check(b"=?utf-8?B?R3LD?=\r\n =?utf-8?B?vMOfZQ==?=", "Grüße");
        check(b"=?utf-8?Q?=E4=B8?= =?UTF-8?Q?=96?=", "世");
        check(b"=?utf-8?Q?a?= =?iso-8859-1?Q?=FC?=", "aü");
        check(b"=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c");
    }

    #[test]
    fn raw_octets_are_utf8_or_windows_1252() {
        check("Grüße".as_bytes(), "Grüße");
        check(b"Gr\xfc\xdfe \x80", "Grüße €");
        check(b"=?us-ascii?Q?=C3=BC?=", "ü");
        check(b"=?nobody-knows?Q?=FC?=", "ü");
    }

    #[test]
    fn what_is_no_word_stays() {
        for text in ["=?", "=?utf-8", "=?utf-8?X?a?=", "=?utf-8?B?abc", "a=?b", "=??=", "1 = ? 2"] {
            check(text.as_bytes(), text);
        }
    }

    #[test]
    fn every_short_sequence_of_troublesome_pieces_ends() {
        let pieces: [&[u8]; 9] = [b"=?", b"?=", b"utf-8", b"?B?", b"?Q?", b"=F", b"\xff", b" ", b"YQ"];
        for a in pieces {
            for b in pieces {
                for c in pieces {
                    for d in pieces {
                        decode(&[a, b, c, d, a].concat());
                    }
                }
            }
        }
    }
}
