//! The arguments of one call, taken in the order of RFC 5228 section 2.6: tags first, then what has its place.

use std::borrow::Cow;

use crate::flaw::{Flaw, quoted};
use crate::syntax::{Argument, Call, Value};

/// What is left of the arguments of a call.
pub(super) struct Arguments<'c, 's> {
    name: &'s str,
    at: u32,
    left: &'c [Argument<'s>],
}

impl<'c, 's> Arguments<'c, 's> {
    /// All arguments of a call.
    pub(super) fn of(call: &'c Call<'s>) -> Self {
        Self { name: call.name, at: call.at, left: &call.arguments }
    }

    /// The next argument when it is a tag: its place and its name in lower case.
    pub(super) fn tag(&mut self) -> Option<(u32, String)> {
        let (first, rest) = self.left.split_first()?;
        let Value::Tag(tag) = first.value else { return None };
        self.left = rest;
        Some((first.at, tag.to_ascii_lowercase()))
    }

    /// A flaw for a tag that the call does not have.
    pub(super) fn unknown(&self, at: u32, tag: &str) -> Flaw {
        Flaw::new(at, format!("{} has no tag \":{tag}\"", quoted(self.name)))
    }

    /// One text or a list of them.
    pub(super) fn texts(&mut self, what: &str) -> Result<&'c [(u32, Cow<'s, str>)], Flaw> {
        match self.left.split_first() {
            Some((Argument { value: Value::Texts(texts), .. }, rest)) => {
                self.left = rest;
                Ok(texts)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// One text.
    pub(super) fn text(&mut self, what: &str) -> Result<(u32, &'c str), Flaw> {
        match self.left.split_first() {
            Some((Argument { value: Value::Texts(texts), .. }, rest)) if texts.len() == 1 => {
                self.left = rest;
                Ok((texts[0].0, &texts[0].1))
            }
            _ => Err(self.expected(&format!("{what} as one text"))),
        }
    }

    /// A number.
    pub(super) fn number(&mut self, what: &str) -> Result<u64, Flaw> {
        match self.left.split_first() {
            Some((Argument { value: Value::Number(number), .. }, rest)) => {
                self.left = rest;
                Ok(*number)
            }
            _ => Err(self.expected(&format!("{what} as a number"))),
        }
    }

    /// How many are left.
    pub(super) fn count(&self) -> usize {
        self.left.len()
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), Flaw> {
        match self.left.first() {
            None => Ok(()),
            Some(Argument { at, value: Value::Tag(tag) }) => Err(Flaw::new(
                *at,
                format!("\":{tag}\" must stand before the other arguments of {}", quoted(self.name)),
            )),
            Some(Argument { at, .. }) => {
                Err(Flaw::new(*at, format!("{} takes no argument more", quoted(self.name))))
            }
        }
    }

    fn expected(&self, what: &str) -> Flaw {
        match self.left.first() {
            None => Flaw::new(self.at, format!("{} lacks an argument: expected {what}", quoted(self.name))),
            Some(Argument { at, value: Value::Tag(tag) }) => {
                Flaw::new(*at, format!("expected {what} in {}, found \":{tag}\"", quoted(self.name)))
            }
            Some(Argument { at, value: Value::Number(number) }) => {
                Flaw::new(*at, format!("expected {what} in {}, found {number}", quoted(self.name)))
            }
            Some(Argument { at, value: Value::Texts(texts) }) => {
                let found = if texts.len() == 1 { "a text" } else { "a list of texts" };
                Flaw::new(*at, format!("expected {what} in {}, found {found}", quoted(self.name)))
            }
        }
    }
}
