//! Owns how durations and sizes are written: `7d`, `1h30m`, `50 MiB`; read and shown in the same words.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

const DURATIONS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];
const WRITE_DURATION: &str = "write a number and a unit, for example \"90s\", \"5m\", \"1h30m\" or \"7d\"";
const WRITE_SIZE: &str = "write a number and a unit, for example \"10 MiB\", \"64 KiB\" or \"1.5 GB\"";
/// A hundred years: more is a typing mistake, and would overflow elsewhere.
const LONGEST: u64 = 100 * 365 * 86_400_000;

/// A text that is no duration or no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}\n{hint}")]
pub struct UnitError {
    /// What is wrong.
    pub what: String,
    /// What to write instead.
    pub hint: String,
}

fn wrong(what: impl Into<String>, hint: impl Into<String>) -> UnitError {
    UnitError { what: what.into(), hint: hint.into() }
}

/// Reads `"7d"`, `"5m"`, `"90s"`, `"250ms"`, `"1h30m"`; blanks may stand between the parts.
///
/// # Errors
/// When it is none of these, or longer than a hundred years.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let shown = postroom_mail::rules::neutral(text, 40);
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong("an empty text is no duration", WRITE_DURATION));
    }
    let (mut total, mut last) = (0_u64, u64::MAX);
    while !rest.is_empty() {
        let (number, unit, after) = part(rest, false);
        let Ok(number) = number.parse::<u64>() else {
            return Err(wrong(format!("\"{shown}\" is no duration"), WRITE_DURATION));
        };
        if unit.is_empty() && !after.is_empty() {
            return Err(wrong(format!("\"{shown}\" is no duration"), WRITE_DURATION));
        }
        if unit.is_empty() {
            return Err(wrong(
                format!("\"{shown}\" has no unit"),
                format!("did you mean \"{number}s\" (seconds) or \"{number}m\" (minutes)?"),
            ));
        }
        let unit_name = long_duration(unit).unwrap_or(unit);
        let Some(&(_, factor)) = DURATIONS.iter().find(|(name, _)| *name == unit_name) else {
            let unit = postroom_mail::rules::neutral(unit, 20);
            return Err(wrong(
                format!("\"{shown}\": there is no unit `{unit}`"),
                "the units are ms, s, m (minutes), h, d and w",
            ));
        };
        if factor >= last {
            return Err(wrong(
                format!("\"{shown}\": the larger unit comes first, each once"),
                "for example \"1h30m\"",
            ));
        }
        let part = number.checked_mul(factor).and_then(|part| total.checked_add(part));
        total = part.filter(|total| *total <= LONGEST).ok_or_else(|| {
            wrong(format!("\"{shown}\" is longer than a hundred years"), "\"7d\" is seven days")
        })?;
        (last, rest) = (factor, after);
    }
    Ok(Duration::from_millis(total))
}

/// Reads `"10 MiB"`, `"64KiB"`, `"1.5 GB"`, `"812"`, into octets. Upper and lower case are the same.
///
/// # Errors
/// When it is none of these, no whole number of octets, or more than a file can hold.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let shown = postroom_mail::rules::neutral(text, 40);
    let (number, unit, rest) = part(text.trim(), true);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_fraction = fraction.len() <= 9 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let (Ok(whole), true) = (whole.parse::<u64>(), rest.is_empty() && is_fraction) else {
        return Err(wrong(format!("\"{shown}\" is no size"), WRITE_SIZE));
    };
    let found =
        SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(if unit.is_empty() { "B" } else { unit }));
    let Some(&(_, factor)) = found else {
        let unit = postroom_mail::rules::neutral(unit, 20);
        let near = SIZES
            .iter()
            .find(|(name, _)| name.len() == 3 && name[..1].eq_ignore_ascii_case(unit.get(..1).unwrap_or("")));
        let hint =
            near.map_or(WRITE_SIZE.to_owned(), |(name, _)| format!("did you mean \"{number} {name}\"?"));
        return Err(wrong(format!("\"{shown}\": there is no unit `{unit}`"), hint));
    };
    let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let fraction = u128::from(fraction.parse::<u64>().unwrap_or(0));
    let octets = u128::from(factor) * (u128::from(whole) * scale + fraction) / scale;
    match u64::try_from(octets) {
        Ok(octets) if i64::try_from(octets).is_ok() => Ok(octets),
        _ => Err(wrong(format!("\"{shown}\" is more than a file can hold"), WRITE_SIZE)),
    }
}

/// Splits off digits (with one point, when `decimal`), then letters.
fn part(text: &str, decimal: bool) -> (&str, &str, &str) {
    let digits = text.find(|ch: char| !(ch.is_ascii_digit() || decimal && ch == '.')).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let rest = rest.trim_start();
    let letters = rest.find(|ch: char| !ch.is_alphabetic()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    (number, unit, rest.trim_start())
}

fn long_duration(unit: &str) -> Option<&'static str> {
    Some(match unit {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hour" | "hours" => "h",
        "day" | "days" => "d",
        "week" | "weeks" => "w",
        _ => return None,
    })
}

/// Shows a duration as it is written: `7d`, `1h30m`, `250ms`, `0s`.
pub fn duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut shown = String::new();
    // Weeks are read but not shown: seven days are clearer than one week among other days.
    for (unit, factor) in DURATIONS.iter().skip(1) {
        if rest >= *factor {
            shown.push_str(&format!("{}{unit}", rest / factor));
            rest %= factor;
        }
    }
    if shown.is_empty() { "0s".to_owned() } else { shown }
}

/// Shows octets in the largest binary unit, exactly or to one digit: `50 MiB`, `1.4 GiB`, `812 B`.
pub fn size(octets: u64) -> String {
    for (unit, factor) in [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if octets >= factor {
            let tenths = u128::from(octets) * 10 / u128::from(factor);
            return match tenths % 10 {
                0 => format!("{} {unit}", tenths / 10),
                tenth => format!("{}.{tenth} {unit}", tenths / 10),
            };
        }
    }
    format!("{octets} B")
}

/// A duration in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub Duration);

/// A size in the configuration, in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size(pub u64);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"5m\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                parse_duration(text).map(Time).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Time, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Time, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Read)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"10 MiB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                parse_size(text).map(Size).map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, octets: u64) -> Result<Size, E> {
                self.visit_str(&octets.to_string())
            }

            fn visit_i64<E: de::Error>(self, octets: i64) -> Result<Size, E> {
                u64::try_from(octets)
                    .map_err(|_| E::invalid_value(Unexpected::Signed(octets), &self))
                    .and_then(|octets| self.visit_u64(octets))
            }
        }
        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        let seconds = |text| parse_duration(text).unwrap().as_secs();
        assert_eq!(
            ["90s", "5m", "7d", "1h30m", "1h 30m", "2 days", "1w"].map(seconds),
            [90, 300, 604_800, 5400, 5400, 172_800, 604_800]
        );
        assert_eq!(parse_duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(parse_duration("0s").unwrap(), Duration::ZERO);
    }

    #[test]
    fn what_is_no_duration_is_refused_with_the_way_to_write_it() {
        for (text, what) in [
            ("", "an empty text is no duration"),
            ("5", "\"5\" has no unit"),
            ("m", "\"m\" is no duration"),
            ("-5m", "\"-5m\" is no duration"),
            ("5 bananas", "\"5 bananas\": there is no unit `bananas`"),
            ("5M", "\"5M\": there is no unit `M`"),
            ("30m1h", "\"30m1h\": the larger unit comes first, each once"),
            ("1m1m", "\"1m1m\": the larger unit comes first, each once"),
            ("9999999w", "\"9999999w\" is longer than a hundred years"),
            ("99999999999999999999s", "\"99999999999999999999s\" is no duration"),
            ("1.5h", "\"1.5h\" is no duration"),
        ] {
            let error = parse_duration(text).unwrap_err();
            assert_eq!(error.what, what);
            assert!(!error.hint.is_empty());
        }
        assert_eq!(
            parse_duration("5").unwrap_err().hint,
            "did you mean \"5s\" (seconds) or \"5m\" (minutes)?"
        );
    }

    #[test]
    fn sizes_are_read_in_decimal_and_binary_units() {
        let octets = |text| parse_size(text).unwrap();
        assert_eq!(
            ["10 MiB", "64KiB", "1.5 GB", "812", "1 kb", "0.5 KiB", "0"].map(octets),
            [10 << 20, 64 << 10, 1_500_000_000, 812, 1000, 512, 0]
        );
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for (text, what) in [
            ("", "\"\" is no size"),
            ("MiB", "\"MiB\" is no size"),
            ("-1", "\"-1\" is no size"),
            ("1.2.3 MB", "\"1.2.3 MB\" is no size"),
            ("10 M", "\"10 M\": there is no unit `M`"),
            ("10 bananas", "\"10 bananas\": there is no unit `bananas`"),
            ("99999999 TiB", "\"99999999 TiB\" is more than a file can hold"),
            ("1 MiB x", "\"1 MiB x\" is no size"),
        ] {
            assert_eq!(parse_size(text).unwrap_err().what, what);
        }
        assert_eq!(parse_size("10 M").unwrap_err().hint, "did you mean \"10 MiB\"?");
    }

    #[test]
    fn what_is_shown_reads_back() {
        for millis in [0, 1, 999, 1000, 90_000, 5_400_000, 604_800_000, 604_861_001] {
            let span = Duration::from_millis(millis);
            assert_eq!(parse_duration(&duration(span)).unwrap(), span);
        }
        assert_eq!([5_400_000, 604_800_000].map(|ms| duration(Duration::from_millis(ms))), ["1h30m", "7d"]);
        for octets in [0, 812, 1024, 1536, 50 << 20, 3 << 40] {
            assert_eq!(parse_size(&size(octets)).unwrap(), octets);
        }
        assert_eq!([812, 1536, 50 << 20, 1_500_000_000].map(size), ["812 B", "1.5 KiB", "50 MiB", "1.3 GiB"]);
    }
}
