//! Owns what a mistake in the configuration looks like: where it is, the line itself, and what to do about it.
//! Must not show a secret: whoever makes a [`Place`] has masked the line before.

use std::fmt;
use std::path::PathBuf;

use postroom_mail::rules::neutral;
use serde::{Serialize, Serializer};

/// The longest part of a line that is shown, in characters.
const WIDTH: usize = 100;

/// One mistake. It is the operator's to correct; nothing was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigError {
    /// Where the value comes from, when it comes from anywhere.
    pub origin: Option<Origin>,
    /// Where in the file.
    #[serde(flatten)]
    pub place: Option<Box<Place>>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In this file.
    File(PathBuf),
    /// In this environment variable.
    Variable(String),
}

/// A part of one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The line, secrets masked, control characters replaced, cut to what can be read.
    pub snippet: String,
    /// Characters of `snippet` before the marked ones.
    #[serde(skip)]
    before: usize,
    /// How many characters are marked.
    #[serde(skip)]
    marked: usize,
}

/// Every mistake that was found, at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigError {
    /// A mistake that is nowhere in particular.
    pub fn new(message: impl Into<String>) -> Self {
        Self { origin: None, place: None, message: message.into(), hint: None }
    }

    /// With what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With what to do about it, if anything is known.
    #[must_use]
    pub(super) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    /// With where it was written.
    #[must_use]
    pub(super) fn at(mut self, origin: Option<Origin>, place: Option<Place>) -> Self {
        self.origin = origin;
        self.place = place.map(Box::new);
        self
    }
}

impl ConfigErrors {
    /// All of them; `None` when there is none.
    pub fn from_all(mut errors: Vec<ConfigError>) -> Option<Self> {
        errors.sort_by_key(|error| error.place.as_ref().map(|place| (place.line, place.column)));
        errors.sort_by(|one, two| {
            one.origin.as_ref().map(Origin::to_string).cmp(&two.origin.as_ref().map(Origin::to_string))
        });
        errors.dedup();
        if errors.is_empty() { None } else { Some(Self(errors)) }
    }

    /// One by one, in the order of the files and lines.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl Place {
    /// `line` as it may be shown, with `length` characters marked after the first `before`; `number` and `column` are those
    /// of the file, from 1.
    pub(super) fn new(number: usize, column: usize, line: &str, before: usize, length: usize) -> Self {
        let total = line.chars().count();
        let first = if total > WIDTH { before.saturating_sub(WIDTH / 3).min(total - WIDTH) } else { 0 };
        let shown: String = line.chars().skip(first).take(WIDTH).map(harmless).collect();
        let snippet = shown.trim_end().to_owned();
        let before = before.saturating_sub(first);
        let room = snippet.chars().count().saturating_sub(before);
        Self { line: number, column, snippet, before, marked: length.min(room).max(1) }
    }
}

/// One character for one character, so that the caret stays where it belongs.
fn harmless(ch: char) -> char {
    match ch {
        '\t' => ' ',
        ch if neutral(ch.encode_utf8(&mut [0; 4]), 8).starts_with(ch) => ch,
        _ => '\u{fffd}',
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(&neutral(&path.display().to_string(), 300)),
            Self::Variable(name) => write!(f, "environment variable {}", neutral(name, 200)),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, &self.place) {
            (Some(origin), Some(place)) => write!(f, "{origin}:{}:{}: ", place.line, place.column)?,
            (Some(origin), None) => write!(f, "{origin}: ")?,
            (None, _) => {}
        }
        f.write_str(&self.message)?;
        let Some(place) = &self.place else {
            return self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"));
        };
        let (number, gap) = (place.line, " ".repeat(place.line.to_string().len()));
        let caret = format!("{}{}", " ".repeat(place.before), "^".repeat(place.marked));
        write!(f, "\n{gap} |\n{number} | {}\n{gap} | {caret}", place.snippet)?;
        self.hint.iter().try_for_each(|hint| write!(f, "\n{gap} = {hint}"))
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() > 1 {
            write!(f, "{} mistakes in the configuration\n\n", self.0.len())?;
        }
        for (index, error) in self.0.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// `did you mean ...?` when a known word is near, otherwise all known words.
pub(super) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if let Some(near) = nearest(word, &known) {
        return Some(format!("did you mean `{near}`?"));
    }
    (!known.is_empty() && known.len() <= 32).then(|| format!("possible here: {}", known.join(", ")))
}

/// The known word that a typing mistake would most likely have come from.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = fold(word);
    let near = known.iter().map(|candidate| (distance(&word, &fold(candidate)), *candidate));
    let (distance, candidate) = near.min_by_key(|(distance, _)| *distance)?;
    let most = (word.len().max(candidate.chars().count()) / 3).max(1);
    (distance <= most && distance < word.len()).then_some(candidate)
}

fn fold(word: &str) -> Vec<char> {
    word.chars().take(64).map(|ch| if ch == '-' { '_' } else { ch.to_ascii_lowercase() }).collect()
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `one` into `two`.
fn distance(one: &[char], two: &[char]) -> usize {
    let mut rows: Vec<Vec<usize>> = vec![(0..=two.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in two.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == two[j - 1] && one[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][two.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slip_of_the_fingers_is_recognised_and_another_word_is_not() {
        let known = ["host", "port", "password", "poll", "pipeline"];
        assert_eq!(nearest("prot", &known), Some("port"));
        assert_eq!(nearest("pasword", &known), Some("password"));
        assert_eq!(nearest("Pass-word", &known), Some("password"));
        assert_eq!(nearest("pipline", &known), Some("pipeline"));
        assert_eq!(nearest("colour", &known), None);
        assert_eq!(nearest("x", &known), None);
        assert_eq!(nearest("", &known), None);
    }

    #[test]
    fn a_caret_stays_beneath_its_text_in_a_long_or_hostile_line() {
        let line = format!("{}BAD{}", "x".repeat(400), "y".repeat(400));
        let place = Place::new(7, 401, &line, 400, 3);
        let marked: String = place.snippet.chars().skip(place.before).take(place.marked).collect();
        assert_eq!((marked.as_str(), place.column, place.snippet.chars().count()), ("BAD", 401, WIDTH));
        let place = Place::new(1, 6, "\u{1b}[2J\tBAD", 5, 3);
        assert_eq!(place.snippet, "\u{fffd}[2J BAD");
        assert_eq!(Place::new(1, 1, "", 0, 0).marked, 1);
    }

    #[test]
    fn the_json_form_is_flat() {
        let error = ConfigError::new("wrong")
            .hint("right")
            .at(Some(Origin::File("a.toml".into())), Some(Place::new(2, 5, "x = 1", 4, 1)));
        let json = serde_json::to_value(ConfigErrors::from(error)).unwrap();
        let expected = serde_json::json!([
            { "origin": "a.toml", "line": 2, "column": 5, "snippet": "x = 1", "message": "wrong", "hint": "right" }
        ]);
        assert_eq!(json, expected);
    }
}
