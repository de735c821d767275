//! What a calendar object (RFC 5545) is about, for the manifest: the method, and of the first event the id, start and organiser.

use serde_json::{Map, Value};

/// Octets that are looked at.
pub(crate) const LOOKED_AT: u32 = 64 << 10;

const WANTED: [(&str, &str); 6] = [
    ("METHOD", "method"),
    ("UID", "uid"),
    ("DTSTART", "start"),
    ("DTEND", "end"),
    ("SUMMARY", "summary"),
    ("ORGANIZER", "organizer"),
];

/// The facts; `None`: it is no calendar object.
pub(crate) fn facts(octets: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(octets);
    if !text.trim_start_matches('\u{feff}').trim_start().get(..15)?.eq_ignore_ascii_case("BEGIN:VCALENDAR") {
        return None;
    }
    // Section 3.1: a line goes on where the next one begins with a blank.
    let text = text.replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "");
    let mut facts = Map::new();
    let mut inside: Vec<String> = Vec::new();
    for line in text.lines() {
        let Some((head, value)) = split(line) else { continue };
        let name = head.split(';').next().unwrap_or(head).to_ascii_uppercase();
        match name.as_str() {
            "BEGIN" => inside.push(value.to_ascii_uppercase()),
            "END" if inside.pop().as_deref() == Some("VEVENT") => break,
            name if inside.len() == 1 || inside.last().is_some_and(|last| last == "VEVENT") => {
                if let Some((_, fact)) = WANTED.iter().find(|(wanted, _)| *wanted == name) {
                    facts.entry(*fact).or_insert_with(|| Value::String(value.chars().take(500).collect()));
                }
            }
            _ => {}
        }
    }
    Some(Value::Object(facts))
}

/// At the first colon outside of quotes.
fn split(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = line.find(|ch| {
        quoted ^= ch == '"';
        ch == ':' && !quoted
    })?;
    Some((&line[..at], &line[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn method_uid_start_and_organizer_of_the_first_event() {
        let text = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VTIMEZONE\r\nDTSTART:1\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\n\
                    UID:a-\r\n b\r\nDTSTART;TZID=\"x:y\":20261124T100000\r\nORGANIZER:mailto:ann@a.example\r\nEND:VEVENT\r\n\
                    BEGIN:VEVENT\r\nUID:other\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
        let facts = facts(text.as_bytes()).unwrap();
        let get = |name: &str| facts[name].as_str().unwrap().to_owned();
        assert_eq!([get("method"), get("uid"), get("start")], ["REQUEST", "a-b", "20261124T100000"]);
        assert_eq!(get("organizer"), "mailto:ann@a.example");
        assert_eq!(super::facts(b"hello"), None);
    }
}
