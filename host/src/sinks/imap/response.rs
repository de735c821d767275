//! Owns what a response says: its kind, its code, its values (RFC 3501 sections 7 and 9). Never fails: what makes no sense
//! is a response that nobody waits for.

use postroom_mail::Digest;

use super::reader::Piece;
use crate::sinks::error::quoted;

/// The deepest list that is read.
const DEEPEST: usize = 16;

/// One response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// `+ text`
    Continue(Vec<u8>),
    /// `tag OK text`
    Tagged(String, Status),
    /// `* OK text`
    Untagged(Status),
    /// `* data`
    Data(Vec<Value>),
}

/// How something went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) kind: Kind,
    /// `[CODE arguments]`: the name in upper case, the arguments as they came.
    pub(super) code: Option<(String, String)>,
    text: String,
}

/// The words a status begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Ok,
    No,
    Bad,
    Preauth,
    Bye,
}

/// One value of data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// An atom, a number, `NIL`.
    Atom(Vec<u8>),
    Quoted(Vec<u8>),
    Literal(u64, Digest),
    List(Vec<Value>),
}

impl Status {
    /// Harmless and short, for people.
    pub(super) fn shown(&self) -> String {
        let kind = match self.kind {
            Kind::Ok => "OK",
            Kind::No => "NO",
            Kind::Bad => "BAD",
            Kind::Preauth => "PREAUTH",
            Kind::Bye => "BYE",
        };
        quoted(&format!("{kind} {}", self.text))
    }

    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_ref().is_some_and(|(name, _)| name == code)
    }

    /// The arguments of this code.
    pub(super) fn arguments(&self, code: &str) -> Option<Vec<&str>> {
        let (name, arguments) = self.code.as_ref()?;
        (name == code).then(|| arguments.split_ascii_whitespace().collect())
    }
}

impl Value {
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Self::Atom(octets) => std::str::from_utf8(octets).ok()?.parse().ok(),
            Self::Quoted(_) | Self::Literal(..) | Self::List(_) => None,
        }
    }

    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Atom(octets) if octets.eq_ignore_ascii_case(word.as_bytes()))
    }

    pub(super) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            Self::Atom(_) | Self::Quoted(_) | Self::Literal(..) => None,
        }
    }

    /// A text in quotes.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Quoted(octets) => Some(octets),
            Self::Atom(_) | Self::Literal(..) | Self::List(_) => None,
        }
    }
}

impl Response {
    /// Reads the pieces of one response.
    pub(super) fn read(pieces: &[Piece]) -> Self {
        let Some(Piece::Text(first)) = pieces.first() else { return Self::Data(Vec::new()) };
        if let Some(rest) = first.strip_prefix(b"+") {
            return Self::Continue(rest.trim_ascii().to_vec());
        }
        let (tag, rest) = word(first);
        match status(rest) {
            Some(status) if tag == b"*" => Self::Untagged(status),
            Some(status) => Self::Tagged(String::from_utf8_lossy(tag).into_owned(), status),
            None => Self::Data(values(pieces, first.len() - rest.len())),
        }
    }
}

fn word(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|octet| *octet == b' ') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

fn status(text: &[u8]) -> Option<Status> {
    let (kind, rest) = word(text);
    let kinds = [
        ("OK", Kind::Ok),
        ("NO", Kind::No),
        ("BAD", Kind::Bad),
        ("PREAUTH", Kind::Preauth),
        ("BYE", Kind::Bye),
    ];
    let (_, kind) = kinds.into_iter().find(|(word, _)| kind.eq_ignore_ascii_case(word.as_bytes()))?;
    let text = String::from_utf8_lossy(rest).into_owned();
    let code = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(inner, _)| {
        let (name, arguments) = inner.split_once(' ').unwrap_or((inner, ""));
        (name.to_ascii_uppercase(), arguments.to_owned())
    });
    Some(Status { kind, code, text })
}

/// The values from so far into the first piece on.
fn values(pieces: &[Piece], mut skip: usize) -> Vec<Value> {
    let mut open: Vec<Vec<Value>> = vec![Vec::new()];
    let put = |open: &mut Vec<Vec<Value>>, value| {
        if let Some(list) = open.last_mut() {
            list.push(value);
        }
    };
    for piece in pieces {
        let text = match piece {
            Piece::Text(text) => &text[std::mem::take(&mut skip).min(text.len())..],
            Piece::Literal(size, digest) => {
                put(&mut open, Value::Literal(*size, *digest));
                continue;
            }
        };
        let mut rest = text;
        while let Some((octet, after)) = rest.split_first() {
            rest = after;
            match octet {
                b' ' => {}
                b'(' if open.len() < DEEPEST => open.push(Vec::new()),
                b')' if open.len() > 1 => {
                    let list = open.pop().unwrap_or_default();
                    put(&mut open, Value::List(list));
                }
                b'"' => {
                    let (text, after) = quoted_text(rest);
                    put(&mut open, Value::Quoted(text));
                    rest = after;
                }
                // The announcement of a literal, which is a piece of its own.
                b'{' | b'~' if rest.ends_with(b"}") && !rest.contains(&b' ') => rest = &[],
                _ => {
                    let end = rest.iter().position(|octet| b" ()\"".contains(octet)).unwrap_or(rest.len());
                    put(&mut open, Value::Atom([&[*octet], &rest[..end]].concat()));
                    rest = &rest[end..];
                }
            }
        }
    }
    open.swap_remove(0)
}

/// Up to the closing quote, and what follows it.
fn quoted_text(rest: &[u8]) -> (Vec<u8>, &[u8]) {
    let (mut text, mut at) = (Vec::new(), 0);
    while let Some(octet) = rest.get(at) {
        match octet {
            b'"' => return (text, &rest[at + 1..]),
            b'\\' => at += 1,
            _ => {}
        }
        text.extend(rest.get(at));
        at += 1;
    }
    (text, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[u8]) -> Response {
        Response::read(&[Piece::Text(line.to_vec())])
    }

    fn atom(text: &str) -> Value {
        Value::Atom(text.as_bytes().to_vec())
    }

    #[test]
    fn statuses_have_a_kind_a_code_and_a_text() {
        let Response::Tagged(tag, status) = read(b"a7 ok [APPENDUID 38505 3955] done") else { panic!() };
        assert_eq!((tag.as_str(), status.kind), ("a7", Kind::Ok));
        assert_eq!(status.arguments("APPENDUID"), Some(vec!["38505", "3955"]));
        let Response::Untagged(status) = read(b"* BYE \x1b[31m going") else { panic!() };
        assert_eq!((status.kind, status.code.as_ref()), (Kind::Bye, None));
        assert!(!status.shown().contains('\u{1b}'));
        assert_eq!(read(b"+ YQ=="), Response::Continue(b"YQ==".to_vec()));
        assert_eq!(read(b"+"), Response::Continue(Vec::new()));
    }

    #[test]
    fn data_is_a_tree_of_values() {
        let list = read(b"* LIST (\\Noselect) \"\\\\\" \"\"");
        let text = |text: &[u8]| Value::Quoted(text.to_vec());
        let flags = Value::List(vec![atom("\\Noselect")]);
        assert_eq!(list, Response::Data(vec![atom("LIST"), flags, text(b"\\"), text(b"")]));
        let digest = Digest::of(b"abc");
        let pieces = [
            Piece::Text(b"* 3 FETCH (UID 7 BODY[] {3}".to_vec()),
            Piece::Literal(3, digest),
            Piece::Text(b" RFC822.SIZE 3)".to_vec()),
        ];
        let inner = vec![
            atom("UID"),
            atom("7"),
            atom("BODY[]"),
            Value::Literal(3, digest),
            atom("RFC822.SIZE"),
            atom("3"),
        ];
        let expected = vec![atom("3"), atom("FETCH"), Value::List(inner)];
        assert_eq!(Response::read(&pieces), Response::Data(expected));
    }

    #[test]
    fn nonsense_is_read_without_an_end_or_a_panic() {
        let deep = [b"* X ".to_vec(), b"(".repeat(60_000)].concat();
        for line in [&b""[..], b"*", b"* ", b"* )))(((", b"* X \"\\", b"* [", b"* OK [", b"\xff\xfe", &deep] {
            let _ = read(line);
        }
        assert_eq!(Response::read(&[]), Response::Data(Vec::new()));
    }
}
