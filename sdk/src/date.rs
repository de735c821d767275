//! A moment in UTC and how it is written. No time zones, no locale, no clock.

use std::fmt;

const DAY_MS: i64 = 86_400_000;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// A moment, to the millisecond, in UTC. Displays as RFC 3339 to the second: "2026-11-24T10:00:00Z".
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
}
