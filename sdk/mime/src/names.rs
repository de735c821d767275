//! What the sender called a file (RFC 2183, RFC 2231, and what programs really write).
//!
//! Candidates in order: `filename*`, `filename`, `name*`, `name`. The pieces of a continued parameter are joined as octets
//! before anything is decoded, so that neither a character nor an encoded word that was cut in two is lost; encoded words
//! are decoded last, although RFC 2047 forbids them here. Nothing is made safe: the host does that.

use crate::transfer::hex_escapes;
use crate::words;

/// Octets of one field that are looked at.
const FIELD_OCTETS: usize = 16 << 10;
/// Pieces of one parameter.
const PIECES: usize = 256;

/// A name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName {
    /// Decoded, in Unicode's form NFC; not empty.
    pub text: String,
    /// As it was written: unquoted and unfolded, not decoded; the pieces of a continued parameter joined.
    pub raw: Vec<u8>,
}

/// The name in the header block of a part.
pub fn in_header(block: &[u8]) -> Option<FileName> {
    // Most parts have none, and most texts have no "name" in their header.
    let is_name = |window: &[u8]| window.eq_ignore_ascii_case(b"name");
    if !block.windows(4).any(is_name) {
        return None;
    }
    of(
        field(block, "content-disposition").unwrap_or_default(),
        field(block, "content-type").unwrap_or_default(),
    )
}

/// The name in the values of Content-Disposition and Content-Type; an empty one where there is no such field.
pub fn of(disposition: &[u8], content_type: &[u8]) -> Option<FileName> {
    let mut filename = Parameter::default();
    let mut name = Parameter::default();
    // Some programs put either parameter into the other field.
    for value in [disposition, content_type] {
        let value = words::unfold(value.get(..FIELD_OCTETS).unwrap_or(value));
        parameters(&value, |attribute, value| {
            filename.take(b"filename", attribute, value);
            name.take(b"name", attribute, value);
        });
    }
    filename.extended().or_else(|| filename.plain()).or_else(|| name.extended()).or_else(|| name.plain())
}

/// The raw value of the first field of that name in a header block, with its line ends.
pub fn field<'a>(block: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut at = 0;
    let mut found: Option<(usize, usize)> = None;
    for line in block.split_inclusive(|octet| *octet == b'\n') {
        let start = at;
        at += line.len();
        if matches!(line.first(), Some(b' ' | b'\t')) {
            found = found.map(|(from, _)| (from, at));
            continue;
        }
        if found.is_some() || line.trim_ascii().is_empty() {
            break;
        }
        let is_it = line.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name.as_bytes()))
            && line.get(name.len()..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"));
        if is_it {
            let colon = line.iter().position(|octet| *octet == b':').unwrap_or_default();
            found = Some((start + colon + 1, at));
        }
    }
    found.and_then(|(from, to)| block.get(from..to))
}

/// All that one attribute was given.
#[derive(Default)]
struct Parameter {
    /// `a=…`
    plain: Option<Vec<u8>>,
    /// `a*=…`
    extended: Option<Vec<u8>>,
    /// `a*0=…`, `a*0*=…`: number, whether it is extended, value.
    pieces: Vec<(u32, bool, Vec<u8>)>,
}

impl Parameter {
    fn take(&mut self, of: &[u8], attribute: &[u8], value: &[u8]) {
        let Some(rest) = attribute.get(..of.len()).filter(|head| head.eq_ignore_ascii_case(of)) else {
            return;
        };
        let (number, is_extended) = match &attribute[rest.len()..] {
            b"" => {
                self.plain.get_or_insert_with(|| value.to_vec());
                return;
            }
            b"*" => {
                self.extended.get_or_insert_with(|| value.to_vec());
                return;
            }
            [b'*', number @ .., b'*'] => (number, true),
            [b'*', number @ ..] => (number, false),
            _ => return,
        };
        let number = std::str::from_utf8(number).ok().and_then(|number| number.trim().parse().ok());
        if let Some(number) = number.filter(|_| self.pieces.len() < PIECES) {
            self.pieces.push((number, is_extended, value.to_vec()));
        }
    }

    fn extended(&self) -> Option<FileName> {
        let whole = self.extended.as_deref().and_then(|value| {
            let (charset, rest) = charset(value);
            name(&hex_escapes(rest, b'%'), charset, value)
        });
        whole.or_else(|| self.joined())
    }

    fn plain(&self) -> Option<FileName> {
        self.plain.as_deref().and_then(|value| name(value, None, value))
    }

    /// The pieces in the order of their numbers, as far as none is missing.
    fn joined(&self) -> Option<FileName> {
        let mut pieces: Vec<&(u32, bool, Vec<u8>)> = self.pieces.iter().collect();
        pieces.sort_by_key(|piece| piece.0);
        pieces.dedup_by_key(|piece| piece.0);
        let (first, is_extended, value) = pieces.first()?;
        // Some programs count from 1.
        if *first > 1 {
            return None;
        }
        let (declared, _) = if *is_extended { charset(value) } else { (None, &value[..]) };
        let (mut octets, mut raw) = (Vec::new(), Vec::new());
        for (expected, (number, is_extended, value)) in (*first..).zip(pieces) {
            if *number != expected {
                break;
            }
            raw.extend_from_slice(value);
            match is_extended {
                true if number == first => octets.extend(hex_escapes(charset(value).1, b'%')),
                true => octets.extend(hex_escapes(value, b'%')),
                false => octets.extend_from_slice(value),
            }
        }
        name(&octets, declared, &raw)
    }
}

/// `utf-8'de'%C3%BC`: the charset, where there is one, and what follows. Quotes that are missing are not missed.
fn charset(value: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut pieces = value.splitn(3, |octet| *octet == b'\'');
    match (pieces.next(), pieces.next(), pieces.next()) {
        (Some(charset), Some(_), Some(rest)) => (Some(charset).filter(|charset| !charset.is_empty()), rest),
        _ => (None, value),
    }
}

fn name(octets: &[u8], charset: Option<&[u8]>, raw: &[u8]) -> Option<FileName> {
    let text = match charset {
        // Octets that are no text of their own yet may hold encoded words.
        None => words::decode(octets),
        Some(charset) => {
            let text = words::text(octets, Some(charset));
            if text.contains("=?") { words::decode(text.as_bytes()) } else { text }
        }
    };
    let text = words::nfc(text);
    (!text.trim().is_empty()).then(|| FileName { text, raw: raw.to_vec() })
}

/// Hands out each attribute with its value, unquoted. What makes no sense is passed over.
fn parameters(value: &[u8], mut take: impl FnMut(&[u8], &[u8])) {
    let mut rest = after_semicolon(value);
    while let Some(text) = rest {
        let text = text.trim_ascii_start();
        let end = text.iter().position(|octet| matches!(octet, b'=' | b';')).unwrap_or(text.len());
        let attribute = text[..end].trim_ascii_end();
        match text.get(end) {
            Some(b'=') => {
                let (value, after) = value_of(text[end + 1..].trim_ascii_start());
                take(attribute, &value);
                rest = after_semicolon(after);
            }
            Some(_) => rest = text.get(end + 1..),
            None => rest = None,
        }
    }
}

fn after_semicolon(text: &[u8]) -> Option<&[u8]> {
    let at = text.iter().position(|octet| *octet == b';')?;
    text.get(at + 1..)
}

/// A value and what follows it. Without quotes it goes on to the next semicolon, blanks and all: so do programs write it.
fn value_of(text: &[u8]) -> (Vec<u8>, &[u8]) {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|octet| *octet == b';').unwrap_or(text.len());
        return (text[..end].trim_ascii_end().to_vec(), &text[end..]);
    };
    let mut value = Vec::new();
    let mut rest = quoted;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'"', _) => return (value, rest),
            // Only these two are escaped; other backslashes are of paths, written by programs that escape nothing.
            (b'\\', [next @ (b'"' | b'\\'), behind @ ..]) => {
                value.push(*next);
                rest = behind;
            }
            (octet, _) => value.push(*octet),
        }
    }
    (value, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(disposition: &[u8], content_type: &[u8], expected: &str) {
        let found = of(disposition, content_type).map(|name| name.text);
        assert_eq!(found.as_deref(), Some(expected), "{}", String::from_utf8_lossy(disposition));
    }

    #[test]
    fn candidates_are_tried_in_order() {
        let all = b"x; name=d; name*=utf-8''c; filename=b; filename*=utf-8''a";
        check(all, b"", "a");
        check(b"x; name=d; name*=utf-8''c; filename=b", b"", "b");
        check(b"x", b"y; name=d; name*=utf-8''c", "c");
        check(b"", b"y; name=d", "d");
        check(b"attachment; filename=\"\"", b"y; name=d", "d");
        assert_eq!(of(b"attachment", b"text/plain; charset=utf-8"), None);
    }

    #[test]
    fn a_character_cut_across_pieces_is_whole() {
        check(b"a; filename*0*=utf-8''Gr%C3; filename*1*=%BC%C3%9Fe.pdf", b"", "Gr\u{fc}\u{df}e.pdf");
        check(b"a; filename*1*=%BC.pdf; filename*0*=UTF-8'de'Gr%C3", b"", "Gr\u{fc}.pdf");
        check(b"a; filename*0*=iso-2022-jp''%1B$BF|; filename*1*=K\\%1B(B.txt", b"", "\u{65e5}\u{672c}.txt");
    }

    #[test]
    fn an_encoded_word_cut_across_pieces_is_whole() {
        check(b"a; filename*0=\"=?utf-8?B?R3LD\"; filename*1=\"vMOfZQ==?=.pdf\"", b"", "Gr\u{fc}\u{df}e.pdf");
        check(b"a; filename*0*=utf-8''%3D?utf-8?Q?a; filename*1*==C3=BC?=", b"", "a\u{fc}");
    }

    #[test]
    fn encoded_words_stand_in_quotes_and_are_cut_between_lines() {
        check(b"a; filename=\"=?iso-8859-1?Q?Gr=FC=DFe.pdf?=\"", b"", "Gr\u{fc}\u{df}e.pdf");
        check(b"a;\r\n filename=\"=?utf-8?B?R3LD?=\r\n\t=?utf-8?B?vMOfZQ==?=\"", b"", "Gr\u{fc}\u{df}e");
        check(b"a; filename==?utf-8?Q?x=3B_y.pdf?=", b"", "x; y.pdf");
    }

    #[test]
    fn an_empty_or_unknown_charset_is_guessed() {
        check(b"a; filename*=''Gr%C3%BC.pdf", b"", "Gr\u{fc}.pdf");
        check(b"a; filename*=''Gr%FC.pdf", b"", "Gr\u{fc}.pdf");
        check(b"a; filename*=x-nobody''Gr%FC.pdf", b"", "Gr\u{fc}.pdf");
        check(b"a; filename*=plain.pdf", b"", "plain.pdf");
        check(b"a; filename=\"Gr\xfc\xdfe.pdf\"", b"", "Gr\u{fc}\u{df}e.pdf");
        check("a; filename=\"Grüße.pdf\"".as_bytes(), b"", "Gr\u{fc}\u{df}e.pdf");
    }

    #[test]
    fn quotes_blanks_and_backslashes_as_programs_write_them() {
        check(b"a; filename=my own file.pdf; size=3", b"", "my own file.pdf");
        check(b"a; filename=\"a \\\"b\\\" c.pdf\"", b"", "a \"b\" c.pdf");
        check(b"a; filename=\"C:\\temp\\x.pdf\"", b"", "C:\\temp\\x.pdf");
        check(b"a; filename=\"never closed.pdf", b"", "never closed.pdf");
        check(b"a; filename=\"one;two.pdf\"", b"", "one;two.pdf");
        check(b"a; FileName = \"x.pdf\"", b"", "x.pdf");
        check(b"a;;; filename=x", b"", "x");
    }

    #[test]
    fn names_are_composed() {
        check("a; filename=\"u\u{308}.pdf\"".as_bytes(), b"", "\u{fc}.pdf");
    }

    #[test]
    fn pieces_with_a_gap_end_at_it() {
        check(b"a; filename*0=ab; filename*2=ef", b"", "ab");
        check(b"a; filename*1=ab; filename*2=cd", b"", "abcd");
        assert_eq!(of(b"a; filename*7=ab", b""), None);
    }

    #[test]
    fn the_name_as_written_is_kept() {
        let name = of(b"a; filename*0*=utf-8''Gr%C3; filename*1*=%BC", b"").unwrap();
        assert_eq!(name.raw, b"utf-8''Gr%C3%BC");
    }

    #[test]
    fn fields_are_found_folded_and_whatever_their_case() {
        let block = b"Subject: name\r\nCONTENT-disposition :\r\n attachment;\r\n filename=a\r\nX: y\r\n\r\nContent-Type: b";
        assert_eq!(in_header(block).unwrap().text, "a");
        assert_eq!(field(block, "content-type"), None);
        assert_eq!(field(block, "x"), Some(&b" y\r\n"[..]));
    }
}
