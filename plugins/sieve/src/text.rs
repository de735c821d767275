//! Texts of a script that hold variables (RFC 5229 section 3) or encoded characters (RFC 5228 section 2.4.2.4).

use std::borrow::Cow;

use crate::flaw::{Flaw, quoted};
use crate::variables::{Names, Variables};

/// A text as the script has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// Always the same.
    Plain(String),
    /// Put together when it is needed.
    Template(Vec<Piece>),
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Always the same.
    Literal(String),
    /// The value of a variable, by its number.
    Variable(usize),
    /// What a wildcard or a group of the last match stands for.
    Capture(usize),
}

impl Text {
    /// The text when it is always the same.
    pub(crate) fn plain(&self) -> Option<&str> {
        match self {
            Self::Plain(text) => Some(text),
            Self::Template(_) => None,
        }
    }

    /// The text with its variables filled in.
    pub(crate) fn fill<'t>(&'t self, variables: &Variables) -> Cow<'t, str> {
        match self {
            Self::Plain(text) => Cow::Borrowed(text),
            Self::Template(pieces) => Cow::Owned(pieces.iter().fold(String::new(), |text, piece| {
                text + match piece {
                    Piece::Literal(literal) => literal,
                    Piece::Variable(number) => variables.get(*number),
                    Piece::Capture(number) => variables.capture(*number),
                }
            })),
        }
    }
}

/// Takes the `${…}` of a text apart. What is no reference stays as it is (RFC 5229 section 3).
pub(crate) fn template(text: &str, at: u32, names: &Names) -> Result<Text, Flaw> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let after = &rest[start + 2..];
        let reference = after
            .find('}')
            .map(|end| &after[..end])
            .and_then(|name| reference(name).map(|reference| (reference, &after[name.len() + 1..])));
        let Some((reference, behind)) = reference else {
            literal.push_str(&rest[..start + 2]);
            rest = after;
            continue;
        };
        literal.push_str(&rest[..start]);
        rest = behind;
        let piece = match reference {
            Reference::Capture(number) => Some(Piece::Capture(number)),
            // What is set nowhere before has no value here: there are no loops in Sieve.
            Reference::Name(name) => names.find(name).map(Piece::Variable),
            Reference::Namespace(name) => {
                return Err(Flaw::new(
                    at,
                    format!("there is no variable {}: no extension has it", quoted(name)),
                ));
            }
        };
        if let Some(piece) = piece {
            if !literal.is_empty() {
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            }
            pieces.push(piece);
        }
    }
    literal.push_str(rest);
    if pieces.is_empty() {
        return Ok(Text::Plain(literal));
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(Text::Template(pieces))
}

enum Reference<'t> {
    Name(&'t str),
    Capture(usize),
    Namespace(&'t str),
}

fn reference(name: &str) -> Option<Reference<'_>> {
    if !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_digit()) {
        return Some(Reference::Capture(name.parse().unwrap_or(usize::MAX)));
    }
    let words: Vec<&str> = name.split('.').collect();
    match words.as_slice() {
        [name] if is_name(name) => Some(Reference::Name(name)),
        [first, rest @ ..] if is_name(first) && rest.iter().all(|word| is_name(word) || is_number(word)) => {
            Some(Reference::Namespace(name))
        }
        _ => None,
    }
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_digit())
}

/// Whether it can be the name of a variable: an identifier.
pub(crate) fn is_name(word: &str) -> bool {
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_';
    word.bytes().all(fits) && word.bytes().next().is_some_and(|octet| !octet.is_ascii_digit())
}

/// Puts the characters in for `${hex:…}` and `${unicode:…}`. What is none stays as it is; a Unicode number that is no
/// character is a flaw.
pub(crate) fn decoded(text: &str, at: u32) -> Result<String, Flaw> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let after = &rest[start + 2..];
        octets.extend_from_slice(&rest.as_bytes()[..start]);
        let inside = after.find('}').map(|end| &after[..end]);
        match inside.map(|inside| encoded(inside, at)).transpose()?.flatten() {
            Some(decoded) => {
                octets.extend_from_slice(&decoded);
                rest = &after[inside.map_or(0, str::len) + 1..];
            }
            None => {
                octets.extend_from_slice(b"${");
                rest = after;
            }
        }
    }
    octets.extend_from_slice(rest.as_bytes());
    String::from_utf8(octets).map_err(|_| Flaw::new(at, "the ${hex:…} in this text do not make UTF-8"))
}

fn encoded(inside: &str, at: u32) -> Result<Option<Vec<u8>>, Flaw> {
    let Some((kind, numbers)) = inside.split_once(':') else { return Ok(None) };
    let mut octets = Vec::new();
    let words: Vec<&str> = numbers.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect();
    let is_hex = |word: &&str| word.bytes().all(|octet| octet.is_ascii_hexdigit());
    if words.is_empty() || !words.iter().all(is_hex) {
        return Ok(None);
    }
    for word in words {
        if kind.eq_ignore_ascii_case("hex") && word.len() <= 2 {
            octets.extend(u8::from_str_radix(word, 16).ok());
        } else if kind.eq_ignore_ascii_case("unicode") {
            let number = u32::from_str_radix(word.trim_start_matches('0'), 16)
                .unwrap_or(if word.bytes().all(|octet| octet == b'0') { 0 } else { u32::MAX });
            let Some(ch) = char::from_u32(number) else {
                return Err(Flaw::new(at, format!("{} is no character of Unicode", quoted(word))));
            };
            octets.extend_from_slice(ch.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            return Ok(None);
        }
    }
    Ok(Some(octets))
}
