//! A day of the manifest, by the calendar of UTC.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use postroom_mail::Timestamp;
use serde::{Deserialize, Serialize};

/// A date. Shown as `2026-11-24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

impl Day {
    /// The day of a point in time. What no calendar holds is its first or last day.
    pub fn of(at: Timestamp) -> Self {
        let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or(match at.0 < 0 {
            true => jiff::Timestamp::MIN,
            false => jiff::Timestamp::MAX,
        });
        Self(TimeZone::UTC.to_datetime(at).date())
    }

    /// The day after; the last one is its own.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.tomorrow().unwrap_or(self.0))
    }

    /// The name of its lines.
    pub fn lines(self) -> String {
        format!("{self}.jsonl")
    }

    /// The name of its head.
    pub fn head(self) -> String {
        format!("{self}.head")
    }

    /// The day of a file of lines.
    pub fn of_lines(name: &str) -> Option<Self> {
        name.strip_suffix(".jsonl")?.parse().ok()
    }

    /// The day of a head.
    pub fn of_head(name: &str) -> Option<Self> {
        name.strip_suffix(".head")?.parse().ok()
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let day: Option<Date> = text.parse().ok();
        // Only the one way to write it, since it names files.
        day.map(Self)
            .filter(|day| day.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no day: write it as 2026-11-24"))
    }
}

impl TryFrom<String> for Day {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

/// A point in time as lines and heads write it: RFC 3339, UTC, milliseconds.
pub(super) fn written(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.0) {
        Ok(at) => at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => format!("{} ms", at.0),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_day_is_that_of_utc_and_written_in_one_way_only() {
        let day = Day::of(Timestamp(1_795_564_799_999));
        assert_eq!((day.to_string(), day.next().to_string()), ("2026-11-24".into(), "2026-11-25".into()));
        assert_eq!(Day::of(Timestamp(1_795_564_800_000)), day.next());
        assert_eq!(Day::of_lines("2026-11-24.jsonl"), Some(day));
        for other in ["2026-11-24T00:00", "20261124", "2026-11-31", "../2026", "+002026-11-24", ""] {
            assert!(other.parse::<Day>().is_err(), "{other}");
        }
        assert_eq!(written(Timestamp(1_795_564_799_009)), "2026-11-24T23:59:59.009Z");
    }
}
