//! Variables while a script runs: named ones and those of the last match, RFC 5229; both are bounded.

use std::collections::HashMap;

use crate::matching::Captures;

/// Most variables of a script.
pub(crate) const MOST: usize = 128;
/// Most octets of a value; what is longer is cut (RFC 5229 section 6).
pub(crate) const VALUE_OCTETS: usize = 4096;

/// The names of a script's variables, each with its number. Names have no case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(HashMap<String, usize>);

impl Names {
    /// The number of a variable that is set before.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.0.get(&name.to_ascii_lowercase()).copied()
    }

    /// The number of a variable that is set here; `None` when there are too many.
    pub(crate) fn number(&mut self, name: &str) -> Option<usize> {
        let next = self.0.len();
        match self.find(name) {
            Some(number) => Some(number),
            None if next == MOST => None,
            None => {
                self.0.insert(name.to_ascii_lowercase(), next);
                Some(next)
            }
        }
    }
}

/// Their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables {
    values: Vec<String>,
    captures: Captures,
}

impl Variables {
    /// A value; empty when it was never set.
    pub(crate) fn get(&self, number: usize) -> &str {
        self.values.get(number).map_or("", String::as_str)
    }

    /// Sets one, cut to its limit.
    pub(crate) fn set(&mut self, number: usize, mut value: String) {
        value.truncate(value.floor_char_boundary(VALUE_OCTETS));
        if self.values.len() <= number && number < MOST {
            self.values.resize(number + 1, String::new());
        }
        if let Some(slot) = self.values.get_mut(number) {
            *slot = value;
        }
    }

    /// What a wildcard stands for; empty when there is none of that number.
    pub(crate) fn capture(&self, number: usize) -> &str {
        self.captures.get(number).map_or("", String::as_str)
    }

    /// Takes over what a match stands for.
    pub(crate) fn matched(&mut self, mut captures: Captures) {
        for text in &mut captures {
            text.truncate(text.floor_char_boundary(VALUE_OCTETS));
        }
        self.captures = captures;
    }
}

/// A change on the way into a variable, RFC 5229 section 4.1, in the order they are made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Modifier {
    /// All letters small.
    Lower,
    /// All letters large.
    Upper,
    /// The first letter small.
    LowerFirst,
    /// The first letter large.
    UpperFirst,
    /// Backslashes before wildcards.
    QuoteWildcard,
    /// Backslashes before what has a meaning in expressions.
    QuoteRegex,
    /// The number of characters.
    Length,
}

impl Modifier {
    /// The modifier of that name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        match name {
            "lower" => Some(Self::Lower),
            "upper" => Some(Self::Upper),
            "lowerfirst" => Some(Self::LowerFirst),
            "upperfirst" => Some(Self::UpperFirst),
            "quotewildcard" => Some(Self::QuoteWildcard),
            "quoteregex" => Some(Self::QuoteRegex),
            "length" => Some(Self::Length),
            _ => None,
        }
    }

    /// Modifiers with the same precedence cannot be given together.
    pub(crate) fn precedence(self) -> u8 {
        match self {
            Self::Lower | Self::Upper => 40,
            Self::LowerFirst | Self::UpperFirst => 30,
            Self::QuoteWildcard | Self::QuoteRegex => 20,
            Self::Length => 10,
        }
    }

    /// The changed value.
    pub(crate) fn apply(self, value: &str) -> String {
        match self {
            Self::Lower => value.to_ascii_lowercase(),
            Self::Upper => value.to_ascii_uppercase(),
            Self::LowerFirst => first(value, char::to_ascii_lowercase),
            Self::UpperFirst => first(value, char::to_ascii_uppercase),
            Self::QuoteWildcard => quoted(value, "*?\\"),
            Self::QuoteRegex => quoted(value, "\\.^$*+?()[]{}|"),
            Self::Length => value.chars().count().to_string(),
        }
    }
}

fn first(value: &str, change: fn(&char) -> char) -> String {
    let mut chars = value.chars();
    chars.next().map(|ch| change(&ch)).into_iter().chain(chars).collect()
}

fn quoted(value: &str, special: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for ch in value.chars() {
        out.extend(special.contains(ch).then_some('\\'));
        out.push(ch);
    }
    out
}
