//! A moment in UTC and how it is written. No time zones, no locale, no clock.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::fault::Problem;

const DAY_MS: i64 = 86_400_000;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// A moment, to the millisecond, in UTC. Displays as RFC 3339 to the second: "2026-11-24T10:00:00Z". Deserializes from a text
/// as [`FromStr`] reads it.
///
/// ```
/// use postroom_sdk::Date;
///
/// let date = Date::from_millis(1_795_514_400_000);
/// assert_eq!(date.to_string(), "2026-11-24T10:00:00Z");
/// assert_eq!(date.format("%Y/%m/%d"), "2026/11/24");
/// assert_eq!(date.rfc5322(), "Tue, 24 Nov 2026 10:00:00 +0000");
/// assert_eq!(date.millis(), 1_795_514_400_000);
/// assert_eq!(Date::unknown_directive("%Y-%j").as_deref(), Some("%j"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", inline, extend("examples" = ["2026-11-24", "2026-11-24T10:00:00Z"]))]
pub struct Date(i64);

/// Year, month 1-12, day 1-31, hour, minute, second.
struct Civil {
    year: i64,
    month: usize,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
}

impl Date {
    /// From milliseconds since 1970 UTC. Clamped to the years 0 to 9999.
    pub fn from_millis(ms: i64) -> Self {
        Self(ms.clamp(-62_167_219_200_000, 253_402_300_799_999))
    }

    /// Milliseconds since 1970 UTC.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// After a pattern with `%Y %m %d %H %M %S` and `%%`; everything else is kept as it is.
    pub fn format(self, pattern: &str) -> String {
        let civil = self.civil();
        let mut out = String::new();
        let mut chars = pattern.chars();
        while let Some(ch) = chars.next() {
            if ch != '%' {
                out.push(ch);
                continue;
            }
            match chars.next() {
                Some('Y') => out.push_str(&format!("{:04}", civil.year)),
                Some('m') => out.push_str(&format!("{:02}", civil.month)),
                Some('d') => out.push_str(&format!("{:02}", civil.day)),
                Some('H') => out.push_str(&format!("{:02}", civil.hour)),
                Some('M') => out.push_str(&format!("{:02}", civil.minute)),
                Some('S') => out.push_str(&format!("{:02}", civil.second)),
                Some('%') => out.push('%'),
                Some(other) => out.extend(['%', other]),
                None => out.push('%'),
            }
        }
        out
    }

    /// The first directive of a pattern that [`format`](Self::format) would keep as it is: "%q".
    pub fn unknown_directive(pattern: &str) -> Option<String> {
        let mut chars = pattern.chars();
        while let Some(ch) = chars.next() {
            if ch == '%' {
                match chars.next() {
                    Some('Y' | 'm' | 'd' | 'H' | 'M' | 'S' | '%') => {}
                    other => return Some(other.map_or("%".to_owned(), |other| format!("%{other}"))),
                }
            }
        }
        None
    }

    /// As a Date field says it, RFC 5322 section 3.3: "Tue, 24 Nov 2026 10:00:00 +0000".
    pub fn rfc5322(self) -> String {
        let Civil { year, month, day, hour, minute, second } = self.civil();
        let weekday = WEEKDAYS[self.0.div_euclid(DAY_MS).rem_euclid(7) as usize];
        let month = MONTHS[(month - 1) % 12];
        format!("{weekday}, {day} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
    }

    /// Days to a date in the proleptic Gregorian calendar, counted from 1 March of year 0 in eras of 400 years.
    fn civil(self) -> Civil {
        let days = self.0.div_euclid(DAY_MS) + 719_468;
        let seconds = self.0.rem_euclid(DAY_MS) / 1000;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        Civil {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: month as usize,
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
        }
    }
}

/// Reads a day, "2026-11-24" (its beginning in UTC), or an RFC 3339 date and time, "2026-11-24T10:00:00+01:00".
impl FromStr for Date {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let moment = day(text).and_then(|(days, rest)| Some(days * DAY_MS + time(rest)?));
        moment.map(Self::from_millis).ok_or_else(|| {
            let like = "write it like \"2026-11-24\" or \"2026-11-24T10:00:00Z\"";
            Problem::new("", format!("\"{text}\" is no date; {like}"))
        })
    }
}

impl TryFrom<String> for Date {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map_err(|problem: Problem| problem.text)
    }
}

/// Days since 1970 of the day a text begins with, and what follows it.
fn day(text: &str) -> Option<(i64, &str)> {
    let (year, rest) = number(text, 4)?;
    let (month, rest) = number(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = number(rest.strip_prefix('-')?, 2)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) {
        return None;
    }
    // Years begin in March, so that the leap day is the last of them.
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * from_march + 2) / 5
        + day
        - 1;
    Some((days - 719_468, rest))
}

/// Milliseconds since midnight in UTC; nothing is midnight.
fn time(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (hour, rest) = number(text.strip_prefix(['T', 't', ' '])?, 2)?;
    let (minute, rest) = number(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = number(rest.strip_prefix(':')?, 2)?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let local = (hour * 60 + minute) * 60 + second;
    if matches!(rest, "Z" | "z") {
        return Some(local * 1000);
    }
    let sign = if rest.starts_with('-') { -1 } else { 1 };
    let (hours, rest) = number(rest.strip_prefix(['+', '-'])?, 2)?;
    let (minutes, rest) = number(rest.strip_prefix(':')?, 2)?;
    let is_offset = hours <= 23 && minutes <= 59 && rest.is_empty();
    is_offset.then_some((local - sign * (hours * 60 + minutes) * 60) * 1000)
}

/// A number of so many digits, and what follows it.
fn number(text: &str, digits: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(digits)?;
    let is_number = number.bytes().all(|octet| octet.is_ascii_digit());
    Some((number.parse().ok().filter(|_| is_number)?, rest))
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("%Y-%m-%dT%H:%M:%SZ"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(ms: i64, rfc3339: &str, rfc5322: &str) {
        assert_eq!(Date::from_millis(ms).to_string(), rfc3339);
        assert_eq!(Date::from_millis(ms).rfc5322(), rfc5322);
    }

    #[test]
    fn known_moments() {
        check(0, "1970-01-01T00:00:00Z", "Thu, 1 Jan 1970 00:00:00 +0000");
        check(-1, "1969-12-31T23:59:59Z", "Wed, 31 Dec 1969 23:59:59 +0000");
        check(951_782_400_000, "2000-02-29T00:00:00Z", "Tue, 29 Feb 2000 00:00:00 +0000");
        check(1_795_514_400_000, "2026-11-24T10:00:00Z", "Tue, 24 Nov 2026 10:00:00 +0000");
        check(i64::MIN, "0000-01-01T00:00:00Z", "Sat, 1 Jan 0000 00:00:00 +0000");
        check(i64::MAX, "9999-12-31T23:59:59Z", "Fri, 31 Dec 9999 23:59:59 +0000");
    }

    #[test]
    fn unknown_directives_are_told_and_kept() {
        assert_eq!(Date::unknown_directive("%Y/%m/%%"), None);
        assert_eq!(Date::unknown_directive("%Y/%j"), Some("%j".to_owned()));
        assert_eq!(Date::unknown_directive("%Y%"), Some("%".to_owned()));
        assert_eq!(Date::from_millis(0).format("%j%"), "%j%");
    }

    #[test]
    fn days_and_moments_are_read() {
        let parse = |text: &str| text.parse::<Date>().map(Date::millis).ok();
        assert_eq!(parse("1970-01-01"), Some(0));
        assert_eq!(parse("2026-11-24T10:00:00Z"), Some(1_795_514_400_000));
        assert_eq!(parse("2026-11-24T11:30:00+01:30"), Some(1_795_514_400_000));
        assert_eq!(parse("2000-02-29"), Some(951_782_400_000));
        assert_eq!(parse("0000-01-01"), Some(-62_167_219_200_000));
        for bad in
            ["", "2026", "2026-13-01", "2026-02-29", "2026-11-24T10:00", "2026-11-24T10:00:00", "+026-11-24"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        for days in (-719_528..2_932_896).step_by(97) {
            let date = Date::from_millis(days * DAY_MS);
            assert_eq!(date.to_string().parse(), Ok(date));
        }
    }
}
