//! DATE and DATE-TIME values, RFC 5545 sections 3.3.4 and 3.3.5, written as ISO 8601 has them. No time is computed: a local
//! time stays one, with the name of its zone beside it.

use serde_json::{Value, json};

use crate::line::Line;

/// `{ "time": "2026-11-24T10:00:00Z", "zone": null, "all_day": false }`; the value as it is when it is none.
pub(crate) fn json(line: &Line) -> Value {
    let value = line.value.trim();
    match iso(value) {
        Some((time, all_day)) => json!({ "time": time, "zone": line.parameter("TZID"), "all_day": all_day }),
        None => json!({ "invalid": value.chars().take(100).collect::<String>() }),
    }
}

/// The text, and whether it is a day.
fn iso(value: &str) -> Option<(String, bool)> {
    let digits = |range: std::ops::Range<usize>| {
        let part = value.get(range)?;
        part.bytes().all(|octet| octet.is_ascii_digit()).then_some(part)
    };
    let (year, month, day) = (digits(0..4)?, digits(4..6)?, digits(6..8)?);
    let is_day = ("01"..="12").contains(&month) && ("01"..="31").contains(&day);
    let date = format!("{year}-{month}-{day}");
    match value.get(8..)? {
        "" if is_day => Some((date, true)),
        time if is_day && time.starts_with('T') => {
            let (hour, minute, second) = (digits(9..11)?, digits(11..13)?, digits(13..15)?);
            let utc = match value.get(15..)? {
                "" => "",
                "Z" => "Z",
                _ => return None,
            };
            let is_time = hour < "24" && minute < "60" && second <= "60";
            is_time.then(|| (format!("{date}T{hour}:{minute}:{second}{utc}"), false))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_local_times_and_utc_are_told_apart() {
        assert_eq!(iso("20261124"), Some(("2026-11-24".to_owned(), true)));
        assert_eq!(iso("20261124T100000"), Some(("2026-11-24T10:00:00".to_owned(), false)));
        assert_eq!(iso("20261124T100000Z"), Some(("2026-11-24T10:00:00Z".to_owned(), false)));
        for bad in [
            "",
            "2026",
            "20261324",
            "20261124T1000",
            "20261124T100000+01",
            "20261124T250000",
            "2026é124",
            "tomorrow",
        ] {
            assert_eq!(iso(bad), None, "{bad}");
        }
    }
}
