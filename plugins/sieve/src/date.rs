//! Dates as fields write them (RFC 5322 section 3.3) and as tests look at them (RFC 5260). No clock, no locale.

use postroom_sdk::Date;

use crate::program::Unit;

const DAY: i64 = 86_400;
/// The Modified Julian Day of 1 January 1970.
const JULIAN_1970: i64 = 40_587;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const UNITS: [(&str, Unit); 13] = [
    ("year", Unit::Year),
    ("month", Unit::Month),
    ("day", Unit::Day),
    ("date", Unit::Date),
    ("julian", Unit::Julian),
    ("hour", Unit::Hour),
    ("minute", Unit::Minute),
    ("second", Unit::Second),
    ("time", Unit::Time),
    ("iso8601", Unit::Iso8601),
    ("std11", Unit::Std11),
    ("zone", Unit::Zone),
    ("weekday", Unit::Weekday),
];

/// The part of a date of that name, in lower case.
pub(crate) fn unit(name: &str) -> Option<Unit> {
    UNITS.iter().find(|(known, _)| *known == name).map(|(_, unit)| *unit)
}

/// A moment, and the zone it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Seconds since 1970 UTC.
    pub(crate) seconds: i64,
    /// Minutes east of UTC.
    pub(crate) zone: i32,
}

impl Moment {
    /// What a test sees of it, in a zone of so many minutes.
    pub(crate) fn show(self, unit: Unit, zone: i32) -> String {
        let local = self.seconds + i64::from(zone) * 60;
        let date = Date::from_millis(local * 1000);
        match unit {
            Unit::Year => date.format("%Y"),
            Unit::Month => date.format("%m"),
            Unit::Day => date.format("%d"),
            Unit::Date => date.format("%Y-%m-%d"),
            Unit::Julian => (local.div_euclid(DAY) + JULIAN_1970).to_string(),
            Unit::Hour => date.format("%H"),
            Unit::Minute => date.format("%M"),
            Unit::Second => date.format("%S"),
            Unit::Time => date.format("%H:%M:%S"),
            Unit::Iso8601 => {
                let zone = zone_text(zone);
                format!("{}{}:{}", date.format("%Y-%m-%dT%H:%M:%S"), &zone[..3], &zone[3..])
            }
            Unit::Std11 => date.rfc5322().replace("+0000", &zone_text(zone)),
            Unit::Zone => zone_text(zone),
            // The first day of 1970 was a Thursday.
            Unit::Weekday => (local.div_euclid(DAY) + 4).rem_euclid(7).to_string(),
        }
    }
}

/// `+hhmm` or `-hhmm` in minutes.
pub(crate) fn zone_minutes(text: &str) -> Option<i32> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let number: i32 = digits.parse().ok()?;
    let (hours, minutes) = (number / 100, number % 100);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

fn zone_text(minutes: i32) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

/// The date in a field: behind the last semicolon where there is one, as in Received.
pub(crate) fn parse(field: &str) -> Option<Moment> {
    let text = without_comments(field.rsplit(';').next()?);
    let text = text.split_once(',').map_or(text.as_str(), |(_, rest)| rest);
    let mut words = text.split_ascii_whitespace();
    let day: i64 = number(words.next()?, 2)?;
    let month = words.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|known| *known == month)? as i64 + 1;
    let year = year(words.next()?)?;
    let mut time = words.next()?.split(':');
    let (hour, minute) = (number(time.next()?, 2)?, number(time.next()?, 2)?);
    // A leap second is legal, and no second of ours.
    let second = time.next().map_or(Some(0), |second| number(second, 2))?.min(59);
    if !(1..=days_in(year, month)).contains(&day) || hour > 23 || minute > 59 || time.next().is_some() {
        return None;
    }
    let zone = zone(words.next().unwrap_or("-0000"));
    let seconds = days(year, month, day) * DAY + hour * 3600 + minute * 60 + second;
    Some(Moment { seconds: seconds - i64::from(zone) * 60, zone })
}

fn number(word: &str, digits: usize) -> Option<i64> {
    let fits = !word.is_empty() && word.len() <= digits && word.bytes().all(|octet| octet.is_ascii_digit());
    if fits { word.parse().ok() } else { None }
}

/// Two and three digits are obsolete, RFC 5322 section 4.3.
fn year(word: &str) -> Option<i64> {
    let year = number(word, 4)?;
    Some(match word.len() {
        1 | 2 if year < 50 => year + 2000,
        1..=3 => year + 1900,
        _ => year,
    })
}

/// Obsolete names of zones, RFC 5322 section 4.3; what is not known is UTC.
fn zone(word: &str) -> i32 {
    let hours = match word.to_ascii_uppercase().as_str() {
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        other => return zone_minutes(other).unwrap_or(0),
    };
    hours * 60
}

fn without_comments(text: &str) -> String {
    let mut depth = 0_u32;
    let mut kept = String::with_capacity(text.len());
    for ch in text.chars() {
        match ch {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ch if depth == 0 => kept.push(ch),
            _ => {}
        }
    }
    kept
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 in the proleptic Gregorian calendar, counted from March in eras of 400 years.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_fields_write_them() {
        let read = |text: &str| parse(text).map(|moment| (moment.seconds, moment.zone));
        assert_eq!(read("Tue, 24 Nov 2026 10:00:00 +0000"), Some((1_795_514_400, 0)));
        assert_eq!(read("Tue, 24 Nov 2026 12:00:00 +0200 (CEST)"), Some((1_795_514_400, 120)));
        assert_eq!(read("24 nov 26 05:00 EST"), Some((1_795_514_400, -300)));
        assert_eq!(read("from a by b; Tue, 24 Nov 2026 10:00:00 GMT"), Some((1_795_514_400, 0)));
        assert_eq!(read("1 Jan 1970 00:00:60 Z"), Some((59, 0)));
        assert_eq!(read("29 Feb 2000 00:00 +0000"), Some((951_782_400, 0)));
        assert_eq!(read("31 Dec 99 23:59:59"), Some((946_684_799, 0)));
        for wrong in [
            "",
            "soon",
            "29 Feb 1900 0:0 Z",
            "1 Foo 2026 1:1 Z",
            "1 Jan 2026 24:00 Z",
            "1 Jan 2026 1 Z",
            "32 Jan 2026 1:1",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_moment_has_all_parts_in_every_zone() {
        let moment = Moment { seconds: 1_795_514_400, zone: 0 };
        let shown = |zone| UNITS.map(|(_, unit)| moment.show(unit, zone));
        assert_eq!(
            shown(-630),
            [
                "2026",
                "11",
                "23",
                "2026-11-23",
                "61367",
                "23",
                "30",
                "00",
                "23:30:00",
                "2026-11-23T23:30:00-10:30",
                "Mon, 23 Nov 2026 23:30:00 -1030",
                "-1030",
                "1",
            ]
        );
        assert_eq!(
            shown(0)[9..],
            ["2026-11-24T10:00:00+00:00", "Tue, 24 Nov 2026 10:00:00 +0000", "+0000", "2"]
        );
        let before = Moment { seconds: -1, zone: 0 };
        assert_eq!(before.show(Unit::Weekday, 0), "3");
        assert_eq!(before.show(Unit::Julian, 0), "40586");
    }

    #[test]
    fn zones_are_signed_hours_and_minutes() {
        assert_eq!(zone_minutes("+0130"), Some(90));
        assert_eq!(zone_minutes("-0800"), Some(-480));
        for wrong in ["", "+", "0100", "+01:00", "+2400", "+0060", "+01000", "ü0100"] {
            assert_eq!(zone_minutes(wrong), None, "{wrong}");
        }
    }
}
