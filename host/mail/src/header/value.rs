//! One header field value: its text, its addresses, its date. Uses the field parsers of `mail-parser`, never its message
//! parser, and only on values that keep those parsers linear.

use std::borrow::Cow;

use mail_parser::parsers::MessageStream;
use mail_parser::{Addr, Address, HeaderValue};

use crate::time::Timestamp;
use crate::transfer;

/// An address as a header shows it: the sender's data, fit for comparing and showing, not for an SMTP command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderAddress {
    /// Display name or comment, decoded.
    pub name: Option<String>,
    /// The address, without angle brackets.
    pub email: String,
}

/// An encoded-word may have 75 octets (RFC 2047 section 2); senders exceed that, but not by this much.
const ENCODED_WORD_OCTETS: usize = 2048;
/// Last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

pub(super) fn text(raw: &[u8]) -> String {
    let line = line(raw);
    match MessageStream::new(line.as_bytes()).parse_unstructured() {
        HeaderValue::Text(text) => one_line(&text),
        _ => String::new(),
    }
}

/// Appends the addresses, until there are `cap`.
pub(super) fn addresses(raw: &[u8], cap: usize, found: &mut Vec<HeaderAddress>) {
    if found.len() >= cap {
        return;
    }
    let line = line(raw);
    let groups = match MessageStream::new(line.as_bytes()).parse_address() {
        HeaderValue::Address(Address::List(list)) => vec![list],
        HeaderValue::Address(Address::Group(groups)) => {
            groups.into_iter().map(|group| group.addresses).collect()
        }
        _ => Vec::new(),
    };
    let left = cap - found.len();
    found.extend(groups.iter().flatten().filter_map(address).take(left));
}

fn address(addr: &Addr<'_>) -> Option<HeaderAddress> {
    let name = addr.name.as_deref().map(one_line).filter(|name| !name.is_empty());
    match addr.address.as_deref().map(one_line).filter(|email| !email.is_empty()) {
        Some(email) => Some(HeaderAddress { name, email }),
        // A bare word is a local user; several words are a phrase without an address.
        None => name
            .filter(|name| !name.contains(char::is_whitespace))
            .map(|email| HeaderAddress { name: None, email }),
    }
}

pub(super) fn date(raw: &[u8]) -> Option<Timestamp> {
    let line = line(raw);
    match MessageStream::new(line.as_bytes()).parse_date() {
        HeaderValue::DateTime(mut date) => {
            // A leap second is legal (RFC 5322 section 3.3).
            date.second = date.second.min(59);
            date.is_valid().then(|| Timestamp(date.to_timestamp().clamp(0, LAST_SECOND) * 1000))
        }
        _ => None,
    }
}

/// What the field parsers take: UTF-8, one line end at the end, and no encoded-word they would search the rest of the
/// field for. Octets that are not UTF-8 are taken as windows-1252, as senders of raw 8-bit headers mean them.
fn line(raw: &[u8]) -> String {
    let text = transfer::text(raw, None);
    let mut line = defuse(&text).into_owned();
    line.push('\n');
    line
}

/// The field parsers look for the end of an encoded-word up to the end of the field, and start over behind its `=?` when
/// there is none: quadratic for a field full of starts. A start without an end nearby is no encoded-word, so it is
/// spelled `= ?`, which they do not take for one.
fn defuse(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let mut safe = String::new();
    let mut copied = 0;
    let mut ends = EndFinder { bytes, next: 0 };
    let mut at = 0;
    while let Some(start) = find(bytes, at, b"=?") {
        at = start + 2;
        let data = data_start(bytes, start);
        if data.is_some_and(|data| ends.from(data).is_none_or(|end| end - data > ENCODED_WORD_OCTETS)) {
            safe.push_str(&text[copied..=start]);
            safe.push(' ');
            copied = start + 1;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    safe.push_str(&text[copied..]);
    Cow::Owned(safe)
}

/// Where the data of `=?charset?q?data?=` starts, when there is such a start at `start`.
fn data_start(bytes: &[u8], start: usize) -> Option<usize> {
    let charset = start + 2;
    let mark = bytes[charset..].iter().position(|byte| *byte == b'?').map(|at| charset + at)?;
    match bytes.get(mark + 1..mark + 3) {
        Some([b'q' | b'Q' | b'b' | b'B', b'?']) => Some(mark + 3),
        _ => None,
    }
}

/// Finds `?=` at or after ever later positions, going over the octets once.
struct EndFinder<'a> {
    bytes: &'a [u8],
    next: usize,
}

impl EndFinder<'_> {
    fn from(&mut self, position: usize) -> Option<usize> {
        if self.next < position || !self.bytes[self.next..].starts_with(b"?=") {
            self.next = find(self.bytes, self.next.max(position), b"?=").unwrap_or(self.bytes.len());
        }
        (self.next < self.bytes.len()).then_some(self.next)
    }
}

fn find(bytes: &[u8], from: usize, pair: &[u8; 2]) -> Option<usize> {
    bytes.get(from..)?.windows(2).position(|two| two == pair).map(|at| from + at)
}

/// Decoded text can hold anything; in a header field it is one line.
fn one_line(text: &str) -> String {
    text.replace(['\r', '\n', '\0'], " ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{HeaderBlock, MAX_ADDRESSES};
    use super::*;

    fn addresses_in(text: &str) -> Vec<(Option<String>, String)> {
        let block = HeaderBlock::parse(format!("To: {text}\r\n\r\n").as_bytes());
        block.addresses("to").into_iter().map(|address| (address.name, address.email)).collect()
    }

    fn date_in(text: &str) -> Option<i64> {
        HeaderBlock::parse(format!("Date: {text}\n\n").as_bytes()).date().map(|date| date.0)
    }

    #[test]
    fn encoded_words_are_decoded_and_stay_on_one_line() {
        for (raw, expected) in [
            ("=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
            ("=?iso-8859-1?B?R3L832U=?= plain", "Grüße plain"),
            ("=?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab"),
            ("plain =?utf-8?q?a?= text", "plain a text"),
            ("=?utf-8?q?a=0D=0ABcc:_x=00?=", "a  Bcc: x"),
            ("  padded  ", "padded"),
            ("=?utf-8?q?never ends", "= ?utf-8?q?never ends"),
            ("=?nonsense", "=?nonsense"),
            ("a = ? b ?= c", "a = ? b ?= c"),
        ] {
            assert_eq!(text(raw.as_bytes()), expected, "{raw:?}");
        }
    }

    #[test]
    fn raw_eight_bit_headers_are_read() {
        assert_eq!(text("Grüße".as_bytes()), "Grüße");
        assert_eq!(text(b"Gr\xfc\xdfe"), "Grüße");
    }

    #[test]
    fn addresses_and_groups_are_flattened() {
        let some = |name: &str, email: &str| (Some(name.to_owned()), email.to_owned());
        let bare = |email: &str| (None, email.to_owned());
        assert_eq!(
            addresses_in("A <a@b.example>, c@d.example, \"E, F\" <e@f.example>"),
            [some("A", "a@b.example"), bare("c@d.example"), some("E, F", "e@f.example")]
        );
        assert_eq!(
            addresses_in("g: a@b.example, X <x@y.example>;, h: z@z.example;"),
            [bare("a@b.example"), some("X", "x@y.example"), bare("z@z.example")]
        );
        assert_eq!(addresses_in("=?utf-8?q?J=C3=BC?= <j@b.example>"), [some("Jü", "j@b.example")]);
        assert_eq!(addresses_in("undisclosed-recipients:;"), []);
        assert_eq!(addresses_in("Some Phrase"), []);
        assert_eq!(addresses_in("root"), [bare("root")]);
        assert_eq!(addresses_in(""), []);
        let two = HeaderBlock::parse(b"Cc: a@b.example\nCc: c@d.example\n\n");
        assert_eq!(two.addresses("cc").len(), 2);
    }

    #[test]
    fn dates_are_read_and_clamped() {
        assert_eq!(date_in("Tue, 24 Nov 2026 03:47:00 +0000"), Some(1_795_492_020_000));
        assert_eq!(date_in("Tue, 24 Nov 2026 03:47:00 +0100 (CET (x))"), Some(1_795_488_420_000));
        assert_eq!(date_in("31 Dec 2016 23:59:60 +0000"), Some(1_483_228_799_000));
        assert_eq!(date_in("1 Jan 1960 00:00:00 +0000"), Some(0));
        for wrong in [
            "",
            "soon",
            "99 Foo 2026 99:99:99",
            "24 Nov 2026",
            "-",
            "+",
            ";;;",
            "(((",
            "1 Jan 9999999999 1:1:1 +0000",
        ] {
            assert_eq!(date_in(wrong), None, "{wrong:?}");
        }
    }

    /// 256 KiB of each kind of field that has made a parser recurse, rescan or allocate without bound.
    #[test]
    fn hostile_fields_of_the_largest_size_are_read_and_capped() {
        let units = [
            "(",
            ")",
            "((a",
            "(\\",
            "<",
            ">",
            "\"",
            "\"\\",
            "\\",
            ",",
            ";",
            ":",
            "a:",
            "a,",
            "a@b,",
            "a@b:",
            "g:a@b;",
            "a@b c(d),",
            "<a@b>(",
            "=?",
            "=?=",
            "?=",
            "=?ab?q?x",
            "=?ab?q?_",
            "=?ab?q?=",
            "=?ab?b?AAAA",
            "=?utf-8?q?=41?= ",
            "=?utf-8?b?QUFB?= ",
            "=?ab?q?",
            "=?utf-8*x?q?",
            "\r\n ",
            "\r\n\t=?ab?q?x",
            "a\r\n ",
            "\"a\r\n ",
            "\0",
            "\u{ff}",
            "1 ",
            "1:",
            "+",
            "-",
            "1 Jan ",
            "(1 Jan;",
        ];
        for unit in units {
            let value = unit.repeat(250_000 / unit.len());
            let message = format!("From: {value}\r\nX: y\r\n\r\n").into_bytes();
            let block = HeaderBlock::parse(&message);
            assert!(block.addresses("from").len() <= MAX_ADDRESSES, "{unit:?}");
            assert!(block.first("from").unwrap().len() <= 3 * 250_000, "{unit:?}");
            let dated = HeaderBlock::parse(format!("Date: {value}\r\n\r\n").as_bytes());
            let _ = dated.date();
            assert_eq!(block.first("x").unwrap(), "y", "{unit:?}");
        }
    }

    #[test]
    fn starts_of_encoded_words_that_never_end_are_not_searched_for_their_end() {
        let many = "=?ab?q?x".repeat(1000);
        assert!(!defuse(&many).contains("=?"));
        let far = format!("=?ab?q?{}?=", "x".repeat(ENCODED_WORD_OCTETS + 1));
        assert!(defuse(&far).starts_with("= ?"));
        let near = format!("=?ab?q?{}?= =?ab?q?y?=", "x".repeat(ENCODED_WORD_OCTETS));
        assert!(matches!(defuse(&near), Cow::Borrowed(_)));
    }

    /// Fields put together at random (but the same ones each time) from what the field parsers act on.
    #[test]
    fn no_field_makes_the_parsers_panic() {
        let units: [&[u8]; 40] = [
            b"(",
            b")",
            b"<",
            b">",
            b"\"",
            b"\\",
            b",",
            b";",
            b":",
            b"@",
            b"=?",
            b"?=",
            b"?q?",
            b"?B?",
            b"utf-8",
            b"iso-2022-jp",
            b"utf-7",
            b"=",
            b"_",
            b"\r\n ",
            b"\r\n\t",
            b"\r",
            b"\n",
            b" ",
            b"\t",
            b"\0",
            b"\xff",
            b"\xe4\xb8",
            b"a",
            b"z",
            b"0",
            b"9",
            b"+",
            b"-",
            b"Jan",
            b"Z",
            b"EST",
            b"2026",
            b"a@b.example",
            b"*",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).unwrap()
        };
        for _ in 0..30_000 {
            let len = next(24);
            let raw: Vec<u8> = (0..len).flat_map(|_| units[next(units.len())]).copied().collect();
            let mut found = Vec::new();
            addresses(&raw, 5, &mut found);
            assert!(found.len() <= 5);
            assert!(!text(&raw).contains(['\r', '\n', '\0']), "{}", raw.escape_ascii());
            assert!(found.iter().all(|address| !address.email.contains(['\r', '\n', '\0'])));
            assert!(date(&raw).is_none_or(|date| date.0 >= 0 && date.0 <= LAST_SECOND * 1000));
            let _ = HeaderBlock::parse(&raw).fields().count();
        }
    }
}
