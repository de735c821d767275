//! Spans of time as an operator writes them: "30d", "12h", "90 min".

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::fault::Problem;

/// Units from the longest, with their seconds.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800), ("d", 86_400), ("h", 3600), ("min", 60), ("m", 60), ("s", 1)];

/// The texts that [`Span::from_str`] reads, those that are too large aside.
const PATTERN: &str = r"^\s*[0-9]+\s*(w|d|h|min|m|s)\s*$";

/// A number of seconds. In settings a text with a unit: s, min (or m), h, d, w.
///
/// ```
/// use postroom_sdk::span::Span;
///
/// let span: Span = "90 min".parse()?;
/// assert_eq!((span, span.millis()), (Span(5400), 5_400_000));
/// # Ok::<(), postroom_sdk::Problem>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", inline, extend("pattern" = PATTERN, "examples" = ["12h"]))]
pub struct Span(pub u64);

impl Span {
    /// In milliseconds, for differences of [`Date::millis`](crate::Date::millis).
    pub fn millis(self) -> i64 {
        i64::try_from(self.0.saturating_mul(1000)).unwrap_or(i64::MAX)
    }
}

impl FromStr for Span {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = || {
            Problem::new(
                "",
                format!("\"{text}\" is no span of time; write it like \"30d\", \"12h\" or \"90min\""),
            )
        };
        let trimmed = text.trim();
        let digits = trimmed.find(|ch: char| !ch.is_ascii_digit()).unwrap_or(trimmed.len());
        let number: u64 = trimmed[..digits].parse().map_err(|_| bad())?;
        let unit = trimmed[digits..].trim_start();
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        number.checked_mul(*seconds).map(Self).ok_or_else(bad)
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|problem: Problem| problem.text)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, seconds): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*seconds);
        match UNITS.iter().find(fits) {
            Some((unit, seconds)) => write!(f, "{}{unit}", self.0 / seconds),
            None => write!(f, "{}s", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_a_unit() {
        let parse = |text: &str| text.parse::<Span>().map(|span| span.0).ok();
        assert_eq!(parse("30d"), Some(2_592_000));
        assert_eq!(parse(" 90 min "), Some(5400));
        assert_eq!(parse("2w"), Some(1_209_600));
        assert_eq!(parse("0s"), Some(0));
        assert_eq!(parse("30"), None);
        assert_eq!(parse("1.5h"), None);
        assert_eq!(parse("d"), None);
        assert_eq!(parse("18446744073709551615w"), None);
        assert_eq!((Span(5400).to_string(), Span(86_400).to_string()), ("90min".to_owned(), "1d".to_owned()));
    }
}
