//! A calendar object, RFC 5545 section 3.4: its method and its entries. Components inside an entry, such as alarms, and
//! definitions of time zones are passed over.

use serde_json::{Map, Value, json};

use crate::line::{self, Line};
use crate::time;

/// Entries of one object, and people of one object, that are told.
const ENTRIES: usize = 200;
const PEOPLE: usize = 2000;
/// Longest text that is told, in characters.
const TEXT: usize = 4000;
const KINDS: [&str; 4] = ["VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY"];

/// What an object says.
#[derive(Debug)]
pub(crate) struct Calendar {
    method: Option<String>,
    product: Option<String>,
    entries: Vec<Value>,
    truncated: bool,
}

impl Calendar {
    /// Reads the first VCALENDAR and what follows it; `None` when there is none.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (lines, is_whole) = line::lines(text);
        let start = lines.iter().position(|line| line.name == "BEGIN" && is(line, "VCALENDAR"))?;
        let mut calendar = Self { method: None, product: None, entries: Vec::new(), truncated: !is_whole };
        let mut entry: Option<Entry> = None;
        // Components inside an entry, and others beside entries.
        let mut ignored: usize = 0;
        let mut people = PEOPLE;
        for line in &lines[start + 1..] {
            match (line.name.as_str(), &mut entry) {
                ("BEGIN", None) if ignored == 0 && is(line, "VCALENDAR") => {}
                ("BEGIN", None) if ignored == 0 && KINDS.iter().any(|kind| is(line, kind)) => {
                    entry = Some(Entry::new(line.value.trim()));
                }
                ("BEGIN", _) => ignored += 1,
                ("END", _) if ignored > 0 => ignored -= 1,
                ("END", Some(_)) => calendar.push(entry.take()),
                (_, _) if ignored > 0 => {}
                (_, Some(entry)) => calendar.truncated |= !entry.take(line, &mut people),
                ("METHOD", None) => calendar.method = Some(line.value.trim().to_ascii_uppercase()),
                ("PRODID", None) => calendar.product = Some(shortened(&line::unescaped(&line.value))),
                (_, None) => {}
            }
        }
        // One that does not end is told as far as it goes.
        calendar.push(entry);
        Some(calendar)
    }

    fn push(&mut self, entry: Option<Entry>) {
        match entry {
            Some(entry) if self.entries.len() < ENTRIES => self.entries.push(entry.json()),
            Some(_) => self.truncated = true,
            None => {}
        }
    }

    /// In upper case; an object without one is published.
    pub(crate) fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// How many entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "method": self.method.as_deref().map(shortened),
            "product": self.product,
            "entries": self.entries,
            "truncated": self.truncated,
        })
    }
}

fn is(line: &Line, component: &str) -> bool {
    line.value.trim().eq_ignore_ascii_case(component)
}

/// One entry being read.
#[derive(Debug)]
struct Entry {
    fields: Map<String, Value>,
    attendees: Vec<Value>,
}

impl Entry {
    fn new(kind: &str) -> Self {
        let kind = kind.trim_start_matches(['V', 'v']).to_ascii_lowercase();
        Self { fields: Map::from_iter([("kind".to_owned(), Value::from(kind))]), attendees: Vec::new() }
    }

    /// Takes a property; the first of a name counts. Whether there was room for it.
    fn take(&mut self, line: &Line, people: &mut usize) -> bool {
        let (name, value) = match line.name.as_str() {
            "UID" => ("uid", text(line)),
            "SEQUENCE" => ("sequence", line.value.trim().parse::<u32>().map_or(Value::Null, Value::from)),
            "STATUS" => ("status", text(line)),
            "SUMMARY" => ("summary", text(line)),
            "LOCATION" => ("location", text(line)),
            "DESCRIPTION" => ("description", text(line)),
            "DTSTART" => ("start", time::json(line)),
            "DTEND" => ("end", time::json(line)),
            "DUE" => ("due", time::json(line)),
            "DURATION" => ("duration", text(line)),
            "RECURRENCE-ID" => ("recurrence", time::json(line)),
            "RRULE" => ("rule", text(line)),
            "ORGANIZER" => ("organizer", person(line)),
            "ATTENDEE" => {
                let has_room = *people > 0;
                *people = people.saturating_sub(1);
                if has_room {
                    self.attendees.push(person(line));
                }
                return has_room;
            }
            _ => return true,
        };
        self.fields.entry(name).or_insert(value);
        true
    }

    fn json(mut self) -> Value {
        self.fields.insert("attendees".to_owned(), Value::from(self.attendees));
        Value::Object(self.fields)
    }
}

fn text(line: &Line) -> Value {
    Value::from(shortened(&line::unescaped(&line.value)))
}

fn person(line: &Line) -> Value {
    let address = line.value.trim();
    let is_mail = address.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("mailto:"));
    let parameter = |name: &str| line.parameter(name).map(shortened);
    json!({
        "address": shortened(if is_mail { &address[7..] } else { address }),
        "name": parameter("CN"),
        "role": parameter("ROLE"),
        "answer": parameter("PARTSTAT"),
        "wants_answer": line.parameter("RSVP").is_some_and(|wanted| wanted.eq_ignore_ascii_case("true")),
    })
}

/// Without control characters but line ends, and not too long.
fn shortened(text: &str) -> String {
    text.chars().filter(|ch| *ch == '\n' || !ch.is_control()).take(TEXT).collect()
}
