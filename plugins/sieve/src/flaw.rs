//! What is wrong with a script, and where: octet offsets inside, lines and columns for people.

use std::fmt;

/// A mistake in a script, or a limit that it passes while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    /// Octet offset in the script.
    pub(crate) at: u32,
    /// What is wrong, and what was expected.
    pub(crate) text: String,
}

impl Flaw {
    /// A flaw at an offset.
    pub(crate) fn new(at: u32, text: impl Into<String>) -> Self {
        Self { at, text: text.into() }
    }

    /// "line 3, column 5: …".
    pub(crate) fn shown(&self, script: &str) -> String {
        format!("{}: {}", Place::of(self.at, script), self.text)
    }
}

/// A place in a script. Lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    line: usize,
    column: usize,
}

impl Place {
    /// The place of an octet offset. Goes over the script: for the few that are shown.
    pub(crate) fn of(at: u32, script: &str) -> Self {
        let before = &script[..script.floor_char_boundary(at as usize)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|octet| *octet == b'\n').count() + 1;
        Self { line, column: before[line_start..].chars().count() + 1 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A word of the script as a text may show it: short, on one line.
pub(crate) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    let mut shown: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let script = "a\r\nüb c";
        let at = |offset| Place::of(offset, script).to_string();
        assert_eq!(at(0), "line 1, column 1");
        assert_eq!(at(3), "line 2, column 1");
        assert_eq!(at(5), "line 2, column 2");
        assert_eq!(at(99), "line 2, column 5");
    }
}
