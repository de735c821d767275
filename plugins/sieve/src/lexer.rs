//! From the text of a script to tokens, RFC 5228 section 8.1. Texts without escapes are borrowed from the script.

use std::borrow::Cow;

use crate::flaw::{Flaw, quoted};

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token<'s> {
    /// A word.
    Identifier(&'s str),
    /// A word after a colon, without the colon.
    Tag(&'s str),
    /// A number, its quantifier (K, M, G) multiplied in.
    Number(u64),
    /// A quoted string or a multi-line one, unescaped.
    Text(Cow<'s, str>),
    /// One of `( ) [ ] { } , ;`.
    Mark(char),
    /// The script is over.
    End,
}

impl Token<'_> {
    /// As an error text calls it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Identifier(word) => quoted(word),
            Self::Tag(word) => quoted(&format!(":{word}")),
            Self::Number(number) => format!("the number {number}"),
            Self::Text(text) => format!("the text {}", quoted(text)),
            Self::Mark(mark) => format!("\"{mark}\""),
            Self::End => "the end of the script".to_owned(),
        }
    }
}

/// Takes a script apart, one token at a time.
pub(crate) struct Lexer<'s> {
    script: &'s str,
    at: usize,
}

impl<'s> Lexer<'s> {
    /// At the start of a script of at most 4 GiB.
    pub(crate) fn new(script: &'s str) -> Self {
        // A byte order mark is no part of the language, but of some editors.
        let at = if script.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { script, at }
    }

    /// The next token and where it starts.
    pub(crate) fn next(&mut self) -> Result<(u32, Token<'s>), Flaw> {
        self.skip_blanks()?;
        let start = self.at;
        let token = match self.octet(0) {
            None => Token::End,
            Some(octet @ (b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b';')) => {
                self.at += 1;
                Token::Mark(char::from(octet))
            }
            Some(b'"') => Token::Text(self.quoted()?),
            Some(b':') => {
                self.at += 1;
                match self.word() {
                    "" => return Err(flaw(start, "expected the name of a tag right after \":\"")),
                    word => Token::Tag(word),
                }
            }
            Some(octet) if octet.is_ascii_digit() => Token::Number(self.number()?),
            Some(octet) if octet.is_ascii_alphabetic() || octet == b'_' => {
                let word = self.word();
                if word.eq_ignore_ascii_case("text") && self.octet(0) == Some(b':') {
                    Token::Text(self.multi_line()?)
                } else {
                    Token::Identifier(word)
                }
            }
            Some(_) => {
                let ch = self.script[start..].chars().next().unwrap_or_default();
                let text =
                    format!("{} cannot stand here; texts are written in quotes", quoted(&ch.to_string()));
                return Err(flaw(start, text));
            }
        };
        Ok((offset(start), token))
    }

    fn octet(&self, ahead: usize) -> Option<u8> {
        self.script.as_bytes().get(self.at + ahead).copied()
    }

    /// Blanks and both kinds of comments.
    fn skip_blanks(&mut self) -> Result<(), Flaw> {
        loop {
            match (self.octet(0), self.octet(1)) {
                (Some(b' ' | b'\t' | b'\r' | b'\n'), _) => self.at += 1,
                (Some(b'#'), _) => self.skip_line(),
                (Some(b'/'), Some(b'*')) => match self.script[self.at + 2..].find("*/") {
                    Some(end) => self.at += 2 + end + 2,
                    None => return Err(flaw(self.at, "this comment is not ended: expected \"*/\"")),
                },
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.script[self.at..];
        self.at += rest.find('\n').map_or(rest.len(), |newline| newline + 1);
    }

    fn word(&mut self) -> &'s str {
        let start = self.at;
        while self.octet(0).is_some_and(|octet| octet.is_ascii_alphanumeric() || octet == b'_') {
            self.at += 1;
        }
        &self.script[start..self.at]
    }

    fn number(&mut self) -> Result<u64, Flaw> {
        let start = self.at;
        let word = self.word();
        let digits = word.trim_end_matches(|ch: char| !ch.is_ascii_digit());
        let shift = match &word[digits.len()..] {
            "" => 0,
            "K" | "k" => 10,
            "M" | "m" => 20,
            "G" | "g" => 30,
            _ => return Err(flaw(start, format!("{} is no number; 10, 10K, 10M and 10G are", quoted(word)))),
        };
        let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
        number.ok_or_else(|| flaw(start, format!("{} is no number, or too large", quoted(word))))
    }

    fn quoted(&mut self) -> Result<Cow<'s, str>, Flaw> {
        let start = self.at;
        let body = start + 1;
        let rest = &self.script[body..];
        let Some(first) = rest.find(['"', '\\']) else { return Err(unended(start)) };
        if rest.as_bytes()[first] == b'"' {
            self.at = body + first + 1;
            return Ok(Cow::Borrowed(&rest[..first]));
        }
        let mut text = String::with_capacity(first + 16);
        let mut chars = rest.char_indices();
        while let Some((at, ch)) = chars.next() {
            match ch {
                '"' => {
                    self.at = body + at + 1;
                    return Ok(Cow::Owned(text));
                }
                '\\' => match chars.next() {
                    Some((_, ch)) => text.push(ch),
                    None => return Err(unended(start)),
                },
                ch => text.push(ch),
            }
        }
        Err(unended(start))
    }

    /// `text:`, the rest of the line blank or a comment, then lines up to a line that is a dot.
    fn multi_line(&mut self) -> Result<Cow<'s, str>, Flaw> {
        let start = self.at;
        self.at += 1;
        while matches!(self.octet(0), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        match (self.octet(0), self.octet(1)) {
            (Some(b'#'), _) => self.skip_line(),
            (Some(b'\n'), _) => self.at += 1,
            (Some(b'\r'), Some(b'\n')) => self.at += 2,
            _ => return Err(flaw(self.at, "expected the end of the line after \"text:\"")),
        }
        let body = self.at;
        let mut unstuffed: Option<String> = None;
        for line in self.script[body..].split_inclusive('\n') {
            let bare = line.trim_end_matches(['\r', '\n']);
            let before = self.at;
            self.at += line.len();
            if bare == "." {
                return Ok(unstuffed.map_or(Cow::Borrowed(&self.script[body..before]), Cow::Owned));
            }
            if bare.starts_with("..") && unstuffed.is_none() {
                unstuffed = Some(self.script[body..before].to_owned());
            }
            if let Some(text) = &mut unstuffed {
                text.push_str(if bare.starts_with("..") { &line[1..] } else { line });
            }
        }
        Err(flaw(start, "this text is not ended: expected a line that is only \".\""))
    }
}

fn unended(start: usize) -> Flaw {
    flaw(start, "this text is not ended: expected a closing quote")
}

fn flaw(at: usize, text: impl Into<String>) -> Flaw {
    Flaw::new(offset(at), text)
}

/// Scripts are far below 4 GiB; their size is checked first.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
